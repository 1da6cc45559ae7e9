//! What a client and the server say to each other: requests up, replies and events down, in order, on
//! one bidirectional stream.

pub use super::{
    choice::{Farewell, Refusal, Withdrawal},
    device::Device,
    door::{Candidate, Door},
    fixed::{ENVELOPE_BYTES, PROOF_BYTES, SessionId},
    observed::{Nat, Observer},
    reply::Reply,
    request::Request,
    sunset::Sunset,
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::decode;

    #[test]
    fn unknown_frames_are_refused() {
        assert!(decode::<Request>(&[0x82, 0x18, 99, 0x80]).is_err());
        assert!(decode::<Reply>(&[0x82, 0x18, 99, 0x80]).is_err());
    }
}
