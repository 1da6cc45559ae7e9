//! A man in the middle: ends the TLS connection with a certificate of his own and relays every
//! byte between the two halves.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use quinn::{
    Connection, ConnectionError, Endpoint, RecvStream, SendStream, ServerConfig, VarInt,
    crypto::rustls::QuicServerConfig,
};
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, IsCa, Issuer, KeyPair};
use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
    version::TLS13,
};
use tokio::{runtime::Runtime, task::JoinSet};

use super::tls::{ALPN, SERVER_NAME, provider, trusting_client};

/// What the man in the middle shows to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forgery {
    /// A chain of the same length as the server's, made of his own keys.
    OwnChain,
    /// A certificate of his own, followed by the server's true chain, which does not vouch for it.
    TrueChainBehind,
}

/// The man in the middle, at work until dropped.
#[derive(Debug)]
pub struct Impostor {
    address: SocketAddr,
    seen: Arc<Seen>,
    runtime: Option<Runtime>,
}

#[derive(Debug, Default)]
struct Seen {
    hellos: AtomicUsize,
    names: Mutex<Vec<String>>,
    to_server: AtomicU64,
    to_client: AtomicU64,
}

impl Impostor {
    /// Stands before the server at `target`.
    #[must_use]
    pub fn before(target: SocketAddr, forgery: Forgery) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let seen = Arc::new(Seen::default());
        let endpoint = runtime.block_on(listen(target, forgery, Arc::clone(&seen)));
        let address = endpoint.local_addr().unwrap();
        runtime.spawn(accept(endpoint, target, Arc::clone(&seen)));
        Self { address, seen, runtime: Some(runtime) }
    }

    /// Where he listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many clients began a TLS handshake with him.
    #[must_use]
    pub fn hellos(&self) -> usize {
        self.seen.hellos.load(Ordering::Relaxed)
    }

    /// The server names that clients asked for, in clear, in these handshakes.
    #[must_use]
    pub fn names_asked_for(&self) -> Vec<String> {
        self.seen.names.lock().unwrap().clone()
    }

    /// How many bytes he relayed from clients to the server, and from the server to clients.
    #[must_use]
    pub fn relayed(&self) -> (u64, u64) {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (load(&self.seen.to_server), load(&self.seen.to_client))
    }
}

impl Drop for Impostor {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn listen(target: SocketAddr, forgery: Forgery, seen: Arc<Seen>) -> Endpoint {
    let upstream = connect(target).await.expect("the server lets anybody begin");
    let identity = upstream.peer_identity().expect("a server shows a certificate");
    let chain = identity.downcast::<Vec<CertificateDer<'static>>>().expect("a certificate chain");
    upstream.close(VarInt::from_u32(0), b"");
    let (chain, key) = match forgery {
        Forgery::OwnChain => own_chain(chain.len()),
        Forgery::TrueChainBehind => {
            let (mut own, key) = own_chain(1);
            own.extend(*chain);
            (own, key)
        }
    };
    let signer = provider().key_provider.load_private_key(key).unwrap();
    let certificate = Arc::new(CertifiedKey::new(chain, signer));
    let mut tls = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Mask { certificate, seen }));
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let quic = QuicServerConfig::try_from(tls).unwrap();
    let here = SocketAddr::from(([127, 0, 0, 1], 0));
    Endpoint::server(ServerConfig::with_crypto(Arc::new(quic)), here).unwrap()
}

/// A root of his own and, if the server's chain has more than one certificate, a leaf under it.
/// As empty as a certificate can be, so that nothing but the keys is wrong with it.
pub(crate) fn own_chain(length: usize) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let key = || KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let nameless = || {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params
    };
    let private =
        |key: &KeyPair| PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let root_key = key();
    let mut root = nameless();
    if length == 1 {
        let certificate = root.self_signed(&root_key).unwrap();
        return (vec![certificate.der().clone()], private(&root_key));
    }
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = root.self_signed(&root_key).unwrap().der().clone();
    let leaf_key = key();
    let leaf = nameless().signed_by(&leaf_key, &Issuer::new(root, root_key)).unwrap();
    (vec![leaf.der().clone(), certificate], private(&leaf_key))
}

async fn accept(endpoint: Endpoint, target: SocketAddr, seen: Arc<Seen>) {
    while let Some(incoming) = endpoint.accept().await {
        let seen = Arc::clone(&seen);
        tokio::spawn(async move {
            // A client that refuses his certificate is what most tests hope for.
            let Ok(client) = incoming.await else { return };
            let server = connect(target).await.expect("the server lets anybody begin");
            relay(client, server, seen).await;
        });
    }
}

async fn connect(target: SocketAddr) -> Result<Connection, ConnectionError> {
    let endpoint = Endpoint::client(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    endpoint.connect_with(trusting_client(), target, SERVER_NAME).unwrap().await
}

/// Relays every stream and datagram both ways, and the end of either connection to the other.
async fn relay(client: Connection, server: Connection, seen: Arc<Seen>) {
    let mut work = JoinSet::new();
    work.spawn(relay_bi(client.clone(), server.clone(), Arc::clone(&seen), true));
    work.spawn(relay_bi(server.clone(), client.clone(), Arc::clone(&seen), false));
    work.spawn(relay_uni(client.clone(), server.clone(), Arc::clone(&seen), true));
    work.spawn(relay_uni(server.clone(), client.clone(), Arc::clone(&seen), false));
    work.spawn(relay_datagrams(client.clone(), server.clone()));
    work.spawn(relay_datagrams(server.clone(), client.clone()));
    let (end, other) = tokio::select! {
        end = client.closed() => (end, server),
        end = server.closed() => (end, client),
    };
    match end {
        ConnectionError::ApplicationClosed(close) => other.close(close.error_code, &close.reason),
        _ => other.close(VarInt::from_u32(0), b""),
    }
}

async fn relay_bi(from: Connection, to: Connection, seen: Arc<Seen>, from_client: bool) {
    while let Ok((from_send, from_recv)) = from.accept_bi().await {
        let Ok((to_send, to_recv)) = to.open_bi().await else { return };
        tokio::spawn(copy(from_recv, to_send, Arc::clone(&seen), from_client));
        tokio::spawn(copy(to_recv, from_send, Arc::clone(&seen), !from_client));
    }
}

async fn relay_uni(from: Connection, to: Connection, seen: Arc<Seen>, from_client: bool) {
    while let Ok(recv) = from.accept_uni().await {
        let Ok(send) = to.open_uni().await else { return };
        tokio::spawn(copy(recv, send, Arc::clone(&seen), from_client));
    }
}

async fn relay_datagrams(from: Connection, to: Connection) {
    while let Ok(datagram) = from.read_datagram().await {
        if to.send_datagram(datagram).is_err() {
            return;
        }
    }
}

async fn copy(mut from: RecvStream, mut to: SendStream, seen: Arc<Seen>, from_client: bool) {
    let count = if from_client { &seen.to_server } else { &seen.to_client };
    loop {
        match from.read_chunk(usize::MAX, true).await {
            Ok(Some(chunk)) => {
                count.fetch_add(chunk.bytes.len() as u64, Ordering::Relaxed);
                if let Err(error) = to.write_chunk(chunk.bytes).await {
                    if let quinn::WriteError::Stopped(code) = error {
                        // Fails only if the stream has ended meanwhile.
                        let _ = from.stop(code);
                    }
                    return;
                }
            }
            Ok(None) => {
                let _ = to.finish();
                // Dropping it earlier would be no harm, but the far end may still stop it.
                let _ = to.stopped().await;
                return;
            }
            Err(quinn::ReadError::Reset(code)) => {
                let _ = to.reset(code);
                return;
            }
            Err(_) => return,
        }
    }
}

/// Shows one certificate to everybody and remembers what they asked for.
#[derive(Debug)]
struct Mask {
    certificate: Arc<CertifiedKey>,
    seen: Arc<Seen>,
}

impl ResolvesServerCert for Mask {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.seen.hellos.fetch_add(1, Ordering::Relaxed);
        let name = hello.server_name().map(str::to_owned);
        self.seen.names.lock().unwrap().extend(name);
        Some(Arc::clone(&self.certificate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Forwarder, Stranger, quic_client_gets_through};

    /// A QUIC server that sends back what it gets on its first stream.
    fn echo(runtime: &Runtime) -> SocketAddr {
        let (chain, key) = own_chain(2);
        let tls = rustls::ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .with_no_client_auth();
        let mut tls = tls.with_single_cert(chain, key).unwrap();
        tls.alpn_protocols = vec![ALPN.to_vec()];
        let config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
        let here = SocketAddr::from(([127, 0, 0, 1], 0));
        let endpoint = runtime.block_on(async { Endpoint::server(config, here).unwrap() });
        let address = endpoint.local_addr().unwrap();
        runtime.spawn(async move {
            while let Some(incoming) = endpoint.accept().await {
                tokio::spawn(async move {
                    let connection = incoming.await.ok()?;
                    let (send, recv) = connection.accept_bi().await.ok()?;
                    copy(recv, send, Arc::default(), true).await;
                    connection.closed().await;
                    Some(())
                });
            }
        });
        address
    }

    #[test]
    fn every_byte_is_relayed_under_another_certificate() {
        let runtime = Runtime::new().unwrap();
        let server = echo(&runtime);
        let certificate = |connection: &Connection| {
            let identity = connection.peer_identity().unwrap();
            identity.downcast::<Vec<CertificateDer<'static>>>().unwrap()
        };
        for (forgery, length) in [(Forgery::OwnChain, 2), (Forgery::TrueChainBehind, 3)] {
            let impostor = Impostor::before(server, forgery);
            runtime.block_on(async {
                let connection = connect(impostor.address()).await.unwrap();
                let direct = connect(server).await.unwrap();
                assert_eq!(certificate(&connection).len(), length);
                assert_ne!(certificate(&connection)[0], certificate(&direct)[0]);
                let (mut send, mut recv) = connection.open_bi().await.unwrap();
                send.write_all(b"relay this").await.unwrap();
                send.finish().unwrap();
                assert_eq!(recv.read_to_end(100).await.unwrap(), b"relay this");
            });
            assert_eq!(impostor.relayed(), (10, 10));
            assert_eq!((impostor.hellos(), impostor.names_asked_for().len()), (1, 0));
        }
    }

    #[test]
    fn probes_make_an_ordinary_server_answer() {
        let runtime = Runtime::new().unwrap();
        let server = echo(&runtime);
        assert!(!Stranger::probes(server).awaits_answer().is_empty());
        let answer = Stranger::asks_for_versions(server).awaits_answer();
        assert_eq!(answer.get(1..5), Some(&[0; 4][..]));
        for id_length in [8, 20] {
            let wire = Forwarder::to(server);
            assert!(quic_client_gets_through(wire.address(), id_length));
            assert!(!wire.back().is_empty());
        }
    }
}
