//! What the network of this machine costs without us.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    thread::{self, JoinHandle},
    time::Duration,
};

/// A message as it travels: header, padded text and tag, and the length in front of it.
pub(crate) const FRAME_BYTES: usize = 4 + 41 + 256 + 16;

/// Messages that are written at once.
const BATCH: usize = 64;

/// How long an answer may take before it is clear that there will be none.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends so many messages through TCP to a thread that reads them.
#[track_caller]
pub(crate) fn stream(messages: usize) {
    let listener = TcpListener::bind(loopback()).unwrap();
    let place = listener.local_addr().unwrap();
    let reader = thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut buffer = vec![0; BATCH * FRAME_BYTES];
        let mut read = 0;
        while read < messages * FRAME_BYTES {
            match stream.read(&mut buffer).unwrap() {
                0 => break,
                bytes => read += bytes,
            }
        }
        read
    });
    let mut stream = TcpStream::connect(place).unwrap();
    let batch = vec![7; BATCH * FRAME_BYTES];
    for first in (0..messages).step_by(BATCH) {
        let count = BATCH.min(messages - first);
        stream.write_all(&batch[..count * FRAME_BYTES]).unwrap();
    }
    drop(stream);
    assert_eq!(reader.join().unwrap(), messages * FRAME_BYTES);
}

/// A thread that answers datagrams, and a socket that asks it.
#[derive(Debug)]
pub(crate) struct Echo {
    socket: UdpSocket,
    answering: Option<JoinHandle<()>>,
}

impl Echo {
    /// Does `work` before each answer.
    #[track_caller]
    pub(crate) fn after(mut work: impl FnMut() + Send + 'static) -> Self {
        let (asking, answering) = (bound(), bound());
        asking.connect(answering.local_addr().unwrap()).unwrap();
        answering.connect(asking.local_addr().unwrap()).unwrap();
        let answering = thread::spawn(move || {
            let mut datagram = [0; FRAME_BYTES];
            // An empty datagram is the end.
            while answering.recv(&mut datagram).is_ok_and(|bytes| bytes > 0) {
                work();
                answering.send(&datagram).unwrap();
            }
        });
        Self { socket: asking, answering: Some(answering) }
    }

    /// Asks, and waits for the answer.
    #[track_caller]
    pub(crate) fn ask(&self) {
        let mut datagram = [7; FRAME_BYTES];
        self.socket.send(&datagram).unwrap();
        self.socket.recv(&mut datagram).unwrap();
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        // If it has ended already, there is nobody to tell.
        let _ = self.socket.send(&[]);
        if let Some(answering) = self.answering.take() {
            let _ = answering.join();
        }
    }
}

fn bound() -> UdpSocket {
    let socket = UdpSocket::bind(loopback()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}
