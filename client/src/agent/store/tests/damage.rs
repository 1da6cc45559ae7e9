//! Rows and files that are not as they were written, and files of other versions.

use std::{fs::OpenOptions, io::Write as _};

use hither_proto::{
    crypto::{
        derive::{authenticate, derive},
        label::Label,
        seal::seal_at_rest,
    },
    node::{Conversation, Remembered},
    reach::Policy,
    vault::{Contact, Standing},
    wire,
};
use rusqlite::{Connection, params};

use super::*;
use crate::agent::store::{State, migrate, rows::Keys};

fn contact(called: &str) -> Contact {
    Contact {
        name: name(called),
        identity: None,
        standing: Standing::Accepted,
        verified: false,
        blocked: false,
        policy: Policy::default(),
    }
}

fn spoil(store: &Store, sql: &str) {
    assert_eq!(store.database.execute(sql, []).unwrap(), 1, "{sql}");
}

/// Makes the last byte of a sealed column another one, or puts another value in another column.
const SEALED: &str = "sealed = CAST(substr(sealed, 1, length(sealed) - 1) || x'55' AS BLOB)";

#[test]
fn a_message_that_cannot_be_read_is_set_aside_and_can_come_again() {
    let spoilt = [
        SEALED,
        "sealed = x'00'",
        "sealed = 'a text'",
        "key = zeroblob(16)",
        "key = x'01'",
        "conversation = conversation + 1",
        "state = 99",
        "state = -1",
        "expires = 'soon'",
    ];
    for column in spoilt {
        let folder = folder("spoilt");
        let mut store = open(&folder).unwrap();
        let three =
            [received(1, text("one")), received(2, text("two")), received(3, text("three"))];
        apply(&mut store, &three);
        let seq = message(&store, 2).seq;
        spoil(&store, &format!("UPDATE message SET {column} WHERE seq = {seq}"));
        assert_eq!(store.quarantined().unwrap(), 0);
        assert_eq!(history(&store), ["one", "three"], "{column}");
        assert_eq!(store.quarantined().unwrap(), 1, "{column}");
        assert_eq!(store.received(None, UNREAD, 2).unwrap().len(), 2);
        drop(store);
        let mut store = open(&folder).unwrap();
        assert!(apply(&mut store, &three).received, "{column}");
        assert_eq!(history(&store), ["one", "three", "two"]);
        assert_eq!(store.quarantined().unwrap(), 1);
    }
}

#[test]
fn every_way_to_a_message_sets_it_aside() {
    type Way = fn(&mut Store);
    let ways: [Way; 8] = [
        |store| assert_eq!(store.received(None, UNREAD, 1).unwrap().len(), 1),
        |store| assert_eq!(store.unread_of(&bob(), None).unwrap().len(), 599),
        |store| assert_eq!(store.message(id(1)).unwrap(), []),
        |store| assert_eq!(store.search("word", None, usize::MAX).unwrap().len(), 599),
        |store| assert_eq!(dump(store).len(), 600),
        |store| assert!(apply(store, &[received(9_000, edit(1, "again"))]).received),
        |store| assert!(apply(store, &[received(9_000, delete(1))]).noted),
        |store| assert!(apply(store, &[received(9_000, reaction(1, true, "x"))]).noted),
    ];
    for way in ways {
        let folder = folder("ways");
        let mut store = open(&folder).unwrap();
        let many: Vec<_> = (1..=600).map(|number| received(number, text("word"))).collect();
        apply(&mut store, &many);
        let seq = message(&store, 1).seq;
        spoil(&store, &format!("UPDATE message SET {SEALED} WHERE seq = {seq}"));
        way(&mut store);
        assert_eq!(store.quarantined().unwrap(), 1);
    }
}

#[test]
fn what_waits_and_cannot_be_read_does_not_hold_up_the_rest() {
    let folder = folder("waits");
    let mut store = open(&folder).unwrap();
    apply(&mut store, &[queued(1, text("one")), queued(2, text("two")), queued(3, edit(1, "x"))]);
    let seq = message(&store, 3).seq;
    spoil(&store, &format!("UPDATE message SET {SEALED} WHERE seq = {seq}"));
    apply(&mut store, &[delivered(3)]);
    assert_eq!(store.queue().unwrap().len(), 2);
    assert_eq!(store.quarantined().unwrap(), 1);
}

#[test]
fn a_contact_that_cannot_be_read_is_set_aside_and_not_replaced() {
    let folder = folder("contact");
    let mut store = open(&folder).unwrap();
    let remembered = |names: &[&str]| Remembered {
        contacts: names.iter().map(|name| contact(name)).collect(),
        vault_counter: 1,
        vault_dirty: false,
    };
    store.replace(&remembered(&["bob", "eve"])).unwrap();
    let spoilt = format!("UPDATE contact SET {SEALED} WHERE key = (SELECT min(key) FROM contact)");
    spoil(&store, &spoilt);
    let left = store.remembered().unwrap().unwrap();
    assert_eq!((left.contacts.len(), left.vault_counter), (1, 0));
    assert_eq!(store.quarantined().unwrap(), 1);
    store.replace(&remembered(&["bob", "eve"])).unwrap();
    spoil(&store, &spoilt);
    store.replace(&remembered(&["dave"])).unwrap();
    assert_eq!(store.quarantined().unwrap(), 2);
    assert_eq!(store.remembered().unwrap(), Some(remembered(&["dave"])));
}

#[test]
fn a_cancelled_timer_does_not_come_back_with_its_conversation() {
    let folder = folder("cancelled-timer");
    let mut store = open(&folder).unwrap();
    let timer = |seconds| Body::Timer { seconds: Some(seconds) };
    apply(&mut store, &[received(1, timer(60)), queued(2, timer(5)), cancelled(2)]);
    spoil(&store, "UPDATE conversation SET sealed = x'00'");
    drop(store);
    assert_eq!(open(&folder).unwrap().conversation(&bob()).timer, Some(60));
}

#[test]
fn a_conversation_that_cannot_be_read_is_pieced_together() {
    for column in [SEALED, "sealed = x''", "id = 77"] {
        let folder = folder("conversation");
        let mut store = open(&folder).unwrap();
        let timer = received(1, Body::Timer { seconds: Some(60) });
        apply(&mut store, &[timer, received(2, text("two")), queued(3, text("three"))]);
        spoil(&store, &format!("UPDATE conversation SET {column}"));
        drop(store);
        let mut store = open(&folder).unwrap();
        assert_eq!(store.quarantined().unwrap(), 1);
        if column != "id = 77" {
            let stands = Conversation { seen: Some(id(2)), timer: Some(60) };
            assert_eq!(store.conversations().unwrap(), [(bob(), stands)]);
        }
        apply(&mut store, &[received(4, text("four"))]);
        let all: Vec<_> = history(&store);
        assert_eq!(all, ["", "two", "three", "four"]);
    }
}

/// The file of a store with 600 messages, and what is in it.
fn file_of_many(folder: &Folder) -> (PathBuf, Vec<u8>) {
    let mut store = open(folder).unwrap();
    let many: Vec<_> = (0..600).map(|number| received(number, text("word"))).collect();
    apply(&mut store, &many);
    let path = store.path().to_owned();
    drop(store);
    let whole = std::fs::read(&path).unwrap();
    (path, whole)
}

#[test]
fn a_store_that_is_not_whole_is_damaged_and_left_as_it_is() {
    let folder = folder("truncated");
    let (path, whole) = file_of_many(&folder);
    for length in [0, 1, 99, 100, 4_095, 4_096, 4_097, 40_960, whole.len() / 2, whole.len() - 4_096]
    {
        std::fs::write(&path, &whole[..length]).unwrap();
        assert!(matches!(open(&folder), Err(StoreError::Damaged)), "{length} bytes");
        assert_eq!(std::fs::read(&path).unwrap(), whole[..length]);
    }
    std::fs::write(&path, vec![b'x'; 8_192]).unwrap();
    assert!(matches!(open(&folder), Err(StoreError::Damaged)));
    std::fs::write(&path, &whole).unwrap();
    assert_eq!(open(&folder).unwrap().history(None, None, 999).unwrap().len(), 600);
}

#[test]
fn pages_that_are_spoilt_are_damage_and_never_a_panic() {
    let folder = folder("pages");
    let (path, whole) = file_of_many(&folder);
    let mut said_so = 0;
    for page in 1..whole.len() / 4_096 {
        let mut spoilt = whole.clone();
        spoilt[page * 4_096..page * 4_096 + 64].fill(0xa5);
        std::fs::write(&path, &spoilt).unwrap();
        let outcome = open(&folder).and_then(|mut store| {
            store.history(None, None, 999)?;
            store.search("word", None, 999)?;
            store.apply(NOW, &[received(7_000, text("new"))], &[])?;
            store.quarantined()
        });
        match outcome {
            Err(StoreError::Damaged) => said_so += 1,
            Ok(aside) => said_so += u32::from(aside > 0),
            Err(other) => panic!("page {page}: {other}"),
        }
        let _ = std::fs::remove_file(path.with_extension("db-wal"));
    }
    assert!(said_so > 10);
}

#[test]
fn a_store_that_was_being_made_is_made_again() {
    let folder = folder("unfinished");
    let path = Store::path_in(&folder.0, &seed());
    std::fs::write(format!("{}.new", path.display()), b"half of a database").unwrap();
    let store = open(&folder).unwrap();
    assert_eq!(store.path(), path);
    assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 2, "the file and its log");
}

#[test]
fn a_newer_store_is_left_alone() {
    let folder = folder("newer");
    let store = open(&folder).unwrap();
    store.database.pragma_update(None, "user_version", 99).unwrap();
    drop(store);
    assert!(matches!(open(&folder), Err(StoreError::Newer(99))));
}

#[test]
fn a_full_disk_takes_all_or_nothing() {
    let folder = folder("full");
    let mut store = open(&folder).unwrap();
    apply(&mut store, &[received(1, text("one"))]);
    store.database.pragma_update(None, "max_page_count", 40).unwrap();
    let many: Vec<_> = (10..900).map(|number| received(number, text("word"))).collect();
    assert!(matches!(store.apply(NOW, &many, &[]), Err(StoreError::Full)));
    assert_eq!(history(&store), ["one"]);
    store.database.pragma_update(None, "max_page_count", 1_000_000).unwrap();
    apply(&mut store, &many);
    assert_eq!(history(&store).len(), 891);
    assert_eq!(store.search("word", None, usize::MAX).unwrap().len(), 890);
}

/// What version 1 wrote: its tables, its keys and its rows.
struct FirstVersion {
    database: Connection,
    rng: Rng,
}

impl FirstVersion {
    fn new(folder: &Folder) -> Self {
        let database = Connection::open(Store::path_in(&folder.0, &seed())).unwrap();
        database.pragma_update(None, "journal_mode", "WAL").unwrap();
        database
            .execute_batch(
                "CREATE TABLE contact (key BLOB PRIMARY KEY, sealed BLOB NOT NULL) WITHOUT ROWID;
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
                 PRAGMA application_id = 1752459378;
                 PRAGMA user_version = 1;",
            )
            .unwrap();
        Self { database, rng: Rng::from_seed(Secret::new([3; 32])) }
    }

    fn key(parts: &[&[u8]]) -> Vec<u8> {
        let lookup: Secret<32> = derive(&[], seed().expose(), Label::StoreLookup, &[]);
        authenticate(lookup.expose(), parts).expose()[..16].to_vec()
    }

    fn seal(&mut self, table: &[u8], key: &[u8], mut contents: Vec<u8>) -> Vec<u8> {
        let seal: Secret<32> = derive(&[], seed().expose(), Label::StoreRow, &[]);
        contents.push(0x80);
        contents.resize(contents.len().next_multiple_of(256), 0);
        seal_at_rest(&mut self.rng, &seal, &[table, key].concat(), &contents)
    }

    fn message(&mut self, number: u32, with: &str, state: State, words: &str) {
        let mine = !matches!(state, State::Unread | State::Read);
        let of = id(number);
        let key = if mine {
            Self::key(&[b"out", &of.0])
        } else {
            Self::key(&[b"in", &of.0, with.as_bytes()])
        };
        let mut contents = Vec::new();
        minicbor::Encoder::new(&mut contents)
            .array(5)
            .and_then(|e| e.str(with))
            .and_then(|e| e.bytes(&of.0))
            .and_then(|e| e.u64(5))
            .and_then(|e| e.u64(6))
            .and_then(|e| e.str(words))
            .unwrap();
        let sealed = self.seal(b"message", &key, contents);
        let with = Self::key(&[b"with", with.as_bytes()]);
        let sql = "INSERT INTO message (key, with_key, state, sealed) VALUES (?1, ?2, ?3, ?4)";
        self.database.execute(sql, params![key, with, state as u8, sealed]).unwrap();
    }

    fn contact(&mut self, called: &str) {
        let key = Self::key(&[b"contact", called.as_bytes()]);
        let sealed = self.seal(b"contact", &key, wire::encode(&contact(called)));
        let sql = "INSERT INTO contact (key, sealed) VALUES (?1, ?2)";
        self.database.execute(sql, params![key, sealed]).unwrap();
        self.database.execute("INSERT INTO vault VALUES (1, 4, 1)", []).unwrap();
    }

    fn filled(folder: &Folder) -> Self {
        let mut first = Self::new(folder);
        first.contact("bob");
        first.message(1, "bob", State::Read, "one");
        first.message(2, "bob", State::Queued, "two");
        first.message(3, "eve", State::Unread, "three");
        first.message(4, "bob", State::Delivered, "four");
        first.message(5, "bob", State::Cancelled, "five");
        first.message(6, "bob", State::Unread, "unreadable");
        first.database.execute(&format!("UPDATE message SET {SEALED} WHERE seq = 6"), []).unwrap();
        first
    }
}

#[test]
fn a_store_of_the_first_version_is_brought_forward() {
    let folder = folder("forward");
    drop(FirstVersion::filled(&folder));
    for _ in 0..2 {
        let mut store = open(&folder).unwrap();
        let remembered = store.remembered().unwrap().unwrap();
        assert_eq!((remembered.vault_counter, remembered.contacts), (4, vec![contact("bob")]));
        let all = store.history(None, None, 99).unwrap();
        let all: Vec<_> = all.iter().map(|m| (m.seq, words(m), m.state, m.mine)).collect();
        assert_eq!(
            all,
            [
                (1, "one", State::Read, false),
                (2, "two", State::Queued, true),
                (3, "three", State::Unread, false),
                (4, "four", State::Delivered, true),
                (5, "five", State::Cancelled, true),
            ]
        );
        assert_eq!(store.quarantined().unwrap(), 1);
        let conversations = store.conversations().unwrap();
        let seen = |who| conversations.iter().find(|(name, _)| *name == who).unwrap().1.seen;
        assert_eq!((seen(bob()), seen(name("eve"))), (Some(id(1)), Some(id(3))));
        assert_eq!(store.search("THREE", None, 9).unwrap().len(), 1);
        assert!(!apply(&mut store, &[received(1, text("one"))]).received);
        assert_eq!(store.queue().unwrap().len(), 1);
    }
    let mut store = open(&folder).unwrap();
    apply(&mut store, &[received(9, text("nine"))]);
    assert_eq!(message(&store, 9).seq, 7);
}

#[test]
fn a_migration_that_is_cut_off_has_not_happened() {
    let folder = folder("cut");
    let mut first = FirstVersion::filled(&folder);
    let mut keys = Keys::new(&seed(), Rng::from_seed(Secret::new([1; 32])));
    let transaction = first.database.transaction().unwrap();
    migrate::move_over(&transaction, &mut keys).unwrap();
    drop(transaction);
    let version: u32 =
        first.database.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    let rows: u32 = first
        .database
        .query_row("SELECT count(with_key) FROM message", [], |row| row.get(0))
        .unwrap();
    assert_eq!((version, rows), (1, 6));
    drop(first);
    assert_eq!(history(&open(&folder).unwrap()).len(), 5);
}

#[test]
fn a_file_of_something_else_is_left_alone() {
    let folder = folder("else");
    let path = Store::path_in(&folder.0, &seed());
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE x (y)").unwrap();
    assert!(matches!(open(&folder), Err(StoreError::Damaged)));
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"tail").unwrap();
    assert!(matches!(open(&folder), Err(StoreError::Damaged)));
}
