//! What changes an account: another password, and who is told.

use crate::{
    node::Event,
    wire::server::{Farewell, Refusal, Reply, Request},
    world::{World, name},
};

const OLD: &[u8] = b"the password of alice";
const NEW: &[u8] = b"another password";

#[test]
fn another_password_brings_the_same_identity_and_ends_every_other_session() {
    let mut world = World::of_friends(1, &["alice", "bob"]);
    let identity = world.node("alice").identity();
    let change = world.prove_for_change(&name("alice"), OLD, NEW).unwrap();
    let welcome = world.ask(change.link, &change.request());
    let Reply::Welcome { entry, envelope, .. } = welcome else { panic!("{welcome:?}") };
    assert_eq!(entry.identity, identity);
    assert_eq!(envelope, Some(change.envelope));
    world.run();
    let goodbye = |reply: &Reply| matches!(reply, Reply::Goodbye { why: Farewell::TakenOver });
    assert!(world.heard("alice").last().is_some_and(goodbye));
    assert_eq!(world.count("bob", &Event::Presence(name("alice"), false)), 0);
    assert_eq!(world.storage.sessions(), 2);
    assert_eq!(world.try_resume("alice"), Err(Refusal::AuthFailed));
    assert_eq!(world.try_log_in("alice", OLD), Err(Refusal::AuthFailed));
    assert_eq!(world.try_log_in("alice", NEW), Ok(()));
    // The envelope is opened by the next password, and by the one after it.
    let change = world.prove_for_change(&name("alice"), NEW, b"a third").unwrap();
    assert!(matches!(world.ask(change.link, &change.request()), Reply::Welcome { .. }));
    assert_eq!(world.try_log_in("alice", NEW), Err(Refusal::AuthFailed));
    assert_eq!(world.try_log_in("alice", b"a third"), Ok(()));
}

#[test]
fn nothing_changes_for_a_wrong_password_or_a_change_that_cannot_be_stored() {
    let mut world = World::of(2, &["alice"]);
    assert!(world.prove_for_change(&name("alice"), NEW, NEW).is_err());
    assert!(world.prove_for_change(&name("nobody"), NEW, NEW).is_err());
    let change = world.prove_for_change(&name("alice"), OLD, NEW).unwrap();
    world.storage.full = true;
    let refused = world.ask(change.link, &change.request());
    assert!(matches!(refused, Reply::Refused { why: Refusal::Unavailable, .. }), "{refused:?}");
    assert!(world.is_closed(change.link));
    world.storage.full = false;
    assert!(world.node("alice").is_online());
    assert_eq!(world.try_log_in("alice", NEW), Err(Refusal::AuthFailed));
    assert_eq!(world.try_log_in("alice", OLD), Ok(()));
}

#[test]
fn whoever_proved_the_password_before_a_change_is_too_late_after_it() {
    let mut world = World::of(3, &["alice"]);
    let alice = name("alice");
    let late = world.prove_for_change(&alice, OLD, b"a thief's").unwrap();
    let login = world.begin_to_log_in(&alice);
    let change = world.prove_for_change(&alice, OLD, NEW).unwrap();
    assert!(matches!(world.ask(change.link, &change.request()), Reply::Welcome { .. }));
    let refused = world.ask(late.link, &late.request());
    assert!(matches!(refused, Reply::Refused { why: Refusal::AuthFailed, .. }), "{refused:?}");
    world.run();
    assert!(world.is_closed(login));
    assert_eq!(world.storage.sessions(), 1);
    assert_eq!(world.try_log_in("alice", NEW), Ok(()));
}

#[test]
fn a_proof_allows_one_change_of_the_account_and_nothing_else() {
    for request in [
        Request::Logout { challenge: [0; 32] },
        Request::Lookup { request: 1, name: name("bob") },
        Request::FinishLogin { ke3: [0; 64], device: [0; 32] },
        Request::ChangePassword { record: [0xff; 192], envelope: [0; 105], device: [0; 32] },
    ] {
        let mut world = World::of(4, &["alice"]);
        let change = world.prove_for_change(&name("alice"), OLD, NEW).unwrap();
        let refused = world.ask(change.link, &request);
        assert!(matches!(refused, Reply::Refused { why: Refusal::Unexpected, .. }), "{refused:?}");
        assert!(world.is_closed(change.link));
        assert_eq!(world.try_log_in("alice", OLD), Ok(()));
    }
}

#[test]
fn a_parked_session_takes_the_account_back_with_what_the_other_machine_has_changed() {
    let mut world = World::of_friends(5, &["alice", "bob", "carol"]);
    world.befriend("bob", "carol");
    world.log_in("elsewhere", &name("bob"));
    world.run();
    world.node("elsewhere").set_verified(&name("alice")).unwrap();
    world.settle("elsewhere");
    world.run();
    assert_eq!(world.try_resume("bob"), Err(Refusal::Parked), "not by itself");
    assert_eq!(world.try_return("bob"), Ok(()));
    world.run();
    assert!(world.node("bob").contact(&name("alice")).unwrap().contact.verified);
    assert_eq!(world.count("elsewhere", &Event::TakenOver), 1);
    assert_eq!(world.count("alice", &Event::Presence(name("bob"), false)), 0);
    world.send("alice", "bob", "hello");
    assert_eq!(world.texts("bob"), ["hello"]);
    world.node("bob").set_verified(&name("carol")).unwrap();
    world.settle("bob");
    world.run();
    assert_eq!(world.try_return("elsewhere"), Ok(()));
    world.run();
    assert!(world.node("elsewhere").contact(&name("carol")).unwrap().contact.verified);
}

#[test]
fn a_revoked_device_is_gone_at_once_and_for_good() {
    let mut world = World::of_friends(6, &["alice", "bob"]);
    world.log_in("elsewhere", &name("bob"));
    world.run();
    let [old, new, alices] =
        ["bob", "elsewhere", "alice"].map(|who| world.machine(who).keys.device.public().0);
    let revoke = |request, device| Request::RevokeDevice { request, device };
    for (request, device) in [(1, old), (2, old), (3, alices)] {
        world.client_says("elsewhere", &revoke(request, device));
        assert!(matches!(world.heard("elsewhere").last(), Some(Reply::Done { .. })));
    }
    assert_eq!(world.try_return("bob"), Err(Refusal::AuthFailed));
    assert!(world.node("alice").is_online() && world.node("elsewhere").is_online());
    world.client_says("elsewhere", &Request::ListDevices { request: 9 });
    let replies = world.heard("elsewhere");
    let Some(Reply::Devices { request: 9, devices }) = replies.last() else {
        panic!("{replies:?}")
    };
    assert_eq!(devices.iter().map(|device| device.key).collect::<Vec<_>>(), [new]);
    // Its own: like a logout, but for the words.
    world.client_says("elsewhere", &revoke(4, new));
    world.run();
    assert!(!world.node("elsewhere").is_online());
    assert_eq!(world.count("alice", &Event::Presence(name("bob"), false)), 1);
    assert_eq!(world.try_resume("elsewhere"), Err(Refusal::AuthFailed));
}

#[test]
fn of_a_deleted_account_nothing_is_left_but_that_its_name_is_taken() {
    let mut world = World::of_friends(7, &["alice", "bob"]);
    let link = world.machine("bob").link.unwrap();
    let bobs = b"the password of bob";
    let late = world.prove_for_change(&name("bob"), bobs, NEW).unwrap();
    let proof = world.prove_for_change(&name("bob"), bobs, NEW).unwrap();
    let done = world.ask(proof.link, &Request::DeleteAccount { request: 5 });
    assert!(matches!(done, Reply::Done { request: 5 }), "{done:?}");
    world.run();
    assert!(world.is_closed(link) && world.is_closed(proof.link));
    assert_eq!(world.count("alice", &Event::Presence(name("bob"), false)), 1);
    assert_eq!(world.try_resume("bob"), Err(Refusal::AuthFailed));
    assert_eq!(world.try_return("bob"), Err(Refusal::AuthFailed));
    assert_eq!(world.try_log_in("bob", bobs), Err(Refusal::AuthFailed));
    assert_eq!(world.try_register("bob", None), Err(Refusal::NameTaken));
    let refused = world.ask(late.link, &late.request());
    assert!(matches!(refused, Reply::Refused { why: Refusal::AuthFailed, .. }), "{refused:?}");
    assert_eq!(world.storage.sessions(), 1);
}
