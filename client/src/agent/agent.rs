//! The task that owns everything: it takes in what happens, gives it to the node, and carries out what
//! the node asks for, stores before sends.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use hither_proto::login::SessionKey;
use hither_proto::{
    crypto::{rng::Rng, secret::Secret},
    node::{Conn, Event, Input, Output},
    time::{Time, UnixTime},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{
        broadcast::{self, error::RecvError},
        mpsc, oneshot,
    },
    task::AbortHandle,
};

use super::{
    ToAgent,
    account::{Account, Resumption},
    lan::Lan,
    locking::{AutoLock, Locked},
    net::{Connected, FromServer, Link, Network, Peers, Reach},
    session_file::{self, SavedSession},
    store::Store,
};
use crate::{
    config::Config,
    fault::{Fault, NoAgent},
    paths::Profile,
};

/// What may wait to be told to the agent. Whoever tells more waits, and with it the network behind.
const INBOX: usize = 4096;

/// How much is taken in before it is all written down at once.
const BATCH: usize = 1024;

/// What may wait for commands that are slow to listen; they look for themselves then.
const EVENTS: usize = 4096;

/// How long an agent in which nobody is logged in stays for whoever may come.
const IDLE: Duration = Duration::from_secs(60);

/// Who holds the count of visitors without being one: the agent, and whoever lets them in.
const RESIDENTS: usize = 2;

/// How long goodbyes may take when the agent stops.
const FAREWELL: Duration = Duration::from_secs(1);

/// What commands may wait for.
#[derive(Clone, Debug)]
pub(super) enum Notice {
    /// Something that the node tells.
    Node(Event),
    /// Nothing will come of anything until somebody unlocks the account.
    Locked,
    /// The server can be asked again.
    Online,
    /// A text has come.
    Received,
}

/// Something to be done by the agent, and what to do once its consequences are on disk.
pub(in crate::agent) type Call = Box<dyn FnOnce(&mut Agent) -> Reply + Send>;

/// What to do once the consequences of a call are on disk, or why they are not.
type Reply = Box<dyn FnOnce(Option<Fault>) + Send>;

/// How other tasks reach the agent.
#[derive(Clone)]
pub(super) struct Handle {
    to: mpsc::Sender<ToAgent>,
    notices: broadcast::Sender<Notice>,
    log: PathBuf,
    auto_lock: AutoLock,
    /// Held by every connection of a command.
    _visitor: Arc<()>,
}

impl Handle {
    /// Does something with the agent, and waits until the consequences are on disk.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Agent) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let (answer, wait) = oneshot::channel();
        let call: Call = Box::new(move |agent| {
            let done = work(agent);
            Box::new(move |failed| {
                // Whoever asked may have gone.
                let _ = answer.send(failed.map_or(done, Err));
            })
        });
        let stopped = || Fault::NoAgent(NoAgent::Lost { log: self.log.clone() });
        self.to.send(ToAgent::Call(call)).await.map_err(|_| stopped())?;
        wait.await.map_err(|_| stopped())?
    }

    /// Somebody is here, so the account is not to be locked yet.
    pub(super) fn touch(&self) {
        self.auto_lock.touch();
    }

    /// What happens from now on.
    pub(super) fn notices(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }
}

/// Everything there is.
pub(super) struct Agent {
    pub(super) profile: Profile,
    pub(super) network: Network,
    pub(super) rng: Rng,
    pub(super) account: Option<Account>,
    /// Whose account it was, until it is unlocked.
    pub(super) locked: Option<Locked>,
    pub(super) auto_lock: AutoLock,
    pub(super) config: Config,
    pub(super) peers: Peers,
    pub(super) reach: Reach,
    pub(super) lan: Lan,
    pub(super) stopping: bool,
    /// Until when nothing disappears, because the disk did not take it.
    pub(super) expiry_rests: Option<Instant>,
    /// How long the disk took to take the last changes.
    pub(super) last_commit: Duration,
    pub(super) to: mpsc::Sender<ToAgent>,
    notices: broadcast::Sender<Notice>,
    started: Instant,
    pub(super) epochs: u64,
    pub(super) reconnecting: Option<AbortHandle>,
    visitors: Arc<()>,
    /// What is to be answered when the present batch is on disk.
    replies: Vec<Reply>,
}

impl Agent {
    /// An agent that goes on where the one before it was cut off.
    pub(super) fn new(
        profile: &Profile,
    ) -> anyhow::Result<(Self, Handle, mpsc::Receiver<ToAgent>)> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).context("asking the system for randomness")?;
        let mut rng = Rng::from_seed(Secret::new(seed));
        let cid_key = u64::from_le_bytes(rng.bytes());
        let (to, inbox) = mpsc::channel(INBOX);
        let (notices, _) = broadcast::channel(EVENTS);
        let visitors = Arc::new(());
        let config = Config::load(&profile.config, &profile.name)?;
        let network = Network::open(cid_key, config.port).context("opening the UDP socket")?;
        let auto_lock = AutoLock::new(config.lock_after);
        let handle = Handle {
            to: to.clone(),
            notices: notices.clone(),
            log: profile.log(),
            auto_lock: auto_lock.clone(),
            _visitor: visitors.clone(),
        };
        let peers = Peers::new(network.clone(), to.clone());
        let mut agent = Self {
            profile: profile.clone(),
            reach: Reach::new(network.port()),
            lan: Lan::default(),
            network,
            rng,
            account: None,
            locked: None,
            auto_lock,
            config,
            peers,
            stopping: false,
            expiry_rests: None,
            last_commit: Duration::ZERO,
            to,
            notices,
            started: Instant::now(),
            epochs: 0,
            reconnecting: None,
            visitors,
            replies: Vec::new(),
        };
        let path = profile.locked();
        agent.locked = Locked::load(&path).map_err(|error| Fault::file(&path, &error))?;
        if agent.locked.is_some() {
            // An agent that was killed while it locked the account may have left the keys.
            agent.wipe_session()?;
        }
        let path = profile.session();
        let saved = SavedSession::load(&path).map_err(|error| Fault::file(&path, &error))?;
        if let Some(saved) = saved {
            let path = Store::path_in(&profile.state_dir, &saved.seed);
            let account = Account::resume(saved, &profile.state_dir, &mut agent.rng);
            let account = account.map_err(|error| error.fault(&path, &profile.log()))?;
            agent.account = account;
            agent.reconnect(Duration::ZERO);
        }
        Ok((agent, handle, inbox))
    }

    /// Runs until something sets `stopping`, or the system asks to stop.
    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<ToAgent>) -> Self {
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate()).ok(), signal(SignalKind::interrupt()).ok());
        while !self.stopping {
            let deadline = self.account.as_ref().and_then(|account| account.node.deadline());
            let sleep = deadline.map(|deadline| self.now().until(deadline));
            let expiry = self.until_expiry();
            let lan = self.until_lan();
            let lock = self.auto_lock.left().filter(|_| self.account.is_some());
            let nobody = self.account.is_none() && self.locked.is_none();
            let idle = nobody && Arc::strong_count(&self.visitors) <= RESIDENTS;
            let mut first = None;
            tokio::select! {
                told = inbox.recv() => first = told,
                () = wait(sleep) => self.handle(Input::Timeout),
                () = wait(idle.then_some(IDLE)) => self.stopping = true,
                () = wait(lock) => {}
                () = wait(expiry) => {}
                () = wait(lan) => {}
                () = signalled(&mut terminate) => self.stopping = true,
                () = signalled(&mut interrupt) => self.stopping = true,
            }
            self.lock_if_due();
            // Before anybody asks for what is to be gone by now.
            self.expire();
            let mut taken = 0;
            while let Some(told) = first.take() {
                self.take(told);
                taken += 1;
                first = if taken < BATCH { inbox.try_recv().ok() } else { None };
            }
            self.tend_lan();
            let failed = self.settle_beside_others().await.err();
            self.answer(failed.as_ref());
        }
        self
    }

    /// Answers everything that was asked in the present batch so far.
    fn answer(&mut self, failed: Option<&Fault>) {
        for reply in self.replies.drain(..) {
            reply(failed.cloned());
        }
    }

    /// Whoever is logged in.
    pub(super) fn account(&mut self) -> Result<&mut Account, Fault> {
        if self.account.is_none() {
            return Err(self.absent());
        }
        self.account.as_mut().ok_or(Fault::AuthRequired)
    }

    /// The time on the monotonic clock.
    pub(super) fn now(&self) -> Time {
        Time::since_start(self.started.elapsed())
    }

    /// Gives somebody who has logged in their agent, and a connection that stands. Whoever was logged in
    /// before has been uninstalled, because a store is open once.
    pub(super) fn install(&mut self, mut account: Account, link: Link, key: SessionKey) {
        let server = link.carry(key, &self.network, self.to.clone());
        let observer = server.observer;
        account.server = Some(server);
        self.epochs += 1;
        account.epoch = self.epochs;
        self.account = Some(account);
        self.tell_global();
        self.handle(Input::ServerUp(observer));
    }

    /// Forgets whoever was logged in. Every key is wiped as it is dropped.
    pub(super) fn uninstall(&mut self) {
        // What the node has asked for so far is owed: a receipt must not leave without its text on disk.
        let settled = self.settle_early();
        let now = self.now();
        // It holds the keys as well.
        if let Some(reconnecting) = self.reconnecting.take() {
            reconnecting.abort();
        }
        let Some(mut account) = self.account.take() else { return };
        account.node.part(now);
        while let Some(output) = account.node.poll(now) {
            match output {
                Output::SendPeer { conn, frame } if settled.is_ok() => self.peers.send(conn, frame),
                Output::ClosePeer(conn) => self.peers.close(conn),
                Output::CloseDoor { attempt, .. } => self.peers.close_door(attempt, None),
                _ => {}
            }
        }
        if let Some(server) = account.server {
            server.close();
        }
        self.follow_translation();
    }

    fn take(&mut self, told: ToAgent) {
        match told {
            ToAgent::Call(call) => {
                let reply = call(self);
                self.replies.push(reply);
            }
            ToAgent::Connected(connected) => self.connected(&connected),
            ToAgent::Neighbour { pseudonyms, at } => {
                self.handle(Input::Neighbour { pseudonyms: &pseudonyms, at });
            }
            ToAgent::NetworkChanged => self.network_changed(),
            ToAgent::OpenedAfresh { attempt, opened } => {
                let at = opened.map(|opened| self.peers.opened_afresh(opened));
                self.handle(Input::OpenedAfresh { attempt, at });
            }
            ToAgent::PeerSilent(conn) => self.handle(Input::PeerSilent(conn)),
            ToAgent::PeerClosed(conn) => {
                self.peers.gone(conn);
                self.handle(Input::PeerClosed(conn));
            }
            ToAgent::PeerFrame { conn, frame, room } => {
                self.handle(Input::PeerFrame { conn, frame: &frame });
                drop(room);
            }
            ToAgent::PeerWakes { conn, frame, room } => {
                self.handle(Input::PeerWakes { conn, frame: &frame });
                drop(room);
            }
            ToAgent::Resumed { epoch, outcome } => self.resumed(epoch, outcome),
            ToAgent::Surveyed(measured) => self.surveyed(measured),
            ToAgent::Server { link, what } => self.server_said(link, what),
        }
    }

    pub(super) fn handle(&mut self, input: Input<'_>) {
        let now = self.now();
        if let Some(account) = &mut self.account {
            account.node.handle(now, input);
        }
    }

    fn connected(&mut self, connected: &Connected) {
        let conn = self.peers.adopt(connected);
        // A setting may have changed, and a node may have started anew.
        let rest_after = self.config.rest_after;
        if let Some(account) = &mut self.account {
            account.node.set_rest_after(rest_after);
        }
        self.handle(Input::PeerConnected {
            conn,
            attempt: connected.attempt,
            exporter: connected.exporter,
            certificate: connected.certificate,
            remote: connected.remote(),
        });
        if self.account.is_none() {
            self.peers.close(conn);
        }
    }

    fn server_said(&mut self, link: usize, what: FromServer) {
        let Some(account) = &mut self.account else { return };
        if account.server.as_ref().map(|server| server.link()) != Some(link) {
            return;
        }
        match what {
            FromServer::Frame(body)
                if account.logout_frame(&body) || account.inquiry_frame(&body) => {}
            FromServer::Frame(body) => self.server_frame(&body),
            FromServer::Gone => {
                account.server = None;
                account.cut_logout();
                account.inquiries.cut();
                let ended = account.ended.is_some();
                self.handle(Input::ServerDown);
                if !ended {
                    self.reconnect(Duration::ZERO);
                }
            }
        }
    }

    fn resumed(&mut self, epoch: u64, outcome: Resumption) {
        let now = self.now();
        let Some(account) = self.account.as_mut().filter(|account| account.epoch == epoch) else {
            return;
        };
        match outcome {
            Resumption::Up(link, key) => {
                let server = link.carry(key, &self.network, self.to.clone());
                let observer = server.observer;
                account.server = Some(server);
                account.absence = None;
                self.tell_global();
                self.handle(Input::ServerUp(observer));
                self.map_port();
                self.notify(Notice::Online);
            }
            Resumption::Failed(why) => account.absence = Some(why),
            Resumption::Ended(why) => account.end(now, why),
        }
    }

    /// Carries out what was asked for in this batch before something else is done, and answers whoever asked:
    /// what is on disk, or lost, is so whatever comes of the rest.
    pub(super) fn settle_early(&mut self) -> Result<(), Fault> {
        let settled = self.settle();
        self.answer(settled.as_ref().err());
        settled
    }

    pub(super) fn notify(&self, notice: Notice) {
        // Nobody may be listening.
        let _ = self.notices.send(notice);
    }

    /// Says goodbye to everybody.
    pub(super) async fn leave(mut self) {
        self.uninstall();
        // Whoever has not heard by then finds out by itself.
        let goodbyes = async {
            tokio::join!(self.network.idle(), self.reach.port_mapper.closed(), self.lan.close())
        };
        let _ = tokio::time::timeout(FAREWELL, goodbyes).await;
        self.network.close();
    }

    /// Wipes what lets this machine speak for somebody without a password.
    pub(super) fn wipe_session(&self) -> Result<(), Fault> {
        let path = self.profile.session();
        session_file::wipe(&path).map_err(|error| Fault::file(&path, &error))
    }

    /// The round trip to a peer.
    pub(super) fn round_trip(&self, conn: Conn) -> Option<Duration> {
        self.peers.round_trip(conn)
    }
}

/// Waits until the server can be asked again; false if it cannot by `deadline`.
pub(super) async fn online(
    notices: &mut broadcast::Receiver<Notice>,
    deadline: tokio::time::Instant,
) -> bool {
    let online = async {
        loop {
            match notices.recv().await {
                // Whoever asks again hears that it is locked.
                Ok(Notice::Online | Notice::Locked) | Err(RecvError::Lagged(_)) => return true,
                Ok(_) => {}
                Err(RecvError::Closed) => return false,
            }
        }
    };
    tokio::time::timeout_at(deadline, online).await.unwrap_or(false)
}

/// This machine's clock.
pub(super) fn unix_now() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixTime::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

async fn wait(sleep: Option<Duration>) {
    match sleep {
        Some(sleep) => tokio::time::sleep(sleep).await,
        None => std::future::pending().await,
    }
}

async fn signalled(signal: &mut Option<tokio::signal::unix::Signal>) {
    match signal {
        // A signal stream ends only with the runtime.
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}
