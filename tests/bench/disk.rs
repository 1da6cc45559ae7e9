//! What a disk and SQLite cost without us.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::Path,
};

use rusqlite::{Connection, params};

/// What people write is about so long.
pub(crate) const TEXT_BYTES: usize = 100;

/// What is stored beside a message that is sealed: a nonce and a tag.
const SEAL_BYTES: usize = 24 + 16;

/// A database with a table such as the store has.
#[derive(Debug)]
pub(crate) struct Table {
    database: Connection,
    rows: u64,
}

impl Table {
    /// An empty table in a folder that is made for it.
    #[track_caller]
    pub(crate) fn create(folder: &Path) -> Self {
        fs::create_dir_all(folder).unwrap();
        let database = Connection::open(folder.join("floor.sqlite")).unwrap();
        let made = database.execute_batch(
            "PRAGMA journal_mode = WAL;
             PRAGMA synchronous = FULL;
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

    /// Writes a row for each message, with one flush for all.
    #[track_caller]
    pub(crate) fn insert(&mut self, messages: &[Vec<u8>]) {
        let keys: Vec<[u8; 16]> = messages.iter().map(|_| self.key()).collect();
        self.database.execute_batch("BEGIN IMMEDIATE").unwrap();
        let insert = "INSERT INTO message (key, conversation, state, sealed) VALUES (?1, 1, 2, ?2)";
        let mut insert = self.database.prepare_cached(insert).unwrap();
        for (key, message) in keys.iter().zip(messages) {
            let sealed = [&message[..], &[7; SEAL_BYTES]].concat();
            assert_eq!(insert.execute(params![key, sealed]), Ok(1));
        }
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
        self.0.write_all(&vec![7; padded(TEXT_BYTES) + SEAL_BYTES]).unwrap();
        self.0.sync_data().unwrap();
    }
}

/// How long a text is with what comes with it, as it is stored and sent.
pub(crate) const fn padded(text_bytes: usize) -> usize {
    // An id, a time, a kind and a name.
    (text_bytes + 40).next_multiple_of(256)
}
