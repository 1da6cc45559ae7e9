//! A session between two people on one connection: its ratchet, and who has to keep it turning.
//!
//! The session lives and dies with its connection; nothing of it is ever written down.

use std::time::Duration;

pub use crate::ratchet::SessionError;
use crate::{
    crypto::{derive::derive, label::Label, rng::Rng, secret::Secret},
    ratchet::{FirstKey, Ratchet},
    time::Time,
};

/// Frames without a new key of theirs after which a tick is owed.
const TICK_FRAMES: u32 = 100;

/// Time without a new key of theirs after which a tick is owed.
const TICK_AFTER: Duration = Duration::from_secs(60);

/// One end of a session.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub struct Session {
    ratchet: Ratchet,
    turn: Turn,
    resumption: Secret<32>,
}

/// What this end has said since the other's newest key. A stolen state is worth something until that
/// key is followed by another, so somebody has to ask for it.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
struct Turn {
    frames: u32,
    due: Option<Time>,
    asked: bool,
}

impl Session {
    /// The session that grows from `root`; `id` is the handshake's hash.
    pub(crate) fn new(id: [u8; 32], root: Secret<32>, first: &FirstKey) -> Self {
        let resumption = derive(&id, root.expose(), Label::PeerResumption, &[]);
        Self { ratchet: Ratchet::new(id, root, first), turn: Turn::default(), resumption }
    }

    /// What only the two ends of this session have, and keep longer than it: it opens nothing that was said.
    pub(crate) const fn resumption(&self) -> &Secret<32> {
        &self.resumption
    }

    /// The next frame to send.
    pub fn seal(
        &mut self,
        now: Time,
        rng: &mut Rng,
        plaintext: Vec<u8>,
    ) -> Result<Vec<u8>, SessionError> {
        let frame = self.ratchet.seal(now, rng, &plaintext)?;
        self.turn.spoke(now);
        Ok(frame)
    }

    /// The same for a tick or its answer, and for whatever else must not make the other end answer: turns
    /// that answer nothing but turns would never end.
    pub fn seal_tick(
        &mut self,
        now: Time,
        rng: &mut Rng,
        plaintext: Vec<u8>,
    ) -> Result<Vec<u8>, SessionError> {
        let frame = self.ratchet.seal(now, rng, &plaintext)?;
        self.turn.ticked(now);
        Ok(frame)
    }

    /// The same for what wakes a path: it has to fit a datagram, and it may be lost, so it brings nothing of the KEM.
    pub(crate) fn seal_wake(
        &mut self,
        now: Time,
        rng: &mut Rng,
        plaintext: Vec<u8>,
    ) -> Result<Vec<u8>, SessionError> {
        let frame = self.ratchet.seal_small(now, rng, &plaintext)?;
        self.turn.ticked(now);
        Ok(frame)
    }

    /// The plaintext of a frame. On an error the session is exactly as it was.
    pub fn open(&mut self, now: Time, frame: &[u8]) -> Result<Vec<u8>, SessionError> {
        let opened = self.ratchet.open(now, frame)?;
        if opened.turned {
            self.turn = Turn::default();
        }
        Ok(opened.plaintext)
    }

    /// When the other end is to be asked for a new key, by a tick; the time may have passed.
    pub fn tick_due(&self) -> Option<Time> {
        self.turn.due.filter(|_| !self.turn.asked)
    }
}

impl Turn {
    fn spoke(&mut self, now: Time) {
        self.frames = self.frames.saturating_add(1);
        let due = *self.due.get_or_insert(now + TICK_AFTER);
        if self.frames >= TICK_FRAMES {
            self.due = Some(due.min(now));
        }
    }

    /// A tick before its time is the answer to one of theirs, and asks for nothing.
    fn ticked(&mut self, now: Time) {
        self.asked |= self.due.is_some_and(|due| due <= now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::agree::AgreeKey;

    struct Pair {
        now: Time,
        rng: Rng,
        ends: [Session; 2],
    }

    impl Pair {
        fn new() -> Self {
            let mut rng = Rng::from_seed(Secret::new([1; 32]));
            let ours = AgreeKey::generate(&mut rng);
            let theirs = FirstKey::Theirs(ours.public());
            let ends = [theirs, FirstKey::Ours(ours)]
                .map(|first| Session::new([2; 32], Secret::new([3; 32]), &first));
            let mut pair = Self { now: Time::ZERO, rng, ends };
            for from in [0, 1] {
                pair.tick(from);
            }
            pair
        }

        fn say(&mut self, from: usize) {
            let frame = self.ends[from].seal(self.now, &mut self.rng, b"text".to_vec()).unwrap();
            assert_eq!(self.ends[1 - from].open(self.now, &frame).unwrap(), b"text");
        }

        fn tick(&mut self, from: usize) {
            let frame = self.ends[from].seal_tick(self.now, &mut self.rng, Vec::new()).unwrap();
            assert_eq!(self.ends[1 - from].open(self.now, &frame).unwrap(), b"");
        }

        fn due(&self) -> [Option<Time>; 2] {
            [0, 1].map(|end| self.ends[end].tick_due())
        }
    }

    #[test]
    fn greetings_owe_nothing() {
        assert_eq!(Pair::new().due(), [None, None]);
    }

    #[test]
    fn a_tick_is_due_some_time_after_the_first_frame_without_a_new_key() {
        let mut pair = Pair::new();
        pair.now = Time::since_start(Duration::from_secs(5));
        pair.say(0);
        let due = pair.now + TICK_AFTER;
        pair.now = Time::since_start(Duration::from_secs(50));
        pair.say(0);
        assert_eq!(pair.due(), [Some(due), None]);
        // Whatever they say brings the key.
        pair.say(1);
        assert_eq!(pair.due(), [None, Some(pair.now + TICK_AFTER)]);
    }

    #[test]
    fn a_tick_is_due_after_so_many_frames_without_a_new_key() {
        let mut pair = Pair::new();
        for _ in 0..TICK_FRAMES - 1 {
            pair.say(0);
        }
        assert_eq!(pair.due()[0], Some(Time::ZERO + TICK_AFTER));
        pair.now = Time::since_start(Duration::from_secs(1));
        pair.say(0);
        assert_eq!(pair.due()[0], Some(pair.now));
    }

    #[test]
    fn one_tick_asks_and_its_answer_ends_it() {
        let mut pair = Pair::new();
        for _ in 0..TICK_FRAMES {
            pair.say(0);
        }
        pair.tick(0);
        assert_eq!(pair.due(), [None, None]);
        pair.say(0);
        assert_eq!(pair.due(), [None, None], "one tick a chain");
        pair.tick(1);
        assert_eq!(pair.due(), [None, None], "no tick answers an answer");
        pair.say(0);
        assert_eq!(pair.due(), [Some(pair.now + TICK_AFTER), None]);
    }

    #[test]
    fn a_tick_before_its_time_does_not_ask() {
        let mut pair = Pair::new();
        pair.say(0);
        pair.tick(0);
        assert_eq!(pair.due()[0], Some(pair.now + TICK_AFTER));
    }

    #[test]
    fn a_frame_that_does_not_open_settles_nothing() {
        let mut pair = Pair::new();
        pair.say(0);
        let Pair { now, rng, ends } = &mut pair;
        let mut frame = ends[1].seal(*now, rng, b"answer".to_vec()).unwrap();
        frame[60] ^= 1;
        assert_eq!(ends[0].open(*now, &frame), Err(SessionError::Forged));
        assert!(pair.due()[0].is_some());
    }

    #[test]
    fn whoever_is_asked_and_whoever_asks_fall_silent() {
        let mut pair = Pair::new();
        let mut ticks = 0;
        for spoken in [vec![0], vec![1], vec![0, 1], vec![1, 0, 0], vec![0, 1, 0]] {
            for from in spoken {
                pair.say(from);
            }
            for _ in 0..10 {
                pair.now = pair.now + TICK_AFTER;
                for from in [0, 1] {
                    if pair.ends[from].tick_due().is_some_and(|due| due <= pair.now) {
                        pair.tick(from);
                        pair.tick(1 - from);
                        ticks += 1;
                    }
                }
            }
            assert_eq!(pair.due(), [None, None]);
        }
        assert!((5..=10).contains(&ticks), "{ticks}");
    }
}
