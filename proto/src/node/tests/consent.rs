//! People: who may know what about whom, and how that begins and ends.

use crate::{
    crypto::secret::Secret,
    directory::Consent,
    identity::Identity,
    limits::{CONTACTS_MAX, PRESENCE_GRACE, VAULT_BYTES_MAX},
    message::Body,
    node::{Event, Hold, Refused},
    note::NoteKind,
    reach::Policy,
    ticket::AttemptId,
    vault::{self, Contact, Standing},
    wire::server::{Door, Reply, Request, Withdrawal},
    world::{World, name},
};

const ATTEMPT: AttemptId = AttemptId([3; 16]);

fn introduce(to: &str) -> Request {
    let (certificate, knock) = ([1; 32], Secret::new([2; 32]));
    let door = Door { certificate, knock, candidates: Vec::new() };
    Request::Introduce { attempt: ATTEMPT, to: name(to), door, first: vec![0; 1_264] }
}

/// What the server sends to somebody while something is done.
fn heard_while(world: &mut World, who: &str, act: impl FnOnce(&mut World)) -> Vec<Vec<u8>> {
    let before = world.machine(who).heard.len();
    act(world);
    world.run();
    world.machine(who).heard.split_off(before)
}

fn standing(world: &mut World, who: &str, whom: &str) -> Option<Standing> {
    world.node(who).contact(&name(whom)).map(|view| view.contact.standing)
}

/// Alice and bob, as far as alice may not be introduced to bob.
fn without_consent(which: &str) -> World {
    let mut world = World::of(1, &["alice", "bob"]);
    if which != "strangers" {
        world.add("alice", "bob").unwrap();
    }
    match which {
        "strangers" | "requested" => {}
        "removed by the caller" => {
            world.accept("bob", "alice").unwrap();
            world.withdraw("alice", "bob", Withdrawal::Remove).unwrap();
        }
        "rejected" => world.withdraw("bob", "alice", Withdrawal::Reject).unwrap(),
        "blocked before" => world.withdraw("bob", "alice", Withdrawal::Block).unwrap(),
        _ => {
            world.accept("bob", "alice").unwrap();
            let how = if which == "removed" { Withdrawal::Remove } else { Withdrawal::Block };
            world.withdraw("bob", "alice", how).unwrap();
        }
    }
    world
}

#[test]
fn nobody_is_introduced_without_consent() {
    for which in [
        "strangers",
        "requested",
        "rejected",
        "removed",
        "removed by the caller",
        "blocked",
        "blocked before",
    ] {
        let mut world = without_consent(which);
        let mut heard = heard_while(&mut world, "alice", |world| {
            world.client_says("alice", &introduce("bob"));
        });
        let unavailable = crate::wire::encode(&Reply::Unavailable { attempt: ATTEMPT });
        assert_eq!(heard, [unavailable], "{which}");
        let asked = |reply: &Reply| matches!(reply, Reply::Asked { .. });
        assert!(!world.heard("bob").iter().any(asked), "{which}");
        heard.append(&mut world.machine("alice").heard);
        let std::net::IpAddr::V4(address) = world.machine("bob").address.ip() else { panic!() };
        let shows = |frame: &Vec<u8>| frame.windows(4).any(|bytes| bytes == address.octets());
        assert!(!heard.iter().any(shows), "{which}: the address");
    }
}

#[test]
fn blocked_looks_exactly_like_offline_and_unknown() {
    let offline = || {
        let mut world = World::of_friends(2, &["alice", "bob"]);
        world.kill("bob");
        world.run();
        world
    };
    let requests = |to: &str| {
        let (to, note) = (name(to), vec![0; 300]);
        [
            introduce(to.as_str()),
            Request::SendNote { request: 900, to, kind: NoteKind::Request, note },
        ]
    };
    let answers = |mut world: World, to: &str| {
        requests(to).map(|request| {
            heard_while(&mut world, "alice", |world| world.client_says("alice", &request))
        })
    };
    let of_offline = answers(offline(), "bob");
    assert_eq!(of_offline.each_ref().map(Vec::len), [1, 1]);
    assert_eq!(answers(offline(), "nobody"), of_offline);
    for which in ["blocked", "blocked before", "removed", "rejected"] {
        assert_eq!(answers(without_consent(which), "bob"), of_offline, "{which}");
    }
    // A name nobody has gets an entry as good as any other.
    let mut world = without_consent("blocked");
    let [known, unknown] = ["bob", "bib"].map(|whom| {
        let lookup = Request::Lookup { request: 901, name: name(whom) };
        let heard = heard_while(&mut world, "alice", |world| world.client_says("alice", &lookup));
        let reply = crate::wire::decode::<Reply>(&heard[0]).unwrap();
        assert!(
            matches!(reply, Reply::Entry { entry, .. } if entry.verified(&name(whom)).is_some())
        );
        heard[0].len()
    });
    assert_eq!(known, unknown);
}

#[test]
fn being_blocked_looks_like_a_departure() {
    let world = || World::of_friends(3, &["alice", "bob"]);
    let mut blocked = world();
    let of_block = heard_while(&mut blocked, "alice", |world| {
        world.withdraw("bob", "alice", Withdrawal::Block).unwrap();
    });
    let of_departure = heard_while(&mut world(), "alice", |world| world.kill("bob"));
    assert_eq!(of_block, of_departure);
    assert_eq!(of_block.len(), 1);
    // And whoever is blocked hears nothing of the other's coming and going.
    let later = heard_while(&mut blocked, "alice", |world| {
        world.kill("bob");
        world.run();
        world.resume("bob");
        world.withdraw("bob", "alice", Withdrawal::Remove).unwrap();
    });
    assert_eq!(later, Vec::<Vec<u8>>::new());
}

#[test]
fn a_block_closes_the_path_and_its_end_restores_everything() {
    for who_asked in [["alice", "bob"], ["bob", "alice"]] {
        let mut world = World::of_friends(4, &who_asked);
        world.wait(PRESENCE_GRACE);
        world.send("alice", "bob", "1");
        world.withdraw("bob", "alice", Withdrawal::Block).unwrap();
        assert!(!world.connected("alice", "bob"));
        world.send("alice", "bob", "2");
        assert_eq!(world.count("alice", &Event::Held(name("bob"), Hold::Offline)), 1);
        let (now, sent_at) = (world.now, crate::time::UnixTime::from_millis(1));
        let refused =
            world.node("bob").send(now, sent_at, &name("alice"), None, Body::text("x".into()));
        assert_eq!(refused, Err(Refused::Blocked));
        assert_eq!(world.add("bob", "alice"), Err(Refused::Blocked));
        assert_eq!(world.texts("bob"), ["1"]);
        world.withdraw("bob", "alice", Withdrawal::Unblock).unwrap();
        assert_eq!(world.texts("bob"), ["1", "2"]);
        assert_eq!(standing(&mut world, "bob", "alice"), Some(Standing::Accepted));
    }
}

#[test]
fn crossing_requests_make_contacts() {
    for seed in 0..60 {
        let mut world = World::of(seed, &["alice", "bob"]);
        for (who, whom) in [("alice", "bob"), ("bob", "alice")] {
            world.node(who).add(&name(whom)).unwrap();
            world.settle(who);
        }
        world.run();
        for (who, whom) in [("alice", "bob"), ("bob", "alice")] {
            let accepted = Some(Standing::Accepted);
            assert_eq!(standing(&mut world, who, whom), accepted, "seed {seed}: {who}");
            let answers = |event: &&Event| matches!(event, Event::Answered(_, Ok(())));
            assert_eq!(world.machine(who).events.iter().filter(answers).count(), 1);
        }
        world.send("alice", "bob", "hello");
        assert_eq!(world.texts("bob"), ["hello"]);
    }
}

/// The acceptance had left when the person thought again; the server went on introducing people who were no contacts.
#[test]
fn a_rejection_takes_back_the_acceptance_just_before_it() {
    for seed in 20..30 {
        let mut world = World::of(seed, &["alice", "bob"]);
        world.add("alice", "bob").unwrap();
        let now = world.now;
        world.node("bob").accept(&name("alice")).unwrap();
        world.node("bob").withdraw(now, &name("alice"), Withdrawal::Reject).unwrap();
        world.settle("bob");
        world.run();
        assert_eq!(standing(&mut world, "bob", "alice"), None);
        world.write("alice", "bob", "hello");
        world.run();
        assert!(!world.connected("alice", "bob"));
        assert_eq!(world.texts("bob"), Vec::<String>::new());
        assert!(!world.node("alice").contact(&name("bob")).unwrap().online, "seed {seed}");
    }
}

/// The acceptance came to a contact that was forgotten meanwhile, and was taken for one with another identity.
#[test]
fn what_is_being_rejected_cannot_be_accepted() {
    let mut world = World::of(30, &["alice", "bob"]);
    world.add("alice", "bob").unwrap();
    let now = world.now;
    world.node("bob").withdraw(now, &name("alice"), Withdrawal::Reject).unwrap();
    assert_eq!(world.node("bob").accept(&name("alice")), Err(Refused::NoRequest));
    world.settle("bob");
    world.run();
    assert_eq!(standing(&mut world, "bob", "alice"), None);
    assert_eq!(world.count("bob", &Event::IdentityChanged(name("alice"))), 0);
}

#[test]
fn a_refused_request_is_not_told_and_may_come_again() {
    let mut world = World::of(5, &["alice", "bob"]);
    world.add("alice", "bob").unwrap();
    let heard = heard_while(&mut world, "alice", |world| {
        world.withdraw("bob", "alice", Withdrawal::Reject).unwrap();
    });
    assert_eq!(heard, Vec::<Vec<u8>>::new());
    assert_eq!(standing(&mut world, "bob", "alice"), None);
    assert_eq!(world.accept("bob", "alice"), Err(Refused::NoRequest));
    world.add("alice", "bob").unwrap();
    assert_eq!(world.count("bob", &Event::ContactRequested(name("alice"))), 2);
    assert_eq!(world.accept("bob", "alice"), Ok(()));
    assert_eq!(world.count("alice", &Event::ContactAccepted(name("bob"))), 1);
}

#[test]
fn whoever_removes_somebody_is_gone_for_them_and_may_ask_again() {
    let mut world = World::of_friends(6, &["alice", "bob"]);
    world.send("bob", "alice", "1");
    world.withdraw("alice", "bob", Withdrawal::Remove).unwrap();
    assert_eq!(world.storage.consent(&name("alice"), &name("bob")), None);
    world.send("bob", "alice", "2");
    assert_eq!(world.texts("alice"), ["1"]);
    assert!(!world.node("bob").contact(&name("alice")).unwrap().online);
    // Bob still accepts her, so nobody has to ask him.
    world.add("alice", "bob").unwrap();
    assert_eq!(standing(&mut world, "alice", "bob"), Some(Standing::Accepted));
    assert_eq!(world.texts("alice"), ["1", "2"]);
}

#[test]
fn a_blocked_stranger_cannot_make_themself_heard() {
    let mut world = World::of(7, &["alice", "mallory"]);
    world.withdraw("alice", "mallory", Withdrawal::Block).unwrap();
    assert_eq!(world.add("mallory", "alice"), Ok(()));
    assert_eq!(world.storage.notes(&name("alice")), 0);
    assert_eq!(world.count("alice", &Event::ContactRequested(name("mallory"))), 0);
    world.withdraw("alice", "mallory", Withdrawal::Unblock).unwrap();
    assert_eq!(standing(&mut world, "alice", "mallory"), None);
    assert_eq!(world.add("mallory", "alice"), Ok(()));
    assert_eq!(world.count("alice", &Event::ContactRequested(name("mallory"))), 1);
}

#[test]
fn an_acceptance_that_comes_too_late_gives_no_consent() {
    for seed in 0..60 {
        let mut world = World::of(seed, &["alice", "bob"]);
        world.add("bob", "alice").unwrap();
        world.node("alice").accept(&name("bob")).unwrap();
        world.settle("alice");
        let now = world.now;
        world.node("bob").withdraw(now, &name("alice"), Withdrawal::Remove).unwrap();
        world.settle("bob");
        world.run();
        assert_eq!(world.storage.consent(&name("bob"), &name("alice")), None);
        let bob = world.node("alice").contact(&name("bob")).map(|view| view.online);
        assert_ne!(bob, Some(true), "seed {seed}");
        let heard = heard_while(&mut world, "alice", |world| {
            world.client_says("alice", &introduce("bob"));
        });
        assert_eq!(heard.len(), 1);
        let asked = |reply: &Reply| matches!(reply, Reply::Asked { .. });
        assert!(!world.heard("bob").iter().any(asked), "seed {seed}");
    }
}

#[test]
fn comparing_numbers_is_remembered_for_the_identity_it_was_done_for() {
    let mut world = World::of(8, &["alice", "bob"]);
    world.add("alice", "bob").unwrap();
    world.node("alice").set_verified(&name("bob")).unwrap();
    world.node("bob").set_verified(&name("alice")).unwrap();
    // Asked again, with the same identity: nothing to verify anew, at either end.
    world.add("alice", "bob").unwrap();
    for (who, whom) in [("alice", "bob"), ("bob", "alice")] {
        assert!(world.node(who).contact(&name(whom)).unwrap().contact.verified, "{who}");
    }
    // Another identity is not taken over in silence.
    world.lie = Some(Box::new(|_, reply| match reply {
        Reply::Entry { request, entry } => {
            let other = Identity::from_seed(Secret::new([9; 32]));
            vec![Reply::Entry { request, entry: other.entry(&entry.name) }]
        }
        other => vec![other],
    }));
    assert_eq!(world.add("alice", "bob"), Err(Refused::ServerLies));
    assert_eq!(world.count("alice", &Event::IdentityChanged(name("bob"))), 1);
    world.lie = None;
    world.accept("bob", "alice").unwrap();
    assert_eq!(standing(&mut world, "alice", "bob"), Some(Standing::Accepted));
    assert_eq!(world.node("alice").set_verified(&name("carol")), Err(Refused::NoContact));
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_sent() {
    let mut world = World::of(9, &["alice", "bob"]);
    world.machine("alice").said.clear();
    let refused = [
        world.add("alice", "alice"),
        world.accept("alice", "bob"),
        world.withdraw("alice", "alice", Withdrawal::Block),
        world.withdraw("alice", "bob", Withdrawal::Reject),
        world.withdraw("alice", "bob", Withdrawal::Unblock),
        world.withdraw("alice", "bob", Withdrawal::Remove),
    ];
    use Refused::{NoContact, NoRequest, Oneself};
    let expected = [Oneself, NoRequest, Oneself, NoRequest, NoContact, NoContact];
    assert_eq!(refused, expected.map(Err));
    assert_eq!(world.machine("alice").said, Vec::<Vec<u8>>::new());
    world.disconnect("alice");
    assert_eq!(world.add("alice", "bob"), Err(Refused::ServerGone));
}

#[test]
fn a_full_list_of_contacts_takes_nobody_new_and_still_fits_the_vault() {
    let mut world = World::of(10, &["alice", "bob", "carol"]);
    world.befriend("alice", "carol");
    world.kill("alice");
    world.run();
    let identity = world.node("bob").identity();
    for at in 0..CONTACTS_MAX - 1 {
        let contact = Contact {
            name: name(&format!("{at:032}")),
            identity: Some(identity),
            standing: Standing::Accepted,
            verified: true,
            blocked: false,
            policy: Policy::default(),
        };
        world.machine("alice").disk.contacts.insert(contact.name.clone(), contact);
    }
    world.machine("alice").disk.vault.1 = true;
    world.resume("alice");
    let stored = world.storage.vault(&name("alice")).to_vec();
    assert!(stored.len() > VAULT_BYTES_MAX / 2);
    assert_eq!(vault::counter(&stored), Some(world.machine("alice").disk.vault.0));
    assert!(!world.machine("alice").disk.vault.1);
    assert_eq!(world.add("alice", "bob"), Err(Refused::Full));
    assert_eq!(world.withdraw("alice", "bob", Withdrawal::Block), Err(Refused::Full));
    world.add("bob", "alice").unwrap();
    assert_eq!(standing(&mut world, "alice", "bob"), None);
    assert_eq!(world.storage.notes(&name("alice")), 0);
    // Those who are there already are not affected.
    world.withdraw("alice", "carol", Withdrawal::Block).unwrap();
    world.withdraw("alice", "carol", Withdrawal::Unblock).unwrap();
    assert_eq!(world.storage.consent(&name("alice"), &name("carol")), Some(Consent::Accepted));
}

#[test]
fn whoever_comes_while_they_are_removed_or_blocked_is_not_gone_to() {
    for how in [Withdrawal::Remove, Withdrawal::Block] {
        let mut world = World::of_friends(40, &["alice", "bob"]);
        let (now, bob) = (world.now, name("bob"));
        world.node("alice").withdraw(now, &bob, how).unwrap();
        world.write("alice", "bob", "one last word");
        // Before the server has heard of it, bob seems to come.
        let came = crate::wire::encode(&Reply::Presence { name: bob, online: true });
        world.hear("alice", &came);
        assert_eq!(world.node("alice").census().attempts, [name("bob")]);
        world.run();
        let census = world.node("alice").census();
        assert!(census.attempts.is_empty() && census.paths.is_empty(), "{how:?}");
        assert_eq!(world.texts("bob"), Vec::<String>::new());
    }
}
