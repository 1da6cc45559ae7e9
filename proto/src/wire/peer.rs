//! What two people's agents say to each other inside a session.

use minicbor::{Decode, Encode};

use super::DecodeError;
use crate::{id::MessageId, message::Message};

/// The plaintext of one frame.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub enum Content {
    /// The first frame of each direction: it proves that its sender holds the session's keys.
    #[n(0)]
    Hello,
    /// A message, to be kept.
    #[n(1)]
    Message(#[n(0)] Message),
    /// These messages are on this end's disk.
    #[n(2)]
    Delivered {
        /// Which.
        #[n(0)]
        ids: Vec<MessageId>,
    },
    /// The session ends on purpose. A connection that closes without it was cut.
    #[n(3)]
    Bye,
    /// Nothing but a turn of the ratchet, so that its healing does not depend on somebody's typing.
    #[n(4)]
    Tick {
        /// Whether the other end is to answer with one.
        #[n(0)]
        answer: bool,
    },
    /// The sender is typing, or has stopped. Never stored.
    #[n(5)]
    Typing {
        /// Whether they are.
        #[n(0)]
        on: bool,
    },
    /// Nobody has said anything for long: the other end may close the connection, if the two can be introduced again
    /// and nothing waits there.
    #[n(6)]
    Rest,
}

/// The number of the first kind of frame that this version does not know.
const UNKNOWN: u32 = 7;

impl Content {
    /// What a frame says; `None` if a newer version says something that it does not expect us to know.
    /// Whatever must not be lost is a message, and those are never unknown here.
    pub fn decode_known(plaintext: &[u8]) -> Result<Option<Self>, DecodeError> {
        let known = super::decode(plaintext);
        let mut decoder = minicbor::Decoder::new(plaintext);
        let newer = decoder.array().is_ok() && decoder.u32().is_ok_and(|kind| kind >= UNKNOWN);
        match known {
            Err(_) if newer => Ok(None),
            known => known.map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::encode;

    #[test]
    fn frames_of_a_newer_version_are_passed_over_and_nonsense_is_not() {
        for content in
            [Content::Hello, Content::Tick { answer: true }, Content::Typing { on: true }]
        {
            assert_eq!(Content::decode_known(&encode(&content)), Ok(Some(content)));
        }
        assert_eq!(Content::decode_known(&encode(&(9_u32, [1_u32]))), Ok(None));
        assert!(Content::decode_known(&encode(&(1_u32, [1_u32]))).is_err());
        assert!(Content::decode_known(&[]).is_err());
    }
}
