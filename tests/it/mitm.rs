//! A man in the middle with a certificate of his own, who relays every byte.

use hither_tests::{
    lab::{Lab, Person},
    wire::{Forgery, Forwarder, Impostor},
};

#[test]
fn without_a_pin_a_relayed_login_fails_on_both_sides() {
    let lab = Lab::new("relayed login without a pin");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    let impostor = Impostor::before(server.address(), Forgery::OwnChain);
    let there = alice.elsewhere();

    there.tries_to_log_in(&impostor.address().to_string(), None).fails(4, "auth_failed");
    let (to_server, to_client) = impostor.relayed();
    assert!(to_server > 0 && to_client > 0, "the login itself was relayed, in both directions");
    nobody_took_over(&alice, &bob);

    there.logs_in(&server);
    alice.is_offline();
}

#[test]
fn with_a_pin_a_man_in_the_middle_gets_nothing_to_relay() {
    let lab = Lab::new("man in the middle and a pin");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    for forgery in [Forgery::OwnChain, Forgery::TrueChainBehind] {
        let impostor = Impostor::before(server.address(), forgery);
        let link = server.link_at(impostor.address());
        let place = impostor.address().to_string();
        let there = alice.elsewhere();
        there.tries_to_log_in(&place, Some(&link)).fails(3, "server_identity_mismatch");
        gets_nothing(&impostor, forgery);
        let carol = lab.person("carol");
        carol.tries_to_register(&link).fails(3, "server_identity_mismatch");
        gets_nothing(&impostor, forgery);
    }
    nobody_took_over(&alice, &bob);
}

#[test]
fn a_forwarder_that_ends_no_tls_is_no_obstacle() {
    let lab = Lab::new("login through a forwarder");
    let server = lab.server();
    let [alice] = lab.people(&server, ["alice"]);
    let identity = alice.identity();
    for pinned in [false, true] {
        let forwarder = Forwarder::to(server.address());
        let link = pinned.then(|| server.link_at(forwarder.address()));
        let there = lab.person_at("alice", &lab.path(&format!("pinned-{pinned}")));
        let there = there.posing_as("alice", alice.password());
        there.tries_to_log_in(&forwarder.address().to_string(), link.as_deref()).done();
        assert_eq!(there.identity(), identity);
        assert!(!forwarder.back().is_empty(), "it went through the forwarder");
        there.logs_out();
    }
}

#[test]
fn the_server_is_shown_no_name_before_the_tls_handshake_is_over() {
    let lab = Lab::new("server name indication");
    let server = lab.server();
    let [alice] = lab.people(&server, ["thistlewood"]);
    let impostor = Impostor::before(server.address(), Forgery::OwnChain);
    let there = alice.elsewhere();
    there.tries_to_log_in(&impostor.address().to_string(), None).fails(4, "auth_failed");
    assert!(impostor.hellos() > 0, "somebody called");
    assert_eq!(impostor.names_asked_for(), [""; 0]);
}

fn gets_nothing(impostor: &Impostor, forgery: Forgery) {
    assert!(impostor.hellos() > 0, "somebody called: {forgery:?}");
    assert_eq!(impostor.relayed(), (0, 0), "{forgery:?}");
}

/// A login that the server had counted would have taken over from alice's first machine.
#[track_caller]
fn nobody_took_over(alice: &Person, bob: &Person) {
    bob.delivers("alice", "still there?");
    assert_eq!(alice.hears(1), ["still there?"]);
    assert_eq!(alice.status()["online"], true);
    bob.sees_online("alice");
}
