//! The other end of a connection, for tests of a whole server.

use std::{net::SocketAddr, sync::Arc};

use hither_proto::{
    crypto::{derive::hash, label::SERVER_EXPORTER},
    login::Channel,
    name::ServerPin,
    wire::{
        self, LENGTH_BYTES,
        server::{Reply, Request},
    },
};
use quinn::{Endpoint, RecvStream, SendStream};
use rustls::{
    DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, SupportedKxGroup},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use super::CLOSED;

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
        let exported = self.connection.export_keying_material(&mut exporter, SERVER_EXPORTER, &[]);
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
