//! `read` and `timer`: what holds for a conversation as a whole.

use serde::Deserialize;
use serde_json::json;

use super::Context;
use crate::cli::{After, Read, Timer};
use crate::fault::Fault;
use crate::text;
use crate::untrusted::Untrusted;

#[derive(Deserialize)]
struct Marked {
    name: Untrusted,
    read: u64,
}

#[derive(Deserialize)]
struct Set {
    name: Untrusted,
    seconds: Option<u32>,
}

pub(super) fn read(context: &Context, args: &Read) -> Result<(), Fault> {
    let params = json!({ "name": args.name, "up_to": args.up_to });
    let answer = context.agent()?.call("message.read", &params)?;
    if context.screen.json {
        return context.screen.object(&answer);
    }
    let Marked { name, read } = context.typed(answer)?;
    context.screen.done(&text::marked_read(&name, read))
}

pub(super) fn timer(context: &Context, args: &Timer) -> Result<(), Fault> {
    let mut params = json!({ "name": args.name });
    match args.after {
        None => {}
        Some(After::Never) => params["seconds"] = json!(null),
        Some(After::Seconds(seconds)) => params["seconds"] = json!(seconds),
    }
    let answer = context.agent()?.call("message.timer", &params)?;
    if context.screen.json {
        return context.screen.object(&answer);
    }
    let Set { name, seconds } = context.typed(answer)?;
    context.screen.print(&text::timer(&name, seconds))
}
