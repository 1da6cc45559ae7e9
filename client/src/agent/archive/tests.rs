//! Archives, whole and otherwise.

use hither_proto::{
    crypto::{
        chunks::{HEADER_BYTES, MAGIC_BYTES},
        secret::Secret,
    },
    id::MessageId,
    message::{Body, Message as Said},
    node::Change,
};

use super::*;

const NOW: UnixTime = UnixTime::from_millis(1_700_000_000_000);
const PASSWORD: (&str, Stretching) = ("a password", Stretching::TRIVIAL);

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn rng() -> Rng {
    Rng::from_seed(Secret::new([1; 32]))
}

fn owner() -> Owner {
    Owner { address: "alice@example.org".into(), identity: "AAAA".into() }
}

fn open(folder: &Folder, seed: u8) -> Store {
    Store::open(&folder.0, &Secret::new([seed; 32]), rng()).unwrap()
}

/// A folder, a store in it with a text of 4,000 bytes for each of `messages`, and their archive.
fn archived(name: &str, messages: u32) -> (Folder, Store, PathBuf) {
    let name = format!("hither-archive-{name}-{}", std::process::id());
    let folder = Folder(std::env::temp_dir().join(name));
    let _ = std::fs::remove_dir_all(&folder.0);
    std::fs::create_dir_all(&folder.0).unwrap();
    let mut store = open(&folder, 7);
    let changes = (0..messages).map(|number| {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&number.to_be_bytes());
        let body = Body::text(format!("{number} {}", "secret ".repeat(570)));
        let message = Said { id: MessageId(id), sent_at: 5, seen: None, body };
        Change::Received { from: "bob".parse().unwrap(), message }
    });
    store.apply(NOW, &changes.collect::<Vec<_>>(), &[]).unwrap();
    let path = folder.0.join("archive");
    let count = export_at(&store, &owner(), &path, PASSWORD, rng()).unwrap();
    assert_eq!(count, u64::from(messages));
    (folder, store, path)
}

fn take(folder: &Folder, bytes: &[u8]) -> Result<Imported, ArchiveError> {
    let path = folder.0.join("changed");
    std::fs::write(&path, bytes).unwrap();
    import_at(&mut open(folder, 8), &owner(), &path, PASSWORD, NOW)
}

/// Where each chunk begins, and where the last one ends.
fn boundaries(bytes: &[u8]) -> Vec<usize> {
    let mut boundaries = vec![HEADER_BYTES];
    let mut at = HEADER_BYTES;
    while at < bytes.len() {
        let length: [u8; 4] = bytes[at + 1..at + 5].try_into().unwrap();
        at += 5 + u32::from_be_bytes(length) as usize;
        boundaries.push(at);
    }
    boundaries
}

#[test]
fn an_archive_brings_back_what_was_said() {
    use std::os::unix::fs::PermissionsExt as _;
    let (folder, store, path) = archived("back", 100);
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let bytes = std::fs::read(&path).unwrap();
    assert!(!bytes.windows(6).any(|window| window == b"secret"));
    assert!(boundaries(&bytes).len() > 5);
    let mut other = open(&folder, 8);
    let imported = import_at(&mut other, &owner(), &path, PASSWORD, NOW).unwrap();
    assert_eq!(imported, Imported { new: 100, known: 0, said: 100, new_said: 100, queued: 0 });
    let texts = |store: &Store| {
        let messages = store.history(None, None, 999).unwrap().into_iter();
        messages.map(|message| (message.id, message.body)).collect::<Vec<_>>()
    };
    assert_eq!(texts(&other), texts(&store));
    let again = import_at(&mut other, &owner(), &path, PASSWORD, NOW).unwrap();
    assert_eq!(again, Imported { new: 0, known: 100, said: 100, new_said: 0, queued: 0 });
    assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 5, "two stores, one archive");
}

#[test]
fn what_is_there_is_not_written_over() {
    let (_folder, store, path) = archived("there", 1);
    let before = std::fs::read(&path).unwrap();
    let refused = export_at(&store, &owner(), &path, PASSWORD, rng());
    assert!(matches!(refused, Err(ArchiveError::Exists)));
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn another_password_and_another_account_are_told_apart_from_damage() {
    let (folder, _store, path) = archived("apart", 1);
    let mut other = open(&folder, 8);
    let mut import = |owner: &Owner, password| {
        import_at(&mut other, owner, &path, (password, Stretching::TRIVIAL), NOW)
    };
    assert!(matches!(import(&owner(), "another"), Err(ArchiveError::WrongPassword)));
    let eve = Owner { identity: "EEEE".into(), ..owner() };
    let refused = import(&eve, PASSWORD.0);
    assert!(
        matches!(refused, Err(ArchiveError::OtherAccount { address }) if address == owner().address)
    );
    // The same account at a server that has moved.
    let moved = Owner { address: "alice@elsewhere.org".into(), ..owner() };
    assert_eq!(import(&moved, PASSWORD.0).unwrap().new, 1);
}

#[test]
fn a_pipe_is_no_archive_and_keeps_nobody_waiting() {
    let (folder, _store, path) = archived("pipe", 1);
    let pipe = path.with_extension("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for path in [&pipe, Path::new("/dev/zero"), &folder.0] {
        let refused = import_at(&mut open(&folder, 8), &owner(), path, PASSWORD, NOW);
        assert!(matches!(refused, Err(ArchiveError::NotAnArchive)), "{path:?}");
    }
}

#[test]
fn a_changed_archive_is_damaged_and_nothing_of_it_is_taken() {
    let (folder, _store, path) = archived("damaged", 100);
    let whole = std::fs::read(&path).unwrap();
    let boundaries = boundaries(&whole);
    let chunk = |at: usize| &whole[boundaries[at]..boundaries[at + 1]];
    let last = boundaries.len() - 2;
    let mut damaged: Vec<Vec<u8>> = boundaries
        .iter()
        .flat_map(|boundary| [*boundary, boundary + 1, boundary.saturating_sub(1)])
        .filter(|length| *length < whole.len())
        .map(|length| whole[..length].to_vec())
        .collect();
    // Two chunks in each other's place, one twice, one missing, one too many.
    damaged.push([&whole[..HEADER_BYTES], chunk(1), chunk(0), &whole[boundaries[2]..]].concat());
    damaged.push([&whole[..boundaries[1]], chunk(0), &whole[boundaries[1]..]].concat());
    damaged.push([&whole[..boundaries[1]], &whole[boundaries[2]..]].concat());
    damaged.push([&whole[..], chunk(last)].concat());
    damaged.push([&whole[..], b"x"].concat());
    // The chunk before the last one, called the last.
    let mut short = whole[..boundaries[last]].to_vec();
    short[boundaries[last - 1]] = 1;
    damaged.push(short);
    for at in (HEADER_BYTES..whole.len()).step_by(9_973) {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        damaged.push(changed);
    }
    for bytes in damaged {
        assert!(matches!(take(&folder, &bytes), Err(ArchiveError::Damaged)), "{}", bytes.len());
    }
    assert_eq!(open(&folder, 8).history(None, None, 9).unwrap(), []);
    let newer = [ARCHIVE.magic, &[2][..], &whole[MAGIC_BYTES + 1..]].concat();
    assert!(matches!(take(&folder, &newer), Err(ArchiveError::Newer(2))));
    for none in [&b""[..], b"hither", b"SQLite format 3\0 and more of it"] {
        assert!(matches!(take(&folder, none), Err(ArchiveError::NotAnArchive)));
    }
    assert_eq!(take(&folder, &whole).unwrap().new, 100);
}
