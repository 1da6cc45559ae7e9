//! A fresh socket for the second round of an attempt: opened towards the other end by datagrams that do not get there, and
//! shown to the server, which says where it is seen.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, UdpSocket as StdSocket},
    time::Duration,
};

use hither_proto::{
    guess::OPENER,
    limits::OPENER_HOPS,
    observation::{SEEN_BYTES, Seen, Where},
};
use tokio::{net::UdpSocket, time::timeout};

/// How long is waited for each answer: datagrams get lost.
const PATIENCE: [Duration; 3] =
    [Duration::from_millis(300), Duration::from_millis(600), Duration::from_millis(1_200)];

/// The socket, and where `observer` sees it.
pub(super) async fn open(
    observer: SocketAddr,
    token: [u8; 16],
    towards: &[SocketAddr],
) -> io::Result<(StdSocket, SocketAddr)> {
    let socket = StdSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_nonblocking(true)?;
    let socket = UdpSocket::from_std(socket)?;
    let hops = socket.ttl()?;
    for patience in PATIENCE {
        // Before anything of the other end's can be on its way to this socket.
        socket.set_ttl(OPENER_HOPS)?;
        for to in towards {
            // Lost here or on the way is the same.
            let _ = socket.send_to(&OPENER, *to).await;
        }
        socket.set_ttl(hops)?;
        let _ = socket.send_to(&Where { token }.encode(), observer).await;
        if let Ok(at) = timeout(patience, answer(&socket, observer, token)).await {
            return Ok((socket.into_std()?, at));
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

async fn answer(socket: &UdpSocket, observer: SocketAddr, token: [u8; 16]) -> SocketAddr {
    let mut datagram = [0; SEEN_BYTES + 1];
    loop {
        // A socket that fails for one datagram, as after an ICMP error, is fine for the next.
        let Ok((bytes, from)) = socket.recv_from(&mut datagram).await else { continue };
        let seen = Seen::decode(&datagram[..bytes]);
        if let Some(seen) = seen.filter(|seen| from == observer && seen.token == token) {
            return seen.at;
        }
    }
}
