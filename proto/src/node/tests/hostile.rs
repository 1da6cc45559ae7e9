//! Peers, strangers and thieves on the direct connections.

use std::{net::SocketAddr, time::Duration};

use super::{conn, says};
use crate::{
    crypto::{rng::Rng, secret::Secret},
    handshake::{Prologue, hear, initiate},
    id::MessageId,
    identity::{Entry, Identity},
    limits::{ATTEMPT_TIMEOUT, TEXT_BYTES_MAX},
    message::{Body, Message},
    node::{Conn, Event, Hold, Input, NoPath, Output},
    ticket::{AttemptId, Party, Ticket},
    wire::{
        self,
        peer::Content,
        server::{Door, Reply},
    },
    world::{World, name},
};

fn text(id: u8, length: usize) -> Content {
    let (id, body) = (MessageId([id; 16]), Body::text("x".repeat(length)));
    Content::Message(Message { id, sent_at: 1, seen: None, body })
}

/// Alice, connected to bob and to carol.
fn connected() -> World {
    let mut world = World::of_friends(1, &["alice", "bob", "carol"]);
    world.befriend("alice", "carol");
    world.send("alice", "bob", "hello bob");
    world.send("alice", "carol", "hello carol");
    world
}

#[test]
fn a_peer_who_talks_nonsense_loses_that_connection_and_no_other() {
    for nonsense in [&[][..], &[0; 3], &[0, 0, 0, 1], &[0; 100], &[0xff; 5_000]] {
        let mut world = connected();
        world.peer_says("bob", nonsense);
        assert!(!world.connected("alice", "bob"), "{} bytes", nonsense.len());
        assert!(world.connected("alice", "carol"));
        assert_eq!(world.connections("bob"), 0);
        world.send("bob", "alice", "sorry");
        assert_eq!(world.texts("alice"), ["sorry"]);
    }
}

#[test]
fn a_text_of_more_than_is_allowed_is_not_taken() {
    let mut world = connected();
    let conn = conn(&mut world, "bob", "alice");
    says(&mut world, "bob", conn, &text(1, TEXT_BYTES_MAX));
    assert_eq!(world.texts("alice").len(), 1);
    says(&mut world, "bob", conn, &text(2, TEXT_BYTES_MAX + 1));
    assert_eq!(world.texts("alice").len(), 1);
    assert!(!world.connected("alice", "bob"));
    assert!(world.connected("alice", "carol"));
}

#[test]
fn a_second_hello_is_harmless_and_a_goodbye_ends_the_path() {
    let mut world = connected();
    let conn = conn(&mut world, "bob", "alice");
    says(&mut world, "bob", conn, &Content::Hello);
    assert!(world.connected("alice", "bob"));
    says(&mut world, "bob", conn, &Content::Bye);
    assert!(!world.connected("alice", "bob"));
    assert_eq!(world.count("alice", &Event::PathDown(name("bob"))), 1);
}

#[test]
fn a_man_in_the_middle_of_the_direct_connection_gets_nothing() {
    for seed in 0..20 {
        let mut world = World::of_friends(seed, &["alice", "bob"]);
        world.man_in_the_middle = true;
        world.send("alice", "bob", "secret");
        world.wait(Duration::from_secs(60));
        assert_eq!(world.texts("bob"), Vec::<String>::new());
        assert_eq!(world.machine("alice").disk.delivered, []);
        assert_eq!(world.node("alice").queued(), 1);
        let failed = Event::Held(name("bob"), Hold::NoPath(NoPath::HandshakeFailed));
        assert!(world.count("alice", &failed) > 0);
        let paths = |event: &Event| matches!(event, Event::PathUp(..));
        assert!(!world.machine("bob").events.iter().any(paths));
        world.man_in_the_middle = false;
        world.run_until(|world| world.texts("bob") == ["secret"]);
    }
}

/// Everything of an introduction that alice was to get.
struct Stolen {
    attempt: AttemptId,
    callee: Entry,
    secret: Secret<32>,
    door: Door,
    second: Vec<u8>,
}

/// Bob has agreed to an introduction, and what alice was to get of it has been stolen on the way.
fn stolen(seed: u8) -> (World, Stolen) {
    let mut world = World::of_friends(seed, &["alice", "bob", "eve"]);
    world.direct = false;
    world.lie = Some(Box::new(|who, reply| match reply {
        Reply::Introduced { .. } | Reply::Meet { .. } if who == "alice" => Vec::new(),
        other => vec![other],
    }));
    world.write("alice", "bob", "for bob alone");
    world.run_until(|world| !world.machine("bob").dials.is_empty());
    let attempt = *world.machine("bob").dials.keys().next().unwrap();
    // The thief's copy is made from what bob and the server said.
    let answer = world.machine("bob").said.last().unwrap().clone();
    let (callee, door, second) = match wire::decode(&answer).unwrap() {
        wire::server::Request::Answer { door, second, .. } => {
            let identity = Identity::from_seed(world.machine("bob").keys.seed.duplicate());
            (identity.entry(&name("bob")), door, second)
        }
        other => panic!("{other:?}"),
    };
    let asked = |reply| match reply {
        Reply::Asked { secret, .. } => Some(secret),
        _ => None,
    };
    let secret = world.heard("bob").into_iter().find_map(asked).unwrap();
    (world, Stolen { attempt, callee, secret, door, second })
}

#[test]
fn a_stolen_ticket_is_worth_nothing_without_the_identity() {
    let (mut world, stolen) = stolen(2);
    let Stolen { attempt, callee, secret, door, second } = stolen;
    let mut rng = Rng::from_seed(Secret::new([3; 32]));
    let eve = Identity::from_seed(world.machine("eve").keys.seed.duplicate());
    let (alice, bob) = (name("alice"), name("bob"));
    let certificate = world.machine("alice").doors[&attempt].certificate;
    let alices = world.node("alice").identity();
    let psk = Ticket {
        attempt,
        caller: Party { name: &alice, identity: &alices },
        callee: Party { name: &bob, identity: &callee.identity },
        caller_certificate: &certificate,
        callee_certificate: &door.certificate,
        secret: &secret,
    }
    .psk();
    let prologue =
        Prologue { attempt, caller: &alice, callee: &bob, caller_certificate: &certificate };
    // Bob's answer is for alice's keys.
    let (expected, first) =
        initiate(&mut rng, eve.agree(), callee.identity.agree(), &prologue).unwrap();
    assert!(expected.finish(eve.agree(), &psk, &second).is_err());
    // Bob's machine lets in whoever has the knock, and hears nobody but alice.
    let exporter = [4; 32];
    let remote = SocketAddr::from(([192, 0, 2, 99], 1));
    let (expected, other) =
        initiate(&mut rng, eve.agree(), eve.public().agree(), &prologue).unwrap();
    let heard = hear(eve.agree(), eve.public().agree(), &prologue, &other).unwrap();
    let (_, answer) = heard.answer(&mut rng, &psk).unwrap();
    let mut own = expected.finish(eve.agree(), &psk, &answer).unwrap().bind(&exporter);
    let hello = own.seal(world.now, &mut rng, wire::encode(&Content::Hello)).unwrap();
    for (conn, frame) in [(901, &hello[..]), (902, &first), (903, &[0; 84])] {
        let conn = Conn(conn);
        world.feed("bob", Input::PeerConnected { conn, attempt, exporter, certificate, remote });
        world.feed("bob", Input::PeerFrame { conn, frame });
        assert!(!world.connected("bob", "alice"));
    }
    let paths = |event: &Event| matches!(event, Event::PathUp(..));
    assert!(!world.machine("bob").events.iter().any(paths));
    // Whoever shows another certificate is not even listened to.
    let (now, conn) = (world.now, Conn(904));
    let certificate = [5; 32];
    let stranger = Input::PeerConnected { conn, attempt, exporter, certificate, remote };
    world.node("bob").handle(now, stranger);
    assert!(matches!(world.node("bob").poll(now), Some(Output::ClosePeer(Conn(904)))));
}

#[test]
fn a_departure_closes_the_doors_that_were_open_for_it() {
    let mut world = World::of_friends(3, &["alice", "bob"]);
    world.direct = false;
    world.send("alice", "bob", "hello");
    assert_eq!((world.machine("alice").doors.len(), world.machine("bob").doors.len()), (1, 1));
    world.kill("alice");
    world.run();
    assert_eq!((world.machine("bob").doors.len(), world.machine("bob").dials.len()), (0, 0));
}

#[test]
fn a_ticket_is_void_when_its_time_is_over() {
    let (mut world, stolen) = stolen(2);
    let attempt = stolen.attempt;
    assert!(world.machine("bob").doors.contains_key(&attempt));
    world.wait(ATTEMPT_TIMEOUT);
    assert!(!world.machine("bob").doors.contains_key(&attempt));
    assert!(!world.machine("bob").dials.contains_key(&attempt));
    assert!(!world.machine("alice").doors.contains_key(&attempt));
}

#[test]
fn nobody_speaks_before_the_caller() {
    for seed in 0..10 {
        let (mut world, stolen) = stolen(seed);
        world.direct = true;
        world.run();
        assert_eq!(world.connections("alice"), 1, "bob has dialled");
        world.peer_says("bob", &[0; 84]);
        assert_eq!(world.connections("alice"), 0);
        // What was closed is not spoken on when the introduction comes at last.
        let Stolen { attempt, callee, secret, door, second } = stolen;
        world.lie = None;
        world.server_says("alice", &Reply::Introduced { attempt, callee, secret, door, second });
        assert_eq!(world.texts("bob"), ["for bob alone"], "seed {seed}");
    }
}
