//! QUIC: the socket, those who call, and connections as streams of frames. Nothing else knows quinn.

#[cfg(test)]
pub(crate) mod client;
mod connection;
mod endpoint;
mod frames;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::Arc,
};

use anyhow::{Context, Result};
use hither_proto::{
    crypto::{
        derive::{authenticate, derive},
        label::Label,
        secret::Secret,
    },
    wire::{
        self,
        version::{NO_VERSION, NO_VERSION_CODE, Versions},
    },
};
use quinn::{
    AckFrequencyConfig, EndpointConfig, ServerConfig, TransportConfig, VarInt,
    crypto::{
        CryptoError, HmacKey,
        rustls::{HandshakeData, QuicServerConfig},
    },
};
use quinn_proto::{HashedConnectionIdGenerator, Incoming};
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{task::AbortHandle, time::timeout};

use self::endpoint::Endpoint;
pub(crate) use self::frames::{Connection, Frame};
use crate::limits::{
    ACKNOWLEDGED_TOGETHER, CALLER_BYTES_MAX, CALLERS_BYTES_MAX, CALLERS_MAX, GREETING_WINDOW_BYTES,
    HANDSHAKE_TIMEOUT, IDLE_TIMEOUT, LAST_WORD_TIMEOUT, RECEIVE_WINDOW_BYTES, SEND_WINDOW_BYTES,
    SOCKET_BUFFER_BYTES,
};

/// Connections on which frames were said are closed with this code alone: whatever there is to say was said
/// in one of them.
const CLOSED: VarInt = VarInt::from_u32(0);

/// The key of stateless resets (RFC 9000, 10.3). It is the same after a restart, so that clients of the
/// process before learn at once that their connection is gone, and do not wait for its timeout.
pub(crate) struct ResetKey(Secret<32>);

impl ResetKey {
    /// From a secret of this server that lasts.
    pub(crate) fn new(lasting: &Secret<32>) -> Self {
        Self(derive(&[], lasting.expose(), Label::StatelessReset, &[]))
    }

    /// The key by which this server recognises connection ids of its own.
    fn id_key(&self) -> u64 {
        let key: Secret<8> = derive(&[], self.0.expose(), Label::StatelessReset, b"connection ids");
        u64::from_le_bytes(*key.expose())
    }
}

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature: &mut [u8]) {
        signature.copy_from_slice(authenticate(self.0.expose(), &[data]).expose());
    }

    fn signature_len(&self) -> usize {
        32
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        let genuine = Secret::from_slice(signature).is_some_and(|signature| {
            signature.matches(authenticate(self.0.expose(), &[data]).expose())
        });
        if genuine { Ok(()) } else { Err(CryptoError) }
    }
}

/// A socket that takes connections.
pub(crate) struct Listener {
    endpoint: Arc<Endpoint>,
    driver: AbortHandle,
}

impl Listener {
    /// Listens on a socket from [`bind`].
    pub(crate) fn new(
        socket: UdpSocket,
        tls: rustls::ServerConfig,
        reset: ResetKey,
    ) -> Result<Self> {
        let crypto = QuicServerConfig::try_from(tls).context("preparing TLS for QUIC")?;
        let mut config = ServerConfig::with_crypto(Arc::new(crypto));
        config
            .transport_config(Arc::new(transport()?))
            .max_incoming(CALLERS_MAX)
            .incoming_buffer_size(CALLER_BYTES_MAX)
            .incoming_buffer_size_total(CALLERS_BYTES_MAX);
        // Tokens for a later connection would let whoever watches link the two.
        config.validation_token.sent(0);
        // Only ids that this server has made, or made before a restart, are answered with a reset.
        let ids = reset.id_key();
        let mut endpoint_config = EndpointConfig::new(Arc::new(reset));
        endpoint_config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(ids)));
        let endpoint = Endpoint::new(endpoint_config, config, socket).context("starting QUIC")?;
        let endpoint = Arc::new(endpoint);
        let driver = tokio::spawn(Arc::clone(&endpoint).drive()).abort_handle();
        Ok(Self { endpoint, driver })
    }

    /// Where it listens.
    pub(crate) fn local_address(&self) -> Result<SocketAddr> {
        self.endpoint.local_address().context("asking for the address of the socket")
    }

    /// The next caller; `None` once the listener is closed.
    pub(crate) async fn accept(&self) -> Option<Caller> {
        let incoming = self.endpoint.caller().await?;
        Some(Caller {
            endpoint: Arc::clone(&self.endpoint),
            address: incoming.remote_address().ip(),
            is_validated: incoming.remote_address_validated(),
            incoming: Some(incoming),
        })
    }

    /// Takes no more callers. Connections live on.
    pub(crate) fn refuse_callers(&self) {
        self.endpoint.refuse_callers();
    }

    /// Closes every connection and lets the last packets out.
    pub(crate) async fn close(self) {
        self.endpoint.close();
        // Whoever does not answer now finds out by itself.
        let _ = timeout(LAST_WORD_TIMEOUT, self.endpoint.emptied()).await;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A UDP socket on `address`. The unspecified IPv6 address means every address, of either family.
pub(crate) fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let bound = bind_one(address);
    match &bound {
        Err(error) if address.ip() == Ipv6Addr::UNSPECIFIED && lacks_ipv6(error) => {
            bind_one(SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())))
        }
        _ => bound,
    }
}

fn bind_one(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    // The kernel may grant less; a server with smaller buffers is slower in a rush, and not broken.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn lacks_ipv6(error: &io::Error) -> bool {
    let errors = [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL];
    errors.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Small in every respect: a server holds many connections that do little.
fn transport() -> Result<TransportConfig> {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(Some(IDLE_TIMEOUT.try_into().context("setting the idle timeout")?))
        .stream_receive_window(VarInt::from_u32(RECEIVE_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(GREETING_WINDOW_BYTES))
        .send_window(SEND_WINDOW_BYTES)
        .mtu_discovery_config(None)
        .ack_frequency_config(Some(rare_acknowledgements()))
        // With it, every connection keeps a buffer of the largest burst it has ever sent.
        .enable_segmentation_offload(false);
    Ok(transport)
}

/// Clients acknowledge with what they say next, or after a moment: a packet for itself costs as much as a frame.
fn rare_acknowledgements() -> AckFrequencyConfig {
    let mut rare = AckFrequencyConfig::default();
    rare.ack_eliciting_threshold(VarInt::from_u32(ACKNOWLEDGED_TOGETHER));
    rare
}

/// Somebody who would like to connect, and for whom nothing has been done yet.
pub(crate) struct Caller {
    endpoint: Arc<Endpoint>,
    address: IpAddr,
    is_validated: bool,
    /// Until it is known what becomes of it.
    incoming: Option<Incoming>,
}

impl Caller {
    /// Where it calls from, unless that is a lie.
    pub(crate) const fn address(&self) -> IpAddr {
        self.address
    }

    /// Whether the address it calls from has been shown to be its own.
    pub(crate) const fn is_validated(&self) -> bool {
        self.is_validated
    }

    /// Makes it prove its address, which costs no public-key work and leaves no state.
    pub(crate) fn retry(mut self) {
        if let Some(incoming) = self.incoming.take() {
            self.endpoint.retry(incoming);
        }
    }

    /// Turns it away.
    pub(crate) fn refuse(self) {}

    /// Goes through the TLS handshake. A client that speaks no version of ours is told which ones those are.
    pub(crate) async fn connect(mut self) -> Result<Connection, Gone> {
        let connection = self.endpoint.accept(self.incoming.take().ok_or(Gone)?)?;
        timeout(HANDSHAKE_TIMEOUT, connection.established()).await.map_err(|_| Gone)??;
        let agreed = connection.handshake_data();
        let agreed = agreed.and_then(|data| data.downcast::<HandshakeData>().ok());
        if agreed.is_none_or(|agreed| agreed.protocol.as_deref() == Some(NO_VERSION)) {
            connection.close(VarInt::from_u32(NO_VERSION_CODE), wire::encode(&Versions::OURS));
            return Err(Gone);
        }
        Ok(Connection::new(connection))
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        if let Some(incoming) = self.incoming.take() {
            self.endpoint.refuse(incoming);
        }
    }
}

/// The connection is no more, or not to be spoken on any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Gone;
