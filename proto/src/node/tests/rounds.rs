//! The second round: who begins it, with what, and when there is none.

use std::net::SocketAddr;

use crate::{
    limits::{PATH_PATIENCE, SECOND_ROUND_AFTER},
    node::{Afresh, Event, Guess, Hold, Input, NoPath},
    reach::Policy,
    ticket::AttemptId,
    wire::{
        self,
        server::{Candidate, Observer, Reply, Request},
    },
    world::{World, name},
};

const OBSERVER: Observer = Observer { port: 4_434, token: [7; 16] };

fn fresh() -> SocketAddr {
    "203.0.113.77:7777".parse().unwrap()
}

/// Two who have been introduced, and between whom no connection comes about. The server has seen each at one port, but for
/// alice, whom it has seen at another one `again`, as far from the first.
fn apart(seed: u8, policy: Policy, again: u16) -> World {
    let mut world = World::of_friends(seed, &["alice", "bob"]);
    let now = world.now;
    world.node("alice").set_policy(now, &name("bob"), policy).unwrap();
    world.settle("alice");
    world.run();
    for (who, again) in [("alice", again), ("bob", 0)] {
        let at = world.machine(who).address;
        let again = Some(Candidate(SocketAddr::new(at.ip(), at.port() ^ again)));
        let observer = Some(OBSERVER);
        let seen = Reply::Observed { at: Candidate(at), again, step: None, observer };
        world.server_says(who, &seen);
    }
    world.run();
    world.direct = false;
    world.send("alice", "bob", "hello");
    world
}

/// What fresh sockets somebody was to open.
fn prepared(world: &mut World, who: &str) -> Vec<Afresh> {
    let guesses = world.machine(who).guesses.iter();
    let afresh = guesses.filter_map(|guess| match guess {
        Guess::Afresh(afresh) => Some(afresh.clone()),
        _ => None,
    });
    afresh.collect()
}

/// Every attempt that alice has asked for, and the addresses that she named.
fn asked(world: &mut World) -> Vec<(AttemptId, Vec<Candidate>)> {
    let said = world.machine("alice").said.iter();
    let asked = said.filter_map(|body| match wire::decode(body).unwrap() {
        Request::Introduce { attempt, door, .. } => Some((attempt, door.candidates)),
        _ => None,
    });
    asked.collect()
}

#[test]
fn whoever_was_not_reached_is_asked_for_once_more_with_a_fresh_socket() {
    let mut world = apart(1, Policy::All, 0);
    assert_eq!(prepared(&mut world, "alice"), []);
    world.wait(SECOND_ROUND_AFTER);
    let bob = world.machine("bob").address;
    assert_eq!(prepared(&mut world, "alice"), [Afresh { observer: OBSERVER, towards: vec![bob] }]);
    let [(first, before)] = &asked(&mut world)[..] else { panic!("one introduction") };
    world.feed("alice", Input::OpenedAfresh { attempt: *first, at: Some(fresh()) });
    world.run();
    let [_, (second, after)] = &asked(&mut world)[..] else { panic!("and another one") };
    assert_ne!(first, second);
    assert!(!before.contains(&Candidate(fresh())));
    assert_eq!(after.first(), Some(&Candidate(fresh())));

    let alice = world.machine("alice").address;
    let towards = prepared(&mut world, "bob").pop().expect("one more socket").towards;
    assert_eq!(towards.len(), 2);
    assert!(towards.contains(&alice) && towards.contains(&fresh()));
    let theirs = "203.0.113.78:7777".parse().unwrap();
    world.direct = true;
    world.feed("bob", Input::OpenedAfresh { attempt: *second, at: Some(theirs) });
    world.run();
    let dialled = world.machine("alice").guesses.iter().find_map(|guess| match guess {
        Guess::DialAfresh { from, dial } => Some((*from, dial.addresses.clone())),
        _ => None,
    });
    let (from, addresses) = dialled.expect("a dial from the fresh socket");
    assert_eq!(from, fresh());
    assert!(addresses.contains(&theirs));
    assert_eq!(world.texts("bob"), ["hello"]);
}

#[test]
fn a_callee_who_gets_no_fresh_socket_goes_on_without() {
    let mut world = apart(6, Policy::All, 0);
    world.wait(SECOND_ROUND_AFTER);
    let [(first, _)] = &asked(&mut world)[..] else { panic!("one introduction") };
    world.feed("alice", Input::OpenedAfresh { attempt: *first, at: Some(fresh()) });
    world.run();
    let [_, (second, _)] = &asked(&mut world)[..] else { panic!("and another one") };
    world.direct = true;
    world.feed("bob", Input::OpenedAfresh { attempt: *second, at: None });
    world.run();
    assert_eq!(world.texts("bob"), ["hello"]);
}

#[test]
fn there_is_no_third_round_and_whoever_waits_is_told_in_time() {
    let mut world = apart(2, Policy::All, 0);
    world.wait(SECOND_ROUND_AFTER);
    let [(first, _)] = &asked(&mut world)[..] else { panic!("one introduction") };
    world.feed("alice", Input::OpenedAfresh { attempt: *first, at: Some(fresh()) });
    world.run();
    world.wait(PATH_PATIENCE - SECOND_ROUND_AFTER);
    let held = Event::Held(name("bob"), Hold::NoPath(NoPath::Timeout));
    assert_eq!(world.count("alice", &held), 1);
    assert_eq!(prepared(&mut world, "alice").len(), 1);
    assert_eq!(asked(&mut world).len(), 2);
}

#[test]
fn a_second_round_is_for_those_whom_everybody_sees_at_one_public_address() {
    for (seed, policy, again) in [(3, Policy::Lan, 0), (4, Policy::All, 1)] {
        let mut world = apart(seed, policy, again);
        world.wait(SECOND_ROUND_AFTER);
        assert_eq!(prepared(&mut world, "alice"), [], "{policy:?} {again}");
    }
}

#[test]
fn a_socket_that_comes_too_late_or_is_nobodys_changes_nothing() {
    let mut world = apart(5, Policy::All, 0);
    world.wait(SECOND_ROUND_AFTER);
    let [(first, _)] = &asked(&mut world)[..] else { panic!("one introduction") };
    let inside = "192.168.1.2:7777".parse().unwrap();
    world.feed("alice", Input::OpenedAfresh { attempt: *first, at: Some(inside) });
    world.feed("alice", Input::OpenedAfresh { attempt: AttemptId([9; 16]), at: Some(fresh()) });
    world.run();
    assert_eq!(asked(&mut world).len(), 1);
}
