//! The agent: one long-lived process a profile that holds the unlocked session, the only open store and
//! the sockets. Commands ask it for everything over a Unix socket.
//!
//! One task owns all state ([`agent::Agent`]) and drives the protocol; every other task reads from a
//! socket and tells it, or waits for it on behalf of a command.

mod account;
#[allow(clippy::module_inception)]
mod agent;
mod api;
mod archive;
mod devices;
mod disappearing;
mod json;
mod known_servers;
mod lan;
mod lock;
mod locking;
mod logins;
mod messages;
mod net;
mod people;
mod reachability;
mod reconnect;
mod recovery;
mod remedies;
mod rpc;
mod session_file;
mod settle;
mod store;

use std::{fs::File, io::Write, net::SocketAddr, process::ExitCode};

use anyhow::Context as _;
use hither_proto::{neighbour::Pseudonym, node::Conn, ticket::AttemptId};
use tokio::sync::OwnedSemaphorePermit;

use crate::{launch::READY, paths::Profile};
pub(in crate::agent) use agent::Call;

/// What is told to the task that owns the agent's state.
enum ToAgent {
    /// A command wants something done.
    Call(Call),
    /// A direct connection stands.
    Connected(net::Connected),
    /// Somebody is announced on a network of this machine.
    Neighbour { pseudonyms: Vec<Pseudonym>, at: SocketAddr },
    /// The network of this machine is another, or the machine has slept.
    NetworkChanged,
    /// What has come of opening a fresh socket for a second round.
    OpenedAfresh { attempt: AttemptId, opened: Option<net::OpenedAfresh> },
    /// A peer has closed, or has been cut off.
    PeerClosed(Conn),
    /// A peer does not answer.
    PeerSilent(Conn),
    /// A peer has sent a frame, which takes up room in its inbox until it is taken in.
    PeerFrame { conn: Conn, frame: Vec<u8>, room: OwnedSemaphorePermit },
    /// A peer has said something that may wake a path, or a copy of it.
    PeerWakes { conn: Conn, frame: Vec<u8>, room: OwnedSemaphorePermit },
    /// A session has been continued at the server, or cannot be.
    Resumed { epoch: u64, outcome: account::Resumption },
    /// More is known of the translator in front of this machine.
    Surveyed(net::Measured),
    /// Something has come down the connection to the server with this number.
    Server { link: usize, what: net::FromServer },
}

/// Runs the agent of `profile` until it is told to stop. `ready` is written to once commands can connect.
pub(crate) fn run(profile: &Profile, ready: Option<File>) -> anyhow::Result<ExitCode> {
    // Whatever this process makes is for its owner only, the database's helper files included.
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    let _lock = lock::take(profile)?;
    start_log();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("starting the threads of the agent")?;
    runtime.block_on(async {
        let (agent, handle, inbox) = agent::Agent::new(profile)?;
        let listener = rpc::listen(profile)?;
        let answering = rpc::Answering::new();
        let serving = tokio::spawn(rpc::serve(listener, handle, answering.clone()));
        if let Some(mut ready) = ready {
            // Whoever started us may have gone in the meantime; others will come.
            let _ = ready.write_all(READY.as_bytes());
        }
        // Beside the network's tasks: a message that comes is taken in where it was read.
        let agent = tokio::spawn(agent.run(inbox)).await.context("the agent's own task")?;
        // Whoever comes now starts the next agent, and does not wait for this one to say goodbye.
        serving.abort();
        let _ = std::fs::remove_file(profile.socket());
        agent.leave().await;
        answering.finish().await;
        Ok(ExitCode::SUCCESS)
    })
}

/// Errors of ours are worth a line; what peers do is not, unless somebody asks with `HITHER_LOG`.
fn start_log() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("HITHER_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("error"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false);
    // A second start in one process, as in tests, keeps the first log.
    let _ = log.with_writer(|| Log).try_init();
}

/// Standard error, which is the log file of an agent in the background. A full disk costs the line that
/// says so, and not the agent.
struct Log;

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let _ = std::io::stderr().write_all(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
