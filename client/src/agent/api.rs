//! The methods of the local API, by name.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{
    agent::Handle,
    json, logins, messages,
    people::{self, Doing},
    rpc::{Peer, Refused},
};

/// The version of this API.
const API: u64 = 1;

/// Calls `method`.
pub(super) async fn call(
    method: &str,
    params: Value,
    handle: &Handle,
    peer: &Peer,
) -> Result<Value, Refused> {
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
        "agent.shutdown" => {
            handle
                .call(|agent| {
                    agent.stopping = true;
                    Ok(())
                })
                .await?;
            Ok(json!({}))
        }
        "account.register" => {
            let Register { user, server, password } = parse(params)?;
            Ok(logins::register(handle, &user, &server, password).await?)
        }
        "account.login" => {
            let Login { address, server, password } = parse(params)?;
            Ok(logins::login(handle, &address, server.as_deref(), password).await?)
        }
        "account.logout" => Ok(logins::logout(handle).await?),
        "status" => Ok(handle.call(|agent| Ok(json::status(agent))).await?),
        "contact.list" => Ok(people::list(handle).await?),
        "contact.show" => Ok(people::show(handle, named(params)?).await?),
        "contact.verify_info" => Ok(people::safety_number(handle, named(params)?).await?),
        "contact.verify" => {
            let Verify { name, r#match } = parse(params)?;
            Ok(people::verify(handle, name, r#match).await?)
        }
        "message.send" => Ok(messages::send(handle, parse(params)?).await?),
        "message.list" => Ok(messages::list(handle, parse(params)?).await?),
        "message.queue" => Ok(messages::queue(handle).await?),
        "message.unread" => Ok(messages::unread(handle, parse(params)?).await?),
        "message.mark_read" => Ok(messages::mark_read(handle, parse(params)?).await?),
        "events.subscribe" => Ok(messages::subscribe(handle, peer, parse(params)?).await?),
        _ => match Doing::parse(method) {
            Some(doing) => Ok(people::do_with(handle, named(params)?, doing).await?),
            None => Err(Refused::Method),
        },
    }
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
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct Verify {
    name: String,
    r#match: String,
}

fn named(params: Value) -> Result<String, Refused> {
    Ok(parse::<Named>(params)?.name)
}

fn parse<T: DeserializeOwned>(params: Value) -> Result<T, Refused> {
    serde_json::from_value(params).map_err(|_| Refused::Params)
}
