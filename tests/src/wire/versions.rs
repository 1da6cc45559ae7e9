//! A server of another version of the protocol, as far as a client of ours gets with it.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
};

use hither_proto::wire::{
    self,
    version::{NO_VERSION_CODE, Versions},
};
use quinn::{Endpoint, ServerConfig, VarInt, crypto::rustls::HandshakeData};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair,
};
use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    version::TLS13,
};
use tokio::runtime::Runtime;

use super::tls::provider;

/// A server of another version, with the identity of one of ours, at work until dropped.
#[derive(Debug)]
pub struct OtherVersion {
    address: SocketAddr,
    agreed: Arc<Mutex<Vec<Vec<u8>>>>,
    runtime: Option<Runtime>,
}

impl OtherVersion {
    /// Listens at `address` with the identity that is kept in the data folder `of`. It knows these protocols,
    /// and closes every connection, saying that it speaks `versions` if it can say that.
    #[must_use]
    pub fn at(
        address: SocketAddr,
        of: &Path,
        protocols: &[&[u8]],
        versions: Option<Versions>,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let config = config(of, protocols);
        let endpoint = runtime.block_on(async { Endpoint::server(config, address).unwrap() });
        let (address, agreed) = (endpoint.local_addr().unwrap(), Arc::default());
        runtime.spawn(answer(endpoint, Arc::clone(&agreed), versions));
        Self { address, agreed, runtime: Some(runtime) }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What was agreed on with each client that got through the handshake.
    #[must_use]
    pub fn agreed(&self) -> Vec<Vec<u8>> {
        self.agreed.lock().unwrap().clone()
    }
}

impl Drop for OtherVersion {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn answer(endpoint: Endpoint, agreed: Arc<Mutex<Vec<Vec<u8>>>>, versions: Option<Versions>) {
    while let Some(incoming) = endpoint.accept().await {
        // A client with which it has no protocol in common does not get through the handshake.
        let Ok(connection) = incoming.await else { continue };
        let data = connection.handshake_data().unwrap().downcast::<HandshakeData>().unwrap();
        agreed.lock().unwrap().extend(data.protocol);
        match versions {
            Some(versions) => {
                connection.close(VarInt::from_u32(NO_VERSION_CODE), &wire::encode(&versions));
            }
            None => connection.close(VarInt::from_u32(0), b""),
        }
    }
}

fn config(of: &Path, protocols: &[&[u8]]) -> ServerConfig {
    let read = |name: &str| std::fs::read(of.join(name)).unwrap();
    let identity = CertificateDer::from(read("identity.crt"));
    let key = PrivatePkcs8KeyDer::from(read("identity.key"));
    let key = KeyPair::from_pkcs8_der_and_sign_algo(&key, &rcgen::PKCS_ED25519).unwrap();
    let mut issuer = CertificateParams::default();
    issuer.distinguished_name = DistinguishedName::new();
    issuer.distinguished_name.push(DnType::CommonName, "hither");
    let leaf_key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let mut leaf = CertificateParams::default();
    leaf.distinguished_name = DistinguishedName::new();
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let leaf = leaf.signed_by(&leaf_key, &Issuer::from_params(&issuer, key)).unwrap();
    let leaf_key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(leaf_key.serialize_der()));
    let mut tls = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone(), identity], leaf_key)
        .unwrap();
    tls.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let quic = quinn::crypto::rustls::QuicServerConfig::try_from(tls).unwrap();
    ServerConfig::with_crypto(Arc::new(quic))
}
