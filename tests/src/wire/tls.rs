//! The client's half of a TLS handshake that believes everything.

use std::sync::Arc;

use quinn::{
    ClientConfig, ServerConfig, TransportConfig, VarInt,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use rcgen::{CertificateParams, KeyPair};
use rustls::{
    DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, SupportedKxGroup},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime},
    version::TLS13,
};

/// The protocol that clients and server agree on in their TLS handshake.
pub(crate) const ALPN: &[u8] = b"hither/1";

/// The protocol that two agents agree on in theirs.
pub(crate) const PEER_ALPN: &[u8] = b"hither/1 peer";

/// QUIC clients must give a name; this one is not sent.
pub const SERVER_NAME: &str = "hither";

/// What a client says of itself in its TLS handshake.
#[derive(Clone, Debug)]
pub struct Dialect {
    /// The protocol it asks for.
    pub alpn: &'static [u8],
    /// The only key exchange it offers.
    pub group: &'static dyn SupportedKxGroup,
}

impl Default for Dialect {
    /// What an honest client says to the server.
    fn default() -> Self {
        Self { alpn: ALPN, group: rustls::crypto::aws_lc_rs::kx_group::X25519MLKEM768 }
    }
}

impl Dialect {
    /// A client that knows nothing of post-quantum cryptography.
    #[must_use]
    pub fn classical() -> Self {
        Self { group: rustls::crypto::aws_lc_rs::kx_group::X25519, ..Self::default() }
    }
}

/// A client that takes any certificate.
#[must_use]
pub fn trusting_client() -> ClientConfig {
    trusting_client_with(&Dialect::default(), None)
}

/// A client that takes any certificate, and shows its own if it has one.
pub(crate) fn trusting_client_with(
    dialect: &Dialect,
    own: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
) -> ClientConfig {
    trusting_client_offering(&[dialect.alpn], dialect, own)
}

/// The same, which offers all of these protocols in place of the dialect's.
pub(crate) fn trusting_client_offering(
    protocols: &[&[u8]],
    dialect: &Dialect,
    own: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
) -> ClientConfig {
    let provider = provider_of(dialect);
    let tls = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)));
    let mut tls = match own {
        Some((certificate, key)) => tls.with_client_auth_cert(vec![certificate], key).unwrap(),
        None => tls.with_no_client_auth(),
    };
    tls.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    tls.enable_sni = false;
    ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()))
}

/// The same, with everything off that costs a connection memory and that short frames do not need.
#[must_use]
pub fn trimmed_server() -> ServerConfig {
    let mut config = server(|tls| tls.send_tls13_tickets = 0);
    config.validation_token.sent(0);
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .mtu_discovery_config(None)
        .enable_segmentation_offload(false);
    config.transport_config(Arc::new(transport));
    config
}

/// What a client of any other protocol says over TCP, which takes any certificate, too.
#[must_use]
pub fn trusting_tls() -> rustls::ClientConfig {
    let provider = provider();
    rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth()
}

/// A server whose certificate says nothing.
#[must_use]
pub fn any_server() -> ServerConfig {
    server(|_| {})
}

/// Answers as the door of an agent does that shows this certificate, and lets anybody in.
pub(crate) fn peer_server(
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
) -> ServerConfig {
    server_showing(certificate, key, |tls| tls.alpn_protocols = vec![PEER_ALPN.to_vec()])
}

fn server(change: impl FnOnce(&mut rustls::ServerConfig)) -> ServerConfig {
    let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let certificate = CertificateParams::default().self_signed(&key).unwrap();
    server_showing(certificate.into(), PrivateKeyDer::Pkcs8(key.serialize_der().into()), change)
}

fn server_showing(
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    change: impl FnOnce(&mut rustls::ServerConfig),
) -> ServerConfig {
    let mut tls = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    tls.alpn_protocols = vec![ALPN.to_vec()];
    change(&mut tls);
    ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()))
}

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// The cryptography of somebody who knows one key exchange.
pub(crate) fn provider_of(dialect: &Dialect) -> Arc<CryptoProvider> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.kx_groups = vec![dialect.group];
    Arc::new(provider)
}

/// Believes whatever the server shows, as long as it has the key.
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
