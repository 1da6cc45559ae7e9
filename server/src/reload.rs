//! What a running server is told anew (SIGHUP): registration, what is logged, the certificate. All or nothing.

use std::{sync::Weak, time::SystemTime};

use tracing::{error, info, warn};

use crate::{
    config::Config,
    fault::Fault,
    logging::{self, Logging},
    serve::Shared,
};

/// The parts of a running server that can be told something else.
pub(crate) struct Reloading {
    shared: Weak<Shared>,
    logging: Logging,
    start: Config,
}

impl Reloading {
    /// Of a server that was started with `start`.
    pub(crate) const fn new(shared: Weak<Shared>, logging: Logging, start: Config) -> Self {
        Self { shared, logging, start }
    }

    /// Has everything be as the configuration says now. If anything in it is wrong, everything stays.
    pub(crate) fn reload(&self, config: Result<Config, Fault>, now: SystemTime) {
        match config.and_then(|config| self.apply(&config, now)) {
            Ok(()) => info!("the configuration was read again"),
            Err(fault) => error!("nothing was changed: {fault}; {}", fault.hint()),
        }
    }

    fn apply(&self, config: &Config, now: SystemTime) -> Result<(), Fault> {
        let Some(shared) = self.shared.upgrade() else { return Ok(()) };
        let (files, filter) = (config.certificate()?, logging::filter(config)?);
        let certificate = match &files {
            Some(files) => Some(shared.certificates.prepare(Some(files), now)?),
            None if shared.certificates.is_made_here() => None,
            None => Some(shared.certificates.prepare(None, now)?),
        };
        self.logging.refilter(filter)?;
        match certificate {
            Some(certificate) => shared.certificates.swap(certificate),
            None => shared.certificates.look_after(now),
        }
        shared.tasks.set_registration(config.registration.unwrap_or_default());
        for key in config.fixed_since(&self.start) {
            warn!("`{key}` has changed, which takes effect at the next start");
        }
        Ok(())
    }
}
