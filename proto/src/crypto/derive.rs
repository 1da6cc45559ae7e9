//! Hashing and key derivation (SHA-256, SHA-512, HMAC and HKDF: RFC 2104, RFC 5869), by label.

use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256, Sha512};

use super::{label::Label, secret::Secret};

/// HKDF-SHA256: extract from `ikm` under `salt`, expand under `label` and then `info`.
pub fn derive<const N: usize>(salt: &[u8], ikm: &[u8], label: Label, info: &[u8]) -> Secret<N> {
    Secret::filled(|okm| {
        // Expansion fails only past 255 blocks, and `N` is a constant far below.
        let expanded =
            Hkdf::<Sha256>::new(Some(salt), ikm).expand_multi_info(&[label.as_bytes(), info], okm);
        debug_assert!(expanded.is_ok());
    })
}

/// The second half of HKDF-SHA256 alone: expand what is a good key already, under `label`.
pub fn expand<const N: usize>(key: &Secret<32>, label: Label) -> Secret<N> {
    Secret::filled(|okm| {
        // A key as long as the hash is long enough, and `N` is a constant far below 255 blocks.
        let expanded = Hkdf::<Sha256>::from_prk(key.expose())
            .is_ok_and(|hkdf| hkdf.expand(label.as_bytes(), okm).is_ok());
        debug_assert!(expanded);
    })
}

/// HMAC-SHA256 over each of some messages under one key, which is set up once.
pub fn authenticate_each<const N: usize>(
    key: &Secret<32>,
    messages: [&[u8]; N],
) -> [Secret<32>; N] {
    let mac = new_hmac(key.expose());
    messages.map(|message| {
        Secret::new(mac.clone().chain_update(message).finalize().into_bytes().into())
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_ways_give_what_the_long_ways_give() {
        let key = Secret::new([7; 32]);
        let [one, two] = authenticate_each(&key, [b"one", b"two"]);
        assert!(one.matches(authenticate(key.expose(), &[b"one"]).expose()));
        assert!(two.matches(authenticate(key.expose(), &[b"two"]).expose()));
        // RFC 5869, 2.2: what extraction gives is an HMAC under the salt.
        let extracted = authenticate(b"salt", &[b"ikm"]);
        let expanded: Secret<44> = expand(&extracted, Label::Message);
        assert!(expanded.matches(derive(b"salt", b"ikm", Label::Message, &[]).expose()));
    }
}
