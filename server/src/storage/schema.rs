//! The database file: how it is made, opened and refused.

use std::{
    ffi::c_int,
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, backup::Backup, config::DbConfig};

use crate::{fault::Fault, limits::STORAGE_BUSY_TIMEOUT};

/// How long a copy waits for somebody who keeps everybody else from the database.
const SNAPSHOT_PAUSE: Duration = Duration::from_millis(50);

/// Statements that stay prepared: more than there are.
const STATEMENTS: usize = 128;

/// "hith": marks the file as ours, for `file` and for whoever finds it.
const APPLICATION_ID: i64 = 0x6869_7468;

/// The version of the tables. Older ones are brought up to it; newer ones are left alone.
const VERSION: i64 = MIGRATIONS.len() as i64;

/// What each version adds to the one before it. What was released is not changed any more.
const MIGRATIONS: [&str; 5] = [ACCOUNTS, ACCOUNT_LIFE, ADMINISTRATION, ROOM, RECOVERY];

/// Version 1.
const ACCOUNTS: &str = "
    CREATE TABLE account (
        name TEXT PRIMARY KEY,
        credential BLOB NOT NULL,
        record BLOB NOT NULL,
        vault BLOB NOT NULL,
        entry BLOB NOT NULL,
        created INTEGER NOT NULL,
        logins INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE session (
        id BLOB PRIMARY KEY,
        name TEXT NOT NULL,
        device BLOB NOT NULL,
        created INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX session_name ON session (name);
    CREATE TABLE consent (
        name TEXT NOT NULL,
        other TEXT NOT NULL,
        state TEXT NOT NULL,
        PRIMARY KEY (name, other)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX consent_other ON consent (other);
    CREATE TABLE note (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL,
        sender TEXT NOT NULL,
        kind TEXT NOT NULL,
        sealed BLOB NOT NULL,
        created INTEGER NOT NULL,
        UNIQUE (name, sender)
    ) STRICT;
";

/// Version 2: passwords that change, sessions that are listed, and names that are given up.
const ACCOUNT_LIFE: &str = "
    ALTER TABLE account ADD COLUMN envelope BLOB;
    ALTER TABLE session ADD COLUMN seen INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE session ADD COLUMN parked INTEGER NOT NULL DEFAULT 0;
    UPDATE session SET seen = created;
    CREATE TABLE tombstone (
        name TEXT PRIMARY KEY,
        created INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
";

/// Version 3: who may not log in at present, and who may come.
const ADMINISTRATION: &str = "
    CREATE TABLE disabled (
        name TEXT PRIMARY KEY,
        since INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    ALTER TABLE tombstone ADD COLUMN credential BLOB;
    CREATE TABLE invite (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        hash BLOB NOT NULL UNIQUE,
        created INTEGER NOT NULL,
        expires INTEGER,
        uses INTEGER NOT NULL,
        used INTEGER NOT NULL,
        revoked INTEGER NOT NULL
    ) STRICT;
";

/// Version 4: a million accounts in a file that a small machine holds. Rows with a vault in them lie one behind
/// the other, which fills pages better than an order by name does, and a login does not write to them.
const ROOM: &str = "
    CREATE TABLE roomy_account (
        number INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        credential BLOB NOT NULL,
        record BLOB NOT NULL,
        entry BLOB NOT NULL,
        created INTEGER NOT NULL,
        envelope BLOB,
        vault BLOB NOT NULL
    ) STRICT;
    INSERT INTO roomy_account (name, credential, record, entry, created, envelope, vault)
        SELECT name, credential, record, entry, created, envelope, vault FROM account;
    DROP TABLE account;
    ALTER TABLE roomy_account RENAME TO account;
";

/// Version 5: who comes back without a password. A row whose record is missing is of a code that was spent or removed: its
/// credential stays, so that what a stranger hears does.
const RECOVERY: &str = "
    CREATE TABLE recovery (
        name TEXT PRIMARY KEY,
        credential BLOB NOT NULL,
        record BLOB,
        envelope BLOB,
        created INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
";

/// Makes the database of a new server, durably.
pub(super) fn create(path: &Path) -> Result<(), Fault> {
    // SQLite gives its other files the mode of this one.
    let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    created.map_err(|error| Fault::file(path, error))?;
    let database = connect(path).map_err(|error| fault(path, &error))?;
    configure(&database).and_then(|()| make(&database)).map_err(|error| fault(path, &error))?;
    database.close().map_err(|(_, error)| fault(path, &error))?;
    let synced = File::open(path).and_then(|file| file.sync_all());
    synced.map_err(|error| Fault::file(path, error))
}

/// How far somebody has looked through a database.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Looked {
    /// All of it is as it should be.
    Through,
    /// What was seen is, and the rest takes longer.
    InPart,
}

/// Opens the database of a server and makes sure that it can be worked with: that it is whole, as far as that
/// can be seen within `patience`.
pub(super) fn open(path: &Path, patience: Duration) -> Result<(Connection, Looked), Fault> {
    let database = there(path)?;
    let found = version(&database, path)?;
    let ready = configure(&database)
        // Whether the disk can be written to is better known now than at the first login.
        .and_then(|()| database.execute_batch("BEGIN IMMEDIATE; ROLLBACK"));
    ready.map_err(|error| fault(path, &error))?;
    let looked = within(patience, &database, || look_through(&database, path))?;
    migrate(&database, found).map_err(|error| fault(path, &error))?;
    Ok((database, looked))
}

/// Looks through a database until all of it was seen or somebody interrupts.
pub(super) fn look_through(database: &Connection, path: &Path) -> Result<Looked, Fault> {
    let checked = database.query_row("PRAGMA quick_check(1)", [], |row| row.get(0));
    match checked.map(|checked: String| checked == "ok") {
        Ok(true) => Ok(Looked::Through),
        Ok(false) => Err(Fault::DamagedDatabase(path.to_owned())),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
            Ok(Looked::InPart)
        }
        Err(error) => Err(fault(path, &error)),
    }
}

/// Interrupts what is done with a database if it takes too long.
fn within<T>(patience: Duration, database: &Connection, work: impl FnOnce() -> T) -> T {
    let handle = database.get_interrupt_handle();
    let (done, waiting) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            if waiting.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
                handle.interrupt();
            }
        });
        let worked = work();
        drop(done);
        worked
    })
}

/// Looks through the database of a server, and says of which version it is and should be.
pub(super) fn examine(path: &Path) -> Result<(i64, i64), Fault> {
    let database = there(path)?;
    let found = version(&database, path)?;
    let checked = database.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0));
    let checked: String = checked.map_err(|error| fault(path, &error))?;
    if checked == "ok" {
        Ok((found, VERSION))
    } else {
        Err(Fault::DamagedDatabase(path.to_owned()))
    }
}

/// Copies the database of a server into an empty file, while others may write to it, and makes sure that
/// the copy is whole.
pub(super) fn snapshot(path: &Path, to: &Path) -> Result<(), Fault> {
    let source = there(path)?;
    let copied = || -> rusqlite::Result<String> {
        let mut copy = connect(to)?;
        // All pages in one step, which sees one moment and holds up nobody who writes.
        Backup::new(&source, &mut copy)?.run_to_completion(c_int::MAX, SNAPSHOT_PAUSE, None)?;
        // One file, with no other beside it that belongs to it.
        copy.pragma_update(None, "journal_mode", "DELETE")?;
        copy.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
    };
    match copied() {
        Ok(checked) if checked == "ok" => Ok(()),
        Ok(_) => Err(Fault::DamagedDatabase(path.to_owned())),
        Err(error) => Err(fault(path, &error)),
    }
}

/// A second connection to the database of a server that runs, for looking.
pub(super) fn look(path: &Path) -> rusqlite::Result<Connection> {
    let database = connect(path)?;
    database.execute_batch("PRAGMA query_only = ON; PRAGMA trusted_schema = OFF")?;
    Ok(database)
}

/// A database in memory, for tests of what is done with it.
#[cfg(test)]
pub(super) fn in_memory() -> Connection {
    let database = Connection::open_in_memory().unwrap();
    make(&database).unwrap();
    database
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    // Without SQLITE_OPEN_CREATE: a database that has gone is missed, not quietly begun again.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(path, flags)?;
    database.busy_timeout(STORAGE_BUSY_TIMEOUT)?;
    database.set_prepared_statement_cache_capacity(STATEMENTS);
    // Or some statements are planned anew for every value.
    database.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(database)
}

/// Connects to a database that is there.
fn there(path: &Path) -> Result<Connection, Fault> {
    if !path.exists() {
        return Err(Fault::Missing(path.to_owned()));
    }
    connect(path).map_err(|error| fault(path, &error))
}

/// The version of the tables, if they are ours and known.
fn version(database: &Connection, path: &Path) -> Result<i64, Fault> {
    match versions(database).map_err(|error| fault(path, &error))? {
        (APPLICATION_ID, found @ 1..=VERSION) => Ok(found),
        (APPLICATION_ID, found) if found > VERSION => {
            Err(Fault::NewerDatabase { found, supported: VERSION })
        }
        _ => Err(Fault::DamagedDatabase(path.to_owned())),
    }
}

fn configure(database: &Connection) -> rusqlite::Result<()> {
    // What was deleted is overwritten, temporary tables touch no disk, and a commit is on the disk when
    // it returns.
    database.execute_batch(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA secure_delete = ON;
         PRAGMA temp_store = MEMORY;
         PRAGMA trusted_schema = OFF;",
    )
}

fn make(database: &Connection) -> rusqlite::Result<()> {
    database.pragma_update(None, "application_id", APPLICATION_ID)?;
    migrate(database, 0)
}

/// Brings the tables from version `found` to this one, whole or not at all.
fn migrate(database: &Connection, found: i64) -> rusqlite::Result<()> {
    let behind = (1..).zip(MIGRATIONS).filter(|(version, _)| *version > found);
    let transaction = database.unchecked_transaction()?;
    for (version, changes) in behind {
        transaction.execute_batch(changes)?;
        transaction.pragma_update(None, "user_version", version)?;
    }
    transaction.commit()
}

fn versions(database: &Connection) -> rusqlite::Result<(i64, i64)> {
    let pragma = |name: &str| database.pragma_query_value(None, name, |row| row.get(0));
    Ok((pragma("application_id")?, pragma("user_version")?))
}

fn fault(path: &Path, error: &rusqlite::Error) -> Fault {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            Fault::DamagedDatabase(path.to_owned())
        }
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => {
            Fault::ReadOnly(path.to_owned())
        }
        Some(ErrorCode::DiskFull) => Fault::DiskFull(path.to_owned()),
        Some(ErrorCode::SystemIoFailure) => {
            // SQLite says no more when there is no room for the memory it shares with other processes.
            let error = io::Error::other(format!("{error}; the disk may be full or failing"));
            Fault::File { path: path.to_owned(), error }
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            Fault::InUse(path.parent().unwrap_or(path).to_owned())
        }
        _ => Fault::Internal(anyhow::anyhow!("{error}").context(format!("{}", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use hither_proto::name::Name;

    use super::{super::accounts, *};

    fn made() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hitherd.db");
        create(&path).unwrap();
        (folder, path)
    }

    #[test]
    fn a_database_is_made_once_for_the_owner_only() {
        let (_folder, path) = made();
        let (database, looked) = open(&path, Duration::MAX).unwrap();
        assert_eq!(looked, Looked::Through);
        database.execute_batch("INSERT INTO consent VALUES ('a', 'b', 'accepted')").unwrap();
        for entry in fs::read_dir(path.parent().unwrap()).unwrap() {
            let mode = entry.unwrap().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        assert!(matches!(create(&path), Err(Fault::File { .. })));
        drop(database);
        let (database, _) = open(&path, Duration::MAX).unwrap();
        let rows = database.query_row("SELECT count(*) FROM consent", [], |row| row.get(0));
        assert_eq!(rows, Ok(1));
    }

    #[test]
    fn a_newer_database_is_refused_and_left_alone() {
        let (_folder, path) = made();
        let set = |version: i64| {
            Connection::open(&path).unwrap().pragma_update(None, "user_version", version).unwrap();
        };
        set(VERSION + 41);
        let bytes = fs::read(&path).unwrap();
        let fault = open(&path, Duration::MAX).unwrap_err();
        let (found, supported) = (VERSION + 41, VERSION);
        let expected = Fault::NewerDatabase { found, supported };
        assert_eq!(fault.to_string(), expected.to_string());
        assert!(fault.to_string().contains("newer"));
        assert_eq!(fs::read(&path).unwrap(), bytes);
        set(VERSION);
        assert!(open(&path, Duration::MAX).is_ok());
    }

    #[test]
    fn a_database_of_every_older_version_is_brought_up_to_date() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hitherd.db");
        let old = Connection::open(&path).unwrap();
        old.execute_batch(ACCOUNTS).unwrap();
        old.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
        old.pragma_update(None, "user_version", 1).unwrap();
        old.execute_batch(
            "INSERT INTO account VALUES
                ('alice', zeroblob(32), zeroblob(192), x'01', x'00', 1700000000, 3);
             INSERT INTO session VALUES (zeroblob(16), 'alice', zeroblob(32), 1700000000);",
        )
        .unwrap();
        drop(old);
        let alice: Name = "alice".parse().unwrap();
        for _ in 0..2 {
            let (database, _) = open(&path, Duration::MAX).unwrap();
            assert_eq!(versions(&database), Ok((APPLICATION_ID, VERSION)));
            let credentials = accounts::credentials(&database, &alice).unwrap().unwrap();
            assert_eq!(credentials.session, Some([0; 16]));
            assert_eq!(accounts::envelope(&database, &alice), Ok(None));
            let seen = "SELECT seen FROM session WHERE parked = 0";
            let seen = database.query_row(seen, [], |row| row.get(0));
            assert_eq!(seen, Ok(1_700_000_000));
        }
        let made = in_memory();
        let tables = |database: &Connection| -> Vec<String> {
            let tables = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name";
            let mut tables = database.prepare(tables).unwrap();
            let tables = tables.query_map([], |row| row.get(0)).unwrap();
            tables.map(Result::unwrap).collect()
        };
        assert_eq!(tables(&open(&path, Duration::MAX).unwrap().0), tables(&made));
    }

    #[test]
    fn what_is_no_database_of_ours_is_refused() {
        let (folder, path) = made();
        let at = |name: &str| folder.path().join(name);
        assert!(matches!(open(&at("nothing"), Duration::MAX), Err(Fault::Missing(_))));
        fs::write(at("text"), "this is no database, although it is long enough to be one").unwrap();
        assert!(matches!(open(&at("text"), Duration::MAX), Err(Fault::DamagedDatabase(_))));
        Connection::open(at("other")).unwrap().execute_batch("CREATE TABLE t (c)").unwrap();
        assert!(matches!(open(&at("other"), Duration::MAX), Err(Fault::DamagedDatabase(_))));

        let mut bytes = fs::read(&path).unwrap();
        bytes[4096..].fill(0x55);
        fs::write(&path, bytes).unwrap();
        assert!(matches!(open(&path, Duration::MAX), Err(Fault::DamagedDatabase(_))));
    }
}
