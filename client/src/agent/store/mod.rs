//! The local store: contacts, conversations, their messages and the queue of one account, in an SQLite
//! file whose rows are sealed under keys that exist only while the account is unlocked.
//!
//! What can be read without the keys: how many contacts, conversations and messages there are, their sizes
//! in steps of 256 bytes, which messages belong to the same conversation, their order, in which state each
//! is, which ids were made in the same quarter of a second, and when or how long after being read those
//! messages that disappear do so. Not readable: any name, id, text, kind or time of a message, whether a
//! conversation is with a given contact, and whose file it is.
//!
//! Every write is one transaction ([`batch`]), every read of a message goes through [`read::fetch`], and
//! what cannot be read is set aside ([`quarantine`]).

mod batch;
mod conversations;
mod effects;
mod expiry;
mod message;
mod migrate;
mod quarantine;
mod read;
mod rows;
mod schema;
mod search;
#[cfg(test)]
mod tests;
mod transfer;

use std::path::{Path, PathBuf};

use hither_proto::{
    crypto::{derive::derive, label::Label, rng::Rng, secret::Secret},
    node::{Change, Remembered},
    time::UnixTime,
    vault::Contact,
};
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, params};

use crate::fault::Fault;
use batch::{Batch, Outcome};
use conversations::Conversations;
pub(in crate::agent) use message::{Message, State};
pub(in crate::agent) use read::Which;
use rows::Keys;
pub(in crate::agent) use rows::Reaction;
use search::BlockBuilder;
pub(in crate::agent) use transfer::{Imported, Record};

/// Why the store could not do something.
#[derive(Debug, thiserror::Error)]
pub(in crate::agent) enum StoreError {
    #[error("the store is damaged")]
    Damaged,
    #[error("the disk is full")]
    Full,
    #[error("the store could not be opened: {0}")]
    Io(std::io::ErrorKind),
    #[error("the store is of version {0}")]
    Newer(u32),
    #[error("the store cannot be written to")]
    ReadOnly,
    #[error(transparent)]
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged,
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
                Self::ReadOnly
            }
            _ => Self::Sqlite(error),
        }
    }
}

impl StoreError {
    /// What a person is told of it.
    pub(in crate::agent) fn fault(&self, path: &Path, log: &Path) -> Fault {
        match self {
            Self::Damaged => Fault::StoreDamaged { path: path.to_owned() },
            Self::Full => Fault::DiskFull,
            Self::Io(kind) => Fault::file(path, &(*kind).into()),
            Self::Newer(found) => Fault::NewerStore { found: *found, supported: schema::SCHEMA },
            Self::ReadOnly => Fault::ReadOnly { path: path.to_owned() },
            Self::Sqlite(error) if is_io(error) => match rustix::fs::statvfs(path) {
                Ok(disk) if disk.f_bavail == 0 => Fault::DiskFull,
                _ => Fault::File { path: path.to_owned(), error: std::io::ErrorKind::Other },
            },
            Self::Sqlite(error) => {
                tracing::error!(%error, "the store failed");
                Fault::Internal { log: log.to_owned() }
            }
        }
    }
}

/// An open store.
pub(in crate::agent) struct Store {
    database: Connection,
    keys: Keys,
    path: PathBuf,
    conversations: Conversations,
    /// The cursor of the next message. None is used twice.
    next: u64,
    /// The last message that the blocks for searching reach.
    indexed: u64,
    /// The messages after it, if they are all at hand.
    fresh: Option<BlockBuilder>,
    /// What the clock said when something was last written.
    clock: i64,
    /// Whether a commit waits for the disk.
    durable: bool,
}

/// What a transaction has brought about.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::agent) struct Applied {
    /// Whether a message has come that was not there before, and is to be read by a person.
    pub(in crate::agent) received: bool,
    /// Whether something has come that was not there before, about another message or the conversation.
    pub(in crate::agent) noted: bool,
    erased: usize,
}

impl Store {
    /// Opens the store of the account with this seed in `folder`, or makes it.
    pub(in crate::agent) fn open(
        folder: &Path,
        seed: &Secret<32>,
        rng: Rng,
    ) -> Result<Self, StoreError> {
        let path = Self::path_in(folder, seed);
        let mut keys = Keys::new(seed, rng);
        let database = schema::open(&path, &mut keys)?;
        let conversations = Conversations::load(&database, &mut keys)?;
        let place = "SELECT next, clock FROM place";
        let place =
            database.query_row(place, [], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let (next, clock) = place.unwrap_or((schema::FIRST, 0));
        let newest = "SELECT coalesce(max(seq), 0) FROM message";
        let newest: u64 = database.query_row(newest, [], |row| row.get(0))?;
        let next = next.max(newest + 1);
        let indexed = search::indexed(&database)?.unwrap_or(schema::FIRST.min(next) - 1);
        let fresh = (indexed + 1 == next).then(|| BlockBuilder::new(next));
        let durable = true;
        Ok(Self { database, keys, path, conversations, next, indexed, fresh, clock, durable })
    }

    /// Where the store of the account with this seed is, or would be.
    pub(in crate::agent) fn path_in(folder: &Path, seed: &Secret<32>) -> PathBuf {
        // Keyed, so that the name of the file does not say whose it is.
        let name: Secret<8> = derive(&[], seed.expose(), Label::StoreLookup, b"file");
        let name = u64::from_be_bytes(*name.expose());
        folder.join(format!("store-{name:016x}.db"))
    }

    /// Removes a store for good, with the files that SQLite keeps beside it.
    pub(in crate::agent) fn remove(path: &Path) -> std::io::Result<()> {
        for beside in ["", "-wal", "-shm", "-journal"] {
            let mut file = path.as_os_str().to_owned();
            file.push(beside);
            match std::fs::remove_file(file) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Where the file is.
    pub(in crate::agent) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes changes down, and which messages have been read, all or none, and durably but for what only
    /// saves work: without it, a message is sent once more, or shown as unread.
    pub(in crate::agent) fn apply(
        &mut self,
        now: UnixTime,
        changes: &[Change],
        read: &[u64],
    ) -> Result<Applied, StoreError> {
        let durable = changes.iter().any(|change| !matches!(change, Change::Delivered { .. }));
        let ((), applied) = self.write(now, durable, |batch| {
            for change in changes {
                batch.apply(change)?;
            }
            for seq in read {
                batch.read(*seq)?;
            }
            Ok(())
        })?;
        Ok(applied)
    }

    /// Contacts, and how the vault stands to them; `None` if nothing was ever remembered. If some of them
    /// could not be read, no version of the vault is known, and its counter is zero.
    pub(in crate::agent) fn remembered(&self) -> Result<Option<Remembered>, StoreError> {
        let contacts = contacts(&self.database, &self.keys)?;
        let vault = self
            .database
            .query_row("SELECT counter, dirty FROM vault", [], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((vault_counter, vault_dirty)) = vault else { return Ok(None) };
        Ok(Some(Remembered { contacts, vault_counter, vault_dirty }))
    }

    /// Replaces everything that is remembered of contacts, but for what could not be read.
    pub(in crate::agent) fn replace(&mut self, remembered: &Remembered) -> Result<(), StoreError> {
        self.set_durable(true)?;
        let transaction = self.database.transaction()?;
        contacts(&transaction, &self.keys)?;
        transaction.execute("DELETE FROM contact", [])?;
        for contact in &remembered.contacts {
            put_contact(&transaction, &mut self.keys, contact)?;
        }
        put_vault(&transaction, remembered.vault_counter, remembered.vault_dirty)?;
        Ok(transaction.commit()?)
    }

    /// Does all of some work, or nothing of it.
    fn write<T>(
        &mut self,
        now: UnixTime,
        durable: bool,
        work: impl FnOnce(&mut Batch<'_>) -> Result<T, StoreError>,
    ) -> Result<(T, Applied), StoreError> {
        self.set_durable(durable)?;
        let transaction = self.database.transaction()?;
        expiry::follow_clock(&transaction, self.clock, now)?;
        // If this fails, they are read again.
        let place = (self.next, self.indexed, self.fresh.take());
        let mut batch = Batch::new(transaction, &mut self.keys, &self.conversations, now, place);
        let done = work(&mut batch)?;
        let Outcome { next, indexed, fresh, applied, erased, conversations } = batch.commit()?;
        (self.next, self.indexed, self.fresh) = (next, indexed, fresh);
        self.clock = batch::clock(now);
        self.conversations.extend(conversations);
        if erased {
            self.empty_log();
        }
        Ok((done, applied))
    }

    /// Older copies of pages are in the log until it is emptied, and what is erased must not be there.
    fn empty_log(&self) {
        let emptied = self.database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        if let Err(error) = emptied {
            tracing::error!(%error, "the log of the store could not be emptied");
        }
    }

    fn set_durable(&mut self, durable: bool) -> Result<(), StoreError> {
        if self.durable != durable {
            let level = if durable { "FULL" } else { "NORMAL" };
            self.database.pragma_update(None, "synchronous", level)?;
            self.durable = durable;
        }
        Ok(())
    }
}

impl Batch<'_> {
    fn apply(&mut self, change: &Change) -> Result<(), StoreError> {
        match change {
            Change::Cancelled { to, id } => self.cancelled(to, *id),
            Change::Contact(contact) => put_contact(&self.database, self.keys, contact),
            Change::ContactGone(name) => {
                let key = self.keys.contact_key(name);
                self.database.execute("DELETE FROM contact WHERE key = ?1", params![key])?;
                Ok(())
            }
            Change::Delivered { to, id } => self.delivered(to, *id),
            Change::Queued { to, message } => self.queue(to, message),
            Change::Received { from, message } => self.receive(from, message),
            Change::Vault { counter, dirty } => put_vault(&self.database, *counter, *dirty),
        }
    }
}

/// Everybody who can be read. Who cannot is set aside.
fn contacts(database: &Connection, keys: &Keys) -> Result<Vec<Contact>, StoreError> {
    let mut statement = database.prepare("SELECT key, sealed FROM contact")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let rows = rows.collect::<Result<Vec<(Vec<u8>, Vec<u8>)>, _>>()?;
    let mut contacts = Vec::with_capacity(rows.len());
    let mut unreadable = Vec::new();
    for (key, sealed) in rows {
        match keys.open_contact(&key, &sealed) {
            Some(contact) => contacts.push(contact),
            None => unreadable.push(key),
        }
    }
    quarantine::set_contacts_aside(database, &unreadable)?;
    Ok(contacts)
}

fn put_contact(
    database: &Connection,
    keys: &mut Keys,
    contact: &Contact,
) -> Result<(), StoreError> {
    let key = keys.contact_key(&contact.name);
    let sealed = keys.seal_contact(&key, contact);
    database
        .prepare_cached("INSERT OR REPLACE INTO contact (key, sealed) VALUES (?1, ?2)")?
        .execute(params![key, sealed])?;
    Ok(())
}

fn put_vault(database: &Connection, counter: u64, dirty: bool) -> Result<(), StoreError> {
    database
        .prepare_cached("INSERT OR REPLACE INTO vault (id, counter, dirty) VALUES (1, ?1, ?2)")?
        .execute(params![counter, dirty])?;
    Ok(())
}

fn is_io(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure)
}
