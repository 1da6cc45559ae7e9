//! The agent's one UDP socket and the QUIC endpoint on it: it talks to the server, dials peers, and
//! answers those who knock.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use quinn::{
    AckFrequencyConfig, ConnectionId, ConnectionIdGenerator as _, Endpoint, EndpointConfig,
    IdleTimeout, Runtime as _, ServerConfig, TokioRuntime, TransportConfig, VarInt,
    crypto::rustls::QuicServerConfig,
};
use quinn_proto::HashedConnectionIdGenerator;
use socket2::{Domain, Protocol, Socket, Type};

use super::{
    door::{Door, Guarded, SilentIds},
    tls::{ThrowAway, TlsError},
};

/// What the kernel may hold for us. The default of 208 KiB loses packets in a burst, which costs a second.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;

/// How long a connection may be silent before it is given up.
const IDLE_TIMEOUT: Duration = Duration::from_secs(25);

/// How often a silent connection is kept alive. Address translators forget after 30 seconds and more.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Packets from us that the server acknowledges together.
const ACKNOWLEDGED_TOGETHER: u32 = 8;

/// How much of a peer's data may be on the way to us, and of ours to a peer. Large windows make quinn
/// slow with many small messages.
const PEER_WINDOW_BYTES: u32 = 256 << 10;

/// Why there is no endpoint.
#[derive(Debug, thiserror::Error)]
pub(in crate::agent) enum EndpointError {
    #[error("a UDP socket could not be opened")]
    Socket(#[from] io::Error),
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// The socket, the endpoint on it and the door in front of it. Clones are the same one.
#[derive(Clone)]
pub(in crate::agent) struct Network {
    pub(super) endpoint: Endpoint,
    pub(super) door: Arc<Door>,
}

impl Network {
    /// Opens the socket. `cid_key` is random.
    pub(in crate::agent) fn open(cid_key: u64) -> Result<Self, EndpointError> {
        let door = Arc::new(Door::new(cid_key));
        let runtime = Arc::new(TokioRuntime);
        let socket = runtime.wrap_udp_socket(socket()?)?;
        let mut config = EndpointConfig::default();
        let ids = move || SilentIds(HashedConnectionIdGenerator::from_key(cid_key));
        config.cid_generator(move || Box::new(ids()));
        let guarded = Arc::new(Guarded { socket, door: door.clone() });
        // Every connection that is accepted brings the configuration of its own attempt; this one only
        // makes the endpoint listen.
        let listening = peer_server(ThrowAway::generate()?.accept()?);
        let endpoint =
            Endpoint::new_with_abstract_socket(config, Some(listening), guarded, runtime)?;
        Ok(Self { endpoint, door })
    }

    /// Waits until every connection has been closed, and the other ends know.
    pub(in crate::agent) async fn idle(&self) {
        self.endpoint.wait_idle().await;
    }

    /// Closes every connection that is left.
    pub(in crate::agent) fn close(&self) {
        self.endpoint.close(0_u32.into(), b"");
    }
}

/// The configuration of the door of one attempt.
pub(super) fn peer_server(tls: QuicServerConfig) -> ServerConfig {
    let mut config = ServerConfig::with_crypto(Arc::new(tls));
    config.transport_config(Arc::new(peer_transport()));
    config
}

/// How connections between peers behave.
pub(super) fn peer_transport() -> TransportConfig {
    let mut transport = quiet_transport();
    transport.max_concurrent_uni_streams(VarInt::from_u32(1));
    transport.receive_window(VarInt::from_u32(PEER_WINDOW_BYTES));
    transport.stream_receive_window(VarInt::from_u32(PEER_WINDOW_BYTES));
    transport.send_window(u64::from(PEER_WINDOW_BYTES));
    transport
}

/// How the connection to the server behaves.
pub(super) fn server_transport() -> TransportConfig {
    let mut transport = quiet_transport();
    // A few small frames an hour: probing for larger packets would cost more than it could ever save.
    transport.mtu_discovery_config(None);
    // The server acknowledges with what it says next, or after a moment, which saves it half of its packets.
    let mut rare = AckFrequencyConfig::default();
    rare.ack_eliciting_threshold(VarInt::from_u32(ACKNOWLEDGED_TOGETHER));
    transport.ack_frequency_config(Some(rare));
    transport
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

/// A first connection id that says nothing, for the server.
pub(super) fn random_id() -> ConnectionId {
    quinn_proto::RandomConnectionIdGenerator::new(20).generate_cid()
}

fn quiet_transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport.max_idle_timeout(IdleTimeout::try_from(IDLE_TIMEOUT).ok());
    transport.keep_alive_interval(Some(KEEP_ALIVE));
    transport.max_concurrent_bidi_streams(VarInt::from_u32(0));
    transport.max_concurrent_uni_streams(VarInt::from_u32(0));
    transport.datagram_receive_buffer_size(None);
    transport
}

/// One socket for both families, or for IPv4 where there is no IPv6.
fn socket() -> io::Result<UdpSocket> {
    let both = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP)).and_then(|socket| {
        socket.set_only_v6(false)?;
        socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)).into())?;
        Ok(socket)
    });
    let socket = match both {
        Ok(socket) => socket,
        Err(_) => {
            let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
            socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into())?;
            socket
        }
    };
    // The kernel may allow less; then there is less.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
    Ok(socket.into())
}
