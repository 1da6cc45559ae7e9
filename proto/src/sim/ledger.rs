//! What has been written by whom, kept apart from everybody's disks, so that these can be held against it.

use std::collections::{BTreeMap, BTreeSet};

use crate::{id::MessageId, message::Message, name::Name};

/// A message as its writer and addressee name it.
pub(super) type Key = (Name, Name, MessageId);

/// Everything that honest people have written.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    written: BTreeMap<Key, Written>,
    /// What a person has taken back, whether or not the disk has heard of it.
    taken_back: BTreeSet<Key>,
}

/// One message.
#[derive(Debug)]
pub(super) struct Written {
    /// The machine it was written on.
    pub(super) on: String,
    /// Its place among everything that was ever written.
    pub(super) place: usize,
    pub(super) message: Message,
    pub(super) fate: Fate,
}

/// What has become of a message, as its writer's disk says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fate {
    /// It is to be delivered.
    Promised,
    /// Its writer has taken it back.
    TakenBack,
    /// Its addressee was removed while it waited. It may have been on its way.
    Removed,
}

impl Ledger {
    /// A message is on its writer's disk, to be delivered.
    pub(super) fn write(&mut self, key: Key, on: &str, message: &Message) {
        let place = self.written.len();
        let (on, message) = (on.to_owned(), message.clone());
        self.written.entry(key).or_insert(Written { on, place, message, fate: Fate::Promised });
    }

    /// A person takes a message back.
    pub(super) fn take_back(&mut self, key: Key) {
        self.taken_back.insert(key);
    }

    /// A message is not to be delivered any more, says its writer's disk.
    pub(super) fn cancel(&mut self, key: &Key) {
        let fate = if self.taken_back.contains(key) { Fate::TakenBack } else { Fate::Removed };
        if let Some(written) = self.written.get_mut(key) {
            written.fate = fate;
        }
    }

    /// The agent on a machine has lost what its disk had not heard of.
    pub(super) fn forget_taken_back(&mut self, on: &str) {
        self.taken_back.retain(|key| {
            let written = self.written.get(key);
            written.is_some_and(|written| written.on != on || written.fate != Fate::Promised)
        });
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Written> {
        self.written.get(key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Key, &Written)> {
        self.written.iter()
    }
}
