//! Guessing, replaying and stealing at the server's front door.

use hither_proto::{
    crypto::{
        label::Label,
        opaque::{ClientLogin, Stretching},
        sign::SignKey,
    },
    note::NoteKind,
    wire::{
        self,
        server::{Refusal, Reply, Request},
    },
};
use hither_tests::{
    lab::{Lab, Server},
    rogue::{Account, Link, Online},
    wire::{Forwarder, Stranger},
};

#[test]
fn an_unknown_name_and_a_wrong_password_get_the_same_answers() {
    let lab = Lab::new("enumeration");
    let server = lab.server();
    let mut alice = Account::new("alice");
    drop(alice.registers(&server));
    let [known, unknown] = ["alice", "nobody"].map(|name| {
        let mut guesser = Account::new(name);
        std::array::from_fn::<_, 3, _>(|_| answers_to_a_guess(&server, &mut guesser))
    });
    for ((ke2, refusal), (other_ke2, other_refusal)) in known.iter().zip(&unknown) {
        assert_eq!(ke2.len(), other_ke2.len());
        // The message's number and its lengths; the rest is fresh every time.
        assert_eq!(ke2[..6], other_ke2[..6]);
        assert_eq!(refusal, other_refusal);
    }
    assert_eq!(known[0].1, known[1].1);
    alice.logs_in(&server);
}

#[test]
fn where_addresses_are_doubted_a_first_packet_gets_a_retry_and_nothing_else() {
    let lab = Lab::new("retry");
    let mut server = lab.server();
    assert_eq!(server.stops().exit, 0);
    let config = server.data().join("hitherd.toml");
    let before = std::fs::read_to_string(&config).unwrap_or_default();
    std::fs::write(&config, format!("retry = \"always\"\n{before}")).unwrap();
    server.starts_again();

    let forwarder = Forwarder::to(server.address());
    let link = Link::through(&server, forwarder.address());
    let (said, answered) = (forwarder.forth(), forwarder.back());
    assert!(is_retry(&answered[0]), "first of all a retry: {:02x?}", answered[0]);
    drop(link);

    let first = &said[0];
    let strangers: [_; 5] = std::array::from_fn(|_| {
        let stranger = Stranger::repeats(server.address(), first);
        let answer = stranger.awaits_answer();
        assert!(is_retry(&answer), "{answer:02x?}");
        assert!(answer.len() < first.len(), "no amplification");
        stranger
    });
    // Whoever proves his address is served as ever; nothing more has come to the others by then.
    let mut alice = Account::new("alice");
    drop(alice.registers(&server));
    alice.logs_in(&server);
    lab.person("bob").registers(&server);
    for stranger in &strangers {
        assert_eq!(stranger.answers(), [[0; 0]; 0]);
    }
}

#[test]
fn a_wrong_logout_proof_leaves_the_session_as_it_is() {
    let lab = Lab::new("wrong logout proof");
    let server = lab.server();
    let mut alice = Account::new("alice");
    let mut online = alice.registers(&server);
    let (challenge, zero) = ([3; 32], [0; 32]);
    for _ in 0..3 {
        online.link.says(&Request::Logout { challenge });
        let Reply::LogoutChallenge { proof, .. } = online.link.hears() else { panic!() };
        // The server's own proof, sent back, is as wrong as any other.
        online.link.says(&Request::FinishLogout { proof });
        online.link.is_refused();
        online = alice.tries_to_resume(&server, online.session).expect("the session is there");
    }
    // A proof for an earlier challenge is void with the next one.
    online.link.says(&Request::Logout { challenge });
    let Reply::LogoutChallenge { challenge: theirs, .. } = online.link.hears() else { panic!() };
    online.link.says(&Request::Logout { challenge: zero });
    assert!(matches!(online.link.hears(), Reply::LogoutChallenge { .. }));
    let proof = online.key.logout_proof(Label::LogoutClient, &challenge, &theirs);
    online.link.says(&Request::FinishLogout { proof: *proof.expose() });
    online.link.is_refused();
    alice.tries_to_resume(&server, online.session).expect("the session is there");
}

#[test]
fn nobody_ends_the_presence_of_somebody_else() {
    let lab = Lab::new("presence of others");
    let server = lab.server();
    let (mut alice, mut bob) = friends(&server);
    let session = alice.session;
    let mut thief = Account::new("alice");
    for request in
        [Request::Logout { challenge: [0; 32] }, Request::FinishLogout { proof: [0; 32] }]
    {
        let mut link = Link::to(&server);
        link.says(&request);
        link.is_refused();
    }
    answers_to_a_guess(&server, &mut thief);
    let refused = thief.tries_to_resume(&server, session).unwrap_err();
    assert!(is_auth_failed(&refused), "{refused:?}");
    let gone = |reply: &Reply| matches!(reply, Reply::Presence { online: false, .. });
    let overheard = (alice.overhears(), bob.overhears());
    assert!(!overheard.0.iter().chain(&overheard.1).any(gone), "{overheard:?}");
}

#[test]
fn a_stolen_session_is_worth_nothing_without_the_key_of_its_device() {
    let lab = Lab::new("stolen session");
    let server = lab.server();
    let mut alice = Account::new("alice");
    let online = alice.registers(&server);
    let stolen = online.session;
    let mut mallory = Account::new("mallory");
    drop(mallory.registers(&server));
    let refused = mallory.tries_to_resume(&server, stolen).unwrap_err();
    assert!(is_auth_failed(&refused), "{refused:?}");
    let unknown = mallory.tries_to_resume(&server, [9; 16]).unwrap_err();
    assert_eq!(wire::encode(&refused), wire::encode(&unknown), "no telling which ids exist");
    alice.device = SignKey::from_secret(&alice.rng.secret());
    let refused = alice.tries_to_resume(&server, stolen).unwrap_err();
    assert!(is_auth_failed(&refused), "{refused:?}");
}

#[test]
fn a_resumption_is_good_for_the_connection_that_it_was_made_on() {
    let lab = Lab::new("replayed resumption");
    let server = lab.server();
    let mut alice = Account::new("alice");
    let session = alice.registers(&server).session;
    let recorded = Link::to(&server);
    let signature = recorded.channel().sign_resumption(&alice.device, &session);
    let replayed = alice.tries_to_resume_with(Link::to(&server), session, signature).unwrap_err();
    assert!(is_auth_failed(&replayed), "{replayed:?}");
    alice.tries_to_resume_with(recorded, session, signature).expect("where it belongs");
}

#[test]
fn a_login_is_good_for_the_connection_that_it_began_on() {
    let lab = Lab::new("replayed login");
    let server = lab.server();
    let mut alice = Account::new("alice");
    drop(alice.registers(&server));
    let Account { name, password, rng, .. } = &mut alice;
    let (state, ke1) = ClientLogin::start(rng, password).unwrap();
    let login = Request::Login { name: name.clone(), ke1 };
    let [mut recorded, mut replayed] = [Link::to(&server), Link::to(&server)];
    recorded.says(&login);
    let Reply::Login { ke2 } = recorded.hears() else { panic!() };
    let (bytes, context) = (name.as_bytes(), recorded.channel().login_context());
    let finished = state.finish(rng, bytes, password, &context, &ke2, Stretching::TRIVIAL);
    let finish = Request::FinishLogin { ke3: finished.unwrap().0, device: [1; 32] };
    replayed.says(&login);
    assert!(matches!(replayed.hears(), Reply::Login { .. }));
    replayed.says(&finish);
    let refused = replayed.hears();
    assert!(is_auth_failed(&refused), "{refused:?}");
    recorded.says(&finish);
    assert!(matches!(recorded.hears(), Reply::Welcome { .. }));
}

/// Logs in with whatever password comes to mind: the body of KE2, and that of the refusal.
fn answers_to_a_guess(server: &Server, guesser: &mut Account) -> (Vec<u8>, Vec<u8>) {
    let Account { name, password, rng, .. } = guesser;
    let mut link = Link::to(server);
    let (_, ke1) = ClientLogin::start(rng, password).unwrap();
    link.says(&Request::Login { name: name.clone(), ke1 });
    let ke2 = link.hears_body().expect("KE2, whether or not there is such a name");
    link.says(&Request::FinishLogin { ke3: rng.bytes(), device: [1; 32] });
    let refusal = link.hears_body().expect("a refusal");
    assert!(is_auth_failed(&wire::decode(&refusal).unwrap()));
    assert_eq!(link.hears_body(), None);
    (ke2, refusal)
}

/// Two people who have accepted each other and have heard that the other is there.
fn friends(server: &Server) -> (Online, Online) {
    let mut alice = Account::new("alice").registers(server);
    let mut bob = Account::new("bob").registers(server);
    let (alices, bobs) = (alice.entry.clone(), bob.entry.clone());
    alice.sends_note(&bobs, NoteKind::Request);
    bob.sends_note(&alices, NoteKind::Accept);
    for online in [&mut alice, &mut bob] {
        online.awaits(|reply| matches!(reply, Reply::Presence { online: true, .. }).then_some(()));
    }
    (alice, bob)
}

fn is_auth_failed(reply: &Reply) -> bool {
    let Reply::Refused { request, why, retry_after_ms } = reply else { return false };
    (request, why, retry_after_ms) == (&None, &Refusal::AuthFailed, &None)
}

/// Whether a datagram is a Retry packet of QUIC version 1 (RFC 9000, 17.2.5).
fn is_retry(datagram: &[u8]) -> bool {
    datagram[0] & 0xf0 == 0xf0 && datagram[1..5] == [0, 0, 0, 1]
}
