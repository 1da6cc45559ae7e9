//! Authenticated encryption: ChaCha20-Poly1305 (RFC 8439) under keys used once, XChaCha20-Poly1305 with
//! random nonces for what rests.

use chacha20poly1305::{
    AeadInPlace, ChaCha20Poly1305, KeyInit, XChaCha20Poly1305,
    aead::{Aead, Payload},
};

use super::{rng::Rng, secret::Secret};

/// Bytes that sealing adds.
pub const TAG_BYTES: usize = 16;

const XNONCE_BYTES: usize = 24;

/// A key and nonce for one message. Use consumes it, so it cannot serve twice.
#[derive(Debug)]
pub struct OneTimeKey(Secret<44>);

impl OneTimeKey {
    /// 32 bytes of key, then 12 of nonce.
    pub const fn new(key_and_nonce: Secret<44>) -> Self {
        Self(key_and_nonce)
    }

    /// Encrypts and authenticates `plaintext`, and authenticates `ad`.
    pub fn seal(self, ad: &[u8], mut plaintext: Vec<u8>) -> Vec<u8> {
        #[cfg(test)]
        watch::used(self.0.expose());
        let (key, nonce) = self.0.expose().split_at(32);
        let cipher = ChaCha20Poly1305::new(key.into());
        // Sealing fails only beyond 256 GiB.
        let sealed = cipher.encrypt_in_place(nonce.into(), ad, &mut plaintext);
        debug_assert!(sealed.is_ok());
        plaintext
    }

    /// The same in place: what stands in `buffer` from `start` on becomes ciphertext and tag.
    pub fn seal_tail(self, ad: &[u8], buffer: &mut Vec<u8>, start: usize) {
        #[cfg(test)]
        watch::used(self.0.expose());
        let (key, nonce) = self.0.expose().split_at(32);
        let cipher = ChaCha20Poly1305::new(key.into());
        match cipher.encrypt_in_place_detached(nonce.into(), ad, &mut buffer[start..]) {
            Ok(tag) => buffer.extend_from_slice(&tag),
            // Sealing fails only beyond 256 GiB; what is not sealed must not go out.
            Err(_) => buffer.clear(),
        }
    }

    /// The plaintext, or `None` if anything is not as it was sealed.
    pub fn open(self, ad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (key, nonce) = self.0.expose().split_at(32);
        let payload = Payload { msg: sealed, aad: ad };
        ChaCha20Poly1305::new(key.into()).decrypt(nonce.into(), payload).ok()
    }
}

/// Seals what rests on a disk: nonce, then ciphertext and tag.
pub fn seal_at_rest(rng: &mut Rng, key: &Secret<32>, ad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let nonce: [u8; XNONCE_BYTES] = rng.bytes();
    let mut sealed = Vec::with_capacity(XNONCE_BYTES + plaintext.len() + TAG_BYTES);
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(plaintext);
    let cipher = XChaCha20Poly1305::new(key.expose().into());
    let body = &mut sealed[XNONCE_BYTES..];
    match cipher.encrypt_in_place_detached(&nonce.into(), ad, body) {
        Ok(tag) => sealed.extend_from_slice(&tag),
        // Beyond 256 GiB. Nothing opens that, and nothing is shown.
        Err(_) => sealed.clear(),
    }
    sealed
}

/// Opens what [`seal_at_rest`] sealed.
pub fn open_at_rest(key: &Secret<32>, ad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = sealed.split_first_chunk::<XNONCE_BYTES>()?;
    let payload = Payload { msg: sealed, aad: ad };
    XChaCha20Poly1305::new(key.expose().into()).decrypt(nonce.into(), payload).ok()
}

/// Whether any key and nonce seal twice, in whatever this thread runs.
#[cfg(test)]
pub(crate) mod watch {
    use std::{cell::Cell, collections::BTreeSet};

    #[derive(Default)]
    struct Watch {
        used: BTreeSet<[u8; 44]>,
        reused: bool,
    }

    thread_local! {
        static WATCH: Cell<Option<Watch>> = const { Cell::new(None) };
    }

    /// From now on keys are watched, as if none had been used.
    pub(crate) fn begin() {
        WATCH.set(Some(Watch::default()));
    }

    /// Whether one has been used twice since then.
    pub(crate) fn reused() -> bool {
        let watch = WATCH.take();
        let reused = watch.as_ref().is_some_and(|watch| watch.reused);
        WATCH.set(watch);
        reused
    }

    pub(super) fn used(key_and_nonce: &[u8; 44]) {
        if let Some(mut watch) = WATCH.take() {
            watch.reused |= !watch.used.insert(*key_and_nonce);
            WATCH.set(Some(watch));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_bytes_open_only_as_they_were_sealed() {
        let key = || OneTimeKey::new(Secret::new([9; 44]));
        let sealed = key().seal(b"ad", b"plain".to_vec());
        assert_eq!(key().open(b"ad", &sealed).unwrap(), b"plain");
        assert!(key().open(b"da", &sealed).is_none());
        let mut framed = b"header, plain".to_vec();
        key().seal_tail(b"ad", &mut framed, 8);
        assert_eq!(framed, [b"header, ", &sealed[..]].concat());
        for at in 0..sealed.len() {
            let mut forged = sealed.clone();
            forged[at] ^= 1;
            assert!(key().open(b"ad", &forged).is_none());
        }
    }

    #[test]
    fn rows_open_only_as_they_were_sealed() {
        let mut rng = Rng::from_seed(Secret::new([1; 32]));
        let key = Secret::new([8; 32]);
        let sealed = seal_at_rest(&mut rng, &key, b"row 1", b"plain");
        assert_eq!(open_at_rest(&key, b"row 1", &sealed).unwrap(), b"plain");
        assert!(open_at_rest(&key, b"row 2", &sealed).is_none());
        assert!(open_at_rest(&key, b"row 1", &sealed[..23]).is_none());
        assert_ne!(sealed, seal_at_rest(&mut rng, &key, b"row 1", b"plain"));
    }
}
