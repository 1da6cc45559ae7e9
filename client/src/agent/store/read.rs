//! Reading messages: the one way from rows to what they hold, and every question that is asked of them.

use std::collections::HashMap;

use hither_proto::{
    id::MessageId, message::Message as Said, name::Name, node::Conversation, time::UnixTime,
};
use rusqlite::{Connection, OptionalExtension as _, ToSql, params};

use super::{
    Store, StoreError,
    conversations::Entry,
    message::{Message, State},
    quarantine::{self, Origin},
    rows::{Contents, Key, Keys, Row},
};

/// How many rows are read at once where some are passed over.
const PAGE: usize = 128;

/// Bytes of text after which a stretch of the history is long enough, however many messages are wanted: it
/// is held in memory more than once, and grows when it is written down.
const HISTORY_BYTES: usize = 4 * 1024 * 1024;

/// Which messages that have come are wanted.
#[derive(Clone, Copy, Debug)]
pub(in crate::agent) enum Which {
    /// All that are to be read by a person, after this cursor.
    All { after: u64 },
    /// These, and what is about other messages or the conversation.
    Everything { after: u64 },
    /// Those after this cursor that nobody has read.
    Unread { after: u64 },
}

impl Which {
    /// The same after another cursor.
    pub(in crate::agent) const fn after(self, after: u64) -> Self {
        match self {
            Self::All { .. } => Self::All { after },
            Self::Everything { .. } => Self::Everything { after },
            Self::Unread { .. } => Self::Unread { after },
        }
    }

    /// The cursor.
    pub(in crate::agent) const fn cursor(self) -> u64 {
        let (Self::All { after } | Self::Everything { after } | Self::Unread { after }) = self;
        after
    }
}

/// A row that could be read.
pub(super) struct Loaded {
    pub(super) seq: u64,
    pub(super) key: Key,
    pub(super) conversation: i64,
    pub(super) state: u8,
    /// When it disappears, in milliseconds since 1970; below zero, how long after its clock starts.
    pub(super) expires: Option<i64>,
    pub(super) contents: Contents,
}

/// Rows that were looked at, in their order, and those of them that could be read.
pub(super) struct Page {
    pub(super) seqs: Vec<u64>,
    pub(super) loaded: Vec<Loaded>,
}

/// The columns that [`fetch`] reads.
macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT seq, key, conversation, state, expires, sealed FROM message ", $rest)
    };
}
pub(super) use select;

/// Reads and opens rows. Those that do not open are set aside.
pub(super) fn fetch(
    database: &Connection,
    keys: &Keys,
    sql: &str,
    params: &[&dyn ToSql],
) -> Result<Page, StoreError> {
    let mut statement = database.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut page = Page { seqs: Vec::new(), loaded: Vec::new() };
    let mut unreadable = Vec::new();
    while let Some(row) = rows.next()? {
        let seq = row.get(0)?;
        page.seqs.push(seq);
        match open(keys, row) {
            Some(loaded) => page.loaded.push(loaded),
            None => unreadable.push(row.get(0)?),
        }
    }
    drop(rows);
    drop(statement);
    quarantine::set_aside(database, Origin::Message, &unreadable)?;
    Ok(page)
}

/// The row as it should be; `None` if anything about it is odd.
fn open(keys: &Keys, row: &rusqlite::Row<'_>) -> Option<Loaded> {
    let row = Row {
        seq: row.get(0).ok()?,
        key: row.get(1).ok()?,
        conversation: row.get(2).ok()?,
        state: row.get(3).ok()?,
        expires: row.get(4).ok()?,
        sealed: row.get(5).ok()?,
    };
    State::of(row.state)?;
    let contents = keys.open_message(&row)?;
    let Row { seq, key, conversation, state, expires, .. } = row;
    Some(Loaded { seq, key, conversation, state, expires, contents })
}

/// The row with this key.
pub(super) fn by_key(
    database: &Connection,
    keys: &Keys,
    key: &Key,
) -> Result<Option<Loaded>, StoreError> {
    Ok(fetch(database, keys, select!("WHERE key = ?1"), params![key])?.loaded.pop())
}

/// The newest rows before a cursor, newest first.
pub(super) fn page(
    database: &Connection,
    keys: &Keys,
    conversation: Option<i64>,
    before: i64,
    limit: usize,
) -> Result<Page, StoreError> {
    let limit = sql_limit(limit);
    match conversation {
        Some(conversation) => {
            let sql = select!("WHERE conversation = ?1 AND seq < ?2 ORDER BY seq DESC LIMIT ?3");
            fetch(database, keys, sql, params![conversation, before, limit])
        }
        None => {
            let sql = select!("WHERE seq < ?1 ORDER BY seq DESC LIMIT ?2");
            fetch(database, keys, sql, params![before, limit])
        }
    }
}

pub(super) fn sql_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

impl Store {
    /// What waits to be delivered, oldest first.
    pub(in crate::agent) fn queue(&self) -> Result<Vec<(Name, Said)>, StoreError> {
        let sql = select!("INDEXED BY message_queued WHERE state = 2 OR state = 8 ORDER BY seq");
        let queued = fetch(&self.database, &self.keys, sql, &[])?.loaded.into_iter();
        Ok(queued.map(|Loaded { contents, .. }| (contents.with, contents.said)).collect())
    }

    /// Where conversations stand.
    pub(in crate::agent) fn conversations(&self) -> Result<Vec<(Name, Conversation)>, StoreError> {
        let conversations = self.conversations.iter();
        let conversations = conversations.map(|(with, entry)| {
            (with.clone(), Conversation { seen: entry.seen, timer: entry.timer })
        });
        Ok(conversations.collect())
    }

    /// Where a conversation stands.
    pub(in crate::agent) fn conversation(&self, with: &Name) -> Conversation {
        let entry = self.conversations.get(with);
        entry.map_or_else(Conversation::default, |Entry { seen, timer, .. }| Conversation {
            seen,
            timer,
        })
    }

    /// Messages that have come, oldest first.
    pub(in crate::agent) fn received(
        &self,
        from: Option<&Name>,
        which: Which,
        limit: usize,
    ) -> Result<Vec<Message>, StoreError> {
        let conversation = match from.map(|from| self.conversations.get(from)) {
            Some(None) => return Ok(Vec::new()),
            Some(Some(entry)) => Some(entry.id),
            None => None,
        };
        let sql = match which {
            Which::Unread { .. } => select!(
                "INDEXED BY message_unread WHERE state = 0 AND seq > :after
                 AND (:of IS NULL OR conversation = :of) ORDER BY seq LIMIT :limit"
            ),
            Which::All { .. } => select!(
                "WHERE state IN (0, 1) AND seq > :after
                 AND (:of IS NULL OR conversation = :of) ORDER BY seq LIMIT :limit"
            ),
            Which::Everything { .. } => select!(
                "WHERE state IN (0, 1, 6) AND seq > :after
                 AND (:of IS NULL OR conversation = :of) ORDER BY seq LIMIT :limit"
            ),
        };
        let after = i64::try_from(which.cursor()).unwrap_or(i64::MAX);
        let mut left = limit;
        let mut messages = Vec::new();
        let mut after = after;
        // Rows that cannot be read must not make a page look like the last one.
        while left > 0 {
            let params: [&dyn ToSql; 3] = [&after, &conversation, &sql_limit(left)];
            let page = fetch(&self.database, &self.keys, sql, &params)?;
            let Some(last) = page.seqs.last() else { break };
            after = i64::try_from(*last).unwrap_or(i64::MAX);
            let whole = page.loaded.len() == page.seqs.len();
            left -= page.loaded.len();
            messages.extend(page.loaded.into_iter().map(Message::from));
            if whole {
                break;
            }
        }
        Ok(messages)
    }

    /// The cursor of the newest message, or zero.
    pub(in crate::agent) fn newest(&self) -> Result<u64, StoreError> {
        let sql = "SELECT coalesce(max(seq), 0) FROM message";
        Ok(self.database.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
    }

    /// The newest `limit` messages before a cursor, oldest of them first; fewer, if they are very long or
    /// there are no more. What has been applied to another message is not among them, nor what has
    /// disappeared.
    pub(in crate::agent) fn history(
        &self,
        with: Option<&Name>,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Message>, StoreError> {
        let conversation = match with.map(|with| self.conversations.get(with)) {
            Some(None) => return Ok(Vec::new()),
            Some(Some(entry)) => Some(entry.id),
            None => None,
        };
        let mut before = before.and_then(|seq| i64::try_from(seq).ok()).unwrap_or(i64::MAX);
        let mut messages: Vec<Message> = Vec::new();
        let mut bytes = 0;
        while messages.len() < limit && bytes < HISTORY_BYTES {
            let wanted = (limit - messages.len()).min(PAGE);
            let page = page(&self.database, &self.keys, conversation, before, wanted)?;
            let Some(last) = page.seqs.last() else { break };
            before = i64::try_from(*last).unwrap_or_default();
            for loaded in page.loaded.into_iter().filter(|loaded| loaded.contents.shown) {
                if bytes < HISTORY_BYTES {
                    bytes += loaded.contents.text().map_or(0, |text| text.text.len());
                    messages.push(Message::from(loaded));
                }
            }
        }
        messages.reverse();
        Ok(messages)
    }

    /// Every message with this id, ours first. Two people can use the same one.
    pub(in crate::agent) fn message(&self, id: MessageId) -> Result<Vec<Message>, StoreError> {
        let (least, greatest) = self.keys.id_range(id);
        let sql = select!("WHERE key BETWEEN ?1 AND ?2");
        let page = fetch(&self.database, &self.keys, sql, params![least, greatest])?;
        let same = page.loaded.into_iter().filter(|loaded| loaded.contents.said.id == id);
        let mut messages: Vec<Message> = same.map(Message::from).collect();
        messages.sort_by_key(|message| (!message.mine, message.seq));
        Ok(messages)
    }

    /// How many messages of this person are unread.
    pub(in crate::agent) fn unread(&self, from: &Name) -> Result<u64, StoreError> {
        let Some(entry) = self.conversations.get(from) else { return Ok(0) };
        let sql = "SELECT count(*) FROM message INDEXED BY message_unread
                   WHERE state = 0 AND conversation = ?1";
        let mut statement = self.database.prepare_cached(sql)?;
        Ok(statement.query_row(params![entry.id], |row| row.get(0))?)
    }

    /// How many messages are unread, of everybody of whom some are.
    pub(in crate::agent) fn unread_all(&self) -> Result<HashMap<Name, u64>, StoreError> {
        let sql = "SELECT conversation, count(*) FROM message INDEXED BY message_unread
                   WHERE state = 0 GROUP BY conversation";
        let mut statement = self.database.prepare_cached(sql)?;
        let counts = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let counts = counts.collect::<Result<HashMap<i64, u64>, _>>()?;
        let counts = self
            .conversations
            .iter()
            .filter_map(|(name, entry)| counts.get(&entry.id).map(|count| (name.clone(), *count)));
        Ok(counts.collect())
    }

    /// The unread messages of this person, oldest first, up to the message of either person with this id;
    /// none, if it is not here.
    pub(in crate::agent) fn unread_of(
        &self,
        with: &Name,
        up_to: Option<MessageId>,
    ) -> Result<Vec<Message>, StoreError> {
        let Some(entry) = self.conversations.get(with) else { return Ok(Vec::new()) };
        let last: i64 = match up_to {
            Some(id) => {
                let keys = [false, true].map(|mine| self.keys.message_key(mine, with, id));
                let sql =
                    "SELECT max(seq) FROM message WHERE key IN (?1, ?2) AND conversation = ?3";
                let mut statement = self.database.prepare_cached(sql)?;
                let last = statement
                    .query_row(params![keys[0], keys[1], entry.id], |row| row.get(0))
                    .optional()?;
                last.flatten().unwrap_or_default()
            }
            None => i64::MAX,
        };
        let sql = select!(
            "INDEXED BY message_unread WHERE state = 0 AND conversation = ?1 AND seq <= ?2
             ORDER BY seq"
        );
        let page = fetch(&self.database, &self.keys, sql, params![entry.id, last])?;
        Ok(page.loaded.into_iter().map(Message::from).collect())
    }

    /// When the next message disappears.
    pub(in crate::agent) fn next_expiry(&self) -> Result<Option<UnixTime>, StoreError> {
        let sql = "SELECT min(expires) FROM message INDEXED BY message_expires WHERE expires > 0";
        let at: Option<u64> = self.database.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
        Ok(at.map(UnixTime::from_millis))
    }

    /// How many records could not be read, and were kept aside.
    pub(in crate::agent) fn quarantined(&self) -> Result<u64, StoreError> {
        quarantine::count(&self.database)
    }
}
