//! The text of a message, from arguments or from standard input.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Read};

use hither_proto::limits::TEXT_BYTES_MAX;

use crate::fault::{Fault, Usage};

/// The words as one text; without any, what is piped in.
pub(super) fn text(words: Vec<OsString>) -> Result<String, Fault> {
    match words.is_empty() {
        false => typed(words),
        true if io::stdin().is_terminal() => Err(Usage::TextMissing.into()),
        true => piped(io::stdin().lock()),
    }
}

fn typed(words: Vec<OsString>) -> Result<String, Fault> {
    let words: Result<Vec<String>, OsString> =
        words.into_iter().map(OsString::into_string).collect();
    fitting(words.map_err(|_| Usage::TextNotUtf8)?.join(" "))
}

fn piped(source: impl Read) -> Result<String, Fault> {
    // One byte for the newline that is dropped, one that shows that there is more.
    let enough = TEXT_BYTES_MAX as u64 + 2;
    let mut bytes = Vec::new();
    source
        .take(enough)
        .read_to_end(&mut bytes)
        .map_err(|error| Fault::file("-".as_ref(), &error))?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    if bytes.len() > TEXT_BYTES_MAX {
        // Said before looking at the bytes: the cut may have split a character.
        return Err(Fault::TextTooLong);
    }
    fitting(String::from_utf8(bytes).map_err(|_| Usage::TextNotUtf8)?)
}

fn fitting(text: String) -> Result<String, Fault> {
    match text.len() {
        0 => Err(Usage::TextEmpty.into()),
        1..=TEXT_BYTES_MAX => Ok(text),
        _ => Err(Fault::TextTooLong),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn piped_text_is_kept_but_for_one_newline() {
        let longest = "x".repeat(TEXT_BYTES_MAX);
        let not_utf8 = Fault::Usage(Usage::TextNotUtf8);
        let empty = Fault::Usage(Usage::TextEmpty);
        let table: [(&[u8], Result<&str, Fault>); 11] = [
            (b"hi", Ok("hi")),
            (b"hi\n", Ok("hi")),
            (b"hi\n\n", Ok("hi\n")),
            (b"hi\r\n", Ok("hi\r")),
            (b"  two\n words \t", Ok("  two\n words \t")),
            (b"", Err(empty.clone())),
            (b"\n", Err(empty)),
            (b"a\xffb", Err(not_utf8)),
            (longest.as_bytes(), Ok(&longest)),
            (&[longest.as_bytes(), b"\n"].concat(), Ok(&longest)),
            (&[longest.as_bytes(), b"x"].concat(), Err(Fault::TextTooLong)),
        ];
        for (bytes, expected) in table {
            assert_eq!(piped(bytes), expected.map(str::to_owned));
        }
        // The first byte too many is the first half of a character.
        let split = [&longest.as_bytes()[1..], "öö".as_bytes()].concat();
        assert_eq!(piped(split.as_slice()), Err(Fault::TextTooLong));
    }

    #[test]
    fn typed_words_are_one_text() {
        let table = [
            (vec!["hi"], Ok("hi".to_owned())),
            (vec!["two", " words"], Ok("two  words".to_owned())),
            (vec![""], Err(Fault::Usage(Usage::TextEmpty))),
        ];
        for (words, expected) in table {
            assert_eq!(typed(words.into_iter().map(OsString::from).collect()), expected);
        }
    }
}
