//! Sending, receiving and listing texts, on behalf of a command.

use std::time::{Duration, Instant};

use hither_proto::{
    id::MessageId,
    limits::TEXT_BYTES_MAX,
    name::Name,
    node::{Event, Hold, NoPath, Refused},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::{
    agent::{Agent, Handle, Notice, unix_now},
    json,
    people::{refused, resolve},
    rpc::Peer,
    store::{Message, State, StoreError},
};
use crate::fault::{Fault, Reason};

/// How long `send` waits for somebody who is there.
const WAIT: Duration = Duration::from_secs(10);

/// How long `send` waits for a server that is not there.
const SERVER_WAIT: Duration = Duration::from_secs(3);

/// How many texts are read at once.
const PAGE: usize = 64;

/// What to send.
#[derive(Deserialize)]
pub(super) struct Send {
    to: String,
    text: String,
    id: Option<String>,
    wait_ms: Option<u64>,
}

/// What to list.
#[derive(Deserialize)]
pub(super) struct List {
    with: Option<String>,
    limit: Option<usize>,
}

/// What to receive.
#[derive(Deserialize)]
pub(super) struct Receive {
    from: Option<String>,
    max: Option<usize>,
    since: Option<String>,
}

/// Queues a text and waits, if there is something to wait for, until it is delivered.
pub(super) async fn send(handle: &Handle, what: Send) -> Result<Value, Fault> {
    let started = Instant::now();
    let mut notices = handle.notices();
    let Send { to, text, id, wait_ms } = what;
    if text.len() > TEXT_BYTES_MAX {
        return Err(Fault::TextTooLong);
    }
    let id = id.map(|id| id.parse::<MessageId>()).transpose().map_err(|_| Fault::BadId)?;
    let queued = handle.call(move |agent| queue_text(agent, &to, id, text)).await?;
    let Queued { to, id, done } = queued;
    if let Some(state) = done {
        return Ok(known(id, state));
    }
    let patience = wait_ms.map(Duration::from_millis);
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
    let queued = |reason| json!({ "id": id.to_string(), "state": "queued", "reason": reason });
    match outcome {
        Outcome::Delivered(remote) => Ok(json!({
            "id": id.to_string(),
            "state": "delivered",
            "path": "direct",
            "remote": remote,
            "elapsed_ms": u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        })),
        Outcome::Waiting(reason) => Ok(queued(reason)),
        Outcome::NoPath(reason) => {
            let (name, id) = (to.to_string(), Some(id.to_string()));
            Err(Fault::PeerUnreachable { name, reason, id })
        }
        // Some notices were missed; the disk knows.
        Outcome::Unknown | Outcome::Changed => {
            let stored = handle.call(move |agent| sent(agent, id)).await?;
            let delivered = stored.is_some_and(|message| message.state == State::Delivered);
            Ok(known(id, if delivered { "delivered" } else { "queued" }))
        }
    }
}

/// The state of a text of which nothing but that is known any more.
fn known(id: MessageId, state: &str) -> Value {
    let path = "direct";
    json!({ "id": id.to_string(), "state": state, "path": path, "remote": null, "elapsed_ms": 0 })
}

/// The newest messages.
pub(super) async fn list(handle: &Handle, what: List) -> Result<Value, Fault> {
    handle
        .call(move |agent| {
            let with = what.with.map(|with| resolve(agent.account()?, &with)).transpose()?;
            let limit = what.limit.unwrap_or(usize::MAX);
            let messages = reading(agent, |account| account.store.history(with.as_ref(), limit))?;
            Ok(json!({ "messages": messages.iter().map(json::message).collect::<Vec<_>>() }))
        })
        .await
}

/// What waits to be delivered.
pub(super) async fn queue(handle: &Handle) -> Result<Value, Fault> {
    handle
        .call(|agent| {
            let queue = agent.account()?.node.queue().map(|(to, text, attempts, sent)| {
                json!({
                    "id": text.id.to_string(),
                    "to": to.as_str(),
                    "text": text.text,
                    "queued_at": json::time(text.sent_at),
                    "attempts": attempts,
                    "state": if sent { "sent" } else { "queued" },
                })
            });
            Ok(json!({ "queue": queue.collect::<Vec<_>>() }))
        })
        .await
}

/// What is unread, or everything after a cursor; it is read now.
pub(super) async fn unread(handle: &Handle, what: Receive) -> Result<Value, Fault> {
    let since = what.since.as_deref().map(cursor).transpose()?;
    let messages = handle
        .call(move |agent| {
            let from = what.from.map(|from| resolve(agent.account()?, &from)).transpose()?;
            let max = what.max.unwrap_or(PAGE);
            let messages =
                reading(agent, |account| account.store.received(from.as_ref(), since, max))?;
            mark_read(agent, &messages)?;
            Ok(messages)
        })
        .await?;
    Ok(json!({ "messages": messages.iter().map(json::received).collect::<Vec<_>>() }))
}

/// Tells what is unread, or everything after a cursor, and then whatever comes, until `max` or until
/// nobody listens.
pub(super) async fn subscribe(handle: &Handle, peer: &Peer, what: Receive) -> Result<Value, Fault> {
    let since = what.since.as_deref().map(cursor).transpose()?;
    let mut notices = handle.notices();
    let from = match what.from {
        Some(from) => Some(handle.call(move |agent| resolve(agent.account()?, &from)).await?),
        None => handle.call(|agent| agent.account().map(|_| None)).await?,
    };
    let (handle, mut peer) = (handle.clone(), peer.clone());
    tokio::spawn(async move {
        let mut since = since;
        let mut left = what.max.unwrap_or(usize::MAX);
        while left > 0 {
            let (name, page) = (from.clone(), left.min(PAGE));
            let next = handle.call(move |agent| {
                reading(agent, |account| account.store.received(name.as_ref(), since, page))
            });
            let Ok(mut messages) = next.await else { return };
            let mut written = 0;
            for message in &messages {
                let mut event = json::received(message);
                event["kind"] = json!("message.received");
                if !peer.event(&event).await {
                    break;
                }
                written += 1;
                // Without a cursor it is the unread ones that count.
                since = since.map(|_| message.seq);
            }
            let all = written == messages.len();
            messages.truncate(written);
            left -= written;
            let nothing = messages.is_empty();
            // Read is what was written, and no sooner.
            let marked = handle.call(move |agent| mark_read(agent, &messages)).await;
            if !all || marked.is_err() {
                return;
            }
            if nothing {
                tokio::select! {
                    () = peer.ended() => return,
                    more = received(&mut notices) => if !more { return },
                }
            }
        }
    });
    Ok(json!({}))
}

/// A text that was queued, now or before.
struct Queued {
    to: Name,
    id: MessageId,
    /// Its state, if there is nothing to wait for.
    done: Option<&'static str>,
}

fn queue_text(
    agent: &mut Agent,
    to: &str,
    id: Option<MessageId>,
    text: String,
) -> Result<Queued, Fault> {
    let now = agent.now();
    let to = resolve(agent.account()?, to)?;
    if let Some(id) = id {
        // What is queued may not be on disk yet.
        let queued = agent.account()?.node.queue().find(|(_, text, ..)| text.id == id);
        let queued = queued.map(|(with, text, ..)| (with.clone(), text.text.clone(), None));
        let known = match queued {
            Some(queued) => Some(queued),
            None => sent(agent, id)?.and_then(|message| match message.state {
                State::Delivered => Some((message.with, message.text, Some("delivered"))),
                // It was not sent, and is meant to be now.
                _ => None,
            }),
        };
        if let Some((with, before, done)) = known {
            let same = with == to && before == text;
            return if same { Ok(Queued { to, id, done }) } else { Err(Fault::IdTaken) };
        }
    }
    let account = agent.account()?;
    let id = account.node.send(now, unix_now(), &to, id, text).map_err(|why| match why {
        Refused::Full => Fault::QueueFull { name: to.to_string() },
        why => refused(why, &to),
    })?;
    Ok(Queued { to, id, done: None })
}

fn sent(agent: &mut Agent, id: MessageId) -> Result<Option<Message>, Fault> {
    reading(agent, |account| account.store.sent(id))
}

/// Has texts marked as read, together with whatever else is written down next.
fn mark_read(agent: &mut Agent, messages: &[Message]) -> Result<(), Fault> {
    let unread = messages.iter().filter(|message| message.state == State::Unread);
    agent.account()?.read.extend(unread.map(|message| message.seq));
    Ok(())
}

fn reading<T>(
    agent: &mut Agent,
    read: impl FnOnce(&mut super::account::Account) -> Result<T, StoreError>,
) -> Result<T, Fault> {
    let log = agent.profile.log();
    let account = agent.account()?;
    read(account).map_err(|error| error.fault(account.store.path(), &log))
}

/// What becomes of a text, as far as it is worth waiting for.
enum Outcome {
    Changed,
    Delivered(String),
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
            Ok(_) => continue,
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

/// Waits until something may have come; false if nothing ever will.
async fn received(notices: &mut Receiver<Notice>) -> bool {
    loop {
        match notices.recv().await {
            Ok(Notice::Received) | Err(RecvError::Lagged(_)) => return true,
            Ok(Notice::Node(_) | Notice::Online) => {}
            Err(RecvError::Closed) => return false,
        }
    }
}

fn cursor(text: &str) -> Result<u64, Fault> {
    let cursor = text.parse().ok().filter(|cursor| i64::try_from(*cursor).is_ok());
    cursor.ok_or(Fault::BadCursor)
}
