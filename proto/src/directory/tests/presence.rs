//! Who is told of whom, and what an introduction of two leaves behind at the server.

use std::time::Duration;

use crate::{
    crypto::secret::Secret,
    limits::{INTRODUCTION_TIMEOUT, INTRODUCTIONS_MAX},
    node::Event,
    ticket::AttemptId,
    wire::server::{Candidate, Door, Reply, Request},
    world::{World, name},
};

use super::introduce;

fn unavailable(world: &mut World, who: &str) -> Vec<u8> {
    let attempt = |reply| match reply {
        Reply::Unavailable { attempt } => Some(attempt.0[0]),
        _ => None,
    };
    world.heard(who).into_iter().filter_map(attempt).collect()
}

/// Alice and bob, and bob's agent hears nothing of introductions.
fn bob_is_deaf() -> World {
    let mut world = World::of_friends(1, &["alice", "bob"]);
    world.lie = Some(Box::new(|who, reply| match reply {
        Reply::Asked { .. } if who == "bob" => Vec::new(),
        other => vec![other],
    }));
    world
}

#[test]
fn presence_is_between_those_who_have_accepted_each_other() {
    let mut world = World::of_friends(2, &["alice", "bob", "carol", "dave"]);
    world.add("carol", "alice").unwrap();
    let before = ["carol", "dave"].map(|who| world.machine(who).heard.len());
    world.kill("alice");
    world.run();
    world.resume("alice");
    assert_eq!(["carol", "dave"].map(|who| world.machine(who).heard.len()), before);
    for online in [false, true] {
        assert_eq!(
            world.count("bob", &Event::Presence(name("alice"), online)),
            1 + usize::from(online)
        );
    }
    let told =
        |reply: &Reply| matches!(reply, Reply::Presence { name: of, .. } if *of != name("bob"));
    assert!(!world.heard("alice").iter().any(told));
}

#[test]
fn an_introduction_that_is_not_answered_ends_by_itself() {
    let mut world = bob_is_deaf();
    world.client_says("alice", &introduce(1, "bob"));
    assert_eq!(unavailable(&mut world, "alice"), []);
    world.wait(INTRODUCTION_TIMEOUT - Duration::from_millis(1));
    assert_eq!(unavailable(&mut world, "alice"), []);
    world.wait(Duration::from_millis(1));
    assert_eq!(unavailable(&mut world, "alice"), [1]);
}

#[test]
fn a_departure_voids_what_is_under_way() {
    for leaves in [true, false] {
        let mut world = bob_is_deaf();
        world.client_says("alice", &introduce(1, "bob"));
        if leaves {
            world.log_out("bob");
        } else {
            world.kill("bob");
        }
        world.run();
        let voided =
            |reply: &Reply| matches!(reply, Reply::Voided { attempt } if attempt.0[0] == 1);
        assert_eq!(world.heard("alice").iter().filter(|reply| voided(reply)).count(), 1);
        // An answer that was on its way is nobody's.
        world.wait(INTRODUCTION_TIMEOUT);
        assert_eq!(unavailable(&mut world, "alice"), []);
    }
}

#[test]
fn an_attempt_is_asked_and_answered_once() {
    let mut world = bob_is_deaf();
    world.client_says("alice", &introduce(1, "bob"));
    world.client_says("alice", &introduce(1, "bob"));
    assert_eq!(unavailable(&mut world, "alice"), [1], "the second of the same number");
    let answer = || {
        let door = Door { certificate: [3; 32], knock: Secret::new([4; 32]), candidates: vec![] };
        let second = vec![0; 1_168];
        Request::Answer { attempt: AttemptId([1; 16]), door, second }
    };
    world.client_says("bob", &answer());
    world.client_says("bob", &answer());
    let introduced = |reply: &&Reply| matches!(reply, Reply::Introduced { .. });
    assert_eq!(world.heard("alice").iter().filter(introduced).count(), 1);
    world.client_says("bob", &Request::Decline { attempt: AttemptId([1; 16]) });
    assert_eq!(unavailable(&mut world, "alice"), [1]);
}

#[test]
fn nobody_answers_for_somebody_else() {
    let mut world = bob_is_deaf();
    world.register("carol");
    world.befriend("alice", "carol");
    world.client_says("alice", &introduce(1, "bob"));
    let door = Door { certificate: [3; 32], knock: Secret::new([4; 32]), candidates: vec![] };
    let (attempt, second) = (AttemptId([1; 16]), vec![0; 1_168]);
    world.client_says("carol", &Request::Answer { attempt, door, second });
    world.client_says("carol", &Request::Decline { attempt });
    let introduced = |reply: &Reply| matches!(reply, Reply::Introduced { .. });
    assert!(!world.heard("alice").iter().any(introduced));
    assert_eq!(unavailable(&mut world, "alice"), []);
}

#[test]
fn introductions_under_way_are_bounded() {
    let mut world = bob_is_deaf();
    let most = u8::try_from(INTRODUCTIONS_MAX).unwrap();
    for attempt in 0..most + 3 {
        world.client_says("alice", &introduce(attempt, "bob"));
    }
    assert_eq!(unavailable(&mut world, "alice"), [most, most + 1, most + 2]);
}

#[test]
fn the_address_that_the_server_sees_goes_first() {
    let mut world = World::of_friends(3, &["alice", "bob"]);
    world.resume("alice");
    let address = world.machine("alice").address;
    world.client_says("alice", &introduce(1, "bob"));
    let door = |reply| match reply {
        Reply::Asked { door, .. } => Some(door.candidates),
        _ => None,
    };
    let candidates = world.heard("bob").into_iter().find_map(door).unwrap();
    let claimed = Candidate(([198, 51, 100, 7], 7).into());
    assert_eq!(candidates, [Candidate(address), claimed]);
}
