//! Texts between people: delivered once, in order, whatever breaks.

use std::time::Duration;

use super::{conn, says};
use crate::{
    id::MessageId,
    limits::{IN_FLIGHT_MAX, INTRODUCTIONS_MAX, PRESENCE_GRACE, TEXT_BYTES_MAX},
    message::Body,
    node::{Event, Hold, Input, NoPath, Refused},
    time::UnixTime,
    wire::peer::Content,
    world::{World, name},
};

#[test]
fn two_people_become_contacts_and_talk_both_ways() {
    for seed in 0..20 {
        let mut world = World::of_friends(seed, &["alice", "bob"]);
        world.send("alice", "bob", "hello");
        world.send("bob", "alice", "hello yourself");
        assert_eq!(world.texts("bob"), ["hello"]);
        assert_eq!(world.texts("alice"), ["hello yourself"]);
        assert!(world.connected("alice", "bob"));
        assert_eq!((world.node("alice").queued(), world.node("bob").queued()), (0, 0));
    }
}

#[test]
fn both_ask_at_once_and_there_is_exactly_one_session() {
    for seed in 0..60 {
        let mut world = World::of_friends(seed, &["alice", "bob"]);
        world.write("alice", "bob", "a");
        world.write("bob", "alice", "b");
        world.run();
        assert_eq!(
            (world.texts("bob"), world.texts("alice")),
            (vec!["a".into()], vec!["b".into()])
        );
        assert!(world.connected("alice", "bob"));
        assert_eq!((world.connections("alice"), world.connections("bob")), (1, 1), "seed {seed}");
        for who in ["alice", "bob"] {
            let machine = world.machine(who);
            let ups = machine.events.iter().filter(|event| matches!(event, Event::PathUp(..)));
            assert_eq!(ups.count(), 1, "seed {seed}: {who}");
            assert!(!machine.events.iter().any(|event| matches!(event, Event::Held(..))));
        }
    }
}

#[test]
fn texts_arrive_in_order_and_once_however_often_the_connection_breaks() {
    for seed in 0..20 {
        let mut world = World::of_friends(seed, &["alice", "bob"]);
        let mut expected = Vec::new();
        for round in 0..5_usize {
            for i in 0..4 {
                let text = format!("{round}.{i}");
                world.write("alice", "bob", &text);
                expected.push(text);
            }
            let so_far = round * 4 + 2;
            world.run_until(|world| world.texts("bob").len() >= so_far);
            world.cut("alice");
        }
        world.wait(Duration::from_secs(600));
        assert_eq!(world.texts("bob"), expected, "seed {seed}");
        assert_eq!(world.machine("alice").disk.delivered.len(), expected.len());
        assert_eq!(world.node("alice").queued(), 0);
    }
}

#[test]
fn a_text_whose_receipt_is_lost_is_delivered_once_after_a_reconnect() {
    for seed in 0..20 {
        let mut world = World::of_friends(seed, &["alice", "bob"]);
        let id = world.write("alice", "bob", "hello");
        world.run_until(|world| world.texts("bob").len() == 1);
        world.cut("bob");
        world.run();
        assert_eq!(world.machine("alice").disk.delivered, []);
        assert_eq!(world.node("alice").queued(), 1);
        world.wait(Duration::from_secs(10));
        assert_eq!(world.texts("bob"), ["hello"]);
        assert_eq!(world.machine("alice").disk.delivered, [id]);
        let paths = |event: &&Event| matches!(event, Event::PathUp(..));
        assert_eq!(world.machine("bob").events.iter().filter(paths).count(), 2);
    }
}

#[test]
fn a_peer_who_takes_texts_and_confirms_none_is_not_run_after() {
    let mut world = World::of_friends(1, &["alice", "bob"]);
    world.write("alice", "bob", "hello");
    for pause in [2, 4, 8] {
        world.run_until(|world| world.node("alice").queue().any(|(_, _, _, sent)| sent));
        world.cut("bob");
        world.run();
        assert!(!world.connected("alice", "bob"));
        world.wait(Duration::from_secs(pause) - Duration::from_millis(1));
        assert!(!world.connected("alice", "bob"), "back before {pause} s");
    }
    world.wait(Duration::from_millis(1));
    assert!(world.connected("alice", "bob"));
}

#[test]
fn open_paths_go_on_without_the_server_and_new_ones_wait_for_it() {
    let mut world = World::of_friends(3, &["alice", "bob", "carol"]);
    world.befriend("carol", "alice");
    world.send("alice", "bob", "1");
    for who in ["alice", "bob", "carol"] {
        world.disconnect(who);
    }
    world.run();
    world.send("alice", "bob", "2");
    world.send("bob", "alice", "3");
    assert_eq!(world.texts("bob"), ["1", "2"]);
    assert_eq!(world.texts("alice"), ["3"]);
    world.send("alice", "carol", "4");
    assert_eq!(world.count("alice", &Event::Held(name("carol"), Hold::ServerGone)), 1);
    assert_eq!(world.texts("carol"), Vec::<String>::new());
    world.resume("alice");
    world.resume("carol");
    assert_eq!(world.texts("carol"), ["4"]);
}

#[test]
fn what_waits_goes_out_when_the_other_comes_back() {
    let mut world = World::of_friends(4, &["alice", "bob"]);
    let offline = Event::Held(name("bob"), Hold::Offline);
    world.wait(PRESENCE_GRACE);
    world.kill("bob");
    world.run();
    world.send("alice", "bob", "1");
    assert_eq!(world.count("alice", &offline), 1);
    world.kill("alice");
    world.run();
    world.resume("alice");
    assert_eq!(world.node("alice").queued(), 1);
    world.feed("alice", Input::Timeout);
    // Right after a login nobody can know who is there; a moment later it is said.
    world.wait(PRESENCE_GRACE - Duration::from_millis(1));
    assert_eq!(world.count("alice", &offline), 1);
    world.wait(Duration::from_millis(1));
    assert_eq!(world.count("alice", &offline), 2);
    world.resume("bob");
    assert_eq!(world.texts("bob"), ["1"]);
    assert_eq!(world.node("alice").queued(), 0);
}

#[test]
fn a_new_path_takes_the_place_of_one_that_the_other_end_has_lost() {
    let mut world = World::of_friends(13, &["alice", "bob"]);
    world.send("alice", "bob", "1");
    world.vanish("alice");
    world.run();
    assert!(world.node("bob").contact(&name("alice")).unwrap().path.is_some());
    world.resume("alice");
    world.send("alice", "bob", "2");
    assert_eq!(world.texts("bob"), ["1", "2"]);
    assert_eq!((world.connections("alice"), world.connections("bob")), (1, 1));
    assert_eq!(world.count("bob", &Event::PathDown(name("alice"))), 1);
    world.send("bob", "alice", "3");
    assert_eq!(world.texts("alice"), ["3"]);
}

#[test]
fn a_path_whose_other_end_was_killed_is_replaced_with_the_next_text() {
    let mut world = World::of_friends(14, &["alice", "bob"]);
    world.send("bob", "alice", "1");
    world.vanish("alice");
    world.run();
    world.resume("alice");
    world.run();
    // Bob's end of the dead path still stands, for all that bob can tell.
    assert_eq!(world.count("bob", &Event::PathDown(name("alice"))), 0);
    world.send("bob", "alice", "2");
    assert_eq!(world.texts("alice"), ["1", "2"]);
    assert_eq!((world.connections("alice"), world.connections("bob")), (1, 1));
    // Nothing is sought while the path proves to be sound.
    world.send("alice", "bob", "3");
    world.send("bob", "alice", "4");
    assert_eq!(world.count("bob", &Event::PathDown(name("alice"))), 1);
}

#[test]
fn there_but_not_reachable_is_said_and_tried_again() {
    let mut world = World::of_friends(5, &["alice", "bob"]);
    world.direct = false;
    world.send("alice", "bob", "1");
    world.wait(Duration::from_secs(10));
    let no_path = Event::Held(name("bob"), Hold::NoPath(NoPath::Timeout));
    assert_eq!(world.count("alice", &no_path), 1);
    // Nothing of bob's waits, so there is nothing to tell him.
    assert!(!world.machine("bob").events.iter().any(|event| matches!(event, Event::Held(..))));
    world.direct = true;
    world.wait(Duration::from_secs(10));
    assert_eq!(world.texts("bob"), ["1"]);
}

#[test]
fn a_long_queue_goes_out_in_order_and_a_bounded_part_of_it_at_once() {
    let mut world = World::of_friends(12, &["alice", "bob"]);
    world.kill("bob");
    world.run();
    let texts: Vec<_> = (0..2 * IN_FLIGHT_MAX + 9).map(|at| at.to_string()).collect();
    for text in &texts {
        world.write("alice", "bob", text);
    }
    assert_eq!(world.try_resume("bob"), Ok(()));
    let mut most = 0;
    world.run_until(|world| {
        let in_flight = world.node("alice").queue().filter(|(_, _, _, sent)| *sent).count();
        most = most.max(in_flight);
        world.node("alice").queued() == 0
    });
    assert_eq!(most, IN_FLIGHT_MAX);
    assert_eq!(world.texts("bob"), texts);
}

#[test]
fn receipts_count_only_for_what_was_sent() {
    let mut world = World::of_friends(6, &["alice", "bob", "carol"]);
    world.befriend("alice", "carol");
    world.kill("carol");
    world.send("bob", "alice", "path");
    let (id, conn) = (world.send("alice", "carol", "later"), conn(&mut world, "bob", "alice"));
    let receipt = |ids: &[MessageId]| Content::Delivered { ids: ids.to_vec() };
    says(&mut world, "bob", conn, &receipt(&[id, MessageId([9; 16])]));
    assert_eq!(world.machine("alice").disk.delivered, []);
    assert_eq!(world.node("alice").queued(), 1);
    // Nor does a second receipt count again.
    let id = world.send("alice", "bob", "now");
    says(&mut world, "bob", conn, &receipt(&[id, id]));
    assert_eq!(world.machine("alice").disk.delivered, [id]);
    assert!(world.connected("alice", "bob"));
}

#[test]
fn the_same_id_twice_is_one_text() {
    let mut world = World::of_friends(7, &["alice", "bob"]);
    let now = world.now;
    let send = |world: &mut World| {
        let body = Body::text("once".to_owned());
        let (id, sent_at) = (Some(MessageId([5; 16])), UnixTime::from_millis(1));
        world.node("alice").send(now, sent_at, &name("bob"), id, body)
    };
    assert_eq!(send(&mut world), send(&mut world));
    world.send("alice", "bob", "twice");
    send(&mut world).unwrap();
    world.send("alice", "bob", "thrice");
    assert_eq!(world.texts("bob"), ["once", "twice", "thrice"]);
    assert_eq!(world.node("alice").queued(), 0);
}

#[test]
fn a_text_that_was_taken_back_is_not_sent() {
    let mut world = World::of_friends(8, &["alice", "bob"]);
    world.kill("bob");
    world.run();
    let id = world.send("alice", "bob", "no");
    world.send("alice", "bob", "yes");
    assert!(world.node("alice").cancel(&name("bob"), id));
    assert!(!world.node("alice").cancel(&name("bob"), id));
    world.resume("bob");
    assert_eq!(world.texts("bob"), ["yes"]);
}

#[test]
fn texts_are_bounded_and_go_to_contacts_only() {
    let mut world = World::of_friends(9, &["alice", "bob", "carol"]);
    let now = world.now;
    let mut send = |whom: &str, text: String| {
        let sent_at = UnixTime::from_millis(1);
        world.node("alice").send(now, sent_at, &name(whom), None, Body::text(text)).map(|_| ())
    };
    assert_eq!(send("carol", "x".into()), Err(Refused::NoContact));
    assert_eq!(send("bob", "x".repeat(TEXT_BYTES_MAX + 1)), Err(Refused::Full));
    let longest = "x".repeat(TEXT_BYTES_MAX);
    assert_eq!(send("bob", longest.clone()), Ok(()));
    world.send("alice", "bob", "after");
    assert_eq!(world.texts("bob"), [longest, "after".into()]);
}

#[test]
fn everybody_is_reached_when_more_wait_than_attempts_may_be_under_way() {
    let names: Vec<_> = (0..INTRODUCTIONS_MAX + 6).map(|i| format!("friend{i}")).collect();
    let mut world = World::of(10, &["alice"]);
    for friend in &names {
        world.register(friend);
        world.befriend("alice", friend);
    }
    world.disconnect("alice");
    world.run();
    for friend in &names {
        world.send("alice", friend, "hello");
    }
    world.resume("alice");
    for friend in &names {
        assert_eq!(world.texts(friend), ["hello"], "{friend}");
    }
}

#[test]
fn presence_is_told_once_for_each_change() {
    let mut world = World::of_friends(11, &["alice", "bob"]);
    let (here, gone) = (Event::Presence(name("bob"), true), Event::Presence(name("bob"), false));
    assert_eq!((world.count("alice", &here), world.count("alice", &gone)), (1, 0));
    world.kill("bob");
    world.run();
    assert_eq!((world.count("alice", &here), world.count("alice", &gone)), (1, 1));
    world.resume("bob");
    assert_eq!((world.count("alice", &here), world.count("alice", &gone)), (2, 1));
    // With a path to bob, his connection to the server does not decide whether he is there.
    world.send("alice", "bob", "hello");
    world.disconnect("bob");
    world.run();
    world.resume("bob");
    assert_eq!((world.count("alice", &here), world.count("alice", &gone)), (2, 1));
}
