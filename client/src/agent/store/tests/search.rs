//! Searching, with and without blocks.

use super::*;
use crate::agent::store::State;

/// Enough messages for two blocks and a rest, each with its number and some words.
fn many(store: &mut Store) {
    let changes: Vec<_> = (0..1_200)
        .map(|number| received(number, text(&format!("Number{number} of MANY"))))
        .collect();
    for changes in changes.chunks(100) {
        apply(store, changes);
    }
}

fn found(store: &mut Store, wanted: &str) -> Vec<String> {
    let found = store.search(wanted, None, usize::MAX).unwrap();
    found.iter().map(|message| words(message).to_owned()).collect()
}

fn blocks(store: &Store) -> u64 {
    store.database.query_row("SELECT count(*) FROM search", [], |row| row.get(0)).unwrap()
}

#[test]
fn every_word_occurs_in_what_is_found_and_the_newest_is_first() {
    let folder = folder("words");
    let mut store = open(&folder).unwrap();
    many(&mut store);
    assert_eq!(blocks(&store), 2);
    assert_eq!(found(&mut store, "number1199"), ["Number1199 of MANY"]);
    assert_eq!(found(&mut store, "many  BER31 \n of"), {
        let numbers = (310..320).rev().chain([31]);
        numbers.map(|number| format!("Number{number} of MANY")).collect::<Vec<_>>()
    });
    assert_eq!(found(&mut store, "number1 manyx"), Vec::<String>::new());
    assert_eq!(found(&mut store, " \t"), Vec::<String>::new());
    let newest = store.search("many", None, 3).unwrap();
    assert_eq!(newest.iter().map(words).collect::<Vec<_>>()[2], "Number1197 of MANY");
    assert_eq!(found(&mut store, "many").len(), 1_200);
    // No word reaches from one text into the next.
    assert_eq!(found(&mut store, "manynumber"), Vec::<String>::new());
}

#[test]
fn letters_are_folded_in_every_script() {
    let folder = folder("folding");
    let mut store = open(&folder).unwrap();
    let texts = ["GRÜSSE aus Zürich", "ΟΔΥΣΣΕΥΣ", "Привет", "line one\nline two", "a👍b"];
    for (number, words) in (1..).zip(texts) {
        apply(&mut store, &[received(number, text(words))]);
    }
    for (wanted, number) in [
        ("grüsse", 0),
        ("ZÜRICH", 0),
        ("οδυσσευσ", 1),
        ("Οδυσσευς", 1),
        ("ПРИВЕТ", 2),
        ("two ONE", 3),
        ("👍", 4),
    ] {
        assert_eq!(found(&mut store, wanted), [texts[number]], "{wanted}");
    }
}

#[test]
fn a_search_follows_edits_and_deletions() {
    let folder = folder("follows");
    let mut store = open(&folder).unwrap();
    many(&mut store);
    apply(&mut store, &[received(5_001, edit(3, "worded anew")), received(5_002, delete(4))]);
    apply(&mut store, &[received(5_003, edit(1_190, "also anew")), received(5_004, delete(1_191))]);
    assert_eq!(found(&mut store, "anew"), ["also anew", "worded anew"]);
    for gone in ["number3 ", "number4 ", "number1190", "number1191"] {
        let exact = |text: &String| text.to_lowercase().starts_with(&format!("{} ", gone.trim()));
        assert!(!found(&mut store, gone).iter().any(exact), "{gone}");
    }
    assert_eq!(found(&mut store, "number5 ")[0], "Number599 of MANY");
    assert_eq!(found(&mut store, "many").len(), 1_196);
    assert_eq!(blocks(&store), 2, "a block that was dropped is made again");
    // More come, across the next boundary, and after a restart.
    let more = (6_000..6_300).map(|number| received(number, text("later")));
    apply(&mut store, &more.collect::<Vec<_>>());
    assert_eq!(blocks(&store), 2);
    drop(store);
    let mut store = open(&folder).unwrap();
    let more = (7_000..7_100).map(|number| received(number, text("later")));
    apply(&mut store, &more.collect::<Vec<_>>());
    assert_eq!(blocks(&store), 3);
    assert_eq!(found(&mut store, "later").len(), 400);
    assert_eq!(found(&mut store, "many").len(), 1_196);
}

#[test]
fn only_the_wanted_conversation_is_searched() {
    let folder = folder("filter");
    let mut store = open(&folder).unwrap();
    many(&mut store);
    let eve = name("eve");
    let message = said(1, text("one of many"));
    apply(&mut store, &[Change::Received { from: eve.clone(), message }, queued(1, text("many"))]);
    assert_eq!(store.search("many", Some(&eve), 9).unwrap().len(), 1);
    assert_eq!(store.search("many", Some(&bob()), usize::MAX).unwrap().len(), 1_201);
    assert_eq!(store.search("many", Some(&name("dave")), 9).unwrap(), []);
}

#[test]
fn damaged_and_missing_blocks_cost_nothing_but_time() {
    let folder = folder("blocks");
    let mut store = open(&folder).unwrap();
    many(&mut store);
    store.database.execute("UPDATE search SET sealed = zeroblob(1000) WHERE rowid IN (SELECT min(last) FROM search)", []).unwrap();
    assert_eq!(found(&mut store, "many").len(), 1_200);
    store.database.execute("DELETE FROM search", []).unwrap();
    assert_eq!(found(&mut store, "number7 "), {
        let all = (0..1_200).rev().filter(|number| number.to_string().starts_with('7'));
        all.map(|number| format!("Number{number} of MANY")).collect::<Vec<_>>()
    });
    assert_eq!(blocks(&store), 2);
}

#[test]
fn a_long_text_fills_its_block() {
    let folder = folder("long");
    let mut store = open(&folder).unwrap();
    let long = "lorem ipsum ".repeat(5_000);
    for number in 0..10 {
        apply(&mut store, &[received(number, text(&format!("{long} end{number}")))]);
    }
    assert_eq!(blocks(&store), 3);
    let found = store.search("end4 ipsum", None, 9).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].state, State::Unread);
}

#[test]
fn what_is_sent_again_is_found_once() {
    let folder = folder("again");
    let mut store = open(&folder).unwrap();
    many(&mut store);
    apply(&mut store, &[queued(1, text("needle")), cancelled(1)]);
    let more = (5_000..5_600).map(|number| received(number, text("x")));
    apply(&mut store, &more.collect::<Vec<_>>());
    apply(&mut store, &[queued(1, text("needle"))]);
    assert_eq!(found(&mut store, "needle").len(), 1);
    apply(&mut store, &[queued(2, delete(1))]);
    assert_eq!(found(&mut store, "needle").len(), 0);
}

#[test]
fn a_search_that_finds_long_texts_ends_before_its_answer_is_too_long() {
    let folder = folder("long-texts");
    let mut store = open(&folder).unwrap();
    let long = format!("found {}", "x".repeat(60 * 1024));
    for batch in 0..10 {
        let changes: Vec<Change> =
            (0..20).map(|number| received(1 + batch * 20 + number, text(&long))).collect();
        apply(&mut store, &changes);
    }
    let found = store.search("found", None, 1_000).unwrap();
    let bytes: usize = found.iter().map(|message| words(message).len()).sum();
    assert!(((8 << 20)..(9 << 20)).contains(&bytes), "{bytes}");
    assert_eq!(found[0].id, id(200), "the newest are found");
}
