//! The server's sessions in a world of their own, one promise a test.

mod account;
mod consent;
mod frames;
mod login;
mod presence;
mod races;
mod reach;
mod recovery;
mod tampering;

use crate::{
    crypto::secret::Secret,
    ticket::AttemptId,
    wire::server::{Candidate, Door, Request},
    world::name,
};

fn introduce(attempt: u8, to: &str) -> Request {
    let (certificate, knock) = ([1; 32], Secret::new([2; 32]));
    let candidates = vec![Candidate(([198, 51, 100, 7], 7).into())];
    let door = Door { certificate, knock, candidates };
    let first = vec![0; 1_264];
    Request::Introduce { attempt: AttemptId([attempt; 16]), to: name(to), door, first }
}
