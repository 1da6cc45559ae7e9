//! Somebody in the middle of the direct connection of two people: ends it at both, with certificates of his own, and
//! carries across whatever they say.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hither_proto::{
    crypto::secret::Secret,
    knock::KnockKey,
    wire::server::{Candidate, Door},
};
use quinn::{Connection, ConnectionId, Endpoint, RecvStream, TransportConfig};

use super::{ThrowAway, rng, runtime};
use crate::wire::{
    Dialect, SERVER_NAME,
    tls::{PEER_ALPN, peer_server, trusting_client_with},
};

/// As often as he hopes for an answer from whoever does not answer.
const PATIENCE: Duration = Duration::from_secs(4);

/// The man in the middle, at work until dropped. Each of the two takes one of his sockets for the other.
#[derive(Debug)]
pub struct Between {
    names: [String; 2],
    places: [SocketAddr; 2],
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// The one on which he talks to the first, and the one for the second.
    endpoints: [Endpoint; 2],
    certificate: ThrowAway,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Connections that stand or stood, to each of them.
    legs: [Vec<Connection>; 2],
    said: Vec<u8>,
}

impl Between {
    /// Stands between two people of these names.
    #[must_use]
    #[track_caller]
    pub fn of(names: [&str; 2]) -> Self {
        let certificate = ThrowAway::new();
        let _entered = runtime().enter();
        let listens = |_| {
            let (shown, key) = certificate.parts();
            Endpoint::server(peer_server(shown, key), ([127, 0, 0, 1], 0).into()).unwrap()
        };
        let endpoints = [0, 1].map(listens);
        let places = [0, 1].map(|at: usize| endpoints[at].local_addr().unwrap());
        let inner = Arc::new(Inner { endpoints, certificate, seen: Mutex::default() });
        for side in [0, 1] {
            runtime().spawn(Arc::clone(&inner).accepts(side));
        }
        Self { names: names.map(str::to_owned), places, inner }
    }

    /// Where one of them is to believe that the other is.
    #[must_use]
    pub fn place_for(&self, name: &str) -> Candidate {
        Candidate(self.places[self.side(name)])
    }

    /// Takes the place of `whose` door, which the other is about to be told of, and dials it himself. With `posing`,
    /// his certificate stands for theirs as well.
    pub fn stands_in(&self, whose: &str, door: &mut Door, posing: bool) {
        let side = self.side(whose);
        let there = door.candidates[0].0;
        runtime().spawn(Arc::clone(&self.inner).dials(side, there, door.knock.duplicate()));
        door.candidates = vec![Candidate(self.places[1 - side])];
        if posing {
            door.certificate = self.inner.certificate.hash;
        }
    }

    /// How often somebody has gone through a TLS handshake with him.
    #[must_use]
    pub fn legs(&self) -> usize {
        self.inner.seen().legs.iter().map(Vec::len).sum()
    }

    /// Everything that either has said to him, and he to the other.
    #[must_use]
    pub fn carried(&self) -> Vec<u8> {
        self.inner.seen().said.clone()
    }

    fn side(&self, name: &str) -> usize {
        self.names.iter().position(|one| one == name).expect("one of the two")
    }
}

impl Drop for Between {
    fn drop(&mut self) {
        self.inner.endpoints.iter().for_each(|endpoint| endpoint.close(0_u32.into(), b""));
    }
}

impl Inner {
    async fn accepts(self: Arc<Self>, side: usize) {
        while let Some(incoming) = self.endpoints[side].accept().await {
            let inner = Arc::clone(&self);
            tokio::spawn(async move {
                if let Ok(connection) = incoming.await {
                    inner.carries(side, connection).await;
                }
            });
        }
    }

    async fn dials(self: Arc<Self>, side: usize, there: SocketAddr, knock: Secret<32>) {
        let dialect = Dialect { alpn: PEER_ALPN, ..Dialect::default() };
        let mut config = trusting_client_with(&dialect, Some(self.certificate.parts()));
        let mut transport = TransportConfig::default();
        transport.max_idle_timeout(Some(PATIENCE.try_into().unwrap()));
        config.transport_config(Arc::new(transport));
        let knock = KnockKey(knock).knock(&mut rng());
        config.initial_dst_cid_provider(Arc::new(move || ConnectionId::new(&knock.0)));
        let connecting = self.endpoints[side].connect_with(config, there, SERVER_NAME).unwrap();
        if let Ok(connection) = connecting.await {
            self.carries(side, connection).await;
        }
    }

    /// Carries what one of them says on a connection to every connection of the other.
    async fn carries(self: Arc<Self>, side: usize, connection: Connection) {
        self.seen().legs[side].push(connection.clone());
        while let Ok(stream) = connection.accept_uni().await {
            tokio::spawn(Arc::clone(&self).copies(1 - side, stream));
        }
    }

    async fn copies(self: Arc<Self>, to: usize, mut stream: RecvStream) {
        let legs = self.seen().legs[to].clone();
        let mut copies = Vec::new();
        for leg in legs {
            copies.extend(leg.open_uni().await);
        }
        while let Ok(Some(chunk)) = stream.read_chunk(usize::MAX, true).await {
            self.seen().said.extend(&chunk.bytes);
            for copy in &mut copies {
                // Whoever has closed hears no more.
                drop(copy.write_all(&chunk.bytes).await);
            }
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{lab::until_true, rogue::Dialled};

    /// A connection to one of his sockets, as somebody makes it who asks for no certificate in particular.
    fn dials(between: &Between, name: &str) -> Dialled {
        let knock = KnockKey(Secret::new([7; 32])).knock(&mut rng());
        let Candidate(place) = between.place_for(name);
        Dialled::knock(place, knock, &ThrowAway::new(), PATIENCE).expect("he lets anybody in")
    }

    #[test]
    fn what_one_says_is_carried_to_the_other() {
        let between = Between::of(["alice", "bob"]);
        let [mut alice, mut bob] = ["alice", "bob"].map(|name| dials(&between, name));
        until_true("both are there", || between.legs() == 2);
        alice.says(b"over there");
        assert_eq!(bob.hears().as_deref(), Some(&b"over there"[..]));
        bob.says(b"and back");
        assert_eq!(alice.hears().as_deref(), Some(&b"and back"[..]));
        assert!(crate::search::contains(&between.carried(), b"over there"));
        assert_ne!(alice.exporter(), bob.exporter());
    }
}
