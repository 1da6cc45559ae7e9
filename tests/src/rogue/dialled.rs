//! A direct connection to a real agent, with whatever knock, certificate and bytes.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use hither_proto::{
    crypto::{derive::hash, label::PEER_EXPORTER},
    knock::Knock,
    wire,
};
use quinn::{
    Connection, ConnectionError, ConnectionId, Endpoint, RecvStream, SendStream, TransportConfig,
    VarInt,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::{link::read_frame, one_stream_opens, soon};
use crate::wire::{
    Dialect,
    tls::{PEER_ALPN, SERVER_NAME, trusting_client_with},
};

/// What the other end may send ahead of being read: a few texts of the longest kind.
const WINDOW_BYTES: u32 = 256 << 10;

/// A certificate for one attempt, as agents make them.
#[derive(Debug)]
pub struct ThrowAway {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    /// The hash by which the other end knows it.
    pub hash: [u8; 32],
}

impl ThrowAway {
    /// A fresh one.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "no two are the same")]
    pub fn new() -> Self {
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        let hash = hash(&[&certificate]);
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Self { certificate, key, hash }
    }

    /// The certificate and its key, as TLS wants them.
    pub(super) fn parts(&self) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        (self.certificate.clone(), self.key.clone_key())
    }
}

impl Clone for ThrowAway {
    fn clone(&self) -> Self {
        let Self { certificate, key, hash } = self;
        Self { certificate: certificate.clone(), key: key.clone_key(), hash: *hash }
    }
}

/// The connection. Each end has one stream, which begins with its first frame.
#[derive(Debug)]
pub struct Dialled {
    _endpoint: Endpoint,
    connection: Connection,
    send: Option<SendStream>,
    receive: Option<RecvStream>,
}

impl Dialled {
    /// Dials an agent. `None` if nothing has come of it when `patience` has gone without a packet.
    #[must_use]
    pub fn knock(
        place: SocketAddr,
        knock: Knock,
        certificate: &ThrowAway,
        patience: Duration,
    ) -> Option<Self> {
        let mut transport = TransportConfig::default();
        transport.max_idle_timeout(Some(patience.try_into().unwrap()));
        transport.keep_alive_interval(Some(patience / 3));
        transport.stream_receive_window(VarInt::from_u32(WINDOW_BYTES));
        let dialect = Dialect { alpn: PEER_ALPN, ..Dialect::default() };
        let mut config = trusting_client_with(&dialect, Some(certificate.parts()));
        config.transport_config(Arc::new(transport));
        config.initial_dst_cid_provider(Arc::new(move || ConnectionId::new(&knock.0)));
        soon("an end of the handshake", async {
            let endpoint = Endpoint::client(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
            let connecting = endpoint.connect_with(config, place, SERVER_NAME).unwrap();
            let connection = connecting.await.ok()?;
            Some(Self { _endpoint: endpoint, connection, send: None, receive: None })
        })
    }

    /// What only the two ends of this very connection know.
    #[must_use]
    pub fn exporter(&self) -> [u8; 32] {
        let mut exporter = [0; 32];
        self.connection.export_keying_material(&mut exporter, PEER_EXPORTER, &[]).unwrap();
        exporter
    }

    /// Sends a frame. If the other end has closed, that shows when it is listened to.
    #[track_caller]
    pub fn says(&mut self, body: &[u8]) {
        self.says_bytes(&wire::frame(body));
    }

    /// Sends any bytes. If the other end has closed, that shows when it is listened to.
    #[track_caller]
    pub fn says_bytes(&mut self, bytes: &[u8]) {
        soon("the other end takes bytes", async {
            if self.send.is_none() {
                self.send = self.connection.open_uni().await.ok();
            }
            if let Some(send) = &mut self.send {
                drop(send.write_all(bytes).await);
            }
        });
    }

    /// Says nothing more.
    pub fn falls_silent(&mut self) {
        // If the other end has closed, that shows when it is listened to.
        let _ = self.send.as_mut().map(SendStream::finish);
    }

    /// Whether one of so many streams more can be opened, of either kind. Asks as long as `meanwhile` takes.
    pub fn gets_one_of(&self, streams: usize, meanwhile: impl FnOnce()) -> bool {
        one_stream_opens(&self.connection, streams, meanwhile)
    }

    /// The body of the next frame; `None` once the connection has ended.
    #[must_use]
    #[track_caller]
    pub fn hears(&mut self) -> Option<Vec<u8>> {
        soon("a frame, or the end of the connection", async {
            if self.receive.is_none() {
                self.receive = self.connection.accept_uni().await.ok();
            }
            read_frame(self.receive.as_mut()?).await.unwrap()
        })
    }

    /// Waits until the other end has ended the connection, whatever it says before.
    #[track_caller]
    pub fn is_closed(&self) {
        match soon("the end of a connection to an agent", self.connection.closed()) {
            ConnectionError::ApplicationClosed(_) => {}
            other => panic!("the agent says that it closes, instead of {other}"),
        }
    }

    /// Insists that the other end closes without having said anything.
    #[track_caller]
    pub fn hears_nothing(&mut self) {
        assert_eq!(self.hears(), None, "a frame");
        self.is_closed();
    }
}
