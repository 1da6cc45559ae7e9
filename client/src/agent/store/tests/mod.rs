//! What the store promises, and how it is tried: a folder of its own for each test.

mod archive;
mod damage;
mod expiry;
mod search;
mod talk;

use std::path::PathBuf;

use hither_proto::{
    crypto::{rng::Rng, secret::Secret},
    id::MessageId,
    message::{Body, Message as Said, Ref, Text},
    name::Name,
    node::Change,
    time::UnixTime,
};

use super::{Message, Store, StoreError, Which};

/// A folder that goes away with its test.
pub(super) struct Folder(pub(super) PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(super) fn folder(name: &str) -> Folder {
    let path = std::env::temp_dir().join(format!("hither-store-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    Folder(path)
}

pub(super) fn seed() -> Secret<32> {
    Secret::new([7; 32])
}

pub(super) fn open(folder: &Folder) -> Result<Store, StoreError> {
    Store::open(&folder.0, &seed(), Rng::from_seed(Secret::new([1; 32])))
}

pub(super) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(super) fn bob() -> Name {
    name("bob")
}

pub(super) fn id(number: u32) -> MessageId {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&number.to_be_bytes());
    MessageId(id)
}

pub(super) const fn at(millis: u64) -> UnixTime {
    UnixTime::from_millis(millis)
}

pub(super) const NOW: UnixTime = at(1_700_000_000_000);
pub(super) const UNREAD: Which = Which::Unread { after: 0 };
pub(super) const EVERYTHING: Which = Which::Everything { after: 0 };

pub(super) fn said(number: u32, body: Body) -> Said {
    Said { id: id(number), sent_at: 5, seen: None, body }
}

pub(super) fn text(text: &str) -> Body {
    Body::text(text.into())
}

pub(super) fn edit(of: u32, text: &str) -> Body {
    Body::Edit { of: id(of), text: text.into() }
}

pub(super) fn delete(of: u32) -> Body {
    Body::Delete { of: id(of) }
}

pub(super) fn reaction(of: u32, own: bool, emoji: &str) -> Body {
    Body::Reaction { of: Ref { id: id(of), own }, emoji: emoji.into() }
}

pub(super) fn disappearing(words: &str, seconds: u32) -> Body {
    Body::Text(Text { text: words.into(), reply_to: None, expires_after: Some(seconds) })
}

pub(super) fn received(number: u32, body: Body) -> Change {
    Change::Received { from: bob(), message: said(number, body) }
}

pub(super) fn queued(number: u32, body: Body) -> Change {
    Change::Queued { to: bob(), message: said(number, body) }
}

pub(super) fn delivered(number: u32) -> Change {
    Change::Delivered { to: bob(), id: id(number) }
}

pub(super) fn cancelled(number: u32) -> Change {
    Change::Cancelled { to: bob(), id: id(number) }
}

pub(super) fn apply(store: &mut Store, changes: &[Change]) -> super::Applied {
    store.apply(NOW, changes, &[]).unwrap()
}

/// The one message with this id.
pub(super) fn message(store: &Store, number: u32) -> Message {
    let mut messages = store.message(id(number)).unwrap();
    assert_eq!(messages.len(), 1, "messages with the id {number}");
    messages.remove(0)
}

/// The words of a text; nothing for anything else.
pub(super) fn words(message: &Message) -> &str {
    match &message.body {
        Body::Text(Text { text, .. }) | Body::Edit { text, .. } => text,
        _ => "",
    }
}

pub(super) fn history(store: &Store) -> Vec<String> {
    let messages = store.history(None, None, usize::MAX).unwrap();
    messages.iter().map(|message| words(message).to_owned()).collect()
}

/// Every row, as it stands but for when it was stored.
pub(super) fn dump(store: &Store) -> Vec<String> {
    let mut rows = Vec::new();
    let taken: Result<u64, StoreError> = store.export(|record| {
        rows.push(format!("{record:?}"));
        Ok(())
    });
    taken.unwrap();
    rows.sort();
    rows
}

/// Whether these bytes stand anywhere in the files of the store.
pub(super) fn on_disk(folder: &Folder, wanted: &[u8]) -> bool {
    std::fs::read_dir(&folder.0).unwrap().any(|file| {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        bytes.windows(wanted.len()).any(|window| window == wanted)
    })
}
