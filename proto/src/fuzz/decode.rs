//! Decoders of what is not sealed: frames, messages, entries, and texts that people type.

use std::{fmt, str::FromStr};

use minicbor::{Decode, Encode};

use crate::{
    id::MessageId,
    identity::{Entry, Identity},
    limits::{GREETING_FRAME_BYTES_MAX, PEER_FRAME_BYTES_MAX, SERVER_FRAME_BYTES_MAX},
    message::Message,
    name::{Address, Host, Link, Name, ServerPin},
    observation::{Answer, Question, Seen, Where},
    reach::Probe,
    recovery::RecoveryCode,
    wire::{
        self, DecodeError, LENGTH_BYTES,
        peer::Content,
        server::{Reply, Request},
    },
};

/// A frame of a client.
pub(super) fn request(bytes: &[u8]) {
    round_trip::<Request>(bytes);
}

/// A frame of the server.
pub(super) fn reply(bytes: &[u8]) {
    round_trip::<Reply>(bytes);
}

/// A datagram on the server's second port, or an answer from there.
pub(super) fn observation(bytes: &[u8]) {
    let kinds = [
        again(bytes, Answer::decode, |it| it.encode().to_vec()),
        again(bytes, Probe::decode, |it| it.encode().to_vec()),
        again(bytes, Question::decode, |it| it.encode().to_vec()),
        again(bytes, Seen::decode, |it| it.encode().to_vec()),
        again(bytes, Where::decode, |it| it.encode().to_vec()),
    ];
    let known = kinds.into_iter().filter(|known| *known).count();
    assert!(known <= 1, "a datagram is of one kind");
}

/// Whether it can be read; then it is written so that it reads the same.
fn again<T: fmt::Debug + PartialEq>(
    bytes: &[u8],
    decode: impl Fn(&[u8]) -> Option<T>,
    encode: impl Fn(&T) -> Vec<u8>,
) -> bool {
    let Some(value) = decode(bytes) else { return false };
    let written = encode(&value);
    assert_eq!(written.len(), bytes.len());
    assert_eq!(decode(&written), Some(value));
    true
}

/// The plaintext of a peer's frame.
pub(super) fn content(bytes: &[u8]) {
    let content = round_trip::<Content>(bytes);
    match Content::decode_known(bytes) {
        Ok(Some(known)) => assert_eq!(Some(known), content),
        Ok(None) | Err(_) => assert_eq!(content, None),
    }
}

/// A message, as it travels and as it is stored.
pub(super) fn message(bytes: &[u8]) {
    let Some(message) = round_trip::<Message>(bytes) else { return };
    assert_eq!(wire::decode::<Message>(&wire::encode(&message)).as_ref(), Ok(&message));
    let within_bounds = message.body.is_within_bounds();
    let content = wire::encode(&Content::Message(message));
    // Whatever may be said also fits a frame, with its envelope, padding and tag.
    assert!(!within_bounds || content.len() + 1024 <= PEER_FRAME_BYTES_MAX);
}

/// A directory entry.
pub(super) fn entry(bytes: &[u8]) {
    let Some(entry) = round_trip::<Entry>(bytes) else { return };
    assert_eq!(wire::decode::<Entry>(&wire::encode(&entry)).as_ref(), Ok(&entry));
    let name = entry.name.clone();
    if entry.verified(&name).is_some() {
        // Nobody can sign for a name but those whose keys are known here.
        let known = super::PEOPLE.map(|(person, seed)| {
            let person: Name = super::name(person);
            Identity::from_seed(super::secret(seed)).entry(&person)
        });
        assert!(known.contains(&entry), "a forged entry");
    }
}

/// The bytes of a connection: lengths and bodies.
pub(super) fn frames(bytes: &[u8]) {
    for max in [GREETING_FRAME_BYTES_MAX, PEER_FRAME_BYTES_MAX, SERVER_FRAME_BYTES_MAX] {
        let mut rest = bytes;
        while let Some((length, after)) = rest.split_first_chunk::<LENGTH_BYTES>() {
            let count = match wire::body_bytes(*length, max) {
                Ok(count) => count,
                Err(error) => {
                    assert!(matches!(error, DecodeError::TooLong(count) if count > max));
                    break;
                }
            };
            assert!(count <= max);
            let Some((body, after)) = after.split_at_checked(count) else { break };
            assert_eq!(wire::frame(body), rest[..LENGTH_BYTES + count]);
            rest = after;
        }
    }
}

/// A user name, typed or on the wire.
pub(super) fn name(bytes: &[u8]) {
    round_trip::<Name>(bytes);
    let Some((text, name)) = parsed::<Name>(bytes) else { return };
    let on_the_wire = wire::decode::<Name>(&wire::encode(&text));
    assert_eq!(on_the_wire.ok(), (name.as_str() == text).then_some(name));
}

/// A server's place, a person's address, a server link or a fingerprint.
pub(super) fn address(bytes: &[u8]) {
    parsed::<Host>(bytes);
    parsed::<Address>(bytes);
    parsed::<Link>(bytes);
    parsed::<ServerPin>(bytes);
}

/// A message id, typed or on the wire.
pub(super) fn id(bytes: &[u8]) {
    round_trip::<MessageId>(bytes);
    let Some((text, id)) = parsed::<MessageId>(bytes) else { return };
    // Every letter counts.
    let letters = text.to_ascii_uppercase();
    if letters.len() == 26 {
        assert_eq!(id.to_string(), letters.replace(['I', 'L'], "1").replace('O', "0"));
    } else {
        assert_eq!(format!("{:032X}", u128::from_be_bytes(id.0)), letters.replace('-', ""));
    }
}

/// A recovery code, as somebody types it.
pub(super) fn recovery(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let Ok(code) = RecoveryCode::read(text) else { return };
    let (shown, password) = (code.to_text(), code.to_password());
    // Every letter counts.
    let typed = text.replace(['-', ' ', '\t', '\n', '\r', '\x0c'], "").to_ascii_uppercase();
    assert_eq!(typed.replace(['I', 'L'], "1").replace('O', "0"), *password);
    assert_eq!(shown.replace('-', ""), *password);
    assert_eq!(RecoveryCode::read(&shown).map(|code| code.to_password()), Ok(password));
}

/// What is read can be written and read again, and is the same then; it does not grow; and it ends where
/// it ends.
fn round_trip<T: for<'b> Decode<'b, ()> + Encode<()>>(bytes: &[u8]) -> Option<T> {
    let value: T = wire::decode(bytes).ok()?;
    let written = wire::encode(&value);
    let again: T = wire::decode(&written).expect("what was written can be read");
    assert_eq!(wire::encode(&again), written);
    assert!(written.len() <= bytes.len(), "{} bytes became {}", bytes.len(), written.len());
    assert!(wire::decode::<T>(&bytes[..bytes.len() - 1]).is_err(), "a part passes for the whole");
    assert_eq!(wire::decode::<T>(&[bytes, &[0]].concat()).err(), Some(DecodeError::Trailing));
    Some(value)
}

/// What is read from a text is the same after it was shown, and is shown in no more letters.
fn parsed<T: FromStr + fmt::Display + fmt::Debug + PartialEq>(bytes: &[u8]) -> Option<(&str, T)> {
    let text = str::from_utf8(bytes).ok()?;
    let value: T = text.parse().ok()?;
    let shown = value.to_string();
    assert!(shown.len() <= text.len(), "{text:?} is shown as {shown:?}");
    assert_eq!(shown.parse().ok().as_ref(), Some(&value), "{text:?} is shown as {shown:?}");
    Some((text, value))
}
