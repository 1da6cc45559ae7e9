//! Who may know where somebody is.

use hither_tests::lab::Lab;

#[test]
fn whoever_is_never_to_be_met_is_not_reached_and_loses_nothing() {
    let lab = Lab::new("a policy of never");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    let policy = |word: &str| {
        let set = alice.runs(&["contact", "policy", "bob", word]).done();
        assert_eq!(set["policy"], word);
    };
    assert_eq!(alice.runs(&["contact", "policy", "bob"]).done()["policy"], "all");
    alice.runs(&["contact", "policy", "bob", "friends"]).fails(2, "usage");
    policy("never");
    let refused = alice.sends("bob", "kept").fails(6, "peer_unreachable");
    assert_eq!(refused["reason"], "policy");
    assert_eq!(alice.queue(), [refused["id"].as_str().unwrap()]);
    alice.stops_agent();
    alice.starts_agent();
    alice.is_online();
    assert_eq!(alice.runs(&["contact", "show", "bob"]).done()["policy"], "never");
    assert!(bob.receives().is_empty());
    policy("lan");
    assert_eq!(bob.hears(1), ["kept"]);
}
