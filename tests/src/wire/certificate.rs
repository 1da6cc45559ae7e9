//! Certificates: the one a server presents, and those that an operator brings.

use std::{
    net::SocketAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use quinn::Endpoint;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PublicKeyData};
use rustls::pki_types::CertificateDer;

use super::tls::{SERVER_NAME, trusting_client};

/// The certificate that a server presents to whoever connects now.
///
/// # Panics
/// If it does not let us in.
#[must_use]
pub fn presented_certificate(server: SocketAddr) -> Vec<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let endpoint = Endpoint::client(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let connecting = endpoint.connect_with(trusting_client(), server, SERVER_NAME).unwrap();
        let connection = connecting.await.expect("the server lets us in");
        let chain = connection.peer_identity().unwrap();
        let chain = chain.downcast::<Vec<CertificateDer<'static>>>().unwrap();
        connection.close(0u32.into(), b"");
        endpoint.wait_idle().await;
        chain[0].to_vec()
    })
}

/// A certificate and its key, as files hold them.
#[derive(Clone, Debug)]
pub struct Pem {
    /// The certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
    /// The public key, as it stands in every certificate for it.
    pub public_key: Vec<u8>,
}

impl Pem {
    /// Of an authority that no client of ours knows, valid for so many days from now.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn of_another_issuer(days: i64) -> Self {
        let mut issuer = CertificateParams::default();
        issuer.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer_key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let issuer = Issuer::from_params(&issuer, &issuer_key);
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let mut params = CertificateParams::new(["chat.example.org".to_owned()]).unwrap();
        let day = Duration::from_secs(24 * 60 * 60);
        let length = day * u32::try_from(days.unsigned_abs()).unwrap();
        let now = SystemTime::now();
        params.not_before = UNIX_EPOCH.into();
        params.not_after = if days < 0 { now - length } else { now + length }.into();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        Self {
            certificate: pem("CERTIFICATE", certificate.der()),
            key: pem("PRIVATE KEY", &key.serialize_der()),
            public_key: key.der_bytes().to_vec(),
        }
    }
}

fn pem(kind: &str, bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let groups = bytes.chunks(3).map(|group| {
        let bits = group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - group.len()));
        let digit = |at: usize| char::from(DIGITS[(bits >> (18 - 6 * at)) as usize & 63]);
        let digits = (0..4).map(|at| if at <= group.len() { digit(at) } else { '=' });
        digits.collect::<String>()
    });
    let body = groups.collect::<String>();
    format!("-----BEGIN {kind}-----\n{body}\n-----END {kind}-----\n")
}
