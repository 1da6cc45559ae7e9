//! One attempt at reaching one person: what is known of it, and how far it has come.

use std::{collections::BTreeMap, net::SocketAddr};

use super::{Conn, resumption::Resuming, rounds::Round};
use crate::{
    crypto::secret::Secret,
    handshake::{Agreed, ExpectSecond, Heard},
    limits::{ATTEMPT_TIMEOUT, PATH_PATIENCE, PRESENCE_GRACE},
    name::Name,
    session::Session,
    time::Time,
    wire::server::Door,
};

/// One attempt at reaching one person.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) name: Name,
    pub(super) expires: Time,
    pub(super) state: State,
    /// When whoever waits is told that it takes long, if they have not been.
    pub(super) warns: Option<Time>,
    pub(super) round: Round,
    /// Whether the other end's translator shows it to us elsewhere than to the server, if the server has said so.
    pub(super) dependent: Option<bool>,
    /// Whether it is to begin anew as soon as its door is open and the caller has its answer.
    pub(super) outdated: bool,
    /// Whether it has been decided that something is guessed, or that nothing is.
    pub(super) guessed: bool,
    /// Whether somebody has answered who is not the other end.
    pub(super) met_another: bool,
    /// This machine's own addresses.
    pub(super) own: Vec<SocketAddr>,
    /// Where the other end is being dialled already.
    pub(super) dialled: Vec<SocketAddr>,
    /// Connections that came before the handshake was done; for the caller, who speaks first.
    pub(super) links: Vec<Link>,
    /// Sessions that the caller may choose to speak on; for the callee, who waits.
    pub(super) sessions: BTreeMap<Conn, (Session, SocketAddr)>,
}

/// A direct connection that an attempt has led to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub(super) conn: Conn,
    pub(super) exporter: [u8; 32],
    pub(super) certificate: [u8; 32],
    pub(super) remote: SocketAddr,
}

#[derive(Debug)]
pub(super) enum State {
    /// The caller's door is being opened.
    CallerOpening { knock: Secret<32> },
    /// The server has been asked.
    Asking { handshake: Box<ExpectSecond>, certificate: [u8; 32] },
    /// The callee's door is being opened.
    CalleeOpening { knock: Secret<32>, heard: Box<Heard>, secret: Secret<32>, door: Door },
    /// Both hold the same keys; a connection is missing.
    Agreed { agreed: Agreed, caller: bool, certificate: [u8; 32] },
    /// The server is gone, and nobody is asked.
    Resuming(Box<Resuming>),
}

impl Attempt {
    /// When it has to be looked after.
    pub(super) fn deadline(&self) -> Time {
        [self.warns, self.round.ends()].into_iter().flatten().fold(self.expires, Time::min)
    }

    /// Whether we ask, and have heard nothing.
    pub(super) fn is_asking(&self) -> bool {
        matches!(self.state, State::CallerOpening { .. } | State::Asking { .. })
    }

    /// Whether both ends know of it, and no connection has come of it yet.
    pub(super) fn has_led_nowhere(&self) -> bool {
        let opening = matches!(self.state, State::CallerOpening { .. }) || self.is_unanswered();
        !opening && self.links.is_empty() && self.sessions.is_empty()
    }

    /// Whether the caller waits for an answer until our door is open.
    pub(super) const fn is_unanswered(&self) -> bool {
        matches!(self.state, State::CalleeOpening { .. })
    }

    /// Whether it was begun a while ago.
    pub(super) fn is_old(&self, now: Time) -> bool {
        now + ATTEMPT_TIMEOUT >= self.expires + PRESENCE_GRACE
    }

    pub(super) fn new(now: Time, name: &Name, state: State) -> Self {
        Self {
            name: name.clone(),
            expires: now + ATTEMPT_TIMEOUT,
            state,
            warns: Some(now + PATH_PATIENCE),
            round: Round::First { ends: None },
            dependent: None,
            outdated: false,
            guessed: false,
            met_another: false,
            own: Vec::new(),
            dialled: Vec::new(),
            links: Vec::new(),
            sessions: BTreeMap::new(),
        }
    }
}
