//! The server's identity as TLS shows it: a long-lived key that signs short-lived ones, and names nobody.

use std::sync::Arc;

use anyhow::{Context, Result};
use hither_proto::{crypto::derive::hash, name::ServerPin};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, date_time_ymd,
};
use rustls::{
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::NoServerSessionStorage,
    version::TLS13,
};
use zeroize::Zeroizing;

/// What client and server agree to speak.
pub(crate) const ALPN: &[u8] = b"hither/1";

/// The only name in the certificates. The same for every server, so that it says nothing about any.
pub(crate) const NAME: &str = "hither";

/// The long-lived identity of a server, to which its clients are pinned.
pub(crate) struct Identity {
    key: KeyPair,
    certificate: CertificateDer<'static>,
    pin: ServerPin,
}

impl Identity {
    /// A fresh identity.
    pub(crate) fn generate() -> Result<Self> {
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).context("generating a key")?;
        let certificate = identity_params().self_signed(&key).context("signing a certificate")?;
        let pin = pin(certificate.der())?;
        Ok(Self { key, certificate: certificate.der().clone(), pin })
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
        belongs.then_some(Self { key, certificate, pin })
    }

    /// The private key: PKCS #8, DER.
    pub(crate) fn key_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.key.serialize_der())
    }

    /// The certificate: X.509, DER.
    pub(crate) fn certificate_bytes(&self) -> &[u8] {
        &self.certificate
    }

    /// What clients know this server by.
    pub(crate) const fn pin(&self) -> &ServerPin {
        &self.pin
    }

    /// TLS as every connection to this server uses it, with a fresh key that the identity vouches for.
    pub(crate) fn tls(&self) -> Result<rustls::ServerConfig> {
        let leaf_key = KeyPair::generate_for(&rcgen::PKCS_ED25519).context("generating a key")?;
        let params = identity_params();
        let issuer = Issuer::from_params(&params, &self.key);
        let leaf = leaf_params()?.signed_by(&leaf_key, &issuer).context("signing a certificate")?;
        let chain = vec![leaf.der().clone(), self.certificate.clone()];
        let leaf_key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(leaf_key.serialize_der()));
        let mut tls = rustls::ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .context("choosing TLS 1.3")?
            .with_no_client_auth()
            .with_single_cert(chain, leaf_key)
            .context("using a fresh certificate")?;
        tls.alpn_protocols = vec![ALPN.to_vec()];
        // Resumption saves the server nothing that can be measured, and tickets link connections.
        tls.send_tls13_tickets = 0;
        tls.session_storage = Arc::new(NoServerSessionStorage {});
        tls.max_early_data_size = 0;
        Ok(tls)
    }
}

/// One key exchange, hybrid: there is nothing to downgrade to.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.kx_groups = vec![rustls::crypto::aws_lc_rs::kx_group::X25519MLKEM768];
    Arc::new(provider)
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

fn leaf_params() -> Result<CertificateParams> {
    let mut params = nameless_params();
    let name = NAME.try_into().context("naming a certificate")?;
    params.subject_alt_names = vec![rcgen::SanType::DnsName(name)];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

fn nameless_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    // Trust comes from the pin. A validity that could end would only lock out people whose clock is wrong.
    params.not_before = date_time_ymd(1975, 1, 1);
    params.not_after = date_time_ymd(4096, 1, 1);
    params
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::{ServerName, UnixTime};

    use super::*;

    #[test]
    fn an_identity_survives_being_written_down() {
        let identity = Identity::generate().unwrap();
        let (key, certificate) = (identity.key_bytes(), identity.certificate_bytes());
        let again = Identity::from_bytes(&key, certificate).unwrap();
        assert_eq!(again.pin(), identity.pin());
        let other = Identity::generate().unwrap();
        assert_ne!(other.pin(), identity.pin());
        assert!(Identity::from_bytes(&other.key_bytes(), certificate).is_none());
        assert!(Identity::from_bytes(&key[1..], certificate).is_none());
        assert!(Identity::from_bytes(&key, &certificate[1..]).is_none());
    }

    #[test]
    fn the_identity_vouches_for_the_key_in_use_whatever_the_clock_says() {
        let identity = Identity::generate().unwrap();
        let params = identity_params();
        let leaf_key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let issuer = Issuer::from_params(&params, &identity.key);
        let leaf = leaf_params().unwrap().signed_by(&leaf_key, &issuer).unwrap();
        let anchor = webpki::anchor_from_trusted_cert(&identity.certificate).unwrap();
        let leaf = webpki::EndEntityCert::try_from(leaf.der()).unwrap();
        for year in [1980, 2026, 4000] {
            let time = std::time::Duration::from_secs((year - 1970) * 31_556_952);
            let verified = leaf.verify_for_usage(
                provider().signature_verification_algorithms.all,
                std::slice::from_ref(&anchor),
                &[],
                UnixTime::since_unix_epoch(time),
                webpki::KeyUsage::server_auth(),
                None,
                None,
            );
            assert!(verified.is_ok(), "{year}");
        }
        let name = ServerName::try_from(NAME).unwrap();
        assert!(leaf.verify_is_valid_for_subject_name(&name).is_ok());
    }
}
