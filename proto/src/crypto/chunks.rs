//! A file under a password, in chunks that are each sealed at their place: one that is changed, moved,
//! doubled or missing, the last one too, does not open (after STREAM: Hoang, Reyhanitabar, Rogaway, Vizár).
//!
//! In clear stand what the file is, the salt of the password, and a check of the key, so that a wrong
//! password is told from damage. Whoever writes and reads the file counts the chunks.

use super::{
    derive::derive,
    label::Label,
    opaque::Stretching,
    rng::Rng,
    seal::{open_at_rest, seal_at_rest},
    secret::Secret,
    stretch::{SALT_BYTES, stretch},
};

/// Bytes by which a kind of file is recognised.
pub const MAGIC_BYTES: usize = 14;

/// Bytes in front of the chunks.
pub const HEADER_BYTES: usize = MAGIC_BYTES + 1 + SALT_BYTES + CHECK_BYTES;

/// Bytes in front of each chunk: whether it is the last, and its length as sealed, big endian.
pub const FRONT_BYTES: usize = 1 + 4;

const VERSION: u8 = 1;
const CHECK_BYTES: usize = 16;

/// What a file is for.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// What it begins with.
    pub magic: &'static [u8; MAGIC_BYTES],
    /// The use of its key.
    pub label: Label,
}

/// Why a file gives no key.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum HeaderError {
    /// It ends within its header.
    #[error("the header is not whole")]
    CutShort,
    /// It begins like no file of this kind.
    #[error("another kind of file")]
    Foreign,
    /// There is not the memory to stretch the password.
    #[error("not enough memory for the password")]
    Memory,
    /// It is of this version, which is not known here.
    #[error("version {0}")]
    Newer(u8),
    /// The password is another.
    #[error("another password")]
    Password,
}

/// The key of a file, and the header that belongs to it.
pub struct ChunkKey {
    key: Secret<32>,
    header: [u8; HEADER_BYTES],
}

impl ChunkKey {
    /// For a new file. Takes as long as `stretching` says.
    pub fn new(
        kind: Kind,
        password: &[u8],
        salt: &[u8; SALT_BYTES],
        stretching: Stretching,
    ) -> Result<Self, HeaderError> {
        let Kind { magic, label } = kind;
        let stretched = stretch(password, salt, label, stretching).ok_or(HeaderError::Memory)?;
        let key = derive(&[], stretched.expose(), label, b"chunks");
        let check: Secret<CHECK_BYTES> = derive(&[], stretched.expose(), label, b"check");
        let mut header = [0; HEADER_BYTES];
        let (front, back) = header.split_at_mut(MAGIC_BYTES + 1);
        front[..MAGIC_BYTES].copy_from_slice(magic);
        front[MAGIC_BYTES] = VERSION;
        back[..SALT_BYTES].copy_from_slice(salt);
        back[SALT_BYTES..].copy_from_slice(check.expose());
        Ok(Self { key, header })
    }

    /// Of the file that begins with `header`, which is shorter only if the file is, if `password` gives it.
    pub fn of(
        kind: Kind,
        header: &[u8],
        password: &[u8],
        stretching: Stretching,
    ) -> Result<Self, HeaderError> {
        let (magic, rest) = header.split_first_chunk().ok_or(HeaderError::Foreign)?;
        let (version, rest) = rest.split_first().ok_or(HeaderError::Foreign)?;
        if magic != kind.magic {
            return Err(HeaderError::Foreign);
        }
        if *version != VERSION {
            return Err(HeaderError::Newer(*version));
        }
        let (salt, check) = rest.split_first_chunk().ok_or(HeaderError::CutShort)?;
        if check.len() < CHECK_BYTES {
            return Err(HeaderError::CutShort);
        }
        let key = Self::new(kind, password, salt, stretching)?;
        // A hash of the key, which stands in the file for everybody to see.
        if key.header == *header { Ok(key) } else { Err(HeaderError::Password) }
    }

    /// What stands in front of the chunks.
    pub const fn header(&self) -> &[u8; HEADER_BYTES] {
        &self.header
    }

    /// A chunk as it stands in the file. The reader must know before it opens one whether it is the last,
    /// so that stands in front.
    pub fn seal(&self, rng: &mut Rng, index: u64, last: bool, chunk: &[u8]) -> Vec<u8> {
        let sealed = seal_at_rest(rng, &self.key, &self.place(index, last), chunk);
        // A length that does not fit is one that no reader allows.
        let length = u32::try_from(sealed.len()).unwrap_or(u32::MAX);
        [&[u8::from(last)], &length.to_be_bytes()[..], &sealed].concat()
    }

    /// What was sealed at this place, or `None`.
    pub fn open(&self, index: u64, last: bool, sealed: &[u8]) -> Option<Vec<u8>> {
        open_at_rest(&self.key, &self.place(index, last), sealed)
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

/// Whether a chunk is the last, and how many bytes follow; `None` if that is more than `bytes_max`, or
/// never stood in front of a chunk.
pub fn front(front: [u8; FRONT_BYTES], bytes_max: usize) -> Option<(bool, usize)> {
    let [last, length @ ..] = front;
    let length = usize::try_from(u32::from_be_bytes(length)).ok()?;
    (last <= 1 && length <= bytes_max).then_some((last == 1, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: Kind = Kind { magic: b"a kind of file", label: Label::Backup };
    const OTHER: Kind = Kind { magic: b"another kind..", label: Label::Archive };

    fn key(kind: Kind) -> ChunkKey {
        ChunkKey::new(kind, b"password", &[3; SALT_BYTES], Stretching::TRIVIAL).unwrap()
    }

    #[test]
    fn a_header_says_whose_it_is() {
        let header = *key(KIND).header();
        let of = |header: &[u8], password: &[u8]| {
            ChunkKey::of(KIND, header, password, Stretching::TRIVIAL).err()
        };
        assert_eq!(of(&header, b"password"), None);
        assert_eq!(of(&header, b"passwort"), Some(HeaderError::Password));
        assert_eq!(of(key(OTHER).header(), b"password"), Some(HeaderError::Foreign));
        for end in 0..HEADER_BYTES {
            let error =
                if end <= MAGIC_BYTES { HeaderError::Foreign } else { HeaderError::CutShort };
            assert_eq!(of(&header[..end], b"password"), Some(error), "{end}");
        }
        let mut newer = header;
        newer[MAGIC_BYTES] = 9;
        assert_eq!(of(&newer, b"password"), Some(HeaderError::Newer(9)));
    }

    #[test]
    fn a_chunk_opens_at_its_place_in_its_file() {
        let key = key(KIND);
        let mut rng = Rng::from_seed(Secret::new([1; 32]));
        let chunk = key.seal(&mut rng, 7, false, b"content");
        let (stands, sealed) = chunk.split_first_chunk().unwrap();
        assert_eq!(front(*stands, sealed.len()), Some((false, sealed.len())));
        assert_eq!(front(*stands, sealed.len() - 1), None);
        assert_eq!(front([2, 0, 0, 0, 0], 100), None);
        assert_eq!(key.open(7, false, sealed).as_deref(), Some(&b"content"[..]));
        assert_eq!(key.open(8, false, sealed), None);
        assert_eq!(key.open(7, true, sealed), None);
        let salted = ChunkKey::new(KIND, b"password", &[4; SALT_BYTES], Stretching::TRIVIAL);
        assert_eq!(salted.unwrap().open(7, false, sealed), None);
    }
}
