//! An address translator in the terms of RFC 4787.

use std::{
    collections::{HashMap, HashSet},
    net::{Ipv4Addr, SocketAddr},
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
    sent: HashSet<(u16, SocketAddr)>,
}

impl Nat {
    pub(super) fn new(behaviour: Behaviour) -> Self {
        let (outer, inner, sent) = (HashMap::new(), HashMap::new(), HashSet::new());
        Self { behaviour, next: FIRST_PORT, outer, inner, sent }
    }

    /// The outer port of a packet that leaves. `lot` is a number from nought to one.
    pub(super) fn outward(&mut self, from: SocketAddr, to: SocketAddr, lot: f64) -> u16 {
        let dependent = self.behaviour.mapping != Mapping::Independent;
        let flow = (from, dependent.then_some(to));
        let port = match self.outer.get(&flow) {
            Some(port) => *port,
            None => self.map(flow, lot),
        };
        self.sent.insert((port, to));
        port
    }

    /// Whom a packet that arrives at an outer port is for, if it may come in.
    pub(super) fn inward(&self, from: SocketAddr, port: u16) -> Option<SocketAddr> {
        let may = match self.behaviour.filtering {
            Filtering::Independent => true,
            Filtering::Address => {
                self.sent.iter().any(|(own, to)| *own == port && to.ip() == from.ip())
            }
            Filtering::AddressAndPort => self.sent.contains(&(port, from)),
        };
        may.then(|| self.inner.get(&port).copied())?
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
