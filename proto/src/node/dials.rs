//! Where the other end of an attempt is dialled, and how many addresses may be at all: the server names them, and
//! must not make a cannon of this agent.

use std::net::SocketAddr;

use super::{Node, Output};
use crate::{
    crypto::secret::Secret,
    knock::KnockKey,
    limits::CANDIDATES_MAX,
    name::Name,
    reach::Policy,
    ticket::{AttemptId, callee_knock},
    time::Time,
    wire::server::{Candidate, Door},
};

/// How the other end of an attempt is dialled.
#[derive(Debug)]
pub struct Dial {
    /// The hash of its certificate. Before it is known, any is good enough: the node looks at the one that
    /// the connection shows.
    pub certificate: Option<[u8; 32]>,
    /// The key of the knocks that it lets in.
    pub knock: KnockKey,
    /// Where.
    pub addresses: Vec<SocketAddr>,
}

impl Node {
    /// The server says that the callee is being asked, and where it is. It dials us as soon as it agrees;
    /// dialled now, our translator is open when it does, and whichever is quicker wins.
    pub(super) fn met(
        &mut self,
        now: Time,
        id: AttemptId,
        secret: &Secret<32>,
        candidates: Vec<Candidate>,
        dependent: bool,
    ) {
        let attempt = self.attempts.get(&id);
        if attempt.is_some_and(|attempt| attempt.is_asking() && attempt.dialled.is_empty()) {
            self.attempts.entry(id).and_modify(|attempt| attempt.dependent = Some(dependent));
            let knock = KnockKey(callee_knock(id, secret));
            self.guess(now, id, None, &knock, &candidates);
            self.dial(now, id, None, knock, candidates);
        }
    }

    pub(super) fn dial_door(&mut self, now: Time, id: AttemptId, door: Door) {
        self.dial_afresh(now, id, &door);
        let knock = KnockKey(door.knock);
        self.guess(now, id, Some(door.certificate), &knock, &door.candidates);
        self.dial(now, id, Some(door.certificate), knock, door.candidates);
    }

    /// Dials where the server says that the other end is, as far as that can be true and is allowed. A server
    /// must not be able to have us knock all over the network.
    pub(super) fn dial(
        &mut self,
        now: Time,
        id: AttemptId,
        certificate: Option<[u8; 32]>,
        knock: KnockKey,
        candidates: Vec<Candidate>,
    ) {
        let Some(name) = self.attempts.get(&id).map(|attempt| attempt.name.clone()) else { return };
        let policy = self.policy(&name);
        let Some(attempt) = self.attempts.get_mut(&id) else { return };
        let most = CANDIDATES_MAX.saturating_sub(attempt.dialled.len());
        let theirs = candidates.into_iter().map(|candidate| candidate.0);
        let new = theirs.filter(|address| !attempt.dialled.contains(address));
        let mut addresses = policy.dialled(&attempt.own, new.collect::<Vec<_>>(), most);
        addresses.truncate(self.allowances.dials.take(now, addresses.len()));
        if !addresses.is_empty() {
            attempt.dialled.extend(&addresses);
            let dial = Dial { certificate, knock, addresses };
            self.outputs.push_back(Output::Dial { attempt: id, dial });
        }
    }

    /// Which addresses pass between this person and somebody.
    pub(super) fn policy(&self, name: &Name) -> Policy {
        self.contacts.get(name).map(|contact| contact.policy).unwrap_or_default()
    }
}
