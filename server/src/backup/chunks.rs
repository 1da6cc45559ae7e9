//! The chunks of a backup: bytes in a row, sealed at their place under a password, and read back.

use std::io::{self, Read, Write};

use hither_proto::crypto::{
    derive::derive,
    label::Label,
    opaque::Stretching,
    rng::Rng,
    seal::{open_at_rest, seal_at_rest},
    secret::Secret,
    stretch::{SALT_BYTES, stretch},
};
use zeroize::Zeroizing;

use super::BackupFault;

pub(super) const MAGIC: &[u8; 14] = b"hitherd backup";
const VERSION: u8 = 1;
const CHECK_BYTES: usize = 16;
const HEADER_BYTES: usize = MAGIC.len() + 1 + SALT_BYTES + CHECK_BYTES;

/// Bytes in a chunk; the last has what is left.
const CHUNK_BYTES: usize = 64 * 1024;

/// What sealing adds: a nonce and a tag.
const SEALING_BYTES: usize = 24 + 16;

/// The key of a backup, and the header that belongs to it.
pub(super) struct Key {
    key: Secret<32>,
    header: [u8; HEADER_BYTES],
}

impl Key {
    /// For a new backup.
    pub(super) fn new(
        password: &[u8],
        salt: &[u8; SALT_BYTES],
        stretching: Stretching,
    ) -> Result<Self, BackupFault> {
        let stretched =
            stretch(password, salt, Label::Backup, stretching).ok_or(BackupFault::Memory)?;
        let key = derive(&[], stretched.expose(), Label::Backup, b"chunks");
        let check: Secret<CHECK_BYTES> = derive(&[], stretched.expose(), Label::Backup, b"check");
        let mut header = [0; HEADER_BYTES];
        let (front, back) = header.split_at_mut(MAGIC.len() + 1);
        front[..MAGIC.len()].copy_from_slice(MAGIC);
        front[MAGIC.len()] = VERSION;
        back[..SALT_BYTES].copy_from_slice(salt);
        back[SALT_BYTES..].copy_from_slice(check.expose());
        Ok(Self { key, header })
    }

    /// Of the backup that begins here, if `password` gives it.
    pub(super) fn of(
        file: &mut impl Read,
        password: &[u8],
        stretching: Stretching,
    ) -> Result<Self, BackupFault> {
        let mut front = [0; MAGIC.len() + 1];
        file.read_exact(&mut front).map_err(|_| BackupFault::NotABackup)?;
        if front[..MAGIC.len()] != *MAGIC {
            return Err(BackupFault::NotABackup);
        }
        if front[MAGIC.len()] != VERSION {
            return Err(BackupFault::Newer(front[MAGIC.len()]));
        }
        let (mut salt, mut check) = ([0; SALT_BYTES], [0; CHECK_BYTES]);
        file.read_exact(&mut salt).map_err(|_| BackupFault::Damaged)?;
        file.read_exact(&mut check).map_err(|_| BackupFault::Damaged)?;
        let key = Self::new(password, &salt, stretching)?;
        // A hash of the key, which stands in the file for everybody to see.
        if key.header[HEADER_BYTES - CHECK_BYTES..] != check {
            return Err(BackupFault::Password);
        }
        Ok(key)
    }

    /// What a chunk is sealed with: the header, its place, and whether it is the last.
    fn place(&self, index: u64, last: bool) -> [u8; HEADER_BYTES + 9] {
        let mut place = [0; HEADER_BYTES + 9];
        place[..HEADER_BYTES].copy_from_slice(&self.header);
        place[HEADER_BYTES..HEADER_BYTES + 8].copy_from_slice(&index.to_be_bytes());
        place[HEADER_BYTES + 8] = u8::from(last);
        place
    }
}

/// Seals what is written to it.
pub(super) struct Writer<W: Write> {
    file: W,
    key: Key,
    rng: Rng,
    chunk: Zeroizing<Vec<u8>>,
    index: u64,
}

impl<W: Write> Writer<W> {
    pub(super) fn new(mut file: W, key: Key, rng: Rng) -> io::Result<Self> {
        file.write_all(&key.header)?;
        let chunk = Zeroizing::new(Vec::with_capacity(CHUNK_BYTES));
        Ok(Self { file, key, rng, chunk, index: 0 })
    }

    /// Writes the last chunk. What was dropped before this is no backup.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.seal(true)?;
        self.file.flush()
    }

    fn seal(&mut self, last: bool) -> io::Result<()> {
        let place = self.key.place(self.index, last);
        let sealed = seal_at_rest(&mut self.rng, &self.key.key, &place, &self.chunk);
        let length = u32::try_from(sealed.len()).map_err(io::Error::other)?;
        // The reader must know before it opens a chunk whether it is the last.
        self.file.write_all(&[u8::from(last)])?;
        self.file.write_all(&length.to_be_bytes())?;
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
    key: &'k Key,
    chunk: Zeroizing<Vec<u8>>,
    at: usize,
    index: u64,
    last: bool,
}

impl<'k, R: Read> Reader<'k, R> {
    /// `file` is at its beginning.
    pub(super) fn new(mut file: R, key: &'k Key) -> io::Result<Self> {
        let mut header = [0; HEADER_BYTES];
        file.read_exact(&mut header)?;
        if header != key.header {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Self { file, key, chunk: Zeroizing::default(), at: 0, index: 0, last: false })
    }

    fn next_chunk(&mut self) -> io::Result<()> {
        let mut front = [0; 5];
        self.file.read_exact(&mut front)?;
        let [last, length @ ..] = front;
        let length = u32::from_be_bytes(length) as usize;
        if last > 1 || length > CHUNK_BYTES + SEALING_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut sealed = vec![0; length];
        self.file.read_exact(&mut sealed)?;
        self.last = last == 1;
        let place = self.key.place(self.index, self.last);
        let opened = open_at_rest(&self.key.key, &place, &sealed);
        self.chunk = Zeroizing::new(opened.ok_or(io::ErrorKind::InvalidData)?);
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
    use super::*;

    const SALT: [u8; SALT_BYTES] = [3; SALT_BYTES];

    fn key(password: &[u8]) -> Key {
        Key::new(password, &SALT, Stretching::TRIVIAL).unwrap()
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
        let of = |file: &[u8], password: &[u8]| {
            Key::of(&mut &*file, password, Stretching::TRIVIAL).err()
        };
        assert!(of(&file, b"password").is_none());
        assert!(matches!(of(&file, b"passwort"), Some(BackupFault::Password)));
        assert!(matches!(of(b"a letter to somebody", b"password"), Some(BackupFault::NotABackup)));
        assert!(matches!(of(&file[..20], b"password"), Some(BackupFault::Damaged)));
        let mut newer = file;
        newer[MAGIC.len()] = 9;
        assert!(matches!(of(&newer, b"password"), Some(BackupFault::Newer(9))));
    }
}
