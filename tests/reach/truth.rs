//! What people are told of their network: how their router works, why there is no path, and what would help.

use std::thread;

use hither_tests::{
    lab::{Lab, Person, until},
    natlab::{Kind, NatLab},
};
use serde_json::{Value, json};

use crate::ROUND_TRIP;

#[test]
fn a_router_is_described_in_the_terms_of_its_trade() {
    let Some(net) = NatLab::new(ROUND_TRIP, 0.0) else { return };
    let (independent, dependent) = ("endpoint-independent", "endpoint-dependent");
    let (open, closed) = ("port-independent", "address-and-port-dependent");
    let homes = [
        (Kind::Open, "none", open),
        (Kind::Firewall, "none", closed),
        (Kind::FullCone, independent, open),
        (Kind::AddressRestricted, independent, open),
        (Kind::PortRestricted, independent, closed),
        (Kind::CarrierPortRestricted, independent, closed),
        (Kind::Symmetric, dependent, closed),
        (Kind::Sequential, dependent, closed),
    ];
    let homes = homes.map(|(kind, mapping, filtering)| (net.home(kind), mapping, filtering));
    let lab = Lab::new("described");
    let server = net.server(&lab);
    thread::scope(|scope| {
        for (home, mapping, filtering) in &homes {
            let person = lab.person(home.kind().name());
            let link = net.link(&server, home.kind());
            scope.spawn(move || {
                home.within(|| person.tries_to_register(&link).done());
                let found = until("the survey", || {
                    let checked = person.runs(&["net", "check"]).done();
                    let known =
                        checked["mapping"] != "unknown" && checked["filtering"] != "unknown";
                    known.then_some(checked)
                });
                let expected = (&json!(mapping), &json!(filtering));
                assert_eq!((&found["mapping"], &found["filtering"]), expected, "{found}");
            });
        }
    });
    drop((server, lab));
}

#[test]
fn how_long_a_router_remembers_is_measured_and_silence_kept_shorter() {
    let Some(net) = NatLab::new(ROUND_TRIP, 0.0) else { return };
    let [home, other] = [(); 2].map(|()| net.home(Kind::PortRestricted));
    home.remembers_for(15);
    let lab = Lab::new("remembered");
    let server = net.server(&lab);
    let link = net.link(&server, Kind::PortRestricted);
    let [alice, bob] = ["alice", "bob"].map(|name| lab.person(name));
    home.within(|| alice.tries_to_register(&link).done());
    other.within(|| bob.tries_to_register(&link).done());
    alice.befriends(&bob);
    bob.delivers("alice", "before");
    assert_eq!(alice.hears(1), ["before"]);
    let remote = || bob.runs(&["net", "path", "alice"]).done()["path"]["remote"].clone();
    let before = remote();
    let checked = until("a silence that is too long", || {
        let checked = alice.runs(&["net", "check"]).done();
        (checked["lifetime"]["below_s"] != Value::Null).then_some(checked)
    });
    assert_eq!(checked["lifetime"], json!({ "at_least_s": 10, "below_s": 20 }));
    assert_eq!(checked["keep_alive_s"], 5);
    // In the meantime the two were silent for longer than that, and are still where they were for each other.
    assert!(before.is_string());
    assert_eq!(remote(), before);
    bob.delivers("alice", "after");
    drop((server, lab));
}

#[test]
fn whoever_has_no_path_is_told_why_and_what_would_help_and_it_does() {
    let Some(net) = NatLab::new(ROUND_TRIP, 0.0) else { return };
    let [one, other] = [net.home(Kind::Symmetric), net.home(Kind::Symmetric)];
    let lab = Lab::new("helped");
    let server = net.server(&lab);
    let link = net.link(&server, Kind::PortRestricted);
    let [alice, bob] = ["alice", "bob"].map(|name| lab.person(name));
    one.within(|| alice.tries_to_register(&link).done());
    other.within(|| bob.tries_to_register(&link).done());
    alice.befriends(&bob);

    let remedies = |person: &Person, name: &str| {
        let found = person.runs(&["net", "path", name]).done();
        (found["path"] == Value::Null).then(|| found["remedies"].clone())
    };
    let here =
        json!(["ipv6_here", "ipv6_there", "enable_port_mapping", "forward_port", "port_there"]);
    assert_eq!(remedies(&alice, "bob"), Some(here));

    one.forwards(41_641);
    alice.runs(&["config", "set", "network.port", "41641"]).done();
    alice.stops_agent();
    one.within(|| alice.starts_agent());
    alice.is_online();
    bob.sees_online("alice");
    bob.delivers("alice", "by the forwarded port");
    assert_eq!(remedies(&bob, "alice"), None);
    drop((server, lab));
}
