//! Which of a machine's addresses are worth telling to somebody, and which of theirs are worth dialling.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use minicbor::{Decode, Encode};

/// Which addresses pass between this person and one contact: what the contact is told, and where the
/// contact is sought.
#[derive(Clone, Copy, Debug, Decode, Default, Encode, Eq, PartialEq)]
#[cbor(index_only)]
pub enum Policy {
    /// Whatever may lead to a path.
    #[default]
    #[n(0)]
    All,
    /// Only addresses that the whole Internet can see.
    #[n(1)]
    Public,
    /// Only addresses of the local network.
    #[n(2)]
    Lan,
    /// None: there is no path to this contact.
    #[n(3)]
    Never,
}

/// How far an address reaches.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scope {
    /// Only this machine.
    Loopback,
    /// The local network, or that of a provider who translates addresses.
    Local,
    /// The Internet.
    Global,
    /// No address of anybody, or one that means something else on every machine.
    Nowhere,
}

impl Scope {
    /// How far `ip` reaches.
    pub fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self::of_v4(ip),
            IpAddr::V6(ip) => Self::of_v6(ip),
        }
    }

    fn of_v4(ip: Ipv4Addr) -> Self {
        let [a, b, ..] = ip.octets();
        match () {
            () if ip.is_loopback() => Self::Loopback,
            () if a == 0 || a >= 224 || ip.is_link_local() => Self::Nowhere,
            // RFC 6598: between a provider's translator and its customers.
            () if ip.is_private() || a == 100 && b & 0xc0 == 64 => Self::Local,
            () => Self::Global,
        }
    }

    fn of_v6(ip: Ipv6Addr) -> Self {
        match () {
            () if ip.is_loopback() => Self::Loopback,
            () if ip.is_unspecified() || ip.is_multicast() || ip.is_unicast_link_local() => {
                Self::Nowhere
            }
            () if ip.is_unique_local() => Self::Local,
            () => Self::Global,
        }
    }
}

impl Policy {
    /// Whether the address that the server sees must stay with the server.
    pub const fn hides_observed(self) -> bool {
        matches!(self, Self::Lan | Self::Never)
    }

    /// Which of this machine's own addresses the contact is told.
    pub fn offered(self, own: &[SocketAddr], most: usize) -> Vec<SocketAddr> {
        let told = own.iter().filter(|address| match Scope::of(address.ip()) {
            Scope::Nowhere => false,
            Scope::Global => matches!(self, Self::All | Self::Public),
            Scope::Local | Scope::Loopback => matches!(self, Self::All | Self::Lan),
        });
        told.copied().take(most).collect()
    }

    /// Which of the contact's addresses are dialled. The server says what they are, so none is taken on
    /// trust: not one of this machine's own, and no loopback address unless this machine offers one too.
    pub fn dialled(
        self,
        own: &[SocketAddr],
        theirs: impl IntoIterator<Item = SocketAddr>,
        most: usize,
    ) -> Vec<SocketAddr> {
        let alone = own.iter().any(|own| Scope::of(own.ip()) == Scope::Loopback);
        let mut dialled = Vec::new();
        for address in theirs {
            let sensible = address.port() != 0 && !own.contains(&address);
            let allowed = match Scope::of(address.ip()) {
                Scope::Nowhere => false,
                Scope::Loopback => alone,
                Scope::Global => matches!(self, Self::All | Self::Public),
                Scope::Local => matches!(self, Self::All | Self::Lan),
            };
            let fits = dialled.len() < most && self != Self::Never;
            if sensible && allowed && fits && !dialled.contains(&address) {
                dialled.push(address);
            }
        }
        dialled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn addresses_reach_as_far_as_their_registries_say() {
        for (ip, scope) in [
            ("127.0.0.1", Scope::Loopback),
            ("::1", Scope::Loopback),
            ("::ffff:127.0.0.1", Scope::Loopback),
            ("10.1.2.3", Scope::Local),
            ("192.168.1.2", Scope::Local),
            ("100.64.0.1", Scope::Local),
            ("fd00::1", Scope::Local),
            ("100.128.0.1", Scope::Global),
            ("203.0.113.7", Scope::Global),
            ("2001:db8::1", Scope::Global),
            ("0.0.0.0", Scope::Nowhere),
            ("169.254.1.1", Scope::Nowhere),
            ("224.0.0.251", Scope::Nowhere),
            ("255.255.255.255", Scope::Nowhere),
            ("fe80::1", Scope::Nowhere),
            ("ff02::1", Scope::Nowhere),
            ("::", Scope::Nowhere),
        ] {
            assert_eq!(Scope::of(ip.parse().unwrap()), scope, "{ip}");
        }
    }

    #[test]
    fn a_policy_keeps_back_what_it_should() {
        let own = addresses(&["192.168.1.2:9", "[2001:db8::2]:9", "[fe80::1]:9"]);
        for (policy, told) in [
            (Policy::All, &["192.168.1.2:9", "[2001:db8::2]:9"][..]),
            (Policy::Public, &["[2001:db8::2]:9"]),
            (Policy::Lan, &["192.168.1.2:9"]),
            (Policy::Never, &[]),
        ] {
            assert_eq!(policy.offered(&own, 8), addresses(told), "{policy:?}");
        }
        assert_eq!(Policy::All.offered(&own, 1).len(), 1);
    }

    #[test]
    fn nobody_is_dialled_who_cannot_be_them() {
        let own = addresses(&["192.168.1.2:9"]);
        let theirs = addresses(&[
            "203.0.113.7:9",
            "203.0.113.7:9",
            "203.0.113.7:0",
            "192.168.1.2:9",
            "192.168.1.3:9",
            "127.0.0.1:9",
            "224.0.0.1:9",
            "[fe80::1]:9",
        ]);
        let dialled = |policy: Policy| policy.dialled(&own, theirs.iter().copied(), 8);
        assert_eq!(dialled(Policy::All), addresses(&["203.0.113.7:9", "192.168.1.3:9"]));
        assert_eq!(dialled(Policy::Public), addresses(&["203.0.113.7:9"]));
        assert_eq!(dialled(Policy::Lan), addresses(&["192.168.1.3:9"]));
        assert_eq!(dialled(Policy::Never), []);
        let many = (1..100).map(|port| SocketAddr::from(([203, 0, 113, 7], port)));
        assert_eq!(Policy::All.dialled(&own, many, 8).len(), 8);
        let alone = addresses(&["127.0.0.1:8"]);
        assert_eq!(Policy::All.dialled(&alone, addresses(&["127.0.0.1:9"]), 8).len(), 1);
    }
}
