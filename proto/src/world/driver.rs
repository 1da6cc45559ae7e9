//! How a machine carries out what its node asks for, and how it dies on the way.

use std::time::Duration;

use super::{
    Channel, Delivery, Driver, Happened, Machine, World, disk::Platter, machine::OpenDoor,
};
use crate::{
    node::{Change, Conn, Event, Input, Node, Output},
    time::Time,
    wire,
};

/// After how long without a sign of life a connection is taken to be dead.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// How an agent ends that does not mean to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Crash {
    /// Its process is killed, and its peers are told by the network.
    Killed,
    /// Its process is killed, and nobody is told.
    Silent,
    /// The machine has no power any more.
    PowerCut,
}

impl World {
    /// Gives a node something, and does what it asks for, at once or later.
    pub(crate) fn feed(&mut self, who: &str, input: Input<'_>) {
        let now = self.now;
        if let Some(node) = self.machine(who).node.as_mut() {
            node.handle(now, input);
            self.stir(who);
        }
    }

    /// A node has something to do.
    pub(crate) fn stir(&mut self, who: &str) {
        match self.machine(who).driver {
            Driver::Eager => self.settle(who),
            Driver::Batching | Driver::Ordered => self.machine(who).unsettled = true,
        }
    }

    /// Does everything that a node asks for, or dies on the way.
    pub(crate) fn settle(&mut self, who: &str) {
        self.machine(who).unsettled = false;
        match self.machine(who).driver {
            Driver::Eager | Driver::Ordered => self.settle_in_order(who),
            Driver::Batching => self.settle_in_batches(who),
        }
    }

    fn settle_in_order(&mut self, who: &str) {
        let mut stored = Vec::new();
        while let Some(output) = self.poll(who) {
            if !self.lives_on(who) {
                return;
            }
            match output {
                Output::Store(change) => {
                    stored.push(change.clone());
                    if !self.commit(who, vec![change]) {
                        return self.start_over(who);
                    }
                }
                output => self.perform(who, output),
            }
        }
        self.follow_disk(who, &stored);
    }

    fn settle_in_batches(&mut self, who: &str) {
        loop {
            let (mut changes, mut told, mut rest) = (Vec::new(), Vec::new(), Vec::new());
            while let Some(output) = self.poll(who) {
                match output {
                    Output::Store(change) => changes.push(change),
                    Output::Event(Event::Delivered(..)) => told.push(output),
                    output => rest.push(output),
                }
            }
            if changes.is_empty() && told.is_empty() && rest.is_empty() {
                return;
            }
            for output in told {
                self.perform(who, output);
            }
            if !changes.is_empty() {
                if !self.lives_on(who) {
                    return;
                }
                if !self.commit(who, changes.clone()) {
                    return self.start_over(who);
                }
                self.follow_disk(who, &changes);
            }
            for output in rest {
                if !self.lives_on(who) {
                    return;
                }
                self.perform(who, output);
            }
        }
    }

    /// Conversations stand where these changes have left them on the disk, and nowhere else.
    fn follow_disk(&mut self, who: &str, changes: &[Change]) {
        let machine = self.machine(who);
        let Some(node) = &mut machine.node else { return };
        for change in changes {
            if let Change::Received { from: with, .. } | Change::Cancelled { to: with, .. } = change
            {
                let stored = machine.disk.conversations.get(with).copied().unwrap_or_default();
                node.set_conversation(with, stored);
            }
        }
    }

    fn poll(&mut self, who: &str) -> Option<Output> {
        let now = self.now;
        self.machine(who).node.as_mut()?.poll(now)
    }

    /// Whether the agent lives on to do the next thing.
    fn lives_on(&mut self, who: &str) -> bool {
        match &mut self.machine(who).crash_after {
            Some(0) => {
                let crash = self.machine(who).crash;
                self.crash(who, crash);
                return false;
            }
            Some(left) => *left -= 1,
            None => {}
        }
        true
    }

    /// One transaction; false if the disk does not take it. That something was delivered is not waited
    /// for: if it is forgotten, it is delivered again.
    fn commit(&mut self, who: &str, changes: Vec<Change>) -> bool {
        let machine = self.machine(who);
        if machine.full {
            return false;
        }
        for change in &changes {
            machine.disk.store(change.clone());
        }
        if machine.driver != Driver::Eager {
            let soft = changes.iter().all(|change| matches!(change, Change::Delivered { .. }));
            machine.platter.take(changes.clone(), !soft);
        }
        self.happened(|| Happened::Stored { who: who.to_owned(), changes });
        true
    }

    fn perform(&mut self, who: &str, output: Output) {
        self.witness(who, &output);
        match output {
            Output::Awake(conn) => self.sleeps(conn, false),
            Output::CloseDoor { attempt, keep } => {
                self.machine(who).doors.remove(&attempt);
                self.machine(who).dials.remove(&attempt);
                self.end_dials(who, attempt);
                self.close_attempt(who, attempt, keep);
            }
            Output::ClosePeer(conn) => self.close(conn),
            Output::Dial { attempt, dial } => {
                self.machine(who).dials.entry(attempt).or_default().push(dial);
            }
            Output::Event(event) => {
                let taken_over = event == Event::TakenOver;
                self.machine(who).events.push(event);
                if taken_over && self.machine(who).driver != Driver::Eager {
                    self.end(who);
                }
            }
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
            Output::Guess(_, guess) => self.machine(who).guesses.push(guess),
            Output::Probe { probe, .. } => self.machine(who).probes.push(probe),
            Output::Sleep(conn) => self.sleeps(conn, true),
            Output::Store(_) => unreachable!("stores are committed"),
            Output::Wake { conn, frame } => self.wake(conn, &frame),
        }
    }

    /// Remembers what whoever watches has to know of an output.
    fn witness(&mut self, who: &str, output: &Output) {
        if let Output::OpenDoor { attempt, .. } = output {
            let (who, attempt) = (who.to_owned(), *attempt);
            let node = self.machine(&who).node.as_ref();
            if let Some(whom) = node.and_then(|node| node.resumes(attempt)).cloned() {
                self.happened(|| Happened::Resumes { who, attempt, whom });
            }
        }
        let who = || who.to_owned();
        match output {
            Output::ClosePeer(conn) => self.happened(|| Happened::PeerGone { conn: *conn }),
            Output::Dial { attempt, .. } => {
                self.happened(|| Happened::Dialled { who: who(), attempt: *attempt });
            }
            Output::Event(event) => {
                self.happened(|| Happened::Told { who: who(), event: event.clone() });
            }
            Output::SendPeer { conn, .. } | Output::Wake { conn, .. } => {
                self.happened(|| Happened::SaidToPeer { who: who(), conn: *conn });
            }
            Output::SendServer(body) => {
                let request = || Box::new(wire::decode(body).unwrap());
                self.happened(|| Happened::SaidToServer { who: who(), request: request() });
            }
            Output::Awake(_)
            | Output::CloseDoor { .. }
            | Output::Guess(..)
            | Output::OpenDoor { .. }
            | Output::Probe { .. }
            | Output::Sleep(_)
            | Output::Store(_) => {}
        }
    }

    /// The server has ended the session: whoever is logged in elsewhere speaks for the account now.
    pub(super) fn end(&mut self, who: &str) {
        let now = self.now;
        let machine = self.machine(who);
        machine.ended = true;
        if let Some(node) = &mut machine.node {
            node.part(now);
            machine.unsettled = true;
        }
    }

    /// The disk has not taken a change, so memory gives way: as in a crash, but in the same process.
    fn start_over(&mut self, who: &str) {
        self.hang_up(who);
        self.machine(who).node = None;
        self.boot(who);
        self.happened(|| Happened::Crashed { who: who.to_owned() });
    }

    pub(crate) fn crash(&mut self, who: &str, crash: Crash) {
        match crash {
            Crash::Killed => self.kill(who),
            Crash::Silent => self.fall_silent(who),
            Crash::PowerCut => {
                let cached = self.machine(who).platter.cached();
                let written = self.pick(cached + 1);
                let machine = self.machine(who);
                machine.disk = machine.platter.cut(written);
                self.fall_silent(who);
            }
        }
        self.happened(|| Happened::Crashed { who: who.to_owned() });
    }

    /// The agent dies, and with it every connection.
    pub(crate) fn kill(&mut self, who: &str) {
        self.machine(who).node = None;
        self.forget(who);
        self.disconnect(who);
        self.hang_up(who);
    }

    /// The agent dies without a packet: peers go on as if it were there.
    pub(crate) fn vanish(&mut self, who: &str) {
        self.ends.retain(|_, end| end.machine != who);
        self.kill(who);
    }

    /// The same, and everybody who was connected notices after a while.
    fn fall_silent(&mut self, who: &str) {
        let machine = self.machine(who);
        machine.node = None;
        let links = [machine.link.take(), machine.resuming.take().map(|(link, _)| link)];
        self.forget(who);
        let later = self.now + IDLE_TIMEOUT;
        for link in links.into_iter().flatten() {
            self.channels.remove(&Channel::Down(link));
            self.push_at(Channel::Up(link), later, Delivery::Closed);
        }
        let own = self.ends.iter().filter(|(_, end)| end.machine == who);
        let own: Vec<_> = own.map(|(conn, end)| (*conn, end.other)).collect();
        for (conn, other) in own {
            self.ends.remove(&conn);
            self.channels.remove(&Channel::Peer(conn));
            // Nobody misses whoever sleeps.
            if self.ends.get(&other).is_some_and(|end| !end.asleep) {
                self.push_at(Channel::Peer(other), later, Delivery::Closed);
            }
        }
    }

    /// Closes every connection of a machine.
    pub(crate) fn hang_up(&mut self, who: &str) {
        if let Some((link, _)) = self.machine(who).resuming.take() {
            self.push(Channel::Up(link), Delivery::Closed);
        }
        if let Some(link) = self.machine(who).link.take() {
            self.channels.remove(&Channel::Down(link));
            self.push(Channel::Up(link), Delivery::Closed);
        }
        let own = self.ends.iter().filter(|(_, end)| end.machine == who).map(|(conn, _)| *conn);
        for conn in own.collect::<Vec<Conn>>() {
            self.close(conn);
        }
        self.forget(who);
    }

    /// Whatever only the process knew.
    fn forget(&mut self, who: &str) {
        let machine = self.machine(who);
        machine.crash_after = None;
        machine.unsettled = false;
        machine.doors.clear();
        machine.dials.clear();
        self.channels.remove(&Channel::Doors(who.to_owned()));
    }

    /// From now on a machine is driven as `driver` says, from a disk that is flushed.
    pub(crate) fn drive(&mut self, who: &str, driver: Driver) {
        let machine = self.machine(who);
        machine.driver = driver;
        machine.platter = Platter::of(machine.disk.clone());
    }

    /// The earliest deadline of any node.
    pub(super) fn deadline_of(machine: &Machine) -> Option<Time> {
        machine.node.as_ref().and_then(Node::deadline)
    }
}
