//! What no honest client sends ends that one connection, and nothing else.

use hither_proto::{
    limits::{GREETING_FRAME_BYTES_MAX, SERVER_FRAME_BYTES_MAX},
    wire::{
        self,
        server::{Refusal, Reply, Request},
    },
};

use super::{Host, Person, hear, soon};
use crate::quic::client::{Client, Dialect};

/// Sends bytes on a connection that nobody has logged in on, and waits for the server to end it.
async fn is_refused(host: &Host, bytes: &[u8]) {
    let mut client = Client::connect(host.address).await;
    client.send_bytes(bytes).await;
    let said = hear(&mut client).await;
    assert!(matches!(said, Reply::Refused { why: Refusal::Unexpected, .. }), "{said:?}");
    assert!(soon(client.receive()).await.is_none());
}

fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).unwrap().to_be_bytes()
}

#[tokio::test]
async fn frames_that_are_none_end_the_connection() {
    let host = Host::start().await;
    let mut alice = Person::new("alice");
    let mut online = alice.registers(&host).await;
    let login = wire::encode(&Request::Resume { session: [1; 16], signature: [1; 64] });
    for bytes in [
        wire::frame(&[]),
        wire::frame(b"GET / HTTP/1.1\r\n\r\n"),
        wire::frame(&login[..login.len() - 1]),
        wire::frame(&[&login[..], &[0]].concat()),
        wire::frame(&[0x82, 0x18, 0x63, 0x80]),
        length(GREETING_FRAME_BYTES_MAX + 1).to_vec(),
        length(u32::MAX as usize).to_vec(),
    ] {
        is_refused(&host, &bytes).await;
    }
    online.hears_nothing().await;
}

#[tokio::test]
async fn requests_out_of_turn_end_the_connection() {
    let host = Host::start().await;
    let out_of_turn = [
        Request::FinishLogin { ke3: [0; 64], device: [0; 32] },
        Request::Logout { challenge: [0; 32] },
        Request::Lookup { request: 0, name: "alice".parse().unwrap() },
        Request::PutVault { request: 0, vault: vec![0; 100] },
        Request::NoteTaken { note: 1 },
    ];
    for request in &out_of_turn {
        is_refused(&host, &wire::frame(&wire::encode(request))).await;
    }
}

#[tokio::test]
async fn a_key_exchange_made_of_nothing_ends_the_connection() {
    let host = Host::start().await;
    for request in [
        Request::Login { name: "alice".parse().unwrap(), ke1: [0xff; 96] },
        Request::Register { name: "alice".parse().unwrap(), request: [0xff; 32] },
    ] {
        let mut client = Client::connect(host.address).await;
        client.send(&request).await;
        let said = hear(&mut client).await;
        assert!(matches!(said, Reply::Refused { why: Refusal::Unexpected, .. }), "{said:?}");
        assert!(soon(client.receive()).await.is_none());
    }
    Person::new("alice").registers(&host).await;
}

#[tokio::test]
async fn even_somebody_logged_in_cannot_send_everything() {
    let host = Host::start().await;
    let mut alice = Person::new("alice");
    let too_long = length(SERVER_FRAME_BYTES_MAX + 1);
    let again =
        wire::frame(&wire::encode(&Request::Resume { session: [1; 16], signature: [1; 64] }));
    alice.registers(&host).await;
    for bytes in [&too_long[..], &again] {
        let mut online = alice.logs_in(&host).await;
        online.client.send_bytes(bytes).await;
        let said = online.hears().await;
        assert!(matches!(said, Reply::Refused { why: Refusal::Unexpected, .. }), "{said:?}");
        online.gets_cut_off().await;
    }
}

#[tokio::test]
async fn a_frame_may_come_byte_by_byte() {
    let host = Host::start().await;
    let mut client = Client::connect(host.address).await;
    let request = Request::Resume { session: [1; 16], signature: [1; 64] };
    for byte in wire::frame(&wire::encode(&request)) {
        client.send_bytes(&[byte]).await;
        tokio::task::yield_now().await;
    }
    let said = hear(&mut client).await;
    assert!(matches!(said, Reply::Refused { why: Refusal::AuthFailed, .. }), "{said:?}");
}

#[tokio::test]
async fn a_connection_has_one_stream() {
    let host = Host::start().await;
    let mut alice = Person::new("alice");
    let mut online = alice.registers(&host).await;
    let another = online.client.another_stream();
    tokio::select! {
        biased;
        () = another => panic!("a second stream"),
        () = online.hears_nothing() => {}
    }
}

#[tokio::test]
async fn nobody_gets_in_with_another_key_exchange_or_another_protocol() {
    let host = Host::start().await;
    let classical = rustls::crypto::aws_lc_rs::kx_group::X25519;
    for dialect in [
        Dialect { group: classical, ..Dialect::default() },
        Dialect { alpn: b"hither/0", ..Dialect::default() },
    ] {
        assert!(soon(Client::connect_as(host.address, dialect)).await.is_err());
    }
    assert!(Client::connect_as(host.address, Dialect::default()).await.is_ok());
}
