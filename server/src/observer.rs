//! A second port on which clients show themselves: the address that a datagram comes from there, held against
//! the one of its connection, says how the translator in front of the client works (RFC 4787, section 4.1).
//! Nothing is ever sent from it.

use std::{
    collections::HashMap,
    io,
    net::{SocketAddr, UdpSocket as StdSocket},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hither_proto::{directory::Signal, reach::Probe};
use tokio::net::UdpSocket;

use crate::{quic::bind, router::Address};

/// Whom each token belongs to.
#[derive(Clone, Default)]
pub(crate) struct Observed(Arc<Mutex<HashMap<[u8; 16], Address>>>);

/// The second port.
pub(crate) struct Observer {
    socket: UdpSocket,
    port: u16,
    observed: Observed,
}

impl Observer {
    /// Listens beside `listen`: on the next port, so that a firewall can let it in, or on any.
    pub(crate) fn open(listen: SocketAddr, observed: Observed) -> io::Result<Self> {
        let at = |port| bind(SocketAddr::new(listen.ip(), port));
        let next = listen.port().checked_add(1).map(at).and_then(Result::ok);
        let socket: StdSocket = next.map_or_else(|| at(0), Ok)?;
        let port = socket.local_addr()?.port();
        Ok(Self { socket: UdpSocket::from_std(socket)?, port, observed })
    }

    /// Which port it is.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Tells connections where their clients' datagrams come from. Never ends.
    pub(crate) async fn run(&self) {
        let mut datagram = [0; 64];
        loop {
            // A socket that fails for one datagram, as after an ICMP error, is fine for the next.
            let Ok((bytes, from)) = self.socket.recv_from(&mut datagram).await else { continue };
            let Some(probe) = Probe::decode(&datagram[..bytes]) else { continue };
            let from = SocketAddr::new(from.ip().to_canonical(), from.port());
            if let Some(address) = self.observed.lock().get(&probe.token) {
                // A connection that is too far behind ends, as with any other signal.
                let _ = address.put(Box::new(Signal::Probed { from, fresh: probe.fresh }));
            }
        }
    }
}

impl Observed {
    /// From now on datagrams with this token are told to `address`, for as long as the result lives.
    pub(crate) fn watch(&self, token: [u8; 16], address: Address) -> Watched {
        self.lock().insert(token, address);
        Watched { observed: self.clone(), token }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 16], Address>> {
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
