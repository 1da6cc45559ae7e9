//! How rows are sealed, and found again without saying in clear what they are about.

use std::cell::Cell;

use hither_proto::{
    crypto::{
        derive::{authenticate, derive},
        label::Label,
        rng::Rng,
        seal::{open_at_rest, seal_at_rest},
        secret::Secret,
    },
    id::MessageId,
    message::{Body, Message as Said, Text},
    name::Name,
    vault::Contact,
    wire,
};
use minicbor::{Decode, Encode};
use zeroize::Zeroizing;

/// Sealed rows come in steps of this many bytes, so that a size says little.
const STEP_BYTES: usize = 256;

/// A look-up key. That of a message says in which moment its id was made, which id it is, and whose.
pub(super) type Key = [u8; 16];

/// Where in a key the id begins, and where whose message it is.
const OF_ID: usize = 4;
const OF_WHOM: usize = 10;

/// Milliseconds of a moment, as a power of two. Messages of one moment stand together in the index of the
/// keys, so that a flood of them changes few of its pages.
const MOMENT: u32 = 8;

/// The sealed part of a message.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
#[cbor(array)]
pub(in crate::agent) struct Contents {
    /// The other person. It stands in every row, so that no row depends on another to be understood.
    #[n(0)]
    pub(super) with: Name,
    /// Whether this account wrote it.
    #[n(1)]
    pub(super) mine: bool,
    #[n(2)]
    pub(super) stored_at: u64,
    #[n(3)]
    pub(super) said: Said,
    /// Whether it stands in the history by itself. An edit does not, once it is applied.
    #[n(4)]
    pub(super) shown: bool,
    #[n(5)]
    pub(super) edited: bool,
    #[n(6)]
    pub(super) reactions: Vec<Reaction>,
    /// What comes back if it is cancelled.
    #[n(7)]
    pub(super) undo: Option<Undo>,
}

/// Somebody's sign on a message.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
#[cbor(array)]
pub(in crate::agent) struct Reaction {
    /// Whether it is this account's.
    #[n(0)]
    pub(in crate::agent) mine: bool,
    /// The sign.
    #[n(1)]
    pub(in crate::agent) emoji: String,
}

/// What something that was said has taken the place of.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub(super) enum Undo {
    /// Another wording.
    #[n(0)]
    Wording {
        #[n(0)]
        text: String,
        #[n(1)]
        edited: bool,
    },
    /// Another sign of ours; empty if there was none.
    #[n(1)]
    Sign(#[n(0)] String),
    /// Another timer.
    #[n(2)]
    Timer(#[n(0)] Option<u32>),
}

/// What is remembered of a conversation.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
#[cbor(array)]
pub(in crate::agent) struct Talk {
    #[n(0)]
    pub(super) with: Name,
    /// The newest message of the other person.
    #[n(1)]
    pub(super) seen: Option<MessageId>,
    #[n(2)]
    pub(super) timer: Option<u32>,
}

impl Contents {
    /// The text, if it is one.
    pub(super) const fn text(&self) -> Option<&Text> {
        match &self.said.body {
            Body::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// A message as it stands in the database.
pub(super) struct Row {
    pub(super) seq: u64,
    pub(super) key: Key,
    pub(super) conversation: i64,
    pub(super) state: u8,
    pub(super) expires: Option<i64>,
    pub(super) sealed: Vec<u8>,
}

/// The keys of a store.
pub(super) struct Keys {
    lookup: Secret<32>,
    seal: Secret<32>,
    rng: Rng,
    /// The last moment that was asked for, and its part of the keys: the next message is mostly of the same.
    moment: Cell<(u64, [u8; OF_ID])>,
}

impl Keys {
    /// The keys of the account with this seed.
    pub(super) fn new(seed: &Secret<32>, rng: Rng) -> Self {
        let lookup = derive(&[], seed.expose(), Label::StoreLookup, &[]);
        let seal = derive(&[], seed.expose(), Label::StoreRow, &[]);
        // No id has as many milliseconds.
        let moment = Cell::new((u64::MAX, [0; OF_ID]));
        Self { lookup, seal, rng, moment }
    }

    pub(super) fn contact_key(&self, name: &Name) -> Key {
        first(&authenticate(self.lookup.expose(), &[b"contact", name.as_bytes()]))
    }

    /// The key of a message.
    pub(super) fn message_key(&self, mine: bool, with: &Name, id: MessageId) -> Key {
        let of_id = authenticate(self.lookup.expose(), &[b"id", &id.0]);
        let (of_id, rest) = of_id.expose().split_at(OF_WHOM - OF_ID);
        // An id is used once by one sender, whoever the addressee is.
        let whose: &[&[u8]] = if mine { &[b"out"] } else { &[b"in", with.as_bytes()] };
        let of_whom = authenticate(rest, whose);
        let mut key = [0; 16];
        key[..OF_ID].copy_from_slice(&self.of_moment(id));
        key[OF_ID..OF_WHOM].copy_from_slice(of_id);
        key[OF_WHOM..].copy_from_slice(&of_whom.expose()[..16 - OF_WHOM]);
        key
    }

    /// The least and the greatest key that a message with this id can have.
    pub(super) fn id_range(&self, id: MessageId) -> (Key, Key) {
        let of_id = authenticate(self.lookup.expose(), &[b"id", &id.0]);
        let (mut least, mut greatest) = ([0; 16], [0xff; 16]);
        for key in [&mut least, &mut greatest] {
            key[..OF_ID].copy_from_slice(&self.of_moment(id));
            key[OF_ID..OF_WHOM].copy_from_slice(&of_id.expose()[..OF_WHOM - OF_ID]);
        }
        (least, greatest)
    }

    fn of_moment(&self, id: MessageId) -> [u8; OF_ID] {
        let mut millis = [0; 8];
        millis[2..].copy_from_slice(&id.0[..6]);
        let moment = u64::from_be_bytes(millis) >> MOMENT;
        let (last, key) = self.moment.get();
        if last == moment {
            return key;
        }
        let of_moment = authenticate(self.lookup.expose(), &[b"moment", &moment.to_be_bytes()]);
        let mut key = [0; OF_ID];
        key.copy_from_slice(&of_moment.expose()[..OF_ID]);
        self.moment.set((moment, key));
        key
    }

    pub(super) fn seal_contact(&mut self, key: &Key, contact: &Contact) -> Vec<u8> {
        self.seal(&contact_place(key), wire::encode(contact))
    }

    pub(super) fn open_contact(&self, key: &[u8], sealed: &[u8]) -> Option<Contact> {
        wire::decode(&self.open(&contact_place(key), sealed)?).ok()
    }

    pub(super) fn seal_talk(&mut self, id: i64, talk: &Talk) -> Vec<u8> {
        self.seal(&talk_place(id), wire::encode(talk))
    }

    pub(super) fn open_talk(&self, id: i64, sealed: &[u8]) -> Option<Talk> {
        wire::decode(&self.open(&talk_place(id), sealed)?).ok()
    }

    pub(super) fn seal_message(
        &mut self,
        (seq, key, conversation): (u64, &Key, i64),
        contents: &Contents,
    ) -> Vec<u8> {
        self.seal(&message_place(seq, key, conversation), wire::encode(contents))
    }

    pub(super) fn open_message(&self, row: &Row) -> Option<Contents> {
        let place = message_place(row.seq, &row.key, row.conversation);
        wire::decode(&self.open(&place, &row.sealed)?).ok()
    }

    pub(super) fn seal_block(&mut self, first: u64, last: u64, block: Vec<u8>) -> Vec<u8> {
        self.seal(&block_place(first, last), block)
    }

    pub(super) fn open_block(
        &self,
        first: u64,
        last: u64,
        sealed: &[u8],
    ) -> Option<Zeroizing<Vec<u8>>> {
        self.open(&block_place(first, last), sealed)
    }

    /// What version 1 sealed under `key` in its table of messages.
    pub(super) fn open_first_version(
        &self,
        key: &[u8],
        sealed: &[u8],
    ) -> Option<Zeroizing<Vec<u8>>> {
        self.open(&[b"message", key].concat(), sealed)
    }

    fn seal(&mut self, place: &[u8], contents: Vec<u8>) -> Vec<u8> {
        let mut contents = Zeroizing::new(contents);
        contents.push(0x80);
        let padded = contents.len().next_multiple_of(STEP_BYTES);
        contents.resize(padded, 0);
        // A row opens at its own place only.
        seal_at_rest(&mut self.rng, &self.seal, place, &contents)
    }

    fn open(&self, place: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let mut contents = Zeroizing::new(open_at_rest(&self.seal, place, sealed)?);
        let end = contents.iter().rposition(|byte| *byte != 0)?;
        contents.truncate(end);
        Some(contents)
    }
}

fn first(long: &Secret<32>) -> Key {
    let mut key = [0; 16];
    key.copy_from_slice(&long.expose()[..16]);
    key
}

fn contact_place(key: &[u8]) -> Vec<u8> {
    [b"contact", key].concat()
}

fn talk_place(id: i64) -> [u8; 12] {
    let mut place = *b"talk\0\0\0\0\0\0\0\0";
    place[4..].copy_from_slice(&id.to_be_bytes());
    place
}

fn message_place(seq: u64, key: &Key, conversation: i64) -> [u8; 35] {
    let mut place = [0; 35];
    place[..3].copy_from_slice(b"msg");
    place[3..11].copy_from_slice(&seq.to_be_bytes());
    place[11..27].copy_from_slice(key);
    place[27..].copy_from_slice(&conversation.to_be_bytes());
    place
}

fn block_place(first: u64, last: u64) -> [u8; 21] {
    let mut place = [0; 21];
    place[..5].copy_from_slice(b"block");
    place[5..13].copy_from_slice(&first.to_be_bytes());
    place[13..].copy_from_slice(&last.to_be_bytes());
    place
}
