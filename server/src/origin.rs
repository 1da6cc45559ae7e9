//! Where a client comes from, as far as that can be told from outside: what limits are counted by.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// What one subscriber has, and the site around it. Whoever is given a whole site has as many subscriber's
/// networks as they like, so both are counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Origin {
    /// An IPv4 address, or an IPv6 network of 64 bits.
    pub(crate) host: IpAddr,
    /// The same IPv4 address, because its neighbours are others; or an IPv6 network of 48 bits.
    pub(crate) site: IpAddr,
}

impl Origin {
    /// Of an address.
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self { host: address.into(), site: address.into() },
            IpAddr::V6(address) => {
                let network = |bits: u32| {
                    Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << (128 - bits)))
                };
                Self { host: network(64).into(), site: network(48).into() }
            }
        }
    }
}

/// An IPv4 address as such, also where a dual-stack socket shows it as IPv6.
pub(crate) fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(address: &str) -> Origin {
        Origin::of(address.parse().unwrap())
    }

    #[test]
    fn an_ipv6_address_is_in_a_network_and_in_a_site() {
        let origin = of("2001:db8:1:2:3:4:5:6");
        assert_eq!(origin.host, "2001:db8:1:2::".parse::<IpAddr>().unwrap());
        assert_eq!(origin.site, "2001:db8:1::".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn an_ipv4_address_is_by_itself_in_both_spellings() {
        let here: IpAddr = [192, 0, 2, 7].into();
        for spelling in ["192.0.2.7", "::ffff:192.0.2.7"] {
            assert_eq!(of(spelling), Origin { host: here, site: here });
        }
    }
}
