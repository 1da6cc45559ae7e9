//! A world in memory for tests: one server, people's machines and the network between them, everything
//! drawn from one seed. The protocol's machines in it are the real ones.

mod login;
mod machine;
mod network;
mod storage;

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::Duration,
};

use crate::{
    crypto::{rng::Rng, secret::Secret},
    directory::{self, Outcome, Revision, Session, Settings, Signal, Task},
    id::MessageId,
    name::{Name, ServerPin},
    node::{Conn, Event, Input, Node, Refused, RequestId},
    ticket::AttemptId,
    time::{Time, UnixTime},
    wire::{
        self,
        server::{Candidate, Reply, Request, SessionId, Withdrawal},
    },
};
pub(crate) use machine::Machine;
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
    /// Whether packets between peers arrive.
    pub(crate) direct: bool,
    pin: ServerPin,
    rng: Rng,
    machines: BTreeMap<String, Machine>,
    sessions: BTreeMap<u64, Session>,
    bound: BTreeMap<Name, (u64, SessionId, Revision)>,
    ends: BTreeMap<Conn, End>,
    channels: BTreeMap<Channel, VecDeque<Delivery>>,
    next: u64,
}

/// What arrives in order; between channels there is none.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Channel {
    Doors(String),
    Down(u64),
    Peer(Conn),
    Signals(u64),
    Storage(u64),
    Up(u64),
}

#[derive(Debug)]
enum Delivery {
    Closed,
    DoorOpened {
        attempt: AttemptId,
        certificate: [u8; 32],
    },
    Frame(Vec<u8>),
    Outcome(Outcome),
    PeerConnected {
        attempt: AttemptId,
        exporter: [u8; 32],
        certificate: [u8; 32],
        remote: SocketAddr,
    },
    Signal(Box<Signal>),
    Task(Task),
    Unrouted(AttemptId),
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

impl World {
    pub(crate) fn new(seed: u8) -> Self {
        let mut rng = Rng::from_seed(Secret::new([seed; 32]));
        Self {
            now: Time::ZERO,
            storage: Storage::new(Rng::from_seed(rng.secret())),
            settings: Settings { registration_open: true },
            lie: None,
            man_in_the_middle: false,
            unheard: Vec::new(),
            routed: Vec::new(),
            direct: true,
            pin: ServerPin::of_hash(&[seed; 32]),
            rng,
            machines: BTreeMap::new(),
            sessions: BTreeMap::new(),
            bound: BTreeMap::new(),
            ends: BTreeMap::new(),
            channels: BTreeMap::new(),
            next: 0,
        }
    }

    /// A world in which these people have registered and nobody knows anybody.
    pub(crate) fn of(seed: u8, people: &[&str]) -> Self {
        let mut world = Self::new(seed);
        for who in people {
            world.register(who);
        }
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

    /// Goes on to the next deadline, if there is one until `end`.
    fn tick(&mut self, end: Option<Time>) -> bool {
        let of_node = |machine: &Machine| machine.node.as_ref().and_then(Node::deadline);
        let nodes = self.machines.values().filter_map(of_node);
        let next = nodes.chain(self.sessions.values().filter_map(Session::deadline)).min();
        let Some(next) = next.filter(|next| end.is_none_or(|end| *next <= end)) else {
            return false;
        };
        let now = next.max(self.now);
        self.now = now;
        let due = |deadline: Option<Time>| deadline.is_some_and(|deadline| deadline <= now);
        let late = self.sessions.iter().filter(|(_, session)| due(session.deadline()));
        for link in late.map(|(link, _)| *link).collect::<Vec<_>>() {
            self.serve(link, directory::Input::Timeout);
        }
        let late = self.machines.iter().filter(|(_, machine)| due(of_node(machine)));
        for who in late.map(|(who, _)| who.clone()).collect::<Vec<_>>() {
            self.feed(&who, Input::Timeout);
            // A deadline that stays in the past would keep a real driver spinning.
            let next = of_node(self.machine(&who));
            assert!(next.is_none_or(|next| next > now), "{who} has not seen to its deadline");
        }
        true
    }

    /// Gives a node something, and does what it asks for.
    pub(crate) fn feed(&mut self, who: &str, input: Input<'_>) {
        let now = self.now;
        if let Some(node) = self.machine(who).node.as_mut() {
            node.handle(now, input);
            self.settle(who);
        }
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
        self.command(who, |node| node.withdraw(&name(whom), how))
    }

    pub(crate) fn befriend(&mut self, a: &str, b: &str) {
        assert_eq!(self.add(a, b), Ok(()));
        assert_eq!(self.accept(b, a), Ok(()));
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
        let id = self.node(who).send(now, sent_at, &name(whom), None, text.to_owned()).unwrap();
        self.settle(who);
        id
    }

    /// What is on somebody's disk, in the order it came.
    pub(crate) fn texts(&mut self, who: &str) -> Vec<String> {
        self.machine(who).disk.received.iter().map(|(_, _, text)| text.clone()).collect()
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
        let body = wire::encode(reply);
        self.machine(who).heard.push(body.clone());
        self.feed(who, Input::ServerFrame(&body));
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

    /// The agent dies, and with it every connection.
    pub(crate) fn kill(&mut self, who: &str) {
        self.machine(who).node = None;
        self.machine(who).crash_after = None;
        self.machine(who).doors.clear();
        self.machine(who).dials.clear();
        self.disconnect(who);
        let own = self.ends.iter().filter(|(_, end)| end.machine == who).map(|(conn, _)| *conn);
        for conn in own.collect::<Vec<_>>() {
            self.close(conn);
        }
    }

    /// The agent dies without a packet: peers go on as if it were there.
    pub(crate) fn vanish(&mut self, who: &str) {
        self.ends.retain(|_, end| end.machine != who);
        self.kill(who);
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

    fn push(&mut self, channel: Channel, delivery: Delivery) {
        self.channels.entry(channel).or_default().push_back(delivery);
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn pick(&mut self, count: usize) -> usize {
        u32::from_le_bytes(self.rng.bytes()) as usize % count
    }

    /// One delivery, or one dial that finds its door; false if there is none.
    fn step(&mut self) -> bool {
        self.channels.retain(|_, queue| !queue.is_empty());
        let dials = self.answered_dials();
        let waits = |channel: &&Channel| match channel {
            Channel::Signals(link) | Channel::Up(link) => self.is_busy(*link),
            _ => false,
        };
        let channels: Vec<_> =
            self.channels.keys().filter(|channel| !waits(channel)).cloned().collect();
        let count = channels.len() + dials.len();
        if count == 0 {
            return false;
        }
        let at = self.pick(count);
        match channels.get(at) {
            Some(channel) => self.deliver_next(channel),
            None => self.connect(&dials[at - channels.len()]),
        }
        true
    }

    /// Whether a session waits for the storage: nothing else reaches it until it has its answer.
    fn is_busy(&self, link: u64) -> bool {
        self.channels.get(&Channel::Storage(link)).is_some_and(|queue| !queue.is_empty())
    }

    fn deliver_next(&mut self, channel: &Channel) {
        if let Some(delivery) = self.channels.get_mut(channel).and_then(VecDeque::pop_front) {
            self.deliver(channel, delivery);
        }
    }

    fn deliver(&mut self, channel: &Channel, delivery: Delivery) {
        match (channel, delivery) {
            (Channel::Doors(who), Delivery::DoorOpened { attempt, certificate }) => {
                let candidates = vec![Candidate(self.machine(who).address)];
                self.feed(who, Input::DoorOpened { attempt, certificate, candidates });
            }
            (Channel::Down(link), delivery) => self.deliver_down(*link, delivery),
            (Channel::Peer(conn), delivery) => self.deliver_to_peer(*conn, delivery),
            (Channel::Signals(link), Delivery::Signal(signal)) => {
                self.serve(*link, directory::Input::Signal(signal));
            }
            (Channel::Signals(link), Delivery::Unrouted(attempt)) => {
                self.serve(*link, directory::Input::Unrouted(attempt));
            }
            // The answer takes its time: others may do something in between.
            (Channel::Storage(_), Delivery::Task(task)) => {
                let outcome = self.storage.perform(task);
                self.push(channel.clone(), Delivery::Outcome(outcome));
            }
            (Channel::Storage(link), Delivery::Outcome(outcome)) => {
                self.serve(*link, directory::Input::Performed(outcome));
            }
            (Channel::Up(link), Delivery::Frame(body)) => {
                self.serve(*link, directory::Input::Frame(&body));
            }
            (Channel::Up(link), Delivery::Closed) => {
                self.serve(*link, directory::Input::Closed);
            }
            (channel, delivery) => panic!("{delivery:?} on {channel:?}"),
        }
    }

    fn deliver_down(&mut self, link: u64, delivery: Delivery) {
        let on_link = |(_, machine): &(&String, &Machine)| machine.link == Some(link);
        let Some(who) = self.machines.iter().find(on_link).map(|(who, _)| who.clone()) else {
            if let Delivery::Frame(body) = delivery {
                self.unheard.push(wire::decode(&body).unwrap());
            }
            return;
        };
        match delivery {
            Delivery::Frame(body) => {
                let mut bodies = vec![body];
                if let Some(mut lie) = self.lie.take() {
                    let replies = lie(&who, wire::decode(&bodies[0]).unwrap());
                    bodies = replies.iter().map(wire::encode).collect();
                    self.lie = Some(lie);
                }
                for body in bodies {
                    self.machine(&who).heard.push(body.clone());
                    self.feed(&who, Input::ServerFrame(&body));
                }
            }
            _ => {
                self.machine(&who).link = None;
                self.feed(&who, Input::ServerDown);
            }
        }
    }
}
