//! A machine that somebody has logged in on, as the server tells its owner.

use minicbor::{Decode, Encode};

/// One session of an account.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq)]
#[cbor(array)]
pub struct Device {
    /// The public key by which the device resumes its session. No two sessions have the same.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub key: [u8; 32],
    /// When it logged in, in seconds since 1970.
    #[n(1)]
    pub created: u64,
    /// The day on which it was last connected, in seconds since 1970.
    #[n(2)]
    pub seen: u64,
}
