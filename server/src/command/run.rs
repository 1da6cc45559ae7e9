//! `run` and `dev`: a server from its start to its end.

use std::{
    io,
    net::SocketAddr,
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant, SystemTime},
};

use anyhow::Context;
use serde_json::json;
use tokio::{
    runtime::{self, Runtime},
    signal::unix::{Signal, SignalKind, signal},
    sync::Notify,
};
use tracing::warn;

use crate::{
    cli::Output,
    config::Config,
    control,
    data::{DataFolder, Lock},
    fault::Fault,
    limits::LOCK_PATIENCE,
    logging::Logging,
    serve::Server,
    supervisor,
};

const LOCK_GLANCE: Duration = Duration::from_millis(20);

pub(super) fn run(
    path: &Path,
    typed: &Config,
    file: Option<&Path>,
    output: Output,
) -> Result<(), Fault> {
    // Flags and files that were named hold for this run, and are not written down for the next.
    let (data, _lock) = open(path)?;
    let read = || {
        let named = file.map_or_else(|| Ok(Config::default()), Config::read)?;
        Ok(typed.clone().over(named).over(data.config()?))
    };
    serve(&data, &read()?, Some(&read), |server| {
        let (listen, link) = (server.listen(), server.link());
        if let Err(fault) = data.write_link(link) {
            warn!("`hitherd link` may show an old link: {fault}");
        }
        announce(server, &format!("hitherd listens on {listen}\n{link}"), output)
    })
}

/// Opens the folder, as soon as no administrator is at work in it.
fn open(path: &Path) -> Result<(DataFolder, Lock), Fault> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match DataFolder::open_or_init(path, &Config::default()) {
            Err(Fault::InUse(_))
                if Instant::now() < deadline
                    && control::status(&DataFolder::open(path)?).is_none() =>
            {
                thread::sleep(LOCK_GLANCE);
            }
            opened => return opened,
        }
    }
}

pub(super) fn dev(listen: SocketAddr, output: Output) -> Result<(), Fault> {
    let folder = tempfile::Builder::new().prefix("hitherd-dev-").tempdir();
    let folder = folder.map_err(|error| Fault::file(&std::env::temp_dir(), error))?;
    let config = Config { listen: Some(listen), ..Config::default() };
    let data = DataFolder::init(folder.path(), &config)?;
    let place = folder.path().display().to_string();
    serve(&data, &config, None, |server| {
        let (listen, link) = (server.listen(), server.link());
        let text = format!(
            "server   {listen}   (data in {place}, removed at exit)\n\
             link     {link}\n\
             Registration is open. In another terminal:\n\
             \x20 hither -p alice register alice --server '{link}'\n\
             \x20 hither -p bob register bob --server '{link}'"
        );
        announce(server, &text, output)
    })?;
    folder.close().map_err(|error| Fault::file(Path::new(&place), error))
}

fn announce(server: &Server, text: &str, output: Output) -> Result<(), Fault> {
    let (listen, link) = (server.listen().to_string(), server.link().to_string());
    let mut ready = json!({ "event": "ready", "listen": listen, "link": link });
    if let Some(metrics) = server.metrics() {
        ready["metrics"] = metrics.to_string().into();
    }
    output.print(text, ready)
}

/// Runs a server until it is asked to stop. `ready` is called when it accepts connections. When it is asked
/// to, it reads its configuration `again`; if there is none to read, that asks it to stop, as the end of a
/// terminal does.
fn serve(
    data: &DataFolder,
    config: &Config,
    again: Option<&dyn Fn() -> Result<Config, Fault>>,
    ready: impl FnOnce(&Server) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let logging = Logging::start(config)?;
    let runtime = runtime().context("starting the runtime")?;
    runtime.block_on(async {
        let signals = Signals::listen().context("listening for signals")?;
        let server = Server::open(data, config).await?;
        ready(&server)?;
        supervisor::serving();
        let reloading = server.reloading(logging, config.clone());
        let reload = again.map(|again| || reloading.reload(again(), SystemTime::now()));
        let stop = Arc::new(Notify::new());
        let stopped = Arc::clone(&stop);
        // Among the tasks of its connections, or every caller would wake another thread.
        let mut serving = tokio::spawn(server.run(async move { stopped.notified().await }));
        tokio::select! {
            ended = &mut serving => return ended.context("serving")?,
            () = signals.until_stop(reload) => supervisor::ending(),
        }
        stop.notify_one();
        serving.await.context("serving")?
    })
}

/// Half of the cores for the network, because public-key work takes as much of the others. More threads than have
/// something to do would only wake each other.
fn runtime() -> io::Result<Runtime> {
    let cores = thread::available_parallelism().map_or(1, Into::into);
    runtime::Builder::new_multi_thread().worker_threads(cores.div_ceil(2)).enable_all().build()
}

/// The signals that ask something of a server.
struct Signals([Signal; 3]);

impl Signals {
    fn listen() -> io::Result<Self> {
        let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()];
        let [terminate, interrupt, hangup] = kinds.map(signal);
        Ok(Self([terminate?, interrupt?, hangup?]))
    }

    /// Waits for one that asks it to stop, and does what the others ask for.
    async fn until_stop(mut self, reload: Option<impl Fn()>) {
        let [terminate, interrupt, hangup] = &mut self.0;
        loop {
            tokio::select! {
                _ = terminate.recv() => return,
                _ = interrupt.recv() => return,
                _ = hangup.recv() => match &reload {
                    Some(reload) => reload(),
                    None => return,
                },
            }
        }
    }
}
