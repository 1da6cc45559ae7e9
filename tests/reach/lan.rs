//! Contacts on one network who find each other by mDNS while the server is gone, if both want that.

use std::{
    fs,
    io::ErrorKind,
    net::{Ipv4Addr, UdpSocket},
};

use hither_tests::{
    lab::{Lab, Person, until_true},
    natlab::{Kind, NatLab},
};

use crate::ROUND_TRIP;

/// Where mDNS is spoken (RFC 6762).
const MDNS: (Ipv4Addr, u16) = (Ipv4Addr::new(224, 0, 0, 251), 5353);

/// Announcements of a flood, and how much memory it may take in the meantime, in KiB: 60 MiB are announced.
const FLOOD: u32 = 100_000;
const FLOOD_KIB_MAX: u64 = 48 << 10;

/// Whether something on the machine that this is asked on listens to mDNS.
fn listens() -> bool {
    let sockets = |file: &str| fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap();
    ["udp", "udp6"].iter().any(|file| {
        let ports = sockets(file);
        let mut local = ports.lines().filter_map(|line| line.split_whitespace().nth(1));
        local.any(|address| address.ends_with(":14E9"))
    })
}

/// Everything that has been said by mDNS since somebody last asked.
fn said(ear: &UdpSocket) -> Vec<Vec<u8>> {
    let mut packet = [0; 9_000];
    let mut said = Vec::new();
    loop {
        match ear.recv(&mut packet) {
            Ok(length) => said.push(packet[..length].to_vec()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return said,
            Err(error) => panic!("{error}"),
        }
    }
}

/// An announcement of somebody who is not there, at another address each.
fn nobody(number: u32) -> Vec<u8> {
    let label = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    let service = [label("_hither"), label("_udp"), label("local"), vec![0]].concat();
    let instance = [label(&format!("{number:016x}")), service.clone()].concat();
    let host = [label(&format!("h{number:015x}")), label("local"), vec![0]].concat();
    // One hour, in the class of the Internet.
    let record = |name: &[u8], kind: u8, data: &[u8]| {
        let length = u16::try_from(data.len()).unwrap().to_be_bytes();
        [name, &[0, kind, 0, 1, 0, 0, 14, 16], &length, data].concat()
    };
    let [_, b, c, d] = number.to_be_bytes();
    let text = [label(&"x".repeat(240)), label(&"y".repeat(240))].concat();
    [
        vec![0, 0, 0x84, 0, 0, 0, 0, 4, 0, 0, 0, 0],
        record(&service, 12, &instance),
        record(&instance, 33, &[&[0, 0, 0, 0, 16, 0][..], &host].concat()),
        record(&instance, 16, &text),
        record(&host, 1, &[10, b, c, d]),
    ]
    .concat()
}

/// How much memory a process has, in KiB.
fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn discovers(person: &Person, on: bool) {
    let on = if on { "true" } else { "false" };
    person.runs(&["config", "set", "network.lan_discovery", on]).done();
}

#[test]
fn contacts_on_one_network_talk_without_a_server_if_both_want_that() {
    let Some(net) = NatLab::new(ROUND_TRIP, 0.0) else { return };
    let home = net.home(Kind::PortRestricted);
    home.has_switch();
    let mates = [3, 4].map(|host| home.housemate(host));
    let ear = home.within_router(|| {
        let ear = UdpSocket::bind(("0.0.0.0", MDNS.1)).unwrap();
        ear.join_multicast_v4(&MDNS.0, &Ipv4Addr::new(192, 168, 1, 1)).unwrap();
        ear.set_nonblocking(true).unwrap();
        ear
    });
    let lab = Lab::new("one network");
    let mut server = net.server(&lab);
    let link = net.link(&server, Kind::PortRestricted);
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| lab.person(name));
    home.within(|| alice.tries_to_register(&link).done());
    mates[0].within(|| bob.tries_to_register(&link).done());
    mates[1].within(|| carol.tries_to_register(&link).done());
    alice.befriends(&bob);
    alice.befriends(&carol);
    for person in [&alice, &bob] {
        discovers(person, true);
    }
    assert_eq!(alice.runs(&["net", "check"]).done()["lan_discovery"], "waiting");
    assert_eq!(carol.runs(&["net", "check"]).done()["lan_discovery"], "off");

    // Nobody has said anything to anybody, and nothing is left in any memory.
    let _ = server.stops();
    for person in [&alice, &bob, &carol] {
        person.kills_agent();
    }
    assert_eq!(said(&ear), Vec::<Vec<u8>>::new(), "nothing is announced while the server is there");
    home.within(|| alice.starts_agent());
    mates[0].within(|| bob.starts_agent());
    mates[1].within(|| carol.starts_agent());
    alice.queues("carol", "later");
    // Whether the command waits for it or gives up, the text is on its way.
    let _ = alice.sends_with("bob", "without a server", &["--queue-ok"]);
    assert_eq!(bob.hears(1), ["without a server"]);
    bob.delivers("alice", "and back");
    assert!(alice.path_to("bob").is_some_and(|remote| remote.starts_with("192.168.1.3:")));
    assert_eq!(alice.runs(&["net", "check"]).done()["lan_discovery"], "active");

    // Whoever does not want that says and hears nothing.
    assert!(mates[0].within(listens));
    assert!(!mates[1].within(listens));
    assert_eq!(alice.path_to("carol"), None);
    let path = carol.runs(&["net", "path", "alice"]).done();
    assert_eq!(
        (&path["reason"], &path["remedies"][0]),
        (&"no_server".into(), &"lan_discovery".into())
    );
    let announced = said(&ear);
    assert!(!announced.is_empty());
    assert!(announced.iter().all(|packet| packet.len() < 1_452), "each in one piece");
    for word in ["alice", "bob", "carol"] {
        let named = |packet: &Vec<u8>| packet.windows(word.len()).any(|at| at == word.as_bytes());
        assert!(!announced.iter().any(named), "{word}");
    }

    discovers(&carol, true);
    assert_eq!(carol.hears(1), ["later"]);
    discovers(&carol, false);
    until_true("carol listens no more", || !mates[1].within(listens));
    discovers(&carol, true);
    until_true("carol listens again", || mates[1].within(listens));
    carol.runs(&["lock"]).done();
    until_true("carol has locked everything", || !mates[1].within(listens));
    net.within_cloud(|| server.starts_again());
    bob.is_online();
    until_true("nobody listens any more", || !mates[0].within(listens));
    assert_eq!(bob.runs(&["net", "check"]).done()["lan_discovery"], "waiting");
    bob.delivers("alice", "with a server");
    drop((server, lab));
}

#[test]
fn whoever_floods_a_network_costs_an_agent_little_and_contacts_are_found_afterwards() {
    let Some(net) = NatLab::new(ROUND_TRIP, 0.0) else { return };
    let home = net.home(Kind::PortRestricted);
    home.has_switch();
    let [mate, stranger] = [3, 4].map(|host| home.housemate(host));
    let lab = Lab::new("a flooded network");
    let mut server = net.server(&lab);
    let link = net.link(&server, Kind::PortRestricted);
    let [alice, bob] = ["alice", "bob"].map(|name| lab.person(name));
    home.within(|| alice.tries_to_register(&link).done());
    mate.within(|| bob.tries_to_register(&link).done());
    alice.befriends(&bob);
    discovers(&alice, true);
    let _ = server.stops();
    until_true("alice listens", || home.within(listens));
    let agent = alice.agent();
    let before = resident(agent);
    let (mut most, mut announced) = (before, 0);
    stranger.within(|| {
        let mouth = UdpSocket::bind(("192.168.1.4", MDNS.1)).unwrap();
        for number in 0..FLOOD {
            // What the network does not take is lost, as on any other.
            announced += u32::from(mouth.send_to(&nobody(number), MDNS).is_ok());
            if number % 1_000 == 0 {
                most = most.max(resident(agent));
                let _ = alice.status();
            }
        }
    });
    println!("{announced} announcements, {before} KiB before, {most} KiB at most");
    assert!(announced > FLOOD / 2);
    assert!(most < before + FLOOD_KIB_MAX, "{before} KiB before, {most} KiB at most");
    discovers(&bob, true);
    let _ = alice.sends_with("bob", "after the flood", &["--queue-ok"]);
    assert_eq!(bob.hears(1), ["after the flood"]);
    drop((server, lab));
}
