//! Whose key it is: the safety number, and a server that lies.

use hither_tests::lab::{Lab, Lie, Person, Server, until};

#[test]
fn a_server_that_swaps_keys_gets_nothing_sent() {
    let lab = Lab::new("swapped keys");
    let (_server, [alice, bob, _]) = deceived(&lab, Lie::Keys);
    bob.starts_agent();
    notices(&alice);
    assert_eq!(bob.history(), ["before"]);
}

#[test]
fn an_impostor_whom_the_server_helps_gets_nothing_sent() {
    let lab = Lab::new("helped impostor");
    let (_server, [alice, _, impostor]) = deceived(&lab, Lie::Account);
    impostor.is_online();
    // The server may pretend whatever it likes about who has accepted whom; he may try as well.
    drop(impostor.runs(&["contact", "add", "alice"]));
    notices(&alice);
    assert!(impostor.history().is_empty());
}

#[test]
fn both_see_the_same_safety_number_and_others_another() {
    let lab = Lab::new("safety numbers");
    let server = lab.server();
    let [alice, bob, carol] = lab.people(&server, ["alice", "bob", "carol"]);
    alice.befriends(&bob);
    alice.befriends(&carol);
    let digits = |person: &Person, name: &str| {
        let shown = person.runs(&["verify", name]).done();
        let digits = shown["digits"].as_str().unwrap().to_owned();
        assert_eq!(digits.chars().filter(char::is_ascii_digit).count(), 60, "{digits}");
        digits
    };
    assert_eq!(digits(&alice, "bob"), digits(&bob, "alice"));
    assert_eq!(digits(&alice, "carol"), digits(&carol, "alice"));
    assert_ne!(digits(&alice, "bob"), digits(&alice, "carol"));
}

#[test]
fn a_compared_number_verifies_and_stays() {
    let lab = Lab::new("verification");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    let shown = bob.runs(&["verify", "alice"]).done();
    let digits = shown["digits"].as_str().unwrap();
    let verified = || alice.contact("bob").unwrap()["verified"].clone();

    // Any digit may be the one that differs.
    for place in [0, digits.len() / 2, digits.len() - 1] {
        let wrong = other_digit_at(digits, place);
        alice.runs(&["verify", "bob", "--match", &wrong]).fails(8, "unverified");
    }
    alice.runs(&["verify", "bob", "--match", &digits[..digits.len() - 5]]).error();
    assert_eq!(verified(), false);

    let matched = alice.runs(&["verify", "bob", "--match", digits]).done();
    assert_eq!(matched["verified"], true);
    assert_eq!(verified(), true);
    alice.kills_agent();
    assert_eq!(verified(), true, "after a crash");
    assert_eq!(bob.contact("alice").unwrap()["verified"], false, "each verifies for themselves");
}

/// The same number with one digit changed; a gap between groups is passed over.
fn other_digit_at(digits: &str, place: usize) -> String {
    let at = digits[place..].find(|c: char| c.is_ascii_digit()).unwrap_or_default() + place;
    let other = if digits.as_bytes()[at] == b'7' { "8" } else { "7" };
    format!("{}{other}{}", &digits[..at], &digits[at + 1..])
}

/// Alice, who has talked to bob; bob; and somebody with other keys whom the server takes for bob
/// from now on. Nobody's agent runs but the impostor's, so that alice has to ask the server.
#[track_caller]
fn deceived(lab: &Lab, lie: Lie) -> (Server, [Person; 3]) {
    let mut server = lab.server();
    server.stops().shows();
    server.copy_data(&lab.path("twin"));
    let mut twin = lab.server_in(&lab.path("twin"));
    let impostor = lab.person_at("bob", &lab.path("impostor"));
    impostor.registers(&twin);
    impostor.stops_agent();
    twin.stops().shows();

    server.starts_again();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    alice.delivers("bob", "before");
    assert_eq!(bob.hears(1), ["before"]);
    alice.stops_agent();
    bob.stops_agent();
    server.stops().shows();
    server.swaps_account("bob", &twin, lie);
    server.starts_again();
    let there = impostor.elsewhere();
    if lie == Lie::Account {
        there.logs_in(&server);
    }
    (server, [alice, bob, there])
}

/// Alice tries until she is told that bob's key is another. Before that she may be told to wait.
#[track_caller]
fn notices(alice: &Person) {
    let error = until("she notices the other key", || {
        let sent = alice.sends("bob", "for bob's eyes only");
        if sent.exit == 7 {
            sent.fails(7, "queued");
            return None;
        }
        Some(sent.fails(8, "identity_changed"))
    });
    assert!(error["message"].as_str().unwrap().contains("bob"), "{error}");
    assert_eq!(alice.contact("bob").unwrap()["state"], "changed");
}
