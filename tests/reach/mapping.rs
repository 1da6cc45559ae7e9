//! Ports that routers keep: asked for, offered to contacts, and given back.

use std::thread;

use hither_tests::{
    lab::{Lab, until_true},
    natlab::{Kind, NatLab},
};

use crate::ROUND_TRIP;

#[test]
fn a_port_that_the_router_keeps_is_a_way_in_from_behind_symmetric_nat() {
    let asks = |kind: Kind, how: &str| {
        let Some(net) = NatLab::new(ROUND_TRIP, 0.0) else { return };
        let [easy, hard] = [net.home(kind), net.home(Kind::Symmetric)];
        let lab = Lab::new(&format!("a port by {how}"));
        let server = net.server(&lab);
        let link = net.link(&server, kind);
        let [alice, bob] = ["alice", "bob"].map(|name| lab.person(name));
        hard.within(|| alice.tries_to_register(&link).done());
        easy.within(|| bob.tries_to_register(&link).done());

        let checked = bob.runs(&["net", "check"]).done();
        assert_eq!(
            (&checked["verdict"], &checked["port_mapping"]),
            (&"mapped".into(), &how.into())
        );
        assert_eq!(easy.kept_ports(), 1);
        alice.befriends(&bob);
        alice.delivers("bob", "in by the port");

        bob.stops_agent();
        until_true("the port is given back", || easy.kept_ports() == 0);
        easy.within(|| bob.starts_agent());
        bob.is_online();
        until_true("a port is kept", || easy.kept_ports() == 1);
        bob.sees_online("alice");
        bob.delivers("alice", "the other way");

        bob.runs(&["config", "set", "network.port_mapping", "false"]).done();
        until_true("the port is given back", || easy.kept_ports() == 0);
        assert_eq!(bob.runs(&["net", "check"]).done()["port_mapping"], "off");
        drop((server, lab));
    };
    thread::scope(|scope| {
        for kind in NatLab::kinds() {
            if let Some(how) = kind.keeps_ports_by() {
                scope.spawn(move || asks(kind, how));
            }
        }
    });
}
