//! ML-KEM-768 (FIPS 203), with randomness from the caller.

use std::fmt;

use ml_kem::{Decapsulate, DecapsulationKey, EncapsulationKey, KeyExport, MlKem768};
use zeroize::Zeroizing;

use super::{rng::Rng, secret::Secret};

/// Bytes of an encapsulation key.
pub const KEM_PUBLIC_BYTES: usize = 1184;

/// Bytes of a ciphertext.
pub const KEM_CIPHERTEXT_BYTES: usize = 1088;

/// A private key for one encapsulation, wiped when dropped.
pub struct KemKey(DecapsulationKey<MlKem768>);

impl KemKey {
    /// A fresh key and its encapsulation key.
    pub fn generate(rng: &mut Rng) -> (Self, Vec<u8>) {
        let seed = Zeroizing::new(rng.bytes::<64>());
        let key = DecapsulationKey::from_seed((*seed).into());
        let public = key.encapsulation_key().to_bytes().to_vec();
        (Self(key), public)
    }

    /// The shared secret in `ciphertext`; `None` if it is not of the right length. A forged ciphertext
    /// gives a secret that nobody knows (implicit rejection).
    pub fn decapsulate(self, ciphertext: &[u8]) -> Option<Secret<32>> {
        let shared = self.0.decapsulate(&ciphertext.try_into().ok()?);
        Some(Secret::new(shared.into()))
    }
}

impl fmt::Debug for KemKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KemKey(..)")
    }
}

/// A ciphertext for the holder of `public` and the secret in it; `None` if `public` is not a key.
pub fn encapsulate(rng: &mut Rng, public: &[u8]) -> Option<(Vec<u8>, Secret<32>)> {
    let key = EncapsulationKey::<MlKem768>::new(public.try_into().ok()?).ok()?;
    let seed = Zeroizing::new(rng.bytes::<32>());
    let (ciphertext, shared) = key.encapsulate_deterministic(&(*seed).into());
    Some((ciphertext.to_vec(), Secret::new(shared.into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_share_a_secret_and_a_forgery_does_not() {
        let mut rng = Rng::from_seed(Secret::new([2; 32]));
        for forged in [false, true] {
            let (key, public) = KemKey::generate(&mut rng);
            assert_eq!(public.len(), KEM_PUBLIC_BYTES);
            let (mut ciphertext, sent) = encapsulate(&mut rng, &public).unwrap();
            assert_eq!(ciphertext.len(), KEM_CIPHERTEXT_BYTES);
            ciphertext[0] ^= u8::from(forged);
            let received = key.decapsulate(&ciphertext).unwrap();
            assert_eq!(received.matches(sent.expose()), !forged);
        }
    }

    #[test]
    fn other_lengths_are_refused() {
        let mut rng = Rng::from_seed(Secret::new([2; 32]));
        assert!(encapsulate(&mut rng, &[0; 1183]).is_none());
        assert!(KemKey::generate(&mut rng).0.decapsulate(&[0; 1087]).is_none());
    }
}
