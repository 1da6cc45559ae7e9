//! RFC 4648 base32 without padding, as fingerprints and links show bytes: any letter case is read.

const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The first `letters` letters of the base32 form of `bytes`, upper case.
pub(crate) fn letters(bytes: &[u8], letters: usize) -> String {
    let bit = |at: usize| bytes.get(at / 8).map_or(0, |byte| usize::from(byte >> (7 - at % 8) & 1));
    let quintet = |at: usize| (0..5).fold(0, |value, i| value << 1 | bit(at * 5 + i));
    (0..letters).map(|at| char::from(ALPHABET[quintet(at)])).collect()
}

/// Whether every letter is of the alphabet, in either case.
pub(crate) fn is_base32(text: &str) -> bool {
    text.bytes().all(|byte| ALPHABET.contains(&byte.to_ascii_uppercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_letters_are_those_of_the_rfc() {
        assert_eq!(letters(b"foobar", 10), "MZXW6YTBOI");
        assert_eq!(letters(&[0xff; 17], 26), "7".repeat(26));
        assert!(is_base32("mzxw6YTBOI"));
        assert!(!is_base32("MZXW1"));
    }
}
