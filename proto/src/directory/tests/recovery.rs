//! Recovery codes: who comes back with one, what that ends, and what nobody learns.

use std::{collections::BTreeSet, net::SocketAddr};

use crate::{
    crypto::{opaque::ClientLogin, rng::Rng, secret::Secret},
    login::Authenticator,
    name::Name,
    node::Event,
    wire::server::{Farewell, Refusal, Reply, Request},
    world::{World, name},
};

const PASSWORD: &[u8] = b"the password of alice";
const NEW: &[u8] = b"another password";

#[test]
fn a_recovery_code_brings_the_same_identity_and_contacts_and_is_spent() {
    let mut world = World::of_friends(1, &["alice", "bob"]);
    let alice = name("alice");
    let identity = world.node("alice").identity();
    let code = world.make_code(&alice);
    assert!(world.node("alice").is_online(), "who makes a code stays logged in");
    let recovering = world.prove_code(&alice, &code, NEW).unwrap();
    assert_eq!(world.try_log_in("alice", PASSWORD), Ok(()), "a proof alone changes nothing");
    let welcome = world.ask(recovering.change.link, &recovering.change.request());
    let Reply::Welcome { entry, envelope, vault, .. } = welcome else { panic!("{welcome:?}") };
    assert_eq!(entry.identity, identity);
    assert_eq!(envelope, Some(recovering.change.envelope));
    assert_eq!(recovering.open(&alice, &vault).contacts.len(), 1);
    world.run();
    let goodbye = |reply: &Reply| matches!(reply, Reply::Goodbye { why: Farewell::TakenOver });
    assert!(world.heard("alice").last().is_some_and(goodbye));
    assert_eq!(world.count("bob", &Event::Presence(alice.clone(), false)), 0);
    assert_eq!(world.storage.sessions(), 2);
    assert_eq!(world.try_resume("alice"), Err(Refusal::AuthFailed));
    assert_eq!(world.try_log_in("alice", PASSWORD), Err(Refusal::AuthFailed));
    assert_eq!(world.try_log_in("alice", NEW), Ok(()));
    assert_eq!(world.prove_code(&alice, &code, PASSWORD).err(), Some(Refusal::AuthFailed));
}

#[test]
fn whoever_comes_back_with_a_code_talks_to_their_contacts() {
    let mut world = World::of_friends(2, &["alice", "bob"]);
    let alice = name("alice");
    let code = world.make_code(&alice);
    world.recover("elsewhere", &alice, &code).unwrap();
    world.run();
    world.send("bob", "alice", "welcome back");
    world.send("elsewhere", "bob", "thank you");
    assert_eq!(world.texts("elsewhere"), ["welcome back"]);
    assert_eq!(world.texts("bob"), ["thank you"]);
    let another = world.make_code(&alice);
    assert!(world.recover("elsewhere", &alice, &code).is_err());
    assert_eq!(world.recover("elsewhere", &alice, &another), Ok(()));
}

#[test]
fn a_code_is_void_once_another_is_made_or_it_is_removed_and_outlives_a_password() {
    let mut world = World::of(3, &["alice"]);
    let alice = name("alice");
    let first = world.make_code(&alice);
    let second = world.make_code(&alice);
    assert_eq!(world.prove_code(&alice, &first, NEW).err(), Some(Refusal::AuthFailed));
    let change = world.prove_for_change(&alice, PASSWORD, NEW).unwrap();
    assert!(matches!(world.ask(change.link, &change.request()), Reply::Welcome { .. }));
    assert_eq!(world.recover("elsewhere", &alice, &second), Ok(()));
    assert_eq!(world.try_log_in("alice", NEW), Err(Refusal::AuthFailed));
    let third = world.make_code(&alice);
    world.remove_code(&alice);
    assert_eq!(world.prove_code(&alice, &third, NEW).err(), Some(Refusal::AuthFailed));
    world.remove_code(&alice);
    assert_eq!(world.try_log_in("alice", PASSWORD), Ok(()));
}

#[test]
fn what_was_proven_before_a_code_was_spent_replaced_or_removed_is_too_late() {
    let mut world = World::of(4, &["alice"]);
    let alice = name("alice");
    let refuses = |world: &mut World, link, request: &Request| {
        let refused = world.ask(link, request);
        assert!(matches!(refused, Reply::Refused { why: Refusal::AuthFailed, .. }), "{refused:?}");
        assert!(world.is_closed(link));
    };
    let replace = |world: &mut World, name: &Name| drop(world.make_code(name));
    for end in [World::remove_code as fn(&mut World, &Name), replace] {
        let code = world.make_code(&alice);
        let late = world.prove_code(&alice, &code, b"a thief's").unwrap().change;
        end(&mut world, &alice);
        refuses(&mut world, late.link, &late.request());
    }
    let code = world.make_code(&alice);
    let late = world.prove_code(&alice, &code, b"a thief's").unwrap().change;
    let late_code = world.prepare_code(&alice).unwrap();
    assert_eq!(world.recover("elsewhere", &alice, &code), Ok(()));
    refuses(&mut world, late.link, &late.request());
    refuses(&mut world, late_code.link, &late_code.request);
    assert!(world.prove_code(&alice, &late_code.code, NEW).is_err());
    assert_eq!(world.try_log_in("alice", PASSWORD), Ok(()));
}

#[test]
fn a_recovery_that_cannot_be_stored_changes_nothing_and_spends_nothing() {
    let mut world = World::of(5, &["alice"]);
    let alice = name("alice");
    let code = world.make_code(&alice);
    let recovering = world.prove_code(&alice, &code, NEW).unwrap().change;
    let unmade = world.prepare_code(&alice).unwrap();
    world.storage.full = true;
    for (link, request) in [(recovering.link, recovering.request()), (unmade.link, unmade.request)]
    {
        let refused = world.ask(link, &request);
        assert!(matches!(refused, Reply::Refused { why: Refusal::Unavailable, .. }), "{refused:?}");
        assert!(world.is_closed(link));
    }
    world.storage.full = false;
    assert!(world.node("alice").is_online());
    assert_eq!(world.try_log_in("alice", PASSWORD), Ok(()));
    assert!(world.prove_code(&alice, &unmade.code, NEW).is_err());
    assert_eq!(world.recover("elsewhere", &alice, &code), Ok(()));
}

#[test]
fn a_code_is_good_for_another_password_and_for_nothing_else() {
    let device = [0xde; 32];
    for request in [
        Request::DeleteAccount { request: 1 },
        Request::RemoveRecovery { request: 1 },
        Request::SetRecovery { request: 1, record: [2; 192], envelope: [0; 105] },
        Request::Logout { challenge: [0; 32] },
        Request::ChangePassword { record: [0xff; 192], envelope: [0; 105], device },
    ] {
        let mut world = World::of(6, &["alice"]);
        let code = world.make_code(&name("alice"));
        let recovering = world.prove_code(&name("alice"), &code, NEW).unwrap();
        let refused = world.ask(recovering.change.link, &request);
        assert!(matches!(refused, Reply::Refused { why: Refusal::Unexpected, .. }), "{refused:?}");
        assert!(world.is_closed(recovering.change.link));
        assert_eq!(world.recover("elsewhere", &name("alice"), &code), Ok(()));
    }
    // Not even for a login: it would stay good for the next one.
    let mut world = World::of(6, &["alice"]);
    let code = world.make_code(&name("alice")).to_password();
    let by = Authenticator::RecoveryCode;
    let proven = world.prove(by, &name("alice"), code.as_bytes()).unwrap();
    let refused = world.ask(proven.link, &Request::FinishLogin { ke3: proven.ke3, device });
    assert!(matches!(refused, Reply::Refused { why: Refusal::Unexpected, .. }), "{refused:?}");
}

#[test]
fn the_password_is_no_code_and_a_code_is_no_password() {
    let mut world = World::of(7, &["alice"]);
    let alice = name("alice");
    let code = world.make_code(&alice).to_password();
    assert_eq!(world.try_log_in("alice", code.as_bytes()), Err(Refusal::AuthFailed));
    let password = world.prove(Authenticator::RecoveryCode, &alice, PASSWORD);
    assert_eq!(password.err(), Some(Refusal::AuthFailed));
}

#[test]
fn nobody_recovers_a_deleted_account() {
    let mut world = World::of(8, &["alice"]);
    let alice = name("alice");
    let code = world.make_code(&alice);
    let late = world.prove_code(&alice, &code, NEW).unwrap().change;
    let proof = world.prove_for_change(&alice, PASSWORD, NEW).unwrap();
    let done = world.ask(proof.link, &Request::DeleteAccount { request: 5 });
    assert!(matches!(done, Reply::Done { request: 5 }), "{done:?}");
    let refused = world.ask(late.link, &late.request());
    assert!(matches!(refused, Reply::Refused { why: Refusal::AuthFailed, .. }), "{refused:?}");
    assert_eq!(world.prove_code(&alice, &code, NEW).err(), Some(Refusal::AuthFailed));
}

#[test]
fn a_recovery_is_answered_alike_with_a_code_without_one_and_for_nobody() {
    let mut world = World::of(9, &["alice", "bob"]);
    let (_, ke1) =
        ClientLogin::start(&mut Rng::from_seed(Secret::new([1; 32])), b"a guess").unwrap();
    let answer = |world: &mut World, who: &str| {
        let (link, _) = world.dial_server(SocketAddr::from(([192, 0, 2, 99], 9)));
        let reply = world.ask(link, &Request::Recover { name: name(who), ke1 });
        let Reply::Login { ke2 } = reply else { panic!("{reply:?}") };
        let refused = world.ask(link, &Request::Prove { ke3: [1; 64], request: [2; 32] });
        assert!(matches!(refused, Reply::Refused { why: Refusal::AuthFailed, .. }), "{refused:?}");
        // The evaluated element; what follows it is drawn for each answer.
        ke2[..32].to_vec()
    };
    let code = world.make_code(&name("alice"));
    let removed = world.make_code(&name("bob"));
    let before = ["alice", "bob", "nobod"].map(|who| answer(&mut world, who));
    assert_eq!(world.recover("elsewhere", &name("alice"), &code), Ok(()));
    world.remove_code(&name("bob"));
    assert!(world.prove_code(&name("bob"), &removed, NEW).is_err());
    let after = ["alice", "bob", "nobod"].map(|who| answer(&mut world, who));
    assert_eq!(before, after, "whether a code was spent or removed");
    let different: BTreeSet<_> = before.iter().collect();
    assert_eq!(different.len(), 3);
}
