//! What sessions ask of the server beyond answering: performed here, each to its one outcome.

use std::{
    net::IpAddr,
    sync::{Arc, PoisonError, RwLock},
    thread,
};

use hither_proto::{
    crypto::{
        opaque::{
            CREDENTIAL_BYTES, KE1_BYTES, OpaqueFailed, REGISTRATION_REQUEST_BYTES, ServerLogin,
            ServerSetup, answer_registration, decoy_credential, decoy_recovery_credential,
        },
        rng::Rng,
        secret::Secret,
    },
    directory::{NewAccount, NewSession, Outcome, Task},
    identity::Entry,
    login::Authenticator,
    name::Name,
};
use tokio::task::spawn_blocking;
use tracing::error;

use crate::{
    attempts::{Attempts, TooMany},
    config::Registration,
    data::random,
    metrics::Metrics,
    origin::Origin,
    storage::{Known, Storage, Unavailable},
    turns::Turns,
};

/// Storage, limits and a place for work that would hold up the network.
pub(crate) struct Tasks {
    storage: Storage,
    attempts: Arc<Attempts>,
    registration: RwLock<Registration>,
    opaque: Arc<ServerSetup>,
    decoy: Secret<32>,
    /// One a core: more public-key work at once would only take turns in a less fair way.
    turns: Turns,
    metrics: Arc<Metrics>,
}

impl Tasks {
    /// Nothing has been asked yet.
    pub(crate) fn new(
        storage: Storage,
        registration: Registration,
        opaque: ServerSetup,
        decoy: Secret<32>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let cores = thread::available_parallelism().map_or(1, Into::into);
        Self {
            storage,
            attempts: Arc::new(Attempts::new()),
            registration: RwLock::new(registration),
            opaque: Arc::new(opaque),
            decoy,
            turns: Turns::of(cores),
            metrics,
        }
    }

    /// Who may register.
    pub(crate) fn registration(&self) -> Registration {
        *self.registration.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on this is who may register.
    pub(crate) fn set_registration(&self, registration: Registration) {
        *self.registration.write().unwrap_or_else(PoisonError::into_inner) = registration;
    }

    /// What is asked of the disk.
    pub(crate) const fn storage(&self) -> &Storage {
        &self.storage
    }

    /// Performs a task for a client at `address`.
    pub(crate) async fn perform(&self, task: Task, address: IpAddr) -> Outcome {
        match task {
            Task::AnswerProof { by, name, credential, request } => {
                self.answer_proof(by, name, credential, request, address).await
            }
            Task::AnswerRegistration { credential, request } => {
                self.answer_registration(credential, request, address).await
            }
            Task::StartLogin { by, name, ke1, context } => {
                self.start_login(by, name, ke1, context, address).await
            }
            Task::Lookup { name } => self.lookup(name).await,
            Task::CreateAccount { account, session } => self.create_account(account, session).await,
            Task::SendNote { ref from, ref to, kind, .. } => {
                if let Err(too_many) = self.attempts.note(from, to, kind) {
                    return limited(too_many);
                }
                self.storage.perform(task).await
            }
            task => self.storage.perform(task).await,
        }
    }

    /// Whether one more introduction of `from` to `to` is within the limits.
    pub(crate) fn may_introduce(&self, from: &Name, to: &Name) -> bool {
        self.attempts.introduction(from, to).is_ok()
    }

    /// Forgets attempts that no longer make a difference.
    pub(crate) fn forget(&self) {
        self.attempts.forget();
    }

    async fn create_account(&self, account: Box<NewAccount>, session: NewSession) -> Outcome {
        let account = match self.registration() {
            // Where nobody needs an invite, none is looked at or spent.
            Registration::Open => Box::new(NewAccount { invite: None, ..*account }),
            Registration::Invite if account.invite.is_some() => account,
            Registration::Invite | Registration::Closed => return Outcome::BadInvite,
        };
        self.storage.perform(Task::CreateAccount { account, session }).await
    }

    async fn answer_registration(
        &self,
        credential: [u8; CREDENTIAL_BYTES],
        request: [u8; REGISTRATION_REQUEST_BYTES],
        address: IpAddr,
    ) -> Outcome {
        if let Err(too_many) = self.attempts.registration_from(address) {
            return limited(too_many);
        }
        let setup = Arc::clone(&self.opaque);
        self.compute(address, move || {
            let response = answer_registration(&setup, &credential, &request)?;
            Ok(Outcome::Registration(Box::new(response)))
        })
        .await
    }

    async fn answer_proof(
        &self,
        by: Authenticator,
        name: Name,
        credential: [u8; CREDENTIAL_BYTES],
        request: [u8; REGISTRATION_REQUEST_BYTES],
        address: IpAddr,
    ) -> Outcome {
        let Ok(envelope) = self.storage.envelope(by, name).await else {
            return Outcome::Unavailable;
        };
        let setup = Arc::clone(&self.opaque);
        self.compute(address, move || {
            let response = Box::new(answer_registration(&setup, &credential, &request)?);
            Ok(Outcome::Proven { response, envelope })
        })
        .await
    }

    /// A guess is complete once KE1 is answered, so that is what counts; and it counts before any
    /// public-key work, for a name that nobody has as for any other.
    async fn start_login(
        &self,
        by: Authenticator,
        name: Name,
        ke1: Box<[u8; KE1_BYTES]>,
        context: Vec<u8>,
        address: IpAddr,
    ) -> Outcome {
        if let Err(too_many) = self.attempts.login_from(address) {
            return limited(too_many);
        }
        let Ok(seed) = random() else { return Outcome::Unavailable };
        let (setup, attempts) = (Arc::clone(&self.opaque), Arc::clone(&self.attempts));
        let readers = self.storage.readers().clone();
        // Made for every name, like the decoy of an entry.
        let decoy = match by {
            Authenticator::Password => decoy_credential(&self.decoy, name.as_bytes()),
            Authenticator::RecoveryCode => decoy_recovery_credential(&self.decoy, name.as_bytes()),
        };
        self.compute(address, move || {
            let Ok(Known { session, credential }) = readers.known(by, &name) else {
                return Ok(Outcome::Unavailable);
            };
            if let Err(too_many) = attempts.login_to(name.clone(), session) {
                return Ok(limited(too_many));
            }
            let mut rng = Rng::from_seed(seed);
            let (credential, record) = credential.unwrap_or((decoy, None));
            let (name, record) = (name.as_bytes(), record.as_ref());
            let (state, ke2) =
                ServerLogin::start(&mut rng, &setup, name, &credential, record, &context, &ke1)?;
            Ok(Outcome::Login { state: Box::new(state), ke2: Box::new(ke2), credential })
        })
        .await
    }

    async fn lookup(&self, name: Name) -> Outcome {
        // Made for every name, or the time it takes would tell which names nobody has.
        let decoy = Entry::decoy(&self.decoy, &name);
        match self.storage.entry(name).await {
            Ok(entry) => Outcome::Entry(entry.unwrap_or(decoy)),
            Err(Unavailable) => Outcome::Unavailable,
        }
    }

    /// Runs public-key work where it does not hold up the network, in turns with that of other sites. What is
    /// stored was looked at before it was, so work that comes to nothing was asked for with bytes that no
    /// honest client sends.
    async fn compute(
        &self,
        address: IpAddr,
        work: impl FnOnce() -> Result<Outcome, OpaqueFailed> + Send + 'static,
    ) -> Outcome {
        let _counted = self.metrics.computing();
        let Some(turn) = self.turns.wait(Origin::of(address).site).await else {
            return Outcome::Unavailable;
        };
        // The turn goes along: the core is busy until the work is done, even if nobody waits for it.
        let work = move || {
            let done = work();
            drop(turn);
            done
        };
        match spawn_blocking(work).await {
            Ok(outcome) => outcome.unwrap_or(Outcome::Malformed),
            Err(failed) => {
                error!("public-key work ended by a bug: {failed}");
                Outcome::Unavailable
            }
        }
    }
}

fn limited(TooMany(wait): TooMany) -> Outcome {
    Outcome::Limited { retry_after_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX) }
}
