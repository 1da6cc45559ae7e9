//! Texts that disappear, and what is erased here.

use super::*;
use crate::agent::store::State;

const YEAR: u64 = 365 * 24 * 3600 * 1000;

fn after(millis: u64) -> UnixTime {
    at(NOW.as_millis() + millis)
}

/// A text of 60 seconds that has been read at `NOW`, and one of ours that has been delivered then.
fn running(folder: &Folder) -> Store {
    let mut store = open(folder).unwrap();
    apply(
        &mut store,
        &[received(1, disappearing("theirs", 60)), queued(2, disappearing("ours", 60))],
    );
    let seq = message(&store, 1).seq;
    store.apply(NOW, &[delivered(2)], &[seq]).unwrap();
    store
}

#[test]
fn the_clock_starts_when_it_was_read_or_delivered() {
    let folder = folder("starts");
    let mut store = open(&folder).unwrap();
    apply(
        &mut store,
        &[received(1, disappearing("theirs", 60)), queued(2, disappearing("ours", 60))],
    );
    apply(&mut store, &[received(3, disappearing("never read", 1)), received(4, text("stays"))]);
    assert_eq!(store.next_expiry().unwrap(), None);
    assert_eq!(store.expire(after(YEAR)).unwrap(), 0);
    store.apply(NOW, &[], &[message(&store, 1).seq, message(&store, 4).seq]).unwrap();
    assert_eq!(store.next_expiry().unwrap(), Some(after(60_000)));
    assert_eq!(message(&store, 1).expires_at, Some(after(60_000)));
    store.apply(after(1_000), &[delivered(2)], &[]).unwrap();
    assert_eq!(message(&store, 2).expires_at, Some(after(61_000)));
    // Being read later, or told so again, does not start it anew.
    let receipt = received(5, Body::Read { ids: vec![id(2)] });
    store.apply(after(30_000), &[receipt], &[message(&store, 1).seq]).unwrap();
    assert_eq!(store.expire(after(59_999)).unwrap(), 0);
    assert_eq!(store.expire(after(60_000)).unwrap(), 1);
    assert_eq!(message(&store, 1).state, State::Erased);
    assert_eq!(store.next_expiry().unwrap(), Some(after(61_000)));
    assert_eq!(store.expire(after(61_000)).unwrap(), 1);
    assert_eq!(history(&store), ["never read", "stays"]);
    assert_eq!(store.next_expiry().unwrap(), None);
}

#[test]
fn a_read_receipt_before_the_delivery_starts_it_too() {
    let folder = folder("receipt");
    let mut store = open(&folder).unwrap();
    apply(&mut store, &[queued(1, disappearing("ours", 60))]);
    apply(&mut store, &[received(2, Body::Read { ids: vec![id(1)] })]);
    assert_eq!(store.expire(after(60_000)).unwrap(), 1);
}

#[test]
fn nothing_of_it_is_left_on_the_disk() {
    let folder = folder("wiped");
    let mut store = running(&folder);
    let many: Vec<_> = (10..700).map(|number| received(number, text("other"))).collect();
    apply(&mut store, &many);
    let sealed = |store: &Store, table: &str| -> Vec<u8> {
        let sql = format!("SELECT sealed FROM {table} ORDER BY rowid LIMIT 1");
        store.database.query_row(&sql, [], |row| row.get(0)).unwrap()
    };
    let (row, block) = (sealed(&store, "message"), sealed(&store, "search"));
    let traces = [&row[..64], &row[100..164], &block[..64], &block[10_000..10_064]];
    assert!(traces.iter().all(|trace| on_disk(&folder, trace)), "nothing would be shown");
    assert_eq!(store.expire(after(60_000)).unwrap(), 2);
    for trace in traces {
        assert!(!on_disk(&folder, trace));
    }
}

#[test]
fn a_clock_that_was_set_back_does_not_keep_it_longer() {
    let folder = folder("back");
    let mut store = running(&folder);
    drop(store);
    store = open(&folder).unwrap();
    let back = at(NOW.as_millis() - YEAR);
    assert_eq!(store.expire(back).unwrap(), 0);
    assert_eq!(store.next_expiry().unwrap(), Some(at(back.as_millis() + 60_000)));
    assert_eq!(store.expire(at(back.as_millis() + 60_000)).unwrap(), 2);
}

#[test]
fn a_little_back_is_no_matter() {
    let folder = folder("slack");
    let mut store = running(&folder);
    assert_eq!(store.expire(at(NOW.as_millis() - 59_000)).unwrap(), 0);
    assert_eq!(store.next_expiry().unwrap(), Some(after(60_000)));
}

#[test]
fn a_year_ahead_and_back_again_nothing_stays_for_a_year() {
    let folder = folder("ahead");
    let mut store = open(&folder).unwrap();
    apply(&mut store, &[received(1, disappearing("read while the clock was wrong", 60))]);
    let seq = message(&store, 1).seq;
    store.apply(after(YEAR), &[], &[seq]).unwrap();
    store.apply(after(1_000), &[received(2, text("the clock is right again"))], &[]).unwrap();
    assert_eq!(store.next_expiry().unwrap(), Some(after(61_000)));
    assert_eq!(store.expire(after(61_000)).unwrap(), 1);
}

#[test]
fn erasing_here_leaves_what_is_to_be_delivered() {
    let folder = folder("here");
    let mut store = open(&folder).unwrap();
    apply(
        &mut store,
        &[received(1, text("theirs")), queued(2, text("waits")), queued(3, text("told"))],
    );
    apply(&mut store, &[delivered(3), queued(4, edit(3, "told anew"))]);
    let seqs = [1, 2, 3].map(|number| message(&store, number).seq);
    assert_eq!(store.erase(&seqs).unwrap(), 2);
    assert_eq!(history(&store), ["waits"]);
    // The edit is still told, and then leaves nothing.
    assert_eq!(store.queue().unwrap().len(), 2);
    apply(&mut store, &[cancelled(4)]);
    assert_eq!(message(&store, 3).state, State::Erased);
    assert!(!dump(&store).iter().any(|row| row.contains("told")));
    apply(&mut store, &[received(1, text("theirs"))]);
    assert_eq!(message(&store, 1).state, State::Erased);
}
