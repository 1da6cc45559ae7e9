//! Somebody without a ticket who writes to a UDP port and hopes for an answer.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use quinn::{ConnectionId, Endpoint, TransportConfig};

use super::tls::{SERVER_NAME, trusting_client};
use crate::lab::DEADLINE;

/// The smallest datagram that a QUIC server must take for the beginning of a connection.
const FIRST_DATAGRAM: usize = 1200;

/// A socket from which probes went to one address.
#[derive(Debug)]
pub struct Stranger {
    socket: UdpSocket,
}

impl Stranger {
    /// Writes everything to `target` that has ever made some QUIC endpoint answer, and more.
    #[must_use]
    pub fn probes(target: SocketAddr) -> Self {
        let stranger = Self::toward(target);
        for probe in probes() {
            stranger.socket.send(&probe).unwrap();
        }
        stranger
    }

    /// Writes to `target` what somebody else has written.
    #[must_use]
    pub fn repeats(target: SocketAddr, datagram: &[u8]) -> Self {
        let stranger = Self::toward(target);
        stranger.socket.send(datagram).unwrap();
        stranger
    }

    /// Asks `target` for the versions of QUIC that it speaks, which an ordinary server answers.
    #[must_use]
    pub fn asks_for_versions(target: SocketAddr) -> Self {
        let stranger = Self::toward(target);
        stranger.socket.send(&long_header(0xC0, 0x1A2A_3A4A, 8, FIRST_DATAGRAM)).unwrap();
        stranger
    }

    /// What has come back so far.
    #[must_use]
    pub fn answers(&self) -> Vec<Vec<u8>> {
        self.socket.set_nonblocking(true).unwrap();
        let mut buffer = [0; 65536];
        let mut answers = Vec::new();
        while let Ok(length) = self.socket.recv(&mut buffer) {
            answers.push(buffer[..length].to_vec());
        }
        answers
    }

    /// Waits for an answer.
    #[must_use]
    #[track_caller]
    pub fn awaits_answer(&self) -> Vec<u8> {
        self.socket.set_nonblocking(false).unwrap();
        self.socket.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut buffer = [0; 65536];
        let length = self.socket.recv(&mut buffer).expect("an answer");
        buffer[..length].to_vec()
    }

    fn toward(target: SocketAddr) -> Self {
        let here = if target.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
        let socket = UdpSocket::bind(here).unwrap();
        socket.connect(target).unwrap();
        Self { socket }
    }
}

/// Whether an ordinary QUIC client gets through a handshake with whoever listens at `target`. It
/// begins with a random destination id of `id_length` bytes and gives up after a moment of silence.
#[must_use]
pub fn quic_client_gets_through(target: SocketAddr, id_length: usize) -> bool {
    let mut transport = TransportConfig::default();
    transport.max_idle_timeout(Some(Duration::from_secs(2).try_into().unwrap()));
    let mut config = trusting_client();
    config.transport_config(Arc::new(transport));
    config.initial_dst_cid_provider(Arc::new(move || ConnectionId::new(&random(id_length))));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let here = if target.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
        let endpoint = Endpoint::client(here.parse().unwrap()).unwrap();
        endpoint.connect_with(config, target, SERVER_NAME).unwrap().await.is_ok()
    })
}

/// Everything that has ever made some QUIC endpoint answer, and more.
#[must_use]
pub fn probes() -> Vec<Vec<u8>> {
    let mut probes = vec![Vec::new(), vec![0x40], vec![0xC0; 30], random(64), random(1400)];
    // An unknown version, and version 0, which is version negotiation itself.
    for version in [0x1A2A_3A4A, 0] {
        probes.extend([4, 8, 20].map(|id| long_header(0xC0, version, id, FIRST_DATAGRAM)));
    }
    // Version 1 with all four packet types (Initial, 0-RTT, Handshake, Retry), and with
    // destination ids that are too short, usual and too long.
    for kind in [0xC0, 0xD0, 0xE0, 0xF0] {
        probes.extend([0, 4, 8, 20, 21].map(|id| long_header(kind, 1, id, FIRST_DATAGRAM)));
        probes.push(long_header(kind, 1, 20, 60));
    }
    // Short headers of every size that could provoke a stateless reset.
    for length in [21, 22, 43, 100, 1200] {
        let mut short = random(length);
        short[0] = 0x40 | short[0] & 0x3F;
        probes.push(short);
    }
    probes
}

/// A datagram that begins like a long-header packet and goes on at random.
fn long_header(kind: u8, version: u32, id_length: u8, length: usize) -> Vec<u8> {
    let mut packet = vec![kind | 0x03];
    packet.extend(version.to_be_bytes());
    packet.push(id_length);
    packet.extend(random(id_length.into()));
    packet.extend([8]);
    packet.extend(random(8));
    if kind == 0xC0 {
        // No token, and a length that covers the rest.
        let rest = length.saturating_sub(packet.len() + 3);
        packet.push(0);
        packet.extend((0x4000 | u16::try_from(rest).unwrap()).to_be_bytes());
    }
    let rest = length.saturating_sub(packet.len());
    packet.extend(random(rest));
    packet
}

pub(super) fn random(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    getrandom::fill(&mut bytes).expect("randomness");
    bytes
}
