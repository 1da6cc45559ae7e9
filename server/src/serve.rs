//! A running server: lets callers in, and when it is asked to stop, lets everybody finish.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Instant, SystemTime},
};

use hither_proto::{
    directory::Settings,
    name::{Link, ServerPin},
    time::Time,
    wire::server::Sunset,
};
use tokio::{
    sync::Notify,
    task::{JoinError, JoinSet},
    time::{interval, timeout},
};
use tracing::{error, info, warn};

use crate::{
    administration::{Administration, Running},
    admission::{Admission, Admitted, Verdict},
    certificates::Certificates,
    config::{Config, Registration},
    connection::Connection,
    control::Control,
    data::{DataFolder, Secrets},
    drain::Drain,
    fault::Fault,
    limits::{DRAIN_TIMEOUT, FORGET_PERIOD},
    logging::Logging,
    metrics::{Limit, Metrics},
    monitor::Monitor,
    observer::{Observed, Observer},
    pseudonym::Pseudonyms,
    quic::{Caller, Listener, ResetKey, bind},
    reload::Reloading,
    router::{ConnectionId, Router},
    storage::{Storage, StorageThread},
    tasks::Tasks,
    tls,
};

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) pin: ServerPin,
    pub(crate) certificates: Arc<Certificates>,
    pub(crate) router: Arc<Router>,
    pub(crate) observed: Observed,
    pub(crate) tasks: Tasks,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) pseudonyms: Pseudonyms,
    sunset: Option<Sunset>,
    /// The port on which clients show themselves a second time.
    observer: Option<u16>,
    /// Whether the server shuts down.
    pub(crate) drain: Drain,
    start: Instant,
}

impl Shared {
    /// What holds for a session that begins now.
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            registration_open: self.tasks.registration() != Registration::Closed,
            sunset: self.sunset,
            observer: self.observer,
        }
    }

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
    monitor: Option<Monitor>,
    admission: Admission,
    shared: Arc<Shared>,
    storage_thread: StorageThread,
    control: Option<Control>,
    /// Told when an administrator wants the server to end.
    drain: Arc<Notify>,
}

impl Server {
    /// Opens everything. Whoever calls from now on is let in once [`Server::run`] runs.
    pub(crate) async fn open(data: &DataFolder, config: &Config) -> Result<Self, Fault> {
        let Secrets { identity, opaque, decoy } = data.secrets()?;
        let socket =
            bind(config.listen()).map_err(|error| Fault::listen(config.listen(), error))?;
        let (storage, storage_thread) = Storage::open(&data.database())?;
        let reset = ResetKey::new(&decoy);
        let pin = identity.pin().clone();
        let (files, now) = (config.certificate()?, SystemTime::now());
        let certificates = Arc::new(Certificates::new(identity, data.leaf(), files.as_ref(), now)?);
        let tls = tls::config(Arc::clone(&certificates) as _)?;
        let listener = Listener::new(socket, tls, reset)?;
        let listen = listener.local_address()?;
        let monitor = match config.metrics {
            Some(address) => Some(Monitor::bind(address.into(), data.database()).await?),
            None => None,
        };
        let observed = Observed::default();
        // Without it clients know less about their translators, and all else goes on.
        let observer = Observer::open(listen, observed.clone())
            .inspect_err(|error| warn!("no second port: {error}"))
            .ok();
        info!(%listen, "open");
        let (router, drain) = (Arc::new(Router::new()), Arc::new(Notify::new()));
        let running = Running { listen, router: Arc::clone(&router), drain: Arc::clone(&drain) };
        let administration = Administration::new(storage.clone(), data.audit(), Some(running));
        let control = Control::listen(data, administration);
        let metrics = Arc::new(Metrics::new(SystemTime::now()));
        let registration = config.registration.unwrap_or_default();
        let pseudonyms = Pseudonyms::new(&decoy, config.log_addresses.unwrap_or_default());
        let shared = Shared {
            pin: pin.clone(),
            certificates,
            router,
            observed,
            tasks: Tasks::new(storage, registration, opaque, decoy, Arc::clone(&metrics)),
            metrics,
            pseudonyms,
            sunset: config.sunset.map(|sunset| sunset.announcement()),
            observer: observer.as_ref().map(Observer::port),
            drain: Drain::default(),
            start: Instant::now(),
        };
        Ok(Self {
            listener,
            listen,
            link: config.link(listen, &pin),
            monitor,
            observer,
            admission: Admission::new(config.retry.unwrap_or_default()),
            shared: Arc::new(shared),
            storage_thread,
            control,
            drain,
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

    /// What can be changed while this runs. It does not keep the server from ending.
    pub(crate) fn reloading(&self, logging: Logging, config: Config) -> Reloading {
        Reloading::new(Arc::downgrade(&self.shared), logging, config)
    }

    /// Where monitors are answered, if anywhere.
    pub(crate) fn metrics(&self) -> Option<SocketAddr> {
        self.monitor.as_ref().and_then(Monitor::address)
    }

    /// Serves until `stop`, then lets everybody finish. Fails if the database turns out to be damaged, which ends it
    /// in the same way.
    pub(crate) async fn run(mut self, stop: impl Future<Output = ()>) -> Result<(), Fault> {
        let mut connections = JoinSet::new();
        let shared = Arc::clone(&self.shared);
        let monitor = self.monitor.take().map(|monitor| monitor.spawn(shared));
        let damaged = self.storage_thread.damaged();
        let served = tokio::select! {
            () = self.let_in(&mut connections) => Ok(()),
            () = stop => Ok(()),
            () = self.drain.notified() => Ok(()),
            fault = damaged => Err(fault),
        };

        info!(connections = connections.len(), "shutting down");
        self.listener.refuse_callers();
        self.shared.drain.begin();
        let ended = async {
            while let Some(ended) = connections.join_next().await {
                report(ended);
            }
        };
        if timeout(DRAIN_TIMEOUT, ended).await.is_err() {
            warn!(connections = connections.len(), "cut off");
            connections.shutdown().await;
        }
        self.listener.close().await;
        if let Some(control) = self.control {
            control.close().await;
        }
        if let Some(monitor) = monitor {
            monitor.stop().await;
        }
        // With the last way to it, the storage ends: everything it was asked to do is done by then.
        drop(self.shared);
        self.storage_thread.join();
        served
    }

    async fn let_in(&self, connections: &mut JoinSet<()>) {
        let mut forget = interval(FORGET_PERIOD);
        let mut callers = 0;
        loop {
            tokio::select! {
                caller = self.listener.accept() => {
                    let Some(caller) = caller else { return };
                    callers += 1;
                    match self.admission.judge(caller.address(), caller.is_validated()) {
                        Verdict::Admit(admitted) => {
                            let shared = Arc::clone(&self.shared);
                            let id = ConnectionId(callers);
                            connections.spawn(converse(shared, caller, admitted, id));
                        }
                        Verdict::Retry => {
                            self.shared.metrics.retry_sent();
                            caller.retry();
                        }
                        Verdict::Refuse => {
                            self.shared.metrics.limit_hit(Limit::Connections);
                            caller.refuse();
                        }
                    }
                }
                Some(ended) = connections.join_next() => report(ended),
                () = observe(self.observer.as_ref()) => {}
                _ = forget.tick() => {
                    self.admission.forget();
                    self.shared.tasks.forget();
                    self.shared.certificates.look_after(SystemTime::now());
                }
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
async fn converse(shared: Arc<Shared>, caller: Caller, admitted: Admitted, id: ConnectionId) {
    // Boxed, or every connection keeps room for its handshake as long as it lives.
    let begun = Box::pin(begin(shared, caller, admitted, id)).await;
    if let Some(connection) = begun {
        connection.run().await;
    }
}

async fn begin(
    shared: Arc<Shared>,
    caller: Caller,
    mut admitted: Admitted,
    id: ConnectionId,
) -> Option<Box<Connection>> {
    // Most of those who do not get through the handshake are no clients of ours.
    let handshake = shared.metrics.handshake();
    let quic = caller.connect().await.ok()?;
    handshake.completed();
    admitted.connected();
    match Connection::new(shared, quic, admitted, id) {
        Ok(connection) => Some(Box::new(connection)),
        Err(error) => {
            error!("a connection could not be begun: {error:#}");
            None
        }
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(failed) = ended
        && failed.is_panic()
    {
        error!("a connection ended by a bug: {failed}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage;

    #[tokio::test]
    async fn a_database_that_turns_out_to_be_damaged_ends_the_server() {
        let folder = tempfile::tempdir().unwrap();
        let listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        let config = Config { listen, ..Config::default() };
        let data = DataFolder::init(&folder.path().join("data"), &config).unwrap();
        let mut server = Server::open(&data, &config).await.unwrap();
        storage::spoil(&data.database());
        server.storage_thread.looks_further(&data.database());
        let ended = server.run(std::future::pending()).await;
        assert!(matches!(ended, Err(Fault::DamagedDatabase(_))), "{ended:?}");
    }
}
