//! One person's machine: the agent that runs on it, its disk, and the network it holds.

use std::{collections::BTreeMap, net::SocketAddr};

use super::{
    disk::{Disk, Platter},
    driver::Crash,
};
use crate::{
    crypto::{secret::Secret, sign::SignKey},
    knock::KnockKey,
    login::SessionKey,
    name::Name,
    node::{Dial, Event, Guess, Node},
    reach::Probe,
    ticket::AttemptId,
    wire::server::SessionId,
};

#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) name: Name,
    pub(crate) address: SocketAddr,
    /// The agent, while it runs.
    pub(crate) node: Option<Node>,
    pub(crate) keys: Keys,
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
    pub(crate) dials: BTreeMap<AttemptId, Vec<Dial>>,
    /// What it was to do to find others by guessing.
    pub(crate) guesses: Vec<Guess>,
    /// What it was to show the server.
    pub(crate) probes: Vec<Probe>,
    /// After how many more outputs the agent dies.
    pub(crate) crash_after: Option<usize>,
    /// And how.
    pub(crate) crash: Crash,
    pub(crate) driver: Driver,
    /// What of the disk would survive a power cut, under any driver but the eager one.
    pub(crate) platter: Platter,
    /// Whether the disk takes nothing more.
    pub(crate) full: bool,
    /// The connection on which the session is being continued, and its key.
    pub(crate) resuming: Option<(u64, SessionKey)>,
    /// Whether the server has ended the session, so that only a password helps.
    pub(crate) ended: bool,
    /// Whether the node has taken something in and has not been asked what is to be done.
    pub(super) unsettled: bool,
}

impl Machine {
    /// Whether everything that the node has asked for is done.
    pub(crate) const fn is_settled(&self) -> bool {
        !self.unsettled
    }
}

/// How the outputs of a node are carried out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Driver {
    /// At once, one by one.
    Eager,
    /// Some time later, one by one, each store flushed for itself.
    Ordered,
    /// Some time later, everything that has gathered together: all stores in one transaction, then the
    /// rest. As the agent that ships does it.
    Batching,
}

#[derive(Debug)]
pub(crate) struct OpenDoor {
    pub(crate) certificate: [u8; 32],
    pub(crate) knock: KnockKey,
}

/// What a machine has of its account, once and for all or from its last login.
#[derive(Debug)]
pub(crate) struct Keys {
    pub(crate) seed: Secret<32>,
    pub(crate) vault_key: Secret<32>,
    pub(crate) device: SignKey,
    pub(crate) session: SessionId,
}
