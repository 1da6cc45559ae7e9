//! Messages in their states, once each, and what they do to each other.

use hither_proto::{
    node::{Conversation, Remembered},
    reach::Policy,
    vault::{Contact, Standing},
};

use super::*;
use crate::agent::store::{Reaction, State};

#[test]
fn a_message_comes_once_and_is_read_once() {
    let folder = folder("once");
    let mut store = open(&folder).unwrap();
    assert!(apply(&mut store, &[received(1, text("one")), received(2, text("two"))]).received);
    assert!(!apply(&mut store, &[received(1, text("another"))]).received);
    let unread = store.received(None, UNREAD, 10).unwrap();
    assert_eq!(unread.iter().map(words).collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(store.unread(&bob()).unwrap(), 2);
    store.apply(NOW, &[], &[unread[0].seq]).unwrap();
    drop(store);
    let store = open(&folder).unwrap();
    assert_eq!(store.received(None, UNREAD, 10).unwrap(), unread[1..]);
    assert_eq!(store.received(Some(&name("eve")), UNREAD, 10).unwrap(), []);
    let since = store.received(None, Which::All { after: unread[0].seq }, 10).unwrap();
    assert_eq!(since.len(), 1);
    assert_eq!(store.received(None, Which::All { after: 0 }, 10).unwrap().len(), 2);
    assert_eq!(store.received(Some(&bob()), Which::All { after: 0 }, 1).unwrap().len(), 1);
    assert_eq!(store.newest().unwrap(), unread[1].seq);
}

#[test]
fn the_unread_are_counted_and_read_up_to_one() {
    let folder = folder("unread");
    let mut store = open(&folder).unwrap();
    let eve = Change::Received { from: name("eve"), message: said(9, text("nine")) };
    let changes = [1, 2, 3].map(|number| received(number, text("x")));
    apply(&mut store, &changes);
    apply(&mut store, &[eve, queued(4, text("mine")), received(5, text("x"))]);
    let counts = store.unread_all().unwrap();
    assert_eq!((counts[&bob()], counts[&name("eve")], counts.len()), (4, 1, 2));
    let up_to = |store: &Store, number| store.unread_of(&bob(), number).unwrap().len();
    assert_eq!(up_to(&store, Some(id(2))), 2);
    assert_eq!(up_to(&store, Some(id(4))), 3);
    assert_eq!(up_to(&store, Some(id(9))), 0);
    assert_eq!(up_to(&store, None), 4);
}

#[test]
fn what_is_queued_waits_until_it_is_delivered() {
    let folder = folder("queue");
    let mut store = open(&folder).unwrap();
    let changes = [queued(1, text("one")), queued(2, text("two")), queued(3, text("three"))];
    apply(&mut store, &changes);
    apply(&mut store, &[delivered(2), cancelled(3), cancelled(2)]);
    drop(store);
    let mut store = open(&folder).unwrap();
    assert_eq!(store.queue().unwrap(), [(bob(), said(1, text("one")))]);
    assert_eq!(message(&store, 2).state, State::Delivered);
    assert_eq!(message(&store, 3).state, State::Cancelled);
    apply(&mut store, &[queued(3, text("three again")), queued(2, text("not again"))]);
    let queue = store.queue().unwrap();
    let queue: Vec<_> = queue.iter().map(|(_, said)| &said.body).collect();
    assert_eq!(queue, [&text("one"), &text("three again")]);
    assert_eq!(history(&store), ["one", "two", "three again"]);
}

#[test]
fn only_what_saves_work_does_not_wait_for_the_disk() {
    let folder = folder("durable");
    let mut store = open(&folder).unwrap();
    let full = |store: &Store| -> bool {
        let level =
            store.database.pragma_query_value(None, "synchronous", |row| row.get::<_, u8>(0));
        level.unwrap() == 2
    };
    for (changes, waits) in [
        (vec![queued(1, text("one")), queued(2, text("two"))], true),
        (vec![delivered(1)], false),
        (vec![delivered(1), received(3, text("three"))], true),
        (vec![], false),
        (vec![cancelled(2)], true),
    ] {
        apply(&mut store, &changes);
        assert_eq!(full(&store), waits, "{changes:?}");
    }
}

#[test]
fn receipts_only_move_messages_of_ours_forwards() {
    let folder = folder("receipts");
    let mut store = open(&folder).unwrap();
    let read = |number, ids: &[u32]| {
        received(number, Body::Read { ids: ids.iter().map(|of| id(*of)).collect() })
    };
    apply(&mut store, &[queued(1, text("one")), queued(2, text("two")), received(3, text("x"))]);
    apply(&mut store, &[delivered(1), read(7, &[1, 2, 3, 4])]);
    apply(&mut store, &[delivered(2), cancelled(2), read(7, &[1])]);
    for number in [1, 2] {
        assert_eq!(message(&store, number).state, State::ReadByPeer);
    }
    assert_eq!(message(&store, 3).state, State::Unread);
    assert_eq!(store.message(id(7)).unwrap(), []);
    // A receipt of somebody to whom it was not sent means nothing.
    apply(&mut store, &[queued(5, text("five")), delivered(5)]);
    let eve = name("eve");
    let message = said(8, Body::Read { ids: vec![id(5)] });
    apply(&mut store, &[received(6, text("x")), Change::Received { from: eve, message }]);
    assert_eq!(super::message(&store, 5).state, State::Delivered);
}

#[test]
fn our_receipts_wait_like_messages_and_leave_nothing() {
    let folder = folder("ours");
    let mut store = open(&folder).unwrap();
    let receipt = Body::Read { ids: vec![id(1)] };
    apply(&mut store, &[queued(2, receipt.clone()), queued(3, receipt.clone())]);
    assert_eq!(store.queue().unwrap().len(), 2);
    assert_eq!(history(&store).len(), 0);
    let newest = store.newest().unwrap();
    apply(&mut store, &[delivered(2), cancelled(3)]);
    assert!(store.queue().unwrap().is_empty() && dump(&store).len() == 1);
    drop(store);
    let mut store = open(&folder).unwrap();
    apply(&mut store, &[received(4, text("x"))]);
    assert!(message(&store, 4).seq > newest, "a cursor is used once");
}

#[test]
fn the_last_edit_of_the_writer_holds() {
    let folder = folder("edits");
    let mut store = open(&folder).unwrap();
    apply(&mut store, &[received(1, text("one")), received(2, edit(1, "two"))]);
    let applied = apply(&mut store, &[received(3, edit(1, "three")), received(2, edit(1, "two"))]);
    assert!(applied.noted && !applied.received);
    let edited = message(&store, 1);
    assert_eq!((words(&edited), edited.edited, edited.state), ("three", true, State::Unread));
    assert_eq!(words(&message(&store, 2)), "");
    assert_eq!(history(&store), ["three"]);
    assert_eq!(store.received(None, UNREAD, 10).unwrap().len(), 1);
    assert_eq!(store.received(None, EVERYTHING, 10).unwrap().len(), 3);
    // Another person's message with this id is another message.
    let eve = Change::Received { from: name("eve"), message: said(4, edit(1, "eve's")) };
    apply(&mut store, &[eve, queued(5, edit(1, "mine"))]);
    assert_eq!(
        store.message(id(1)).unwrap().iter().map(words).collect::<Vec<_>>(),
        ["three", "eve's"]
    );
}

#[test]
fn an_edit_that_comes_first_stands_in_for_its_text() {
    let folder = folder("early");
    let mut store = open(&folder).unwrap();
    assert!(apply(&mut store, &[received(2, edit(1, "better"))]).received);
    assert!(!apply(&mut store, &[received(1, text("first"))]).received);
    assert_eq!(history(&store), ["better"]);
    assert_eq!(store.unread(&bob()).unwrap(), 1);
    apply(&mut store, &[received(3, delete(1))]);
    assert_eq!(history(&store), [""]);
}

#[test]
fn our_edit_is_undone_if_it_is_never_sent() {
    let folder = folder("undone");
    let mut store = open(&folder).unwrap();
    apply(&mut store, &[queued(1, text("one")), delivered(1)]);
    apply(&mut store, &[queued(2, edit(1, "two")), queued(3, edit(1, "three"))]);
    assert_eq!(words(&message(&store, 1)), "three");
    let waiting: Vec<_> = store.queue().unwrap().into_iter().map(|(_, said)| said.body).collect();
    assert_eq!(waiting, [edit(1, "two"), edit(1, "three")]);
    apply(&mut store, &[cancelled(2)]);
    assert_eq!(words(&message(&store, 1)), "three");
    apply(&mut store, &[cancelled(3)]);
    let back = message(&store, 1);
    assert_eq!((words(&back), back.edited), ("one", false));
    apply(&mut store, &[queued(4, edit(1, "four")), queued(5, edit(1, "five")), delivered(4)]);
    assert_eq!(words(&message(&store, 4)), "");
    apply(&mut store, &[cancelled(5)]);
    let back = message(&store, 1);
    assert_eq!((words(&back), back.edited), ("four", true));
    assert_eq!(history(&store), ["four"]);
}

#[test]
fn what_is_deleted_leaves_no_copy_and_does_not_come_back() {
    let folder = folder("deleted");
    let mut store = open(&folder).unwrap();
    apply(&mut store, &[received(1, text("one")), received(2, reaction(1, true, "x"))]);
    apply(
        &mut store,
        &[received(3, delete(1)), received(1, text("one")), received(4, edit(1, "two"))],
    );
    apply(
        &mut store,
        &[received(5, reaction(1, true, "y")), received(6, delete(7)), received(7, text("7"))],
    );
    for number in [1, 7] {
        let erased = message(&store, number);
        assert_eq!((erased.state, words(&erased), erased.edited), (State::Erased, "", false));
        assert_eq!(erased.reactions, []);
    }
    assert_eq!(store.unread(&bob()).unwrap(), 0);
    assert_eq!(history(&store), ["", ""]);
    // Ours, with edits of it that nobody was told of yet.
    apply(&mut store, &[queued(11, text("secret")), queued(12, edit(11, "secret too"))]);
    apply(&mut store, &[queued(13, delete(11))]);
    assert!(!dump(&store).iter().any(|row| row.contains("secret")));
    let waiting: Vec<_> = store.queue().unwrap().into_iter().map(|(_, said)| said.body).collect();
    assert_eq!(waiting, [delete(11)]);
    apply(&mut store, &[delivered(11), delivered(12), cancelled(12), cancelled(13)]);
    assert_eq!(message(&store, 11).state, State::Erased);
}

#[test]
fn only_the_writer_deletes() {
    let folder = folder("writer");
    let mut store = open(&folder).unwrap();
    apply(&mut store, &[queued(1, text("mine")), received(2, text("bob's"))]);
    apply(&mut store, &[received(3, delete(1)), received(4, edit(1, "x")), queued(5, delete(2))]);
    let mine = store.message(id(1)).unwrap().into_iter().find(|message| message.mine).unwrap();
    assert_eq!((words(&mine), mine.state), ("mine", State::Queued));
    let bobs = store.message(id(2)).unwrap().into_iter().find(|message| !message.mine).unwrap();
    assert_eq!((words(&bobs), bobs.state), ("bob's", State::Unread));
}

#[test]
fn everybody_has_one_reaction() {
    let folder = folder("reactions");
    let mut store = open(&folder).unwrap();
    apply(&mut store, &[received(1, text("one")), received(2, reaction(1, true, "a"))]);
    apply(&mut store, &[queued(3, reaction(1, false, "b")), queued(4, reaction(1, false, "c"))]);
    let sign = |mine, emoji: &str| Reaction { mine, emoji: emoji.into() };
    assert_eq!(message(&store, 1).reactions, [sign(false, "a"), sign(true, "c")]);
    apply(&mut store, &[received(5, reaction(1, true, "")), cancelled(4)]);
    assert_eq!(message(&store, 1).reactions, [sign(true, "b")]);
    apply(&mut store, &[cancelled(3)]);
    assert_eq!(message(&store, 1).reactions, []);
    // On something that is not here, it stands by itself.
    apply(&mut store, &[received(6, reaction(8, false, "d"))]);
    let shown = store.history(None, None, 10).unwrap();
    assert_eq!(shown.last().unwrap().body, reaction(8, false, "d"));
    assert_eq!(shown.len(), 2);
}

#[test]
fn the_last_timer_holds_and_what_was_seen_is_remembered() {
    let folder = folder("timer");
    let mut store = open(&folder).unwrap();
    let timer = |seconds| Body::Timer { seconds };
    let stands = |store: &Store| store.conversations().unwrap()[0].1;
    apply(&mut store, &[received(1, timer(Some(60))), queued(2, timer(Some(5)))]);
    assert_eq!(stands(&store), Conversation { seen: Some(id(1)), timer: Some(5) });
    apply(&mut store, &[cancelled(2), received(3, Body::Read { ids: vec![] })]);
    assert_eq!(stands(&store), Conversation { seen: Some(id(1)), timer: Some(60) });
    apply(&mut store, &[queued(4, timer(None)), received(5, timer(Some(7))), cancelled(4)]);
    apply(&mut store, &[received(1, timer(Some(60)))]);
    drop(store);
    let store = open(&folder).unwrap();
    assert_eq!(stands(&store), Conversation { seen: Some(id(5)), timer: Some(7) });
    assert_eq!(store.history(None, None, 10).unwrap().len(), 4);
}

#[test]
fn what_a_newer_version_says_is_kept() {
    let folder = folder("unknown");
    let mut store = open(&folder).unwrap();
    let body = Body::Unknown { kind: 77, body: vec![1, 2, 3] };
    assert!(apply(&mut store, &[received(1, body.clone())]).received);
    assert_eq!(message(&store, 1).body, body);
    assert_eq!(store.unread(&bob()).unwrap(), 1);
}

#[test]
fn a_replay_of_everything_changes_nothing() {
    let folder = folder("replay");
    let mut store = open(&folder).unwrap();
    let mine = [queued(100, text("mine")), delivered(100)];
    apply(&mut store, &mine);
    let past: Vec<Change> = vec![
        received(1, text("one")),
        received(2, edit(1, "two")),
        received(3, text("three")),
        received(4, reaction(100, false, "a")),
        received(5, delete(3)),
        received(6, Body::Timer { seconds: Some(9) }),
        received(7, reaction(100, false, "")),
        received(8, Body::Read { ids: vec![id(100)] }),
        received(9, disappearing("gone", 1)),
        received(10, edit(50, "of nothing")),
        received(11, delete(51)),
        received(12, Body::Unknown { kind: 99, body: vec![] }),
    ];
    apply(&mut store, &past);
    let seqs: Vec<_> =
        store.received(None, UNREAD, 99).unwrap().iter().map(|message| message.seq).collect();
    store.apply(NOW, &[], &seqs).unwrap();
    assert_eq!(store.expire(at(NOW.as_millis() + 1_000)).unwrap(), 1);
    let before = (dump(&store), store.newest().unwrap());
    for _ in 0..2 {
        assert!(!apply(&mut store, &past).received);
    }
    for change in &past {
        apply(&mut store, std::slice::from_ref(change));
    }
    assert_eq!((dump(&store), store.newest().unwrap()), before);
}

#[test]
fn an_id_is_found_whosever_it_is() {
    let folder = folder("ids");
    let mut store = open(&folder).unwrap();
    let eve = Change::Received { from: name("eve"), message: said(1, text("eve's")) };
    apply(&mut store, &[eve, received(1, text("bob's")), queued(1, text("mine"))]);
    apply(&mut store, &[received(2, text("another"))]);
    let found = store.message(id(1)).unwrap();
    assert_eq!(found.iter().map(words).collect::<Vec<_>>(), ["mine", "eve's", "bob's"]);
    assert_eq!(store.message(id(3)).unwrap(), []);
}

#[test]
fn the_history_has_pages() {
    let folder = folder("history");
    let mut store = open(&folder).unwrap();
    for number in 0..400 {
        let body = text(&number.to_string());
        let hidden = reaction(2 * number, true, "x");
        apply(&mut store, &[received(2 * number, body), received(2 * number + 1, hidden)]);
    }
    let mut before = None;
    let mut pages = Vec::new();
    loop {
        let page = store.history(Some(&bob()), before, 150).unwrap();
        let Some(first) = page.first() else { break };
        before = Some(first.seq);
        pages.push(page.iter().map(|message| words(message).to_owned()).collect::<Vec<_>>());
    }
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [150, 150, 100]);
    let all: Vec<_> = pages.into_iter().rev().flatten().collect();
    assert_eq!(all, (0..400).map(|number| number.to_string()).collect::<Vec<_>>());
    assert_eq!(store.history(Some(&name("eve")), None, 9).unwrap(), []);
}

#[test]
fn contacts_come_back_and_nothing_is_readable_without_the_key() {
    let folder = folder("sealed");
    let mut store = open(&folder).unwrap();
    assert_eq!(store.remembered().unwrap(), None);
    let contact = Contact {
        name: name("barbarossa"),
        identity: None,
        standing: Standing::Accepted,
        verified: true,
        blocked: false,
        policy: Policy::default(),
    };
    let remembered = Remembered { contacts: vec![contact], vault_counter: 3, vault_dirty: true };
    store.replace(&remembered).unwrap();
    let many = (0..600).map(|number| received(number, text("a most unusual text")));
    apply(&mut store, &many.collect::<Vec<_>>());
    assert_eq!(store.remembered().unwrap(), Some(remembered));
    assert_eq!(store.search("unusual", None, 9).unwrap().len(), 9);
    for word in [&b"barbarossa"[..], b"unusual", b"bob", &id(5).0] {
        assert!(!on_disk(&folder, word));
    }
    let rng = Rng::from_seed(Secret::new([1; 32]));
    let other = Store::open(&folder.0, &Secret::new([8; 32]), rng).unwrap();
    assert_ne!(other.path(), store.path());
}

#[test]
fn a_stretch_of_very_long_messages_is_short() {
    let folder = folder("long");
    let mut store = open(&folder).unwrap();
    let long = "x".repeat(64 * 1024);
    let changes: Vec<_> = (1..=200).map(|number| received(number, text(&long))).collect();
    apply(&mut store, &changes);
    let (mut before, mut numbers) = (None, Vec::new());
    loop {
        let page = store.history(Some(&bob()), before, 500).unwrap();
        let Some(oldest) = page.first() else { break };
        assert!(page.len() <= 64, "{}", page.len());
        before = Some(oldest.seq);
        numbers.extend(page.iter().rev().map(|message| message.id));
    }
    assert_eq!(numbers, (1..=200).rev().map(id).collect::<Vec<_>>());
}
