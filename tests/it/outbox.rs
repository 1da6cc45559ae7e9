//! What becomes of a message between `send` and its reader, and that each word for it means what it says.

use hither_proto::{id::MessageId, message::Body, wire::peer::Content};
use hither_tests::{
    lab::{Lab, Person, until_true},
    rogue::{Account, Online, Path},
};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::hostile::{befriended, id, rng};

#[test]
fn a_message_is_queued_then_sent_then_delivered_then_read() {
    let lab = Lab::new("states");
    let server = lab.server();
    let [bob] = lab.people(&server, ["bob"]);
    let mut account = Account::new("mallory");
    account.registers(&server).befriends(&bob);
    bob.sees_offline("mallory");
    let waiting = bob.queues("mallory", "patience");
    assert_eq!(states(&bob, &waiting), (json!("queued"), json!("queued")));

    let mut mallory = account.logs_in(&server);
    let mut path = answers(&mut mallory);
    assert_eq!(path.hears_message().id.to_string(), waiting);
    until_true("it is sent", || states(&bob, &waiting) == (json!("sent"), json!("sent")));
    assert_eq!(bob.status()["queued"], 1, "it may have arrived, and it may not");

    path.says(&Content::Hello);
    path.dialled.says(b"garbage");
    path.dialled.is_closed();
    // The path that it was written to is gone, and it waits for another.
    let mut path = answers(&mut mallory);
    let again = path.hears_message();
    assert_eq!(again.id.to_string(), waiting);
    path.says(&Content::Hello);
    path.says(&Content::Delivered { ids: vec![again.id] });
    bob.sees("mallory", &waiting, "state", "delivered");
    assert!(bob.queue().is_empty());
    path.sends(id(1), Body::Read { ids: vec![again.id] });
    bob.sees("mallory", &waiting, "state", "read");
    assert_eq!(bob.conversation("mallory").len(), 1);
}

#[test]
fn what_is_cancelled_never_leaves() {
    let lab = Lab::new("cancel");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    bob.stops_agent();
    alice.sees_offline("bob");
    let ids = ["one", "two", "three"].map(|text| alice.queues("bob", text));
    let cancelled = alice.runs(&["cancel", &ids[1]]).done();
    assert_eq!((&cancelled["id"], &cancelled["state"]), (&json!(ids[1]), &json!("cancelled")));
    assert_eq!(alice.message("bob", &ids[1])["state"], "cancelled");
    assert_eq!(alice.queue(), [ids[0].as_str(), &ids[2]]);
    alice.kills_agent();
    assert_eq!(alice.queue(), [ids[0].as_str(), &ids[2]]);
    bob.starts_agent();
    assert_eq!(bob.hears(2), ["one", "three"]);
    until_true("the queue is empty", || alice.queue().is_empty());
    assert_eq!(alice.message("bob", &ids[1])["state"], "cancelled");

    let sent_after_all = alice.sends_with("bob", "two", &["--id", &ids[1], "--wait", "60s"]).done();
    assert_eq!(sent_after_all["state"], "delivered");
    assert_eq!(bob.hears(1), ["two"]);
}

#[test]
fn what_was_written_to_a_path_cannot_be_cancelled_any_more() {
    let lab = Lab::new("cancel too late");
    let (_server, bob, mut mallory, bobs) = befriended(&lab, "bob");
    let mut path = mallory.calls(&bobs).dials(&mut rng());
    path.greets();
    let sent = bob.sends_with("mallory", "on its way", &["--wait", "0s", "--queue-ok"]).done();
    let sent = sent["id"].as_str().unwrap();
    let arrived = path.hears_message();
    bob.runs(&["cancel", sent]).fails(11, "refused");
    drop(path);
    // Even when that path is gone: it may have arrived.
    until_true("the path is gone", || bob.path_to("mallory").is_none());
    bob.runs(&["cancel", sent]).fails(11, "refused");
    let deleted = bob.runs(&["delete", sent, "--queue-ok", "--wait", "0s"]).done();
    assert_eq!(deleted["state"], "queued");

    let mut path = answers(&mut mallory);
    let again = path.hears_message();
    assert_eq!(
        (again.id, &again.body),
        (arrived.id, &arrived.body),
        "as it was, for its id stands"
    );
    assert_eq!(path.hears_message().body, Body::Delete { of: arrived.id }, "and then it goes");
}

#[test]
fn the_queue_drains_in_order_as_soon_as_the_other_is_there() {
    let lab = Lab::new("drain");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    bob.stops_agent();
    alice.sees_offline("bob");
    let mut texts = Vec::new();
    for round in 0..4 {
        for number in 0..5 {
            let text = format!("{round}.{number}");
            alice.queues("bob", &text);
            texts.push(text);
        }
        // However the agent ends, the queue is on the disk.
        if round % 2 == 0 {
            alice.kills_agent()
        } else {
            alice.stops_agent()
        }
        alice.starts_agent();
    }
    let waiting = alice.runs(&["list", "queue"]).done();
    let waiting = waiting["queue"].as_array().unwrap();
    assert!(waiting.iter().all(|one| one["to"] == "bob" && one["kind"] == "text"), "{waiting:?}");
    assert_eq!(waiting.iter().map(|one| one["text"].clone()).collect::<Vec<_>>(), texts);
    bob.starts_agent();
    assert_eq!(bob.hears(20), texts);
    until_true("the queue is empty", || alice.queue().is_empty());
}

#[test]
fn an_id_is_one_message_wherever_it_stands() {
    let lab = Lab::new("one id");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    bob.stops_agent();
    alice.sees_offline("bob");
    let id = id(9).to_string();
    let send = |text: &str| alice.sends_with("bob", text, &["--id", &id, "--queue-ok"]);
    assert_eq!(send("once").done()["id"], id);
    assert_eq!(send("once").done()["state"], "queued", "while it waits");
    send("twice").fails(2, "usage");
    alice.kills_agent();
    assert_eq!(send("once").done()["state"], "queued", "after a crash");
    send("twice").fails(2, "usage");
    assert_eq!(alice.queue(), [id.as_str()]);
    bob.starts_agent();
    until_true("the queue is empty", || alice.queue().is_empty());
    assert_eq!(send("once").done()["state"], "delivered", "when it has arrived");
    alice.kills_agent();
    assert_eq!(send("once").done()["state"], "delivered", "and after another crash");
    send("twice").fails(2, "usage");
    assert_eq!(bob.hears(1), ["once"]);
    assert_eq!(alice.conversation("bob").len(), 1);

    // Hers and his are two messages, even with one id.
    let his = bob.sends_with("alice", "his", &["--id", &id, "--wait", "60s"]).done();
    assert_eq!((&his["id"], &his["state"]), (&json!(id), &json!("delivered")));
    assert_eq!(alice.hears(1), ["his"]);
    assert_eq!(texts(&alice.conversation("bob")), ["once", "his"]);
    assert_eq!(texts(&bob.conversation("alice")), ["once", "his"]);
}

#[test]
fn sending_again_what_was_edited_or_is_gone_is_harmless() {
    let lab = Lab::new("one id, changed");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    let edited = alice.delivers("bob", "first wording")["id"].as_str().unwrap().to_owned();
    let deleted = alice.delivers("bob", "not for long")["id"].as_str().unwrap().to_owned();
    alice.changes(&["edit", &edited, "second wording"]);
    alice.changes(&["delete", &deleted]);
    let again = |id: &str, text: &str| alice.sends_with("bob", text, &["--id", id]).done();
    assert_eq!(again(&edited, "first wording")["state"], "delivered");
    assert_eq!(again(&deleted, "not for long")["state"], "deleted");
    alice.kills_agent();
    assert_eq!(again(&edited, "first wording")["state"], "delivered", "after a crash");
    assert_eq!(again(&deleted, "not for long")["state"], "deleted");
    bob.stops_agent();
    alice.sees_offline("bob");
    let waiting = alice.queues("bob", "it waits");
    alice.runs(&["edit", &waiting, "it waits, worded anew", "--queue-ok"]).done();
    let again = || alice.sends_with("bob", "it waits", &["--id", &waiting, "--queue-ok"]).done();
    assert_eq!(again()["state"], "queued");
    alice.kills_agent();
    assert_eq!(again()["state"], "queued", "after a crash");
    bob.starts_agent();
    until_true("the queue is empty", || alice.queue().is_empty());
    assert_eq!(texts(&bob.conversation("alice")), texts(&alice.conversation("bob")));
    assert_eq!(bob.message("alice", &waiting)["text"], "it waits, worded anew");
    assert_eq!(bob.message("alice", &edited)["text"], "second wording");
}

#[test]
fn who_stops_waiting_for_delivery_is_told_under_which_id_the_message_stays_queued() {
    let lab = Lab::new("impatience");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    bob.stops_agent();
    alice.sees_offline("bob");
    let waiting = alice.starts(&["send", "bob", "--wait", "1h"], Some(b"patience"));
    until_true("it is queued", || alice.queue().len() == 1);
    waiting.signal(Signal::INT);
    let error = waiting.wait().fails(130, "interrupted");
    assert_eq!(alice.queue(), [error["id"].as_str().unwrap()]);
    assert!(error["message"].as_str().unwrap().contains("stays queued"), "{error}");
    bob.starts_agent();
    assert_eq!(bob.hears(1), ["patience"]);
}

#[test]
fn a_receipt_is_believed_only_for_what_was_written_to_its_sender() {
    let lab = Lab::new("early receipt");
    let server = lab.server();
    let [bob] = lab.people(&server, ["bob"]);
    let mut account = Account::new("mallory");
    account.registers(&server).befriends(&bob);
    bob.sees_offline("mallory");
    let waiting = bob.queues("mallory", "for the next path");
    let known: MessageId = waiting.parse().unwrap();
    let mut mallory = account.logs_in(&server);
    let mut path = answers(&mut mallory);
    // A read receipt for somebody else's message, or for none, says nothing either.
    path.sends(id(1), Body::Read { ids: vec![id(2), id(3)] });
    assert_eq!(path.hears_message().id, known);
    path.says(&Content::Delivered { ids: vec![id(2)] });
    path.sends(id(4), Body::text("behind it".into()));
    path.hears_receipt_of(id(4));
    assert_eq!(bob.queue(), [waiting.as_str()]);
    // Whoever has read it has it.
    path.sends(id(5), Body::Read { ids: vec![known] });
    path.hears_receipt_of(id(5));
    bob.sees("mallory", &waiting, "state", "read");
}

/// The state of a message in the queue and in the conversation.
fn states(bob: &Person, id: &str) -> (Value, Value) {
    let queue = bob.runs(&["list", "queue"]).done();
    let queued = queue["queue"].as_array().unwrap().iter().find(|one| one["id"] == id).cloned();
    let queued = queued.map_or(Value::Null, |one| one["state"].clone());
    (queued, bob.message("mallory", id)["state"].clone())
}

/// Answers the next introduction and dials, as an honest callee does, but says nothing yet.
#[track_caller]
fn answers(mallory: &mut Online) -> Path {
    let asked = mallory.is_asked();
    let mut path = mallory.answers(&asked).dials(&mut rng());
    assert_eq!(path.hears(), Some(Content::Hello));
    path
}

fn texts(messages: &[Value]) -> Vec<Value> {
    messages.iter().map(|message| message["text"].clone()).collect()
}
