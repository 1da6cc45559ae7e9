//! What survives an agent, what of it survives a power cut, and what a conversation looks like on it.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    id::MessageId,
    message::{Body, Message},
    name::Name,
    node::{Change, Conversation, Remembered},
    vault::Contact,
};

/// Everything that a node has had stored.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    pub(crate) contacts: BTreeMap<Name, Contact>,
    pub(crate) vault: (u64, bool),
    pub(crate) queue: Vec<(Name, Message)>,
    /// What is shown of what others have said, in the order it came.
    pub(crate) received: Vec<(Name, Message)>,
    pub(crate) conversations: BTreeMap<Name, Conversation>,
    pub(crate) delivered: Vec<MessageId>,
    /// Everything that others have said, with what is never shown.
    pub(crate) arrived: Vec<(Name, MessageId)>,
    /// What both sides have said, in the order it came here.
    pub(crate) said: Vec<Said>,
    cancelled: BTreeSet<(Name, MessageId)>,
}

/// One message of a conversation.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) with: Name,
    /// Whether this disk's person said it.
    pub(crate) mine: bool,
    pub(crate) message: Message,
}

/// A text as it is shown.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Shown {
    pub(crate) id: MessageId,
    pub(crate) text: String,
    pub(crate) edited: bool,
    pub(crate) erased: bool,
    /// The sign of whoever wrote the text, and the other person's.
    pub(crate) reactions: [String; 2],
}

/// The texts of the two sides of a conversation, each in the order it was written.
pub(crate) type Shows = [Vec<Shown>; 2];

impl Disk {
    pub(crate) fn remembered(&self) -> Remembered {
        let (vault_counter, vault_dirty) = self.vault;
        let contacts = self.contacts.values().cloned().collect();
        Remembered { contacts, vault_counter, vault_dirty }
    }

    pub(crate) fn remember(&mut self, remembered: Remembered) {
        let Remembered { contacts, vault_counter, vault_dirty } = remembered;
        let by_name = |contact: Contact| (contact.name.clone(), contact);
        self.contacts = contacts.into_iter().map(by_name).collect();
        self.vault = (vault_counter, vault_dirty);
    }

    pub(crate) fn store(&mut self, change: Change) {
        match change {
            Change::Cancelled { to, id } => {
                self.dequeue(&to, id);
                self.cancelled.insert((to, id));
            }
            Change::Contact(contact) => {
                self.contacts.insert(contact.name.clone(), contact);
            }
            Change::ContactGone(name) => {
                self.contacts.remove(&name);
            }
            Change::Delivered { to, id } => {
                self.dequeue(&to, id);
                self.delivered.push(id);
            }
            Change::Queued { to, message } => self.queue(to, message),
            Change::Received { from, message } => self.receive(from, message),
            Change::Vault { counter, dirty } => self.vault = (counter, dirty),
        }
    }

    /// What a conversation shows: this person's texts, then the other's. Nobody changes another's words.
    pub(crate) fn shows(&self, with: &Name, without: impl Fn(&Said) -> bool) -> Shows {
        let mut shows: Shows = [Vec::new(), Vec::new()];
        for said in self.said.iter().filter(|said| said.with == *with && !without(said)) {
            if said.mine && self.cancelled.contains(&(with.clone(), said.message.id)) {
                continue;
            }
            let writer = usize::from(!said.mine);
            show(&mut shows, writer, &said.message);
        }
        shows
    }

    pub(crate) fn has_arrived(&self, from: &Name, id: MessageId) -> bool {
        self.arrived.iter().any(|(sender, arrived)| (sender, *arrived) == (from, id))
    }

    pub(crate) fn has_written(&self, to: &Name, id: MessageId) -> bool {
        self.said.iter().any(|said| said.mine && said.with == *to && said.message.id == id)
    }

    fn queue(&mut self, to: Name, message: Message) {
        if let Body::Timer { seconds } = message.body {
            self.conversations.entry(to.clone()).or_default().timer = seconds;
        }
        if !self.queue.iter().any(|(_, queued)| queued.id == message.id) {
            let (with, said) = (to.clone(), message.clone());
            self.said.push(Said { with, mine: true, message: said });
            self.queue.push((to, message));
        }
    }

    /// What was received before stays as it was. A receipt leaves nothing but its effect.
    fn receive(&mut self, from: Name, message: Message) {
        if !self.has_arrived(&from, message.id) {
            self.arrived.push((from.clone(), message.id));
        }
        let known = |(sender, known): &(Name, Message)| (sender, known.id) == (&from, message.id);
        if matches!(message.body, Body::Read { .. }) || self.received.iter().any(known) {
            return;
        }
        let conversation = self.conversations.entry(from.clone()).or_default();
        conversation.seen = Some(message.id);
        if let Body::Timer { seconds } = message.body {
            conversation.timer = seconds;
        }
        let (with, said) = (from.clone(), message.clone());
        self.said.push(Said { with, mine: false, message: said });
        self.received.push((from, message));
    }

    fn dequeue(&mut self, to: &Name, id: MessageId) {
        self.queue.retain(|(name, queued)| name != to || queued.id != id);
    }
}

/// Adds what one message changes to what is shown.
fn show(shows: &mut Shows, writer: usize, message: &Message) {
    let find = |of: &MessageId, shown: &Shown| shown.id == *of && !shown.erased;
    match &message.body {
        Body::Text(text) => shows[writer].push(Shown {
            id: message.id,
            text: text.text.clone(),
            edited: false,
            erased: false,
            reactions: [String::new(), String::new()],
        }),
        Body::Edit { of, text } => {
            if let Some(shown) = shows[writer].iter_mut().find(|shown| find(of, shown)) {
                (shown.text, shown.edited) = (text.clone(), true);
            }
        }
        Body::Delete { of } => {
            if let Some(shown) = shows[writer].iter_mut().find(|shown| find(of, shown)) {
                (shown.text, shown.edited, shown.erased) = (String::new(), false, true);
                shown.reactions = [String::new(), String::new()];
            }
        }
        Body::Reaction { of, emoji } => {
            let author = if of.own { writer } else { 1 - writer };
            if let Some(shown) = shows[author].iter_mut().find(|shown| find(&of.id, shown)) {
                shown.reactions[usize::from(!of.own)] = emoji.clone();
            }
        }
        Body::Read { .. } | Body::Timer { .. } | Body::Unknown { .. } => {}
    }
}

/// A disk behind a cache: what a power cut leaves is what was flushed, and whole transactions in the order
/// they were made of what was not.
#[derive(Debug, Default)]
pub(crate) struct Platter {
    pub(crate) flushed: Disk,
    cached: Vec<Vec<Change>>,
}

impl Platter {
    pub(crate) const fn of(flushed: Disk) -> Self {
        Self { flushed, cached: Vec::new() }
    }

    /// Takes in one transaction.
    pub(crate) fn take(&mut self, changes: Vec<Change>, flush: bool) {
        self.cached.push(changes);
        if flush {
            self.write(self.cached.len());
        }
    }

    /// How many transactions a power cut may take.
    pub(crate) fn cached(&self) -> usize {
        self.cached.len()
    }

    /// What is left if the power goes, and `written` transactions had been flushed by chance.
    pub(crate) fn cut(&mut self, written: usize) -> Disk {
        self.write(written);
        self.cached.clear();
        self.flushed.clone()
    }

    fn write(&mut self, count: usize) {
        for change in self.cached.drain(..count).flatten() {
            self.flushed.store(change);
        }
    }
}
