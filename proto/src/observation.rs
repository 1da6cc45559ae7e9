//! Questions that a client asks on the server's second port, from a socket of its own: which answers come through
//! says from whom the client's translator lets packets in (RFC 4787, section 5), and for how long it remembers.

/// Bytes of a [`Question`], which are more than those of its [`Answer`]: nobody gains by asking in another's name.
pub const QUESTION_BYTES: usize = 20;

/// Bytes of an [`Answer`].
pub const ANSWER_BYTES: usize = 18;

/// From where the server answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Port {
    /// From the port that was asked, which every translator lets in.
    Asked,
    /// From one that the client has sent nothing to.
    Other,
}

/// What a client would like to be answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Question {
    /// From where.
    pub from: Port,
    /// After how many seconds.
    pub after: u16,
    /// Which client asks, as the server knows it on this port.
    pub token: [u8; 16],
}

/// The answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Answer {
    /// From where.
    pub from: Port,
    /// The question's, which nobody else knows.
    pub token: [u8; 16],
}

impl Question {
    /// The datagram.
    pub fn encode(&self) -> [u8; QUESTION_BYTES] {
        let mut datagram = [0; QUESTION_BYTES];
        datagram[1] = match self.from {
            Port::Asked => 2,
            Port::Other => 3,
        };
        datagram[2..18].copy_from_slice(&self.token);
        datagram[18..].copy_from_slice(&self.after.to_be_bytes());
        datagram
    }

    /// What [`Question::encode`] has made.
    pub fn decode(datagram: &[u8]) -> Option<Self> {
        let datagram: &[u8; QUESTION_BYTES] = datagram.try_into().ok()?;
        let [0, from, rest @ ..] = datagram else { return None };
        let from = match from {
            2 => Port::Asked,
            3 => Port::Other,
            _ => return None,
        };
        let (token, after) = rest.split_at(16);
        let after = u16::from_be_bytes(after.try_into().ok()?);
        Some(Self { from, after, token: token.try_into().ok()? })
    }
}

impl Answer {
    /// The datagram.
    pub fn encode(&self) -> [u8; ANSWER_BYTES] {
        let mut datagram = [0; ANSWER_BYTES];
        datagram[1] = match self.from {
            Port::Asked => 4,
            Port::Other => 5,
        };
        datagram[2..].copy_from_slice(&self.token);
        datagram
    }

    /// What [`Answer::encode`] has made.
    pub fn decode(datagram: &[u8]) -> Option<Self> {
        let from = match datagram {
            [0, 4, ..] => Port::Asked,
            [0, 5, ..] => Port::Other,
            _ => return None,
        };
        Some(Self { from, token: datagram[2..].try_into().ok()? })
    }
}

const _: () = assert!(ANSWER_BYTES < QUESTION_BYTES);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reach::{PROBE_BYTES, Probe};

    #[test]
    fn questions_and_answers_are_read_as_they_were_written() {
        for from in [Port::Asked, Port::Other] {
            let question = Question { from, after: 160, token: [7; 16] };
            assert_eq!(Question::decode(&question.encode()), Some(question));
            let answer = Answer { from, token: [7; 16] };
            assert_eq!(Answer::decode(&answer.encode()), Some(answer));
            // What stands on the same port is told apart by its first two bytes.
            assert_eq!(Probe::decode(&question.encode()), None);
            assert_eq!(Probe::decode(&answer.encode()), None);
            assert_eq!(Question::decode(&answer.encode()), None);
        }
        assert_eq!(Question::decode(&[0; QUESTION_BYTES]), None);
        assert_eq!(Question::decode(&[0; PROBE_BYTES]), None);
        assert_eq!(Answer::decode(&[]), None);
    }
}
