//! Two people become one session: `Noise_KKpsk2+hfs_25519+MLKEM768_ChaChaPoly_SHA256`.
//!
//! ```text
//!   -> s                          both identity keys are known before: pinned, never sent
//!   <- s
//!   ...
//!   -> e, es, e1, ss              inside the introduction, initiator = who asked
//!   <- e, ee, ekem1, se, psk      inside the answer; psk = the ticket
//! ```
//!
//! The second message carries the responder's first ratchet key. Both travel through the server, which learns nothing from them and can change nothing in
//! them. The result is worth nothing until it is bound to a direct connection: [`Agreed::bind`] mixes
//! that connection's TLS exporter into the root key. The first message of the initiator proves to the
//! responder that both hold the same root on the same connection; the responder sends nothing before.

use crate::{
    crypto::{
        agree::{AgreeKey, AgreePublic},
        derive::derive,
        kem::{KEM_CIPHERTEXT_BYTES, KEM_PUBLIC_BYTES, KemKey, KemPublic},
        label::Label,
        rng::Rng,
        seal::TAG_BYTES,
        secret::Secret,
    },
    identity::length_prefixed,
    name::Name,
    noise::{NoiseError, SymmetricState, take, take_key},
    ratchet::FirstKey,
    session::Session,
    ticket::AttemptId,
};

const PROTOCOL: &[u8] = b"Noise_KKpsk2+hfs_25519+MLKEM768_ChaChaPoly_SHA256";

/// Bytes of the initiator's message: a key, a sealed KEM key, an empty sealed payload.
pub const FIRST_BYTES: usize = 32 + KEM_PUBLIC_BYTES + TAG_BYTES + TAG_BYTES;

/// Bytes of the responder's message: a key, a sealed KEM ciphertext, a sealed ratchet key.
pub const SECOND_BYTES: usize = 32 + KEM_CIPHERTEXT_BYTES + TAG_BYTES + 32 + TAG_BYTES;

/// What both ends say of the attempt before any key is used.
#[derive(Debug)]
pub struct Prologue<'a> {
    /// The attempt.
    pub attempt: AttemptId,
    /// Who asked.
    pub caller: &'a Name,
    /// Who was asked.
    pub callee: &'a Name,
    /// The hash of the certificate that the caller's door answers with.
    pub caller_certificate: &'a [u8; 32],
}

impl Prologue<'_> {
    fn to_bytes(&self) -> Vec<u8> {
        [
            Label::Peer.as_bytes(),
            &length_prefixed(self.caller.as_bytes()),
            &length_prefixed(self.callee.as_bytes()),
            &self.attempt.0,
            self.caller_certificate,
        ]
        .concat()
    }
}

/// The initiator, waiting for the responder's message.
#[derive(Debug)]
pub struct ExpectSecond {
    state: SymmetricState,
    ephemeral: AgreeKey,
    kem: KemKey,
}

/// Starts as the initiator: the state, and the first message.
pub fn initiate(
    rng: &mut Rng,
    me: &AgreeKey,
    them: AgreePublic,
    prologue: &Prologue<'_>,
) -> Result<(ExpectSecond, Vec<u8>), NoiseError> {
    let mut state = start(prologue, me.public(), them);
    let ephemeral = AgreeKey::generate(rng);
    let mut message = ephemeral.public().0.to_vec();
    mix_ephemeral(&mut state, ephemeral.public());
    state.mix_agreement(&ephemeral, them)?;
    let (kem, kem_public) = KemKey::generate(rng);
    state.seal(&kem_public, &mut message);
    state.mix_agreement(me, them)?;
    state.seal(&[], &mut message);
    Ok((ExpectSecond { state, ephemeral, kem }, message))
}

impl ExpectSecond {
    /// Reads the responder's message. `me` is the initiator's identity key, `psk` the ticket's.
    pub fn finish(
        self,
        me: &AgreeKey,
        psk: &Secret<32>,
        message: &[u8],
    ) -> Result<Agreed, NoiseError> {
        let Self { mut state, ephemeral, kem } = self;
        let mut rest = message;
        let theirs = take_key(&mut rest)?;
        mix_ephemeral(&mut state, theirs);
        state.mix_agreement(&ephemeral, theirs)?;
        let ciphertext = state.open(take(&mut rest, KEM_CIPHERTEXT_BYTES + TAG_BYTES)?)?;
        state.mix_key(kem.decapsulate(&ciphertext).ok_or(NoiseError::Length)?.expose());
        state.mix_agreement(me, theirs)?;
        state.mix_key_and_hash(psk.expose());
        let payload = state.open(rest)?.try_into().map_err(|_| NoiseError::Length)?;
        let first_key = AgreePublic(payload);
        // A key that contributes nothing shows now, and not at the first frame.
        ephemeral.agree(first_key).ok_or(NoiseError::WeakKey)?;
        Ok(Agreed::new(state, FirstKey::Theirs(first_key)))
    }
}

/// The responder, having checked the initiator's message and not yet answered it: the ticket's key is
/// known only once the responder has a certificate.
#[derive(Debug)]
pub struct Heard {
    state: SymmetricState,
    theirs: AgreePublic,
    kem_public: KemPublic,
    initiator: AgreePublic,
}

/// Reads the initiator's message as the responder.
pub fn hear(
    me: &AgreeKey,
    them: AgreePublic,
    prologue: &Prologue<'_>,
    message: &[u8],
) -> Result<Heard, NoiseError> {
    let mut state = start(prologue, them, me.public());
    let mut rest = message;
    let theirs = take_key(&mut rest)?;
    mix_ephemeral(&mut state, theirs);
    state.mix_agreement(me, theirs)?;
    let kem_public = state.open(take(&mut rest, KEM_PUBLIC_BYTES + TAG_BYTES)?)?;
    state.mix_agreement(me, them)?;
    // The payload is empty: it would have no forward secrecy yet.
    if !state.open(rest)?.is_empty() {
        return Err(NoiseError::Length);
    }
    let kem_public = KemPublic::from_bytes(&kem_public).ok_or(NoiseError::WeakKey)?;
    Ok(Heard { state, theirs, kem_public, initiator: them })
}

impl Heard {
    /// The agreement, and the second message.
    pub fn answer(self, rng: &mut Rng, psk: &Secret<32>) -> Result<(Agreed, Vec<u8>), NoiseError> {
        let Self { mut state, theirs, kem_public, initiator } = self;
        let ephemeral = AgreeKey::generate(rng);
        let mut message = ephemeral.public().0.to_vec();
        mix_ephemeral(&mut state, ephemeral.public());
        state.mix_agreement(&ephemeral, theirs)?;
        let (ciphertext, shared) = kem_public.encapsulate(rng);
        state.seal(&ciphertext, &mut message);
        state.mix_key(shared.expose());
        state.mix_agreement(&ephemeral, initiator)?;
        state.mix_key_and_hash(psk.expose());
        let first_key = AgreeKey::generate(rng);
        state.seal(&first_key.public().0, &mut message);
        Ok((Agreed::new(state, FirstKey::Ours(first_key)), message))
    }
}

/// Two ends that have agreed on a key, and on no connection yet. Every key of the handshake is wiped; the
/// responder keeps its first ratchet key.
#[derive(Debug)]
pub struct Agreed {
    pub(crate) hash: [u8; 32],
    pub(crate) chaining_key: Secret<32>,
    first_key: FirstKey,
}

impl Agreed {
    fn new(state: SymmetricState, first_key: FirstKey) -> Self {
        let (hash, chaining_key) = state.finish();
        Self { hash, chaining_key, first_key }
    }

    /// The session on the connection whose TLS exporter is `exporter`. A man in the middle of that
    /// connection has two of them, and so no session. May be called for each connection of the attempt:
    /// only one of them will be spoken on.
    pub fn bind(&self, exporter: &[u8; 32]) -> Session {
        let root = derive(&self.hash, self.chaining_key.expose(), Label::Root, exporter);
        Session::new(self.hash, root, &self.first_key)
    }
}

fn start(
    prologue: &Prologue<'_>,
    initiator: AgreePublic,
    responder: AgreePublic,
) -> SymmetricState {
    let mut state = SymmetricState::new(PROTOCOL, &prologue.to_bytes());
    state.mix_hash(&initiator.0);
    state.mix_hash(&responder.0);
    state
}

/// The token `e`. Patterns with a pre-shared key mix the public key into the chaining key as well
/// (section 9.2), so that no two handshakes share a cipher key even before any agreement.
fn mix_ephemeral(state: &mut SymmetricState, ephemeral: AgreePublic) {
    state.mix_hash(&ephemeral.0);
    state.mix_key(&ephemeral.0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Time;

    struct Pair {
        rng: Rng,
        initiator: AgreeKey,
        responder: AgreeKey,
        alice: Name,
        bob: Name,
    }

    impl Pair {
        fn new() -> Self {
            let mut rng = Rng::from_seed(Secret::new([1; 32]));
            let (initiator, responder) =
                (AgreeKey::generate(&mut rng), AgreeKey::generate(&mut rng));
            let (alice, bob) = ("alice".parse().unwrap(), "bob".parse().unwrap());
            Self { rng, initiator, responder, alice, bob }
        }

        fn prologue(&self) -> Prologue<'_> {
            Prologue {
                attempt: AttemptId([1; 16]),
                caller: &self.alice,
                callee: &self.bob,
                caller_certificate: &[2; 32],
            }
        }
    }

    fn psk() -> Secret<32> {
        Secret::new([7; 32])
    }

    fn agree(pair: &Pair, rng: &mut Rng) -> (Agreed, Agreed) {
        let Pair { initiator, responder, .. } = pair;
        let prologue = pair.prologue();
        let (a, first) = initiate(rng, initiator, responder.public(), &prologue).unwrap();
        assert_eq!(first.len(), FIRST_BYTES);
        let heard = hear(responder, initiator.public(), &prologue, &first).unwrap();
        let (b, second) = heard.answer(rng, &psk()).unwrap();
        assert_eq!(second.len(), SECOND_BYTES);
        (a.finish(initiator, &psk(), &second).unwrap(), b)
    }

    #[test]
    fn both_ends_hold_a_session_on_the_same_connection_only() {
        let pair = Pair::new();
        let mut rng = Rng::from_seed(Secret::new([2; 32]));
        let (a, b) = agree(&pair, &mut rng);
        let now = Time::ZERO;
        let sealed = a.bind(&[1; 32]).seal(now, &mut rng, b"hello".to_vec()).unwrap();
        assert_eq!(b.bind(&[1; 32]).open(now, &sealed).unwrap(), b"hello");
        assert!(b.bind(&[2; 32]).open(now, &sealed).is_err());
    }

    #[test]
    fn every_byte_of_both_messages_counts() {
        let mut pair = Pair::new();
        let Pair { initiator, responder, .. } = &pair;
        let mut rng = Rng::from_seed(Secret::new([2; 32]));
        let prologue = pair.prologue();
        let (_, first) = initiate(&mut rng, initiator, responder.public(), &prologue).unwrap();
        for at in (0..first.len()).step_by(7).chain(first.len() - 20..first.len()) {
            let mut forged = first.clone();
            forged[at] ^= 1;
            assert!(hear(responder, initiator.public(), &prologue, &forged).is_err(), "{at}");
        }
        for at in (0..SECOND_BYTES).step_by(101).chain([0, 31, SECOND_BYTES - 1]) {
            let mut again = Rng::from_seed(Secret::new([3; 32]));
            let (a, first) =
                initiate(&mut again, initiator, responder.public(), &prologue).unwrap();
            let heard = hear(responder, initiator.public(), &prologue, &first).unwrap();
            let (_, mut second) = heard.answer(&mut again, &psk()).unwrap();
            second[at] ^= 1;
            assert!(a.finish(initiator, &psk(), &second).is_err(), "{at}");
        }
        assert_ne!(pair.rng.bytes::<8>(), [0; 8]);
    }

    #[test]
    fn another_name_key_certificate_or_ticket_agrees_on_nothing() {
        let pair = Pair::new();
        let Pair { initiator, responder, .. } = &pair;
        let mut rng = Rng::from_seed(Secret::new([2; 32]));
        let other = AgreeKey::generate(&mut rng);
        let prologue = || pair.prologue();
        let (a, first) = initiate(&mut rng, initiator, responder.public(), &prologue()).unwrap();
        let hear_as = |prologue: &Prologue<'_>, me, them| hear(me, them, prologue, &first).err();
        for changed in [
            Prologue { attempt: AttemptId([9; 16]), ..prologue() },
            Prologue { caller: &pair.bob, ..prologue() },
            Prologue { callee: &pair.alice, ..prologue() },
            Prologue { caller_certificate: &[9; 32], ..prologue() },
        ] {
            let error = hear_as(&changed, responder, initiator.public());
            assert_eq!(error, Some(NoiseError::Forged), "{changed:?}");
        }
        let forged = Some(NoiseError::Forged);
        assert_eq!(hear_as(&prologue(), responder, other.public()), forged);
        assert_eq!(hear_as(&prologue(), &other, initiator.public()), forged);
        let heard = hear(responder, initiator.public(), &prologue(), &first).unwrap();
        let (_, second) = heard.answer(&mut rng, &Secret::new([8; 32])).unwrap();
        assert_eq!(a.finish(initiator, &psk(), &second).err(), forged);
    }

    /// What a responder that does not keep to the rules can make of the second message.
    fn finish_with(payload: &[u8]) -> Result<Agreed, NoiseError> {
        let pair = Pair::new();
        let Pair { initiator, responder, .. } = &pair;
        let mut rng = Rng::from_seed(Secret::new([2; 32]));
        let prologue = pair.prologue();
        let (a, first) = initiate(&mut rng, initiator, responder.public(), &prologue).unwrap();
        let heard = hear(responder, initiator.public(), &prologue, &first).unwrap();
        let Heard { mut state, theirs, kem_public, initiator: them } = heard;
        let ephemeral = AgreeKey::generate(&mut rng);
        let mut second = ephemeral.public().0.to_vec();
        mix_ephemeral(&mut state, ephemeral.public());
        state.mix_agreement(&ephemeral, theirs).unwrap();
        let (ciphertext, shared) = kem_public.encapsulate(&mut rng);
        state.seal(&ciphertext, &mut second);
        state.mix_key(shared.expose());
        state.mix_agreement(&ephemeral, them).unwrap();
        state.mix_key_and_hash(psk().expose());
        state.seal(payload, &mut second);
        a.finish(initiator, &psk(), &second)
    }

    #[test]
    fn a_first_ratchet_key_that_is_none_is_refused() {
        let mut rng = Rng::from_seed(Secret::new([4; 32]));
        let key = AgreeKey::generate(&mut rng).public().0;
        assert!(finish_with(&key).is_ok());
        assert_eq!(finish_with(&[0; 32]).err(), Some(NoiseError::WeakKey));
        for payload in [&key[..31], &[], &[&key[..], &[0]].concat()] {
            assert_eq!(finish_with(payload).err(), Some(NoiseError::Length));
        }
    }

    #[test]
    fn truncated_and_lengthened_messages_are_refused() {
        let pair = Pair::new();
        let Pair { initiator, responder, .. } = &pair;
        let mut rng = Rng::from_seed(Secret::new([2; 32]));
        let prologue = pair.prologue();
        let (_, first) = initiate(&mut rng, initiator, responder.public(), &prologue).unwrap();
        for message in [&first[..0], &first[..31], &first[..FIRST_BYTES - 1]] {
            assert!(hear(responder, initiator.public(), &prologue, message).is_err());
        }
        let longer = [&first[..], &[0]].concat();
        assert!(hear(responder, initiator.public(), &prologue, &longer).is_err());
    }
}
