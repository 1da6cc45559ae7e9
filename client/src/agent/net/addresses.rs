//! The addresses of this machine by which others may reach it: those that its routes use, so that bridges of
//! containers and networks that lead nowhere are not among them.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
};

use hither_proto::reach::Scope;
use if_addrs::IfAddr;

use super::door::plain;

/// Addresses that nobody has (RFC 5737, RFC 3849): the way there is the way to anybody.
const ANYBODY: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9),
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)), 9),
];

/// How the names of interfaces begin that lead into a tunnel or to containers.
const VIRTUAL: [&str; 11] =
    ["br-", "docker", "lxc", "ppp", "tailscale", "tap", "tun", "utun", "veth", "virbr", "wg"];

/// This machine's addresses on the way to `server` and to everybody else.
pub(in crate::agent) fn own(server: Option<SocketAddr>) -> Vec<IpAddr> {
    let server = server.map(plain);
    let routes = fs::read_to_string("/proc/net/route").unwrap_or_default();
    let interfaces = fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    let mut own = Vec::new();
    for towards in server.into_iter().chain(ANYBODY) {
        let Some(ip) = local_address_towards(towards) else { continue };
        let interface = match (towards.ip(), ip) {
            (IpAddr::V4(towards), _) => interface_towards(&routes, towards),
            (_, IpAddr::V6(ip)) => interface_of(&interfaces, ip),
            _ => None,
        };
        let hidden = interface.is_some_and(is_virtual) || Scope::of(ip) == Scope::Nowhere;
        if !hidden && !own.contains(&ip) {
            own.push(ip);
        }
    }
    own
}

/// A network that this machine is on: its own address there, and how many of its bits all have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Neighbourhood {
    pub(super) ip: IpAddr,
    bits: u8,
}

impl Neighbourhood {
    /// Whether no router is between this machine and `ip`.
    pub(super) fn holds(&self, ip: IpAddr) -> bool {
        let (mine, theirs, length) = match (self.ip, ip) {
            (IpAddr::V4(mine), IpAddr::V4(theirs)) => {
                (u128::from(mine.to_bits()), u128::from(theirs.to_bits()), 32)
            }
            (IpAddr::V6(mine), IpAddr::V6(theirs)) => (mine.to_bits(), theirs.to_bits(), 128),
            _ => return false,
        };
        let rest = length - u32::from(self.bits).min(length);
        (mine ^ theirs).checked_shr(rest).unwrap_or(0) == 0
    }
}

/// The local networks that this machine is on, whether they lead anywhere or not.
pub(super) fn neighbourhoods() -> Vec<Neighbourhood> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default().into_iter();
    let up = interfaces.filter(|interface| {
        interface.is_oper_up() && !interface.is_p2p() && !is_virtual(&interface.name)
    });
    let networks = up.map(|interface| match interface.addr {
        IfAddr::V4(v4) => Neighbourhood { ip: v4.ip.into(), bits: v4.prefixlen },
        IfAddr::V6(v6) => Neighbourhood { ip: v6.ip.into(), bits: v6.prefixlen },
    });
    networks.filter(|network| Scope::of(network.ip) == Scope::Local).collect()
}

/// The router on the way to everybody.
pub(super) fn gateway() -> Option<Ipv4Addr> {
    default_gateway(&fs::read_to_string("/proc/net/route").ok()?)
}

/// The address of this machine from which packets to `remote` leave, if there is a way at all.
pub(super) fn local_address_towards(remote: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = match remote {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // Connecting a UDP socket sends nothing; the kernel only looks up the route.
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(remote).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

/// The interface of the narrowest route to `towards` in a table as `/proc/net/route` has it.
fn interface_towards(routes: &str, towards: Ipv4Addr) -> Option<&str> {
    let number = |hex: &str| u32::from_str_radix(hex, 16).ok().map(u32::swap_bytes);
    let fitting = routes.lines().skip(1).filter_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let [name, destination, _, _, _, _, metric, mask, ..] = columns[..] else { return None };
        let (destination, mask) = (number(destination)?, number(mask)?);
        let narrow = (mask, std::cmp::Reverse(metric.parse::<u32>().ok()?));
        (u32::from(towards) & mask == destination).then_some((narrow, name))
    });
    fitting.max_by_key(|(narrow, _)| *narrow).map(|(_, name)| name)
}

/// The router of the cheapest default route in a table as `/proc/net/route` has it, unless that leads into a tunnel.
fn default_gateway(routes: &str) -> Option<Ipv4Addr> {
    let defaults = routes.lines().skip(1).filter_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let [name, "00000000", gateway, _, _, _, metric, "00000000", ..] = columns[..] else {
            return None;
        };
        let gateway = u32::from_str_radix(gateway, 16).ok()?.swap_bytes();
        Some((metric.parse::<u32>().ok()?, name, Ipv4Addr::from(gateway)))
    });
    let (_, name, gateway) = defaults.min_by_key(|(metric, ..)| *metric)?;
    (!is_virtual(name) && !gateway.is_unspecified()).then_some(gateway)
}

/// The interface with the address `ip` in a table as `/proc/net/if_inet6` has it.
fn interface_of(interfaces: &str, ip: Ipv6Addr) -> Option<&str> {
    let hex = format!("{:032x}", u128::from(ip));
    let line = interfaces.lines().find(|line| line.starts_with(&hex))?;
    line.split_whitespace().last()
}

fn is_virtual(interface: &str) -> bool {
    VIRTUAL.iter().any(|name| interface.starts_with(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES: &str = "\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0
eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0
docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
wg0\t000010AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
";

    #[test]
    fn the_narrowest_and_then_the_cheapest_route_is_taken() {
        for (towards, interface) in
            [([192, 0, 2, 1], "eth0"), ([172, 17, 3, 4], "docker0"), ([172, 16, 0, 1], "wg0")]
        {
            assert_eq!(interface_towards(ROUTES, towards.into()), Some(interface));
        }
        assert_eq!(interface_towards("", [192, 0, 2, 1].into()), None);
    }

    #[test]
    fn the_router_is_that_of_the_cheapest_default_route() {
        let second = "eth1\t00000000\t0201A8C0\t0003\t0\t0\t50\t00000000\t0\t0\t0\n";
        let tunnel = "wg0\t00000000\t0301A8C0\t0003\t0\t0\t10\t00000000\t0\t0\t0\n";
        let line = ROUTES.replace("eth0\t00000000\t00000000", "eth0\t00000000\t0101A8C0");
        assert_eq!(default_gateway(&format!("{line}{second}")), Some([192, 168, 1, 2].into()));
        assert_eq!(default_gateway(&format!("{line}{second}{tunnel}")), None);
        assert_eq!(default_gateway(""), None);
    }

    #[test]
    fn an_address_leads_to_its_interface() {
        let table = "20010db8000000000000000000000002 02 40 00 80     eth0\n";
        assert_eq!(interface_of(table, "2001:db8::2".parse().unwrap()), Some("eth0"));
        assert_eq!(interface_of(table, "2001:db8::3".parse().unwrap()), None);
    }

    #[test]
    fn tunnels_and_containers_are_told_from_the_rest() {
        assert!(["docker0", "br-1a2b", "wg0", "tun0", "veth12"].into_iter().all(is_virtual));
        assert!(!["eth0", "wlan0", "enp3s0", "br0", "lo"].into_iter().any(is_virtual));
    }

    #[test]
    fn a_network_holds_what_is_reached_without_a_router() {
        let home = Neighbourhood { ip: [192, 168, 1, 2].into(), bits: 24 };
        let all = Neighbourhood { bits: 0, ..home };
        let ula = Neighbourhood { ip: "fd00:1::2".parse().unwrap(), bits: 64 };
        for (network, ip, held) in [
            (home, "192.168.1.77", true),
            (home, "192.168.2.77", false),
            (home, "::ffff:192.168.1.77", false),
            (all, "203.0.113.7", true),
            (ula, "fd00:1::3", true),
            (ula, "fd00:1:0:1::3", false),
            (ula, "192.168.1.77", false),
        ] {
            assert_eq!(network.holds(ip.parse().unwrap()), held, "{network:?} {ip}");
        }
    }

    #[test]
    fn on_the_way_to_itself_a_machine_is_loopback() {
        let own = own(Some(SocketAddr::from(([127, 0, 0, 1], 9))));
        assert_eq!(own.first(), Some(&IpAddr::V4(Ipv4Addr::LOCALHOST)));
        assert!(!super::own(None).contains(&IpAddr::V4(Ipv4Addr::LOCALHOST)));
    }
}
