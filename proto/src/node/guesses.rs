//! Which attempts take a guess, and who knocks in it: an end is guessed at only where the server itself has seen it.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use super::{Afresh, Dial, Node, Output};
use crate::{
    guess::Part,
    knock::KnockKey,
    limits::GUESS_AFTER,
    reach::{Mapping, Policy, Scope},
    ticket::AttemptId,
    time::Time,
    wire::server::{Candidate, Nat},
};

/// What is to be done so that an end is found which can be found by guessing only, until its door is closed.
#[derive(Debug)]
pub enum Guess {
    /// Knock at this address, at [`crate::guess::Ports`].
    Knock {
        /// Where.
        at: IpAddr,
        /// How long its dials are waited for before that.
        after: Duration,
        /// The key of the knocks that the other end lets in.
        knock: KnockKey,
    },
    /// Open [`crate::limits::GUESS_SOCKETS`] sockets towards the one address of the dial, at once, and dial from whichever
    /// hears a knock for this attempt's door.
    Listen(Dial),
    /// Dial from a fresh socket, at once.
    Dial(Dial),
    /// Open a fresh socket, on which the doors answer as on the one of everything else. Answered by
    /// [`super::Input::OpenedAfresh`], if it comes about.
    Afresh(Afresh),
    /// Dial from such a socket, at once.
    DialAfresh {
        /// Which, by where it is seen.
        from: SocketAddr,
        /// The other end's door.
        dial: Dial,
    },
}

impl Node {
    /// Has this end do its part, once in an attempt, if one is needed to find the other end.
    pub(super) fn guess(
        &mut self,
        now: Time,
        id: AttemptId,
        certificate: Option<[u8; 32]>,
        knock: &KnockKey,
        candidates: &[Candidate],
    ) {
        let Some(attempt) = self.attempts.get_mut(&id).filter(|attempt| !attempt.guessed) else {
            return;
        };
        // Without the server's word on it, the first candidate is the other end's own.
        let Some(dependent) = attempt.dependent else { return };
        attempt.guessed = true;
        let name = attempt.name.clone();
        let seen: Vec<_> = candidates.iter().map(|candidate| candidate.0).collect();
        let mine = self.seen().map_or(Mapping::Unknown, |(_, mapping)| mapping);
        let wanted = matches!(self.policy(&name), Policy::All | Policy::Public);
        let Some(part) = Part::of(mine, dependent, &seen).filter(|_| wanted) else { return };
        if self.allowances.guesses.take(now, 1) == 0 {
            return;
        }
        let knock = KnockKey(knock.0.duplicate());
        let dial = |at, knock| Dial { certificate, knock, addresses: vec![at] };
        let guess = match part {
            Part::Knocks(at) => Guess::Knock { at, after: self.waits_for_dials(id, &seen), knock },
            Part::Listens(at) => Guess::Listen(dial(at, knock)),
            Part::Dials(at) => Guess::Dial(dial(at, knock)),
        };
        self.outputs.push_back(Output::Guess(id, guess));
    }

    /// How long the other end's dials may take to arrive. None is waited for that cannot: the translator here is known to
    /// let nobody in from a port that it has sent nothing to, and there is no other way in.
    fn waits_for_dials(&self, id: AttemptId, theirs: &[SocketAddr]) -> Duration {
        let filters = matches!(self.nat, Nat::PortRestricted | Nat::Firewall);
        let Some((at, _)) = self.seen().filter(|_| filters) else { return GUESS_AFTER };
        let own = self.attempts.get(&id).map_or(&[][..], |attempt| &attempt.own);
        // A port that the router keeps, or IPv6. Without a translator, this machine has the address that the server sees.
        let other_door = own.iter().any(|own| {
            let known = self.nat == Nat::Firewall && *own == at;
            Scope::of(own.ip()) == Scope::Global && !known
        });
        // Who is seen at the same address may be found inside.
        let together = theirs.iter().any(|their| their.ip() == at.ip());
        if other_door || together { GUESS_AFTER } else { Duration::ZERO }
    }
}
