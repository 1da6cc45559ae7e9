//! `list`: contacts, messages, and what waits to be sent.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Context, conversation};
use crate::cli::Listed;
use crate::clock::Clock;
use crate::fault::Fault;
use crate::text;
use crate::untrusted::Untrusted;

#[derive(Deserialize)]
struct Contact {
    name: Untrusted,
    online: bool,
    verified: bool,
    unread: u64,
    #[serde(default)]
    state: String,
}

#[derive(Deserialize)]
struct Waiting {
    id: String,
    to: Untrusted,
    kind: String,
    text: Option<Untrusted>,
    emoji: Option<Untrusted>,
    of: Option<String>,
    queued_at: String,
    attempts: u64,
}

pub(super) fn run(context: &Context, what: Option<Listed>) -> Result<(), Fault> {
    let what = what.unwrap_or(Listed::Contacts);
    let method = match &what {
        Listed::Contacts => "contact.list",
        Listed::Queue => "message.queue",
        Listed::Messages { with, limit } => {
            return conversation::list(context, with.as_deref(), *limit);
        }
    };
    let answer = context.agent()?.call(method, &json!({}))?;
    match what {
        _ if context.screen.json => context.screen.object(&answer),
        Listed::Queue => queue(context, answer),
        _ => contacts(context, answer),
    }
}

fn contacts(context: &Context, mut answer: Value) -> Result<(), Fault> {
    let contacts: Vec<Contact> = context.typed(answer["contacts"].take())?;
    if contacts.is_empty() {
        context.screen.done(&text::NOBODY_YET)?;
        context.screen.next("hither contact add NAME");
    }
    let names: Vec<String> = contacts.iter().map(|contact| contact.name.to_string()).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or_default();
    for (contact, name) in contacts.iter().zip(&names) {
        let dot = if contact.online { "●" } else { "○" };
        let remark = remarks(contact, name).join(", ");
        let line = format!("{dot} {name:<width$}  {}", context.screen.with_flags(&remark));
        context.screen.print(&line.trim_end())?;
    }
    Ok(())
}

fn remarks(contact: &Contact, name: &str) -> Vec<String> {
    let mut remarks = vec![if contact.online { "online" } else { "offline" }.to_owned()];
    if let Some(state) = text::contact_state(&contact.state, &name) {
        // Nobody knows whether somebody is online who has not agreed to be seen.
        remarks = vec![state];
    }
    if contact.verified {
        remarks.push("verified".into());
    }
    if contact.unread > 0 {
        remarks.push(format!("{} unread", contact.unread));
    }
    remarks
}

fn queue(context: &Context, mut answer: Value) -> Result<(), Fault> {
    const EXCERPT: usize = 40;
    let queue: Vec<Waiting> = context.typed(answer["queue"].take())?;
    if queue.is_empty() {
        return context.screen.done(&text::QUEUE_EMPTY);
    }
    let clock = Clock::local();
    for waiting in &queue {
        let Waiting { id, to, attempts, of, .. } = waiting;
        let at = clock.show(&waiting.queued_at);
        let text = waiting.text.as_ref().or(waiting.emoji.as_ref());
        let text = text.map(|text| text.excerpt(EXCERPT)).unwrap_or_default();
        let text = match (waiting.kind.as_str(), of) {
            ("text", _) => text,
            (kind, Some(of)) if text.is_empty() => format!("[{kind} of {of}]"),
            (kind, Some(of)) => format!("[{kind} of {of}] {text}"),
            (kind, None) => format!("[{kind}]"),
        };
        context.screen.print(&format!("{at} to {to}: {text}  ({attempts} attempts, id {id})"))?;
    }
    Ok(())
}
