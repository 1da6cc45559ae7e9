//! When the KEM is used, and what happens if one end does not play along.

use super::*;

const OFFERS: u8 = 1;
const MIXED: u8 = 2;

#[track_caller]
fn says(pair: &mut Pair, from: Side, flags: u8) {
    assert_eq!(pair.say(from)[0], flags);
}

/// A pair whose next step of the initiator is due, and whose other end is as far.
fn due() -> Pair {
    let mut pair = Pair::new(1);
    says(&mut pair, Initiator, 0);
    says(&mut pair, Responder, 0);
    pair.pass(REKEY_AFTER);
    pair
}

#[test]
fn a_step_uses_the_kem_after_so_many_frames() {
    for (frames, flags) in [(REKEY_FRAMES - 1, 0), (REKEY_FRAMES, OFFERS)] {
        let mut pair = Pair::new(1);
        for _ in 0..frames - 1 {
            says(&mut pair, Initiator, 0);
        }
        says(&mut pair, Responder, 0);
        says(&mut pair, Initiator, flags);
    }
}

#[test]
fn a_step_uses_the_kem_after_so_long() {
    let mut pair = Pair::new(1);
    pair.turn();
    pair.pass(REKEY_AFTER - Duration::from_millis(1));
    says(&mut pair, Initiator, 0);
    says(&mut pair, Responder, 0);
    pair.pass(Duration::from_millis(1));
    says(&mut pair, Initiator, OFFERS);
}

#[test]
fn an_offer_is_answered_and_every_frame_of_the_answer_says_so() {
    let mut pair = due();
    says(&mut pair, Initiator, OFFERS);
    says(&mut pair, Initiator, 0);
    // Due as well, but an answer renews the root for both.
    for _ in 0..3 {
        says(&mut pair, Responder, MIXED);
    }
    says(&mut pair, Initiator, 0);
    says(&mut pair, Responder, 0);
}

#[test]
fn sealed_at_the_same_moment_two_renewals_do_not_cross() {
    let mut pair = due();
    pair.say(Initiator);
    pair.pass(REKEY_AFTER);
    // Both are due now, and both seal before they open.
    let [one, two] = [Initiator, Responder].map(|from| pair.seal(from, b"crossing"));
    assert_eq!((one[0], two[0]), (0, MIXED));
    pair.open(Responder, &one).unwrap();
    pair.open(Initiator, &two).unwrap();
    for _ in 0..3 {
        pair.turn();
    }
}

#[test]
fn an_end_that_answers_no_offer_is_still_healed_by_agreements() {
    let mut pair = due();
    says(&mut pair, Initiator, OFFERS);
    let Sending::Owing { offer, .. } = &mut pair.responder.sending else { panic!() };
    assert!(offer.take().is_some());
    pair.responder.rekey.since = Some(pair.now);
    says(&mut pair, Responder, 0);
    // The offer held for that chain only, and the next comes when it is due, not at every step.
    says(&mut pair, Initiator, 0);
    assert!(
        matches!(&pair.initiator.sending, Sending::Speaking(s) if matches!(s.kem, Mixing::Absent))
    );
    says(&mut pair, Responder, 0);
    pair.pass(REKEY_AFTER);
    says(&mut pair, Initiator, OFFERS);
    says(&mut pair, Responder, MIXED);
}

#[test]
fn an_offer_that_comes_late_counts_until_the_step() {
    for stepped in [false, true] {
        let mut pair = due();
        let [offer, next] = [0; 2].map(|_| pair.seal(Initiator, b"text"));
        assert_eq!((offer[0], next[0]), (OFFERS, 0));
        pair.open(Responder, &next).unwrap();
        if stepped {
            pair.responder.rekey.since = Some(pair.now);
            says(&mut pair, Responder, 0);
        }
        pair.open(Responder, &offer).unwrap();
        says(&mut pair, Responder, if stepped { 0 } else { MIXED });
        pair.turn();
    }
}

#[test]
fn an_offer_that_comes_after_its_chain_is_not_answered() {
    let mut pair = due();
    let [offer, next] = [0; 2].map(|_| pair.seal(Initiator, b"text"));
    pair.open(Responder, &next).unwrap();
    pair.responder.rekey.since = Some(pair.now);
    says(&mut pair, Responder, 0);
    says(&mut pair, Initiator, 0);
    // The responder owes a step once more, to a key that the offer did not come with.
    assert_eq!(offer[0], OFFERS);
    pair.open(Responder, &offer).unwrap();
    says(&mut pair, Responder, 0);
}

#[test]
fn a_chain_whose_ciphertext_has_not_come_is_refused_and_goes_on_when_it_comes() {
    let mut pair = due();
    says(&mut pair, Initiator, OFFERS);
    let [first, second] = [0; 2].map(|_| pair.seal(Responder, b"text"));
    assert_eq!(pair.open(Initiator, &second), Err(SessionError::KemMissing));
    assert!(pair.open(Initiator, &first).is_ok());
    assert!(pair.open(Initiator, &second).is_ok());
}

#[test]
fn an_end_that_offers_in_every_turn_costs_one_answer_a_turn_and_breaks_nothing() {
    let mut pair = Pair::new(1);
    pair.turn();
    for _ in 0..4 {
        pair.initiator.rekey.frames = REKEY_FRAMES;
        says(&mut pair, Initiator, OFFERS);
        says(&mut pair, Initiator, 0);
        says(&mut pair, Responder, MIXED);
    }
}
