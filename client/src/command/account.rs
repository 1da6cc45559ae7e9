//! `register`, `login` and `logout`, `lock` and `unlock`, `resume`, `passwd`, `account delete`.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Context;
use crate::cli::{DeleteAccount, Login, Passwd, Register};
use crate::fault::Fault;
use crate::password::PasswordArgs;
use crate::rpc::Agent;
use crate::{launch, password, text};

/// Borrows the password, so that the only copy made of it is the line that goes to the agent.
#[derive(Serialize)]
struct RegisterParams<'a> {
    user: &'a str,
    server: &'a str,
    password: &'a str,
}

#[derive(Serialize)]
struct LoginParams<'a> {
    address: &'a str,
    server: Option<&'a str>,
    password: &'a str,
}

#[derive(Serialize)]
struct UnlockParams<'a> {
    password: &'a str,
}

#[derive(Serialize)]
struct PasswdParams<'a> {
    password: &'a str,
    new_password: &'a str,
}

#[derive(Serialize)]
struct DeleteParams<'a> {
    password: &'a str,
    erase: bool,
}

#[derive(Deserialize)]
struct Account {
    account: String,
    identity: String,
}

pub(super) fn register(context: &Context, args: &Register) -> Result<(), Fault> {
    check_link(&args.server)?;
    let password = password::new(&args.password, context.may_ask, &args.user)?;
    let params =
        RegisterParams { user: &args.user, server: &args.server, password: password.as_str() };
    let answer = context.agent()?.call("account.register", &params)?;
    welcome(context, answer, text::registered)?;
    context.screen.next("hither contact add NAME");
    Ok(())
}

pub(super) fn login(context: &Context, args: &Login) -> Result<(), Fault> {
    if !args.address.contains('@') {
        return Err(Fault::BadName);
    }
    args.server.as_deref().map_or(Ok(()), check_link)?;
    let password = password::current(&args.password, context.may_ask)?;
    let server = args.server.as_deref();
    let params = LoginParams { address: &args.address, server, password: password.as_str() };
    let answer = context.agent()?.call("account.login", &params)?;
    welcome(context, answer, text::logged_in)?;
    context.screen.next("hither receive");
    Ok(())
}

pub(super) fn logout(context: &Context) -> Result<(), Fault> {
    let answer = context.agent()?.call("account.logout", &json!({}))?;
    launch::wait_for_end(&context.profile)?;
    if context.screen.json {
        return context.screen.object(&answer);
    }
    let account = answer["account"].as_str().unwrap_or_default();
    context.screen.done(&text::logged_out(account))
}

pub(super) fn lock(context: &Context) -> Result<(), Fault> {
    let answer = context.agent()?.call("account.lock", &json!({}))?;
    if context.screen.json {
        return context.screen.object(&answer);
    }
    context.screen.done(&text::locked(answer["account"].as_str().unwrap_or_default()))?;
    context.screen.next("hither unlock");
    Ok(())
}

pub(super) fn unlock(context: &Context, args: &PasswordArgs) -> Result<(), Fault> {
    let mut agent = context.agent()?;
    let mut status = agent.call("status", &json!({}))?;
    if status["locked"] != true {
        // There is nothing to do, or nobody to do it for; either way no password is needed.
        return match status["account"].is_null() {
            true => Err(Fault::AuthRequired),
            false => {
                let names = ["account", "identity", "server"];
                let answer = names.map(|name| (name.to_owned(), status[name].take()));
                welcome(context, Value::Object(answer.into_iter().collect()), text::unlocked)
            }
        };
    }
    let password = password::current(args, context.may_ask)?;
    let answer = agent.call("account.unlock", &UnlockParams { password: password.as_str() })?;
    welcome(context, answer, text::unlocked)
}

pub(super) fn passwd(context: &Context, args: &Passwd) -> Result<(), Fault> {
    let mut agent = context.agent()?;
    let user = logged_in(&mut agent)?;
    let password = password::current(&args.password, context.may_ask)?;
    let new = password::replacement(&args.new, context.may_ask, &user)?;
    let params = PasswdParams { password: password.as_str(), new_password: new.as_str() };
    let answer = agent.call("account.passwd", &params)?;
    welcome(context, answer, text::password_changed)
}

pub(super) fn delete(context: &Context, args: &DeleteAccount) -> Result<(), Fault> {
    let mut agent = context.agent()?;
    let user = logged_in(&mut agent)?;
    if !args.yes {
        password::confirm_deletion(context.may_ask, &user)?;
    }
    let password = password::current(&args.password, context.may_ask)?;
    let params = DeleteParams { password: password.as_str(), erase: args.erase };
    let answer = agent.call("account.delete", &params)?;
    launch::wait_for_end(&context.profile)?;
    if context.screen.json {
        return context.screen.object(&answer);
    }
    let account = answer["account"].as_str().unwrap_or_default();
    context.screen.done(&text::account_deleted(account, args.erase))
}

pub(super) fn resume(context: &Context) -> Result<(), Fault> {
    let answer = context.agent()?.call("account.resume", &json!({}))?;
    welcome(context, answer, text::resumed)
}

/// The name of whoever is logged in, for whom alone it makes sense to ask for a password.
pub(super) fn logged_in(agent: &mut Agent) -> Result<String, Fault> {
    let status = agent.call("status", &json!({}))?;
    match (status["account"].as_str(), status["locked"] == true) {
        (Some(account), false) => {
            Ok(account.split_once('@').map_or(account, |(name, _)| name).to_owned())
        }
        (Some(account), true) => Err(Fault::Locked { account: account.to_owned(), id: None }),
        (None, _) => Err(Fault::AuthRequired),
    }
}

pub(super) fn welcome(
    context: &Context,
    answer: Value,
    sentence: fn(&str, &str) -> String,
) -> Result<(), Fault> {
    if context.screen.json {
        return context.screen.object(&answer);
    }
    let account: Account = context.typed(answer)?;
    context.screen.done(&sentence(&account.account, &account.identity))
}

/// Catches what is no link at all before anybody is asked for a password. The agent knows the rest.
pub(super) fn check_link(link: &str) -> Result<(), Fault> {
    let scheme = link.to_ascii_lowercase().contains("hither://");
    match scheme && link.contains('#') {
        true => Ok(()),
        false => Err(Fault::BadLink),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_link_is_refused_before_a_password_is_asked_for() {
        for link in ["hither://h#F", "HITHER://LOCALHOST:4433/INVITE#ABC"] {
            assert_eq!(check_link(link), Ok(()), "{link}");
        }
        for link in ["", "h", "localhost:4433", "https://h#F", "hither://h", "ääääääääää#"]
        {
            assert_eq!(check_link(link), Err(Fault::BadLink), "{link}");
        }
    }
}
