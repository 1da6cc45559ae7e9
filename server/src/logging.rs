//! The log: where it goes, in which form, and how much of it there is.

use std::{env, io};

use tracing_subscriber::{EnvFilter, reload};

use crate::{
    config::{Config, LogAddresses, LogFormat},
    fault::Fault,
};

/// Crates below us that write addresses of clients down when they are asked for more than warnings.
const TALKATIVE: [&str; 4] = ["quinn", "quinn_proto", "quinn_udp", "rustls"];

/// The log of this process, once it is started.
pub(crate) struct Logging {
    refilter: Box<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync>,
}

impl Logging {
    /// Starts the log on stderr.
    pub(crate) fn start(config: &Config) -> Result<Self, Fault> {
        let log = tracing_subscriber::fmt().with_writer(io::stderr).with_ansi(false);
        let log = log.with_env_filter(filter(config)?);
        let (started, refilter): (_, Box<dyn Fn(_) -> _ + Send + Sync>) =
            match config.log_format.unwrap_or_default() {
                LogFormat::Text => {
                    let log = log.with_filter_reloading();
                    let handle = log.reload_handle();
                    (log.try_init(), Box::new(move |filter| handle.reload(filter)))
                }
                LogFormat::Json => {
                    let log = log.json().flatten_event(true).with_filter_reloading();
                    let handle = log.reload_handle();
                    (log.try_init(), Box::new(move |filter| handle.reload(filter)))
                }
            };
        started.map_err(|error| Fault::Internal(anyhow::anyhow!("starting the log: {error}")))?;
        Ok(Self { refilter })
    }

    /// From now on logs what `filter` lets through.
    pub(crate) fn refilter(&self, filter: EnvFilter) -> Result<(), Fault> {
        let changed = (self.refilter)(filter);
        changed.map_err(|error| Fault::Internal(anyhow::anyhow!("changing the log: {error}")))
    }
}

/// What `RUST_LOG` says, else the configuration, else what happens to the server itself.
pub(crate) fn filter(config: &Config) -> Result<EnvFilter, Fault> {
    let text = match env::var(EnvFilter::DEFAULT_ENV) {
        Ok(text) if !text.is_empty() => text,
        _ => config.log.clone().unwrap_or_else(|| "info".to_owned()),
    };
    let cannot = |error| Fault::Arguments(format!("cannot log `{text}`: {error}"));
    let mut filter = EnvFilter::try_new(&text).map_err(cannot)?;
    if config.log_addresses.unwrap_or_default() == LogAddresses::Truncated {
        for name in TALKATIVE {
            filter = filter.add_directive(format!("{name}=error").parse().map_err(cannot)?);
        }
    }
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_logged_is_a_fault_of_whoever_wrote_it() {
        let config = Config { log: Some("hitherd=loud".to_owned()), ..Config::default() };
        assert_eq!(filter(&config).unwrap_err().code(), "usage");
    }

    #[test]
    fn what_writes_addresses_down_is_silent_unless_that_is_wished_for() {
        let config = Config { log: Some("trace".to_owned()), ..Config::default() };
        let silent = filter(&config).unwrap().to_string();
        for name in TALKATIVE {
            assert!(silent.contains(&format!("{name}=error")), "{silent}");
        }
        let full = Config { log_addresses: Some(LogAddresses::Full), ..config };
        assert_eq!(filter(&full).unwrap().to_string(), "trace");
    }
}
