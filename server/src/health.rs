//! Whether a running server does what it is for: a client's handshake, and a question that only the
//! storage can answer.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use hither_proto::{
    crypto::sign::SIGNATURE_BYTES,
    name::ServerPin,
    wire::{
        self, LENGTH_BYTES,
        server::{Refusal, Reply, Request},
        version::Versions,
    },
};
use quinn::{ConnectionError, Endpoint, RecvStream, crypto::rustls::QuicClientConfig};
use rustls::{
    DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    version::TLS13,
};
use tokio::time::timeout;

use crate::{
    data::random,
    fault::Fault,
    limits::HEALTH_TIMEOUT,
    tls::{self, NAME},
};

/// Longer than any answer to a question of ours.
const REPLY_BYTES_MAX: usize = 4096;

const MISMATCH: &str = "not the pinned identity";

/// How long a healthy server took.
pub(crate) struct Health {
    pub(crate) handshake: Duration,
    pub(crate) ping: Duration,
}

/// Connects to the server that listens on `listen`, which must be the one with this pin, and asks for a
/// session that nobody has.
pub(crate) async fn examine(listen: SocketAddr, pin: &ServerPin) -> Result<Health, Fault> {
    let address = match listen.ip().is_unspecified() {
        true => SocketAddr::from((Ipv4Addr::LOCALHOST, listen.port())),
        false => listen,
    };
    let silent = || Fault::NoAnswer(address);
    let from = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let from: SocketAddr = from.parse().context("an address of ours")?;
    let mut endpoint = Endpoint::client(from).map_err(|error| Fault::listen(from, error))?;
    endpoint.set_default_client_config(config(pin.clone())?);
    let start = Instant::now();
    let connecting = endpoint.connect(address, NAME).context("dialling")?;
    let connected = timeout(HEALTH_TIMEOUT, connecting).await.map_err(|_| silent())?;
    let connection = connected.map_err(|error| match error {
        ConnectionError::TransportError(error) if error.reason.contains(MISMATCH) => {
            Fault::OtherServer(address)
        }
        _ => silent(),
    })?;
    let handshake = start.elapsed();
    let asked = async {
        let (mut send, mut receive) = connection.open_bi().await?;
        // Drawn from so many that it is nobody's.
        let drawn = random()?;
        let (session, _) = drawn.expose().split_first_chunk().context("16 of 32 bytes")?;
        let request = Request::Resume { session: *session, signature: [0; SIGNATURE_BYTES] };
        send.write_all(&wire::frame(&wire::encode(&request))).await?;
        reply(&mut receive).await
    };
    let reply = timeout(HEALTH_TIMEOUT, asked).await;
    connection.close(0_u32.into(), b"");
    // Whoever does not hear of the end finds out by itself.
    let _ = timeout(HEALTH_TIMEOUT, endpoint.wait_idle()).await;
    match reply {
        Ok(Ok(Reply::Refused { why: Refusal::AuthFailed, .. })) => {
            Ok(Health { handshake, ping: start.elapsed().saturating_sub(handshake) })
        }
        Ok(Ok(_)) => Err(Fault::Unwell(address)),
        _ => Err(silent()),
    }
}

async fn reply(receive: &mut RecvStream) -> Result<Reply> {
    let mut length = [0; LENGTH_BYTES];
    receive.read_exact(&mut length).await?;
    let mut body = vec![0; wire::body_bytes(length, REPLY_BYTES_MAX)?];
    receive.read_exact(&mut body).await?;
    Ok(wire::decode(&body)?)
}

fn config(pin: ServerPin) -> Result<quinn::ClientConfig> {
    let provider = tls::provider();
    let verifier = Arc::new(Pinned { pin, provider: Arc::clone(&provider) });
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .context("choosing TLS 1.3")?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = Versions::OURS.protocols();
    config.enable_sni = false;
    let config = QuicClientConfig::try_from(config).context("preparing TLS for QUIC")?;
    Ok(quinn::ClientConfig::new(Arc::new(config)))
}

/// Lets the server through whose certificate the pinned identity has signed.
#[derive(Debug)]
struct Pinned {
    pin: ServerPin,
    provider: Arc<CryptoProvider>,
}

impl Pinned {
    fn passes(
        &self,
        certificate: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Option<()> {
        let identity = rest.last()?;
        let anchor = webpki::anchor_from_trusted_cert(identity).ok()?;
        let leaf = webpki::EndEntityCert::try_from(certificate).ok()?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        let usage = webpki::KeyUsage::server_auth();
        leaf.verify_for_usage(algorithms, &[anchor], &[], now, usage, None, None).ok()?;
        (tls::pin(identity).ok()? == self.pin).then_some(())
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let passes = self.passes(certificate, rest, now);
        passes.map(|()| ServerCertVerified::assertion()).ok_or(Error::General(MISMATCH.into()))
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("QUIC has no TLS 1.2".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
