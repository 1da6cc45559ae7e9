//! `rpc`: the agent's JSON-RPC on standard input and output, for scripts, containers and ssh.

use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::Context;
use crate::fault::{Fault, NoAgent};

pub(super) fn run(context: &Context) -> Result<(), Fault> {
    let socket = context.profile.socket();
    let mut from_agent = context.agent()?.into_stream();
    from_agent.set_read_timeout(None).map_err(|error| Fault::file(socket, &error))?;
    let to_agent = from_agent.try_clone().map_err(|error| Fault::file(socket, &error))?;
    let finished = Arc::new(AtomicBool::new(false));
    let asked_all = Arc::clone(&finished);
    thread::spawn(move || forward_requests(to_agent, &asked_all));
    match io::copy(&mut from_agent, &mut io::stdout().lock()) {
        Ok(_) if finished.load(Ordering::SeqCst) => Ok(()),
        Ok(_) => Err(NoAgent::Lost { log: context.profile.log() }.into()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Fault::OutputClosed),
        Err(error) => Err(Fault::Output { error: error.kind() }),
    }
}

fn forward_requests(mut to_agent: UnixStream, finished: &AtomicBool) {
    // Either end may go first. What the agent still answers is read by the other thread.
    let _ = io::copy(&mut io::stdin().lock(), &mut to_agent);
    finished.store(true, Ordering::SeqCst);
    let _ = to_agent.shutdown(Shutdown::Write);
}
