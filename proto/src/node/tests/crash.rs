//! Agents that die: after every single thing they do, in turn, and come back from their disks.

use crate::{
    id::MessageId,
    message::Body,
    node::{Change, Event, Refused},
    reach::Policy,
    time::UnixTime,
    vault::{Contact, Standing, counter},
    world::{World, name},
};

/// Runs a scenario again and again with `who` dying one output later each time, until nobody dies. What
/// comes after the crash is up to `after`.
fn at_every_output(
    who: &str,
    mut before: impl FnMut() -> World,
    mut scenario: impl FnMut(&mut World),
    mut after: impl FnMut(&mut World, usize),
) {
    for outputs in 0..200 {
        let mut world = before();
        world.machine(who).crash_after = Some(outputs);
        scenario(&mut world);
        world.run();
        let crashed = world.machine(who).node.is_none();
        if crashed {
            world.resume(who);
        }
        world.machine(who).crash_after = None;
        after(&mut world, outputs);
        if !crashed {
            assert!(outputs > 3, "the scenario is too short to die in");
            return;
        }
    }
    panic!("the scenario does not end");
}

/// Both are contacts, can talk, and would find each other again on an empty machine.
fn are_contacts(world: &mut World, outputs: usize) {
    for (who, whom) in [("alice", "bob"), ("bob", "alice")] {
        let contact = world.node(who).contact(&name(whom)).unwrap();
        assert_eq!(contact.contact.standing, Standing::Accepted, "{outputs}: {who}");
        let text = format!("from {who}");
        world.send(who, whom, &text);
        assert_eq!(world.texts(whom), [text], "{outputs}");
    }
    for who in ["alice", "bob"] {
        let contacts = world.machine(who).disk.contacts.clone();
        let identity = world.node(who).identity();
        let empty = format!("{who}-empty");
        world.log_in(&empty, &name(who));
        assert_eq!(world.machine(&empty).disk.contacts, contacts, "{outputs}: {who}");
        assert_eq!(world.node(&empty).identity(), identity);
    }
}

#[test]
fn asking_can_be_repeated_after_a_crash_at_any_point() {
    let ask = |world: &mut World| {
        let _ = world.add("alice", "bob");
    };
    at_every_output(
        "alice",
        || World::of(1, &["alice", "bob"]),
        ask,
        |world, outputs| {
            assert_eq!(world.add("alice", "bob"), Ok(()), "{outputs}");
            assert_eq!(world.accept("bob", "alice"), Ok(()), "{outputs}");
            are_contacts(world, outputs);
        },
    );
}

#[test]
fn accepting_can_be_repeated_after_a_crash_at_any_point() {
    let asked = || {
        let mut world = World::of(2, &["alice", "bob"]);
        world.add("alice", "bob").unwrap();
        world
    };
    let accept = |world: &mut World| {
        let _ = world.accept("bob", "alice");
    };
    at_every_output("bob", asked, accept, |world, outputs| {
        assert_eq!(world.accept("bob", "alice"), Ok(()), "{outputs}");
        are_contacts(world, outputs);
    });
}

#[test]
fn a_note_is_not_lost_if_its_addressee_dies_at_any_point() {
    let ask = |world: &mut World| world.add("alice", "bob").unwrap();
    at_every_output(
        "bob",
        || World::of(3, &["alice", "bob"]),
        ask,
        |world, outputs| {
            assert_eq!(world.accept("bob", "alice"), Ok(()), "{outputs}");
            are_contacts(world, outputs);
        },
    );
    let asked = || {
        let mut world = World::of(4, &["alice", "bob"]);
        world.add("alice", "bob").unwrap();
        world
    };
    let accept = |world: &mut World| world.accept("bob", "alice").unwrap();
    at_every_output("alice", asked, accept, are_contacts);
}

#[test]
fn a_text_survives_a_crash_of_either_end_at_any_point() {
    const ID: MessageId = MessageId([1; 16]);
    let send = |world: &mut World| {
        let (now, sent_at) = (world.now, UnixTime::from_millis(1));
        let node = world.node("alice");
        assert_eq!(
            node.send(now, sent_at, &name("bob"), Some(ID), Body::text("hello".into())),
            Ok(ID)
        );
        world.settle("alice");
    };
    for who in ["alice", "bob"] {
        let friends = || World::of_friends(5, &["alice", "bob"]);
        at_every_output(who, friends, send, |world, outputs| {
            // Whoever was not told that it is queued sends it again.
            if outputs == 0 && who == "alice" {
                send(world);
            }
            world.run_until(|world| world.node("alice").queued() == 0);
            assert_eq!(world.texts("bob"), ["hello"], "{outputs}: {who}");
            assert_eq!(world.machine("alice").disk.delivered, [ID], "{outputs}: {who}");
        });
    }
}

#[test]
fn what_is_called_delivered_is_on_the_disk_of_an_agent_that_dies_right_then() {
    for seed in 0..20 {
        let mut world = World::of_friends(seed, &["alice", "bob"]);
        let id = world.write("alice", "bob", "hello");
        world.run_until(|world| {
            let delivered = |event: &Event| matches!(event, Event::Delivered(..));
            world.machine("alice").events.iter().any(delivered)
        });
        world.kill("bob");
        world.run();
        assert_eq!(world.machine("alice").disk.delivered, [id]);
        world.resume("bob");
        assert_eq!(world.texts("bob"), ["hello"]);
    }
}

#[test]
fn a_vault_whose_answer_was_lost_does_not_stand_in_the_way_of_the_next() {
    let mut world = World::of_friends(6, &["alice", "bob"]);
    let known = world.machine("alice").disk.vault.0;
    world.node("alice").set_verified(&name("bob")).unwrap();
    world.settle("alice");
    world.run_until(|world| counter(world.storage.vault(&name("alice"))) == Some(known + 1));
    world.kill("alice");
    world.run();
    assert_eq!(world.machine("alice").disk.vault, (known, true));
    world.resume("alice");
    assert_eq!(world.machine("alice").disk.vault, (known + 2, false));
    world.log_in("empty", &name("alice"));
    assert!(world.node("empty").contact(&name("bob")).unwrap().contact.verified);
}

#[test]
fn the_vault_is_settled_when_the_newest_version_is_answered_and_not_before() {
    for full in [false, true] {
        let mut world = World::of_friends(5, &["alice", "bob"]);
        let known = world.machine("alice").disk.vault.0;
        world.storage.full = full;
        world.machine("alice").events.clear();
        world.node("alice").set_verified(&name("bob")).unwrap();
        world.settle("alice");
        let now = world.now;
        world.node("alice").set_policy(now, &name("bob"), Policy::Lan).unwrap();
        world.settle("alice");
        assert!(world.node("alice").vault_is_under_way());
        world.run_until(|world| world.machine("alice").events.contains(&Event::VaultSettled));
        assert!(!world.node("alice").vault_is_under_way());
        let stored = if full { known } else { known + 2 };
        assert_eq!(counter(world.storage.vault(&name("alice"))), Some(stored));
        assert_eq!(world.machine("alice").disk.vault, (stored, full));
    }
}

#[test]
fn a_vault_that_never_fits_is_not_put_for_ever() {
    let mut world = World::of_friends(7, &["alice", "bob"]);
    world.machine("alice").disk.vault = (90, true);
    world.kill("alice");
    world.run();
    world.resume("alice");
    assert!(world.machine("alice").disk.vault.1);
    assert_eq!(counter(world.storage.vault(&name("alice"))), Some(3));
}

#[test]
fn a_vault_that_could_not_be_stored_goes_up_with_the_next_connection() {
    for breaks in [false, true] {
        let mut world = World::of_friends(8, &["alice", "bob"]);
        world.storage.full = !breaks;
        world.node("alice").set_verified(&name("bob")).unwrap();
        world.settle("alice");
        if breaks {
            world.disconnect("alice");
        }
        world.run();
        world.storage.full = false;
        world.disconnect("alice");
        world.run();
        world.resume("alice");
        assert!(!world.machine("alice").disk.vault.1);
        world.log_in("empty", &name("alice"));
        assert!(world.node("empty").contact(&name("bob")).unwrap().contact.verified);
    }
}

#[test]
fn a_server_that_cannot_store_says_so_and_nothing_is_claimed() {
    let mut world = World::of(9, &["alice", "bob"]);
    world.storage.full = true;
    assert_eq!(world.add("alice", "bob"), Err(Refused::ServerUnavailable));
    assert!(world.node("alice").contact(&name("bob")).is_none());
    world.storage.full = false;
    world.add("alice", "bob").unwrap();
    world.storage.full = true;
    assert_eq!(world.accept("bob", "alice"), Err(Refused::ServerUnavailable));
    assert_eq!(world.texts("alice"), Vec::<String>::new());
    world.storage.full = false;
    world.accept("bob", "alice").unwrap();
    are_contacts(&mut world, 0);
}

#[test]
fn whoever_asks_too_often_is_told_when_to_ask_again() {
    let mut world = World::of(13, &["alice", "bob"]);
    world.storage.limited = true;
    let limited = Err(Refused::RateLimited { retry_after_ms: 7_000 });
    assert_eq!(world.add("alice", "bob"), limited);
    assert!(world.node("alice").contact(&name("bob")).is_none());
    world.storage.limited = false;
    world.add("alice", "bob").unwrap();
    world.storage.limited = true;
    assert_eq!(world.add("alice", "bob"), limited, "and what was asked before stays asked");
    assert_eq!(world.accept("bob", "alice"), limited);
    world.storage.limited = false;
    world.accept("bob", "alice").unwrap();
    are_contacts(&mut world, 0);
}

#[test]
fn requests_under_way_are_answered_when_the_server_goes() {
    let mut world = World::of(10, &["alice", "bob", "carol", "dave"]);
    world.add("carol", "alice").unwrap();
    for step in 0..4 {
        let request = world.node("alice").add(&name("bob")).unwrap();
        let accept = world.node("alice").accept(&name("carol")).unwrap();
        world.settle("alice");
        let said = world.machine("alice").said.len() + step;
        world.run_until(|world| world.machine("alice").said.len() >= said.min(3));
        world.disconnect("alice");
        let answered = |event: &&Event| matches!(event, Event::Answered(id, _) if *id == request || *id == accept);
        assert_eq!(world.machine("alice").events.iter().filter(answered).count(), 2, "{step}");
        world.run();
        world.resume("alice");
        if world.node("alice").contact(&name("carol")).unwrap().contact.standing
            == Standing::Accepted
        {
            break;
        }
    }
    assert_eq!(world.add("alice", "bob"), Ok(()));
}

#[test]
fn changes_are_idempotent() {
    let mut world = World::of_friends(11, &["alice", "bob"]);
    world.send("alice", "bob", "hello");
    let disk = &mut world.machine("bob").disk;
    let contact = disk.contacts[&name("alice")].clone();
    let gone = Contact { name: name("carol"), ..contact.clone() };
    for change in [Change::Contact(contact), Change::ContactGone(gone.name)] {
        disk.store(change.clone());
        disk.store(change);
    }
    assert_eq!(disk.contacts.len(), 1);
}

#[test]
fn what_may_have_arrived_before_a_crash_cannot_be_taken_back_after_it() {
    let mut world = World::of_friends(12, &["alice", "bob"]);
    let id = world.write("alice", "bob", "hello");
    world.run_until(|world| !world.texts("bob").is_empty());
    world.kill("alice");
    world.run();
    world.begin_to_resume("alice");
    // Its receipt was lost with the process, and no path has been found yet.
    assert_eq!(world.node("alice").queued(), 1);
    assert!(!world.node("alice").cancel(&name("bob"), id));
    world.run_until(|world| world.machine("alice").disk.delivered == [id]);
    assert_eq!(world.texts("bob"), ["hello"]);
}
