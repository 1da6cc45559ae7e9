//! Recovery codes, on behalf of a command: making and removing one, and coming back with one.

use hither_proto::{
    crypto::rng::Rng,
    login::Authenticator,
    name::Address,
    recovery::{BadCode, RecoveryCode},
};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{
    agent::Handle,
    logins::{self, Own},
    net::Link,
    session_file::SavedSession,
};
use crate::fault::Fault;

/// Makes `code` the recovery code of whoever is logged in, in the place of any other.
pub(super) async fn set(
    handle: &Handle,
    password: Zeroizing<String>,
    code: &str,
) -> Result<Value, Fault> {
    let code = read(code)?;
    let Own { network, mut rng, saved } = logins::prepare_own(handle).await?;
    let SavedSession { name, host, pin, .. } = &saved;
    let again = Rng::from_seed(rng.secret());
    let mut server = Link::connect(&network, host, Some(pin.clone())).await?;
    match server.set_recovery(rng, name, password, code.to_password()).await {
        Ok(()) => {}
        // The answer may be what was lost. Whether the code holds, the server proves to whoever has it.
        Err(lost @ Fault::ServerUnreachable { .. }) => {
            let uncertain = Fault::CodeUncertain { host: host.host.clone() };
            let Ok(mut server) = Link::connect(&network, host, Some(pin.clone())).await else {
                return Err(uncertain);
            };
            match server.knows_recovery(again, name, code.to_password()).await {
                Ok(()) => {}
                Err(Fault::AuthFailed) => return Err(lost),
                Err(_) => return Err(uncertain),
            }
        }
        Err(fault) => return Err(fault),
    }
    account(handle).await
}

/// Leaves whoever is logged in without a recovery code.
pub(super) async fn remove(handle: &Handle, password: Zeroizing<String>) -> Result<Value, Fault> {
    let Own { network, rng, saved } = logins::prepare_own(handle).await?;
    let SavedSession { name, host, pin, .. } = &saved;
    let mut server = Link::connect(&network, host, Some(pin.clone())).await?;
    server.remove_recovery(rng, name, password).await?;
    account(handle).await
}

/// Brings an account back with its recovery code, which sets another password and spends the code.
pub(super) async fn recover(
    handle: &Handle,
    address: &str,
    link: Option<&str>,
    code: &str,
    new: Zeroizing<String>,
) -> Result<Value, Fault> {
    let address: Address = address.parse().map_err(|_| Fault::BadAddress)?;
    let code = read(code)?;
    let dialled = logins::dial(handle, &address, link).await?;
    let known = (Authenticator::RecoveryCode, code.to_password());
    let uncertain = Fault::RecoveryUncertain { host: address.server.host.clone() };
    let recovered =
        logins::set_password(handle, dialled, &address.name, known, new, uncertain).await;
    recovered.map_err(|fault| match fault {
        Fault::AuthFailed => Fault::RecoveryFailed,
        fault => fault,
    })
}

fn read(code: &str) -> Result<RecoveryCode, Fault> {
    RecoveryCode::read(code).map_err(|bad| match bad {
        BadCode::Length(letters) => Fault::CodeLength { letters },
        BadCode::Mistyped => Fault::CodeMistyped,
    })
}

async fn account(handle: &Handle) -> Result<Value, Fault> {
    handle.call(|agent| Ok(json!({ "account": agent.account()?.address() }))).await
}
