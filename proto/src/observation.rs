//! Questions that a client asks on the server's second port, from a socket of its own: which answers come through
//! says from whom the client's translator lets packets in (RFC 4787, section 5), and for how long it remembers; and where
//! the client is seen by such a socket.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    time::Duration,
};

/// The silences after which it is tried whether a flow is remembered, in seconds. The server waits no longer.
pub const SILENCES: [u16; 5] = [10, 20, 40, 80, 160];

/// How often a silent connection is kept alive as long as nothing is known of the address translator. Most forget
/// after 30 seconds and more.
pub const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// The same at the most often, for a translator that forgets at once, and at the most seldom: the other end gives a
/// connection up that is silent for longer than that.
const KEEP_ALIVE_MIN: Duration = Duration::from_secs(4);
const KEEP_ALIVE_MAX: Duration = Duration::from_secs(20);

/// The same for a translator that remembers silent flows for so long, at least: twice in that time.
pub fn keep_alive(lifetime: Duration) -> Duration {
    (lifetime / 2).clamp(KEEP_ALIVE_MIN, KEEP_ALIVE_MAX)
}

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

/// Bytes of a [`Where`], which are more than those of its [`Seen`].
pub const WHERE_BYTES: usize = 40;

/// Bytes of a [`Seen`].
pub const SEEN_BYTES: usize = 36;

/// Where is this socket seen?
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Where {
    /// Which client asks, as the server knows it on this port.
    pub token: [u8; 16],
}

/// There.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Seen {
    /// The question's, which nobody else knows.
    pub token: [u8; 16],
    /// Where the question came from.
    pub at: SocketAddr,
}

impl Where {
    /// The datagram.
    pub fn encode(&self) -> [u8; WHERE_BYTES] {
        let mut datagram = [0; WHERE_BYTES];
        datagram[1] = 6;
        datagram[2..18].copy_from_slice(&self.token);
        datagram
    }

    /// What [`Where::encode`] has made.
    pub fn decode(datagram: &[u8]) -> Option<Self> {
        let datagram: &[u8; WHERE_BYTES] = datagram.try_into().ok()?;
        let [0, 6, rest @ ..] = datagram else { return None };
        Some(Self { token: rest[..16].try_into().ok()? })
    }
}

impl Seen {
    /// The datagram.
    pub fn encode(&self) -> [u8; SEEN_BYTES] {
        let ip = match self.at.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        let mut datagram = [0; SEEN_BYTES];
        datagram[1] = 7;
        datagram[2..18].copy_from_slice(&self.token);
        datagram[18..34].copy_from_slice(&ip.octets());
        datagram[34..].copy_from_slice(&self.at.port().to_be_bytes());
        datagram
    }

    /// What [`Seen::encode`] has made.
    pub fn decode(datagram: &[u8]) -> Option<Self> {
        let datagram: &[u8; SEEN_BYTES] = datagram.try_into().ok()?;
        let [0, 7, rest @ ..] = datagram else { return None };
        let ip = Ipv6Addr::from(<[u8; 16]>::try_from(&rest[16..32]).ok()?).to_canonical();
        let port = u16::from_be_bytes(rest[32..].try_into().ok()?);
        Some(Self { token: rest[..16].try_into().ok()?, at: SocketAddr::new(ip, port) })
    }
}

const _: () = assert!(ANSWER_BYTES < QUESTION_BYTES);
const _: () = assert!(SEEN_BYTES < WHERE_BYTES);

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

    #[test]
    fn where_a_socket_is_seen_is_read_as_it_was_written() {
        let token = [7; 16];
        let question = Where { token }.encode();
        assert_eq!(Where::decode(&question), Some(Where { token }));
        assert_eq!(Question::decode(&question), None);
        for at in ["203.0.113.7:9", "[2001:db8::2]:65535"] {
            let seen = Seen { token, at: at.parse().unwrap() };
            assert_eq!(Seen::decode(&seen.encode()), Some(seen));
            assert_eq!(Where::decode(&seen.encode()), None);
            assert_eq!(Answer::decode(&seen.encode()), None);
        }
        assert_eq!(Where::decode(&[0; WHERE_BYTES]), None);
        assert_eq!(Seen::decode(&[0; SEEN_BYTES]), None);
        assert_eq!(Seen::decode(&[]), None);
    }

    #[test]
    fn silence_is_kept_to_half_of_what_is_remembered() {
        for (lifetime, often) in [(0, 4), (10, 5), (20, 10), (40, 20), (160, 20)] {
            let seconds = Duration::from_secs;
            assert_eq!(keep_alive(seconds(lifetime)), seconds(often));
        }
    }
}
