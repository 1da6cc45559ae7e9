//! How a password or a recovery code is proven on a connection, and what whoever has done so may do: log in, or
//! change the account.

use super::{
    NewCode, NewPassword, NewSession, Task,
    session::{Session, State},
};
use crate::{
    crypto::{
        opaque::{CREDENTIAL_BYTES, KE1_BYTES, REGISTRATION_REQUEST_BYTES, ServerLogin, is_record},
        rng::Rng,
        secret::Secret,
        sign::SignPublic,
    },
    login::Authenticator,
    name::Name,
    time::Time,
    wire::server::{Refusal, Request},
};

/// A login that is answered with KE2.
#[derive(Debug)]
pub(super) struct Ke2 {
    pub(super) state: Box<ServerLogin>,
    pub(super) credential: [u8; CREDENTIAL_BYTES],
}

/// A password or a recovery code that was proven.
#[derive(Debug)]
pub(super) struct Proof {
    by: Authenticator,
    name: Name,
    /// The credential identifier of what was proven, which is another as soon as the password is.
    proven: [u8; CREDENTIAL_BYTES],
    /// That of what may be set instead.
    fresh: [u8; CREDENTIAL_BYTES],
    opaque_key: Secret<64>,
    pub(super) deadline: Time,
}

impl Proof {
    fn new(
        by: Authenticator,
        name: Name,
        proven: [u8; CREDENTIAL_BYTES],
        opaque_key: Secret<64>,
        deadline: Time,
        rng: &mut Rng,
    ) -> Self {
        Self { by, name, proven, fresh: rng.bytes(), opaque_key, deadline }
    }
}

impl Session {
    pub(super) fn start_login(
        &mut self,
        by: Authenticator,
        name: Name,
        ke1: [u8; KE1_BYTES],
        deadline: Time,
    ) {
        let context = match by {
            Authenticator::Password => self.channel.login_context(),
            Authenticator::RecoveryCode => self.channel.recovery_context(),
        };
        let (ke1, copy) = (Box::new(ke1), context.clone());
        self.perform(Task::StartLogin { by, name: name.clone(), ke1, context: copy });
        self.state = State::LoggingIn { by, name, ke2: None, context, deadline };
    }

    pub(super) fn finish_login(
        &mut self,
        request: &Request,
        by: Authenticator,
        name: Name,
        ke2: Ke2,
        context: &[u8],
        deadline: Time,
    ) {
        let ke3 = match (request, by) {
            (Request::FinishLogin { ke3, .. }, Authenticator::Password)
            | (Request::Prove { ke3, .. }, _) => ke3,
            // A code brings another password, and is spent by that: it is no second password.
            _ => return self.misbehaved(),
        };
        let Ok(opaque_key) = ke2.state.finish(name.as_bytes(), context, ke3) else {
            return self.refuse_and_close(Refusal::AuthFailed, None);
        };
        let proof = Proof::new(by, name, ke2.credential, opaque_key, deadline, &mut self.rng);
        match request {
            Request::FinishLogin { device, .. } => self.log_in(proof, *device),
            Request::Prove { request, .. } => self.answer_proof(proof, *request),
            _ => self.misbehaved(),
        }
    }

    fn log_in(&mut self, proof: Proof, device: [u8; 32]) {
        let (name, proven) = (proof.name.clone(), proof.proven);
        let session = self.begin_session(proof, device);
        self.perform(Task::OpenSession { name, proven, session });
    }

    fn answer_proof(&mut self, proof: Proof, request: [u8; REGISTRATION_REQUEST_BYTES]) {
        let (by, name, credential) = (proof.by, proof.name.clone(), proof.fresh);
        self.perform(Task::AnswerProof { by, name, credential, request });
        self.state = State::Proven { proof: Box::new(proof), answered: false };
    }

    pub(super) fn use_proof(&mut self, request: &Request, proof: Proof) {
        match (request, proof.by) {
            (Request::ChangePassword { record, envelope, device }, by) if is_record(record) => {
                let (name, proven) = (proof.name.clone(), proof.proven);
                let password =
                    NewPassword { credential: proof.fresh, record: *record, envelope: *envelope };
                let (password, session) = (Box::new(password), self.begin_session(proof, *device));
                self.perform(Task::ChangePassword { by, name, proven, password, session });
            }
            (Request::DeleteAccount { request }, Authenticator::Password) => {
                let Proof { name, proven, .. } = proof;
                self.perform(Task::DeleteAccount { name: name.clone(), proven });
                self.state = State::Deleting { name, request: *request };
            }
            (Request::SetRecovery { request, record, envelope }, Authenticator::Password)
                if is_record(record) =>
            {
                let (credential, record, envelope) = (proof.fresh, *record, *envelope);
                let code = Box::new(NewCode { credential, record, envelope });
                self.set_recovery(proof, *request, Some(code));
            }
            (Request::RemoveRecovery { request }, Authenticator::Password) => {
                self.set_recovery(proof, *request, None);
            }
            _ => self.misbehaved(),
        }
    }

    fn set_recovery(&mut self, proof: Proof, request: u32, code: Option<Box<NewCode>>) {
        let Proof { name, proven, .. } = proof;
        self.perform(Task::SetRecovery { name, proven, code });
        self.state = State::SettingRecovery { request };
    }

    /// The session that is open once the task that follows says so.
    fn begin_session(&mut self, proof: Proof, device: [u8; 32]) -> NewSession {
        let id = self.rng.bytes();
        let key = self.channel.session_key(&id, Some(&proof.opaque_key));
        self.state = State::Opening { name: proof.name, session: id, key };
        NewSession { id, device: SignPublic(device) }
    }
}
