//! The methods of the local API, by name.

use std::path::PathBuf;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{
    agent::Handle,
    devices, logins,
    messages::{self, Fate},
    people::{self, Doing},
    reachability, recovery,
    rpc::{Peer, Refused},
};

/// The version of this API.
const API: u64 = 1;

/// What a method gives.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Done {
    Message(Fate),
    Value(Value),
}

impl From<Fate> for Done {
    fn from(fate: Fate) -> Self {
        Self::Message(fate)
    }
}

impl From<Value> for Done {
    fn from(value: Value) -> Self {
        Self::Value(value)
    }
}

/// Calls `method`.
pub(super) async fn call(
    method: &str,
    params: &str,
    handle: &Handle,
    peer: &Peer,
) -> Result<Done, Refused> {
    // Printing what comes in is nothing that a person does.
    if method != "message.mark_read" {
        handle.touch();
    }
    match method {
        // Programs send by the thousand, and whatever runs takes as much room as the largest thing that it may
        // come to.
        "message.send" => Ok(messages::send(handle, parse(params)?).await?.into()),
        _ if method.starts_with("message.") => Box::pin(message(method, params, handle)).await,
        _ => Ok(Box::pin(other(method, params, handle, peer)).await?.into()),
    }
}

async fn other(method: &str, params: &str, handle: &Handle, peer: &Peer) -> Result<Value, Refused> {
    match method {
        "agent.hello" => Ok(json!({
            "version": env!("CARGO_PKG_VERSION"),
            "api": API,
            "pid": std::process::id(),
            "profile": handle.call(|agent| Ok(agent.profile.name.clone())).await?,
        })),
        "agent.status" => Ok(json!({
            "pid": std::process::id(),
            "version": env!("CARGO_PKG_VERSION"),
            "logged_in": handle.call(|agent| Ok(agent.account.is_some())).await?,
        })),
        "agent.reload" => Ok(handle.call(|agent| agent.reload().map(|()| json!({}))).await?),
        "agent.shutdown" => {
            handle
                .call(|agent| {
                    agent.stopping = true;
                    Ok(())
                })
                .await?;
            Ok(json!({}))
        }
        "status" => Ok(people::status(handle).await?),
        "net.check" => Ok(reachability::check(handle).await?),
        "net.path" => Ok(reachability::path(handle, named(params)?).await?),
        "contact.list" => Ok(people::list(handle).await?),
        "contact.show" => Ok(people::show(handle, named(params)?).await?),
        "contact.policy" => {
            let Decide { name, policy } = parse(params)?;
            Ok(people::policy(handle, name, policy).await?)
        }
        "contact.verify_info" => Ok(people::safety_number(handle, named(params)?).await?),
        "contact.verify" => {
            let Verify { name, r#match } = parse(params)?;
            Ok(people::verify(handle, name, r#match).await?)
        }
        "events.subscribe" => Ok(messages::subscribe(handle, peer, parse(params)?).await?),
        _ if method.starts_with("account.") => account(method, params, handle).await,
        _ => match Doing::parse(method) {
            Some(doing) => Ok(people::do_with(handle, named(params)?, doing).await?),
            None => Err(Refused::Method),
        },
    }
}

async fn account(method: &str, params: &str, handle: &Handle) -> Result<Value, Refused> {
    match method {
        "account.register" => {
            let Register { user, server, password } = parse(params)?;
            Ok(logins::register(handle, &user, &server, password).await?)
        }
        "account.login" => {
            let Login { address, server, password } = parse(params)?;
            Ok(logins::login(handle, &address, server.as_deref(), password).await?)
        }
        "account.logout" => Ok(logins::logout(handle).await?),
        "account.lock" => Ok(logins::lock(handle).await?),
        "account.unlock" => {
            let Unlock { password } = parse(params)?;
            Ok(logins::unlock(handle, password).await?)
        }
        "account.passwd" => {
            let Passwd { password, new_password } = parse(params)?;
            Ok(logins::change_password(handle, password, new_password).await?)
        }
        "account.recover" => {
            let Recover { address, server, code, new_password } = parse(params)?;
            let server = server.as_deref();
            Ok(recovery::recover(handle, &address, server, &code, new_password).await?)
        }
        "account.recovery.set" => {
            let SetRecovery { password, code } = parse(params)?;
            Ok(recovery::set(handle, password, &code).await?)
        }
        "account.recovery.remove" => {
            let Unlock { password } = parse(params)?;
            Ok(recovery::remove(handle, password).await?)
        }
        "account.resume" => Ok(logins::resume(handle).await?),
        "account.devices" => Ok(devices::list(handle).await?),
        "account.revoke" => {
            let Revoke { id } = parse(params)?;
            Ok(devices::revoke(handle, &id).await?)
        }
        "account.delete" => {
            let DeleteAccount { password, erase } = parse(params)?;
            Ok(logins::delete_account(handle, password, erase).await?)
        }
        "account.export" => {
            let Archive { file, password } = archive(params)?;
            Ok(messages::export(handle, file, password).await?)
        }
        "account.import" => {
            let Archive { file, password } = archive(params)?;
            Ok(messages::import(handle, file, password).await?)
        }
        _ => Err(Refused::Method),
    }
}

async fn message(method: &str, params: &str, handle: &Handle) -> Result<Done, Refused> {
    Ok(match method {
        "message.cancel" => messages::cancel(handle, parse(params)?).await?.into(),
        "message.delete" => messages::delete(handle, parse(params)?).await?.into(),
        "message.edit" => messages::edit(handle, parse(params)?).await?.into(),
        "message.history" | "message.list" => messages::list(handle, parse(params)?).await?.into(),
        "message.mark_read" => messages::mark_read(handle, parse(params)?).await?.into(),
        "message.queue" => messages::queue(handle).await?.into(),
        "message.react" => messages::react(handle, parse(params)?).await?.into(),
        "message.read" => messages::read(handle, parse(params)?).await?.into(),
        "message.search" => messages::search(handle, parse(params)?).await?.into(),
        "message.timer" => messages::timer(handle, parse(params)?).await?.into(),
        "message.typing" => messages::typing(handle, parse(params)?).await?.into(),
        "message.unread" => messages::unread(handle, parse(params)?).await?.into(),
        _ => return Err(Refused::Method),
    })
}

#[derive(Deserialize)]
struct Register {
    user: String,
    server: String,
    password: Zeroizing<String>,
}

#[derive(Deserialize)]
struct Login {
    address: String,
    server: Option<String>,
    password: Zeroizing<String>,
}

#[derive(Deserialize)]
struct Unlock {
    password: Zeroizing<String>,
}

#[derive(Deserialize)]
struct Passwd {
    password: Zeroizing<String>,
    new_password: Zeroizing<String>,
}

#[derive(Deserialize)]
struct Recover {
    address: String,
    server: Option<String>,
    code: Zeroizing<String>,
    new_password: Zeroizing<String>,
}

#[derive(Deserialize)]
struct SetRecovery {
    password: Zeroizing<String>,
    code: Zeroizing<String>,
}

#[derive(Deserialize)]
struct Revoke {
    id: String,
}

#[derive(Deserialize)]
struct DeleteAccount {
    password: Zeroizing<String>,
    #[serde(default)]
    erase: bool,
}

#[derive(Deserialize)]
struct Archive {
    file: PathBuf,
    password: Zeroizing<String>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct Decide {
    name: String,
    policy: Option<String>,
}

#[derive(Deserialize)]
struct Verify {
    name: String,
    r#match: String,
}

/// An archive at a path that means the same to whoever asks and to the agent.
fn archive(params: &str) -> Result<Archive, Refused> {
    let archive: Archive = parse(params)?;
    if archive.file.is_absolute() { Ok(archive) } else { Err(Refused::Params) }
}

fn named(params: &str) -> Result<String, Refused> {
    Ok(parse::<Named>(params)?.name)
}

fn parse<T: DeserializeOwned>(params: &str) -> Result<T, Refused> {
    serde_json::from_str(params).map_err(|_| Refused::Params)
}
