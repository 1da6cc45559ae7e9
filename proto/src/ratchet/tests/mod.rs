//! What a ratchet promises, as tests.

mod bounds;
mod healing;
mod model;
mod rekey;

use super::*;
use crate::{crypto::derive::expand, crypto::label::Label, crypto::seal::OneTimeKey};

/// Two ends, and what they share.
struct Pair {
    now: Time,
    rng: Rng,
    initiator: Ratchet,
    responder: Ratchet,
}

/// Which end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Side {
    Initiator,
    Responder,
}
use Side::{Initiator, Responder};

impl Side {
    const fn other(self) -> Self {
        match self {
            Initiator => Responder,
            Responder => Initiator,
        }
    }
}

impl Pair {
    fn new(seed: u8) -> Self {
        let mut rng = Rng::from_seed(Secret::new([seed; 32]));
        let first = AgreeKey::generate(&mut rng);
        let theirs = FirstKey::Theirs(first.public());
        let end = |first| Ratchet::new([2; 32], Secret::new([1; 32]), first);
        let (initiator, responder) = (end(&theirs), end(&FirstKey::Ours(first)));
        Self { now: Time::ZERO, rng, initiator, responder }
    }

    fn end(&mut self, side: Side) -> &mut Ratchet {
        match side {
            Initiator => &mut self.initiator,
            Responder => &mut self.responder,
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    fn seal(&mut self, from: Side, text: &[u8]) -> Vec<u8> {
        let end = match from {
            Initiator => &mut self.initiator,
            Responder => &mut self.responder,
        };
        end.seal(self.now, &mut self.rng, text).unwrap()
    }

    fn open(&mut self, at: Side, frame: &[u8]) -> Result<Vec<u8>, SessionError> {
        let now = self.now;
        self.end(at).open(now, frame).map(|opened| opened.plaintext)
    }

    /// Says something that arrives. Gives the frame.
    #[track_caller]
    fn say(&mut self, from: Side) -> Vec<u8> {
        let frame = self.seal(from, b"something");
        assert_eq!(self.open(from.other(), &frame).as_deref(), Ok(&b"something"[..]));
        frame
    }

    /// Both say something: two new keys.
    fn turn(&mut self) {
        self.say(Initiator);
        self.say(Responder);
    }
}

/// What a liar who holds the keys can do: seals under any header.
fn lie(liar: &Ratchet, header: &Header<'_>, padded: &[u8]) -> Vec<u8> {
    let Sending::Speaking(speaking) = &liar.sending else { panic!("the liar has to speak") };
    let key = speaking.chain.duplicate().take().unwrap();
    let mut frame = Vec::new();
    header.write(&mut frame);
    let (start, associated) = (frame.len(), [&liar.id[..], &frame].concat());
    frame.extend_from_slice(padded);
    key.one_time().seal_tail(&associated, &mut frame, start);
    frame
}

/// The truthful header of the next frame of a chain that stands.
fn next_header(end: &Ratchet) -> Header<'_> {
    let Sending::Speaking(speaking) = &end.sending else { panic!("the end has to speak") };
    speaking.header(&Carried::Nothing)
}

/// Everything that an end would do next, as far as frames and a fixed draw of random bytes show it.
fn behaviour(end: &Ratchet, now: Time, frames: &[&[u8]]) -> Vec<Result<Vec<u8>, SessionError>> {
    let mut end = end.clone();
    let mut rng = Rng::from_seed(Secret::new([0xbe; 32]));
    let mut seen: Vec<_> =
        frames.iter().map(|frame| end.open(now, frame).map(|opened| opened.plaintext)).collect();
    seen.push(end.seal(now, &mut rng, b"next"));
    seen
}

#[test]
fn both_directions_carry_texts_of_every_length() {
    let mut pair = Pair::new(1);
    for length in [0, 1, 62, 63, 64, 255, 16 * 1024, 64 * 1024] {
        for from in [Initiator, Initiator, Responder, Responder] {
            let text = vec![7; length];
            let frame = pair.seal(from, &text);
            assert_eq!(frame.len(), HEADER_BYTES + padding::padded_bytes(length) + TAG_BYTES);
            assert_eq!(pair.open(from.other(), &frame), Ok(text));
        }
    }
}

#[test]
fn the_responder_is_silent_until_it_has_heard_the_initiator() {
    let mut pair = Pair::new(1);
    let Pair { now, rng, responder, .. } = &mut pair;
    assert_eq!(responder.seal(*now, rng, b"early").err(), Some(SessionError::Early));
    let forged = vec![0; 200];
    assert!(pair.open(Responder, &forged).is_err());
    let Pair { now, rng, responder, .. } = &mut pair;
    assert_eq!(responder.seal(*now, rng, b"early").err(), Some(SessionError::Early));
    pair.turn();
}

#[test]
fn a_key_lasts_for_one_turn_and_a_chain_for_one_key() {
    let mut pair = Pair::new(1);
    let key = |frame: &[u8]| frame[1..33].to_vec();
    let [first, second] = [0; 2].map(|_| key(&pair.say(Initiator)));
    assert_eq!(first, second);
    let answer = key(&pair.say(Responder));
    let third = key(&pair.say(Initiator));
    assert!(third != first && third != answer && answer != first);
}

#[test]
fn a_message_opens_once() {
    let mut pair = Pair::new(1);
    let [first, second, third] = [b"1", b"2", b"3"].map(|text| pair.seal(Initiator, text));
    for (frame, text) in [(&second, b"2"), (&third, b"3"), (&first, b"1")] {
        assert_eq!(pair.open(Responder, frame).as_deref(), Ok(&text[..]));
        assert_eq!(pair.open(Responder, frame), Err(SessionError::Stale));
    }
    pair.turn();
    pair.turn();
    for frame in [first, second, third] {
        assert!(pair.open(Responder, &frame).is_err());
    }
}

#[test]
fn a_reflected_message_does_not_open() {
    let mut pair = Pair::new(1);
    for _ in 0..2 {
        for from in [Initiator, Responder] {
            let frame = pair.say(from);
            assert!(pair.open(from, &frame).is_err());
        }
    }
}

#[test]
fn another_root_or_another_session_opens_nothing() {
    let mut pair = Pair::new(1);
    let frame = pair.seal(Initiator, b"hello");
    let Sending::Silent { ours } = &pair.responder.sending else { panic!() };
    let first = FirstKey::Ours(ours.duplicate());
    let opens = |id, root| {
        Ratchet::new(id, Secret::new(root), &first).open(Time::ZERO, &frame).map(|o| o.plaintext)
    };
    assert_eq!(opens([3; 32], [1; 32]), Err(SessionError::Forged));
    assert_eq!(opens([2; 32], [3; 32]), Err(SessionError::Forged));
    assert_eq!(opens([2; 32], [1; 32]).as_deref(), Ok(&b"hello"[..]));
}

/// A frame of every kind at an end that it opens at: the first of a chain, a later one, a late one, one with
/// an offer, one with a ciphertext.
fn frames_of_every_kind() -> Vec<(Ratchet, Time, Vec<u8>)> {
    let mut pair = Pair::new(5);
    let mut kinds = Vec::new();
    let first = pair.seal(Initiator, b"first");
    kinds.push((pair.responder.clone(), pair.now, first));
    let late = pair.seal(Initiator, b"late");
    let later = pair.seal(Initiator, b"later");
    pair.open(Responder, &later).unwrap();
    kinds.push((pair.responder.clone(), pair.now, late));
    let onward = pair.seal(Initiator, b"onward");
    kinds.push((pair.responder.clone(), pair.now, onward.clone()));
    pair.open(Responder, &onward).unwrap();
    pair.pass(REKEY_AFTER);
    pair.say(Responder);
    for from in [Initiator, Responder] {
        let frame = pair.seal(from, b"renewal");
        assert!(frame.len() > 1000);
        let end = pair.end(from.other()).clone();
        kinds.push((end, pair.now, frame.clone()));
        pair.open(from.other(), &frame).unwrap();
    }
    kinds
}

#[test]
fn no_bit_of_a_frame_can_be_changed_and_a_forgery_changes_nothing() {
    for (end, now, frame) in frames_of_every_kind() {
        let mut harassed = end.clone();
        for bit in 0..frame.len() * 8 {
            let mut forged = frame.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(harassed.open(now, &forged).is_err(), "bit {bit}");
        }
        for length in (0..frame.len()).step_by(37) {
            assert!(harassed.open(now, &frame[..length]).is_err());
        }
        assert!(harassed.open(now, &[&frame[..], &[0]].concat()).is_err());
        let frames = [&frame[..]];
        assert!(behaviour(&end, now, &frames)[0].is_ok());
        assert_eq!(behaviour(&harassed, now, &frames), behaviour(&end, now, &frames));
    }
}

#[test]
fn a_frame_that_is_sealed_well_and_padded_badly_changes_nothing() {
    let mut pair = Pair::new(1);
    pair.say(Initiator);
    let frame = lie(&pair.initiator, &next_header(&pair.initiator), &[0; 64]);
    let before = pair.responder.clone();
    assert_eq!(pair.open(Responder, &frame), Err(SessionError::Malformed));
    let truth = pair.seal(Initiator, b"truth");
    let frames = [&truth[..]];
    assert_eq!(
        behaviour(&pair.responder, pair.now, &frames),
        behaviour(&before, pair.now, &frames)
    );
}

#[test]
fn equal_texts_look_different() {
    let mut pair = Pair::new(1);
    let [one, two] = [0; 2].map(|_| pair.seal(Initiator, b"same"));
    assert_eq!(one.len(), two.len());
    assert_ne!(one[HEADER_BYTES..], two[HEADER_BYTES..]);
}

#[test]
fn what_seals_is_derived_from_what_is_counted() {
    let mut pair = Pair::new(1);
    let frame = pair.seal(Initiator, b"text");
    let key = Secret::new(pair.initiator.used[0]);
    let (header, sealed) = frame.split_at(HEADER_BYTES);
    let key = OneTimeKey::new(expand(&key, Label::Message));
    let padded = key.open(&[&[2; 32], header].concat(), sealed).unwrap();
    assert_eq!(padding::unpad(padded).unwrap(), b"text");
}
