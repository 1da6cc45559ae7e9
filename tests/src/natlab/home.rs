//! A home: a machine, its router, and the carrier's router where there is one.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{
    igd::Igd,
    internet::{Conditions, Internet, Plug, Prefix},
    kind::{Kind, Mapping},
    namespace::{Namespace, run},
    rules::rules,
};

/// A machine behind whatever its kind of home has in front of it.
///
/// The machine has the same private address in every home, as many machines in the world do.
#[derive(Debug)]
pub struct Home {
    kind: Kind,
    number: u8,
    /// How often it got another public address.
    moved: u8,
    machine: Namespace,
    router: Namespace,
    carrier: Option<Namespace>,
    uplink: Plug,
    /// What keeps ports on the router, where something does.
    igd: Option<Igd>,
    /// The delayed link to its own router, where there is one.
    _access: Option<[Plug; 2]>,
}

impl Home {
    /// A home of its own number, plugged in. `access` is how far away its own router is.
    #[track_caller]
    pub(super) fn new(
        kind: Kind,
        number: u8,
        internet: &Internet,
        uplink: Conditions,
        access: Option<Conditions>,
    ) -> Self {
        let (machine, router) = (Namespace::new(), Namespace::router());
        let carrier = kind.carrier().map(|_| Namespace::router());
        let outermost = carrier.as_ref().unwrap_or(&router);
        let plug = internet.uplink(outermost, "wan", &serves(kind, number, 0), uplink);
        outermost.ip("route add default dev wan\nroute add ::/0 dev wan");
        let access = match access {
            Some(conditions) => {
                Some(internet.cable([(&machine, "eth0"), (&router, "lan")], conditions))
            }
            None => {
                veth(&machine, "eth0", &router, "lan");
                None
            }
        };
        let (uplink, _access) = (plug, access);
        let igd = None;
        let mut home =
            Self { kind, number, moved: 0, machine, router, carrier, uplink, igd, _access };
        home.carrier_addresses();
        home.machine_addresses();
        home.takes_address();
        home
    }

    /// What kind it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Does something on the machine there. Processes started so stay there.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.machine.within(work)
    }

    /// The machine, with all that runs on it, leaves for another home and takes the place of the one there.
    #[must_use]
    #[track_caller]
    pub fn moves_to(self, other: Self) -> Self {
        self.machine.ip("link delete eth0");
        other.machine.ip("link delete eth0");
        let home = Self { machine: self.machine, _access: None, ..other };
        veth(&home.machine, "eth0", &home.router, "lan");
        home.machine_addresses();
        home
    }

    /// The outermost router starts anew: it knows no flow any more, and has another public address.
    #[track_caller]
    pub fn reboots(&mut self) {
        let before = self.outer();
        self.moved += 1;
        self.uplink.serves(&serves(self.kind, self.number, self.moved));
        self.takes_address();
        // Only now: with its last address a device loses its routes.
        self.outermost().ip(&format!("address delete {before}/32 dev wan"));
        self.forgets();
    }

    /// The outermost router forgets every flow, and keeps its address.
    #[track_caller]
    pub fn forgets(&self) {
        self.outermost().within(|| run("conntrack", &["-F"], ""));
    }

    /// The outermost router forgets its flows to another home.
    #[track_caller]
    pub fn forgets_flows_to(&self, other: &Self) {
        let outer = other.outer().to_string();
        // It fails if there is none.
        self.outermost().within(|| run("conntrack", &["-D", "-p", "udp", "-d", &outer], ""));
    }

    /// The outermost router forgets its flows to and from another home, if it has any and is one that keeps any.
    #[track_caller]
    pub fn forgets_flows_with(&self, other: &Self) {
        let outer = other.outer();
        let forgotten = format!(
            "for end in -d -s; do conntrack -D -p udp $end {outer} || test $? = 1 || exit 2; done"
        );
        self.outermost().within(|| run("sh", &["-c", &forgotten], ""));
    }

    /// The outermost router forgets a silent flow after so many seconds.
    #[track_caller]
    pub fn remembers_for(&self, seconds: u32) {
        let outermost = self.outermost();
        for which in ["udp_timeout", "udp_timeout_stream"] {
            outermost.sets(&format!("netfilter/nf_conntrack_{which}"), &seconds.to_string());
        }
    }

    /// The router is told by hand to send a port to the machine.
    #[track_caller]
    pub fn forwards(&self, port: u16) {
        let (inside, ..) = inside(self.kind, self.number);
        self.router.nft(&format!(
            "table ip forwarded {{
               chain pre {{
                 type nat hook prerouting priority -110; policy accept;
                 iifname wan udp dport {port} dnat to {inside};
               }}
             }}"
        ));
    }

    /// How many ports the router keeps open.
    #[must_use]
    #[track_caller]
    pub fn kept_ports(&self) -> usize {
        Igd::kept(&self.router)
    }

    /// What befalls packets between the home and the internet from now on.
    pub fn uplink_is_now(&self, conditions: Conditions) {
        self.uplink.is_now(conditions);
    }

    pub(super) const fn router(&self) -> &Namespace {
        &self.router
    }

    fn outermost(&self) -> &Namespace {
        self.carrier.as_ref().unwrap_or(&self.router)
    }

    fn outer(&self) -> Ipv4Addr {
        outer(self.number, self.moved)
    }

    /// Gives the outermost router its public address and, with it, its rules.
    #[track_caller]
    fn takes_address(&mut self) {
        let outermost = self.outermost();
        if self.kind.has_ipv4() {
            outermost.ip(&format!("address add {}/32 dev wan", self.outer()));
        }
        let behaviour = self.kind.carrier().unwrap_or(self.kind.router());
        outermost.nft(&rules(behaviour, self.outer()));
        // With the rules, whatever it kept is gone.
        drop(self.igd.take());
        self.igd = self.kind.keeps_ports().map(|protocol| Igd::start(&self.router, protocol));
    }

    /// Between the two routers, where there are two.
    #[track_caller]
    fn carrier_addresses(&self) {
        let Self { kind, number, router, .. } = self;
        if let Some(carrier) = &self.carrier {
            veth(carrier, "lan", router, "wan");
            carrier.ip(&format!("address add 100.64.{number}.1/24 dev lan"));
            router.ip(&format!(
                "address add 100.64.{number}.2/24 dev wan
                 route add default via 100.64.{number}.1"
            ));
            router.nft(&rules(kind.router(), Ipv4Addr::new(100, 64, *number, 2)));
        }
    }

    /// Between the machine and its router.
    #[track_caller]
    fn machine_addresses(&self) {
        let Self { kind, number, machine, router, .. } = self;
        if kind.has_ipv4() {
            let (inside, gateway, bits) = inside(*kind, *number);
            router.ip(&format!("address add {gateway}/{bits} dev lan"));
            machine.ip(&format!(
                "address add {inside}/{bits} dev eth0
                 route add default via {gateway}"
            ));
        }
        if kind.has_ipv6() {
            let [gateway, inside] = [1, 2].map(|host| six(*number, host));
            router.ip(&format!("address add {gateway}/64 dev lan nodad"));
            machine.ip(&format!(
                "address add {inside}/64 dev eth0 nodad
                 route add ::/0 via {gateway}"
            ));
        }
    }
}

/// A cable without delay between a device on each of two machines.
#[track_caller]
pub(super) fn veth(one: &Namespace, first: &str, other: &Namespace, second: &str) {
    one.ip(&format!(
        "link add {first} type veth peer name {second} netns {}
         link set {first} up",
        other.path()
    ));
    other.ip(&format!("link set {second} up"));
}

/// The public address of the outermost router.
fn outer(number: u8, moved: u8) -> Ipv4Addr {
    Ipv4Addr::new(203, 0, 113 + moved, 20 + number)
}

/// The machine's own address, its router's, and the length of what they share.
fn inside(kind: Kind, number: u8) -> (Ipv4Addr, Ipv4Addr, u32) {
    if kind.router().mapping == Mapping::Untranslated {
        let address = |host| Ipv4Addr::new(198, 51, 100, 4 * number + host);
        (address(2), address(1), 30)
    } else {
        (Ipv4Addr::new(192, 168, 1, 2), Ipv4Addr::new(192, 168, 1, 1), 24)
    }
}

fn six(number: u8, host: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0x1000 + u16::from(number), 1, 0, 0, 0, host)
}

/// What of the internet leads to a home.
fn serves(kind: Kind, number: u8, moved: u8) -> Vec<Prefix> {
    let mut prefixes = vec![Prefix::one(outer(number, moved))];
    if kind.router().mapping == Mapping::Untranslated && kind.has_ipv4() {
        prefixes.push(Prefix::new(inside(kind, number).0.into(), 30));
    }
    if kind.has_ipv6() {
        prefixes.push(Prefix::new(six(number, 0).into(), 64));
    }
    prefixes
}
