//! People who find each other again while the server is gone.

use std::time::Duration;

use crate::{
    limits::RESUMPTION_LIFETIME,
    node::{Event, Hold, Input},
    wire::peer::Content,
    world::{World, name},
};

/// Two who had a path, which is gone, as is the server.
fn parted(seed: u8) -> World {
    let mut world = World::of_friends(seed, &["alice", "bob"]);
    world.send("alice", "bob", "while there was a server");
    super::server_goes(&mut world);
    world
}

#[test]
fn an_open_path_stays_when_the_server_goes() {
    let mut world = parted(1);
    world.send("alice", "bob", "on the same path");
    assert_eq!(world.texts("bob"), ["while there was a server", "on the same path"]);
}

#[test]
fn a_path_that_breaks_is_found_again_without_the_server() {
    for seed in 2..8 {
        let mut world = parted(seed);
        world.cut("bob");
        world.run();
        assert!(world.connected("alice", "bob"), "nobody has to write for that");
        world.send("bob", "alice", "without a server");
        assert_eq!(world.texts("alice"), ["without a server"]);
        // What they have now is as good the next time.
        world.cut("alice");
        world.run();
        world.send("alice", "bob", "and once more");
        assert_eq!(world.texts("bob"), ["while there was a server", "and once more"]);
    }
}

#[test]
fn a_path_that_broke_before_the_server_went_is_found_too() {
    let mut world = World::of_friends(8, &["alice", "bob"]);
    world.send("alice", "bob", "while there was a server");
    world.cut("bob");
    world.run();
    assert!(!world.connected("alice", "bob"));
    super::server_goes(&mut world);
    assert!(world.connected("alice", "bob"));
}

#[test]
fn nobody_in_the_middle_is_taken_for_somebody_found_again() {
    let mut world = parted(9);
    world.man_in_the_middle = true;
    world.cut("bob");
    world.send("alice", "bob", "for bob only");
    world.wait(Duration::from_secs(60));
    assert_eq!(world.texts("bob"), ["while there was a server"]);
}

#[test]
fn whoever_has_said_goodbye_is_not_looked_for() {
    let mut world = parted(10);
    let conn = super::conn(&mut world, "bob", "alice");
    super::says(&mut world, "bob", conn, &Content::Bye);
    world.run();
    world.send("alice", "bob", "are you there?");
    assert!(!world.connected("alice", "bob"));
    let held = Event::Held(name("bob"), Hold::ServerGone);
    assert_eq!(world.count("alice", &held), 1);
}

#[test]
fn after_a_day_nobody_is_found_again() {
    let mut world = parted(11);
    world.direct = false;
    world.cut("bob");
    world.run();
    for _ in 0..2 {
        world.now = world.now + RESUMPTION_LIFETIME / 2;
        for who in ["alice", "bob"] {
            world.feed(who, Input::Timeout);
        }
        world.run();
    }
    world.direct = true;
    world.send("alice", "bob", "after a day");
    assert!(!world.connected("alice", "bob"));
}
