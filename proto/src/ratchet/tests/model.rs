//! Random talks over a bad network, held against a model that knows no cryptography.

use std::collections::BTreeSet;

use super::*;
use crate::limits::{SKIPPED_AGE_MAX, SKIPPED_GAP_MAX, SKIPPED_KEYS_MAX, SKIPPED_TURNS_MAX};

/// What an end should open, judged by the headers alone.
#[derive(Clone, Default)]
struct Model {
    /// The other end's keys so far; the last one is of the chain that stands.
    keys: Vec<Vec<u8>>,
    next: u32,
    /// Whether this end has spoken since their last key came, and whether with an offer.
    answered: bool,
    offered: bool,
    /// Frames that were left out: key, number, and when they are given up.
    missing: Vec<(Vec<u8>, u32, Time, usize)>,
}

struct Parsed {
    key: Vec<u8>,
    previous: u32,
    number: u32,
    flags: u8,
}

fn parsed(frame: &[u8]) -> Parsed {
    let number = |at: usize| u32::from_be_bytes(frame[at..at + 4].try_into().unwrap());
    Parsed { key: frame[1..33].to_vec(), previous: number(33), number: number(37), flags: frame[0] }
}

impl Model {
    /// Whether a true frame opens here. Takes it as opened if it does.
    fn opens(&mut self, now: Time, frame: &[u8]) -> bool {
        let turns = self.keys.len();
        self.missing.retain(|(_, _, until, turn)| *until > now && *turn > turns);
        let Parsed { key, previous, number, flags } = parsed(frame);
        let is_it = |m: &(Vec<u8>, u32, Time, usize)| m.0 == key && m.1 == number;
        if let Some(place) = self.missing.iter().position(is_it) {
            self.missing.remove(place);
            return true;
        }
        if self.keys.last() == Some(&key) {
            if number < self.next || number - self.next > SKIPPED_GAP_MAX {
                return false;
            }
            self.miss(now, &key, self.next..number);
        } else {
            let old = self.keys.contains(&key);
            let mixed_badly = flags == 2 && (number != 0 || !self.offered);
            let lost = previous.checked_sub(self.next);
            let gap = lost.is_none_or(|lost| lost > SKIPPED_GAP_MAX) || number > SKIPPED_GAP_MAX;
            if old || !self.answered || mixed_badly || gap {
                return false;
            }
            let last = self.keys.last().cloned();
            self.keys.push(key.clone());
            if let Some(last) = last {
                self.miss(now, &last, self.next..previous);
            }
            self.miss(now, &key, 0..number);
            (self.answered, self.offered) = (false, false);
        }
        self.next = number + 1;
        true
    }

    fn miss(&mut self, now: Time, key: &[u8], numbers: std::ops::Range<u32>) {
        let turn = self.keys.len() + usize::try_from(SKIPPED_TURNS_MAX).unwrap();
        self.missing.extend(numbers.map(|n| (key.to_vec(), n, now + SKIPPED_AGE_MAX, turn)));
        let excess = self.missing.len().saturating_sub(SKIPPED_KEYS_MAX);
        self.missing.drain(..excess);
    }

    fn spoke(&mut self, frame: &[u8]) {
        self.offered |= frame[0] == 1;
        self.answered = true;
    }
}

/// A frame under way, and the text in it.
type Sent = (Vec<u8>, Vec<u8>);

/// How often something happened, so that a run that tried nothing does not pass.
#[derive(Debug, Default)]
struct Tally {
    late: u32,
    refused: u32,
    replayed: u32,
    corrupted: u32,
    mixed: u32,
}

struct Talk {
    pair: Pair,
    dice: Rng,
    models: [Model; 2],
    /// Per sender.
    under_way: [Vec<Sent>; 2],
    opened: [Vec<Sent>; 2],
    texts: u64,
    tally: Tally,
}

impl Talk {
    fn new(seed: u8) -> Self {
        // The initiator owes a step from the beginning; the responder waits with its key.
        let models = [Model::default(), Model { answered: true, ..Model::default() }];
        Self {
            pair: Pair::new(seed),
            dice: Rng::from_seed(Secret::new([seed ^ 0xff; 32])),
            models,
            under_way: Default::default(),
            opened: Default::default(),
            texts: 0,
            tally: Tally::default(),
        }
    }

    fn roll(&mut self, below: usize) -> usize {
        let rolled = u64::from_le_bytes(self.dice.bytes()) % below as u64;
        usize::try_from(rolled).unwrap()
    }

    fn step(&mut self) {
        let from = if self.roll(2) == 0 { Initiator } else { Responder };
        let waiting = self.under_way[from as usize].len();
        match self.roll(100) {
            0..34 => self.speak(from),
            34..74 if waiting > 0 => self.deliver(from, 0),
            74..84 if waiting > 0 => {
                let place = self.roll(waiting.min(20));
                self.deliver(from, place);
            }
            84..87 if waiting > 0 => self.lose(from, waiting),
            87..91 => self.replay(from),
            91..97 if waiting > 0 => self.corrupt(from, waiting),
            97..99 => {
                let seconds = [1, 30, 200][self.roll(3)];
                self.pair.pass(Duration::from_secs(seconds));
            }
            _ => {}
        }
    }

    fn speak(&mut self, from: Side) {
        let length = [0, 10, 100, 1000][self.roll(4)];
        self.texts += 1;
        let mut text = self.texts.to_be_bytes().to_vec();
        text.resize(8 + length, 0x80);
        let Pair { now, rng, .. } = &mut self.pair;
        let (now, mut rng) = (*now, Rng::from_seed(rng.secret()));
        match self.pair.end(from).seal(now, &mut rng, &text) {
            Ok(frame) => {
                self.models[from as usize].spoke(&frame);
                self.tally.mixed += u32::from(frame[0] == 2);
                self.under_way[from as usize].push((frame, text));
            }
            Err(error) => {
                assert_eq!((error, from), (SessionError::Early, Responder));
                assert!(self.models[Responder as usize].keys.is_empty());
            }
        }
    }

    fn deliver(&mut self, from: Side, place: usize) {
        let (frame, text) = self.under_way[from as usize][place].clone();
        let (now, at) = (self.pair.now, from.other());
        let before = self.pair.end(at).clone();
        let expected = self.models[at as usize].opens(now, &frame);
        let opened = self.pair.open(at, &frame);
        assert_eq!(opened.is_ok(), expected, "{opened:?}");
        if expected {
            assert_eq!(opened, Ok(text));
            self.tally.late += u32::from(place > 0);
            let sent = self.under_way[from as usize].remove(place);
            self.opened[from as usize].push(sent);
        } else {
            self.tally.refused += 1;
            self.assert_unchanged(&before, at);
            // It may have come before a frame that it needs.
            if self.roll(3) == 0 && frame[0] != 2 {
                self.under_way[from as usize].remove(place);
            }
        }
    }

    fn lose(&mut self, from: Side, waiting: usize) {
        let place = self.roll(waiting);
        // Without the ciphertext a chain never opens: on a stream, it is not lost alone.
        if self.under_way[from as usize][place].0[0] != 2 {
            self.under_way[from as usize].remove(place);
        }
    }

    fn replay(&mut self, from: Side) {
        let opened = self.opened[from as usize].len();
        if opened == 0 {
            return;
        }
        // Mostly young ones, whose chain stands.
        let back = if self.roll(2) == 0 { opened.min(10) } else { opened };
        let place = opened - 1 - self.roll(back);
        let frame = self.opened[from as usize][place].0.clone();
        self.refuse(from.other(), &frame);
        self.refuse(from, &frame);
        self.tally.replayed += 1;
    }

    fn corrupt(&mut self, from: Side, waiting: usize) {
        let place = self.roll(waiting);
        let mut frame = self.under_way[from as usize][place].0.clone();
        match self.roll(4) {
            0 => frame.truncate(self.roll(frame.len())),
            1 => frame.push(0),
            2 => {
                // The header is where a forgery could do most.
                let at = self.roll(HEADER_BYTES);
                frame[at] ^= 1 << self.roll(8);
            }
            _ => {
                let at = self.roll(frame.len());
                frame[at] ^= 1 << self.roll(8);
            }
        }
        self.refuse(from.other(), &frame);
        self.tally.corrupted += 1;
    }

    fn refuse(&mut self, at: Side, frame: &[u8]) {
        let before = self.pair.end(at).clone();
        assert!(self.pair.open(at, frame).is_err());
        self.assert_unchanged(&before, at);
    }

    fn assert_unchanged(&mut self, before: &Ratchet, at: Side) {
        let now = self.pair.now;
        let next = self.under_way[at.other() as usize].iter().take(3);
        let next: Vec<_> = next.map(|(frame, _)| frame.clone()).collect();
        let next: Vec<_> = next.iter().map(Vec::as_slice).collect();
        let after = behaviour(self.pair.end(at), now, &next);
        assert_eq!(after, behaviour(before, now, &next));
    }

    fn finish(mut self) -> Tally {
        for from in [Initiator, Responder] {
            while !self.under_way[from as usize].is_empty() {
                let (waiting, refused) = (self.under_way[from as usize].len(), self.tally.refused);
                self.deliver(from, 0);
                if self.tally.refused > refused && self.under_way[from as usize].len() == waiting {
                    self.under_way[from as usize].remove(0);
                }
            }
        }
        let texts: Vec<_> = self.opened.iter().flatten().map(|(_, text)| text.clone()).collect();
        let distinct: BTreeSet<_> = texts.iter().collect();
        assert_eq!(distinct.len(), texts.len(), "a text was opened twice");
        let keys = [&self.pair.initiator.used[..], &self.pair.responder.used].concat();
        let distinct: BTreeSet<_> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len(), "a key sealed twice");
        self.tally
    }
}

#[test]
fn random_talks_over_a_bad_network_are_as_the_model_says() {
    let mut sum = Tally::default();
    for seed in 0..24 {
        let mut talk = Talk::new(seed);
        for _ in 0..1200 {
            talk.step();
        }
        let tally = talk.finish();
        sum.late += tally.late;
        sum.refused += tally.refused;
        sum.replayed += tally.replayed;
        sum.corrupted += tally.corrupted;
        sum.mixed += tally.mixed;
    }
    let Tally { late, refused, replayed, corrupted, mixed } = sum;
    let tried = [late, refused, replayed, corrupted, mixed];
    assert!(tried.iter().all(|count| *count > 20), "{sum:?}");
}
