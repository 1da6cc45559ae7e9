//! A lab: one temporary folder, the processes that live in it, and everything they said.

mod account;
mod conversation;
mod disk;
mod machine;
mod memory;
mod person;
mod process;
mod release;
mod rpc;
mod server;
mod sockets;
mod terminal;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

pub use self::{
    disk::fill,
    machine::Machine,
    memory::memory_of,
    person::{Message, Person, password},
    process::{Outcome, Running, Transcript, binaries, is_running, kill},
    release::Release,
    rpc::Rpc,
    server::{Lie, Server},
    sockets::udp_sockets,
    terminal::Terminal,
};

/// How long a condition may take to come true: generous, because it is only used up by a failure.
pub const DEADLINE: Duration = Duration::from_secs(60);

const POLL: Duration = Duration::from_millis(40);

/// One test's world. Dropping it kills whatever still runs in it and removes its folder; if the
/// test failed, it first prints what every process said.
#[derive(Debug)]
pub struct Lab {
    name: String,
    folder: TempDir,
    transcript: Arc<Transcript>,
    mounts: Mutex<Vec<PathBuf>>,
}

impl Lab {
    /// An empty world. `name` stands above the output of a failing test.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("hither-").tempdir().expect("a temp folder");
        let transcript = Arc::new(Transcript::new(&folder.path().join("said")));
        Self { name: name.to_owned(), folder, transcript, mounts: Mutex::default() }
    }

    /// A path in the lab's folder; nothing is made there.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What was run here so far.
    #[must_use]
    pub fn transcript(&self) -> &Arc<Transcript> {
        &self.transcript
    }

    /// A server with fresh data on a free port, ready for connections.
    #[must_use]
    #[track_caller]
    pub fn server(&self) -> Server {
        self.server_in(&self.path("server"))
    }

    /// The same, with its data in a folder of the caller's choice.
    #[must_use]
    #[track_caller]
    pub fn server_in(&self, data: &Path) -> Server {
        Server::start(&self.transcript, data, &[])
    }

    /// A server with fresh data that listens where it is told to, on any machine of a laboratory.
    #[must_use]
    #[track_caller]
    pub fn server_at(&self, listen: SocketAddr) -> Server {
        Server::start_at(&self.transcript, &self.path("server"), listen, &[])
    }

    /// Somebody with an empty home and a strong password, known to no server yet.
    #[must_use]
    pub fn person(&self, name: &str) -> Person {
        self.person_at(name, &self.path(&format!("home-{name}")))
    }

    /// The same, with a home of the caller's choice.
    #[must_use]
    pub fn person_at(&self, name: &str, home: &Path) -> Person {
        Person::new(&self.transcript, name, home, &password())
    }

    /// People with accounts on `server`, logged in. They register side by side, because each
    /// registration is a second of deliberate work.
    #[must_use]
    #[track_caller]
    pub fn people<const N: usize>(&self, server: &Server, names: [&str; N]) -> [Person; N] {
        let people = names.map(|name| self.person(name));
        thread::scope(|scope| {
            for person in &people {
                scope.spawn(|| person.registers(server));
            }
        });
        people
    }

    /// People as [`Lab::people`] makes them who have all accepted each other and see each other
    /// online.
    #[must_use]
    #[track_caller]
    pub fn friends<const N: usize>(&self, server: &Server, names: [&str; N]) -> [Person; N] {
        let people = self.people(server, names);
        for (met, person) in people.iter().enumerate() {
            for earlier in people.iter().take(met) {
                earlier.befriends(person);
            }
        }
        people
    }

    /// Mounts an empty disk of `kibibytes` in the lab's folder. `None`, with the reason printed,
    /// where the test may not mount.
    #[must_use]
    pub fn small_disk(&self, name: &str, kibibytes: u32) -> Option<PathBuf> {
        let at = self.path(name);
        disk::mount(&at, &format!("size={kibibytes}k,mode=0700")).then(|| self.remember_mount(at))
    }

    /// A folder that cannot be written to, even by root. `None`, with the reason printed, where
    /// there is no way to make one.
    #[must_use]
    pub fn read_only_folder(&self, name: &str) -> Option<PathBuf> {
        let at = self.path(name);
        if !rustix::process::geteuid().is_root() {
            disk::deny_writing(&at);
            return Some(at);
        }
        disk::mount(&at, "size=64k,mode=0700,ro").then(|| self.remember_mount(at))
    }

    /// A machine whose clock can be set and whose disk can be slow. `None`, with the reason printed,
    /// where there is no way to make one.
    #[must_use]
    pub fn machine(&self) -> Option<Machine> {
        Machine::make(self.folder.path())
    }

    fn remember_mount(&self, at: PathBuf) -> PathBuf {
        self.mounts.lock().unwrap().push(at.clone());
        at
    }

    fn print_everything(&self) {
        println!("===== lab {} failed; this is what was said in it", self.name);
        self.transcript.print();
        for file in crate::search::files_below(self.folder.path()) {
            if file.extension().is_some_and(|extension| extension == "log") {
                let text = fs::read(&file).unwrap_or_default();
                process::print_tail(&file.display().to_string(), &String::from_utf8_lossy(&text));
            }
        }
        println!("===== end of lab {}", self.name);
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if thread::panicking() {
            self.print_everything();
        }
        process::kill_everything_naming(self.folder.path());
        for mount in self.mounts.lock().unwrap().drain(..) {
            disk::unmount(&mount);
        }
    }
}

/// Looks again and again until `look` finds something; fails the test when that takes too long.
#[track_caller]
pub fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    until_looking_every(POLL, what, look)
}

/// [`until`] for a condition that yields nothing but its truth.
#[track_caller]
pub fn until_true(what: &str, mut holds: impl FnMut() -> bool) {
    until(what, || holds().then_some(()));
}

#[track_caller]
fn until_looking_every<T>(pause: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {DEADLINE:?} in vain: {what}");
        thread::sleep(pause);
    }
}
