//! The door: what keeps the agent's socket silent to everybody who was not invited.
//!
//! A QUIC endpoint answers strangers in many ways: version negotiation, Initials, stateless resets. The
//! door stands in front of the endpoint and drops, unread and unanswered, every datagram that is neither
//! from an address we have dialled or admitted, nor carries a knock that a door of ours admits, nor
//! belongs to a connection of ours that has moved.

use std::{
    collections::{HashMap, HashSet},
    fmt, io,
    io::IoSliceMut,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use hither_proto::{
    knock::{KNOCK_BYTES, Knock, KnockKey},
    limits::KNOCKS_MAX,
    ticket::AttemptId,
};
use quinn::{
    AsyncUdpSocket, ConnectionId, ConnectionIdGenerator, UdpPoller,
    udp::{RecvMeta, Transmit},
};
use quinn_proto::{HashedConnectionIdGenerator, InvalidCid};

/// Bytes of the connection ids that [`HashedConnectionIdGenerator`] makes.
const CID_BYTES: usize = 8;

const QUIC_VERSION_1: u32 = 1;

/// The ids of our connections as the endpoint makes them. To the endpoint every id of a connection that it
/// does not know is a stranger's, which it ignores; it would answer one of its own making with a stateless
/// reset, and tell whoever has once seen an id of ours that we are still here.
pub(super) struct SilentIds(pub(super) HashedConnectionIdGenerator);

impl ConnectionIdGenerator for SilentIds {
    fn generate_cid(&mut self) -> ConnectionId {
        self.0.generate_cid()
    }

    fn validate(&self, _: &ConnectionId) -> Result<(), InvalidCid> {
        Err(InvalidCid)
    }

    fn cid_len(&self) -> usize {
        self.0.cid_len()
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        self.0.cid_lifetime()
    }
}

/// Who may speak to the endpoint.
pub(super) struct Door {
    ours: HashedConnectionIdGenerator,
    rules: Mutex<Rules>,
}

#[derive(Default)]
struct Rules {
    open: HashMap<SocketAddr, usize>,
    armed: HashMap<AttemptId, Armed>,
}

struct Armed {
    key: KnockKey,
    admitted: HashSet<Knock>,
    from: Vec<SocketAddr>,
}

impl Door {
    /// A door that nobody passes. `key` is what makes connection ids recognisable as ours.
    pub(super) fn new(key: u64) -> Self {
        Self { ours: HashedConnectionIdGenerator::from_key(key), rules: Mutex::default() }
    }

    /// Lets packets from `address` in for as long as the result lives.
    pub(super) fn open(self: &Arc<Self>, address: SocketAddr) -> Opened {
        let address = plain(address);
        *self.rules().open.entry(address).or_default() += 1;
        Opened { door: self.clone(), address }
    }

    /// Admits the knocks of an attempt.
    pub(super) fn arm(&self, attempt: AttemptId, key: KnockKey) {
        let armed = Armed { key, admitted: HashSet::new(), from: Vec::new() };
        self.rules().armed.insert(attempt, armed);
    }

    /// Admits them no more.
    pub(super) fn disarm(&self, attempt: AttemptId) {
        let mut rules = self.rules();
        let Some(armed) = rules.armed.remove(&attempt) else { return };
        for address in armed.from {
            rules.shut(address);
        }
    }

    /// Whether a knock that came as a datagram of its own is one of this attempt's. It opens nothing.
    pub(super) fn expects(&self, attempt: AttemptId, knock: &Knock) -> bool {
        self.rules().armed.get(&attempt).is_some_and(|armed| armed.key.admits(knock))
    }

    /// Which attempt a connection with this first connection id belongs to.
    pub(super) fn attempt(&self, first: &ConnectionId) -> Option<AttemptId> {
        let knock = Knock(<[u8; KNOCK_BYTES]>::try_from(&first[..]).ok()?);
        let rules = self.rules();
        let found = rules.armed.iter().find(|(_, armed)| armed.admitted.contains(&knock));
        found.map(|(attempt, _)| *attempt)
    }

    /// Keeps what may reach the endpoint of the datagrams in `buffer`, of which the kernel has put one or
    /// more behind each other, and says how many bytes that is.
    fn sift(&self, meta: RecvMeta, buffer: &mut [u8]) -> usize {
        let mut kept = 0;
        let mut at = 0;
        while at < meta.len {
            let end = meta.len.min(at + meta.stride.max(1));
            if self.admits(meta.addr, &buffer[at..end]) {
                buffer.copy_within(at..end, kept);
                kept += end - at;
            }
            at = end;
        }
        kept
    }

    /// Whether a datagram may reach the endpoint.
    fn admits(&self, from: SocketAddr, datagram: &[u8]) -> bool {
        let mut rules = self.rules();
        let from = plain(from);
        match Datagram::parse(datagram) {
            // Also from an address that is open: both sides of an attempt dial, and a knock that is not
            // noted down belongs to no attempt.
            Some(Datagram::Initial(knock)) => rules.admit(from, knock),
            // A peer whose address has changed in mid-connection.
            Some(Datagram::Short(id)) => rules.is_open(from) || self.ours.validate(&id).is_ok(),
            None => rules.is_open(from),
        }
    }

    fn rules(&self) -> MutexGuard<'_, Rules> {
        // The rules are consistent after every statement, so a panic elsewhere spoils nothing.
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An address that may speak to the endpoint. Counted: it may as long as anything wants it to.
#[derive(Debug)]
pub(super) struct Opened {
    door: Arc<Door>,
    address: SocketAddr,
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.door.rules().shut(self.address);
    }
}

impl Rules {
    fn admit(&mut self, from: SocketAddr, knock: Knock) -> bool {
        let armed = self.armed.values_mut().find(|armed| armed.key.admits(&knock));
        // A knock that has been seen is good for the address it came from, which is open already.
        if let Some(armed) = armed
            && armed.admitted.len() < KNOCKS_MAX
            && armed.admitted.insert(knock)
        {
            armed.from.push(from);
            *self.open.entry(from).or_default() += 1;
        }
        self.is_open(from)
    }

    fn is_open(&self, address: SocketAddr) -> bool {
        self.open.contains_key(&address)
    }

    fn shut(&mut self, address: SocketAddr) {
        if let Some(count) = self.open.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.open.remove(&address);
            }
        }
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Door(..)")
    }
}

/// As much of a QUIC packet as the door looks at (RFC 8999, RFC 9000 section 17).
#[derive(Debug, Eq, PartialEq)]
enum Datagram {
    Initial(Knock),
    Short(ConnectionId),
}

impl Datagram {
    fn parse(datagram: &[u8]) -> Option<Self> {
        let first = *datagram.first()?;
        if first & 0x80 == 0 {
            return Some(Self::Short(ConnectionId::new(datagram.get(1..=CID_BYTES)?)));
        }
        let version = datagram.get(1..5)?.try_into().ok().map(u32::from_be_bytes)?;
        let initial = first & 0x30 == 0;
        let length = usize::from(*datagram.get(5)?);
        if version != QUIC_VERSION_1 || !initial || length != KNOCK_BYTES {
            return None;
        }
        datagram.get(6..6 + KNOCK_BYTES)?.try_into().ok().map(|knock| Self::Initial(Knock(knock)))
    }
}

/// An IPv4 address as such, also when a dual-stack socket shows it as IPv6.
pub(super) fn plain(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
            Some(ip) => SocketAddr::new(ip.into(), address.port()),
            // Without flow and scope: they are not part of who somebody is.
            None => SocketAddr::new(ip.into(), address.port()),
        },
        IpAddr::V4(_) => address,
    }
}

/// A socket behind a door.
#[derive(Debug)]
pub(super) struct Guarded {
    pub(super) socket: Arc<dyn AsyncUdpSocket>,
    pub(super) door: Arc<Door>,
}

impl AsyncUdpSocket for Guarded {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.socket.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.socket.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            let count = match self.socket.poll_recv(cx, bufs, meta) {
                Poll::Ready(Ok(count)) => count,
                other => return other,
            };
            let mut kept = 0;
            for at in 0..count {
                let len = self.door.sift(meta[at], &mut bufs[at]);
                if len == 0 {
                    continue;
                }
                if kept != at {
                    let (before, after) = bufs.split_at_mut(at);
                    before[kept][..len].copy_from_slice(&after[0][..len]);
                    meta[kept] = meta[at];
                }
                meta[kept].len = len;
                kept += 1;
            }
            if kept > 0 {
                return Poll::Ready(Ok(kept));
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.socket.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.socket.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}

#[cfg(test)]
mod tests {
    use hither_proto::crypto::{rng::Rng, secret::Secret};

    use super::*;

    const ATTEMPT: AttemptId = AttemptId([1; 16]);

    fn initial(knock: Knock) -> Vec<u8> {
        let mut datagram = vec![0xc0, 0, 0, 0, 1, 20];
        datagram.extend(knock.0);
        datagram.resize(1200, 0);
        datagram
    }

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    struct Visit {
        door: Arc<Door>,
        rng: Rng,
        key: KnockKey,
    }

    fn armed() -> Visit {
        let mut rng = Rng::from_seed(Secret::new([1; 32]));
        let key: Secret<32> = rng.secret();
        let door = Arc::new(Door::new(7));
        door.arm(ATTEMPT, KnockKey(key.duplicate()));
        Visit { door, rng, key: KnockKey(key) }
    }

    #[test]
    fn strangers_are_not_heard() {
        let Visit { door, .. } = armed();
        let mut other_version = initial(Knock([9; 20]));
        other_version[1] = 0x1a;
        for datagram in [
            &initial(Knock([9; 20]))[..],
            &other_version,
            &[0xc0, 0, 0, 0, 1, 4, 1, 2, 3, 4, 0, 0],
            &[0x40; 1000],
            &[0x41],
            &[0xc0; 30],
            &[],
        ] {
            assert!(!door.admits(address(1), datagram), "{datagram:?}");
        }
    }

    #[test]
    fn a_knock_admits_one_address_once() {
        let Visit { door, mut rng, key } = armed();
        let knock = key.knock(&mut rng);
        assert!(door.admits(address(1), &initial(knock)));
        assert!(door.admits(address(1), &initial(knock)), "a retransmission");
        assert!(door.admits(address(1), &[0x40; 50]), "its later packets");
        assert!(!door.admits(address(2), &initial(knock)), "somebody who copied it");
        assert_eq!(door.attempt(&ConnectionId::new(&knock.0)), Some(ATTEMPT));
        door.disarm(ATTEMPT);
        assert!(!door.admits(address(1), &[0x40; 50]));
        let late = key.knock(&mut rng);
        assert!(!door.admits(address(1), &initial(late)));
    }

    #[test]
    fn an_address_stays_open_for_the_connection_that_stays() {
        let Visit { door, mut rng, key } = armed();
        for port in [1, 2, 2] {
            assert!(door.admits(address(port), &initial(key.knock(&mut rng))));
        }
        let stays = door.open(address(2));
        door.disarm(ATTEMPT);
        assert!(!door.admits(address(1), &[0x40; 50]));
        assert!(door.admits(address(2), &[0x40; 50]));
        drop(stays);
        assert!(!door.admits(address(2), &[0x40; 50]));
    }

    #[test]
    fn a_knock_from_an_address_that_we_dial_is_noted_down() {
        let Visit { door, mut rng, key } = armed();
        let _dialled = door.open(address(1));
        let knock = key.knock(&mut rng);
        assert!(door.admits(address(1), &initial(knock)));
        assert_eq!(door.attempt(&ConnectionId::new(&knock.0)), Some(ATTEMPT));
    }

    #[test]
    fn knocks_are_bounded() {
        let Visit { door, mut rng, key } = armed();
        for at in 0..=KNOCKS_MAX {
            let port = u16::try_from(at).unwrap() + 1;
            let admitted = door.admits(address(port), &initial(key.knock(&mut rng)));
            assert_eq!(admitted, at < KNOCKS_MAX);
        }
    }

    #[test]
    fn a_connection_of_ours_may_move() {
        let Visit { door, .. } = armed();
        let id = HashedConnectionIdGenerator::from_key(7).generate_cid();
        let stranger = HashedConnectionIdGenerator::from_key(8).generate_cid();
        let short = |id: &ConnectionId| [&[0x40][..], id, &[0; 40]].concat();
        assert!(door.admits(address(1), &short(&id)));
        assert!(!door.admits(address(1), &short(&stranger)));
    }

    #[test]
    fn datagrams_that_the_kernel_has_joined_are_judged_one_by_one() {
        let Visit { door, mut rng, key } = armed();
        let (ours, stranger) = (initial(key.knock(&mut rng)), initial(Knock([9; 20])));
        let mut meta = RecvMeta::default();
        (meta.addr, meta.stride) = (address(1), 1200);
        // Once its knock is in, the address is open: what comes behind it belongs to the same caller.
        let mut joined = [&stranger[..], &ours, &[0x40; 50]].concat();
        meta.len = joined.len();
        assert_eq!(door.sift(meta, &mut joined), 1250);
        assert_eq!(joined[..1250], [&ours[..], &[0x40; 50]].concat());
        meta.addr = address(2);
        let mut joined = stranger.repeat(3);
        meta.len = joined.len();
        assert_eq!(door.sift(meta, &mut joined), 0);
    }

    #[test]
    fn one_address_has_one_spelling() {
        let mapped: SocketAddr = "[::ffff:192.0.2.1]:9".parse().unwrap();
        assert_eq!(plain(mapped), address(9));
    }
}
