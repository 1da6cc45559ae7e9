//! Messages a second from one agent to another, durable at both ends.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use hither_tests::lab::{Lab, Person, Server};
use serde_json::json;

use crate::{
    api::Api,
    disk::{End, Table},
    loopback, process,
    report::{Row, Target, Unit},
    samples::{Samples, seconds, until},
};

/// What people write is about so long.
const TEXT_BYTES: usize = 100;

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

pub(crate) fn measure() -> Vec<Row> {
    let lab = Lab::new("flow");
    let pair = Pair::meet(&lab);
    pair.flow(WARM_UP);
    let [mut rate, mut floor, mut sending, mut receiving] = [(); 4].map(|()| Samples::default());
    let agents = [pair.alice.agent(), pair.bob.agent()];
    for round in 0..ROUNDS {
        let before = agents.map(process::cpu);
        rate.push(MESSAGES as f64 / seconds(|| pair.flow(MESSAGES)));
        let after = agents.map(process::cpu);
        sending.push((after[0] - before[0]) / MESSAGES as f64);
        receiving.push((after[1] - before[1]) / MESSAGES as f64);
        let folders = ["writer", "reader"].map(|end| lab.path(&format!("floor-{round}-{end}")));
        floor.push(MESSAGES as f64 / seconds(|| bare(folders)));
    }
    pair.has_arrived(WARM_UP + ROUNDS * MESSAGES);
    let row = |what, unit, measured, floor, target| Row {
        area: "flow",
        what,
        unit,
        measured,
        floor,
        target,
    };
    let cpu = |what, samples| row(what, Unit::Seconds, samples, None, None);
    vec![
        row(
            "messages to `delivered`",
            Unit::PerSecond,
            rate,
            Some(floor),
            Some(Target::AtLeast(20_000.0)),
        ),
        cpu("sender's CPU for each", sending),
        cpu("receiver's CPU for each", receiving),
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
    fn flow(&self, messages: usize) {
        assert_eq!(messages % (SENDERS * AT_ONCE), 0);
        let text = "x".repeat(TEXT_BYTES);
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

/// The same rows in two databases, side by side, and the same bytes through a socket.
#[track_caller]
fn bare([writer, reader]: [PathBuf; 2]) {
    thread::scope(|scope| {
        for (folder, end) in [(writer, End::Writer), (reader, End::Reader)] {
            scope.spawn(move || Table::create(&folder).write(MESSAGES, end));
        }
    });
    loopback::stream(MESSAGES);
}
