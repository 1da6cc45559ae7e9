//! Who reaches whom, from which kind of home: the shipped binaries behind real kernel NATs.
#![cfg(target_os = "linux")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what goes wrong in a test ends that test"
)]

mod again;
mod kinds;
mod lan;
mod mapping;
mod truth;

use std::{collections::VecDeque, env, sync::Mutex, thread, time::Duration};

use hither_tests::{
    lab::Lab,
    natlab::{Ending, Expected, Kind, Meeting, Mishap, NatLab, cell, expected, named_pairs},
};

/// Between any two machines. Long enough for a race that is lost to show.
const ROUND_TRIP: Duration = Duration::from_millis(100);

/// Meetings that go on beside each other: most of their time is waiting.
const MEETINGS: usize = 6;

/// How often a pair that has to connect is tried in a heavy run.
const HEAVY_ROUNDS: usize = 20;

#[test]
fn a_conversation_goes_on_after_what_befalls_the_network() {
    let befalls = |mishap: Mishap, writer| {
        let Some(took) = mishap.befalls(writer, ROUND_TRIP) else { return };
        let whom = if writer { "writer" } else { "reader" };
        println!("{mishap:?} at the {whom}: {took:?}");
        assert!(took.is_some(), "{mishap:?} at the {whom}");
    };
    thread::scope(|scope| {
        for mishap in Mishap::ALL {
            for writer in [true, false] {
                scope.spawn(move || befalls(mishap, writer));
            }
        }
    });
}

#[test]
fn a_path_is_found_through_loss_and_far_from_ones_own_router() {
    let Some(net) = NatLab::new(ROUND_TRIP, 0.05) else { return };
    let far = Duration::from_millis(100);
    let homes = [
        net.home(Kind::PortRestricted),
        net.distant_home(Kind::PortRestricted, far / 4),
        net.distant_home(Kind::CarrierPortRestricted, far),
    ];
    let lab = Lab::new("loss and distance");
    let server = net.server(&lab);
    let link = net.link(&server, Kind::PortRestricted);
    let people = ["near", "far", "farther"].map(|name| lab.person(name));
    thread::scope(|scope| {
        for (home, person) in homes.iter().zip(&people) {
            let link = &link;
            scope.spawn(move || home.within(|| person.tries_to_register(link).done()));
        }
    });
    for (caller, callee) in [(0, 1), (2, 0), (1, 2)] {
        let [caller, callee] = [caller, callee].map(|at: usize| &people[at]);
        caller.befriends(callee);
        // Whoever waits may be told on the way that it takes long; the text goes on its way all the same.
        let sent = caller.sends_with(callee.name(), "through it all", &["--queue-ok"]);
        println!("{} to {}: exit {}", caller.name(), callee.name(), sent.exit);
        assert_eq!(callee.hears(1), ["through it all"]);
    }
    drop((server, lab));
}

#[test]
fn a_router_that_an_early_packet_spoils_is_passed_in_a_second_round() {
    let Some(net) = NatLab::new(ROUND_TRIP, 0.0) else { return };
    let near = net.home(Kind::PortRestricted);
    // What the other end sends at once is at this router long before anything that leaves it.
    let far = net.distant_home(Kind::Spoilt, ROUND_TRIP);
    let lab = Lab::new("spoilt");
    let server = net.server(&lab);
    let link = net.link(&server, Kind::PortRestricted);
    let [alice, bob] = ["alice", "bob"].map(|name| lab.person(name));
    near.within(|| alice.tries_to_register(&link).done());
    far.within(|| bob.tries_to_register(&link).done());
    alice.befriends(&bob);
    for (caller, callee) in [(&alice, &bob), (&bob, &alice)] {
        // Without a second round nothing ever comes through. On a busy machine one may be lost, and the next is not.
        let _ = caller.sends_with(callee.name(), "the second time", &["--queue-ok"]);
        assert_eq!(callee.hears(1), ["the second time"]);
        // The next one begins without a path, and from other ports.
        near.within(|| alice.stops_agent());
        far.within(|| bob.stops_agent());
        near.within(|| alice.starts_agent());
        far.within(|| bob.starts_agent());
        alice.sees_online("bob");
        bob.sees_online("alice");
    }
    drop((server, lab));
}

#[test]
fn every_pair_of_homes_ends_as_the_table_says() {
    let heavy = env::var_os("HITHER_HEAVY").is_some();
    let pairs = Mutex::new(pairs(heavy));
    let wrong = Mutex::new(Vec::new());
    let meets = |number| {
        let meeting = Meeting::arrange(&format!("every pair, {number}"), ROUND_TRIP, 0.0);
        let Some(mut meeting) = meeting else { return };
        while let Some((caller, callee)) = next(&pairs) {
            let connects = expected(caller, callee) == Expected::Connects;
            let rounds = if heavy && connects { HEAVY_ROUNDS } else { 1 };
            let mut endings = meeting.meet(caller, callee, rounds);
            println!("{} {caller} to {callee}: {endings:?}", cell(caller, callee));
            if !heavy && !endings.iter().all(|ending| is_as_expected(caller, callee, ending)) {
                // A machine that is busy with something else loses races that no network decides. What is
                // untrue is untrue again.
                endings = meeting.meet(caller, callee, rounds);
                println!("{} {caller} to {callee}, again: {endings:?}", cell(caller, callee));
            }
            if !endings.iter().all(|ending| is_as_expected(caller, callee, ending)) {
                wrong.lock().unwrap().push((caller, callee, endings));
            }
        }
    };
    let meetings = pairs.lock().unwrap().len().min(MEETINGS);
    thread::scope(|scope| {
        for number in 0..meetings {
            let meets = &meets;
            scope.spawn(move || meets(number));
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "not as tests/src/natlab/table.rs says: {wrong:#?}");
}

/// Every pair; of those that nothing can connect, only the first of each caller unless there is time,
/// because each of them lasts as long as the client's patience.
///
/// `HITHER_PAIRS=home-sym,sym-home` has only these tried.
fn pairs(all: bool) -> VecDeque<(Kind, Kind)> {
    if let Some(named) = named_pairs() {
        return named.into();
    }
    let kinds = NatLab::kinds();
    let callees = |caller: Kind| {
        let hopeless = |callee: &Kind| expected(caller, *callee) == Expected::CannotConnect;
        let (hopeless, others): (Vec<_>, Vec<_>) = kinds.iter().copied().partition(hopeless);
        let few = if all { hopeless.len() } else { 1 };
        let callees = others.into_iter().chain(hopeless.into_iter().take(few));
        callees.map(move |callee| (caller, callee)).collect::<Vec<_>>()
    };
    kinds.iter().copied().flat_map(callees).collect()
}

fn next(pairs: &Mutex<VecDeque<(Kind, Kind)>>) -> Option<(Kind, Kind)> {
    pairs.lock().unwrap().pop_front()
}

fn is_as_expected(caller: Kind, callee: Kind, ending: &Ending) -> bool {
    match expected(caller, callee) {
        Expected::Connects => matches!(ending, Ending::Delivered { .. }),
        Expected::CouldConnect | Expected::CannotConnect => {
            matches!(ending, Ending::NoPath { .. })
        }
    }
}
