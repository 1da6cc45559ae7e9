//! A locked account: nothing of it can be used, read or found until its password comes.

use std::{fs, os::unix::fs::FileTypeExt as _, path::PathBuf};

use hither_proto::id::MessageId;
use hither_tests::{
    lab::{Lab, Person, Server, memory_of, password, until, until_true},
    search::{contains, entries_below, files_below, files_containing, files_with},
};
use serde_json::{Value, json};

#[test]
fn a_locked_account_does_nothing_until_its_password_comes() {
    let lab = Lab::new("lock and unlock");
    let (_server, [alice, bob]) = talkers(&lab);
    let before = (alice.identity(), alice.conversation("marchbanks"));
    alice.runs(&["lock"]).done();
    alice.runs(&["lock"]).done();
    let status = alice.status();
    assert_eq!((&status["locked"], &status["online"]), (&json!(true), &json!(false)));
    assert_eq!(status["identity"], Value::Null);
    assert!(status["account"].as_str().unwrap().starts_with("thistlewood@"), "{status}");
    let commands: [&[&str]; 9] = [
        &["list"],
        &["list", "queue"],
        &["history", "marchbanks"],
        &["search", "lighthouse"],
        &["send", "marchbanks", "hello"],
        &["receive"],
        &["contact", "add", "carol"],
        &["timer", "marchbanks"],
        &["verify", "marchbanks"],
    ];
    for command in commands {
        let error = alice.runs(command).fails(4, "auth_required");
        assert!(error["message"].as_str().unwrap().contains("locked"), "{error}");
        assert!(error["hint"].as_str().unwrap().contains("unlock"), "{error}");
    }
    let mistaken = alice.posing_as(alice.name(), &password());
    mistaken.tries_to_unlock().fails(4, "auth_failed");
    assert_eq!(alice.status()["locked"], true);

    alice.unlocks();
    assert_eq!((alice.identity(), alice.conversation("marchbanks")), before);
    bob.sees_online("thistlewood");
    bob.says("thistlewood", "welcome back");
    assert_eq!(alice.hears(1), ["welcome back"]);
    assert_eq!(alice.status()["locked"], false);
}

#[test]
fn who_is_locked_is_offline_and_gets_afterwards_what_others_wrote() {
    let lab = Lab::new("lock and presence");
    let (_server, [alice, bob]) = talkers(&lab);
    let agent = alice.agent();
    alice.runs(&["lock"]).done();
    bob.sees_offline("thistlewood");
    until_true("the path is gone", || bob.path_to("thistlewood").is_none());
    let ids = ["one", "two"].map(|text| bob.queues("thistlewood", text));
    alice.unlocks();
    let heard: Vec<String> = alice.awaits(2).into_iter().map(|message| message.id).collect();
    assert_eq!(heard, ids);
    assert_eq!(alice.agent(), agent, "the agent has run on");
}

#[test]
fn what_was_queued_before_the_lock_goes_out_after_it() {
    let lab = Lab::new("lock and queue");
    let (_server, [alice, bob]) = talkers(&lab);
    bob.stops_agent();
    alice.sees_offline("marchbanks");
    let waiting = alice.queues("marchbanks", "before the lock");
    alice.runs(&["lock"]).done();
    bob.starts_agent();
    bob.is_online();
    alice.unlocks();
    let [heard] = bob.awaits(1).try_into().unwrap();
    assert_eq!((heard.id, heard.text), (waiting, "before the lock".to_owned()));
}

#[test]
fn no_key_is_left_in_the_memory_or_the_files_of_a_locked_agent() {
    let lab = Lab::new("lock and memory");
    let (_server, [alice, _bob]) = talkers(&lab);
    let (agent, keys) = (alice.agent(), saved_keys(&alice));
    let Some(memory) = memory_of(agent) else { return };
    assert!(keys.iter().any(|key| contains(&memory, key)), "they are there to be found");
    drop(memory);
    alice.runs(&["lock"]).done();
    let left = || {
        let memory = memory_of(agent).unwrap();
        let found = |secret: &[u8]| contains(&memory, secret);
        let mut left: Vec<&str> = Vec::new();
        left.extend(keys.iter().zip(KEYS).filter(|(key, _)| found(key)).map(|(_, name)| name));
        left.extend(found(alice.password().as_bytes()).then_some("password"));
        left
    };
    // A connection that is just closing may hold its own for a moment.
    until_true("every key is wiped", || left().is_empty());
    for key in &keys {
        assert_eq!(files_containing(alice.home(), key), NONE);
    }
    assert_eq!(session_file(&alice), None);
    alice.unlocks();
    alice.runs(&["lock"]).done();
    until_true("every key is wiped again", || left().is_empty());
}

#[test]
fn nothing_readable_is_left_in_the_files_of_a_locked_home() {
    let lab = Lab::new("lock and files");
    let (_server, [alice, bob]) = talkers(&lab);
    let waiting = {
        bob.stops_agent();
        alice.sees_offline("marchbanks");
        alice.queues("marchbanks", "one that has to wait for the tide")
    };
    assert_eq!(alice.finds(&["lighthouse"]).len(), 1);
    let mut ids: Vec<String> = alice.conversation("marchbanks").iter().map(id_of).collect();
    ids.push(waiting);
    alice.runs(&["lock"]).done();
    for word in ["lighthouse", "sandbank", "for the tide", "marchbanks", alice.password()] {
        assert_eq!(files_with(alice.home(), word), NONE, "{word}");
    }
    for id in &ids {
        assert_eq!(files_with(alice.home(), id), NONE, "{id}");
        let bytes = id.parse::<MessageId>().unwrap().0;
        assert_eq!(files_containing(alice.home(), &bytes), NONE, "{id}, as bytes");
    }
    assert!(!files_below(alice.home()).is_empty(), "there are files to look at");
}

#[test]
fn an_account_that_is_left_alone_locks_itself() {
    let lab = Lab::new("lock_after");
    let (_server, [alice, bob]) = talkers(&lab);
    bob.sees_online("thistlewood");
    alice.runs(&["config", "set", "agent.lock_after", "1s"]).done();
    assert_eq!(alice.runs(&["config", "get", "agent.lock_after"]).done()["value"], "1s");
    // Nobody may ask alice's agent anything now: that would count as using it.
    bob.sees_offline("thistlewood");
    until("no session", || session_file(&alice).is_none().then_some(()));
    alice.runs(&["list"]).fails(4, "auth_required");
    alice.runs(&["config", "set", "agent.lock_after", "never"]).done();
    alice.unlocks();
    bob.sees_online("thistlewood");
    alice.runs(&["config", "set", "agent.lock_after", "soon"]).fails(2, "usage");
    alice.runs(&["config", "set", "agent.lock_before", "1s"]).fails(2, "usage");
}

#[test]
fn a_locked_account_stays_locked_when_its_agent_is_killed() {
    let lab = Lab::new("lock and kill");
    let (server, [alice, bob]) = talkers(&lab);
    let identity = alice.identity();
    alice.runs(&["lock"]).done();
    alice.kills_agent();
    assert_eq!(alice.status()["locked"], true);
    alice.runs(&["list"]).fails(4, "auth_required");
    alice.unlocks();
    assert_eq!(alice.identity(), identity);
    bob.sees_online("thistlewood");

    alice.runs(&["lock"]).done();
    alice.logs_in(&server);
    assert_eq!(alice.status()["locked"], false, "a login of the same account unlocks, too");
    alice.runs(&["lock"]).done();
    alice.logs_out();
    let error = alice.runs(&["list"]).fails(4, "auth_required");
    assert!(!error["message"].as_str().unwrap().contains("locked"), "{error}");
    alice.tries_to_unlock().fails(4, "auth_required");
    alice.logs_in(&server);
    assert_eq!(alice.conversation("marchbanks").len(), 2);
}

#[test]
fn a_locked_account_cannot_be_opened_without_its_server() {
    let lab = Lab::new("unlock offline");
    let (mut server, [alice, bob]) = talkers(&lab);
    drop(bob);
    alice.runs(&["lock"]).done();
    server.dies();
    alice.tries_to_unlock().fails(3, "server_unreachable");
    assert_eq!(alice.status()["locked"], true);
    server.starts_again();
    alice.unlocks();
    assert_eq!(alice.conversation("marchbanks").len(), 2);
}

#[test]
fn who_waits_for_something_is_told_that_the_account_was_locked() {
    let lab = Lab::new("lock under commands");
    let (_server, [alice, bob]) = talkers(&lab);
    bob.stops_agent();
    alice.sees_offline("marchbanks");
    let following = alice.starts(&["receive", "-F"], None);
    let sending = alice.starts(&["send", "marchbanks", "--wait", "60s", "late"], None);
    until_true("it waits", || alice.queue().len() == 1);
    alice.runs(&["lock"]).done();
    following.wait().fails(4, "auth_required");
    let error = sending.wait().fails(4, "auth_required");
    bob.starts_agent();
    alice.unlocks();
    let [heard] = bob.awaits(1).try_into().unwrap();
    assert_eq!(json!(heard.id), error["id"], "the message is kept, and it is said which");
}

const NONE: [PathBuf; 0] = [];

/// Two people who have said something to each other that can be looked for.
#[track_caller]
fn talkers(lab: &Lab) -> (Server, [Person; 2]) {
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["thistlewood", "marchbanks"]);
    alice.says("marchbanks", "where is the crooked lighthouse");
    bob.says("thistlewood", "behind the seventh sandbank");
    assert_eq!(alice.hears(1), ["behind the seventh sandbank"]);
    bob.hears(1);
    (server, [alice, bob])
}

/// The keys that a session file holds.
pub(crate) const KEYS: [&str; 3] = ["seed", "key of the vault", "key of the machine"];

pub(crate) fn session_file(person: &Person) -> Option<PathBuf> {
    let entries = entries_below(person.home()).into_iter();
    let mut entries =
        entries.filter(|path| !path.metadata().is_ok_and(|m| m.file_type().is_socket()));
    entries.find(|path| path.file_name().is_some_and(|name| name == "session"))
}

/// The keys of 32 bytes that the session file holds, as CBOR has them.
#[track_caller]
pub(crate) fn saved_keys(person: &Person) -> Vec<Vec<u8>> {
    let session = fs::read(session_file(person).expect("a session")).unwrap();
    let (mut keys, mut at) = (Vec::new(), 0);
    while at + 34 <= session.len() {
        if session[at..].starts_with(&[0x58, 32]) {
            keys.push(session[at + 2..at + 34].to_vec());
            at += 34;
        } else {
            at += 1;
        }
    }
    assert_eq!(keys.len(), KEYS.len());
    keys
}

fn id_of(message: &Value) -> String {
    message["id"].as_str().expect("an id").to_owned()
}
