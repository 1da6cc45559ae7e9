//! A laboratory of networks: real kernel NATs in network namespaces, on which the shipped binaries run.
//!
//! A server with two public addresses, and homes of every [`Kind`], all plugged into one internet with
//! delay and loss. It takes root, and exists on Linux only.

mod home;
mod housemate;
mod igd;
mod internet;
mod kind;
mod meeting;
mod mishap;
mod namespace;
mod natpmp;
mod rules;
mod table;

use std::{
    env, fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::atomic::{AtomicU8, Ordering},
    time::Duration,
};

pub use self::{
    home::Home,
    housemate::Housemate,
    internet::Conditions,
    kind::Kind,
    meeting::{Ending, Meeting},
    mishap::Mishap,
    table::{Expected, cell, expected, named_pairs},
};
use self::{
    internet::{Internet, Plug, Prefix},
    namespace::Namespace,
};
use crate::lab::{Lab, Server};

/// Where the server is.
pub(crate) const SERVER_V4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);

/// Its second address, from which it can tell how a home's router maps.
const SERVER_V4_SECOND: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 11);

const SERVER_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xf, 0, 0, 0, 0, 0x10);

const SERVER_PORT: u16 = 4433;

/// Homes that fit into the plan of addresses.
const HOMES_MAX: u8 = 60;

/// The networks of one test.
#[derive(Debug)]
pub struct NatLab {
    internet: Internet,
    cloud: Namespace,
    _uplink: Plug,
    conditions: Conditions,
    homes: AtomicU8,
}

impl NatLab {
    /// An internet on which a round trip between any two machines takes `round_trip`. `None`, with the
    /// reason printed, where there is no way to make one.
    ///
    /// # Panics
    /// Where there is no way and `HITHER_NATLAB` says `required`, as it does in CI.
    #[must_use]
    pub fn new(round_trip: Duration, loss: f64) -> Option<Self> {
        if let Some(reason) = missing() {
            skip(&reason);
            return None;
        }
        // A round trip passes four uplinks.
        let conditions = Conditions { one_way: round_trip / 4, loss, ..Conditions::default() };
        let internet = Internet::new(0x9e37_79b9_7f4a_7c15);
        let cloud = Namespace::new();
        let served =
            [Prefix::one(SERVER_V4), Prefix::one(SERVER_V4_SECOND), Prefix::one(SERVER_V6)];
        let uplink = internet.uplink(&cloud, "wan", &served, conditions);
        cloud.ip(&format!(
            "address add {SERVER_V4}/32 dev wan
             address add {SERVER_V4_SECOND}/32 dev wan
             address add {SERVER_V6}/128 dev wan nodad
             route add default dev wan
             route add ::/0 dev wan"
        ));
        Some(Self { internet, cloud, _uplink: uplink, conditions, homes: AtomicU8::new(0) })
    }

    /// The kinds of [`Kind::ALL`] that there can be here, with the reason printed for the others: routers that keep ports
    /// take a daemon.
    ///
    /// # Panics
    /// As [`Self::new`].
    #[must_use]
    pub fn kinds() -> Vec<Kind> {
        let mut kinds = Kind::ALL.to_vec();
        if !has("miniupnpd") {
            skip("there is no `miniupnpd` (Debian: miniupnpd-nftables)");
            kinds.retain(|kind| kind.keeps_ports_by().is_none());
        }
        kinds
    }

    /// A new home.
    #[must_use]
    #[track_caller]
    pub fn home(&self, kind: Kind) -> Home {
        Home::new(kind, self.number(), &self.internet, self.conditions, None)
    }

    /// A new home whose router is as far from its machine as a carrier's is from a phone.
    #[must_use]
    #[track_caller]
    pub fn distant_home(&self, kind: Kind, one_way: Duration) -> Home {
        let access = Conditions { one_way, ..Conditions::default() };
        Home::new(kind, self.number(), &self.internet, self.conditions, Some(access))
    }

    /// A server on this internet.
    #[must_use]
    #[track_caller]
    pub fn server(&self, lab: &Lab) -> Server {
        let everywhere = SocketAddr::from((Ipv6Addr::UNSPECIFIED, SERVER_PORT));
        self.cloud.within(|| lab.server_at(everywhere))
    }

    /// The link to that server for somebody in a home of this kind.
    #[must_use]
    pub fn link(&self, server: &Server, kind: Kind) -> String {
        let address: IpAddr = if kind.has_ipv4() { SERVER_V4.into() } else { SERVER_V6.into() };
        server.link_at((address, SERVER_PORT).into())
    }

    /// Where the server's machine is in IPv4.
    #[must_use]
    pub const fn server_addresses() -> [Ipv4Addr; 2] {
        [SERVER_V4, SERVER_V4_SECOND]
    }

    /// Does something on the server's machine.
    pub fn within_cloud<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.cloud.within(work)
    }

    fn number(&self) -> u8 {
        let number = self.homes.fetch_add(1, Ordering::Relaxed);
        assert!(number < HOMES_MAX, "at most {HOMES_MAX} homes");
        number
    }
}

/// Says why there is no laboratory, or less than the whole.
fn skip(reason: &str) {
    let required = env::var_os("HITHER_NATLAB").is_some_and(|value| value == "required");
    assert!(!required, "the laboratory of networks is required, but {reason}");
    println!("skipped: {reason}");
}

fn has(command: &str) -> bool {
    let paths = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&paths).any(|path| path.join(command).exists())
}

/// Why there is no way to make a laboratory here, if there is none.
fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("networks take root".to_owned());
    }
    if fs::metadata("/dev/net/tun").is_err() {
        return Some("the kernel has no TUN devices".to_owned());
    }
    let absent = ["ip", "nft", "conntrack"].into_iter().find(|command| !has(command))?;
    Some(format!("there is no `{absent}` (Debian: iproute2, nftables, conntrack)"))
}
