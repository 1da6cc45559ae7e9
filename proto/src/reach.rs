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

/// How a translator maps one socket that speaks to several others (RFC 4787, section 4.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mapping {
    /// Nobody has been able to tell.
    Unknown,
    /// To the same address for all, or there is no translator.
    Independent,
    /// To an address for each of them.
    Dependent {
        /// From each port to the next, if that is regular.
        step: Option<i32>,
    },
}

/// The farthest that one port of a translator which takes one after the other is from the next: some count in the wrong byte
/// order.
const STEP_MAX: i32 = 4_096;

/// How many ports others may have been given between two that are seen. Ports by lot look so about once in 4,000 times, and
/// nobody foresees those of a translator that is busier.
const BETWEEN_MAX: i32 = 16;

/// How many ports behind the newest one that a socket has had for a while may be. What is farther behind comes after the last
/// port of all, or of those that one customer gets.
const BEHIND_MAX: i32 = 64;

/// The lowest port that translators give to anybody.
const PORT_MIN: i32 = 1_024;

impl Mapping {
    /// From where a connection and a datagram of the same socket, to another port, are seen to come from.
    pub fn of(at: SocketAddr, again: Option<SocketAddr>, step: Option<i32>) -> Self {
        match again {
            None => Self::Unknown,
            Some(again) if again == at => Self::Independent,
            Some(_) => Self::Dependent { step },
        }
    }

    /// Whether nobody but the server can be sure to find this client where the server sees it.
    pub const fn is_dependent(self) -> bool {
        matches!(self, Self::Dependent { .. })
    }
}

/// Where a server has seen a client: on its connection, and on a second port.
#[derive(Clone, Copy, Debug)]
pub struct Trail {
    /// The connection.
    pub at: SocketAddr,
    /// A datagram of the same socket.
    pub again: Option<SocketAddr>,
    /// From each port of the translator to the next, if that is regular.
    pub step: Option<i32>,
    /// The two newest ports that have been seen, the newest of all at the end, once it is known how they are given away.
    newest: Option<[SocketAddr; 2]>,
}

impl Trail {
    /// A client of whom nothing but its connection is known.
    pub const fn new(at: SocketAddr) -> Self {
        Self { at, again: None, step: None, newest: None }
    }

    /// How the client's translator works.
    pub fn mapping(&self) -> Mapping {
        Mapping::of(self.at, self.again, self.step)
    }

    /// A datagram has come from there: from the socket of the connection, or from a `fresh` one. Says whether
    /// that is news to the client.
    pub fn probed(&mut self, from: SocketAddr, fresh: bool) -> bool {
        let before = (self.again, self.step);
        if !fresh {
            // The same once more, because a client was in doubt, takes back nothing that is known.
            if self.again != Some(from) {
                (self.again, self.step) = (Some(from), None);
                self.newest = (from != self.at).then_some([self.at, from]);
            }
        } else if let Some([second, first]) = self.newest.filter(|_| self.is_new(from)) {
            // The last three say it, so that ports by lot which have looked regular once do so no longer than that.
            self.step = step([second, first, from], self.step);
            self.newest = Some([first, from]);
        }
        before != (self.again, self.step)
    }

    /// Whether a socket there is not one that has been there for a while, and shows itself once more.
    fn is_new(&self, from: SocketAddr) -> bool {
        let Some(seen) = self.newest else { return true };
        if seen.contains(&from) || from == self.at || self.again == Some(from) {
            return false;
        }
        let Some(step) = self.step else { return true };
        let behind = (i32::from(seen[1].port()) - i32::from(from.port())) * step.signum();
        !(1..=BEHIND_MAX * step.abs()).contains(&behind)
    }

    /// Where the client's next connection may be seen, if its translator is regular.
    pub fn predicted(&self, most: usize) -> Vec<SocketAddr> {
        let Some((step, [_, newest])) = self.step.zip(self.newest) else { return Vec::new() };
        let ports = (1..).map(|at: i32| i32::from(newest.port()) + at * step);
        let ports = ports.take(most).filter(|port| *port >= PORT_MIN);
        ports.filter_map(|port| Some(SocketAddr::new(newest.ip(), port.try_into().ok()?))).collect()
    }
}

/// What the three ports have in common, which came one after the other, with others' perhaps in between; and with those
/// `before` them, where they fit: two gaps that happen to be two steps each look like one of twice the size.
fn step(seen: [SocketAddr; 3], before: Option<i32>) -> Option<i32> {
    let [a, b, c] = seen.map(|address| i32::from(address.port()));
    let (first, second) = (b - a, c - b);
    if first == 0 || second == 0 || first.signum() != second.signum() {
        return None;
    }
    let is_step = |step: &i32| {
        let near = |gap: i32| gap.abs() <= step * BETWEEN_MAX;
        *step <= STEP_MAX && near(first) && near(second)
    };
    let common = common_divisor(first, second);
    let finer = before.filter(|before| before.signum() == first.signum());
    let finer = finer.map(|before| common_divisor(before, common)).filter(is_step);
    let step = finer.or_else(|| Some(common).filter(is_step))?;
    Some(step * first.signum())
}

/// The greatest, which is positive.
fn common_divisor(one: i32, other: i32) -> i32 {
    let (mut large, mut small) = (one.abs(), other.abs());
    while small != 0 {
        (large, small) = (small, large % small);
    }
    large
}

/// A datagram by which a client shows on a second port where it comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Probe {
    /// Whether it comes from another socket than the connection.
    pub fresh: bool,
    /// Which client's, as the server has told it.
    pub token: [u8; 16],
}

/// Bytes of a [`Probe`].
pub const PROBE_BYTES: usize = 18;

impl Probe {
    /// The datagram.
    pub fn encode(&self) -> [u8; PROBE_BYTES] {
        let mut datagram = [0; PROBE_BYTES];
        datagram[1] = self.fresh.into();
        datagram[2..].copy_from_slice(&self.token);
        datagram
    }

    /// What [`Probe::encode`] has made.
    pub fn decode(datagram: &[u8]) -> Option<Self> {
        let [0, fresh @ (0 | 1), token @ ..] = datagram else { return None };
        Some(Self { fresh: *fresh == 1, token: token.try_into().ok()? })
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

    fn trail(at: u16, again: u16, fresh: &[u16]) -> Trail {
        let from = |port| SocketAddr::from(([203, 0, 113, 7], port));
        let mut trail = Trail::new(from(at));
        assert_eq!(trail.mapping(), Mapping::Unknown);
        trail.probed(from(again), false);
        for port in fresh {
            trail.probed(from(*port), true);
        }
        trail
    }

    #[test]
    fn a_mapping_is_told_from_two_ports_of_the_server() {
        assert_eq!(trail(9_000, 9_000, &[]).mapping(), Mapping::Independent);
        // Another socket has another port behind any translator.
        assert_eq!(trail(9_000, 9_000, &[9_001]).mapping(), Mapping::Independent);
        for (again, fresh, step) in [
            (9_001, 9_002, Some(1)),
            (9_002, 9_006, Some(2)),
            (8_744, 8_488, Some(-256)),
            (9_010, 9_026, Some(2)),
            (9_010, 9_027, None),
            (9_001, 9_000, None),
            (9_001, 19_000, None),
            (40_000, 9_002, None),
        ] {
            let mapping = trail(9_000, again, &[fresh]).mapping();
            assert_eq!(mapping, Mapping::Dependent { step }, "{again} {fresh}");
        }
    }

    #[test]
    fn the_next_ports_follow_the_newest_one() {
        let ports = |trail: Trail| {
            let predicted = trail.predicted(3).into_iter();
            predicted.map(|address| address.port()).collect::<Vec<_>>()
        };
        assert_eq!(ports(trail(9_000, 9_000, &[9_001])), []);
        assert_eq!(ports(trail(9_000, 9_001, &[])), []);
        assert_eq!(ports(trail(9_000, 9_001, &[9_002])), [9_003, 9_004, 9_005]);
        assert_eq!(ports(trail(9_000, 9_001, &[9_002, 9_010])), [9_011, 9_012, 9_013]);
        assert_eq!(ports(trail(9_000, 9_001, &[9_002, 9_500])), [], "too many others");
        assert_eq!(ports(trail(65_000, 65_256, &[65_512])), [], "there are no more");
        assert_eq!(ports(trail(1_800, 1_544, &[1_288])), [1_032]);
    }

    #[test]
    fn what_comes_again_is_no_news() {
        let mut trail = trail(9_000, 9_001, &[9_002]);
        for known in [trail.at, trail.again.unwrap()] {
            assert!(!trail.probed(known, true));
        }
        let from = SocketAddr::from(([203, 0, 113, 7], 9_003));
        assert!(!trail.probed(from, true));
        let (again, step) = (trail.again.unwrap(), trail.step);
        assert!(!trail.probed(again, false));
        assert_eq!(trail.step, step, "nothing that is known is taken back");
        assert!(trail.probed(from, false));
    }

    #[test]
    fn what_an_older_socket_says_again_takes_no_port_back() {
        let mut trail = trail(9_000, 9_001, &[9_002, 9_005]);
        let from = |port| SocketAddr::from(([203, 0, 113, 7], port));
        assert!(!trail.probed(from(9_003), true));
        assert!(!trail.probed(from(9_002), true));
        assert_eq!(trail.predicted(1), [from(9_006)]);
    }

    #[test]
    fn gaps_of_two_steps_each_do_not_make_the_step_longer() {
        let mut trail = trail(9_000, 9_001, &[9_002]);
        let from = |port| SocketAddr::from(([203, 0, 113, 7], port));
        for port in [9_004, 9_006, 9_008, 9_011] {
            assert!(!trail.probed(from(port), true), "{port}");
        }
        // Once they are so far apart that nobody can foresee them with the step of before, the last three say it alone.
        trail.probed(from(9_311), true);
        assert_eq!(trail.step, None);
        trail.probed(from(9_611), true);
        assert_eq!(trail.step, Some(300));
        trail.probed(from(9_761), true);
        assert_eq!(trail.step, Some(150));
    }

    #[test]
    fn ports_are_regular_as_long_as_the_last_three_are() {
        let mut trail = trail(9_000, 9_001, &[9_002]);
        let from = |port| SocketAddr::from(([203, 0, 113, 7], port));
        assert!(trail.probed(from(40_000), true), "they were by lot, and have looked regular");
        assert_eq!(trail.mapping(), Mapping::Dependent { step: None });
        assert!(!trail.probed(from(40_010), true));
        assert!(trail.probed(from(40_020), true), "or these are");
        assert_eq!(trail.predicted(1), [from(40_030)]);
        // The last port of all.
        assert!(trail.probed(from(2_000), true));
        assert_eq!(trail.predicted(1), []);
    }

    #[test]
    fn ports_by_lot_hardly_ever_look_regular() {
        let mut lots = 1_u64;
        let mut lot = || {
            lots = lots.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            1_024 + u16::try_from((lots >> 33) % 64_512).unwrap()
        };
        let looks_regular = |_: &u32| {
            let ports = [lot(), lot(), lot(), lot()];
            trail(ports[0], ports[1], &ports[2..]).step.is_some()
        };
        let regular = (0..100_000).filter(looks_regular).count();
        // At most 2 x 159 coprime pairs of gaps for each of 4,096 steps, of 64,512 x 64,512 pairs: 31 expected.
        assert!(regular < 50, "{regular}");
    }

    #[test]
    fn a_probe_is_read_as_it_was_written() {
        for fresh in [false, true] {
            let probe = Probe { fresh, token: [7; 16] };
            assert_eq!(Probe::decode(&probe.encode()), Some(probe));
        }
        assert_eq!(Probe::decode(&[0; PROBE_BYTES - 1]), None);
        assert_eq!(Probe::decode(&[2; PROBE_BYTES]), None);
        assert_eq!(Probe::decode(&[]), None);
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
