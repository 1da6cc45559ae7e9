//! Ed25519 signatures (RFC 8032), always under a label.

use std::fmt;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use super::{label::Label, secret::Secret};

/// Bytes of a signature.
pub const SIGNATURE_BYTES: usize = 64;

/// A private key for signatures, wiped when dropped, and in one place until then.
pub struct SignKey(Box<SigningKey>);

/// A public key for signatures.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct SignPublic(pub [u8; 32]);

impl SignKey {
    /// The key that these bytes are the seed of.
    pub fn from_secret(secret: &Secret<32>) -> Self {
        Self(Box::new(SigningKey::from_bytes(secret.expose())))
    }

    /// The public half.
    pub fn public(&self) -> SignPublic {
        SignPublic(self.0.verifying_key().to_bytes())
    }

    /// Signs `message` for the purpose that `label` names.
    pub fn sign(&self, label: Label, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        self.0.sign(&signed(label, message)).to_bytes()
    }
}

impl fmt::Debug for SignKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignKey({:?})", self.public())
    }
}

impl SignPublic {
    /// Whether `signature` is this key's, for this purpose. Strict: no malleable signature and no weak key
    /// passes.
    pub fn verifies(
        &self,
        label: Label,
        message: &[u8],
        signature: &[u8; SIGNATURE_BYTES],
    ) -> bool {
        VerifyingKey::from_bytes(&self.0).is_ok_and(|key| {
            key.verify_strict(&signed(label, message), &Signature::from_bytes(signature)).is_ok()
        })
    }
}

fn signed(label: Label, message: &[u8]) -> Vec<u8> {
    // The zero byte ends the label: no label contains one, so no two (label, message) pairs collide.
    [label.as_bytes(), &[0], message].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_for_one_key_one_label_one_message() {
        let key = SignKey::from_secret(&Secret::new([3; 32]));
        let other = SignKey::from_secret(&Secret::new([4; 32]));
        let signature = key.sign(Label::Entry, b"message");
        assert!(key.public().verifies(Label::Entry, b"message", &signature));
        assert!(!key.public().verifies(Label::Resume, b"message", &signature));
        assert!(!key.public().verifies(Label::Entry, b"massage", &signature));
        assert!(!other.public().verifies(Label::Entry, b"message", &signature));
        assert!(!SignPublic([0; 32]).verifies(Label::Entry, b"message", &signature));
    }
}
