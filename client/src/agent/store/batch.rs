//! One transaction: rows that come, are rewritten and go, and what is remembered beside them.

use std::collections::HashMap;

use hither_proto::{
    id::MessageId,
    message::{Body, Message as Said},
    name::Name,
    time::UnixTime,
};
use rusqlite::{Transaction, params};

use super::{
    Applied, StoreError,
    conversations::{self, Conversations, Entry},
    message::{QUEUED_EFFECT, State},
    read::{self, Loaded},
    rows::{Contents, Key, Keys},
    search::{self, BlockBuilder},
};

/// A transaction that is under way. What it changes in memory is taken over once it is committed.
pub(super) struct Batch<'s> {
    pub(super) database: Transaction<'s>,
    pub(super) keys: &'s mut Keys,
    pub(super) now: UnixTime,
    /// The cursor of the next row.
    pub(super) next: u64,
    /// The last row that the blocks for searching reach.
    pub(super) indexed: u64,
    /// The rows after it, if they are all at hand.
    pub(super) fresh: Option<BlockBuilder>,
    pub(super) applied: Applied,
    /// Whether something was erased, so that older copies of its page must go too.
    pub(super) erased: bool,
    known: &'s Conversations,
    changed: HashMap<Name, Entry>,
    created: usize,
}

/// Why a message is erased.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Erasure {
    /// Its writer has taken it back, which the history tells.
    Deleted,
    /// Its time is over.
    Expired,
    /// It is not wanted on this machine.
    Here,
}

/// What a committed transaction leaves to be taken over.
pub(super) struct Outcome {
    pub(super) next: u64,
    pub(super) indexed: u64,
    pub(super) fresh: Option<BlockBuilder>,
    pub(super) applied: Applied,
    pub(super) erased: bool,
    pub(super) conversations: HashMap<Name, Entry>,
}

impl<'s> Batch<'s> {
    pub(super) fn new(
        database: Transaction<'s>,
        keys: &'s mut Keys,
        known: &'s Conversations,
        now: UnixTime,
        (next, indexed, fresh): (u64, u64, Option<BlockBuilder>),
    ) -> Self {
        Self {
            database,
            keys,
            now,
            next,
            indexed,
            fresh,
            applied: Applied::default(),
            erased: false,
            known,
            changed: HashMap::new(),
            created: 0,
        }
    }

    /// Commits everything, or nothing.
    pub(super) fn commit(self) -> Result<Outcome, StoreError> {
        for (name, entry) in &self.changed {
            conversations::put(&self.database, self.keys, name, entry)?;
        }
        let sql = "INSERT OR REPLACE INTO place (id, next, clock) VALUES (1, ?1, ?2)";
        self.database.prepare_cached(sql)?.execute(params![self.next, self.now.as_millis()])?;
        let Self { database, next, indexed, fresh, applied, erased, changed, .. } = self;
        database.commit()?;
        Ok(Outcome { next, indexed, fresh, applied, erased, conversations: changed })
    }

    /// The conversation with somebody, new if need be.
    pub(super) fn conversation(&mut self, with: &Name) -> Entry {
        if let Some(entry) = self.find(with) {
            return entry;
        }
        let entry = Entry { id: self.known.next(self.created), seen: None, timer: None };
        self.created += 1;
        self.changed.insert(with.clone(), entry);
        entry
    }

    fn find(&self, with: &Name) -> Option<Entry> {
        self.changed.get(with).copied().or_else(|| self.known.get(with))
    }

    pub(super) fn change(&mut self, with: &Name, entry: Entry) {
        match self.changed.get_mut(with) {
            Some(changed) => *changed = entry,
            None => {
                self.changed.insert(with.clone(), entry);
            }
        }
    }

    /// Whether there is a row with this key.
    pub(super) fn has(&self, key: &Key) -> Result<bool, StoreError> {
        let mut statement = self.database.prepare_cached("SELECT 1 FROM message WHERE key = ?1")?;
        Ok(statement.exists(params![key])?)
    }

    /// The message with this id, if it is in this conversation.
    pub(super) fn target(
        &self,
        mine: bool,
        with: &Name,
        id: MessageId,
    ) -> Result<Option<Loaded>, StoreError> {
        let key = self.keys.message_key(mine, with, id);
        let found = read::by_key(&self.database, self.keys, &key)?;
        Ok(found.filter(|loaded| loaded.contents.with == *with))
    }

    /// Whether the message is new. One that is there already stays as it is.
    pub(super) fn insert(
        &mut self,
        key: &Key,
        state: u8,
        contents: &Contents,
    ) -> Result<bool, StoreError> {
        let conversation = self.conversation(&contents.with).id;
        let expires = not_started(contents);
        let seq = self.next;
        let new = self.insert_at(seq, key, conversation, state, expires, contents)?;
        if new {
            self.next += 1;
            search::add(self, seq, conversation, state, contents)?;
        }
        Ok(new)
    }

    pub(super) fn insert_at(
        &mut self,
        seq: u64,
        key: &Key,
        conversation: i64,
        state: u8,
        expires: Option<i64>,
        contents: &Contents,
    ) -> Result<bool, StoreError> {
        let sealed = self.keys.seal_message((seq, key, conversation), contents);
        let inserted = self
            .database
            .prepare_cached(
                "INSERT INTO message (seq, key, conversation, state, expires, sealed)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (key) DO NOTHING",
            )?
            .execute(params![seq, key, conversation, state, expires, sealed])?;
        Ok(inserted > 0)
    }

    /// Writes a row that was read, and changed, back to its place.
    pub(super) fn rewrite(&mut self, row: &Loaded) -> Result<(), StoreError> {
        let Loaded { seq, key, conversation, state, expires, contents } = row;
        let sealed = self.keys.seal_message((*seq, key, *conversation), contents);
        self.database
            .prepare_cached(
                "UPDATE message SET state = ?2, expires = ?3, sealed = ?4 WHERE seq = ?1",
            )?
            .execute(params![seq, state, expires, sealed])?;
        Ok(())
    }

    pub(super) fn remove(&mut self, seq: u64) -> Result<(), StoreError> {
        self.database
            .prepare_cached("DELETE FROM message WHERE seq = ?1")?
            .execute(params![seq])?;
        Ok(())
    }

    /// Leaves nothing of a message but that it was there.
    pub(super) fn erase(&mut self, mut row: Loaded, why: Erasure) -> Result<(), StoreError> {
        if row.contents.mine {
            self.forget_queued_edits(&row, why)?;
        }
        search::forget(self, row.seq)?;
        row.state = State::Erased as u8;
        row.expires = None;
        let Contents { said, shown, edited, reactions, undo, .. } = &mut row.contents;
        said.body = Body::text(String::new());
        *shown = why == Erasure::Deleted;
        (*edited, *undo) = (false, None);
        reactions.clear();
        self.erased = true;
        self.rewrite(&row)
    }

    /// Edits that wait to be told keep no wording of what is erased everywhere, and need not be told. If
    /// it is erased here only, they are told, and keep no more than what is told.
    fn forget_queued_edits(&mut self, target: &Loaded, why: Erasure) -> Result<(), StoreError> {
        for mut row in self.queued_effects(target.conversation)? {
            match &mut row.contents.said.body {
                Body::Edit { of, text } if *of == target.contents.said.id => {
                    if why != Erasure::Here {
                        text.clear();
                        row.state = State::Cancelled as u8;
                    }
                    row.contents.undo = None;
                    self.rewrite(&row)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What waits in a conversation and is about something else, oldest first.
    pub(super) fn queued_effects(&self, conversation: i64) -> Result<Vec<Loaded>, StoreError> {
        let sql = read::select!(
            "INDEXED BY message_queued
             WHERE (state = 2 OR state = 8) AND state = 8 AND conversation = ?1 ORDER BY seq"
        );
        Ok(read::fetch(&self.database, self.keys, sql, params![conversation])?.loaded)
    }

    /// How a message that is new here is stored.
    pub(super) fn contents(&self, with: &Name, mine: bool, said: &Said) -> Contents {
        Contents {
            with: with.clone(),
            mine,
            stored_at: self.now.as_millis(),
            said: said.clone(),
            shown: true,
            edited: false,
            reactions: Vec::new(),
            undo: None,
        }
    }

    /// Moves a text of ours to another state, if it is in one of `from`, and starts its clock if it
    /// disappears.
    pub(super) fn advance(
        &mut self,
        to: &Name,
        id: MessageId,
        from: [State; 2],
        state: State,
    ) -> Result<bool, StoreError> {
        let Some(entry) = self.find(to) else { return Ok(false) };
        let key = self.keys.message_key(true, to, id);
        let sql = "UPDATE message SET state = ?3,
                       expires = CASE WHEN expires < 0 THEN ?4 - expires ELSE expires END
                   WHERE key = ?1 AND conversation = ?2 AND state IN (?5, ?6)";
        let [one, other] = from.map(|state| state as u8);
        let advanced = self.database.prepare_cached(sql)?.execute(params![
            key,
            entry.id,
            state as u8,
            clock(self.now),
            one,
            other
        ])?;
        Ok(advanced > 0)
    }

    /// A person has read this message.
    pub(super) fn read(&mut self, seq: u64) -> Result<(), StoreError> {
        let sql = "UPDATE message SET state = 1,
                       expires = CASE WHEN expires < 0 THEN ?2 - expires ELSE expires END
                   WHERE seq = ?1 AND state = 0";
        self.database.prepare_cached(sql)?.execute(params![seq, clock(self.now)])?;
        Ok(())
    }
}

/// The time as the database keeps it.
pub(super) fn clock(now: UnixTime) -> i64 {
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

/// How long after the start of its clock a text disappears, as the database keeps it: below zero.
fn not_started(contents: &Contents) -> Option<i64> {
    let seconds = contents.text()?.expires_after?;
    Some(-(i64::from(seconds) * 1000).max(1))
}

/// The number of the state of something that was queued just now.
pub(super) const fn queued(body: &Body) -> u8 {
    if body.is_said() { State::Queued as u8 } else { QUEUED_EFFECT }
}
