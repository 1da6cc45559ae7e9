//! What the world does for the machines in it: carries frames, opens doors, dials, and routes signals.

use std::net::SocketAddr;

use super::{Channel, Delivery, World, machine::OpenDoor};
use crate::{
    directory::{self, Revision, Signal},
    knock::KnockKey,
    name::Name,
    node::{Conn, Input, Output},
    ticket::AttemptId,
    wire::server::SessionId,
};

/// One end of a direct connection.
#[derive(Debug)]
pub(super) struct End {
    pub(super) machine: String,
    other: Conn,
    attempt: AttemptId,
    dialler: bool,
    open: bool,
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
                    self.sessions.remove(&link);
                    self.push(Channel::Down(link), Delivery::Closed);
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
                self.push(Channel::Signals(link), Delivery::Signal(signal));
            }
            (None, Signal::Ask { attempt, .. }) => {
                self.push(Channel::Signals(from), Delivery::Unrouted(*attempt));
            }
            (None, _) => {}
        }
    }

    /// Does everything that a node asks for, or dies on the way.
    pub(crate) fn settle(&mut self, who: &str) {
        while let Some(output) = self.machine(who).node.as_mut().and_then(crate::node::Node::poll) {
            match &mut self.machine(who).crash_after {
                Some(0) => return self.kill(who),
                Some(left) => *left -= 1,
                None => {}
            }
            self.perform(who, output);
        }
    }

    fn perform(&mut self, who: &str, output: Output) {
        match output {
            Output::CloseDoor { attempt, keep } => {
                self.machine(who).doors.remove(&attempt);
                self.machine(who).dials.remove(&attempt);
                let of_attempt = |(conn, end): (&Conn, &End)| {
                    let own = end.machine == who && end.attempt == attempt;
                    (own && Some(*conn) != keep).then_some(*conn)
                };
                for conn in self.ends.iter().filter_map(of_attempt).collect::<Vec<_>>() {
                    self.close(conn);
                }
            }
            Output::ClosePeer(conn) => self.close(conn),
            Output::Dial { attempt, door } => {
                self.machine(who).dials.insert(attempt, door);
            }
            Output::Event(event) => self.machine(who).events.push(event),
            Output::OpenDoor { attempt, knock } => {
                let certificate = self.rng.bytes();
                self.machine(who).doors.insert(attempt, OpenDoor { certificate, knock });
                let opened = Delivery::DoorOpened { attempt, certificate };
                self.push(Channel::Doors(who.to_owned()), opened);
            }
            Output::SendPeer { conn, frame } => {
                self.machine(who).frames.push(frame.clone());
                let open = self.ends.get(&conn).filter(|end| end.open).map(|end| end.other);
                if let Some(other) = open {
                    self.push(Channel::Peer(other), Delivery::Frame(frame));
                }
            }
            Output::SendServer(body) => {
                self.machine(who).said.push(body.clone());
                if let Some(link) = self.machine(who).link {
                    self.push(Channel::Up(link), Delivery::Frame(body));
                }
            }
            Output::Store(change) => self.machine(who).disk.store(change),
        }
    }

    /// Dials for which there is a door that lets them in, each of which connects once.
    pub(super) fn answered_dials(&mut self) -> Vec<Answered> {
        let mut answered = Vec::new();
        if !self.direct {
            return answered;
        }
        for (dialler, machine) in &self.machines {
            for (attempt, door) in &machine.dials {
                let dialled =
                    |end: &End| end.dialler && end.machine == *dialler && end.attempt == *attempt;
                if self.ends.values().any(dialled) {
                    continue;
                }
                let knock = KnockKey(door.knock.duplicate()).knock(&mut self.rng);
                for (acceptor, other) in &self.machines {
                    let found =
                        door.candidates.iter().any(|candidate| candidate.0 == other.address);
                    let lets_in = other.doors.get(attempt).is_some_and(|open| {
                        open.knock.admits(&knock) && open.certificate == door.certificate
                    });
                    if found && lets_in && acceptor != dialler {
                        let (dialler, acceptor) = (dialler.clone(), acceptor.clone());
                        answered.push(Answered { dialler, acceptor, attempt: *attempt });
                    }
                }
            }
        }
        answered
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
            };
            self.ends.insert(conn, end);
            let certificate = self.machines[whose].doors[attempt].certificate;
            let remote: SocketAddr = self.machines[whose].address;
            let attempt = *attempt;
            let connected = Delivery::PeerConnected { attempt, exporter, certificate, remote };
            self.push(Channel::Peer(conn), connected);
        }
    }

    pub(super) fn deliver_to_peer(&mut self, conn: Conn, delivery: Delivery) {
        let Some(end) = self.ends.get_mut(&conn).filter(|end| end.open) else { return };
        let who = end.machine.clone();
        match delivery {
            Delivery::Frame(frame) => self.feed(&who, Input::PeerFrame { conn, frame: &frame }),
            Delivery::PeerConnected { attempt, exporter, certificate, remote } => {
                let connected =
                    Input::PeerConnected { conn, attempt, exporter, certificate, remote };
                self.feed(&who, connected);
            }
            _ => {
                end.open = false;
                self.feed(&who, Input::PeerClosed(conn));
            }
        }
    }

    /// Closes a connection: the other end learns of it behind what is under way. Whether this end is told
    /// too is left to the seed: a driver may do either.
    pub(super) fn close(&mut self, conn: Conn) {
        let Some(end) = self.ends.get_mut(&conn).filter(|end| end.open) else { return };
        let other = end.other;
        if self.pick(2) == 0 {
            self.channels.insert(Channel::Peer(conn), [Delivery::Closed].into());
        } else {
            self.channels.remove(&Channel::Peer(conn));
            self.ends.entry(conn).and_modify(|end| end.open = false);
        }
        self.push(Channel::Peer(other), Delivery::Closed);
    }

    /// Every direct connection of somebody breaks, and what was under way is lost.
    pub(crate) fn cut(&mut self, who: &str) {
        let own = self.ends.iter().filter(|(_, end)| end.machine == who && end.open);
        for (conn, other) in own.map(|(conn, end)| (*conn, end.other)).collect::<Vec<_>>() {
            for conn in [conn, other] {
                self.channels.insert(Channel::Peer(conn), [Delivery::Closed].into());
            }
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

    /// How many direct connections somebody has.
    pub(crate) fn connections(&self, who: &str) -> usize {
        self.ends.values().filter(|end| end.machine == who && end.open).count()
    }
}
