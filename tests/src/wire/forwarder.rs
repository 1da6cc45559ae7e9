//! Somebody on the wire who remembers every datagram, and passes it on or does something else with it.

use std::{
    collections::BTreeMap,
    fmt, io,
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

/// Which way a datagram goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Way {
    /// To the target.
    Forth,
    /// To whoever writes to the target.
    Back,
    /// To the target, from an address that nobody writes from.
    Astray,
}

/// What becomes of a datagram that came some way: any number of others.
type Meddling = Box<dyn FnMut(Way, &[u8]) -> Vec<(Way, Vec<u8>)> + Send>;

/// A UDP forwarder on loopback in front of one address.
#[derive(Debug)]
pub struct Forwarder {
    address: SocketAddr,
    heard: Arc<Heard>,
    front: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Heard {
    over: AtomicBool,
    forth: Mutex<Vec<Vec<u8>>>,
    back: Mutex<Vec<Vec<u8>>>,
    meddling: Mutex<Option<Meddling>>,
}

impl Heard {
    /// What is to go where in place of a datagram.
    fn instead(&self, way: Way, datagram: &[u8]) -> Vec<(Way, Vec<u8>)> {
        match &mut *self.meddling.lock().unwrap() {
            Some(meddling) => meddling(way, datagram),
            None => vec![(way, datagram.to_vec())],
        }
    }
}

impl fmt::Debug for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heard").finish_non_exhaustive()
    }
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

    /// From now on this becomes of every datagram.
    pub fn meddles(
        &self,
        meddling: impl FnMut(Way, &[u8]) -> Vec<(Way, Vec<u8>)> + Send + 'static,
    ) {
        *self.heard.meddling.lock().unwrap() = Some(Box::new(meddling));
    }

    /// From now on everything is passed on as it comes.
    pub fn meddles_no_more(&self) {
        *self.heard.meddling.lock().unwrap() = None;
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
    let nobody = loopback(target);
    // A datagram may be lost: whoever is behind it may just have been killed by the test.
    let pass = |way: Way, datagram: &[u8], socket: &UdpSocket, client: SocketAddr| {
        for (way, datagram) in heard.instead(way, datagram) {
            drop(match way {
                Way::Forth => socket.send(&datagram),
                Way::Back => front.send_to(&datagram, client),
                Way::Astray => nobody.send_to(&datagram, target),
            });
        }
    };
    let pass = &pass;
    thread::scope(|scope| {
        receive(front, heard, |datagram, client| {
            heard.forth.lock().unwrap().push(datagram.to_vec());
            let socket = clients.entry(client).or_insert_with(|| {
                let socket = loopback(target);
                socket.connect(target).unwrap();
                let own = socket.try_clone().unwrap();
                scope.spawn(move || {
                    receive(&own, heard, |datagram, _| {
                        heard.back.lock().unwrap().push(datagram.to_vec());
                        pass(Way::Back, datagram, &own, client);
                    });
                });
                socket
            });
            pass(Way::Forth, datagram, socket, client);
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

        forwarder.meddles(|way, datagram| {
            assert_eq!((way, datagram), (Way::Forth, &b"again"[..]));
            vec![(Way::Back, b"no".to_vec()), (Way::Astray, b"yes".to_vec())]
        });
        client.send_to(b"again", forwarder.address()).unwrap();
        let length = client.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"no");
        let (length, other) = echo.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"yes");
        assert_ne!(other, from);
    }
}
