//! A running server: lets callers in, and when it is asked to stop, lets everybody finish.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use hither_proto::{
    directory::Settings,
    name::{Link, ServerPin},
    time::Time,
};
use tokio::{
    sync::watch,
    task::{JoinError, JoinSet},
    time::{interval, timeout},
};
use tracing::{debug, error, info, warn};

use crate::{
    admission::{Admission, Admitted, Verdict},
    config::{Config, Registration},
    connection::Connection,
    data::{DataFolder, Secrets},
    fault::Fault,
    limits::{DRAIN_TIMEOUT, FORGET_PERIOD},
    observer::{Observed, Observer},
    quic::{Caller, Listener, ResetKey, bind},
    router::{ConnectionId, Router},
    storage::{Storage, StorageThread},
    tasks::Tasks,
};

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) pin: ServerPin,
    pub(crate) settings: Settings,
    pub(crate) router: Router,
    pub(crate) observed: Observed,
    pub(crate) tasks: Tasks,
    /// Whether the server shuts down.
    pub(crate) draining: watch::Sender<bool>,
    start: Instant,
}

impl Shared {
    /// The time, as sessions are told it.
    pub(crate) fn now(&self) -> Time {
        Time::since_start(self.start.elapsed())
    }
}

/// A server that listens.
pub(crate) struct Server {
    listener: Listener,
    listen: SocketAddr,
    observer: Option<Observer>,
    link: Link,
    admission: Admission,
    shared: Arc<Shared>,
    storage_thread: StorageThread,
}

impl Server {
    /// Opens everything. Whoever calls from now on is let in once [`Server::run`] runs.
    pub(crate) async fn open(data: &DataFolder, config: &Config) -> Result<Self, Fault> {
        let Secrets { identity, opaque, decoy } = data.secrets()?;
        let socket =
            bind(config.listen()).map_err(|error| Fault::listen(config.listen(), error))?;
        let (storage, storage_thread) = Storage::open(&data.database())?;
        let Ok(accounts) = storage.count_accounts().await else {
            return Err(Fault::DamagedDatabase(data.database()));
        };
        let reset = ResetKey::new(&decoy);
        let listener = Listener::new(socket, identity.tls()?, reset)?;
        let listen = listener.local_address()?;
        let observed = Observed::default();
        // Without it clients know less about their translators, and all else goes on.
        let observer = Observer::open(listen, observed.clone())
            .inspect_err(|error| warn!("no second port: {error}"))
            .ok();
        info!(accounts, %listen, "open");
        let registration = config.registration.unwrap_or_default();
        let shared = Shared {
            pin: identity.pin().clone(),
            settings: Settings {
                registration_open: registration != Registration::Closed,
                observer: observer.as_ref().map(Observer::port),
            },
            observed,
            router: Router::new(),
            tasks: Tasks::new(storage, registration, opaque, decoy),
            draining: watch::Sender::new(false),
            start: Instant::now(),
        };
        Ok(Self {
            listener,
            listen,
            observer,
            link: config.link(listen, identity.pin()),
            admission: Admission::new(config.retry.unwrap_or_default()),
            shared: Arc::new(shared),
            storage_thread,
        })
    }

    /// Where it listens.
    pub(crate) const fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// What clients need to find it and to know it.
    pub(crate) const fn link(&self) -> &Link {
        &self.link
    }

    /// Serves until `stop`, then lets everybody finish.
    pub(crate) async fn run(self, stop: impl Future<Output = ()>) {
        let mut connections = JoinSet::new();
        self.let_in(&mut connections, stop).await;

        info!(connections = connections.len(), "shutting down");
        self.listener.refuse_callers();
        self.shared.draining.send_replace(true);
        let ended = async {
            while let Some(ended) = connections.join_next().await {
                report(ended);
            }
        };
        if timeout(DRAIN_TIMEOUT, ended).await.is_err() {
            debug!(connections = connections.len(), "cut off");
            connections.shutdown().await;
        }
        self.listener.close().await;
        // With the last way to it, the storage ends: everything it was asked to do is done by then.
        drop(self.shared);
        self.storage_thread.join();
    }

    async fn let_in(&self, connections: &mut JoinSet<()>, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        let mut forget = interval(FORGET_PERIOD);
        let mut callers = 0;
        loop {
            tokio::select! {
                () = &mut stop => return,
                caller = self.listener.accept() => {
                    let Some(caller) = caller else { return };
                    callers += 1;
                    match self.admission.judge(caller.is_validated()) {
                        Verdict::Admit(admitted) => {
                            let shared = Arc::clone(&self.shared);
                            let id = ConnectionId(callers);
                            connections.spawn(converse(shared, caller, admitted, id));
                        }
                        Verdict::Retry => caller.retry(),
                        Verdict::Refuse => caller.refuse(),
                    }
                }
                Some(ended) = connections.join_next() => report(ended),
                () = observe(self.observer.as_ref()) => {}
                _ = forget.tick() => self.shared.tasks.forget(),
            }
        }
    }
}

async fn observe(observer: Option<&Observer>) {
    match observer {
        Some(observer) => observer.run().await,
        None => std::future::pending().await,
    }
}

/// From a caller's first packet to its last.
async fn converse(shared: Arc<Shared>, caller: Caller, mut admitted: Admitted, id: ConnectionId) {
    // Most of those who do not get through the handshake are no clients of ours.
    let Ok(quic) = caller.connect().await else { return };
    admitted.connected();
    match Connection::new(shared, quic, id) {
        Ok(connection) => connection.run().await,
        Err(error) => error!("a connection could not be begun: {error:#}"),
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(failed) = ended
        && failed.is_panic()
    {
        error!("a connection ended by a bug: {failed}");
    }
}
