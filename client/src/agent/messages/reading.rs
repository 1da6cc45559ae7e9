//! Listing, finding and reading messages, and saying what was read.

use std::collections::HashSet;

use hither_proto::{id::MessageId, limits::READ_IDS_MAX, message::Body, name::Name};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{acquaintance, from_store, message_id, no_message};
use crate::{
    agent::{
        agent::{Agent, Handle, unix_now},
        json,
        store::{Message, State, Which},
    },
    fault::Fault,
};

/// How many messages are read at once.
pub(super) const PAGE: usize = 64;

/// How many messages one answer holds at most. Whoever wants more asks again.
const ANSWER_MAX: usize = 500;

/// How many messages one search finds at most. There is no second page of it.
const FOUND_MAX: usize = 1_000;

/// What to list.
#[derive(Deserialize)]
pub(in crate::agent) struct List {
    with: Option<String>,
    /// A message, or the cursor of one; only older ones are wanted.
    before: Option<String>,
    limit: Option<usize>,
}

/// What to find.
#[derive(Deserialize)]
pub(in crate::agent) struct Search {
    text: String,
    with: Option<String>,
    limit: Option<usize>,
}

/// What to receive.
#[derive(Deserialize)]
pub(in crate::agent) struct Receive {
    from: Option<String>,
    max: Option<usize>,
    since: Option<String>,
}

/// What has been read, by cursors.
#[derive(Deserialize)]
pub(in crate::agent) struct MarkRead {
    cursors: Vec<String>,
}

/// What has been read, by a name.
#[derive(Deserialize)]
pub(in crate::agent) struct Read {
    name: String,
    up_to: Option<String>,
}

/// The newest messages, of those before another if one is given, oldest first.
pub(in crate::agent) async fn list(handle: &Handle, what: List) -> Result<Value, Fault> {
    handle
        .call(move |agent| {
            let with = what.with.map(|with| acquaintance(agent, &with)).transpose()?;
            let before = what.before.map(|before| place(agent, &before, with.as_ref()));
            let before = before.transpose()?;
            let limit = what.limit.unwrap_or(ANSWER_MAX).min(ANSWER_MAX);
            let history = from_store(agent, |own| own.store.history(with.as_ref(), before, limit))?;
            shown(agent, &history)
        })
        .await
}

/// The newest messages that hold all of these words, newest first.
pub(in crate::agent) async fn search(handle: &Handle, what: Search) -> Result<Value, Fault> {
    handle
        .call(move |agent| {
            let with = what.with.map(|with| acquaintance(agent, &with)).transpose()?;
            let limit = what.limit.unwrap_or(ANSWER_MAX).min(FOUND_MAX);
            let found =
                from_store(agent, |own| own.store.search(&what.text, with.as_ref(), limit))?;
            shown(agent, &found)
        })
        .await
}

/// What waits to be delivered.
pub(in crate::agent) async fn queue(handle: &Handle) -> Result<Value, Fault> {
    handle
        .call(|agent| {
            let queue = agent.account()?.waiting();
            let queue = queue
                .map(|(to, message, attempts, sent)| json::queued(to, message, attempts, sent));
            Ok(json!({ "queue": queue.collect::<Vec<_>>() }))
        })
        .await
}

/// What is unread, or everything after a cursor. Reading it is said with [`mark_read`].
pub(in crate::agent) async fn unread(handle: &Handle, what: Receive) -> Result<Value, Fault> {
    let mut which = which(what.since.as_deref())?;
    let messages = handle
        .call(move |agent| {
            let from = what.from.map(|from| acquaintance(agent, &from)).transpose()?;
            let max = what.max.unwrap_or(PAGE).min(ANSWER_MAX);
            let mut wanted = Vec::new();
            while wanted.len() < max {
                let limit = max - wanted.len();
                let page =
                    from_store(agent, |own| own.store.received(from.as_ref(), which, limit))?;
                let Some(last) = page.last() else { break };
                which = which.after(last.seq);
                wanted.extend(page.into_iter().filter(is_said));
            }
            Ok(wanted)
        })
        .await?;
    Ok(json!({ "messages": messages.iter().map(json::received).collect::<Vec<_>>() }))
}

/// Notes that messages have been read, by their cursors.
pub(in crate::agent) async fn mark_read(handle: &Handle, what: MarkRead) -> Result<Value, Fault> {
    let cursors = what.cursors.iter().map(|text| cursor(text)).collect::<Result<Vec<_>, _>>()?;
    handle
        .call(move |agent| {
            let mut read = Vec::new();
            for cursor in cursors {
                let which = Which::Unread { after: cursor.saturating_sub(1) };
                let next = from_store(agent, |account| account.store.received(None, which, 1))?;
                read.extend(next.into_iter().filter(|message| message.seq == cursor));
            }
            note_read(agent, &read)?;
            Ok(json!({}))
        })
        .await
}

/// Notes that messages of somebody have been read, all of them or those up to one.
pub(in crate::agent) async fn read(handle: &Handle, what: Read) -> Result<Value, Fault> {
    let up_to = what.up_to.as_deref().map(message_id).transpose()?;
    handle
        .call(move |agent| {
            let name = acquaintance(agent, &what.name)?;
            if let Some(id) = up_to {
                seq(agent, id, Some(&name))?;
            }
            let unread = from_store(agent, |account| account.store.unread_of(&name, up_to))?;
            note_read(agent, &unread)?;
            Ok(json!({ "name": name.as_str(), "read": unread.len() }))
        })
        .await
}

/// Whether this is something said, and not about something said.
pub(super) fn is_said(message: &Message) -> bool {
    message.body.is_said() && message.state != State::Erased
}

/// Which messages `since` asks for.
pub(super) fn which(since: Option<&str>) -> Result<Which, Fault> {
    let since = since.map(cursor).transpose()?;
    Ok(since.map_or(Which::Unread { after: 0 }, |after| Which::All { after }))
}

/// Marks messages as read, and tells those who wrote them, if they are to know.
fn note_read(agent: &mut Agent, messages: &[Message]) -> Result<(), Fault> {
    let (now, receipts) = (agent.now(), agent.config.read_receipts);
    let account = agent.account()?;
    let mut receipt_for: Vec<(&Name, Vec<MessageId>)> = Vec::new();
    let noted: HashSet<u64> = account.read.iter().copied().collect();
    for message in messages.iter().filter(|message| !noted.contains(&message.seq)) {
        account.read.push(message.seq);
        match receipt_for.iter_mut().find(|(name, _)| **name == message.with) {
            Some((_, ids)) => ids.push(message.id),
            None => receipt_for.push((&message.with, vec![message.id])),
        }
    }
    for (name, ids) in receipt_for.iter().filter(|_| receipts && account.ended.is_none()) {
        for ids in ids.chunks(READ_IDS_MAX) {
            let receipt = Body::Read { ids: ids.to_vec() };
            // Whoever is blocked or gone is not told, and what was read is read all the same.
            let _ = account.node.send(now, unix_now(), name, None, receipt);
        }
    }
    Ok(())
}

fn shown(agent: &mut Agent, messages: &[Message]) -> Result<Value, Fault> {
    let account = agent.account()?;
    let waits = messages.iter().any(|message| message.state == State::Queued);
    let queue = account.node.queue().filter(|(.., sent)| waits && *sent);
    let sent: HashSet<MessageId> = queue.map(|(_, message, ..)| message.id).collect();
    let me = account.node.name();
    let messages = messages.iter().map(|message| {
        let sent = message.mine && sent.contains(&message.id);
        json::message(me, message, sent)
    });
    Ok(json!({ "messages": messages.collect::<Vec<_>>() }))
}

/// The cursor of a message that is named by its id or by its cursor.
fn place(agent: &mut Agent, text: &str, with: Option<&Name>) -> Result<u64, Fault> {
    match text.parse() {
        Ok(id) => seq(agent, id, with),
        Err(_) => cursor(text).map_err(|_| Fault::BadId),
    }
}

/// The cursor of a message. One that is deleted still has its place.
fn seq(agent: &mut Agent, id: MessageId, with: Option<&Name>) -> Result<u64, Fault> {
    let messages = from_store(agent, |account| account.store.message(id))?;
    let here = messages.iter().filter(|message| with.is_none_or(|with| message.with == *with));
    here.map(|message| message.seq).max().ok_or_else(|| no_message(id))
}

fn cursor(text: &str) -> Result<u64, Fault> {
    let cursor = text.parse().ok().filter(|cursor| i64::try_from(*cursor).is_ok());
    cursor.ok_or(Fault::BadCursor)
}
