//! Whether the homes of the laboratory are what they are called: mapping and filtering as RFC 5780 finds them.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use hither_tests::natlab::{Home, Kind, NatLab};

/// Long enough for a datagram to arrive that is let in, if it is: what says so is that it does not.
const PATIENCE: Duration = Duration::from_millis(400);

/// How long a busy machine may take over one that is sure to arrive.
const SURE: Duration = Duration::from_secs(10);

const PORTS: [u16; 2] = [5000, 5001];

#[derive(Debug, PartialEq)]
enum Mapping {
    Independent,
    Dependent,
    /// Dependent, and each port one more than the last.
    Sequential,
}

#[derive(Debug, PartialEq)]
enum Filtering {
    Independent,
    Address,
    AddressAndPort,
}

#[test]
fn every_home_maps_and_filters_as_its_kind_says() {
    let Some(net) = NatLab::new(Duration::ZERO, 0.0) else { return };
    let server = Server::of(&net);
    for (kind, mapping, filtering) in [
        (Kind::Open, Mapping::Independent, Filtering::Independent),
        (Kind::Firewall, Mapping::Independent, Filtering::AddressAndPort),
        (Kind::FullCone, Mapping::Independent, Filtering::Independent),
        (Kind::AddressRestricted, Mapping::Independent, Filtering::Address),
        (Kind::PortRestricted, Mapping::Independent, Filtering::AddressAndPort),
        (Kind::CarrierFullCone, Mapping::Independent, Filtering::AddressAndPort),
        (Kind::CarrierPortRestricted, Mapping::Independent, Filtering::AddressAndPort),
        (Kind::Symmetric, Mapping::Dependent, Filtering::AddressAndPort),
        (Kind::Sequential, Mapping::Sequential, Filtering::AddressAndPort),
        (Kind::CarrierSymmetric, Mapping::Dependent, Filtering::AddressAndPort),
        (Kind::DualStack, Mapping::Dependent, Filtering::AddressAndPort),
    ] {
        let home = net.home(kind);
        assert_eq!(server.mapping(&home), mapping, "{kind}");
        assert_eq!(server.filtering(&home), filtering, "{kind}");
    }
    let home = net.home(Kind::NoUdp);
    let inside = socket_in(&home);
    let _ = server.sees(&inside, 0, 0);
    inside.send_to(b"?", server.address(1, 0)).unwrap();
    assert_eq!(receive(&server.sockets[1][0]), None, "nothing but the server can be reached");
}

/// Two addresses with two ports each.
struct Server {
    sockets: [[UdpSocket; 2]; 2],
    addresses: [Ipv4Addr; 2],
}

impl Server {
    fn of(net: &NatLab) -> Self {
        let addresses = NatLab::server_addresses();
        let bind = |address| PORTS.map(|port| socket(SocketAddr::from((address, port))));
        let sockets = net.within_cloud(|| addresses.map(bind));
        Self { sockets, addresses }
    }

    fn address(&self, address: usize, port: usize) -> SocketAddr {
        (self.addresses[address], PORTS[port]).into()
    }

    /// Where one of the server's sockets sees a socket in a home.
    fn sees(&self, inside: &UdpSocket, address: usize, port: usize) -> SocketAddr {
        inside.send_to(b"?", self.address(address, port)).unwrap();
        let outside = &self.sockets[address][port];
        outside.set_read_timeout(Some(SURE)).unwrap();
        receive(outside).expect("the server can be reached")
    }

    fn mapping(&self, home: &Home) -> Mapping {
        let inside = socket_in(home);
        let seen =
            [(0, 0), (0, 1), (1, 0)].map(|(address, port)| self.sees(&inside, address, port));
        let [first, second, third] = seen.map(|seen| i32::from(seen.port()));
        match (second - first, third - second) {
            (0, 0) => Mapping::Independent,
            (1, 1) => Mapping::Sequential,
            (one, two) => {
                assert!(one != 0 && two != 0, "dependent on address and port: {seen:?}");
                Mapping::Dependent
            }
        }
    }

    fn filtering(&self, home: &Home) -> Filtering {
        let inside = socket_in(home);
        let seen = self.sees(&inside, 0, 0);
        let gets_in = |address: usize, port: usize| {
            self.sockets[address][port].send_to(b"!", seen).unwrap();
            receive(&inside).is_some()
        };
        assert!(gets_in(0, 0), "an answer is let in");
        match (gets_in(0, 1), gets_in(1, 1)) {
            (_, true) => Filtering::Independent,
            (true, false) => Filtering::Address,
            (false, false) => Filtering::AddressAndPort,
        }
    }
}

/// A socket stays in the network in which it was made.
fn socket_in(home: &Home) -> UdpSocket {
    home.within(|| socket(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))))
}

fn socket(address: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Who has sent something, if anybody has.
fn receive(socket: &UdpSocket) -> Option<SocketAddr> {
    socket.recv_from(&mut [0; 16]).ok().map(|(_, from)| from)
}
