//! `send`, `edit`, `delete`, `react` and `cancel`: something said to one contact, and the truth about what
//! became of it.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hither_proto::crypto::{rng::Rng, secret::Secret};
use hither_proto::id::MessageId;
use hither_proto::time::UnixTime;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Context, compose};
use crate::cli::{Cancel, Delete, Edit, Patience, React, Send};
use crate::fault::Fault;
use crate::interrupt;
use crate::paths::Profile;
use crate::rpc::{Agent, PATIENCE};
use crate::text;

/// How long somebody who leaves waits to be told what becomes of their message.
const LAST_QUESTION: Duration = Duration::from_secs(2);

#[derive(Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum Sent {
    Delivered {
        to: String,
        path: String,
        remote: Option<String>,
        elapsed_ms: u64,
    },
    Queued {
        to: String,
        id: String,
        reason: Option<String>,
    },
    /// It was never sent, and never will be.
    Cancelled,
    /// It is gone from this machine.
    Deleted,
}

pub(super) fn send(context: &Context, args: Send) -> Result<(), Fault> {
    let Send { name, text, wait, queue_ok, id, reply_to } = args;
    let text = compose::text(text)?;
    let waits = wait.is_none_or(|wait| !wait.is_zero());
    let id = match id {
        None if waits => fresh_id(),
        id => id,
    };
    if let Some(id) = id.clone().filter(|_| waits) {
        tell_if_interrupted(context, id)?;
    }
    let params = json!({ "to": name, "text": text, "id": id, "reply_to": reply_to });
    say(context, "message.send", params, &Patience { wait, queue_ok })
}

pub(super) fn edit(context: &Context, args: Edit) -> Result<(), Fault> {
    let text = compose::text(args.text)?;
    let params = json!({ "id": args.id, "text": text, "with": args.with });
    say(context, "message.edit", params, &args.patience)
}

pub(super) fn delete(context: &Context, args: &Delete) -> Result<(), Fault> {
    let params = json!({ "id": args.id, "here": args.here, "with": args.with });
    say(context, "message.delete", params, &args.patience)
}

pub(super) fn react(context: &Context, args: &React) -> Result<(), Fault> {
    let params = json!({ "id": args.id, "emoji": args.emoji, "with": args.with });
    say(context, "message.react", params, &args.patience)
}

pub(super) fn cancel(context: &Context, args: &Cancel) -> Result<(), Fault> {
    let answer = context.agent()?.call("message.cancel", &json!({ "id": args.id }))?;
    match context.screen.json {
        true => context.screen.object(&answer),
        false => context.screen.done(&text::CANCELLED),
    }
}

/// Chosen here, so that it is known before the answer comes. Without randomness the agent chooses.
fn fresh_id() -> Option<String> {
    let mut seed = [0; 32];
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = UnixTime::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
    getrandom::fill(&mut seed).ok()?;
    Some(MessageId::generate(now, &mut Rng::from_seed(Secret::new(seed))).to_string())
}

/// Whoever stops waiting learns under which id the message goes on, if it does.
fn tell_if_interrupted(context: &Context, id: String) -> Result<(), Fault> {
    let (profile, screen) = (context.profile.clone(), context.screen.clone());
    let last_words = move || {
        let (answer, answered) = mpsc::channel();
        let wanted = id.clone();
        // An agent that does not answer keeps nobody from leaving.
        thread::spawn(move || answer.send(waits_to_be_sent(&profile, &wanted)));
        let queued = answered.recv_timeout(LAST_QUESTION).unwrap_or(false);
        screen.fail(&Fault::WaitInterrupted { id, queued });
    };
    interrupt::watch(last_words).map_err(|error| Fault::file(context.profile.socket(), &error))
}

fn waits_to_be_sent(profile: &Profile, id: &str) -> bool {
    let Ok(Some(mut agent)) = Agent::connect(profile) else { return false };
    let answer = agent.call("message.queue", &json!({})).unwrap_or_default();
    let mut queue = answer["queue"].as_array().into_iter().flatten();
    queue.any(|waiting| waiting["id"] == id)
}

/// Asks for something that the other side has to learn of, and says whether it has.
fn say(
    context: &Context,
    method: &str,
    mut params: Value,
    patience: &Patience,
) -> Result<(), Fault> {
    let wait = patience.wait.unwrap_or_default();
    params["wait_ms"] = json!(patience.wait.map(|wait| wait.as_millis()));
    let answer = context.agent()?.call_patiently(method, &params, PATIENCE + wait)?;
    let screen = context.screen;
    match context.typed(answer.clone())? {
        Sent::Queued { to, id, reason } if !patience.queue_ok => {
            Err(Fault::Queued { name: to, reason, id })
        }
        _ if screen.json => screen.object(&answer),
        Sent::Queued { to, .. } => screen.done(&text::queued(&to)),
        Sent::Delivered { to, path, remote, elapsed_ms } => {
            screen.done(&text::delivered(&to, elapsed_ms, &path, remote.as_deref()))
        }
        Sent::Cancelled => screen.done(&text::CANCELLED),
        Sent::Deleted => screen.done(&text::DELETED_HERE),
    }
}
