//! A `hitherd` under test: started, killed, started again, looked into.

use std::{
    ffi::{OsStr, OsString},
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use rusqlite::Connection;
use rustix::process::Signal;
use serde_json::Value;

use super::{Machine, Outcome, Running, Transcript, until_true};

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
    metrics: Option<SocketAddr>,
    machine: Option<Machine>,
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
        Self::of(transcript, data, launch(transcript, data, listen, env, &[]))
    }

    /// A server that listens at this very address.
    #[track_caller]
    pub(crate) fn listening(transcript: &Arc<Transcript>, data: &Path, at: SocketAddr) -> Self {
        Self::of(transcript, data, launch(transcript, data, at, &[], &[]))
    }

    /// A server that logs as much as it can, for tests that search the log.
    #[must_use]
    #[track_caller]
    pub fn talkative(transcript: &Arc<Transcript>, data: &Path) -> Self {
        Self::start(transcript, data, &[("RUST_LOG", OsStr::new("trace"))])
    }

    /// A server in whose configuration file this stands, on a machine of its own if need be, started with
    /// these flags.
    #[must_use]
    #[track_caller]
    pub fn configured(
        transcript: &Arc<Transcript>,
        data: &Path,
        config: &str,
        machine: Option<&Machine>,
        flags: &[&str],
    ) -> Self {
        let args = ["init".into(), "--data".into(), data.into(), "--json".into()];
        transcript.start("hitherd", &args, &[], None).wait().done();
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let env = machine.map(|machine| machine.environment().to_vec()).unwrap_or_default();
        write_config(data, config);
        let ready = launch(transcript, data, free, &env, flags);
        Self { machine: machine.cloned(), ..Self::of(transcript, data, ready) }
    }

    fn of(transcript: &Arc<Transcript>, data: &Path, ready: Ready) -> Self {
        let Ready { process, address, link, metrics } = ready;
        Self {
            transcript: Arc::clone(transcript),
            data: data.to_owned(),
            address,
            link,
            metrics,
            machine: None,
            process: Some(process),
            log: String::new(),
        }
    }

    /// Changes its configuration file, which it may or may not notice.
    pub fn is_configured(&self, config: &str) {
        write_config(&self.data, config);
    }

    /// Sends it a signal, after which it goes on.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        self.process.as_ref().expect("it runs").signal(signal);
    }

    /// Asks it to read its configuration again (SIGHUP), and waits until it has logged `said` once more.
    #[track_caller]
    pub fn reloads(&self, said: &str) {
        let count = || self.log().matches(said).count();
        let before = count();
        self.signal(Signal::HUP);
        until_true(&format!("the log says: {said}"), || count() > before);
    }

    /// A page of its monitoring port: status and body. `None` if nobody answers there.
    #[must_use]
    pub fn page(&self, path: &str) -> Option<(u16, String)> {
        let address = self.metrics.expect("a monitoring port");
        let mut stream = TcpStream::connect(address).ok()?;
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: here\r\n\r\n").as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
        Some((status, body.to_owned()))
    }

    /// What it has counted under this name, labels included.
    #[must_use]
    #[track_caller]
    pub fn counted(&self, series: &str) -> f64 {
        let (status, page) = self.page("/metrics").expect("metrics");
        assert_eq!(status, 200, "{page}");
        let mut lines = page.lines().filter_map(|line| line.rsplit_once(' '));
        let (_, value) = lines.find(|(name, _)| *name == series).expect(series);
        value.parse().unwrap()
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process.
    #[must_use]
    #[track_caller]
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("it runs").pid()
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

    /// Starts it again with the same data on the same port, on the same machine.
    #[track_caller]
    pub fn starts_again(&mut self) {
        assert!(self.process.is_none(), "it still runs");
        let env = self.machine.as_ref().map(Machine::environment);
        let env = env.as_ref().map_or(&[][..], |env| &env[..]);
        let Ready { process, address, link, metrics } =
            launch(&self.transcript, &self.data, self.address, env, &[]);
        assert_eq!(address, self.address, "it listens where it was told to");
        (self.process, self.link, self.metrics) = (Some(process), link, metrics);
    }

    /// Everything that it has logged and printed since it was first started.
    #[must_use]
    pub fn log(&self) -> String {
        let now = self.process.as_ref().map(Running::said).unwrap_or_default();
        format!("{}{now}", self.log)
    }

    /// Runs an administrator's command with `--json` on its folder, whether it runs or not.
    #[track_caller]
    pub fn administers(&self, args: &[&str]) -> Outcome {
        let mut all: Vec<OsString> = args.iter().map(OsString::from).collect();
        all.extend(["--data".into(), self.data.clone().into(), "--json".into()]);
        self.transcript.start("hitherd", &all, &[], None).wait()
    }

    /// From now on it has its data in another folder.
    #[track_caller]
    pub fn moves_to(&mut self, data: &Path) {
        assert!(self.process.is_none(), "it still runs");
        self.data = data.to_owned();
    }

    /// Tries to start, and returns how that ended.
    #[track_caller]
    pub fn tries_to_start(&self) -> Outcome {
        self.administers(&["run", "--listen", &self.address.to_string()])
    }

    /// Waits until it has ended by itself.
    #[track_caller]
    pub fn ends(&mut self) -> Outcome {
        self.process.take().expect("it runs").wait()
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

fn write_config(data: &Path, config: &str) {
    fs::write(data.join("hitherd.toml"), config).unwrap();
}

/// A process that accepts connections, and what it says of itself.
struct Ready {
    process: Running,
    address: SocketAddr,
    link: String,
    metrics: Option<SocketAddr>,
}

#[track_caller]
fn launch(
    transcript: &Transcript,
    data: &Path,
    listen: SocketAddr,
    env: &[(&str, &OsStr)],
    flags: &[&str],
) -> Ready {
    let mut args: Vec<OsString> = vec![
        "run".into(),
        "--data".into(),
        data.into(),
        "--listen".into(),
        listen.to_string().into(),
        "--json".into(),
    ];
    args.extend(flags.iter().map(OsString::from));
    let mut process = transcript.start("hitherd", &args, env, None);
    let line = process.lines(1).remove(0);
    let ready: Value = serde_json::from_str(&line).expect("one object on the first line");
    assert_eq!((&ready["v"], &ready["event"]), (&1.into(), &"ready".into()), "{line}");
    let address = |key: &str| ready[key].as_str().and_then(|text| text.parse().ok());
    Ready {
        process,
        address: address("listen").expect("an address"),
        link: ready["link"].as_str().expect("a link").to_owned(),
        metrics: address("metrics"),
    }
}
