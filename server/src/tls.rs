//! The server's identity as TLS shows it: a long-lived key that signs short-lived ones, and names nobody.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};
use hither_proto::{crypto::derive::hash, name::ServerPin, wire::version::Versions};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, date_time_ymd,
};
use rustls::{
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer, UnixTime},
    server::{NoServerSessionStorage, ResolvesServerCert},
    version::TLS13,
};
use zeroize::Zeroizing;

/// The only name in the certificates. The same for every server, so that it says nothing about any.
pub(crate) const NAME: &str = "hither";

/// The long-lived identity of a server, to which its clients are pinned.
pub(crate) struct Identity {
    /// `None` while it is kept elsewhere, and nothing can be signed here.
    key: Option<KeyPair>,
    certificate: CertificateDer<'static>,
    pin: ServerPin,
}

impl Identity {
    /// A fresh identity.
    pub(crate) fn generate() -> Result<Self> {
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).context("generating a key")?;
        let certificate = identity_params().self_signed(&key).context("signing a certificate")?;
        let pin = pin(certificate.der())?;
        Ok(Self { key: Some(key), certificate: certificate.der().clone(), pin })
    }

    /// From what [`Identity::key_bytes`] and [`Identity::certificate_bytes`] gave; `None` if these bytes
    /// are damaged or do not belong together.
    pub(crate) fn from_bytes(key: &[u8], certificate: &[u8]) -> Option<Self> {
        let key = PrivatePkcs8KeyDer::from(key);
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&key, &rcgen::PKCS_ED25519).ok()?;
        let certificate = CertificateDer::from(certificate.to_vec());
        let anchor = webpki::anchor_from_trusted_cert(&certificate).ok()?;
        let belongs = key.subject_public_key_info().ends_with(&anchor.subject_public_key_info);
        drop(anchor);
        let pin = pin(&certificate).ok()?;
        belongs.then_some(Self { key: Some(key), certificate, pin })
    }

    /// One whose key is elsewhere; `None` if this is no certificate.
    pub(crate) fn without_key(certificate: &[u8]) -> Option<Self> {
        let certificate = CertificateDer::from(certificate.to_vec());
        let pin = pin(&certificate).ok()?;
        Some(Self { key: None, certificate, pin })
    }

    /// Whether it can vouch for anything here.
    pub(crate) const fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// The private key: PKCS #8, DER. `None` if it is elsewhere.
    pub(crate) fn key_bytes(&self) -> Option<Zeroizing<Vec<u8>>> {
        self.key.as_ref().map(|key| Zeroizing::new(key.serialize_der()))
    }

    /// The certificate: X.509, DER.
    pub(crate) fn certificate_bytes(&self) -> &[u8] {
        &self.certificate
    }

    /// What clients know this server by.
    pub(crate) const fn pin(&self) -> &ServerPin {
        &self.pin
    }

    /// What every chain ends in: the certificate that says what a pin is taken of.
    pub(crate) const fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Vouches for a key until `until`.
    pub(crate) fn vouch(
        &self,
        key: &impl PublicKeyData,
        until: SystemTime,
    ) -> Result<CertificateDer<'static>> {
        let params = identity_params();
        let identity_key = self.key.as_ref().context("the identity's key is not here")?;
        let issuer = Issuer::from_params(&params, identity_key);
        let leaf = leaf_params(until)?.signed_by(key, &issuer).context("signing a certificate")?;
        Ok(leaf.der().clone())
    }

    /// Until when `leaf` is valid, and whether this identity vouches for it.
    pub(crate) fn looks_at(
        &self,
        leaf: &CertificateDer<'_>,
        now: SystemTime,
    ) -> Result<Standing, NotValid> {
        let verified = |at| self.verify(leaf, at);
        let vouched_for = match verified(unix(now)) {
            Ok(()) => true,
            Err(webpki::Error::CertExpired { .. }) => return Err(NotValid::Expired),
            Err(webpki::Error::CertNotValidYet { .. }) => return Err(NotValid::Early),
            Err(webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey) => {
                false
            }
            Err(_) => return Err(NotValid::Unusable),
        };
        // Of a certificate that has expired it is said when it did, and at the end of time all have.
        match verified(UnixTime::since_unix_epoch(Duration::from_secs(u32::MAX.into()) * 100)) {
            Err(webpki::Error::CertExpired { not_after, .. }) => {
                let until = UNIX_EPOCH + Duration::from_secs(not_after.as_secs());
                Ok(Standing { until, vouched_for })
            }
            _ => Err(NotValid::Unusable),
        }
    }

    fn verify(&self, leaf: &CertificateDer<'_>, at: UnixTime) -> Result<(), webpki::Error> {
        let anchor = webpki::anchor_from_trusted_cert(&self.certificate)?;
        let leaf = webpki::EndEntityCert::try_from(leaf)?;
        let algorithms = provider().signature_verification_algorithms.all;
        let usage = webpki::KeyUsage::server_auth();
        leaf.verify_for_usage(algorithms, &[anchor], &[], at, usage, None, None).map(|_| ())
    }
}

/// What there is to know of a certificate that is valid now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Standing {
    /// Until when.
    pub(crate) until: SystemTime,
    /// Whether the identity has signed it.
    pub(crate) vouched_for: bool,
}

/// Why a certificate cannot be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NotValid {
    /// It has expired.
    Expired,
    /// It is not valid yet.
    Early,
    /// It is not one for a server, or damaged.
    Unusable,
}

/// TLS as every connection to this server uses it.
pub(crate) fn config(certificates: Arc<dyn ResolvesServerCert>) -> Result<rustls::ServerConfig> {
    let mut tls = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .context("choosing TLS 1.3")?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    tls.alpn_protocols = Versions::OURS.protocols();
    tls.ignore_client_order = true;
    // Resumption saves the server nothing that can be measured, and tickets link connections.
    tls.send_tls13_tickets = 0;
    tls.session_storage = Arc::new(NoServerSessionStorage {});
    tls.max_early_data_size = 0;
    Ok(tls)
}

/// One key exchange, hybrid: there is nothing to downgrade to. And the suites in an order of our own: processors
/// have instructions for SHA-256, and few for the SHA-384 that comes with the longer key of AES.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};

    let mut provider = default_provider();
    provider.kx_groups = vec![kx_group::X25519MLKEM768];
    provider.cipher_suites = vec![
        cipher_suite::TLS13_AES_128_GCM_SHA256,
        cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        cipher_suite::TLS13_AES_256_GCM_SHA384,
    ];
    Arc::new(provider)
}

fn unix(time: SystemTime) -> UnixTime {
    UnixTime::since_unix_epoch(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// What clients know the server with this identity's certificate by.
pub(crate) fn pin(certificate: &CertificateDer<'_>) -> Result<ServerPin> {
    let anchor = webpki::anchor_from_trusted_cert(certificate).context("reading a certificate")?;
    Ok(ServerPin::of_hash(&hash(&[&anchor.subject_public_key_info])))
}

fn identity_params() -> CertificateParams {
    let mut params = nameless_params();
    params.distinguished_name.push(DnType::CommonName, NAME);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn leaf_params(until: SystemTime) -> Result<CertificateParams> {
    let mut params = nameless_params();
    params.not_after = until.into();
    let name = NAME.try_into().context("naming a certificate")?;
    params.subject_alt_names = vec![rcgen::SanType::DnsName(name)];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

fn nameless_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    // Trust comes from the pin, so the identity's validity does not end. No certificate begins at a certain
    // time: that would only lock out people whose clock is behind.
    params.not_before = date_time_ymd(1975, 1, 1);
    params.not_after = date_time_ymd(4096, 1, 1);
    params
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::ServerName;

    use super::*;

    #[test]
    fn an_identity_survives_being_written_down() {
        let identity = Identity::generate().unwrap();
        let key = identity.key_bytes().unwrap();
        let certificate = identity.certificate_bytes();
        let again = Identity::from_bytes(&key, certificate).unwrap();
        assert_eq!(again.pin(), identity.pin());
        let other = Identity::generate().unwrap();
        assert_ne!(other.pin(), identity.pin());
        assert!(Identity::from_bytes(&other.key_bytes().unwrap(), certificate).is_none());
        assert!(Identity::from_bytes(&key[1..], certificate).is_none());
        assert!(Identity::from_bytes(&key, &certificate[1..]).is_none());
    }

    #[test]
    fn the_identity_vouches_for_a_key_until_it_ends_and_from_whenever() {
        let identity = Identity::generate().unwrap();
        let until = UNIX_EPOCH + Duration::from_secs(2_000_000_000);
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let leaf = identity.vouch(&key, until).unwrap();
        let second = Duration::from_secs(1);
        for now in [UNIX_EPOCH + 10 * 365 * 24 * 3600 * second, until - second] {
            let standing = Standing { until, vouched_for: true };
            assert_eq!(identity.looks_at(&leaf, now), Ok(standing));
            let other = Identity::generate().unwrap();
            let standing = Standing { until, vouched_for: false };
            assert_eq!(other.looks_at(&leaf, now), Ok(standing));
        }
        assert_eq!(identity.looks_at(&leaf, until + second), Err(NotValid::Expired));
        assert_eq!(identity.looks_at(&leaf, UNIX_EPOCH), Err(NotValid::Early));
        let name = ServerName::try_from(NAME).unwrap();
        let leaf = webpki::EndEntityCert::try_from(&leaf).unwrap();
        assert!(leaf.verify_is_valid_for_subject_name(&name).is_ok());
    }

    #[test]
    fn what_is_no_certificate_for_a_server_is_told_apart() {
        let identity = Identity::generate().unwrap();
        let now = SystemTime::now();
        let nonsense = CertificateDer::from(vec![1, 2, 3]);
        assert_eq!(identity.looks_at(&nonsense, now), Err(NotValid::Unusable));
        let itself = identity.certificate().clone();
        assert_eq!(identity.looks_at(&itself, now), Err(NotValid::Unusable));
    }
}
