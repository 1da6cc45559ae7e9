//! The agent's one UDP socket and the QUIC endpoint on it: it talks to the server, dials peers, and
//! answers those who knock.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    num::NonZeroU16,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use hither_proto::{
    observation::{KEEP_ALIVE, keep_alive},
    reach::Probe,
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

/// The pauses before each time that a probe is sent again.
const PROBES: [Duration; 2] = [Duration::from_millis(150), Duration::from_millis(600)];

/// How long a connection may be silent before it is given up.
const IDLE_TIMEOUT: Duration = Duration::from_secs(25);

/// The round trip that a dial counts with. Three of it are waited for before anything is repeated.
const UNANSWERED: Duration = Duration::from_millis(2_500);
/// Packets from us that the server acknowledges together.
const ACKNOWLEDGED_TOGETHER: u32 = 8;

/// How much of a peer's data may be on the way to us, and of ours to a peer. Large windows make quinn
/// slow with many small messages.
pub(super) const PEER_WINDOW_BYTES: u32 = 256 << 10;

/// How much the server may send ahead of our reading: two of its longest frames.
pub(super) const SERVER_WINDOW_BYTES: u32 = 640 << 10;

/// Why there is no endpoint.
#[derive(Debug, thiserror::Error)]
pub(in crate::agent) enum EndpointError {
    #[error("a UDP socket could not be opened")]
    Socket(#[from] io::Error),
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// An endpoint on a fresh socket, for a second round.
pub(in crate::agent) struct OpenedAfresh {
    pub(super) endpoint: Endpoint,
    /// Where the server sees it.
    pub(super) at: SocketAddr,
}

/// The socket, the endpoint on it and the door in front of it. Clones are the same one.
#[derive(Clone)]
pub(in crate::agent) struct Network {
    pub(super) endpoint: Endpoint,
    pub(super) door: Arc<Door>,
    /// The same socket, for datagrams that are no QUIC. Nothing is received here.
    plain: Arc<UdpSocket>,
    /// Endpoints on sockets through which somebody was found who could not be found through that one.
    others: Arc<Mutex<Vec<Endpoint>>>,
    cid_key: u64,
    /// How often silent connections are kept alive, in milliseconds.
    keep_alive: Arc<AtomicU64>,
}

impl Network {
    /// Opens the socket, at `port` if that is wanted and free. `cid_key` is random.
    pub(in crate::agent) fn open(
        cid_key: u64,
        port: Option<NonZeroU16>,
    ) -> Result<Self, EndpointError> {
        let door = Arc::new(Door::new(cid_key));
        let runtime = Arc::new(TokioRuntime);
        let wanted = port.and_then(|port| socket_at(port.get()).ok());
        let socket = wanted.map_or_else(socket, Ok)?;
        let plain = Arc::new(socket.try_clone()?);
        let socket = runtime.wrap_udp_socket(socket)?;
        let config = silent_config(cid_key);
        let guarded = Arc::new(Guarded { socket, door: door.clone() });
        // Every connection that is accepted brings the configuration of its own attempt; this one only
        // makes the endpoint listen.
        let listening = peer_server(ThrowAway::generate()?.accept()?);
        let endpoint =
            Endpoint::new_with_abstract_socket(config, Some(listening), guarded, runtime)?;
        let keep_alive = Arc::new(AtomicU64::new(milliseconds(KEEP_ALIVE)));
        Ok(Self { endpoint, door, plain, others: Arc::default(), cid_key, keep_alive })
    }

    /// An endpoint on a fresh socket.
    pub(super) fn fresh(&self) -> io::Result<Endpoint> {
        self.beside(socket()?)
    }

    /// An endpoint on another socket behind the same door, which dials and does not answer.
    pub(super) fn beside(&self, socket: UdpSocket) -> io::Result<Endpoint> {
        self.endpoint_on(socket, None)
    }

    /// An endpoint on another socket behind the same door, which answers as the one of everything else does.
    pub(super) fn answering(&self, socket: UdpSocket) -> Result<Endpoint, EndpointError> {
        let listening = peer_server(ThrowAway::generate()?.accept()?);
        Ok(self.endpoint_on(socket, Some(listening))?)
    }

    fn endpoint_on(
        &self,
        socket: UdpSocket,
        listening: Option<ServerConfig>,
    ) -> io::Result<Endpoint> {
        let runtime = Arc::new(TokioRuntime);
        let socket = runtime.wrap_udp_socket(socket)?;
        let guarded = Arc::new(Guarded { socket, door: self.door.clone() });
        let config = silent_config(self.cid_key);
        let endpoint = Endpoint::new_with_abstract_socket(config, listening, guarded, runtime)?;
        let mut others = self.others();
        others.retain(|other| other.open_connections() > 0);
        others.push(endpoint.clone());
        Ok(endpoint)
    }

    /// Sends a datagram from the socket of everything else. Lost here or on the way is the same.
    pub(super) fn send(&self, to: SocketAddr, datagram: &[u8]) {
        let _ = self.plain.send_to(datagram, as_seen_by(&self.plain, to));
    }

    /// How often a silent connection is kept alive.
    pub(in crate::agent) fn keep_alive(&self) -> Duration {
        Duration::from_millis(self.keep_alive.load(Relaxed))
    }

    /// The translator in front of this machine remembers silent flows for so long, at least: from now on connections are
    /// kept alive twice in that time.
    pub(in crate::agent) fn is_remembered_for(&self, lifetime: Duration) {
        self.keep_alive.store(milliseconds(keep_alive(lifetime)), Relaxed);
    }

    /// The port of the socket.
    pub(in crate::agent) fn port(&self) -> u16 {
        self.endpoint.local_addr().map_or(0, |address| address.port())
    }

    /// Shows this machine to `observer`, from the socket of everything else or from a fresh one. Datagrams get
    /// lost, so it is said again.
    pub(in crate::agent) fn probe(&self, observer: SocketAddr, probe: Probe) {
        let fresh = || Ok::<_, io::Error>(Arc::new(socket()?));
        let Ok(from) = (if probe.fresh { fresh() } else { Ok(self.plain.clone()) }) else { return };
        let observer = as_seen_by(&from, observer);
        // Lost now or on the way is the same. The first leaves before anything else does: which port comes after which
        // says how they are given away.
        let _ = from.send_to(&probe.encode(), observer);
        tokio::spawn(async move {
            for pause in PROBES {
                tokio::time::sleep(pause).await;
                let _ = from.send_to(&probe.encode(), observer);
            }
        });
    }

    /// Waits until every connection has been closed, and the other ends know.
    pub(in crate::agent) async fn idle(&self) {
        self.endpoint.wait_idle().await;
        let others = self.others().clone();
        for other in others {
            other.wait_idle().await;
        }
    }

    /// Closes every connection that is left.
    pub(in crate::agent) fn close(&self) {
        self.endpoint.close(0_u32.into(), b"");
        for other in self.others().iter() {
            other.close(0_u32.into(), b"");
        }
    }

    fn others(&self) -> MutexGuard<'_, Vec<Endpoint>> {
        // Each change is one call, so a panic elsewhere leaves nothing half-changed.
        self.others.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An endpoint that answers nobody with a stateless reset.
fn silent_config(cid_key: u64) -> EndpointConfig {
    let mut config = EndpointConfig::default();
    let ids = move || SilentIds(HashedConnectionIdGenerator::from_key(cid_key));
    config.cid_generator(move || Box::new(ids()));
    config
}

/// An address as a socket of either family takes it.
fn as_seen_by(socket: &UdpSocket, address: SocketAddr) -> SocketAddr {
    let ipv6 = socket.local_addr().is_ok_and(|own| own.is_ipv6());
    match address {
        SocketAddr::V4(v4) if ipv6 => (v4.ip().to_ipv6_mapped(), v4.port()).into(),
        other => other,
    }
}

/// The configuration of the door of one attempt.
pub(super) fn peer_server(tls: QuicServerConfig) -> ServerConfig {
    let mut config = ServerConfig::with_crypto(Arc::new(tls));
    config.transport_config(Arc::new(peer_transport()));
    config
}

/// How a dial behaves until somebody answers it.
pub(super) fn dial_transport() -> TransportConfig {
    let mut transport = peer_transport();
    // Until then it says little more than once: a dial that is lost is made again, and at an address that was given
    // for another's, whoever is there gets all of it.
    transport.initial_rtt(UNANSWERED);
    transport
}

/// How connections between peers behave.
fn peer_transport() -> TransportConfig {
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
    transport.receive_window(VarInt::from_u32(SERVER_WINDOW_BYTES));
    // A few small frames an hour: probing for larger packets would cost more than it could ever save.
    transport.mtu_discovery_config(None);
    // The server acknowledges with what it says next, or after a moment, which saves it half of its packets.
    let mut rare = AckFrequencyConfig::default();
    rare.ack_eliciting_threshold(VarInt::from_u32(ACKNOWLEDGED_TOGETHER));
    transport.ack_frequency_config(Some(rare));
    transport
}

/// A first connection id that says nothing, for the server.
pub(super) fn random_id() -> ConnectionId {
    quinn_proto::RandomConnectionIdGenerator::new(20).generate_cid()
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn quiet_transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport.max_idle_timeout(IdleTimeout::try_from(IDLE_TIMEOUT).ok());
    transport.max_concurrent_bidi_streams(VarInt::from_u32(0));
    transport.max_concurrent_uni_streams(VarInt::from_u32(0));
    transport.datagram_receive_buffer_size(None);
    transport
}

/// One socket for both families, or for IPv4 where there is no IPv6.
pub(super) fn socket() -> io::Result<UdpSocket> {
    socket_at(0)
}

fn socket_at(port: u16) -> io::Result<UdpSocket> {
    let both = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP)).and_then(|socket| {
        socket.set_only_v6(false)?;
        socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)).into())?;
        Ok(socket)
    });
    let socket = match both {
        Ok(socket) => socket,
        Err(_) => {
            let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
            socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)).into())?;
            socket
        }
    };
    // The kernel may allow less; then there is less.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
    Ok(socket.into())
}
