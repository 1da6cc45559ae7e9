//! A chain of message keys: whoever holds it can read on, and never back.

use super::SessionError;
use crate::{
    crypto::{
        derive::{authenticate_each, derive, expand},
        label::Label,
        seal::OneTimeKey,
        secret::Secret,
    },
    limits::{CHAIN_FRAMES_MAX, SKIPPED_GAP_MAX},
};
use zeroize::Zeroizing;

/// A chain, and how many of its keys are gone.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Chain {
    key: Secret<32>,
    next: u32,
}

/// The key of one message.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct MessageKey(Secret<32>);

impl Chain {
    /// The next root key and a chain: `KDF_RK` of the specification, with a KEM's secret behind the
    /// agreement's if there is one.
    pub(super) fn begin(
        root: &Secret<32>,
        agreed: &Secret<32>,
        shared: Option<&Secret<32>>,
    ) -> (Secret<32>, Self) {
        let mut ikm = Zeroizing::new([0; 64]);
        let (first, second) = ikm.split_at_mut(32);
        first.copy_from_slice(agreed.expose());
        let bytes = shared.map_or(32, |shared| {
            second.copy_from_slice(shared.expose());
            64
        });
        let keys: Secret<64> = derive(root.expose(), &ikm[..bytes], Label::RatchetStep, &[]);
        let half = |at: usize| {
            let mut half = Zeroizing::new([0; 32]);
            half.copy_from_slice(&keys.expose()[at..at + 32]);
            Secret::new(*half)
        };
        (half(0), Self { key: half(32), next: 0 })
    }

    /// The number of the next key.
    pub(super) const fn next(&self) -> u32 {
        self.next
    }

    /// A second copy, to be taken or thrown away.
    pub(super) fn duplicate(&self) -> Self {
        Self { key: self.key.duplicate(), next: self.next }
    }

    /// The next key: `KDF_CK` of the specification.
    pub(super) fn take(&mut self) -> Result<MessageKey, SessionError> {
        if self.next >= CHAIN_FRAMES_MAX {
            return Err(SessionError::Exhausted);
        }
        let [message, key] = authenticate_each(&self.key, [&[1], &[2]]);
        *self = Self { key, next: self.next + 1 };
        Ok(MessageKey(message))
    }

    /// Moves on to number `until`: the keys that were passed over, with their numbers.
    pub(super) fn pass(&mut self, until: u32) -> Result<Vec<(u32, MessageKey)>, SessionError> {
        let gap = until.checked_sub(self.next).ok_or(SessionError::Stale)?;
        if gap > SKIPPED_GAP_MAX {
            return Err(SessionError::Gap);
        }
        (0..gap).map(|_| Ok((self.next, self.take()?))).collect()
    }

    #[cfg(test)]
    pub(super) const fn at(key: Secret<32>, next: u32) -> Self {
        Self { key, next }
    }
}

impl MessageKey {
    /// A second copy, to be tried before the first is thrown away.
    pub(super) fn duplicate(&self) -> Self {
        Self(self.0.duplicate())
    }

    /// What seals or opens the message.
    pub(super) fn one_time(&self) -> OneTimeKey {
        OneTimeKey::new(expand(&self.0, Label::Message))
    }

    #[cfg(test)]
    pub(super) const fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_may_be_so_long_and_no_longer() {
        let chain = || Chain::at(Secret::new([1; 32]), 7);
        assert_eq!(chain().pass(7 + SKIPPED_GAP_MAX).unwrap().len(), SKIPPED_GAP_MAX as usize);
        assert_eq!(chain().pass(8 + SKIPPED_GAP_MAX).err(), Some(SessionError::Gap));
        assert_eq!(chain().pass(6).err(), Some(SessionError::Stale));
        let mut passing = chain();
        let passed = passing.pass(9).unwrap();
        let mut taking = chain();
        for (number, key) in passed {
            assert_eq!(number, taking.next());
            assert_eq!(key.expose(), taking.take().unwrap().expose());
        }
        assert_eq!(passing.take().unwrap().expose(), taking.take().unwrap().expose());
    }

    #[test]
    fn a_chain_ends_where_numbers_end() {
        let mut chain = Chain::at(Secret::new([1; 32]), CHAIN_FRAMES_MAX - 1);
        assert!(chain.take().is_ok());
        assert_eq!(chain.take().err(), Some(SessionError::Exhausted));
        assert_eq!(chain.next(), CHAIN_FRAMES_MAX);
        assert!(
            Chain::at(Secret::new([1; 32]), CHAIN_FRAMES_MAX - 1).pass(CHAIN_FRAMES_MAX).is_ok()
        );
    }
}
