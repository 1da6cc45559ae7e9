//! Two people who try to reach each other from one kind of home after another, and how that ends.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Home, Kind, NatLab};
use crate::lab::{Lab, Outcome, Person, Server, until_true};

/// How one round of a pair ended.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Ending {
    /// The callee has it, over a direct path.
    Delivered {
        /// From the typed line to the receipt.
        receipt: Duration,
        /// From the typed line to where the callee can read it.
        readable: Duration,
        /// From the typed line to where the caller has the connection.
        stands: Duration,
    },
    /// The client said that there is no path (exit 6), and why.
    NoPath {
        /// The `reason` of the contract.
        reason: String,
        /// How long it took to say so.
        after: Duration,
    },
    /// It failed in any other way.
    Failed {
        /// The exit code.
        exit: i32,
    },
}

/// A caller and a callee, and a home of every kind for each of the two.
///
/// Both have an account that knows the server by its IPv4 address, and one for where there is only IPv6.
#[derive(Debug)]
pub struct Meeting {
    // In this order they end: processes first, then what they run on.
    server: Server,
    _lab: Lab,
    callers: [Person; 2],
    callees: [Person; 2],
    homes: Vec<[Home; 2]>,
    net: NatLab,
    said: usize,
}

impl Meeting {
    /// Everybody has an account and has accepted everybody they will talk to. `None`, with the reason
    /// printed, where there is no laboratory of networks.
    #[must_use]
    #[track_caller]
    pub fn arrange(name: &str, round_trip: Duration, loss: f64) -> Option<Self> {
        let net = NatLab::new(round_trip, loss)?;
        let lab = Lab::new(name);
        let server = net.server(&lab);
        let kinds = NatLab::kinds();
        let homes = kinds.iter().map(|kind| [net.home(*kind), net.home(*kind)]).collect();
        let callers = ["alice", "alice6"].map(|name| lab.person(name));
        let callees = ["bob", "bob6"].map(|name| lab.person(name));
        let meeting = Self { server, _lab: lab, callers, callees, homes, net, said: 0 };
        meeting.introduces_everybody();
        Some(meeting)
    }

    /// Has the caller write to the callee `rounds` times from their homes of these kinds. Each round
    /// begins without a path: the callee's agent starts anew.
    #[track_caller]
    pub fn meet(&mut self, caller: Kind, callee: Kind, rounds: usize) -> Vec<Ending> {
        let (alice, bob) = (self.at(caller, 0), self.at(callee, 1));
        // Whoever has just come does not know yet that it cannot be dialled where the server sees it.
        let settled = caller.is_symmetric() || callee.is_symmetric();
        alice.starts(settled);
        let endings = (0..rounds).map(|round| {
            bob.starts(settled);
            see_each_other(&alice, &bob);
            let text = format!("{caller} to {callee}, {} {round}", self.said);
            let ending = self.writes(&alice, &bob, &text);
            bob.stops();
            alice.home.within(|| alice.person.sees_offline(bob.person.name()));
            ending
        });
        let endings = endings.collect();
        alice.stops();
        self.said += 1;
        endings
    }

    /// The same for two who have talked today: each round begins when their path sleeps and no router remembers it.
    #[track_caller]
    pub fn meet_again(&mut self, caller: Kind, callee: Kind, rounds: usize) -> Vec<Ending> {
        let (alice, bob) = (self.at(caller, 0), self.at(callee, 1));
        for place in [&alice, &bob] {
            place.home.within(|| place.person.lets_paths_rest_after("1s"));
            place.starts(true);
        }
        see_each_other(&alice, &bob);
        assert!(matches!(self.writes(&alice, &bob, "the first today"), Ending::Delivered { .. }));
        let endings = (0..rounds).map(|round| {
            for (one, other) in [(&alice, &bob), (&bob, &alice)] {
                one.home.within(|| one.person.loses_path_to(other.person.name()));
            }
            for (one, other) in [(&alice, &bob), (&bob, &alice)] {
                one.home.forgets_flows_with(other.home);
            }
            self.writes(&alice, &bob, &format!("again, {round}"))
        });
        let endings = endings.collect();
        alice.stops();
        bob.stops();
        endings
    }

    #[track_caller]
    fn writes(&self, alice: &Place<'_>, bob: &Place<'_>, text: &str) -> Ending {
        let to = bob.person.name();
        let began = Instant::now();
        let sent = alice.home.within(|| alice.person.sends_with(to, text, &["--wait", "30s"]));
        if sent.exit != 0 {
            let after = began.elapsed();
            return alice.home.within(|| gives_up(alice.person, sent, after));
        }
        let sent = sent.done();
        assert_eq!((&sent["state"], &sent["path"]), (&"delivered".into(), &"direct".into()));
        let received = bob.home.within(|| bob.person.runs(&["receive"]));
        // What was given up in an earlier round may have come with it.
        let received = received.shows().lines().filter_map(|line| {
            let received: Value = serde_json::from_str(line).expect("one object a line");
            (received["text"] == text).then_some(received)
        });
        let received: Vec<_> = received.collect();
        let [received] = &received[..] else { panic!("one message a round: {received:?}") };
        let path = alice.home.within(|| alice.person.runs(&["net", "path", to]).done());
        let receipt = sent["elapsed_ms"].as_f64().expect("milliseconds");
        Ending::Delivered {
            receipt: Duration::from_secs_f64(receipt / 1e3),
            readable: way(received),
            stands: between(&received["sent_at"], &path["path"]["since"]),
        }
    }

    #[track_caller]
    fn introduces_everybody(&self) {
        // What needs IPv4 registers from an open home, the rest from one with IPv6 only.
        let kinds = [Kind::Open, Kind::Ipv6Only];
        for (at, kind) in kinds.into_iter().enumerate() {
            let link = self.net.link(&self.server, kind);
            let [alice, bob] = [self.home(kind, 0), self.home(kind, 1)];
            alice.within(|| self.callers[at].tries_to_register(&link).done());
            bob.within(|| self.callees[at].tries_to_register(&link).done());
        }
        let at_home = |at: usize, side| self.home(kinds[at], side);
        for (a, alice) in self.callers.iter().enumerate() {
            for (b, bob) in self.callees.iter().enumerate() {
                at_home(a, 0).within(|| alice.adds(bob.name()));
                at_home(b, 1).within(|| bob.accepts(alice.name()));
                at_home(a, 0).within(|| alice.sees_accepted(bob.name()));
            }
        }
        for (bob, at) in self.callees.iter().zip(0..) {
            // A receipt that waits for the next start would open a path before anybody writes.
            let silent = ["config", "set", "messages.read_receipts", "false"];
            at_home(at, 1).within(|| bob.runs(&silent).done());
        }
        for at in 0..2 {
            at_home(at, 0).within(|| self.callers[at].stops_agent());
            at_home(at, 1).within(|| self.callees[at].stops_agent());
        }
    }

    fn at(&self, kind: Kind, side: usize) -> Place<'_> {
        let people = if side == 0 { &self.callers } else { &self.callees };
        Place { person: &people[usize::from(!kind.has_ipv4())], home: self.home(kind, side) }
    }

    fn home(&self, kind: Kind, side: usize) -> &Home {
        let homes = self.homes.iter().map(|homes| &homes[side]);
        homes.into_iter().find(|home| home.kind() == kind).expect("a home of every kind")
    }
}

/// Somebody at home.
struct Place<'a> {
    person: &'a Person,
    home: &'a Home,
}

impl Place<'_> {
    /// Starts the agent, and waits until it has found out what stands in front of it if that is wanted.
    #[track_caller]
    fn starts(&self, settled: bool) {
        self.home.within(|| {
            self.person.starts_agent();
            self.person.is_online();
            if settled {
                until_true("what is in front of the machine", || {
                    self.person.runs(&["net", "check"]).done()["filtering"] != "unknown"
                });
            }
            // Until then a home is one like any other.
            let Some(how) = self.home.kind().keeps_ports_by() else { return };
            until_true("the router keeps a port", || {
                self.person.runs(&["net", "check"]).done()["port_mapping"] == how
            });
        });
    }

    #[track_caller]
    fn stops(&self) {
        self.home.within(|| self.person.stops_agent());
    }
}

#[track_caller]
fn see_each_other(alice: &Place<'_>, bob: &Place<'_>) {
    for (one, other) in [(alice, bob), (bob, alice)] {
        one.home.within(|| one.person.sees_online(other.person.name()));
    }
}

/// Takes back what could not be delivered, so that the next round begins with an empty queue.
#[track_caller]
fn gives_up(person: &Person, sent: Outcome, after: Duration) -> Ending {
    let exit = sent.exit;
    let error = sent.error();
    if let Some(id) = error["id"].as_str() {
        let cancelled = person.runs(&["cancel", id]);
        if cancelled.exit != 0 {
            // The text has left in the meantime, or is there.
            cancelled.fails(11, "refused");
        }
    }
    match error["reason"].as_str() {
        Some(reason) if exit == 6 => Ending::NoPath { reason: reason.to_owned(), after },
        _ => Ending::Failed { exit },
    }
}

/// How long a message was under way, as `receive --json` prints it. Both machines have the same clock.
#[track_caller]
pub(super) fn way(received: &Value) -> Duration {
    between(&received["sent_at"], &received["received_at"])
}

/// From one moment to another; nothing, if that was before.
#[track_caller]
fn between(from: &Value, to: &Value) -> Duration {
    // Midnight may lie in between.
    let took = (clock(to) - clock(from)).rem_euclid(DAY);
    Duration::from_secs_f64(if took < DAY / 2.0 { took / 1e3 } else { 0.0 })
}

const DAY: f64 = 24.0 * 60.0 * 60.0 * 1e3;

/// The time of day in milliseconds, from RFC 3339 in UTC.
#[track_caller]
fn clock(stamp: &Value) -> f64 {
    let stamp = stamp.as_str().expect("a time");
    let (_, time) = stamp.trim_end_matches('Z').split_once('T').expect("a date and a time");
    let parts = time.split(':').map(|part| part.parse::<f64>().expect("a number"));
    1e3 * parts.fold(0.0, |sum, part| 60.0 * sum + part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_day_is_read_in_milliseconds() {
        assert_eq!(clock(&"2026-01-02T01:00:02.500Z".into()), 3_602_500.0);
    }
}
