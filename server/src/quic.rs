//! QUIC: the socket, those who call, and connections as streams of frames. Nothing else knows quinn.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::Arc,
};

use anyhow::{Context, Result};
use hither_proto::{
    crypto::{
        derive::{authenticate, derive},
        label::{Label, SERVER_EXPORTER},
        secret::Secret,
    },
    wire::{
        self, LENGTH_BYTES,
        version::{NO_VERSION, NO_VERSION_CODE, Versions},
    },
};
use quinn::{
    AckFrequencyConfig, Endpoint, EndpointConfig, Incoming, RecvStream, SendStream, ServerConfig,
    TokioRuntime, TransportConfig, VarInt,
    crypto::{
        CryptoError, HmacKey,
        rustls::{HandshakeData, QuicServerConfig},
    },
};
use quinn_proto::HashedConnectionIdGenerator;
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::time::{Instant, timeout, timeout_at};

use crate::{
    limits::{
        ACKNOWLEDGED_TOGETHER, CALLER_BYTES_MAX, CALLERS_BYTES_MAX, CALLERS_MAX, FRAME_TIMEOUT,
        GREETING_WINDOW_BYTES, HANDSHAKE_TIMEOUT, IDLE_TIMEOUT, LAST_WORD_TIMEOUT,
        RECEIVE_WINDOW_BYTES, SEND_TIMEOUT, SEND_WINDOW_BYTES, SOCKET_BUFFER_BYTES,
    },
    origin::plain,
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
pub(crate) struct Listener(Endpoint);

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
        let runtime = Arc::new(TokioRuntime);
        // Only ids that this server has made, or made before a restart, are answered with a reset.
        let ids = reset.id_key();
        let mut endpoint_config = EndpointConfig::new(Arc::new(reset));
        endpoint_config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(ids)));
        let endpoint = Endpoint::new(endpoint_config, Some(config), socket, runtime);
        endpoint.map(Self).context("starting QUIC")
    }

    /// Where it listens.
    pub(crate) fn local_address(&self) -> Result<SocketAddr> {
        self.0.local_addr().context("asking for the address of the socket")
    }

    /// The next caller; `None` once the listener is closed.
    pub(crate) async fn accept(&self) -> Option<Caller> {
        self.0.accept().await.map(Caller)
    }

    /// Takes no more callers. Connections live on.
    pub(crate) fn refuse_callers(&self) {
        self.0.set_server_config(None);
    }

    /// Closes every connection and lets the last packets out.
    pub(crate) async fn close(self) {
        self.0.close(CLOSED, b"");
        // Whoever does not answer now finds out by itself.
        let _ = timeout(LAST_WORD_TIMEOUT, self.0.wait_idle()).await;
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
pub(crate) struct Caller(Incoming);

impl Caller {
    /// Where it calls from, unless that is a lie.
    pub(crate) fn address(&self) -> IpAddr {
        self.0.remote_address().ip()
    }

    /// Whether the address it calls from has been shown to be its own.
    pub(crate) fn is_validated(&self) -> bool {
        self.0.remote_address_validated()
    }

    /// Makes it prove its address, which costs no public-key work and leaves no state.
    pub(crate) fn retry(self) {
        if let Err(error) = self.0.retry() {
            error.into_incoming().ignore();
        }
    }

    /// Turns it away.
    pub(crate) fn refuse(self) {
        self.0.refuse();
    }

    /// Goes through the TLS handshake. A client that speaks no version of ours is told which ones those are.
    pub(crate) async fn connect(self) -> Result<Connection, Gone> {
        let connecting = self.0.accept().map_err(|_| Gone)?;
        let connection = timeout(HANDSHAKE_TIMEOUT, connecting).await.map_err(|_| Gone)?;
        let connection = connection.map_err(|_| Gone)?;
        let agreed = connection.handshake_data();
        let agreed = agreed.and_then(|data| data.downcast::<HandshakeData>().ok());
        if agreed.is_none_or(|agreed| agreed.protocol.as_deref() == Some(NO_VERSION)) {
            connection.close(VarInt::from_u32(NO_VERSION_CODE), &wire::encode(&Versions::OURS));
            return Err(Gone);
        }
        Ok(Connection { connection, streams: None, due: None, length: Vec::new(), body: None })
    }
}

/// The connection is no more, or not to be spoken on any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Gone;

/// What a client sent.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Frame {
    /// A frame's body.
    Body(Vec<u8>),
    /// The length of a frame that is longer than allowed. Nothing of it was read.
    TooLong,
}

/// A connection to one client: frames both ways, on the one stream that the client opens.
pub(crate) struct Connection {
    connection: quinn::Connection,
    streams: Option<(SendStream, RecvStream)>,
    /// When the frame being read must be there, once anything of it is.
    due: Option<Instant>,
    /// What has come of the length of the frame being read.
    length: Vec<u8>,
    /// What has come of its body, once the length is known.
    body: Option<(usize, Vec<u8>)>,
}

impl Connection {
    /// Where the client is, as seen from here.
    pub(crate) fn remote_address(&self) -> SocketAddr {
        plain(self.connection.remote_address())
    }

    /// What only the two ends of this very connection know.
    pub(crate) fn exporter(&self) -> Result<[u8; 32], Gone> {
        let mut exporter = [0; 32];
        let exported = self.connection.export_keying_material(&mut exporter, SERVER_EXPORTER, &[]);
        exported.map(|()| exporter).map_err(|_| Gone)
    }

    /// The client is somebody, and may send more ahead of being read.
    pub(crate) fn widen(&self) {
        self.connection.set_receive_window(VarInt::from_u32(RECEIVE_WINDOW_BYTES));
    }

    /// The next frame of at most `body_bytes_max` bytes. May be dropped and called again: what has come of
    /// a frame is kept. A frame that has begun and does not end is the end of the connection.
    pub(crate) async fn receive(&mut self, body_bytes_max: usize) -> Result<Frame, Gone> {
        if self.streams.is_none() {
            let accepted = Box::pin(self.connection.accept_bi()).await;
            self.streams = Some(accepted.map_err(|_| Gone)?);
        }
        while self.length.is_empty() {
            let Some((_, stream)) = &mut self.streams else { return Err(Gone) };
            read_some(stream, &mut self.length, LENGTH_BYTES).await?;
        }
        let due = *self.due.get_or_insert_with(|| Instant::now() + FRAME_TIMEOUT);
        // Boxed, because most of the time nothing of a frame has come.
        let rest = Box::pin(timeout_at(due, self.receive_rest(body_bytes_max)));
        let frame = rest.await.map_err(|_| Gone)??;
        self.due = None;
        Ok(frame)
    }

    async fn receive_rest(&mut self, body_bytes_max: usize) -> Result<Frame, Gone> {
        let Self { streams: Some((_, stream)), length, body, .. } = self else { return Err(Gone) };
        while length.len() < LENGTH_BYTES {
            read_some(stream, length, LENGTH_BYTES).await?;
        }
        if body.is_none() {
            let length = length.as_slice().try_into().map_err(|_| Gone)?;
            let Ok(bytes) = wire::body_bytes(length, body_bytes_max) else {
                return Ok(Frame::TooLong);
            };
            *body = Some((bytes, Vec::new()));
        }
        while let Some((bytes, read)) = body.as_mut().filter(|(bytes, read)| read.len() < *bytes) {
            read_some(stream, read, *bytes).await?;
        }
        length.clear();
        let (_, read) = body.take().ok_or(Gone)?;
        Ok(Frame::Body(read))
    }

    /// Hands a frame to the client. It may be dropped, but then nothing more can be sent.
    pub(crate) async fn send(&mut self, body: &[u8]) -> Result<(), Gone> {
        let (stream, _) = self.streams.as_mut().ok_or(Gone)?;
        let frame = wire::frame(body);
        let sent = timeout(SEND_TIMEOUT, stream.write_all(&frame)).await;
        sent.map_err(|_| Gone)?.map_err(|_| Gone)
    }

    /// Ends the connection, after the client has had a chance to read the last frame and to close it.
    pub(crate) async fn close(mut self) {
        if let Some((stream, _)) = &mut self.streams
            && stream.finish().is_ok()
        {
            let _ = timeout(LAST_WORD_TIMEOUT, self.connection.closed()).await;
        }
        self.connection.close(CLOSED, b"");
    }
}

/// Reads what there is, at least one byte, until `bytes` holds `length` of them. Memory grows with what
/// has come, not with what was announced.
async fn read_some(
    stream: &mut RecvStream,
    bytes: &mut Vec<u8>,
    length: usize,
) -> Result<(), Gone> {
    let chunk = stream.read_chunk(length.saturating_sub(bytes.len()), true).await;
    let chunk = chunk.map_err(|_| Gone)?.ok_or(Gone)?;
    bytes.extend_from_slice(&chunk.bytes);
    Ok(())
}

/// The other end of a [`Connection`], for tests of a whole server.
#[cfg(test)]
pub(crate) mod client {
    use hither_proto::{
        crypto::derive::hash,
        login::Channel,
        name::ServerPin,
        wire::server::{Reply, Request},
    };
    use rustls::{
        DigitallySignedStruct, SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::{CryptoProvider, SupportedKxGroup},
        pki_types::{CertificateDer, ServerName, UnixTime},
    };

    use super::*;

    /// How a client's TLS differs from what the server wants.
    #[derive(Clone, Copy)]
    pub(crate) struct Dialect {
        pub(crate) alpn: &'static [u8],
        pub(crate) group: &'static dyn SupportedKxGroup,
    }

    impl Default for Dialect {
        fn default() -> Self {
            let group = rustls::crypto::aws_lc_rs::kx_group::X25519MLKEM768;
            Self { alpn: b"hither/1", group }
        }
    }

    /// A client that pins nothing.
    pub(crate) struct Client {
        connection: quinn::Connection,
        send: SendStream,
        receive: RecvStream,
        _endpoint: Endpoint,
    }

    impl Client {
        pub(crate) async fn connect(server: SocketAddr) -> Self {
            Self::connect_as(server, Dialect::default()).await.expect("the server lets us in")
        }

        pub(crate) async fn connect_as(
            server: SocketAddr,
            dialect: Dialect,
        ) -> Result<Self, quinn::ConnectionError> {
            let endpoint = Endpoint::client(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
            let connecting = endpoint.connect_with(config(dialect), server, "hither").unwrap();
            let connection = connecting.await?;
            let (send, receive) = connection.open_bi().await?;
            Ok(Self { connection, send, receive, _endpoint: endpoint })
        }

        /// What a login on this connection is bound to.
        pub(crate) fn channel(&self) -> Channel {
            let mut exporter = [0; 32];
            let exported =
                self.connection.export_keying_material(&mut exporter, SERVER_EXPORTER, &[]);
            assert!(exported.is_ok());
            let chain = self.connection.peer_identity().unwrap();
            let chain = chain.downcast::<Vec<CertificateDer<'static>>>().unwrap();
            let anchor = webpki::anchor_from_trusted_cert(chain.last().unwrap()).unwrap();
            let pin = ServerPin::of_hash(&hash(&[&anchor.subject_public_key_info]));
            Channel { exporter, pin }
        }

        pub(crate) async fn send(&mut self, request: &Request) {
            self.send_bytes(&wire::frame(&wire::encode(request))).await;
        }

        pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
            self.send.write_all(bytes).await.unwrap();
        }

        /// The next reply; `None` once the server has ended the connection.
        pub(crate) async fn receive(&mut self) -> Option<Reply> {
            let body = self.receive_body().await?;
            Some(wire::decode(&body).unwrap())
        }

        pub(crate) async fn receive_body(&mut self) -> Option<Vec<u8>> {
            let mut length = [0; LENGTH_BYTES];
            self.receive.read_exact(&mut length).await.ok()?;
            let mut body = vec![0; wire::body_bytes(length, usize::MAX).unwrap()];
            self.receive.read_exact(&mut body).await.unwrap();
            Some(body)
        }

        /// Waits until this client may open one more stream.
        pub(crate) fn another_stream(&self) -> impl Future<Output = ()> + use<> {
            let connection = self.connection.clone();
            async move {
                connection.open_bi().await.unwrap();
            }
        }

        /// The connection ends as if the client had been killed: nothing is said.
        pub(crate) fn close(&self) {
            self.connection.close(CLOSED, b"");
        }
    }

    fn config(dialect: Dialect) -> quinn::ClientConfig {
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        provider.kx_groups = vec![dialect.group];
        let provider = Arc::new(provider);
        let mut tls = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
            .with_no_client_auth();
        tls.alpn_protocols = vec![dialect.alpn.to_vec()];
        tls.enable_sni = false;
        let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls).unwrap();
        quinn::ClientConfig::new(Arc::new(crypto))
    }

    #[derive(Debug)]
    struct AnyCertificate(Arc<CryptoProvider>);

    impl ServerCertVerifier for AnyCertificate {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, rustls::Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            Err(rustls::Error::General("QUIC has no TLS 1.2".into()))
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            let algorithms = &self.0.signature_verification_algorithms;
            rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    }
}
