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
    store::{Message, State, StoreError, Which},
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

/// What has been read.
#[derive(Deserialize)]
pub(super) struct MarkRead {
    cursors: Vec<String>,
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
    let Queued { to, id, done, hold } = queued;
    if let Some(state) = done {
        return Ok(known(id, state));
    }
    let patience = wait_ms.map(Duration::from_millis);
    if hold == Some(Hold::Offline) && patience.is_none() {
        return Ok(json!({ "id": id.to_string(), "state": "queued", "reason": "offline" }));
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

/// What is unread, or everything after a cursor. Reading it is said with [`mark_read`].
pub(super) async fn unread(handle: &Handle, what: Receive) -> Result<Value, Fault> {
    let which = which(what.since.as_deref())?;
    let messages = handle
        .call(move |agent| {
            let from = what.from.map(|from| sender(agent, &from)).transpose()?;
            let max = what.max.unwrap_or(PAGE);
            reading(agent, |account| account.store.received(from.as_ref(), which, max))
        })
        .await?;
    Ok(json!({ "messages": messages.iter().map(json::received).collect::<Vec<_>>() }))
}

/// Notes that texts have been read, by their cursors.
pub(super) async fn mark_read(handle: &Handle, what: MarkRead) -> Result<Value, Fault> {
    let cursors = what.cursors.iter().map(|text| cursor(text)).collect::<Result<Vec<_>, _>>()?;
    handle
        .call(move |agent| {
            agent.account()?.read.extend(cursors);
            Ok(json!({}))
        })
        .await
}

/// Tells what is unread, or everything after a cursor, and then whatever comes, until `max` or until
/// nobody listens. Each subscription hears everything once.
pub(super) async fn subscribe(handle: &Handle, peer: &Peer, what: Receive) -> Result<Value, Fault> {
    let mut which = which(what.since.as_deref())?;
    let notices = handle.notices();
    // Whatever comes from here on is new, however it is read elsewhere in the meantime.
    let (from, newest) = handle
        .call(move |agent| {
            let from = what.from.map(|from| sender(agent, &from)).transpose()?;
            Ok((from, reading(agent, |account| account.store.newest())?))
        })
        .await?;
    let (handle, mut peer, mut notices) = (handle.clone(), peer.clone(), notices);
    tokio::spawn(async move {
        let mut left = what.max.unwrap_or(usize::MAX);
        while left > 0 {
            let (name, page) = (from.clone(), left.min(PAGE));
            let next = handle.call(move |agent| {
                reading(agent, |account| account.store.received(name.as_ref(), which, page))
            });
            let Ok(messages) = next.await else { return };
            for message in &messages {
                let mut event = json::received(message);
                event["kind"] = json!("message.received");
                if !peer.event(&event).await {
                    return;
                }
                which = which.after(message.seq);
            }
            left -= messages.len();
            if !messages.is_empty() {
                continue;
            }
            if matches!(which, Which::Unread { .. }) {
                which = Which::All { after: newest.max(which.cursor()) };
                continue;
            }
            tokio::select! {
                () = peer.ended() => return,
                more = received(&mut notices) => if !more { return },
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
    /// Why it waits, if it was queued before and nothing will say so anew.
    hold: Option<Hold>,
}

fn queue_text(
    agent: &mut Agent,
    to: &str,
    id: Option<MessageId>,
    text: String,
) -> Result<Queued, Fault> {
    let now = agent.now();
    if agent.account()?.ended {
        return Err(Fault::TakenOver);
    }
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
            if with != to || before != text {
                return Err(Fault::IdTaken);
            }
            let hold = agent.account()?.node.waiting_for(&to);
            return Ok(Queued { to, id, done, hold });
        }
    }
    let account = agent.account()?;
    let sent = account.node.send(now, unix_now(), &to, id, text);
    let id = sent.map_err(|why| match why {
        Refused::Full => Fault::QueueFull { name: to.to_string() },
        why => refused(why, &to, account),
    })?;
    Ok(Queued { to, id, done: None, hold: None })
}

fn sent(agent: &mut Agent, id: MessageId) -> Result<Option<Message>, Fault> {
    reading(agent, |account| account.store.sent(id))
}

/// Which texts `since` asks for.
fn which(since: Option<&str>) -> Result<Which, Fault> {
    let since = since.map(cursor).transpose()?;
    Ok(since.map_or(Which::Unread { after: 0 }, |after| Which::All { after }))
}

/// Whom texts are wanted from: somebody we know, or once knew.
fn sender(agent: &mut Agent, from: &str) -> Result<Name, Fault> {
    let from = resolve(agent.account()?, from)?;
    let known = agent.account()?.node.contact(&from).is_some();
    if known || !reading(agent, |account| account.store.history(Some(&from), 1))?.is_empty() {
        Ok(from)
    } else {
        Err(Fault::NoContact { name: from.to_string() })
    }
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
            Ok(Notice::Online) => {
                deadline = Instant::now() + patience;
                continue;
            }
            Ok(Notice::Received) => continue,
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
