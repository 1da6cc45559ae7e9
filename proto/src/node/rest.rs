//! Paths that nobody uses: closed by agreement while both ends can be introduced to each other again, so that nobody pays
//! for life signs.

use super::{Conn, Node};
use crate::{limits::REST_AFTER, name::Name, time::Time, wire::peer::Content};

impl Node {
    /// Nobody has said anything on a path for long. The other end decides: what waits there is not known here, nor
    /// whether it has a server.
    pub(super) fn propose_rest(&mut self, now: Time, conn: Conn, name: &Name) {
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.rest = now + REST_AFTER;
        }
        if self.can_do_without_path(name) {
            self.say(now, conn, &Content::Rest);
        }
    }

    /// The other end has had nothing to say for long. Whatever it says meanwhile comes by the next path.
    pub(super) fn asked_to_rest(&mut self, now: Time, conn: Conn) {
        if self.agrees_to_rest(now, conn) {
            self.drop_path(now, conn);
        }
    }

    /// Whether a path may be closed when the other end asks for it. The two ends do not hear the last word at the same
    /// moment, so half of the time is enough here.
    pub(super) fn agrees_to_rest(&self, now: Time, conn: Conn) -> bool {
        self.peers.get(&conn).is_some_and(|peer| {
            peer.busy + REST_AFTER / 2 <= now && self.can_do_without_path(&peer.name)
        })
    }

    /// Whether nothing waits for somebody who can be introduced again as soon as something does.
    fn can_do_without_path(&self, name: &Name) -> bool {
        self.server_up && self.present.contains_key(name) && !self.is_missed(name)
    }
}
