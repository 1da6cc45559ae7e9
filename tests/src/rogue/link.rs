//! A connection to a server, on which anything can be said at any time.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use hither_proto::{
    crypto::label::SERVER_EXPORTER,
    login::Channel,
    name::ServerPin,
    wire::{
        self, LENGTH_BYTES,
        server::{Refusal, Reply, Request},
        version::{NO_VERSION_CODE, Versions},
    },
};
use quinn::{
    ClientConfig, Connection, ConnectionError, Endpoint, ReadExactError, RecvStream, SendStream,
    TransportConfig, VarInt, crypto::rustls::HandshakeData,
};

use super::{one_stream_opens, soon};
use crate::{
    lab::Server,
    wire::{
        Dialect,
        tls::{SERVER_NAME, trusting_client_offering, trusting_client_with},
    },
};

/// Often enough for a server that gives up silent connections.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// The one stream on which client and server talk.
#[derive(Debug)]
pub struct Link {
    _endpoint: Endpoint,
    connection: Connection,
    send: SendStream,
    receive: RecvStream,
    pin: ServerPin,
}

impl Link {
    /// Connects to a server.
    #[must_use]
    #[track_caller]
    pub fn to(server: &Server) -> Self {
        Self::through(server, server.address())
    }

    /// Connects to a server by way of another address.
    #[must_use]
    #[track_caller]
    pub fn through(server: &Server, address: SocketAddr) -> Self {
        Self::by(server.link(), address)
    }

    /// Connects to the server of a link, at an address.
    #[must_use]
    #[track_caller]
    pub fn by(link: &str, address: SocketAddr) -> Self {
        let pin = link.parse::<hither_proto::name::Link>().unwrap().pin;
        let connected = soon("the server lets us in", connect(address, &Dialect::default()));
        let (endpoint, connection) = connected.unwrap();
        Self::on(endpoint, connection, pin)
    }

    /// On a connection that stands.
    #[track_caller]
    pub(super) fn on(endpoint: Endpoint, connection: Connection, pin: ServerPin) -> Self {
        let (send, receive) = soon("a stream", connection.open_bi()).unwrap();
        Self { _endpoint: endpoint, connection, send, receive, pin }
    }

    /// Tries to connect with another TLS handshake than an honest client's.
    ///
    /// # Errors
    /// If the server does not let it in.
    #[track_caller]
    pub fn try_as(server: &Server, dialect: &Dialect) -> Result<(), ConnectionError> {
        soon("an end of the handshake", connect(server.address(), dialect)).map(drop)
    }

    /// Connects as a client that offers these protocols, best first.
    ///
    /// # Errors
    /// If the server does not let it in.
    #[track_caller]
    pub fn offering(server: &Server, protocols: &[&[u8]]) -> Result<Self, ConnectionError> {
        let pin = server.link().parse::<hither_proto::name::Link>().unwrap().pin;
        let config = trusting_client_offering(protocols, &Dialect::default(), None);
        let connecting = connect_with(server.address(), config);
        let (endpoint, connection) = soon("an end of the handshake", connecting)?;
        let (send, receive) = soon("a stream", connection.open_bi())?;
        Ok(Self { _endpoint: endpoint, connection, send, receive, pin })
    }

    /// The protocol that was agreed on.
    #[must_use]
    #[track_caller]
    pub fn protocol(&self) -> Vec<u8> {
        let data = self.connection.handshake_data().unwrap();
        data.downcast::<HandshakeData>().unwrap().protocol.expect("a protocol")
    }

    /// Which versions of the protocol the server speaks, as it says to a client that offers these protocols and
    /// has none in common with it.
    #[must_use]
    #[track_caller]
    pub fn hears_versions(server: &Server, protocols: &[&[u8]]) -> Versions {
        let config = trusting_client_offering(protocols, &Dialect::default(), None);
        let connecting = connect_with(server.address(), config);
        let (_endpoint, connection) = soon("an end of the handshake", connecting).unwrap();
        match soon("the end of the connection", connection.closed()) {
            ConnectionError::ApplicationClosed(close) => {
                assert_eq!(close.error_code, VarInt::from_u32(NO_VERSION_CODE));
                wire::decode(&close.reason).unwrap()
            }
            other => panic!("the server says that it closes, instead of {other}"),
        }
    }

    /// What a login on this connection is bound to.
    #[must_use]
    pub fn channel(&self) -> Channel {
        let mut exporter = [0; 32];
        self.connection.export_keying_material(&mut exporter, SERVER_EXPORTER, &[]).unwrap();
        Channel { exporter, pin: self.pin.clone() }
    }

    /// Says something that is a request.
    #[track_caller]
    pub fn says(&mut self, request: &Request) {
        self.says_bytes(&wire::frame(&wire::encode(request)));
    }

    /// Says anything.
    #[track_caller]
    pub fn says_bytes(&mut self, bytes: &[u8]) {
        soon("the server takes bytes", self.send.write_all(bytes)).unwrap();
    }

    /// The same, for whoever carries many connections at once.
    pub async fn say(&mut self, request: &Request) {
        self.send.write_all(&wire::frame(&wire::encode(request))).await.unwrap();
    }

    /// The next reply, for whoever carries many connections at once.
    pub async fn hear(&mut self) -> Reply {
        let body = read_frame(&mut self.receive).await.unwrap();
        wire::decode(&body.expect("the server says something")).unwrap()
    }

    /// Says one byte more, if anybody listens.
    pub fn dribbles(&mut self, byte: u8) {
        let said = soon("a byte is taken, or the connection ends", self.send.write_all(&[byte]));
        // The connection may have ended since somebody last looked.
        drop(said);
    }

    /// Whether the server takes datagrams (RFC 9221).
    #[must_use]
    pub fn may_send_datagrams(&self) -> bool {
        self.connection.max_datagram_size().is_some()
    }

    /// Says nothing more.
    pub fn falls_silent(&mut self) {
        self.send.finish().unwrap();
    }

    /// The body of the next frame; `None` once the server has nothing more to say.
    #[must_use]
    #[track_caller]
    pub fn hears_body(&mut self) -> Option<Vec<u8>> {
        let body = read_frame(&mut self.receive);
        soon("a frame, or the end of the connection", body).unwrap()
    }

    /// The next reply.
    #[must_use]
    #[track_caller]
    pub fn hears(&mut self) -> Reply {
        let body = self.hears_body().expect("the server says something");
        wire::decode(&body).unwrap()
    }

    /// Insists that nothing more is said but that the last request was not expected, and that the
    /// connection ends.
    #[track_caller]
    pub fn is_refused(&mut self) {
        let refused =
            Reply::Refused { request: None, why: Refusal::Unexpected, retry_after_ms: None };
        let said = self.hears_body().expect("a refusal");
        assert_eq!(said, wire::encode(&refused), "{:?}", wire::decode::<Reply>(&said));
        assert_eq!(self.hears_body(), None);
    }

    /// Waits until the server has ended the whole connection.
    #[track_caller]
    pub fn is_cut_off(&self) {
        match soon("the end of the connection", self.connection.closed()) {
            ConnectionError::ApplicationClosed(_) => {}
            other => panic!("the server says that it closes, instead of {other}"),
        }
    }

    /// Whether the server has ended the connection by now.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.connection.close_reason().is_some()
    }

    /// Whether another stream can be opened, of either kind. Asks as long as `meanwhile` takes.
    pub fn gets_another_stream(&mut self, meanwhile: impl FnOnce(&mut Self)) -> bool {
        self.gets_one_of(1, meanwhile)
    }

    /// Whether one of so many streams of either kind can be opened.
    pub fn gets_one_of(&mut self, streams: usize, meanwhile: impl FnOnce(&mut Self)) -> bool {
        let connection = self.connection.clone();
        one_stream_opens(&connection, streams, || meanwhile(self))
    }

    /// Ends as if the client had been killed a moment after its last word.
    pub fn hangs_up(&self) {
        self.connection.close(0_u32.into(), b"");
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.hangs_up();
    }
}

/// The next frame's body; `None` at the end of the stream or of the connection.
pub(super) async fn read_frame(stream: &mut RecvStream) -> Result<Option<Vec<u8>>, &'static str> {
    let mut length = [0; LENGTH_BYTES];
    match stream.read_exact(&mut length).await {
        Ok(()) => {}
        Err(ReadExactError::FinishedEarly(0) | ReadExactError::ReadError(_)) => return Ok(None),
        Err(ReadExactError::FinishedEarly(_)) => return Err("half a length"),
    }
    let mut body = vec![0; wire::body_bytes(length, usize::MAX).unwrap()];
    match stream.read_exact(&mut body).await {
        Ok(()) => Ok(Some(body)),
        Err(ReadExactError::ReadError(_)) => Ok(None),
        Err(ReadExactError::FinishedEarly(_)) => Err("half a frame"),
    }
}

async fn connect(
    address: SocketAddr,
    dialect: &Dialect,
) -> Result<(Endpoint, Connection), ConnectionError> {
    connect_with(address, trusting_client_with(dialect, None)).await
}

async fn connect_with(
    address: SocketAddr,
    mut config: ClientConfig,
) -> Result<(Endpoint, Connection), ConnectionError> {
    let mut transport = TransportConfig::default();
    transport.keep_alive_interval(Some(KEEP_ALIVE));
    config.transport_config(Arc::new(transport));
    let endpoint = Endpoint::client(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let connection = endpoint.connect_with(config, address, SERVER_NAME).unwrap().await?;
    Ok((endpoint, connection))
}
