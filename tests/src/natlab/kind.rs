//! The kinds of homes people have: what stands between their machine and the internet.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::igd;

/// What stands between a machine and the internet. The terms are those of RFC 4787.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Kind {
    /// A public address and nothing in front of it.
    Open,
    /// A public address behind a stateful firewall.
    Firewall,
    /// Endpoint-independent mapping and filtering ("full cone").
    FullCone,
    /// Endpoint-independent mapping, address-dependent filtering ("restricted cone").
    AddressRestricted,
    /// Endpoint-independent mapping, address- and port-dependent filtering ("port-restricted cone"):
    /// what most homes have.
    PortRestricted,
    /// Address- and port-dependent mapping to ports by lot.
    Symmetric,
    /// Address- and port-dependent mapping to one port after the other.
    Sequential,
    /// A port-restricted home behind a carrier's full cone.
    CarrierFullCone,
    /// A port-restricted home behind a carrier that is port-restricted, too.
    CarrierPortRestricted,
    /// A port-restricted home behind a carrier that is symmetric.
    CarrierSymmetric,
    /// IPv6 only, behind a stateful firewall.
    Ipv6Only,
    /// Symmetric for IPv4, and IPv6 behind a stateful firewall.
    DualStack,
    /// Port-restricted, and UDP passes to and from the server only.
    NoUdp,
    /// Port-restricted, and the router keeps ports by PCP and NAT-PMP.
    Pcp,
    /// Port-restricted, and the router keeps ports by NAT-PMP alone.
    NatPmp,
    /// Port-restricted, and the router keeps ports by UPnP.
    Upnp,
    /// Port-restricted, and a packet that comes too early is taken in by the router itself, which then gives another port
    /// to the flow that it belongs to. Not among [`Kind::ALL`]: near its router a machine is never too late.
    Spoilt,
}

/// How a router chooses the outer port of a flow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Mapping {
    /// It does not: addresses stay as they are.
    Untranslated,
    /// The same for every destination, and the inner one if that is free.
    Independent,
    /// Another for every destination, by lot.
    Random,
    /// Another for every destination, one after the other.
    Sequential,
}

/// From whom a router lets packets in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Filtering {
    /// From everybody.
    Independent,
    /// From addresses that were sent to.
    Address,
    /// From addresses and ports that were sent to.
    AddressAndPort,
}

/// What a router does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Behaviour {
    pub(super) mapping: Mapping,
    pub(super) filtering: Filtering,
    /// Whether UDP passes to and from the server only.
    pub(super) server_only: bool,
    /// Whether the router takes in what nobody behind it has asked for.
    pub(super) takes_in: bool,
}

impl Kind {
    /// All of them, the easiest first.
    pub const ALL: [Self; 16] = [
        Self::Open,
        Self::Firewall,
        Self::FullCone,
        Self::AddressRestricted,
        Self::PortRestricted,
        Self::CarrierFullCone,
        Self::CarrierPortRestricted,
        Self::Symmetric,
        Self::Sequential,
        Self::CarrierSymmetric,
        Self::Ipv6Only,
        Self::DualStack,
        Self::NoUdp,
        Self::Pcp,
        Self::NatPmp,
        Self::Upnp,
    ];

    /// The word for it in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Firewall => "fw",
            Self::FullCone => "full",
            Self::AddressRestricted => "addr",
            Self::PortRestricted => "home",
            Self::Symmetric => "sym",
            Self::Sequential => "seq",
            Self::CarrierFullCone => "cgnful",
            Self::CarrierPortRestricted => "cgnhom",
            Self::CarrierSymmetric => "cgnsym",
            Self::Ipv6Only => "v6only",
            Self::DualStack => "dual",
            Self::NoUdp => "noudp",
            Self::Pcp => "pcp",
            Self::NatPmp => "natpmp",
            Self::Upnp => "upnp",
            Self::Spoilt => "spoilt",
        }
    }

    /// Whether a machine there has an IPv4 address.
    #[must_use]
    pub const fn has_ipv4(self) -> bool {
        !matches!(self, Self::Ipv6Only)
    }

    /// Whether its IPv4 mapping depends on the destination.
    #[must_use]
    pub const fn is_symmetric(self) -> bool {
        matches!(
            self,
            Self::Symmetric | Self::Sequential | Self::CarrierSymmetric | Self::DualStack
        )
    }

    /// How the agent calls the way by which the router keeps ports, if it keeps any.
    #[must_use]
    pub const fn keeps_ports_by(self) -> Option<&'static str> {
        match self {
            Self::Pcp => Some("pcp"),
            Self::NatPmp => Some("nat-pmp"),
            Self::Upnp => Some("upnp"),
            _ => None,
        }
    }

    pub(super) const fn has_ipv6(self) -> bool {
        matches!(self, Self::Ipv6Only | Self::DualStack)
    }

    /// What the router at home does.
    pub(super) const fn router(self) -> Behaviour {
        use {Filtering::*, Mapping::*};
        let (mapping, filtering) = match self {
            Self::Open => (Untranslated, Filtering::Independent),
            Self::Firewall | Self::Ipv6Only => (Untranslated, AddressAndPort),
            Self::FullCone => (Mapping::Independent, Filtering::Independent),
            Self::AddressRestricted => (Mapping::Independent, Address),
            Self::Symmetric | Self::DualStack => (Random, AddressAndPort),
            Self::Sequential => (Sequential, AddressAndPort),
            Self::PortRestricted
            | Self::CarrierFullCone
            | Self::CarrierPortRestricted
            | Self::CarrierSymmetric
            | Self::NoUdp
            | Self::Pcp
            | Self::NatPmp
            | Self::Upnp
            | Self::Spoilt => (Mapping::Independent, AddressAndPort),
        };
        let (server_only, takes_in) = (matches!(self, Self::NoUdp), matches!(self, Self::Spoilt));
        Behaviour { mapping, filtering, server_only, takes_in }
    }

    /// How the router at home is asked for ports, if it keeps any.
    pub(super) const fn keeps_ports(self) -> Option<igd::Protocol> {
        match self {
            Self::Pcp => Some(igd::Protocol::Pcp),
            Self::NatPmp => Some(igd::Protocol::NatPmp),
            Self::Upnp => Some(igd::Protocol::Upnp),
            _ => None,
        }
    }

    /// What the carrier's router in front of it does, if there is one.
    pub(super) const fn carrier(self) -> Option<Behaviour> {
        let behaves_as = match self {
            Self::CarrierFullCone => Self::FullCone,
            Self::CarrierPortRestricted => Self::PortRestricted,
            Self::CarrierSymmetric => Self::Symmetric,
            _ => return None,
        };
        Some(behaves_as.router())
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
