//! What outlives the demo and leaves nothing of it behind.
//!
//! The sweeper is a process of its own. It owns the folder in which the demo plays, and waits until
//! the demo closes its standard input, which happens however the demo ends: done, failed, panicked,
//! interrupted or killed. Then it stops every process that names the folder, and removes the folder.
//! There is one way out, and every run takes it.

use std::{
    env,
    io::{self, BufRead, BufReader},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::processes;
use crate::failure::{Doing, Failure};

/// The chore's hidden name, by which the demo starts its own program once more.
pub(crate) const SWEEP: &str = "demo-sweep";

/// The folders in this one are people's homes.
pub(super) const HOMES: &str = "homes";

/// How long each way of stopping a process is given before the next, ruder one.
const GRACE: Duration = Duration::from_secs(5);

pub(super) struct Sweeper {
    process: Child,
    folder: PathBuf,
}

impl Sweeper {
    /// In a process group of its own, where Ctrl-C at the terminal does not reach it.
    pub(super) fn start(hither: &Path) -> Result<Self, Failure> {
        let mut process = Command::new(env::current_exe().doing("finding this program")?)
            .arg(SWEEP)
            .arg(hither)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .doing("starting the sweeper")?;
        let mut folder = String::new();
        if let Some(stdout) = process.stdout.take() {
            BufReader::new(stdout).read_line(&mut folder).doing("hearing from the sweeper")?;
        }
        Ok(Self { process, folder: folder.trim_end().into() })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Says so if something had to be forced.
    pub(super) fn sweep(mut self) -> Result<(), Failure> {
        drop(self.process.stdin.take());
        if self.process.wait().doing("waiting for the sweeper")?.success() {
            Ok(())
        } else {
            Err(Failure::new("Cleaning up did not go as it should; see above."))
        }
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        // Here the demo has failed already; what the sweeper has to say it says itself.
        let _ = self.process.wait();
    }
}

/// The sweeper's side: the hidden chore.
pub(crate) fn sweep(hither: &Path) -> Result<ExitCode, Failure> {
    let folder =
        tempfile::Builder::new().prefix("hither").tempdir().doing("making a temporary folder")?;
    println!("{}", folder.path().display());
    io::copy(&mut io::stdin(), &mut io::sink()).doing("waiting for the demo")?;
    let stubborn = stop(hither, folder.path())?;
    folder.close().doing("removing the temporary folder")?;
    if stubborn.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    Err(Failure::new("These did not stop when asked and were forced to:")
        .with(&stubborn.join("\n")))
}

/// Stops all that plays in `folder` and returns what did not heed the proper way.
fn stop(hither: &Path, folder: &Path) -> Result<Vec<String>, Failure> {
    let mut commands = Vec::new();
    for home in folder.join(HOMES).read_dir().into_iter().flatten().flatten() {
        commands.push(
            Command::new(hither)
                .arg("--home")
                .arg(home.path())
                .args(["--no-autostart", "agent", "stop"])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .doing("asking an agent to stop")?,
        );
    }
    for command in &mut commands {
        reap(command, GRACE).doing("waiting for an agent to stop")?;
    }
    let stubborn = linger(folder)?;
    for signal in ["TERM", "KILL"] {
        let left = processes::naming(folder)?;
        if !left.is_empty() {
            processes::signal(signal, &left)?;
            linger(folder)?;
        }
    }
    Ok(stubborn.into_iter().map(|process| process.command).collect())
}

/// What still runs after the time it had to stop by itself.
fn linger(folder: &Path) -> Result<Vec<processes::Process>, Failure> {
    let deadline = Instant::now() + GRACE;
    loop {
        let left = processes::naming(folder)?;
        if left.is_empty() || Instant::now() > deadline {
            return Ok(left);
        }
        thread::sleep(super::PAUSE);
    }
}

fn reap(command: &mut Child, patience: Duration) -> io::Result<()> {
    let deadline = Instant::now() + patience;
    while command.try_wait()?.is_none() && Instant::now() < deadline {
        thread::sleep(super::PAUSE);
    }
    Ok(())
}
