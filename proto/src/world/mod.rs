//! A world in memory for tests: one server, people's machines and the network between them, everything
//! drawn from one seed. The protocol's machines in it are the real ones.

mod deliveries;
mod disk;
mod driver;
mod login;
mod machine;
mod network;
mod recovery;
mod storage;

use std::{collections::BTreeMap, time::Duration};

use crate::{
    crypto::{rng::Rng, secret::Secret},
    directory::{self, Revision, Session, Settings},
    id::MessageId,
    identity::{Identity, PublicIdentity},
    limits::REST_AFTER,
    message::{Body, Message},
    name::{Name, ServerPin},
    node::{Change, Conn, Event, Input, Node, Refused, RequestId},
    ticket::AttemptId,
    time::{Time, UnixTime},
    wire::{
        self,
        server::{Nat, Reply, Request, SessionId, Withdrawal},
    },
};
use deliveries::{Channel, Delivery, Queue};
pub(crate) use disk::{Said, Shows};
pub(crate) use driver::Crash;
pub(crate) use machine::{Driver, Machine};
use network::End;
pub(crate) use storage::Storage;

/// More deliveries than any scenario here needs: beyond it, two machines keep each other busy for ever.
const DELIVERIES_MAX: usize = 20_000;

/// What a lying server makes of a reply to somebody.
pub(crate) type Lie = Box<dyn FnMut(&str, Reply) -> Vec<Reply>>;

pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) storage: Storage,
    pub(crate) settings: Settings,
    /// What the server makes of its replies.
    pub(crate) lie: Option<Lie>,
    /// Whether somebody sits in the middle of every direct connection, with a TLS session to each end.
    pub(crate) man_in_the_middle: bool,
    /// What the server has said on connections that nobody listens on any more.
    pub(crate) unheard: Vec<Reply>,
    /// Whose session each signal went to.
    pub(crate) routed: Vec<Name>,
    /// What the server was told of introductions: behind what caller and callee are, and whether there is a path.
    pub(crate) tried: Vec<(Nat, Nat, bool)>,
    /// Whether packets between peers arrive.
    pub(crate) direct: bool,
    /// How long things take at most; without it, everything arrives at once.
    pub(crate) longest_delay: Option<Duration>,
    /// How long agents keep a path alive that nobody uses.
    pub(crate) rest_after: Duration,
    /// Whether nobody answers at the server's address.
    pub(crate) server_gone: bool,
    /// Everything that has happened since somebody last looked, if somebody does.
    pub(crate) watched: Option<Vec<Happened>>,
    /// What has happened in words, if somebody wants to read it.
    pub(crate) trace: Option<Vec<String>>,
    pin: ServerPin,
    rng: Rng,
    machines: BTreeMap<String, Machine>,
    sessions: BTreeMap<u64, Session>,
    bound: BTreeMap<Name, (u64, SessionId, Revision)>,
    ends: BTreeMap<Conn, End>,
    channels: BTreeMap<Channel, Queue>,
    /// Until when dials from one machine to another fail.
    blocked: BTreeMap<(String, String), Time>,
    next: u64,
}

/// What somebody who watches the world has to know of it.
#[derive(Debug)]
pub(crate) enum Happened {
    /// A machine looks for somebody without the server.
    Resumes { who: String, attempt: AttemptId, whom: Name },
    /// The server has told a machine that somebody asks for it, or has lied.
    Asked { who: String, attempt: AttemptId, caller: Name },
    /// An agent has died, or forgotten what its disk did not take.
    Crashed { who: String },
    /// A machine dials another.
    Dialled { who: String, attempt: AttemptId },
    /// A direct connection is closed for one end, by it or by the network.
    PeerGone { conn: Conn },
    /// A machine sends something to a peer.
    SaidToPeer { who: String, conn: Conn },
    /// A machine sends something to the server.
    SaidToServer { who: String, request: Box<Request> },
    /// The server shows somebody, with their presence or address, to another.
    Shown { from: Name, to: Name },
    /// A transaction.
    Stored { who: String, changes: Vec<Change> },
    /// A machine's person or programs are told something.
    Told { who: String, event: Event },
    /// What was said in datagrams has woken a path.
    Woken,
    /// A frame that a node had sent has ended the path of the node that it was for.
    Unheard { who: String, conn: Conn },
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

impl World {
    pub(crate) fn new(seed: u8) -> Self {
        Self::seeded([seed; 32])
    }

    pub(crate) fn seeded(seed: [u8; 32]) -> Self {
        let mut rng = Rng::from_seed(Secret::new(seed));
        Self {
            now: Time::ZERO,
            storage: Storage::new(Rng::from_seed(rng.secret())),
            settings: Settings { registration_open: true, sunset: None, observer: None },
            lie: None,
            man_in_the_middle: false,
            unheard: Vec::new(),
            routed: Vec::new(),
            tried: Vec::new(),
            direct: true,
            longest_delay: None,
            rest_after: REST_AFTER,
            server_gone: false,
            watched: None,
            trace: None,
            pin: ServerPin::of_hash(&seed),
            rng,
            machines: BTreeMap::new(),
            sessions: BTreeMap::new(),
            bound: BTreeMap::new(),
            ends: BTreeMap::new(),
            channels: BTreeMap::new(),
            blocked: BTreeMap::new(),
            next: 0,
        }
    }

    /// A world in which these people have registered and nobody knows anybody.
    pub(crate) fn of(seed: u8, people: &[&str]) -> Self {
        let mut world = Self::new(seed);
        for who in people {
            world.register(who);
        }
        world.run();
        world
    }

    /// A world in which these people have registered, and the first two are contacts.
    pub(crate) fn of_friends(seed: u8, people: &[&str]) -> Self {
        let mut world = Self::of(seed, people);
        world.befriend(people[0], people[1]);
        world
    }

    pub(crate) fn machine(&mut self, who: &str) -> &mut Machine {
        self.machines.get_mut(who).unwrap()
    }

    pub(crate) const fn machines(&self) -> &BTreeMap<String, Machine> {
        &self.machines
    }

    pub(crate) fn node(&mut self, who: &str) -> &mut Node {
        self.machine(who).node.as_mut().unwrap()
    }

    /// Delivers everything that is under way, in an order that the seed decides.
    pub(crate) fn run(&mut self) {
        for _ in 0..DELIVERIES_MAX {
            if !self.step() {
                return;
            }
        }
        panic!("the world does not come to rest");
    }

    /// Delivers, and lets time pass where nothing is under way, until something holds.
    pub(crate) fn run_until(&mut self, mut holds: impl FnMut(&mut Self) -> bool) {
        for _ in 0..DELIVERIES_MAX {
            if holds(self) {
                return;
            }
            let goes_on = self.step() || self.tick(None);
            assert!(goes_on, "it never holds");
        }
        panic!("the world does not come to rest");
    }

    /// Lets time pass, and whatever it brings.
    pub(crate) fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        self.run();
        while self.tick(Some(end)) {
            self.run();
        }
        self.now = end;
    }

    /// Goes on to the next moment at which something happens by itself, if there is one until `end`.
    pub(crate) fn tick(&mut self, end: Option<Time>) -> bool {
        let nodes = self.machines.values().filter_map(Self::deadline_of);
        // Whatever a session waits for comes before its deadline.
        let idle = self.sessions.iter().filter(|(link, _)| !self.is_busy(**link));
        let sessions = idle.filter_map(|(_, session)| session.deadline());
        let next = nodes.chain(sessions).chain(self.next_arrival()).min();
        let Some(next) = next.filter(|next| end.is_none_or(|end| *next <= end)) else {
            return false;
        };
        let now = next.max(self.now);
        self.now = now;
        let due = |deadline: Option<Time>| deadline.is_some_and(|deadline| deadline <= now);
        let late = self
            .sessions
            .iter()
            .filter(|(link, session)| due(session.deadline()) && !self.is_busy(**link));
        for link in late.map(|(link, _)| *link).collect::<Vec<_>>() {
            self.serve(link, directory::Input::Timeout);
        }
        let late = self.machines.iter().filter(|(_, machine)| due(Self::deadline_of(machine)));
        for who in late.map(|(who, _)| who.clone()).collect::<Vec<_>>() {
            self.feed(&who, Input::Timeout);
            // A deadline that stays in the past would keep a real driver spinning.
            let next = Self::deadline_of(self.machine(&who));
            assert!(next.is_none_or(|next| next > now), "{who} has not seen to its deadline");
        }
        true
    }

    /// A command of the person, carried through. The answer is the request's, if there was one.
    pub(crate) fn command(
        &mut self,
        who: &str,
        command: impl FnOnce(&mut Node) -> Result<RequestId, Refused>,
    ) -> Result<(), Refused> {
        let request = command(self.node(who))?;
        self.settle(who);
        self.run();
        let answered = |event: &Event| match event {
            Event::Answered(answered, result) if *answered == request => Some(*result),
            _ => None,
        };
        let mut answers = self.machine(who).events.iter().filter_map(answered);
        let answer = answers.next().unwrap_or(Err(Refused::ServerGone));
        assert_eq!(answers.next(), None, "answered twice");
        answer
    }

    pub(crate) fn add(&mut self, who: &str, whom: &str) -> Result<(), Refused> {
        self.command(who, |node| node.add(&name(whom)))
    }

    pub(crate) fn accept(&mut self, who: &str, whom: &str) -> Result<(), Refused> {
        self.command(who, |node| node.accept(&name(whom)))
    }

    pub(crate) fn withdraw(
        &mut self,
        who: &str,
        whom: &str,
        how: Withdrawal,
    ) -> Result<(), Refused> {
        let now = self.now;
        self.command(who, |node| node.withdraw(now, &name(whom), how))
    }

    pub(crate) fn befriend(&mut self, a: &str, b: &str) {
        assert_eq!(self.add(a, b), Ok(()));
        assert_eq!(self.accept(b, a), Ok(()));
    }

    /// The identity of whoever uses a machine.
    pub(crate) fn identity(&mut self, who: &str) -> PublicIdentity {
        Identity::from_seed(self.machine(who).keys.seed.duplicate()).public()
    }

    /// Queues a text, and lets happen what can.
    pub(crate) fn send(&mut self, who: &str, whom: &str, text: &str) -> MessageId {
        let id = self.write(who, whom, text);
        self.run();
        id
    }

    /// Queues a text.
    pub(crate) fn write(&mut self, who: &str, whom: &str, text: &str) -> MessageId {
        let now = self.now;
        let sent_at = UnixTime::from_millis(1_000);
        let body = Body::text(text.to_owned());
        let id = self.node(who).send(now, sent_at, &name(whom), None, body).unwrap();
        self.settle(who);
        id
    }

    /// What is on somebody's disk, in the order it came.
    pub(crate) fn texts(&mut self, who: &str) -> Vec<String> {
        let text = |(_, message): &(Name, Message)| match &message.body {
            Body::Text(text) => Some(text.text.clone()),
            _ => None,
        };
        self.machine(who).disk.received.iter().filter_map(text).collect()
    }

    /// How often something has happened to somebody.
    pub(crate) fn count(&mut self, who: &str, event: &Event) -> usize {
        self.machine(who).events.iter().filter(|happened| *happened == event).count()
    }

    /// Whether there is a path between two people, as both see it.
    pub(crate) fn connected(&mut self, a: &str, b: &str) -> bool {
        let path = |node: &Node, whom: &Name| node.contact(whom).is_some_and(|c| c.path.is_some());
        let [x, y] = [a, b].map(|who| self.machine(who).name.clone());
        let [ab, ba] = [path(self.node(a), &y), path(self.node(b), &x)];
        assert_eq!(ab, ba, "one of them has a path to the other");
        ab
    }

    /// What the server has said to somebody since the last login.
    pub(crate) fn heard(&mut self, who: &str) -> Vec<Reply> {
        self.machine(who).heard.iter().map(|body| wire::decode(body).unwrap()).collect()
    }

    /// Lets a lying server say something.
    pub(crate) fn server_says(&mut self, who: &str, reply: &Reply) {
        self.hear(who, &wire::encode(reply));
        self.run();
    }

    /// Lets a client say something that its node would not.
    pub(crate) fn client_says(&mut self, who: &str, request: &Request) {
        let link = self.machine(who).link.unwrap();
        self.send_on(link, request);
        self.run();
    }

    /// Says something on a connection to the server, which hears it some time later.
    pub(crate) fn send_on(&mut self, link: u64, request: &Request) {
        self.push(Channel::Up(link), Delivery::Frame(wire::encode(request)));
    }

    /// The connection to the server breaks.
    pub(crate) fn disconnect(&mut self, who: &str) {
        if let Some(link) = self.machine(who).link.take() {
            self.channels.remove(&Channel::Down(link));
            self.push(Channel::Up(link), Delivery::Closed);
            self.feed(who, Input::ServerDown);
        }
    }

    /// The connection to the server breaks, and what was said on it and not heard yet is lost.
    pub(crate) fn break_off(&mut self, who: &str) {
        if let Some(link) = self.machine(who).link {
            while self.is_busy(link) {
                self.deliver_next(&Channel::Storage(link));
            }
            self.channels.remove(&Channel::Up(link));
        }
        self.disconnect(who);
    }

    /// Nothing goes wrong any more.
    pub(crate) fn clear_skies(&mut self) {
        (self.direct, self.man_in_the_middle, self.server_gone) = (true, false, false);
        self.storage.full = false;
        self.lie = None;
        self.longest_delay = Some(Duration::from_millis(100));
        self.blocked.clear();
        for machine in self.machines.values_mut() {
            (machine.full, machine.crash_after) = (false, None);
        }
    }

    /// Puts something into the trace, if there is one.
    pub(crate) fn note(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            let now = Time::ZERO.until(self.now);
            trace.push(format!("{:>10.3} {}", now.as_secs_f64(), what()));
        }
    }

    /// A number that depends on everything that chance has decided so far.
    pub(crate) fn fingerprint(&mut self) -> u64 {
        u64::from_le_bytes(self.rng.bytes())
    }

    fn happened(&mut self, what: impl FnOnce() -> Happened) {
        if let Some(watched) = &mut self.watched {
            watched.push(what());
        }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn pick(&mut self, count: usize) -> usize {
        u32::from_le_bytes(self.rng.bytes()) as usize % count
    }

    fn pick_u64(&mut self, count: u64) -> u64 {
        u64::from_le_bytes(self.rng.bytes()) % count
    }
}
