//! Messages a second from one agent to another, durable at both ends.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use hither_tests::lab::{Lab, Person, Server};
use serde_json::json;

use crate::{
    api::Api,
    peers::Tox,
    pipe, process,
    report::{Peer, Row, Target, Unit},
    samples::{Samples, seconds, until},
};

/// What people write is about so long, and what programs may send.
const LENGTHS: [(usize, Metrics); 2] = [
    (
        100,
        Metrics {
            beside_floor: "messages of 100 bytes to `delivered`",
            beside_peer: "the same, beside who keeps nothing",
            sending: "the sender's time on a core for each",
            receiving: "the receiver's",
        },
    ),
    (
        1024,
        Metrics {
            beside_floor: "messages of 1 KiB to `delivered`",
            beside_peer: "messages of 1 KiB, beside who keeps nothing",
            sending: "the sender's time on a core for 1 KiB",
            receiving: "the receiver's time on a core for 1 KiB",
        },
    ),
];

/// Programs that send at once, and what each sends before it looks at the answers. An agent serves no
/// more requests of one connection at once.
const SENDERS: usize = 16;
const AT_ONCE: usize = 64;

const WARM_UP: usize = SENDERS * AT_ONCE * 4;
const MESSAGES: usize = SENDERS * AT_ONCE * 30;
const ROUNDS: usize = 5;

/// What may wait in the sender's queue before more is sent. An agent refuses more than 10,000.
const QUEUE_MAX: u64 = 6_000;

/// How long the whole flow of one round may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// What is told of messages of one length.
struct Metrics {
    beside_floor: &'static str,
    beside_peer: &'static str,
    sending: &'static str,
    receiving: &'static str,
}

pub(crate) fn measure() -> Vec<Row> {
    let lab = Lab::new("flow");
    let pair = Pair::meet(&lab);
    let mut tox = Tox::start(&lab.path("tox"));
    let lengths = LENGTHS.into_iter();
    let rows =
        lengths.flat_map(|(bytes, metrics)| of_length(&lab, &pair, &mut tox, bytes, &metrics));
    let rows = rows.collect();
    pair.has_arrived(LENGTHS.len() * (WARM_UP + ROUNDS * MESSAGES));
    rows
}

#[track_caller]
fn of_length(
    lab: &Lab,
    pair: &Pair,
    tox: &mut Option<Tox>,
    bytes: usize,
    metrics: &Metrics,
) -> [Row; 4] {
    pair.flow(WARM_UP, bytes);
    let [mut rate, mut floor, mut sending, mut receiving] = [(); 4].map(|()| Samples::default());
    let mut peer = tox.is_some().then(Samples::default);
    let agents = [pair.alice.agent(), pair.bob.agent()];
    for round in 0..ROUNDS {
        let before = agents.map(process::cpu);
        rate.push(MESSAGES as f64 / seconds(|| pair.flow(MESSAGES, bytes)));
        let after = agents.map(process::cpu);
        sending.push((after[0] - before[0]) / MESSAGES as f64);
        receiving.push((after[1] - before[1]) / MESSAGES as f64);
        let ends = ["writer", "reader"];
        let [writer, reader] = ends.map(|end| lab.path(&format!("floor-{bytes}-{round}-{end}")));
        let took = seconds(|| pipe::flow(MESSAGES, bytes, [&writer, &reader]));
        floor.push(MESSAGES as f64 / took);
        if let (Some(tox), Some(peer)) = (tox.as_mut(), peer.as_mut()) {
            peer.push(tox.flow(MESSAGES, bytes));
        }
    }
    let row = |what, unit, measured, floor, peer, target| Row {
        area: "flow",
        what,
        unit,
        measured,
        floor,
        peer,
        target,
    };
    let cpu = |what, samples| row(what, Unit::Seconds, samples, None, None, None);
    let half = Some(Target::Share(0.5));
    let ahead = Some(Target::Share(1.0));
    let peer = Some(Peer { name: "c-toxcore", measured: peer });
    [
        row(metrics.beside_floor, Unit::PerSecond, rate.clone(), Some(floor), None, half),
        row(metrics.beside_peer, Unit::PerSecond, rate, None, peer, ahead),
        cpu(metrics.sending, sending),
        cpu(metrics.receiving, receiving),
    ]
}

/// Two people who see each other online, and the server that introduced them.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) alice: Person,
    pub(crate) bob: Person,
    _server: Server,
}

impl Pair {
    /// Two people with a path between them.
    #[track_caller]
    pub(crate) fn meet(lab: &Lab) -> Self {
        let server = lab.server();
        let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
        alice.delivers("bob", "the first message makes the path");
        Self { alice, bob, _server: server }
    }

    /// Sends so many messages, and waits until the last of them is delivered.
    #[track_caller]
    fn flow(&self, messages: usize, text_bytes: usize) {
        assert_eq!(messages % (SENDERS * AT_ONCE), 0);
        let text = "x".repeat(text_bytes);
        let (full, left) = (AtomicBool::new(false), AtomicUsize::new(SENDERS));
        thread::scope(|scope| {
            for _ in 0..SENDERS {
                scope.spawn(|| {
                    let mut api = Api::of(&self.alice);
                    for _ in 0..messages / SENDERS / AT_ONCE {
                        until("room in the queue", PATIENCE, || !full.load(Ordering::Relaxed));
                        let sends = json!({ "to": "bob", "text": text, "wait_ms": 0 });
                        api.call_all("message.send", std::iter::repeat_n(sends, AT_ONCE));
                    }
                    left.fetch_sub(1, Ordering::Release);
                });
            }
            let mut api = Api::of(&self.alice);
            until("an empty queue", PATIENCE, || {
                let all_sent = left.load(Ordering::Acquire) == 0;
                let queued = api.call("status", json!({}))["queued"].as_u64().expect("a number");
                full.store(queued > QUEUE_MAX, Ordering::Relaxed);
                all_sent && queued == 0
            });
        });
    }

    /// Insists that all of it is at the other end, once.
    #[track_caller]
    fn has_arrived(&self, messages: usize) {
        let from_alice = self.bob.contact("alice").expect("a contact");
        // And the message that made the path.
        assert_eq!(from_alice["unread"], messages + 1);
    }
}
