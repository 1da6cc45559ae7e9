//! `recovery` and `recover`: a code that brings an account back whose password is forgotten.

use hither_proto::{
    crypto::{rng::Rng, secret::Secret},
    recovery::{BadCode, RecoveryCode},
};
use serde::Serialize;
use serde_json::json;

use super::{Context, account};
use crate::cli::{Recover, Recovery};
use crate::fault::Fault;
use crate::password::PasswordArgs;
use crate::{password, text};

/// Borrows the secrets, so that the only copy made of them is the line that goes to the agent.
#[derive(Serialize)]
struct SetParams<'a> {
    password: &'a str,
    code: &'a str,
}

#[derive(Serialize)]
struct RemoveParams<'a> {
    password: &'a str,
}

#[derive(Serialize)]
struct RecoverParams<'a> {
    address: &'a str,
    server: Option<&'a str>,
    code: &'a str,
    new_password: &'a str,
}

pub(super) fn run(context: &Context, asked: &Recovery) -> Result<(), Fault> {
    match asked {
        Recovery::New(password) => new(context, password),
        Recovery::Remove(password) => remove(context, password),
    }
}

/// The code is made here and not by the agent, where it would stay in answers on their way.
fn new(context: &Context, args: &PasswordArgs) -> Result<(), Fault> {
    let mut agent = context.agent()?;
    account::logged_in(&mut agent)?;
    let password = password::current(args, context.may_ask)?;
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|_| Fault::Internal { log: context.profile.log() })?;
    let code = RecoveryCode::generate(&mut Rng::from_seed(Secret::new(seed))).to_text();
    let params = SetParams { password: password.as_str(), code: code.as_str() };
    let mut answer = agent.call("account.recovery.set", &params)?;
    if context.screen.json {
        answer["code"] = json!(code.as_str());
        return context.screen.object(&answer);
    }
    let account = answer["account"].as_str().unwrap_or_default();
    context.screen.done(&text::recovery_code_made(account))?;
    context.screen.print(&code.as_str())
}

fn remove(context: &Context, args: &PasswordArgs) -> Result<(), Fault> {
    let mut agent = context.agent()?;
    account::logged_in(&mut agent)?;
    let password = password::current(args, context.may_ask)?;
    let params = RemoveParams { password: password.as_str() };
    let answer = agent.call("account.recovery.remove", &params)?;
    if context.screen.json {
        return context.screen.object(&answer);
    }
    let account = answer["account"].as_str().unwrap_or_default();
    context.screen.done(&text::recovery_code_removed(account))
}

pub(super) fn recover(context: &Context, args: &Recover) -> Result<(), Fault> {
    let Some((user, _)) = args.address.split_once('@') else { return Err(Fault::BadName) };
    args.server.as_deref().map_or(Ok(()), account::check_link)?;
    let code = password::code(&args.code, context.may_ask)?;
    // A slip of the pen is told before anybody chooses a password, or the server counts an attempt.
    let code = RecoveryCode::read(&code).map_err(|bad| match bad {
        BadCode::Length(letters) => Fault::CodeLength { letters },
        BadCode::Mistyped => Fault::CodeMistyped,
    })?;
    let new = password::replacement(&args.new, context.may_ask, user)?;
    let params = RecoverParams {
        address: &args.address,
        server: args.server.as_deref(),
        code: &code.to_text(),
        new_password: new.as_str(),
    };
    let answer = context.agent()?.call("account.recover", &params)?;
    account::welcome(context, answer, text::recovered)?;
    context.screen.next("hither recovery new");
    Ok(())
}
