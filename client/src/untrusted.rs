//! Text from other people, which cannot be shown to a person without being made harmless first.

use std::fmt::{self, Write as _};

use serde::Deserialize;

/// A name or a text that somebody else chose. Its only `Display` shows what a terminal would obey
/// instead of handing it over, and indents every line but the first, so that a text cannot pass for
/// a line of ours.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct Untrusted(String);

const INDENT: &str = "      ";

impl Untrusted {
    /// Marks `text` as not ours.
    pub(crate) fn new(text: impl Into<String>) -> Untrusted {
        Untrusted(text.into())
    }

    /// The text on one line, cut to `columns` characters.
    pub(crate) fn excerpt(&self, columns: usize) -> String {
        let line = self.0.lines().next().unwrap_or_default();
        let mut shown: String = line.chars().take(columns).map(visible).collect();
        if shown.chars().count() < self.0.chars().count() {
            shown.push('…');
        }
        shown
    }
}

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for char in self.0.chars() {
            match char {
                '\n' => write!(f, "\n{INDENT}")?,
                '\t' => f.write_char('\t')?,
                other => f.write_char(visible(other))?,
            }
        }
        Ok(())
    }
}

/// What is shown in place of `char`: itself, unless a terminal might act on it or the eye miss it.
fn visible(char: char) -> char {
    match char {
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(char)).unwrap_or('�'),
        '\x7f' => '␡',
        '\u{80}'..='\u{9f}' | '\u{2028}' | '\u{2029}' => '�',
        // An emoji of several parts is one only with its joiners.
        '\u{200d}' => char,
        char if is_format(char) => '�',
        char => char,
    }
}

/// Whether `char` is of Unicode's general category Cf: it has no glyph of its own, and among its
/// kind are those that turn the direction of the text around them.
fn is_format(char: char) -> bool {
    matches!(char,
        '\u{ad}'
        | '\u{600}'..='\u{605}'
        | '\u{61c}'
        | '\u{6dd}'
        | '\u{70f}'
        | '\u{890}'..='\u{891}'
        | '\u{8e2}'
        | '\u{180e}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{2064}'
        | '\u{2066}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{110bd}'
        | '\u{110cd}'
        | '\u{13430}'..='\u{1343f}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0001}'
        | '\u{e0020}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_obeys_nothing_that_others_wrote() {
        let table = [
            ("plain text, ünïcödé, 日本語", "plain text, ünïcödé, 日本語"),
            ("a\tb", "a\tb"),
            ("\x1b[31mred\x1b[0m", "␛[31mred␛[0m"),
            ("\x1b]0;title\x07", "␛]0;title␇"),
            ("over\rwrite", "over␍write"),
            ("back\x08space", "back␈space"),
            ("\0\x7f", "␀␡"),
            ("\u{9b}31m \u{85}", "�31m �"),
            ("a\u{202e}cod.exe", "a�cod.exe"),
            ("\u{2066}\u{2069}\u{200e}\u{200f}\u{61c}", "�����"),
            ("soft\u{ad}hyphen zero\u{200b}width \u{feff}", "soft�hyphen zero�width �"),
            ("tag \u{e0041}", "tag �"),
            ("line\u{2028}break", "line�break"),
            ("👩\u{200d}👩\u{200d}👧 ❤\u{fe0f}", "👩\u{200d}👩\u{200d}👧 ❤\u{fe0f}"),
        ];
        for (written, shown) in table {
            assert_eq!(Untrusted::new(written).to_string(), shown, "{written:?}");
        }
    }

    #[test]
    fn a_second_line_cannot_pass_for_one_of_ours() {
        let text = Untrusted::new("hi\n10:31 bob: I owe you 100");
        assert_eq!(text.to_string(), "hi\n      10:31 bob: I owe you 100");
    }

    #[test]
    fn an_excerpt_is_one_harmless_line() {
        let table = [("short", "short"), ("two\nlines", "two…"), ("0123456789ab", "0123456789…")];
        for (text, shown) in table {
            assert_eq!(Untrusted::new(text).excerpt(10), shown);
        }
        assert_eq!(Untrusted::new("a\tb\x1b").excerpt(10), "a␉b␛");
    }
}
