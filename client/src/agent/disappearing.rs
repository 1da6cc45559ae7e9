//! When texts that disappear are to be gone, by this machine's clock.

use std::time::{Duration, Instant};

use super::{
    agent::{Agent, unix_now},
    settle::DISK_PAUSE,
};

/// The clock can be set, so it is looked at this often while something waits for it.
const LOOK: Duration = Duration::from_secs(60);

impl Agent {
    /// How long until a text is to disappear, or until the clock is to be looked at again.
    pub(super) fn until_expiry(&self) -> Option<Duration> {
        // A store that cannot be read says so to whoever wants something of it.
        let store = &self.account.as_ref()?.store;
        let (next, now) = (store.next_expiry().ok()??, unix_now());
        let left = match store.is_ahead_of(now) {
            true => Duration::ZERO,
            false => Duration::from_millis(next.as_millis().saturating_sub(now.as_millis())),
        };
        let rest = self.expiry_rests.map(|until| until.saturating_duration_since(Instant::now()));
        Some(left.min(LOOK).max(rest.unwrap_or_default()))
    }

    /// Erases what is to have disappeared by now.
    pub(super) fn expire(&mut self) {
        if self.until_expiry() != Some(Duration::ZERO) {
            return;
        }
        let Some(account) = &mut self.account else { return };
        // What the node knows does not change with it, so that everything else can go on.
        let failed = account.store.expire(unix_now()).err();
        if let Some(error) = &failed {
            tracing::error!(%error, "what is to disappear could not be erased");
        }
        self.expiry_rests = failed.map(|_| Instant::now() + DISK_PAUSE);
    }
}
