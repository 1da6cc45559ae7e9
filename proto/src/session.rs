//! A session between two people on one connection: one key a message, used once and forgotten.
//!
//! The session lives and dies with its connection; nothing of it is ever written down.

use crate::crypto::{
    derive::{authenticate, derive},
    label::Label,
    seal::OneTimeKey,
    secret::Secret,
};

/// Plaintexts are padded to powers of four from this size on, so that their length says little.
const PAD_BYTES_MIN: usize = 64;

/// Above this size they are padded to multiples of it.
const PAD_BYTES_STEP: usize = 16 * 1024;

const HEADER_BYTES: usize = 4;

/// Which end of the handshake this is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// The one who asked for the introduction.
    Initiator,
    /// The one who was asked.
    Responder,
}

/// A frame that the session does not accept. The connection it came on is closed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SessionError {
    /// More messages than one chain may carry.
    #[error("the chain is used up")]
    Exhausted,
    /// The tag does not match.
    #[error("a tag does not match")]
    Forged,
    /// Not the next message: a repeated, dropped or reordered one. QUIC streams do none of that.
    #[error("not the next message")]
    OutOfOrder,
    /// Shorter than any frame, or padded in another way.
    #[error("not a frame")]
    Malformed,
}

/// Both directions of one session.
#[derive(Debug)]
pub struct Session {
    send: Chain,
    receive: Chain,
    id: [u8; 32],
}

/// A chain of message keys. Whoever holds it can read on, and never back.
#[derive(Debug)]
struct Chain {
    key: Secret<32>,
    next: u32,
}

impl Session {
    /// The session that grows from `root`; `id` is the handshake's hash.
    pub(crate) fn new(role: Role, id: [u8; 32], root: &Secret<32>) -> Self {
        let chain = |label| Chain { key: derive(&id, root.expose(), label, &[]), next: 0 };
        let (initiator, responder) = (chain(Label::PeerInitiator), chain(Label::PeerResponder));
        let (send, receive) = match role {
            Role::Initiator => (initiator, responder),
            Role::Responder => (responder, initiator),
        };
        Self { send, receive, id }
    }

    /// The next frame to send: its number, then the padded and sealed plaintext.
    pub fn seal(&mut self, plaintext: Vec<u8>) -> Result<Vec<u8>, SessionError> {
        let (number, key) = (self.send.next, self.send.message_key());
        self.send = self.send.successor()?;
        let header = number.to_be_bytes();
        let sealed = key.seal(&self.associated(header), pad(plaintext));
        Ok([&header[..], &sealed].concat())
    }

    /// The plaintext of the next frame. On error the session is exactly as it was.
    pub fn open(&mut self, frame: &[u8]) -> Result<Vec<u8>, SessionError> {
        let (header, sealed) =
            frame.split_first_chunk::<HEADER_BYTES>().ok_or(SessionError::Malformed)?;
        if u32::from_be_bytes(*header) != self.receive.next {
            return Err(SessionError::OutOfOrder);
        }
        let (staged, key) = (self.receive.successor()?, self.receive.message_key());
        let padded = key.open(&self.associated(*header), sealed).ok_or(SessionError::Forged)?;
        let plaintext = unpad(padded).ok_or(SessionError::Malformed)?;
        self.receive = staged;
        Ok(plaintext)
    }

    fn associated(&self, header: [u8; HEADER_BYTES]) -> Vec<u8> {
        [&self.id[..], &header].concat()
    }
}

impl Chain {
    fn message_key(&self) -> OneTimeKey {
        let message = authenticate(self.key.expose(), &[&[1]]);
        OneTimeKey::new(derive(&[], message.expose(), Label::Message, &[]))
    }

    fn successor(&self) -> Result<Self, SessionError> {
        let next = self.next.checked_add(1).ok_or(SessionError::Exhausted)?;
        Ok(Self { key: authenticate(self.key.expose(), &[&[2]]), next })
    }
}

const fn padded_bytes(bytes: usize) -> usize {
    let mut size = PAD_BYTES_MIN;
    while size < bytes && size < PAD_BYTES_STEP {
        size *= 4;
    }
    if size < bytes { bytes.next_multiple_of(PAD_BYTES_STEP) } else { size }
}

/// ISO/IEC 7816-4 padding: one byte 0x80, then zeros.
fn pad(mut plaintext: Vec<u8>) -> Vec<u8> {
    plaintext.push(0x80);
    plaintext.resize(padded_bytes(plaintext.len()), 0);
    plaintext
}

fn unpad(mut padded: Vec<u8>) -> Option<Vec<u8>> {
    let end = padded.iter().rposition(|byte| *byte != 0)?;
    (padded[end] == 0x80).then(|| padded.truncate(end))?;
    Some(padded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::seal::TAG_BYTES;

    fn pair() -> (Session, Session) {
        let root = Secret::new([1; 32]);
        let session = |role| Session::new(role, [2; 32], &root);
        (session(Role::Initiator), session(Role::Responder))
    }

    #[test]
    fn both_directions_carry_messages_in_order() {
        let (mut a, mut b) = pair();
        for length in [0, 1, 62, 63, 64, 255, 16 * 1024, 64 * 1024] {
            let text = vec![7; length];
            let frame = a.seal(text.clone()).unwrap();
            assert_eq!(frame.len(), HEADER_BYTES + padded_bytes(length + 1) + TAG_BYTES);
            assert_eq!(b.open(&frame).unwrap(), text);
            let frame = b.seal(text.clone()).unwrap();
            assert_eq!(a.open(&frame).unwrap(), text);
        }
    }

    #[test]
    fn a_forgery_leaves_the_session_untouched() {
        let (mut a, mut b) = pair();
        let frame = a.seal(b"hello".to_vec()).unwrap();
        for at in 0..frame.len() {
            let mut forged = frame.clone();
            forged[at] ^= 1;
            assert!(b.open(&forged).is_err());
        }
        assert_eq!(b.open(&frame).unwrap(), b"hello");
    }

    #[test]
    fn a_message_opens_once_and_only_at_its_place() {
        let (mut a, mut b) = pair();
        let [first, second] = [b"1", b"2"].map(|text| a.seal(text.to_vec()).unwrap());
        assert_eq!(b.open(&second), Err(SessionError::OutOfOrder));
        assert_eq!(b.open(&first).unwrap(), b"1");
        assert_eq!(b.open(&first), Err(SessionError::OutOfOrder));
        assert_eq!(b.open(&second).unwrap(), b"2");
        assert_eq!(b.open(&[0; 3]), Err(SessionError::Malformed));
    }

    #[test]
    fn a_reflected_message_does_not_open() {
        let (mut a, _) = pair();
        let frame = a.seal(b"hello".to_vec()).unwrap();
        assert_eq!(a.open(&frame), Err(SessionError::Forged));
    }

    #[test]
    fn equal_texts_look_different_and_lengths_come_in_steps() {
        let (mut a, _) = pair();
        let [one, two, three] =
            [b"same".to_vec(), b"same".to_vec(), vec![1; 40]].map(|text| a.seal(text).unwrap());
        assert_ne!(one[4..], two[4..]);
        assert_eq!(one.len(), three.len());
    }
}
