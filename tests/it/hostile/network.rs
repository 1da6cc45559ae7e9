//! Somebody on the wire who repeats, cuts, forges and records: what two people say comes once and whole, and says
//! nothing of them.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use hither_proto::wire::server::Candidate;
use hither_tests::{
    lab::{Lab, Person, udp_sockets},
    rogue::LyingServer,
    search::{contains, holds},
    wire::{Forwarder, Stranger, Way, initials_in, version_negotiation},
};

use super::people_at;
use crate::locking::{KEYS, saved_keys};

/// What two recordings must not have in common: shorter runs of bytes meet by chance.
const RUN: usize = 8;

/// Versions of QUIC that nobody here speaks (RFC 9000, 15; a draft of it).
pub(super) const OTHER_VERSIONS: [u32; 2] = [0x1a2a_3a4a, 0xff00_001d];

/// Two friends at a server, with somebody on every wire: alice's to the server, and those between the two.
pub(super) struct Wired {
    pub(super) server: LyingServer,
    pub(super) wire: Forwarder,
    pub(super) alice: Person,
    pub(super) bob: Person,
    pub(super) legs: Vec<Forwarder>,
}

impl Wired {
    pub(super) fn in_lab(lab: &Lab) -> Self {
        let server = LyingServer::start();
        let wire = Forwarder::to(server.address());
        let alice = lab.person("alice");
        alice.tries_to_register(&server.link_at(wire.address())).done();
        let [bob] = people_at(lab, &server, ["bob"]);
        alice.befriends(&bob);
        let legs = between(&server, &[&alice, &bob]);
        Self { server, wire, alice, bob, legs }
    }
}

#[test]
fn whatever_is_injected_repeated_cut_and_forged_on_the_wire_every_text_comes_once_and_whole() {
    let lab = Lab::new("a meddler on both legs");
    let Wired { server: _server, wire, alice, bob, legs } = Wired::in_lab(&lab);
    let agents = [alice.agent(), bob.agent()];
    for wire in legs.iter().chain([&wire]) {
        wire.meddles(meddler());
    }
    for round in 0..5 {
        alice.delivers("bob", &format!("alice {round}"));
        bob.delivers("alice", &format!("bob {round}"));
    }
    assert_eq!(bob.hears(5), [0, 1, 2, 3, 4].map(|round| format!("alice {round}")));
    assert_eq!(alice.hears(5), [0, 1, 2, 3, 4].map(|round| format!("bob {round}")));
    assert_eq!([alice.agent(), bob.agent()], agents);
    assert_eq!(alice.status()["online"], true);
    assert!(legs.iter().any(|leg| !leg.forth().is_empty()), "they talk by way of the meddler");
}

/// Around each datagram: nonsense, the datagram itself in part, with a wrong bit, from elsewhere and once more,
/// and packets that are to end connections.
fn meddler() -> impl FnMut(Way, &[u8]) -> Vec<(Way, Vec<u8>)> + Send + 'static {
    let mut before = vec![0x40; 100];
    let mut count = 0;
    move |way, datagram| {
        count += 1;
        let mut flipped = datagram.to_vec();
        flipped[count % datagram.len()] ^= 1 << (count % 8);
        // Shaped like a stateless reset, or the end of a connection.
        let mut reset = datagram.to_vec();
        let end = reset.len() - 16.min(reset.len());
        reset[end..].fill(7);
        let last = std::mem::replace(&mut before, datagram.to_vec());
        let mut all = vec![
            (way, vec![count as u8; 1 + count % 1400]),
            (way, datagram[..datagram.len() / 2].to_vec()),
            (way, flipped),
            (way, reset),
            (way, datagram.to_vec()),
            (way, datagram.to_vec()),
            (way, last),
        ];
        if way == Way::Forth && count % 3 == 0 {
            all.push((Way::Astray, datagram.to_vec()));
        }
        if let Some(forged) = version_negotiation(datagram, &OTHER_VERSIONS)
            && way == Way::Back
        {
            all.push((way, forged));
        }
        all
    }
}

#[test]
fn a_recorded_session_that_is_played_again_is_heard_by_nobody() {
    let lab = Lab::new("played again");
    let Wired { server, wire, alice, bob, legs } = Wired::in_lab(&lab);
    alice.delivers("bob", "once");
    bob.delivers("alice", "once, too");
    assert_eq!((bob.hears(1), alice.hears(1)), (vec!["once".into()], vec!["once, too".into()]));
    let sessions = server.sessions_of("alice");
    let heard = server.has_heard("alice").len();

    // To an agent, whose door is shut: nothing comes back. To the server: nobody is logged in by it.
    let mut strangers = Vec::new();
    for (leg, person) in legs.iter().zip([&alice, &bob]) {
        let recorded = leg.forth();
        for place in udp_sockets(person.agent()) {
            strangers.extend(recorded.iter().map(|datagram| Stranger::repeats(place, datagram)));
        }
    }
    assert!(!strangers.is_empty(), "something was recorded between the two");
    for datagram in wire.forth() {
        drop(Stranger::repeats(server.address(), &datagram));
    }
    alice.delivers("bob", "twice");
    assert_eq!(bob.hears(1), ["twice"]);
    for stranger in &strangers {
        assert_eq!(stranger.answers(), [[0; 0]; 0]);
    }
    assert_eq!(server.sessions_of("alice"), sessions);
    let logins = server.has_heard("alice").len() - heard;
    assert!(logins < 10, "alice has said {logins} things since, and nothing of the past");
    assert_eq!(bob.history(), ["once", "once, too", "twice"]);
}

#[test]
fn a_forged_version_negotiation_talks_nobody_down() {
    let lab = Lab::new("forged versions");
    let server = lab.server();
    let [alice] = lab.people(&server, ["alice"]);
    alice.logs_out();
    let wire = Forwarder::to(server.address());
    let forged = Arc::new(AtomicBool::new(false));
    let done = Arc::clone(&forged);
    wire.meddles(move |way, datagram| match version_negotiation(datagram, &OTHER_VERSIONS) {
        Some(forgery) if way == Way::Forth => {
            done.store(true, Ordering::Relaxed);
            vec![(Way::Back, forgery)]
        }
        _ => vec![(way, datagram.to_vec())],
    });
    let (place, link) = (wire.address().to_string(), server.link_at(wire.address()));
    alice.tries_to_log_in(&place, Some(&link)).fails(3, "server_unreachable");
    assert!(forged.load(Ordering::Relaxed), "she was lied to");
    // No other version was tried: whatever she has sent as the beginning of a connection is of version 1.
    let begins = |datagram: &&Vec<u8>| datagram[0] & 0x80 != 0;
    assert!(wire.forth().iter().filter(begins).all(|datagram| datagram[1..5] == [0, 0, 0, 1]));
    wire.meddles_no_more();
    alice.tries_to_log_in(&place, Some(&link)).done();
}

#[test]
fn nothing_on_the_wire_links_two_conversations_of_the_same_two_or_says_who_they_are() {
    let lab = Lab::new("recordings");
    let server = LyingServer::start();
    let names = ["thistlewood", "marchbanks"];
    let [alice, bob] = people_at(&lab, &server, names);
    // Two others, who have in common with those only what everybody has.
    let [carol, dave] = people_at(&lab, &server, ["carol", "dave"]);
    alice.befriends(&bob);
    carol.befriends(&dave);
    let control = records(&server, &carol, &dave, "a word of theirs");
    let text = "where is the crooked lighthouse";
    let first = records(&server, &alice, &bob, text);
    let second = records(&server, &alice, &bob, text);

    nothing_links(&first, &second, &control);
    let identities = [alice.identity(), bob.identity()];
    let identities = identities.iter().map(String::as_str);
    let words: Vec<&str> = names.into_iter().chain([text]).chain(identities).collect();
    for recording in [&first, &second] {
        for person in [&alice, &bob] {
            recording.says_nothing_of(person, &words);
        }
    }
}

/// What went over the wire between two people and from one of them to the server, and what can be read of it.
struct Recording {
    datagrams: Vec<Vec<u8>>,
    /// The first handshake messages, whose keys everybody knows.
    initials: Vec<Vec<u8>>,
}

impl Recording {
    /// Insists that no word, no password and no key of theirs can be read.
    #[track_caller]
    fn says_nothing_of(&self, person: &Person, words: &[&str]) {
        assert!(self.datagrams.len() > 10, "there is a conversation to search");
        let keys = saved_keys(person);
        for piece in self.datagrams.iter().chain(&self.initials) {
            for word in words.iter().chain([&person.name(), &person.password()]) {
                assert!(!holds(piece, word), "{word}");
            }
            for (key, name) in keys.iter().zip(KEYS) {
                assert!(!contains(piece, key), "{name}");
            }
        }
    }
}

/// Insists that nothing in clear is the same in two recordings, and nothing in the first handshake messages but what
/// is in those of somebody else, too.
#[track_caller]
fn nothing_links(first: &Recording, second: &Recording, control: &Recording) {
    let in_clear = [first, second].map(|recording| runs(&recording.datagrams));
    let common: Vec<_> = in_clear[0].intersection(&in_clear[1]).collect();
    assert!(common.is_empty(), "in clear: {common:?}");
    let [one, other, known] = [first, second, control].map(|recording| runs(&recording.initials));
    let linking: Vec<_> = one.intersection(&other).filter(|run| !known.contains(**run)).collect();
    assert!(linking.is_empty(), "in the first handshake messages: {linking:?}");
    assert!(one.intersection(&other).count() > 0, "handshake messages have something in common");
}

fn runs(pieces: &[Vec<u8>]) -> HashSet<&[u8]> {
    pieces.iter().flat_map(|bytes| bytes.windows(RUN)).collect()
}

/// Starts both agents anew and lets them find each other, with an ear on every wire.
fn records(server: &LyingServer, one: &Person, other: &Person, text: &str) -> Recording {
    for person in [one, other] {
        person.stops_agent();
        person.starts_agent();
        person.is_online();
    }
    one.sees_online(other.name());
    let legs = between(server, &[one, other]);
    one.delivers(other.name(), text);
    other.delivers(one.name(), text);
    let (mut datagrams, mut initials) = (Vec::new(), Vec::new());
    for leg in &legs {
        let (forth, back) = (leg.forth(), leg.back());
        initials.extend(initials_in(&forth, &back));
        datagrams.extend(forth.into_iter().chain(back));
    }
    assert!(!initials.is_empty(), "the first messages can be read");
    server.is_honest();
    Recording { datagrams, initials }
}

/// Somebody on every wire between these people: whoever is told where one of them is, is told of a forwarder
/// to there.
fn between(server: &LyingServer, people: &[&Person]) -> Vec<Forwarder> {
    let mut legs = Vec::new();
    let mut places = Vec::new();
    for person in people {
        let [place] = udp_sockets(person.agent()).try_into().expect("one socket");
        let leg = Forwarder::to(place);
        places.push((person.name().to_owned(), Candidate(leg.address())));
        legs.push(leg);
    }
    server.sends_astray(move |name, door| {
        if let Some((_, place)) = places.iter().find(|(whose, _)| whose == name) {
            door.candidates = vec![*place];
        }
    });
    legs
}

/// What the wire between an agent and the real server has in common with that of the next day.
#[test]
fn nothing_on_the_wire_links_two_sessions_of_the_same_person_at_the_server() {
    let lab = Lab::new("recordings at the server");
    let server = lab.server();
    let record = |person: &Person| {
        let wire = Forwarder::to(server.address());
        let (place, link) = (wire.address().to_string(), server.link_at(wire.address()));
        person.tries_to_log_in(&place, Some(&link)).done();
        person.is_online();
        let (forth, back) = (wire.forth(), wire.back());
        let initials = initials_in(&forth, &back);
        assert!(!initials.is_empty(), "the first messages can be read");
        let datagrams = forth.into_iter().chain(back).collect();
        let recording = Recording { datagrams, initials };
        recording.says_nothing_of(person, &[]);
        person.logs_out();
        recording
    };
    let people = lab.people(&server, ["thistlewood", "marchbanks"]);
    people.iter().for_each(Person::logs_out);
    let [alice, bob] = &people;
    let control = record(bob);
    let (first, second) = (record(alice), record(alice));
    assert!(first.datagrams.len() > 10, "there is a session to search");
    nothing_links(&first, &second, &control);
}
