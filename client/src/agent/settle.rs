//! Carrying out what the node asks for: stores first, all of a batch in one transaction, and then whatever
//! may be seen outside; and going on from the disk when it did not take them.

use std::time::Duration;

use hither_proto::{
    crypto::rng::Rng,
    node::{Event, Input, Output},
};

use super::{
    agent::{Agent, Notice, unix_now},
    store::StoreError,
};
use crate::fault::Fault;

/// How long a disk that did not take a change is left alone.
pub(super) const DISK_PAUSE: Duration = Duration::from_secs(3);

impl Agent {
    /// Carries out everything that the node asks for.
    pub(super) fn settle(&mut self) -> Result<(), Fault> {
        let now = self.now();
        loop {
            let Some(account) = &mut self.account else { return Ok(()) };
            let mut changes = Vec::new();
            let (mut told, mut rest) = (Vec::new(), Vec::new());
            while let Some(output) = account.node.poll(now) {
                match output {
                    Output::Store(change) => changes.push(change),
                    // It is on the other's disk, whatever becomes of ours.
                    Output::Event(event @ Event::Delivered(..)) => told.push(event),
                    output => rest.push(output),
                }
            }
            let read = std::mem::take(&mut account.read);
            if changes.is_empty() && read.is_empty() && rest.is_empty() && told.is_empty() {
                return Ok(());
            }
            told.into_iter().for_each(|event| self.notify(Notice::Node(event)));
            let Some(account) = &mut self.account else { return Ok(()) };
            if !changes.is_empty() || !read.is_empty() {
                match account.store.apply(unix_now(), &changes, &read) {
                    Ok(applied) => {
                        account.trouble = None;
                        account.follow_store(&changes);
                        if applied.received || applied.noted {
                            self.notify(Notice::Received);
                        }
                    }
                    Err(error) => return Err(self.start_over(&error)),
                }
            }
            for output in rest {
                self.perform(output);
            }
        }
    }

    fn perform(&mut self, output: Output) {
        let now = self.now();
        let Some(account) = &mut self.account else { return };
        match output {
            Output::CloseDoor { attempt, keep } => self.peers.close_door(attempt, keep),
            Output::ClosePeer(conn) => self.peers.close(conn),
            Output::Dial { attempt, door } => {
                let rng = Rng::from_seed(self.rng.secret());
                self.peers.dial(attempt, door, rng);
            }
            Output::Event(event) => {
                if event == Event::TakenOver {
                    account.end(now);
                }
                self.notify(Notice::Node(event));
            }
            Output::OpenDoor { attempt, knock } => {
                let towards = account.server.as_ref().map(|server| server.remote);
                match self.peers.open_door(attempt, knock, towards) {
                    Ok((certificate, candidates)) => {
                        self.handle(Input::DoorOpened { attempt, certificate, candidates });
                    }
                    // The attempt runs into its deadline.
                    Err(error) => tracing::error!(%error, "a door could not be opened"),
                }
            }
            Output::SendPeer { conn, frame } => self.peers.send(conn, frame),
            Output::SendServer(body) => {
                if let Some(server) = &account.server {
                    server.send(body);
                }
            }
            // `settle` has carried these out already.
            Output::Store(_) => {}
        }
    }

    /// The disk did not take a change, so memory and disk differ: memory gives way, as in a crash.
    pub(super) fn start_over(&mut self, error: &StoreError) -> Fault {
        let log = self.profile.log();
        tracing::error!(%error, "a change could not be stored");
        let Some(account) = &mut self.account else { return self.absent() };
        let fault = error.fault(account.store.path(), &log);
        account.trouble = Some(fault.clone());
        self.start_afresh(DISK_PAUSE);
        fault
    }

    /// Goes on from what is on disk, after a pause, and forgets whatever is only in memory.
    pub(super) fn start_afresh(&mut self, pause: Duration) {
        self.peers.close_all();
        let Some(account) = &mut self.account else { return };
        if let Some(server) = account.server.take() {
            server.close();
        }
        if let Err(error) = account.start_over(&mut self.rng) {
            // What cannot even be read cannot be served; the next start says what is wrong.
            tracing::error!(%error, "the store could not be read");
            self.stopping = true;
        }
        self.reconnect(pause);
    }
}
