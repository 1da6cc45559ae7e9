//! Finding a peer whose translator shows it at a port that nobody can know: one end knocks at many ports, the other
//! listens on many sockets and dials from the one that hears a knock.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket as StdSocket},
    sync::Arc,
};

use hither_proto::{
    crypto::rng::Rng,
    guess::{DATAGRAM_BYTES, OPENER, Ports, decode, encode},
    knock::KnockKey,
    limits::GUESS_SOCKETS,
    ticket::AttemptId,
};
use tokio::{
    net::UdpSocket,
    sync::Mutex,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{
    door::{Door, plain},
    endpoint::Network,
};

/// Whoever knocks: one at a time, so that each has the whole rate.
pub(super) type Turn = Arc<Mutex<()>>;

/// Sockets that hear knocks and may be dialled from in one attempt. A second is good if what the first one opened has
/// closed again.
const HEARD_MAX: usize = 3;

/// Knocks at ports of `at`, by lot, each with a knock of its own.
pub(super) async fn knock(network: Network, turn: Turn, at: IpAddr, key: KnockKey, mut rng: Rng) {
    let _turn = turn.lock().await;
    let started = Instant::now();
    for (due, port) in Ports::new(&mut rng) {
        if started.elapsed() < due {
            sleep_until(started + due).await;
        }
        network.send(SocketAddr::new(at, port), &encode(&key.knock(&mut rng)));
    }
}

/// Listens on many sockets, all opened towards `at`, and has `dial` use those that hear a knock for the attempt's door.
pub(super) async fn listen(
    door: Arc<Door>,
    attempt: AttemptId,
    at: SocketAddr,
    mut dial: impl FnMut(StdSocket),
) {
    let mut listening = JoinSet::new();
    for _ in 0..GUESS_SOCKETS {
        // A machine that allows fewer is found later, or not at all.
        let Ok(socket) = open(at) else { break };
        listening.spawn(heard(socket, door.clone(), attempt, at));
    }
    for _ in 0..HEARD_MAX {
        let Some(Ok(Ok(socket))) = listening.join_next().await else { return };
        dial(socket);
    }
}

fn open(at: SocketAddr) -> io::Result<UdpSocket> {
    let socket = StdSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_nonblocking(true)?;
    socket.send_to(&OPENER, at)?;
    UdpSocket::from_std(socket)
}

/// Waits until a knock comes from there.
async fn heard(
    socket: UdpSocket,
    door: Arc<Door>,
    attempt: AttemptId,
    at: SocketAddr,
) -> io::Result<StdSocket> {
    let mut datagram = [0; DATAGRAM_BYTES + 1];
    loop {
        let (bytes, from) = socket.recv_from(&mut datagram).await?;
        let knock = decode(&datagram[..bytes]);
        if plain(from) == at && knock.is_some_and(|knock| door.expects(attempt, &knock)) {
            return socket.into_std();
        }
    }
}
