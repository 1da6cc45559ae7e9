//! Where rows go that cannot be read: out of everybody's way, and never away.

use rusqlite::{Connection, params};

use super::{StoreError, search};

/// Which table a row was in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Origin {
    Conversation,
    Message,
}

/// Moves the rows with these numbers, all or none, within a transaction or without one.
pub(super) fn set_aside(
    database: &Connection,
    origin: Origin,
    numbers: &[i64],
) -> Result<(), StoreError> {
    if numbers.is_empty() {
        return Ok(());
    }
    let (keep, drop) = match origin {
        Origin::Conversation => (
            "INSERT INTO quarantine (origin, place, sealed)
             SELECT 'conversation', id, sealed FROM conversation WHERE id = ?1",
            "DELETE FROM conversation WHERE id = ?1",
        ),
        Origin::Message => (
            "INSERT INTO quarantine (origin, place, key, conversation, state, expires, sealed)
             SELECT 'message', seq, key, conversation, state, expires, sealed FROM message WHERE seq = ?1",
            "DELETE FROM message WHERE seq = ?1",
        ),
    };
    atomically(database, || {
        for number in numbers {
            database.prepare_cached(keep)?.execute(params![number])?;
            database.prepare_cached(drop)?.execute(params![number])?;
            if origin == Origin::Message {
                // What comes again in its place, and is erased one day, must have no copy there.
                search::forget_block(database, number.unsigned_abs())?;
            }
        }
        Ok(())
    })?;
    tracing::error!(?origin, rows = numbers.len(), "rows could not be read, and were set aside");
    Ok(())
}

/// Moves the contacts with these keys, all or none, within a transaction or without one. From then on no
/// version of the vault is known: what is left is less than the vault holds, and must not take its place.
pub(super) fn set_contacts_aside(
    database: &Connection,
    keys: &[Vec<u8>],
) -> Result<(), StoreError> {
    if keys.is_empty() {
        return Ok(());
    }
    let keep = "INSERT INTO quarantine (origin, key, sealed)
                SELECT 'contact', key, sealed FROM contact WHERE key = ?1";
    atomically(database, || {
        for key in keys {
            database.prepare_cached(keep)?.execute(params![key])?;
            database.prepare_cached("DELETE FROM contact WHERE key = ?1")?.execute(params![key])?;
        }
        database.execute("UPDATE vault SET counter = 0", [])?;
        Ok(())
    })?;
    tracing::error!(rows = keys.len(), "contacts could not be read, and were set aside");
    Ok(())
}

/// How many rows were set aside.
pub(super) fn count(database: &Connection) -> Result<u64, StoreError> {
    let sql = "SELECT count(*) FROM quarantine";
    Ok(database.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
}

fn atomically(
    database: &Connection,
    work: impl FnOnce() -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    database.execute_batch("SAVEPOINT quarantine")?;
    let done = work();
    let end = if done.is_ok() { "" } else { "ROLLBACK TO quarantine;" };
    let ended = database.execute_batch(&format!("{end} RELEASE quarantine"));
    done?;
    Ok(ended?)
}
