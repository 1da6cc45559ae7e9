//! The end of an old version of the protocol, announced ahead of it.

use minicbor::{Decode, Encode};

/// The version of the protocol that these frames are of. Another one has another ALPN.
pub const VERSION: u32 = 1;

/// From when on a server talks to newer versions only.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq)]
#[cbor(array)]
pub struct Sunset {
    /// The oldest version that it talks to then.
    #[n(0)]
    pub min_version: u32,
    /// When, in seconds since 1970.
    #[n(1)]
    pub from: u64,
}
