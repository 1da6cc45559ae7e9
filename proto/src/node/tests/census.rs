//! What a node holds, for those who watch that it stays within its bounds, and what a node can be made to
//! say that it never would.

use crate::{
    name::Name,
    node::{Conn, Node},
    time::Time,
    wire::peer::Content,
};

/// How much there is of everything that somebody else can make a node hold.
#[derive(Debug)]
pub(crate) struct Census {
    /// Whom attempts are with.
    pub(crate) attempts: Vec<Name>,
    pub(crate) contacts: usize,
    pub(crate) outputs: usize,
    /// The most receipts that one peer is owed.
    pub(crate) owed: usize,
    pub(crate) peers: usize,
    pub(crate) requests: usize,
    /// The most messages that wait for one person.
    pub(crate) waiting: usize,
    /// The most of them that are written to a path.
    pub(crate) in_flight: usize,
    /// Everybody to whom there is a path, or one that sleeps.
    pub(crate) paths: Vec<Name>,
}

impl Node {
    pub(crate) fn census(&self) -> Census {
        let outboxes = self.outboxes.values();
        let written =
            outboxes.clone().map(|outbox| outbox.iter().filter(|(_, sent)| *sent).count());
        Census {
            attempts: self.attempts.values().map(|attempt| attempt.name.clone()).collect(),
            contacts: self.contacts.len(),
            outputs: self.outputs.len(),
            owed: self.peers.values().map(|peer| peer.owed.len()).max().unwrap_or(0),
            peers: self.peers.len(),
            requests: self.requests.len(),
            waiting: outboxes.map(super::super::Outbox::len).max().unwrap_or(0),
            in_flight: written.max().unwrap_or(0),
            paths: self.peers.values().map(|peer| peer.name.clone()).collect(),
        }
    }

    /// Whether there is a session on this connection.
    pub(crate) fn stands(&self, conn: Conn) -> bool {
        self.peers.contains_key(&conn)
    }

    /// Whether the session on this connection sleeps.
    pub(crate) fn sleeps(&self, conn: Conn) -> bool {
        self.peers.get(&conn).is_some_and(|peer| peer.alertness.sleeps())
    }

    /// Whether it gives this connection up if the other end has nothing to say either.
    pub(crate) fn may_rest(&self, now: Time, conn: Conn) -> bool {
        self.agrees_to_rest(now, conn)
    }

    /// Says something, well sealed, that only a liar would say.
    pub(crate) fn lie(&mut self, now: Time, conn: Conn, content: &Content) {
        self.say(now, conn, content);
    }

    /// Tries a frame that nobody has sent on a session, behind the back of the node. True if it opens.
    pub(crate) fn opens(&mut self, now: Time, conn: Conn, frame: &[u8]) -> bool {
        self.peers.get_mut(&conn).is_some_and(|peer| peer.session.open(now, frame).is_ok())
    }
}
