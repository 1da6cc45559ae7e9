//! The chunks of an archive: records in a row, sealed at their place, and read back.

use std::io::{Read, Write};

use hither_proto::{
    crypto::{
        chunks::{ChunkKey, FRONT_BYTES, HEADER_BYTES, HeaderError, Kind, front},
        label::Label,
        opaque::Stretching,
        rng::Rng,
    },
    wire,
};
use minicbor::{Decode, Decoder, Encode};
use zeroize::Zeroizing;

use super::{ArchiveError, Owner};
use crate::agent::store::Record;

/// What an archive is.
pub(super) const ARCHIVE: Kind = Kind { magic: b"hither archive", label: Label::Archive };

/// Bytes of records after which a chunk is full.
const CHUNK_BYTES: usize = 64 * 1024;

/// A sealed chunk can be longer by its last record, which holds two texts at most.
const SEALED_BYTES_MAX: usize = 512 * 1024;

/// Chunks come in steps of this many bytes, so that a size says little.
const STEP_BYTES: usize = 4096;

/// The key of this file, if `password` gives it.
pub(super) fn key_of(
    file: &mut impl Read,
    password: &str,
    stretching: Stretching,
) -> Result<ChunkKey, ArchiveError> {
    let mut header = Vec::new();
    file.take(HEADER_BYTES as u64).read_to_end(&mut header)?;
    Ok(ChunkKey::of(ARCHIVE, &header, password.as_bytes(), stretching)?)
}

impl From<HeaderError> for ArchiveError {
    fn from(error: HeaderError) -> Self {
        match error {
            HeaderError::CutShort => Self::Damaged,
            HeaderError::Foreign => Self::NotAnArchive,
            HeaderError::Memory => Self::Memory,
            HeaderError::Newer(version) => Self::Newer(version),
            HeaderError::Password => Self::WrongPassword,
        }
    }
}

/// Writes records in sealed chunks.
pub(super) struct Writer<W: Write> {
    file: W,
    key: ChunkKey,
    rng: Rng,
    chunk: Zeroizing<Vec<u8>>,
    index: u64,
}

impl<W: Write> Writer<W> {
    pub(super) fn new(mut file: W, key: ChunkKey, rng: Rng) -> Result<Self, ArchiveError> {
        file.write_all(key.header())?;
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
        let sealed = self.key.seal(&mut self.rng, self.index, last, &self.chunk);
        self.file.write_all(&sealed)?;
        self.chunk.clear();
        self.index += 1;
        Ok(())
    }
}

/// Reads records from sealed chunks.
pub(super) struct Reader<'k, R: Read> {
    file: R,
    key: &'k ChunkKey,
    chunk: Zeroizing<Vec<u8>>,
    at: usize,
    index: u64,
    /// Whether no chunk follows the present one.
    last: bool,
}

impl<'k, R: Read> Reader<'k, R> {
    pub(super) fn new(mut file: R, key: &'k ChunkKey) -> Result<Self, ArchiveError> {
        let mut header = [0; HEADER_BYTES];
        file.read_exact(&mut header)?;
        if header == *key.header() {
            Ok(Self::after_header(file, key))
        } else {
            Err(ArchiveError::Damaged)
        }
    }

    pub(super) fn after_header(file: R, key: &'k ChunkKey) -> Self {
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
        let mut stands = [0; FRONT_BYTES];
        self.file.read_exact(&mut stands)?;
        let (last, length) = front(stands, SEALED_BYTES_MAX).ok_or(ArchiveError::Damaged)?;
        let mut sealed = vec![0; length];
        self.file.read_exact(&mut sealed)?;
        let opened = self.key.open(self.index, last, &sealed).ok_or(ArchiveError::Damaged)?;
        self.chunk = Zeroizing::new(opened);
        self.last = last;
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
