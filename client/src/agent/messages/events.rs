//! Telling a program what happens, as it happens.

use hither_proto::{id::MessageId, message::Body, name::Name, node};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::{
    acquaintance,
    delivery::sent,
    from_store,
    reading::{PAGE, which},
};
use crate::{
    agent::{
        agent::{Agent, Handle, Notice},
        json,
        rpc::Peer,
        store::{Message, State, Which},
    },
    fault::Fault,
};

/// What to tell. Whatever somebody says is told; the rest only to those who ask for it.
#[derive(Deserialize)]
pub(in crate::agent) struct Subscribe {
    from: Option<String>,
    max: Option<usize>,
    since: Option<String>,
    #[serde(default)]
    kinds: Vec<Kind>,
}

/// What can happen.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
enum Kind {
    #[serde(rename = "message.received")]
    Received,
    #[serde(rename = "message.edited")]
    Edited,
    #[serde(rename = "message.deleted")]
    Deleted,
    #[serde(rename = "message.reaction")]
    Reaction,
    #[serde(rename = "message.timer")]
    Timer,
    #[serde(rename = "message.delivered")]
    Delivered,
    #[serde(rename = "message.read")]
    Read,
    #[serde(rename = "typing")]
    Typing,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Received => "message.received",
            Self::Edited => "message.edited",
            Self::Deleted => "message.deleted",
            Self::Reaction => "message.reaction",
            Self::Timer => "message.timer",
            Self::Delivered => "message.delivered",
            Self::Read => "message.read",
            Self::Typing => "typing",
        }
    }

    /// Whether it is a change that leaves something behind.
    const fn is_stored(self) -> bool {
        matches!(self, Self::Edited | Self::Deleted | Self::Reaction | Self::Timer)
    }

    /// What it is that a message has come; nothing, for what is never shown.
    const fn of(message: &Message) -> Option<Self> {
        match &message.body {
            _ if matches!(message.state, State::Erased) => None,
            Body::Text(_) | Body::Unknown { .. } => Some(Self::Received),
            Body::Edit { .. } => Some(Self::Edited),
            Body::Delete { .. } => Some(Self::Deleted),
            Body::Reaction { .. } => Some(Self::Reaction),
            Body::Timer { .. } => Some(Self::Timer),
            Body::Read { .. } => None,
        }
    }
}

/// Tells what is unread, or everything after a cursor, and then whatever comes, until `max` or until
/// nobody listens. Each subscription hears everything once.
pub(in crate::agent) async fn subscribe(
    handle: &Handle,
    peer: &Peer,
    what: Subscribe,
) -> Result<Value, Fault> {
    let mut which = which(what.since.as_deref())?;
    if what.kinds.iter().any(|kind| kind.is_stored())
        && let Which::All { after } = which
    {
        which = Which::Everything { after };
    }
    let notices = handle.notices();
    // Whatever comes from here on is new, however it is read elsewhere in the meantime.
    let (from, newest) = handle
        .call(move |agent| {
            let from = what.from.map(|from| acquaintance(agent, &from)).transpose()?;
            Ok((from, from_store(agent, |account| account.store.newest())?))
        })
        .await?;
    let (handle, peer) = (handle.clone(), peer.clone());
    let left = what.max.unwrap_or(usize::MAX);
    let subscription = Subscription { handle, peer, from, kinds: what.kinds, which, newest, left };
    tokio::spawn(subscription.run(notices));
    Ok(json!({}))
}

struct Subscription {
    handle: Handle,
    peer: Peer,
    from: Option<Name>,
    kinds: Vec<Kind>,
    which: Which,
    newest: u64,
    left: usize,
}

impl Subscription {
    async fn run(mut self, mut notices: Receiver<Notice>) {
        match self.tell(&mut notices).await {
            // With the agent, the connection ends too.
            Ok(()) | Err(Fault::NoAgent(_)) => {}
            // The command that listens ends as the account does.
            Err(fault) => {
                self.peer.event(&json!({ "kind": "ended", "error": fault.to_rpc() })).await;
            }
        }
    }

    /// Tells everything, until there has been enough or nobody listens.
    async fn tell(&mut self, notices: &mut Receiver<Notice>) -> Result<(), Fault> {
        while self.left > 0 {
            let (from, which, page) = (self.from.clone(), self.which, self.left.min(PAGE));
            let kinds = self.kinds.clone();
            let events = self.handle.call(move |agent| stored(agent, &from, which, page, &kinds));
            let events = events.await?;
            for (seq, event) in &events {
                if let Some(event) = event {
                    if !self.peer.event(event).await {
                        return Ok(());
                    }
                    self.left -= 1;
                }
                self.which = self.which.after(*seq);
            }
            if !events.is_empty() {
                continue;
            }
            if matches!(self.which, Which::Unread { .. }) {
                let after = self.newest.max(self.which.cursor());
                let every = self.kinds.iter().any(|kind| kind.is_stored());
                self.which = if every { Which::Everything { after } } else { Which::All { after } };
                continue;
            }
            if !self.wait(notices).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Waits until something may have come, and tells what is never stored meanwhile; false if nobody
    /// listens.
    async fn wait(&mut self, notices: &mut Receiver<Notice>) -> Result<bool, Fault> {
        loop {
            let notice = tokio::select! {
                () = self.peer.ended() => return Ok(false),
                notice = notices.recv() => notice,
            };
            let event = match notice {
                Ok(Notice::Received) | Err(RecvError::Lagged(_)) => return Ok(true),
                Ok(Notice::Locked) => return Err(self.handle.call(|a| Ok(a.absent())).await?),
                Ok(Notice::Node(event)) => self.passing(event).await?,
                Ok(Notice::Online) => None,
                Err(RecvError::Closed) => return Ok(false),
            };
            if let Some(event) = event
                && !self.peer.event(&event).await
            {
                return Ok(false);
            }
        }
    }

    /// An event that leaves nothing behind.
    async fn passing(&self, event: node::Event) -> Result<Option<Value>, Fault> {
        let wanted = |kind, name: &Name| {
            self.kinds.contains(&kind) && self.from.as_ref().is_none_or(|from| from == name)
        };
        Ok(match event {
            node::Event::Typing(name, on) if wanted(Kind::Typing, &name) => Some(json!({
                "kind": Kind::Typing.as_str(), "from": name.as_str(), "on": on,
            })),
            node::Event::Read(name, ids) if wanted(Kind::Read, &name) => {
                let from = name.clone();
                let ids = self.handle.call(move |agent| read_by(agent, &from, ids)).await?;
                let kind = Kind::Read.as_str();
                let event = json!({ "kind": kind, "from": name.as_str(), "ids": ids });
                Some(event).filter(|_| !ids.is_empty())
            }
            node::Event::Delivered(id, _) if self.kinds.contains(&Kind::Delivered) => {
                // Receipts are delivered too, and are no messages of anybody's: there is no row of them.
                let message = self.handle.call(move |agent| sent(agent, id)).await?;
                let to = message.map(|message| message.with);
                to.filter(|to| wanted(Kind::Delivered, to)).map(|to| {
                    let kind = Kind::Delivered.as_str();
                    json!({ "kind": kind, "id": id.to_string(), "to": to.as_str() })
                })
            }
            _ => None,
        })
    }
}

/// Which of these messages are mine to this person, who can claim to have read anything.
fn read_by(agent: &mut Agent, by: &Name, ids: Vec<MessageId>) -> Result<Vec<String>, Fault> {
    let mut read = Vec::new();
    for id in ids {
        let message = sent(agent, id)?.filter(|message| message.with == *by);
        // One that was read may have disappeared since.
        let states = [State::ReadByPeer, State::Erased];
        if message.is_some_and(|message| states.contains(&message.state)) {
            read.push(id.to_string());
        }
    }
    Ok(read)
}

/// What has come, with its cursor; without an event, where it is not wanted.
fn stored(
    agent: &mut Agent,
    from: &Option<Name>,
    which: Which,
    limit: usize,
    kinds: &[Kind],
) -> Result<Vec<(u64, Option<Value>)>, Fault> {
    let messages =
        from_store(agent, |account| account.store.received(from.as_ref(), which, limit))?;
    let events = messages.into_iter().map(|mut message| {
        let kind = Kind::of(&message);
        let Some(kind) = kind.filter(|kind| *kind == Kind::Received || kinds.contains(kind)) else {
            return Ok((message.seq, None));
        };
        if let Body::Edit { of, text } = &mut message.body {
            // An edit that has been applied holds no wording of its own.
            let (of, with) = (*of, &message.with);
            let edited = from_store(agent, |account| account.store.message(of))?;
            let edited = edited.into_iter().find(|edited| !edited.mine && edited.with == *with);
            if let Some(Body::Text(wording)) = edited.map(|edited| edited.body) {
                *text = wording.text;
            }
        }
        let mut event = json::received(&message);
        event["kind"] = json!(kind.as_str());
        Ok((message.seq, Some(event)))
    });
    events.collect()
}
