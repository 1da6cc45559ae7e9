//! `list`: contacts, messages, and what waits to be sent.

use serde::Deserialize;
use serde_json::{Value, json};

use super::Context;
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
struct Message {
    with: Untrusted,
    direction: String,
    text: Untrusted,
    sent_at: String,
    state: String,
}

#[derive(Deserialize)]
struct Waiting {
    id: String,
    to: Untrusted,
    text: Untrusted,
    queued_at: String,
    attempts: u64,
}

pub(super) fn run(context: &Context, what: Option<Listed>) -> Result<(), Fault> {
    let what = what.unwrap_or(Listed::Contacts);
    let mut agent = context.agent()?;
    let answer = match &what {
        Listed::Contacts => agent.call("contact.list", &json!({}))?,
        Listed::Messages { with, limit } => {
            agent.call("message.list", &json!({ "with": with, "limit": limit }))?
        }
        Listed::Queue => agent.call("message.queue", &json!({}))?,
    };
    match what {
        _ if context.screen.json => context.screen.object(&answer),
        Listed::Contacts => contacts(context, answer),
        Listed::Messages { .. } => messages(context, answer),
        Listed::Queue => queue(context, answer),
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

fn messages(context: &Context, mut answer: Value) -> Result<(), Fault> {
    let messages: Vec<Message> = context.typed(answer["messages"].take())?;
    let clock = Clock::local();
    for message in &messages {
        let at = clock.show(&message.sent_at);
        let line = match message.direction.as_str() {
            "in" => format!("{at} {}: {}", message.with, message.text),
            _ => format!("{at} to {} ({}): {}", message.with, message.state, message.text),
        };
        context.screen.print(&line)?;
    }
    Ok(())
}

fn queue(context: &Context, mut answer: Value) -> Result<(), Fault> {
    const EXCERPT: usize = 40;
    let queue: Vec<Waiting> = context.typed(answer["queue"].take())?;
    if queue.is_empty() {
        return context.screen.done(&text::QUEUE_EMPTY);
    }
    let clock = Clock::local();
    for waiting in &queue {
        let Waiting { id, to, attempts, .. } = waiting;
        let (at, text) = (clock.show(&waiting.queued_at), waiting.text.excerpt(EXCERPT));
        context.screen.print(&format!("{at} to {to}: {text}  ({attempts} attempts, id {id})"))?;
    }
    Ok(())
}
