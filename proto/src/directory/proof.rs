//! What somebody may do who has proven a password on this connection: log in, or change the account.

use super::{
    NewPassword, NewSession, Task,
    session::{Session, State},
};
use crate::{
    crypto::{
        opaque::{CREDENTIAL_BYTES, REGISTRATION_REQUEST_BYTES, is_record},
        rng::Rng,
        secret::Secret,
        sign::SignPublic,
    },
    name::Name,
    time::Time,
    wire::server::Request,
};

/// A password that was proven.
#[derive(Debug)]
pub(super) struct Proof {
    name: Name,
    /// The credential identifier of what was proven, which is another as soon as the password is.
    proven: [u8; CREDENTIAL_BYTES],
    /// That of what may be set instead.
    fresh: [u8; CREDENTIAL_BYTES],
    opaque_key: Secret<64>,
    pub(super) deadline: Time,
}

impl Proof {
    pub(super) fn new(
        name: Name,
        proven: [u8; CREDENTIAL_BYTES],
        opaque_key: Secret<64>,
        deadline: Time,
        rng: &mut Rng,
    ) -> Self {
        Self { name, proven, fresh: rng.bytes(), opaque_key, deadline }
    }
}

impl Session {
    pub(super) fn log_in(&mut self, proof: Proof, device: [u8; 32]) {
        let (name, proven) = (proof.name.clone(), proof.proven);
        let session = self.begin_session(proof, device);
        self.perform(Task::OpenSession { name, proven, session });
    }

    pub(super) fn answer_proof(&mut self, proof: Proof, request: [u8; REGISTRATION_REQUEST_BYTES]) {
        let (name, credential) = (proof.name.clone(), proof.fresh);
        self.perform(Task::AnswerProof { name, credential, request });
        self.state = State::Proven { proof: Box::new(proof), answered: false };
    }

    pub(super) fn use_proof(&mut self, request: &Request, proof: Proof) {
        match request {
            Request::ChangePassword { record, envelope, device } if is_record(record) => {
                let (name, proven) = (proof.name.clone(), proof.proven);
                let password =
                    NewPassword { credential: proof.fresh, record: *record, envelope: *envelope };
                let (password, session) = (Box::new(password), self.begin_session(proof, *device));
                self.perform(Task::ChangePassword { name, proven, password, session });
            }
            Request::DeleteAccount { request } => {
                let Proof { name, proven, .. } = proof;
                self.perform(Task::DeleteAccount { name: name.clone(), proven });
                self.state = State::Deleting { name, request: *request };
            }
            _ => self.misbehaved(),
        }
    }

    /// The session that is open once the task that follows says so.
    fn begin_session(&mut self, proof: Proof, device: [u8; 32]) -> NewSession {
        let id = self.rng.bytes();
        let key = self.channel.session_key(&id, Some(&proof.opaque_key));
        self.state = State::Opening { name: proof.name, session: id, key };
        NewSession { id, device: SignPublic(device) }
    }
}
