//! Registering, logging in, resuming: with the right secrets, and not without them.

use std::{collections::BTreeMap, net::UdpSocket as StdUdpSocket, sync::Arc};

use hither_proto::{
    crypto::opaque::ClientLogin,
    limits::GREETING_FRAME_BYTES_MAX,
    wire::server::{Refusal, Reply, Request},
};
use tokio::{net::UdpSocket, task::JoinSet};

use super::{Host, Person, hear, soon};
use crate::{
    config::{Config, Registration, Retry},
    limits::ACCOUNT_LOGINS_BURST,
    quic::client::Client,
};

fn refusal(reply: Reply) -> Refusal {
    match reply {
        Reply::Refused { why, .. } => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_name_and_a_password_are_all_that_a_login_needs() {
    let host = Host::start().await;
    let mut alice = Person::new("alice");
    alice.registers(&host).await;
    let mut there = Person { password: alice.password.clone(), ..Person::new("alice") };
    let online = there.logs_in(&host).await;
    assert_eq!(online.entry, alice.identity.entry(&alice.name));
    assert!(online.seed.unwrap().matches(alice.identity.seed().expose()));
}

#[tokio::test]
async fn accounts_outlive_the_server() {
    let mut host = Host::start().await;
    let mut alice = Person::new("alice");
    let session = alice.registers(&host).await.session;
    host.stops().await;
    host.starts().await;
    assert!(alice.tries_to_resume(&host, session).await.is_ok());
    alice.logs_in(&host).await;
}

#[tokio::test]
async fn a_name_is_given_out_once() {
    let host = Host::start().await;
    let mut alice = Person::new("alice");
    alice.registers(&host).await;
    let refused = Person::new("alice").tries_to_register(&host).await.err().unwrap();
    assert_eq!(refusal(refused), Refusal::NameTaken);
    alice.logs_in(&host).await;
}

#[tokio::test]
async fn nobody_registers_where_registration_is_closed() {
    for registration in [Registration::Closed, Registration::Invite] {
        let registration = Some(registration);
        let host = Host::start_with(Config { registration, ..Config::default() }).await;
        let refused = Person::new("alice").tries_to_register(&host).await.err().unwrap();
        assert_eq!(refusal(refused), Refusal::RegistrationClosed);
    }
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_disabled_or_deleted_name_look_the_same() {
    let mut host = Host::start().await;
    let mut alice = Person::new("alice");
    let [mut disabled, mut deleted] = ["disab", "delet"].map(Person::new);
    for person in [&mut alice, &mut disabled, &mut deleted] {
        person.registers(&host).await;
    }
    host.disables_and_deletes(&disabled, &deleted).await;
    let mut said = Vec::new();
    // The two of whom nobody may log in know their passwords, and it is of no use.
    let mut last_of = vec![Person::new("nobod").mistaken(), disabled, deleted];
    last_of.insert(0, alice.mistaken());
    for person in &mut last_of {
        let mut client = Client::connect(host.address).await;
        let (_, ke1) = ClientLogin::start(&mut person.rng, &person.password).unwrap();
        client.send(&Request::Login { name: person.name.clone(), ke1 }).await;
        let ke2 = soon(client.receive_body()).await.unwrap();
        client.send(&Request::FinishLogin { ke3: [7; 64], device: [7; 32] }).await;
        let last = soon(client.receive_body()).await.unwrap();
        assert!(soon(client.receive_body()).await.is_none());
        said.push((ke2.len(), last));
    }
    assert!(said.iter().all(|one| *one == said[0]));
    for mut person in last_of {
        let refused = person.tries_to_log_in(&host).await.err().unwrap();
        assert_eq!(refusal(refused), Refusal::AuthFailed);
    }
    alice.logs_in(&host).await;
}

/// What the server makes of the first bytes of a KE1, asked for as a login or as a registration.
async fn evaluates(host: &Host, name: &str, ke1: &[u8; 96], registers: bool) -> Vec<u8> {
    let mut client = Client::connect(host.address).await;
    let name = name.parse().unwrap();
    if registers {
        let request = ke1[..32].try_into().unwrap();
        client.send(&Request::Register { name, request }).await;
    } else {
        client.send(&Request::Login { name, ke1: *ke1 }).await;
    }
    match hear(&mut client).await {
        Reply::Login { ke2 } => ke2[..32].to_vec(),
        Reply::Registration { response } => response[..32].to_vec(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn registering_gives_no_answer_that_a_login_would_give() {
    let mut host = Host::start().await;
    let mut alice = Person::new("alice");
    alice.registers(&host).await;
    let (_, ke1) = ClientLogin::start(&mut alice.rng, b"a guess").unwrap();
    for name in ["alice", "nobody"] {
        let first = evaluates(&host, name, &ke1, false).await;
        let registered = evaluates(&host, name, &ke1, true).await;
        assert_ne!(first, registered, "{name}");
        assert_ne!(registered, evaluates(&host, name, &ke1, true).await, "{name}");
        host.stops().await;
        host.starts().await;
        assert_eq!(first, evaluates(&host, name, &ke1, false).await, "{name}");
    }
}

#[tokio::test]
async fn of_logins_at_once_the_connection_stays_whose_session_does() {
    let host = Host::start().await;
    let mut alice = Person::new("alice");
    alice.registers(&host).await;
    let login = || Person { password: alice.password.clone(), ..Person::new("alice") };
    let [mut a, mut b, mut c, mut d] = [login(), login(), login(), login()];
    let logins = tokio::join!(
        a.tries_to_log_in(&host),
        b.tries_to_log_in(&host),
        c.tries_to_log_in(&host),
        d.tries_to_log_in(&host)
    );
    let logins = [logins.0, logins.1, logins.2, logins.3];
    let (mut open, mut left) = (JoinSet::new(), BTreeMap::new());
    for (device, login) in logins.into_iter().enumerate() {
        // Whoever is overtaken before the end of the login is not logged in at all.
        let Ok(mut online) = login else { continue };
        left.insert(device, online.session);
        open.spawn(async move {
            while soon(online.client.receive()).await.is_some() {}
            device
        });
    }
    while left.len() > 1 {
        let closed = soon(open.join_next()).await.unwrap().unwrap();
        left.remove(&closed);
    }
    let (device, session) = left.pop_first().unwrap();
    assert!([a, b, c, d][device].tries_to_resume(&host, session).await.is_ok());
}

#[tokio::test]
async fn guesses_are_slowed_down_for_every_name_alike() {
    let host = Host::start().await;
    let mut alice = Person::new("alice");
    let session = alice.registers(&host).await.session;
    for mut guesser in [alice.mistaken(), Person::new("nobody").mistaken()] {
        for _ in 0..ACCOUNT_LOGINS_BURST.get() {
            let refused = guesser.tries_to_log_in(&host).await.err().unwrap();
            assert_eq!(refusal(refused), Refusal::AuthFailed);
        }
        match guesser.tries_to_log_in(&host).await.err().unwrap() {
            Reply::Refused { why: Refusal::RateLimited, retry_after_ms: Some(wait), .. } => {
                assert!(wait > 0 && wait <= 11_000, "{wait}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(alice.tries_to_resume(&host, session).await.is_ok(), "that takes no password");
    Person::new("bob").registers(&host).await;
}

#[tokio::test]
async fn a_login_that_succeeds_forgives_the_mistakes_before_it() {
    let host = Host::start().await;
    let mut alice = Person::new("alice");
    alice.registers(&host).await;
    for _ in 0..2 {
        for _ in 1..ACCOUNT_LOGINS_BURST.get() {
            assert!(alice.mistaken().tries_to_log_in(&host).await.is_err());
        }
        alice.logs_in(&host).await;
    }
}

#[tokio::test]
async fn a_session_is_resumed_by_its_device_only() {
    let host = Host::start().await;
    let mut alice = Person::new("alice");
    let first = alice.registers(&host).await.session;
    let resumed = alice.tries_to_resume(&host, first).await.unwrap();
    assert_eq!(resumed.entry, alice.identity.entry(&alice.name));
    assert!(resumed.vault.is_empty(), "that takes a password");

    let thief = Person::new("alice");
    let unknown = [9; 16];
    for refused in
        [thief.tries_to_resume(&host, first).await, alice.tries_to_resume(&host, unknown).await]
    {
        assert_eq!(refusal(refused.err().unwrap()), Refusal::AuthFailed);
    }
    let second = alice.logs_in(&host).await.session;
    let refused = alice.tries_to_resume(&host, first).await.err().unwrap();
    assert_eq!(refusal(refused), Refusal::Parked);
    let refused = thief.tries_to_resume(&host, first).await.err().unwrap();
    assert_eq!(refusal(refused), Refusal::AuthFailed, "only who has the device is told");
    assert!(alice.tries_to_resume(&host, second).await.is_ok());
}

#[tokio::test]
async fn a_vault_is_stored_if_it_is_the_next_one() {
    let host = Host::start().await;
    let mut alice = Person::new("alice");
    let mut online = alice.registers(&host).await;
    let next = |counter: u64| [&[1], &counter.to_be_bytes()[..], &[9; 200_000]].concat();
    assert!(next(2).len() > GREETING_FRAME_BYTES_MAX);
    assert!(online.does(&Request::PutVault { request: 1, vault: next(2) }).await.is_empty());
    online.says(&Request::PutVault { request: 2, vault: next(4) }).await;
    let refused = online.hears().await;
    assert!(matches!(
        refused,
        Reply::Refused { request: Some(2), why: Refusal::Conflict, retry_after_ms: None }
    ));
    assert!(alice.logs_in(&host).await.vault == next(2));
}

#[tokio::test]
async fn an_address_is_proven_first_where_that_is_set() {
    let retry = Config { retry: Some(Retry::Always), ..Config::default() };
    for (config, expected) in [(retry, true), (Config::default(), false)] {
        let host = Host::start_with(config).await;
        let wire = Wire::before(&host).await;
        let mut client = Client::connect(wire.0).await;
        client.send(&Request::Resume { session: [0; 16], signature: [0; 64] }).await;
        assert_eq!(refusal(hear(&mut client).await), Refusal::AuthFailed, "it got through");
        assert_eq!(wire.1.load(std::sync::atomic::Ordering::Relaxed), expected);
    }
}

/// Passes one client's datagrams on, and notes whether a Retry packet was among the answers.
struct Wire(std::net::SocketAddr, Arc<std::sync::atomic::AtomicBool>);

impl Wire {
    async fn before(host: &Host) -> Self {
        let loopback = StdUdpSocket::bind("127.0.0.1:0").unwrap();
        loopback.set_nonblocking(true).unwrap();
        let front = UdpSocket::from_std(loopback).unwrap();
        let back = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        back.connect(host.address).await.unwrap();
        let wire = Self(front.local_addr().unwrap(), Arc::default());
        let retried = Arc::clone(&wire.1);
        tokio::spawn(async move {
            let (mut forth, mut reply) = ([0; 2048], [0; 2048]);
            let mut client = None;
            loop {
                tokio::select! {
                    Ok((length, from)) = front.recv_from(&mut forth) => {
                        client = Some(from);
                        back.send(&forth[..length]).await.unwrap();
                    }
                    Ok(length) = back.recv(&mut reply) => {
                        // RFC 9000, 17.2: the long header, and the type that is a Retry packet.
                        if reply[0] & 0xb0 == 0xb0 {
                            retried.store(true, std::sync::atomic::Ordering::Relaxed);
                        }
                        front.send_to(&reply[..length], client.unwrap()).await.unwrap();
                    }
                }
            }
        });
        wire
    }
}
