//! `receive`: what has come in, and with `--follow` what goes on coming.

use std::time::Instant;

use serde::Deserialize;
use serde_json::{Value, json};

use super::Context;
use crate::cli::Receive;
use crate::clock::Clock;
use crate::fault::{Fault, NoAgent};
use crate::interrupt;
use crate::rpc::{Agent, Event};
use crate::text;
use crate::untrusted::Untrusted;

#[derive(Deserialize)]
struct Message {
    from: Untrusted,
    kind: String,
    text: Option<Untrusted>,
    sent_at: String,
    reply_to: Option<String>,
    of: Option<String>,
    emoji: Option<Untrusted>,
    unknown_kind: Option<u16>,
}

/// What is printed as it comes, beside what is said.
const CHANGES: [&str; 3] = ["message.edited", "message.deleted", "message.reaction"];

/// The most of an emoji that is shown. Some have many parts.
const EMOJI_CHARS: usize = 16;

pub(super) fn run(context: &Context, args: &Receive) -> Result<(), Fault> {
    let deadline = args.timeout.map(|timeout| Instant::now() + timeout);
    let mut printer =
        Printer { context, clock: Clock::local(), left: args.max, since: args.since.clone() };
    let mut agent = context.agent()?;
    let found = printer.print_waiting(&mut agent, args)?;
    let satisfied = !args.follow && (found || deadline.is_none());
    if satisfied || printer.left == Some(0) {
        return Ok(());
    }
    let screen = context.screen.clone();
    let last_words = move || {
        if screen.json {
            screen.fail(&Fault::Interrupted);
        }
    };
    interrupt::watch(last_words).map_err(|error| Fault::file(context.profile.socket(), &error))?;
    if !args.follow {
        printer.left = Some(1);
    }
    printer.follow(&mut agent, args, deadline)
}

struct Printer<'a> {
    context: &'a Context<'a>,
    clock: Clock,
    /// How many more to print, if there is an end to it.
    left: Option<u64>,
    /// Everything up to this cursor has been printed, if cursors are what counts.
    since: Option<String>,
}

impl Printer<'_> {
    /// Prints what the agent has, a page at a time. A message is read once it is printed.
    fn print_waiting(&mut self, agent: &mut Agent, args: &Receive) -> Result<bool, Fault> {
        const PAGE: u64 = 16;
        let mut found = false;
        while self.left != Some(0) {
            let max = self.left.unwrap_or(PAGE).min(PAGE);
            let params = json!({ "from": args.from, "max": max, "since": self.since });
            let mut answer = agent.call("message.unread", &params)?;
            let messages: Vec<Value> = self.context.typed(answer["messages"].take())?;
            if messages.is_empty() {
                break;
            }
            found = true;
            let mut cursors = Vec::new();
            let printed: Result<(), Fault> = messages.into_iter().try_for_each(|message| {
                let cursor = message["cursor"].clone();
                self.print(message)?;
                cursors.push(cursor);
                Ok(())
            });
            agent.call("message.mark_read", &json!({ "cursors": cursors }))?;
            printed?;
        }
        Ok(found)
    }

    /// Prints what comes until there have been enough or the time is up.
    fn follow(
        &mut self,
        agent: &mut Agent,
        args: &Receive,
        deadline: Option<Instant>,
    ) -> Result<(), Fault> {
        let kinds = if args.follow { CHANGES.as_slice() } else { &[] };
        let params =
            json!({ "from": args.from, "since": self.since, "max": self.left, "kinds": kinds });
        // The one connection only listens from here on.
        let mut marker = self.context.agent()?;
        agent.call("events.subscribe", &params)?;
        let mut ending = false;
        while self.left != Some(0) {
            // Once the time is up the agent is asked to end, and what it had sent by then is read
            // anyway, or it would never be seen.
            match agent.next_message(deadline.filter(|_| !ending)) {
                Ok(Event::Received(message)) => {
                    let cursors = [message["cursor"].clone()];
                    self.print(message)?;
                    marker.call("message.mark_read", &json!({ "cursors": cursors }))?;
                }
                Ok(Event::TimedOut) => {
                    ending = true;
                    agent.end_subscription();
                }
                Err(Fault::NoAgent(NoAgent::Lost { .. })) if ending => return Ok(()),
                Err(fault) => return Err(fault),
            }
        }
        Ok(())
    }

    fn print(&mut self, mut message: Value) -> Result<(), Fault> {
        if let (Some(since), Some(cursor)) = (&mut self.since, message["cursor"].as_str()) {
            cursor.clone_into(since);
        }
        self.left = self.left.map(|left| left.saturating_sub(1));
        let screen = self.context.screen;
        let kind = match message["kind"].as_str() {
            Some("message.edited") => "edit",
            Some("message.deleted") => "delete",
            Some("message.reaction") => "reaction",
            _ if message["unknown_kind"].is_null() => "text",
            _ => "unknown",
        };
        message["kind"] = json!(kind);
        if screen.json {
            return screen.object(&message);
        }
        let message: Message = self.context.typed(message)?;
        screen.print(&message.line(&self.clock))
    }
}

impl Message {
    fn line(&self, clock: &Clock) -> String {
        let (at, from) = (clock.show(&self.sent_at), &self.from);
        let of = self.of.as_deref().unwrap_or_default();
        let text = self.text.as_ref().map(ToString::to_string).unwrap_or_default();
        let said = match self.kind.as_str() {
            "edit" => text::edited(of, &text),
            "delete" => text::deleted(of),
            "reaction" => {
                text::reacted(of, self.emoji.as_ref().map(|emoji| emoji.excerpt(EMOJI_CHARS)))
            }
            "unknown" => text::unknown_kind(self.unknown_kind.unwrap_or_default()),
            _ => text,
        };
        let answers = self.reply_to.as_ref().map(|id| format!(" (answers {id})"));
        format!("{at} {from}{}: {said}", answers.unwrap_or_default())
    }
}
