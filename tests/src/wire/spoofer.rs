//! Somebody beside the wire, who sees none of it and writes in the name of either end.

use std::net::{IpAddr, SocketAddr};

use rustix::{
    fd::OwnedFd,
    io,
    net::{AddressFamily, SendFlags, SocketFlags, SocketType, ipproto, sendto, socket_with},
};

const UDP: u8 = 17;
const HOPS: u8 = 64;
const UDP_HEADER_BYTES: usize = 8;

/// Writes datagrams that claim to come from any address.
#[derive(Debug)]
pub struct Spoofer {
    ipv4: OwnedFd,
    ipv6: OwnedFd,
}

impl Spoofer {
    /// `None`, with the reason printed, for whoever may not write what they like.
    #[must_use]
    pub fn new() -> Option<Self> {
        let sockets = || io::Result::Ok((raw(AddressFamily::INET)?, raw(AddressFamily::INET6)?));
        let sockets = sockets().inspect_err(|error| println!("skipped: no raw socket: {error}"));
        let (ipv4, ipv6) = sockets.ok()?;
        Some(Self { ipv4, ipv6 })
    }

    /// Writes to `to` as if it were `from`, which is of the same family.
    ///
    /// # Panics
    /// If it is not, or the kernel does not take it.
    pub fn writes(&self, from: SocketAddr, to: SocketAddr, datagram: &[u8]) {
        let raw = if to.is_ipv4() { &self.ipv4 } else { &self.ipv6 };
        let there = SocketAddr::new(to.ip(), 0);
        sendto(raw, &packet(from, to, datagram), SendFlags::empty(), &there).unwrap();
    }
}

/// A socket whose packets are sent as they are, headers included.
fn raw(family: AddressFamily) -> io::Result<OwnedFd> {
    socket_with(family, SocketType::RAW, SocketFlags::CLOEXEC, Some(ipproto::RAW))
}

/// An IP packet with a UDP datagram in it. The kernel adds the length and the checksum of an IPv4 header.
fn packet(from: SocketAddr, to: SocketAddr, datagram: &[u8]) -> Vec<u8> {
    let udp_bytes = u16::try_from(UDP_HEADER_BYTES + datagram.len()).unwrap();
    let (mut packet, ends) = match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => (
            vec![0x45, 0, 0, 0, 0, 0, 0, 0, HOPS, UDP, 0, 0],
            [from.octets(), to.octets()].concat(),
        ),
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let [high, low] = udp_bytes.to_be_bytes();
            (vec![0x60, 0, 0, 0, high, low, UDP, HOPS], [from.octets(), to.octets()].concat())
        }
        _ => panic!("of different families"),
    };
    let ports = [from.port().to_be_bytes(), to.port().to_be_bytes()].concat();
    let udp =
        |sum: u16| [&ports, &udp_bytes.to_be_bytes()[..], &sum.to_be_bytes(), datagram].concat();
    let pseudo = [&ends[..], &udp_bytes.to_be_bytes(), &[0, UDP], &udp(0)].concat();
    packet.extend(ends);
    packet.extend(udp(checksum(&pseudo)));
    packet
}

/// The checksum of the Internet (RFC 1071); zero is written as its other form.
fn checksum(bytes: &[u8]) -> u16 {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
    let mut sum: u32 = bytes.chunks(2).map(word).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    match !(sum as u16) {
        0 => 0xffff,
        sum => sum,
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;
    use crate::lab::DEADLINE;

    #[test]
    fn what_is_spoofed_arrives_as_from_whom_it_claims() {
        let Some(spoofer) = Spoofer::new() else { return };
        for place in ["127.0.0.1:0", "[::1]:0"] {
            let [one, other] = [0, 1].map(|_| UdpSocket::bind(place).unwrap());
            other.set_read_timeout(Some(DEADLINE)).unwrap();
            let from = one.local_addr().unwrap();
            for said in [&b"as if"[..], b"even"] {
                spoofer.writes(from, other.local_addr().unwrap(), said);
                let mut buffer = [0; 16];
                let (length, claimed) = other.recv_from(&mut buffer).unwrap();
                assert_eq!((&buffer[..length], claimed), (said, from));
            }
        }
    }
}
