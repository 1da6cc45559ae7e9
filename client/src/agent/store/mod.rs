//! The local store: contacts, history and the queue of one account, in an SQLite file whose rows are
//! sealed under keys that exist only while the account is unlocked.
//!
//! What can be read without the keys: how many rows there are, their sizes in steps of 256 bytes, their
//! order, and in which state each message is.

mod rows;

use std::path::{Path, PathBuf};

use hither_proto::{
    crypto::{derive::derive, label::Label, rng::Rng, secret::Secret},
    id::MessageId,
    name::Name,
    node::{Change, QueuedText, Remembered},
    time::UnixTime,
    vault::Contact,
};
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Transaction, params};

use crate::fault::Fault;
pub(super) use rows::{Message, State};
use rows::{MessageRow, Rows};

/// The schema that this program reads and writes.
const SCHEMA: u32 = 1;

/// `hthr` in ASCII, so that the file says whose it is.
const APPLICATION: u32 = 0x6874_6872;

const TABLES: &str = "
    CREATE TABLE contact (key BLOB PRIMARY KEY, sealed BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE vault (id INTEGER PRIMARY KEY CHECK (id = 1), counter INTEGER NOT NULL, dirty INTEGER NOT NULL);
    CREATE TABLE message (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        key BLOB NOT NULL UNIQUE,
        with_key BLOB NOT NULL,
        state INTEGER NOT NULL,
        sealed BLOB NOT NULL
    );
    CREATE INDEX message_with ON message (with_key, seq);
    CREATE INDEX message_state ON message (state, seq);
";

/// Why the store could not do something.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    #[error("the disk is full")]
    Full,
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
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
                Self::ReadOnly
            }
            _ => Self::Sqlite(error),
        }
    }
}

impl StoreError {
    /// What a person is told of it.
    pub(super) fn fault(&self, path: &Path, log: &Path) -> Fault {
        match self {
            Self::Full => Fault::DiskFull,
            Self::Newer(found) => Fault::NewerStore { found: *found, supported: SCHEMA },
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
pub(super) struct Store {
    database: Connection,
    rows: Rows,
    path: PathBuf,
}

/// Which texts that have come are wanted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Which {
    /// All after this cursor.
    All { after: u64 },
    /// Those after this cursor that nobody has read.
    Unread { after: u64 },
}

impl Which {
    /// The same after another cursor.
    pub(super) const fn after(self, after: u64) -> Self {
        match self {
            Self::All { .. } => Self::All { after },
            Self::Unread { .. } => Self::Unread { after },
        }
    }

    /// The cursor.
    pub(super) const fn cursor(self) -> u64 {
        let (Self::All { after } | Self::Unread { after }) = self;
        after
    }
}

/// What a transaction has brought about.
#[derive(Debug, Default)]
pub(super) struct Applied {
    /// Whether a text has come that was not there before.
    pub(super) received: bool,
}

impl Store {
    /// Opens the store of the account with this seed in `folder`, or makes it.
    pub(super) fn open(folder: &Path, seed: &Secret<32>, rng: Rng) -> Result<Self, StoreError> {
        // Keyed, so that the name of the file does not say whose it is.
        let name: Secret<8> = derive(&[], seed.expose(), Label::StoreLookup, b"file");
        let name = u64::from_be_bytes(*name.expose());
        let path = folder.join(format!("store-{name:016x}.db"));
        let database = Connection::open(&path)?;
        database.busy_timeout(std::time::Duration::ZERO)?;
        // Nobody else opens it, so the index of the log need not be shared: no third file, and no mapped
        // memory that a full disk could take away.
        database.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        database.pragma_update(None, "journal_mode", "WAL")?;
        database.pragma_update(None, "synchronous", "FULL")?;
        database.pragma_update(None, "secure_delete", "ON")?;
        let found: u32 = database.pragma_query_value(None, "user_version", |row| row.get(0))?;
        match found {
            0 => create(&database)?,
            SCHEMA => {}
            newer => return Err(StoreError::Newer(newer)),
        }
        Ok(Self { database, rows: Rows::new(seed, rng), path })
    }

    /// Where the file is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes changes down, and which texts have been read, all or none, and durably.
    pub(super) fn apply(
        &mut self,
        now: UnixTime,
        changes: &[Change],
        read: &[u64],
    ) -> Result<Applied, StoreError> {
        let mut applied = Applied::default();
        let transaction = self.database.transaction()?;
        for change in changes {
            apply(&transaction, &mut self.rows, now, change, &mut applied)?;
        }
        for seq in read {
            transaction
                .prepare_cached("UPDATE message SET state = ?2 WHERE seq = ?1 AND state = ?3")?
                .execute(params![seq, State::Read as u8, State::Unread as u8])?;
        }
        transaction.commit()?;
        Ok(applied)
    }

    /// Contacts, and how the vault stands to them; `None` if nothing was ever remembered.
    pub(super) fn remembered(&self) -> Result<Option<Remembered>, StoreError> {
        let vault = self
            .database
            .query_row("SELECT counter, dirty FROM vault", [], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((vault_counter, vault_dirty)) = vault else { return Ok(None) };
        let mut statement = self.database.prepare("SELECT key, sealed FROM contact")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let rows = rows.collect::<Result<Vec<(Vec<u8>, Vec<u8>)>, _>>()?;
        let contacts = rows.iter().filter_map(|(key, sealed)| self.rows.open_contact(key, sealed));
        Ok(Some(Remembered { contacts: contacts.collect(), vault_counter, vault_dirty }))
    }

    /// Replaces everything that is remembered of contacts.
    pub(super) fn replace(&mut self, remembered: &Remembered) -> Result<(), StoreError> {
        let transaction = self.database.transaction()?;
        transaction.execute("DELETE FROM contact", [])?;
        for contact in &remembered.contacts {
            put_contact(&transaction, &mut self.rows, contact)?;
        }
        put_vault(&transaction, remembered.vault_counter, remembered.vault_dirty)?;
        Ok(transaction.commit()?)
    }

    /// What waits to be delivered, oldest first.
    pub(super) fn queue(&self) -> Result<Vec<(Name, QueuedText)>, StoreError> {
        let sql = "SELECT seq, key, state, sealed FROM message WHERE state = ?1 ORDER BY seq";
        let messages = self.messages(sql, params![State::Queued as u8])?;
        let text = |message: Message| {
            let Message { with, id, sent_at, text, .. } = message;
            (with, QueuedText { id, sent_at, text })
        };
        Ok(messages.into_iter().map(text).collect())
    }

    /// Texts that have come, oldest first.
    pub(super) fn received(
        &self,
        from: Option<&Name>,
        which: Which,
        limit: usize,
    ) -> Result<Vec<Message>, StoreError> {
        let states = match which {
            Which::All { .. } => "state IN (0, 1)",
            Which::Unread { .. } => "state = 0",
        };
        let sql = format!(
            "SELECT seq, key, state, sealed FROM message
             WHERE {states} AND seq > ?1 AND (?2 IS NULL OR with_key = ?2) ORDER BY seq LIMIT ?3"
        );
        let with = from.map(|from| self.rows.with_key(from));
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.messages(&sql, params![which.cursor(), with, limit])
    }

    /// The cursor of the newest message, or zero.
    pub(super) fn newest(&self) -> Result<u64, StoreError> {
        let sql = "SELECT coalesce(max(seq), 0) FROM message";
        Ok(self.database.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
    }

    /// The newest `limit` messages, oldest of them first.
    pub(super) fn history(
        &self,
        with: Option<&Name>,
        limit: usize,
    ) -> Result<Vec<Message>, StoreError> {
        let sql = "SELECT seq, key, state, sealed FROM message
                   WHERE (?1 IS NULL OR with_key = ?1) ORDER BY seq DESC LIMIT ?2";
        let with = with.map(|with| self.rows.with_key(with));
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut messages = self.messages(sql, params![with, limit])?;
        messages.reverse();
        Ok(messages)
    }

    /// The text that was sent under this id.
    pub(super) fn sent(&self, id: MessageId) -> Result<Option<Message>, StoreError> {
        let sql = "SELECT seq, key, state, sealed FROM message WHERE key = ?1";
        Ok(self.messages(sql, params![self.rows.outgoing_key(id)])?.pop())
    }

    /// How many texts of this person are unread.
    pub(super) fn unread(&self, from: &Name) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) FROM message WHERE state = ?1 AND with_key = ?2";
        let with = self.rows.with_key(from);
        let count = self
            .database
            .prepare_cached(sql)?
            .query_row(params![State::Unread as u8, with], |row| row.get(0))?;
        Ok(count)
    }

    fn messages(
        &self,
        sql: &str,
        params: &[&dyn rusqlite::ToSql],
    ) -> Result<Vec<Message>, StoreError> {
        let mut statement = self.database.prepare_cached(sql)?;
        let rows = statement.query_map(params, |row| {
            Ok(MessageRow {
                seq: row.get(0)?,
                key: row.get(1)?,
                state: row.get(2)?,
                sealed: row.get(3)?,
            })
        })?;
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        Ok(rows.iter().filter_map(|row| self.rows.open_message(row)).collect())
    }
}

fn is_io(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure)
}

fn create(database: &Connection) -> Result<(), StoreError> {
    database.execute_batch(&format!(
        "BEGIN; {TABLES} PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {SCHEMA}; COMMIT;"
    ))?;
    Ok(())
}

fn apply(
    transaction: &Transaction<'_>,
    rows: &mut Rows,
    now: UnixTime,
    change: &Change,
    applied: &mut Applied,
) -> Result<(), StoreError> {
    match change {
        Change::Contact(contact) => put_contact(transaction, rows, contact),
        Change::ContactGone(name) => {
            let key = rows.contact_key(name);
            transaction.execute("DELETE FROM contact WHERE key = ?1", params![key])?;
            Ok(())
        }
        Change::Vault { counter, dirty } => put_vault(transaction, *counter, *dirty),
        Change::Queued { to, text } => {
            let QueuedText { id, sent_at, text } = text;
            let key = rows.outgoing_key(*id);
            let message = rows::Contents {
                with: to.clone(),
                id: *id,
                sent_at: sent_at.as_millis(),
                stored_at: now.as_millis(),
                text: text.clone(),
            };
            let sql = "DELETE FROM message WHERE key = ?1 AND state = ?2";
            // Who sends a cancelled text again, under its old id, means it.
            transaction.prepare_cached(sql)?.execute(params![key, State::Cancelled as u8])?;
            put_message(transaction, rows, &key, State::Queued, &message).map(|_| ())
        }
        Change::Received { from, id, sent_at, text } => {
            let key = rows.incoming_key(from, *id);
            let message = rows::Contents {
                with: from.clone(),
                id: *id,
                sent_at: sent_at.as_millis(),
                stored_at: now.as_millis(),
                text: text.clone(),
            };
            applied.received |= put_message(transaction, rows, &key, State::Unread, &message)?;
            Ok(())
        }
        Change::Delivered { id, .. } => set_state(transaction, rows, *id, State::Delivered),
        Change::Cancelled { id, .. } => set_state(transaction, rows, *id, State::Cancelled),
    }
}

fn put_contact(
    transaction: &Transaction<'_>,
    rows: &mut Rows,
    contact: &Contact,
) -> Result<(), StoreError> {
    let key = rows.contact_key(&contact.name);
    let sealed = rows.seal_contact(&key, contact);
    transaction
        .prepare_cached("INSERT OR REPLACE INTO contact (key, sealed) VALUES (?1, ?2)")?
        .execute(params![key, sealed])?;
    Ok(())
}

fn put_vault(transaction: &Transaction<'_>, counter: u64, dirty: bool) -> Result<(), StoreError> {
    transaction
        .prepare_cached("INSERT OR REPLACE INTO vault (id, counter, dirty) VALUES (1, ?1, ?2)")?
        .execute(params![counter, dirty])?;
    Ok(())
}

/// Whether the message is new. One that is there already stays as it is.
fn put_message(
    transaction: &Transaction<'_>,
    rows: &mut Rows,
    key: &[u8],
    state: State,
    message: &rows::Contents,
) -> Result<bool, StoreError> {
    let sealed = rows.seal_message(key, message);
    let with = rows.with_key(&message.with);
    let inserted = transaction
        .prepare_cached(
            "INSERT INTO message (key, with_key, state, sealed) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (key) DO NOTHING",
        )?
        .execute(params![key, with, state as u8, sealed])?;
    Ok(inserted > 0)
}

fn set_state(
    transaction: &Transaction<'_>,
    rows: &Rows,
    id: MessageId,
    state: State,
) -> Result<(), StoreError> {
    let key = rows.outgoing_key(id);
    transaction
        .prepare_cached("UPDATE message SET state = ?2 WHERE key = ?1 AND state = ?3")?
        .execute(params![key, state as u8, State::Queued as u8])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use hither_proto::vault::Standing;

    use super::*;

    struct Folder(PathBuf);

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn folder(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("hither-store-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn open(folder: &Folder) -> Result<Store, StoreError> {
        Store::open(&folder.0, &Secret::new([7; 32]), Rng::from_seed(Secret::new([1; 32])))
    }

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn received(id: u8, text: &str) -> Change {
        Change::Received {
            from: name("bob"),
            id: MessageId([id; 16]),
            sent_at: UnixTime::from_millis(5),
            text: text.into(),
        }
    }

    fn queued(id: u8, text: &str) -> Change {
        let id = MessageId([id; 16]);
        let text = QueuedText { id, sent_at: UnixTime::from_millis(5), text: text.into() };
        Change::Queued { to: name("bob"), text }
    }

    const NOW: UnixTime = UnixTime::from_millis(9);
    const UNREAD: Which = Which::Unread { after: 0 };

    #[test]
    fn a_text_comes_once_and_is_read_once() {
        let folder = folder("once");
        let mut store = open(&folder).unwrap();
        assert!(store.apply(NOW, &[received(1, "one"), received(2, "two")], &[]).unwrap().received);
        assert!(!store.apply(NOW, &[received(1, "another")], &[]).unwrap().received);
        let unread = store.received(None, UNREAD, 10).unwrap();
        let texts: Vec<_> = unread.iter().map(|message| message.text.as_str()).collect();
        assert_eq!(texts, ["one", "two"]);
        assert_eq!(store.unread(&name("bob")).unwrap(), 2);
        store.apply(NOW, &[], &[unread[0].seq]).unwrap();
        drop(store);
        let store = open(&folder).unwrap();
        assert_eq!(store.received(None, UNREAD, 10).unwrap(), unread[1..]);
        assert_eq!(store.received(Some(&name("eve")), UNREAD, 10).unwrap(), []);
        let since = store.received(None, Which::All { after: unread[0].seq }, 10).unwrap();
        assert_eq!(since.len(), 1);
        assert_eq!(store.received(None, Which::All { after: 0 }, 10).unwrap().len(), 2);
    }

    #[test]
    fn what_is_queued_waits_until_it_is_delivered() {
        let folder = folder("queue");
        let mut store = open(&folder).unwrap();
        store.apply(NOW, &[queued(1, "one"), queued(2, "two"), queued(3, "three")], &[]).unwrap();
        let (to, id) = (name("bob"), MessageId([2; 16]));
        store.apply(NOW, &[Change::Delivered { to: to.clone(), id }], &[]).unwrap();
        store
            .apply(NOW, &[Change::Cancelled { to: to.clone(), id: MessageId([3; 16]) }], &[])
            .unwrap();
        store.apply(NOW, &[Change::Cancelled { to, id }], &[]).unwrap();
        drop(store);
        let store = open(&folder).unwrap();
        let queue = store.queue().unwrap();
        assert_eq!(queue.len(), 1);
        assert_eq!(queue[0].1.text, "one");
        assert_eq!(store.sent(id).unwrap().unwrap().state, State::Delivered);
        assert_eq!(store.history(None, 2).unwrap()[1].text, "three");
        let mut store = store;
        store.apply(NOW, &[queued(3, "three again"), queued(2, "not again")], &[]).unwrap();
        let texts: Vec<_> = store.queue().unwrap().into_iter().map(|(_, text)| text.text).collect();
        assert_eq!(texts, ["one", "three again"]);
    }

    #[test]
    fn contacts_come_back_and_nothing_is_readable_without_the_key() {
        let folder = folder("sealed");
        let mut store = open(&folder).unwrap();
        assert_eq!(store.remembered().unwrap(), None);
        let contact = Contact {
            name: name("barbarossa"),
            identity: None,
            standing: Standing::Accepted,
            verified: true,
            blocked: false,
        };
        let remembered =
            Remembered { contacts: vec![contact.clone()], vault_counter: 3, vault_dirty: true };
        store.replace(&remembered).unwrap();
        store.apply(NOW, &[received(1, "a most unusual text")], &[]).unwrap();
        assert_eq!(store.remembered().unwrap(), Some(remembered));
        let path = store.path().to_owned();
        drop(store);
        let bytes = std::fs::read(&path).unwrap();
        for word in [&b"barbarossa"[..], b"unusual", b"bob"] {
            assert!(!bytes.windows(word.len()).any(|window| window == word));
        }
        let rng = Rng::from_seed(Secret::new([1; 32]));
        let other = Store::open(&folder.0, &Secret::new([8; 32]), rng).unwrap();
        assert_ne!(other.path(), path);
    }

    #[test]
    fn a_newer_store_is_left_alone() {
        let folder = folder("newer");
        let store = open(&folder).unwrap();
        store.database.pragma_update(None, "user_version", 99).unwrap();
        drop(store);
        assert!(matches!(open(&folder), Err(StoreError::Newer(99))));
    }
}
