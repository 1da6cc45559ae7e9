//! What releases have left on disk, kept in `tests/fixtures`: every later build goes on from it, and misses
//! nothing.

use hither_tests::lab::{Lab, Person, Release, password, until, until_true};
use serde_json::{Value, json};

#[test]
fn what_every_release_has_left_is_gone_on_from() {
    let kept = Release::kept();
    assert!(!kept.is_empty());
    for folder in kept {
        let lab = Lab::new(&format!("left by {}", folder.display()));
        let release = Release::copied(&lab, &folder);
        goes_on(&release);
    }
}

/// Run by hand before a release, as `tests/fixtures/README.md` says; never for one that is out.
#[test]
#[ignore = "writes the fixtures of a new release into the working tree"]
fn the_fixtures_of_a_new_release_are_made() {
    let lab = Lab::new("a new release");
    let release = Release::begun(&lab);
    let said = begins(&release);
    release.is_kept(&["alice", "bob"], &said);
}

fn begins(release: &Release<'_>) -> Value {
    let mut server = release.server();
    let [alice, bob, carol, dave, erin] =
        ["alice", "bob", "carol", "dave", "erin"].map(|name| release.person(name));
    for person in [&alice, &bob, &carol, &dave, &erin] {
        person.registers(&server);
    }
    alice.befriends(&bob);
    converse(&alice, &bob);
    let digits = alice.runs(&["verify", "bob"]).done()["digits"].as_str().unwrap().to_owned();
    alice.runs(&["verify", "bob", "--match", &digits]).done();
    // No password is the first one any more, though it is the same: the vault has an envelope from here on.
    let first = bob.password().to_owned();
    let bob = bob.changes_password(&password()).changes_password(&first);
    bob.is_online();
    // Another machine of alice's, whose session is parked.
    let there = alice.elsewhere();
    there.logs_in(&server);
    alice.runs(&["resume"]).done();
    alice.is_online();
    there.stops_agent();
    server.administers(&["user", "disable", "dave"]).done();
    server.administers(&["user", "delete", "erin"]).done();
    server.administers(&["invite", "new", "--expires", "never"]).done();
    let bobs = said_by(&bob, "alice");
    bob.stops_agent();
    alice.sees_offline("bob");
    alice.queues("bob", "for whenever you are back");
    alice.runs(&["config", "set", "agent.lock_after", "12h"]).done();
    let alices = said_by(&alice, "bob");
    alice.stops_agent();
    carol.adds("alice");
    for person in [carol, dave, erin] {
        person.stops_agent();
    }
    server.stops().shows();
    json!({ "alice": alices, "bob": bobs })
}

/// Something of every kind that a conversation can hold.
fn converse(alice: &Person, bob: &Person) {
    let first = alice.says("bob", "the first words, häll\u{f6} 👋");
    let answer = bob.sends_with("alice", "an answer", &["--reply-to", &first, "--wait", "60s"]);
    let answer = answer.done()["id"].as_str().unwrap().to_owned();
    let misspelt = alice.says("bob", "a mispelt word");
    alice.changes(&["edit", &misspelt, "a misspelt word"]);
    let regretted = bob.says("alice", "not meant for you");
    bob.changes(&["delete", &regretted]);
    alice.changes(&["react", &answer, "👍"]);
    for seconds in ["1h", "off"] {
        alice.runs(&["timer", "bob", seconds]).done();
    }
    assert_eq!(bob.hears(2), ["the first words, häll\u{f6} 👋", "a misspelt word"]);
    alice.sees("bob", &misspelt, "state", "read");
    bob.says("alice", "still unread");
}

/// What somebody has, as it must be found again.
fn said_by(person: &Person, with: &str) -> Value {
    let contact = person.contact(with).unwrap();
    json!({
        "identity": person.identity(),
        "account": person.status()["account"],
        "contact": {
            "name": contact["name"],
            "address": contact["address"],
            "state": contact["state"],
            "accepted": contact["accepted"],
            "verified": contact["verified"],
            "unread": contact["unread"],
        },
        "conversation": person.conversation(with),
        "queue": person.runs(&["list", "queue"]).done()["queue"],
    })
}

fn goes_on(release: &Release<'_>) {
    let server = release.server();
    server.administers(&["check"]).done();
    let [alice, bob] = ["alice", "bob"].map(|name| release.person(name));
    let said = release.said();

    // Without a password, from what the homes and the server remember of their sessions.
    alice.is_online();
    let found = said_by(&alice, "bob");
    assert!(has(&found, &said["alice"]), "{found:#}\nis not\n{:#}", said["alice"]);
    let config = alice.runs(&["config", "get", "agent.lock_after"]).done();
    assert!(config.to_string().contains("12h"), "{config}");
    alice.awaits_request("carol");
    assert_eq!(alice.devices().len(), 2);
    bob.starts_agent();
    bob.is_online();
    until_true("what was queued has arrived", || alice.queue().is_empty());
    assert_eq!(bob.hears(1), ["for whenever you are back"]);
    let found = said_by(&bob, "alice");
    assert!(has(&found["contact"], &without(&said["bob"]["contact"], "unread")), "{found:#}");
    assert_eq!(found["identity"], said["bob"]["identity"]);
    let (then, now) = (&said["bob"]["conversation"], &found["conversation"]);
    let now = Value::Array(now.as_array().unwrap()[..then.as_array().unwrap().len()].to_vec());
    assert!(has(&now, then), "{now:#}\nis not\n{then:#}");

    // With a password, on a machine that has nothing.
    for (person, said) in [(&alice, &said["alice"]), (&bob, &said["bob"])] {
        let there = person.elsewhere();
        there.logs_in(&server);
        assert_eq!(there.identity(), said["identity"].as_str().unwrap());
        let with = said["contact"]["name"].as_str().unwrap();
        let contact = until("a contact", || there.contact(with));
        assert_eq!(contact["verified"], said["contact"]["verified"]);
        person.runs(&["resume"]).done();
    }
    alice.accepts("carol");
    alice.delivers("bob", "and so on");

    // What the administrator did.
    let place = server.address().to_string();
    let dave = release.person("dave").elsewhere();
    dave.tries_to_log_in(&place, None).fails(4, "auth_failed");
    server.administers(&["user", "enable", "dave"]).done();
    dave.logs_in(&server);
    let erin = release.person("erin").elsewhere();
    erin.tries_to_log_in(&place, None).fails(4, "auth_failed");
    erin.tries_to_register(server.link()).fails(11, "refused");
    let invites = server.administers(&["invite", "list"]).done();
    assert_eq!(invites["invites"].as_array().unwrap().len(), 1, "{invites}");
}

/// Whether everything that was recorded is there. Later builds may say more.
fn has(found: &Value, recorded: &Value) -> bool {
    match (found, recorded) {
        (Value::Object(found), Value::Object(recorded)) => recorded
            .iter()
            .all(|(key, recorded)| found.get(key).is_some_and(|found| has(found, recorded))),
        (Value::Array(found), Value::Array(recorded)) => {
            found.len() == recorded.len()
                && found.iter().zip(recorded).all(|(found, recorded)| has(found, recorded))
        }
        (found, recorded) => found == recorded,
    }
}

fn without(object: &Value, member: &str) -> Value {
    let mut object = object.clone();
    object.as_object_mut().unwrap().remove(member);
    object
}
