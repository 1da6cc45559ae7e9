//! A router that speaks nothing but NAT-PMP (RFC 6886), as older ones do. Written for the laboratory: the daemon that speaks PCP
//! cannot be kept from it.

use std::{
    net::{Ipv4Addr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use super::namespace::{Namespace, run};

/// Where such a router listens.
const PORT: u16 = 5351;

/// How often it is looked whether the router is still wanted.
const PERIOD: Duration = Duration::from_millis(50);

/// Version, operation, result and time since the start, in front of every answer.
const HEAD_BYTES: usize = 8;

/// The thread that answers. Dropped, it ends.
#[derive(Debug)]
pub(super) struct NatPmp {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl NatPmp {
    /// Answers on a router, whose rules have a chain `keep_pre` in the table `upnp` for it.
    #[track_caller]
    pub(super) fn start(router: &Namespace) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let ended = over.clone();
        let thread = router.within(|| {
            let socket = UdpSocket::bind((Ipv4Addr::new(192, 168, 1, 1), PORT)).expect("a socket");
            socket.set_read_timeout(Some(PERIOD)).expect("a patience");
            // A thread stays in the network in which it was begun.
            thread::spawn(move || serve(&socket, &ended))
        });
        Self { over, thread: Some(thread) }
    }
}

impl Drop for NatPmp {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // If it has failed, its own words have been printed.
            let _ = thread.join();
        }
    }
}

fn serve(socket: &UdpSocket, over: &AtomicBool) {
    let mut datagram = [0; 64];
    while !over.load(Relaxed) {
        let Ok((bytes, from)) = socket.recv_from(&mut datagram) else { continue };
        let answer = match &datagram[..bytes] {
            [0, 0] => [&head(0, 0)[..], &[1, 2, 3, 4]].concat(),
            [0, 1, _, _, inner @ ..] if inner.len() == 8 => {
                let port = |at: usize| u16::from_be_bytes([inner[at], inner[at + 1]]);
                let kept = inner[4..] != [0; 4];
                run("nft", &["-f", "-"], &rule(kept, port(0), port(2)));
                let outer = if kept { port(2) } else { 0 };
                [&head(1, 0)[..], &inner[..2], &outer.to_be_bytes(), &inner[4..]].concat()
            }
            [_, operation, ..] => head(*operation, 1).to_vec(),
            _ => continue,
        };
        // Whoever asked may have gone.
        let _ = socket.send_to(&answer, from);
    }
}

fn head(operation: u8, result: u8) -> [u8; HEAD_BYTES] {
    [0, 128 | operation, 0, result, 0, 0, 0, 1]
}

fn rule(kept: bool, inner: u16, outer: u16) -> String {
    let flush = "flush chain inet upnp keep_pre";
    let dnat = format!("iifname wan udp dport {outer} dnat ip to 192.168.1.2:{inner}");
    if kept {
        format!("{flush}\nadd rule inet upnp keep_pre {dnat}\n")
    } else {
        format!("{flush}\n")
    }
}
