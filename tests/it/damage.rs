//! A store that is damaged, too new, or on a full disk: nothing is thrown away, and it is said in words.

use std::{fs, path::Path};

use hither_proto::{id::MessageId, wire::peer::Content};
use hither_tests::{
    lab::{Lab, Person, fill, until_true},
    rogue::{self, Online},
};
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

use crate::hostile::{befriended, id, rng, tells_nobody_what_it_read};

#[test]
fn a_record_that_cannot_be_read_is_kept_aside_and_the_rest_goes_on() {
    let lab = Lab::new("quarantine");
    let (_server, bob, mut mallory, bobs) = befriended(&lab, "bob");
    tells_nobody_what_it_read(&bob);
    let mut path = tells(&mut mallory, &bobs, &["one", "two", "three"]);
    bob.hears(3);
    let answering = bob.starts(&["send", "mallory", "--wait", "60s", "four"], None);
    let answer = path.hears_message();
    path.says(&Content::Delivered { ids: vec![answer.id] });
    answering.wait().done();
    assert_eq!(bob.status()["quarantined"], 0);
    bob.stops_agent();
    let spoilt = spoils(&bob.database(), "message", 1);

    assert_eq!(texts(&bob), ["one", "three", "four"]);
    assert_eq!(bob.status()["quarantined"], 1);
    let told = bob.reads(&["status"]);
    let told = format!("{}{}", told.shows(), told.stderr);
    assert!(told.contains("could not be read"), "{told}");
    assert_eq!(bob.finds(&["two"]), [0; 0]);
    assert_eq!(bob.finds(&["three"]).len(), 1);
    bob.kills_agent();
    assert_eq!(bob.status()["quarantined"], 1, "it is still there");
    assert!(is_kept(&bob, &spoilt), "byte for byte");

    // Whoever wrote it may send it again.
    bob.is_online();
    drop(tells(&mut mallory, &bobs, &["one", "two", "three"]));
    assert_eq!(bob.hears(1), ["two"]);
    assert_eq!(texts(&bob), ["one", "three", "four", "two"]);
    assert!(is_kept(&bob, &spoilt), "and nobody has thrown the old one away");
}

#[test]
fn a_conversation_whose_record_cannot_be_read_keeps_its_messages() {
    let lab = Lab::new("spoilt conversation");
    let (server, bob, mut mallory, bobs) = befriended(&lab, "bob");
    tells_nobody_what_it_read(&bob);
    let mut carol = rogue::Account::new("carol").registers(&server);
    carol.befriends(&bob);
    drop(tells(&mut mallory, &bobs, &["one", "two"]));
    drop(tells(&mut carol, &bobs, &["three", "four"]));
    bob.hears(4);
    bob.stops_agent();
    let spoilt = spoils(&bob.database(), "conversation", 0);

    assert_eq!(bob.status()["quarantined"], 1);
    let all = bob.receives_with(&["--since", "0"]);
    let all: Vec<&str> = all.iter().map(|message| message.text.as_str()).collect();
    assert_eq!(all, ["one", "two", "three", "four"]);
    bob.is_online();
    let mut path = mallory.calls(&bobs).dials(&mut rng());
    path.greets();
    path.texts(id(9), "five");
    path.hears_receipt_of(id(9));
    assert_eq!(bob.hears(1), ["five"]);
    assert!(is_kept(&bob, &spoilt));
}

#[test]
fn a_contact_that_cannot_be_read_is_not_forgotten() {
    let lab = Lab::new("spoilt contact");
    let (server, bob, _mallory, _) = befriended(&lab, "bob");
    let carol = rogue::Account::new("carol").registers(&server).befriends(&bob);
    drop(carol);
    bob.stops_agent();
    let spoilt = spoils(&bob.database(), "contact", 0);
    // The server has the list of contacts, too, and a bad disk here must not shorten it there.
    drop(bob.runs(&["contact", "add", "dave"]));
    assert!(is_kept(&bob, &spoilt));
    let there = bob.elsewhere();
    for machine in [&there, &bob] {
        machine.logs_in(&server);
        for name in ["mallory", "carol"] {
            assert_eq!(machine.contact(name).expect(name)["accepted"], true);
        }
    }
    assert_eq!(bob.status()["quarantined"], 1);
}

#[test]
fn a_damaged_database_is_left_as_it_is_and_there_is_a_way_out() {
    let lab = Lab::new("damaged database");
    let (server, bob, mut mallory, bobs) = befriended(&lab, "bob");
    drop(tells(&mut mallory, &bobs, &["one", "two", "three"]));
    bob.hears(3);
    let archive = lab.path("archive");
    let exported = bob.exports(archive.to_str().unwrap()).done();
    for (damage, spoil) in DAMAGES {
        println!("{damage}");
        bob.stops_agent();
        let database = bob.database();
        let whole = fs::read(&database).unwrap();
        let spoilt = spoil(&whole);
        fs::write(&database, &spoilt).unwrap();
        for command in [&["list"][..], &["agent", "start"]] {
            let error = bob.runs(command).fails(1, "store_damaged");
            let message = error["message"].as_str().unwrap();
            assert!(message.contains(database.to_str().unwrap()), "it says which: {message}");
            assert!(error["hint"].as_str().unwrap().contains("log in again"), "{error}");
        }
        assert!(fs::read(&database).unwrap() == spoilt, "{damage}: the file was touched");

        fs::rename(&database, lab.path(damage)).unwrap();
        bob.logs_in(&server);
        assert_eq!(bob.contact("mallory").unwrap()["accepted"], true);
        let imported = bob.imports(archive.to_str().unwrap()).done();
        assert_eq!(imported["new"], exported["messages"]);
        assert_eq!(texts(&bob), ["one", "two", "three"]);
    }
}

#[test]
fn a_store_of_a_newer_version_is_refused_with_the_version_it_needs() {
    let lab = Lab::new("newer store");
    let (_server, bob, mut mallory, bobs) = befriended(&lab, "bob");
    drop(tells(&mut mallory, &bobs, &["one"]));
    bob.hears(1);
    bob.stops_agent();
    let database = bob.database();
    let add = |newer: i64| {
        let open = Connection::open(&database).unwrap();
        let read = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
        let version = open.query_row("PRAGMA user_version", [], read).unwrap();
        open.pragma_update(None, "user_version", version + newer).unwrap();
        version + newer
    };
    let newer = add(1000);
    let before = fs::read(&database).unwrap();
    let error = bob.runs(&["list"]).fails(9, "agent_unavailable");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains(&newer.to_string()), "it says which version: {message}");
    assert!(fs::read(&database).unwrap() == before, "it was touched");
    add(-1000);
    assert_eq!(texts(&bob), ["one"]);
}

#[test]
fn on_a_full_disk_a_message_is_accepted_whole_or_not_at_all_even_with_a_logout_behind_it() {
    let lab = Lab::new("full disk and logout");
    let Some(disk) = lab.small_disk("bobs", 6144) else { return };
    let server = lab.server();
    let bob = lab.person_at("bob", &disk.join("home"));
    bob.registers(&server);
    rogue::Account::new("mallory").registers(&server).befriends(&bob);
    bob.sees_offline("mallory");
    let mut accepted = vec![bob.queues("mallory", "before")];
    let filled = fill(&disk);

    let mut agent = bob.talks_to_agent();
    let long = "x".repeat(60 * 1024);
    for _ in 0..100 {
        agent.begins("message.send", &json!({ "to": "mallory", "text": long, "wait_ms": 0 }));
    }
    agent.begins("account.logout", &json!({}));
    let mut refused = 0;
    for _ in 0..100 {
        let answer = agent.hears();
        match answer["result"]["id"].as_str() {
            Some(id) => accepted.push(id.to_owned()),
            None => refused += 1,
        }
    }
    assert!(refused > 0, "six megabytes on a full disk");
    drop(agent);
    fs::remove_file(filled).unwrap();
    until_true("bob is logged in again", || {
        bob.tries_to_log_in(&server.address().to_string(), None).exit == 0
    });
    assert_eq!(bob.queue(), accepted);
    let stored = bob.conversation("mallory");
    assert_eq!(stored.iter().map(|one| one["id"].clone()).collect::<Vec<_>>(), accepted);
}

#[test]
fn on_a_full_disk_no_change_is_half_made_and_no_archive_half_written() {
    let lab = Lab::new("full disk and changes");
    let Some(disk) = lab.small_disk("bobs", 6144) else { return };
    let server = lab.server();
    let bob = lab.person_at("bob", &disk.join("home"));
    bob.registers(&server);
    rogue::Account::new("mallory").registers(&server).befriends(&bob);
    bob.sees_offline("mallory");
    let text = bob.queues("mallory", "as it was");
    let filled = fill(&disk);

    let long = "y".repeat(60 * 1024);
    let mut edits = 0;
    let error = loop {
        assert!(edits < 100, "six megabytes on a full disk");
        let edit = format!("{edits} {long}");
        let edited = bob.runs(&["edit", &text, &edit, "--queue-ok"]);
        if edited.exit != 0 {
            break edited.error();
        }
        edits += 1;
    };
    assert_ne!(error["code"], "internal", "{error}");
    let wording = match edits {
        0 => "as it was".to_owned(),
        edits => format!("{} {long}", edits - 1),
    };
    until_true("the store is read again", || bob.runs(&["list"]).exit == 0);
    assert!(texts(&bob) == [wording.as_str()], "the last wording that was accepted");
    let archive = disk.join("archive");
    let error = bob.exports(archive.to_str().unwrap()).error();
    assert_ne!(error["code"], "internal", "{error}");
    let left = fs::read_dir(&disk).unwrap().count();
    assert_eq!(left, 2, "the home and what fills the disk");

    fs::remove_file(filled).unwrap();
    bob.runs(&["edit", &text, "there is room again", "--queue-ok"]).done();
    assert_eq!(texts(&bob), ["there is room again"]);
    bob.exports(archive.to_str().unwrap()).done();
}

/// What can become of a file.
type Damage = (&'static str, fn(&[u8]) -> Vec<u8>);

const DAMAGES: [Damage; 4] = [
    ("cut in half", |whole| whole[..whole.len() / 2].to_vec()),
    ("cut after its first page", |whole| whole[..4096].to_vec()),
    ("empty", |_| Vec::new()),
    ("garbage", |whole| vec![0x5a; whole.len()]),
];

/// Has a contact say things over a new connection, under the ids 1, 2, 3...
#[track_caller]
fn tells(teller: &mut Online, to: &hither_proto::identity::Entry, texts: &[&str]) -> rogue::Path {
    let mut path = teller.calls(to).dials(&mut rng());
    path.greets();
    for (number, text) in (1..).zip(texts) {
        path.texts(id(number), text);
    }
    let last = u8::try_from(texts.len()).unwrap();
    path.hears_receipt_of(MessageId([last; 16]));
    path
}

/// Changes one byte of the record at this place of a table, and returns what it is then.
#[track_caller]
fn spoils(database: &Path, table: &str, place: usize) -> Vec<u8> {
    let open = Connection::open(database).unwrap();
    let select = format!("SELECT sealed FROM {table} LIMIT 1 OFFSET {place}");
    let before: Vec<u8> = open.query_row(&select, [], |row| row.get(0)).unwrap();
    let mut sealed = before.clone();
    sealed[before.len() / 2] ^= 1;
    let update = format!("UPDATE {table} SET sealed = ?1 WHERE sealed = ?2");
    assert_eq!(open.execute(&update, (&sealed, before)), Ok(1));
    sealed
}

/// Whether a record still stands somewhere in the store. The agent, which has it to itself, is stopped.
#[track_caller]
fn is_kept(person: &Person, record: &[u8]) -> bool {
    person.stops_agent();
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let open = Connection::open_with_flags(person.database(), flags).unwrap();
    let count = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
    let select = "SELECT count(*) FROM quarantine WHERE sealed = ?1";
    open.query_row(select, [record], count).unwrap() == 1
}

#[track_caller]
fn texts(person: &Person) -> Vec<Value> {
    let conversation = person.conversation("mallory");
    conversation.iter().map(|message| message["text"].clone()).collect()
}
