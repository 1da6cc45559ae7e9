//! From the first version of the file to the present one, in one transaction.

use std::collections::HashMap;

use hither_proto::{
    id::MessageId,
    message::{Body, Message as Said},
    name::Name,
    wire,
};
use minicbor::Decode;
use rusqlite::{Connection, Transaction, params};

use super::{
    StoreError,
    conversations::{self, Entry},
    message::State,
    rows::{Contents, Keys},
    schema::{SCHEMA, TABLES},
};

/// Rows that are read at once.
const PAGE: i64 = 256;

/// A message of the first version.
#[derive(Decode)]
#[cbor(array)]
struct FirstContents {
    #[n(0)]
    with: Name,
    #[n(1)]
    id: MessageId,
    #[n(2)]
    sent_at: u64,
    #[n(3)]
    stored_at: u64,
    #[n(4)]
    text: String,
}

/// A row of the first version.
struct FirstRow {
    seq: u64,
    key: Vec<u8>,
    state: u8,
    sealed: Vec<u8>,
}

/// Gives every message its place in the present tables, under the cursor that it has.
pub(super) fn from_first(database: &mut Connection, keys: &mut Keys) -> Result<(), StoreError> {
    let transaction = database.transaction()?;
    move_over(&transaction, keys)?;
    transaction.pragma_update(None, "user_version", SCHEMA)?;
    Ok(transaction.commit()?)
}

pub(super) fn move_over(transaction: &Transaction<'_>, keys: &mut Keys) -> Result<(), StoreError> {
    transaction.execute_batch(&format!(
        "DROP INDEX IF EXISTS message_with; DROP INDEX IF EXISTS message_state;
         ALTER TABLE message RENAME TO first_message; {TABLES}"
    ))?;
    let mut conversations: HashMap<Name, Entry> = HashMap::new();
    let mut after = 0;
    loop {
        let rows = rows_after(transaction, after)?;
        let Some(last) = rows.last() else { break };
        after = last.seq;
        for row in rows {
            match contents(keys, &row) {
                Some(contents) => {
                    let next = i64::try_from(conversations.len() + 1).unwrap_or(i64::MAX);
                    let fresh = Entry { id: next, seen: None, timer: None };
                    let entry = conversations.entry(contents.with.clone()).or_insert(fresh);
                    if !contents.mine {
                        entry.seen = Some(contents.said.id);
                    }
                    put(transaction, keys, &row, entry.id, &contents)?;
                }
                None => set_aside(transaction, &row)?,
            }
        }
    }
    for (name, entry) in &conversations {
        conversations::put(transaction, keys, name, entry)?;
    }
    transaction.execute("INSERT INTO place (id, next, clock) VALUES (1, ?1, 0)", [after + 1])?;
    Ok(transaction.execute_batch("DROP TABLE first_message")?)
}

fn rows_after(database: &Connection, after: u64) -> Result<Vec<FirstRow>, StoreError> {
    let sql =
        "SELECT seq, key, state, sealed FROM first_message WHERE seq > ?1 ORDER BY seq LIMIT ?2";
    let mut statement = database.prepare_cached(sql)?;
    let rows = statement.query_map(params![after, PAGE], |row| {
        Ok(FirstRow { seq: row.get(0)?, key: row.get(1)?, state: row.get(2)?, sealed: row.get(3)? })
    })?;
    Ok(rows.collect::<Result<Vec<_>, _>>()?)
}

/// The row as this version has it.
fn contents(keys: &Keys, row: &FirstRow) -> Option<Contents> {
    let mine = match State::of(row.state)? {
        State::Unread | State::Read => false,
        State::Queued | State::Delivered | State::Cancelled => true,
        _ => return None,
    };
    let opened = keys.open_first_version(&row.key, &row.sealed)?;
    let FirstContents { with, id, sent_at, stored_at, text } = wire::decode(&opened).ok()?;
    let said = Said { id, sent_at, seen: None, body: Body::text(text) };
    let reactions = Vec::new();
    Some(Contents {
        with,
        mine,
        stored_at,
        said,
        shown: true,
        edited: false,
        reactions,
        undo: None,
    })
}

fn put(
    database: &Connection,
    keys: &mut Keys,
    row: &FirstRow,
    conversation: i64,
    contents: &Contents,
) -> Result<(), StoreError> {
    let key = keys.message_key(contents.mine, &contents.with, contents.said.id);
    let sealed = keys.seal_message((row.seq, &key, conversation), contents);
    database
        .prepare_cached(
            "INSERT INTO message (seq, key, conversation, state, sealed) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![row.seq, key, conversation, row.state, sealed])?;
    Ok(())
}

fn set_aside(database: &Connection, row: &FirstRow) -> Result<(), StoreError> {
    database
        .prepare_cached(
            "INSERT INTO quarantine (origin, place, key, state, sealed) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params!["first message", row.seq, row.key, row.state, row.sealed])?;
    Ok(())
}
