//! The database file: how it is made, opened and recognised, and what stands in it.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    thread,
};

use rusqlite::{Connection, OpenFlags};

use super::{StoreError, migrate, rows::Keys};

/// The schema that this program reads and writes.
pub(super) const SCHEMA: u32 = 2;

/// `hthr` in ASCII, so that the file says whose it is.
pub(super) const APPLICATION: u32 = 0x6874_6872;

/// The first cursor. There is room below it for what is imported and older than all that is here.
pub(super) const FIRST: u64 = 1 << 32;

/// Pages of the log before they are moved to their places: enough for many batches to share the pages
/// that they change, little enough to be moved in the time of a few flushes.
const LOG_PAGES: u32 = 4_000;

/// Bytes that the log keeps after that: all of it, because a log that need not grow is flushed faster.
const LOG_BYTES: u32 = LOG_PAGES * 4_120 + 4_096;

/// Bytes of pages that are held in memory, in KiB.
const CACHE_KIB: i32 = 12 * 1024;

/// The tables. The partial indices hold the few rows that somebody waits for: 0 is unread, 2 and 8 are
/// queued.
pub(super) const TABLES: &str = "
    CREATE TABLE place (id INTEGER PRIMARY KEY CHECK (id = 1), next INTEGER NOT NULL, clock INTEGER NOT NULL);
    CREATE TABLE conversation (id INTEGER PRIMARY KEY, sealed BLOB NOT NULL);
    CREATE TABLE message (
        seq INTEGER PRIMARY KEY,
        key BLOB NOT NULL UNIQUE,
        conversation INTEGER NOT NULL,
        state INTEGER NOT NULL,
        expires INTEGER,
        sealed BLOB NOT NULL
    );
    CREATE INDEX message_conversation ON message (conversation, seq);
    CREATE INDEX message_unread ON message (seq, conversation) WHERE state = 0;
    CREATE INDEX message_queued ON message (seq) WHERE state = 2 OR state = 8;
    CREATE INDEX message_expires ON message (expires) WHERE expires > 0;
    CREATE TABLE search (last INTEGER PRIMARY KEY, first INTEGER NOT NULL, sealed BLOB NOT NULL);
    CREATE TABLE quarantine (
        id INTEGER PRIMARY KEY,
        origin TEXT NOT NULL,
        place INTEGER,
        key BLOB,
        conversation INTEGER,
        state INTEGER,
        expires INTEGER,
        sealed BLOB NOT NULL,
        at INTEGER NOT NULL DEFAULT (unixepoch())
    );
";

/// The tables that version 1 has as well.
const FIRST_TABLES: &str = "
    CREATE TABLE contact (key BLOB PRIMARY KEY, sealed BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE vault (id INTEGER PRIMARY KEY CHECK (id = 1), counter INTEGER NOT NULL, dirty INTEGER NOT NULL);
";

/// The database at `path`, of this version. It is made if there is no file; a file that is there and is
/// none of ours, or not whole, is left as it is.
pub(super) fn open(path: &Path, keys: &mut Keys) -> Result<Connection, StoreError> {
    match std::fs::metadata(path) {
        Ok(file) if file.len() == 0 => return Err(StoreError::Damaged),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => create(path)?,
        Err(error) => return Err(StoreError::Io(error.kind())),
    }
    reserve_log(path);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut database = Connection::open_with_flags(path, flags)?;
    database.busy_timeout(std::time::Duration::ZERO)?;
    // Nobody else opens it, so the index of the log need not be shared: no third file, and no mapped
    // memory that a full disk could take away.
    database.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    let application: u32 = database.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if application != APPLICATION {
        return Err(StoreError::Damaged);
    }
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.pragma_update(None, "synchronous", "FULL")?;
    // Whoever gets the keys one day must not find what was erased before.
    database.pragma_update(None, "secure_delete", "ON")?;
    database.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
    database.pragma_update(None, "journal_size_limit", LOG_BYTES)?;
    database.pragma_update(None, "cache_size", -CACHE_KIB)?;
    database.pragma_update(None, "temp_store", "MEMORY")?;
    database.set_prepared_statement_cache_capacity(64);
    let found: u32 = database.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match found {
        SCHEMA => {}
        1 => migrate::from_first(&mut database, keys)?,
        0 => return Err(StoreError::Damaged),
        newer => return Err(StoreError::Newer(newer)),
    }
    Ok(database)
}

/// Makes the database under another name and gives it its own when it is whole and on the disk, so that a
/// file without tables under that name is damage, and never a store that was just being made.
fn create(path: &Path) -> Result<(), StoreError> {
    let unfinished = PathBuf::from(format!("{}.new", path.display()));
    remove(&unfinished)?;
    let database = Connection::open(&unfinished)?;
    database.pragma_update(None, "journal_mode", "MEMORY")?;
    database.execute_batch(&format!(
        "BEGIN; {FIRST_TABLES} {TABLES} PRAGMA application_id = {APPLICATION};
         PRAGMA user_version = {SCHEMA}; COMMIT;"
    ))?;
    drop(database);
    let io = |error: std::io::Error| StoreError::Io(error.kind());
    File::open(&unfinished).and_then(|file| file.sync_all()).map_err(io)?;
    std::fs::rename(&unfinished, path).map_err(io)?;
    let folder = path.parent().unwrap_or(path);
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)
}

/// Fills the log with zeros up to the size that it keeps anyway: a flush that makes a file longer, or writes to
/// a part of it for the first time, costs several times one that does not. SQLite reads a log up to where its
/// checksums end, so what is in it stands.
fn reserve_log(path: &Path) {
    let path = PathBuf::from(format!("{}-wal", path.display()));
    let Ok(mut log) = File::options().append(true).create(true).open(path) else { return };
    let Ok(length) = log.metadata().map(|file| file.len()) else { return };
    let zeros = u64::from(LOG_BYTES).saturating_sub(length);
    if io::copy(&mut io::repeat(0).take(zeros), &mut log).is_err() {
        // The disk is nearly full, and what is left of it is for messages.
        let _ = log.set_len(length);
    }
    // Or the first message would wait until all of it is on the disk. If this fails, it does.
    let _ = thread::Builder::new().spawn(move || log.sync_data());
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(StoreError::Io(error.kind()))
        }
        _ => Ok(()),
    }
}
