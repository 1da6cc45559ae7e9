//! Sealing and opening a message through a whole session, beside the bare cryptography in it.

use std::{cell::Cell, hint::black_box};

use hither_proto::{
    crypto::{
        agree::AgreeKey,
        derive::{authenticate_each, derive, expand},
        kem::{KEM_CIPHERTEXT_BYTES, KEM_PUBLIC_BYTES, KemKey, KemPublic},
        label::Label,
        rng::Rng,
        seal::OneTimeKey,
        secret::Secret,
    },
    handshake::{Prologue, hear, initiate},
    session::Session,
    ticket::AttemptId,
    time::Time,
};

use crate::{
    report::{Row, Target, Unit},
    samples::{alternately, seconds},
};

/// What people write is about so long.
const PLAINTEXT: [u8; 100] = [b'a'; 100];

/// What that is padded to.
const PADDED_BYTES: usize = 256;

/// What is authenticated beside a message: the session, a key, two numbers and a flag.
const ASSOCIATED: [u8; 32 + 41] = [7; 32 + 41];

/// Messages in one sample: less than a millisecond, which a busy system seldom interrupts.
const MESSAGES: usize = 64;

const ROUNDS: usize = 1_000;

pub(crate) fn measure() -> Vec<Row> {
    vec![in_a_chain(), with_turns()]
}

/// One person writes, the other reads.
fn in_a_chain() -> Row {
    let mut rng = rng();
    let (mut alice, mut bob) = sessions(&mut rng);
    let mut bare = Bare::new();
    let (measured, floor) = alternately(
        ROUNDS,
        || each(|| _ = say(&mut rng, &mut alice, &mut bob)),
        || each(|| bare.message()),
    );
    Row {
        area: "ratchet",
        what: "seal and open 100 bytes, in a chain",
        unit: Unit::Seconds,
        measured,
        floor: Some(floor),
        peer: None,
        target: Some(Target::Times(3.0)),
    }
}

/// Both write in turns, so that every message takes a step of the ratchet.
fn with_turns() -> Row {
    let (mut rng, mut bare_rng) = (rng(), rng());
    let (mut alice, mut bob) = sessions(&mut rng);
    let plain = say(&mut rng, &mut alice, &mut bob);
    // Every so often a step carries something of the KEM, which shows in the frame's length. The floor
    // does as much of that as the steps have done.
    let owed = Cell::new(0);
    let mut bare = Bare::new();
    let (measured, floor) = alternately(
        ROUNDS,
        || {
            each(|| {
                // Whoever has heard last speaks.
                std::mem::swap(&mut alice, &mut bob);
                let carried = say(&mut rng, &mut alice, &mut bob) - plain;
                owed.set(owed.get() + usize::from(carried == KEM_CIPHERTEXT_BYTES));
                debug_assert!([0, KEM_CIPHERTEXT_BYTES, KEM_PUBLIC_BYTES].contains(&carried));
            })
        },
        || {
            each(|| {
                bare.step(&mut bare_rng);
                bare.message();
                (0..owed.replace(0)).for_each(|_| encapsulate(&mut bare_rng));
            })
        },
    );
    Row {
        area: "ratchet",
        what: "the same, with a turn for each",
        unit: Unit::Seconds,
        measured,
        floor: Some(floor),
        peer: None,
        target: None,
    }
}

/// Seconds that each of many takes.
fn each(mut work: impl FnMut()) -> f64 {
    seconds(|| (0..MESSAGES).for_each(|_| work())) / MESSAGES as f64
}

/// Says something to the other end, and returns the length of the frame.
fn say(rng: &mut Rng, from: &mut Session, to: &mut Session) -> usize {
    let frame = from.seal(Time::ZERO, rng, PLAINTEXT.to_vec()).unwrap();
    let heard = to.open(Time::ZERO, &frame).unwrap();
    assert_eq!(heard, PLAINTEXT);
    frame.len()
}

/// The operations that a session cannot do without, for both ends at once.
struct Bare {
    sending: Secret<32>,
    receiving: Secret<32>,
    root: Secret<32>,
    theirs: AgreeKey,
    buffer: Vec<u8>,
}

impl Bare {
    fn new() -> Self {
        Self {
            sending: Secret::new([1; 32]),
            receiving: Secret::new([1; 32]),
            root: Secret::new([1; 32]),
            theirs: AgreeKey::from_secret(&Secret::new([1; 32])),
            buffer: Vec::with_capacity(2 * PADDED_BYTES),
        }
    }

    /// One step of each chain, one seal and one open.
    fn message(&mut self) {
        let seal = next_key(&mut self.sending);
        self.buffer.resize(PADDED_BYTES, 0);
        self.buffer = seal.seal(&ASSOCIATED, std::mem::take(&mut self.buffer));
        let open = next_key(&mut self.receiving);
        assert!(black_box(open.open(&ASSOCIATED, &self.buffer)).is_some());
    }

    /// A new key of one end, and the new roots and chains of both.
    fn step(&mut self, rng: &mut Rng) {
        let ours = AgreeKey::generate(rng);
        for (key, other) in [(&ours, &self.theirs), (&self.theirs, &ours)] {
            let agreed = key.agree(other.public()).unwrap();
            let (root, agreed) = (self.root.expose(), agreed.expose());
            black_box(derive::<64>(root, agreed, Label::RatchetStep, &[]));
        }
        self.theirs = ours;
    }
}

fn next_key(chain: &mut Secret<32>) -> OneTimeKey {
    let [message, next] = authenticate_each(chain, [&[1], &[2]]);
    *chain = next;
    OneTimeKey::new(expand(&message, Label::Message))
}

/// A KEM's key offered, taken, and used.
fn encapsulate(rng: &mut Rng) {
    let (key, public) = KemKey::generate(rng);
    let (ciphertext, _) = KemPublic::from_bytes(&public).unwrap().encapsulate(rng);
    assert!(black_box(key.decapsulate(&ciphertext)).is_some());
}

/// Two ends of a session, by a handshake such as people have. The first has spoken already.
fn sessions(rng: &mut Rng) -> (Session, Session) {
    let (alice, bob) = (AgreeKey::generate(rng), AgreeKey::generate(rng));
    let prologue = Prologue {
        attempt: AttemptId([1; 16]),
        caller: &"alice".parse().unwrap(),
        callee: &"bob".parse().unwrap(),
        caller_certificate: &[2; 32],
    };
    let (psk, exporter) = (Secret::new([3; 32]), [4; 32]);
    let (asked, first) = initiate(rng, &alice, bob.public(), &prologue).unwrap();
    let heard = hear(&bob, alice.public(), &prologue, &first).unwrap();
    let (bobs, second) = heard.answer(rng, &psk).unwrap();
    let alices = asked.finish(&alice, &psk, &second).unwrap();
    let (mut alice, mut bob) = (alices.bind(&exporter), bobs.bind(&exporter));
    say(rng, &mut alice, &mut bob);
    (alice, bob)
}

pub(crate) fn rng() -> Rng {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).expect("randomness");
    Rng::from_seed(Secret::new(seed))
}
