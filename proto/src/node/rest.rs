//! Paths that nobody uses: put to sleep by agreement while both ends can be introduced to each other again, so that nobody
//! pays for life signs, and woken by whoever has something to say.
//!
//! The connection and its session stay as they are, and nothing passes. What wakes it says so at once, beside an
//! introduction: whichever leads there first. The introduction tells the other end, which says something in turn; that lets
//! the waking through where a translator stands in front of it.

use std::time::Duration;

use super::{Conn, Event, Node, Output, peers::Peer};
use crate::{
    limits::{ATTEMPT_TIMEOUT, SLEEPING_MAX, WAKES_UNOPENED_MAX},
    name::Name,
    time::Time,
    wire::{self, peer::Content},
};

/// Whether anything is to be heard on a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Alertness {
    Awake,
    /// This end has proposed to rest, and nothing has been said since.
    Drowsy,
    Asleep,
    /// Something has been said to wake the other end, which may not be there any more.
    Waking {
        until: Time,
    },
}

impl Alertness {
    /// Something was said.
    pub(super) fn stir(&mut self) {
        if *self == Self::Drowsy {
            *self = Self::Awake;
        }
    }

    /// Whether nothing has been heard since it fell asleep.
    pub(super) const fn sleeps(self) -> bool {
        matches!(self, Self::Asleep | Self::Waking { .. })
    }

    /// When the other end has not woken.
    pub(super) const fn gives_up(self) -> Option<Time> {
        match self {
            Self::Waking { until } => Some(until),
            Self::Awake | Self::Drowsy | Self::Asleep => None,
        }
    }
}

impl Node {
    /// Decides how long a path that nobody uses is kept alive, from the next word on it on. Whichever end has less patience
    /// proposes that it rests, and the other agrees if half of its own is over.
    pub const fn set_rest_after(&mut self, rest_after: Duration) {
        self.rest_after = rest_after;
    }

    /// Nobody has said anything on a path for long. The other end decides: what waits there is not known here, nor
    /// whether it has a server.
    pub(super) fn propose_rest(&mut self, now: Time, conn: Conn, name: &Name) {
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.rest = now + self.rest_after;
        }
        if self.can_do_without_path(name) {
            self.say(now, conn, &Content::Rest);
            if let Some(peer) = self.peers.get_mut(&conn) {
                peer.alertness = Alertness::Drowsy;
            }
        }
    }

    /// The other end has had nothing to say for long, or agrees that nobody has.
    pub(super) fn asked_to_rest(&mut self, now: Time, conn: Conn) {
        let Some(peer) = self.peers.get(&conn) else { return };
        let agreed = peer.alertness == Alertness::Drowsy;
        let rests = if agreed {
            self.can_do_without_path(&peer.name)
        } else {
            self.agrees_to_rest(now, conn)
        };
        if !rests {
            return;
        }
        let asleep = self.peers.values().filter(|peer| peer.alertness.sleeps()).count();
        if asleep >= SLEEPING_MAX {
            return self.drop_path(now, conn);
        }
        if !agreed {
            self.say(now, conn, &Content::Rest);
        }
        self.fall_asleep(conn);
    }

    /// Whether a path may rest when the other end asks for it. The two ends do not hear the last word at the same
    /// moment, so half of the time is enough here.
    pub(super) fn agrees_to_rest(&self, now: Time, conn: Conn) -> bool {
        self.peers.get(&conn).is_some_and(|peer| {
            peer.busy + self.rest_after / 2 <= now && self.can_do_without_path(&peer.name)
        })
    }

    /// Says something on a path that sleeps: what waits, or that this end is there.
    pub(super) fn wake(&mut self, now: Time, name: &Name) {
        let Some(conn) = self.asleep(name) else { return };
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        if peer.alertness != Alertness::Asleep {
            return;
        }
        peer.alertness = Alertness::Waking { until: now + ATTEMPT_TIMEOUT };
        let next = self.outboxes.get(name).and_then(super::Outbox::next);
        let waits = next.is_some();
        let content = next.map_or(Content::Hello, |message| Content::Message(message.clone()));
        match peer.session.seal_wake(now, &mut self.rng, wire::encode(&content)) {
            Ok(frame) => {
                if let Some(outbox) = self.outboxes.get_mut(name).filter(|_| waits) {
                    outbox.advance(frame.len());
                }
                self.outputs.push_back(Output::Awake(conn));
                self.outputs.push_back(Output::Wake { conn, frame });
            }
            Err(_) => self.end_sleep(name),
        }
    }

    /// What wakes a path has come. It comes more than once, so what does not open has opened before.
    pub(super) fn peer_wakes(&mut self, now: Time, conn: Conn, frame: &[u8]) {
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        let content = Peer::open(&mut peer.session, now, frame);
        peer.unopened = if content.is_ok() { 0 } else { peer.unopened + 1 };
        if content.is_ok() || peer.unopened > WAKES_UNOPENED_MAX {
            self.take_in(now, conn, content);
        }
    }

    /// The other end has said something: if the path slept, it does not any more.
    pub(super) fn awaken(&mut self, now: Time, conn: Conn) {
        let rest_after = self.rest_after;
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        if !peer.alertness.sleeps() {
            return;
        }
        let was_asleep = peer.alertness == Alertness::Asleep;
        (peer.alertness, peer.busy, peer.rest) = (Alertness::Awake, now, now + rest_after);
        let (name, remote) = (peer.name.clone(), peer.remote);
        if was_asleep {
            self.outputs.push_back(Output::Awake(conn));
        }
        self.paths.insert(name.clone(), conn);
        self.missed.remove(&name);
        self.failures.remove(&name);
        self.abort_attempts(|attempt| attempt.name == name);
        // The other end may have been woken by nothing yet.
        self.say(now, conn, &Content::Hello);
        self.event(Event::PathUp(name.clone(), remote));
        // What woke it may be lost. If not, it changes nothing.
        self.lose_path(&name);
        self.flush(now, &name);
        self.seek_paths(now);
    }

    /// Closes what sleeps and is of no use any more. Nobody leaves on purpose, so nothing is said.
    pub(super) fn end_sleep(&mut self, name: &Name) {
        if let Some(conn) = self.asleep(name) {
            self.outputs.push_back(Output::ClosePeer(conn));
            self.peers.remove(&conn);
            self.lose_path(name);
        }
    }

    fn fall_asleep(&mut self, conn: Conn) {
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        let name = peer.name.clone();
        if self.paths.get(&name) == Some(&conn) {
            peer.alertness = Alertness::Asleep;
            self.paths.remove(&name);
            self.outputs.push_back(Output::Sleep(conn));
            self.event(Event::PathDown(name));
        }
    }

    /// The connection to somebody that sleeps.
    pub(super) fn asleep(&self, name: &Name) -> Option<Conn> {
        let asleep = |peer: &Peer| peer.name == *name && peer.alertness.sleeps();
        self.peers.iter().find_map(|(conn, peer)| asleep(peer).then_some(*conn))
    }

    /// Whether nothing waits for somebody who can be introduced again as soon as something does.
    fn can_do_without_path(&self, name: &Name) -> bool {
        self.server_up && self.present.contains_key(name) && !self.is_missed(name)
    }
}
