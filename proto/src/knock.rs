//! How a door knows an invited guest before any handshake: the first connection id of the dialler's
//! QUIC packets is a nonce and a MAC under a key that only this introduction has.

use crate::crypto::{derive::authenticate, label::Label, rng::Rng, secret::Secret};

/// Bytes of a knock: the longest connection id that QUIC version 1 allows.
pub const KNOCK_BYTES: usize = 20;

const NONCE_BYTES: usize = 4;

/// A knock, as it stands in the Destination Connection ID of a first Initial (RFC 9000, 7.2).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Knock(pub [u8; KNOCK_BYTES]);

/// The key of one introduction's knocks, made by the side whose door it opens.
#[derive(Debug)]
pub struct KnockKey(pub Secret<32>);

impl KnockKey {
    /// A fresh knock. Every dial needs its own, or redials collide.
    pub fn knock(&self, rng: &mut Rng) -> Knock {
        let nonce: [u8; NONCE_BYTES] = rng.bytes();
        self.with_nonce(nonce)
    }

    /// Whether `knock` was made with this key.
    pub fn admits(&self, knock: &Knock) -> bool {
        let mut nonce = [0; NONCE_BYTES];
        nonce.copy_from_slice(&knock.0[..NONCE_BYTES]);
        // Comparing through `Secret` keeps it constant-time: a scanner must not feel its way forward.
        Secret::new(self.with_nonce(nonce).0).matches(&knock.0)
    }

    fn with_nonce(&self, nonce: [u8; NONCE_BYTES]) -> Knock {
        let mac = authenticate(self.0.expose(), &[Label::Knock.as_bytes(), &nonce]);
        let mut knock = [0; KNOCK_BYTES];
        knock[..NONCE_BYTES].copy_from_slice(&nonce);
        knock[NONCE_BYTES..].copy_from_slice(&mac.expose()[..KNOCK_BYTES - NONCE_BYTES]);
        Knock(knock)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_knocks_are_admitted() {
        let mut rng = Rng::from_seed(Secret::new([1; 32]));
        let (key, other) = (KnockKey(rng.secret()), KnockKey(rng.secret()));
        let knock = key.knock(&mut rng);
        assert!(key.admits(&knock));
        assert!(!other.admits(&knock));
        assert_ne!(knock, key.knock(&mut rng));
        for at in 0..KNOCK_BYTES {
            let mut forged = knock;
            forged.0[at] ^= 0x80;
            assert!(!key.admits(&forged), "{at}");
        }
    }
}
