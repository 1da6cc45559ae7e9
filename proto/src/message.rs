//! What people say to each other, and what a conversation remembers of it. Everything here lasts longer
//! than the connection that carries it, so unknown kinds are carried whole.

use minicbor::{
    Decode, Decoder, Encode, Encoder,
    decode::Error as DecodeError,
    encode::{Error as EncodeError, Write},
};

use crate::{
    id::MessageId,
    limits::{EMOJI_BYTES_MAX, READ_IDS_MAX, TEXT_BYTES_MAX},
};

/// A message: an array of the id, the sender's clock, the newest message of the other person that the
/// sender had, the number of the kind, and the body as bytes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    /// The same at both ends.
    pub id: MessageId,
    /// The sender's clock, in milliseconds since 1970. A label.
    pub sent_at: u64,
    /// The newest message of the addressee that was on the sender's disk when this one was written: what
    /// the sender had seen. Messages of one machine arrive in the order they were written, so this and
    /// that order are all of the causal order.
    pub seen: Option<MessageId>,
    /// What is said.
    pub body: Body,
}

/// What is said.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Body {
    /// A text.
    Text(Text),
    /// Another wording of a text of the sender.
    Edit {
        /// Which.
        of: MessageId,
        /// The new wording, whole.
        text: String,
    },
    /// A message of the sender is taken back.
    Delete {
        /// Which.
        of: MessageId,
    },
    /// A sign on a message; it takes the place of the sender's sign before it.
    Reaction {
        /// On which.
        of: Ref,
        /// The sign. Empty takes it back.
        emoji: String,
    },
    /// Messages of the addressee that the sender has read. Never shown as a message of its own.
    Read {
        /// Which; at most [`READ_IDS_MAX`].
        ids: Vec<MessageId>,
    },
    /// From now on texts of this conversation disappear so many seconds after they were read; `None`
    /// means never.
    Timer {
        /// The time, in seconds.
        seconds: Option<u32>,
    },
    /// Something that a newer version says. Kept, and shown as such.
    Unknown {
        /// Its kind.
        kind: u16,
        /// Its body, as it came.
        body: Vec<u8>,
    },
}

/// A text message.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
#[cbor(array)]
pub struct Text {
    /// The text, byte for byte.
    #[n(0)]
    pub text: String,
    /// What it answers.
    #[n(1)]
    pub reply_to: Option<Ref>,
    /// It disappears so many seconds after it was read, at the reader's, and after it was delivered, at
    /// the writer's.
    #[n(2)]
    pub expires_after: Option<u32>,
}

/// A message that another one is about. Two people could use the same id, so whose it is belongs to it.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq)]
#[cbor(array)]
pub struct Ref {
    /// Which.
    #[n(0)]
    pub id: MessageId,
    /// Whether the sender of this reference wrote it.
    #[n(1)]
    pub own: bool,
}

const TEXT: u16 = 0;
const EDIT: u16 = 1;
const DELETE: u16 = 2;
const REACTION: u16 = 3;
const READ: u16 = 4;
const TIMER: u16 = 5;

impl Body {
    /// A text that answers nothing and stays.
    pub const fn text(text: String) -> Self {
        Self::Text(Text { text, reply_to: None, expires_after: None })
    }

    /// The number of the kind on the wire. Never renumber.
    pub const fn kind(&self) -> u16 {
        match self {
            Self::Text(_) => TEXT,
            Self::Edit { .. } => EDIT,
            Self::Delete { .. } => DELETE,
            Self::Reaction { .. } => REACTION,
            Self::Read { .. } => READ,
            Self::Timer { .. } => TIMER,
            Self::Unknown { kind, .. } => *kind,
        }
    }

    /// Whether this is something said, which can be answered, signed and taken back, and not about something
    /// said. What cannot be known is taken to be.
    pub const fn is_said(&self) -> bool {
        match self {
            Self::Text(_) | Self::Unknown { .. } => true,
            Self::Edit { .. }
            | Self::Delete { .. }
            | Self::Reaction { .. }
            | Self::Read { .. }
            | Self::Timer { .. } => false,
        }
    }

    /// Whether everything in it is within its bounds.
    pub fn is_within_bounds(&self) -> bool {
        match self {
            Self::Text(Text { text, .. }) | Self::Edit { text, .. } => text.len() <= TEXT_BYTES_MAX,
            Self::Reaction { emoji, .. } => emoji.len() <= EMOJI_BYTES_MAX,
            Self::Read { ids } => ids.len() <= READ_IDS_MAX,
            Self::Unknown { body, .. } => body.len() <= TEXT_BYTES_MAX,
            Self::Delete { .. } | Self::Timer { .. } => true,
        }
    }

    /// Whether the bytes of a known kind are that kind's.
    fn from_parts(kind: u16, bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut decoder = Decoder::new(bytes);
        let body = match kind {
            TEXT => Self::Text(decoder.decode()?),
            EDIT => {
                let (of, text) = decoder.decode()?;
                Self::Edit { of, text }
            }
            DELETE => Self::Delete { of: decoder.decode()? },
            REACTION => {
                let (of, emoji) = decoder.decode()?;
                Self::Reaction { of, emoji }
            }
            READ => Self::Read { ids: decoder.decode()? },
            TIMER => Self::Timer { seconds: decoder.decode()? },
            kind => return Ok(Self::Unknown { kind, body: bytes.to_vec() }),
        };
        let whole = decoder.position() == bytes.len();
        if whole { Ok(body) } else { Err(DecodeError::message("bytes after the end of a body")) }
    }

    fn write<W: Write>(&self, e: &mut Encoder<W>) -> Result<(), EncodeError<W::Error>> {
        match self {
            Self::Text(text) => e.encode(text)?,
            Self::Edit { of, text } => e.encode((of, text))?,
            Self::Delete { of } => e.encode(of)?,
            Self::Reaction { of, emoji } => e.encode((of, emoji))?,
            Self::Read { ids } => e.encode(ids)?,
            Self::Timer { seconds } => e.encode(seconds)?,
            // Written as it came, without a form of its own.
            Self::Unknown { .. } => e,
        };
        Ok(())
    }
}

impl<Ctx> Encode<Ctx> for Message {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut Ctx,
    ) -> Result<(), EncodeError<W::Error>> {
        e.array(5)?.encode(self.id)?.u64(self.sent_at)?.encode(self.seen)?;
        e.u16(self.body.kind())?;
        if let Body::Unknown { body, .. } = &self.body {
            return e.bytes(body)?.ok();
        }
        let mut bytes = Vec::new();
        // Writing to a vector does not fail.
        let written = self.body.write(&mut Encoder::new(&mut bytes));
        debug_assert!(written.is_ok());
        e.bytes(&bytes)?.ok()
    }
}

impl<'b, Ctx> Decode<'b, Ctx> for Message {
    fn decode(d: &mut Decoder<'b>, _: &mut Ctx) -> Result<Self, DecodeError> {
        if d.array()? != Some(5) {
            return Err(DecodeError::message("a message of another shape"));
        }
        let (id, sent_at, seen) = (d.decode()?, d.u64()?, d.decode()?);
        let kind = d.u16()?;
        let body = Body::from_parts(kind, d.bytes()?)?;
        Ok(Self { id, sent_at, seen, body })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;

    fn id(byte: u8) -> MessageId {
        MessageId([byte; 16])
    }

    fn message(body: Body) -> Message {
        Message { id: id(1), sent_at: 2, seen: Some(id(3)), body }
    }

    #[test]
    fn every_kind_survives_the_wire() {
        let of = Ref { id: id(4), own: true };
        let text = Text { text: "hi".into(), reply_to: Some(of), expires_after: Some(60) };
        let bodies = [
            Body::text("hello".into()),
            Body::Text(text),
            Body::Edit { of: id(5), text: "better".into() },
            Body::Delete { of: id(5) },
            Body::Reaction { of, emoji: "👍".into() },
            Body::Read { ids: vec![id(6), id(7)] },
            Body::Timer { seconds: None },
            Body::Timer { seconds: Some(5) },
            Body::Unknown { kind: 77, body: vec![1, 2, 3] },
        ];
        for body in bodies {
            let message = message(body);
            let bytes = wire::encode(&message);
            assert_eq!(wire::decode(&bytes), Ok(message));
        }
    }

    #[test]
    fn a_known_kind_with_another_body_is_refused() {
        let odd = Body::Unknown { kind: DELETE, body: vec![0xff] };
        assert!(wire::decode::<Message>(&wire::encode(&message(odd))).is_err());
        let mut long = wire::encode(&id(5));
        long.push(0);
        let odd = Body::Unknown { kind: DELETE, body: long };
        assert!(wire::decode::<Message>(&wire::encode(&message(odd))).is_err());
    }

    #[test]
    fn bounds_hold_for_every_kind() {
        assert!(Body::text("x".repeat(TEXT_BYTES_MAX)).is_within_bounds());
        assert!(!Body::text("x".repeat(TEXT_BYTES_MAX + 1)).is_within_bounds());
        let text = "x".repeat(TEXT_BYTES_MAX + 1);
        assert!(!Body::Edit { of: id(1), text }.is_within_bounds());
        let emoji = "x".repeat(EMOJI_BYTES_MAX + 1);
        assert!(!Body::Reaction { of: Ref { id: id(1), own: true }, emoji }.is_within_bounds());
        assert!(!Body::Read { ids: vec![id(1); READ_IDS_MAX + 1] }.is_within_bounds());
    }
}
