//! Bytes that cannot be printed, cloned by accident, compared in variable time or left behind.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// `N` secret bytes, wiped when dropped. They stand in one place of the heap: a move, of which nobody
/// knows how many a future makes, leaves no copy behind.
#[cfg_attr(test, derive(Clone))]
pub struct Secret<const N: usize>(Box<[u8; N]>);

impl<const N: usize> Secret<N> {
    /// Takes the bytes over. The caller's copy, if it keeps one, is the caller's to wipe.
    pub fn new(mut bytes: [u8; N]) -> Self {
        let secret = Self::copy_of(&bytes);
        bytes.zeroize();
        secret
    }

    /// Bytes that are written where they stay.
    pub(super) fn filled(fill: impl FnOnce(&mut [u8; N])) -> Self {
        let mut place = Box::new([0; N]);
        fill(&mut place);
        Self(place)
    }

    /// From a slice of exactly `N` bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self::copy_of)
    }

    /// The bytes themselves. Every call is a place to look at in a review.
    pub const fn expose(&self) -> &[u8; N] {
        &self.0
    }

    /// A second copy, on purpose.
    pub fn duplicate(&self) -> Self {
        Self::copy_of(&self.0)
    }

    /// Whether both hold the same bytes, in constant time.
    pub fn matches(&self, other: &[u8; N]) -> bool {
        self.0.ct_eq(other).into()
    }

    fn copy_of(bytes: &[u8; N]) -> Self {
        Self::filled(|place| place.copy_from_slice(bytes))
    }
}

impl<const N: usize> Drop for Secret<N> {
    fn drop(&mut self) {
        self.0.zeroize();
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
        e.bytes(self.expose())?.ok()
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
