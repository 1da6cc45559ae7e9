//! Looks into the database that wait for nobody who writes: each takes a connection of its own.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use hither_proto::name::Name;
use rusqlite::Connection;

use super::{Credentials, Unavailable, accounts, complain, schema};
use crate::metrics::Durations;

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

    /// What a login to `name` is answered from; `None` if nobody has it.
    pub(crate) fn credentials(&self, name: &Name) -> Result<Option<Credentials>, Unavailable> {
        self.look(|database| accounts::credentials(database, name))
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
