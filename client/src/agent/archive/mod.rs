//! Archives: everything that is said in an account's conversations, in one file under a password.
//!
//! In clear stand what the file is, the salt and cost of the password, and a check of the key, so that a
//! wrong password is told from a damaged file. Then come chunks, each sealed at its place: one that is
//! changed, moved, doubled or missing, the last one too, is damage.

mod chunks;
#[cfg(test)]
mod tests;

use std::{
    fs::{File, OpenOptions},
    io::{self, BufReader, BufWriter, Read},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use hither_proto::{
    crypto::{chunks::ChunkKey, opaque::Stretching, rng::Rng, stretch::SALT_BYTES},
    time::UnixTime,
};
use minicbor::{Decode, Encode};

use super::store::{Imported, Record, Store, StoreError};
use chunks::{ARCHIVE, Reader, Writer, key_of};

/// Why an archive could not be written or read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ArchiveError {
    #[error("the archive is damaged, or not whole")]
    Damaged,
    #[error("there is a file already")]
    Exists,
    #[error("the file could not be read or written: {0}")]
    Io(io::ErrorKind),
    #[error("there is not enough memory for the password")]
    Memory,
    #[error("the archive is of version {0}")]
    Newer(u8),
    #[error("not an archive")]
    NotAnArchive,
    #[error("the archive is of {address}")]
    OtherAccount { address: String },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the password is not that of the archive")]
    WrongPassword,
}

impl From<io::Error> for ArchiveError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Damaged,
            kind => Self::Io(kind),
        }
    }
}

/// Whose messages they are. The first record of every archive.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
#[cbor(array)]
pub(super) struct Owner {
    /// `name@host[:port]`. A label: a server may move.
    #[n(0)]
    pub(super) address: String,
    /// The fingerprint of the account's identity.
    #[n(1)]
    pub(super) identity: String,
}

/// Writes all messages of the store to a new file at `path`, and says how many they are.
pub(super) fn export(
    store: &Store,
    owner: &Owner,
    path: &Path,
    password: &str,
    rng: Rng,
) -> Result<u64, ArchiveError> {
    export_at(store, owner, path, (password, Stretching::STANDARD), rng)
}

/// Takes the messages of the archive at `path` in, all or none.
pub(super) fn import(
    store: &mut Store,
    owner: &Owner,
    path: &Path,
    password: &str,
    now: UnixTime,
) -> Result<Imported, ArchiveError> {
    import_at(store, owner, path, (password, Stretching::STANDARD), now)
}

fn export_at(
    store: &Store,
    owner: &Owner,
    path: &Path,
    (password, stretching): (&str, Stretching),
    mut rng: Rng,
) -> Result<u64, ArchiveError> {
    if path.symlink_metadata().is_ok() {
        return Err(ArchiveError::Exists);
    }
    let salt = rng.bytes::<SALT_BYTES>();
    let key = ChunkKey::new(ARCHIVE, password.as_bytes(), &salt, stretching)?;
    let unfinished = Unfinished::create(path)?;
    let mut writer = Writer::new(BufWriter::new(&unfinished.file), key, rng)?;
    writer.take(owner)?;
    let count = store.export(|record| writer.take(&record))?;
    writer.finish()?;
    unfinished.keep(path)?;
    Ok(count)
}

fn import_at(
    store: &mut Store,
    owner: &Owner,
    path: &Path,
    (password, stretching): (&str, Stretching),
    now: UnixTime,
) -> Result<Imported, ArchiveError> {
    // Opening a pipe waits for whoever writes to it, and with it would everybody else.
    if !std::fs::metadata(path)?.is_file() {
        return Err(ArchiveError::NotAnArchive);
    }
    let mut file = File::open(path)?;
    let key = key_of(&mut file, password, stretching)?;
    let messages = check(BufReader::new(&mut file), &key, owner)?;
    // The file that was checked is read again; should it have changed since, all of it is undone.
    let again = File::open(path)?;
    let mut reader = Reader::new(BufReader::new(again), &key)?;
    reader.owner()?;
    store.import(now, messages, reader)
}

/// Reads the archive through, and says how many messages it holds.
fn check(file: impl Read, key: &ChunkKey, owner: &Owner) -> Result<u64, ArchiveError> {
    let mut reader = Reader::after_header(file, key);
    let found = reader.owner()?;
    if found.identity != owner.identity {
        return Err(ArchiveError::OtherAccount { address: found.address });
    }
    let mut messages = 0;
    for record in reader {
        messages += u64::from(matches!(record?, Record::Message(_)));
    }
    Ok(messages)
}

/// A file that is being written, and goes away unless it is kept.
struct Unfinished {
    file: File,
    path: PathBuf,
    kept: bool,
}

impl Unfinished {
    fn create(beside: &Path) -> Result<Self, ArchiveError> {
        let mut name = beside.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.part", std::process::id()));
        let path = beside.with_file_name(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Self { file, path, kept: false })
    }

    /// Gives the file its name, if nobody else has it by now.
    fn keep(mut self, path: &Path) -> Result<(), ArchiveError> {
        self.file.sync_all()?;
        match std::fs::hard_link(&self.path, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(ArchiveError::Exists);
            }
            // Not every file system has links.
            Err(_) => {
                std::fs::rename(&self.path, path)?;
                self.kept = true;
            }
            Ok(()) => {}
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.kept {
            // It has another name by now, or is not whole.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
