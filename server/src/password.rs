//! Where the password of a backup or an exported key comes from, and whether a new one is strong enough.

use std::{
    fs::File,
    io::{self, IsTerminal as _, Read},
    path::{Path, PathBuf},
};

use clap::Args;
use zeroize::Zeroizing;

use crate::fault::Fault;

const PASSWORD_BYTES_MAX: usize = 1024;

/// What a thief of the file must at least be made to guess, as for the passwords of users: with the cost of
/// one guess at a second of one core, this many take a single core three centuries.
const GUESSES_MIN: u64 = 10_000_000_000;

/// The flags that answer for somebody who cannot be asked.
#[derive(Args, Debug)]
#[group(multiple = false)]
pub(crate) struct PasswordSource {
    /// Read the password from this file.
    #[arg(long, value_name = "PATH")]
    password_file: Option<PathBuf>,
    /// Read the password from standard input.
    #[arg(long)]
    password_stdin: bool,
}

impl PasswordSource {
    /// The password of a file that is there.
    pub(crate) fn current(&self, may_ask: bool) -> Result<Zeroizing<Vec<u8>>, Fault> {
        match self.given()? {
            Some(password) => Ok(password),
            None => {
                prepare_to_ask(may_ask)?;
                ask("Password: ")
            }
        }
    }

    /// The password of a file that is about to be made, refused if it is weak.
    pub(crate) fn chosen(&self, may_ask: bool) -> Result<Zeroizing<Vec<u8>>, Fault> {
        if let Some(password) = self.given()? {
            check_strength(&password)?;
            return Ok(password);
        }
        prepare_to_ask(may_ask)?;
        let password = ask("Password: ")?;
        check_strength(&password)?;
        if password != ask("Again:    ")? {
            return Err(Fault::PasswordsDiffer);
        }
        Ok(password)
    }

    fn given(&self) -> Result<Option<Zeroizing<Vec<u8>>>, Fault> {
        match &self.password_file {
            Some(path) => {
                let unreadable = |error| Fault::Unreadable { path: path.clone(), error };
                read(File::open(path).map_err(unreadable)?, path).map(Some)
            }
            None if self.password_stdin => read(io::stdin().lock(), Path::new("-")).map(Some),
            None => Ok(None),
        }
    }
}

fn check_strength(password: &[u8]) -> Result<(), Fault> {
    // Bytes that are no text are as hard to guess as the letters with these numbers.
    let letters = || password.iter().map(|byte| char::from(*byte)).collect();
    let text = std::str::from_utf8(password).map_or_else(|_| letters(), str::to_owned);
    let text = Zeroizing::new(text);
    let strength = zxcvbn::zxcvbn(&text, &["hither", "hitherd", "backup"]);
    if strength.guesses() >= GUESSES_MIN {
        return Ok(());
    }
    let suggestions = strength.feedback().map(|feedback| feedback.suggestions());
    let suggestions = suggestions.unwrap_or_default().iter().map(ToString::to_string);
    Err(Fault::WeakPassword(suggestions.collect::<Vec<_>>().join(" ")))
}

/// Reads it. One final newline does not belong to it.
fn read(source: impl Read, path: &Path) -> Result<Zeroizing<Vec<u8>>, Fault> {
    // Roomy from the start: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(2 * PASSWORD_BYTES_MAX));
    let enough = PASSWORD_BYTES_MAX as u64 + 2;
    let unreadable = |error| Fault::Unreadable { path: path.to_owned(), error };
    source.take(enough).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    accept(bytes)
}

fn accept(password: Zeroizing<Vec<u8>>) -> Result<Zeroizing<Vec<u8>>, Fault> {
    match password.len() {
        0 => Err(Fault::Arguments("the password is empty".to_owned())),
        1..=PASSWORD_BYTES_MAX => Ok(password),
        _ => Err(Fault::Arguments(format!("a password has at most {PASSWORD_BYTES_MAX} bytes"))),
    }
}

/// Only somebody at a terminal is asked.
fn prepare_to_ask(may_ask: bool) -> Result<(), Fault> {
    if may_ask && io::stdin().is_terminal() && io::stderr().is_terminal() {
        Ok(())
    } else {
        Err(Fault::PasswordFlag)
    }
}

/// Asks without echo. What interrupts comes as a key, so that the terminal is left as it was.
fn ask(prompt: &str) -> Result<Zeroizing<Vec<u8>>, Fault> {
    match rpassword::prompt_password(prompt) {
        Ok(password) => accept(Zeroizing::new(password.into_bytes())),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(Fault::Interrupted),
        Err(error) => Err(Fault::Unreadable { path: "/dev/tty".into(), error }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_final_newline_is_dropped() {
        let of = |text: &[u8]| read(text, Path::new("-")).map(|password| password.to_vec()).ok();
        assert_eq!(of(b"a password\n").as_deref(), Some(&b"a password"[..]));
        assert_eq!(of(b" a password \n\n").as_deref(), Some(&b" a password \n"[..]));
        assert_eq!(of(b"\n"), None);
        assert_eq!(of(&[b'x'; PASSWORD_BYTES_MAX]).map(|password| password.len()), Some(1024));
        assert_eq!(of(&[b'x'; PASSWORD_BYTES_MAX + 1]), None);
    }

    #[test]
    fn a_weak_password_seals_nothing() {
        for weak in [&b"password"[..], b"hitherd backup", b"123456789012", b"2026-11-23"] {
            let refused = check_strength(weak).unwrap_err();
            assert_eq!((refused.code(), refused.exit()), ("weak_password", 12));
        }
        let drawn = [0x9f, 0x03, 0xe2, 0x71, 0xb8, 0x4c, 0xd5, 0x16, 0xfa, 0x60, 0x8d, 0x39];
        for strong in [&b"correct horse battery staple"[..], b"gv7Qm2xTzLp4", &drawn] {
            assert!(check_strength(strong).is_ok());
        }
    }

    #[test]
    fn nobody_is_asked_where_nobody_may_be() {
        let nowhere = PasswordSource { password_file: None, password_stdin: false };
        for asked in [nowhere.current(false), nowhere.chosen(false)] {
            assert!(matches!(asked, Err(Fault::PasswordFlag)));
        }
    }
}
