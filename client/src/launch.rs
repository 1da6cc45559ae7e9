//! Starting the agent in the background, and seeing it end.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use serde_json::Value;

use crate::fault::{Fault, NoAgent, REASON_BUSY, Report};
use crate::paths::Profile;
use crate::rpc::Agent;

/// What the agent says on its standard output once commands can connect. If that never happens it
/// says why, in the shape of a command's error, and ends.
pub(crate) const READY: &str = "ready\n";

const PATIENCE: Duration = Duration::from_secs(10);

/// How long an agent that another command is starting, or stopping, gets before we try again.
const TURN: Duration = Duration::from_millis(500);

const PAUSE: Duration = Duration::from_millis(5);

/// Starts the agent of `profile` and connects to it. If another command does the same at the same
/// time, both get the one agent that won.
pub(crate) fn start(profile: &Profile) -> Result<Agent, Fault> {
    profile.prepare()?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let busy = match announced(spawn(profile)?, profile, deadline) {
            Ok(()) => None,
            Err(Fault::Agent(report)) if report.reason.as_deref() == Some(REASON_BUSY) => {
                Some(Fault::Agent(report))
            }
            Err(fault) => return Err(fault),
        };
        let turn = Instant::now() + TURN;
        while Instant::now() < turn {
            if let Some(agent) = Agent::connect(profile)? {
                return Ok(agent);
            }
            if Instant::now() >= deadline {
                let silent = NoAgent::Silent { log: profile.log() };
                return Err(busy.unwrap_or(silent.into()));
            }
            thread::sleep(PAUSE);
        }
    }
}

/// Waits until the agent of `profile` has ended. Its lock falls with its last breath, however it ends.
pub(crate) fn wait_for_end(profile: &Profile) -> Result<(), Fault> {
    let path = profile.lock();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let lock = match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            other => other.map_err(|error| Fault::file(&path, &error))?,
        };
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockShared) {
            Ok(()) => return Ok(()),
            Err(Errno::WOULDBLOCK) if Instant::now() < deadline => thread::sleep(PAUSE),
            Err(Errno::WOULDBLOCK) => return Err(NoAgent::Silent { log: profile.log() }.into()),
            Err(error) => return Err(Fault::file(&path, &error.into())),
        }
    }
}

fn spawn(profile: &Profile) -> Result<ChildStdout, Fault> {
    let program =
        std::env::current_exe().map_err(|error| Fault::file("hither".as_ref(), &error))?;
    let log = profile.log();
    let stderr = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(&log)
        .map_err(|error| Fault::file(&log, &error))?;
    let mut command = Command::new(&program);
    // An empty --home overrules the variable, and the agent must not follow it either.
    command.env_remove("HITHER_HOME");
    if let Some(home) = &profile.home {
        command.arg("--home").arg(home);
    }
    // A name may begin with a dash, so it is tied to its flag.
    command.arg(format!("--profile={}", profile.name)).args(["agent", "run", "--announce"]);
    // The agent must hold no folder busy, and a Ctrl-C meant for this command must not reach it.
    command.current_dir("/").process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
    let child = command.spawn().map_err(|error| Fault::file(&program, &error))?;
    child.stdout.ok_or(Fault::Internal { log })
}

/// Waits for the agent's first line.
fn announced(stdout: ChildStdout, profile: &Profile, deadline: Instant) -> Result<(), Fault> {
    let (sender, receiver) = mpsc::channel();
    // A pipe cannot be read with a deadline. If it passes, the thread ends with the process.
    thread::spawn(move || {
        let mut line = String::new();
        let read = BufReader::new(stdout.take(64 << 10)).read_line(&mut line);
        // The receiver has gone if the deadline has passed.
        let _ = sender.send(read.map(|_| line));
    });
    let left = deadline.saturating_duration_since(Instant::now());
    let silent = || Fault::from(NoAgent::Silent { log: profile.log() });
    let line = receiver.recv_timeout(left).map_err(|_| silent())?;
    let line = line.map_err(|_| silent())?;
    if line == READY {
        return Ok(());
    }
    match serde_json::from_str::<Value>(&line) {
        Ok(line) => Err(Fault::Agent(Report::from_json(&line["error"]))),
        Err(_) => Err(Fault::Internal { log: profile.log() }),
    }
}
