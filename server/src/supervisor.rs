//! What systemd is told, if it started this: that the server serves, and that it ends.

use sd_notify::NotifyState;
use tracing::debug;

/// Callers are let in from now on.
pub(crate) fn serving() {
    tell(&NotifyState::Ready);
}

/// Nobody is let in any more; whoever is there may finish.
pub(crate) fn ending() {
    tell(&NotifyState::Stopping);
}

fn tell(state: &NotifyState<'_>) {
    // Without a supervisor there is nobody to tell, and one that does not listen is no reason not to serve.
    if let Err(error) = sd_notify::notify(std::slice::from_ref(state)) {
        debug!("the supervisor could not be told `{state}`: {error}");
    }
}
