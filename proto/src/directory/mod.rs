//! The server's half: who may log in, who is there, who has accepted whom, who is introduced.
//!
//! There is one [`Session`] for each connection and nothing above them: sessions of different people
//! speak to each other in [`Signal`]s, which the driver routes by name. The driver also performs
//! [`Task`]s, one at a time for each session; what a task changes is durable before its [`Outcome`]
//! comes back, so no answer claims what a power cut could take away.
//!
//! What two people have said about each other is known in three places: the storage and the sessions of
//! both. Whoever changes it tells the other's session, with the [`Revision`] of the change, and no session
//! lets an older one undo a newer one. So both sessions come to know what is stored, in whatever order
//! things reach them. What a replaced connection still had under way is the exception: the other person's
//! session hears of it, the newer one of the same person loads it with the next login. As either session
//! can keep two people apart, nobody is shown too much by that.

mod introductions;
mod open;
mod proof;
mod reach;
mod session;
mod tasks;
#[cfg(test)]
mod tests;

pub use session::{Input, Output, Session, Settings};
pub use tasks::{Account, NewAccount, NewCode, NewPassword, NewSession, Outcome, StoredNote, Task};

use std::net::SocketAddr;

use crate::{
    crypto::secret::Secret,
    identity::Entry,
    name::Name,
    note::NoteKind,
    ticket::AttemptId,
    wire::server::{Candidate, Door, Nat, SessionId},
};

/// What one person has said about another, as the server keeps it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Consent {
    /// They may see when the person is there, and be introduced.
    Accepted,
    /// They may not, and they are not told.
    Blocked,
    /// The person would have liked to be accepted by them, and was not. This grants nothing and asks for
    /// nothing, but takes room like a request: or whoever counts their room would learn the answer.
    Declined,
    /// The person would like to be accepted by them.
    Requested,
}

/// What two people have said about each other, seen from one of them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Consents {
    /// What this one has said about the other.
    pub mine: Option<Consent>,
    /// What the other has said about this one.
    pub theirs: Option<Consent>,
    /// When it was so.
    pub revision: Revision,
}

impl Consents {
    /// The same, seen from the other.
    #[must_use]
    pub const fn swapped(self) -> Self {
        Self { mine: self.theirs, theirs: self.mine, revision: self.revision }
    }

    /// Whether each has accepted the other. Only then do they see and reach each other.
    pub fn mutual(self) -> bool {
        [self.mine, self.theirs] == [Some(Consent::Accepted); 2]
    }
}

/// A place in the order in which the storage has changed since it was opened: what was read or written at
/// a greater one is newer.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Revision(pub u64);

/// What one person's session tells another's. The driver drops a signal whose addressee is not there,
/// except that an [`Signal::Ask`] comes back to its sender as [`Input::Unrouted`].
#[derive(Debug)]
pub enum Signal {
    /// The callee's answer to an introduction.
    Answer {
        /// Which.
        attempt: AttemptId,
        /// The callee's directory entry.
        callee: Entry,
        /// The callee's door.
        door: Door,
        /// The second handshake message.
        second: Vec<u8>,
        /// What stands in front of the callee. The caller's client is not told.
        nat: Nat,
    },
    /// A request to be introduced.
    Ask {
        /// Which.
        attempt: AttemptId,
        /// The caller's directory entry.
        caller: Entry,
        /// The ticket's secret.
        secret: Secret<32>,
        /// The caller's door.
        door: Door,
        /// The first handshake message.
        first: Vec<u8>,
        /// As in [`crate::wire::server::Reply::Asked`].
        dependent: Option<bool>,
    },
    /// The sender has changed what the two have said about each other. It stays within the server: of all
    /// this the addressee's client is told when the sender is there, and nothing else.
    Consent {
        /// Who.
        from: Name,
        /// What they have now said, seen from the addressee.
        consents: Consents,
    },
    /// The callee does not agree to an introduction.
    Decline {
        /// Which.
        attempt: AttemptId,
        /// Who says so.
        from: Name,
    },
    /// The account is deleted.
    Deleted,
    /// A session is deleted, on another connection than this goes to: the one that speaks for the account now.
    /// It ends with the session if that is its own.
    Ended {
        /// Which.
        session: SessionId,
    },
    /// The sender is being asked about an introduction, and this is where it is.
    Meet {
        /// Which.
        attempt: AttemptId,
        /// Who is asked.
        from: Name,
        /// Where the server sees them.
        candidates: Vec<Candidate>,
        /// Whether their translator shows them to others elsewhere.
        dependent: bool,
    },
    /// A contact note has been stored for the addressee.
    Note {
        /// Its number.
        number: u64,
        /// From whom.
        from: Name,
        /// What it says.
        kind: NoteKind,
        /// The sealed note.
        sealed: Vec<u8>,
    },
    /// The sender has gone.
    Offline {
        /// Who.
        from: Name,
    },
    /// The sender is there.
    Online {
        /// Who.
        from: Name,
        /// Whether the sender would like to know the same of the addressee.
        answer: bool,
    },
    /// Another connection speaks for this account: one that was opened later.
    Replaced {
        /// Its session. The same one means that the same device has come back.
        by: SessionId,
    },
    /// A datagram of this session's client has come to the second port.
    Probed {
        /// From where.
        from: SocketAddr,
        /// Whether from another socket than the connection.
        fresh: bool,
    },
    /// The server shuts down.
    Drain,
}
