//! Who gets in, who does not, what they learn, and how it ends.

use std::{collections::BTreeSet, net::SocketAddr};

use crate::{
    crypto::{
        label::Label,
        opaque::{ClientLogin, Stretching},
        rng::Rng,
        secret::Secret,
    },
    directory::{Input, Signal},
    login::Channel,
    node::Event,
    wire::{
        self,
        server::{Farewell, Refusal, Reply, Request},
    },
    world::{World, name},
};

fn stranger() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 90], 1))
}

#[test]
fn a_password_brings_everything_back_on_an_empty_machine() {
    let mut world = World::of_friends(1, &["alice", "bob"]);
    world.node("alice").set_verified(&name("bob")).unwrap();
    world.settle("alice");
    world.run();
    let identity = world.node("alice").identity();
    world.log_in("empty", &name("alice"));
    world.run();
    assert_eq!(world.node("empty").identity(), identity);
    let bob = world.node("empty").contact(&name("bob")).unwrap();
    assert!(bob.contact.verified && bob.online);
    world.send("bob", "alice", "welcome back");
    assert_eq!(world.texts("empty"), ["welcome back"]);
}

#[test]
fn a_wrong_password_and_an_unknown_name_look_the_same() {
    let mut world = World::of(2, &["alice"]);
    let mut rng = Rng::from_seed(Secret::new([1; 32]));
    let mut outcomes = Vec::new();
    for who in ["alice", "nobod"] {
        assert_eq!(world.try_log_in(who, b"a wrong password"), Err(Refusal::AuthFailed));
        // Whoever goes on regardless is refused in the same words.
        let (link, _) = world.dial_server(stranger());
        let (_, ke1) = ClientLogin::start(&mut rng, b"a wrong password").unwrap();
        let ke2 = wire::encode(&world.ask(link, &Request::Login { name: name(who), ke1 })).len();
        let finish = Request::FinishLogin { ke3: [1; 64], device: [1; 32] };
        let refused = wire::encode(&world.ask(link, &finish));
        assert!(world.is_closed(link));
        outcomes.push((ke2, refused));
    }
    assert_eq!(outcomes[0], outcomes[1]);
    let refused = wire::decode::<Reply>(&outcomes[0].1).unwrap();
    assert!(matches!(refused, Reply::Refused { why: Refusal::AuthFailed, .. }));
    assert_eq!(world.storage.sessions(), 1);
}

#[test]
fn a_registration_answers_no_guess_at_a_password() {
    let mut world = World::of(13, &["alice"]);
    let password = b"the password of alice";
    let mut rng = Rng::from_seed(Secret::new([1; 32]));
    for (from_registration, opens) in [(false, true), (true, false)] {
        let (link, binding) = world.dial_server(stranger());
        let (client, ke1) = ClientLogin::start(&mut rng, password).unwrap();
        let Reply::Login { mut ke2 } =
            world.ask(link, &Request::Login { name: name("alice"), ke1 })
        else {
            panic!("the login is answered");
        };
        if from_registration {
            let request = ke1[..32].try_into().unwrap();
            let (link, _) = world.dial_server(stranger());
            let register = Request::Register { name: name("alice"), request };
            let Reply::Registration { response } = world.ask(link, &register) else {
                panic!("the registration is answered");
            };
            assert_ne!(ke2[..32], response[..32], "the same element, evaluated");
            ke2[..32].copy_from_slice(&response[..32]);
        }
        let context = binding.login_context();
        let trivial = Stretching::TRIVIAL;
        let finished = client.finish(&mut rng, b"alice", password, &context, &ke2, trivial);
        assert_eq!(finished.is_ok(), opens);
    }
}

#[test]
fn a_name_is_answered_alike_in_every_login_and_in_no_registration() {
    let mut world = World::of(14, &["alice"]);
    let mut rng = Rng::from_seed(Secret::new([1; 32]));
    let (_, ke1) = ClientLogin::start(&mut rng, b"a guess").unwrap();
    for who in ["alice", "nobod"] {
        let evaluated = [0, 1, 2, 3].map(|at| {
            let (link, _) = world.dial_server(stranger());
            let (name, request) = (name(who), ke1[..32].try_into().unwrap());
            let request = match at {
                0 | 1 => Request::Login { name, ke1 },
                _ => Request::Register { name, request },
            };
            match world.ask(link, &request) {
                Reply::Login { ke2 } => ke2[..32].to_vec(),
                Reply::Registration { response } => response[..32].to_vec(),
                other => panic!("{other:?}"),
            }
        });
        assert_eq!(evaluated[0], evaluated[1], "{who}");
        let different: BTreeSet<_> = evaluated.iter().collect();
        assert_eq!(different.len(), 3, "{who}: each registration differs from all else");
    }
}

#[test]
fn a_key_exchange_made_of_nothing_is_unexpected() {
    let mut world = World::of(15, &["alice"]);
    for request in [
        Request::Login { name: name("alice"), ke1: [0xff; 96] },
        Request::Login { name: name("nobod"), ke1: [0xff; 96] },
        Request::Register { name: name("bob"), request: [0xff; 32] },
    ] {
        let (link, _) = world.dial_server(stranger());
        let refused = world.ask(link, &request);
        assert!(matches!(refused, Reply::Refused { why: Refusal::Unexpected, .. }), "{refused:?}");
        assert!(world.is_closed(link));
    }
}

#[test]
fn a_login_over_the_limit_says_when_to_come_back_and_does_no_work() {
    let mut world = World::of(3, &["alice"]);
    world.storage.limited = true;
    for who in ["alice", "nobod"] {
        let mut rng = Rng::from_seed(Secret::new([1; 32]));
        let (link, _) = world.dial_server(stranger());
        let (_, ke1) = ClientLogin::start(&mut rng, b"password").unwrap();
        let refused = world.ask(link, &Request::Login { name: name(who), ke1 });
        let Reply::Refused { request: None, why, retry_after_ms } = refused else {
            panic!("{refused:?}");
        };
        assert_eq!((why, retry_after_ms), (Refusal::RateLimited, Some(7_000)));
        assert!(world.is_closed(link));
    }
}

#[test]
fn registration_can_be_closed_tied_to_an_invite_and_refused_for_a_taken_name() {
    let mut world = World::of(4, &["alice"]);
    assert_eq!(world.try_register("alice", None), Err(Refusal::NameTaken));
    world.storage.invite = Some("INVITE".into());
    assert_eq!(world.try_register("bob", None), Err(Refusal::RegistrationClosed));
    assert_eq!(world.try_register("bob", Some("OTHER")), Err(Refusal::RegistrationClosed));
    assert_eq!(world.try_register("bob", Some("INVITE")), Ok(()));
    world.settings.registration_open = false;
    assert_eq!(world.try_register("carol", Some("INVITE")), Err(Refusal::RegistrationClosed));
    world.settings.registration_open = true;
    world.storage.full = true;
    assert_eq!(world.try_register("carol", Some("INVITE")), Err(Refusal::Unavailable));
    world.storage.full = false;
    assert_eq!(world.try_register("carol", Some("INVITE")), Ok(()));
}

#[test]
fn a_second_login_takes_over_and_contacts_see_no_gap() {
    let mut world = World::of_friends(5, &["alice", "bob"]);
    world.log_in("elsewhere", &name("bob"));
    world.run();
    assert_eq!(world.count("bob", &Event::TakenOver), 1);
    let goodbye = |reply: &Reply| matches!(reply, Reply::Goodbye { why: Farewell::TakenOver });
    assert!(world.heard("bob").last().is_some_and(goodbye));
    assert!(!world.node("bob").is_online());
    assert_eq!(world.count("alice", &Event::Presence(name("bob"), false)), 0);
    world.send("alice", "bob", "hello");
    assert_eq!(world.texts("elsewhere"), ["hello"]);
    assert_eq!(world.try_resume("bob"), Err(Refusal::Parked));
    assert_eq!(world.storage.sessions(), 2);
}

#[test]
fn the_same_device_comes_back_in_silence() {
    let mut world = World::of_friends(6, &["alice", "bob"]);
    // The old connection is not known to be dead yet.
    let old = world.machine("bob").link.unwrap();
    world.resume("bob");
    assert!(world.is_closed(old));
    assert!(world.unheard.is_empty(), "{:?}", world.unheard);
    assert!(world.node("bob").is_online());
    assert_eq!(world.count("alice", &Event::Presence(name("bob"), false)), 0);
    world.send("alice", "bob", "hello");
    assert_eq!(world.texts("bob"), ["hello"]);
}

#[test]
fn only_the_device_may_resume_and_only_on_its_own_connection() {
    let mut world = World::of(7, &["alice", "bob"]);
    let session = world.machine("alice").keys.session;
    let (_, binding) = world.dial_server(stranger());
    let other = Channel { exporter: [9; 32], ..binding.clone() };
    let signatures = [
        binding.sign_resumption(&world.machine("bob").keys.device, &session),
        other.sign_resumption(&world.machine("alice").keys.device, &session),
    ];
    for signature in signatures {
        let (link, _) = world.dial_server(stranger());
        let refused = world.ask(link, &Request::Resume { session, signature });
        assert!(matches!(refused, Reply::Refused { why: Refusal::AuthFailed, .. }));
        assert!(world.is_closed(link));
    }
    assert!(world.node("alice").is_online());
}

#[test]
fn after_a_logout_nothing_is_left_of_the_session() {
    let mut world = World::of_friends(8, &["alice", "bob"]);
    world.send("alice", "bob", "hello");
    world.log_out("bob");
    world.run();
    assert!(!world.connected("alice", "bob"));
    assert_eq!(world.count("alice", &Event::Presence(name("bob"), false)), 1);
    assert!(matches!(world.heard("bob").last(), Some(Reply::LoggedOut)));
    assert_eq!(world.storage.sessions(), 1);
    assert_eq!(world.try_resume("bob"), Err(Refusal::AuthFailed));
}

#[test]
fn contacts_know_that_somebody_has_gone_before_the_server_says_so() {
    let mut world = World::of_friends(9, &["alice", "bob"]);
    let challenge = [7; 32];
    world.client_says("bob", &Request::Logout { challenge });
    let (server, _) = world.logout_challenge("bob");
    let key = world.machine("bob").session_key.take().unwrap();
    let proof = *key.logout_proof(Label::LogoutClient, &challenge, &server).expose();
    let link = world.machine("bob").link.unwrap();
    let replies = world.ask_bytes(link, &wire::encode(&Request::FinishLogout { proof }));
    assert!(matches!(&replies[..], [Reply::LoggedOut]));
    // Nothing has been delivered since, and whoever asks now finds nobody.
    assert_eq!(world.bound_to(&name("bob")), None);
}

#[test]
fn a_proof_that_does_not_fit_is_refused_and_nothing_is_deleted() {
    for wrong in 0..3 {
        let mut world = World::of(10, &["alice", "bob"]);
        let challenge = [7; 32];
        world.client_says("alice", &Request::Logout { challenge });
        let (server, proof) = world.logout_challenge("alice");
        if wrong == 1 {
            // A new challenge voids the one before it.
            world.client_says("alice", &Request::Logout { challenge });
        }
        let key = world.machine("alice").session_key.take().unwrap();
        let proof = match wrong {
            0 => [0; 32],
            1 => *key.logout_proof(Label::LogoutClient, &challenge, &server).expose(),
            // The server's own proof, reflected.
            _ => proof,
        };
        let link = world.machine("alice").link.unwrap();
        world.client_says("alice", &Request::FinishLogout { proof });
        assert!(world.is_closed(link));
        assert!(matches!(
            world.heard("alice").last(),
            Some(Reply::Refused { request: None, why: Refusal::Unexpected, .. })
        ));
        assert_eq!(world.storage.sessions(), 2);
        world.resume("alice");
    }
}

#[test]
fn a_logout_that_cannot_be_stored_is_not_claimed() {
    let mut world = World::of(11, &["alice"]);
    let challenge = [7; 32];
    world.client_says("alice", &Request::Logout { challenge });
    let (server, _) = world.logout_challenge("alice");
    let key = world.machine("alice").session_key.take().unwrap();
    let proof = *key.logout_proof(Label::LogoutClient, &challenge, &server).expose();
    world.storage.full = true;
    world.client_says("alice", &Request::FinishLogout { proof });
    assert!(matches!(
        world.heard("alice").last(),
        Some(Reply::Refused { why: Refusal::Unavailable, .. })
    ));
    assert!(world.node("alice").is_online());
    assert_eq!(world.storage.sessions(), 1);
}

#[test]
fn a_server_that_shuts_down_says_goodbye() {
    let mut world = World::of_friends(12, &["alice", "bob"]);
    for who in ["alice", "bob"] {
        let link = world.machine(who).link.unwrap();
        world.serve(link, Input::Signal(Box::new(Signal::Drain)));
    }
    world.run();
    for who in ["alice", "bob"] {
        let goodbye = |reply: &Reply| matches!(reply, Reply::Goodbye { why: Farewell::Draining });
        assert!(world.heard(who).last().is_some_and(goodbye));
        assert!(!world.node(who).is_online());
        assert_eq!(world.count(who, &Event::TakenOver), 0);
    }
    world.resume("alice");
    world.resume("bob");
    world.send("alice", "bob", "hello");
    assert_eq!(world.texts("bob"), ["hello"]);
}
