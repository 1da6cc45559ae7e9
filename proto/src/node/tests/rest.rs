//! Paths that nobody uses sleep by agreement, are woken by whoever writes, and nothing depends on them.

use std::time::Duration;

use super::Conn;
use crate::{
    limits::{ATTEMPT_TIMEOUT, REST_AFTER, SLEEPING_MAX, WAKES_UNOPENED_MAX},
    node::{Event, Input},
    wire::{peer::Content, server::Withdrawal},
    world::{World, name},
};

/// Two who have talked, and who have said nothing since for as long as a path is kept.
fn silent(seed: u8) -> World {
    let mut world = World::of_friends(seed, &["alice", "bob"]);
    world.send("alice", "bob", "first");
    world.wait(REST_AFTER - REST_AFTER / 8);
    assert!(world.connected("alice", "bob"), "not before its time");
    world
}

#[test]
fn a_path_that_nobody_uses_rests_until_somebody_writes() {
    let mut world = silent(1);
    world.wait(REST_AFTER / 4);
    assert!(!world.connected("alice", "bob"));
    assert_eq!(world.count("alice", &Event::PathDown(name("bob"))), 1);
    assert_eq!(world.count("alice", &Event::Presence(name("bob"), false)), 0, "bob is there");
    for (who, whom) in [("bob", "alice"), ("alice", "bob")] {
        world.send(who, whom, "again");
        assert!(world.connected("alice", "bob"));
        assert_eq!(world.texts(whom).last().map(String::as_str), Some("again"));
        world.wait(2 * REST_AFTER);
        assert!(!world.connected("alice", "bob"));
    }
}

#[test]
fn whoever_types_keeps_the_path() {
    let mut world = silent(2);
    let now = world.now;
    world.node("bob").typing(now, &name("alice"), true);
    world.settle("bob");
    world.wait(REST_AFTER / 2);
    assert!(world.connected("alice", "bob"));
    world.wait(REST_AFTER);
    assert!(!world.connected("alice", "bob"));
}

#[test]
fn nobody_rests_who_could_not_be_introduced_again() {
    let mut world = silent(3);
    world.disconnect("bob");
    world.run();
    world.wait(3 * REST_AFTER);
    assert!(world.connected("alice", "bob"), "bob has no server");
    let asked = super::conn(&mut world, "alice", "bob");
    super::says(&mut world, "alice", asked, &Content::Rest);
    assert!(world.connected("alice", "bob"), "bob does not agree");
}

#[test]
fn what_is_said_while_the_other_end_closes_comes_once() {
    for seed in 4..40 {
        let mut world = silent(seed);
        let conn = super::conn(&mut world, "alice", "bob");
        let now = world.now;
        world.node("alice").say(now, conn, &Content::Rest);
        world.write("alice", "bob", "at the last moment");
        world.write("bob", "alice", "so do I");
        world.run();
        assert_eq!(world.texts("bob"), ["first", "at the last moment"], "seed {seed}");
        assert_eq!(world.texts("alice"), ["so do I"], "seed {seed}");
    }
}

#[test]
fn a_path_that_rested_is_found_again_when_the_server_goes() {
    let mut world = silent(40);
    world.wait(REST_AFTER / 4);
    assert!(!world.connected("alice", "bob"));
    super::server_goes(&mut world);
    assert!(world.connected("alice", "bob"));
}

/// Two whose path sleeps, and who cannot dial each other.
fn asleep(seed: u8) -> World {
    let mut world = silent(seed);
    world.wait(REST_AFTER / 4);
    assert!(!world.connected("alice", "bob"));
    assert_eq!((sleeping(&mut world, "alice"), sleeping(&mut world, "bob")), (1, 1));
    let until = world.now + Duration::from_secs(60);
    world.block("alice", "bob", until);
    world.block("bob", "alice", until);
    world
}

fn sleeping(world: &mut World, who: &str) -> usize {
    world.node(who).census().paths.len()
}

#[test]
fn what_sleeps_is_woken_where_no_dial_leads() {
    let mut woken = 0;
    for seed in 41..61 {
        let mut world = asleep(seed);
        world.write("alice", "bob", "again");
        world.run();
        // Every datagram may have been lost.
        if world.connected("alice", "bob") {
            woken += 1;
            assert_eq!(world.texts("bob"), ["first", "again"], "seed {seed}");
            assert_eq!(world.node("alice").queued(), 0, "seed {seed}");
            world.send("bob", "alice", "and back");
            assert_eq!(world.texts("alice"), ["and back"], "seed {seed}");
        }
        world.wait(Duration::from_secs(90));
        assert!(world.connected("alice", "bob"), "seed {seed}");
        assert_eq!(world.texts("bob"), ["first", "again"], "seed {seed}");
    }
    assert!(woken > 10, "{woken} of 20");
}

#[test]
fn what_sleeps_is_woken_without_the_server() {
    let mut woken = 0;
    for seed in 70..90 {
        let mut world = asleep(seed);
        super::server_goes(&mut world);
        woken += usize::from(world.connected("alice", "bob"));
        world.write("alice", "bob", "again");
        world.wait(Duration::from_secs(90));
        assert_eq!(world.texts("bob"), ["first", "again"], "seed {seed}");
    }
    assert!(woken > 10, "{woken} of 20");
}

#[test]
fn whoever_does_not_wake_is_sought_anew() {
    let mut world = silent(61);
    world.wait(REST_AFTER / 4);
    world.vanish("bob");
    world.resume("bob");
    world.send("alice", "bob", "to another process");
    assert_eq!(world.texts("bob").last().map(String::as_str), Some("to another process"));
    assert_eq!((sleeping(&mut world, "alice"), sleeping(&mut world, "bob")), (1, 1));
}

#[test]
fn what_cannot_be_woken_is_given_up_and_what_was_said_there_waits() {
    let mut world = asleep(62);
    world.direct = false;
    world.write("alice", "bob", "into the void");
    world.run();
    assert_eq!(sleeping(&mut world, "alice"), 1);
    world.wait(ATTEMPT_TIMEOUT + Duration::from_secs(1));
    assert_eq!(sleeping(&mut world, "alice"), 0);
    assert_eq!(world.node("alice").queue().filter(|(.., sent)| !sent).count(), 1);
}

#[test]
fn nothing_sleeps_with_somebody_who_is_gone_or_no_contact_any_more() {
    let mut world = asleep(63);
    world.disconnect("bob");
    world.run();
    assert_eq!(sleeping(&mut world, "alice"), 0);
    let mut world = asleep(64);
    assert_eq!(world.withdraw("alice", "bob", Withdrawal::Block), Ok(()));
    assert_eq!((sleeping(&mut world, "alice"), sleeping(&mut world, "bob")), (0, 0));
}

#[test]
fn copies_of_what_wakes_a_path_and_forgeries_change_nothing() {
    let mut world = silent(65);
    let conn = super::conn(&mut world, "alice", "bob");
    for frame in [&[0; 100][..], &[]] {
        world.feed("alice", Input::PeerWakes { conn, frame });
        world.feed("alice", Input::PeerWakes { conn: Conn(u64::MAX), frame });
    }
    world.run();
    assert!(world.connected("alice", "bob"));
}

#[test]
fn datagrams_that_never_open_end_the_path() {
    let mut world = silent(66);
    let conn = super::conn(&mut world, "alice", "bob");
    for _ in 0..WAKES_UNOPENED_MAX {
        world.feed("alice", Input::PeerWakes { conn, frame: &[0; 100] });
    }
    assert!(world.node("alice").stands(conn));
    world.feed("alice", Input::PeerWakes { conn, frame: &[0; 100] });
    assert!(!world.node("alice").stands(conn));
}

#[test]
fn so_many_sleep_and_no_more() {
    let people: Vec<_> = (0..=SLEEPING_MAX).map(|number| format!("friend{number}")).collect();
    let mut world = World::of(67, &["alice"]);
    for friend in &people {
        world.register(friend);
        world.befriend("alice", friend);
        world.send(friend, "alice", "good morning");
        world.wait(Duration::from_secs(1));
    }
    assert_eq!(sleeping(&mut world, "alice"), SLEEPING_MAX + 1, "awake");
    world.wait(2 * REST_AFTER);
    assert_eq!(sleeping(&mut world, "alice"), SLEEPING_MAX);
    world.send("alice", &people[0], "good evening");
    assert_eq!(world.texts(&people[0]), ["good evening"]);
}
