//! An internet in memory on which time is a number: QUIC endpoints of the real library behind translators of
//! every kind, whose every round trip can be counted exactly. It needs no privilege.

mod clock;
#[cfg(test)]
mod guessing;
#[cfg(test)]
mod keeping;
mod nat;
#[cfg(test)]
mod second_round;
mod socket;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use quinn::{ClientConfig, Endpoint, EndpointConfig, Runtime as _, ServerConfig};

pub use self::nat::{Behaviour, Filtering, Mapping};
use self::{
    clock::Clock,
    nat::{Nat, TRANSLATORS},
    socket::{Inbox, SimSocket},
};

/// An internet with its own time.
#[derive(Clone, Debug)]
pub struct Sim {
    clock: Clock,
    net: Arc<Mutex<Net>>,
}

/// What befalls packets between any two machines.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// There and back.
    pub round_trip: Duration,
    /// How much longer a packet may take, by lot, so that packets overtake each other.
    pub jitter: Duration,
    /// The share of packets that are lost.
    pub loss: f64,
}

#[derive(Debug)]
struct Net {
    weather: Weather,
    /// By their public address.
    nats: BTreeMap<IpAddr, Nat>,
    /// Which machine is behind which translator.
    behind: HashMap<IpAddr, IpAddr>,
    inboxes: HashMap<SocketAddr, Arc<Inbox>>,
    lots: u64,
}

/// A machine's socket, and where others see it.
#[derive(Debug)]
pub struct Machine {
    sim: Sim,
    socket: Arc<SimSocket>,
}

impl Sim {
    /// An internet without machines. `seed` decides who is lost and late, and which port comes next.
    #[must_use]
    pub fn new(seed: u64, weather: Weather) -> Self {
        let (nats, behind, inboxes) = (BTreeMap::new(), HashMap::new(), HashMap::new());
        // The generator stands still at nought.
        let lots = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let net = Arc::new(Mutex::new(Net { weather, nats, behind, inboxes, lots }));
        Self { clock: Clock::default(), net }
    }

    /// How long this internet exists.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.clock.time()
    }

    /// Waits on this internet's time.
    pub async fn sleep(&self, pause: Duration) {
        self.clock.sleep_until(self.now() + pause).await;
    }

    /// Does something beside everything else.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.clock.spawn(Box::pin(work));
    }

    /// Lets time pass until `work` is done, but for no longer than `patience`.
    pub fn run<T: Send + 'static>(
        &self,
        patience: Duration,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let done = Arc::new(Mutex::new(None));
        let result = done.clone();
        self.spawn(async move {
            let value = work.await;
            *locked(&result) = Some(value);
        });
        let until = self.now() + patience;
        loop {
            let value = locked(&done).take();
            if value.is_some() || !self.clock.step(until) {
                return value;
            }
        }
    }

    /// A machine of its own number with a socket: behind a translator, or in the open.
    #[must_use]
    pub fn machine(&self, number: u8, behind: Option<Behaviour>) -> Machine {
        let inner = Ipv4Addr::new(10, 0, number, 2);
        if let Some(behaviour) = behind {
            let outer = Ipv4Addr::from(TRANSLATORS.to_bits() + u32::from(number));
            let mut net = self.net();
            net.nats.insert(outer.into(), Nat::new(behaviour));
            net.behind.insert(inner.into(), outer.into());
        }
        Machine { sim: self.clone(), socket: self.socket(SocketAddr::from((inner, 4433))) }
    }

    fn socket(&self, address: SocketAddr) -> Arc<SimSocket> {
        let inbox = Arc::new(Inbox::default());
        self.net().inboxes.insert(address, inbox.clone());
        Arc::new(SimSocket { sim: self.clone(), address, inbox })
    }

    /// Sends a datagram, from a machine's own address.
    fn send(&self, from: SocketAddr, to: SocketAddr, datagram: Vec<u8>) {
        let mut net = self.net();
        let from = net.outward(self.now(), from, to);
        if net.lot() < net.weather.loss {
            return;
        }
        let Weather { round_trip, jitter, .. } = net.weather;
        let late = round_trip / 2 + jitter.mul_f64(net.lot());
        drop(net);
        let sim = self.clone();
        self.clock.at(self.now() + late, Box::new(move || sim.arrives(from, to, datagram)));
    }

    fn arrives(&self, from: SocketAddr, to: SocketAddr, datagram: Vec<u8>) {
        let mut net = self.net();
        let inner = match net.nats.get_mut(&to.ip()) {
            Some(nat) => nat.inward(self.now(), from, to.port()),
            None => Some(to),
        };
        let inbox = inner.and_then(|inner| net.inboxes.get(&inner)).cloned();
        drop(net);
        if let Some(inbox) = inbox {
            inbox.put(from, datagram);
        }
    }

    fn net(&self) -> MutexGuard<'_, Net> {
        locked(&self.net)
    }
}

impl Net {
    /// What a translator makes of a sender.
    fn outward(&mut self, now: Duration, from: SocketAddr, to: SocketAddr) -> SocketAddr {
        let Some(outer) = self.behind.get(&from.ip()).copied() else { return from };
        let lot = self.lot();
        match self.nats.get_mut(&outer) {
            Some(nat) => SocketAddr::new(outer, nat.outward(now, from, to, lot)),
            None => from,
        }
    }

    /// A number from nought to one (xorshift).
    fn lot(&mut self) -> f64 {
        self.lots ^= self.lots << 13;
        self.lots ^= self.lots >> 7;
        self.lots ^= self.lots << 17;
        (self.lots >> 11) as f64 / (1_u64 << 53) as f64
    }
}

impl Machine {
    /// Shows itself to `server`, and returns where that sees it.
    #[must_use]
    pub fn seen_by(&self, server: &Self) -> SocketAddr {
        self.opens_towards(server.socket.address)
    }

    /// Sends a datagram that dies on the way, behind the translator in front of this machine, and returns where it was
    /// seen on the other side of that.
    pub fn opens_towards(&self, to: SocketAddr) -> SocketAddr {
        let now = self.sim.now();
        self.sim.net().outward(now, self.socket.address, to)
    }

    /// The translator in front of it forgets whatever is silent for so long.
    pub fn is_forgotten_after(&self, silence: Duration) {
        let mut net = self.sim.net();
        let outer = net.behind.get(&self.socket.address.ip()).copied();
        if let Some(nat) = outer.and_then(|outer| net.nats.get_mut(&outer)) {
            nat.memory = Some(silence);
        }
    }

    /// The same machine with another socket.
    #[must_use]
    pub fn beside(&self, port: u16) -> Self {
        let address = SocketAddr::new(self.socket.address.ip(), port);
        Self { sim: self.sim.clone(), socket: self.sim.socket(address) }
    }

    /// Sends a datagram that is no QUIC.
    pub fn sends(&self, to: SocketAddr, datagram: &[u8]) {
        self.sim.send(self.socket.address, to, datagram.to_vec());
    }

    /// Waits for a datagram, and says where it comes from. Nothing else may read from the socket.
    pub async fn hears(&self) -> (SocketAddr, Vec<u8>) {
        std::future::poll_fn(|cx| self.socket.inbox.take(cx)).await
    }

    /// A QUIC endpoint on the machine's socket, that dials and answers.
    ///
    /// # Panics
    /// If the library does not take the socket.
    #[must_use]
    pub fn endpoint(&self, server: ServerConfig, client: ClientConfig) -> Endpoint {
        let runtime = Arc::new(self.sim.clock.clone());
        let socket = self.socket.clone();
        let config = EndpointConfig::default();
        let endpoint = Endpoint::new_with_abstract_socket(config, Some(server), socket, runtime);
        let mut endpoint = endpoint.expect("an endpoint on a socket in memory");
        endpoint.set_default_client_config(client);
        endpoint
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
