//! TLS for both hops: to the server, pinned to the identity that signed its certificate; between peers,
//! pinned to throw-away certificates. Version 1.3 and the hybrid X25519MLKEM768 only, no names, no
//! resumption.

use std::sync::Arc;

use hither_proto::{crypto::derive::hash, name::ServerPin, wire::version::Versions};
use quinn::crypto::rustls::{NoInitialCipherSuite, QuicClientConfig, QuicServerConfig};
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};

/// The protocol on connections between peers.
const PEER_ALPN: &[u8] = b"hither/1 peer";

/// The name that rustls wants for a connection. It is neither sent nor compared.
pub(super) const NO_NAME: &str = "hither";

/// Why a configuration could not be made: a bug of ours or a broken installation.
#[derive(Debug, thiserror::Error)]
pub(in crate::agent) enum TlsError {
    #[error("a throw-away certificate could not be made")]
    Certificate(#[from] rcgen::Error),
    #[error("the TLS configuration is not usable")]
    Config(#[from] Error),
    #[error("the TLS configuration does not fit QUIC")]
    Quic(#[from] NoInitialCipherSuite),
}

/// A certificate for one attempt, and its key.
#[derive(Debug)]
pub(super) struct ThrowAway {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    /// The hash by which the other end knows it.
    pub(super) hash: [u8; 32],
}

impl ThrowAway {
    /// A fresh key, and a certificate that says nothing else.
    pub(super) fn generate() -> Result<Self, TlsError> {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519)?;
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        let certificate = params.self_signed(&key)?.der().clone();
        let hash = hash(&[&certificate]);
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        Ok(Self { certificate, key, hash })
    }

    /// How the door of an attempt answers. Whether the right peer has come is for the session to say.
    pub(super) fn accept(&self) -> Result<QuicServerConfig, TlsError> {
        let provider = provider();
        let verifier = Arc::new(Verifier { rule: Rule::AnyPeer, provider: provider.clone() });
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![self.certificate.clone()], self.key.clone_key())?;
        config.alpn_protocols = vec![PEER_ALPN.to_vec()];
        config.send_tls13_tickets = 0;
        Ok(config.try_into()?)
    }

    /// How the door of the other end of an attempt is dialled. Without a certificate to expect, the session
    /// says later whether it was the right one.
    pub(super) fn dial(&self, certificate: Option<[u8; 32]>) -> Result<QuicClientConfig, TlsError> {
        let mut config = client(certificate.map_or(Rule::AnyPeer, Rule::OnePeer))?
            .with_client_auth_cert(vec![self.certificate.clone()], self.key.clone_key())?;
        finish(&mut config, vec![PEER_ALPN.to_vec()]);
        Ok(config.try_into()?)
    }
}

/// How a server is dialled. Any server passes that has a certificate signed by an identity, unless one
/// is expected; what an unexpected one is worth, the login shows.
pub(super) fn server(expected: Option<ServerPin>) -> Result<QuicClientConfig, TlsError> {
    let mut config = client(Rule::Server(expected))?.with_no_client_auth();
    finish(&mut config, Versions::OURS.protocols());
    Ok(config.try_into()?)
}

/// The pin of the server that presented this chain: its certificate, then the identity that signed it.
pub(super) fn pin(chain: &[CertificateDer<'_>]) -> Option<ServerPin> {
    let anchor = webpki::anchor_from_trusted_cert(chain.last()?).ok()?;
    Some(ServerPin::of_hash(&hash(&[&anchor.subject_public_key_info])))
}

/// Whether TLS failed because the server did not prove to be the expected one, or any at all.
pub(super) fn is_identity_mismatch(reason: &str) -> bool {
    reason.contains(MISMATCH)
}

const MISMATCH: &str = "not the pinned identity";

fn provider() -> Arc<CryptoProvider> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.kx_groups = vec![rustls::crypto::aws_lc_rs::kx_group::X25519MLKEM768];
    Arc::new(provider)
}

type WantsClientCert = rustls::ConfigBuilder<rustls::ClientConfig, rustls::client::WantsClientCert>;

fn client(rule: Rule) -> Result<WantsClientCert, Error> {
    let provider = provider();
    let verifier = Arc::new(Verifier { rule, provider: provider.clone() });
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier))
}

fn finish(config: &mut rustls::ClientConfig, protocols: Vec<Vec<u8>>) {
    config.alpn_protocols = protocols;
    config.enable_sni = false;
    config.resumption = rustls::client::Resumption::disabled();
}

/// Whose certificate passes.
#[derive(Debug)]
enum Rule {
    /// Any peer's. Both ends may dial before the server has told the caller the callee's certificate.
    AnyPeer,
    /// The peer's with this hash and no other.
    OnePeer([u8; 32]),
    /// A server's that its identity has signed; if one is expected, only that identity.
    Server(Option<ServerPin>),
}

#[derive(Debug)]
struct Verifier {
    rule: Rule,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn passes(
        &self,
        certificate: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> bool {
        match &self.rule {
            Rule::AnyPeer => true,
            Rule::OnePeer(expected) => hash(&[certificate]) == *expected,
            Rule::Server(expected) => {
                let pin = signed(certificate, rest, now, &self.provider);
                pin.is_some_and(|pin| expected.as_ref().is_none_or(|expected| *expected == pin))
            }
        }
    }

    fn verify(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The pin of the identity that has signed `certificate`, if one has.
fn signed(
    certificate: &CertificateDer<'_>,
    rest: &[CertificateDer<'_>],
    now: UnixTime,
    provider: &CryptoProvider,
) -> Option<ServerPin> {
    let anchor = webpki::anchor_from_trusted_cert(rest.last()?).ok()?;
    let leaf = webpki::EndEntityCert::try_from(certificate).ok()?;
    let algorithms = provider.signature_verification_algorithms.all;
    let usage = webpki::KeyUsage::server_auth();
    leaf.verify_for_usage(algorithms, &[anchor], &[], now, usage, None, None).ok()?;
    pin(rest)
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let refused = || Error::General(MISMATCH.into());
        self.passes(certificate, rest, now).then(ServerCertVerified::assertion).ok_or_else(refused)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(only_13())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let refused = || Error::General(MISMATCH.into());
        self.passes(certificate, rest, now).then(ClientCertVerified::assertion).ok_or_else(refused)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(only_13())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

fn only_13() -> Error {
    Error::General("only TLS 1.3 is spoken here".into())
}
