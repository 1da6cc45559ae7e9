//! Clocks that are wrong or set. They are labels: nothing is lost by them, and nothing put in another order.
//!
//! The wall clock of whole processes is set here, while they run and between their runs. What is not: the
//! monotonic clock, by which deadlines are kept and which nobody can set, and the clock of the server.

use std::time::Duration;

use hither_proto::{
    message::{Body, Message},
    wire::peer::Content,
};
use hither_tests::lab::{Lab, kill, until_true};
use serde_json::{Value, json};

use crate::hostile::{befriended, id, rng};

const YEAR: i64 = 365 * 24 * 60 * 60;

#[test]
fn a_clock_that_is_set_changes_neither_order_nor_delivery() {
    let lab = Lab::new("clock set");
    let Some(machine) = lab.machine() else { return };
    let server = lab.server();
    let [alice, bob] = [lab.person("alice").on(&machine), lab.person("bob")];
    for person in [&alice, &bob] {
        person.registers(&server);
    }
    alice.befriends(&bob);
    let mut said = Vec::new();
    for ahead in [0, YEAR, -YEAR, 0] {
        machine.clock_is_ahead(ahead);
        for restarts in [false, true] {
            if restarts {
                alice.kills_agent();
                alice.is_online();
            }
            for (from, to) in [(&alice, "bob"), (&bob, "alice")] {
                let text = format!("{} when the clock is {ahead} s ahead", said.len());
                from.says(to, &text);
                said.push(text);
            }
        }
    }
    for (person, other) in [(&alice, "bob"), (&bob, "alice")] {
        assert_eq!(texts(&person.conversation(other)), said);
        assert_eq!(person.hears(8), every_second(&said, usize::from(other == "bob")));
        let newest_first = person.finds(&["clock"]);
        assert!(texts(&newest_first).iter().rev().eq(&said));
    }
    let labels: Vec<String> = alice.conversation("bob").iter().map(stamp).collect();
    assert!(!labels.is_sorted(), "the labels tell what the clock said: {labels:?}");
}

#[test]
fn what_is_queued_under_a_wrong_clock_goes_out_under_any_other() {
    let lab = Lab::new("clock and queue");
    let Some(machine) = lab.machine() else { return };
    let server = lab.server();
    let [alice, bob] = [lab.person("alice").on(&machine), lab.person("bob")];
    for person in [&alice, &bob] {
        person.registers(&server);
    }
    alice.befriends(&bob);
    bob.stops_agent();
    alice.sees_offline("bob");
    let mut ids = Vec::new();
    for ahead in [YEAR, -40 * YEAR, 100 * YEAR, -YEAR] {
        machine.clock_is_ahead(ahead);
        ids.push(alice.queues("bob", &ahead.to_string()));
        alice.kills_agent();
        assert_eq!(alice.queue(), ids, "in the order in which they were written");
    }
    machine.clock_is_ahead(0);
    bob.starts_agent();
    let heard: Vec<String> = bob.awaits(4).into_iter().map(|message| message.id).collect();
    assert_eq!(heard, ids);
    until_true("the queue is empty", || alice.queue().is_empty());
}

#[test]
fn a_machine_whose_clock_is_wrong_can_log_in() {
    let lab = Lab::new("clock and login");
    let Some(machine) = lab.machine() else { return };
    let server = lab.server();
    let alice = lab.person("alice").on(&machine);
    machine.clock_is_ahead(YEAR);
    alice.registers(&server);
    alice.is_online();
    alice.logs_out();
    machine.clock_is_ahead(-YEAR);
    alice.logs_in(&server);
    alice.is_online();
}

#[test]
fn a_message_that_is_to_disappear_does_so_however_the_clock_is_set() {
    let lab = Lab::new("clock and timer");
    let Some(machine) = lab.machine() else { return };
    let server = lab.server();
    let [alice, bob] = [lab.person("alice"), lab.person("bob").on(&machine)];
    for person in [&alice, &bob] {
        person.registers(&server);
    }
    alice.befriends(&bob);
    alice.runs(&["timer", "bob", "2s"]).done();
    until_true("the timer is here", || bob.runs(&["timer", "alice"]).done()["seconds"] == 2);
    for (read_at, then) in [(0, YEAR), (YEAR, 0), (0, -YEAR), (-YEAR, 0)] {
        let id = alice.says("bob", "soon gone");
        machine.clock_is_ahead(read_at);
        assert_eq!(bob.hears(1), ["soon gone"]);
        machine.clock_is_ahead(then);
        bob.sees_no_more("alice", &id);
    }
    // While the agent does not run, too.
    for (read_at, then) in [(0, -YEAR), (YEAR, 0)] {
        let (id, agent) = (alice.says("bob", "soon gone"), bob.agent());
        machine.clock_is_ahead(read_at);
        assert_eq!(bob.hears(1), ["soon gone"]);
        kill(agent);
        machine.clock_is_ahead(then);
        bob.sees_no_more("alice", &id);
    }
}

#[test]
fn an_account_that_was_to_lock_while_the_machine_slept_is_locked_when_it_wakes() {
    let lab = Lab::new("clock and lock");
    let Some(machine) = lab.machine() else { return };
    let server = lab.server();
    let alice = lab.person("alice").on(&machine);
    alice.registers(&server);
    alice.runs(&["config", "set", "agent.lock_after", "1h"]).done();
    machine.clock_is_ahead(-YEAR);
    assert_eq!(alice.status()["locked"], false, "no time has passed");
    machine.clock_is_ahead(2 * 60 * 60 - YEAR);
    alice.runs(&["list"]).fails(4, "auth_required");
    assert_eq!(alice.status()["locked"], true);
    alice.unlocks();
    alice.runs(&["list"]).done();
}

#[test]
fn messages_stand_in_the_order_of_their_coming_whenever_they_claim_to_be_from() {
    let lab = Lab::new("claimed times");
    let (_server, bob, mut mallory, bobs) = befriended(&lab, "bob");
    let mut path = mallory.calls(&bobs).dials(&mut rng());
    path.greets();
    let year = Duration::from_secs(YEAR.unsigned_abs()).as_millis();
    let year = u64::try_from(year).unwrap();
    // The ids' own times run backwards, too.
    for (number, sent_at) in (0..).zip([60 * year, 0, u64::MAX, year, 2 * year]) {
        let (id, body) = (id(200 - number), Body::text(number.to_string()));
        path.says(&Content::Message(Message { id, sent_at, seen: None, body }));
        path.hears_receipt_of(id);
    }
    let expected = ["0", "1", "2", "3", "4"];
    assert_eq!(texts(&bob.conversation("mallory")), expected);
    let heard = bob.awaits(5);
    assert!(heard.iter().map(|message| message.text.as_str()).eq(expected));
    let page = bob.runs(&["history", "mallory", "--limit", "2", "--before", &heard[3].id]).done();
    assert_eq!(texts(page["messages"].as_array().unwrap()), ["1", "2"]);
    let later = bob.receives_with(&["--since", &heard[2].cursor]);
    assert!(later.iter().map(|message| message.text.as_str()).eq(["3", "4"]));
    for message in bob.conversation("mallory") {
        let (claimed, here) = (stamp(&message), message["received_at"].as_str().unwrap());
        assert_eq!(claimed.len(), here.len(), "years of four digits: {message}");
        assert!(here > "2020" && here < "2200", "received by this machine's clock: {message}");
    }
    bob.kills_agent();
    assert_eq!(texts(&bob.conversation("mallory")), expected);
    assert_eq!(bob.status()["queued"], json!(0));
}

fn stamp(message: &Value) -> String {
    message["sent_at"].as_str().expect("a time").to_owned()
}

fn texts(messages: &[Value]) -> Vec<Value> {
    messages.iter().map(|message| message["text"].clone()).collect()
}

fn every_second(all: &[String], from: usize) -> Vec<String> {
    all.iter().skip(from).step_by(2).cloned().collect()
}
