//! Backups: everything that a new host needs to be this server, in one file under a password.
//!
//! In clear stand what the file is, the salt of the password, and a check of the key. Then come chunks, each
//! sealed at its place; inside them each file of the data folder, by name and length, the database as it
//! was at one moment.

mod chunks;

use std::{
    fs::{self, File},
    io::{self, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use hither_proto::crypto::{
    chunks::{ChunkKey, MAGIC_BYTES},
    opaque::Stretching,
    rng::Rng,
    stretch::SALT_BYTES,
};
use tempfile::NamedTempFile;

use crate::{
    data::{DataFolder, Restoring, random},
    fault::Fault,
    storage,
};
use chunks::{BACKUP, Reader, Writer, key_of};

/// The longest name of a file that systems allow.
const NAME_BYTES_MAX: usize = 255;

/// Why a backup could not be made or brought back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackupFault {
    #[error("the backup is damaged, or not whole; nothing was changed")]
    Damaged,
    #[error("there is already a file {}; nothing was changed", .0.display())]
    Exists(PathBuf),
    #[error("there is not enough memory to turn the password into a key")]
    Memory,
    #[error("the backup is of version {0}, which this program does not know")]
    Newer(u8),
    #[error("this is no backup of hitherd")]
    NotABackup,
    #[error("the password is not that of the backup; nothing was changed")]
    Password,
}

/// Writes a backup of the server in a folder, whether it runs or not, to a new file.
pub(crate) fn write(folder: &DataFolder, to: &Path, password: &[u8]) -> Result<u64, Fault> {
    write_at(folder, to, password, Stretching::STANDARD)
}

/// Makes a folder that is empty or not there the server of a backup. All of it, or nothing is changed.
pub(crate) fn restore(from: &Path, target: &Path, password: &[u8]) -> Result<DataFolder, Fault> {
    restore_at(from, target, password, Stretching::STANDARD)
}

fn write_at(
    folder: &DataFolder,
    to: &Path,
    password: &[u8],
    stretching: Stretching,
) -> Result<u64, Fault> {
    if to.symlink_metadata().is_ok() {
        return Err(BackupFault::Exists(to.to_owned()).into());
    }
    // Whether this is a server at all is better known before its backup is needed.
    folder.secrets()?;
    let mut rng = Rng::from_seed(random()?);
    let key = ChunkKey::new(BACKUP, password, &rng.bytes::<SALT_BYTES>(), stretching)
        .map_err(BackupFault::from)?;
    let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    let unfinished = NamedTempFile::new_in(parent).map_err(|error| Fault::file(parent, error))?;
    let snapshot = folder.snapshot_file()?;
    storage::snapshot(&folder.database(), snapshot.path())?;

    let mut files = folder.kept(|file| !is_backup(file))?;
    files.push((DataFolder::DATABASE.to_owned(), snapshot.path().to_owned()));
    let failed = |error| Fault::file(to, error);
    let mut writer = Writer::new(BufWriter::new(unfinished.as_file()), key, rng).map_err(failed)?;
    for (name, path) in &files {
        put(&mut writer, name, path)?;
    }
    writer.write_all(&[0]).and_then(|()| writer.finish()).map_err(failed)?;
    unfinished.as_file().sync_all().map_err(failed)?;
    unfinished.persist_noclobber(to).map_err(|persisted| match persisted.error.kind() {
        io::ErrorKind::AlreadyExists => BackupFault::Exists(to.to_owned()).into(),
        _ => Fault::file(to, persisted.error),
    })?;
    File::open(parent).and_then(|parent| parent.sync_all()).map_err(failed)?;
    fs::metadata(to).map(|metadata| metadata.len()).map_err(failed)
}

fn restore_at(
    from: &Path,
    target: &Path,
    password: &[u8],
    stretching: Stretching,
) -> Result<DataFolder, Fault> {
    Restoring::is_possible(target)?;
    let open = || File::open(from).map_err(|error| unreadable(from, error));
    let key = key_of(&mut open()?, password, stretching)?;
    // Everything is looked at before anything is made.
    let reader =
        Reader::new(BufReader::new(open()?), &key).map_err(|error| unreadable(from, error))?;
    unpack(reader, from, |_, content| {
        io::copy(content, &mut io::sink()).map_err(|error| unreadable(from, error))
    })?;

    let restoring = Restoring::begin(target)?;
    let reader =
        Reader::new(BufReader::new(open()?), &key).map_err(|error| unreadable(from, error))?;
    unpack(reader, from, |name, content| {
        let (path, mut file) = restoring.create(name)?;
        let mut bytes = vec![0; 64 * 1024];
        let mut written = 0;
        loop {
            let read = content.read(&mut bytes).map_err(|error| unreadable(from, error))?;
            if read == 0 {
                break;
            }
            file.write_all(&bytes[..read]).map_err(|error| Fault::file(&path, error))?;
            written += read as u64;
        }
        file.sync_all().map_err(|error| Fault::file(&path, error))?;
        Ok(written)
    })?;
    restoring.finish()
}

/// One file: its name and length, and then what stands in it.
fn put(writer: &mut impl Write, name: &str, path: &Path) -> Result<(), Fault> {
    let mut put = || {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let name_bytes = u8::try_from(name.len()).map_err(io::Error::other)?;
        writer.write_all(&[name_bytes])?;
        writer.write_all(name.as_bytes())?;
        writer.write_all(&length.to_be_bytes())?;
        // A log may grow meanwhile. What is read is as long as was said.
        let copied = io::copy(&mut file.take(length), writer)?;
        if copied == length { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    };
    put().map_err(|error| Fault::file(path, error))
}

/// Hands over each file of a backup. `take` must read all of it, and says how much that was.
fn unpack(
    mut reader: impl Read,
    from: &Path,
    mut take: impl FnMut(&str, &mut dyn Read) -> Result<u64, Fault>,
) -> Result<(), Fault> {
    let failed = |error| unreadable(from, error);
    loop {
        let mut length = [0];
        reader.read_exact(&mut length).map_err(failed)?;
        if length == [0] {
            let rest = reader.read(&mut [0]).map_err(failed)?;
            return if rest == 0 { Ok(()) } else { Err(BackupFault::Damaged.into()) };
        }
        let mut name = vec![0; length[0].into()];
        reader.read_exact(&mut name).map_err(failed)?;
        let name = String::from_utf8(name).map_err(|_| BackupFault::Damaged)?;
        let plain = name.len() <= NAME_BYTES_MAX
            && !name.starts_with('.')
            && !name.contains(['/', '\\', '\0']);
        if !plain {
            return Err(BackupFault::Damaged.into());
        }
        let mut length = [0; 8];
        reader.read_exact(&mut length).map_err(failed)?;
        let length = u64::from_be_bytes(length);
        let taken = take(&name, &mut reader.by_ref().take(length))?;
        if taken != length {
            return Err(BackupFault::Damaged.into());
        }
    }
}

fn unreadable(path: &Path, error: io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => BackupFault::Damaged.into(),
        _ => Fault::Unreadable { path: path.to_owned(), error },
    }
}

/// Whether a file is a backup itself, which belongs into no other.
fn is_backup(file: &Path) -> bool {
    let mut front = [0; MAGIC_BYTES];
    File::open(file).and_then(|mut file| file.read_exact(&mut front)).is_ok()
        && front == *BACKUP.magic
}

impl BackupFault {
    /// The code by which scripts tell faults apart.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Password => "auth_failed",
            Self::Memory => "data_unusable",
            Self::Damaged | Self::Exists(_) | Self::Newer(_) | Self::NotABackup => "refused",
        }
    }

    /// What to do about it.
    pub(crate) const fn hint(&self) -> &'static str {
        match self {
            Self::Damaged => "fetch it again, or take an older one",
            Self::Exists(_) => "name another file",
            Self::Memory => "it takes 256 MiB; make room and try again",
            Self::Newer(_) => "use the newer hitherd",
            Self::NotABackup => "name a file that `hitherd backup` has written",
            Self::Password => "give the password that the backup was made with",
        }
    }
}
