//! A `hitherd` under test: started, killed, started again, looked into.

use std::{
    ffi::{OsStr, OsString},
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use rusqlite::Connection;
use rustix::process::Signal;
use serde_json::Value;

use super::{Outcome, Running, Transcript};

/// What a malicious server says about somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// Somebody else's keys under this name.
    Keys,
    /// Somebody else's account under this name.
    Account,
}

/// A server with a data folder, which outlives the process, and the process while there is one.
#[derive(Debug)]
pub struct Server {
    transcript: Arc<Transcript>,
    data: PathBuf,
    address: SocketAddr,
    link: String,
    process: Option<Running>,
    log: String,
}

impl Server {
    /// Starts a server on a free port of loopback and waits until it accepts connections.
    #[track_caller]
    pub(crate) fn start(transcript: &Arc<Transcript>, data: &Path, env: &[(&str, &OsStr)]) -> Self {
        Self::start_at(transcript, data, SocketAddr::from(([127, 0, 0, 1], 0)), env)
    }

    /// The same, listening where it is told to.
    #[track_caller]
    pub(crate) fn start_at(
        transcript: &Arc<Transcript>,
        data: &Path,
        listen: SocketAddr,
        env: &[(&str, &OsStr)],
    ) -> Self {
        let (process, address, link) = launch(transcript, data, listen, env);
        Self {
            transcript: Arc::clone(transcript),
            data: data.to_owned(),
            address,
            link,
            process: Some(process),
            log: String::new(),
        }
    }

    /// A server that logs as much as it can, for tests that search the log.
    #[must_use]
    #[track_caller]
    pub fn talkative(transcript: &Arc<Transcript>, data: &Path) -> Self {
        Self::start(transcript, data, &[("RUST_LOG", OsStr::new("trace"))])
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The link it announced.
    #[must_use]
    pub fn link(&self) -> &str {
        &self.link
    }

    /// A link to another address that pins this server's identity.
    #[must_use]
    pub fn link_at(&self, address: SocketAddr) -> String {
        let (place, fingerprint) = self.link.split_once('#').expect("a fingerprint in the link");
        let place = place.split_once("://").expect("a scheme in the link").1;
        let invite = place.split_once('/').map(|(_, invite)| format!("/{invite}"));
        format!("hither://{address}{}#{fingerprint}", invite.unwrap_or_default())
    }

    /// The part of the link that pins the identity.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        self.link.split_once('#').expect("a fingerprint in the link").1
    }

    /// The folder with everything that it keeps.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Kills it (SIGKILL), as a power failure would.
    #[track_caller]
    pub fn dies(&mut self) {
        let killed = self.end(Signal::KILL).exit;
        assert_eq!(killed, 128 + 9, "it ran until it was killed");
    }

    /// Asks it to stop (SIGTERM) and returns how it did.
    #[track_caller]
    pub fn stops(&mut self) -> Outcome {
        self.end(Signal::TERM)
    }

    /// Interrupts it (SIGINT) and returns how it ended.
    #[track_caller]
    pub fn is_interrupted(&mut self) -> Outcome {
        self.end(Signal::INT)
    }

    /// Starts it again with the same data on the same port.
    #[track_caller]
    pub fn starts_again(&mut self) {
        assert!(self.process.is_none(), "it still runs");
        let (process, address, link) = launch(&self.transcript, &self.data, self.address, &[]);
        assert_eq!(address, self.address, "it listens where it was told to");
        (self.process, self.link) = (Some(process), link);
    }

    /// Everything that it has logged and printed since it was first started.
    #[must_use]
    pub fn log(&self) -> String {
        let now = self.process.as_ref().map(Running::said).unwrap_or_default();
        format!("{}{now}", self.log)
    }

    /// Opens its database. Nothing but tests does that, and only of a server that is not running.
    #[must_use]
    #[track_caller]
    pub fn database(&self) -> Connection {
        assert!(self.process.is_none(), "its database is its own while it runs");
        Connection::open(database_file(&self.data)).unwrap()
    }

    /// Makes a folder from which a second server with the same keys can be started.
    #[track_caller]
    pub fn copy_data(&self, to: &Path) {
        assert!(self.process.is_none(), "its files are its own while it runs");
        fs::create_dir(to).unwrap();
        fs::set_permissions(to, fs::Permissions::from_mode(0o700)).unwrap();
        for file in crate::search::files_below(&self.data) {
            let copy = to.join(file.strip_prefix(&self.data).unwrap());
            fs::create_dir_all(copy.parent().unwrap()).unwrap();
            fs::copy(file, copy).unwrap();
        }
    }

    /// Makes the stopped server lie about `name`: what it says comes from the account of that name
    /// on another server. With `Lie::Keys` it only serves the other's keys; with `Lie::Account` the
    /// other can log in here, too.
    #[track_caller]
    pub fn swaps_account(&self, name: &str, other: &Self, lie: Lie) {
        assert!(other.process.is_none(), "the other's database is its own while it runs");
        let database = self.database();
        let theirs = database_file(&other.data);
        database.execute("ATTACH DATABASE ?1 AS other", [theirs.to_str().unwrap()]).unwrap();
        let columns = match lie {
            Lie::Keys => "entry".to_owned(),
            Lie::Account => database
                .query_row(
                    "SELECT group_concat(name) FROM pragma_table_info('account')
                     WHERE pk = 0 AND name <> 'name'",
                    [],
                    |row| row.get(0),
                )
                .unwrap(),
        };
        let swap = format!(
            "UPDATE account SET ({columns}) =
             (SELECT {columns} FROM other.account WHERE name = ?1) WHERE name = ?1"
        );
        assert_eq!(database.execute(&swap, [name]), Ok(1), "one account changed");
    }

    #[track_caller]
    fn end(&mut self, signal: Signal) -> Outcome {
        let process = self.process.take().expect("it runs");
        process.signal(signal);
        let outcome = process.wait();
        self.log.push_str(&outcome.stdout);
        self.log.push_str(&outcome.stderr);
        outcome
    }
}

#[track_caller]
fn database_file(data: &Path) -> PathBuf {
    let [database] = crate::search::databases_below(data).try_into().expect("one database");
    database
}

#[track_caller]
fn launch(
    transcript: &Transcript,
    data: &Path,
    listen: SocketAddr,
    env: &[(&str, &OsStr)],
) -> (Running, SocketAddr, String) {
    let args: [OsString; 6] = [
        "run".into(),
        "--data".into(),
        data.into(),
        "--listen".into(),
        listen.to_string().into(),
        "--json".into(),
    ];
    let mut process = transcript.start("hitherd", &args, env, None);
    let line = process.lines(1).remove(0);
    let ready: Value = serde_json::from_str(&line).expect("one object on the first line");
    assert_eq!((&ready["v"], &ready["event"]), (&1.into(), &"ready".into()), "{line}");
    let address = ready["listen"].as_str().and_then(|text| text.parse().ok()).expect("an address");
    (process, address, ready["link"].as_str().expect("a link").to_owned())
}
