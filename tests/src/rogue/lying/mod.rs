//! A server that is not ours: it keeps accounts and introduces people as `hitherd` does, and says something
//! else wherever a test wants it to.

mod directory;
mod stage;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hither_proto::{
    crypto::{derive::hash, label::SERVER_EXPORTER},
    login::Channel,
    name::ServerPin,
    wire::{
        self,
        server::{Candidate, Door, Reply, Request},
    },
};
use quinn::{Connection, Endpoint, ServerConfig, crypto::rustls::QuicServerConfig};
use rustls::version::TLS13;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use self::directory::Directory;
use super::{link::read_frame, runtime};
use crate::wire::{Dialect, impostor::own_chain, tls::provider_of};

/// What stands before the 32 bytes of an Ed25519 key in a certificate (RFC 8410), without the outer tag.
const KEY_PREFIX: [u8; 10] = [0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// What the server makes of the body of a reply to somebody: any number of bodies.
pub(super) type Lie = Box<dyn FnMut(&str, Vec<u8>) -> Vec<Vec<u8>> + Send>;

/// Where it says that somebody is.
pub(super) type Foretold = Box<dyn FnMut(&str) -> Vec<Candidate> + Send>;

/// The server, at work until dropped. It is honest until it is told to lie.
#[derive(Debug)]
pub struct LyingServer {
    endpoint: Endpoint,
    address: SocketAddr,
    link: String,
    directory: Arc<Mutex<Directory>>,
}

impl LyingServer {
    /// On a free port of loopback, with an identity of its own.
    #[must_use]
    #[track_caller]
    pub fn start() -> Self {
        Self::speaking(&Dialect::default())
    }

    /// The same, with another TLS handshake than an honest server's.
    #[must_use]
    #[track_caller]
    pub fn speaking(dialect: &Dialect) -> Self {
        let (chain, key) = own_chain(2);
        let pin = pin(&chain[1]);
        let mut tls = rustls::ServerConfig::builder_with_provider(provider_of(dialect))
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let alpn = dialect.alpn.to_vec();
        tls.alpn_protocols = if alpn.is_empty() { Vec::new() } else { vec![alpn] };
        let quic = QuicServerConfig::try_from(tls).unwrap();
        let config = ServerConfig::with_crypto(Arc::new(quic));
        let _entered = runtime().enter();
        let endpoint = Endpoint::server(config, ([127, 0, 0, 1], 0).into()).unwrap();
        let address = endpoint.local_addr().unwrap();
        let directory = Arc::new(Mutex::new(Directory::new()));
        runtime().spawn(accept(endpoint.clone(), pin.clone(), Arc::clone(&directory)));
        let link = format!("hither://{address}#{pin}");
        Self { endpoint, address, link, directory }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The link that pins it.
    #[must_use]
    pub fn link(&self) -> &str {
        &self.link
    }

    /// A link that pins it at another address.
    #[must_use]
    pub fn link_at(&self, address: SocketAddr) -> String {
        let (_, pin) = self.link.split_once('#').unwrap();
        format!("hither://{address}#{pin}")
    }

    /// From now on it says something else than it should: each reply to a name becomes any number of others.
    pub fn lies(&self, mut lie: impl FnMut(&str, Reply) -> Vec<Reply> + Send + 'static) {
        self.garbles(move |name, body| {
            let replies = lie(name, wire::decode(&body).unwrap());
            replies.iter().map(wire::encode).collect()
        });
    }

    /// The same for bytes.
    pub fn garbles(&self, lie: impl FnMut(&str, Vec<u8>) -> Vec<Vec<u8>> + Send + 'static) {
        self.directory().lie = Box::new(lie);
    }

    /// From now on each end of an introduction is told another door of the other: `change` is given whose.
    pub fn sends_astray(&self, mut change: impl FnMut(&str, &mut Door) + Send + 'static) {
        self.lies(move |_, mut reply| {
            match &mut reply {
                Reply::Asked { caller: other, door, .. }
                | Reply::Introduced { callee: other, door, .. } => {
                    change(other.name.as_str(), door);
                }
                _ => {}
            }
            vec![reply]
        });
    }

    /// From now on whoever asks for somebody is told where they are while they are being asked, as `hitherd` does.
    pub fn foretells(&self, place: impl FnMut(&str) -> Vec<Candidate> + Send + 'static) {
        self.directory().foretold = Some(Box::new(place));
    }

    /// From now on it is honest.
    pub fn is_honest(&self) {
        self.garbles(|_, body| vec![body]);
        self.directory().foretold = None;
    }

    /// Says something to somebody who is there.
    pub fn says(&self, name: &str, body: &[u8]) {
        self.directory().says(name, body);
    }

    /// Everything that it has said to somebody who was logged in, or about to be.
    #[must_use]
    pub fn has_told(&self, name: &str) -> Vec<Vec<u8>> {
        let directory = self.directory();
        let told = directory.told.iter().filter(|(whom, _)| whom == name);
        told.map(|(_, body)| body.clone()).collect()
    }

    /// Everything that somebody has asked it for, from the greeting on.
    #[must_use]
    pub fn has_heard(&self, name: &str) -> Vec<Request> {
        let directory = self.directory();
        let heard = directory.heard.iter().filter(|(who, _)| who == name);
        heard.map(|(_, body)| wire::decode(body).unwrap()).collect()
    }

    /// Whether anybody has ever said anything that it understood.
    #[must_use]
    pub fn has_heard_anybody(&self) -> bool {
        !self.directory().heard.is_empty()
    }

    /// How many sessions of somebody it would let be resumed.
    #[must_use]
    pub fn sessions_of(&self, name: &str) -> usize {
        self.directory().sessions_of(name)
    }

    fn directory(&self) -> MutexGuard<'_, Directory> {
        lock(&self.directory)
    }
}

impl Drop for LyingServer {
    fn drop(&mut self) {
        self.endpoint.close(0_u32.into(), b"");
    }
}

fn lock(directory: &Mutex<Directory>) -> MutexGuard<'_, Directory> {
    directory.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The pin of the identity with this certificate.
fn pin(identity: &[u8]) -> ServerPin {
    let at = identity.windows(KEY_PREFIX.len()).position(|window| window == KEY_PREFIX);
    let at = at.expect("an Ed25519 key");
    ServerPin::of_hash(&hash(&[&identity[at..at + KEY_PREFIX.len() + 32]]))
}

async fn accept(endpoint: Endpoint, pin: ServerPin, directory: Arc<Mutex<Directory>>) {
    let mut number = 0;
    while let Some(incoming) = endpoint.accept().await {
        number += 1;
        let (pin, directory) = (pin.clone(), Arc::clone(&directory));
        tokio::spawn(async move {
            // Whoever does not like this server's handshake is not served.
            if let Ok(connection) = incoming.await {
                serve(number, connection, pin, directory).await;
            }
        });
    }
}

/// One connection, from its first frame to its end.
async fn serve(
    number: u64,
    connection: Connection,
    pin: ServerPin,
    directory: Arc<Mutex<Directory>>,
) -> Option<()> {
    let mut exporter = [0; 32];
    connection.export_keying_material(&mut exporter, SERVER_EXPORTER, &[]).ok()?;
    let (send, mut receive) = connection.accept_bi().await.ok()?;
    let (outbox, bodies): (UnboundedSender<Vec<u8>>, _) = unbounded_channel();
    let channel = Channel { exporter, pin };
    lock(&directory).arrives(number, channel, connection.remote_address(), outbox);
    tokio::spawn(write(connection, send, bodies));
    while let Ok(Some(body)) = read_frame(&mut receive).await {
        lock(&directory).hears(number, &body);
    }
    lock(&directory).leaves(number);
    Some(())
}

/// Writes until nobody has anything more to say, and ends the connection then.
async fn write(
    connection: Connection,
    mut send: quinn::SendStream,
    mut bodies: UnboundedReceiver<Vec<u8>>,
) -> Option<()> {
    while let Some(body) = bodies.recv().await {
        send.write_all(&wire::frame(&body)).await.ok()?;
    }
    send.finish().ok()?;
    send.stopped().await.ok()?;
    connection.close(0_u32.into(), b"");
    Some(())
}
