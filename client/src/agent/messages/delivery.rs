//! Queueing a message, and waiting for what becomes of it.

use std::time::{Duration, Instant};

use hither_proto::{
    id::MessageId,
    message::Body,
    name::Name,
    node::{Event, Hold, NoPath, Refused},
};
use serde_json::{Value, json};
use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::from_store;
use crate::{
    agent::{
        agent::{Agent, Handle, Notice, unix_now},
        people::refused,
        store::{Message, State},
    },
    fault::{Fault, Reason},
};

/// How long somebody who is there is waited for.
const WAIT: Duration = Duration::from_secs(10);

/// How long a server that is not there is waited for.
const SERVER_WAIT: Duration = Duration::from_secs(3);

/// A message that was queued, now or before.
pub(super) struct Queued {
    pub(super) to: Name,
    pub(super) id: MessageId,
    /// Its state, if there is nothing to wait for.
    pub(super) done: Option<&'static str>,
    /// Why it waits, if it was queued before and nothing will say so anew.
    pub(super) hold: Option<Hold>,
}

/// Queues a message and waits, if there is something to wait for, until it is delivered.
pub(super) async fn deliver(
    handle: &Handle,
    wait_ms: Option<u64>,
    queue: impl FnOnce(&mut Agent) -> Result<Queued, Fault> + Send + 'static,
) -> Result<Value, Fault> {
    let started = Instant::now();
    let mut notices = handle.notices();
    let Queued { to, id, done, hold } = handle.call(queue).await?;
    if let Some(state) = done {
        return Ok(known(&to, id, state));
    }
    let patience = wait_ms.map(Duration::from_millis);
    if hold == Some(Hold::Offline) && patience.is_none() {
        return Ok(queued(&to, id, "offline"));
    }
    let outcome = loop {
        let outcome = outcome(&mut notices, &to, id, patience).await;
        if !matches!(outcome, Outcome::Changed) {
            break outcome;
        }
        // Nothing was sent, and nothing will be behind the person's back. What was written to a genuine
        // path before is another matter: its receipt may still come.
        let name = to.clone();
        let taken_back = move |agent: &mut Agent| Ok(agent.account()?.node.cancel(&name, id));
        if handle.call(taken_back).await? {
            return Err(Fault::IdentityChanged { name: to.to_string() });
        }
    };
    match outcome {
        Outcome::Delivered(remote) => Ok(json!({
            "id": id.to_string(),
            "to": to.as_str(),
            "state": "delivered",
            "path": "direct",
            "remote": remote,
            "elapsed_ms": u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        })),
        Outcome::Waiting(reason) => Ok(queued(&to, id, reason)),
        Outcome::NoPath(reason) => {
            let (name, id) = (to.to_string(), Some(id.to_string()));
            Err(Fault::PeerUnreachable { name, reason, id })
        }
        Outcome::Locked => match handle.call(|agent| Ok(agent.absent())).await? {
            Fault::Locked { account, .. } => {
                Err(Fault::Locked { account, id: Some(id.to_string()) })
            }
            // It is unlocked again already, and the message waits.
            _ => Ok(queued(&to, id, "locked")),
        },
        // Some notices were missed; the disk knows.
        Outcome::Unknown | Outcome::Changed => {
            let stored = handle.call(move |agent| sent(agent, id)).await?;
            let delivered = stored.is_some_and(|message| {
                matches!(message.state, State::Delivered | State::ReadByPeer)
            });
            Ok(known(&to, id, if delivered { "delivered" } else { "queued" }))
        }
    }
}

/// Queues a message for somebody.
pub(super) fn enqueue(
    agent: &mut Agent,
    to: Name,
    id: Option<MessageId>,
    body: Body,
) -> Result<Queued, Fault> {
    let now = agent.now();
    let account = agent.account()?;
    if account.ended {
        return Err(Fault::TakenOver);
    }
    let sent = account.node.send(now, unix_now(), &to, id, body);
    let id = sent.map_err(|why| match why {
        Refused::Full => Fault::QueueFull { name: to.to_string() },
        why => refused(why, &to, account),
    })?;
    Ok(Queued { to, id, done: None, hold: None })
}

/// What I sent under this id.
pub(super) fn sent(agent: &mut Agent, id: MessageId) -> Result<Option<Message>, Fault> {
    let messages = from_store(agent, |account| account.store.message(id))?;
    Ok(messages.into_iter().find(|message| message.mine))
}

/// The state of a message of which nothing but that is known any more.
fn known(to: &Name, id: MessageId, state: &str) -> Value {
    let (id, to) = (id.to_string(), to.as_str());
    let path = "direct";
    json!({ "id": id, "to": to, "state": state, "path": path, "remote": null, "elapsed_ms": 0 })
}

fn queued(to: &Name, id: MessageId, reason: &str) -> Value {
    let (id, to) = (id.to_string(), to.as_str());
    json!({ "id": id, "to": to, "state": "queued", "reason": reason })
}

/// What becomes of a message, as far as it is worth waiting for.
enum Outcome {
    Changed,
    Delivered(String),
    Locked,
    NoPath(Reason),
    Unknown,
    Waiting(&'static str),
}

async fn outcome(
    notices: &mut Receiver<Notice>,
    to: &Name,
    id: MessageId,
    patience: Option<Duration>,
) -> Outcome {
    let (patient, patience) = (patience.is_some(), patience.unwrap_or(WAIT));
    let mut deadline = Instant::now() + patience;
    loop {
        let Ok(notice) = tokio::time::timeout_at(deadline.into(), notices.recv()).await else {
            return Outcome::Waiting("timeout");
        };
        let event = match notice {
            Ok(Notice::Node(event)) => event,
            Ok(Notice::Online) => {
                deadline = Instant::now() + patience;
                continue;
            }
            Ok(Notice::Received) => continue,
            Ok(Notice::Locked) => return Outcome::Locked,
            Err(RecvError::Lagged(_) | RecvError::Closed) => return Outcome::Unknown,
        };
        match event {
            Event::Delivered(delivered, remote) if delivered == id => {
                return Outcome::Delivered(remote.to_string());
            }
            Event::IdentityChanged(name) if name == *to => return Outcome::Changed,
            Event::Held(name, hold) if name == *to => match hold {
                Hold::NoPath(NoPath::Timeout) => return Outcome::NoPath(Reason::Timeout),
                Hold::NoPath(NoPath::HandshakeFailed) => {
                    return Outcome::NoPath(Reason::HandshakeFailed);
                }
                Hold::Offline if !patient => return Outcome::Waiting("offline"),
                // It is being connected to; if that takes long, there is no use in waiting.
                Hold::ServerGone if !patient => {
                    deadline = Instant::now() + SERVER_WAIT;
                }
                Hold::Offline | Hold::ServerGone => {}
            },
            _ => {}
        }
    }
}
