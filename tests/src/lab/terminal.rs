//! A program at a terminal of its own, with somebody who reads and types.

use std::{
    ffi::OsString,
    fs::File,
    io::{Read, Write},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
};

use rustix::{
    fs::{Mode, OFlags, open},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, tcgetattr},
};

use super::{Person, Server, binaries, until, until_true};

/// A program, and the terminal that it was started at.
#[derive(Debug)]
pub struct Terminal {
    keys: File,
    program: Child,
    shown: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Terminal {
    /// `None`, with the reason printed, where no program can be given a terminal of its own.
    #[track_caller]
    fn start(binary: &str, args: &[OsString]) -> Option<Self> {
        let keys = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&keys).unwrap();
        unlockpt(&keys).unwrap();
        let path = ptsname(&keys, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let screen = File::from(open(path.as_c_str(), flags, Mode::empty()).unwrap());
        let at_screen = || Stdio::from(screen.try_clone().unwrap());
        let started = Command::new("setsid")
            .args(["--ctty", "--wait"])
            .arg(binaries().join(binary))
            .args(args)
            .env_remove("HITHER_HOME")
            .env_remove("HITHER_PROFILE")
            .stdin(at_screen())
            .stdout(at_screen())
            .stderr(at_screen())
            .spawn();
        let program = started.inspect_err(|error| println!("skipped: setsid: {error}")).ok()?;
        let (keys, shown) = (File::from(keys), Arc::<Mutex<Vec<u8>>>::default());
        let (mut screen, seen) = (keys.try_clone().unwrap(), Arc::clone(&shown));
        let reader = thread::spawn(move || {
            let mut bytes = [0; 4096];
            // Reading fails once nobody is left who could write.
            while let Ok(count @ 1..) = screen.read(&mut bytes) {
                seen.lock().unwrap().extend(&bytes[..count]);
            }
        });
        Some(Self { keys, program, shown, reader })
    }

    /// Waits until this is the last that stands on the screen, which asks for something, and types a line.
    #[track_caller]
    pub fn answers(&mut self, prompt: &str, line: &str) {
        until_true(&format!("{prompt:?} at the end of {:?}", self.shown()), || {
            self.shown().ends_with(prompt)
        });
        self.types(line);
    }

    /// The same for what must not be shown: it is typed only once the terminal shows nothing of it, which
    /// comes a moment after the question.
    #[track_caller]
    pub fn answers_unseen(&mut self, prompt: &str, line: &str) {
        until_true(&format!("{prompt:?}, unseen, at the end of {:?}", self.shown()), || {
            let echoes = tcgetattr(&self.keys).unwrap().local_modes.contains(LocalModes::ECHO);
            self.shown().ends_with(prompt) && !echoes
        });
        self.types(line);
    }

    fn types(&mut self, line: &str) {
        self.keys.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// Everything that has stood on the screen.
    #[must_use]
    pub fn shown(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().unwrap()).into_owned()
    }

    /// Waits for the end of the program; its exit code, and everything that stood on the screen.
    #[must_use]
    #[track_caller]
    pub fn ends(mut self) -> (i32, String) {
        let status = until("the end of the program", || self.program.try_wait().unwrap());
        until_true("everything is read", || self.reader.is_finished());
        (status.code().unwrap_or_default(), self.shown())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It fails only if the program has ended by itself.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

impl Person {
    /// Starts a command at a terminal. `None`, with the reason printed, where there can be none.
    #[must_use]
    #[track_caller]
    pub fn types<S: AsRef<std::ffi::OsStr>>(&self, args: &[S]) -> Option<Terminal> {
        let mut all = vec![OsString::from("--home"), self.home().into()];
        all.extend(args.iter().map(|arg| arg.as_ref().to_owned()));
        Terminal::start("hither", &all)
    }
}

impl Server {
    /// Starts an administrator's command on its folder at a terminal. `None`, with the reason printed, where
    /// there can be none.
    #[must_use]
    #[track_caller]
    pub fn administered_at_terminal(&self, args: &[&str]) -> Option<Terminal> {
        let mut all: Vec<OsString> = args.iter().map(OsString::from).collect();
        all.extend(["--data".into(), self.data().into()]);
        Terminal::start("hitherd", &all)
    }
}
