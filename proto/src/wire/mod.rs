//! Bytes to values and back; knows nothing of keys, peers or state.
//!
//! Every frame is four bytes of length, big endian, and one CBOR item (RFC 8949), an array with numbered
//! places. What is signed, hashed or authenticated has fixed layouts of its own, beside its code.

mod choice;
mod device;
mod door;
mod fixed;
mod observed;
pub mod peer;
mod reply;
mod request;
pub mod server;
mod sunset;
pub mod version;

use minicbor::{Decode, Encode};
use zeroize::Zeroizing;

/// Bytes of the length in front of a frame.
pub const LENGTH_BYTES: usize = 4;

/// Bytes that are not a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DecodeError {
    /// Not the CBOR that was expected here.
    #[error("not a well-formed frame")]
    Malformed,
    /// More bytes than this place may carry.
    #[error("a frame of {0} bytes is too long")]
    TooLong(usize),
    /// Bytes after the end.
    #[error("bytes after the end of a frame")]
    Trailing,
}

/// Bytes of room that an encoding begins with: a short message and what goes around it fit, and a buffer that grows
/// is copied.
const ROOM: usize = 512;

/// The CBOR form of `value`.
pub fn encode<T: Encode<()>>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ROOM);
    // Writing to a vector does not fail.
    let encoded = minicbor::encode(value, &mut bytes);
    debug_assert!(encoded.is_ok());
    bytes
}

/// The CBOR form of something secret, of at most `bytes_max` bytes. The room is there from the start, because a
/// buffer that grows leaves copies behind.
pub fn encode_secret<T: Encode<()>>(value: &T, bytes_max: usize) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(bytes_max));
    // Writing to a vector does not fail.
    let encoded = minicbor::encode(value, &mut *bytes);
    debug_assert!(encoded.is_ok());
    debug_assert!(bytes.len() <= bytes_max);
    bytes
}

/// The value whose CBOR form is exactly `bytes`.
pub fn decode<'b, T: Decode<'b, ()>>(bytes: &'b [u8]) -> Result<T, DecodeError> {
    let mut decoder = minicbor::Decoder::new(bytes);
    let value = decoder.decode().map_err(|_| DecodeError::Malformed)?;
    if decoder.position() == bytes.len() { Ok(value) } else { Err(DecodeError::Trailing) }
}

/// `body` as a frame: its length in front of it.
pub fn frame(body: &[u8]) -> Vec<u8> {
    // Bodies are bounded far below 4 GiB by `limits`.
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), body].concat()
}

/// How many bytes of body follow a frame's length, if they are at most `max`.
pub fn body_bytes(length: [u8; LENGTH_BYTES], max: usize) -> Result<usize, DecodeError> {
    let length = u32::from_be_bytes(length) as usize;
    if length <= max { Ok(length) } else { Err(DecodeError::TooLong(length)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Name;

    #[test]
    fn frames_are_exact() {
        let name: Name = "alice".parse().unwrap();
        let bytes = encode(&name);
        assert_eq!(decode::<Name>(&bytes), Ok(name));
        assert_eq!(decode::<Name>(&bytes[..3]), Err(DecodeError::Malformed));
        assert_eq!(decode::<Name>(&[]), Err(DecodeError::Malformed));
        assert_eq!(decode::<Name>(&[&bytes[..], &[0]].concat()), Err(DecodeError::Trailing));
        assert_eq!(decode::<Name>(&encode(&"Alice")), Err(DecodeError::Malformed));
    }

    #[test]
    fn lengths_are_checked_before_anything_is_allocated() {
        assert_eq!(frame(b"abc"), [0, 0, 0, 3, b'a', b'b', b'c']);
        assert_eq!(body_bytes([0, 0, 1, 0], 256), Ok(256));
        assert_eq!(body_bytes([0, 0, 1, 1], 256), Err(DecodeError::TooLong(257)));
        assert_eq!(body_bytes([0xff; 4], 256), Err(DecodeError::TooLong(u32::MAX as usize)));
    }
}
