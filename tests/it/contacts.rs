//! People who accept, reject and block each other, and what each may know.

use hither_tests::lab::{Lab, Person, until};
use serde_json::Value;

#[test]
fn before_acceptance_nothing_is_sent_and_nobody_is_seen() {
    let lab = Lab::new("before acceptance");
    let server = lab.server();
    let [alice, bob] = lab.people(&server, ["alice", "bob"]);
    alice.adds("bob");
    bob.awaits_request("alice");
    for (person, other) in [(&alice, "bob"), (&bob, "alice")] {
        person.is_online();
        let contact = person.contact(other).unwrap();
        assert_eq!((&contact["online"], &contact["accepted"]), (&false.into(), &false.into()));
        person.sends(other, "too early").fails(11, "refused");
    }

    bob.accepts("alice");
    for (person, other) in [(&alice, "bob"), (&bob, "alice")] {
        person.sees_accepted(other);
        person.sees_online(other);
        person.delivers(other, "now");
    }
    for person in [&alice, &bob] {
        assert_eq!(person.hears(1), ["now"]);
    }
}

#[test]
fn a_request_that_was_rejected_leads_nowhere() {
    let lab = Lab::new("rejected");
    let server = lab.server();
    let [alice, bob] = lab.people(&server, ["alice", "bob"]);
    alice.adds("bob");
    bob.awaits_request("alice");
    bob.runs(&["contact", "reject", "alice"]).done();
    let left = bob.contact("alice");
    assert!(left.is_none_or(|contact| contact["accepted"] == false), "no contact of his");
    alice.sends("bob", "please").fails(11, "refused");
    assert_eq!(alice.contact("bob").unwrap()["online"], false);
    assert!(bob.history().is_empty());
}

#[test]
fn to_the_blocked_the_blocker_looks_offline() {
    let lab = Lab::new("blocked");
    let server = lab.server();
    let [alice, bob, carol] = lab.people(&server, ["alice", "bob", "carol"]);
    alice.befriends(&bob);
    alice.befriends(&carol);
    bob.runs(&["contact", "block", "alice"]).done();
    carol.stops_agent();
    for name in ["bob", "carol"] {
        alice.sees_offline(name);
    }
    assert_eq!(as_seen(&alice, "bob"), as_seen(&alice, "carol"));
    let answer = |name: &str| {
        let mut error = alice.sends(name, "are you there?").fails(7, "queued");
        error["id"].take();
        error.to_string().replace(name, "NAME")
    };
    assert_eq!(answer("bob"), answer("carol"));
    assert_eq!(as_seen(&alice, "bob"), as_seen(&alice, "carol"));
    assert!(bob.history().is_empty(), "nothing got through");

    bob.runs(&["contact", "unblock", "alice"]).done();
    alice.sees_online("bob");
    assert_eq!(bob.hears(1), ["are you there?"]);
}

#[test]
fn who_was_removed_is_gone_and_sees_nothing_more() {
    let lab = Lab::new("removed");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    alice.delivers("bob", "good bye");
    alice.runs(&["contact", "remove", "bob"]).done();
    assert!(alice.contact("bob").is_none());
    alice.sends("bob", "wait").fails(10, "not_found");
    bob.sees_offline("alice");
    let late = bob.sends("alice", "hello?");
    assert_ne!(late.exit, 0, "{late}");
    assert!(!alice.history().contains(&"hello?".to_owned()));
}

#[test]
fn adding_an_unknown_name_looks_like_adding_a_known_one() {
    let lab = Lab::new("unknown name");
    let server = lab.server();
    let [alice, bob] = lab.people(&server, ["alice", "bob"]);
    let answer = |name: &str| {
        let added = alice.runs(&["contact", "add", name]).done();
        added.to_string().replace(name, "NAME")
    };
    assert_eq!(answer("bob"), answer("bub"));
    bob.awaits_request("alice");
    assert_eq!(as_seen(&alice, "bob"), as_seen(&alice, "bub"));
    let refusal = |name: &str| {
        alice.sends(name, "anybody?").fails(11, "refused").to_string().replace(name, "NAME")
    };
    assert_eq!(refusal("bob"), refusal("bub"));
}

#[test]
fn whoever_asks_somebody_too_often_is_told_when_to_ask_again() {
    let lab = Lab::new("asked too often");
    let server = lab.server();
    let [alice, bob] = lab.people(&server, ["alice", "bob"]);
    for name in ["bob", "nobody"] {
        let refused = until("the limit", || {
            let asked = alice.runs(&["contact", "add", name]);
            (asked.exit != 0).then(|| asked.fails(5, "rate_limited"))
        });
        let wait = refused["retry_after_ms"].as_u64().unwrap();
        assert!((60_000..=24 * 60 * 60 * 1000).contains(&wait), "{refused}");
        assert!(refused["hint"].as_str().unwrap().starts_with("try again in "), "{refused}");
    }
    bob.awaits_request("alice");
    bob.runs(&["contact", "accept", "alice"]).done();
    alice.sees_accepted("bob");
}

#[test]
fn who_is_no_contact_is_not_found() {
    let lab = Lab::new("no contact");
    let server = lab.server();
    let [alice, bob] = lab.people(&server, ["alice", "bob"]);
    alice.sends("bob", "hello").fails(10, "not_found");
    for command in ["accept", "reject", "remove", "show"] {
        alice.runs(&["contact", command, "bob"]).fails(10, "not_found");
    }
    alice.runs(&["verify", "bob"]).fails(10, "not_found");
    alice.adds("bob");
    bob.awaits_request("alice");
    alice.runs(&["contact", "accept", "bob"]).fails(10, "not_found");
    assert_eq!(alice.contact("bob").unwrap()["accepted"], false, "nobody accepts for another");
}

#[test]
fn what_is_unread_is_counted() {
    let lab = Lab::new("unread");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    for text in ["one", "two"] {
        alice.delivers("bob", text);
    }
    assert_eq!(bob.contact("alice").unwrap()["unread"], 2);
    bob.hears(2);
    assert_eq!(bob.contact("alice").unwrap()["unread"], 0);
}

/// A contact's entry with its name and fingerprints taken out, to be compared with another's.
fn as_seen(person: &Person, name: &str) -> String {
    let contact: Value = person.contact(name).unwrap();
    contact.to_string().replace(name, "NAME")
}
