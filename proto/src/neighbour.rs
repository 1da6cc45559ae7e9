//! What two contacts know each other by on a network of their own, without a server: pseudonyms that change with
//! time and that nobody but the two can make or recognise, and what an attempt between them takes.

use crate::{
    crypto::{derive::derive, label::Label, secret::Secret},
    identity::{Identity, PublicIdentity, signed_bytes},
    limits::NEIGHBOUR_PERIOD,
    name::Name,
    ticket::{Arrangement, AttemptId},
    time::UnixTime,
};

/// Bytes of a [`Pseudonym`]: so many that one which was not meant is not met by chance.
pub const PSEUDONYM_BYTES: usize = 8;

/// What somebody is called in the eyes of one contact, for one period.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Pseudonym(pub [u8; PSEUDONYM_BYTES]);

/// A stretch of time on the wall clock, for which pseudonyms hold.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Period(u64);

impl Period {
    /// The one in which `wall` is.
    pub fn of(wall: UnixTime) -> Self {
        Self(wall.as_millis() / length())
    }

    /// This one and its neighbours, in which the other end may be, whose clock is another.
    pub fn around(self) -> [Self; 3] {
        [self.0.saturating_sub(1), self.0, self.0.saturating_add(1)].map(Self)
    }

    /// How many milliseconds of it are left.
    pub fn left(wall: UnixTime) -> u64 {
        length() - wall.as_millis() % length()
    }
}

fn length() -> u64 {
    NEIGHBOUR_PERIOD.as_secs() * 1_000
}

/// What two contacts share who have pinned each other, and nobody else: not the server either.
#[derive(Debug)]
pub struct Pair {
    secret: Secret<32>,
    /// Whether this end speaks first: the one with the lower identity does.
    pub calls: bool,
}

/// The elements of the secret by which the two ends are called, behind those of an [`Arrangement`]; the numbers are for ever.
const CALLER_PSEUDONYM: u8 = 4;
const CALLEE_PSEUDONYM: u8 = 5;

impl Pair {
    /// What this person shares with somebody, unless the key of theirs is none.
    pub fn of(me: (&Name, &Identity), them: (&Name, &PublicIdentity)) -> Option<Self> {
        let (mine, theirs) = (me.1.public(), *them.1);
        let agreed = me.1.agree().agree(theirs.agree())?;
        let calls = mine < theirs;
        let (mine, theirs) = (signed_bytes(me.0, &mine), signed_bytes(them.0, &theirs));
        let both = if calls { [mine, theirs] } else { [theirs, mine] }.concat();
        let secret = derive(&[], agreed.expose(), Label::Neighbour, &both);
        Some(Self { secret, calls })
    }

    #[cfg(test)]
    pub(crate) const fn secret(&self) -> &Secret<32> {
        &self.secret
    }

    /// What this end is called.
    pub fn mine(&self, period: Period) -> Pseudonym {
        self.pseudonym(period, self.calls)
    }

    /// What the other end is called.
    pub fn theirs(&self, period: Period) -> Pseudonym {
        self.pseudonym(period, !self.calls)
    }

    /// What an attempt of this period takes.
    pub fn arrangement(&self, period: Period) -> Arrangement {
        Arrangement::of(|element| self.element(period, element))
    }

    /// The id of an attempt of this period. Both ends know it, and it says nothing to anybody else.
    pub fn attempt(&self, period: Period) -> AttemptId {
        Arrangement::attempt(|element| self.element(period, element))
    }

    fn pseudonym(&self, period: Period, caller: bool) -> Pseudonym {
        let element = if caller { CALLER_PSEUDONYM } else { CALLEE_PSEUDONYM };
        let mut pseudonym = Pseudonym([0; PSEUDONYM_BYTES]);
        pseudonym.0.copy_from_slice(&self.element(period, element).expose()[..PSEUDONYM_BYTES]);
        pseudonym
    }

    fn element(&self, period: Period, number: u8) -> Secret<32> {
        let info = [&[number][..], &period.0.to_be_bytes()].concat();
        derive(&[], self.secret.expose(), Label::Neighbour, &info)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(text: &str, seed: u8) -> (Name, Identity) {
        (text.parse().unwrap(), Identity::from_seed(Secret::new([seed; 32])))
    }

    fn pair(me: &(Name, Identity), them: &(Name, Identity)) -> Pair {
        Pair::of((&me.0, &me.1), (&them.0, &them.1.public())).unwrap()
    }

    #[test]
    fn both_ends_know_the_same_and_call_each_other_differently() {
        let (alice, bob) = (person("alice", 1), person("bob", 2));
        let (a, b) = (pair(&alice, &bob), pair(&bob, &alice));
        let period = Period(7);
        assert_eq!(a.mine(period), b.theirs(period));
        assert_eq!(b.mine(period), a.theirs(period));
        assert_ne!(a.mine(period), b.mine(period));
        assert_ne!(a.calls, b.calls);
        let [x, y] = [a, b].map(|pair| pair.arrangement(period));
        assert_eq!(x.attempt, y.attempt);
        for (mine, theirs) in [
            (&x.caller_knock, &y.caller_knock),
            (&x.callee_knock, &y.callee_knock),
            (&x.psk, &y.psk),
        ] {
            assert!(mine.matches(theirs.expose()));
        }
        assert!(!x.caller_knock.matches(x.callee_knock.expose()));
    }

    #[test]
    fn nothing_is_the_same_in_another_period_or_for_another_name_or_identity() {
        let (alice, bob) = (person("alice", 1), person("bob", 2));
        let now = pair(&alice, &bob);
        let renamed = pair(&alice, &person("bobby", 2));
        let swapped = pair(&alice, &person("bob", 3));
        let (period, next) = (Period(7), Period(8));
        let mut seen = vec![now.mine(next), now.theirs(next), now.mine(period), now.theirs(period)];
        for other in [&renamed, &swapped] {
            seen.extend([other.mine(period), other.theirs(period)]);
        }
        let all = seen.len();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), all);
        assert_ne!(now.attempt(period), now.attempt(next));
        assert_ne!(now.attempt(period), renamed.attempt(period));
    }

    #[test]
    fn periods_follow_the_wall_clock() {
        let at = |millis| UnixTime::from_millis(millis);
        let millis = length();
        assert_eq!(Period::of(at(millis - 1)), Period(0));
        assert_eq!(Period::of(at(millis)), Period(1));
        assert_eq!(Period::left(at(millis)), millis);
        assert_eq!(Period::left(at(2 * millis - 1)), 1);
        assert_eq!(Period(1).around(), [Period(0), Period(1), Period(2)]);
        assert_eq!(Period(0).around()[0], Period(0), "there is nothing before 1970");
    }
}
