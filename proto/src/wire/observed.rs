//! What a client and the server tell each other of the translator in front of the client.

use minicbor::{Decode, Encode};

/// Where a client may show itself a second time.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq)]
#[cbor(array)]
pub struct Observer {
    /// The port, at the server's address.
    #[n(0)]
    pub port: u16,
    /// By which the server knows the client there.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub token: [u8; 16],
}

/// What stands between a client and the Internet, as coarsely as it can be said (RFC 4787). For the server's counts of
/// who reaches whom; nobody else is told.
#[derive(Clone, Copy, Debug, Decode, Default, Encode, Eq, PartialEq)]
#[cbor(index_only)]
pub enum Nat {
    /// Nobody has been able to tell.
    #[default]
    #[n(0)]
    Unknown,
    /// Nothing.
    #[n(1)]
    Open,
    /// No translator, and packets are let in from where some were sent to.
    #[n(2)]
    Firewall,
    /// Endpoint-independent mapping, and filtering that does not depend on the port.
    #[n(3)]
    Cone,
    /// Endpoint-independent mapping, address- and port-dependent filtering.
    #[n(4)]
    PortRestricted,
    /// Endpoint-dependent mapping.
    #[n(5)]
    Symmetric,
    /// The same, to ports that follow each other.
    #[n(6)]
    Sequential,
}

impl Nat {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Unknown,
        Self::Open,
        Self::Firewall,
        Self::Cone,
        Self::PortRestricted,
        Self::Symmetric,
        Self::Sequential,
    ];
}
