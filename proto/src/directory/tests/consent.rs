//! What two people have said about each other: both sessions know it, and nobody learns it by counting.

use crate::{
    crypto::{rng::Rng, secret::Secret},
    directory::Consent,
    limits::CONTACTS_MAX,
    note::NoteKind,
    wire::server::{Refusal, Reply, Request, Withdrawal},
    world::{World, name},
};

fn note(to: &str, kind: NoteKind) -> Request {
    Request::SendNote { request: 700, to: name(to), kind, note: vec![0; 300] }
}

fn withdraw(from: &str, how: Withdrawal) -> Request {
    Request::Withdraw { request: 700, name: name(from), how }
}

fn mutual(world: &World, [a, b]: [&str; 2]) -> bool {
    let said = |a, b| world.storage.consent(&name(a), &name(b));
    [said(a, b), said(b, a)] == [Some(Consent::Accepted); 2]
}

/// Alice, who has room for one more consent, and others: bob, who has blocked her, and carol.
fn almost_full() -> World {
    let mut world = World::of(1, &["alice", "bob", "carol"]);
    world.kill("alice");
    world.run();
    world.storage.set_consent(&name("bob"), &name("alice"), Consent::Blocked);
    for at in 1..CONTACTS_MAX {
        let other = name(&format!("{at:032}"));
        world.storage.set_consent(&name("alice"), &other, Consent::Blocked);
    }
    world.resume("alice");
    world
}

fn is_full(reply: &Reply) -> bool {
    matches!(reply, Reply::Refused { request: Some(700), why: Refusal::Full, .. })
}

#[test]
fn counting_consents_does_not_tell_who_is_there_or_has_blocked_or_refused_somebody() {
    for kind in [NoteKind::Request, NoteKind::Accept] {
        for to in ["bob", "carol", "nobody", "refused"] {
            let mut world = almost_full();
            let to = if to == "refused" { "carol" } else { to };
            world.client_says("alice", &note(to, kind));
            if to == "refused" {
                world.client_says("carol", &withdraw("alice", Withdrawal::Reject));
            }
            for again in [false, true] {
                if again {
                    world.resume("alice");
                }
                let before = world.heard("alice").len();
                for request in [
                    withdraw("dave", Withdrawal::Block),
                    note("dave", NoteKind::Request),
                    note("dave", NoteKind::Accept),
                ] {
                    world.client_says("alice", &request);
                }
                let said = world.heard("alice").split_off(before);
                assert!(said.len() == 3 && said.iter().all(is_full), "{to} {kind:?}: {said:?}");
                assert_eq!(world.storage.consent(&name("alice"), &name("dave")), None);
            }
            // Room can be made, and whoever has a place keeps it.
            for request in [
                note(to, kind),
                withdraw(to, Withdrawal::Remove),
                withdraw("dave", Withdrawal::Block),
            ] {
                world.client_says("alice", &request);
                let said = world.heard("alice");
                assert!(matches!(said.last(), Some(Reply::Done { .. })), "{to} {kind:?}");
            }
        }
    }
}

#[test]
fn strangers_do_not_reach_the_session_of_somebody() {
    let mut world = World::of(2, &["alice", "mallory"]);
    world.client_says("mallory", &note("alice", NoteKind::Accept));
    assert_eq!(world.routed, [name("alice")], "the note itself");
    world.routed.clear();
    for _ in 0..3 {
        let before = world.heard("mallory").len();
        world.client_says("mallory", &super::introduce(1, "alice"));
        let said = world.heard("mallory").split_off(before);
        assert!(matches!(said[..], [Reply::Unavailable { .. }]), "{said:?}");
    }
    for request in [
        withdraw("alice", Withdrawal::Block),
        withdraw("alice", Withdrawal::Unblock),
        withdraw("alice", Withdrawal::Reject),
        withdraw("alice", Withdrawal::Remove),
    ] {
        world.client_says("mallory", &request);
    }
    world.client_says("mallory", &note("nobody", NoteKind::Accept));
    world.kill("mallory");
    world.run();
    world.resume("mallory");
    assert_eq!(world.routed, []);
}

#[test]
fn whoever_takes_consent_back_is_not_reached_any_more() {
    use Withdrawal::{Block, Remove};
    for how in [Block, Remove] {
        let mut world = World::of_friends(3, &["alice", "bob"]);
        world.client_says("alice", &withdraw("bob", how));
        world.routed.clear();
        for attempt in 0..3 {
            world.client_says("bob", &super::introduce(attempt, "alice"));
            world.client_says("alice", &super::introduce(attempt, "bob"));
        }
        for who in ["alice", "bob"] {
            world.kill(who);
            world.run();
            world.resume(who);
        }
        assert_eq!(world.routed, [], "{how:?}");
    }
}

/// What one of them does next.
fn act(world: &mut World, rng: &mut Rng, [who, whom]: [&str; 2]) {
    let link = world.machine(who).link;
    let request = match rng.bytes::<1>()[0] % 9 {
        0 | 1 => note(whom, NoteKind::Request),
        2 | 3 => note(whom, NoteKind::Accept),
        4 => withdraw(whom, Withdrawal::Reject),
        5 => withdraw(whom, Withdrawal::Block),
        6 => withdraw(whom, Withdrawal::Unblock),
        7 => withdraw(whom, Withdrawal::Remove),
        _ => {
            world.break_off(who);
            world.begin_to_resume(who);
            return;
        }
    };
    if let Some(link) = link {
        world.send_on(link, &request);
    }
}

#[test]
fn in_whatever_order_people_change_their_minds_both_sessions_know_what_is_stored() {
    let (mut friends, mut strangers) = (0, 0);
    for seed in 0..200 {
        let mut world = World::of(seed, &["alice", "bob"]);
        let mut rng = Rng::from_seed(Secret::new([seed; 32]));
        for _ in 0..8 {
            for pair in [["alice", "bob"], ["bob", "alice"]] {
                act(&mut world, &mut rng, pair);
            }
            if rng.bytes::<1>()[0].is_multiple_of(3) {
                world.run();
            }
        }
        world.run();
        for who in ["alice", "bob"] {
            // Of two connections that came at once, the one that is given up may have been the later.
            if world.machine(who).link.is_none() {
                world.resume(who);
            }
        }
        let mutual = mutual(&world, ["alice", "bob"]);
        *(if mutual { &mut friends } else { &mut strangers }) += 1;
        for [who, whom] in [["alice", "bob"], ["bob", "alice"]] {
            let sees = world.heard(who).into_iter().rev().find_map(|reply| match reply {
                Reply::Presence { online, .. } => Some(online),
                _ => None,
            });
            assert!(!mutual || sees == Some(true), "seed {seed}: {who} does not see {whom}");
            world.routed.clear();
            world.client_says(who, &super::introduce(9, whom));
            let reached = world.routed.contains(&name(whom));
            assert_eq!(reached, mutual, "seed {seed}: {who} to {whom}");
        }
    }
    assert!(friends > 20 && strangers > 20, "{friends} and {strangers}");
}

#[test]
fn whoever_takes_a_name_is_given_nothing_that_its_name_was_given_before() {
    let mut world = World::of(4, &["alice"]);
    world.client_says("alice", &note("bob", NoteKind::Accept));
    world.register("bob");
    world.client_says("bob", &note("alice", NoteKind::Request));
    assert!(!mutual(&world, ["alice", "bob"]));
    world.routed.clear();
    world.client_says("bob", &super::introduce(1, "alice"));
    assert_eq!(world.routed, []);
}

#[test]
fn a_note_over_the_limit_changes_nothing_whoever_it_is_for() {
    let mut world = World::of(1, &["alice", "bob", "carol"]);
    world.storage.set_consent(&name("bob"), &name("alice"), Consent::Blocked);
    world.storage.limited = true;
    for to in ["bob", "carol", "nobody"] {
        for kind in [NoteKind::Request, NoteKind::Accept] {
            world.client_says("alice", &note(to, kind));
            let said = world.heard("alice").pop();
            let Some(Reply::Refused { request: Some(700), why, retry_after_ms }) = said else {
                panic!("{said:?}");
            };
            assert_eq!((why, retry_after_ms), (Refusal::RateLimited, Some(7_000)), "{to}");
            assert_eq!(world.storage.consent(&name("alice"), &name(to)), None);
        }
    }
    world.storage.limited = false;
    world.client_says("alice", &note("carol", NoteKind::Request));
    assert!(matches!(world.heard("alice").pop(), Some(Reply::Done { request: 700 })));
}
