//! What anybody on the wire can read of the first packets of QUIC, and forge of its version negotiation.

use std::collections::BTreeMap;

use rustls::{
    Side, SupportedCipherSuite,
    crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256,
    quic::{Keys, Version},
};

const NUMBER_BYTES: usize = 4;
const SAMPLE_BYTES: usize = 16;

/// The extension of TLS with QUIC's transport parameters (RFC 9001, 8.2).
const TRANSPORT_PARAMETERS: usize = 0x39;

/// Every value in the first handshake messages of any connections whose datagrams these are: what is said in the
/// Initial packets, whose keys come from a number that each connection begins with in clear (RFC 9001, 5.2).
#[must_use]
pub fn initials_in(forth: &[Vec<u8>], back: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let first_ids: Vec<&[u8]> =
        forth.iter().filter_map(|datagram| Some(ids(datagram)?.0)).collect();
    let mut values = Vec::new();
    for id in first_ids {
        for (datagrams, reader) in [(forth, Side::Server), (back, Side::Client)] {
            let keys = keys(id, reader);
            let mut said = BTreeMap::new();
            let packets = datagrams.iter().filter_map(|datagram| open(datagram, &keys));
            // A packet that goes on in another way than this reads has said what it says of interest.
            packets.for_each(|payload| {
                collect(&payload, &mut said);
            });
            let mut message: Vec<u8> = Vec::new();
            for (at, piece) in said {
                // Whatever is missing comes in a packet that nobody outside can read.
                let new = message.len().checked_sub(at).and_then(|known| piece.get(known..));
                message.extend(new.unwrap_or_default());
            }
            values.extend(hello(&message).unwrap_or_default());
        }
    }
    values
}

/// What stands in a packet's CRYPTO frames, by where it belongs (RFC 9000, 19).
fn collect(payload: &[u8], said: &mut BTreeMap<usize, Vec<u8>>) -> Option<()> {
    let mut at = 0;
    while at < payload.len() {
        match number(payload, &mut at)? {
            0x00 | 0x01 => {}
            kind @ (0x02 | 0x03) => {
                let (_, _) = (number(payload, &mut at)?, number(payload, &mut at)?);
                let ranges = number(payload, &mut at)?;
                let more = 1 + 2 * ranges + if kind == 0x03 { 3 } else { 0 };
                (0..more).try_for_each(|_| number(payload, &mut at).map(drop))?;
            }
            0x06 => {
                let (offset, length) = (number(payload, &mut at)?, number(payload, &mut at)?);
                said.insert(offset, payload.get(at..at + length)?.to_vec());
                at += length;
            }
            _ => return None,
        }
    }
    Some(())
}

/// The values in a `ClientHello` or `ServerHello` (RFC 8446, 4.1): those of each extension on their own, because
/// their order changes.
fn hello(message: &[u8]) -> Option<Vec<Vec<u8>>> {
    let is_client = *message.first()? == 1;
    let mut at = 4 + 2;
    let mut values = vec![message.get(at..at + 32)?.to_vec()];
    at += 32;
    values.push(block(message, &mut at, 1)?.to_vec());
    if is_client {
        values.push(block(message, &mut at, 2)?.to_vec());
        values.push(block(message, &mut at, 1)?.to_vec());
    } else {
        at += 3;
    }
    let extensions = block(message, &mut at, 2)?;
    let mut at = 0;
    while at < extensions.len() {
        let kind = usize::from(u16::from_be_bytes(extensions.get(at..at + 2)?.try_into().ok()?));
        at += 2;
        let value = block(extensions, &mut at, 2)?;
        if kind == TRANSPORT_PARAMETERS {
            let mut at = 0;
            while at < value.len() {
                number(value, &mut at)?;
                let length = number(value, &mut at)?;
                values.push(value.get(at..at + length)?.to_vec());
                at += length;
            }
        } else {
            values.push(value.to_vec());
        }
    }
    Some(values)
}

/// So many bytes as a length in front of them says.
fn block<'m>(message: &'m [u8], at: &mut usize, length_bytes: usize) -> Option<&'m [u8]> {
    let length = message.get(*at..*at + length_bytes)?;
    let length = length.iter().fold(0, |n, byte| n << 8 | usize::from(*byte));
    *at += length_bytes + length;
    message.get(*at - length..*at)
}

/// A packet by which somebody claims that the target of this Initial packet speaks other versions only
/// (RFC 9000, 17.2.1). `None` for any other packet.
#[must_use]
pub fn version_negotiation(initial: &[u8], versions: &[u32]) -> Option<Vec<u8>> {
    let (destination, source) = ids(initial)?;
    let id = |id: &[u8]| [&[u8::try_from(id.len()).unwrap()], id].concat();
    let mut packet = [vec![0x80 | 0x40, 0, 0, 0, 0], id(source), id(destination)].concat();
    packet.extend(versions.iter().flat_map(|version| version.to_be_bytes()));
    Some(packet)
}

/// The destination and source connection ids of a datagram that begins with an Initial packet of version 1.
fn ids(datagram: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = datagram.split_first()?;
    let rest = rest.strip_prefix(&[0, 0, 0, 1]).filter(|_| first & 0xf0 == 0xc0)?;
    let (&length, rest) = rest.split_first()?;
    let (destination, rest) = rest.split_at_checked(length.into())?;
    let (&length, rest) = rest.split_first()?;
    Some((destination, rest.get(..length.into())?))
}

fn open(datagram: &[u8], keys: &Keys) -> Option<Vec<u8>> {
    let (destination, source) = ids(datagram)?;
    let mut at = 7 + destination.len() + source.len();
    let token = number(datagram, &mut at)?;
    at += token;
    let rest = number(datagram, &mut at)?;
    let mut header = datagram.get(..at)?.to_vec();
    let mut body = datagram.get(at..at + rest)?.to_vec();
    let sample = body.get(NUMBER_BYTES..NUMBER_BYTES + SAMPLE_BYTES)?.to_vec();
    let counter = &mut body[..NUMBER_BYTES];
    keys.remote.header.decrypt_in_place(&sample, &mut header[0], counter).ok()?;
    let bytes = usize::from(header[0] & 3) + 1;
    let counted = body[..bytes].iter().fold(0, |count, byte| count << 8 | u64::from(*byte));
    header.extend(&body[..bytes]);
    let mut sealed = body.split_off(bytes);
    Some(keys.remote.packet.decrypt_in_place(counted, &header, &mut sealed).ok()?.to_vec())
}

/// A variable-length number (RFC 9000, 16).
fn number(datagram: &[u8], at: &mut usize) -> Option<usize> {
    let first = *datagram.get(*at)?;
    let bytes = 1_usize << (first >> 6);
    let all = datagram.get(*at..*at + bytes)?;
    *at += bytes;
    let rest =
        all[1..].iter().fold(usize::from(first & 0x3f), |n, byte| n << 8 | usize::from(*byte));
    Some(rest)
}

fn keys(id: &[u8], side: Side) -> Keys {
    let SupportedCipherSuite::Tls13(suite) = TLS13_AES_128_GCM_SHA256;
    suite.quic_suite().unwrap().keys(id, side, Version::V1)
}
