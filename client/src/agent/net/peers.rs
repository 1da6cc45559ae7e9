//! Direct connections to peers: opening doors, dialling them, and carrying frames.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use hither_proto::{
    crypto::{derive::hash, label::PEER_EXPORTER, rng::Rng},
    knock::KnockKey,
    limits::{ATTEMPT_TIMEOUT, IN_FLIGHT_MAX, REDIALS},
    node::{self, Conn},
    ticket::AttemptId,
    time::UnixTime,
    wire::server::Candidate,
};
use quinn::{ClientConfig, Connection, ConnectionId, Endpoint, ServerConfig, TransportConfig};
use rustls::pki_types::CertificateDer;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

use super::{
    addresses, afresh,
    carry::{self, Heard},
    door::{Door, Opened, plain},
    endpoint::{self, Network, OpenedAfresh},
    guess, pulse,
    tls::{NO_NAME, ThrowAway, TlsError},
};
use crate::agent::ToAgent;

/// How long the last frames of a connection may take.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(1);

/// Frames that may wait for the network on one connection: a full flight of messages, receipts for one, and
/// room for a turn.
const OUTBOX_FRAMES: usize = 4 * IN_FLIGHT_MAX;

/// A connection that stands, before the agent has given it a number.
pub(in crate::agent) struct Connected {
    pub(in crate::agent) attempt: AttemptId,
    pub(in crate::agent) connection: Connection,
    pub(in crate::agent) exporter: [u8; 32],
    pub(in crate::agent) certificate: [u8; 32],
    /// Keeps the door open for a connection that we dialled, until it is adopted.
    _opened: Option<Opened>,
}

impl Connected {
    /// Where the other end is.
    pub(in crate::agent) fn remote(&self) -> SocketAddr {
        plain(self.connection.remote_address())
    }

    fn new(attempt: AttemptId, connection: Connection, opened: Option<Opened>) -> Option<Self> {
        let mut exporter = [0; 32];
        connection.export_keying_material(&mut exporter, PEER_EXPORTER, b"").ok()?;
        let chain = connection.peer_identity()?;
        let chain = chain.downcast::<Vec<CertificateDer<'static>>>().ok()?;
        let certificate = hash(&[chain.first()?]);
        Some(Self { attempt, connection, exporter, certificate, _opened: opened })
    }
}

/// Every door, dial and connection of the agent.
pub(in crate::agent) struct Peers {
    network: Network,
    to: mpsc::Sender<ToAgent>,
    attempts: HashMap<AttemptId, Attempt>,
    connections: HashMap<Conn, Carried>,
    answers: Answers,
    /// Whose turn it is to knock at many ports.
    turn: guess::Turn,
    /// Fresh sockets of second rounds, by where they are seen, and since when there are.
    afresh: HashMap<SocketAddr, (Instant, Endpoint)>,
    next: u64,
}

struct Attempt {
    certificate: ThrowAway,
    dials: JoinSet<()>,
}

struct Carried {
    attempt: AttemptId,
    connection: Connection,
    frames: mpsc::Sender<Vec<u8>>,
    /// Whether its path is awake.
    awake: watch::Sender<bool>,
    /// Since when it is a path.
    since: Option<UnixTime>,
}

/// How each armed door answers; shared with the task that accepts.
type Answers = Arc<Mutex<HashMap<AttemptId, Arc<ServerConfig>>>>;

impl Peers {
    /// Nobody yet; knocks are answered from now on.
    pub(in crate::agent) fn new(network: Network, to: mpsc::Sender<ToAgent>) -> Self {
        let answers = Answers::default();
        let Network { endpoint, door, .. } = network.clone();
        tokio::spawn(answer(endpoint, door, answers.clone(), to.clone()));
        tokio::spawn(super::watch::watch(to.clone()));
        let (attempts, connections) = (HashMap::new(), HashMap::new());
        let (turn, afresh) = (guess::Turn::default(), HashMap::new());
        Self { network, to, attempts, connections, answers, turn, afresh, next: 0 }
    }

    /// Opens the door of an attempt: its certificate's hash, and where it can be found. `towards` is
    /// the server, whose route tells which of this machine's addresses is in use.
    pub(in crate::agent) fn open_door(
        &mut self,
        attempt: AttemptId,
        knock: KnockKey,
        towards: Option<SocketAddr>,
    ) -> Result<([u8; 32], Vec<Candidate>), TlsError> {
        let certificate = ThrowAway::generate()?;
        let hash = certificate.hash;
        let answer = Arc::new(endpoint::peer_server(certificate.accept()?));
        self.answers().insert(attempt, answer);
        self.network.door.arm(attempt, knock);
        self.attempts.insert(attempt, Attempt { certificate, dials: JoinSet::new() });
        let port = self.network.port();
        let own = addresses::own(towards).into_iter();
        Ok((hash, own.map(|ip| Candidate((ip, port).into())).collect()))
    }

    /// Dials the other end's door, again and again, until the attempt's own door is closed.
    pub(in crate::agent) fn dial(&mut self, attempt: AttemptId, dial: node::Dial, mut rng: Rng) {
        let Some(open) = self.attempts.get_mut(&attempt) else { return };
        let (endpoint, door, to) =
            (self.network.endpoint.clone(), self.network.door.clone(), self.to.clone());
        let from = Dialler { endpoint, door, to, attempt };
        let Some(dials) = Dials::new(&open.certificate, dial) else { return };
        for (pause, address, config) in dials.each(&mut rng) {
            open.dials.spawn(from.clone().dial(pause, address, config));
        }
    }

    /// Opens a fresh socket for an attempt's second round, shows it to `observer`, and tells the agent what has come of it.
    pub(in crate::agent) fn open_afresh(
        &self,
        attempt: AttemptId,
        observer: SocketAddr,
        afresh: node::Afresh,
    ) {
        let (network, answers, to) = (self.network.clone(), self.answers.clone(), self.to.clone());
        tokio::spawn(async move {
            let opened = afresh::open(observer, afresh.observer.token, &afresh.towards).await;
            let opened = opened.ok().and_then(|(socket, at)| {
                let endpoint = network.answering(socket).ok()?;
                let answering = answer(endpoint.clone(), network.door, answers, to.clone());
                tokio::spawn(tokio::time::timeout(ATTEMPT_TIMEOUT, answering));
                Some(OpenedAfresh { endpoint, at })
            });
            // The agent has gone if it does not listen.
            let _ = to.send(ToAgent::OpenedAfresh { attempt, opened }).await;
        });
    }

    /// Such a socket may be dialled from until its attempt is over, or no attempt is left. Says where it is seen.
    pub(in crate::agent) fn opened_afresh(&mut self, opened: OpenedAfresh) -> SocketAddr {
        // Who is always looking for somebody would keep all of them.
        self.afresh.retain(|_, (since, _)| since.elapsed() < ATTEMPT_TIMEOUT);
        self.afresh.insert(opened.at, (Instant::now(), opened.endpoint));
        opened.at
    }

    /// Does this end's part in finding the other end by guessing, until the attempt's own door is closed.
    pub(in crate::agent) fn guess(&mut self, attempt: AttemptId, guess: node::Guess, mut rng: Rng) {
        let Some(open) = self.attempts.get_mut(&attempt) else { return };
        let network = self.network.clone();
        match guess {
            node::Guess::Knock { at, after, knock } => {
                let turn = self.turn.clone();
                open.dials.spawn(async move {
                    tokio::time::sleep(after).await;
                    guess::knock(network, turn, at, knock, rng).await;
                });
            }
            node::Guess::Dial(dial) => {
                let Some(dials) = Dials::new(&open.certificate, dial) else { return };
                // Without it, the dials from the one socket have to do.
                let Ok(endpoint) = network.fresh() else { return };
                let (to, door) = (self.to.clone(), network.door.clone());
                let from = Dialler { endpoint, door, to, attempt };
                for (pause, address, config) in dials.each(&mut rng) {
                    open.dials.spawn(from.clone().dial(pause, address, config));
                }
            }
            node::Guess::DialAfresh { from, dial } => {
                let Some((_, endpoint)) = self.afresh.get(&from).cloned() else { return };
                let Some(dials) = Dials::new(&open.certificate, dial) else { return };
                let (to, door) = (self.to.clone(), network.door.clone());
                let from = Dialler { endpoint, door, to, attempt };
                for (pause, address, config) in dials.each(&mut rng) {
                    open.dials.spawn(from.clone().dial(pause, address, config));
                }
            }
            // Which takes no door.
            node::Guess::Afresh(_) => {}
            node::Guess::Listen(dial) => {
                let Some(at) = dial.addresses.first().copied() else { return };
                let Some(dials) = Dials::new(&open.certificate, dial) else { return };
                let (to, door) = (self.to.clone(), network.door.clone());
                open.dials.spawn(async move {
                    let mut dialling = JoinSet::new();
                    guess::listen(door.clone(), attempt, at, |socket| {
                        let Ok(endpoint) = network.beside(socket) else { return };
                        let from =
                            Dialler { endpoint, door: door.clone(), to: to.clone(), attempt };
                        for (pause, address, config) in dials.each(&mut rng) {
                            dialling.spawn(from.clone().dial(pause, address, config));
                        }
                    })
                    .await;
                    dialling.join_all().await;
                });
            }
        }
    }

    /// Ends an attempt. Its connections are closed but for `keep`.
    pub(in crate::agent) fn close_door(&mut self, attempt: AttemptId, keep: Option<Conn>) {
        self.attempts.remove(&attempt);
        if self.attempts.is_empty() {
            // What has become a connection, or still answers, lasts without it.
            self.afresh.clear();
        }
        self.answers().remove(&attempt);
        self.network.door.disarm(attempt);
        let of_attempt = |(conn, carried): (&Conn, &Carried)| {
            (carried.attempt == attempt && Some(*conn) != keep).then_some(*conn)
        };
        let others: Vec<_> = self.connections.iter().filter_map(of_attempt).collect();
        others.into_iter().for_each(|conn| self.close(conn));
    }

    /// Gives a connection its number, and carries its frames from now on.
    pub(in crate::agent) fn adopt(&mut self, connected: &Connected) -> Conn {
        let conn = Conn(self.next);
        self.next += 1;
        let (frames, outbox) = mpsc::channel(OUTBOX_FRAMES);
        let connection = connected.connection.clone();
        tokio::spawn(carry::write(connection.clone(), outbox));
        let opened = self.network.door.open(connection.remote_address());
        let (awake, is_awake) = watch::channel(true);
        let from = Heard { connection: connection.clone(), conn, to: self.to.clone() };
        tokio::spawn(from.clone().attend(self.network.clone(), is_awake));
        tokio::spawn(from.clone().read_datagrams());
        tokio::spawn(from.read(opened));
        let carried =
            Carried { attempt: connected.attempt, connection, frames, awake, since: None };
        self.connections.insert(conn, carried);
        conn
    }

    /// Sends a frame. A peer that takes nothing for so long is given up.
    pub(in crate::agent) fn send(&mut self, conn: Conn, frame: Vec<u8>) {
        if let Some(carried) = self.connections.get(&conn)
            && carried.frames.try_send(frame).is_err()
        {
            carried.connection.close(0_u32.into(), b"");
        }
    }

    /// From now on the path on a connection sleeps, or is awake.
    pub(in crate::agent) fn is_awake(&self, conn: Conn, awake: bool) {
        if let Some(carried) = self.connections.get(&conn) {
            carried.awake.send_replace(awake);
        }
    }

    /// Says to the other end what wakes it.
    pub(in crate::agent) fn wake(&mut self, conn: Conn, frame: Vec<u8>) {
        let Some(carried) = self.connections.get(&conn) else { return };
        if carried.connection.max_datagram_size().is_some_and(|most| frame.len() <= most) {
            tokio::spawn(pulse::wakes(carried.connection.clone(), frame));
        } else {
            self.send(conn, frame);
        }
    }

    /// Closes a connection once what was sent on it before has left.
    pub(in crate::agent) fn close(&mut self, conn: Conn) {
        // The writer ends the stream and then the connection when nobody can send to it any more. A peer
        // who takes nothing would keep it waiting, and the door open.
        if let Some(carried) = self.connections.remove(&conn) {
            tokio::spawn(async move {
                tokio::time::sleep(LAST_WORDS).await;
                carried.connection.close(0_u32.into(), b"");
            });
        }
    }

    /// Closes every connection and door.
    pub(in crate::agent) fn close_all(&mut self) {
        let attempts: Vec<_> = self.attempts.keys().copied().collect();
        attempts.into_iter().for_each(|attempt| self.close_door(attempt, None));
        let connections: Vec<_> = self.connections.keys().copied().collect();
        connections.into_iter().for_each(|conn| self.close(conn));
    }

    /// The connection is gone.
    pub(in crate::agent) fn gone(&mut self, conn: Conn) {
        self.connections.remove(&conn);
    }

    /// A connection is a path. One that has slept is the path that it was.
    pub(in crate::agent) fn stands(&mut self, conn: Conn, now: UnixTime) {
        if let Some(carried) = self.connections.get_mut(&conn) {
            carried.since.get_or_insert(now);
        }
    }

    /// Since when a connection is a path.
    pub(in crate::agent) fn since(&self, conn: Conn) -> Option<UnixTime> {
        self.connections.get(&conn)?.since
    }

    /// The round trip on a connection.
    pub(in crate::agent) fn round_trip(&self, conn: Conn) -> Option<Duration> {
        self.connections.get(&conn).map(|carried| carried.connection.rtt())
    }

    fn answers(&self) -> std::sync::MutexGuard<'_, HashMap<AttemptId, Arc<ServerConfig>>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers whoever knocks at an armed door, and ignores everybody else.
async fn answer(endpoint: Endpoint, door: Arc<Door>, answers: Answers, to: mpsc::Sender<ToAgent>) {
    while let Some(incoming) = endpoint.accept().await {
        let attempt = door.attempt(&incoming.orig_dst_cid());
        let config = attempt.and_then(|attempt| {
            let answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
            Some((attempt, answers.get(&attempt)?.clone()))
        });
        let Some((attempt, config)) = config else {
            incoming.ignore();
            continue;
        };
        let Ok(connecting) = incoming.accept_with(config) else { continue };
        let to = to.clone();
        tokio::spawn(async move {
            let connected = tokio::time::timeout(ATTEMPT_TIMEOUT, connecting).await;
            if let Ok(Ok(connection)) = connected {
                report(attempt, connection, None, &to).await;
            }
        });
    }
}

/// What all dials of one door have in common.
struct Dials {
    tls: Arc<dyn quinn::crypto::ClientConfig>,
    transport: Arc<TransportConfig>,
    knock: KnockKey,
    addresses: Vec<SocketAddr>,
}

impl Dials {
    fn new(own: &ThrowAway, dial: node::Dial) -> Option<Self> {
        let node::Dial { certificate, knock, addresses } = dial;
        let tls = Arc::new(own.dial(certificate).ok()?);
        let transport = Arc::new(endpoint::dial_transport());
        Some(Self { tls, transport, knock, addresses })
    }

    /// Every dial: after which pause, where, and how.
    fn each(&self, rng: &mut Rng) -> Vec<(Duration, SocketAddr, ClientConfig)> {
        let times = self.addresses.iter().flat_map(|to| REDIALS.map(|pause| (pause, *to)));
        let dial = |(pause, address)| {
            let knock = self.knock.knock(rng);
            let mut config = ClientConfig::new(self.tls.clone());
            config.transport_config(self.transport.clone());
            config.initial_dst_cid_provider(Arc::new(move || ConnectionId::new(&knock.0)));
            (pause, address, config)
        };
        times.map(dial).collect()
    }
}

/// From where dials are made, and for whom.
#[derive(Clone)]
struct Dialler {
    endpoint: Endpoint,
    door: Arc<Door>,
    to: mpsc::Sender<ToAgent>,
    attempt: AttemptId,
}

impl Dialler {
    async fn dial(self, pause: Duration, address: SocketAddr, config: ClientConfig) {
        tokio::time::sleep(pause).await;
        let opened = self.door.open(address);
        let Ok(connecting) = self.endpoint.connect_with(config, address, NO_NAME) else {
            return;
        };
        if let Ok(Ok(connection)) = tokio::time::timeout(ATTEMPT_TIMEOUT, connecting).await {
            report(self.attempt, connection, Some(opened), &self.to).await;
        }
    }
}

async fn report(
    attempt: AttemptId,
    connection: Connection,
    opened: Option<Opened>,
    to: &mpsc::Sender<ToAgent>,
) {
    if let Some(connected) = Connected::new(attempt, connection, opened) {
        // The agent has gone if it does not listen.
        let _ = to.send(ToAgent::Connected(connected)).await;
    }
}
