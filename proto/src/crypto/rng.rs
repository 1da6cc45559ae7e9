//! The one source of randomness: seeded by the caller, and unable to tell what it said before.

use chacha20::{
    ChaCha20,
    cipher::{KeyIvInit, StreamCipher},
};
use rand_core::{CryptoRng, RngCore};

use super::secret::Secret;

/// A generator with fast key erasure (Bernstein, 2017): every draw replaces the key, so a memory image
/// taken later does not give back the ephemeral keys of earlier handshakes.
///
/// A driver seeds it from the operating system; a simulator from the seed of the run.
#[derive(Debug)]
pub struct Rng(Secret<32>);

impl Rng {
    /// A generator that has never been used with this seed before.
    pub const fn from_seed(seed: Secret<32>) -> Self {
        Self(seed)
    }

    /// `N` random bytes that are not secret.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill_bytes(&mut bytes);
        bytes
    }

    /// `N` random bytes that are.
    pub fn secret<const N: usize>(&mut self) -> Secret<N> {
        Secret::filled(|bytes| self.fill_bytes(bytes))
    }
}

impl RngCore for Rng {
    fn next_u32(&mut self) -> u32 {
        u32::from_le_bytes(self.bytes())
    }

    fn next_u64(&mut self) -> u64 {
        u64::from_le_bytes(self.bytes())
    }

    fn fill_bytes(&mut self, dest: &mut [u8]) {
        let mut stream = ChaCha20::new(self.0.expose().into(), &[0; 12].into());
        let next = Secret::filled(|next| stream.apply_keystream(next));
        dest.fill(0);
        stream.apply_keystream(dest);
        self.0 = next;
    }

    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(dest);
        Ok(())
    }
}

impl CryptoRng for Rng {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_says_the_same_and_never_twice() {
        let mut a = Rng::from_seed(Secret::new([1; 32]));
        let mut b = Rng::from_seed(Secret::new([1; 32]));
        let first: [u8; 32] = a.bytes();
        assert_eq!(first, b.bytes());
        assert_ne!(first, a.bytes());
    }
}
