//! Where the server sees a client, and whom it tells.

use std::{collections::BTreeSet, net::SocketAddr};

use super::{
    Signal,
    open::Open,
    session::{Session, State},
};
use crate::{
    limits::{CONTACTS_MAX, OWN_CANDIDATES_MAX, PREDICTED_MAX},
    name::Name,
    reach::{Scope, Trail},
    ticket::AttemptId,
    wire::server::{Candidate, Nat, Observer, Reply},
};

/// What a client lets others be told.
#[derive(Debug)]
pub(super) struct Reach {
    hidden_from: BTreeSet<Name>,
    nat: Nat,
    /// Where else it is, so that a caller need not wait for its answer to dial it there.
    global: Vec<Candidate>,
}

impl Reach {
    /// As the client has said it, if it is what an honest one says.
    pub(super) fn new(hidden_from: Vec<Name>, nat: Nat, global: Vec<Candidate>) -> Option<Self> {
        let fits = hidden_from.len() <= CONTACTS_MAX && global.len() <= OWN_CANDIDATES_MAX;
        let sensible = global.iter().all(|at| Scope::of(at.0.ip()) == Scope::Global);
        let hidden_from = hidden_from.into_iter().collect();
        (fits && sensible).then_some(Self { hidden_from, nat, global })
    }
}

impl Session {
    /// Where somebody who has just logged in may show itself, and is known from now on.
    pub(super) fn observer(&mut self) -> Option<Observer> {
        let observer = Observer { port: self.settings.observer?, token: self.rng.bytes() };
        self.observe(observer.token);
        Some(observer)
    }

    /// The client says who is not to be told where it is, and what stands in front of it.
    pub(super) fn reach(&mut self, reach: Option<Reach>) {
        let State::Open(open) = &mut self.state else { return };
        if reach.is_none() {
            return self.misbehaved();
        }
        open.reach = reach;
        self.tell_observed();
    }

    /// The client says what has become of an introduction.
    pub(super) fn tried(&mut self, attempt: AttemptId, connected: bool) {
        let State::Open(open) = &mut self.state else { return };
        // One that nobody knows is over, or was no introduction: nobody counts what has not been.
        if let Some(callee) = open.introductions.tried(attempt) {
            let caller = open.nat();
            self.count(caller, callee, connected);
        }
    }

    /// A datagram of the client's has come to the second port.
    pub(super) fn probed(&mut self, from: SocketAddr, fresh: bool) {
        if self.trail.probed(from, fresh) {
            self.tell_observed();
        }
    }

    /// The client's address is another from now on.
    pub(super) fn moved(&mut self, to: SocketAddr) {
        self.trail = Trail::new(to);
        self.tell_observed();
    }

    fn tell_observed(&mut self) {
        let State::Open(open) = &self.state else { return };
        // Older clients do not know the word.
        if open.reach.is_none() {
            return;
        }
        let (Trail { at, again, step, .. }, observer) = (self.trail, open.observer);
        let (at, again) = (Candidate(at), again.map(Candidate));
        self.send(&Reply::Observed { at, again, step, observer });
    }

    /// What somebody is told of where this client is, as far as the server sees it.
    pub(super) fn seen_by(&self, name: &Name) -> Vec<Candidate> {
        let State::Open(open) = &self.state else { return Vec::new() };
        if open.reach.as_ref().is_some_and(|reach| reach.hidden_from.contains(name)) {
            return Vec::new();
        }
        let seen = [self.trail.at].into_iter().chain(self.trail.predicted(PREDICTED_MAX));
        seen.map(Candidate).collect()
    }

    /// Whether this client's translator shows it to somebody elsewhere than to the server, if they are told where the
    /// server sees it.
    pub(super) fn shown_to(&self, name: &Name) -> Option<bool> {
        let told = !self.seen_by(name).is_empty();
        told.then(|| self.trail.mapping().is_dependent())
    }

    /// This client is being asked whether it will be introduced. Unless it has reserved that, the caller is
    /// told at once where it is: then both can dial in the same moment.
    pub(super) fn meet(&mut self, attempt: AttemptId, caller: Name) {
        let State::Open(open) = &self.state else { return };
        // A client that has not said anything yet may be about to hide.
        let Some(Reach { global, .. }) = &open.reach else { return };
        let (from, mut candidates) = (open.name.clone(), self.seen_by(&caller));
        if !candidates.is_empty() {
            // Whoever may know where the server sees it may know that, too.
            candidates.extend(global);
            let dependent = self.trail.mapping().is_dependent();
            self.route(caller, Signal::Meet { attempt, from, candidates, dependent });
        }
    }
}

impl Open {
    /// What stands in front of the client, as far as it has said.
    pub(super) fn nat(&self) -> Nat {
        self.reach.as_ref().map(|reach| reach.nat).unwrap_or_default()
    }
}
