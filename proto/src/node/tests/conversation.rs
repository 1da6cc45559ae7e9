//! Conversations: every kind of message arrives as what it is, and what is not a message is not kept.

use super::{conn, says};
use crate::{
    crypto::{rng::Rng, secret::Secret},
    id::MessageId,
    limits::{QUEUE_MAX, READ_IDS_MAX, SESSION_LIFETIME},
    message::{Body, Message, Ref, Text},
    node::{Event, Input, Output, Refused},
    time::UnixTime,
    wire::{self, peer::Content},
    world::{World, name},
};

fn say(world: &mut World, who: &str, whom: &str, body: Body) -> Result<MessageId, Refused> {
    let now = world.now;
    let id = world.node(who).send(now, UnixTime::default(), &name(whom), None, body);
    world.settle(who);
    world.run();
    id
}

fn received(world: &mut World, who: &str) -> Vec<Message> {
    world.machine(who).disk.received.iter().map(|(_, message)| message.clone()).collect()
}

#[test]
fn every_kind_arrives_as_it_was_said() {
    let mut world = World::of_friends(1, &["alice", "bob"]);
    let first = world.send("bob", "alice", "first");
    let of = Ref { id: first, own: false };
    let id = world.send("alice", "bob", "answer");
    let bodies = [
        Body::Text(Text { text: "re".into(), reply_to: Some(of), expires_after: Some(9) }),
        Body::Edit { of: id, text: "better".into() },
        Body::Reaction { of, emoji: "👍".into() },
        Body::Delete { of: id },
        Body::Unknown { kind: 700, body: vec![1, 2, 3] },
    ];
    for body in bodies {
        let id = say(&mut world, "alice", "bob", body.clone()).unwrap();
        let last = received(&mut world, "bob").pop().unwrap();
        assert_eq!(last, Message { id, sent_at: 0, seen: Some(first), body });
    }
    assert_eq!(world.node("alice").queued(), 0);
}

#[test]
fn a_message_names_what_its_writer_had_seen_over_restarts() {
    let mut world = World::of_friends(2, &["alice", "bob"]);
    world.send("alice", "bob", "hello");
    assert_eq!(received(&mut world, "bob")[0].seen, None);
    let answer = world.send("bob", "alice", "hello yourself");
    world.kill("alice");
    world.resume("alice");
    world.send("alice", "bob", "again");
    assert_eq!(received(&mut world, "bob")[1].seen, Some(answer));
}

#[test]
fn texts_take_the_timer_of_their_conversation() {
    let mut world = World::of_friends(3, &["alice", "bob"]);
    say(&mut world, "alice", "bob", Body::Timer { seconds: Some(60) }).unwrap();
    assert_eq!(world.node("bob").timer(&name("alice")), Some(60));
    world.kill("bob");
    world.resume("bob");
    world.send("bob", "alice", "soon gone");
    let Body::Text(text) = received(&mut world, "alice").remove(0).body else { panic!("no text") };
    assert_eq!(text.expires_after, Some(60));
    say(&mut world, "bob", "alice", Body::Timer { seconds: None }).unwrap();
    assert_eq!(world.node("alice").timer(&name("bob")), None);
}

#[test]
fn a_read_receipt_is_told_and_is_no_message_of_the_conversation() {
    let mut world = World::of_friends(4, &["alice", "bob"]);
    let id = world.send("alice", "bob", "hello");
    say(&mut world, "bob", "alice", Body::Read { ids: vec![id] }).unwrap();
    assert_eq!(world.count("alice", &Event::Read(name("bob"), vec![id])), 1);
    assert_eq!(received(&mut world, "alice"), []);
    world.send("alice", "bob", "you have read it");
    assert_eq!(received(&mut world, "bob")[1].seen, None);
    assert_eq!(world.node("bob").queued(), 0);
}

#[test]
fn typing_is_told_at_once_or_never() {
    let mut world = World::of_friends(5, &["alice", "bob"]);
    let typing = Event::Typing(name("alice"), true);
    let tell = |world: &mut World| {
        let now = world.now;
        world.node("alice").typing(now, &name("bob"), true);
        world.settle("alice");
        world.run();
    };
    tell(&mut world);
    world.send("alice", "bob", "a path");
    assert_eq!(world.count("bob", &typing), 0);
    tell(&mut world);
    assert_eq!(world.count("bob", &typing), 1);
    assert_eq!(received(&mut world, "bob").len(), 1);
}

#[test]
fn one_receipt_serves_all_that_was_taken_in_together() {
    let mut world = World::of_friends(6, &["alice", "bob"]);
    world.send("alice", "bob", "a path");
    let (from, to) = (conn(&mut world, "alice", "bob"), conn(&mut world, "bob", "alice"));
    let (now, before) = (world.now, world.machine("bob").frames.len());
    for number in 1..=20 {
        let message = Message {
            id: MessageId([number; 16]),
            sent_at: 0,
            seen: None,
            body: Body::text("x".into()),
        };
        world.node("alice").say(now, from, &Content::Message(message)).unwrap();
        let Some(Output::SendPeer { frame, .. }) = world.node("alice").poll(now) else {
            panic!("no frame");
        };
        world.node("bob").handle(now, Input::PeerFrame { conn: to, frame: &frame });
    }
    world.settle("bob");
    assert_eq!(world.machine("bob").frames.len(), before + 1);
    assert_eq!(received(&mut world, "bob").len(), 21);
}

#[test]
fn what_a_newer_version_says_does_no_harm() {
    let mut world = World::of_friends(7, &["alice", "bob"]);
    world.send("alice", "bob", "a path");
    let conn = conn(&mut world, "bob", "alice");
    let (now, newer) = (world.now, wire::encode(&(1_000_u32, [7_u32])));
    let mut rng = Rng::from_seed(Secret::new([7; 32]));
    let peer = world.node("bob").peers.get_mut(&conn).unwrap();
    let frame = peer.session.seal(now, &mut rng, newer).unwrap();
    world.node("bob").outputs.push_back(Output::SendPeer { conn, frame });
    world.settle("bob");
    world.run();
    assert!(world.connected("alice", "bob"));
}

#[test]
fn bodies_beyond_their_bounds_are_neither_sent_nor_taken() {
    let bodies = [
        Body::Reaction { of: Ref { id: MessageId([1; 16]), own: true }, emoji: "x".repeat(65) },
        Body::Read { ids: vec![MessageId([1; 16]); READ_IDS_MAX + 1] },
        Body::Unknown { kind: 9, body: vec![0; 70_000] },
    ];
    for body in bodies {
        let mut world = World::of_friends(8, &["alice", "bob"]);
        world.send("alice", "bob", "a path");
        assert_eq!(say(&mut world, "bob", "alice", body.clone()), Err(Refused::Full));
        let conn = conn(&mut world, "bob", "alice");
        let message = Message { id: MessageId([2; 16]), sent_at: 0, seen: None, body };
        says(&mut world, "bob", conn, &Content::Message(message));
        assert!(!world.connected("alice", "bob"));
        assert_eq!(received(&mut world, "alice"), []);
    }
}

#[test]
fn a_queue_is_bounded() {
    let mut world = World::of_friends(9, &["alice", "bob"]);
    world.kill("bob");
    world.run();
    let now = world.now;
    for _ in 0..QUEUE_MAX {
        let body = Body::text(String::new());
        world.node("alice").send(now, UnixTime::default(), &name("bob"), None, body).unwrap();
    }
    let body = Body::text(String::new());
    let more = world.node("alice").send(now, UnixTime::default(), &name("bob"), None, body);
    assert_eq!(more, Err(Refused::Full));
    assert_eq!(world.node("alice").queued(), QUEUE_MAX);
}

#[test]
fn receipts_leave_room_for_what_a_person_writes() {
    let mut world = World::of_friends(11, &["alice", "bob"]);
    world.kill("bob");
    world.run();
    let now = world.now;
    let mut send =
        |body| world.node("alice").send(now, UnixTime::default(), &name("bob"), None, body);
    let receipt = || Body::Read { ids: vec![MessageId([1; 16])] };
    let told = std::iter::from_fn(|| send(receipt()).ok()).take(QUEUE_MAX).count();
    assert_eq!(told, QUEUE_MAX / 2);
    assert!(send(Body::text("hello".into())).is_ok());
}

#[test]
fn a_session_ends_in_time_and_the_next_one_carries_on() {
    let mut world = World::of_friends(10, &["alice", "bob"]);
    world.send("alice", "bob", "one");
    let before = conn(&mut world, "alice", "bob");
    world.wait(SESSION_LIFETIME);
    assert!(!world.connected("alice", "bob"));
    world.send("alice", "bob", "two");
    assert_ne!(conn(&mut world, "alice", "bob"), before);
    assert_eq!(world.texts("bob"), ["one", "two"]);
}
