//! Where a password comes from, and whether a new one is strong enough.

use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal as _, Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use clap::Args;
use zeroize::Zeroizing;

use crate::fault::{Fault, Usage};
use crate::{interrupt, text};

/// The flags that answer for somebody who cannot be asked.
#[derive(Debug, Args)]
pub(crate) struct PasswordArgs {
    /// Read the password from this file
    #[arg(long, value_name = "PATH")]
    password_file: Option<PathBuf>,

    /// Read the password from standard input
    #[arg(long, conflicts_with = "password_file")]
    password_stdin: bool,
}

/// The flag for the password that is to take the place of the present one.
#[derive(Debug, Args)]
pub(crate) struct NewPasswordArgs {
    /// Read the new password from this file
    #[arg(long, value_name = "PATH")]
    new_password_file: Option<PathBuf>,
}

/// The flags that answer with a recovery code.
#[derive(Debug, Args)]
pub(crate) struct CodeArgs {
    /// Read the recovery code from this file
    #[arg(long, value_name = "PATH")]
    code_file: Option<PathBuf>,

    /// Read the recovery code from standard input
    #[arg(long, conflicts_with = "code_file")]
    code_stdin: bool,
}

const PASSWORD_BYTES_MAX: usize = 1_024;

/// What an attacker who has stolen the server's files must at least be made to guess. With the cost
/// of one guess at a second of one core, this many take a single core three centuries.
const GUESSES_MIN: u64 = 10_000_000_000;

/// The password of an account that exists.
pub(crate) fn current(args: &PasswordArgs, may_ask: bool) -> Result<Zeroizing<String>, Fault> {
    match from_flags(args)? {
        Some(password) => Ok(password),
        None => {
            prepare_to_ask(may_ask)?;
            ask("Password: ")
        }
    }
}

/// The password of an account about to be made for `user`, refused if it is weak.
pub(crate) fn new(
    args: &PasswordArgs,
    may_ask: bool,
    user: &str,
) -> Result<Zeroizing<String>, Fault> {
    if let Some(password) = from_flags(args)? {
        check_strength(&password, user)?;
        return Ok(password);
    }
    prepare_to_ask(may_ask)?;
    choose(["Password: ", "Again:    "], user)
}

/// The password that is to take the place of `user`'s present one, refused if it is weak.
pub(crate) fn replacement(
    args: &NewPasswordArgs,
    may_ask: bool,
    user: &str,
) -> Result<Zeroizing<String>, Fault> {
    if let Some(path) = &args.new_password_file {
        let file = File::open(path).map_err(|error| unreadable(path, &error))?;
        let password = read(file, path)?;
        check_strength(&password, user)?;
        return Ok(password);
    }
    prepare_to_ask(may_ask).map_err(|_| Usage::NewPasswordFlag)?;
    choose(["New password: ", "Again:        "], user)
}

/// The recovery code of somebody who has forgotten the password.
pub(crate) fn code(args: &CodeArgs, may_ask: bool) -> Result<Zeroizing<String>, Fault> {
    let CodeArgs { code_file, code_stdin } = args;
    let (password_file, password_stdin) = (code_file.clone(), *code_stdin);
    match from_flags(&PasswordArgs { password_file, password_stdin })? {
        Some(code) => Ok(code),
        None => {
            prepare_to_ask(may_ask).map_err(|_| Usage::CodeFlag)?;
            ask("Recovery code: ")
        }
    }
}

fn choose([first, second]: [&str; 2], user: &str) -> Result<Zeroizing<String>, Fault> {
    let password = ask(first)?;
    check_strength(&password, user)?;
    if password != ask(second)? {
        return Err(Usage::PasswordsDiffer.into());
    }
    Ok(password)
}

/// Asks for the name of an account that is to be deleted, so that nobody deletes one by a slip.
pub(crate) fn confirm_deletion(may_ask: bool, user: &str) -> Result<(), Fault> {
    prepare_to_ask(may_ask).map_err(|_| Usage::DeletionFlag)?;
    let mut typed = String::new();
    let _quiet = interrupt::TERMINAL.lock().unwrap_or_else(PoisonError::into_inner);
    let prompted = io::stderr().write_all(text::confirm_deletion(user).as_bytes());
    prompted.map_err(|error| Fault::Output { error: error.kind() })?;
    io::stdin().read_line(&mut typed).map_err(|error| unreadable(Path::new("/dev/tty"), &error))?;
    match typed.trim() == user {
        true => Ok(()),
        false => Err(Usage::OtherName { name: user.to_owned() }.into()),
    }
}

fn check_strength(password: &str, user: &str) -> Result<(), Fault> {
    let strength = zxcvbn::zxcvbn(password, &[user, "hither"]);
    if strength.guesses() >= GUESSES_MIN {
        return Ok(());
    }
    let feedback = strength.feedback();
    Err(Fault::WeakPassword {
        warning: feedback.and_then(|feedback| feedback.warning()),
        suggestions: feedback.map(|feedback| feedback.suggestions().to_vec()).unwrap_or_default(),
    })
}

fn from_flags(args: &PasswordArgs) -> Result<Option<Zeroizing<String>>, Fault> {
    if let Some(path) = &args.password_file {
        let file = File::open(path).map_err(|error| unreadable(path, &error))?;
        return read(file, path).map(Some);
    }
    if args.password_stdin {
        return read(io::stdin().lock(), Path::new("-")).map(Some);
    }
    Ok(None)
}

fn read(source: impl Read, path: &Path) -> Result<Zeroizing<String>, Fault> {
    // Roomy from the start: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(2 * PASSWORD_BYTES_MAX));
    let enough = PASSWORD_BYTES_MAX as u64 + 2;
    source.take(enough).read_to_end(&mut bytes).map_err(|error| unreadable(path, &error))?;
    let password = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(Usage::PasswordTooLong.into());
    }
    let password = std::str::from_utf8(password).map_err(|_| Usage::PasswordNotUtf8)?;
    accept(Zeroizing::new(password.to_owned()))
}

fn prepare_to_ask(may_ask: bool) -> Result<(), Fault> {
    if !may_ask || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Usage::PasswordFlag.into());
    }
    interrupt::watch(|| ()).map_err(|error| unreadable(Path::new("/dev/tty"), &error))
}

fn ask(prompt: &str) -> Result<Zeroizing<String>, Fault> {
    let _quiet = interrupt::TERMINAL.lock().unwrap_or_else(PoisonError::into_inner);
    match rpassword::prompt_password(prompt) {
        Ok(password) if password.len() > PASSWORD_BYTES_MAX => {
            drop(Zeroizing::new(password));
            Err(Usage::PasswordTooLong.into())
        }
        Ok(password) => accept(Zeroizing::new(password)),
        Err(error) if error.kind() == ErrorKind::Interrupted => Err(Fault::Interrupted),
        Err(error) => Err(unreadable(Path::new("/dev/tty"), &error)),
    }
}

fn accept(password: Zeroizing<String>) -> Result<Zeroizing<String>, Fault> {
    match password.is_empty() {
        true => Err(Usage::PasswordEmpty.into()),
        false => Ok(password),
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Fault {
    Usage::PasswordFile { path: path.to_owned(), error: error.kind() }.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use zxcvbn::feedback::Warning;

    fn refused(password: &str, user: &str) -> Option<Option<Warning>> {
        match check_strength(password, user) {
            Ok(()) => None,
            Err(Fault::WeakPassword { warning, .. }) => Some(warning),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn weak_passwords_are_refused() {
        let weak = [
            "",
            "password",
            "123456789012",
            "qwertyuiop",
            "Tr0ub4dour&3",
            "aaaaaaaaaaaaaaaaaaaa",
            "2026-11-23",
            "alice.liddell.1852",
            "hither-hither",
        ];
        for password in weak {
            assert!(refused(password, "alice.liddell").is_some(), "{password:?}");
        }
        let strong = ["correct horse battery staple", "gv7Qm2xTzLp4", "Zaunkönig frisst Mörtel"];
        for password in strong {
            assert_eq!(refused(password, "alice.liddell"), None, "{password:?}");
        }
    }

    #[test]
    fn a_refusal_says_why() {
        assert_eq!(refused("password", "alice"), Some(Some(Warning::ThisIsATop10Password)));
    }

    #[test]
    fn ones_own_name_adds_nothing() {
        let own = zxcvbn::zxcvbn("zephyrine-quux-42", &["zephyrine-quux"]).guesses();
        let foreign = zxcvbn::zxcvbn("zephyrine-quux-42", &[]).guesses();
        assert!(own < foreign);
        assert!(refused("zephyrine-quux-42", "zephyrine-quux").is_some());
    }

    #[test]
    fn a_file_holds_the_password_and_at_most_one_newline_more() {
        let longest = "x".repeat(PASSWORD_BYTES_MAX);
        let table: [(&[u8], Result<&str, Usage>); 9] = [
            (b"secret", Ok("secret")),
            (b"secret\n", Ok("secret")),
            (b"secret\n\n", Ok("secret\n")),
            (b" secret ", Ok(" secret ")),
            (b"", Err(Usage::PasswordEmpty)),
            (b"\n", Err(Usage::PasswordEmpty)),
            (b"\xff", Err(Usage::PasswordNotUtf8)),
            (&[longest.as_bytes(), b"\n"].concat(), Ok(longest.as_str())),
            (&[longest.as_bytes(), b"xx"].concat(), Err(Usage::PasswordTooLong)),
        ];
        for (bytes, expected) in table {
            let got = read(bytes, Path::new("-")).map(|password| password.to_string());
            assert_eq!(got, expected.map(str::to_owned).map_err(Fault::Usage));
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let path = PathBuf::from("/no/such/file");
        let args = PasswordArgs { password_file: Some(path.clone()), password_stdin: false };
        let error = ErrorKind::NotFound;
        let fault = Fault::Usage(Usage::PasswordFile { path, error });
        assert_eq!(current(&args, false), Err(fault));
    }

    #[test]
    fn nobody_is_asked_where_nobody_may_be() {
        let args = PasswordArgs { password_file: None, password_stdin: false };
        assert_eq!(current(&args, false), Err(Fault::Usage(Usage::PasswordFlag)));
    }
}
