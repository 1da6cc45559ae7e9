//! Message ids: 128 bits, sortable by time, the same at both ends.

use std::{fmt, str::FromStr};

use minicbor::{Decode, Encode};

use crate::{crypto::rng::Rng, time::UnixTime};

/// The letters of Crockford's base32: none of them looks like another.
pub(crate) const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const LETTERS: usize = 26;

/// A message id, in the layout and spelling of a ULID: 48 bits of time, 80 of chance.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cbor(transparent)]
pub struct MessageId(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 16]);

/// A text that is no message id.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a message id")]
pub struct NotAnId;

impl MessageId {
    /// A fresh id that sorts by `now`.
    pub fn generate(now: UnixTime, rng: &mut Rng) -> Self {
        let mut id = rng.bytes::<16>();
        id[..6].copy_from_slice(&now.as_millis().to_be_bytes()[2..]);
        Self(id)
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut value = u128::from_be_bytes(self.0);
        let mut letters = [0; LETTERS];
        for letter in letters.iter_mut().rev() {
            *letter = CROCKFORD[value as usize & 31];
            value >>= 5;
        }
        f.write_str(str::from_utf8(&letters).map_err(|_| fmt::Error)?)
    }
}

impl FromStr for MessageId {
    type Err = NotAnId;

    /// Reads a ULID, or 32 hexadecimal digits with or without the hyphens of a UUID.
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        if text.len() == LETTERS {
            return from_ulid(text);
        }
        let hex: String = text.chars().filter(|letter| *letter != '-').collect();
        if hex.len() != 32 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NotAnId);
        }
        u128::from_str_radix(&hex, 16).map(|value| Self(value.to_be_bytes())).map_err(|_| NotAnId)
    }
}

fn from_ulid(text: &str) -> Result<MessageId, NotAnId> {
    let mut value: u128 = 0;
    for byte in text.bytes() {
        let digit = crockford_digit(byte).ok_or(NotAnId)?;
        // 26 letters hold 130 bits: the first may not be above 7.
        if value >> 123 != 0 {
            return Err(NotAnId);
        }
        value = value << 5 | u128::from(digit);
    }
    Ok(MessageId(value.to_be_bytes()))
}

/// What a letter of Crockford's base32 stands for, in whichever way it is written.
pub(crate) fn crockford_digit(letter: u8) -> Option<u8> {
    let letter = match letter.to_ascii_uppercase() {
        b'I' | b'L' => b'1',
        b'O' => b'0',
        other => other,
    };
    (0..).zip(CROCKFORD).find(|(_, known)| **known == letter).map(|(digit, _)| digit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::secret::Secret;

    #[test]
    fn ids_sort_by_time_and_read_back() {
        let mut rng = Rng::from_seed(Secret::new([1; 32]));
        let ids: Vec<_> = [1, 2, 1 << 40]
            .map(|ms| MessageId::generate(UnixTime::from_millis(ms), &mut rng))
            .into();
        assert!(ids.is_sorted());
        for id in ids {
            assert_eq!(id.to_string().parse(), Ok(id));
            assert_eq!(id.to_string().to_lowercase().parse(), Ok(id));
        }
        let max = MessageId([0xff; 16]);
        assert_eq!(max.to_string(), "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
        assert_eq!("ffffffff-ffff-ffff-ffff-ffffffffffff".parse(), Ok(max));
    }

    #[test]
    fn other_texts_are_no_ids() {
        for text in ["", "8ZZZZZZZZZZZZZZZZZZZZZZZZZ", "hello", "UUUUUUUUUUUUUUUUUUUUUUUUUU", "+f"]
        {
            assert_eq!(text.parse::<MessageId>(), Err(NotAnId), "{text}");
        }
    }
}
