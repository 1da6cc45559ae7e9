//! The chunks of a backup: bytes in a row, sealed at their place under a password, and read back.

use std::io::{self, Read, Write};

use hither_proto::crypto::{
    chunks::{ChunkKey, FRONT_BYTES, HEADER_BYTES, HeaderError, Kind, front},
    label::Label,
    opaque::Stretching,
    rng::Rng,
};
use zeroize::Zeroizing;

use super::BackupFault;

/// What a backup is.
pub(super) const BACKUP: Kind = Kind { magic: b"hitherd backup", label: Label::Backup };

/// Bytes in a chunk; the last has what is left.
const CHUNK_BYTES: usize = 64 * 1024;

/// What sealing adds: a nonce and a tag.
const SEALING_BYTES: usize = 24 + 16;

/// The key of the backup that begins here, if `password` gives it.
pub(super) fn key_of(
    file: &mut impl Read,
    password: &[u8],
    stretching: Stretching,
) -> Result<ChunkKey, BackupFault> {
    let mut header = Vec::new();
    let read = file.take(HEADER_BYTES as u64).read_to_end(&mut header);
    read.map_err(|_| BackupFault::NotABackup)?;
    Ok(ChunkKey::of(BACKUP, &header, password, stretching)?)
}

impl From<HeaderError> for BackupFault {
    fn from(error: HeaderError) -> Self {
        match error {
            HeaderError::CutShort => Self::Damaged,
            HeaderError::Foreign => Self::NotABackup,
            HeaderError::Memory => Self::Memory,
            HeaderError::Newer(version) => Self::Newer(version),
            HeaderError::Password => Self::Password,
        }
    }
}

/// Seals what is written to it.
pub(super) struct Writer<W: Write> {
    file: W,
    key: ChunkKey,
    rng: Rng,
    chunk: Zeroizing<Vec<u8>>,
    index: u64,
}

impl<W: Write> Writer<W> {
    pub(super) fn new(mut file: W, key: ChunkKey, rng: Rng) -> io::Result<Self> {
        file.write_all(key.header())?;
        let chunk = Zeroizing::new(Vec::with_capacity(CHUNK_BYTES));
        Ok(Self { file, key, rng, chunk, index: 0 })
    }

    /// Writes the last chunk. What was dropped before this is no backup.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.seal(true)?;
        self.file.flush()
    }

    fn seal(&mut self, last: bool) -> io::Result<()> {
        let sealed = self.key.seal(&mut self.rng, self.index, last, &self.chunk);
        self.file.write_all(&sealed)?;
        self.chunk.clear();
        self.index += 1;
        Ok(())
    }
}

impl<W: Write> Write for Writer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.chunk.len() == CHUNK_BYTES {
            self.seal(false)?;
        }
        let taken = bytes.len().min(CHUNK_BYTES - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        // A chunk that is not full is the last one.
        Ok(())
    }
}

/// Reads what a [`Writer`] has sealed. Whatever is not as it was sealed is [`io::ErrorKind::InvalidData`],
/// and what is missing [`io::ErrorKind::UnexpectedEof`].
pub(super) struct Reader<'k, R: Read> {
    file: R,
    key: &'k ChunkKey,
    chunk: Zeroizing<Vec<u8>>,
    at: usize,
    index: u64,
    last: bool,
}

impl<'k, R: Read> Reader<'k, R> {
    /// `file` is at its beginning.
    pub(super) fn new(mut file: R, key: &'k ChunkKey) -> io::Result<Self> {
        let mut header = [0; HEADER_BYTES];
        file.read_exact(&mut header)?;
        if header != *key.header() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Self { file, key, chunk: Zeroizing::default(), at: 0, index: 0, last: false })
    }

    fn next_chunk(&mut self) -> io::Result<()> {
        let mut stands = [0; FRONT_BYTES];
        self.file.read_exact(&mut stands)?;
        let found = front(stands, CHUNK_BYTES + SEALING_BYTES);
        let (last, length) = found.ok_or(io::ErrorKind::InvalidData)?;
        let mut sealed = vec![0; length];
        self.file.read_exact(&mut sealed)?;
        let opened = self.key.open(self.index, last, &sealed);
        self.chunk = Zeroizing::new(opened.ok_or(io::ErrorKind::InvalidData)?);
        self.last = last;
        (self.at, self.index) = (0, self.index + 1);
        Ok(())
    }
}

impl<R: Read> Read for Reader<'_, R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        while self.at == self.chunk.len() {
            if self.last {
                let more = self.file.read(&mut [0])?;
                return if more == 0 { Ok(0) } else { Err(io::ErrorKind::InvalidData.into()) };
            }
            self.next_chunk()?;
        }
        let given = bytes.len().min(self.chunk.len() - self.at);
        bytes[..given].copy_from_slice(&self.chunk[self.at..self.at + given]);
        self.at += given;
        Ok(given)
    }
}

#[cfg(test)]
mod tests {
    use hither_proto::crypto::{chunks::MAGIC_BYTES, secret::Secret, stretch::SALT_BYTES};

    use super::*;

    const SALT: [u8; SALT_BYTES] = [3; SALT_BYTES];

    fn key(password: &[u8]) -> ChunkKey {
        ChunkKey::new(BACKUP, password, &SALT, Stretching::TRIVIAL).unwrap()
    }

    fn sealed(bytes: &[u8]) -> Vec<u8> {
        let mut file = Vec::new();
        let rng = Rng::from_seed(Secret::new([1; 32]));
        let mut writer = Writer::new(&mut file, key(b"password"), rng).unwrap();
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap();
        file
    }

    fn opened(file: &[u8]) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        Reader::new(file, &key(b"password"))?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    #[test]
    fn what_was_sealed_is_read_back() {
        for length in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES] {
            let bytes: Vec<u8> = (0..=255).cycle().take(length).collect();
            assert!(opened(&sealed(&bytes)).unwrap() == bytes, "{length}");
        }
    }

    #[test]
    fn no_change_and_no_end_goes_unnoticed() {
        let file = sealed(&vec![7; 2 * CHUNK_BYTES + 5]);
        let chunk = 5 + CHUNK_BYTES + SEALING_BYTES;
        for end in [HEADER_BYTES - 1, HEADER_BYTES, HEADER_BYTES + chunk, file.len() - 1] {
            assert!(opened(&file[..end]).is_err(), "cut at {end}");
        }
        for at in (0..HEADER_BYTES + 64).chain(file.len() - 60..file.len()) {
            let mut changed = file.clone();
            changed[at] ^= 1;
            assert!(opened(&changed).is_err(), "changed at {at}");
        }
        let (first, second) = (HEADER_BYTES, HEADER_BYTES + chunk);
        let swapped = [
            &file[..first],
            &file[second..second + chunk],
            &file[first..second],
            &file[second + chunk..],
        ];
        assert!(opened(&swapped.concat()).is_err(), "two chunks changed places");
        assert!(opened(&[&file[..], b"x"].concat()).is_err(), "one byte more");
        let short = [&file[..first], &file[second + chunk..]].concat();
        assert!(opened(&short).is_err(), "the last chunk alone");
    }

    #[test]
    fn a_wrong_password_is_told_from_damage() {
        let file = sealed(b"content");
        let of =
            |file: &[u8], password: &[u8]| key_of(&mut &*file, password, Stretching::TRIVIAL).err();
        assert!(of(&file, b"password").is_none());
        assert!(matches!(of(&file, b"passwort"), Some(BackupFault::Password)));
        assert!(matches!(of(b"a letter to somebody", b"password"), Some(BackupFault::NotABackup)));
        assert!(matches!(of(&file[..20], b"password"), Some(BackupFault::Damaged)));
        let mut newer = file;
        newer[MAGIC_BYTES] = 9;
        assert!(matches!(of(&newer, b"password"), Some(BackupFault::Newer(9))));
    }
}
