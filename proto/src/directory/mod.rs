//! The server's half: who may log in, who is there, who has accepted whom, who is introduced.
//!
//! There is one [`Session`] for each connection and nothing above them: sessions of different people
//! speak to each other in [`Signal`]s, which the driver routes by name. The driver also performs
//! [`Task`]s, one at a time for each session; what a task changes is durable before its [`Outcome`]
//! comes back, so no answer claims what a power cut could take away.

mod introductions;
mod open;
mod session;
mod tasks;
#[cfg(test)]
mod tests;

pub use session::{Input, Output, Session, Settings};
pub use tasks::{Account, NewAccount, NewSession, Outcome, StoredNote, Task};

use crate::{
    crypto::secret::Secret,
    identity::Entry,
    name::Name,
    note::NoteKind,
    ticket::AttemptId,
    wire::server::{Door, SessionId},
};

/// What one person has said about another, as the server keeps it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Consent {
    /// They may see when the person is there, and be introduced.
    Accepted,
    /// They may not, and they are not told.
    Blocked,
    /// The person would like to be accepted by them.
    Requested,
}

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
    },
    /// The sender's consent has changed this way.
    Consent {
        /// Who says so.
        from: Name,
        /// What the addressee's own consent is now, if this changed it.
        yours: Option<Consent>,
        /// What the sender's is; `None` if there is none any more.
        theirs: Option<Consent>,
    },
    /// The callee does not agree to an introduction.
    Decline {
        /// Which.
        attempt: AttemptId,
        /// Who says so.
        from: Name,
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
    /// Another connection speaks for this account now.
    Replaced {
        /// Its session. The same one means that the same device has come back.
        by: SessionId,
    },
    /// The server shuts down.
    Drain,
}
