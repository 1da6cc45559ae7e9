//! Bytes that cannot be printed, cloned by accident, compared in variable time or left behind.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// `N` secret bytes, wiped when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Secret<const N: usize>([u8; N]);

impl<const N: usize> Secret<N> {
    /// Takes the bytes over. The caller's copy, if it keeps one, is the caller's to wipe.
    pub const fn new(bytes: [u8; N]) -> Self {
        Self(bytes)
    }

    /// From a slice of exactly `N` bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes themselves. Every call is a place to look at in a review.
    pub const fn expose(&self) -> &[u8; N] {
        &self.0
    }

    /// A second copy, on purpose.
    pub const fn duplicate(&self) -> Self {
        Self(self.0)
    }

    /// Whether both hold the same bytes, in constant time.
    pub fn matches(&self, other: &[u8; N]) -> bool {
        self.0.ct_eq(other).into()
    }
}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl<Ctx, const N: usize> minicbor::Encode<Ctx> for Secret<N> {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut Ctx,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, Ctx, const N: usize> minicbor::Decode<'b, Ctx> for Secret<N> {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut Ctx) -> Result<Self, minicbor::decode::Error> {
        Self::from_slice(d.bytes()?)
            .ok_or_else(|| minicbor::decode::Error::message("a secret of another length"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_print_itself() {
        assert_eq!(format!("{:?}", Secret::new([0x41; 32])), "Secret(..)");
    }

    #[test]
    fn only_the_same_bytes_match() {
        let secret = Secret::new([7; 16]);
        let mut other = [7; 16];
        assert!(secret.matches(&other));
        other[15] ^= 1;
        assert!(!secret.matches(&other));
    }
}
