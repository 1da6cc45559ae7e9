//! The conversations of a store: which number each has in the file, and where it stands.

use std::collections::HashMap;

use hither_proto::{id::MessageId, name::Name};
use rusqlite::{Connection, params};

use super::{
    StoreError,
    message::State,
    quarantine::{self, Origin},
    read,
    rows::{Keys, Talk},
};

/// A conversation: its number in the file, the newest message of the other person, and the timer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Entry {
    pub(super) id: i64,
    pub(super) seen: Option<MessageId>,
    pub(super) timer: Option<u32>,
}

/// All conversations of a store.
#[derive(Debug, Default)]
pub(super) struct Conversations {
    by_name: HashMap<Name, Entry>,
    newest: i64,
}

/// How many rows are looked through at once when a conversation is pieced together.
const PAGE: usize = 256;

impl Conversations {
    /// Reads them. One that cannot be read is set aside, and pieced together from its messages.
    pub(super) fn load(database: &Connection, keys: &mut Keys) -> Result<Self, StoreError> {
        let mut statement = database.prepare("SELECT id, sealed FROM conversation")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let rows = rows.collect::<Result<Vec<(i64, Vec<u8>)>, _>>()?;
        let sql = "SELECT coalesce(max(conversation), 0) FROM message";
        let mut newest: i64 = database.query_row(sql, [], |row| row.get(0))?;
        let mut by_name = HashMap::with_capacity(rows.len());
        for (id, sealed) in rows {
            newest = newest.max(id);
            let talk = match keys.open_talk(id, &sealed) {
                Some(talk) => Some(talk),
                None => piece_together(database, keys, id)?,
            };
            if let Some(Talk { with, seen, timer }) = talk {
                by_name.insert(with, Entry { id, seen, timer });
            }
        }
        Ok(Self { by_name, newest })
    }

    pub(super) fn get(&self, with: &Name) -> Option<Entry> {
        self.by_name.get(with).copied()
    }

    /// The number that the next new conversation has, if `before` others are new already.
    pub(super) fn next(&self, before: usize) -> i64 {
        self.newest + 1 + i64::try_from(before).unwrap_or_default()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Name, &Entry)> {
        self.by_name.iter()
    }

    /// Takes over what has been committed.
    pub(super) fn extend(&mut self, changed: HashMap<Name, Entry>) {
        for (name, entry) in changed {
            self.newest = self.newest.max(entry.id);
            self.by_name.insert(name, entry);
        }
    }
}

/// Writes a conversation down.
pub(super) fn put(
    database: &Connection,
    keys: &mut Keys,
    with: &Name,
    entry: &Entry,
) -> Result<(), StoreError> {
    let Entry { id, seen, timer } = *entry;
    let sealed = keys.seal_talk(id, &Talk { with: with.clone(), seen, timer });
    let sql = "INSERT OR REPLACE INTO conversation (id, sealed) VALUES (?1, ?2)";
    database.prepare_cached(sql)?.execute(params![id, sealed])?;
    Ok(())
}

/// Sets an unreadable conversation aside and makes it anew from what was said in it.
fn piece_together(
    database: &Connection,
    keys: &mut Keys,
    id: i64,
) -> Result<Option<Talk>, StoreError> {
    quarantine::set_aside(database, Origin::Conversation, &[id])?;
    let mut found: Option<Talk> = None;
    let mut timed = false;
    let mut before = i64::MAX;
    loop {
        let page = read::page(database, keys, Some(id), before, PAGE)?;
        let Some(last) = page.seqs.last() else { break };
        before = i64::try_from(*last).unwrap_or(i64::MAX);
        for loaded in page.loaded {
            let (state, contents) = (State::of(loaded.state), loaded.contents);
            let talk = found.get_or_insert(Talk { with: contents.with, seen: None, timer: None });
            if !contents.mine && talk.seen.is_none() {
                talk.seen = Some(contents.said.id);
            }
            if let hither_proto::message::Body::Timer { seconds } = contents.said.body
                && !timed
                && state != Some(State::Cancelled)
            {
                (talk.timer, timed) = (seconds, true);
            }
        }
    }
    if let Some(Talk { with, seen, timer }) = &found {
        put(database, keys, with, &Entry { id, seen: *seen, timer: *timer })?;
    }
    Ok(found)
}
