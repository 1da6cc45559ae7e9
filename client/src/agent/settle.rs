//! Carrying out what the node asks for: stores first, all of a batch in one transaction, and then whatever
//! may be seen outside; and going on from the disk when it did not take them.

use std::time::{Duration, Instant};

use hither_proto::{
    crypto::rng::Rng,
    node::{Change, Event, Guess, Input, Output},
    wire::server::Candidate,
};

use super::{
    account::Ended,
    agent::{Agent, Notice, unix_now},
    store::StoreError,
};
use crate::fault::Fault;

/// How long a disk that did not take a change is left alone.
pub(super) const DISK_PAUSE: Duration = Duration::from_secs(3);

/// Commits that take no longer are waited for where they are asked for: to have another thread see to the
/// network in the meantime would take as long.
const QUICK: Duration = Duration::from_millis(1);

/// What the node asks for at once.
struct Wanted {
    changes: Vec<Change>,
    read: Vec<u64>,
    rest: Vec<Output>,
    /// Whether something was told already.
    told: bool,
}

impl Agent {
    /// Carries out everything that the node asks for.
    pub(super) fn settle(&mut self) -> Result<(), Fault> {
        while let Some(wanted) = self.wanted() {
            self.carry_out(wanted)?;
        }
        Ok(())
    }

    /// The same, and lets others go on in the meantime.
    pub(super) async fn settle_beside_others(&mut self) -> Result<(), Fault> {
        while let Some(wanted) = self.wanted() {
            if wanted.told {
                tokio::task::yield_now().await;
            }
            if self.last_commit <= QUICK {
                self.carry_out(wanted)?;
            } else {
                tokio::task::block_in_place(|| self.carry_out(wanted))?;
            }
        }
        Ok(())
    }

    /// What the node asks for, if that is anything.
    fn wanted(&mut self) -> Option<Wanted> {
        let now = self.now();
        let account = self.account.as_mut()?;
        let read = std::mem::take(&mut account.read);
        let mut wanted = Wanted { changes: Vec::new(), read, rest: Vec::new(), told: false };
        while let Some(output) = self.account.as_mut()?.node.poll(now) {
            match output {
                Output::Store(change) => wanted.changes.push(change),
                // It is on the other's disk, whatever becomes of ours.
                Output::Event(event @ Event::Delivered(..)) => {
                    wanted.told = true;
                    self.notify(Notice::Node(event));
                }
                output => wanted.rest.push(output),
            }
        }
        let Wanted { changes, read, rest, told } = &wanted;
        let nothing = changes.is_empty() && read.is_empty() && rest.is_empty() && !told;
        (!nothing).then_some(wanted)
    }

    fn carry_out(&mut self, wanted: Wanted) -> Result<(), Fault> {
        let Wanted { changes, read, rest, .. } = wanted;
        let Some(account) = &mut self.account else { return Ok(()) };
        if !changes.is_empty() || !read.is_empty() {
            let before = Instant::now();
            let applied = account.store.apply(unix_now(), &changes, &read);
            self.last_commit = before.elapsed();
            match applied {
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
        Ok(())
    }

    fn perform(&mut self, output: Output) {
        let now = self.now();
        let Some(account) = &mut self.account else { return };
        match output {
            Output::Awake(conn) => self.peers.is_awake(conn, true),
            Output::CloseDoor { attempt, keep } => self.peers.close_door(attempt, keep),
            Output::ClosePeer(conn) => self.peers.close(conn),
            Output::Dial { attempt, dial } => {
                let rng = Rng::from_seed(self.rng.secret());
                self.peers.dial(attempt, dial, rng);
            }
            Output::Event(event) => {
                match &event {
                    Event::TakenOver => account.end(now, Ended::TakenOver),
                    Event::PathUp(name, _) => {
                        let path = account.node.contact(name).and_then(|contact| contact.path);
                        path.inspect(|(conn, _)| self.peers.stands(*conn, unix_now()));
                    }
                    _ => {}
                }
                self.notify(Notice::Node(event));
            }
            Output::Guess(attempt, Guess::Afresh(afresh)) => {
                if let Some(server) = &account.server {
                    let observer = server.at(afresh.observer.port);
                    self.peers.open_afresh(attempt, observer, afresh);
                }
            }
            Output::Guess(attempt, guess) => {
                let rng = Rng::from_seed(self.rng.secret());
                self.peers.guess(attempt, guess, rng);
            }
            Output::OpenDoor { attempt, knock } => {
                let towards = account.server.as_ref().map(|server| server.remote);
                match self.peers.open_door(attempt, knock, towards) {
                    Ok((certificate, mut candidates)) => {
                        let kept =
                            self.mapped_address().into_iter().chain(self.forwarded_address());
                        candidates.extend(kept.map(Candidate));
                        self.handle(Input::DoorOpened { attempt, certificate, candidates });
                    }
                    // The attempt runs into its deadline.
                    Err(error) => tracing::error!(%error, "a door could not be opened"),
                }
            }
            Output::Probe { port, probe } => {
                if let Some(server) = &account.server {
                    self.network.probe(server.at(port), probe);
                }
            }
            Output::SendPeer { conn, frame } => self.peers.send(conn, frame),
            Output::SendServer(body) => {
                if let Some(server) = &account.server {
                    server.send(body);
                }
            }
            Output::Sleep(conn) => self.peers.is_awake(conn, false),
            // `settle` has carried these out already.
            Output::Store(_) => {}
            Output::Wake { conn, frame } => self.peers.wake(conn, frame),
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
