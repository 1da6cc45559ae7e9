//! Messages as the rest of the agent sees them.

use hither_proto::{id::MessageId, message::Body, name::Name, time::UnixTime};

use super::{
    read::Loaded,
    rows::{Contents, Reaction},
};

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
    /// Its addressee has read it.
    ReadByPeer = 5,
    /// It has come and is about another message or the conversation, so that nobody has to read it.
    Noted = 6,
    /// Nothing is left of it but that it was there.
    Erased = 7,
}

/// The number of something that is to be delivered and then settled, because it is about another message
/// or never shown: what [`State::Queued`] is for texts.
pub(super) const QUEUED_EFFECT: u8 = 8;

impl State {
    /// The state with this number.
    pub(super) const fn of(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Unread,
            1 => Self::Read,
            2 | QUEUED_EFFECT => Self::Queued,
            3 => Self::Delivered,
            4 => Self::Cancelled,
            5 => Self::ReadByPeer,
            6 => Self::Noted,
            7 => Self::Erased,
            _ => return None,
        })
    }
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
    /// Whether this account wrote it.
    pub(in crate::agent) mine: bool,
    /// Where it stands.
    pub(in crate::agent) state: State,
    /// The sender's clock.
    pub(in crate::agent) sent_at: UnixTime,
    /// This machine's clock when it was stored.
    pub(in crate::agent) stored_at: UnixTime,
    /// What its writer had seen of the other person.
    pub(in crate::agent) seen: Option<MessageId>,
    /// What is said, in its last wording. An edit that is applied holds no text, an erased message
    /// nothing at all.
    pub(in crate::agent) body: Body,
    /// Whether it is worded anew.
    pub(in crate::agent) edited: bool,
    /// Signs on it.
    pub(in crate::agent) reactions: Vec<Reaction>,
    /// When it disappears, if its time is running.
    pub(in crate::agent) expires_at: Option<UnixTime>,
}

impl From<Loaded> for Message {
    fn from(loaded: Loaded) -> Self {
        let Loaded { seq, state, expires, contents, .. } = loaded;
        let Contents { with, mine, stored_at, said, edited, reactions, .. } = contents;
        let running = expires.and_then(|at| u64::try_from(at).ok());
        Self {
            seq,
            with,
            id: said.id,
            mine,
            // Rows of other numbers are not loaded.
            state: State::of(state).unwrap_or(State::Erased),
            sent_at: UnixTime::from_millis(said.sent_at),
            stored_at: UnixTime::from_millis(stored_at),
            seen: said.seen,
            body: said.body,
            edited,
            reactions,
            expires_at: running.map(UnixTime::from_millis),
        }
    }
}
