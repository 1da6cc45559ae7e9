//! What a disk and SQLite cost without us.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::Path,
};

use rusqlite::{Connection, params};

/// A message as the store keeps it: sealed, padded, with a nonce and a tag.
const ROW_BYTES: usize = 24 + 256 + 16;

/// What fits into one commit.
const BATCH: usize = 1_024;

/// A database with a table such as the store has.
#[derive(Debug)]
pub(crate) struct Table {
    database: Connection,
    rows: u64,
}

/// Which end of a conversation a table belongs to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum End {
    /// Rows are written, and settled once they have arrived.
    Writer,
    /// Rows are written.
    Reader,
}

impl Table {
    /// An empty table in a folder that is made for it.
    #[track_caller]
    pub(crate) fn create(folder: &Path) -> Self {
        fs::create_dir_all(folder).unwrap();
        let database = Connection::open(folder.join("floor.sqlite")).unwrap();
        let made = database.execute_batch(
            "PRAGMA journal_mode = WAL;
             CREATE TABLE message (
                 seq INTEGER PRIMARY KEY AUTOINCREMENT,
                 key BLOB NOT NULL UNIQUE,
                 conversation INTEGER NOT NULL,
                 state INTEGER NOT NULL,
                 sealed BLOB NOT NULL
             );
             CREATE INDEX message_conversation ON message (conversation, seq);
             CREATE INDEX message_state ON message (state) WHERE state IN (0, 2);",
        );
        made.unwrap();
        Self { database, rows: 0 }
    }

    /// Writes so many rows, with one flush a batch. Settling them needs no flush of its own.
    #[track_caller]
    pub(crate) fn write(&mut self, count: usize, end: End) {
        for first in (0..count).step_by(BATCH) {
            let keys: Vec<[u8; 16]> =
                (first..count.min(first + BATCH)).map(|_| self.key()).collect();
            self.commit("FULL", |database| {
                let insert =
                    "INSERT INTO message (key, conversation, state, sealed) VALUES (?1, 1, 2, ?2)";
                let mut insert = database.prepare_cached(insert).unwrap();
                for key in &keys {
                    insert.execute(params![key, [key[0]; ROW_BYTES]]).unwrap();
                }
            });
            if end == End::Writer {
                self.commit("NORMAL", |database| {
                    let settle = "UPDATE message SET state = 3 WHERE key = ?1 AND state = 2";
                    let mut settle = database.prepare_cached(settle).unwrap();
                    for key in &keys {
                        assert_eq!(settle.execute(params![key]), Ok(1));
                    }
                });
            }
        }
    }

    fn commit(&self, synchronous: &str, work: impl FnOnce(&Connection)) {
        self.database.pragma_update(None, "synchronous", synchronous).unwrap();
        self.database.execute_batch("BEGIN IMMEDIATE").unwrap();
        work(&self.database);
        self.database.execute_batch("COMMIT").unwrap();
    }

    /// Keys are spread like hashes, so that their index is as costly as a real one.
    fn key(&mut self) -> [u8; 16] {
        self.rows += 1;
        let spread = self.rows.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        [spread.to_be_bytes(), self.rows.to_be_bytes()].concat().try_into().unwrap()
    }
}

/// A file that grows, durably.
#[derive(Debug)]
pub(crate) struct Log(File);

impl Log {
    /// An empty file in a folder that is made for it.
    #[track_caller]
    pub(crate) fn create(folder: &Path) -> Self {
        fs::create_dir_all(folder).unwrap();
        let open = OpenOptions::new().append(true).create_new(true).open(folder.join("floor.log"));
        Self(open.unwrap())
    }

    /// Appends as many bytes as a message has, and waits until they are on the disk.
    #[track_caller]
    pub(crate) fn append(&mut self) {
        self.0.write_all(&[7; ROW_BYTES]).unwrap();
        self.0.sync_data().unwrap();
    }
}
