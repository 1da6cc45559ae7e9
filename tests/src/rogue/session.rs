//! A session on a direct connection, kept as an honest agent keeps it.

use std::time::Instant;

use hither_proto::{crypto::rng::Rng, session::SessionError, time::Time};

use super::rng;

/// One end of a session, with the clock and the randomness that it needs.
#[derive(Debug)]
pub struct Session {
    ratchet: hither_proto::session::Session,
    began: Instant,
    rng: Rng,
}

impl Session {
    /// Puts a session to use.
    #[must_use]
    pub fn of(ratchet: hither_proto::session::Session) -> Self {
        Self { ratchet, began: Instant::now(), rng: rng() }
    }

    /// The next frame to send.
    #[track_caller]
    pub fn seals(&mut self, plaintext: Vec<u8>) -> Vec<u8> {
        self.ratchet.seal(self.now(), &mut self.rng, plaintext).unwrap()
    }

    /// The plaintext of a frame.
    ///
    /// # Errors
    /// If it is none of this session.
    pub fn opens(&mut self, frame: &[u8]) -> Result<Vec<u8>, SessionError> {
        self.ratchet.open(self.now(), frame)
    }

    fn now(&self) -> Time {
        Time::since_start(self.began.elapsed())
    }
}
