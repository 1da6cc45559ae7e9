//! What an agent costs that nobody uses: its time on a core, how often it wakes up, and what it sends and
//! receives, with a hundred contacts who are there. Measured for minutes, and told for an hour.

use std::{thread, time::Duration};

use hither_tests::{
    lab::{Lab, until_true},
    rogue::Online,
    wire::Forwarder,
};

use crate::{
    crowd::Doorway,
    process,
    report::{Row, Target, Unit},
    samples::Samples,
};

const CONTACTS: usize = 100;

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(30);
const ROUNDS_OF_AN_HOUR: f64 = 120.0;

/// What comes with each datagram: the headers of UDP and IPv4.
const HEADERS: usize = 28;

pub(crate) fn measure() -> Vec<Row> {
    let lab = Lab::new("idle-cost");
    let server = lab.server();
    let wire = Forwarder::to(server.address());
    let alice = lab.person("alice");
    alice.tries_to_register(&server.link_at(wire.address())).done();
    let doorway = Doorway::new(&alice, &server);
    let friends: Vec<Online> =
        (0..CONTACTS).map(|at| doorway.befriend(&format!("friend{at}")).0).collect();
    until_true("everybody online", || {
        let list = alice.runs(&["list"]).done();
        let contacts = list["contacts"].as_array().expect("a list of contacts");
        contacts.iter().filter(|contact| contact["online"] == true).count() == CONTACTS
    });
    let agent = alice.agent();
    let [mut cpu, mut wakes, mut bytes] = [(); 3].map(|()| Samples::default());
    // What the commands above have set in motion ends in the first, which does not count.
    for round in 0..=ROUNDS {
        let before = [process::threads_cpu(agent), process::wakes(agent), carried(&wire)];
        thread::sleep(ROUND);
        let after = [process::threads_cpu(agent), process::wakes(agent), carried(&wire)];
        if round > 0 {
            cpu.push((after[0] - before[0]) / ROUND.as_secs_f64());
            wakes.push((after[1] - before[1]) * ROUNDS_OF_AN_HOUR);
            bytes.push((after[2] - before[2]) * ROUNDS_OF_AN_HOUR);
        }
    }
    assert!(friends.iter().all(|friend| !friend.link.has_ended()), "all of them are there");
    let row = |what, unit, measured, target| Row {
        area: "idle-cost",
        what,
        unit,
        measured,
        floor: None,
        peer: None,
        target,
    };
    vec![
        row("time on a core, from half minutes", Unit::Core, cpu, Some(Target::AtMost(0.001))),
        row("wake-ups, from half minutes", Unit::PerHour, wakes, None),
        row(
            "bytes in both directions, from half minutes",
            Unit::BytesPerHour,
            bytes,
            Some(Target::AtMost(1e6)),
        ),
    ]
}

/// Bytes that have gone over the wire in both directions.
fn carried(wire: &Forwarder) -> f64 {
    let datagrams = [wire.forth(), wire.back()].concat();
    datagrams.iter().map(|datagram| (datagram.len() + HEADERS) as f64).sum()
}
