//! Finding texts by what they say: blocks of folded texts, each sealed as one, that are opened and looked
//! through from the newest to the oldest. They are a cache of the rows, which have the last word.

use hither_proto::name::Name;
use rusqlite::{Connection, OptionalExtension as _, params};
use zeroize::Zeroizing;

use super::{
    Store, StoreError,
    batch::Batch,
    message::{Message, State},
    read::{self, Loaded, select},
    rows::{Contents, Keys},
};

/// Rows of one block.
const BLOCK_ROWS: u64 = 512;

/// Bytes of text after which a block is full.
const BLOCK_BYTES: usize = 128 * 1024;

/// Rows that are read at once.
const PAGE: usize = 64;

/// Bytes of text after which no further block is looked into. All that is found goes in one answer, as JSON,
/// where a byte takes up to six; and a command takes an answer of no more than 64 MiB.
const FOUND_BYTES_MAX: usize = 8 << 20;

/// Bytes in front of each text of a block: cursor, conversation, and where the text ends.
const ENTRY_BYTES: usize = 8 + 8 + 4;

/// Rows, by their cursors, that one block holds or that none does.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    first: u64,
    last: u64,
    covered: bool,
}

/// What is looked for.
struct Wanted {
    words: Vec<String>,
    conversation: Option<i64>,
}

impl Wanted {
    fn is_in(&self, folded: &str) -> bool {
        self.words.iter().all(|word| folded.contains(word))
    }

    fn matches(&self, row: &Loaded) -> bool {
        State::of(row.state) != Some(State::Erased)
            && self.conversation.is_none_or(|conversation| conversation == row.conversation)
            && row.contents.text().is_some_and(|text| {
                let folded = Zeroizing::new(fold(&text.text));
                self.is_in(&folded)
            })
    }
}

impl Store {
    /// The newest `limit` texts, or fewer long ones, in which every word of `text` occurs, newest first. Letters count the same
    /// in upper and lower case, and a word is found inside others.
    pub(in crate::agent) fn search(
        &mut self,
        text: &str,
        with: Option<&Name>,
        limit: usize,
    ) -> Result<Vec<Message>, StoreError> {
        let words: Vec<_> = fold(text).split_whitespace().map(str::to_owned).collect();
        let conversation = match with.map(|with| self.conversations.get(with)) {
            Some(None) => return Ok(Vec::new()),
            Some(Some(entry)) => Some(entry.id),
            None => None,
        };
        if words.is_empty() {
            return Ok(Vec::new());
        }
        match self.mend_blocks() {
            // Rows that no block holds are read one by one.
            Ok(()) | Err(StoreError::Full | StoreError::ReadOnly) => {}
            Err(error) => return Err(error),
        }
        let wanted = Wanted { words, conversation };
        let (mut found, mut bytes) = (Vec::new(), 0);
        for stretch in stretches(&self.database)? {
            if found.len() == limit || bytes >= FOUND_BYTES_MAX {
                break;
            }
            let left = limit - found.len();
            let rows = match self.open_block(stretch)? {
                Some(block) => self.look_through_block(&block, &wanted, left)?,
                None => self.look_through_rows(stretch, &wanted, left)?,
            };
            bytes += rows
                .iter()
                .filter_map(|row| row.contents.text())
                .map(|said| said.text.len())
                .sum::<usize>();
            found.extend(rows.into_iter().map(Message::from));
        }
        Ok(found)
    }

    /// Makes blocks for rows that have lost theirs. The newest wait until they are enough for one.
    pub(super) fn mend_blocks(&mut self) -> Result<(), StoreError> {
        let lost: Vec<Stretch> = stretches(&self.database)?
            .into_iter()
            .filter(|stretch| !stretch.covered && stretch.first <= self.indexed)
            .collect();
        if lost.is_empty() {
            return Ok(());
        }
        let transaction = self.database.transaction()?;
        for Stretch { first, last, .. } in lost {
            make_blocks(&transaction, &mut self.keys, first, last.min(self.indexed))?;
        }
        Ok(transaction.commit()?)
    }

    fn open_block(&self, stretch: Stretch) -> Result<Option<Block>, StoreError> {
        let Stretch { first, last, covered: true } = stretch else { return Ok(None) };
        let mut statement =
            self.database.prepare_cached("SELECT sealed FROM search WHERE last = ?1")?;
        let mut rows = statement.query(params![last])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let sealed = row.get_ref(0)?.as_blob().unwrap_or_default();
        // One that does not open is worth no more than none.
        Ok(self.keys.open_block(first, last, sealed).and_then(Block::parse))
    }

    fn look_through_block(
        &self,
        block: &Block,
        wanted: &Wanted,
        limit: usize,
    ) -> Result<Vec<Loaded>, StoreError> {
        let mut found = Vec::new();
        if !wanted.is_in(block.texts()) {
            return Ok(found);
        }
        for (seq, conversation, text) in block.entries().rev() {
            if found.len() == limit {
                break;
            }
            if wanted.conversation.is_some_and(|wanted| wanted != conversation)
                || !wanted.is_in(text)
            {
                continue;
            }
            let sql = select!("WHERE seq = ?1");
            let rows = read::fetch(&self.database, &self.keys, sql, params![seq])?.loaded;
            found.extend(rows.into_iter().filter(|row| wanted.matches(row)));
        }
        Ok(found)
    }

    fn look_through_rows(
        &self,
        stretch: Stretch,
        wanted: &Wanted,
        limit: usize,
    ) -> Result<Vec<Loaded>, StoreError> {
        let Stretch { first, mut last, .. } = stretch;
        let mut found = Vec::new();
        let sql = select!("WHERE seq BETWEEN ?1 AND ?2 ORDER BY seq DESC LIMIT ?3");
        while found.len() < limit && last >= first {
            let params = params![first, last, read::sql_limit(PAGE)];
            let page = read::fetch(&self.database, &self.keys, sql, params)?;
            let Some(oldest) = page.seqs.last() else { break };
            last = oldest - 1;
            found.extend(page.loaded.into_iter().filter(|row| wanted.matches(row)));
        }
        found.truncate(limit);
        Ok(found)
    }
}

/// A block that is open: numbers, and the texts they belong to, one a line.
struct Block {
    bytes: Zeroizing<Vec<u8>>,
    count: usize,
}

impl Block {
    /// Whether it is well-formed is looked at once.
    fn parse(bytes: Zeroizing<Vec<u8>>) -> Option<Self> {
        let count = usize::try_from(number(bytes.get(..8)?)).ok()?;
        let block = Self { bytes, count };
        let texts = std::str::from_utf8(block.bytes.get(8 + count * ENTRY_BYTES..)?).ok()?;
        let sound = (0..count).all(|at| {
            let (start, end) = (block.end(at.checked_sub(1)), block.end(Some(at)));
            texts.get(start..end).is_some()
        });
        sound.then_some(block)
    }

    fn texts(&self) -> &str {
        std::str::from_utf8(&self.bytes[8 + self.count * ENTRY_BYTES..]).unwrap_or_default()
    }

    fn end(&self, entry: Option<usize>) -> usize {
        let Some(at) = entry else { return 0 };
        let at = 8 + at * ENTRY_BYTES + 16;
        usize::try_from(number(&self.bytes[at..at + 4])).unwrap_or(usize::MAX)
    }

    fn entries(&self) -> impl DoubleEndedIterator<Item = (u64, i64, &str)> {
        let texts = self.texts();
        (0..self.count).map(move |at| {
            let entry = &self.bytes[8 + at * ENTRY_BYTES..];
            let text = &texts[self.end(at.checked_sub(1))..self.end(Some(at))];
            (number(&entry[..8]), number(&entry[8..16]).cast_signed(), text)
        })
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Takes in a new row, and makes a block of the newest rows once they are enough for one.
pub(super) fn add(
    batch: &mut Batch<'_>,
    seq: u64,
    conversation: i64,
    state: u8,
    contents: &Contents,
) -> Result<(), StoreError> {
    let full = match &mut batch.fresh {
        Some(fresh) => {
            fresh.push(seq, conversation, state, contents);
            fresh.is_full()
        }
        None => seq - batch.indexed >= BLOCK_ROWS,
    };
    if !full {
        return Ok(());
    }
    match batch.fresh.take() {
        Some(fresh) => {
            fresh.put(&batch.database, batch.keys)?;
            batch.indexed = seq;
        }
        // They were there before this process, or have changed since.
        None => return catch_up(batch, seq),
    }
    batch.fresh = Some(BlockBuilder::new(seq + 1));
    Ok(())
}

/// Makes the blocks of all newest rows.
pub(super) fn catch_up(batch: &mut Batch<'_>, newest: u64) -> Result<(), StoreError> {
    make_blocks(&batch.database, batch.keys, batch.indexed + 1, newest)?;
    batch.indexed = newest;
    batch.fresh = Some(BlockBuilder::new(newest + 1));
    Ok(())
}

/// The last row that a block holds.
pub(super) fn indexed(database: &Connection) -> Result<Option<u64>, StoreError> {
    Ok(database.query_row("SELECT max(last) FROM search", [], |row| row.get(0))?)
}

/// Drops every copy of the text of this row.
pub(super) fn forget(batch: &mut Batch<'_>, seq: u64) -> Result<(), StoreError> {
    if seq > batch.indexed {
        batch.fresh = None;
    }
    forget_block(&batch.database, seq)
}

/// Drops the block that holds this row.
pub(super) fn forget_block(database: &Connection, seq: u64) -> Result<(), StoreError> {
    let sql = "SELECT last, first FROM search WHERE last >= ?1 ORDER BY last LIMIT 1";
    let mut statement = database.prepare_cached(sql)?;
    let block =
        statement.query_row(params![seq], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let Some((last, first)): Option<(u64, u64)> = block else { return Ok(()) };
    if first <= seq {
        database.prepare_cached("DELETE FROM search WHERE last = ?1")?.execute(params![last])?;
    }
    Ok(())
}

/// All rows, newest first, by the blocks that hold them.
fn stretches(database: &Connection) -> Result<Vec<Stretch>, StoreError> {
    // Asked for at once, the two would be looked for in every row.
    let ends = "SELECT coalesce((SELECT min(seq) FROM message), 1),
                       coalesce((SELECT max(seq) FROM message), 0)";
    let (oldest, mut upper): (u64, u64) =
        database.query_row(ends, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut statement =
        database.prepare_cached("SELECT first, last FROM search ORDER BY last DESC")?;
    let blocks = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut stretches = Vec::new();
    for block in blocks {
        let (first, last): (u64, u64) = block?;
        if last < upper {
            stretches.push(Stretch { first: last + 1, last: upper, covered: false });
        }
        stretches.push(Stretch { first, last, covered: true });
        upper = upper.min(first.saturating_sub(1));
    }
    if oldest <= upper {
        stretches.push(Stretch { first: oldest, last: upper, covered: false });
    }
    Ok(stretches)
}

/// Puts rows into blocks.
fn make_blocks(
    database: &Connection,
    keys: &mut Keys,
    first: u64,
    to: u64,
) -> Result<(), StoreError> {
    let mut from = first;
    while from <= to {
        from = make_block(database, keys, from, to)? + 1;
    }
    Ok(())
}

/// Puts as many rows as a block holds into one, and says which is the last.
fn make_block(
    database: &Connection,
    keys: &mut Keys,
    first: u64,
    to: u64,
) -> Result<u64, StoreError> {
    let sql = select!("WHERE seq BETWEEN ?1 AND ?2 ORDER BY seq LIMIT ?3");
    let mut block = BlockBuilder::new(first);
    let mut from = first;
    while !block.is_full() {
        let page = read::fetch(database, keys, sql, params![from, to, read::sql_limit(PAGE)])?;
        let Some(last) = page.seqs.last() else { break };
        from = last + 1;
        for Loaded { seq, conversation, state, contents, .. } in page.loaded {
            block.push(seq, conversation, state, &contents);
            if block.is_full() {
                break;
            }
        }
    }
    let last = if block.is_full() { block.last } else { to };
    block.put(database, keys)?;
    Ok(last)
}

/// A block that is being made.
pub(super) struct BlockBuilder {
    first: u64,
    last: u64,
    rows: u64,
    entries: Vec<u8>,
    texts: Zeroizing<String>,
}

impl BlockBuilder {
    pub(super) fn new(first: u64) -> Self {
        let texts = Zeroizing::new(String::new());
        Self { first, last: first, rows: 0, entries: Vec::new(), texts }
    }

    fn push(&mut self, seq: u64, conversation: i64, state: u8, contents: &Contents) {
        (self.rows, self.last) = (self.rows + 1, seq);
        let Some(text) = contents.text() else { return };
        if State::of(state) == Some(State::Erased) {
            return;
        }
        fold_into(&text.text, &mut self.texts);
        // No word that is looked for has white space, so none reaches from one text to the next.
        self.texts.push('\n');
        let end = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        self.entries.extend_from_slice(&seq.to_be_bytes());
        self.entries.extend_from_slice(&conversation.to_be_bytes());
        self.entries.extend_from_slice(&end.to_be_bytes());
    }

    fn is_full(&self) -> bool {
        self.rows >= BLOCK_ROWS || self.texts.len() >= BLOCK_BYTES
    }

    fn put(&self, database: &Connection, keys: &mut Keys) -> Result<(), StoreError> {
        let Self { first, last, rows, entries, texts } = self;
        if *rows == 0 {
            return Ok(());
        }
        let count = (entries.len() / ENTRY_BYTES) as u64;
        let block = [&count.to_be_bytes(), &entries[..], texts.as_bytes()].concat();
        let sealed = keys.seal_block(*first, *last, block);
        database
            .prepare_cached("INSERT INTO search (last, first, sealed) VALUES (?1, ?2, ?3)")?
            .execute(params![last, first, sealed])?;
        Ok(())
    }
}

/// The text as it is compared: in lower case, letter by letter.
fn fold(text: &str) -> String {
    let mut folded = String::new();
    fold_into(text, &mut folded);
    folded
}

fn fold_into(text: &str, folded: &mut String) {
    folded.reserve(text.len());
    if text.is_ascii() {
        let start = folded.len();
        folded.push_str(text);
        folded[start..].make_ascii_lowercase();
        return;
    }
    let lower = text.chars().flat_map(char::to_lowercase);
    // The same letter at the end of a Greek word and within it.
    folded.extend(lower.map(|letter| if letter == 'ς' { 'σ' } else { letter }));
}
