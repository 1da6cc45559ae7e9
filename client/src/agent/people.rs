//! Contacts, on behalf of a command.

use std::time::Duration;

use tokio::time::Instant;

use hither_proto::{
    identity::safety_number as number_of,
    name::{Address, Name},
    node::{Event, Refused, RequestId},
    vault::Standing,
    wire::server::Withdrawal,
};
use serde_json::{Value, json};
use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::{
    account::{Account, Ended},
    agent::{Agent, Handle, Notice, online},
    json,
};
use crate::fault::{Fault, Usage};

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a server that is not there is waited for.
const SERVER_WAIT: Duration = Duration::from_secs(5);

/// What is to be done with somebody.
#[derive(Clone, Copy)]
pub(super) enum Doing {
    Add,
    Accept,
    Withdraw(Withdrawal),
}

impl Doing {
    /// What the method of this name does.
    pub(super) fn parse(method: &str) -> Option<Self> {
        Some(match method {
            "contact.add" => Self::Add,
            "contact.accept" => Self::Accept,
            "contact.reject" => Self::Withdraw(Withdrawal::Reject),
            "contact.block" => Self::Withdraw(Withdrawal::Block),
            "contact.unblock" => Self::Withdraw(Withdrawal::Unblock),
            "contact.remove" => Self::Withdraw(Withdrawal::Remove),
            _ => return None,
        })
    }
}

/// Everybody.
pub(super) async fn list(handle: &Handle) -> Result<Value, Fault> {
    handle
        .call(|agent| {
            let (account, log) = with_log(agent)?;
            let unread = account.store.unread_all();
            let unread = unread.map_err(|error| error.fault(account.store.path(), &log))?;
            let contacts = account.node.contacts().map(|view| {
                let unread = unread.get(&view.contact.name).copied().unwrap_or_default();
                json::contact(account, &view, unread)
            });
            let contacts: Vec<Value> = contacts.collect();
            Ok(json!({ "contacts": contacts }))
        })
        .await
}

/// How this agent is doing.
pub(super) async fn status(handle: &Handle) -> Result<Value, Fault> {
    handle
        .call(|agent| {
            let log = agent.profile.log();
            let path = agent.account.as_ref().map(|account| account.store.path());
            let path = path.unwrap_or(&agent.profile.state_dir);
            json::status(agent).map_err(|error| error.fault(path, &log))
        })
        .await
}

/// Somebody.
pub(super) async fn show(handle: &Handle, name: String) -> Result<Value, Fault> {
    handle
        .call(move |agent| {
            let name = resolve(agent.account()?, &name)?;
            let (account, log) = with_log(agent)?;
            let view = account.node.contact(&name).ok_or_else(|| no_contact(&name))?;
            let unread = account.store.unread(&name);
            let unread = unread.map_err(|error| error.fault(account.store.path(), &log))?;
            let mut shown = json::contact(account, &view, unread);
            let identity = view.contact.identity.map(|identity| identity.fingerprint_letters());
            shown["identity"] = json!(identity);
            shown["path"] = json!(json::path(agent, &view));
            shown["policy"] = json!(json::policy_word(view.contact.policy));
            Ok(shown)
        })
        .await
}

/// Does something with somebody, and waits until the server has done its part. A server that is just
/// being connected to is waited for.
pub(super) async fn do_with(handle: &Handle, name: String, doing: Doing) -> Result<Value, Fault> {
    let mut notices = handle.notices();
    let deadline = Instant::now() + SERVER_WAIT;
    loop {
        match ask(handle, &mut notices, name.clone(), doing).await? {
            Asked::Done(answer) => return Ok(answer),
            Asked::ServerGone(fault) => {
                if !online(&mut notices, deadline).await {
                    return Err(fault);
                }
            }
        }
    }
}

/// How asking the server came out.
enum Asked {
    Done(Value),
    /// It was not there, or went away before it answered; it may be back soon.
    ServerGone(Fault),
}

async fn ask(
    handle: &Handle,
    notices: &mut Receiver<Notice>,
    name: String,
    doing: Doing,
) -> Result<Asked, Fault> {
    let (name, request) = handle
        .call(move |agent| {
            let now = agent.now();
            let account = agent.account()?;
            let name = resolve(account, &name)?;
            let request = match doing {
                Doing::Add => account.node.add(&name),
                Doing::Accept => account.node.accept(&name),
                Doing::Withdraw(how) => account.node.withdraw(now, &name, how),
            };
            Ok((name, request))
        })
        .await?;
    let outcome = match request {
        Ok(request) => match tokio::time::timeout(PATIENCE, answer(notices, request)).await {
            Ok(Some(outcome)) => outcome,
            Ok(None) => Err(Refused::ServerUnavailable),
            // It takes nothing, or says nothing: as good as gone.
            Err(_) => return Err(handle.call(|agent| Ok(agent.account()?.unreachable())).await?),
        },
        Err(why) => Err(why),
    };
    match outcome {
        Ok(()) => {}
        Err(Refused::ServerGone) => {
            let fault = handle.call(|agent| Ok(agent.account()?.offline_fault())).await?;
            return match fault {
                Some(over) if Ended::by(&over).is_some() => Err(over),
                Some(fault) => Ok(Asked::ServerGone(fault)),
                None => Ok(Asked::ServerGone(
                    handle.call(|agent| Ok(agent.account()?.unreachable())).await?,
                )),
            };
        }
        Err(why) => {
            let fault = move |agent: &mut Agent| Ok(refused(why, &name, agent.account()?));
            return Err(handle.call(fault).await?);
        }
    }
    handle
        .call(move |agent| {
            let state = agent.account()?.node.contact(&name).map(|view| json::state(&view));
            Ok(json!({ "name": name.as_str(), "state": state.unwrap_or("none") }))
        })
        .await
        .map(Asked::Done)
}

/// Which addresses pass between this person and somebody. Changes it first, if asked to.
pub(super) async fn policy(
    handle: &Handle,
    name: String,
    policy: Option<String>,
) -> Result<Value, Fault> {
    let chosen = policy.as_deref().map(|word| json::policy(word).ok_or(Usage::Policy));
    let chosen = chosen.transpose()?;
    handle
        .call(move |agent| {
            let now = agent.now();
            let account = agent.account()?;
            let name = resolve(account, &name)?;
            if let Some(chosen) = chosen {
                let set = account.node.set_policy(now, &name, chosen);
                set.map_err(|why| refused(why, &name, account))?;
            }
            let view = account.node.contact(&name).ok_or_else(|| no_contact(&name))?;
            let word = json::policy_word(view.contact.policy);
            Ok(json!({ "name": name.as_str(), "policy": word }))
        })
        .await
}

/// The number that the two can compare.
pub(super) async fn safety_number(handle: &Handle, name: String) -> Result<Value, Fault> {
    handle
        .call(move |agent| {
            let account = agent.account()?;
            let name = resolve(account, &name)?;
            let (digits, verified) = digits(account, &name)?;
            Ok(json!({ "name": name.as_str(), "digits": digits, "verified": verified }))
        })
        .await
}

/// Compares the number, and remembers that it was right.
pub(super) async fn verify(handle: &Handle, name: String, typed: String) -> Result<Value, Fault> {
    handle
        .call(move |agent| {
            let account = agent.account()?;
            let name = resolve(account, &name)?;
            let (digits, _) = digits(account, &name)?;
            let bare = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
            if bare(&digits) != bare(&typed) {
                return Err(Fault::NotVerified { name: name.to_string() });
            }
            let marked = account.node.set_verified(&name);
            marked.map_err(|why| refused(why, &name, account))?;
            Ok(json!({ "name": name.as_str(), "digits": digits, "verified": true }))
        })
        .await
}

/// Whom `bob` or `bob@host` means.
pub(super) fn resolve(account: &Account, text: &str) -> Result<Name, Fault> {
    if !text.contains('@') {
        return text.parse().map_err(|_| Fault::BadName);
    }
    let address: Address = text.parse().map_err(|_| Fault::BadAddress)?;
    if address.server == account.saved.host {
        Ok(address.name)
    } else {
        Err(Fault::OtherServer { name: address.to_string() })
    }
}

/// What a refusal by the node means to a person.
pub(super) fn refused(why: Refused, name: &Name, account: &Account) -> Fault {
    let standing = account.node.contact(name).map(|view| view.contact.standing);
    let unavailable = Fault::Unavailable { retry_after_ms: 1_000 };
    let name = name.to_string();
    match why {
        Refused::Blocked => Fault::Blocked { name },
        Refused::Full => Fault::ContactsFull,
        Refused::NotAccepted if standing == Some(Standing::Pending) => Fault::NotAnswered { name },
        Refused::NotAccepted => Fault::NotAccepted { name },
        Refused::NoContact => Fault::NoContact { name },
        Refused::IdentityChanged => Fault::IdentityChanged { name },
        Refused::NoRequest if standing == Some(Standing::Requested) => Fault::StillAsked { name },
        Refused::NoRequest => Fault::NoRequest { name },
        Refused::Oneself => Fault::Oneself,
        Refused::RateLimited { retry_after_ms } => Fault::RateLimited { retry_after_ms },
        Refused::ServerGone | Refused::ServerUnavailable | Refused::ServerLies => unavailable,
    }
}

fn digits(account: &Account, name: &Name) -> Result<(String, bool), Fault> {
    let view = account.node.contact(name).ok_or_else(|| no_contact(name))?;
    let identity = view.contact.identity.ok_or_else(|| no_contact(name))?;
    let me = (account.node.name(), &account.node.identity());
    Ok((number_of(me, (name, &identity)), view.contact.verified))
}

fn no_contact(name: &Name) -> Fault {
    Fault::NoContact { name: name.to_string() }
}

fn with_log(agent: &Agent) -> Result<(&Account, std::path::PathBuf), Fault> {
    let account = agent.account.as_ref().ok_or_else(|| agent.absent())?;
    Ok((account, agent.profile.log()))
}

async fn answer(notices: &mut Receiver<Notice>, request: RequestId) -> Option<Result<(), Refused>> {
    loop {
        match notices.recv().await {
            Ok(Notice::Node(Event::Answered(answered, result))) if answered == request => {
                return Some(result);
            }
            // The answer may be among what was missed, or never come; nothing can be said of it then.
            Ok(Notice::Locked) | Err(RecvError::Lagged(_) | RecvError::Closed) => return None,
            Ok(_) => {}
        }
    }
}
