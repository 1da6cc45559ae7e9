//! What happens to an account after it was made: other passwords, other machines, the end.

use std::{fs, path::Path};

use hither_tests::{
    lab::{Lab, Server, is_running, kill, password, until_true},
    rogue::{Account, Link},
    search::files_below,
};
use rusqlite::{Connection, OpenFlags};

#[test]
fn another_password_keeps_identity_history_and_this_machine() {
    let lab = Lab::new("another password");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    bob.delivers("alice", "before");
    assert_eq!(alice.hears(1), ["before"]);
    let identity = alice.identity();
    let (old, new) = (alice.password().to_owned(), password());
    let place = server.address().to_string();

    let wrong = alice.posing_as("alice", &password());
    wrong.tries_to_change_password(&new).fails(4, "auth_failed");
    alice.tries_to_change_password("password1").fails(12, "weak_password");
    let alice = alice.changes_password(&new);
    alice.is_online();
    assert_eq!((alice.identity(), alice.history()), (identity.clone(), vec!["before".to_owned()]));
    bob.sees_online("alice");
    bob.delivers("alice", "after");
    assert_eq!(alice.hears(1), ["after"]);

    alice.runs(&["lock"]).done();
    alice.posing_as("alice", &old).tries_to_unlock().fails(4, "auth_failed");
    alice.unlocks();
    assert_eq!(alice.history(), ["before", "after"]);
    let there = alice.elsewhere();
    there.posing_as("alice", &old).tries_to_log_in(&place, None).fails(4, "auth_failed");
    there.logs_in(&server);
    assert_eq!(there.identity(), identity);
    assert!(there.contact("bob").is_some());
}

#[test]
fn every_other_machine_has_to_log_in_again() {
    let lab = Lab::new("other machines");
    let server = lab.server();
    let [alice] = lab.people(&server, ["alice"]);
    let there = alice.elsewhere();
    there.logs_in(&server);
    let there = there.changes_password(&password());
    alice.runs(&["contact", "add", "bob"]).fails(4, "auth_required");
    alice.stops_agent();
    until_true("the old session is of no use", || {
        let error = alice.runs(&["contact", "add", "bob"]).error();
        error["code"] == "auth_required"
    });
    there.is_online();
    alice.posing_as("alice", there.password()).logs_in(&server);
}

#[test]
fn nobody_changes_a_password_without_being_logged_in() {
    let lab = Lab::new("no password to change");
    let server = lab.server();
    let stranger = lab.person("alice");
    stranger.tries_to_change_password(&password()).fails(4, "auth_required");
    stranger.registers(&server);
    let error = stranger.runs(&stranger.with_password(&["passwd"])).fails(2, "usage");
    assert!(error["hint"].as_str().unwrap().contains("--new-password-file"), "{error}");
}

/// The agent is killed once the server has the new password, and may not have heard of it.
#[test]
fn a_change_whose_answer_is_lost_is_whole() {
    let lab = Lab::new("lost answer");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    bob.delivers("alice", "hello");
    let new = password();
    let (before, agent) = (record(&server), alice.agent());
    let changing = alice.starts_to_change_password(&new);
    until_true("the password is changed", || record(&server) != before);
    kill(agent);
    let _ = changing.wait();
    let place = server.address().to_string();
    alice.elsewhere().tries_to_log_in(&place, None).fails(4, "auth_failed");
    let alice = alice.posing_as("alice", &new);
    alice.logs_in(&server);
    assert_eq!(alice.history(), ["hello"]);
    assert!(alice.contact("bob").is_some());
}

/// The server is killed when the change is on its way to it, or on its disk.
#[test]
fn a_change_that_the_server_did_not_survive_happened_or_did_not() {
    let lab = Lab::new("killed in a change");
    let mut server = lab.server();
    let mut alice = Account::new("alice");
    alice.registers(&server);
    for _ in 0..10 {
        let new = password().into_bytes();
        let mut link = alice.begins_to_change(&server, &new);
        server.dies();
        link.falls_silent();
        server.starts_again();
        let old = std::mem::replace(&mut alice.password, new);
        if !logs_in(&mut alice, &server) {
            alice.password = old;
            assert!(logs_in(&mut alice, &server), "neither of the two passwords is right");
        }
    }
}

fn logs_in(account: &mut Account, server: &Server) -> bool {
    account.proves(&mut Link::to(server)).is_some()
}

/// What the server keeps of alice's password, while it runs.
pub(crate) fn record(server: &Server) -> Vec<u8> {
    let file = server.data().join("hitherd.db");
    let database = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let record = "SELECT record FROM account WHERE name = 'alice'";
    database.query_row(record, [], |row| row.get(0)).unwrap()
}

#[test]
fn a_machine_takes_the_account_back_without_a_password_until_it_is_revoked() {
    let lab = Lab::new("devices");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    let [here] = alice.devices().try_into().expect("one machine");
    assert_eq!(here["this"], true);
    let there = alice.elsewhere();
    there.logs_in(&server);
    let devices = there.devices();
    let own: Vec<bool> = devices.iter().map(|device| device["this"] == true).collect();
    assert_eq!(own.iter().filter(|own| **own).count(), 1, "{devices:?}");
    assert_eq!(devices.len(), 2);
    assert!(devices.iter().any(|device| device["id"] == here["id"]), "{devices:?}");
    let day = devices[0]["last_seen"].as_str().unwrap();
    assert_eq!(day.len(), "2026-11-23".len(), "{day}");

    alice.sends("bob", "hello").fails(4, "auth_required");
    alice.runs(&["resume"]).done();
    alice.is_online();
    alice.delivers("bob", "back");
    assert_eq!(bob.hears(1), ["back"]);
    there.sends("bob", "hello").fails(4, "auth_required");
    there.kills_agent();
    until_true("it is not taken back by itself", || there.status()["ended"] == "taken_over");

    let away = devices.iter().find(|device| device["id"] != here["id"]).unwrap();
    let away = away["id"].as_str().unwrap();
    alice.runs(&["devices", "revoke", away]).done();
    assert_eq!(alice.devices().len(), 1);
    there.runs(&["resume"]).fails(4, "auth_required");
    alice.runs(&["devices", "revoke", away]).fails(10, "not_found");
    alice.runs(&["devices", "revoke", here["id"].as_str().unwrap()]).fails(11, "refused");
    alice.is_online();
    there.logs_in(&server);
}

#[test]
fn a_machine_that_logs_in_again_is_listed_once() {
    let lab = Lab::new("one device");
    let server = lab.server();
    let [alice] = lab.people(&server, ["alice"]);
    alice.logs_in(&server);
    until_true("one machine", || alice.devices().len() == 1);
    alice.runs(&["lock"]).done();
    alice.unlocks();
    until_true("one machine", || alice.devices().len() == 1);
    alice.logs_out();
    alice.logs_in(&server);
    assert_eq!(alice.devices().len(), 1);
}

#[test]
fn a_deleted_account_is_gone_and_its_name_is_nobodys() {
    let lab = Lab::new("account deletion");
    let mut server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    alice.delivers("bob", "the last words");
    let wrong = alice.posing_as("alice", &password());
    let delete = ["account", "delete", "--yes"];
    wrong.runs(&wrong.with_password(&delete)).fails(4, "auth_failed");
    let unconfirmed = alice.runs(&alice.with_password(&delete[..2])).fails(2, "usage");
    assert!(unconfirmed["hint"].as_str().unwrap().contains("--yes"), "{unconfirmed}");
    alice.is_online();

    let there = alice.elsewhere();
    there.logs_in(&server);
    alice.runs(&["resume"]).done();
    let agent = alice.agent();
    let stores = || files_below(alice.home()).into_iter().filter(|file| is_store(file)).count();
    assert_eq!(stores(), 1);
    alice.runs(&alice.with_password(&delete)).done();
    until_true("the agent's end", || !is_running(agent));
    assert_eq!(stores(), 1, "the history stays");
    bob.sees_offline("alice");
    let place = server.address().to_string();
    alice.tries_to_log_in(&place, None).fails(4, "auth_failed");
    there.runs(&["resume"]).fails(4, "auth_required");
    lab.person("another")
        .posing_as("alice", &password())
        .tries_to_register(server.link())
        .fails(11, "refused");
    bob.sends("alice", "hello").fails(7, "queued");
    assert_eq!(bob.hears(1), ["the last words"]);

    let erase = ["account", "delete", "--yes", "--erase"];
    bob.runs(&bob.with_password(&erase)).done();
    assert!(!files_below(bob.home()).iter().any(|file| is_store(file)));
    let _ = server.stops();
    let rows = |table: &str| -> u64 {
        let rows = format!("SELECT count(*) FROM {table}");
        server.database().query_row(&rows, [], |row| row.get(0)).unwrap()
    };
    assert_eq!(["account", "session", "note", "tombstone"].map(rows), [0, 0, 0, 2]);
}

#[test]
fn an_account_is_deleted_by_whoever_types_its_name_and_no_other() {
    let lab = Lab::new("deletion at a terminal");
    let server = lab.server();
    let [alice] = lab.people(&server, ["alice"]);
    let delete = ["account", "delete"];
    let prompt = "Type alice to go on: ";
    for typed in ["", "yes", "Alice", "alice@127.0.0.1"] {
        let Some(mut terminal) = alice.types(&delete) else { return };
        terminal.answers(prompt, typed);
        let (exit, shown) = terminal.ends();
        assert_eq!(exit, 2, "{shown}");
        assert!(!shown.contains("Password"), "nobody is asked for more: {shown}");
    }
    let mut terminal = alice.types(&delete).unwrap();
    terminal.answers(prompt, "alice");
    terminal.answers_unseen("Password: ", &password());
    let (exit, shown) = terminal.ends();
    assert_eq!(exit, 4, "{shown}");
    alice.is_online();
    let mut terminal = alice.types(&delete).unwrap();
    terminal.answers(prompt, "alice");
    terminal.answers_unseen("Password: ", alice.password());
    let (exit, shown) = terminal.ends();
    assert!(exit == 0 && shown.contains("is deleted"), "{shown}");
    assert!(!shown.contains(alice.password()), "what is typed is not shown");
    let place = server.address().to_string();
    alice.elsewhere().tries_to_log_in(&place, None).fails(4, "auth_failed");
}

fn is_store(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "db")
}

#[test]
fn the_end_of_a_version_is_announced() {
    let lab = Lab::new("sunset");
    let mut server = lab.server();
    let [alice] = lab.people(&server, ["alice"]);
    assert_eq!(alice.status().get("sunset"), None);
    for (version, announced) in [(1, false), (2, true)] {
        let _ = server.stops();
        let sunset = format!("[sunset]\nmin_version = {version}\nfrom = \"2027-03-01\"\n");
        fs::write(server.data().join("hitherd.toml"), sunset).unwrap();
        server.starts_again();
        alice.kills_agent();
        alice.is_online();
        let said = alice.status().get("sunset").map(|sunset| sunset["from"].clone());
        assert_eq!(said, announced.then(|| "2027-03-01".into()));
        let shown = alice.reads(&["status"]);
        assert_eq!(shown.shows().contains("will stop working"), announced);
    }
}
