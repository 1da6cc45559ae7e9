//! Looks into the database that wait for nobody who writes: each takes a connection of its own.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use hither_proto::{
    crypto::opaque::{CREDENTIAL_BYTES, RECORD_BYTES},
    login::Authenticator,
    name::Name,
    wire::server::SessionId,
};
use rusqlite::Connection;

use super::{
    Unavailable,
    accounts::{self, Credentials},
    complain, recovery, schema,
};
use crate::metrics::Durations;

/// What a login is answered from, whether there is such an account or not.
pub(crate) struct Known {
    /// The session that goes on, of which a login that succeeds makes another.
    pub(crate) session: Option<SessionId>,
    /// OPAQUE's credential identifier, if there is one, and the record, if that may be used.
    pub(crate) credential: Option<([u8; CREDENTIAL_BYTES], Option<[u8; RECORD_BYTES]>)>,
}

/// The connections. They block whoever looks for as long as the disk takes, so the network does not.
#[derive(Clone)]
pub(crate) struct Readers(Arc<Shelf>);

struct Shelf {
    path: PathBuf,
    /// Never more than have looked at once.
    idle: Mutex<Vec<Connection>>,
    durations: Arc<Durations>,
}

impl Readers {
    /// Of the database of a server.
    pub(super) fn of(path: PathBuf, durations: Arc<Durations>) -> Self {
        Self(Arc::new(Shelf { path, idle: Mutex::default(), durations }))
    }

    /// What a login to `name` is answered from.
    pub(crate) fn known(&self, by: Authenticator, name: &Name) -> Result<Known, Unavailable> {
        self.look(|database| match by {
            Authenticator::Password => Ok(accounts::credentials(database, name)?.into()),
            Authenticator::RecoveryCode => recovery::credentials(database, name),
        })
    }

    /// What is on the disk, and so everything that anybody was told.
    fn look<T>(
        &self,
        look: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, Unavailable> {
        let began = Instant::now();
        let taken = self.idle().pop();
        let database = taken.map_or_else(|| schema::look(&self.0.path), Ok);
        let seen = database.and_then(|database| {
            let seen = look(&database)?;
            self.idle().push(database);
            Ok(seen)
        });
        self.0.durations.add(began.elapsed());
        seen.map_err(|error| {
            complain(&error);
            Unavailable
        })
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<Option<Credentials>> for Known {
    fn from(account: Option<Credentials>) -> Self {
        let session = account.as_ref().and_then(|account| account.session);
        let credential = account.map(|account| (account.credential, account.record));
        Self { session, credential }
    }
}
