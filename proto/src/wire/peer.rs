//! What two people's agents say to each other inside a session.

use minicbor::{Decode, Encode};

use crate::id::MessageId;

/// The plaintext of one frame.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub enum Content {
    /// The first frame of each direction: it proves that its sender holds the session's keys.
    #[n(0)]
    Hello,
    /// A text message.
    #[n(1)]
    Text(#[n(0)] Text),
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
}

/// A text message.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
#[cbor(array)]
pub struct Text {
    /// The same at both ends.
    #[n(0)]
    pub id: MessageId,
    /// The sender's clock, in milliseconds since 1970. A label.
    #[n(1)]
    pub sent_at: u64,
    /// The text, byte for byte.
    #[n(2)]
    pub text: String,
}
