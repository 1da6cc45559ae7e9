//! When texts that disappear are to be gone, by this machine's clock.

use std::time::Duration;

use super::agent::{Agent, unix_now};

/// The clock can be set, so it is looked at this often while something waits for it.
const LOOK: Duration = Duration::from_secs(60);

impl Agent {
    /// How long until a text is to disappear, or until the clock is to be looked at again.
    pub(super) fn until_expiry(&self) -> Option<Duration> {
        // A store that cannot be read says so to whoever wants something of it.
        let store = &self.account.as_ref()?.store;
        let (next, now) = (store.next_expiry().ok()??, unix_now());
        if store.is_ahead_of(now) {
            return Some(Duration::ZERO);
        }
        let left = next.as_millis().saturating_sub(now.as_millis());
        Some(Duration::from_millis(left).min(LOOK))
    }

    /// Erases what is to have disappeared by now.
    pub(super) fn expire(&mut self) {
        if self.until_expiry() != Some(Duration::ZERO) {
            return;
        }
        let Some(account) = &mut self.account else { return };
        if let Err(error) = account.store.expire(unix_now()) {
            self.start_over(&error);
        }
    }
}
