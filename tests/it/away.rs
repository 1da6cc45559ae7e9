//! Somebody, or the server, is not there.

use hither_tests::lab::{Lab, until_true};

#[test]
fn a_message_to_someone_away_is_queued_and_says_so() {
    let lab = Lab::new("queued");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    bob.stops_agent();
    alice.sees_offline("bob");
    let error = alice.sends("bob", "one").fails(7, "queued");
    let first = error["id"].as_str().expect("the id, so that it can be found again").to_owned();
    let second = alice.queues("bob", "two");
    assert_eq!(alice.status()["queued"], 2);
    assert_eq!(alice.queue(), [first, second]);
}

#[test]
fn the_queue_survives_a_crash_of_the_senders_agent() {
    let lab = Lab::new("queue and crash");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    bob.stops_agent();
    alice.sees_offline("bob");
    let ids = ["one", "two", "three"].map(|text| alice.queues("bob", text));
    alice.kills_agent();
    assert_eq!(alice.queue(), ids);
    bob.starts_agent();
    let heard = bob.awaits(3);
    assert_eq!(heard.iter().map(|m| m.text.as_str()).collect::<Vec<_>>(), ["one", "two", "three"]);
    assert_eq!(heard.into_iter().map(|m| m.id).collect::<Vec<_>>(), ids);
    until_true("the queue is empty", || alice.queue().is_empty());
}

#[test]
fn a_queued_message_arrives_without_anybody_acting() {
    let lab = Lab::new("delivery on return");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    bob.kills_agent();
    alice.sees_offline("bob");
    alice.queues("bob", "for when you are back");
    bob.starts_agent();
    // Only looking from here on: at her queue, and then at what he has.
    until_true("the queue is empty", || alice.queue().is_empty());
    assert_eq!(bob.hears(1), ["for when you are back"]);
}

#[test]
fn a_queued_message_waits_until_both_are_there_at_once() {
    let lab = Lab::new("never at once");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    bob.stops_agent();
    alice.sees_offline("bob");
    alice.queues("bob", "patience");
    alice.stops_agent();
    bob.starts_agent();
    bob.sees_offline("alice");
    assert!(bob.receives().is_empty(), "nobody else keeps it");
    alice.starts_agent();
    assert_eq!(bob.hears(1), ["patience"]);
}

#[test]
fn over_an_open_path_people_talk_on_when_the_server_is_dead() {
    let lab = Lab::new("dead server, open path");
    let mut server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    alice.delivers("bob", "before");
    server.dies();
    alice.delivers("bob", "during");
    bob.delivers("alice", "during, too");
    for person in [&alice, &bob] {
        person.is_offline();
    }
    alice.delivers("bob", "after everybody has noticed");
    bob.delivers("alice", "here as well");
    assert_eq!(bob.hears(3), ["before", "during", "after everybody has noticed"]);
    assert_eq!(alice.hears(2), ["during, too", "here as well"]);
}

#[test]
fn without_a_path_a_message_waits_for_the_server_to_return() {
    let lab = Lab::new("dead server, no path");
    let mut server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    // Paths between the two end with their agents.
    for person in [&alice, &bob] {
        person.stops_agent();
    }
    server.dies();
    let id = alice.queues("bob", "when it is back");
    assert_eq!(alice.queue(), [id.as_str()]);
    bob.starts_agent();
    server.starts_again();
    let [message] = bob.awaits(1).try_into().unwrap();
    assert_eq!((message.id, message.text), (id, "when it is back".to_owned()));
}
