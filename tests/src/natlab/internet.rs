//! The internet of the laboratory: one thread that carries packets between the uplinks plugged into it,
//! late, out of order or not at all, as each uplink is told.
//!
//! Every uplink is a TUN device. `tc netem` would do the same, but not every kernel has it.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    io::{ErrorKind, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::{fd::AsFd, unix::net::UnixStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use tun_rs::{DeviceBuilder, SyncDevice};

use super::namespace::Namespace;

/// More than any packet: the devices have the usual size for Ethernet.
const PACKET_BYTES: usize = 2048;

/// How many routers stand between two uplinks, none of which anybody sees but by what dies there.
const HOPS: u8 = 6;

/// What befalls packets on an uplink, in each direction.
#[derive(Clone, Copy, Debug, Default)]
pub struct Conditions {
    /// How long a packet takes.
    pub one_way: Duration,
    /// How much longer it may take, by lot, so that packets overtake each other.
    pub jitter: Duration,
    /// The share of packets that are lost.
    pub loss: f64,
}

/// What connects the uplinks. Dropping it ends its thread.
#[derive(Debug)]
pub(super) struct Internet {
    shared: Arc<Shared>,
    carrier: Option<JoinHandle<()>>,
}

/// One end of a line. Dropping it unplugs it.
#[derive(Debug)]
pub(super) struct Plug {
    number: usize,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    world: Mutex<World>,
    /// A byte makes the carrier look at the world again.
    bell: UnixStream,
}

#[derive(Debug)]
struct World {
    ports: BTreeMap<usize, Port>,
    next: usize,
    lots: u64,
    over: bool,
}

#[derive(Debug)]
struct Port {
    device: Arc<Device>,
    conditions: Conditions,
    leads: Leads,
}

/// Where packets go that come in at a port.
#[derive(Debug)]
enum Leads {
    /// To whichever port serves their destination, and what is for these addresses comes out here.
    Anywhere(Vec<Prefix>),
    /// To the other end of a cable.
    To(usize),
}

/// Addresses that begin alike; IPv4 in its place within IPv6.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prefix {
    first: u128,
    bits: u32,
}

struct Device(SyncDevice);

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Device(..)")
    }
}

/// Packets under way, by when they arrive.
type UnderWay = BinaryHeap<Reverse<(Instant, u64, usize, Vec<u8>)>>;

impl Internet {
    /// An internet with nobody on it. `seed` decides who is lost and late.
    pub(super) fn new(seed: u64) -> Self {
        let (bell, heard) = UnixStream::pair().expect("a pair of sockets");
        heard.set_nonblocking(true).expect("a socket that does not block");
        bell.set_nonblocking(true).expect("a socket that does not block");
        // The generator stands still at nought.
        let world = World { ports: BTreeMap::new(), next: 0, lots: seed.max(1), over: false };
        let shared = Arc::new(Shared { world: Mutex::new(world), bell });
        let carried = shared.clone();
        let carrier = thread::spawn(move || carry(&carried, heard));
        Self { shared, carrier: Some(carrier) }
    }

    /// Makes the device `name` on a machine, and plugs it in. What is sent to `serves` comes out of it.
    #[track_caller]
    pub(super) fn uplink(
        &self,
        machine: &Namespace,
        name: &str,
        serves: &[Prefix],
        conditions: Conditions,
    ) -> Plug {
        let device = device(machine, name);
        let port = Port { device, conditions, leads: Leads::Anywhere(serves.to_vec()) };
        self.shared.plug(port)
    }

    /// A cable between a device on each of two machines.
    #[track_caller]
    pub(super) fn cable(
        &self,
        [(one, first), (other, second)]: [(&Namespace, &str); 2],
        conditions: Conditions,
    ) -> [Plug; 2] {
        let port = |machine, name, to| {
            let leads = Leads::To(to);
            Port { device: device(machine, name), conditions, leads }
        };
        let plugs = [port(one, first, usize::MAX), port(other, second, usize::MAX)]
            .map(|port| self.shared.plug(port));
        let mut world = self.shared.world();
        for (plug, to) in [(0, 1), (1, 0)] {
            let to = plugs[to].number;
            if let Some(port) = world.ports.get_mut(&plugs[plug].number) {
                port.leads = Leads::To(to);
            }
        }
        drop(world);
        plugs
    }
}

impl Drop for Internet {
    fn drop(&mut self) {
        self.shared.world().over = true;
        self.shared.ring();
        if let Some(carrier) = self.carrier.take() {
            // If the carrier has failed, its own words have been printed.
            let _ = carrier.join();
        }
    }
}

impl Plug {
    /// Changes the addresses that lead here.
    pub(super) fn serves(&self, prefixes: &[Prefix]) {
        self.port(|port| port.leads = Leads::Anywhere(prefixes.to_vec()));
    }

    /// Changes what befalls packets here.
    pub(super) fn is_now(&self, conditions: Conditions) {
        self.port(|port| port.conditions = conditions);
    }

    fn port(&self, change: impl FnOnce(&mut Port)) {
        if let Some(port) = self.shared.world().ports.get_mut(&self.number) {
            change(port);
        }
    }
}

impl Drop for Plug {
    fn drop(&mut self) {
        self.shared.world().ports.remove(&self.number);
        self.shared.ring();
    }
}

impl Prefix {
    /// The addresses that share the first `bits` with `address`.
    pub(super) fn new(address: IpAddr, bits: u32) -> Self {
        match address {
            IpAddr::V4(_) => Self { first: number(address), bits: bits + 96 },
            IpAddr::V6(_) => Self { first: number(address), bits },
        }
    }

    /// One address.
    pub(super) fn one(address: impl Into<IpAddr>) -> Self {
        Self { first: number(address.into()), bits: 128 }
    }

    fn holds(self, address: u128) -> bool {
        let rest = 128 - self.bits;
        rest >= 128 || address >> rest == self.first >> rest
    }
}

impl Shared {
    fn plug(self: &Arc<Self>, port: Port) -> Plug {
        let mut world = self.world();
        let number = world.next;
        world.next += 1;
        world.ports.insert(number, port);
        drop(world);
        self.ring();
        Plug { number, shared: self.clone() }
    }

    fn ring(&self) {
        // If it is full, the carrier has yet to hear the last ring.
        let _ = (&self.bell).write(&[0]);
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    /// Where a packet from `port` comes out and how much later, unless it is lost.
    fn route(&mut self, port: usize, packet: &mut [u8]) -> Option<(usize, Duration)> {
        let from = self.ports.get(&port)?;
        let (here, to) = match &from.leads {
            Leads::To(to) => (from.conditions, *to),
            Leads::Anywhere(_) => (from.conditions, self.serving(destination(packet)?)?),
        };
        let cable = matches!(from.leads, Leads::To(_));
        let there = if cable { Conditions::default() } else { self.ports.get(&to)?.conditions };
        if self.lot() < here.loss || self.lot() < there.loss || !cable && !travels(packet) {
            return None;
        }
        let jitter = here.jitter.mul_f64(self.lot()) + there.jitter.mul_f64(self.lot());
        Some((to, here.one_way + there.one_way + jitter))
    }

    fn serving(&self, address: u128) -> Option<usize> {
        let serves = |port: &Port| match &port.leads {
            Leads::Anywhere(prefixes) => prefixes.iter().any(|prefix| prefix.holds(address)),
            Leads::To(_) => false,
        };
        self.ports.iter().find_map(|(number, port)| serves(port).then_some(*number))
    }

    /// A number from nought to one (xorshift).
    fn lot(&mut self) -> f64 {
        self.lots ^= self.lots << 13;
        self.lots ^= self.lots >> 7;
        self.lots ^= self.lots << 17;
        (self.lots >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[track_caller]
fn device(machine: &Namespace, name: &str) -> Arc<Device> {
    let made = machine.within(|| {
        let device = DeviceBuilder::new().name(name).build_sync()?;
        device.set_nonblocking(true)?;
        Ok::<_, std::io::Error>(device)
    });
    machine.ip(&format!("link set {name} txqueuelen 10000 up"));
    Arc::new(Device(made.expect("a TUN device")))
}

fn carry(shared: &Shared, mut bell: UnixStream) {
    let mut under_way = UnderWay::new();
    let mut count = 0;
    loop {
        let world = shared.world();
        if world.over {
            return;
        }
        let devices: Vec<(usize, Arc<Device>)> =
            world.ports.iter().map(|(number, port)| (*number, port.device.clone())).collect();
        drop(world);
        let mut waiting = vec![PollFd::from_borrowed_fd(bell.as_fd(), PollFlags::IN)];
        let devices_wait = devices
            .iter()
            .map(|(_, device)| PollFd::from_borrowed_fd(device.0.as_fd(), PollFlags::IN));
        waiting.extend(devices_wait);
        let next =
            under_way.peek().map(|Reverse((at, ..))| at.saturating_duration_since(Instant::now()));
        let next = next.and_then(|next| Timespec::try_from(next).ok());
        match poll(&mut waiting, next.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => panic!("the internet cannot wait: {error}"),
        }
        let ready: Vec<bool> = waiting.iter().map(|one| !one.revents().is_empty()).collect();
        if ready[0] {
            // What matters is that it rang, not how often.
            let _ = bell.read(&mut [0; 64]);
        }
        for ((number, device), _) in devices.iter().zip(&ready[1..]).filter(|(_, ready)| **ready) {
            take_in(shared, *number, device, &mut under_way, &mut count);
        }
        hand_out(shared, &mut under_way);
    }
}

fn take_in(
    shared: &Shared,
    port: usize,
    device: &Device,
    under_way: &mut UnderWay,
    count: &mut u64,
) {
    let mut packet = [0; PACKET_BYTES];
    loop {
        match device.0.recv(&mut packet) {
            Ok(length) => {
                let route = shared.world().route(port, &mut packet[..length]);
                if let Some((to, late)) = route {
                    *count += 1;
                    let packet = packet[..length].to_vec();
                    under_way.push(Reverse((Instant::now() + late, *count, to, packet)));
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(_) => {
                // Its machine is gone.
                shared.world().ports.remove(&port);
                return;
            }
        }
    }
}

fn hand_out(shared: &Shared, under_way: &mut UnderWay) {
    while under_way.peek().is_some_and(|Reverse((at, ..))| *at <= Instant::now()) {
        let Some(Reverse((_, _, to, packet))) = under_way.pop() else { return };
        let device = shared.world().ports.get(&to).map(|port| port.device.clone());
        if let Some(device) = device {
            // A packet that a device does not take is lost, as on any network.
            let _ = device.0.send(&packet);
        }
    }
}

/// Takes off a packet's life what the routers on its way would. False if it ends there.
fn travels(packet: &mut [u8]) -> bool {
    match packet.first().map(|first| first >> 4) {
        Some(4) if packet.len() >= 20 => {
            let Some(left) = packet[8].checked_sub(HOPS).filter(|left| *left > 0) else {
                return false;
            };
            packet[8] = left;
            // One's complement (RFC 1624): what the header loses its sum gains.
            let sum = u32::from(u16::from_be_bytes([packet[10], packet[11]]));
            let sum = sum + (u32::from(HOPS) << 8);
            let sum = (sum & 0xffff) + (sum >> 16);
            packet[10] = (sum >> 8) as u8;
            packet[11] = sum as u8;
            true
        }
        Some(6) if packet.len() >= 40 => {
            packet[7] = packet[7].saturating_sub(HOPS);
            packet[7] > 0
        }
        _ => false,
    }
}

fn destination(packet: &[u8]) -> Option<u128> {
    match packet.first()? >> 4 {
        4 => {
            let address: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
            Some(number(Ipv4Addr::from(address).into()))
        }
        6 => {
            let address: [u8; 16] = packet.get(24..40)?.try_into().ok()?;
            Some(number(Ipv6Addr::from(address).into()))
        }
        _ => None,
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_holds_what_begins_like_it() {
        let holds = |prefix: Prefix, address: &str| prefix.holds(number(address.parse().unwrap()));
        let six = Prefix::new("2001:db8:7::".parse().unwrap(), 48);
        assert!(holds(six, "2001:db8:7:1::2"));
        assert!(!holds(six, "2001:db8:8:1::2"));
        let four = Prefix::new("203.0.113.8".parse().unwrap(), 30);
        assert!(holds(four, "203.0.113.11"));
        assert!(!holds(four, "203.0.113.12"));
        let one = Prefix::one(Ipv4Addr::new(203, 0, 113, 8));
        assert!(holds(one, "203.0.113.8"));
        assert!(!holds(one, "203.0.113.9"));
    }

    #[test]
    fn a_packet_lives_no_longer_than_it_may() {
        // A header whose sum is known to be right (RFC 1071 says when).
        let mut packet = [0; 40];
        packet[..12].copy_from_slice(&[0x45, 0, 0, 40, 0, 0, 0, 0, 64, 17, 0, 0]);
        packet[12..20].copy_from_slice(&[203, 0, 113, 8, 203, 0, 113, 9]);
        let sum = |packet: &[u8]| {
            let words = packet[..20].chunks(2).map(|two| u16::from_be_bytes([two[0], two[1]]));
            let sum: u32 = words.map(u32::from).sum();
            ((sum & 0xffff) + (sum >> 16)) as u16
        };
        let right = !sum(&packet);
        packet[10..12].copy_from_slice(&right.to_be_bytes());
        assert_eq!(sum(&packet), 0xffff);
        assert!(travels(&mut packet));
        assert_eq!((packet[8], sum(&packet)), (64 - HOPS, 0xffff));
        packet[8] = HOPS;
        assert!(!travels(&mut packet));
        packet[0] = 0x60;
        packet[7] = HOPS + 1;
        assert!(travels(&mut packet));
        assert!(!travels(&mut packet));
    }

    #[test]
    fn a_packet_says_where_it_goes() {
        let mut packet = [0; 40];
        packet[0] = 0x45;
        packet[16..20].copy_from_slice(&[203, 0, 113, 8]);
        assert_eq!(destination(&packet), Some(number(Ipv4Addr::new(203, 0, 113, 8).into())));
        packet[0] = 0x60;
        packet[24..40].copy_from_slice(&Ipv6Addr::LOCALHOST.octets());
        assert_eq!(destination(&packet), Some(1));
        assert_eq!(destination(&[]), None);
    }
}
