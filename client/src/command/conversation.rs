//! `history`, `search` and `list messages`: what was said, as people and programs want to read it.

use serde::Deserialize;
use serde_json::{Value, json};

use super::Context;
use crate::cli::{History, Search};
use crate::clock::Clock;
use crate::fault::{Fault, Usage};
use crate::rpc::Agent;
use crate::text;
use crate::untrusted::Untrusted;

/// A message of a conversation.
#[derive(Deserialize)]
struct Message {
    id: String,
    with: Untrusted,
    direction: String,
    kind: String,
    text: Option<Untrusted>,
    sent_at: String,
    state: String,
    reply_to: Option<String>,
    #[serde(default)]
    edited: bool,
    #[serde(default)]
    deleted: bool,
    #[serde(default)]
    reactions: Vec<Reaction>,
    expires_at: Option<String>,
    of: Option<String>,
    emoji: Option<Untrusted>,
    seconds: Option<u32>,
    unknown_kind: Option<u16>,
}

#[derive(Deserialize)]
struct Reaction {
    from: Untrusted,
    emoji: Untrusted,
}

/// Whether lines begin with the ids that other commands take.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ids {
    Shown,
    Left,
}

/// How many messages are asked for at once.
const PAGE: u32 = 500;

/// The most of an emoji that is shown. Some have many parts.
const EMOJI_CHARS: usize = 16;

pub(super) fn history(context: &Context, args: &History) -> Result<(), Fault> {
    let History { name, limit, before } = args;
    let mut agent = context.agent()?;
    let messages = newest(context, &mut agent, Some(name), before.as_deref(), *limit)?;
    show(context, messages, Ids::Shown)
}

pub(super) fn list(context: &Context, with: Option<&str>, limit: u32) -> Result<(), Fault> {
    let messages = newest(context, &mut context.agent()?, with, None, limit)?;
    show(context, messages, Ids::Left)
}

pub(super) fn search(context: &Context, args: &Search) -> Result<(), Fault> {
    let text = args.text.join(" ");
    if text.trim().is_empty() {
        return Err(Usage::SearchEmpty.into());
    }
    let params = json!({ "text": text, "with": args.with, "limit": args.limit });
    let mut answer = context.agent()?.call("message.search", &params)?;
    let messages: Vec<Value> = context.typed(answer["messages"].take())?;
    show(context, messages, Ids::Shown)
}

/// The newest messages, oldest first. Fetched in pages, so that no answer is too long to be taken.
fn newest(
    context: &Context,
    agent: &mut Agent,
    with: Option<&str>,
    before: Option<&str>,
    limit: u32,
) -> Result<Vec<Value>, Fault> {
    let mut before = before.map(str::to_owned);
    let mut pages = Vec::new();
    let mut left = limit;
    while left > 0 {
        let params = json!({ "with": with, "before": before, "limit": left.min(PAGE) });
        let mut answer = agent.call("message.history", &params)?;
        let page: Vec<Value> = context.typed(answer["messages"].take())?;
        let Some(oldest) = page.first() else { break };
        before = oldest["cursor"].as_str().map(str::to_owned);
        left = left.saturating_sub(u32::try_from(page.len()).unwrap_or(u32::MAX));
        pages.push(page);
    }
    Ok(pages.into_iter().rev().flatten().collect())
}

fn show(context: &Context, messages: Vec<Value>, ids: Ids) -> Result<(), Fault> {
    if context.screen.json {
        return context.screen.object(&json!({ "messages": messages }));
    }
    if messages.is_empty() {
        return context.screen.done(&text::NO_MESSAGES);
    }
    let clock = Clock::local();
    for message in messages {
        let message: Message = context.typed(message)?;
        context.screen.print(&message.line(&clock, ids))?;
    }
    Ok(())
}

impl Message {
    /// The message in a line, and a line more for each reaction to it. What others chose comes behind what we
    /// say, so that it cannot pass for it.
    fn line(&self, clock: &Clock, ids: Ids) -> String {
        let id = if ids == Ids::Shown { format!("{}  ", self.id) } else { String::new() };
        let at = clock.show(&self.sent_at);
        let remarks = match self.remarks(clock) {
            remarks if remarks.is_empty() => String::new(),
            remarks => format!(" ({})", remarks.join(", ")),
        };
        let who = match self.direction.as_str() {
            "in" => self.with.to_string(),
            _ => format!("to {}", self.with),
        };
        let mut line = format!("{id}{at} {who}{remarks}: {}", self.said());
        for Reaction { from, emoji } in &self.reactions {
            line.push_str(&format!("\n      {} {from}", emoji.excerpt(EMOJI_CHARS)));
        }
        line
    }

    fn remarks(&self, clock: &Clock) -> Vec<String> {
        let mut remarks = Vec::new();
        if !self.deleted && (self.direction == "out" || self.state == "unread") {
            remarks.push(self.state.clone());
        }
        if self.edited {
            remarks.push("edited".into());
        }
        if let Some(id) = &self.reply_to {
            remarks.push(format!("answers {id}"));
        }
        if let Some(at) = &self.expires_at {
            remarks.push(format!("disappears {}", clock.show(at)));
        }
        remarks
    }

    fn said(&self) -> String {
        let of = self.of.as_deref().unwrap_or_default();
        let text = self.text.as_ref().map(ToString::to_string).unwrap_or_default();
        match self.kind.as_str() {
            _ if self.deleted => text::DELETED.into(),
            "edit" => text::edited(of, &text),
            "delete" => text::deleted(of),
            "reaction" => {
                text::reacted(of, self.emoji.as_ref().map(|emoji| emoji.excerpt(EMOJI_CHARS)))
            }
            "timer" => text::timer_changed(self.seconds),
            "unknown" => text::unknown_kind(self.unknown_kind.unwrap_or_default()),
            _ => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(extra: Value, ids: Ids) -> String {
        let mut object = json!({
            "id": "01J", "with": "bob", "direction": "in", "kind": "text", "text": "hi",
            "sent_at": "soon", "state": "read", "reply_to": null, "expires_at": null,
        });
        for (name, value) in extra.as_object().unwrap() {
            object[name] = value.clone();
        }
        let message: Message = serde_json::from_value(object).unwrap();
        message.line(&Clock::local(), ids)
    }

    #[test]
    fn a_line_says_what_there_is_to_say() {
        let table = [
            (json!({}), "soon bob: hi"),
            (json!({ "state": "unread" }), "soon bob (unread): hi"),
            (json!({ "direction": "out", "state": "sent" }), "soon to bob (sent): hi"),
            (
                json!({ "edited": true, "reply_to": "01H", "expires_at": "later" }),
                "soon bob (edited, answers 01H, disappears later): hi",
            ),
            (json!({ "text": null, "deleted": true }), "soon bob: deleted"),
            (
                json!({ "reactions": [{ "from": "alice", "emoji": "👍\n" }] }),
                "soon bob: hi\n      👍… alice",
            ),
            (json!({ "kind": "timer", "seconds": 90 }), "soon bob: messages disappear after 90s"),
            (json!({ "kind": "timer", "seconds": null }), "soon bob: messages stay"),
            (
                json!({ "kind": "unknown", "text": null, "unknown_kind": 77 }),
                "soon bob: something that this version does not know (kind 77)",
            ),
            (
                json!({ "kind": "reaction", "text": null, "of": "01G", "emoji": null }),
                "soon bob: took the reaction to 01G back",
            ),
        ];
        for (extra, expected) in table {
            assert_eq!(line(extra.clone(), Ids::Left), expected, "{extra}");
        }
        assert_eq!(line(json!({}), Ids::Shown), "01J  soon bob: hi");
    }

    #[test]
    fn nobody_writes_lines_of_ours() {
        let forged = json!({ "text": "a\n01J  soon carol: b\x1b[2J" });
        assert_eq!(line(forged, Ids::Shown), "01J  soon bob: a\n      01J  soon carol: b␛[2J");
    }
}
