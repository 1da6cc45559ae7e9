//! Nobody learns from outside that a messenger runs here.

use hither_tests::{
    lab::{Lab, udp_sockets},
    wire::{Forwarder, Stranger, quic_client_gets_through},
};

#[test]
fn an_agent_answers_no_stranger() {
    if !finds_sockets() {
        return;
    }
    let lab = Lab::new("probes");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    alice.delivers("bob", "the path is open");
    let sockets = udp_sockets(alice.agent());
    assert!(!sockets.is_empty(), "an agent has a UDP socket");
    let strangers: Vec<_> = sockets.iter().map(|at| Stranger::probes(*at)).collect();

    // What comes into a socket is read in order: when a later message of bob's and a later answer
    // of the server are through, the probes have been seen, and answered if they ever are.
    for _ in 0..2 {
        bob.delivers("alice", "behind the probes");
        alice.delivers("bob", "likewise");
        alice.adds("somebody");
        alice.runs(&["contact", "remove", "somebody"]).done();
    }
    for (at, stranger) in sockets.iter().zip(&strangers) {
        let answers = stranger.answers();
        assert!(answers.is_empty(), "{at} answers: {answers:02x?}");
    }
    // The same probes do make somebody talk who talks to strangers.
    let control = Stranger::probes(server.address());
    assert!(!control.awaits_answer().is_empty());
    let control = Stranger::asks_for_versions(server.address());
    let answer = control.awaits_answer();
    assert_eq!(answer.get(1..5), Some(&[0; 4][..]), "version negotiation");
}

#[test]
fn an_uninvited_quic_client_gets_no_packet_back() {
    if !finds_sockets() {
        return;
    }
    let lab = Lab::new("uninvited client");
    let server = lab.server();
    let [alice] = lab.people(&server, ["alice"]);
    let sockets = udp_sockets(alice.agent());
    assert!(!sockets.is_empty(), "an agent has a UDP socket");
    // 20 bytes are as long as an invitation, 8 are the least that QUIC allows.
    for id_length in [8, 20] {
        for at in &sockets {
            let wire = Forwarder::to(*at);
            assert!(!quic_client_gets_through(wire.address(), id_length));
            assert!(!wire.forth().is_empty(), "it has tried");
            let answers = wire.back();
            assert!(answers.is_empty(), "{at} answers: {answers:02x?}");
        }
        let wire = Forwarder::to(server.address());
        assert!(quic_client_gets_through(wire.address(), id_length), "the server is not shy");
        assert!(!wire.back().is_empty());
    }
    alice.is_online();
}

fn finds_sockets() -> bool {
    if !cfg!(target_os = "linux") {
        println!("skipped: only Linux tells which sockets a process has");
    }
    cfg!(target_os = "linux")
}
