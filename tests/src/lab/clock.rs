//! Wall clocks that are set: forth, back, and while an agent runs.

use std::{
    ffi::OsStr,
    fs,
    io::Write,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What is loaded into a process before its own code, so that it reads the clock from there.
const SHIM: &str = include_str!("clock.c");

/// A wall clock. Every process that has it follows at once when it is set.
#[derive(Debug, Clone)]
pub struct Clock {
    shim: PathBuf,
    seconds: PathBuf,
}

impl Clock {
    /// A clock that is right. `None`, with the reason printed, where none can be made.
    pub(super) fn make(folder: &Path) -> Option<Self> {
        if !cfg!(target_os = "linux") {
            println!("skipped: the clock of a process can be set on Linux only");
            return None;
        }
        let clock = Self { shim: folder.join("clock.so"), seconds: folder.join("seconds") };
        clock.is_ahead(0);
        let mut compiler = Command::new("cc")
            .args(["-shared", "-fPIC", "-x", "c", "-", "-o"])
            .arg(&clock.shim)
            .stdin(Stdio::piped())
            .spawn()
            .inspect_err(|error| println!("skipped: cc: {error}"))
            .ok()?;
        compiler.stdin.take().unwrap().write_all(SHIM.as_bytes()).unwrap();
        assert!(compiler.wait().unwrap().success(), "the clock does not compile");
        Some(clock)
    }

    /// Sets it so many seconds ahead of the right time; negative is behind.
    pub fn is_ahead(&self, seconds: i64) {
        let mut options = fs::OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).open(&self.seconds).unwrap();
        file.write_all_at(&seconds.to_ne_bytes(), 0).unwrap();
    }

    pub(super) fn environment(&self) -> [(&str, &OsStr); 2] {
        [("LD_PRELOAD", self.shim.as_os_str()), ("HITHER_LAB_CLOCK", self.seconds.as_os_str())]
    }
}
