//! Registering, logging in and logging out, on behalf of a command.

use std::{path::PathBuf, time::Duration};

use hither_proto::{
    crypto::rng::Rng,
    login::Authenticator,
    name::{Address, Host, Link as ServerLink, Name, ServerPin},
    node::Event,
};
use serde_json::{Value, json};
use tokio::{
    sync::{broadcast, oneshot},
    time::Instant,
};
use zeroize::Zeroizing;

use super::{
    account::Account,
    agent::{Agent, Handle, Notice, online},
    devices, json, known_servers,
    net::{Link, LoggedIn, Network},
    session_file::SavedSession,
    store::Store,
};
use crate::fault::Fault;

/// How long the server may take to store what it is owed, and then again to carry out a logout.
const LOGOUT_PATIENCE: Duration = Duration::from_secs(5);

/// Creates an account at the server that `link` names.
pub(super) async fn register(
    handle: &Handle,
    user: &str,
    link: &str,
    password: Zeroizing<String>,
) -> Result<Value, Fault> {
    let name: Name = user.parse().map_err(|_| Fault::BadName)?;
    let link: ServerLink = link.parse().map_err(|_| Fault::BadLink)?;
    let Dialling { network, rng, .. } = prepare(handle, None).await?;
    let mut server = Link::connect(&network, &link.server, Some(link.pin)).await?;
    let logged_in = server.register(rng, &name, link.invite, password).await?;
    install(handle, server, logged_in).await
}

/// Logs in. Without a link, the server is the one that this profile has seen under that address before;
/// if it has seen none, the login itself proves which one it is.
pub(super) async fn login(
    handle: &Handle,
    address: &str,
    link: Option<&str>,
    password: Zeroizing<String>,
) -> Result<Value, Fault> {
    let address: Address = address.parse().map_err(|_| Fault::BadAddress)?;
    let Dialled { rng, mut server, .. } = dial(handle, &address, link).await?;
    let logged_in = server.login(rng, &address.name, password).await?;
    install(handle, server, logged_in).await
}

/// A connection to the server of somebody who may log in here.
pub(super) async fn dial<'a>(
    handle: &Handle,
    address: &'a Address,
    link: Option<&str>,
) -> Result<Dialled<'a>, Fault> {
    let link = link.map(str::parse::<ServerLink>).transpose().map_err(|_| Fault::BadLink)?;
    let dialling = prepare(handle, Some(address.clone())).await?;
    let pin = match link {
        Some(link) => Some(link.pin),
        None => known(&dialling.known_servers, &address.server)?,
    };
    let Dialling { network, rng, .. } = dialling;
    let server = Link::connect(&network, &address.server, pin).await?;
    Ok(Dialled { network, rng, host: &address.server, server })
}

/// Locks the account.
pub(super) async fn lock(handle: &Handle) -> Result<Value, Fault> {
    handle
        .call(|agent| {
            agent.lock()?;
            let account = agent.locked.as_ref().map(|locked| locked.address.to_string());
            Ok(json!({ "account": account, "locked": true }))
        })
        .await
}

/// Brings the locked account back: a login at the server that it is pinned to.
pub(super) async fn unlock(handle: &Handle, password: Zeroizing<String>) -> Result<Value, Fault> {
    let locked = handle.call(|agent| agent.locked.clone().ok_or(Fault::NotLocked)).await?;
    let Dialling { network, rng, .. } = prepare(handle, Some(locked.address.clone())).await?;
    let Address { name, server } = &locked.address;
    let mut server = Link::connect(&network, server, Some(locked.link.pin)).await?;
    let logged_in = server.login(rng, name, password).await?;
    install(handle, server, logged_in).await
}

/// Takes the account back from the machine that has taken it over. The session of this one waits for that.
pub(super) async fn resume(handle: &Handle) -> Result<Value, Fault> {
    let present = handle.call(|agent| {
        let account = agent.account()?;
        Ok(account.ended.is_none().then(|| json::account(account)))
    });
    if let Some(present) = present.await? {
        return Ok(present);
    }
    let Own { network, saved, .. } = prepare_own(handle).await?;
    let mut server = Link::connect(&network, &saved.host, Some(saved.pin.clone())).await?;
    match server.take_back(&saved).await {
        Ok(logged_in) => install(handle, server, logged_in).await,
        Err(Fault::AuthFailed) => Err(Fault::SessionEnded),
        Err(fault) => Err(fault),
    }
}

/// Changes the password of whoever is logged in. Every other machine has to log in again.
pub(super) async fn change_password(
    handle: &Handle,
    password: Zeroizing<String>,
    new: Zeroizing<String>,
) -> Result<Value, Fault> {
    let Own { network, rng, saved } = prepare_own(handle).await?;
    let SavedSession { name, host, pin, .. } = &saved;
    let server = Link::connect(&network, host, Some(pin.clone())).await?;
    let known = (Authenticator::Password, password);
    let uncertain = Fault::PasswordUncertain { host: host.host.clone() };
    set_password(handle, Dialled { network, rng, host, server }, name, known, new, uncertain).await
}

/// A connection on which something is to be proven, and what it takes to make another.
pub(super) struct Dialled<'a> {
    pub(super) network: Network,
    pub(super) rng: Rng,
    pub(super) host: &'a Host,
    pub(super) server: Link,
}

/// Gives the account another password, by what is known, and logs in with it. If the server is not heard when it
/// may have done so, that is `uncertain` unless a login can tell.
pub(super) async fn set_password(
    handle: &Handle,
    dialled: Dialled<'_>,
    name: &Name,
    known: (Authenticator, Zeroizing<String>),
    new: Zeroizing<String>,
    uncertain: Fault,
) -> Result<Value, Fault> {
    let Dialled { network, mut rng, host, mut server } = dialled;
    let pin = server.pin().clone();
    let again = Rng::from_seed(rng.secret());
    let change = server.prepare_change(rng, name, known, new.clone()).await?;
    match server.change_password(name, change).await {
        Ok(logged_in) => install(handle, server, logged_in).await,
        // The answer may be what was lost. Whether the new password holds, a login tells.
        Err(lost @ Fault::ServerUnreachable { .. }) => {
            let Ok(mut server) = Link::connect(&network, host, Some(pin)).await else {
                return Err(uncertain);
            };
            match server.login(again, name, new).await {
                Ok(logged_in) => install(handle, server, logged_in).await,
                Err(Fault::AuthFailed) => Err(lost),
                Err(_) => Err(uncertain),
            }
        }
        Err(fault) => Err(fault),
    }
}

/// Deletes the account at the server, and then what lets this machine speak for it; with `erase`, the history too.
pub(super) async fn delete_account(
    handle: &Handle,
    password: Zeroizing<String>,
    erase: bool,
) -> Result<Value, Fault> {
    let Own { network, rng, saved } = prepare_own(handle).await?;
    let SavedSession { name, host, pin, .. } = &saved;
    let mut server = Link::connect(&network, host, Some(pin.clone())).await?;
    match server.delete_account(rng, name, password.clone()).await {
        Ok(()) => {}
        // The answer may be what was lost. An account that is no more takes no password.
        Err(lost @ Fault::ServerUnreachable { .. }) => {
            let Own { rng, .. } = prepare_own(handle).await?;
            let mut server = Link::connect(&network, host, Some(pin.clone())).await?;
            match server.login(rng, name, password).await {
                Err(Fault::AuthFailed) => {}
                Err(fault) => return Err(fault),
                Ok(logged_in) => {
                    install(handle, server, logged_in).await?;
                    return Err(lost);
                }
            }
        }
        Err(fault) => return Err(fault),
    }
    handle
        .call(move |agent| {
            let account = agent.account()?;
            let (address, store) = (account.address(), account.store.path().to_owned());
            agent.uninstall();
            agent.stopping = true;
            agent.wipe_session()?;
            if erase {
                Store::remove(&store).map_err(|error| Fault::file(&store, &error))?;
            }
            Ok(json!({ "account": address, "erased": erase }))
        })
        .await
}

/// Logs out: at the server, and then here, where every key is wiped and the agent stops. A server that is
/// just being connected to is waited for, and so is what it is owed.
pub(super) async fn logout(handle: &Handle) -> Result<Value, Fault> {
    let forgotten = handle.call(|agent| {
        let Some(locked) = agent.locked.take() else {
            // What the server refused before, it may take now.
            agent.account()?.node.put_vault();
            return Ok(None);
        };
        agent.stopping = true;
        agent.unlocked()?;
        Ok(Some(locked.address.to_string()))
    });
    if let Some(account) = forgotten.await? {
        // Its keys are wiped already, and without them the server cannot be told.
        return Ok(json!({ "account": account }));
    }
    let mut notices = handle.notices();
    let stored_by = Instant::now() + LOGOUT_PATIENCE;
    let mut deadline = stored_by;
    let told = loop {
        match handle.call(move |agent| begin_logout(agent, stored_by)).await? {
            Parting::Ended => break true,
            Parting::Owing => {
                settled(&mut notices, stored_by).await;
                deadline = Instant::now() + LOGOUT_PATIENCE;
            }
            Parting::Begun(done) => match tokio::time::timeout_at(deadline, done).await {
                Ok(Ok(())) => break true,
                // The connection has been cut; there may be another soon.
                Ok(Err(_)) => {}
                Err(_) => break false,
            },
            Parting::Offline if online(&mut notices, deadline).await => {}
            Parting::Offline => break false,
        }
    };
    let (address, host) = handle
        .call(|agent| {
            let account = agent.account()?;
            let (address, host) = (account.address(), account.saved.host.host.clone());
            agent.uninstall();
            agent.stopping = true;
            agent.wipe_session()?;
            Ok((address, host))
        })
        .await?;
    if told { Ok(json!({ "account": address })) } else { Err(Fault::LogoutUntold { host }) }
}

/// How far a logout has come.
enum Parting {
    /// Another login has ended the session already.
    Ended,
    /// The server has not yet answered to the newest version of the vault.
    Owing,
    /// The exchange is under way.
    Begun(oneshot::Receiver<()>),
    /// There is no server to have it with.
    Offline,
}

/// Begins the exchange, unless the vault is under way and it is not yet `stored_by`. Whoever logs in on another
/// machine is to find everything there; what the server does not take in time is not lost: it stays in the
/// store of this machine, and goes up with the next login here.
fn begin_logout(agent: &mut Agent, stored_by: Instant) -> Result<Parting, Fault> {
    let mut rng = Rng::from_seed(agent.rng.secret());
    let account = agent.account()?;
    if account.ended.is_some() {
        return Ok(Parting::Ended);
    }
    if account.node.vault_is_under_way() && Instant::now() < stored_by {
        return Ok(Parting::Owing);
    }
    Ok(account.begin_logout(&mut rng).map_or(Parting::Offline, Parting::Begun))
}

/// Waits until no vault is under way, or until `deadline`.
async fn settled(notices: &mut broadcast::Receiver<Notice>, deadline: Instant) {
    let settled = async {
        while let Ok(notice) = notices.recv().await {
            if matches!(notice, Notice::Node(Event::VaultSettled) | Notice::Locked) {
                break;
            }
        }
    };
    // Whoever asks again sees whether it was too late.
    let _ = tokio::time::timeout_at(deadline, settled).await;
}

/// What a login needs of the agent.
struct Dialling {
    network: Network,
    rng: Rng,
    known_servers: PathBuf,
}

/// What a change of one's own account needs of the agent.
pub(super) struct Own {
    pub(super) network: Network,
    pub(super) rng: Rng,
    pub(super) saved: SavedSession,
}

/// Checks that `address`, or anybody new, may log in here now.
async fn prepare(handle: &Handle, address: Option<Address>) -> Result<Dialling, Fault> {
    handle
        .call(move |agent| {
            let present = agent.account.as_ref().map(Account::address);
            let locked = agent.locked.as_ref().map(|locked| locked.address.to_string());
            if let Some(account) = present.or(locked)
                && address.is_none_or(|address| address.to_string() != account)
            {
                return Err(Fault::LoggedIn { account });
            }
            Ok(Dialling {
                network: agent.network.clone(),
                rng: Rng::from_seed(agent.rng.secret()),
                known_servers: known_servers_path(agent),
            })
        })
        .await
}

/// What a change of the account takes: somebody who is logged in, and where.
pub(super) async fn prepare_own(handle: &Handle) -> Result<Own, Fault> {
    handle
        .call(|agent| {
            let rng = Rng::from_seed(agent.rng.secret());
            let network = agent.network.clone();
            Ok(Own { network, rng, saved: agent.account()?.saved.duplicate() })
        })
        .await
}

async fn install(handle: &Handle, server: Link, logged_in: LoggedIn) -> Result<Value, Fault> {
    handle
        .call(move |agent| {
            let LoggedIn { session, session_key, vault } = logged_in;
            let last = agent.last_device(&session);
            let pin = server.pin().clone();
            let path = known_servers_path(agent);
            known_servers::remember(&path, &session.host, &pin)
                .map_err(|error| Fault::file(&path, &error))?;
            let path = agent.profile.session();
            session.save(&path).map_err(|error| Fault::file(&path, &error))?;
            let (folder, log) = (agent.profile.state_dir.clone(), agent.profile.log());
            // The store of the same account, if it is open, must be closed before it is opened.
            agent.uninstall();
            let path = Store::path_in(&folder, &session.seed);
            let account = match Account::log_in(session, vault, &folder, &mut agent.rng) {
                Ok(account) => account,
                Err(error) => {
                    if agent.locked.is_some() {
                        // It stays locked, and no key stays behind.
                        agent.wipe_session()?;
                    }
                    return Err(error.fault(&path, &log));
                }
            };
            let answer = json::account(&account);
            agent.install(account, server, session_key);
            if let Some(device) = last {
                agent.account()?.forget_device(device);
            }
            agent.unlocked()?;
            Ok(answer)
        })
        .await
}

impl Agent {
    /// By which key this machine resumed a session of the same account before, if not by this one's.
    fn last_device(&self, session: &SavedSession) -> Option<[u8; 32]> {
        let locked = self.locked.as_ref().and_then(|locked| locked.device);
        let last = self.account.as_ref().map(Account::device).or(locked);
        last.filter(|last| *last != devices::public(&session.device))
    }
}

fn known(path: &std::path::Path, host: &Host) -> Result<Option<ServerPin>, Fault> {
    known_servers::pin_of(path, host).map_err(|error| Fault::file(path, &error))
}

fn known_servers_path(agent: &Agent) -> PathBuf {
    agent.profile.state_dir.join("known_servers")
}
