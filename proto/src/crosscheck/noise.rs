//! The Noise patterns, held against another implementation of the framework. It knows no ML-KEM, so the
//! handshake is compared without its KEM tokens: `KKpsk2` from the same state and the same steps.

use snow::{Builder, HandshakeState};

use crate::{
    crypto::{
        agree::{AgreeKey, AgreePublic},
        label::Label,
        rng::Rng,
        secret::Secret,
    },
    identity::{Identity, length_prefixed},
    name::Name,
    noise::{SymmetricState, take, take_key},
    note::{self, NoteKind},
    wire,
};

const X: &str = "Noise_X_25519_ChaChaPoly_SHA256";
const KKPSK2: &str = "Noise_KKpsk2_25519_ChaChaPoly_SHA256";
const PROLOGUE: &[u8] = b"said before";
const PSK: [u8; 32] = [7; 32];

fn rng() -> Rng {
    Rng::from_seed(Secret::new([1; 32]))
}

/// Alice, who writes to Bob.
struct Note {
    alice: Identity,
    bob: Identity,
    names: [Name; 2],
}

impl Note {
    fn new() -> Self {
        let [alice, bob] = [1, 2].map(|byte| Identity::from_seed(Secret::new([byte; 32])));
        Self { alice, bob, names: ["alice", "bob"].map(|name| name.parse().unwrap()) }
    }

    fn prologue(&self) -> Vec<u8> {
        let [from, to] = self.names.each_ref().map(|name| length_prefixed(name.as_bytes()));
        [Label::Note.as_bytes(), &[NoteKind::Request as u8], &from, &to].concat()
    }
}

#[test]
fn the_other_opens_a_contact_note() {
    let notes = Note::new();
    let Note { alice, bob, names: [a, b] } = &notes;
    let entry = alice.entry(a);
    let to = (b, &bob.public());
    let note = note::seal(&mut rng(), alice, &entry, NoteKind::Request, to).unwrap();
    let (prologue, key) = (notes.prologue(), bob.agree().secret_bytes());
    let builder = Builder::new(X.parse().unwrap()).prologue(&prologue).unwrap();
    let mut other = builder.local_private_key(&key).unwrap().build_responder().unwrap();
    let mut opened = vec![0; note.len()];
    let length = other.read_message(&note, &mut opened).unwrap();
    assert_eq!(opened[..length], wire::encode(&entry));
    assert_eq!(other.get_remote_static(), Some(&alice.agree().public().0[..]));
}

#[test]
fn a_contact_note_that_the_other_seals_opens_here() {
    let notes = Note::new();
    let Note { alice, bob, names: [a, b] } = &notes;
    let (prologue, key) = (notes.prologue(), alice.agree().secret_bytes());
    let theirs = bob.agree().public().0;
    let builder = Builder::new(X.parse().unwrap()).prologue(&prologue).unwrap();
    let builder = builder.local_private_key(&key).unwrap().remote_public_key(&theirs).unwrap();
    let mut other = builder.build_initiator().unwrap();
    let payload = wire::encode(&alice.entry(a));
    let mut note = vec![0; payload.len() + 256];
    let length = other.write_message(&payload, &mut note).unwrap();
    let opened = note::open(bob, b, NoteKind::Request, a, &note[..length]);
    assert_eq!(opened, Ok(alice.public()));
}

/// Two people, the first of whom calls.
struct Pair {
    initiator: AgreeKey,
    responder: AgreeKey,
}

impl Pair {
    fn new(rng: &mut Rng) -> Self {
        Self { initiator: AgreeKey::generate(rng), responder: AgreeKey::generate(rng) }
    }

    fn state(&self) -> SymmetricState {
        let mut state = SymmetricState::new(KKPSK2.as_bytes(), PROLOGUE);
        state.mix_hash(&self.initiator.public().0);
        state.mix_hash(&self.responder.public().0);
        state
    }

    /// The other implementation, in the place of the first or the second.
    fn other(&self, initiator: bool) -> HandshakeState {
        let (ours, theirs) = match initiator {
            true => (&self.initiator, &self.responder),
            false => (&self.responder, &self.initiator),
        };
        let (ours, theirs) = (ours.secret_bytes(), theirs.public().0);
        let builder = Builder::new(KKPSK2.parse().unwrap()).prologue(PROLOGUE).unwrap();
        let builder = builder.local_private_key(&ours).unwrap();
        let builder = builder.remote_public_key(&theirs).unwrap().psk(2, &PSK).unwrap();
        if initiator { builder.build_initiator() } else { builder.build_responder() }.unwrap()
    }
}

/// The token `e` in a pattern with a pre-shared key.
fn mix_ephemeral(state: &mut SymmetricState, key: AgreePublic) {
    state.mix_hash(&key.0);
    state.mix_key(&key.0);
}

#[test]
fn the_other_answers_a_call() {
    let mut rng = rng();
    let pair = Pair::new(&mut rng);
    let (mut state, mut other) = (pair.state(), pair.other(false));

    let ephemeral = AgreeKey::generate(&mut rng);
    let mut first = ephemeral.public().0.to_vec();
    mix_ephemeral(&mut state, ephemeral.public());
    state.mix_agreement(&ephemeral, pair.responder.public()).unwrap();
    state.mix_agreement(&pair.initiator, pair.responder.public()).unwrap();
    state.seal(b"one", &mut first);
    let mut buffer = [0; 256];
    let length = other.read_message(&first, &mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"one");

    let length = other.write_message(b"two", &mut buffer).unwrap();
    let mut second = &buffer[..length];
    let theirs = take_key(&mut second).unwrap();
    mix_ephemeral(&mut state, theirs);
    state.mix_agreement(&ephemeral, theirs).unwrap();
    state.mix_agreement(&pair.initiator, theirs).unwrap();
    state.mix_key_and_hash(&PSK);
    assert_eq!(state.open(second).unwrap(), b"two");
    assert_eq!(other.get_handshake_hash(), state.finish().0);
}

#[test]
fn the_other_calls_and_is_answered() {
    let mut rng = rng();
    let pair = Pair::new(&mut rng);
    let (mut state, mut other) = (pair.state(), pair.other(true));

    let mut buffer = [0; 256];
    let length = other.write_message(b"one", &mut buffer).unwrap();
    let mut first = &buffer[..length];
    let theirs = take_key(&mut first).unwrap();
    mix_ephemeral(&mut state, theirs);
    state.mix_agreement(&pair.responder, theirs).unwrap();
    state.mix_agreement(&pair.responder, pair.initiator.public()).unwrap();
    let sealed = take(&mut first, b"one".len() + 16).unwrap();
    assert_eq!(state.open(sealed).unwrap(), b"one");

    let ephemeral = AgreeKey::generate(&mut rng);
    let mut second = ephemeral.public().0.to_vec();
    mix_ephemeral(&mut state, ephemeral.public());
    state.mix_agreement(&ephemeral, theirs).unwrap();
    state.mix_agreement(&ephemeral, pair.initiator.public()).unwrap();
    state.mix_key_and_hash(&PSK);
    state.seal(b"two", &mut second);
    let length = other.read_message(&second, &mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"two");
    assert_eq!(other.get_handshake_hash(), state.finish().0);
}
