//! What a running server says of itself to a monitor on the same machine: alive, ready, and its counts.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle, time::timeout};

use crate::{
    fault::Fault,
    http::{self, Page, Status},
    limits::READY_TIMEOUT,
    metrics::Snapshot,
    serve::Shared,
};

/// The type of Prometheus' text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A port that nobody is answered on yet.
pub(crate) struct Monitor {
    listener: TcpListener,
    database: PathBuf,
}

impl Monitor {
    /// Takes the port.
    pub(crate) async fn bind(address: SocketAddr, database: PathBuf) -> Result<Self, Fault> {
        let fault = |error| Fault::Monitor { address, error };
        let listener = TcpListener::bind(address).await.map_err(fault)?;
        Ok(Self { listener, database })
    }

    /// Where it is.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }

    /// Answers from now on, in a task of its own.
    pub(crate) fn spawn(self, shared: Arc<Shared>) -> Monitoring {
        let database: Arc<Path> = self.database.into();
        let page = move |path: String| {
            let (shared, database) = (Arc::clone(&shared), Arc::clone(&database));
            async move { page(&shared, &database, &path).await }
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async { drop(stopped.await) };
        Monitoring { stop, task: tokio::spawn(http::serve(self.listener, page, stopped)) }
    }
}

/// A port on which monitors are answered.
pub(crate) struct Monitoring {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Monitoring {
    /// Ends it, and with it every hold that it has on the server.
    pub(crate) async fn stop(self) {
        drop(self.stop);
        // That it ended by a bug, if it did, changes nothing now.
        let _ = self.task.await;
    }
}

async fn page(shared: &Shared, database: &Path, path: &str) -> Page {
    match path {
        "/livez" => Page::line(Status::Ok, "alive"),
        "/readyz" => match ready(shared).await {
            Ok(()) => Page::line(Status::Ok, "ready"),
            Err(why) => Page::line(Status::Unavailable, why),
        },
        "/metrics" => Page {
            status: Status::Ok,
            content_type: METRICS_TYPE,
            body: shared.metrics.to_text(&Snapshot {
                storage_queue: shared.tasks.storage().waiting(),
                storage: shared.tasks.storage().durations(),
                database_bytes: size(database),
                certificate_until: shared.certificates.until(),
            }),
        },
        _ => Page::line(Status::NotFound, "there are /livez, /readyz and /metrics"),
    }
}

/// Whether clients are served, or why not.
async fn ready(shared: &Shared) -> Result<(), &'static str> {
    if shared.drain.has_begun() {
        return Err("shutting down");
    }
    if shared.certificates.until() <= SystemTime::now() {
        return Err("the certificate has expired");
    }
    match timeout(READY_TIMEOUT, shared.tasks.storage().responds()).await {
        Ok(Ok(())) => Ok(()),
        _ => Err("the storage does not answer"),
    }
}

/// The database with its log; what is not there has no size.
fn size(database: &Path) -> u64 {
    let log = database.with_extension("db-wal");
    let sizes = [database, &log].map(|file| fs::metadata(file).map_or(0, |found| found.len()));
    sizes.iter().sum()
}
