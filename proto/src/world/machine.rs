//! One person's machine: the agent that runs on it, its disk, and the network it holds.

use std::{collections::BTreeMap, net::SocketAddr};

use crate::{
    crypto::{secret::Secret, sign::SignKey},
    id::MessageId,
    knock::KnockKey,
    login::SessionKey,
    name::Name,
    node::{Change, Event, Node, QueuedText, Remembered},
    ticket::AttemptId,
    vault::Contact,
    wire::server::{Door, SessionId},
};

#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) name: Name,
    pub(crate) address: SocketAddr,
    /// The agent, while it runs.
    pub(crate) node: Option<Node>,
    pub(crate) disk: Disk,
    /// The connection to the server.
    pub(crate) link: Option<u64>,
    /// The key of that connection's session.
    pub(crate) session_key: Option<SessionKey>,
    pub(crate) events: Vec<Event>,
    /// Every frame from the server since the last login.
    pub(crate) heard: Vec<Vec<u8>>,
    /// Every frame to the server since the last login.
    pub(crate) said: Vec<Vec<u8>>,
    /// Every frame to a peer.
    pub(crate) frames: Vec<Vec<u8>>,
    pub(crate) doors: BTreeMap<AttemptId, OpenDoor>,
    pub(crate) dials: BTreeMap<AttemptId, Door>,
    /// After how many more outputs the agent dies.
    pub(crate) crash_after: Option<usize>,
}

#[derive(Debug)]
pub(crate) struct OpenDoor {
    pub(crate) certificate: [u8; 32],
    pub(crate) knock: KnockKey,
}

/// What survives the agent.
#[derive(Debug)]
pub(crate) struct Disk {
    pub(crate) seed: Secret<32>,
    pub(crate) vault_key: Secret<32>,
    pub(crate) device: SignKey,
    pub(crate) session: SessionId,
    pub(crate) contacts: BTreeMap<Name, Contact>,
    pub(crate) vault: (u64, bool),
    pub(crate) queue: Vec<(Name, QueuedText)>,
    pub(crate) received: Vec<(Name, MessageId, String)>,
    pub(crate) delivered: Vec<MessageId>,
}

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
            Change::Cancelled { to, id } => self.dequeue(&to, id),
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
            Change::Queued { to, text } => {
                if !self.queue.iter().any(|(_, queued)| queued.id == text.id) {
                    self.queue.push((to, text));
                }
            }
            Change::Received { from, id, text, .. } => {
                if !self.received.iter().any(|(sender, known, _)| (sender, *known) == (&from, id)) {
                    self.received.push((from, id, text));
                }
            }
            Change::Vault { counter, dirty } => self.vault = (counter, dirty),
        }
    }

    fn dequeue(&mut self, to: &Name, id: MessageId) {
        self.queue.retain(|(name, text)| name != to || text.id != id);
    }
}
