//! What a thief of one end's whole state can read: nothing from before, and nothing after a full turn.

use super::*;

/// A pair in the middle of its talk, in which the victim has spoken last and the thief takes a copy.
fn theft(victim: Side) -> (Pair, Ratchet) {
    let mut pair = Pair::new(1);
    for _ in 0..3 {
        pair.turn();
    }
    if victim == Initiator {
        pair.say(Initiator);
    }
    let stolen = pair.end(victim).clone();
    (pair, stolen)
}

fn reads(thief: &Ratchet, now: Time, frame: &[u8]) -> bool {
    thief.clone().open(now, frame).is_ok()
}

#[test]
fn a_thief_reads_nothing_from_before() {
    for victim in [Initiator, Responder] {
        let mut pair = Pair::new(1);
        let mut before = Vec::new();
        for _ in 0..3 {
            before.push(pair.say(Initiator));
            before.push(pair.say(Responder));
        }
        let stolen = pair.end(victim).clone();
        assert!(before.iter().all(|frame| !reads(&stolen, pair.now, frame)));
    }
}

#[test]
fn a_thief_reads_nothing_after_a_full_turn() {
    for victim in [Initiator, Responder] {
        let (mut pair, mut thief) = theft(victim);
        // The other end answers the key that the thief has.
        let lost = pair.say(victim.other());
        assert!(thief.open(pair.now, &lost).is_ok(), "until then it reads on");
        let more = pair.say(victim.other());
        assert!(thief.open(pair.now, &more).is_ok());
        // The victim's new key, which the thief has not; its own is not the victim's.
        let theirs = pair.say(victim);
        assert!(!reads(&thief, pair.now, &theirs));
        let mut rng = Rng::from_seed(Secret::new([0xee; 32]));
        thief.seal(pair.now, &mut rng, b"a guess").unwrap();
        for _ in 0..3 {
            let frame = pair.say(victim.other());
            assert!(!reads(&thief, pair.now, &frame));
            let frame = pair.say(victim);
            assert!(!reads(&thief, pair.now, &frame));
        }
    }
}

/// A thief who breaks every key agreement follows a step of the victim.
fn follow(thief: &mut Ratchet, victim: &Ratchet) {
    let Sending::Speaking(Speaking { theirs, ours, previous, .. }) = &victim.sending else {
        panic!("the victim has stepped")
    };
    let agreed = ours.agree(*theirs).unwrap();
    let (root, chain) = Chain::begin(&thief.root, &agreed, None);
    thief.root = root;
    thief.sending = Sending::Speaking(Speaking {
        theirs: *theirs,
        ours: ours.duplicate(),
        chain,
        previous: *previous,
        kem: Mixing::Absent,
    });
}

#[test]
fn whoever_breaks_every_agreement_reads_nothing_after_a_renewal() {
    // The victim answers an offer, or makes one.
    for victim in [Initiator, Responder] {
        for offers in [victim, victim.other()] {
            let (mut pair, mut thief) = theft(victim);
            for _ in 0..4 {
                let frame = pair.say(victim.other());
                assert!(thief.open(pair.now, &frame).is_ok(), "it follows every agreement");
                pair.say(victim);
                follow(&mut thief, pair.end(victim));
                assert!(thief.root.matches(pair.end(victim).root.expose()));
            }
            let due = REKEY_FRAMES;
            pair.end(offers).rekey.frames = due;
            if offers == victim {
                // Its next step offers; the thief sees the key that it offers, and not what is behind.
                let frame = pair.say(victim.other());
                assert!(thief.open(pair.now, &frame).is_ok());
                assert_eq!(pair.say(victim)[0], 1);
                follow(&mut thief, pair.end(victim));
            } else {
                let frame = pair.say(victim.other());
                assert_eq!(frame[0], 1);
                assert!(thief.open(pair.now, &frame).is_ok());
                assert_eq!(pair.say(victim)[0], 2);
                follow(&mut thief, pair.end(victim));
            }
            for _ in 0..3 {
                let frame = pair.say(victim.other());
                assert!(!reads(&thief, pair.now, &frame));
                pair.say(victim);
                follow(&mut thief, pair.end(victim));
                assert!(!thief.root.matches(pair.end(victim).root.expose()));
            }
        }
    }
}
