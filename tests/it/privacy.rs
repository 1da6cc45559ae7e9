//! What must not be found: in the server's files and log, in a home, on the wire.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use hither_proto::id::MessageId;
use hither_tests::{
    lab::{Lab, Server, password},
    search::{entries_below, files_containing, files_with, holds},
    wire::Forwarder,
};

const QUESTION: &str = "where is the crooked lighthouse";
const ANSWER: &str = "behind the seventh sandbank";

#[test]
fn the_server_keeps_no_password_and_no_text() {
    let lab = Lab::new("the server's memory");
    let mut server = Server::talkative(lab.transcript(), &lab.path("server"));
    let [alice, bob] = lab.friends(&server, ["thistlewood", "marchbanks"]);
    let typo = password();
    let mistaken = alice.elsewhere().posing_as(alice.name(), &typo);
    mistaken.tries_to_log_in(&server.address().to_string(), None).fails(4, "auth_failed");
    alice.delivers("marchbanks", QUESTION);
    bob.delivers("thistlewood", ANSWER);
    bob.stops_agent();
    alice.sees_offline("marchbanks");
    alice.queues("marchbanks", "one that has to wait for the tide");
    alice.logs_out();
    server.stops().shows();

    assert!(!server.log().is_empty(), "there is a log to search");
    assert!(!files_with(server.data(), "thistlewood").is_empty(), "there are files to search");
    let waiting = "one that has to wait for the tide";
    for secret in [alice.password(), bob.password(), &typo, QUESTION, ANSWER, waiting] {
        assert_eq!(files_with(server.data(), secret), NONE, "{secret}");
        assert!(!holds(server.log().as_bytes(), secret), "{secret} in the log");
    }
}

#[test]
fn a_home_keeps_passwords_not_at_all_and_texts_only_sealed() {
    let lab = Lab::new("a home's memory");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    alice.delivers("bob", QUESTION);
    bob.delivers("alice", ANSWER);
    assert_eq!(alice.history(), [QUESTION, ANSWER], "the texts are there to be found");
    for person in [&alice, &bob] {
        for secret in [person.password(), QUESTION, ANSWER] {
            assert_eq!(files_with(person.home(), secret), NONE, "{secret}");
        }
        person.stops_agent();
        for secret in [person.password(), QUESTION, ANSWER] {
            assert_eq!(files_with(person.home(), secret), NONE, "{secret}, afterwards");
        }
    }
}

#[test]
fn a_home_does_not_tell_who_talks_to_whom_about_what() {
    let lab = Lab::new("a home's discretion");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["thistlewood", "marchbanks"]);
    let question = alice.says("marchbanks", QUESTION);
    let answer = bob.says("thistlewood", ANSWER);
    alice.changes(&["edit", &question, "whereabouts of the other lighthouse"]);
    bob.changes(&["react", &question, "🗼🗼🗼"]);
    assert_eq!(bob.finds(&["whereabouts"]).len(), 1);
    bob.hears(1);
    bob.stops_agent();
    alice.sees_offline("marchbanks");
    let waiting = alice.queues("marchbanks", "one that has to wait for the tide");
    let words = [QUESTION, ANSWER, "whereabouts", "for the tide", "🗼🗼", &question, &answer];
    for (person, other) in [(&alice, "marchbanks"), (&bob, "thistlewood")] {
        for runs in [true, false] {
            assert_eq!(person.finds(&["lighthouse"]).len(), 1);
            if !runs {
                person.stops_agent();
            }
            for word in words.iter().chain([&other, &waiting.as_str()]) {
                assert_eq!(files_with(person.home(), word), NONE, "{word}, running: {runs}");
            }
            for id in [&question, &answer, &waiting] {
                let bytes = id.parse::<MessageId>().unwrap().0;
                assert_eq!(files_containing(person.home(), &bytes), NONE, "{id}, running: {runs}");
            }
        }
    }
}

#[test]
fn no_name_and_no_text_travels_in_clear() {
    let lab = Lab::new("the wire");
    let server = lab.server();
    let [bob] = lab.people(&server, ["marchbanks"]);
    let wire = Forwarder::to(server.address());
    let alice = lab.person("thistlewood");
    alice.tries_to_register(&server.link_at(wire.address())).done();
    alice.befriends(&bob);
    // Whether a path is found does not matter here, but the introduction passes by.
    let sent = alice.sends("marchbanks", QUESTION);
    assert!([0, 6, 7].contains(&sent.exit), "{sent}");
    alice.logs_out();
    let there = alice.elsewhere();
    there.tries_to_log_in(&wire.address().to_string(), None).done();
    there.logs_out();

    for (direction, datagrams) in [("forth", wire.forth()), ("back", wire.back())] {
        assert!(datagrams.len() > 10, "there is a conversation to search");
        for word in ["thistlewood", "marchbanks", QUESTION, alice.password()] {
            let found = datagrams.iter().any(|datagram| holds(datagram, word));
            assert!(!found, "{word} went {direction} in clear");
        }
    }
}

#[test]
fn files_are_for_their_owner_only() {
    let lab = Lab::new("file modes");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    alice.delivers("bob", QUESTION);
    for folder in [server.data(), alice.home(), bob.home()] {
        let entries = entries_below(folder);
        assert!(entries.len() > 2, "there are files to look at in {}", folder.display());
        for path in entries.iter().map(PathBuf::as_path).chain([folder]) {
            assert_eq!(mode(path) & 0o077, 0, "{:o} {}", mode(path), path.display());
        }
    }
}

const NONE: [PathBuf; 0] = [];

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode()
}
