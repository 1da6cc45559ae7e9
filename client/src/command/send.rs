//! `send`, `edit`, `delete`, `react` and `cancel`: something said to one contact, and the truth about what
//! became of it.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Context, compose};
use crate::cli::{Cancel, Delete, Edit, Patience, React, Send};
use crate::fault::Fault;
use crate::rpc::PATIENCE;
use crate::text;

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
