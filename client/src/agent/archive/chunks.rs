//! The chunks of an archive: records in a row, sealed at their place, and read back.

use std::io::{self, Read, Write};

use hither_proto::{
    crypto::{
        derive::derive,
        label::Label,
        opaque::Stretching,
        rng::Rng,
        seal::{open_at_rest, seal_at_rest},
        secret::Secret,
        stretch::{SALT_BYTES, stretch},
    },
    wire,
};
use minicbor::{Decode, Decoder, Encode};
use zeroize::Zeroizing;

use super::{ArchiveError, Owner};
use crate::agent::store::Record;

pub(super) const MAGIC: &[u8; 14] = b"hither archive";
const VERSION: u8 = 1;
const CHECK_BYTES: usize = 16;
pub(super) const HEADER_BYTES: usize = MAGIC.len() + 1 + SALT_BYTES + CHECK_BYTES;

/// Bytes of records after which a chunk is full.
const CHUNK_BYTES: usize = 64 * 1024;

/// A sealed chunk can be longer by its last record, which holds two texts at most.
const SEALED_BYTES_MAX: usize = 512 * 1024;

/// Chunks come in steps of this many bytes, so that a size says little.
const STEP_BYTES: usize = 4096;

/// The key of an archive, and the header that belongs to it.
pub(super) struct Key {
    key: Secret<32>,
    header: [u8; HEADER_BYTES],
}

impl Key {
    pub(super) fn new(
        password: &str,
        salt: &[u8; SALT_BYTES],
        stretching: Stretching,
    ) -> Result<Self, ArchiveError> {
        let stretched = stretch(password.as_bytes(), salt, Label::Archive, stretching)
            .ok_or(ArchiveError::Memory)?;
        let key = derive(&[], stretched.expose(), Label::Archive, b"chunks");
        let check: Secret<CHECK_BYTES> = derive(&[], stretched.expose(), Label::Archive, b"check");
        let mut header = [0; HEADER_BYTES];
        let (front, back) = header.split_at_mut(MAGIC.len() + 1);
        front[..MAGIC.len()].copy_from_slice(MAGIC);
        front[MAGIC.len()] = VERSION;
        back[..SALT_BYTES].copy_from_slice(salt);
        back[SALT_BYTES..].copy_from_slice(check.expose());
        Ok(Self { key, header })
    }

    /// The key of this file, if `password` gives it.
    pub(super) fn of(
        file: &mut impl Read,
        password: &str,
        stretching: Stretching,
    ) -> Result<Self, ArchiveError> {
        let mut front = [0; MAGIC.len() + 1];
        file.read_exact(&mut front).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => ArchiveError::NotAnArchive,
            kind => ArchiveError::Io(kind),
        })?;
        if front[..MAGIC.len()] != *MAGIC {
            return Err(ArchiveError::NotAnArchive);
        }
        if front[MAGIC.len()] != VERSION {
            return Err(ArchiveError::Newer(front[MAGIC.len()]));
        }
        let mut salt = [0; SALT_BYTES];
        file.read_exact(&mut salt)?;
        let mut check = [0; CHECK_BYTES];
        file.read_exact(&mut check)?;
        let key = Self::new(password, &salt, stretching)?;
        if key.header[HEADER_BYTES - CHECK_BYTES..] != check {
            return Err(ArchiveError::WrongPassword);
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

/// Writes records in sealed chunks.
pub(super) struct Writer<W: Write> {
    file: W,
    key: Key,
    rng: Rng,
    chunk: Zeroizing<Vec<u8>>,
    index: u64,
}

impl<W: Write> Writer<W> {
    pub(super) fn new(mut file: W, key: Key, rng: Rng) -> Result<Self, ArchiveError> {
        file.write_all(&key.header)?;
        Ok(Self { file, key, rng, chunk: Zeroizing::new(Vec::new()), index: 0 })
    }

    pub(super) fn take<T: Encode<()>>(&mut self, record: &T) -> Result<(), ArchiveError> {
        if self.chunk.len() >= CHUNK_BYTES {
            self.flush(false)?;
        }
        self.chunk.extend_from_slice(&Zeroizing::new(wire::encode(record)));
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<(), ArchiveError> {
        self.flush(true)?;
        Ok(self.file.flush()?)
    }

    fn flush(&mut self, last: bool) -> Result<(), ArchiveError> {
        self.chunk.push(0x80);
        let padded = self.chunk.len().next_multiple_of(STEP_BYTES);
        self.chunk.resize(padded, 0);
        let place = self.key.place(self.index, last);
        let sealed = seal_at_rest(&mut self.rng, &self.key.key, &place, &self.chunk);
        let length = u32::try_from(sealed.len()).unwrap_or(u32::MAX);
        // The reader must know before it opens a chunk whether it is the last.
        self.file.write_all(&[u8::from(last)])?;
        self.file.write_all(&length.to_be_bytes())?;
        self.file.write_all(&sealed)?;
        self.chunk.clear();
        self.index += 1;
        Ok(())
    }
}

/// Reads records from sealed chunks.
pub(super) struct Reader<'k, R: Read> {
    file: R,
    key: &'k Key,
    chunk: Zeroizing<Vec<u8>>,
    at: usize,
    index: u64,
    /// Whether no chunk follows the present one.
    last: bool,
}

impl<'k, R: Read> Reader<'k, R> {
    pub(super) fn new(mut file: R, key: &'k Key) -> Result<Self, ArchiveError> {
        let mut header = [0; HEADER_BYTES];
        file.read_exact(&mut header)?;
        if header == key.header {
            Ok(Self::after_header(file, key))
        } else {
            Err(ArchiveError::Damaged)
        }
    }

    pub(super) fn after_header(file: R, key: &'k Key) -> Self {
        Self { file, key, chunk: Zeroizing::new(Vec::new()), at: 0, index: 0, last: false }
    }

    pub(super) fn owner(&mut self) -> Result<Owner, ArchiveError> {
        self.read()?.ok_or(ArchiveError::Damaged)
    }

    fn read<T: for<'b> Decode<'b, ()>>(&mut self) -> Result<Option<T>, ArchiveError> {
        while self.at == self.chunk.len() {
            if self.last {
                let more = self.file.read(&mut [0])?;
                return if more == 0 { Ok(None) } else { Err(ArchiveError::Damaged) };
            }
            self.next_chunk()?;
        }
        let mut decoder = Decoder::new(&self.chunk[self.at..]);
        let record = decoder.decode().map_err(|_| ArchiveError::Damaged)?;
        self.at += decoder.position();
        Ok(Some(record))
    }

    fn next_chunk(&mut self) -> Result<(), ArchiveError> {
        let mut front = [0; 5];
        self.file.read_exact(&mut front)?;
        let [last, length @ ..] = front;
        let length = u32::from_be_bytes(length) as usize;
        if last > 1 || length > SEALED_BYTES_MAX {
            return Err(ArchiveError::Damaged);
        }
        let mut sealed = vec![0; length];
        self.file.read_exact(&mut sealed)?;
        self.last = last == 1;
        let place = self.key.place(self.index, self.last);
        let opened = open_at_rest(&self.key.key, &place, &sealed).ok_or(ArchiveError::Damaged)?;
        self.chunk = Zeroizing::new(opened);
        let end = self.chunk.iter().rposition(|byte| *byte != 0).ok_or(ArchiveError::Damaged)?;
        self.chunk.truncate(end);
        (self.at, self.index) = (0, self.index + 1);
        Ok(())
    }
}

impl<R: Read> Iterator for Reader<'_, R> {
    type Item = Result<Record, ArchiveError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}
