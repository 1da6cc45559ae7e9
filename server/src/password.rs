//! Where the password of a backup comes from: never from an argument or the environment.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use clap::Args;
use zeroize::Zeroizing;

use crate::fault::Fault;

const PASSWORD_BYTES_MAX: usize = 1024;

/// The flags that name it.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct PasswordSource {
    /// Read the password from this file.
    #[arg(long, value_name = "PATH")]
    password_file: Option<PathBuf>,
    /// Read the password from standard input.
    #[arg(long)]
    password_stdin: bool,
}

impl PasswordSource {
    /// Reads it. One final newline does not belong to it.
    pub(crate) fn read(&self) -> Result<Zeroizing<Vec<u8>>, Fault> {
        match &self.password_file {
            Some(path) => {
                let unreadable = |error| Fault::Unreadable { path: path.clone(), error };
                read(File::open(path).map_err(unreadable)?, path)
            }
            None => read(io::stdin().lock(), Path::new("-")),
        }
    }
}

fn read(source: impl Read, path: &Path) -> Result<Zeroizing<Vec<u8>>, Fault> {
    // Roomy from the start: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(2 * PASSWORD_BYTES_MAX));
    let enough = PASSWORD_BYTES_MAX as u64 + 2;
    let unreadable = |error| Fault::Unreadable { path: path.to_owned(), error };
    source.take(enough).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    match bytes.len() {
        0 => Err(Fault::Arguments("the password is empty".to_owned())),
        1..=PASSWORD_BYTES_MAX => Ok(bytes),
        _ => Err(Fault::Arguments(format!("a password has at most {PASSWORD_BYTES_MAX} bytes"))),
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
}
