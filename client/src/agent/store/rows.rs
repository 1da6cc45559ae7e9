//! How rows are sealed, and found again without saying in clear what they are about.

use hither_proto::{
    crypto::{
        derive::{authenticate, derive},
        label::Label,
        rng::Rng,
        seal::{open_at_rest, seal_at_rest},
        secret::Secret,
    },
    id::MessageId,
    name::Name,
    time::UnixTime,
    vault::Contact,
    wire,
};
use minicbor::{Decode, Encode};
use zeroize::Zeroizing;

/// Sealed rows come in steps of this many bytes, so that a size says little.
const STEP_BYTES: usize = 256;

/// The state of a message, as the database knows it. Never renumber.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::agent) enum State {
    /// It has come, and nobody has read it.
    Unread = 0,
    /// It has come.
    Read = 1,
    /// It is to be delivered.
    Queued = 2,
    /// It is on its addressee's disk.
    Delivered = 3,
    /// It will not be delivered.
    Cancelled = 4,
}

/// A message of the history.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::agent) struct Message {
    /// The cursor.
    pub(in crate::agent) seq: u64,
    /// The other person.
    pub(in crate::agent) with: Name,
    /// The same at both ends.
    pub(in crate::agent) id: MessageId,
    /// Where it stands.
    pub(in crate::agent) state: State,
    /// The sender's clock.
    pub(in crate::agent) sent_at: UnixTime,
    /// This machine's clock when it was stored.
    pub(in crate::agent) stored_at: UnixTime,
    /// The text.
    pub(in crate::agent) text: String,
}

/// The sealed part of a message.
#[derive(Decode, Encode)]
#[cbor(array)]
pub(super) struct Contents {
    #[n(0)]
    pub(super) with: Name,
    #[n(1)]
    pub(super) id: MessageId,
    #[n(2)]
    pub(super) sent_at: u64,
    #[n(3)]
    pub(super) stored_at: u64,
    #[n(4)]
    pub(super) text: String,
}

/// A message as it stands in the database.
pub(super) struct MessageRow {
    pub(super) seq: u64,
    pub(super) key: Vec<u8>,
    pub(super) state: u8,
    pub(super) sealed: Vec<u8>,
}

/// The keys of a store.
pub(super) struct Rows {
    lookup: Secret<32>,
    seal: Secret<32>,
    rng: Rng,
}

impl Rows {
    /// The keys of the account with this seed.
    pub(super) fn new(seed: &Secret<32>, rng: Rng) -> Self {
        let lookup = derive(&[], seed.expose(), Label::StoreLookup, &[]);
        let seal = derive(&[], seed.expose(), Label::StoreRow, &[]);
        Self { lookup, seal, rng }
    }

    pub(super) fn contact_key(&self, name: &Name) -> Vec<u8> {
        self.key(&[b"contact", name.as_bytes()])
    }

    pub(super) fn with_key(&self, name: &Name) -> Vec<u8> {
        self.key(&[b"with", name.as_bytes()])
    }

    pub(super) fn outgoing_key(&self, id: MessageId) -> Vec<u8> {
        self.key(&[b"out", &id.0])
    }

    pub(super) fn incoming_key(&self, from: &Name, id: MessageId) -> Vec<u8> {
        // The id has a fixed length and comes first, so no two pairs run into each other.
        self.key(&[b"in", &id.0, from.as_bytes()])
    }

    pub(super) fn seal_contact(&mut self, key: &[u8], contact: &Contact) -> Vec<u8> {
        self.seal(b"contact", key, wire::encode(contact))
    }

    pub(super) fn open_contact(&self, key: &[u8], sealed: &[u8]) -> Option<Contact> {
        wire::decode(&self.open(b"contact", key, sealed)?).ok()
    }

    pub(super) fn seal_message(&mut self, key: &[u8], message: &Contents) -> Vec<u8> {
        self.seal(b"message", key, wire::encode(message))
    }

    pub(super) fn open_message(&self, row: &MessageRow) -> Option<Message> {
        let contents = self.open(b"message", &row.key, &row.sealed)?;
        let Contents { with, id, sent_at, stored_at, text } = wire::decode(&contents).ok()?;
        let states =
            [State::Unread, State::Read, State::Queued, State::Delivered, State::Cancelled];
        Some(Message {
            seq: row.seq,
            with,
            id,
            state: *states.get(usize::from(row.state))?,
            sent_at: UnixTime::from_millis(sent_at),
            stored_at: UnixTime::from_millis(stored_at),
            text,
        })
    }

    fn key(&self, parts: &[&[u8]]) -> Vec<u8> {
        authenticate(self.lookup.expose(), parts).expose()[..16].to_vec()
    }

    fn seal(&mut self, table: &[u8], key: &[u8], contents: Vec<u8>) -> Vec<u8> {
        let mut contents = Zeroizing::new(contents);
        contents.push(0x80);
        let padded = contents.len().next_multiple_of(STEP_BYTES);
        contents.resize(padded, 0);
        // A row opens at its own place only.
        seal_at_rest(&mut self.rng, &self.seal, &[table, key].concat(), &contents)
    }

    fn open(&self, table: &[u8], key: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let mut contents = open_at_rest(&self.seal, &[table, key].concat(), sealed)?;
        let end = contents.iter().rposition(|byte| *byte != 0)?;
        contents.truncate(end);
        Some(contents)
    }
}
