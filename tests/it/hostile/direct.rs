//! Somebody in the middle of the direct connection of two people, or beside it: whatever they do, nothing is shown
//! that was not said, and nothing counts as delivered that was not.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use hither_proto::wire::{
    self,
    server::{Reply, Request},
};
use hither_tests::{
    lab::{Lab, Person, Server, until_true},
    rogue::{Between, LyingServer},
    wire::{Spoofer, Way, probes, version_negotiation},
};

use super::{
    network::{OTHER_VERSIONS, Wired},
    people_at,
};

const SECRET: &str = "where is the crooked lighthouse";

#[test]
fn whoever_ends_the_direct_connection_at_both_is_shown_nothing_and_found_out() {
    let lab = Lab::new("both ends of a direct connection");
    let server = LyingServer::start();
    let [alice, bob] = people_at(&lab, &server, ["alice", "bob"]);
    alice.befriends(&bob);
    // For whose certificates the server names that of the man in the middle.
    for posing in [&["alice", "bob"][..], &["bob"], &[]] {
        let between = Arc::new(Between::of(["alice", "bob"]));
        let (met, told) = (Arc::clone(&between), Arc::clone(&between));
        server.foretells(move |to| vec![met.place_for(if to == "bob" { "alice" } else { "bob" })]);
        server.sends_astray(move |whose, door| {
            told.stands_in(whose, door, posing.contains(&whose));
        });
        if posing.contains(&"alice") {
            // To bob it is somebody else's call, of which he wants nothing; so to alice he is not there.
            alice.sends_with("bob", SECRET, &["--wait", "5s"]).fails(7, "queued");
        } else {
            let sent = alice.sends_with("bob", SECRET, &["--wait", "60s"]);
            let error = sent.fails(6, "peer_unreachable");
            assert_eq!(error["reason"], "handshake_failed", "{posing:?}: {error}");
        }
        assert!(between.legs() > 0, "{posing:?}: somebody came to him");
        assert_eq!(between.carried(), [0; 0], "{posing:?}");
        assert_eq!((alice.path_to("bob"), bob.path_to("alice")), (None, None), "{posing:?}");
    }
    assert_eq!((alice.queue().len(), bob.history()), (3, vec![]), "nothing was delivered");
    server.is_honest();
    alice.delivers("bob", "at last");
    assert_eq!(bob.hears(4), [SECRET, SECRET, SECRET, "at last"]);
}

/// Which half of an introduction is changed, at which byte.
type Flip = Arc<Mutex<Option<(Half, usize)>>>;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Half {
    Asked,
    Introduced,
}

#[test]
fn no_byte_that_an_introduction_proves_or_is_proven_by_can_be_changed() {
    let lab = Lab::new("changed introductions");
    let server = LyingServer::start();
    let [alice, bob] = people_at(&lab, &server, ["alice", "bob"]);
    alice.befriends(&bob);
    let flip = Flip::default();
    let (chosen, done) = (Arc::clone(&flip), Arc::new(Mutex::new(Vec::new())));
    let flipped = Arc::clone(&done);
    server.garbles(move |_, mut body| {
        let Some((half, proven)) = proven_by(&body) else { return vec![body] };
        if let Some((wanted, place)) = *chosen.lock().unwrap()
            && wanted == half
        {
            let places: Vec<usize> = proven.into_iter().flatten().collect();
            body[places[place * (places.len() - 1) / (FLIPS - 1)]] ^= 1 << (place % 8);
            flipped.lock().unwrap().push((half, place));
        }
        vec![body]
    });
    let mut texts = Vec::new();
    for half in [Half::Asked, Half::Introduced] {
        for place in 0..FLIPS {
            *flip.lock().unwrap() = Some((half, place));
            // A text is what she asks again for, and she asks again only without a path.
            until_true(&format!("{half:?} is changed for the {place}th time"), || {
                asks_anew(&alice, &mut texts);
                done.lock().unwrap().last() == Some(&(half, place))
            });
        }
    }
    let asked = introductions(&server);
    until_true("she asks once more", || {
        asks_anew(&alice, &mut texts);
        introductions(&server) > asked
    });
    assert_eq!(bob.history(), [""; 0]);
    server.is_honest();
    println!("{} changes, {} texts", done.lock().unwrap().len(), texts.len());
    asks_anew(&alice, &mut texts);
    assert_eq!(bob.hears(texts.len()), texts);
    until_true("every receipt", || alice.queue().is_empty());
}

/// Has something more for bob, and so asks for him again.
#[track_caller]
fn asks_anew(alice: &Person, texts: &mut Vec<String>) {
    texts.push(format!("text {}", texts.len()));
    let sent = alice.sends_with("bob", &texts[texts.len() - 1], &["--wait", "0s"]);
    assert!([6, 7].contains(&sent.exit), "{sent}");
}

/// How many bytes of each half are changed, one at a time. `proto` changes every byte of the handshake.
const FLIPS: usize = 24;

/// Where in the body of an introduction stands what both ends have to agree on: the secret, the certificate, the
/// handshake message.
fn proven_by(body: &[u8]) -> Option<(Half, [std::ops::Range<usize>; 3])> {
    let (half, secret, certificate, message) = match wire::decode(body) {
        Ok(Reply::Asked { secret, door, first, .. }) => {
            (Half::Asked, secret, door.certificate, first)
        }
        Ok(Reply::Introduced { secret, door, second, .. }) => {
            (Half::Introduced, secret, door.certificate, second)
        }
        _ => return None,
    };
    let place = |field: &[u8]| {
        let at = body.windows(field.len()).position(|window| window == field);
        at.map(|at| at..at + field.len())
    };
    Some((half, [place(secret.expose())?, place(&certificate)?, place(&message)?]))
}

/// How often alice has asked for somebody.
fn introductions(server: &LyingServer) -> usize {
    let asks = |request: &Request| matches!(request, Request::Introduce { .. });
    server.has_heard("alice").iter().filter(|request| asks(request)).count()
}

#[test]
fn whoever_changes_cuts_or_exchanges_every_packet_keeps_two_apart_and_does_no_more() {
    let lab = Lab::new("every packet changed");
    let Wired { server: _server, wire: _wire, alice, bob, legs } = Wired::in_lab(&lab);
    alice.delivers("bob", "before");
    for leg in &legs {
        leg.meddles(mangler());
    }
    // At first on the connection that stands, and then on those that are to take its place.
    let first = alice.sends_with("bob", "during", &["--wait", "12s"]);
    assert!([6, 7].contains(&first.exit), "{first}");
    let error = alice.sends_with("bob", "still", &["--wait", "60s"]).fails(6, "peer_unreachable");
    assert_eq!(error["reason"], "timeout", "{error}");
    assert_eq!((alice.queue().len(), bob.history()), (2, vec!["before".to_owned()]));
    for leg in &legs {
        leg.meddles_no_more();
    }
    alice.delivers("bob", "after");
    bob.delivers("alice", "and back");
    assert_eq!(bob.hears(4), ["before", "during", "still", "after"]);
    assert_eq!(alice.hears(1), ["and back"]);
}

/// Every datagram with a wrong bit behind its header, cut in half, or another one in its place.
fn mangler() -> impl FnMut(Way, &[u8]) -> Vec<(Way, Vec<u8>)> + Send + 'static {
    let mut count = 0;
    move |way, datagram| {
        count += 1;
        let mut instead = datagram.to_vec();
        match count % 3 {
            0 => instead.truncate(datagram.len() / 2),
            1 => instead[datagram.len() / 2] ^= 1 << (count % 8),
            _ => instead.reverse(),
        }
        vec![(way, instead)]
    }
}

#[test]
fn nobody_is_talked_down_to_another_version_on_a_direct_connection() {
    let lab = Lab::new("forged versions between two");
    let Wired { server: _server, wire: _wire, alice, bob, legs } = Wired::in_lab(&lab);
    let forged = Arc::new(AtomicBool::new(false));
    for leg in &legs {
        let done = Arc::clone(&forged);
        leg.meddles(move |way, datagram| match version_negotiation(datagram, &OTHER_VERSIONS) {
            Some(forgery) if way == Way::Forth => {
                done.store(true, Ordering::Relaxed);
                vec![(Way::Back, forgery)]
            }
            _ => vec![(way, datagram.to_vec())],
        });
    }
    alice.sends_with("bob", "once", &["--wait", "60s"]).fails(6, "peer_unreachable");
    assert!(forged.load(Ordering::Relaxed), "they were lied to");
    let begins = |datagram: &Vec<u8>| datagram[0] & 0x80 != 0;
    for leg in &legs {
        let begun: Vec<_> = leg.forth().into_iter().filter(begins).collect();
        assert!(begun.iter().all(|datagram| datagram[1..5] == [0, 0, 0, 1]), "another version");
        leg.meddles_no_more();
    }
    alice.delivers("bob", "twice");
    assert_eq!(bob.hears(2), ["once", "twice"]);
}

#[test]
fn whoever_writes_in_the_name_of_either_end_from_beside_the_wire_is_not_heard() {
    let Some(spoofer) = Spoofer::new() else { return };
    let lab = Lab::new("off the path");
    let config = "metrics = \"127.0.0.1:0\"\n";
    let server = Server::configured(lab.transcript(), &lab.path("server"), config, None, &[]);
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    alice.delivers("bob", "before");
    let places = [place_of(&alice, &bob), place_of(&bob, &alice)];
    let (agents, before) = ([alice.agent(), bob.agent()], logins(&server));
    assert!(!before.is_empty(), "logins are counted");
    // Each socket takes both families, and talks to the server, which has the one, by its port of the same number.
    let seen = places.map(|place| SocketAddr::from(([127, 0, 0, 1], place.port())));
    for (from, to) in [
        (places[0], places[1]),
        (places[1], places[0]),
        (server.address(), seen[0]),
        (server.address(), seen[1]),
        (seen[0], server.address()),
        (seen[1], server.address()),
    ] {
        for probe in probes() {
            spoofer.writes(from, to, &probe);
        }
        for length in 21..60 {
            // Shaped like what ends a connection at once, if the end of it were guessed.
            spoofer.writes(from, to, &vec![0x41; length]);
        }
        if let Some(forged) = version_negotiation(&probes()[5], &OTHER_VERSIONS) {
            spoofer.writes(from, to, &forged);
        }
    }
    alice.delivers("bob", "after");
    bob.delivers("alice", "and back");
    assert_eq!(bob.hears(2), ["before", "after"]);
    assert_eq!(alice.hears(1), ["and back"]);
    assert_eq!([place_of(&alice, &bob), place_of(&bob, &alice)], places, "the path stands");
    assert_eq!([alice.agent(), bob.agent()], agents);
    assert_eq!(logins(&server), before, "nobody has had to come back");
    assert_eq!(server.counted("hither_logged_in"), 2.0);
}

/// What a server has counted of whoever came or came back.
fn logins(server: &Server) -> Vec<String> {
    let (_, page) = server.page("/metrics").expect("metrics");
    let counts = ["hither_logins_total", "hither_resumptions_total"];
    let lines = page.lines().filter(|line| counts.iter().any(|count| line.starts_with(count)));
    lines.map(str::to_owned).collect()
}

/// Where one is, as the other talks to them.
#[track_caller]
fn place_of(one: &Person, other: &Person) -> SocketAddr {
    other.path_to(one.name()).expect("a path").parse().unwrap()
}
