//! Keys of frames that were left out and may still come. On an ordered stream there are none.

use std::collections::VecDeque;

use super::chain::MessageKey;
use crate::{
    crypto::agree::AgreePublic,
    limits::{SKIPPED_AGE_MAX, SKIPPED_KEYS_MAX, SKIPPED_TURNS_MAX},
    time::Time,
};

/// The keys, oldest first: they are evicted in the order in which they were stored.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct SkippedKeys(VecDeque<Skipped>);

#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
struct Skipped {
    sender: AgreePublic,
    number: u32,
    // Boxed, so that moving an entry leaves no copy of the key behind.
    key: Box<MessageKey>,
    expires: Time,
    last_turn: u64,
}

impl SkippedKeys {
    /// Stores the keys of frames that `sender`'s chain left out, in the receiver's turn `turn`.
    pub(super) fn store(
        &mut self,
        now: Time,
        turn: u64,
        sender: AgreePublic,
        passed: Vec<(u32, MessageKey)>,
    ) {
        let (expires, last_turn) = (now + SKIPPED_AGE_MAX, turn + SKIPPED_TURNS_MAX);
        self.0.extend(passed.into_iter().map(|(number, key)| Skipped {
            sender,
            number,
            key: Box::new(key),
            expires,
            last_turn,
        }));
        let excess = self.0.len().saturating_sub(SKIPPED_KEYS_MAX);
        self.0.drain(..excess);
    }

    /// Forgets what has been kept long enough.
    pub(super) fn evict(&mut self, now: Time, turn: u64) {
        while self.0.front().is_some_and(|key| key.expires <= now || key.last_turn <= turn) {
            self.0.pop_front();
        }
    }

    /// Where the key of a frame is, and the key.
    pub(super) fn find(&self, sender: AgreePublic, number: u32) -> Option<(usize, &MessageKey)> {
        let found = |skipped: &Skipped| skipped.sender == sender && skipped.number == number;
        let place = self.0.iter().position(found)?;
        Some((place, &self.0[place].key))
    }

    /// Forgets the key at a place that [`find`](Self::find) gave: it has been used.
    pub(super) fn forget(&mut self, place: usize) {
        self.0.remove(place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{crypto::secret::Secret, ratchet::chain::Chain};
    use std::time::Duration;

    const SENDER: AgreePublic = AgreePublic([1; 32]);

    /// Stores the keys of the numbers from `first` on.
    fn store(keys: &mut SkippedKeys, now: Time, turn: u64, first: u32, count: u32) {
        let mut chain = Chain::at(Secret::new([1; 32]), first);
        keys.store(now, turn, SENDER, chain.pass(first + count).unwrap());
    }

    fn has(keys: &SkippedKeys, number: u32) -> bool {
        keys.find(SENDER, number).is_some()
    }

    #[test]
    fn keys_are_kept_for_so_many_turns_and_so_long() {
        let mut keys = SkippedKeys::default();
        store(&mut keys, Time::ZERO, 3, 0, 1);
        keys.evict(Time::ZERO, 3 + SKIPPED_TURNS_MAX - 1);
        assert!(has(&keys, 0));
        keys.evict(Time::ZERO, 3 + SKIPPED_TURNS_MAX);
        assert!(!has(&keys, 0));
        store(&mut keys, Time::ZERO, 3, 0, 1);
        let end = Time::ZERO + SKIPPED_AGE_MAX;
        keys.evict(Time::since_start(SKIPPED_AGE_MAX - Duration::from_millis(1)), 3);
        assert!(has(&keys, 0));
        keys.evict(end, 3);
        assert!(!has(&keys, 0));
    }

    #[test]
    fn the_oldest_make_room() {
        let mut keys = SkippedKeys::default();
        for round in 0..4 {
            store(&mut keys, Time::ZERO, 0, round * 256, 256);
        }
        assert!(has(&keys, 0) && has(&keys, 1023));
        store(&mut keys, Time::ZERO, 0, 1024, 2);
        assert!(!has(&keys, 0) && !has(&keys, 1) && has(&keys, 2) && has(&keys, 1025));
        assert_eq!(keys.0.len(), SKIPPED_KEYS_MAX);
    }

    #[test]
    fn a_used_key_is_gone_and_others_stay() {
        let mut keys = SkippedKeys::default();
        store(&mut keys, Time::ZERO, 0, 0, 3);
        let (place, _) = keys.find(SENDER, 1).unwrap();
        keys.forget(place);
        assert!(has(&keys, 0) && !has(&keys, 1) && has(&keys, 2));
        assert!(keys.find(AgreePublic([2; 32]), 0).is_none());
    }
}
