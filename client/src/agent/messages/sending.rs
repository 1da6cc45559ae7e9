//! Sending texts, and changing, signing and taking back what was sent.

use std::time::Duration;

use hither_proto::{
    id::MessageId,
    limits::{EMOJI_BYTES_MAX, TEXT_BYTES_MAX},
    message::{Body, Ref, Text},
    name::Name,
};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::{
    acquaintance, candidates, chosen,
    delivery::{Fate, Queued, deliver, enqueue, sent},
    from_store, message_id, no_message,
};
use crate::{
    agent::{
        agent::{Agent, Handle},
        people::resolve,
        store::{Message, State},
    },
    duration,
    fault::{Fault, Usage},
};

/// What to send.
#[derive(Deserialize)]
pub(in crate::agent) struct Send {
    to: String,
    text: String,
    id: Option<String>,
    reply_to: Option<String>,
    wait_ms: Option<u64>,
}

/// What to change.
#[derive(Deserialize)]
pub(in crate::agent) struct Edit {
    id: String,
    text: String,
    with: Option<String>,
    wait_ms: Option<u64>,
}

/// What to take back.
#[derive(Deserialize)]
pub(in crate::agent) struct Delete {
    id: String,
    with: Option<String>,
    #[serde(default)]
    here: bool,
    wait_ms: Option<u64>,
}

/// What to react to; without an emoji, my reaction is taken back.
#[derive(Deserialize)]
pub(in crate::agent) struct React {
    id: String,
    emoji: Option<String>,
    with: Option<String>,
    wait_ms: Option<u64>,
}

/// What not to send.
#[derive(Deserialize)]
pub(in crate::agent) struct Cancel {
    id: String,
}

/// Whose timer is meant, and what it is to be, if it is to change.
#[derive(Deserialize)]
pub(in crate::agent) struct Timer {
    name: String,
    #[serde(default, deserialize_with = "given")]
    seconds: Option<Option<u32>>,
}

/// Whom I am typing to.
#[derive(Deserialize)]
pub(in crate::agent) struct Typing {
    to: String,
    on: Option<bool>,
}

/// Sends a text.
pub(in crate::agent) async fn send(handle: &Handle, what: Send) -> Result<Fate, Fault> {
    let Send { to, text, id, reply_to, wait_ms } = what;
    fits(&text)?;
    let id = id.as_deref().map(message_id).transpose()?;
    let reply_to = reply_to.as_deref().map(message_id).transpose()?;
    deliver(handle, wait_ms, move |agent| {
        let to = resolve(agent.account()?, &to)?;
        let reply_to = reply_to.map(|id| answered(agent, id, &to)).transpose()?;
        let text = Text { text, reply_to, expires_after: None };
        match id.map(|id| before(agent, &to, id, &text)).transpose()?.flatten() {
            Some(queued) => Ok(queued),
            None => enqueue(agent, to, id, Body::Text(text)),
        }
    })
    .await
}

/// Gives a text of mine another wording.
pub(in crate::agent) async fn edit(handle: &Handle, what: Edit) -> Result<Fate, Fault> {
    let Edit { id, text, with, wait_ms } = what;
    fits(&text)?;
    let of = message_id(&id)?;
    let edited = deliver(handle, wait_ms, move |agent| {
        let message = my_text(agent, of, with.as_deref())?;
        if message.state == State::Cancelled {
            return Err(Fault::WasCancelled { id: of.to_string() });
        }
        enqueue(agent, message.with, None, Body::Edit { of, text })
    });
    Ok(edited.await?.about(of))
}

/// Takes a text of mine back, or removes any message from this machine.
pub(in crate::agent) async fn delete(handle: &Handle, what: Delete) -> Result<Fate, Fault> {
    let Delete { id, with, here, wait_ms } = what;
    let of = message_id(&id)?;
    if here {
        handle.call(move |agent| erase_here(agent, of, with.as_deref())).await?;
        return Ok(Fate::over(of, "deleted").about(of));
    }
    let name = with.clone();
    let unsent = handle.call(move |agent| {
        let message = my_text(agent, of, name.as_deref())?;
        let unsent = message.state == State::Cancelled || withdraw(agent, &message.with, of)?;
        Ok(unsent.then_some(message.seq))
    });
    if let Some(seq) = unsent.await? {
        handle.call(move |agent| erase(agent, seq)).await?;
        return Ok(Fate::over(of, "cancelled").about(of));
    }
    let deleted = deliver(handle, wait_ms, move |agent| {
        let message = my_text(agent, of, with.as_deref())?;
        enqueue(agent, message.with, None, Body::Delete { of })
    });
    Ok(deleted.await?.about(of))
}

/// Reacts to a message, or takes my reaction back.
pub(in crate::agent) async fn react(handle: &Handle, what: React) -> Result<Fate, Fault> {
    let React { id, emoji, with, wait_ms } = what;
    let of = message_id(&id)?;
    if emoji.as_ref().is_some_and(|emoji| !is_emoji(emoji)) {
        return Err(Fault::BadEmoji);
    }
    let signed = deliver(handle, wait_ms, move |agent| {
        let message = chosen(agent, of, with.as_deref())?;
        if !message.body.is_said() {
            return Err(Fault::NotText { id: of.to_string() });
        }
        if message.state == State::Cancelled {
            return Err(Fault::WasCancelled { id: of.to_string() });
        }
        let (of, emoji) = (Ref { id: of, own: message.mine }, emoji.unwrap_or_default());
        enqueue(agent, message.with, None, Body::Reaction { of, emoji })
    });
    Ok(signed.await?.about(of))
}

/// Keeps a message that waits from ever being sent.
pub(in crate::agent) async fn cancel(handle: &Handle, what: Cancel) -> Result<Value, Fault> {
    let id = message_id(&what.id)?;
    handle
        .call(move |agent| {
            let waiting = agent.account()?.node.queue().find(|(_, message, ..)| message.id == id);
            let waiting = waiting.map(|(to, message, ..)| (to.clone(), message.body.clone()));
            let cancelled = match waiting {
                Some((to, Body::Timer { .. })) => {
                    let cancelled = withdraw(agent, &to, id)?;
                    // What it took the place of is on the disk only.
                    agent.settle_early()?;
                    cancelled
                }
                Some((_, Body::Delete { of })) => {
                    return Err(Fault::DeleteStands { of: of.to_string() });
                }
                Some((to, _)) => withdraw(agent, &to, id)?,
                None => match candidates(agent, id, None)?.first() {
                    None => return Err(no_message(id)),
                    Some(message) if !message.mine => {
                        return Err(Fault::NotYours { id: id.to_string() });
                    }
                    Some(message) => message.state == State::Cancelled,
                },
            };
            match cancelled {
                true => Ok(json!({ "id": id.to_string(), "state": "cancelled" })),
                false => Err(Fault::WrittenAlready { id: id.to_string() }),
            }
        })
        .await
}

/// After how many seconds texts of a conversation disappear. Changes it first, if asked to.
pub(in crate::agent) async fn timer(handle: &Handle, what: Timer) -> Result<Value, Fault> {
    let Timer { name, seconds } = what;
    if seconds.flatten().is_some_and(|seconds| !is_timer(seconds)) {
        return Err(Fault::BadTimer);
    }
    handle
        .call(move |agent| {
            let name = acquaintance(agent, &name)?;
            if let Some(seconds) = seconds
                && agent.account()?.node.timer(&name) != seconds
            {
                enqueue(agent, name.clone(), None, Body::Timer { seconds })?;
            }
            let seconds = agent.account()?.node.timer(&name);
            Ok(json!({ "name": name.as_str(), "seconds": seconds }))
        })
        .await
}

/// Tells somebody that I am typing, or have stopped, if they are there.
pub(in crate::agent) async fn typing(handle: &Handle, what: Typing) -> Result<Value, Fault> {
    handle
        .call(move |agent| {
            let now = agent.now();
            let to = acquaintance(agent, &what.to)?;
            agent.account()?.node.typing(now, &to, what.on.unwrap_or(true));
            Ok(json!({}))
        })
        .await
}

/// Whether messages may disappear after so many seconds: those that the command line takes, too.
fn is_timer(seconds: u32) -> bool {
    seconds > 0 && Duration::from_secs(seconds.into()) <= duration::LONGEST
}

/// Whether this may pass for an emoji. Every one has a character beyond ASCII, even those made of digits.
fn is_emoji(text: &str) -> bool {
    let obeyed = |char: char| char.is_control() || char.is_whitespace();
    !text.is_ascii() && text.len() <= EMOJI_BYTES_MAX && !text.contains(obeyed)
}

/// Whether this may be said.
fn fits(text: &str) -> Result<(), Fault> {
    match text.len() {
        0 => Err(Usage::TextEmpty.into()),
        1..=TEXT_BYTES_MAX => Ok(()),
        _ => Err(Fault::TextTooLong),
    }
}

/// What a text answers.
fn answered(agent: &mut Agent, id: MessageId, with: &Name) -> Result<Ref, Fault> {
    let mut messages = candidates(agent, id, Some(with.as_str()))?;
    // Should both have used the id, people rather answer each other.
    let message = messages.pop().ok_or_else(|| no_message(id))?;
    Ok(Ref { id, own: message.mine })
}

/// What went out under this id before, which must be the same text. Of one that was worded anew the first
/// wording is not kept, and of one that is erased nothing, so these are taken to be.
fn before(
    agent: &mut Agent,
    to: &Name,
    id: MessageId,
    text: &Text,
) -> Result<Option<Queued>, Fault> {
    // What is queued may not be on disk yet.
    let queued = agent.account()?.node.queue().find(|(_, message, ..)| message.id == id);
    let queued = queued.map(|(with, message, ..)| (with.clone(), message.body.clone(), None));
    let stored = sent(agent, id)?;
    let reworded = |message: &Message| message.edited || message.state == State::Erased;
    let reworded = stored.as_ref().is_some_and(reworded);
    let known = match queued {
        Some(queued) => Some(queued),
        None => stored.and_then(|message| {
            let done = match message.state {
                // It was not sent, and is meant to be now.
                State::Queued | State::Cancelled => return None,
                State::Erased => "deleted",
                _ => "delivered",
            };
            Some((message.with, message.body, Some(done)))
        }),
    };
    let Some((with, body, done)) = known else { return Ok(None) };
    let same = |before: &Text| (&before.text, before.reply_to) == (&text.text, text.reply_to);
    if with != *to || !matches!(&body, Body::Text(before) if reworded || same(before)) {
        return Err(Fault::IdTaken);
    }
    let hold = agent.account()?.node.waiting_for(to);
    Ok(Some(Queued { to: to.clone(), id, done, hold }))
}

fn my_text(agent: &mut Agent, id: MessageId, with: Option<&str>) -> Result<Message, Fault> {
    let messages = candidates(agent, id, with)?;
    if messages.is_empty() {
        return Err(no_message(id));
    }
    let mine = messages.into_iter().find(|message| message.mine);
    let mine = mine.ok_or_else(|| Fault::NotYours { id: id.to_string() })?;
    match mine.body {
        Body::Text(_) => Ok(mine),
        _ => Err(Fault::NotText { id: id.to_string() }),
    }
}

/// Takes a message out of the queue, and with it what was queued about it. False if it may have arrived.
fn withdraw(agent: &mut Agent, to: &Name, id: MessageId) -> Result<bool, Fault> {
    let node = &mut agent.account()?.node;
    if !node.cancel(to, id) {
        return Ok(false);
    }
    let about = |body: &Body| match body {
        Body::Edit { of, .. } | Body::Delete { of } => *of == id,
        Body::Reaction { of, .. } => *of == Ref { id, own: true },
        _ => false,
    };
    let queue = node.queue().filter(|(with, message, ..)| *with == to && about(&message.body));
    let orphans: Vec<MessageId> = queue.map(|(_, message, ..)| message.id).collect();
    for orphan in orphans {
        node.cancel(to, orphan);
    }
    Ok(true)
}

fn erase_here(agent: &mut Agent, id: MessageId, with: Option<&str>) -> Result<(), Fault> {
    let message = chosen(agent, id, with)?;
    if message.state == State::Queued {
        // Without its row it would not outlive the agent, and nobody would know whether it went out.
        return Err(Fault::Waiting { id: id.to_string() });
    }
    erase(agent, message.seq)
}

fn erase(agent: &mut Agent, seq: u64) -> Result<(), Fault> {
    from_store(agent, |account| account.store.erase(&[seq])).map(|_| ())
}

/// Tells a member that is `null` from one that is not there.
fn given<'de, D: Deserializer<'de>>(member: D) -> Result<Option<Option<u32>>, D::Error> {
    Option::deserialize(member).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_says_something_and_has_an_end() {
        assert_eq!(fits(""), Err(Usage::TextEmpty.into()));
        assert_eq!(fits(&"x".repeat(TEXT_BYTES_MAX)), Ok(()));
        assert_eq!(fits(&"x".repeat(TEXT_BYTES_MAX + 1)), Err(Fault::TextTooLong));
    }

    #[test]
    fn a_timer_asked_for_by_a_program_has_the_bounds_of_one_that_is_typed() {
        for (seconds, typed) in [(0, "0s"), (1, "1s"), (2_592_000, "720h"), (2_592_001, "2592001s")]
        {
            let typed = duration::parse(typed).is_ok_and(|span| !span.is_zero());
            assert_eq!(is_timer(seconds), typed, "{seconds}");
        }
        assert!(!is_timer(u32::MAX));
    }

    #[test]
    fn a_word_is_no_emoji() {
        let emoji = ["👍", "👩‍🚀", "1️⃣", "🗼🗼🗼", "❤️"];
        let others = ["", "x", "+1", "hello", "👍 👍", "👍\n", "\u{1b}[31m👍", &"👍".repeat(17)];
        assert!(emoji.iter().all(|text| is_emoji(text)));
        assert!(others.iter().all(|text| !is_emoji(text)));
    }
}
