//! The recovery code: what is written on paper, and brings an account back whose password is forgotten.

use zeroize::Zeroizing;

use crate::{
    crypto::{derive::hash, label::Label, rng::Rng, secret::Secret},
    id::{CROCKFORD, crockford_digit},
};

/// Letters of a code: 128 bits of secret, 22 that tell a typing mistake.
const LETTERS: usize = 30;
/// Letters that stand together, so that the eye finds its place.
const GROUP: usize = 5;

/// A recovery code. There is nothing in it to guess, and nothing of the person.
#[derive(Debug)]
pub struct RecoveryCode(Secret<16>);

/// A text that is no recovery code, whoever's: found before anybody is asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadCode {
    /// It has this many letters.
    #[error("a recovery code has 30 letters, and not {0}")]
    Length(usize),
    /// The letters do not belong together.
    #[error("a letter of the recovery code is mistyped")]
    Mistyped,
}

impl RecoveryCode {
    /// A fresh one.
    pub fn generate(rng: &mut Rng) -> Self {
        Self(rng.secret())
    }

    /// Reads a code as somebody types it: in any letter case, with the hyphens and spaces where they like, and
    /// with the letters that are taken for digits.
    pub fn read(text: &str) -> Result<Self, BadCode> {
        let mut digits = Zeroizing::new([0; LETTERS]);
        let mut count = 0;
        let letters = text.bytes().filter(|byte| *byte != b'-' && !byte.is_ascii_whitespace());
        for letter in letters {
            if let Some(digit) = digits.get_mut(count) {
                *digit = crockford_digit(letter).ok_or(BadCode::Mistyped)?;
            }
            count += 1;
        }
        if count != LETTERS {
            return Err(BadCode::Length(count));
        }
        let mut code = Zeroizing::new([0; 16]);
        for (at, byte) in code.iter_mut().enumerate() {
            let bit = |at: usize| digits[at / 5] >> (4 - at % 5) & 1;
            *byte = (0..8).fold(0, |byte, next| byte << 1 | bit(8 * at + next));
        }
        let code = Self(Secret::from_slice(&*code).ok_or(BadCode::Mistyped)?);
        if code.digits() == digits { Ok(code) } else { Err(BadCode::Mistyped) }
    }

    /// As it is written down: six groups of five letters.
    pub fn to_text(&self) -> Zeroizing<String> {
        // The room is there from the start, because a string that grows leaves copies behind.
        let mut text = Zeroizing::new(String::with_capacity(LETTERS + LETTERS / GROUP));
        for (at, digit) in self.digits().iter().enumerate() {
            if at != 0 && at % GROUP == 0 {
                text.push('-');
            }
            text.push(char::from(CROCKFORD[usize::from(*digit)]));
        }
        text
    }

    /// What OPAQUE is given in the place of a password: the letters alone.
    pub fn to_password(&self) -> Zeroizing<String> {
        let mut password = Zeroizing::new(String::with_capacity(LETTERS));
        password
            .extend(self.digits().iter().map(|digit| char::from(CROCKFORD[usize::from(*digit)])));
        password
    }

    fn digits(&self) -> Zeroizing<[u8; LETTERS]> {
        let check = Zeroizing::new(hash(&[Label::RecoveryCheck.as_bytes(), self.0.expose()]));
        let byte =
            |at: usize| self.0.expose().iter().chain(&check[..]).nth(at).map_or(0, |byte| *byte);
        let bit = |at: usize| byte(at / 8) >> (7 - at % 8) & 1;
        let digit = |at| (0..5).fold(0, |digit, next| digit << 1 | bit(5 * at + next));
        Zeroizing::new(std::array::from_fn(digit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code() -> RecoveryCode {
        RecoveryCode::generate(&mut Rng::from_seed(Secret::new([1; 32])))
    }

    fn reads(text: &str) -> Result<[u8; 16], BadCode> {
        RecoveryCode::read(text).map(|code| *code.0.expose())
    }

    #[test]
    fn a_code_is_read_however_it_is_written_down() {
        let (code, expected) = (code(), Ok(*code().0.expose()));
        let text = code.to_text();
        let groups: Vec<_> = text.split('-').map(str::len).collect();
        assert_eq!(groups, [GROUP; LETTERS / GROUP]);
        let plain = code.to_password();
        assert_eq!(*plain, text.replace('-', ""));
        let spellings = [
            text.to_lowercase(),
            text.replace('-', " "),
            format!("  {}\n", text.replace('-', "")),
            text.replace('1', "l").replace('0', "o"),
            text.replace('1', "I").replace('0', "O"),
        ];
        for spelling in spellings {
            assert_eq!(reads(&spelling), expected, "{spelling}");
        }
        let zero = RecoveryCode(Secret::new([0; 16]));
        assert_eq!(reads(&zero.to_text().replace('0', "o")), Ok([0; 16]));
    }

    #[test]
    fn a_typing_mistake_is_told_from_another_code() {
        let plain = code().to_password();
        for at in 0..LETTERS {
            for letter in CROCKFORD.iter().filter(|letter| **letter != plain.as_bytes()[at]) {
                let mut mistyped = plain.to_string();
                mistyped.replace_range(at..=at, &char::from(*letter).to_string());
                assert_eq!(reads(&mistyped), Err(BadCode::Mistyped), "{mistyped}");
            }
        }
        for at in 1..LETTERS {
            let mut letters = plain.as_bytes().to_vec();
            letters.swap(at - 1, at);
            let swapped = String::from_utf8(letters).unwrap();
            assert_eq!(reads(&swapped).is_ok(), swapped == *plain, "{swapped}");
        }
        assert_eq!(reads(&plain.replacen(&plain[..1], "U", 1)), Err(BadCode::Mistyped));
        assert_eq!(reads(&plain[1..]), Err(BadCode::Length(LETTERS - 1)));
        assert_eq!(reads(&format!("{}7", *plain)), Err(BadCode::Length(LETTERS + 1)));
        assert_eq!(reads(""), Err(BadCode::Length(0)));
        assert_eq!(reads("ääääääääääääääääääääääääääääää"), Err(BadCode::Mistyped));
    }
}
