//! Where the server sees clients, and what it makes of that.

use std::net::SocketAddr;

use crate::{
    directory::{Input, Signal},
    limits::{ATTEMPT_TIMEOUT, PREDICTED_MAX},
    reach::Policy,
    ticket::AttemptId,
    wire::server::{Candidate, Nat, Reply, Request},
    world::World,
};

fn from(port: u16) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, 7], port))
}

/// What somebody was told last of where the server sees them.
fn told(world: &mut World, who: &str) -> (Candidate, Option<Candidate>, Option<i32>) {
    let observed = |reply| match reply {
        Reply::Observed { at, again, step, .. } => Some((at, again, step)),
        _ => None,
    };
    world.heard(who).into_iter().rev().find_map(observed).unwrap()
}

fn happens(world: &mut World, who: &str, input: Input<'_>) {
    let link = world.machine(who).link.unwrap();
    world.serve(link, input);
    world.run();
}

fn probed(world: &mut World, who: &str, port: u16, fresh: bool) {
    let signal = Signal::Probed { from: from(port), fresh };
    happens(world, who, Input::Signal(Box::new(signal)));
}

#[test]
fn who_moves_is_told_and_found_where_they_are() {
    let mut world = World::of_friends(1, &["alice", "bob"]);
    happens(&mut world, "bob", Input::Moved(from(9)));
    assert_eq!(told(&mut world, "bob"), (Candidate(from(9)), None, None));
    world.direct = false;
    world.send("alice", "bob", "hello");
    let met = |reply: &Reply| match reply {
        Reply::Meet { candidates, dependent, .. } => Some((candidates.clone(), *dependent)),
        _ => None,
    };
    let met: Vec<_> = world.heard("alice").iter().filter_map(met).collect();
    assert_eq!(met, [(vec![Candidate(from(9))], false)]);
}

#[test]
fn a_regular_translator_is_foreseen() {
    let mut world = World::of_friends(2, &["alice", "bob"]);
    happens(&mut world, "bob", Input::Moved(from(9_000)));
    probed(&mut world, "bob", 9_256, false);
    probed(&mut world, "bob", 9_512, true);
    let known = (Candidate(from(9_000)), Some(Candidate(from(9_256))), Some(256));
    assert_eq!(told(&mut world, "bob"), known);
    world.direct = false;
    world.send("alice", "bob", "hello");
    let met = |reply| match reply {
        Reply::Meet { candidates, dependent: true, .. } => Some(candidates),
        _ => None,
    };
    let met = world.heard("alice").into_iter().find_map(met).unwrap();
    assert_eq!(met[..3], [9_000, 9_768, 10_024].map(|port| Candidate(from(port))));
    assert_eq!(met.len(), 1 + PREDICTED_MAX);
}

#[test]
fn whoever_has_said_nothing_is_told_nothing_and_not_met() {
    let mut world = World::of_friends(3, &["alice", "bob"]);
    let link = world.machine("bob").link.unwrap();
    world.client_says(
        "bob",
        &Request::Reach { hidden_from: vec!["alice".parse().unwrap()], nat: None, global: None },
    );
    assert!(!world.is_closed(link));
    world.direct = false;
    world.send("alice", "bob", "hello");
    assert!(!world.heard("alice").iter().any(|reply| matches!(reply, Reply::Meet { .. })));
}

#[test]
fn what_becomes_of_an_introduction_is_counted_once_by_what_stands_in_between() {
    let mut world = World::of_friends(4, &["alice", "bob"]);
    for (who, nat) in [("alice", Nat::Symmetric), ("bob", Nat::Cone)] {
        world.node(who).set_nat(nat);
        world.stir(who);
        world.run();
    }
    world.send("alice", "bob", "hello");
    assert_eq!(world.tried, [(Nat::Symmetric, Nat::Cone, true)]);
    // Nobody counts what has not been.
    world.client_says("bob", &Request::Outcome { attempt: AttemptId([1; 16]), connected: true });
    assert_eq!(world.tried.len(), 1);

    let mut world = World::of_friends(5, &["alice", "bob"]);
    world.direct = false;
    world.send("alice", "bob", "hello");
    world.wait(ATTEMPT_TIMEOUT);
    assert_eq!(world.tried, [(Nat::Unknown, Nat::Unknown, false)]);
}

#[test]
fn a_caller_is_told_at_once_where_else_the_internet_sees_the_callee() {
    let elsewhere: SocketAddr = "[2001:db8::7]:9".parse().unwrap();
    for (seed, hidden) in [(6, false), (7, true)] {
        let mut world = World::of_friends(seed, &["alice", "bob"]);
        world.node("bob").set_global(vec![elsewhere, "192.168.1.2:9".parse().unwrap()]);
        let (now, policy) = (world.now, if hidden { Policy::Lan } else { Policy::Public });
        world.node("bob").set_policy(now, &"alice".parse().unwrap(), policy).unwrap();
        world.settle("bob");
        world.run();
        let bob = world.machine("bob").address;
        world.direct = false;
        world.send("alice", "bob", "hello");
        let met = |reply: &Reply| match reply {
            Reply::Meet { candidates, .. } => Some(candidates.clone()),
            _ => None,
        };
        let met = world.heard("alice").iter().find_map(met);
        let told = vec![Candidate(bob), Candidate(elsewhere)];
        assert_eq!(met, (!hidden).then_some(told), "{hidden}");
    }
}

#[test]
fn nobody_has_others_dial_what_the_internet_does_not_see() {
    for global in [vec![Candidate("10.0.0.1:9".parse().unwrap())], vec![Candidate(from(9)); 8]] {
        let mut world = World::of_friends(8, &["alice", "bob"]);
        let link = world.machine("bob").link.unwrap();
        let hidden_from = Vec::new();
        world.client_says("bob", &Request::Reach { hidden_from, nat: None, global: Some(global) });
        assert!(world.is_closed(link));
    }
}
