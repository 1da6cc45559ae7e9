//! What messages do to each other: edits, deletions, reactions, timers and read receipts, of either
//! person, and what is undone when one of ours is never sent.

use hither_proto::{
    id::MessageId,
    message::{Body, Message as Said, Ref, Text},
    name::Name,
};

use rusqlite::{OptionalExtension as _, params};

use super::{
    StoreError,
    batch::{Batch, Erasure, queued},
    message::State,
    read::{self, Loaded},
    rows::{Contents, Key, Reaction, Undo},
    search,
};

impl Batch<'_> {
    /// A message has come. One that has come before stays as it was, and does nothing again.
    pub(super) fn receive(&mut self, from: &Name, said: &Said) -> Result<(), StoreError> {
        if let Body::Read { ids } = &said.body {
            // Nothing would be shown of it; and it does the same, however often it comes.
            return self.read_by_peer(from, ids);
        }
        let key = self.keys.message_key(false, from, said.id);
        let mut contents = self.contents(from, false, said);
        let new = match &said.body {
            Body::Text(_) | Body::Unknown { .. } => {
                let new = self.insert(&key, State::Unread as u8, &contents)?;
                self.applied.received |= new;
                new
            }
            _ if self.has(&key)? => false,
            _ => {
                self.perform(&mut contents)?;
                self.applied.noted = true;
                self.insert(&key, State::Noted as u8, &contents)?
            }
        };
        if new {
            let mut entry = self.conversation(from);
            entry.seen = Some(said.id);
            self.change(from, entry);
        }
        Ok(())
    }

    /// A message is to be delivered.
    pub(super) fn queue(&mut self, to: &Name, said: &Said) -> Result<(), StoreError> {
        let key = self.keys.message_key(true, to, said.id);
        let mut contents = self.contents(to, true, said);
        if !said.body.is_said() && !self.has(&key)? {
            self.perform(&mut contents)?;
            // What it says is to be told, so it stays until it is.
            contents.said.body.clone_from(&said.body);
        }
        // Who sends a cancelled message again, under its old id, means it.
        if !self.insert(&key, queued(&said.body), &contents)? && self.remove_cancelled(&key)? {
            return self.queue(to, said);
        }
        Ok(())
    }

    fn remove_cancelled(&mut self, key: &Key) -> Result<bool, StoreError> {
        let sql = "SELECT seq FROM message WHERE key = ?1 AND state = 4";
        let mut statement = self.database.prepare_cached(sql)?;
        let cancelled: Option<u64> =
            statement.query_row(params![key], |row| row.get(0)).optional()?;
        drop(statement);
        let Some(seq) = cancelled else { return Ok(false) };
        search::forget(self, seq)?;
        self.remove(seq)?;
        Ok(true)
    }

    /// A message of ours is on its addressee's disk.
    pub(super) fn delivered(&mut self, to: &Name, id: MessageId) -> Result<(), StoreError> {
        if self.advance(to, id, [State::Queued; 2], State::Delivered)? {
            return Ok(());
        }
        let key = self.keys.message_key(true, to, id);
        match read::by_key(&self.database, self.keys, &key)? {
            Some(row) if State::of(row.state) == Some(State::Queued) => {
                self.settle(row, State::Delivered)
            }
            _ => Ok(()),
        }
    }

    /// A message of ours will not be delivered.
    pub(super) fn cancelled(&mut self, to: &Name, id: MessageId) -> Result<(), StoreError> {
        let key = self.keys.message_key(true, to, id);
        let Some(row) = read::by_key(&self.database, self.keys, &key)? else { return Ok(()) };
        if State::of(row.state) != Some(State::Queued) {
            return Ok(());
        }
        if let Some(undo) = &row.contents.undo {
            self.undo(&row, undo.clone())?;
        }
        self.settle(row, State::Cancelled)
    }

    /// Nothing is left to be told of a message of ours.
    fn settle(&mut self, mut row: Loaded, state: State) -> Result<(), StoreError> {
        match &mut row.contents.said.body {
            Body::Read { .. } => return self.remove(row.seq),
            // Its wording is that of its target now, and goes when that goes.
            Body::Edit { text, .. } => text.clear(),
            _ => {}
        }
        row.contents.undo = None;
        row.state = state as u8;
        self.rewrite(&row)
    }

    /// Does to others what a new message says, and notes in it what that leaves of it.
    fn perform(&mut self, contents: &mut Contents) -> Result<(), StoreError> {
        let (with, mine) = (contents.with.clone(), contents.mine);
        match contents.said.body.clone() {
            Body::Text(_) | Body::Unknown { .. } => {}
            Body::Read { .. } => contents.shown = false,
            Body::Edit { of, text } => {
                contents.said.body = Body::Edit { of, text: String::new() };
                contents.shown = false;
                contents.undo = match self.target(mine, &with, of)? {
                    Some(target) => self.edit(target, text)?,
                    None => self.edit_of_nothing(contents, of, text)?,
                };
            }
            Body::Delete { of } => {
                contents.shown = false;
                self.delete(contents, of)?;
            }
            Body::Reaction { of: Ref { id, own }, emoji } => {
                if let Some(target) = self.target(mine == own, &with, id)? {
                    contents.shown = false;
                    contents.undo = self.react(target, mine, emoji)?.map(Undo::Sign);
                }
            }
            Body::Timer { seconds } => {
                let mut entry = self.conversation(&with);
                contents.undo = mine.then_some(Undo::Timer(entry.timer));
                entry.timer = seconds;
                self.change(&with, entry);
            }
        }
        Ok(())
    }

    /// Words a text anew, and says how it was worded.
    fn edit(&mut self, mut target: Loaded, new: String) -> Result<Option<Undo>, StoreError> {
        let edited = target.contents.edited;
        if State::of(target.state) == Some(State::Erased) {
            return Ok(None);
        }
        let Body::Text(Text { text, .. }) = &mut target.contents.said.body else {
            return Ok(None);
        };
        let text = std::mem::replace(text, new);
        target.contents.edited = true;
        search::forget(self, target.seq)?;
        self.rewrite(&target)?;
        Ok(target.contents.mine.then_some(Undo::Wording { text, edited }))
    }

    /// The new wording of a text of the peer that is not here, because it was sent to another machine or
    /// could not be read, stands in for it. Ours stay in the edit, to be told.
    fn edit_of_nothing(
        &mut self,
        edit: &Contents,
        of: MessageId,
        text: String,
    ) -> Result<Option<Undo>, StoreError> {
        if edit.mine {
            return Ok(None);
        }
        let expires_after = self.conversation(&edit.with).timer;
        let body = Body::Text(Text { text, reply_to: None, expires_after });
        let said = Said { id: of, body, ..edit.said };
        let mut contents = self.contents(&edit.with, false, &said);
        contents.edited = true;
        let key = self.keys.message_key(false, &edit.with, of);
        self.applied.received |= self.insert(&key, State::Unread as u8, &contents)?;
        Ok(None)
    }

    /// Erases a message. One that is not here is noted as erased, so that it cannot come later.
    fn delete(&mut self, deletion: &Contents, of: MessageId) -> Result<(), StoreError> {
        let Contents { with, mine, .. } = deletion;
        match self.target(*mine, with, of)? {
            Some(target) => {
                let erased = State::of(target.state) == Some(State::Erased);
                if erased || !target.contents.said.body.is_said() {
                    return Ok(());
                }
                self.erase(target, Erasure::Deleted)
            }
            None => {
                let said = Said { id: of, body: Body::text(String::new()), ..deletion.said };
                let contents = self.contents(with, *mine, &said);
                let key = self.keys.message_key(*mine, with, of);
                self.insert(&key, State::Erased as u8, &contents).map(|_| ())
            }
        }
    }

    /// Puts somebody's sign on a message, and gives back the one before it; `None` if it cannot bear any.
    fn react(
        &mut self,
        mut target: Loaded,
        mine: bool,
        emoji: String,
    ) -> Result<Option<String>, StoreError> {
        if State::of(target.state) == Some(State::Erased) {
            return Ok(None);
        }
        let reactions = &mut target.contents.reactions;
        let before = reactions.iter().position(|reaction| reaction.mine == mine);
        let before = before.map(|at| reactions.remove(at).emoji).unwrap_or_default();
        if !emoji.is_empty() {
            reactions.push(Reaction { mine, emoji });
        }
        self.rewrite(&target)?;
        Ok(mine.then_some(before))
    }

    /// Brings back what one of ours, never sent, took the place of; or leaves that to the next one that
    /// took its place in turn.
    fn undo(&mut self, row: &Loaded, undo: Undo) -> Result<(), StoreError> {
        let about = |body: &Body| match *body {
            Body::Edit { of, .. } => Some((Some(of), true)),
            Body::Reaction { of: Ref { id, own }, .. } => Some((Some(id), own)),
            Body::Timer { .. } => Some((None, true)),
            _ => None,
        };
        let body = &row.contents.said.body;
        let same = |other: &Body| {
            other.kind() == body.kind() && about(other) == about(body) && about(body).is_some()
        };
        let effects = self.queued_effects(row.conversation)?.into_iter();
        let next = effects
            .filter(|other| other.seq > row.seq && other.contents.undo.is_some())
            .find(|other| same(&other.contents.said.body));
        if let Some(mut next) = next {
            next.contents.undo = Some(undo);
            return self.rewrite(&next);
        }
        let with = row.contents.with.clone();
        match (undo, body) {
            (Undo::Wording { text, edited }, Body::Edit { of, .. }) => {
                if let Some(mut target) = self.target(true, &with, *of)?
                    && let Body::Text(worded) = &mut target.contents.said.body
                    && State::of(target.state) != Some(State::Erased)
                {
                    worded.text = text;
                    target.contents.edited = edited;
                    search::forget(self, target.seq)?;
                    self.rewrite(&target)?;
                }
            }
            (Undo::Sign(emoji), Body::Reaction { of, .. }) => {
                if let Some(target) = self.target(of.own, &with, of.id)? {
                    self.react(target, true, emoji)?;
                }
            }
            (Undo::Timer(before), Body::Timer { seconds }) => {
                let mut entry = self.conversation(&with);
                // Whoever has set it since then means it.
                if entry.timer == *seconds {
                    entry.timer = before;
                    self.change(&with, entry);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The peer has read messages of ours, which so have been delivered.
    fn read_by_peer(&mut self, by: &Name, ids: &[MessageId]) -> Result<(), StoreError> {
        for id in ids {
            let before = [State::Queued, State::Delivered];
            self.advance(by, *id, before, State::ReadByPeer)?;
        }
        Ok(())
    }
}
