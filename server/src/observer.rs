//! A second port on which clients show themselves, and ask. The address that a datagram comes from there, held against
//! the one of its connection, says how the translator in front of the client maps (RFC 4787, section 4.1); which answers
//! reach the client, from here and from a third port, and how late, say what the translator lets in.

use std::{
    collections::HashMap,
    io,
    net::{SocketAddr, UdpSocket as StdSocket},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hither_proto::{
    directory::Signal,
    observation::{Answer, Port, Question, Seen, Where},
    reach::Probe,
};
use tokio::{net::UdpSocket, sync::Semaphore, time::sleep};

use crate::{
    inbox::Address,
    limits::{ANSWER_DELAY_MAX, ANSWERS_MAX, ANSWERS_PER_CLIENT_MAX},
    origin::plain,
    quic::bind,
};

/// Whom each token belongs to.
#[derive(Clone, Default)]
pub(crate) struct Observed(Arc<Mutex<HashMap<[u8; 16], Client>>>);

/// Whoever may ask.
struct Client {
    address: Address,
    answers: Arc<Semaphore>,
}

/// The second port.
pub(crate) struct Observer {
    socket: Arc<UdpSocket>,
    /// A port to which no client sends anything.
    other: Arc<UdpSocket>,
    port: u16,
    answers: Arc<Semaphore>,
    observed: Observed,
}

impl Observer {
    /// Listens beside `listen`: on the next port, so that a firewall can let it in, or on any.
    pub(crate) fn open(listen: SocketAddr, observed: Observed) -> io::Result<Self> {
        let at = |port| bind(SocketAddr::new(listen.ip(), port));
        let next = listen.port().checked_add(1).map(at).and_then(Result::ok);
        let socket: StdSocket = next.map_or_else(|| at(0), Ok)?;
        let port = socket.local_addr()?.port();
        let shared = |socket| UdpSocket::from_std(socket).map(Arc::new);
        let (socket, other) = (shared(socket)?, shared(at(0)?)?);
        let answers = Arc::new(Semaphore::new(ANSWERS_MAX));
        Ok(Self { socket, other, port, answers, observed })
    }

    /// Which port it is.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Tells connections where their clients' datagrams come from, and answers. Never ends.
    pub(crate) async fn run(&self) {
        let mut datagram = [0; 64];
        loop {
            // A socket that fails for one datagram, as after an ICMP error, is fine for the next.
            let Ok((bytes, from)) = self.socket.recv_from(&mut datagram).await else { continue };
            let datagram = &datagram[..bytes];
            if let Some(question) = Question::decode(datagram) {
                self.answer(question, from);
                self.tell(Probe { fresh: true, token: question.token }, from);
            }
            if let Some(Where { token }) = Where::decode(datagram) {
                self.show(token, from).await;
                self.tell(Probe { fresh: true, token }, from);
            }
            if let Some(probe) = Probe::decode(datagram) {
                self.tell(probe, from);
            }
        }
    }

    /// Tells a client's connection where a datagram of the client's has come from. Whatever it was sent for, behind a regular
    /// translator it shows which port is the newest.
    fn tell(&self, Probe { fresh, token }: Probe, from: SocketAddr) {
        if let Some(client) = self.observed.lock().get(&token) {
            // A connection that is too far behind ends, as with any other signal.
            let _ = client.address.put(Box::new(Signal::Probed { from: plain(from), fresh }));
        }
    }

    /// Says to whoever is logged in where their socket is seen.
    async fn show(&self, token: [u8; 16], to: SocketAddr) {
        if self.observed.lock().contains_key(&token) {
            let seen = Seen { token, at: plain(to) };
            // Lost now or on the way is the same.
            let _ = self.socket.send_to(&seen.encode(), to).await;
        }
    }

    /// Answers whoever is logged in, in time, if there is room.
    fn answer(&self, question: Question, to: SocketAddr) {
        let Question { from, after, token } = question;
        let clients = self.observed.lock();
        let Some(client) = clients.get(&token).filter(|_| after <= ANSWER_DELAY_MAX) else {
            return;
        };
        let one = client.answers.clone().try_acquire_owned();
        let all = self.answers.clone().try_acquire_owned();
        let (Ok(one), Ok(all)) = (one, all) else { return };
        let socket = match from {
            Port::Asked => self.socket.clone(),
            Port::Other => self.other.clone(),
        };
        tokio::spawn(async move {
            sleep(Duration::from_secs(after.into())).await;
            // Lost now or on the way is the same.
            let _ = socket.send_to(&Answer { from, token }.encode(), to).await;
            drop((one, all));
        });
    }
}

impl Observed {
    /// From now on datagrams with this token are told to `address`, for as long as the result lives.
    pub(crate) fn watch(&self, token: [u8; 16], address: Address) -> Watched {
        let answers = Arc::new(Semaphore::new(ANSWERS_PER_CLIENT_MAX));
        self.lock().insert(token, Client { address, answers });
        Watched { observed: self.clone(), token }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 16], Client>> {
        // Each change is one call, so a panic elsewhere leaves nothing half-changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A token that counts.
pub(crate) struct Watched {
    observed: Observed,
    token: [u8; 16],
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.observed.lock().remove(&self.token);
    }
}
