//! Hashing and key derivation (SHA-256, SHA-512, HMAC and HKDF: RFC 2104, RFC 5869), by label.

use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256, Sha512};
use zeroize::Zeroizing;

use super::{label::Label, secret::Secret};

/// HKDF-SHA256: extract from `ikm` under `salt`, expand under `label` and then `info`.
pub fn derive<const N: usize>(salt: &[u8], ikm: &[u8], label: Label, info: &[u8]) -> Secret<N> {
    let mut okm = Zeroizing::new([0; N]);
    // Expansion fails only past 255 blocks, and `N` is a constant far below.
    let expanded = Hkdf::<Sha256>::new(Some(salt), ikm)
        .expand_multi_info(&[label.as_bytes(), info], okm.as_mut());
    debug_assert!(expanded.is_ok());
    Secret::new(*okm)
}

/// HMAC-SHA256 under `key`, over the parts one after another. Parts of varying length are prefixed by
/// their caller.
pub fn authenticate(key: &[u8], parts: &[&[u8]]) -> Secret<32> {
    let mut mac = new_hmac(key);
    for part in parts {
        mac.update(part);
    }
    Secret::new(mac.finalize().into_bytes().into())
}

/// SHA-256 over the parts one after another.
pub fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// SHA-512 over the parts one after another.
pub fn hash_long(parts: &[&[u8]]) -> [u8; 64] {
    let mut hash = Sha512::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

fn new_hmac(key: &[u8]) -> Hmac<Sha256> {
    // HMAC takes keys of every length, so the error of the shared trait cannot happen.
    #[allow(clippy::expect_used)]
    <Hmac<Sha256> as Mac>::new_from_slice(key).expect("HMAC takes keys of every length")
}
