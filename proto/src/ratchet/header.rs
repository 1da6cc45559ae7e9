//! What stands in the clear in front of a sealed message. Only the two ends see it, inside the
//! connection's encryption, so that nothing is gained by hiding it.

use super::SessionError;
use crate::crypto::{
    agree::AgreePublic,
    kem::{KEM_CIPHERTEXT_BYTES, KEM_PUBLIC_BYTES},
};

/// Bytes of a header that carries nothing of the KEM.
pub(super) const HEADER_BYTES: usize = 1 + 32 + 4 + 4;

/// This frame, the first of its chain, carries an encapsulation key.
const OFFERS: u8 = 0x01;

/// This frame's chain began with a KEM's secret. The first frame of the chain carries the ciphertext.
const MIXED: u8 = 0x02;

const NUMBER_MAX: u32 = (1 << 31) - 1;

/// A header. `kem` is what follows the fixed part.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Header<'f> {
    /// The sender's ratchet key.
    pub(super) key: AgreePublic,
    /// How many frames the sender's chain before this one had.
    pub(super) previous: u32,
    /// The frame's number in its chain.
    pub(super) number: u32,
    pub(super) kem: Kem<'f>,
}

/// What a frame has to do with the KEM.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Kem<'f> {
    /// Nothing.
    Absent,
    /// It offers an encapsulation key.
    Offer(&'f [u8]),
    /// It begins a chain with the secret in this ciphertext.
    Ciphertext(&'f [u8]),
    /// It is a later one of such a chain.
    Mixed,
}

impl<'f> Header<'f> {
    /// Takes a frame apart: header, the header's bytes, the sealed rest.
    pub(super) fn parse(frame: &'f [u8]) -> Result<(Self, &'f [u8], &'f [u8]), SessionError> {
        let (key, previous, number, flags, rest) = fixed(frame).ok_or(SessionError::Malformed)?;
        if previous > NUMBER_MAX || number > NUMBER_MAX {
            return Err(SessionError::Malformed);
        }
        let carried = |bytes| rest.split_at_checked(bytes).ok_or(SessionError::Malformed);
        let (kem, sealed) = match (flags, number) {
            (0, _) => (Kem::Absent, rest),
            (OFFERS, 0) => {
                let (key, sealed) = carried(KEM_PUBLIC_BYTES)?;
                (Kem::Offer(key), sealed)
            }
            (MIXED, 0) => {
                let (ciphertext, sealed) = carried(KEM_CIPHERTEXT_BYTES)?;
                (Kem::Ciphertext(ciphertext), sealed)
            }
            (MIXED, _) => (Kem::Mixed, rest),
            _ => return Err(SessionError::Malformed),
        };
        let (header, _) = frame.split_at(frame.len() - sealed.len());
        Ok((Self { key, previous, number, kem }, header, sealed))
    }

    /// Appends the header's bytes.
    pub(super) fn write(&self, frame: &mut Vec<u8>) {
        let (flags, carried) = match self.kem {
            Kem::Absent => (0, &[][..]),
            Kem::Offer(key) => (OFFERS, key),
            Kem::Ciphertext(ciphertext) => (MIXED, ciphertext),
            Kem::Mixed => (MIXED, &[][..]),
        };
        frame.push(flags);
        frame.extend_from_slice(&self.key.0);
        frame.extend_from_slice(&self.previous.to_be_bytes());
        frame.extend_from_slice(&self.number.to_be_bytes());
        frame.extend_from_slice(carried);
    }
}

fn fixed(frame: &[u8]) -> Option<(AgreePublic, u32, u32, u8, &[u8])> {
    let (flags, rest) = frame.split_first()?;
    let (key, rest) = rest.split_first_chunk()?;
    let (previous, rest) = rest.split_first_chunk()?;
    let (number, rest) = rest.split_first_chunk()?;
    let (previous, number) = (u32::from_be_bytes(*previous), u32::from_be_bytes(*number));
    Some((AgreePublic(*key), previous, number, *flags, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_header_is_read_as_it_was_written() {
        let (offer, ciphertext) = ([8; KEM_PUBLIC_BYTES], [9; KEM_CIPHERTEXT_BYTES]);
        for (number, kem) in [
            (0, Kem::Absent),
            (NUMBER_MAX, Kem::Absent),
            (0, Kem::Offer(&offer)),
            (0, Kem::Ciphertext(&ciphertext)),
            (1, Kem::Mixed),
        ] {
            let header = Header { key: AgreePublic([1; 32]), previous: NUMBER_MAX, number, kem };
            let mut frame = Vec::new();
            header.write(&mut frame);
            let written = frame.clone();
            frame.extend_from_slice(b"sealed");
            let parsed = Header::parse(&frame).unwrap();
            assert_eq!(parsed, (header, &written[..], &b"sealed"[..]));
            assert_eq!(Header::parse(&written[..written.len() - 1]), Err(SessionError::Malformed));
        }
    }

    #[test]
    fn headers_that_nobody_writes_are_refused() {
        let frame = |flags: u8, previous: u32, number: u32| {
            let mut frame = vec![flags];
            frame.extend_from_slice(&[1; 32]);
            frame.extend_from_slice(&previous.to_be_bytes());
            frame.extend_from_slice(&number.to_be_bytes());
            frame.resize(HEADER_BYTES + 2 * KEM_PUBLIC_BYTES, 0);
            frame
        };
        assert!(Header::parse(&frame(0, NUMBER_MAX, NUMBER_MAX)).is_ok());
        for frame in [
            frame(0, NUMBER_MAX + 1, 0),
            frame(0, 0, NUMBER_MAX + 1),
            frame(OFFERS, 0, 1),
            frame(OFFERS | MIXED, 0, 0),
            frame(OFFERS | MIXED, 0, 1),
            frame(0x04, 0, 0),
            frame(0x80, 0, 1),
        ] {
            assert_eq!(Header::parse(&frame), Err(SessionError::Malformed));
        }
    }
}
