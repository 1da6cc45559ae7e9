//! A server that lies: it may refuse its service, and gains nothing else.

use std::time::Duration;

use crate::{
    crypto::{rng::Rng, secret::Secret},
    identity::{Entry, Identity},
    limits::{CANDIDATES_MAX, DIALS_AT_ONCE, HOST_CANDIDATES_MAX},
    message::Body,
    node::{Event, Refused},
    note::{self, NoteKind},
    ticket::AttemptId,
    time::UnixTime,
    wire::{
        self,
        server::{Candidate, Door, Reply},
    },
    world::{Happened, Lie, World, name},
};

fn eve(entry: &Entry) -> Entry {
    Identity::from_seed(Secret::new([66; 32])).entry(&entry.name)
}

/// What one end of an introduction is told.
struct Told {
    attempt: AttemptId,
    other: Entry,
    secret: Secret<32>,
    door: Door,
    message: Vec<u8>,
}

/// Changes what the callee is told.
fn asked(change: impl Fn(&mut Told) + 'static) -> Lie {
    Box::new(move |_, reply| match reply {
        Reply::Asked { attempt, caller: other, secret, door, first: message } => {
            let mut told = Told { attempt, other, secret, door, message };
            change(&mut told);
            let Told { attempt, other: caller, secret, door, message: first } = told;
            vec![Reply::Asked { attempt, caller, secret, door, first }]
        }
        other => vec![other],
    })
}

/// Changes what the caller is told.
fn introduced(change: impl Fn(&mut Told) + 'static) -> Lie {
    Box::new(move |_, reply| match reply {
        Reply::Introduced { attempt, callee: other, secret, door, second: message } => {
            let mut told = Told { attempt, other, secret, door, message };
            change(&mut told);
            let Told { attempt, other: callee, secret, door, message: second } = told;
            vec![Reply::Introduced { attempt, callee, secret, door, second }]
        }
        other => vec![other],
    })
}

/// Tells both lies.
fn both(mut lies: [Lie; 2]) -> Lie {
    Box::new(move |who, reply| {
        lies.iter_mut().fold(vec![reply], |replies, lie| {
            replies.into_iter().flat_map(|reply| lie(who, reply)).collect()
        })
    })
}

#[test]
fn another_identity_behind_a_name_is_told_and_nothing_is_sent() {
    for (seed, lie, who) in [
        (1, introduced(|told| told.other = eve(&told.other)), "alice"),
        (2, asked(|told| told.other = eve(&told.other)), "bob"),
    ] {
        let mut world = World::of_friends(seed, &["alice", "bob"]);
        let whom = name(if who == "alice" { "bob" } else { "alice" });
        world.lie = Some(lie);
        world.send("alice", "bob", "secret");
        world.wait(Duration::from_secs(5));
        assert!(world.count(who, &Event::IdentityChanged(whom.clone())) > 0);
        assert!(world.node(who).contact(&whom).unwrap().changed);
        let paths = |event: &Event| matches!(event, Event::PathUp(..));
        assert!(!world.machine("alice").events.iter().any(paths));
        assert_eq!(world.texts("bob"), Vec::<String>::new());
        assert_eq!(world.node("alice").queued(), 1);
        if who == "alice" {
            let (now, sent_at) = (world.now, crate::time::UnixTime::from_millis(1));
            let refused =
                world.node("alice").send(now, sent_at, &whom, None, Body::text("another".into()));
            assert_eq!(refused, Err(Refused::IdentityChanged));
            assert_eq!(world.node("alice").queued(), 1);
        }
        // The pin stands, so the right identity is good again.
        world.lie = None;
        world.run_until(|world| world.texts("bob") == ["secret"]);
        assert!(!world.node(who).contact(&whom).unwrap().changed);
    }
}

#[test]
fn a_ticket_of_which_anything_differs_between_the_two_opens_nothing() {
    let somebody = || Identity::from_seed(Secret::new([67; 32])).entry(&name("carol"));
    let lies = [
        ("asked: attempt", asked(|told| told.attempt.0[0] ^= 1)),
        ("asked: somebody else", asked(move |told| told.other = somebody())),
        ("asked: signature", asked(|told| told.other.signature[0] ^= 1)),
        ("asked: secret", asked(|told| told.secret = Secret::new([1; 32]))),
        ("asked: certificate", asked(|told| told.door.certificate[0] ^= 1)),
        ("asked: message", asked(|told| told.message[40] ^= 1)),
        ("asked: no message", asked(|told| told.message.clear())),
        ("introduced: attempt", introduced(|told| told.attempt.0[0] ^= 1)),
        ("introduced: somebody else", introduced(move |told| told.other = somebody())),
        ("introduced: signature", introduced(|told| told.other.signature[0] ^= 1)),
        ("introduced: secret", introduced(|told| told.secret = Secret::new([1; 32]))),
        ("introduced: certificate", introduced(|told| told.door.certificate[0] ^= 1)),
        ("introduced: message", introduced(|told| told.message[40] ^= 1)),
        ("introduced: no message", introduced(|told| told.message.clear())),
    ];
    for (what, lie) in lies {
        let mut world = World::of_friends(3, &["alice", "bob"]);
        world.lie = Some(lie);
        world.send("alice", "bob", "secret");
        world.wait(Duration::from_secs(30));
        let paths = |event: &Event| matches!(event, Event::PathUp(..));
        for who in ["alice", "bob"] {
            assert!(!world.machine(who).events.iter().any(paths), "{what}: {who}");
        }
        assert_eq!(world.texts("bob"), Vec::<String>::new(), "{what}");
        world.lie = None;
        world.run_until(|world| world.texts("bob") == ["secret"]);
    }
}

#[test]
fn the_knock_only_decides_who_gets_in() {
    // With both doors behind another key nobody connects; with one of them, the other one serves.
    let other = |door: &mut Door| door.knock = Secret::new([1; 32]);
    let mut world = World::of_friends(4, &["alice", "bob"]);
    world.lie = Some(asked(move |told| other(&mut told.door)));
    world.send("alice", "bob", "through the other door");
    assert_eq!(world.texts("bob").len(), 1);
    world.cut("bob");
    world.run();
    world.lie = Some(both([
        asked(move |told| other(&mut told.door)),
        introduced(move |told| other(&mut told.door)),
    ]));
    world.send("alice", "bob", "no door");
    world.wait(Duration::from_secs(30));
    assert_eq!(world.texts("bob").len(), 1);
    assert_eq!(world.connections("bob"), 0);
}

#[test]
fn an_introduction_of_two_is_none_of_a_third() {
    let mut world = World::of_friends(5, &["alice", "bob", "carol"]);
    world.befriend("carol", "bob");
    world.write("alice", "bob", "from alice");
    world.write("carol", "bob", "from carol");
    // Whatever alice or carol is told of an introduction, the other is told as well, and first.
    let mut kept: Vec<(String, Vec<u8>)> = Vec::new();
    world.lie = Some(Box::new(move |who, reply| match reply {
        Reply::Introduced { .. } => {
            let mut replies: Vec<Reply> = kept
                .iter()
                .filter(|(whose, _)| whose != who)
                .map(|(_, body)| wire::decode(body).unwrap())
                .collect();
            kept.push((who.to_owned(), wire::encode(&reply)));
            replies.push(reply);
            replies
        }
        other => vec![other],
    }));
    world.run();
    let mut texts = world.texts("bob");
    texts.sort();
    assert_eq!(texts, ["from alice", "from carol"]);
    let senders: Vec<_> = world
        .machine("bob")
        .disk
        .received
        .iter()
        .map(|r| (r.0.clone(), r.1.body.clone()))
        .collect();
    assert!(senders.iter().all(|(from, body)| *body == Body::text(format!("from {from}"))));
    assert!(
        !world
            .machine("carol")
            .events
            .iter()
            .any(|event| { matches!(event, Event::PathUp(whom, _) if *whom != name("bob")) })
    );
}

#[test]
fn two_attempts_with_one_ticket_are_two_sessions() {
    // The server gives every attempt the same secret: the sessions differ all the same.
    let one = || Secret::new([1; 32]);
    let mut world = World::of_friends(6, &["alice", "bob", "carol"]);
    world.befriend("carol", "bob");
    world.lie = Some(both([
        asked(move |told| told.secret = one()),
        introduced(move |told| told.secret = one()),
    ]));
    world.send("alice", "bob", "from alice");
    world.send("carol", "bob", "from carol");
    assert_eq!(world.texts("bob"), ["from alice", "from carol"]);
    // What carol's session has carried means nothing on alice's.
    let frame = world.machine("carol").frames.last().unwrap().clone();
    world.peer_says("alice", &frame);
    assert!(!world.connected("alice", "bob"));
    assert!(world.connected("carol", "bob"));
    assert_eq!(world.texts("bob").len(), 2);
}

#[test]
fn old_introductions_said_again_change_nothing() {
    let mut world = World::of_friends(7, &["alice", "bob"]);
    world.send("alice", "bob", "1");
    let again = |world: &mut World, who: &str| {
        let of_introduction =
            |reply: &Reply| matches!(reply, Reply::Asked { .. } | Reply::Introduced { .. });
        let said: Vec<_> = world.heard(who).into_iter().filter(of_introduction).collect();
        assert_eq!(said.len(), 1);
        for _ in 0..3 {
            world.server_says(who, &said[0]);
        }
    };
    again(&mut world, "bob");
    again(&mut world, "alice");
    assert!(world.connected("alice", "bob"));
    world.wait(Duration::from_secs(60));
    assert!(world.connected("alice", "bob"));
    let ups = |event: &&Event| matches!(event, Event::PathUp(..));
    assert_eq!(world.machine("bob").events.iter().filter(ups).count(), 1);
    world.send("alice", "bob", "2");
    assert_eq!(world.texts("bob"), ["1", "2"]);
    assert_eq!((world.connections("alice"), world.connections("bob")), (1, 1));
    assert!(world.machine("bob").doors.is_empty());
}

#[test]
fn an_entry_that_does_not_prove_its_name_is_a_lie() {
    for lie in [
        (|entry| Entry { name: name("carol"), ..entry }) as fn(Entry) -> Entry,
        |mut entry| {
            entry.signature[9] ^= 1;
            entry
        },
        |entry| Entry { identity: eve(&entry).identity, ..entry },
    ] {
        let mut world = World::of(8, &["alice", "bob"]);
        world.lie = Some(Box::new(move |_, reply| match reply {
            Reply::Entry { request, entry } => vec![Reply::Entry { request, entry: lie(entry) }],
            other => vec![other],
        }));
        assert_eq!(world.add("alice", "bob"), Err(Refused::ServerLies));
        assert!(world.node("alice").contact(&name("bob")).is_none());
        assert_eq!(world.machine("alice").said.len(), 1, "nothing but the question was sent");
    }
}

#[test]
fn a_note_says_what_its_sender_said_or_nothing() {
    type Change = fn(&mut crate::name::Name, &mut NoteKind, &mut Vec<u8>);
    for change in [
        (|from, _, _| *from = name("carol")) as Change,
        |_, kind, _| *kind = NoteKind::Accept,
        |_, _, sealed| sealed[100] ^= 1,
        |_, _, sealed| sealed.clear(),
    ] {
        let mut world = World::of(9, &["alice", "bob", "carol"]);
        world.lie = Some(Box::new(move |_, reply| match reply {
            Reply::Note { note, mut from, mut kind, mut sealed } => {
                change(&mut from, &mut kind, &mut sealed);
                vec![Reply::Note { note, from, kind, sealed }]
            }
            other => vec![other],
        }));
        world.add("alice", "bob").unwrap();
        assert_eq!(world.node("bob").contacts().count(), 0);
        assert_eq!(world.machine("bob").events, []);
    }
}

#[test]
fn an_acceptance_by_another_identity_is_told_and_accepts_nothing() {
    let mut world = World::of(10, &["alice", "bob"]);
    world.lie = Some(Box::new(|_, reply| match reply {
        Reply::Entry { request, entry } => {
            vec![Reply::Entry { request, entry: eve(&entry) }]
        }
        other => vec![other],
    }));
    // The server gives its own key for bob's, and so cannot pass on what it is sealed to unchanged.
    world.add("alice", "bob").unwrap();
    assert_eq!(world.node("bob").contacts().count(), 0);
    world.lie = None;
    world.add("bob", "alice").unwrap();
    assert_eq!(world.count("alice", &Event::IdentityChanged(name("bob"))), 1);
    let contact = world.node("alice").contact(&name("bob")).unwrap();
    assert_eq!(contact.contact.standing, crate::vault::Standing::Requested);
}

#[test]
fn a_changed_identity_is_looked_at_again_until_the_server_stops_lying() {
    let mut world = World::of_friends(31, &["alice", "bob"]);
    world.lie = Some(asked(|told| told.other = eve(&told.other)));
    world.write("bob", "alice", "1");
    world.run();
    assert_eq!(world.count("alice", &Event::IdentityChanged(name("bob"))), 1);
    let now = world.now;
    let sent = world.node("alice").send(
        now,
        UnixTime::default(),
        &name("bob"),
        None,
        Body::text("2".into()),
    );
    assert_eq!(sent, Err(Refused::IdentityChanged));
    // Nothing of alice's waits, and still she asks for bob now and then: each time the world sees to it
    // that her deadlines lie ahead.
    world.settle("alice");
    world.wait(Duration::from_secs(60));
    world.lie = None;
    world.wait(Duration::from_secs(600));
    world.send("alice", "bob", "3");
    assert_eq!(world.texts("bob"), ["3"]);
}

#[test]
fn a_verified_request_is_not_pinned_anew_behind_the_persons_back() {
    let mut world = World::of(32, &["alice", "bob"]);
    world.add("alice", "bob").unwrap();
    world.node("bob").set_verified(&name("alice")).unwrap();
    world.settle("bob");
    let pinned = world.node("bob").contact(&name("alice")).unwrap().contact.identity;
    let eve = Identity::from_seed(Secret::new([66; 32]));
    let entry = eve.entry(&name("alice"));
    let bob = world.node("bob").identity();
    let mut rng = Rng::from_seed(Secret::new([1; 32]));
    let to = (&name("bob"), &bob);
    let sealed = note::seal(&mut rng, &eve, &entry, NoteKind::Request, to).unwrap();
    let from = name("alice");
    world.server_says("bob", &Reply::Note { note: 99, from, kind: NoteKind::Request, sealed });
    assert_eq!(world.count("bob", &Event::IdentityChanged(name("alice"))), 1);
    let contact = world.node("bob").contact(&name("alice")).unwrap().contact.clone();
    assert_eq!((contact.identity, contact.verified), (pinned, true));
}

#[test]
fn nonsense_from_the_server_is_dropped() {
    let mut world = World::of_friends(11, &["alice", "bob"]);
    for body in [&[][..], &[0], &[0x82, 0x18, 99, 0x80], &[0xff; 1_000]] {
        world.feed("alice", crate::node::Input::ServerFrame(body));
    }
    let (attempt, entry) =
        (AttemptId([1; 16]), eve(&Identity::from_seed(Secret::new([1; 32])).entry(&name("bob"))));
    let door =
        || Door { certificate: [0; 32], knock: Secret::new([0; 32]), candidates: Vec::new() };
    for reply in [
        Reply::Done { request: 4_000 },
        Reply::Entry { request: 4_000, entry: entry.clone() },
        Reply::Presence { name: name("stranger"), online: true },
        Reply::Unavailable { attempt },
        Reply::Voided { attempt },
        Reply::Introduced {
            attempt,
            callee: entry,
            secret: Secret::new([0; 32]),
            door: door(),
            second: Vec::new(),
        },
    ] {
        world.server_says("alice", &reply);
    }
    let stranger = Event::Presence(name("stranger"), true);
    assert_eq!(world.count("alice", &stranger), 0);
    world.send("alice", "bob", "still here");
    assert_eq!(world.texts("bob"), ["still here"]);
}

#[test]
fn nobody_is_made_to_knock_all_over_the_network() {
    let many = |door: &mut Door| {
        let places = (0..=255).map(|host| Candidate(([192, 0, 2, host], 1).into()));
        door.candidates = places.cycle().take(1_000).collect();
    };
    assert_eq!(dialled(many), [CANDIDATES_MAX; 2]);
}

#[test]
fn nobody_is_made_to_knock_at_one_machine_again_and_again() {
    let port = |port| Candidate(([192, 0, 2, 200], port).into());
    assert_eq!(dialled(move |door| door.candidates = vec![port(1); 1_000]), [1; 2]);
    let ports = move |door: &mut Door| door.candidates = (1..1_000).map(port).collect();
    assert_eq!(dialled(ports), [HOST_CANDIDATES_MAX; 2]);
}

/// How many places the two ends of an introduction dial when the server tells both of these.
fn dialled(change: impl Fn(&mut Door) + Copy + 'static) -> [usize; 2] {
    let mut world = World::of_friends(12, &["alice", "bob"]);
    world.lie = Some(both([
        asked(move |told| change(&mut told.door)),
        introduced(move |told| change(&mut told.door)),
    ]));
    world.send("alice", "bob", "hello");
    ["alice", "bob"].map(|who| {
        let [door] = world.machine(who).dials.values().collect::<Vec<_>>().try_into().unwrap();
        door.candidates.len()
    })
}

#[test]
fn whoever_is_asked_for_without_an_end_dials_only_so_often() {
    // The server and alice's other end agree on it: each attempt holds, and leads nowhere.
    let mut world = World::of_friends(13, &["alice", "bob"]);
    world.direct = false;
    world.watched = Some(Vec::new());
    world.write("alice", "bob", "hello");
    for _ in 0..4 * DIALS_AT_ONCE {
        world.run();
        world.disconnect("alice");
        world.resume("alice");
    }
    let by_bob =
        |happened: &&Happened| matches!(happened, Happened::Dialled { who, .. } if who == "bob");
    let dials = world.watched.take().unwrap().iter().filter(by_bob).count();
    assert_eq!(dials, DIALS_AT_ONCE as usize, "in no time at all");
}
