//! An address translator in the terms of RFC 4787.

use std::{
    collections::{HashMap, HashSet},
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

/// The first public address of translators.
pub(super) const TRANSLATORS: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 0);

/// The first port that a sequential translator gives away.
const FIRST_PORT: u16 = 40_000;

/// The lowest port that a random one does.
const LOWEST_PORT: u16 = 1024;

/// How an outer port is chosen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mapping {
    /// The same for every destination.
    Independent,
    /// Another for every destination, by lot.
    Random,
    /// Another for every destination, one after the other.
    Sequential,
}

/// From whom packets are let in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Filtering {
    /// From everybody.
    Independent,
    /// From addresses that were sent to.
    Address,
    /// From addresses and ports that were sent to.
    AddressAndPort,
    /// The same, and a packet that has come before anything was sent holds the port against its own flow, which
    /// leaves from another one, as does whatever the same socket sends to others from then on: what routers do that take
    /// such a packet for themselves.
    Spoilt,
}

/// What a translator does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Behaviour {
    /// How it chooses outer ports.
    pub mapping: Mapping,
    /// Whom it lets in.
    pub filtering: Filtering,
}

#[derive(Debug)]
pub(super) struct Nat {
    behaviour: Behaviour,
    next: u16,
    /// The outer port of a flow; the destination counts unless mapping is independent of it.
    outer: HashMap<(SocketAddr, Option<SocketAddr>), u16>,
    inner: HashMap<u16, SocketAddr>,
    /// To whom something was sent from an outer port, and when last.
    sent: HashMap<(u16, SocketAddr), Duration>,
    /// Who has come too early.
    spoilt: HashSet<(u16, SocketAddr)>,
    /// The ports of those to whom that has happened.
    moved: HashMap<SocketAddr, u16>,
    /// How long a flow is remembered after its last packet to the outside; for ever, if nothing is said.
    pub(super) memory: Option<Duration>,
}

impl Nat {
    pub(super) fn new(behaviour: Behaviour) -> Self {
        let (outer, inner, sent) = (HashMap::new(), HashMap::new(), HashMap::new());
        let (spoilt, moved, memory) = (HashSet::new(), HashMap::new(), None);
        Self { behaviour, next: FIRST_PORT, outer, inner, sent, spoilt, moved, memory }
    }

    /// The outer port of a packet that leaves. `lot` is a number from nought to one.
    pub(super) fn outward(
        &mut self,
        now: Duration,
        from: SocketAddr,
        to: SocketAddr,
        lot: f64,
    ) -> u16 {
        self.forget(now);
        let dependent = self.behaviour.mapping != Mapping::Independent;
        let mut port = self.mapped((from, dependent.then_some(to)), lot);
        let new = !self.sent.contains_key(&(port, to));
        if self.spoilt.contains(&(port, to)) || new && self.moved.contains_key(&from) {
            port = match self.moved.get(&from) {
                Some(moved) => *moved,
                None => self.map((from, Some(to)), lot),
            };
            self.moved.insert(from, port);
        }
        self.sent.insert((port, to), now);
        port
    }

    /// Whom a packet that arrives at an outer port is for, if it may come in.
    pub(super) fn inward(
        &mut self,
        now: Duration,
        from: SocketAddr,
        port: u16,
    ) -> Option<SocketAddr> {
        self.forget(now);
        let may = match self.behaviour.filtering {
            Filtering::Independent => true,
            Filtering::Address => {
                self.sent.keys().any(|(own, to)| *own == port && to.ip() == from.ip())
            }
            Filtering::AddressAndPort | Filtering::Spoilt => self.sent.contains_key(&(port, from)),
        };
        if !may && self.behaviour.filtering == Filtering::Spoilt {
            self.spoilt.insert((port, from));
        }
        may.then(|| self.inner.get(&port).copied())?
    }

    /// Forgets what has been silent for too long.
    fn forget(&mut self, now: Duration) {
        let Some(memory) = self.memory else { return };
        self.sent.retain(|_, last| *last + memory > now);
        let used: HashSet<u16> = self.sent.keys().map(|(port, _)| *port).collect();
        self.outer.retain(|_, port| used.contains(port));
        self.inner.retain(|port, _| used.contains(port));
    }

    fn mapped(&mut self, flow: (SocketAddr, Option<SocketAddr>), lot: f64) -> u16 {
        match self.outer.get(&flow) {
            Some(port) => *port,
            None => self.map(flow, lot),
        }
    }

    fn map(&mut self, flow: (SocketAddr, Option<SocketAddr>), lot: f64) -> u16 {
        let mut port = match self.behaviour.mapping {
            Mapping::Independent => flow.0.port(),
            Mapping::Random => LOWEST_PORT + (f64::from(u16::MAX - LOWEST_PORT) * lot) as u16,
            Mapping::Sequential => {
                self.next += 1;
                self.next
            }
        };
        while self.inner.contains_key(&port) {
            port = port.checked_add(1).unwrap_or(LOWEST_PORT);
        }
        self.outer.insert(flow, port);
        self.inner.insert(port, flow.0);
        port
    }
}
