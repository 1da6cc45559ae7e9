//! What the world does for the machines in it: connects them, breaks their connections, and routes the
//! server's signals.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use super::{Channel, Delivery, Happened, World};
use crate::{
    directory::{self, Revision, Signal},
    identity::Entry,
    name::Name,
    node::Conn,
    ticket::AttemptId,
    time::Time,
    wire::server::SessionId,
};

/// One end of a direct connection.
#[derive(Debug)]
pub(super) struct End {
    pub(super) machine: String,
    pub(super) other: Conn,
    attempt: AttemptId,
    dialler: bool,
    pub(super) open: bool,
    /// Whether this end says nothing and waits for nothing.
    pub(super) asleep: bool,
    /// Whether this end has closed it, or somebody sits in the middle of it.
    pub(super) spoilt: bool,
}

/// A dial that has found its door.
pub(super) struct Answered {
    dialler: String,
    acceptor: String,
    attempt: AttemptId,
}

impl World {
    /// Gives a server session something, and does what it asks for.
    pub(crate) fn serve(&mut self, link: u64, input: directory::Input<'_>) {
        let now = self.now;
        assert!(!self.is_busy(link), "a session has one thing to do at a time");
        let Some(session) = self.sessions.get_mut(&link) else { return };
        session.handle(now, input);
        while let Some(output) = self.sessions.get_mut(&link).and_then(directory::Session::poll) {
            match output {
                directory::Output::Bind { name, session, revision } => {
                    self.bind(link, name, session, revision);
                }
                directory::Output::Close => {
                    let mut session = self.sessions.remove(&link).unwrap();
                    assert!(session.poll().is_none(), "the server goes on after the end");
                    self.push(Channel::Down(link), Delivery::Closed);
                }
                directory::Output::Observe(_) => {}
                directory::Output::Tried { caller, callee, connected } => {
                    self.tried.push((caller, callee, connected));
                }
                directory::Output::Perform(task) => {
                    self.push(Channel::Storage(link), Delivery::Task(task));
                }
                directory::Output::Route(to, signal) => self.route(link, &to, signal),
                directory::Output::Send(body) => {
                    self.push(Channel::Down(link), Delivery::Frame(body));
                }
                directory::Output::Unbind(name) => {
                    let was_ours = self.bound.get(&name).is_some_and(|bound| bound.0 == link);
                    if was_ours {
                        self.bound.remove(&name);
                    }
                    if let Some(session) = self.sessions.get_mut(&link) {
                        session.handle(now, directory::Input::Unbound { was_ours });
                    }
                }
            }
        }
    }

    fn bind(&mut self, link: u64, name: Name, session: SessionId, revision: Revision) {
        let told = match self.bound.get(&name).copied() {
            Some((_, by, newer)) if newer > revision => Some((link, by)),
            before => {
                self.bound.insert(name, (link, session, revision));
                before.map(|(before, ..)| (before, session))
            }
        };
        if let Some((link, by)) = told {
            self.push(Channel::Signals(link), Delivery::Signal(Box::new(Signal::Replaced { by })));
        }
    }

    fn route(&mut self, from: u64, to: &Name, signal: Box<Signal>) {
        match (self.bound.get(to).copied(), &*signal) {
            (Some((link, ..)), _) => {
                self.routed.push(to.clone());
                if let Signal::Online { from: shown, .. }
                | Signal::Ask { caller: Entry { name: shown, .. }, .. } = &*signal
                {
                    // What a connection that has been replaced still says is stopped at the other end.
                    let speaks = self.bound.get(shown).is_some_and(|(bound, ..)| *bound == from);
                    let shown = Happened::Shown { from: shown.clone(), to: to.clone() };
                    if speaks {
                        self.happened(|| shown);
                    }
                }
                self.push(Channel::Signals(link), Delivery::Signal(signal));
            }
            (None, Signal::Ask { attempt, .. }) => {
                self.push(Channel::Signals(from), Delivery::Unrouted(*attempt));
            }
            (None, _) => {}
        }
    }

    /// Dials for which there is a door that lets them in, each of which connects once.
    pub(super) fn answered_dials(&mut self) -> Vec<Answered> {
        let mut answered = Vec::new();
        if !self.direct {
            return answered;
        }
        for (dialler, machine) in &self.machines {
            let dials = machine.dials.iter();
            let dials =
                dials.flat_map(|(attempt, dials)| dials.iter().map(move |dial| (attempt, dial)));
            for (attempt, dial) in dials {
                let dialled =
                    |end: &End| end.dialler && end.machine == *dialler && end.attempt == *attempt;
                let listed = |answered: &Answered| {
                    answered.dialler == *dialler && answered.attempt == *attempt
                };
                if self.ends.values().any(dialled) || answered.iter().any(listed) {
                    continue;
                }
                for (acceptor, other) in &self.machines {
                    let Some(open) = other.doors.get(attempt) else { continue };
                    let found = dial.addresses.contains(&other.address);
                    if !found || acceptor == dialler || self.is_blocked(dialler, acceptor) {
                        continue;
                    }
                    let knock = dial.knock.knock(&mut self.rng);
                    let expected = dial.certificate.is_none_or(|hash| hash == open.certificate);
                    if open.knock.admits(&knock) && expected {
                        let (dialler, acceptor) = (dialler.clone(), acceptor.clone());
                        answered.push(Answered { dialler, acceptor, attempt: *attempt });
                    }
                }
            }
        }
        answered
    }

    /// Dials from one machine to another fail until then.
    pub(crate) fn block(&mut self, from: &str, to: &str, until: Time) {
        self.blocked.insert((from.to_owned(), to.to_owned()), until);
    }

    fn is_blocked(&self, from: &str, to: &str) -> bool {
        let until = self.blocked.get(&(from.to_owned(), to.to_owned()));
        until.is_some_and(|until| *until > self.now)
    }

    pub(super) fn connect(&mut self, answered: &Answered) {
        let Answered { dialler, acceptor, attempt } = answered;
        let (a, b) = (Conn(self.number()), Conn(self.number()));
        let exporter: [u8; 32] = self.rng.bytes();
        let other: [u8; 32] = self.rng.bytes();
        let exporters = [exporter, if self.man_in_the_middle { other } else { exporter }];
        for (own, whose, (conn, other), exporter) in
            [(dialler, acceptor, (a, b), exporters[0]), (acceptor, dialler, (b, a), exporters[1])]
        {
            let end = End {
                machine: own.clone(),
                other,
                attempt: *attempt,
                dialler: own == dialler,
                open: true,
                asleep: false,
                spoilt: self.man_in_the_middle,
            };
            self.ends.insert(conn, end);
            let certificate = self.machines[whose].doors[attempt].certificate;
            let remote: SocketAddr = self.machines[whose].address;
            let attempt = *attempt;
            let connected = Delivery::PeerConnected { attempt, exporter, certificate, remote };
            self.push(Channel::Peer(conn), connected);
        }
    }

    /// Whoever opens a door for an attempt of the same id later dials anew.
    pub(super) fn end_dials(&mut self, who: &str, attempt: AttemptId) {
        for end in self.ends.values_mut() {
            end.dialler &= !(end.machine == who && end.attempt == attempt);
        }
    }

    /// Closes what an attempt has led to, but for one connection.
    pub(super) fn close_attempt(&mut self, who: &str, attempt: AttemptId, keep: Option<Conn>) {
        let of_attempt = |(conn, end): (&Conn, &End)| {
            let own = end.machine == who && end.attempt == attempt;
            (own && Some(*conn) != keep).then_some(*conn)
        };
        for conn in self.ends.iter().filter_map(of_attempt).collect::<Vec<_>>() {
            self.close(conn);
        }
    }

    /// Closes a connection: the other end learns of it behind what is under way. Whether this end is told
    /// too is left to the seed: a driver may do either.
    pub(super) fn close(&mut self, conn: Conn) {
        let Some(end) = self.ends.get_mut(&conn).filter(|end| end.open) else { return };
        let other = end.other;
        end.spoilt = true;
        if self.pick(2) == 0 {
            self.channels.insert(Channel::Peer(conn), [(self.now, Delivery::Closed)].into());
        } else {
            self.channels.remove(&Channel::Peer(conn));
            self.ends.entry(conn).and_modify(|end| end.open = false);
        }
        self.push(Channel::Peer(other), Delivery::Closed);
    }

    pub(super) fn sleeps(&mut self, conn: Conn, asleep: bool) {
        self.ends.entry(conn).and_modify(|end| end.asleep = asleep);
    }

    /// Something is said in datagrams: it comes once, or more often, or not at all, and before or after anything else.
    pub(super) fn wake(&mut self, conn: Conn, frame: &[u8]) {
        let open = self.ends.get(&conn).filter(|end| end.open).map(|end| end.other);
        let Some(other) = open.filter(|_| self.direct) else { return };
        for _ in 0..[1, 2, 0][self.pick(3)] {
            self.push(Channel::Datagrams(other), Delivery::Wakes(frame.to_vec()));
        }
    }

    /// Every direct connection of somebody breaks, and what was under way is lost.
    pub(crate) fn cut(&mut self, who: &str) {
        let own = self.ends.iter().filter(|(_, end)| end.machine == who && end.open);
        for (conn, other) in own.map(|(conn, end)| (*conn, end.other)).collect::<Vec<_>>() {
            for conn in [conn, other] {
                self.channels.insert(Channel::Peer(conn), [(self.now, Delivery::Closed)].into());
            }
        }
    }

    /// One direct connection breaks: each end gets some of what was under way to it, in order, and notices
    /// some time later.
    pub(crate) fn break_path(&mut self, at: usize, longest: Duration) {
        let open = self.ends.iter().filter(|(_, end)| end.open);
        let open: Vec<_> = open.map(|(conn, end)| (*conn, end.other)).collect();
        let Some((conn, other)) = open.get(at.checked_rem(open.len()).unwrap_or(0)) else { return };
        for conn in [*conn, *other] {
            let under_way = self.channels.get(&Channel::Peer(conn)).map_or(0, VecDeque::len);
            let arrives = self.pick(under_way + 1);
            let millis = u64::try_from(longest.as_millis()).unwrap();
            let noticed = self.now + Duration::from_millis(self.pick_u64(millis + 1));
            let queue = self.channels.entry(Channel::Peer(conn)).or_default();
            queue.truncate(arrives);
            queue.push_back((noticed, Delivery::Closed));
        }
    }

    /// Whatever is under way on one connection, in one direction, waits until then.
    pub(crate) fn stall(&mut self, at: usize, until: Time) {
        let connections = self.channels.iter_mut().filter(|(channel, _)| {
            matches!(channel, Channel::Down(_) | Channel::Peer(_) | Channel::Up(_))
        });
        let mut heads: Vec<_> = connections.filter_map(|(_, queue)| queue.front_mut()).collect();
        let count = heads.len();
        if let Some((due, _)) = heads.get_mut(at.checked_rem(count).unwrap_or(0)) {
            *due = until.max(*due);
        }
    }

    /// The server is gone, with every session it had: of what it has said, some arrives. What it was about
    /// to store may be stored, and nobody hears of it.
    pub(crate) fn lose_server(&mut self) {
        self.server_gone = true;
        self.bound.clear();
        self.sessions.clear();
        let channels: Vec<_> = self.channels.keys().cloned().collect();
        for channel in channels {
            match channel {
                Channel::Storage(_) => {
                    let queue = self.channels.remove(&channel);
                    for (_, delivery) in queue.into_iter().flatten() {
                        if let Delivery::Task(task) = delivery
                            && self.pick(2) == 0
                        {
                            let _ = self.storage.perform(task);
                        }
                    }
                }
                Channel::Signals(_) | Channel::Up(_) => {
                    self.channels.remove(&channel);
                }
                Channel::Datagrams(_) | Channel::Doors(_) | Channel::Down(_) | Channel::Peer(_) => {
                }
            }
        }
        let links = self.machines.values().flat_map(|machine| {
            machine.link.into_iter().chain(machine.resuming.as_ref().map(|(link, _)| *link))
        });
        for link in links.collect::<Vec<_>>() {
            let under_way = self.channels.get(&Channel::Down(link)).map_or(0, VecDeque::len);
            let arrives = self.pick(under_way + 1);
            self.channels.entry(Channel::Down(link)).or_default().truncate(arrives);
            self.push(Channel::Down(link), Delivery::Closed);
        }
    }

    /// Says something on every open connection of somebody, in place of their node.
    pub(crate) fn peer_says(&mut self, who: &str, frame: &[u8]) {
        let own = self.ends.values().filter(|end| end.machine == who && end.open);
        for other in own.map(|end| end.other).collect::<Vec<_>>() {
            self.push(Channel::Peer(other), Delivery::Frame(frame.to_vec()));
        }
        self.run();
    }

    /// The machine at the other end of a connection, if both ends stand and nobody sits in the middle.
    pub(crate) fn unspoilt(&self, conn: Conn) -> Option<&str> {
        let end = self.ends.get(&conn).filter(|end| !end.spoilt)?;
        let other = self.ends.get(&end.other).filter(|end| !end.spoilt)?;
        Some(&other.machine)
    }

    /// Somebody says something on a connection, in place of the node at `conn`.
    pub(crate) fn inject(&mut self, conn: Conn, frame: &[u8]) {
        if let Some(other) = self.ends.get(&conn).filter(|end| end.open).map(|end| end.other) {
            self.push(Channel::Peer(other), Delivery::Injected(frame.to_vec()));
        }
    }

    /// Tries a frame that is under way on its session, with one bit of it flipped: on which machine, and
    /// whether it has opened.
    pub(crate) fn forge(&mut self, at: usize, bit: usize) -> Option<(String, bool)> {
        let under_way = self.channels.iter().filter_map(|(channel, queue)| match channel {
            Channel::Peer(conn) => Some((*conn, &queue.front()?.1)),
            _ => None,
        });
        let frames: Vec<_> = under_way
            .filter_map(|(conn, delivery)| match delivery {
                Delivery::Frame(frame) => Some((conn, frame)),
                _ => None,
            })
            .collect();
        let (conn, frame) = frames.get(at.checked_rem(frames.len())?)?;
        let (conn, mut frame) = (*conn, (*frame).clone());
        let bit = bit % (frame.len() * 8);
        frame[bit / 8] ^= 1 << (bit % 8);
        let who = self.ends.get(&conn)?.machine.clone();
        let now = self.now;
        let opened = self.machine(&who).node.as_mut()?.opens(now, conn, &frame);
        Some((who, opened))
    }

    /// How many direct connections somebody has.
    pub(crate) fn connections(&self, who: &str) -> usize {
        self.ends.values().filter(|end| end.machine == who && end.open).count()
    }
}
