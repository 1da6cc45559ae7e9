//! Archives: everything that was said, in one file that only its password opens.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use hither_tests::{
    lab::{Lab, Person, Server, password, until_true},
    search::holds,
};
use serde_json::{Value, json};

#[test]
fn an_archive_brings_everything_to_another_machine() {
    let lab = Lab::new("archive");
    let (server, alice, bob) = with_history(&lab);
    let before = alice.conversation("marchbanks");
    let file = archive(&lab);
    let exported = alice.exports(&file).done();
    assert_eq!(exported["file"], file);
    let there_still = before.iter().filter(|message| message["deleted"] == false).count();
    assert_eq!(exported["messages"], there_still, "what people said, and not what is about it");
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "for its owner only");
    let bytes = fs::read(&file).unwrap();
    for word in ["lighthouse", "sandbank", "marchbanks", "thistlewood", alice.password()] {
        assert!(!holds(&bytes, word), "{word}");
    }

    let there = alice.elsewhere();
    there.logs_in(&server);
    assert_eq!(there.conversation("marchbanks"), [0; 0]);
    let imported = there.imports(&file).done();
    assert_eq!(imported["messages"], exported["messages"]);
    assert_eq!(imported["new"], exported["messages"]);
    assert_eq!(without_cursors(there.conversation("marchbanks")), without_cursors(before.clone()));
    assert_eq!(there.finds(&["lighthouse"]).len(), 1);
    assert_eq!(there.receives_with(&[]).len(), 1, "what was unread is unread");

    let again = there.imports(&file).done();
    assert_eq!((&again["messages"], &again["new"]), (&exported["messages"], &json!(0)));
    there.kills_agent();
    assert_eq!(there.conversation("marchbanks").len(), before.len());
    bob.sees_online("thistlewood");
    let first = before[0]["id"].as_str().unwrap();
    there.changes(&["edit", first, "it can still be edited"]);
    assert_eq!(bob.message("thistlewood", first)["text"], "it can still be edited");
}

#[test]
fn what_waits_in_an_archive_goes_out_once_from_however_many_machines() {
    let lab = Lab::new("archived queue");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    bob.stops_agent();
    alice.sees_offline("bob");
    let ids = ["one", "two"].map(|text| alice.queues("bob", text));
    let file = archive(&lab);
    alice.exports(&file).done();
    let there = alice.elsewhere();
    there.logs_in(&server);
    there.imports(&file).done();
    assert_eq!(there.queue(), ids);
    bob.starts_agent();
    let heard: Vec<String> = bob.awaits(2).into_iter().map(|message| message.id).collect();
    assert_eq!(heard, ids);
    until_true("the queue is empty", || there.queue().is_empty());

    // The first machine does not know that they have arrived, and sends them again.
    assert_eq!(alice.queue(), ids);
    alice.logs_in(&server);
    until_true("this queue is empty, too", || alice.queue().is_empty());
    alice.says("bob", "three");
    assert_eq!(bob.hears(1), ["three"]);
    assert_eq!(bob.conversation("alice").len(), 3);
}

#[test]
fn an_archive_that_is_not_whole_or_not_ours_changes_nothing() {
    let lab = Lab::new("bad archives");
    let (server, alice, bob) = with_history(&lab);
    let file = archive(&lab);
    alice.exports(&file).done();
    let whole = fs::read(&file).unwrap();
    alice.exports(&file).fails(11, "refused");
    assert!(fs::read(&file).unwrap() == whole, "an archive is never overwritten");

    let there = alice.elsewhere();
    there.logs_in(&server);
    let empty = || assert_eq!(there.conversation("marchbanks"), [0; 0]);
    there.posing_as("thistlewood", &password()).imports(&file).fails(4, "auth_failed");
    empty();
    let spoilt = lab.path("spoilt").to_str().unwrap().to_owned();
    let mut flipped = whole.clone();
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    let cut = [0, 1, 20, whole.len() / 2, whole.len() - 1].map(|length| whole[..length].to_vec());
    let doubled = [&whole[..], &whole].concat();
    for bytes in cut.into_iter().chain([flipped, doubled, vec![0x5a; 5000]]) {
        fs::write(&spoilt, &bytes).unwrap();
        let error = there.imports(&spoilt).error();
        let code = error["code"].as_str().unwrap();
        assert!(["refused", "auth_failed"].contains(&code), "{error}");
        assert!(error["message"].as_str().unwrap().contains(&spoilt), "{error}");
        empty();
    }
    there.imports(lab.path("nowhere").to_str().unwrap()).fails(10, "not_found");
    let foreign = lab.person_at("marchbanks", bob.home()).posing_as("marchbanks", alice.password());
    let error = foreign.imports(&file).fails(11, "refused");
    assert!(error["message"].as_str().unwrap().contains("the archive of"), "{error}");
    assert_eq!(there.imports(&file).done()["messages"], there.imports(&file).done()["messages"]);
    assert!(!there.conversation("marchbanks").is_empty(), "the whole one is taken");
}

#[test]
fn an_archive_wants_a_strong_password_and_an_account() {
    let lab = Lab::new("archive password");
    let alice = lab.person("alice");
    let file = archive(&lab);
    alice.exports(&file).fails(4, "auth_required");
    let server = lab.server();
    alice.registers(&server);
    alice.posing_as("alice", "password1").exports(&file).fails(12, "weak_password");
    alice.runs(&["export", &file]).fails(2, "usage");
    assert!(!PathBuf::from(&file).exists());
    assert_eq!(alice.exports(&file).done()["messages"], 0);
    assert_eq!(alice.imports(&file).done()["new"], 0);
}

/// Two people who have said to each other whatever can be said.
#[track_caller]
fn with_history(lab: &Lab) -> (Server, Person, Person) {
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["thistlewood", "marchbanks"]);
    let question = alice.says("marchbanks", "where is the crooked lighthouse");
    let flags = ["--reply-to", &question, "--wait", "60s"];
    bob.sends_with("thistlewood", "behind the seventh sandbank", &flags).done();
    let regretted = alice.says("marchbanks", "a remark that was regretted");
    alice.changes(&["edit", &question, "where, please, is the crooked lighthouse"]);
    alice.changes(&["delete", &regretted]);
    bob.changes(&["react", &question, "🗼"]);
    assert_eq!(alice.hears(1).len(), 1);
    bob.runs(&["read", "thistlewood"]).done();
    alice.sees("marchbanks", &question, "state", "read");
    bob.says("thistlewood", "one that nobody has read yet");
    let conversation = alice.conversation("marchbanks");
    let texts: Vec<&Value> = conversation.iter().map(|message| &message["text"]).collect();
    assert_eq!(texts.len(), 4, "{texts:?}");
    (server, alice, bob)
}

/// Messages but for where they stand in the store, which is each machine's own affair.
fn without_cursors(mut messages: Vec<Value>) -> Vec<Value> {
    for message in &mut messages {
        assert!(message.as_object_mut().unwrap().remove("cursor").is_some());
    }
    messages
}

fn archive(lab: &Lab) -> String {
    lab.path("archive").to_str().expect("a path in UTF-8").to_owned()
}
