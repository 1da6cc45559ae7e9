//! Frames that come when they may not, or are not what they should be: they close one connection.

use std::{net::SocketAddr, time::Duration};

use crate::{
    crypto::{
        opaque::{ClientLogin, ClientRegistration},
        rng::Rng,
        secret::Secret,
    },
    identity::Identity,
    limits::{
        CANDIDATES_MAX, GREETING_FRAME_BYTES_MAX, GREETING_TIMEOUT, HANDSHAKE_BYTES_MAX,
        NOTE_BYTES_MAX, SERVER_FRAME_BYTES_MAX, VAULT_BYTES_MAX,
    },
    note::NoteKind,
    ticket::AttemptId,
    wire::{
        self,
        server::{Candidate, Door, Nat, Refusal, Reply, Request, Withdrawal},
    },
    world::{World, name},
};

const ATTEMPT: AttemptId = AttemptId([3; 16]);

fn door() -> Door {
    Door { certificate: [1; 32], knock: Secret::new([2; 32]), candidates: Vec::new() }
}

/// One request of every kind, as an honest client might send it in the right state.
fn every_request() -> Vec<Request> {
    let mut rng = Rng::from_seed(Secret::new([1; 32]));
    let (_, request) = ClientRegistration::start(&mut rng, b"password").unwrap();
    let (_, ke1) = ClientLogin::start(&mut rng, b"password").unwrap();
    let entry = Identity::from_seed(Secret::new([2; 32])).entry(&name("dave"));
    let mut vault = vec![0; 100];
    vault[8] = 2;
    let (note, message) = (vec![0; 200], vec![0; 1_264]);
    let bob = || name("bob");
    vec![
        Request::Register { name: name("dave"), request },
        Request::FinishRegistration {
            record: record(&mut rng),
            vault: vault.clone(),
            entry,
            device: [0; 32],
            invite: None,
        },
        Request::Login { name: bob(), ke1 },
        Request::FinishLogin { ke3: [0; 64], device: [0; 32] },
        Request::Resume { session: [0; 16], signature: [0; 64] },
        Request::Logout { challenge: [0; 32] },
        Request::FinishLogout { proof: [0; 32] },
        Request::Lookup { request: 1, name: bob() },
        Request::SendNote { request: 1, to: bob(), kind: NoteKind::Request, note },
        Request::Withdraw { request: 1, name: bob(), how: Withdrawal::Remove },
        Request::NoteTaken { note: 1 },
        Request::PutVault { request: 1, vault },
        Request::Introduce { attempt: ATTEMPT, to: bob(), door: door(), first: message.clone() },
        Request::Answer { attempt: ATTEMPT, door: door(), second: message },
        Request::Decline { attempt: ATTEMPT },
        Request::Prove { ke3: [0; 64], request },
        Request::ChangePassword { record: record(&mut rng), envelope: [0; 105], device: [0; 32] },
        Request::ListDevices { request: 1 },
        Request::RevokeDevice { request: 1, device: [0; 32] },
        Request::Return { session: [0; 16], signature: [0; 64] },
        Request::DeleteAccount { request: 1 },
        Request::Reach { hidden_from: vec![bob()], nat: Some(Nat::Cone), global: None },
        Request::Outcome { attempt: ATTEMPT, connected: true },
        Request::Recover { name: bob(), ke1 },
        Request::SetRecovery { request: 1, record: record(&mut rng), envelope: [0; 105] },
        Request::RemoveRecovery { request: 1 },
    ]
}

fn record(rng: &mut Rng) -> [u8; 192] {
    use crate::crypto::opaque::{ServerSetup, Stretching, answer_registration};
    let (client, request) = ClientRegistration::start(rng, b"password").unwrap();
    let setup = ServerSetup::generate(rng);
    let response = answer_registration(&setup, &[7; 32], &request).unwrap();
    client.finish(rng, b"dave", b"password", &response, Stretching::TRIVIAL).unwrap().0
}

/// What a connection expects next.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Expects {
    Anything,
    RegistrationsEnd,
    LoginsEnd,
    RecoveriesEnd,
    Requests,
}

/// Whether a request may come then. Exhaustive, so that a new one is thought of here.
fn may_come(expects: Expects, request: &Request) -> bool {
    let when = match request {
        Request::Register { .. }
        | Request::Login { .. }
        | Request::Recover { .. }
        | Request::Resume { .. }
        | Request::Return { .. } => Expects::Anything,
        Request::FinishRegistration { .. } => Expects::RegistrationsEnd,
        Request::FinishLogin { .. } => Expects::LoginsEnd,
        Request::Prove { .. } => {
            return matches!(expects, Expects::LoginsEnd | Expects::RecoveriesEnd);
        }
        // Nothing is to be changed before a proof, which these zeros are not.
        Request::ChangePassword { .. }
        | Request::DeleteAccount { .. }
        | Request::SetRecovery { .. }
        | Request::RemoveRecovery { .. } => return false,
        // Without a challenge before it, a proof proves nothing.
        Request::FinishLogout { .. } => return false,
        Request::Logout { .. }
        | Request::Lookup { .. }
        | Request::SendNote { .. }
        | Request::Withdraw { .. }
        | Request::NoteTaken { .. }
        | Request::PutVault { .. }
        | Request::ListDevices { .. }
        | Request::RevokeDevice { .. }
        | Request::Introduce { .. }
        | Request::Answer { .. }
        | Request::Decline { .. }
        | Request::Outcome { .. }
        | Request::Reach { .. } => Expects::Requests,
    };
    expects == when
}

/// A connection in this state; for `Requests`, alice's.
fn connection(world: &mut World, expects: Expects) -> u64 {
    if expects == Expects::Requests {
        return world.machine("alice").link.unwrap();
    }
    let (link, _) = world.dial_server(SocketAddr::from(([192, 0, 2, 90], 1)));
    let begins = |request: &Request| match expects {
        Expects::RegistrationsEnd => matches!(request, Request::Register { .. }),
        Expects::LoginsEnd => matches!(request, Request::Login { .. }),
        Expects::RecoveriesEnd => matches!(request, Request::Recover { .. }),
        _ => false,
    };
    if let Some(request) = every_request().iter().find(|request| begins(request)) {
        world.ask(link, request);
    }
    link
}

fn is_unexpected(reply: &Reply) -> bool {
    matches!(reply, Reply::Refused { request: None, why: Refusal::Unexpected, .. })
}

#[test]
fn every_request_in_every_wrong_state_closes_that_connection_and_no_other() {
    use Expects::{Anything, LoginsEnd, RecoveriesEnd, RegistrationsEnd, Requests};
    for expects in [Anything, RegistrationsEnd, LoginsEnd, RecoveriesEnd, Requests] {
        for request in every_request() {
            let mut world = World::of_friends(1, &["alice", "bob"]);
            let link = connection(&mut world, expects);
            let replies = world.ask_bytes(link, &wire::encode(&request));
            let allowed = may_come(expects, &request);
            let unexpected = replies.iter().any(is_unexpected);
            assert_eq!(unexpected, !allowed, "{expects:?}: {request:?}");
            if !allowed {
                assert!(world.is_closed(link), "{expects:?}: {request:?}");
            }
            world.run();
            assert!(world.node("bob").is_online(), "{expects:?}: {request:?}");
            if unexpected && expects != Requests {
                world.send("alice", "bob", "hello");
                assert_eq!(world.texts("bob"), ["hello"]);
            }
        }
    }
}

#[test]
fn requests_are_numbered_without_gaps() {
    let number = |request| {
        let frame = wire::encode(&request);
        let mut decoder = minicbor::Decoder::new(&frame);
        decoder.array().unwrap();
        decoder.u32().unwrap()
    };
    let numbers = every_request().into_iter().map(number);
    assert_eq!(numbers.collect::<Vec<_>>(), (0..26).collect::<Vec<_>>());
}

#[test]
fn truncated_and_lengthened_frames_close_the_connection() {
    for request in every_request() {
        let body = wire::encode(&request);
        let expects =
            [Expects::Anything, Expects::RegistrationsEnd, Expects::LoginsEnd, Expects::Requests]
                .into_iter()
                .find(|expects| may_come(*expects, &request))
                .unwrap_or(Expects::Requests);
        let mut world = World::of(1, &["alice", "bob"]);
        let mut check = |body: &[u8]| {
            if world.machine("alice").link.is_none() {
                world.resume("alice");
            }
            let link = connection(&mut world, expects);
            let replies = world.ask_bytes(link, body);
            assert!(replies.iter().any(is_unexpected), "{} bytes of {request:?}", body.len());
            assert!(world.is_closed(link));
            world.disconnect("alice");
            world.run();
        };
        for length in (0..body.len()).step_by(1 + body.len() / 40).chain([body.len() - 1]) {
            check(&body[..length]);
        }
        check(&[&body[..], &[0]].concat());
        check(&[&body[..], &body[..]].concat());
    }
}

#[test]
fn more_than_a_request_may_carry_closes_the_connection() {
    let candidates = vec![Candidate(([192, 0, 2, 9], 9).into()); CANDIDATES_MAX];
    let crowded = Door { candidates, ..door() };
    let long = vec![0; HANDSHAKE_BYTES_MAX + 1];
    let (bob, kind) = (|| name("bob"), NoteKind::Request);
    for request in [
        Request::PutVault { request: 1, vault: vec![0; VAULT_BYTES_MAX + 1] },
        Request::PutVault { request: 1, vault: vec![0; 8] },
        Request::SendNote { request: 1, to: bob(), kind, note: vec![0; NOTE_BYTES_MAX + 1] },
        Request::SendNote { request: 1, to: name("alice"), kind, note: Vec::new() },
        Request::Withdraw { request: 1, name: name("alice"), how: Withdrawal::Block },
        Request::Introduce { attempt: ATTEMPT, to: bob(), door: crowded, first: Vec::new() },
        Request::Introduce { attempt: ATTEMPT, to: bob(), door: door(), first: long.clone() },
        Request::Answer { attempt: ATTEMPT, door: door(), second: long },
    ] {
        let mut world = World::of_friends(2, &["alice", "bob"]);
        let link = world.machine("alice").link.unwrap();
        let replies = world.ask_bytes(link, &wire::encode(&request));
        assert!(replies.iter().any(is_unexpected), "{request:?}");
        assert!(world.is_closed(link));
    }
}

#[test]
fn strangers_may_send_little_and_must_not_wait() {
    let mut world = World::of(3, &["alice"]);
    let (link, binding) = world.dial_server(SocketAddr::from(([192, 0, 2, 90], 1)));
    let address = SocketAddr::from(([192, 0, 2, 91], 1));
    let rng = Rng::from_seed(Secret::new([1; 32]));
    let session = super::super::Session::new(world.now, world.settings, binding, address, rng);
    assert_eq!(session.frame_bytes_max(), GREETING_FRAME_BYTES_MAX);
    let registration = every_request().remove(1);
    let Request::FinishRegistration { record, entry, device, invite, .. } = registration else {
        panic!("the second request finishes a registration");
    };
    // An honest registration fits, and not by chance: the vault of somebody without contacts is 4 KiB.
    let vault = world.storage.vault(&name("alice")).to_vec();
    let honest = Request::FinishRegistration { record, vault, entry, device, invite };
    assert!(wire::encode(&honest).len() < GREETING_FRAME_BYTES_MAX * 3 / 4);
    world.wait(GREETING_TIMEOUT - Duration::from_millis(1));
    assert!(!world.is_closed(link));
    world.wait(Duration::from_millis(1));
    assert!(world.is_closed(link));
    let alices = world.machine("alice").link.unwrap();
    assert!(!world.is_closed(alices));
}

#[test]
fn everything_that_may_be_sent_fits_a_frame() {
    let vault = vec![0; VAULT_BYTES_MAX];
    let largest = wire::encode(&Request::PutVault { request: u32::MAX, vault });
    assert!(largest.len() <= SERVER_FRAME_BYTES_MAX);
}
