//! Out of one store and into another.

use super::*;
use crate::agent::store::{Imported, Record, State};

fn records(store: &Store) -> Vec<Record> {
    let mut records = Vec::new();
    let taken: Result<u64, StoreError> = store.export(|record| {
        records.push(record);
        Ok(())
    });
    taken.unwrap();
    records
}

fn import(store: &mut Store, from: &Store) -> Imported {
    let records = records(from);
    let messages = records.iter().filter(|record| matches!(record, Record::Message(_))).count();
    let records = records.into_iter().map(Ok::<_, StoreError>);
    store.import(NOW, messages as u64, records).unwrap()
}

/// A store with something of everything.
fn varied(folder: &Folder) -> Store {
    let mut store = open(folder).unwrap();
    let eve = Change::Received { from: name("eve"), message: said(1, text("eve's")) };
    let changes = [
        received(1, text("one")),
        received(2, disappearing("two", 60)),
        queued(3, text("three")),
        queued(4, text("four")),
        queued(5, edit(4, "four anew")),
        received(6, reaction(3, false, "x")),
        received(7, Body::Timer { seconds: Some(9) }),
        received(8, delete(1)),
        queued(9, Body::Read { ids: vec![id(2)] }),
        eve,
        cancelled(3),
    ];
    apply(&mut store, &changes);
    let seq = message(&store, 2).seq;
    store.apply(NOW, &[], &[seq]).unwrap();
    store
}

#[test]
fn only_messages_that_people_said_are_counted_though_every_one_is_exported() {
    let here = folder("counted");
    let store = varied(&here);
    // Four texts are there, one of them cancelled; one is deleted, and the rest is about them.
    assert_eq!(store.export(|_| Ok::<_, StoreError>(())).unwrap(), 4);
    let exported = records(&store);
    assert_eq!(exported.iter().filter(|record| matches!(record, Record::Message(_))).count(), 10);
}

#[test]
fn everything_stands_in_another_store_as_it_stood() {
    let (here, there) = (folder("copied-from"), folder("copied-to"));
    let from = varied(&here);
    let mut to = open(&there).unwrap();
    assert_eq!(
        import(&mut to, &from),
        Imported { new: 10, known: 0, said: 4, new_said: 4, queued: 3 }
    );
    assert_eq!(dump(&to), dump(&from));
    assert_eq!(history(&to), history(&from));
    assert_eq!(to.queue().unwrap(), from.queue().unwrap());
    let sorted = |store: &Store| {
        let mut conversations = store.conversations().unwrap();
        conversations.sort_by_key(|(name, _)| name.clone());
        conversations
    };
    assert_eq!(sorted(&to), sorted(&from));
    assert_eq!(
        import(&mut to, &from),
        Imported { new: 0, known: 10, said: 4, new_said: 0, queued: 0 }
    );
    assert_eq!(dump(&to), dump(&from));
    drop(to);
    let mut to = open(&there).unwrap();
    assert_eq!(to.search("anew", None, 9).unwrap().len(), 1);
    assert_eq!(to.next_expiry().unwrap(), from.next_expiry().unwrap());
    // What is still queued can be taken back as before.
    apply(&mut to, &[cancelled(5)]);
    assert_eq!(words(&message(&to, 4)), "four");
}

#[test]
fn what_is_imported_stands_before_what_came_since() {
    let (here, there) = (folder("old-from"), folder("old-to"));
    let mut from = open(&here).unwrap();
    let old: Vec<_> = (0..700).map(|number| received(number, text("old word"))).collect();
    apply(&mut from, &old);
    let mut to = open(&there).unwrap();
    apply(&mut to, &[received(600, text("known here")), received(1_000, text("new word"))]);
    let newest = to.newest().unwrap();
    assert_eq!(
        import(&mut to, &from),
        Imported { new: 699, known: 1, said: 700, new_said: 699, queued: 0 }
    );
    let all = history(&to);
    assert_eq!((all.len(), all[698].as_str(), all[699].as_str()), (701, "old word", "known here"));
    assert_eq!(to.newest().unwrap(), newest);
    assert_eq!(to.conversations().unwrap()[0].1.seen, Some(id(1_000)));
    assert_eq!(to.search("word", None, usize::MAX).unwrap().len(), 700);
    let more: Vec<_> = (2_000..2_600).map(|number| received(number, text("new word"))).collect();
    apply(&mut to, &more);
    assert_eq!(to.search("word", None, usize::MAX).unwrap().len(), 1_300);
}

#[test]
fn without_room_before_they_stand_behind() {
    let (here, there) = (folder("behind-from"), folder("behind-to"));
    let mut from = open(&here).unwrap();
    let many: Vec<_> = (0..1_300).map(|number| received(number, text("old word"))).collect();
    apply(&mut from, &many);
    let mut to = open(&there).unwrap();
    to.next = 3;
    to.indexed = 2;
    to.fresh = None;
    apply(&mut to, &[received(5_000, text("new word"))]);
    assert_eq!(import(&mut to, &from).new, 1_300);
    assert_eq!(history(&to)[0], "new word");
    apply(&mut to, &[received(5_001, text("newest word"))]);
    assert_eq!(history(&to).last().unwrap(), "newest word");
    assert_eq!(to.search("word", None, usize::MAX).unwrap().len(), 1_302);
}

#[test]
fn an_import_that_fails_has_not_happened() {
    let (here, there) = (folder("fails-from"), folder("fails-to"));
    let from = varied(&here);
    let mut to = open(&there).unwrap();
    apply(&mut to, &[received(50, text("here"))]);
    let before = dump(&to);
    let mut cut: Vec<Result<Record, StoreError>> = records(&from).into_iter().map(Ok).collect();
    cut.push(Err(StoreError::ReadOnly));
    assert!(matches!(to.import(NOW, 10, cut.into_iter()), Err(StoreError::ReadOnly)));
    assert_eq!(dump(&to), before);
    assert_eq!(message(&to, 50).state, State::Unread);
    assert_eq!(import(&mut to, &from).new, 10);
}
