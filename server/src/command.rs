//! What each command does.

use std::{io, net::SocketAddr, path::Path};

use anyhow::Context;
use hither_proto::name::Link;
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::warn;
use tracing_subscriber::EnvFilter;

use crate::{
    cli::{Command, Output},
    config::Config,
    data::DataFolder,
    fault::Fault,
    manual,
    serve::Server,
    supervisor,
};

/// Does what was typed.
pub(crate) fn perform(command: Command, output: Output) -> Result<(), Fault> {
    match command {
        Command::Dev { listen } => dev(listen, output),
        Command::Init { data, host, registration } => {
            let config = Config { host, registration, ..Config::default() };
            let folder = DataFolder::init(&data.folder, &config)?;
            print_link(&folder.link()?, output)
        }
        Command::Completions { shell } => manual::completions(shell, output),
        Command::Man { topic, dir } => manual::man(&topic, dir.as_deref(), output),
        Command::Link { data } => print_link(&DataFolder::open(&data.folder)?.link()?, output),
        Command::Run { data, listen, config } => {
            let named = config.map_or_else(|| Ok(Config::default()), |path| Config::read(&path))?;
            let typed = Config { listen, ..Config::default() };
            run(&data.folder, typed.over(named), output)
        }
    }
}

fn print_link(link: &Link, output: Output) -> Result<(), Fault> {
    output.print(&link.to_string(), json!({ "link": link.to_string() }))
}

fn run(path: &Path, config: Config, output: Output) -> Result<(), Fault> {
    // Flags and files that were named hold for this run, and are not written down for the next.
    let (data, _lock) = DataFolder::open_or_init(path, &Config::default())?;
    let config = config.over(data.config()?);
    serve(&data, &config, |listen, link| {
        if let Err(fault) = data.write_link(link) {
            warn!("`hitherd link` may show an old link: {fault}");
        }
        announce(listen, link, &format!("hitherd listens on {listen}\n{link}"), output)
    })
}

fn dev(listen: SocketAddr, output: Output) -> Result<(), Fault> {
    let folder = tempfile::Builder::new().prefix("hitherd-dev-").tempdir();
    let folder = folder.map_err(|error| Fault::file(&std::env::temp_dir(), error))?;
    let config = Config { listen: Some(listen), ..Config::default() };
    let data = DataFolder::init(folder.path(), &config)?;
    let place = folder.path().display().to_string();
    serve(&data, &config, |listen, link| {
        let text = format!(
            "server   {listen}   (data in {place}, removed at exit)\n\
             link     {link}\n\
             Registration is open. In another terminal:\n\
             \x20 hither -p alice register alice --server '{link}'\n\
             \x20 hither -p bob register bob --server '{link}'"
        );
        announce(listen, link, &text, output)
    })?;
    folder.close().map_err(|error| Fault::file(Path::new(&place), error))
}

fn announce(listen: SocketAddr, link: &Link, text: &str, output: Output) -> Result<(), Fault> {
    let (listen, link) = (listen.to_string(), link.to_string());
    output.print(text, json!({ "event": "ready", "listen": listen, "link": link }))
}

/// Runs a server until it is asked to stop. `ready` is called when it accepts connections.
fn serve(
    data: &DataFolder,
    config: &Config,
    ready: impl FnOnce(SocketAddr, &Link) -> Result<(), Fault>,
) -> Result<(), Fault> {
    log(config)?;
    let runtime = tokio::runtime::Runtime::new().context("starting the runtime")?;
    runtime.block_on(async {
        let stop = Stop::listen().context("listening for signals")?;
        let server = Server::open(data, config).await?;
        ready(server.listen(), server.link())?;
        supervisor::serving();
        let stop = async {
            stop.asked().await;
            supervisor::ending();
        };
        server.run(stop).await;
        Ok(())
    })
}

/// Starts the log: what `RUST_LOG` says, else the configuration, else what happens to the server itself.
fn log(config: &Config) -> Result<(), Fault> {
    let filter = match std::env::var(EnvFilter::DEFAULT_ENV) {
        Ok(filter) if !filter.is_empty() => filter,
        _ => config.log.clone().unwrap_or_else(|| "info".to_owned()),
    };
    let filter = EnvFilter::try_new(&filter)
        .map_err(|error| Fault::Arguments(format!("cannot log `{filter}`: {error}")))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let started = log.with_ansi(false).try_init();
    started.map_err(|error| Fault::Internal(anyhow::anyhow!("starting the log: {error}")))
}

/// The signals that ask a server to stop.
struct Stop([Signal; 3]);

impl Stop {
    fn listen() -> io::Result<Self> {
        let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()];
        let [terminate, interrupt, hangup] = kinds.map(signal);
        Ok(Self([terminate?, interrupt?, hangup?]))
    }

    /// Waits for one of them.
    async fn asked(mut self) {
        let [terminate, interrupt, hangup] = &mut self.0;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
