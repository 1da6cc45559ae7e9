//! Why a chore could not do what it is for, as a sentence for the person who ran it.

use std::{fmt, io};

/// Nothing branches on the cause, so it is kept as text.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }

    /// The same failure, with more for the reader to go by below it.
    pub(crate) fn with(mut self, more: &str) -> Self {
        if !more.is_empty() {
            self.0.push('\n');
            self.0.push_str(more);
        }
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Puts what was being done in front of an error of the operating system.
pub(crate) trait Doing<T> {
    fn doing(self, what: &str) -> Result<T, Failure>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, what: &str) -> Result<T, Failure> {
        self.map_err(|error| Failure(format!("{what}: {error}")))
    }
}
