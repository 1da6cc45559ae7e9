//! Every bound at its edge, and liars who go beyond.

use super::*;
use crate::limits::{CHAIN_FRAMES_MAX, SKIPPED_AGE_MAX, SKIPPED_GAP_MAX, SKIPPED_TURNS_MAX};

/// Seals frames that do not arrive.
fn lose(pair: &mut Pair, from: Side, count: u32) -> Vec<Vec<u8>> {
    (0..count).map(|_| pair.seal(from, b"lost")).collect()
}

#[test]
fn so_many_frames_of_a_chain_may_be_missing_and_no_more() {
    for (missing, opens) in [(SKIPPED_GAP_MAX, true), (SKIPPED_GAP_MAX + 1, false)] {
        // In the first chain, in a chain that stands, and in one that comes.
        for (before, turn) in [(false, false), (true, false), (true, true)] {
            let mut pair = Pair::new(1);
            if before {
                pair.turn();
                pair.say(Initiator);
            }
            if turn {
                pair.say(Responder);
            }
            let lost = lose(&mut pair, Initiator, missing);
            let frame = pair.seal(Initiator, b"text");
            let opened = pair.open(Responder, &frame);
            assert_eq!(opened.is_ok(), opens, "{missing} {before} {turn}");
            if opens {
                assert!(lost.iter().all(|frame| pair.open(Responder, frame).is_ok()));
            } else {
                assert_eq!(opened, Err(SessionError::Gap));
                assert!(pair.open(Responder, &lost[0]).is_ok());
            }
        }
    }
}

#[test]
fn so_many_frames_may_be_missing_at_the_end_of_a_chain_and_no_more() {
    for (missing, opens) in [(SKIPPED_GAP_MAX, true), (SKIPPED_GAP_MAX + 1, false)] {
        let mut pair = Pair::new(1);
        pair.turn();
        pair.say(Initiator);
        let lost = lose(&mut pair, Initiator, missing);
        pair.say(Responder);
        let frame = pair.seal(Initiator, b"text");
        let expected = if opens { Ok(b"text".to_vec()) } else { Err(SessionError::Gap) };
        assert_eq!(pair.open(Responder, &frame), expected);
        assert!(lost.iter().all(|frame| pair.open(Responder, frame).is_ok()));
    }
}

#[test]
fn a_missing_frame_is_waited_for_so_many_turns_and_so_long() {
    for (turns, waited, opens) in [
        (SKIPPED_TURNS_MAX - 1, Duration::ZERO, true),
        (SKIPPED_TURNS_MAX, Duration::ZERO, false),
        (0, SKIPPED_AGE_MAX - Duration::from_millis(1), true),
        (0, SKIPPED_AGE_MAX, false),
    ] {
        let mut pair = Pair::new(1);
        let late = pair.seal(Initiator, b"late");
        pair.say(Initiator);
        for _ in 0..turns {
            pair.say(Responder);
            pair.say(Initiator);
        }
        pair.pass(waited);
        assert_eq!(pair.open(Responder, &late).is_ok(), opens, "{turns} {waited:?}");
    }
}

#[test]
fn numbers_end_below_two_to_the_31_and_a_turn_begins_anew() {
    let mut pair = Pair::new(1);
    pair.turn();
    pair.say(Initiator);
    let nearly = || Chain::at(Secret::new([9; 32]), CHAIN_FRAMES_MAX - 1);
    let Sending::Speaking(speaking) = &mut pair.initiator.sending else { panic!() };
    speaking.chain = nearly();
    pair.responder.receiving = Some(nearly());
    pair.say(Initiator);
    let Pair { now, rng, initiator, .. } = &mut pair;
    assert_eq!(initiator.seal(*now, rng, b"").err(), Some(SessionError::Exhausted));
    pair.say(Responder);
    let frame = pair.say(Initiator);
    assert_eq!(frame[33..37], CHAIN_FRAMES_MAX.to_be_bytes());
}

#[test]
fn a_second_new_key_before_an_answer_is_refused() {
    let mut pair = Pair::new(1);
    pair.turn();
    let mut liar = pair.initiator.clone();
    pair.say(Initiator);
    // The liar answers the same key once more, with another key of its own.
    let again = liar.seal(pair.now, &mut pair.rng, b"again").unwrap();
    assert_eq!(pair.open(Responder, &again), Err(SessionError::OutOfTurn));
    pair.turn();
}

#[test]
fn a_key_that_contributes_nothing_is_refused() {
    let mut pair = Pair::new(1);
    let frame = pair.seal(Initiator, b"text");
    let mut weak = frame.clone();
    weak[1..33].fill(0);
    assert_eq!(pair.open(Responder, &weak), Err(SessionError::WeakKey));
    assert!(pair.open(Responder, &frame).is_ok());
}

#[test]
fn a_chain_that_is_said_to_be_shorter_than_it_was_is_refused() {
    let mut pair = Pair::new(1);
    let first = pair.seal(Initiator, b"text");
    let mut longer = first.clone();
    longer[36] = 1;
    assert_eq!(pair.open(Responder, &longer), Err(SessionError::Malformed));
    pair.open(Responder, &first).unwrap();
    pair.say(Initiator);
    pair.say(Responder);
    let mut shorter = pair.seal(Initiator, b"text");
    assert_eq!(shorter[33..37], 2_u32.to_be_bytes());
    shorter[36] = 1;
    assert_eq!(pair.open(Responder, &shorter), Err(SessionError::Stale));
}

#[test]
fn nothing_opens_under_the_key_of_the_handshake_itself() {
    let mut pair = Pair::new(1);
    let mut frame = pair.seal(Initiator, b"text");
    let Sending::Speaking(speaking) = &pair.initiator.sending else { panic!() };
    frame[1..33].copy_from_slice(&speaking.theirs.0);
    assert_eq!(pair.open(Initiator, &frame), Err(SessionError::Stale));
}

#[test]
fn a_kem_key_that_is_none_is_refused_before_anything_depends_on_it() {
    let mut pair = Pair::new(1);
    pair.turn();
    let mut liar = pair.initiator.clone();
    liar.answer(pair.now, &mut pair.rng, true).unwrap();
    let header = Header { kem: Kem::Offer(&[0xff; 1184]), ..next_header(&liar) };
    let mut padded = Vec::new();
    padding::pad(&mut padded, 0);
    let frame = lie(&liar, &header, &padded);
    assert_eq!(pair.open(Responder, &frame), Err(SessionError::WeakKey));
    pair.turn();
}

#[test]
fn a_ciphertext_that_nobody_asked_for_is_refused() {
    let mut pair = Pair::new(1);
    pair.turn();
    let mut liar = pair.initiator.clone();
    liar.answer(pair.now, &mut pair.rng, true).unwrap();
    for (number, kem) in [(0, Kem::Ciphertext(&[0; 1088])), (1, Kem::Mixed)] {
        let header = Header { kem, number, ..next_header(&liar) };
        let frame = lie(&liar, &header, &[0x80]);
        assert_eq!(pair.open(Responder, &frame), Err(SessionError::KemMissing));
    }
    pair.turn();
}
