//! The end of a server, as every connection waits for it.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use tokio::sync::Notify;

/// Whether it has begun. It does not end again.
#[derive(Default)]
pub(crate) struct Drain {
    begun: AtomicBool,
    told: Notify,
}

impl Drain {
    /// Tells everybody who waits, or will.
    pub(crate) fn begin(&self) {
        self.begun.store(true, SeqCst);
        self.told.notify_waiters();
    }

    /// Whether it has begun.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun.load(SeqCst)
    }

    /// Waits until it has.
    pub(crate) async fn begun(&self) {
        // It waits from here on, and so does not miss what comes after the look.
        let told = self.told.notified();
        if !self.has_begun() {
            told.await;
        }
    }
}
