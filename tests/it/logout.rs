//! The end of a session, wanted or not.

use hither_tests::{
    lab::{Lab, is_running, until_true},
    search::{entries_below, files_with},
};
use rustix::process::Signal;
use serde_json::json;

#[test]
fn a_logout_ends_everything_but_the_history() {
    let lab = Lab::new("logout");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    let text = "remember the crooked lighthouse";
    bob.delivers("alice", text);
    alice.hears(1);
    let agent = alice.agent();
    let session = || {
        let entries = entries_below(alice.home());
        entries.iter().any(|path| path.file_name().is_some_and(|name| name == "session"))
    };
    assert!(session(), "there is a session");

    alice.logs_out();
    bob.sees_offline("alice");
    until_true("the agent's end", || !is_running(agent));
    assert!(!session(), "the session's file is gone");
    alice.sends("bob", "hello").fails(4, "auth_required");
    alice.runs(&["list", "messages"]).fails(4, "auth_required");
    let found = files_with(alice.home(), text);
    assert!(found.is_empty(), "{found:?}");

    alice.logs_in(&server);
    assert_eq!(alice.history(), [text]);
    bob.sees_online("alice");
}

#[test]
fn what_was_changed_just_before_a_logout_is_known_on_another_machine() {
    let lab = Lab::new("logout and vault");
    let server = lab.server();
    let [alice, _bob] = lab.friends(&server, ["alice", "bob"]);
    let mut agent = alice.talks_to_agent();
    // The server answers to nothing until the logout has begun, so that one version of the vault is under way and
    // the next one is owed.
    server.signal(Signal::STOP);
    for policy in ["public", "never"] {
        agent.asks("contact.policy", &json!({ "name": "bob", "policy": policy }));
    }
    agent.begins("account.logout", &json!({}));
    agent.asks("status", &json!({}));
    server.signal(Signal::CONT);
    until_true("the logout's answer", || agent.hears()["result"]["account"].is_string());
    let there = alice.elsewhere();
    there.logs_in(&server);
    let shown = there.runs(&["contact", "show", "bob"]).done();
    assert_eq!(shown["policy"], "never");
}

#[test]
fn after_a_logout_a_message_to_that_person_is_queued() {
    let lab = Lab::new("logout and queue");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    alice.delivers("bob", "before");
    bob.hears(1);
    bob.logs_out();
    alice.sees_offline("bob");
    alice.sends("bob", "after").fails(7, "queued");
    let there = bob.elsewhere();
    there.logs_in(&server);
    assert_eq!(there.hears(1), ["after"]);
}

#[test]
fn a_killed_agent_ends_presence_too() {
    let lab = Lab::new("dropped connection");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    bob.kills_agent();
    alice.sees_offline("bob");
    bob.starts_agent();
    alice.sees_online("bob");
}

#[test]
fn who_is_not_logged_in_is_told_so() {
    let lab = Lab::new("not logged in");
    let alice = lab.person("alice");
    alice.sends("bob", "hello").fails(4, "auth_required");
    alice.runs(&["list"]).fails(4, "auth_required");
    alice.runs(&["contact", "add", "bob"]).fails(4, "auth_required");
    alice.runs(&["receive"]).fails(4, "auth_required");
    assert_eq!(alice.status()["online"], false);
}
