//! Messages out of the store into an archive, and from an archive into a store.

use hither_proto::time::UnixTime;
use minicbor::{Decode, Encode};
use rusqlite::params;

use super::{
    Store, StoreError,
    batch::Batch,
    conversations::Entry,
    message::State,
    read::{self, Loaded, select},
    rows::{Contents, Talk},
    search,
};

/// Rows that are read at once.
const PAGE: usize = 128;

/// What an archive holds.
#[derive(Debug, Decode, Encode)]
pub(in crate::agent) enum Record {
    /// Where a conversation stands.
    #[n(0)]
    Conversation(#[n(0)] Talk),
    /// A message.
    #[n(1)]
    Message(#[n(0)] Box<Exported>),
}

/// A message as it stands in a store, but for its cursor.
#[derive(Debug, Decode, Encode)]
#[cbor(array)]
pub(in crate::agent) struct Exported {
    #[n(0)]
    state: u8,
    #[n(1)]
    expires: Option<i64>,
    #[n(2)]
    contents: Contents,
}

/// What an import has come to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(in crate::agent) struct Imported {
    /// Messages that were not here.
    pub(in crate::agent) new: u64,
    /// Messages that were, and stay as they are here.
    pub(in crate::agent) known: u64,
    /// Of both, those that people said.
    pub(in crate::agent) said: u64,
    /// Of the new ones, those that people said.
    pub(in crate::agent) new_said: u64,
    /// New ones that wait to be delivered, of which the node does not know.
    pub(in crate::agent) queued: u64,
}

impl Store {
    /// Hands out every message, in its order, and then where conversations stand. Counts those that people
    /// said, and not what is about them or is gone.
    pub(in crate::agent) fn export<E: From<StoreError>>(
        &self,
        mut take: impl FnMut(Record) -> Result<(), E>,
    ) -> Result<u64, E> {
        let sql = select!("WHERE seq > ?1 ORDER BY seq LIMIT ?2");
        let (mut after, mut count) = (0, 0);
        loop {
            let params = params![after, read::sql_limit(PAGE)];
            let page = read::fetch(&self.database, &self.keys, sql, params)?;
            let Some(last) = page.seqs.last() else { break };
            after = *last;
            for Loaded { state, expires, contents, .. } in page.loaded {
                count += u64::from(is_said(state, &contents));
                take(Record::Message(Box::new(Exported { state, expires, contents })))?;
            }
        }
        for (name, entry) in self.conversations.iter() {
            let Entry { seen, timer, .. } = *entry;
            let talk = Talk { with: name.clone(), seen, timer };
            take(Record::Conversation(talk))?;
        }
        Ok(count)
    }

    /// Takes in what [`Store::export`] has handed out, all or nothing: `messages` of them. They are placed
    /// before everything that is here, if there is room, because an archive is older than what came after.
    pub(in crate::agent) fn import<E: From<StoreError>>(
        &mut self,
        now: UnixTime,
        messages: u64,
        records: impl Iterator<Item = Result<Record, E>>,
    ) -> Result<Imported, E> {
        let oldest = "SELECT coalesce(min(seq), ?1) FROM message";
        let oldest: u64 = self
            .database
            .query_row(oldest, [self.next], |row| row.get(0))
            .map_err(StoreError::from)?;
        let before = oldest.checked_sub(messages).filter(|first| *first > 0);
        let mut failed = None;
        let imported = self.write(now, true, |batch| {
            let mut import = Import { batch, at: before, imported: Imported::default() };
            for record in records {
                match record {
                    Ok(record) => import.take(record)?,
                    Err(error) => {
                        failed = Some(error);
                        // Only to end the transaction.
                        return Err(StoreError::Damaged);
                    }
                }
            }
            let imported = import.imported;
            let newest = batch.next - 1;
            search::catch_up(batch, newest)?;
            Ok(imported)
        });
        if let Some(error) = failed {
            return Err(error);
        }
        let (imported, _) = imported?;
        match self.mend_blocks() {
            // What is imported is here; the next search makes them.
            Ok(()) | Err(StoreError::Full) => Ok(imported),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether this is something that somebody said, and is still there.
fn is_said(state: u8, contents: &Contents) -> bool {
    State::of(state) != Some(State::Erased) && contents.said.body.is_said()
}

/// An import under way.
struct Import<'a, 's> {
    batch: &'a mut Batch<'s>,
    /// The cursor of the next message; `None` if they go to the end.
    at: Option<u64>,
    imported: Imported,
}

impl Import<'_, '_> {
    fn take(&mut self, record: Record) -> Result<(), StoreError> {
        match record {
            Record::Conversation(talk) => {
                self.conversation(&talk);
                Ok(())
            }
            Record::Message(message) => self.message(*message),
        }
    }

    /// What is newer stands here already.
    fn conversation(&mut self, talk: &Talk) {
        let mut entry = self.batch.conversation(&talk.with);
        if entry.seen.is_none() {
            entry.seen = talk.seen;
            entry.timer = entry.timer.or(talk.timer);
            self.batch.change(&talk.with, entry);
        }
    }

    fn message(&mut self, message: Exported) -> Result<(), StoreError> {
        let Exported { state, expires, contents } = message;
        let key = self.batch.keys.message_key(contents.mine, &contents.with, contents.said.id);
        let conversation = self.batch.conversation(&contents.with).id;
        let seq = self.at.unwrap_or(self.batch.next);
        let said = u64::from(is_said(state, &contents));
        self.imported.said += said;
        let new = self.batch.insert_at(seq, &key, conversation, state, expires, &contents)?;
        if !new {
            self.imported.known += 1;
            return Ok(());
        }
        match &mut self.at {
            Some(at) => *at += 1,
            None => self.batch.next += 1,
        }
        self.imported.new += 1;
        self.imported.new_said += said;
        self.imported.queued += u64::from(State::of(state) == Some(State::Queued));
        Ok(())
    }
}
