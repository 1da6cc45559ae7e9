//! Queueing a message, and waiting for what becomes of it.

use std::time::{Duration, Instant};

use hither_proto::{
    id::MessageId,
    message::Body,
    name::Name,
    node::{Event, Hold, Refused},
};
use serde::Serialize;
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

/// What became of a message, as the local API tells it: a type of its own, because many are told.
#[derive(Serialize)]
pub(in crate::agent) struct Fate {
    pub(super) id: String,
    /// Which message it is about, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) of: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    state: &'static str,
    /// Why it waits, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'static str>,
    /// Where it went, if it went and that is still known.
    #[serde(skip_serializing_if = "Option::is_none")]
    remote: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    elapsed_ms: Option<u64>,
}

impl Fate {
    /// A message that is nobody's matter any more.
    pub(super) fn over(id: MessageId, state: &'static str) -> Self {
        let id = id.to_string();
        let (of, to, reason, path) = (None, None, None, None);
        Self { id, of, to, state, reason, path, remote: None, elapsed_ms: None }
    }

    /// A message that was said to somebody, of which nothing but its state is known any more.
    fn known(to: &Name, id: MessageId, state: &'static str) -> Self {
        let (to, path, remote) = (Some(to.to_string()), Some("direct"), Some(None));
        Self { to, path, remote, elapsed_ms: Some(0), ..Self::over(id, state) }
    }

    fn queued(to: &Name, id: MessageId, reason: &'static str) -> Self {
        let (to, reason) = (Some(to.to_string()), Some(reason));
        Self { to, reason, ..Self::over(id, "queued") }
    }

    /// The same, of a message that is about another one.
    pub(super) fn about(self, of: MessageId) -> Self {
        Self { of: Some(of.to_string()), ..self }
    }
}

/// Queues a message and waits, if there is something to wait for, until it is delivered.
pub(super) async fn deliver(
    handle: &Handle,
    wait_ms: Option<u64>,
    queue: impl FnOnce(&mut Agent) -> Result<Queued, Fault> + Send + 'static,
) -> Result<Fate, Fault> {
    match wait_ms {
        Some(0) => queue_only(handle, queue).await,
        _ => Box::pin(see_delivered(handle, wait_ms, queue)).await,
    }
}

async fn see_delivered(
    handle: &Handle,
    wait_ms: Option<u64>,
    queue: impl FnOnce(&mut Agent) -> Result<Queued, Fault> + Send + 'static,
) -> Result<Fate, Fault> {
    let started = Instant::now();
    let mut notices = handle.notices();
    let Queued { to, id, done, hold } = handle.call(queue).await?;
    if let Some(state) = done {
        return Ok(Fate::known(&to, id, state));
    }
    let patience = wait_ms.map(Duration::from_millis);
    if hold == Some(Hold::Offline) && patience.is_none() {
        return Ok(Fate::queued(&to, id, "offline"));
    }
    let mut deadline = Instant::now() + patience.unwrap_or(WAIT);
    let outcome = loop {
        match outcome(&mut notices, &to, id, patience, &mut deadline).await {
            Outcome::Changed => {
                // Nothing was sent, and nothing will be behind the person's back. What was written to a
                // genuine path before is another matter: its receipt may still come.
                let name = to.clone();
                let taken_back =
                    move |agent: &mut Agent| Ok(agent.account()?.node.cancel(&name, id));
                if handle.call(taken_back).await? {
                    return Err(Fault::IdentityChanged { name: to.to_string() });
                }
            }
            Outcome::Missed => {
                let stored = handle.call(move |agent| sent(agent, id)).await?;
                match stored.map(|message| message.state) {
                    Some(State::Delivered | State::ReadByPeer) => {
                        return Ok(Fate::known(&to, id, "delivered"));
                    }
                    // However much else there is to be heard, waiting has an end.
                    Some(State::Queued) if Instant::now() < deadline => {}
                    _ => break Outcome::Waiting("timeout"),
                }
            }
            outcome => break outcome,
        }
    };
    match outcome {
        Outcome::Delivered(remote) => Ok(Fate {
            remote: Some(Some(remote)),
            elapsed_ms: Some(u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)),
            ..Fate::known(&to, id, "delivered")
        }),
        Outcome::Waiting(reason) => Ok(Fate::queued(&to, id, reason)),
        // The loop has taken these.
        Outcome::Changed | Outcome::Missed => Ok(Fate::queued(&to, id, "timeout")),
        Outcome::NoPath(reason) => {
            let (name, id) = (to.to_string(), Some(id.to_string()));
            Err(Fault::PeerUnreachable { name, reason, id })
        }
        Outcome::Locked => match handle.call(|agent| Ok(agent.absent())).await? {
            Fault::Locked { account, .. } => {
                Err(Fault::Locked { account, id: Some(id.to_string()) })
            }
            // It is unlocked again already, and the message waits.
            _ => Ok(Fate::queued(&to, id, "locked")),
        },
    }
}

/// Queues a message, and waits for nothing but the disk. Whoever sends many at once comes this way, so
/// nothing is listened to here.
async fn queue_only(
    handle: &Handle,
    queue: impl FnOnce(&mut Agent) -> Result<Queued, Fault> + Send + 'static,
) -> Result<Fate, Fault> {
    let queued_now = |agent: &mut Agent| {
        let message = queue(agent)?;
        let hold = agent.account()?.node.waiting_for(&message.to);
        Ok((message, hold))
    };
    let (Queued { to, id, done, .. }, hold) = handle.call(queued_now).await?;
    Ok(match (done, hold) {
        (Some(state), _) => Fate::known(&to, id, state),
        (None, Some(Hold::Offline)) => Fate::queued(&to, id, "offline"),
        (None, _) => Fate::queued(&to, id, "timeout"),
    })
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
    if let Some(ended) = account.ended {
        return Err(ended.fault());
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

/// What becomes of a message, as far as it is worth waiting for.
enum Outcome {
    Changed,
    Delivered(String),
    Locked,
    /// There was more to be heard than could be kept; the disk knows.
    Missed,
    NoPath(Reason),
    Waiting(&'static str),
}

async fn outcome(
    notices: &mut Receiver<Notice>,
    to: &Name,
    id: MessageId,
    patience: Option<Duration>,
    deadline: &mut Instant,
) -> Outcome {
    let (patient, patience) = (patience.is_some(), patience.unwrap_or(WAIT));
    loop {
        let notice = tokio::time::timeout_at((*deadline).into(), notices.recv()).await;
        let Ok(notice) = notice else {
            return Outcome::Waiting("timeout");
        };
        let event = match notice {
            Ok(Notice::Node(event)) => event,
            Ok(Notice::Online) => {
                *deadline = Instant::now() + patience;
                continue;
            }
            Ok(Notice::Received) => continue,
            Ok(Notice::Locked) => return Outcome::Locked,
            Err(RecvError::Lagged(_) | RecvError::Closed) => return Outcome::Missed,
        };
        match event {
            Event::Delivered(delivered, remote) if delivered == id => {
                return Outcome::Delivered(remote.to_string());
            }
            Event::IdentityChanged(name) if name == *to => return Outcome::Changed,
            Event::Held(name, hold) if name == *to => match hold {
                Hold::NoPath(why) => return Outcome::NoPath(Reason::from(why)),
                Hold::Offline if !patient => return Outcome::Waiting("offline"),
                // It is being connected to; if that takes long, there is no use in waiting.
                Hold::ServerGone if !patient => {
                    *deadline = Instant::now() + SERVER_WAIT;
                }
                Hold::Offline | Hold::ServerGone => {}
            },
            _ => {}
        }
    }
}
