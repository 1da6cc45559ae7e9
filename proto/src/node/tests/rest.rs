//! Paths that nobody uses are closed by agreement, and nothing depends on them.

use crate::{
    limits::REST_AFTER,
    node::Event,
    wire::peer::Content,
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
