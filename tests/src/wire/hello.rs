//! A first packet of QUIC with a TLS 1.2 handshake in it, which no library makes any more.

use std::net::{SocketAddr, UdpSocket};

use rustls::{
    Side, SupportedCipherSuite,
    crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256,
    quic::{Keys, Version},
};

use super::{stranger::random, tls::ALPN};
use crate::lab::DEADLINE;

/// The smallest datagram that a QUIC server must take for the beginning of a connection.
const DATAGRAM_BYTES: usize = 1200;

const NUMBER_BYTES: usize = 4;
const TAG_BYTES: usize = 16;
const SAMPLE_BYTES: usize = 16;

/// Begins a connection with TLS 1.2 and nothing newer, and returns the error code with which the
/// server closes it (RFC 9000, 19.19).
///
/// # Panics
/// If the server does anything else.
#[must_use]
pub fn error_for_tls_1_2(server: SocketAddr) -> u16 {
    let id = random(8);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket.send_to(&initial(&id, &client_hello()), server).unwrap();
    let mut answer = [0; 2048];
    let (length, from) = socket.recv_from(&mut answer).expect("an answer");
    assert_eq!(from, server);
    let payload = open(&id, &mut answer[..length]);
    let [0x1c, high, low, ..] = payload[..] else { panic!("not a close: {payload:02x?}") };
    u16::from_be_bytes([high & 0x3f, low])
}

/// A `ClientHello` without the extension that TLS 1.3 is asked for with.
fn client_hello() -> Vec<u8> {
    let extension =
        |kind: u16, body: &[u8]| [&kind.to_be_bytes()[..], &length(body.len()), body].concat();
    let alpn = [&length(ALPN.len() + 1)[..], &[u8::try_from(ALPN.len()).unwrap()], ALPN].concat();
    let extensions = [
        extension(10, &[0, 4, 0, 29, 0, 23]),
        extension(13, &[0, 4, 4, 3, 8, 7]),
        extension(16, &alpn),
    ]
    .concat();
    let suites = [0, 4, 0xc0, 0x2b, 0xc0, 0x2f];
    let hello =
        [&[3, 3][..], &random(32), &[0], &suites, &[1, 0], &length(extensions.len()), &extensions]
            .concat();
    [&[1, 0][..], &length(hello.len()), &hello].concat()
}

/// An Initial packet that carries `hello` and fills its datagram.
fn initial(id: &[u8], hello: &[u8]) -> Vec<u8> {
    let mut header = vec![0xc3, 0, 0, 0, 1, u8::try_from(id.len()).unwrap()];
    header.extend(id);
    header.extend([0, 0]);
    let rest = DATAGRAM_BYTES - header.len() - 2;
    header.extend(varint(rest));
    header.extend([0; NUMBER_BYTES]);
    let mut payload = [&[0x06, 0][..], &varint(hello.len()), hello].concat();
    payload.resize(rest - NUMBER_BYTES - TAG_BYTES, 0);
    let keys = keys(id).local;
    let tag = keys.packet.encrypt_in_place(0, &header, &mut payload).unwrap();
    payload.extend(tag.as_ref());
    let (first, number) = header.split_at_mut(1);
    let number_at = number.len() - NUMBER_BYTES;
    let sample = &payload[..SAMPLE_BYTES];
    keys.header.encrypt_in_place(sample, &mut first[0], &mut number[number_at..]).unwrap();
    [header, payload].concat()
}

/// What stands in the Initial packet that answers the one to `id`.
fn open(id: &[u8], packet: &mut [u8]) -> Vec<u8> {
    assert_eq!(packet[0] & 0xf0, 0xc0, "an Initial packet");
    let mut at = 5;
    for _ in 0..2 {
        at += 1 + usize::from(packet[at]);
    }
    assert_eq!(packet[at], 0, "no token");
    at += 1;
    // Both lengths of a variable-length number that there can be here.
    let long = packet[at] & 0xc0 != 0;
    let rest = usize::from(packet[at] & 0x3f) << if long { 8 } else { 0 };
    let rest = rest + if long { usize::from(packet[at + 1]) } else { 0 };
    at += if long { 2 } else { 1 };
    let keys = keys(id).remote;
    let (header, body) = packet.split_at_mut(at);
    let (number, sealed) = body[..rest].split_at_mut(NUMBER_BYTES);
    let sample: Vec<u8> = sealed[..SAMPLE_BYTES].to_vec();
    keys.header.decrypt_in_place(&sample, &mut header[0], number).unwrap();
    let bytes = usize::from(header[0] & 3) + 1;
    let counted = number[..bytes].iter().fold(0, |count, byte| count << 8 | u64::from(*byte));
    let header = [header, &number[..bytes]].concat();
    let mut sealed = [&number[bytes..], sealed].concat();
    keys.packet.decrypt_in_place(counted, &header, &mut sealed).unwrap().to_vec()
}

fn keys(id: &[u8]) -> Keys {
    let SupportedCipherSuite::Tls13(suite) = TLS13_AES_128_GCM_SHA256;
    suite.quic_suite().unwrap().keys(id, Side::Client, Version::V1)
}

fn length(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes).unwrap().to_be_bytes()
}

/// A variable-length number of two bytes (RFC 9000, 16).
fn varint(value: usize) -> [u8; 2] {
    (0x4000 | u16::try_from(value).unwrap()).to_be_bytes()
}
