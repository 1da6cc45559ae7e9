//! Somebody on the wire who passes every datagram on and remembers it.

use std::{
    collections::BTreeMap,
    io,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// How often the threads look whether the test is over.
const WAKE: Duration = Duration::from_millis(50);

/// A UDP forwarder on loopback in front of one address.
#[derive(Debug)]
pub struct Forwarder {
    address: SocketAddr,
    heard: Arc<Heard>,
    front: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Heard {
    over: AtomicBool,
    forth: Mutex<Vec<Vec<u8>>>,
    back: Mutex<Vec<Vec<u8>>>,
}

impl Forwarder {
    /// Forwards between whoever writes to it and `target`.
    #[must_use]
    pub fn to(target: SocketAddr) -> Self {
        let front = loopback(target);
        let address = front.local_addr().unwrap();
        let heard = Arc::new(Heard::default());
        let kept = Arc::clone(&heard);
        let front = Some(thread::spawn(move || forth(&front, target, &kept)));
        Self { address, heard, front }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every datagram that went to the target so far.
    #[must_use]
    pub fn forth(&self) -> Vec<Vec<u8>> {
        self.heard.forth.lock().unwrap().clone()
    }

    /// Every datagram that came back so far.
    #[must_use]
    pub fn back(&self) -> Vec<Vec<u8>> {
        self.heard.back.lock().unwrap().clone()
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.heard.over.store(true, Ordering::Relaxed);
        if let Some(front) = self.front.take() {
            // If the thread failed it has said so itself.
            let _ = front.join();
        }
    }
}

/// One socket for each client, so that the target can tell them apart.
fn forth(front: &UdpSocket, target: SocketAddr, heard: &Arc<Heard>) {
    let mut clients: BTreeMap<SocketAddr, UdpSocket> = BTreeMap::new();
    thread::scope(|scope| {
        receive(front, heard, |datagram, client| {
            heard.forth.lock().unwrap().push(datagram.to_vec());
            let socket = clients.entry(client).or_insert_with(|| {
                let socket = loopback(target);
                socket.connect(target).unwrap();
                let (own, back) = (socket.try_clone().unwrap(), front.try_clone().unwrap());
                scope.spawn(move || {
                    receive(&own, heard, |datagram, _| {
                        heard.back.lock().unwrap().push(datagram.to_vec());
                        drop(back.send_to(datagram, client));
                    });
                });
                socket
            });
            // A datagram may be lost: whoever is behind it may just have been killed by the test.
            drop(socket.send(datagram));
        });
    });
}

fn receive(socket: &UdpSocket, heard: &Heard, mut each: impl FnMut(&[u8], SocketAddr)) {
    let mut buffer = [0; 65536];
    while !heard.over.load(Ordering::Relaxed) {
        match socket.recv_from(&mut buffer) {
            Ok((length, from)) => each(&buffer[..length], from),
            Err(error) if passes(error.kind()) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// Nothing came for a while, or nobody listens on the other side at the moment.
fn passes(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{ConnectionRefused, Interrupted, TimedOut, WouldBlock};
    matches!(kind, ConnectionRefused | Interrupted | TimedOut | WouldBlock)
}

fn loopback(like: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind(if like.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" }).unwrap();
    socket.set_read_timeout(Some(WAKE)).unwrap();
    socket
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_forth_and_back_is_remembered() {
        let echo = UdpSocket::bind("127.0.0.1:0").unwrap();
        let forwarder = Forwarder::to(echo.local_addr().unwrap());
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.send_to(b"there", forwarder.address()).unwrap();
        let mut buffer = [0; 16];
        let (length, from) = echo.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"there");
        echo.send_to(b"and back", from).unwrap();
        let (length, from) = client.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..length], from), (&b"and back"[..], forwarder.address()));
        assert_eq!(forwarder.forth(), [b"there"]);
        assert_eq!(forwarder.back(), [b"and back"]);
    }
}
