//! The demo's server: `hitherd run` on an empty folder and a free port.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use serde_json::Value;

use super::step::section;
use crate::failure::{Doing, Failure};

const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Server {
    process: Child,
    /// Where it accepts connections.
    pub(super) listen: String,
    /// What a person needs to register: address and fingerprint.
    pub(super) link: String,
}

impl Server {
    pub(super) fn start(hitherd: &Path, folder: &Path) -> Result<Self, Failure> {
        let log = log(folder);
        let mut process = Command::new(hitherd)
            .args(["run", "--listen", "127.0.0.1:0", "--json", "--data"])
            .arg(folder.join("server"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).doing("making the server's log")?)
            .spawn()
            .doing("starting hitherd")?;
        let ready = process.stdout.take().and_then(|stdout| {
            let (heard, wait) = mpsc::channel();
            // Reads on to the end, so that the server never writes into a closed pipe.
            thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    let _ = heard.send(line);
                }
            });
            wait.recv_timeout(PATIENCE).ok()
        });
        let mut server = Self { process, listen: String::new(), link: String::new() };
        let line = ready.unwrap_or_default();
        let event: Value = serde_json::from_str(&line).unwrap_or_default();
        match (&event["event"], event["listen"].as_str(), event["link"].as_str()) {
            (kind, Some(listen), Some(link)) if kind == "ready" => {
                server.listen = listen.to_owned();
                server.link = link.to_owned();
                Ok(server)
            }
            _ => Err(Failure::new("hitherd did not say that it is ready.")
                .with(&section("standard output", &line))),
        }
    }

    /// SIGKILL, so that it has no chance to say goodbye to anyone.
    pub(super) fn kill(&mut self) -> Result<(), Failure> {
        self.process.kill().doing("killing the server")?;
        self.process.wait().doing("killing the server")?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nothing to do if it is dead already; if it cannot be killed, the sweeper says so.
        let _ = self.kill();
    }
}

pub(super) fn log(folder: &Path) -> PathBuf {
    folder.join("server.log")
}
