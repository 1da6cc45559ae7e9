//! Looking for words where they must not stand.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Every regular file below a folder.
#[must_use]
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = entries_below(folder);
    entries.into_iter().filter(|path| path.symlink_metadata().is_ok_and(|m| m.is_file())).collect()
}

/// Everything below a folder: files, folders, sockets.
#[must_use]
pub fn entries_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![folder.to_owned()];
    while let Some(folder) = left.pop() {
        // A folder can vanish while a process at work in it is being looked at.
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                left.push(entry.path());
            }
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

/// The files below a folder that hold `word`, as it is or in one of the usual spellings of bytes.
#[must_use]
pub fn files_with(folder: &Path, word: &str) -> Vec<PathBuf> {
    let files = files_below(folder).into_iter();
    files.filter(|file| holds(&fs::read(file).unwrap_or_default(), word)).collect()
}

/// The files below a folder that hold these very bytes.
#[must_use]
pub fn files_containing(folder: &Path, bytes: &[u8]) -> Vec<PathBuf> {
    let files = files_below(folder).into_iter();
    files.filter(|file| contains(&fs::read(file).unwrap_or_default(), bytes)).collect()
}

/// Whether bytes hold `word`: as it is, in UTF-16, in hexadecimal, as a list of decimal bytes (as
/// Rust prints them), or in Base64 at any of its three alignments.
#[must_use]
pub fn holds(bytes: &[u8], word: &str) -> bool {
    let text = word.as_bytes();
    let hex: String = text.iter().map(|byte| format!("{byte:02x}")).collect();
    let decimal = text.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
    let wide: Vec<u8> = word.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut spellings = vec![
        text.to_vec(),
        wide,
        hex.to_uppercase().into_bytes(),
        hex.into_bytes(),
        decimal.into_bytes(),
    ];
    spellings.extend((0..3).map(|alignment| base64(text, alignment)));
    spellings.iter().any(|spelling| contains(bytes, spelling))
}

/// The files below a folder that are databases, by what is in them.
#[must_use]
pub fn databases_below(folder: &Path) -> Vec<PathBuf> {
    let is_database =
        |file: &PathBuf| fs::read(file).is_ok_and(|bytes| bytes.starts_with(b"SQLite format 3\0"));
    files_below(folder).into_iter().filter(is_database).collect()
}

/// Whether bytes hold `part`.
#[must_use]
pub fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// The part of the Base64 of a longer text that depends only on `word`, where `alignment` bytes
/// stand before it in its group of three.
fn base64(word: &[u8], alignment: usize) -> Vec<u8> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let skipped = (3 - alignment) % 3;
    let whole = word.get(skipped..).unwrap_or_default().chunks_exact(3);
    whole
        .flat_map(|group| {
            let bits = group.iter().fold(0usize, |bits, byte| bits << 8 | usize::from(*byte));
            [18, 12, 6, 0].map(|shift| LETTERS[bits >> shift & 63])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_found_in_every_spelling() {
        let word = "quill-marchbanks";
        let spellings: [&[u8]; 6] = [
            b"...quill-marchbanks...",
            b"7175696c6c2d6d6172636862616e6b73",
            b"[113, 117, 105, 108, 108, 45, 109, 97, 114, 99, 104, 98, 97, 110, 107, 115]",
            b"cXVpbGwtbWFyY2hiYW5rcw==",
            b"eHF1aWxsLW1hcmNoYmFua3M=",
            b"eHhxdWlsbC1tYXJjaGJhbmtz",
        ];
        for bytes in spellings {
            assert!(holds(bytes, word), "{}", String::from_utf8_lossy(bytes));
        }
        assert!(!holds(b"quill-marchbank", word));
    }
}
