//! Which versions of the protocol an end speaks, and how two ends that have none in common find out why.

use minicbor::{Decode, Encode};

/// The version of the protocol that these frames are of.
pub const VERSION: u32 = 1;

/// The oldest version that is still spoken: the one before, so that either end may be updated first.
pub const OLDEST: u32 = 1;

/// The ALPN that both ends know whatever their versions. It is agreed on by those who have no version in
/// common; then nothing is said but why.
pub const NO_VERSION: &[u8] = b"hither";

/// The error code with which a server closes a connection on which [`NO_VERSION`] was agreed. The reason that
/// goes with it is its [`Versions`].
pub const NO_VERSION_CODE: u32 = 1;

/// Versions that an end speaks, and every one between them.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq)]
#[cbor(array)]
pub struct Versions {
    /// The oldest.
    #[n(0)]
    pub oldest: u32,
    /// The newest.
    #[n(1)]
    pub newest: u32,
}

/// Which of two ends without a common version has to be updated.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outdated {
    /// The client.
    Client,
    /// The server.
    Server,
}

impl Versions {
    /// Those of this program.
    pub const OURS: Self = Self { oldest: OLDEST, newest: VERSION };

    /// What is offered and accepted in the TLS handshake, best first.
    pub fn protocols(self) -> Vec<Vec<u8>> {
        let spoken = (self.oldest..=self.newest).rev();
        let spoken = spoken.map(|version| format!("hither/{version}").into_bytes());
        spoken.chain([NO_VERSION.to_vec()]).collect()
    }

    /// Why a client that speaks these has none in common with a server; `None` if it has.
    pub const fn gap(self, server: Self) -> Option<Outdated> {
        if self.newest < server.oldest {
            Some(Outdated::Client)
        } else if server.newest < self.oldest {
            Some(Outdated::Server)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_talk_and_of_others_one_is_outdated() {
        let of = |newest: u32| Versions { oldest: newest - 1, newest };
        for (client, server, outdated) in [
            (2, 2, None),
            (2, 3, None),
            (3, 2, None),
            (2, 4, Some(Outdated::Client)),
            (4, 2, Some(Outdated::Server)),
        ] {
            assert_eq!(of(client).gap(of(server)), outdated, "{client} and {server}");
        }
    }

    #[test]
    fn the_newest_version_is_offered_first_and_none_last() {
        let offered = Versions { oldest: 3, newest: 4 }.protocols();
        assert_eq!(offered, [&b"hither/4"[..], b"hither/3", b"hither"]);
    }

    #[test]
    fn what_a_later_version_adds_to_its_versions_is_passed_over() {
        let later = crate::wire::decode(&[0x83, 7, 9, 0x61, b'x']);
        assert_eq!(later, Ok(Versions { oldest: 7, newest: 9 }));
    }
}
