//! The second round of an attempt that has led nowhere: the caller opens a fresh socket, and asks for another introduction
//! in which it names it; the callee does the same. A router that has taken an early packet for its own gives other ports to
//! the socket that it was for from then on, however often the two dial; to another one it does not.

use std::net::SocketAddr;

use super::{
    Dial, Guess, Node, Output,
    attempt::{Attempt, State},
};
use crate::{
    crypto::secret::Secret,
    knock::KnockKey,
    limits::{ATTEMPT_TIMEOUT, OWN_CANDIDATES_MAX, SECOND_ROUND_AFTER},
    name::Name,
    reach::{Policy, Scope},
    ticket::AttemptId,
    time::Time,
    wire::server::{Candidate, Door, Observer},
};

/// A socket that nobody has heard of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Afresh {
    /// Where the server says where it is seen.
    pub observer: Observer,
    /// The other end's addresses. The socket is opened towards them before anything else, by datagrams that
    /// [`crate::limits::OPENER_HOPS`] routers see: the other end's must not, which may be spoilt by them.
    pub towards: Vec<SocketAddr>,
}

/// Which round of reaching somebody an attempt is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Round {
    /// The first, and when the second is prepared, if there is to be one.
    First { ends: Option<Time> },
    /// The second, of a callee whose fresh socket is being opened, and its door after that.
    Opening,
    /// The second, with a fresh socket that is seen there, if it has come about.
    Second { at: Option<SocketAddr> },
}

impl Round {
    /// The caller of an attempt that expires then knows where the callee is.
    pub(super) fn agreed(&mut self, now: Time, expires: Time) {
        if let Self::First { ends } = self {
            // Two round trips, where a dial takes one.
            let introduction = ATTEMPT_TIMEOUT.saturating_sub(now.until(expires));
            *ends = Some(now + SECOND_ROUND_AFTER.max(introduction));
        }
    }

    /// When something is to be done.
    pub(super) const fn ends(&self) -> Option<Time> {
        match self {
            Self::First { ends } => *ends,
            Self::Opening | Self::Second { .. } => None,
        }
    }

    /// What is offered, beside this machine's own addresses.
    pub(super) fn offered(self, mut own: Vec<SocketAddr>) -> Vec<SocketAddr> {
        if let Self::Second { at: Some(at) } = self {
            own.insert(0, at);
            own.truncate(OWN_CANDIDATES_MAX);
        }
        own
    }
}

/// Whether a fresh socket can be of use there: behind an IPv4 translator.
fn is_public(at: &SocketAddr) -> bool {
    at.is_ipv4() && Scope::of(at.ip()) == Scope::Global
}

impl Node {
    /// Prepares second rounds that are due.
    pub(super) fn prepare_second_rounds(&mut self, now: Time) {
        let due = |attempt: &Attempt| attempt.round.ends().is_some_and(|ends| ends <= now);
        let due = self.attempts.iter_mut().filter(|(_, attempt)| due(attempt));
        let due: Vec<_> = due
            .map(|(id, attempt)| {
                attempt.round = Round::First { ends: None };
                *id
            })
            .collect();
        for id in due {
            let waits = |attempt: &&Attempt| attempt.has_led_nowhere();
            let Some(attempt) = self.attempts.get(&id).filter(waits) else { continue };
            let afresh = self.afresh(&attempt.name, attempt.dependent, &attempt.dialled);
            if let Some(afresh) = afresh {
                self.outputs.push_back(Output::Guess(id, Guess::Afresh(afresh)));
            }
        }
    }

    /// What a second round would take, where it can find more than the first: between ends of which everybody sees each
    /// at one address.
    fn afresh(
        &self,
        name: &Name,
        dependent: Option<bool>,
        theirs: &[SocketAddr],
    ) -> Option<Afresh> {
        let (_, mapping) = self.seen()?;
        let known = dependent == Some(false) && !mapping.is_dependent();
        let towards: Vec<_> = theirs.iter().filter(|at| is_public(at)).copied().collect();
        let observer = self.observer()?;
        (self.meets_in_public(name) && known && !towards.is_empty())
            .then_some(Afresh { observer, towards })
    }

    fn meets_in_public(&self, name: &Name) -> bool {
        matches!(self.policy(name), Policy::All | Policy::Public)
    }

    /// Whether somebody who asks has asked a while ago, and no connection has come of that: then it is their second round, and
    /// this what it takes here.
    pub(super) fn asked_again(
        &self,
        now: Time,
        name: &Name,
        dependent: Option<bool>,
        theirs: &[Candidate],
    ) -> Option<Afresh> {
        let before = self.attempts.values().find(|attempt| attempt.name == *name)?;
        let agreed = matches!(before.state, State::Agreed { caller: false, .. });
        let a_while_ago = now + ATTEMPT_TIMEOUT >= before.expires + SECOND_ROUND_AFTER;
        let theirs: Vec<_> = theirs.iter().map(|candidate| candidate.0).collect();
        let theirs = self.policy(name).dialled(&before.own, theirs, OWN_CANDIDATES_MAX);
        (agreed && a_while_ago && before.has_led_nowhere())
            .then(|| self.afresh(name, dependent, &theirs))?
    }

    /// Opens the callee's door; in a second round once there is a fresh socket.
    pub(super) fn open_in_round(
        &mut self,
        id: AttemptId,
        knock: &Secret<32>,
        afresh: Option<Afresh>,
    ) -> Round {
        match afresh {
            Some(afresh) => {
                self.outputs.push_back(Output::Guess(id, Guess::Afresh(afresh)));
                Round::Opening
            }
            None => {
                self.open_door(id, knock);
                Round::First { ends: None }
            }
        }
    }

    /// The fresh socket is open, and seen there, or there is none. The callee goes on; the caller asks once more for whoever
    /// has not been reached by now.
    pub(super) fn opened_afresh(&mut self, now: Time, id: AttemptId, at: Option<SocketAddr>) {
        let at = at.filter(is_public);
        let Some(attempt) = self.attempts.get_mut(&id) else { return };
        match &attempt.state {
            State::CalleeOpening { knock, .. } if attempt.round == Round::Opening => {
                let knock = knock.duplicate();
                attempt.round = Round::Second { at };
                self.open_door(id, &knock);
            }
            State::Agreed { caller: true, .. } if at.is_some() && attempt.has_led_nowhere() => {
                let (name, warns) = (attempt.name.clone(), attempt.warns);
                let (next, knock) = (AttemptId(self.rng.bytes()), self.rng.secret());
                // Before the last one closes: the fresh socket lasts as long as there is any.
                self.open_door(next, &knock);
                let first = Attempt::new(now, &name, State::CallerOpening { knock });
                // Whoever waits has waited since the first began.
                let second = Attempt { warns, round: Round::Second { at }, ..first };
                self.attempts.insert(next, second);
                self.drop_attempt(id);
            }
            _ => {}
        }
    }

    /// The caller dials from its fresh socket, too, once the callee has opened its own.
    pub(super) fn dial_afresh(&mut self, now: Time, id: AttemptId, door: &Door) {
        let Some(attempt) = self.attempts.get(&id) else { return };
        let (Round::Second { at: Some(from) }, State::Agreed { caller: true, .. }) =
            (attempt.round, &attempt.state)
        else {
            return;
        };
        if !self.meets_in_public(&attempt.name) {
            return;
        }
        let theirs = door.candidates.iter().map(|candidate| candidate.0).filter(is_public);
        let mut addresses =
            self.policy(&attempt.name).dialled(&attempt.own, theirs, OWN_CANDIDATES_MAX);
        addresses.truncate(self.allowances.dials.take(now, addresses.len()));
        if !addresses.is_empty() {
            let knock = KnockKey(door.knock.duplicate());
            let dial = Dial { certificate: Some(door.certificate), knock, addresses };
            self.outputs.push_back(Output::Guess(id, Guess::DialAfresh { from, dial }));
        }
    }
}
