//! The introductions that one session has under way, in both directions, each good for one answer.

use std::collections::BTreeMap;

use crate::{
    crypto::secret::Secret,
    limits::{INTRODUCTION_TIMEOUT, INTRODUCTIONS_MAX},
    name::Name,
    ticket::AttemptId,
    time::Time,
    wire::server::Nat,
};

/// What this session has asked of others, and others of it.
#[derive(Debug, Default)]
pub(super) struct Introductions {
    asked_by_us: BTreeMap<AttemptId, Asked>,
    asked_of_us: BTreeMap<AttemptId, (Name, Time)>,
    /// What we asked for and were granted, with what stands in front of the other end, until the client says what has
    /// become of it.
    granted: BTreeMap<AttemptId, (Nat, Time)>,
}

#[derive(Debug)]
struct Asked {
    to: Name,
    secret: Secret<32>,
    expires: Time,
}

impl Introductions {
    /// Notes that we asked for `to`; false if that attempt exists or too many are under way.
    pub(super) fn ask(
        &mut self,
        now: Time,
        attempt: AttemptId,
        to: Name,
        secret: Secret<32>,
    ) -> bool {
        let fits = self.asked_by_us.len() < INTRODUCTIONS_MAX;
        if !fits || self.asked_by_us.contains_key(&attempt) {
            return false;
        }
        let expires = now + INTRODUCTION_TIMEOUT;
        self.asked_by_us.insert(attempt, Asked { to, secret, expires });
        true
    }

    /// The ticket's secret, once, if `attempt` is one that we asked `from` for.
    pub(super) fn answered(&mut self, attempt: AttemptId, from: &Name) -> Option<Secret<32>> {
        let asked = self.asked_by_us.get(&attempt).is_some_and(|asked| asked.to == *from);
        asked.then(|| self.asked_by_us.remove(&attempt).map(|asked| asked.secret))?
    }

    /// Notes that an attempt which we asked for is granted, unless too many are.
    pub(super) fn granted(&mut self, now: Time, attempt: AttemptId, nat: Nat) {
        if self.granted.len() < INTRODUCTIONS_MAX {
            self.granted.insert(attempt, (nat, now + INTRODUCTION_TIMEOUT));
        }
    }

    /// What stands in front of the other end of an attempt that was granted, once.
    pub(super) fn tried(&mut self, attempt: AttemptId) -> Option<Nat> {
        self.granted.remove(&attempt).map(|(nat, _)| nat)
    }

    /// The ticket's secret, if `attempt` is one that we asked `whom` for and have not been answered.
    pub(super) fn asked_for(&self, attempt: AttemptId, whom: &Name) -> Option<&Secret<32>> {
        let asked = self.asked_by_us.get(&attempt).filter(|asked| asked.to == *whom)?;
        Some(&asked.secret)
    }

    /// Drops an attempt that we asked for; false if there is none.
    pub(super) fn forget(&mut self, attempt: AttemptId) -> bool {
        self.asked_by_us.remove(&attempt).is_some()
    }

    /// Notes that `from` asks for us; false if that attempt exists or too many are under way.
    pub(super) fn be_asked(&mut self, now: Time, attempt: AttemptId, from: Name) -> bool {
        let fits = self.asked_of_us.len() < INTRODUCTIONS_MAX;
        if !fits || self.asked_of_us.contains_key(&attempt) {
            return false;
        }
        self.asked_of_us.insert(attempt, (from, now + INTRODUCTION_TIMEOUT));
        true
    }

    /// Who asked for us, once.
    pub(super) fn answer(&mut self, attempt: AttemptId) -> Option<Name> {
        self.asked_of_us.remove(&attempt).map(|(from, _)| from)
    }

    /// Drops every attempt with `name`, and says which of them we had asked for.
    pub(super) fn void(&mut self, name: &Name) -> Vec<AttemptId> {
        self.asked_of_us.retain(|_, (from, _)| from != name);
        let ours = self.asked_by_us.iter().filter(|(_, asked)| asked.to == *name);
        let ours: Vec<_> = ours.map(|(attempt, _)| *attempt).collect();
        self.asked_by_us.retain(|_, asked| asked.to != *name);
        ours
    }

    /// Drops what has expired, and says which of it we had asked for.
    pub(super) fn expire(&mut self, now: Time) -> Vec<AttemptId> {
        self.asked_of_us.retain(|_, (_, expires)| *expires > now);
        self.granted.retain(|_, (_, expires)| *expires > now);
        let late = self.asked_by_us.iter().filter(|(_, asked)| asked.expires <= now);
        let late: Vec<_> = late.map(|(attempt, _)| *attempt).collect();
        self.asked_by_us.retain(|_, asked| asked.expires > now);
        late
    }

    /// When something expires next.
    pub(super) fn deadline(&self) -> Option<Time> {
        let ours = self.asked_by_us.values().map(|asked| asked.expires);
        let theirs = self.asked_of_us.values().map(|(_, expires)| *expires);
        ours.chain(theirs).chain(self.granted.values().map(|(_, expires)| *expires)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ATTEMPT: AttemptId = AttemptId([1; 16]);

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn what_was_granted_is_counted_once_and_not_for_ever() {
        let mut introductions = Introductions::default();
        assert_eq!(introductions.tried(ATTEMPT), None);
        introductions.granted(Time::ZERO, ATTEMPT, Nat::Cone);
        assert_eq!(introductions.tried(ATTEMPT), Some(Nat::Cone));
        assert_eq!(introductions.tried(ATTEMPT), None);
        for number in 0..=INTRODUCTIONS_MAX {
            let attempt = AttemptId([u8::try_from(number).unwrap(); 16]);
            introductions.granted(Time::ZERO, attempt, Nat::Cone);
        }
        assert_eq!(introductions.granted.len(), INTRODUCTIONS_MAX);
        let deadline = introductions.deadline().unwrap();
        introductions.expire(deadline);
        assert_eq!(introductions.tried(AttemptId([0; 16])), None);
        assert_eq!(introductions.deadline(), None);
    }

    #[test]
    fn an_attempt_is_answered_once_and_by_whom_it_asked() {
        let mut introductions = Introductions::default();
        let secret = || Secret::new([1; 32]);
        assert!(introductions.ask(Time::ZERO, ATTEMPT, name("bob"), secret()));
        assert!(!introductions.ask(Time::ZERO, ATTEMPT, name("carol"), secret()));
        assert!(introductions.answered(ATTEMPT, &name("carol")).is_none());
        assert!(introductions.answered(ATTEMPT, &name("bob")).is_some());
        assert!(introductions.answered(ATTEMPT, &name("bob")).is_none());
    }

    #[test]
    fn attempts_expire_and_are_bounded() {
        let mut introductions = Introductions::default();
        for i in 0..=u8::try_from(INTRODUCTIONS_MAX).unwrap() {
            let fits = introductions.ask(
                Time::ZERO,
                AttemptId([i; 16]),
                name("bob"),
                Secret::new([1; 32]),
            );
            assert_eq!(fits, usize::from(i) < INTRODUCTIONS_MAX);
        }
        let deadline = introductions.deadline().unwrap();
        assert_eq!(introductions.expire(deadline).len(), INTRODUCTIONS_MAX);
        assert_eq!(introductions.deadline(), None);
    }
}
