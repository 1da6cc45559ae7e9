//! Where people seek each other, and whom they let know where they are.

use std::{net::SocketAddr, time::Duration};

use crate::{
    limits::{CANDIDATES_MAX, GUESS_AFTER, PATH_PATIENCE},
    node::{Event, Guess, Hold, Input, NoPath},
    reach::Policy,
    wire::{
        self,
        server::{Candidate, Door, Nat, Observer, Reply, Request},
    },
    world::{World, name},
};

fn friends(seed: u8, policy: Policy) -> World {
    let mut world = World::of_friends(seed, &["alice", "bob"]);
    let now = world.now;
    world.node("alice").set_policy(now, &name("bob"), policy).unwrap();
    world.settle("alice");
    world.run();
    world
}

/// The door that somebody has had handed to the other.
fn door(world: &mut World, who: &str) -> Option<Door> {
    let said = &world.machine(who).said;
    said.iter().rev().find_map(|body| match wire::decode(body).unwrap() {
        Request::Introduce { door, .. } | Request::Answer { door, .. } => Some(door),
        _ => None,
    })
}

#[test]
fn the_caller_dials_before_it_has_an_answer() {
    let mut world = World::of_friends(1, &["alice", "bob"]);
    // The Internet sees bob at an address of his own, too, and the server does not.
    let own: SocketAddr = "[2001:db8::7]:9".parse().unwrap();
    world.node("bob").set_global(vec![own]);
    world.settle("bob");
    world.run();
    world.lie = Some(Box::new(|_, reply| match reply {
        Reply::Introduced { .. } => Vec::new(),
        other => vec![other],
    }));
    world.send("alice", "bob", "hello");
    let bob = world.machine("bob").address;
    let alice = world.machine("alice");
    let dials: Vec<_> = alice.dials.values().flatten().collect();
    assert_eq!(dials.iter().map(|dial| &dial.addresses[..]).collect::<Vec<_>>(), [&[bob, own][..]]);
    assert_eq!(dials[0].certificate, None);
    assert!(world.connections("alice") > 0, "the callee's door lets it in");
    assert_eq!(world.texts("bob"), Vec::<String>::new(), "nothing is said to who is not proven");
}

#[test]
fn a_server_that_tells_nothing_ahead_only_costs_time() {
    let mut world = World::of_friends(2, &["alice", "bob"]);
    world.lie = Some(Box::new(|_, reply| match reply {
        Reply::Meet { .. } => Vec::new(),
        other => vec![other],
    }));
    world.send("alice", "bob", "hello");
    assert_eq!(world.texts("bob"), ["hello"]);
}

#[test]
fn what_a_server_tells_ahead_is_bounded_and_told_once() {
    let mut world = World::of_friends(3, &["alice", "bob"]);
    let many = |port: u16| Candidate(SocketAddr::from(([203, 0, 113, 9], port)));
    world.lie = Some(Box::new(move |_, reply| match reply {
        Reply::Meet { attempt, secret, .. } => [1, 100]
            .into_iter()
            .map(|from| {
                let candidates = (from..from + 100).map(many).collect();
                let secret = secret.duplicate();
                Reply::Meet { attempt, secret, candidates, dependent: false }
            })
            .collect(),
        Reply::Introduced { .. } => Vec::new(),
        other => vec![other],
    }));
    world.send("alice", "bob", "hello");
    let dials: Vec<_> = world.machine("alice").dials.values().flatten().collect();
    assert_eq!(dials.iter().map(|dial| dial.addresses.len()).collect::<Vec<_>>(), [CANDIDATES_MAX]);
}

#[test]
fn whoever_is_never_to_be_met_learns_no_address() {
    let mut world = friends(4, Policy::Never);
    world.send("alice", "bob", "hello");
    let held = Event::Held(name("bob"), Hold::NoPath(NoPath::Policy));
    assert_eq!(world.count("alice", &held), 1);
    world.send("bob", "alice", "hello?");
    world.wait(Duration::from_secs(60));
    assert!(door(&mut world, "alice").is_none());
    assert!(world.heard("bob").iter().all(|reply| !matches!(reply, Reply::Meet { .. })));
    let now = world.now;
    world.node("alice").set_policy(now, &name("bob"), Policy::All).unwrap();
    world.settle("alice");
    world.wait(Duration::from_secs(60));
    assert_eq!(world.texts("bob"), ["hello"]);
    assert_eq!(world.texts("alice"), ["hello?"]);
}

#[test]
fn the_server_keeps_back_what_the_policy_hides() {
    for (seed, caller, callee) in [(5, "alice", "bob"), (6, "bob", "alice")] {
        let mut world = friends(seed, Policy::Lan);
        // The addresses of this world are the Internet's, so nothing is left to be told.
        world.send(caller, callee, "hello");
        assert_eq!(door(&mut world, "alice").unwrap().candidates, []);
        let alice = world.machine("alice").address;
        let told = |candidates: &[Candidate]| candidates.contains(&Candidate(alice));
        for reply in world.heard("bob") {
            match reply {
                Reply::Asked { door, .. } | Reply::Introduced { door, .. } => {
                    assert!(!told(&door.candidates));
                }
                Reply::Meet { candidates, .. } => assert!(!told(&candidates)),
                _ => {}
            }
        }
        assert!(!world.connected("alice", "bob"));
    }
}

#[test]
fn a_policy_outlives_the_process_and_a_login_elsewhere() {
    let mut world = friends(7, Policy::Public);
    world.kill("alice");
    world.resume("alice");
    assert_eq!(world.node("alice").contact(&name("bob")).unwrap().contact.policy, Policy::Public);
    world.log_in("laptop", &name("alice"));
    assert_eq!(world.node("laptop").contact(&name("bob")).unwrap().contact.policy, Policy::Public);
}

#[test]
fn a_second_path_is_sought_before_the_first_is_given_up() {
    let mut world = World::of_friends(8, &["alice", "bob"]);
    world.send("alice", "bob", "on the first");
    let first = super::conn(&mut world, "alice", "bob");
    world.feed("alice", Input::PeerSilent(first));
    world.run();
    let second = super::conn(&mut world, "alice", "bob");
    assert_ne!(first, second);
    assert!(world.connected("alice", "bob"));
    world.send("bob", "alice", "on the second");
    assert_eq!(world.texts("alice"), ["on the second"]);
}

#[test]
fn another_network_has_every_path_sought_anew() {
    let mut world = World::of_friends(9, &["alice", "bob", "carol"]);
    world.befriend("carol", "alice");
    world.send("alice", "bob", "hello");
    world.send("carol", "alice", "hello");
    let before = ["bob", "carol"].map(|whom| super::conn(&mut world, "alice", whom));
    world.feed("alice", Input::NetworkChanged);
    world.run();
    let after = ["bob", "carol"].map(|whom| super::conn(&mut world, "alice", whom));
    assert!(before.iter().all(|conn| !after.contains(conn)));
}

#[test]
fn a_path_is_sought_for_whoever_only_asks_for_one() {
    let mut world = World::of_friends(10, &["alice", "bob"]);
    let now = world.now;
    world.node("alice").seek(now, &name("bob"));
    world.settle("alice");
    world.run();
    assert!(world.connected("alice", "bob"));
    world.cut("bob");
    world.direct = false;
    world.run();
    world.node("alice").seek(now, &name("bob"));
    world.settle("alice");
    world.wait(PATH_PATIENCE);
    assert_eq!(world.node("alice").no_path(&name("bob")), Some(NoPath::Timeout));
}

/// The server says that whoever is `dependent` has a translator that shows them to each of their peers at another port.
fn translated(seed: u8, dependent: &'static [&'static str]) -> World {
    let mut world = World::of_friends(seed, &["alice", "bob"]);
    world.lie = Some(Box::new(|whom, reply| {
        let is_dependent = |who: &str| dependent.contains(&who);
        let other = if whom == "alice" { "bob" } else { "alice" };
        vec![match reply {
            Reply::Observed { at, step, observer, .. } if is_dependent(whom) => {
                let again = Some(Candidate(SocketAddr::new(at.0.ip(), at.0.port() ^ 1)));
                Reply::Observed { at, again, step, observer }
            }
            Reply::Meet { attempt, secret, candidates, .. } => {
                Reply::Meet { attempt, secret, candidates, dependent: is_dependent(other) }
            }
            Reply::Asked { attempt, caller, secret, door, first, dependent: Some(_) } => {
                let dependent = Some(is_dependent(other));
                Reply::Asked { attempt, caller, secret, door, first, dependent }
            }
            reply => reply,
        }]
    }));
    for (one, other) in [("alice", "bob"), ("bob", "alice")] {
        // What is said to the server about a policy is answered by where it sees them.
        let now = world.now;
        world.node(one).set_policy(now, &name(other), Policy::Public).unwrap();
        world.settle(one);
    }
    world.run();
    world
}

#[test]
fn whoever_is_found_by_guessing_only_listens_and_the_other_knocks() {
    for (seed, dependent) in [(11, "alice"), (12, "bob")] {
        let mut world = translated(seed, if dependent == "alice" { &["alice"] } else { &["bob"] });
        world.send("alice", "bob", "hello");
        let easy = if dependent == "alice" { "bob" } else { "alice" };
        let (easy_at, hard_at) = (world.machine(easy).address, world.machine(dependent).address);
        let [Guess::Knock { at, .. }] = &world.machine(easy).guesses[..] else {
            panic!("{:?}", world.machine(easy).guesses);
        };
        assert_eq!(*at, hard_at.ip());
        let [Guess::Listen(dial)] = &world.machine(dependent).guesses[..] else {
            panic!("{:?}", world.machine(dependent).guesses);
        };
        assert_eq!(dial.addresses, [easy_at]);
    }
}

#[test]
fn knocks_wait_only_for_dials_that_may_arrive() {
    for (seed, nat, after) in [
        // The one address that this machine has is where the server sees it.
        (15, Nat::Firewall, Duration::ZERO),
        // Behind a translator, it is a port that the router keeps.
        (16, Nat::PortRestricted, GUESS_AFTER),
        (17, Nat::Unknown, GUESS_AFTER),
    ] {
        let mut world = translated(seed, &["bob"]);
        world.node("alice").set_nat(nat);
        world.settle("alice");
        world.send("alice", "bob", "hello");
        let [Guess::Knock { after: waited, .. }] = &world.machine("alice").guesses[..] else {
            panic!("{:?}", world.machine("alice").guesses);
        };
        assert_eq!(*waited, after, "{nat:?}");
    }
}

#[test]
fn nothing_is_guessed_where_nothing_can_be_found_or_everybody_can() {
    for (seed, dependent) in [(13, &[][..]), (14, &["alice", "bob"])] {
        let mut world = translated(seed, dependent);
        world.send("alice", "bob", "hello");
        for who in ["alice", "bob"] {
            assert!(world.machine(who).guesses.is_empty(), "{dependent:?}");
        }
    }
}

#[test]
fn nobody_is_guessed_at_whom_the_server_has_not_seen() {
    let mut world = translated(15, &["bob"]);
    let now = world.now;
    world.node("alice").set_policy(now, &name("bob"), Policy::Lan).unwrap();
    world.settle("alice");
    world.run();
    world.send("alice", "bob", "hello");
    for who in ["alice", "bob"] {
        assert!(world.machine(who).guesses.is_empty());
    }
}

#[test]
fn what_began_before_a_mapping_was_known_begins_anew_and_once() {
    let mut world = World::of_friends(16, &["alice", "bob"]);
    world.direct = false;
    world.send("alice", "bob", "hello");
    let asked = |world: &mut World| {
        let said = world.machine("bob").said.iter();
        let requests = said.map(|body| wire::decode::<Request>(body).unwrap());
        requests.filter(|request| matches!(request, Request::Introduce { .. })).count()
    };
    assert_eq!(asked(&mut world), 0);
    let at = Candidate(world.machine("bob").address);
    let again = Some(Candidate(SocketAddr::new(at.0.ip(), at.0.port() ^ 1)));
    for (step, begun) in [(None, 1), (None, 1), (Some(2), 2), (Some(1), 2), (None, 2)] {
        world.server_says("bob", &Reply::Observed { at, again, step, observer: None });
        world.run();
        assert_eq!(asked(&mut world), begun, "{step:?}");
    }
}

#[test]
fn a_translator_that_seems_regular_no_more_is_shown_two_more_ports() {
    let mut world = World::of_friends(19, &["alice", "bob"]);
    let observer = Some(Observer { port: 4_434, token: [7; 16] });
    let at = world.machine("bob").address;
    let again = Some(Candidate(SocketAddr::new(at.ip(), at.port() ^ 1)));
    let before = world.machine("bob").probes.len();
    for (step, probes) in [(Some(1), 0), (None, 2), (None, 2), (Some(1), 2)] {
        world.server_says("bob", &Reply::Observed { at: Candidate(at), again, step, observer });
        assert_eq!(world.machine("bob").probes.len(), before + probes, "{step:?}");
    }
}

#[test]
fn whoever_logs_in_is_shown_before_anything_is_asked_and_once() {
    let mut world = World::of_friends(18, &["alice", "bob"]);
    let observer = Some(Observer { port: 4_434, token: [7; 16] });
    world.feed("bob", Input::ServerUp(observer));
    let shown = |world: &mut World| {
        let probes = world.machine("bob").probes.iter();
        probes.map(|probe| probe.fresh).collect::<Vec<_>>()
    };
    assert_eq!(shown(&mut world), [false, true]);
    let at = Candidate(world.machine("bob").address);
    let observed = Reply::Observed { at, again: None, step: None, observer };
    world.server_says("bob", &observed);
    assert_eq!(shown(&mut world).len(), 2, "that is under way");
    world.server_says("bob", &observed);
    assert_eq!(shown(&mut world).len(), 4, "the server has forgotten it");
}

#[test]
fn no_address_of_this_machine_leaves_it_before_somebody_may_know_it() {
    let mut world = World::new(20);
    for who in ["alice", "bob"] {
        world.register(who);
    }
    let own: SocketAddr = "[2001:db8::7]:9".parse().unwrap();
    world.node("bob").set_global(vec![own, "192.168.1.2:9".parse().unwrap()]);
    world.settle("bob");
    world.run();
    let told = |world: &mut World| {
        let said = world.machine("bob").said.iter().rev();
        said.map(|body| wire::decode(body).unwrap()).find_map(|request| match request {
            Request::Reach { global, .. } => global,
            _ => None,
        })
    };
    assert_eq!(told(&mut world), Some(Vec::new()), "to nobody");
    world.befriend("alice", "bob");
    assert_eq!(told(&mut world), Some(vec![Candidate(own)]));
    let now = world.now;
    world.node("bob").set_policy(now, &name("alice"), Policy::Lan).unwrap();
    world.settle("bob");
    world.run();
    assert_eq!(told(&mut world), Some(Vec::new()), "nor to anybody else than whoever may");
}
