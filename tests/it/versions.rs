//! Programs of different ages: neighbours talk, and others are told which of them has to be updated.

use hither_proto::wire::version::Versions;
use hither_tests::{
    lab::{Lab, until_true},
    rogue::{Account, Link},
    wire::OtherVersion,
};

/// What the version after this one offers, whichever end it is.
const NEXT: [&[u8]; 3] = [b"hither/2", b"hither/1", b"hither"];

#[test]
fn a_client_of_the_next_version_talks_to_this_server() {
    let lab = Lab::new("newer client");
    let server = lab.server();
    let mut alice = Account::new("alice");
    let link = Link::offering(&server, &NEXT).expect("a version in common");
    assert_eq!(link.protocol(), b"hither/1");
    drop(alice.registers_on(link));
    drop(alice.logs_in_on(Link::offering(&server, &NEXT).unwrap()));
    drop(alice.logs_in(&server));
}

#[test]
fn a_server_of_the_next_version_is_asked_in_this_one() {
    let lab = Lab::new("newer server");
    let server = lab.server();
    let next = OtherVersion::at(([127, 0, 0, 1], 0).into(), server.data(), &NEXT, None);
    let link = server.link_at(next.address());
    lab.person("alice").tries_to_register(&link).fails(3, "server_unreachable");
    assert_eq!(next.agreed(), [b"hither/1"]);
}

#[test]
fn a_client_without_a_version_in_common_is_told_which_ones_the_server_speaks() {
    let lab = Lab::new("foreign clients");
    let server = lab.server();
    for offered in [[&b"hither/0"[..], b"hither"], [b"hither/3", b"hither"]] {
        assert_eq!(Link::hears_versions(&server, &offered), Versions::OURS);
    }
    // Whoever does not know even that gets no connection.
    assert!(Link::offering(&server, &[b"hither/0"]).is_err());
    lab.person("alice").registers(&server);
}

#[test]
fn whoever_has_to_be_updated_is_told_to_be() {
    let lab = Lab::new("outdated");
    let server = lab.server();
    let alice = lab.person("alice");
    let tries = |protocols: &[&[u8]], versions| {
        let other =
            OtherVersion::at(([127, 0, 0, 1], 0).into(), server.data(), protocols, versions);
        alice.tries_to_register(&server.link_at(other.address()))
    };
    let spoken = |oldest, newest| Some(Versions { oldest, newest });
    let error = tries(&[b"hither/8", b"hither/7", b"hither"], spoken(7, 8));
    let error = error.fails(13, "client_too_old");
    let (message, hint) = (error["message"].to_string(), error["hint"].to_string());
    assert!(message.contains("too old for the server") && hint.contains("version 7"), "{error}");
    let error = tries(&[b"hither/0", b"hither"], spoken(0, 0)).fails(13, "server_too_old");
    assert!(error["message"].to_string().contains("too old for this hither"), "{error}");
    // One that says nothing of use, or contradicts itself, or cannot even say that.
    for (protocols, versions) in [
        (&[&b"hither/9"[..], b"hither"][..], None),
        (&[b"hither/9", b"hither"], spoken(1, 9)),
        (&[b"hither/9"], None),
    ] {
        let error = tries(protocols, versions).fails(3, "server_unreachable");
        assert!(error["message"].to_string().contains("another version"), "{error}");
    }
    alice.registers(&server);
}

#[test]
fn who_is_logged_in_when_the_server_leaves_this_version_behind_is_told_so() {
    let lab = Lab::new("left behind");
    let mut server = lab.server();
    let [alice] = lab.people(&server, ["alice"]);
    assert_eq!(alice.status().get("offline_because"), None);
    let _ = server.stops();
    let versions = Some(Versions { oldest: 2, newest: 3 });
    let protocols: [&[u8]; 3] = [b"hither/3", b"hither/2", b"hither"];
    let newer = OtherVersion::at(server.address(), server.data(), &protocols, versions);
    until_true("the agent has found out", || {
        alice.status()["offline_because"]["data"]["code"] == "client_too_old"
    });
    alice.runs(&["contact", "add", "bob"]).fails(13, "client_too_old");
    assert!(alice.reads(&["status"]).shows().contains("too old for the server"));
    drop(newer);
    server.starts_again();
    alice.is_online();
    assert_eq!(alice.status().get("offline_because"), None);
}
