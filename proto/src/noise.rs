//! The symmetric state of the Noise Protocol Framework, revision 34, section 5.2, and the two patterns
//! that hither runs on it: `KKpsk2+hfs` between peers (`handshake.rs`) and `X` for contact notes
//! (`note.rs`).

use crate::crypto::{
    agree::{AgreeKey, AgreePublic},
    derive::{authenticate, hash},
    seal::OneTimeKey,
    secret::Secret,
};
use zeroize::Zeroizing;

/// A handshake message that is not what the other end's keys would have made.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NoiseError {
    /// An authentication tag does not match: another key, another prologue, or a changed byte.
    #[error("a tag does not match")]
    Forged,
    /// The message is shorter or longer than the pattern says.
    #[error("a message of another length")]
    Length,
    /// A public key that contributes nothing, or is no key.
    #[error("a public key that contributes nothing")]
    WeakKey,
}

/// Chaining key, hash and cipher key of a handshake under way. Wiped when dropped.
#[derive(Debug)]
pub(crate) struct SymmetricState {
    chaining_key: Secret<32>,
    hash: [u8; 32],
    key: Option<Secret<32>>,
    nonce: u64,
}

impl SymmetricState {
    /// `InitializeSymmetric(protocol_name)`, then `MixHash(prologue)`.
    pub(crate) fn new(protocol_name: &[u8], prologue: &[u8]) -> Self {
        let mut name = [0; 32];
        if protocol_name.len() <= 32 {
            name[..protocol_name.len()].copy_from_slice(protocol_name);
        } else {
            name = hash(&[protocol_name]);
        }
        let mut state = Self { chaining_key: Secret::new(name), hash: name, key: None, nonce: 0 };
        state.mix_hash(prologue);
        state
    }

    pub(crate) fn mix_hash(&mut self, data: &[u8]) {
        self.hash = hash(&[&self.hash, data]);
    }

    pub(crate) fn mix_key(&mut self, ikm: &[u8]) {
        let [chaining_key, key, _] = self.hkdf(ikm);
        self.chaining_key = chaining_key;
        self.key = Some(key);
        self.nonce = 0;
    }

    pub(crate) fn mix_key_and_hash(&mut self, ikm: &[u8]) {
        let [chaining_key, hashed, key] = self.hkdf(ikm);
        self.chaining_key = chaining_key;
        self.mix_hash(hashed.expose());
        self.key = Some(key);
        self.nonce = 0;
    }

    /// A Diffie-Hellman token: `MixKey(DH(ours, theirs))`.
    pub(crate) fn mix_agreement(
        &mut self,
        ours: &AgreeKey,
        theirs: AgreePublic,
    ) -> Result<(), NoiseError> {
        let shared = ours.agree(theirs).ok_or(NoiseError::WeakKey)?;
        self.mix_key(shared.expose());
        Ok(())
    }

    /// `EncryptAndHash`, appended to `out`.
    pub(crate) fn seal(&mut self, plaintext: &[u8], out: &mut Vec<u8>) {
        let sealed = match self.one_time_key() {
            Some(key) => key.seal(&self.hash, plaintext.to_vec()),
            None => plaintext.to_vec(),
        };
        self.mix_hash(&sealed);
        out.extend_from_slice(&sealed);
    }

    /// `DecryptAndHash`.
    pub(crate) fn open(&mut self, sealed: &[u8]) -> Result<Vec<u8>, NoiseError> {
        let plaintext = match self.one_time_key() {
            Some(key) => key.open(&self.hash, sealed).ok_or(NoiseError::Forged)?,
            None => sealed.to_vec(),
        };
        self.mix_hash(sealed);
        Ok(plaintext)
    }

    /// The hash of everything said, and the chaining key that only the two ends know.
    pub(crate) fn finish(self) -> ([u8; 32], Secret<32>) {
        (self.hash, self.chaining_key)
    }

    fn one_time_key(&mut self) -> Option<OneTimeKey> {
        let key = self.key.as_ref()?;
        let mut key_and_nonce = Zeroizing::new([0; 44]);
        key_and_nonce[..32].copy_from_slice(key.expose());
        key_and_nonce[36..].copy_from_slice(&self.nonce.to_le_bytes());
        self.nonce += 1;
        Some(OneTimeKey::new(Secret::new(*key_and_nonce)))
    }

    /// The HKDF of section 4.3, three outputs.
    fn hkdf(&self, ikm: &[u8]) -> [Secret<32>; 3] {
        let temp = authenticate(self.chaining_key.expose(), &[ikm]);
        let first = authenticate(temp.expose(), &[&[1]]);
        let second = authenticate(temp.expose(), &[first.expose(), &[2]]);
        let third = authenticate(temp.expose(), &[second.expose(), &[3]]);
        [first, second, third]
    }
}

/// Takes the next `count` bytes off `message`.
pub(crate) fn take<'m>(message: &mut &'m [u8], count: usize) -> Result<&'m [u8], NoiseError> {
    let (taken, rest) = message.split_at_checked(count).ok_or(NoiseError::Length)?;
    *message = rest;
    Ok(taken)
}

/// Takes a public key off `message`.
pub(crate) fn take_key(message: &mut &[u8]) -> Result<AgreePublic, NoiseError> {
    let key = take(message, 32)?.try_into().map_err(|_| NoiseError::Length)?;
    Ok(AgreePublic(key))
}
