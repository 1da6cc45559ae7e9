//! What is under way between the parts of the world: in order on each channel, and in no order between
//! them, some of it later than the rest.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use super::{Happened, Machine, World};
use crate::{
    directory::{self, Outcome, Signal, Task},
    node::{Conn, Input, Node},
    ticket::AttemptId,
    time::Time,
    wire::{
        self,
        server::{Candidate, Reply, Request},
    },
};

/// How much a line of the trace tells of a delivery.
const SUMMARY_CHARS: usize = 120;

/// What arrives in order; between channels there is none.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Channel {
    Datagrams(Conn),
    Doors(String),
    Down(u64),
    Peer(Conn),
    Signals(u64),
    Storage(u64),
    Up(u64),
}

#[derive(Debug)]
pub(super) enum Delivery {
    Closed,
    DoorOpened {
        attempt: AttemptId,
        certificate: [u8; 32],
    },
    Frame(Vec<u8>),
    /// A frame that somebody has made up, in place of the node on the other end.
    Injected(Vec<u8>),
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
    Wakes(Vec<u8>),
}

/// What is under way on one channel, and when each of it arrives at the earliest.
pub(super) type Queue = VecDeque<(Time, Delivery)>;

/// One thing that can happen next.
enum Next {
    Delivery(Channel),
    Dial(usize),
    Settling(String),
}

impl Delivery {
    /// In a line, without what is sealed anyway.
    fn summary(&self, channel: &Channel) -> String {
        let what = match (self, channel) {
            (Self::Frame(body), Channel::Down(_)) => match wire::decode::<Reply>(body) {
                Ok(reply) => format!("{reply:?}"),
                Err(_) => "nonsense".to_owned(),
            },
            (Self::Frame(body), Channel::Up(_)) => match wire::decode::<Request>(body) {
                Ok(request) => format!("{request:?}"),
                Err(_) => "nonsense".to_owned(),
            },
            (Self::Frame(body) | Self::Injected(body) | Self::Wakes(body), _) => {
                format!("{} bytes", body.len())
            }
            (other, _) => format!("{other:?}"),
        };
        let end = what.char_indices().nth(SUMMARY_CHARS).map_or(what.len(), |(end, _)| end);
        format!("    {channel:?}: {}", &what[..end])
    }
}

impl World {
    pub(super) fn push(&mut self, channel: Channel, delivery: Delivery) {
        let due = self.now + self.delay();
        self.push_at(channel, due, delivery);
    }

    pub(super) fn push_at(&mut self, channel: Channel, due: Time, delivery: Delivery) {
        self.channels.entry(channel).or_default().push_back((due, delivery));
    }

    /// How long something takes that begins now. Most things are quick.
    fn delay(&mut self) -> Duration {
        let Some(longest) = self.longest_delay else { return Duration::ZERO };
        let longest = u64::try_from(longest.as_millis()).unwrap();
        match self.pick(8) {
            0..5 => Duration::ZERO,
            5..7 => Duration::from_millis(self.pick_u64(longest / 8 + 1)),
            _ => Duration::from_millis(self.pick_u64(longest + 1)),
        }
    }

    /// One delivery, one dial that finds its door, or one machine that carries out what has gathered; false
    /// if there is nothing to do at this moment.
    pub(crate) fn step(&mut self) -> bool {
        self.channels.retain(|_, queue| !queue.is_empty());
        let dials = self.answered_dials();
        let ready = self.channels.iter().filter(|(channel, queue)| {
            let waits = match channel {
                Channel::Signals(link) | Channel::Up(link) => self.is_busy(*link),
                _ => false,
            };
            !waits && queue.front().is_some_and(|(due, _)| *due <= self.now)
        });
        let mut next: Vec<_> = ready.map(|(channel, _)| Next::Delivery(channel.clone())).collect();
        next.extend((0..dials.len()).map(Next::Dial));
        let unsettled = self.machines.iter().filter(|(_, machine)| machine.unsettled);
        next.extend(unsettled.map(|(who, _)| Next::Settling(who.clone())));
        if next.is_empty() {
            return false;
        }
        let at = self.pick(next.len());
        match next.swap_remove(at) {
            Next::Delivery(channel) => self.deliver_next(&channel),
            Next::Dial(at) => self.connect(&dials[at]),
            Next::Settling(who) => {
                self.note(|| format!("    {who} settles"));
                self.settle(&who);
            }
        }
        true
    }

    /// When the next of what is under way arrives, or a blocked way is free again.
    pub(super) fn next_arrival(&self) -> Option<Time> {
        let heads = self.channels.values().filter_map(|queue| queue.front());
        let dues = heads.map(|(due, _)| *due).chain(self.blocked.values().copied());
        dues.filter(|due| *due > self.now).min()
    }

    /// Whether a session waits for the storage: nothing else reaches it until it has its answer.
    pub(super) fn is_busy(&self, link: u64) -> bool {
        self.channels.get(&Channel::Storage(link)).is_some_and(|queue| !queue.is_empty())
    }

    pub(super) fn deliver_next(&mut self, channel: &Channel) {
        if let Some((_, delivery)) = self.channels.get_mut(channel).and_then(VecDeque::pop_front) {
            self.note(|| delivery.summary(channel));
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
            (Channel::Datagrams(conn) | Channel::Peer(conn), delivery) => {
                self.deliver_to_peer(*conn, delivery)
            }
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

    fn deliver_to_peer(&mut self, conn: Conn, delivery: Delivery) {
        let Some(end) = self.ends.get_mut(&conn).filter(|end| end.open) else { return };
        let who = end.machine.clone();
        match delivery {
            Delivery::Frame(frame) => {
                let node = |world: &Self, holds: &dyn Fn(&Node) -> bool| {
                    world.machines[&who].node.as_ref().is_some_and(holds)
                };
                let now = self.now;
                let before = node(self, &|node| node.stands(conn) && !node.may_rest(now, conn));
                self.feed(&who, Input::PeerFrame { conn, frame: &frame });
                if before && !node(self, &|node| node.stands(conn)) {
                    self.happened(|| Happened::Unheard { who, conn });
                }
            }
            Delivery::Injected(frame) => {
                self.feed(&who, Input::PeerFrame { conn, frame: &frame });
            }
            Delivery::Wakes(frame) => {
                let sleeps = |world: &Self| {
                    world.machines[&who].node.as_ref().is_some_and(|node| node.sleeps(conn))
                };
                let slept = sleeps(self);
                self.feed(&who, Input::PeerWakes { conn, frame: &frame });
                if slept && !sleeps(self) {
                    self.happened(|| Happened::Woken);
                }
            }
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

    fn deliver_down(&mut self, link: u64, delivery: Delivery) {
        let dials = |(_, machine): &(&String, &Machine)| {
            machine.resuming.as_ref().is_some_and(|(resuming, _)| *resuming == link)
        };
        if let Some((who, _)) = self.machines.iter().find(dials) {
            return self.resumption_heard(&who.clone(), &delivery);
        }
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
                    self.hear(&who, &body);
                }
            }
            _ => {
                self.machine(&who).link = None;
                self.feed(&who, Input::ServerDown);
            }
        }
    }

    /// The server says something to somebody, be it a lie.
    pub(crate) fn hear(&mut self, who: &str, body: &[u8]) {
        self.machine(who).heard.push(body.to_vec());
        if let Ok(Reply::Asked { attempt, caller, .. }) = wire::decode(body) {
            let (who, caller) = (who.to_owned(), caller.name);
            self.happened(|| Happened::Asked { who, attempt, caller });
        }
        self.feed(who, Input::ServerFrame(body));
    }
}
