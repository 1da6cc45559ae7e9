//! Where the server sees a client, and whom it tells.

use std::collections::BTreeSet;

use super::{
    Signal,
    session::{Session, State},
};
use crate::{
    limits::CONTACTS_MAX,
    name::Name,
    ticket::AttemptId,
    wire::server::{Candidate, Reply},
};

/// What a client lets others be told.
#[derive(Debug)]
pub(super) struct Reach {
    hidden_from: BTreeSet<Name>,
}

impl Session {
    /// The client says who is not to be told where it is.
    pub(super) fn reach(&mut self, hidden_from: Vec<Name>) {
        if hidden_from.len() > CONTACTS_MAX {
            return self.misbehaved();
        }
        if let State::Open(open) = &mut self.state {
            open.reach = Some(Reach { hidden_from: hidden_from.into_iter().collect() });
        }
        self.send(&Reply::Observed { at: self.observed });
    }

    /// What somebody is told of where this client is, as far as the server sees it.
    pub(super) fn seen_by(&self, name: &Name) -> Vec<Candidate> {
        let State::Open(open) = &self.state else { return Vec::new() };
        let hidden = open.reach.as_ref().is_some_and(|reach| reach.hidden_from.contains(name));
        if hidden { Vec::new() } else { vec![self.observed] }
    }

    /// This client is being asked whether it will be introduced. Unless it has reserved that, the caller is
    /// told at once where it is: then both can dial in the same moment.
    pub(super) fn meet(&mut self, attempt: AttemptId, caller: Name) {
        let State::Open(open) = &self.state else { return };
        // A client that has not said anything yet may be about to hide.
        if open.reach.is_none() {
            return;
        }
        let (from, candidates) = (open.name.clone(), self.seen_by(&caller));
        if !candidates.is_empty() {
            self.route(caller, Signal::Meet { attempt, from, candidates });
        }
    }
}
