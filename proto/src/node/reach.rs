//! Where this person is, as the server sees it; whom they let know; and what becomes of paths when it changes.

use std::{net::SocketAddr, time::Duration};

use super::{Conn, Event, Node, Output, Refused, attempt::Attempt};
use crate::{
    limits::{OWN_CANDIDATES_MAX, RESUMPTION_PAUSE_MAX, RETRY_PAUSE_MAX, RETRY_PAUSE_MIN},
    name::Name,
    reach::{Mapping, Policy, Probe, Scope},
    ticket::AttemptId,
    time::Time,
    vault::{Contact, Standing},
    wire::server::{Candidate, Nat, Observer, Request},
};

/// Why messages go on waiting.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Hold {
    /// The contact is not there, says the server.
    Offline,
    /// The contact is there, and no direct path was found.
    NoPath(NoPath),
    /// There is no connection to the server, who would introduce us.
    ServerGone,
}

/// Why no direct path was found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NoPath {
    /// The contact's agent said where it can be found, and nothing answered there.
    Timeout,
    /// A path was found, and what answered there did not prove to be the contact.
    HandshakeFailed,
    /// The policy for this contact allows none.
    Policy,
    /// The translators of both show them to each other at addresses that nobody can know.
    BothDependent,
    /// The translator of one of them does, and that of the other lets nobody in who is not expected.
    Dependent,
}

/// What an attempt that came to nothing has shown of the other end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TheirEnd {
    /// Whether its translator shows it to us elsewhere than to the server.
    pub dependent: bool,
    /// Whether it has offered an IPv6 address of the Internet.
    pub ipv6: bool,
}

/// When to try somebody again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retry {
    pub(super) next: Time,
    pause: Duration,
}

/// Where the server sees this client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    at: SocketAddr,
    again: Option<SocketAddr>,
    step: Option<i32>,
    observer: Option<Observer>,
}

impl Seen {
    pub(super) fn mapping(&self) -> Mapping {
        Mapping::of(self.at, self.again, self.step)
    }
}

impl Node {
    /// Where the server sees this client, and how its translator works.
    pub fn seen(&self) -> Option<(SocketAddr, Mapping)> {
        self.seen.as_ref().map(|seen| (seen.at, seen.mapping()))
    }

    /// Where this client may ask the server how it is seen.
    pub fn observer(&self) -> Option<Observer> {
        self.seen.map_or(self.shown, |seen| seen.observer)
    }

    /// What stands in front of this machine, for the server's counts.
    pub fn set_nat(&mut self, nat: Nat) {
        if std::mem::replace(&mut self.nat, nat) != nat {
            self.tell_reach();
        }
    }

    /// Where the Internet sees this machine without a translator in between, beside where the server sees it. Callers who
    /// may know it need not wait for this client's answer to dial it there.
    pub fn set_global(&mut self, mut global: Vec<SocketAddr>) {
        global.retain(|at| Scope::of(at.ip()) == Scope::Global);
        global.truncate(OWN_CANDIDATES_MAX);
        if self.global != global {
            self.global = global;
            self.tell_reach();
        }
    }

    /// Keeps what an attempt that has come to nothing has shown, and tells the server of it. Attempts that the server has
    /// not granted to us it does not count.
    pub(super) fn note_failure(&mut self, id: AttemptId, name: &Name) {
        self.note_their_end(id, name);
        self.tell_outcome(id, false);
    }

    /// Keeps what an attempt has shown of the other end, for whoever asks what would help.
    pub(super) fn note_their_end(&mut self, id: AttemptId, name: &Name) {
        let Some(attempt) = self.attempts.get(&id) else { return };
        let global_v6 = |at: &SocketAddr| at.is_ipv6() && Scope::of(at.ip()) == Scope::Global;
        let ipv6 = attempt.dialled.iter().any(global_v6);
        let end = TheirEnd { dependent: attempt.dependent == Some(true), ipv6 };
        self.their_ends.insert(name.clone(), end);
    }

    /// Tells the server, who counts it, what has become of an introduction.
    pub(super) fn tell_outcome(&mut self, attempt: AttemptId, connected: bool) {
        if self.server_up {
            self.tell_server(&Request::Outcome { attempt, connected });
        }
    }

    /// Why the last attempt at reaching somebody came to nothing.
    pub fn no_path(&self, name: &Name) -> Option<NoPath> {
        self.failures.get(name).copied()
    }

    /// What stands in the way of an attempt that has come to nothing yet.
    pub(super) fn why_no_path(&self, id: AttemptId) -> NoPath {
        let attempt = self.attempts.get(&id);
        if attempt.is_some_and(|attempt| attempt.met_another) {
            return NoPath::HandshakeFailed;
        }
        let mine = self.seen.as_ref().is_some_and(|seen| seen.mapping().is_dependent());
        let theirs = attempt.is_some_and(|attempt| attempt.dependent == Some(true));
        match (mine, theirs) {
            (true, true) => NoPath::BothDependent,
            (true, false) | (false, true) => NoPath::Dependent,
            (false, false) => NoPath::Timeout,
        }
    }

    /// Puts off the next attempt, longer each time.
    pub(super) fn pause(&mut self, now: Time, name: &Name) {
        // Without a server to synchronise them, the two must not go by turns.
        let longest = if self.server_up { RETRY_PAUSE_MAX } else { RESUMPTION_PAUSE_MAX };
        let pause =
            self.retries.get(name).map_or(RETRY_PAUSE_MIN, |retry| (retry.pause * 2).min(longest));
        self.retries.insert(name.clone(), Retry { next: now + pause, pause });
    }

    /// Says why what waits for somebody goes on waiting, if anything does.
    pub(super) fn hold(&mut self, name: Name, why: Hold) {
        if self.outboxes.get(&name).is_some_and(|outbox| !outbox.is_empty()) {
            self.event(Event::Held(name, why));
        }
    }

    /// What that attempt has shown of the other end.
    pub fn their_end(&self, name: &Name) -> Option<TheirEnd> {
        self.their_ends.get(name).copied()
    }

    /// Seeks a path to somebody for whom nothing waits.
    pub fn seek(&mut self, now: Time, name: &Name) {
        let there = self.present.contains_key(name) && self.is_friend(name);
        if there && !self.paths.contains_key(name) {
            self.failures.remove(name);
            self.retries.remove(name);
            self.missed.insert(name.clone());
            self.seek_path(now, name);
        }
    }

    /// The server says where it sees this client. Until it has seen it on its second port too, it is shown
    /// there, from two sockets; and once more if that shows a translator which may be regular.
    pub(super) fn observed(
        &mut self,
        now: Time,
        at: SocketAddr,
        again: Option<SocketAddr>,
        step: Option<i32>,
        observer: Option<Observer>,
    ) {
        let seen = Seen { at, again, step, observer };
        let before = self.seen.replace(seen);
        if before.is_some_and(|before| before.at != at) {
            self.doubt_paths(now);
        }
        let known = before.filter(|before| before.at == at).and_then(|before| before.again);
        match again {
            // What was shown when this client logged in is still under way.
            None if before.is_none() && observer == self.shown => {}
            None => {
                self.shown = observer;
                self.show();
            }
            Some(again) if again != at && known != Some(again) && step.is_none() => {
                self.probe(true);
            }
            // They go on from somewhere else, or have looked regular once: two more tell.
            Some(_) if step.is_none() && before.is_some_and(|before| before.step.is_some()) => {
                self.probe(true);
                self.probe(true);
            }
            Some(_) => {}
        }
        if begins_anew(before.map(|before| before.mapping()), seen.mapping()) {
            for attempt in self.attempts.values_mut() {
                attempt.outdated = attempt.is_unanswered();
            }
            self.begin_anew(now, Attempt::has_led_nowhere);
        }
    }

    /// What is under way began when nobody knew that this client cannot be dialled where the server sees it, so
    /// whoever dials there dials in vain.
    pub(super) fn begin_anew(&mut self, now: Time, which: impl Fn(&Attempt) -> bool) {
        for name in self.abort_attempts(which) {
            self.retries.remove(&name);
            self.missed.insert(name);
        }
        self.seek_paths(now);
    }

    /// Shows the server the next port of a regular translator, so that it can tell where the ones behind it
    /// will be.
    pub(super) fn show_next_port(&mut self) {
        if self.seen.is_some_and(|seen| seen.step.is_some()) {
            self.probe(true);
        }
    }

    /// Shows the server this client's one socket, and another.
    pub(super) fn show(&mut self) {
        self.probe(false);
        self.probe(true);
    }

    fn probe(&mut self, fresh: bool) {
        if let Some(Observer { port, token }) = self.observer() {
            let probe = Probe { fresh, token };
            self.outputs.push_back(Output::Probe { port, probe });
        }
    }

    /// This machine is somewhere else. The server learns it from the next packet; whoever has a path is sought
    /// anew, beside the path, which may stand all the same.
    pub(super) fn network_changed(&mut self, now: Time) {
        self.tell_reach();
        self.doubt_paths(now);
    }

    /// Somebody has not answered for a while. A second path is sought before the first is given up.
    pub(super) fn peer_silent(&mut self, now: Time, conn: Conn) {
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        peer.doubted = true;
        let name = peer.name.clone();
        self.missed.insert(name.clone());
        self.seek_path(now, &name);
    }

    fn doubt_paths(&mut self, now: Time) {
        for (name, conn) in &self.paths {
            if let Some(peer) = self.peers.get_mut(conn) {
                peer.doubted = true;
                self.missed.insert(name.clone());
            }
            self.retries.remove(name);
        }
        self.seek_paths(now);
    }

    /// Decides which addresses pass between this person and a contact. What passed before stays known.
    pub fn set_policy(&mut self, now: Time, name: &Name, policy: Policy) -> Result<(), Refused> {
        let contact = self.contacts.get(name).ok_or(Refused::NoContact)?;
        if contact.policy == policy {
            return Ok(());
        }
        self.remember(Contact { policy, ..contact.clone() });
        self.tell_reach();
        // A path may run where the policy allows none any more.
        self.abort_attempts(|attempt| attempt.name == *name);
        self.close_path(now, name);
        self.seek_path(now, name);
        Ok(())
    }

    /// Tells the server who must not be told what it sees.
    pub(super) fn tell_reach(&mut self) {
        let hidden = self.contacts.values().filter(|contact| {
            contact.standing != Standing::Stranger && contact.policy.hides_observed()
        });
        let hidden_from = hidden.map(|contact| contact.name.clone()).collect();
        if self.server_up {
            let nat = Some(self.nat);
            // What nobody may know is not the server's, either.
            self.global_told = self
                .contacts
                .iter()
                .any(|(name, contact)| self.is_friend(name) && !contact.policy.hides_observed());
            let global = self.global.iter().filter(|_| self.global_told);
            let global = Some(global.copied().map(Candidate).collect());
            self.tell_server(&Request::Reach { hidden_from, nat, global });
        }
    }

    /// Somebody is there, who may be the first that may know where this machine is.
    pub(super) fn tell_global(&mut self, name: &Name) {
        let hidden = self.policy(name).hides_observed();
        if !self.global_told && !self.global.is_empty() && !hidden {
            self.tell_reach();
        }
    }
}

/// Whether what is now known of this client's translator is worth giving up attempts that were begun without it. That its
/// ports are regular is; by how much they differ, or that they are no more, is not.
fn begins_anew(before: Option<Mapping>, now: Mapping) -> bool {
    match (before, now) {
        (Some(Mapping::Dependent { step: None }), Mapping::Dependent { step }) => step.is_some(),
        (Some(Mapping::Dependent { .. }), _) => false,
        _ => now.is_dependent(),
    }
}
