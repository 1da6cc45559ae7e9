//! How an end is found whose translator shows it to each of its peers at a port that nobody can know: it opens many
//! sockets, and the other end knocks at ports by lot until one of them hears it (a birthday problem).

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use crate::{
    crypto::rng::Rng,
    knock::{KNOCK_BYTES, Knock},
    limits::{GUESS_BURST, GUESS_KNOCKS, GUESS_PERIOD},
    reach::{Mapping, Scope},
};

/// What an end does so that the two find each other.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Part {
    /// It knocks at ports of this address, by lot.
    Knocks(IpAddr),
    /// It opens sockets towards this address, and dials from the one that hears a knock.
    Listens(SocketAddr),
    /// It dials this address from a fresh socket, which has the next port, where it is foreseen. One that has been there
    /// before keeps the port that it had then.
    Dials(SocketAddr),
}

impl Part {
    /// The part of an end with this mapping. Of the other one the server says whether its mapping is
    /// `dependent`, and where it has `seen` it, or foresees it.
    ///
    /// Nothing is guessed where both are dependent, which would take tens of thousands of datagrams from
    /// each, nor where one is and can be foreseen.
    pub fn of(mine: Mapping, dependent: bool, seen: &[SocketAddr]) -> Option<Self> {
        let (first, rest) = seen.split_first()?;
        let public = first.is_ipv4() && Scope::of(first.ip()) == Scope::Global;
        let foreseen = rest.iter().any(|next| next.ip() == first.ip());
        match (mine, dependent) {
            _ if !public => None,
            (Mapping::Dependent { step: None }, false) => Some(Self::Listens(*first)),
            (Mapping::Dependent { step: Some(_) }, false) => Some(Self::Dials(*first)),
            (Mapping::Independent | Mapping::Unknown, true) if !foreseen => {
                Some(Self::Knocks(first.ip()))
            }
            _ => None,
        }
    }
}

/// The lowest port that translators give to anybody.
const PORT_MIN: u16 = 1_024;

/// How many there are from there on.
const PORTS: u32 = 65_536 - PORT_MIN as u32;

/// Ports by lot, and when each is due, counted from the first. None comes twice.
#[derive(Debug)]
pub struct Ports {
    at: u32,
    stride: u32,
    number: u32,
}

impl Ports {
    /// An order of its own.
    pub fn new(rng: &mut Rng) -> Self {
        let mut lot = || u32::from_le_bytes(rng.bytes()) % PORTS;
        let (at, mut stride) = (lot(), lot());
        // A walk round all ports comes to each of them if its steps share no divisor with their number.
        while divisor(stride, PORTS) != 1 {
            stride = (stride + 1) % PORTS;
        }
        Self { at, stride, number: 0 }
    }
}

impl Iterator for Ports {
    type Item = (Duration, u16);

    fn next(&mut self) -> Option<Self::Item> {
        if self.number >= GUESS_KNOCKS {
            return None;
        }
        let due = GUESS_PERIOD * self.number.saturating_sub(GUESS_BURST - 1);
        let port = u16::try_from(self.at).ok()?.checked_add(PORT_MIN)?;
        self.number += 1;
        self.at = (self.at + self.stride) % PORTS;
        Some((due, port))
    }
}

fn divisor(mut one: u32, mut other: u32) -> u32 {
    while other != 0 {
        (one, other) = (other, one % other);
    }
    one
}

/// Bytes of a knock as a datagram of its own: too few for QUIC, which drops it and says nothing.
pub const DATAGRAM_BYTES: usize = 1 + KNOCK_BYTES;

/// What opens a translator for answers, and tells nothing to whoever gets it.
pub const OPENER: [u8; 1] = [0];

/// A knock as a datagram.
pub fn encode(knock: &Knock) -> [u8; DATAGRAM_BYTES] {
    let mut datagram = [0; DATAGRAM_BYTES];
    datagram[1..].copy_from_slice(&knock.0);
    datagram
}

/// What [`encode`] has made.
pub fn decode(datagram: &[u8]) -> Option<Knock> {
    let [0, knock @ ..] = datagram else { return None };
    knock.try_into().ok().map(Knock)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::crypto::secret::Secret;

    fn rng(seed: u8) -> Rng {
        Rng::from_seed(Secret::new([seed; 32]))
    }

    #[test]
    fn one_end_knocks_and_the_other_listens_where_only_one_is_dependent() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let (one, next) = (at("203.0.113.7:9"), at("203.0.113.7:10"));
        let home = at("192.168.1.2:9");
        let (by_lot, regular) =
            (Mapping::Dependent { step: None }, Mapping::Dependent { step: Some(1) });
        let knocks = Some(Part::Knocks(one.ip()));
        for (mine, dependent, seen, part) in [
            (Mapping::Independent, true, &[one][..], knocks),
            (Mapping::Unknown, true, &[one, home], knocks),
            (Mapping::Independent, true, &[one, next], None),
            (Mapping::Independent, false, &[one], None),
            (by_lot, false, &[one], Some(Part::Listens(one))),
            (by_lot, true, &[one], None),
            (regular, false, &[one], Some(Part::Dials(one))),
            (regular, true, &[one, next], None),
            (by_lot, false, &[home], None),
            (Mapping::Independent, true, &[at("[2001:db8::1]:9")], None),
            (Mapping::Independent, true, &[], None),
        ] {
            assert_eq!(Part::of(mine, dependent, seen), part, "{mine:?} {dependent} {seen:?}");
        }
    }

    #[test]
    fn no_port_comes_twice_and_none_too_early() {
        for seed in 0..50 {
            let ports: Vec<_> = Ports::new(&mut rng(seed)).collect();
            let different: BTreeSet<_> = ports.iter().map(|(_, port)| *port).collect();
            assert_eq!(different.len(), GUESS_KNOCKS as usize);
            assert!(different.first().is_some_and(|port| *port >= PORT_MIN));
            for (number, (due, _)) in (0..).zip(&ports) {
                let late = (number + 1_u32).saturating_sub(GUESS_BURST);
                assert_eq!(*due, GUESS_PERIOD * late);
            }
        }
        let first = |seed| Ports::new(&mut rng(seed)).next();
        assert_ne!(first(1), first(2));
    }

    #[test]
    fn a_knock_is_read_as_it_was_written() {
        let knock = Knock([7; KNOCK_BYTES]);
        assert_eq!(decode(&encode(&knock)), Some(knock));
        assert_eq!(decode(&OPENER), None);
        assert_eq!(decode(&[0; DATAGRAM_BYTES - 1]), None);
        assert_eq!(decode(&[1; DATAGRAM_BYTES]), None);
        assert_eq!(decode(&[]), None);
    }
}
