//! ML-KEM-768 (FIPS 203), with randomness from the caller.

use std::fmt;

use ml_kem::{Decapsulate, DecapsulationKey, EncapsulationKey, KeyExport, MlKem768};
use zeroize::Zeroizing;

use super::{rng::Rng, secret::Secret};

/// Bytes of an encapsulation key.
pub const KEM_PUBLIC_BYTES: usize = 1184;

/// Bytes of a ciphertext.
pub const KEM_CIPHERTEXT_BYTES: usize = 1088;

/// A private key for one encapsulation, wiped when dropped. Boxed, because it is large and rarely there.
#[cfg_attr(test, derive(Clone))]
pub struct KemKey(Box<DecapsulationKey<MlKem768>>);

/// An encapsulation key that has been checked.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub struct KemPublic(Box<EncapsulationKey<MlKem768>>);

impl KemKey {
    /// A fresh key and its encapsulation key.
    pub fn generate(rng: &mut Rng) -> (Self, Vec<u8>) {
        let seed = Zeroizing::new(rng.bytes::<64>());
        let key = Box::new(DecapsulationKey::from_seed((*seed).into()));
        let public = key.encapsulation_key().to_bytes().to_vec();
        (Self(key), public)
    }

    /// The shared secret in `ciphertext`; `None` if it is not of the right length. A forged ciphertext
    /// gives a secret that nobody knows (implicit rejection).
    pub fn decapsulate(&self, ciphertext: &[u8]) -> Option<Secret<32>> {
        let shared = self.0.decapsulate(&ciphertext.try_into().ok()?);
        Some(Secret::new(shared.into()))
    }
}

impl KemPublic {
    /// The key that these bytes are; `None` if they are none.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(Box::new(EncapsulationKey::new(bytes.try_into().ok()?).ok()?)))
    }

    /// A ciphertext for the key's holder, and the secret in it.
    pub fn encapsulate(&self, rng: &mut Rng) -> (Vec<u8>, Secret<32>) {
        let seed = Zeroizing::new(rng.bytes::<32>());
        let (ciphertext, shared) = self.0.encapsulate_deterministic(&(*seed).into());
        (ciphertext.to_vec(), Secret::new(shared.into()))
    }
}

impl fmt::Debug for KemKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KemKey(..)")
    }
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
            let public = KemPublic::from_bytes(&public).unwrap();
            let (mut ciphertext, sent) = public.encapsulate(&mut rng);
            assert_eq!(ciphertext.len(), KEM_CIPHERTEXT_BYTES);
            ciphertext[0] ^= u8::from(forged);
            let received = key.decapsulate(&ciphertext).unwrap();
            assert_eq!(received.matches(sent.expose()), !forged);
        }
    }

    #[test]
    fn what_is_no_key_or_no_ciphertext_is_refused() {
        let mut rng = Rng::from_seed(Secret::new([2; 32]));
        assert!(KemPublic::from_bytes(&[0; 1183]).is_none());
        assert!(KemPublic::from_bytes(&[0; 1185]).is_none());
        // Coefficients at and above the modulus.
        assert!(KemPublic::from_bytes(&[0xff; KEM_PUBLIC_BYTES]).is_none());
        assert!(KemKey::generate(&mut rng).0.decapsulate(&[0; 1087]).is_none());
    }
}
