//! A server that lies to real agents: it can refuse its service, and gains nothing else.

use std::{
    collections::BTreeMap,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use hither_proto::{
    crypto::secret::Secret,
    identity::Identity,
    note,
    wire::{
        self,
        server::{Candidate, Reply, Request},
    },
};
use hither_tests::{
    lab::{DEADLINE, Lab, Person, until_true},
    rogue::LyingServer,
    wire::Dialect,
};
use serde_json::json;

use super::{people_at, rng};

/// What one end of an attempt may cost somebody whose address is given for another's: seven dials, each of two
/// packets, those once more, and a farewell; and one to spare.
const PACKETS_OF_AN_END: usize = 7 * 6;

#[test]
fn introductions_that_come_again_or_in_another_order_lead_to_the_same_conversation() {
    let lab = Lab::new("introductions again and again");
    let server = LyingServer::start();
    let [alice, bob] = people_at(&lab, &server, ["alice", "bob"]);
    alice.befriends(&bob);
    let mut before: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    server.garbles(move |name, body| {
        if matches!(wire::decode(&body), Ok(Reply::Unavailable { .. })) {
            // That the same was asked twice is no reason to give up.
            return Vec::new();
        }
        if !is_introduction(&body) {
            return vec![body];
        }
        // Whatever was said of earlier attempts comes first, the last of it first, and the new one twice.
        let before = before.entry(name.to_owned()).or_default();
        before.push(body.clone());
        let mut again: Vec<Vec<u8>> = before.iter().rev().skip(1).cloned().collect();
        again.extend([body.clone(), body]);
        again
    });
    for round in 0..3 {
        // It may keep them apart for as long as it lies.
        drop(alice.sends_with("bob", &format!("alice {round}"), &["--wait", "3s"]));
        drop(bob.sends_with("alice", &format!("bob {round}"), &["--wait", "3s"]));
        // A new path takes a new introduction.
        let dies = [&bob, &alice][round % 2];
        dies.kills_agent();
        dies.is_online();
    }
    server.is_honest();
    until_true("everything is delivered", || alice.queue().is_empty() && bob.queue().is_empty());
    assert_eq!(bob.hears(3), ["alice 0", "alice 1", "alice 2"]);
    assert_eq!(alice.hears(3), ["bob 0", "bob 1", "bob 2"]);

    alice.delivers("bob", "the path stands");
    for (who, person) in [("alice", &alice), ("bob", &bob)] {
        for said in server.has_told(who).iter().filter(|body| is_introduction(body)) {
            server.says(who, said);
        }
        // What was said before it has been taken in by then.
        person.adds(if who == "alice" { "bob" } else { "alice" });
    }
    bob.delivers("alice", "and still does");
    assert_eq!((alice.path_to("bob").is_some(), bob.path_to("alice").is_some()), (true, true));
    assert_eq!(
        (alice.hears(1), bob.hears(1)),
        (texts(["and still does"]), texts(["the path stands"]))
    );
}

#[test]
fn a_ticket_given_to_two_people_is_of_use_to_the_one_it_was_made_for() {
    let lab = Lab::new("one ticket for two");
    let server = Arc::new(LyingServer::start());
    let [alice, bob, carol] = people_at(&lab, &server, ["alice", "bob", "carol"]);
    alice.befriends(&bob);
    alice.befriends(&carol);
    let copies = Arc::new(Mutex::new(Vec::new()));
    let copied = Arc::clone(&copies);
    server.garbles(move |name, body| {
        if name != "carol" && is_introduction(&body) {
            copied.lock().unwrap().push(body.clone());
        }
        vec![body]
    });
    let sending = alice.starts(&["send", "bob", "--wait", "60s", "for bob alone"], None);
    let mut given = 0;
    // Carol is told both halves of it, while they are good, if there is time, and afterwards.
    until_true("it is delivered", || {
        let copies = copies.lock().unwrap().clone();
        copies.iter().skip(given).for_each(|body| server.says("carol", body));
        given = copies.len();
        bob.history() == ["for bob alone"]
    });
    assert_eq!(sending.wait().done()["state"], "delivered");
    let copies = copies.lock().unwrap().clone();
    copies.iter().for_each(|body| server.says("carol", body));
    assert!(copies.len() >= 2, "there are {} halves", copies.len());
    assert_eq!(carol.status()["paths"], json!([]));
    assert_eq!(carol.history(), [""; 0]);
    assert_eq!(alice.path_to("carol"), None);
    alice.delivers("carol", "for carol");
    assert_eq!(carol.hears(1), ["for carol"]);
}

#[test]
fn whoever_is_given_for_an_agents_address_gets_few_packets() {
    let lab = Lab::new("packet cannon");
    let server = LyingServer::start();
    let [alice, bob] = people_at(&lab, &server, ["alice", "bob"]);
    alice.befriends(&bob);
    let victim = Victim::new();
    let place = Candidate(victim.place);
    server.sends_astray(move |_, door| door.candidates = vec![place; 1_000]);
    alice.sends_with("bob", "where are you?", &["--wait", "12s"]).fails(6, "peer_unreachable");
    let ends = attempts_of(&server, "alice") + attempts_of(&server, "bob");
    let packets = victim.packets();
    println!("{packets} packets from {ends} ends");
    assert!(packets > 0, "nobody was sent there");
    assert!(packets <= PACKETS_OF_AN_END * ends, "{packets} packets from {ends} ends");
    assert_eq!(bob.history(), [""; 0]);

    server.is_honest();
    drop(bob.sends("alice", "here"));
    until_true("both are found", || alice.history().len() + bob.history().len() == 4);
}

#[test]
fn a_first_contact_that_the_server_forges_shows_each_another_number() {
    let lab = Lab::new("forged first contact");
    let server = LyingServer::start();
    let [alice, bob] = people_at(&lab, &server, ["alice", "bob"]);
    // For each of them the server has an identity of its own, and seals every note anew.
    let genuine = Arc::new(["alice", "bob"].map(|name| entry_of(&server, name)));
    let own = [1, 2].map(|seed| Identity::from_seed(Secret::new([seed; 32])));
    let of = move |name: &str| {
        let at = usize::from(name == "bob");
        (
            own[at].entry(&genuine[at].name),
            genuine[at].clone(),
            Identity::from_seed(own[at].seed().duplicate()),
        )
    };
    server.lies(move |to, mut reply| {
        match &mut reply {
            Reply::Entry { entry, .. } if entry.name.as_str() != to => {
                *entry = of(entry.name.as_str()).0;
            }
            Reply::Note { from, kind, sealed, .. } => {
                let (forged, _, identity) = of(from.as_str());
                let (_, theirs, _) = of(to);
                let to = (&theirs.name, &theirs.identity);
                *sealed = note::seal(&mut rng(), &identity, &forged, *kind, to).unwrap();
            }
            _ => {}
        }
        vec![reply]
    });
    alice.adds("bob");
    bob.accepts("alice");
    alice.sees_accepted("bob");
    let digits =
        |person: &Person, name: &str| person.runs(&["verify", name]).done()["digits"].clone();
    let (hers, his) = (digits(&alice, "bob"), digits(&bob, "alice"));
    assert_ne!(hers, his);
    alice.runs(&["verify", "bob", "--match", his.as_str().unwrap()]).fails(8, "unverified");
    assert_eq!(alice.contact("bob").unwrap()["verified"], false);
}

#[test]
fn a_block_and_a_removal_hold_whatever_the_server_makes_of_them() {
    let lab = Lab::new("blocks that the server forgets");
    let server = LyingServer::start();
    let [alice, bob, carol] = people_at(&lab, &server, ["alice", "bob", "carol"]);
    for other in [&bob, &carol] {
        alice.befriends(other);
    }
    // It says that it is done, and goes on bringing them together.
    alice.runs(&["contact", "block", "bob"]).done();
    alice.runs(&["contact", "remove", "carol"]).done();
    for other in [&bob, &carol] {
        let sent = other.sends_with("alice", "are you there?", &["--wait", "8s"]);
        assert!([6, 7].contains(&sent.exit), "{sent}");
        assert_eq!((other.queue().len(), other.path_to("alice")), (1, None));
    }
    let (mut declined, mut answered) = (0, 0);
    for request in server.has_heard("alice") {
        declined += usize::from(matches!(request, Request::Decline { .. }));
        answered += usize::from(matches!(request, Request::Answer { .. }));
    }
    assert!(declined >= 2, "both were brought to her");
    assert_eq!(answered, 0, "and learned no address of hers");
    assert_eq!(alice.history(), [""; 0]);
}

#[test]
fn a_server_that_tells_two_people_different_stories_of_each_other_loses_them_no_text() {
    let lab = Lab::new("two stories");
    let server = LyingServer::start();
    let [alice, bob] = people_at(&lab, &server, ["alice", "bob"]);
    alice.befriends(&bob);
    bob.stops_agent();
    alice.sees_offline("bob");
    // To alice, bob stays away and is nowhere; to bob, alice is there.
    server.lies(|to, reply| match reply {
        Reply::Presence { name, .. } if to == "alice" => {
            vec![Reply::Presence { name, online: false }]
        }
        Reply::Introduced { attempt, .. } if to == "alice" => vec![Reply::Unavailable { attempt }],
        reply => vec![reply],
    });
    bob.starts_agent();
    bob.is_online();
    bob.sees_online("alice");
    alice.queues("bob", "for when you are back");
    assert_eq!(alice.contact("bob").unwrap()["online"], false);
    bob.delivers("alice", "I am here");
    assert_eq!(bob.hears(1), ["for when you are back"]);
    assert_eq!(alice.hears(1), ["I am here"]);
    alice.sees_online("bob");
}

#[test]
fn a_logout_that_the_server_drops_or_only_claims_ends_everything_here_and_is_told() {
    let lab = Lab::new("dropped logouts");
    let server = LyingServer::start();
    let people = people_at(&lab, &server, ["alice", "bob", "carol"]);
    server.lies(|name, reply| match (name, reply) {
        ("alice", Reply::LogoutChallenge { .. }) => Vec::new(),
        ("bob", Reply::LogoutChallenge { .. }) => vec![Reply::LoggedOut],
        ("carol", Reply::LogoutChallenge { challenge, mut proof }) => {
            proof[0] ^= 1;
            vec![Reply::LogoutChallenge { challenge, proof }]
        }
        (_, reply) => vec![reply],
    });
    thread::scope(|scope| {
        for person in &people {
            let server = &server;
            scope.spawn(move || {
                let agent = person.agent();
                person.runs(&["logout"]).fails(3, "server_unreachable");
                until_true("the agent's end", || !hither_tests::lab::is_running(agent));
                person.runs(&["list"]).fails(4, "auth_required");
                let proven = |request: &Request| matches!(request, Request::FinishLogout { .. });
                assert!(!server.has_heard(person.name()).iter().any(proven), "no proof for a liar");
                assert_eq!(server.sessions_of(person.name()), 1, "it has kept the session");
            });
        }
    });
}

#[test]
fn an_old_vault_takes_nobody_from_a_machine_that_remembers() {
    let lab = Lab::new("old vault");
    let server = LyingServer::start();
    let [alice, bob] = people_at(&lab, &server, ["alice", "bob"]);
    alice.befriends(&bob);
    let identity = alice.identity();
    let vaults = vaults_of(&server, "alice");
    assert!(vaults.len() > 1, "the vault has changed since the registration");
    alice.logs_out();
    let old = vaults[0].clone();
    server.lies(move |name, mut reply| {
        if let Reply::Welcome { vault, .. } = &mut reply
            && name == "alice"
            && !vault.is_empty()
        {
            vault.clone_from(&old);
        }
        vec![reply]
    });
    log_in_at(&server, &alice).done();
    assert_eq!(
        (alice.identity(), alice.contact("bob").unwrap()["accepted"].clone()),
        (identity, json!(true))
    );
    until_true("what is remembered goes up again", || {
        vaults_of(&server, "alice").len() > vaults.len()
    });
    alice.delivers("bob", "still friends");

    // Another person's vault is no vault of hers, whoever has sealed it.
    alice.logs_out();
    let his = vaults_of(&server, "bob").pop().unwrap();
    server.lies(move |name, mut reply| {
        if let Reply::Welcome { vault, .. } = &mut reply
            && name == "alice"
        {
            vault.clone_from(&his);
        }
        vec![reply]
    });
    log_in_at(&server, &alice).fails(3, "server_unreachable");
    alice.runs(&["list"]).fails(4, "auth_required");
    server.is_honest();
    log_in_at(&server, &alice).done();
    alice.sees_online("bob");
}

#[test]
fn a_server_of_another_version_or_with_weaker_keys_is_told_nothing() {
    let lab = Lab::new("downgrades");
    let alice = lab.person("alice");
    let dialects = [
        Dialect { alpn: b"hither/0", ..Dialect::default() },
        Dialect { alpn: b"h3", ..Dialect::default() },
        Dialect { alpn: b"", ..Dialect::default() },
        Dialect::classical(),
    ];
    for dialect in dialects {
        let server = LyingServer::speaking(&dialect);
        let error = alice.tries_to_register(server.link()).fails(3, "server_unreachable");
        log_in_at(&server, &alice).fails(3, "server_unreachable");
        assert!(!server.has_heard_anybody(), "{dialect:?}: {error}");
    }
    let server = LyingServer::start();
    alice.tries_to_register(server.link()).done();
    assert!(server.has_heard_anybody());
}

#[test]
fn one_wrong_bit_in_what_the_server_says_ends_a_login() {
    let lab = Lab::new("wrong bits");
    let server = LyingServer::start();
    let [alice] = people_at(&lab, &server, ["alice"]);
    alice.logs_out();
    let told = server.has_told("alice");
    let welcome = told.iter().find(|body| is_welcome(body)).unwrap().len();
    // A sample, because each costs a stretching: the message's number, a nonce, the masked envelope, the MAC.
    let of_login = [1, 40, 200, 323];
    // The name in the entry, its signature, the vault's beginning and its end.
    let of_welcome = [26, 100, 240, welcome - 1];
    for (is_it, places) in
        [(is_login as fn(&[u8]) -> bool, &of_login[..]), (is_welcome, &of_welcome[..])]
    {
        for place in places.iter().copied() {
            server.garbles(move |_, mut body| {
                if is_it(&body) {
                    body[place] ^= 1 << (place % 8);
                }
                vec![body]
            });
            let outcome = log_in_at(&server, &alice);
            assert_ne!(outcome.exit, 0, "byte {place}: {outcome}");
            alice.runs(&["list"]).fails(4, "auth_required");
        }
    }
    server.is_honest();
    log_in_at(&server, &alice).done();
}

/// Logs in where the server is pinned.
#[track_caller]
fn log_in_at(server: &LyingServer, person: &Person) -> hither_tests::lab::Outcome {
    person.tries_to_log_in(&server.address().to_string(), Some(server.link()))
}

fn is_introduction(body: &[u8]) -> bool {
    matches!(wire::decode(body), Ok(Reply::Asked { .. } | Reply::Introduced { .. }))
}

fn is_login(body: &[u8]) -> bool {
    matches!(wire::decode(body), Ok(Reply::Login { .. }))
}

fn is_welcome(body: &[u8]) -> bool {
    matches!(wire::decode(body), Ok(Reply::Welcome { .. }))
}

/// How often somebody was told to dial.
fn attempts_of(server: &LyingServer, name: &str) -> usize {
    server.has_told(name).iter().filter(|body| is_introduction(body)).count()
}

/// Somebody who has nothing to do with any of this, and counts what comes.
struct Victim {
    place: SocketAddr,
    packets: Arc<AtomicUsize>,
}

impl Victim {
    fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        let place = socket.local_addr().unwrap();
        let packets = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&packets);
        // It ends when nothing has come for a long time.
        thread::spawn(move || {
            while socket.recv(&mut [0; 2048]).is_ok() {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { place, packets }
    }

    fn packets(&self) -> usize {
        self.packets.load(Ordering::Relaxed)
    }
}

/// The entry that somebody has registered with.
#[track_caller]
fn entry_of(server: &LyingServer, name: &str) -> hither_proto::identity::Entry {
    let entry = |request| match request {
        Request::FinishRegistration { entry, .. } => Some(entry),
        _ => None,
    };
    server.has_heard(name).into_iter().find_map(entry).expect("a registration")
}

/// Every vault that somebody has sealed, oldest first.
fn vaults_of(server: &LyingServer, name: &str) -> Vec<Vec<u8>> {
    let vault = |request| match request {
        Request::FinishRegistration { vault, .. } | Request::PutVault { vault, .. } => Some(vault),
        _ => None,
    };
    server.has_heard(name).into_iter().filter_map(vault).collect()
}

fn texts<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).to_vec()
}
