//! Machines that are not as they should be: the clock is set, the disk is slow.

use std::{
    ffi::OsStr,
    fs,
    io::Write,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

/// What is loaded into a process before its own code, so that it meets these circumstances.
const SHIM: &str = include_str!("machine.c");

/// The circumstances of every process on a machine. They all follow at once when these change.
#[derive(Debug, Clone)]
pub struct Machine {
    shim: PathBuf,
    settings: PathBuf,
}

impl Machine {
    /// A machine that is as it should be. `None`, with the reason printed, where none can be made.
    pub(super) fn make(folder: &Path) -> Option<Self> {
        if !cfg!(all(target_os = "linux", target_pointer_width = "64")) {
            println!("skipped: the circumstances of a process can be changed on 64-bit Linux only");
            return None;
        }
        let machine = Self { shim: folder.join("machine.so"), settings: folder.join("machine") };
        fs::write(&machine.settings, [0; 16]).unwrap();
        let mut compiler = Command::new("cc")
            .args(["-shared", "-fPIC", "-x", "c", "-", "-o"])
            .arg(&machine.shim)
            .stdin(Stdio::piped())
            .spawn()
            .inspect_err(|error| println!("skipped: cc: {error}"))
            .ok()?;
        compiler.stdin.take().unwrap().write_all(SHIM.as_bytes()).unwrap();
        assert!(compiler.wait().unwrap().success(), "the circumstances do not compile");
        Some(machine)
    }

    /// Sets the wall clock so many seconds ahead of the right time; negative is behind.
    pub fn clock_is_ahead(&self, seconds: i64) {
        self.set(0, seconds);
    }

    /// Lets each write of a database wait so long before it is done.
    pub fn writes_take(&self, each: Duration) {
        self.set(8, each.as_nanos().try_into().unwrap());
    }

    fn set(&self, place: u64, value: i64) {
        let file = fs::OpenOptions::new().write(true).open(&self.settings).unwrap();
        file.write_all_at(&value.to_ne_bytes(), place).unwrap();
    }

    pub(super) fn environment(&self) -> [(&str, &OsStr); 2] {
        let settings = self.settings.as_os_str();
        [("LD_PRELOAD", self.shim.as_os_str()), ("HITHER_LAB_MACHINE", settings)]
    }
}
