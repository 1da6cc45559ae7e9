//! The signals that wait for one connection, in next to no memory while none do.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hither_proto::directory::Signal;
use tokio::sync::Notify;

use crate::limits::SIGNALS_MAX;

/// Where to put signals for one connection.
#[derive(Clone)]
pub(crate) struct Address(Arc<Mailbox>);

/// The signals for one connection, and the news that it is too far behind with them.
pub(crate) struct Inbox(Arc<Mailbox>);

#[derive(Default)]
struct Mailbox {
    mail: Mutex<Mail>,
    news: Notify,
}

#[derive(Default)]
struct Mail {
    signals: VecDeque<Box<Signal>>,
    /// Some could not be delivered.
    overrun: bool,
    /// Nobody will read any.
    gone: bool,
}

/// An inbox, and where to put signals for it.
pub(crate) fn inbox() -> (Address, Inbox) {
    let mailbox = Arc::new(Mailbox::default());
    (Address(Arc::clone(&mailbox)), Inbox(mailbox))
}

impl Inbox {
    /// The next signal; `None` once it is pointless to go on, because some could not be delivered.
    pub(crate) async fn next(&mut self) -> Option<Box<Signal>> {
        loop {
            if let Some(signal) = self.0.mail().take() {
                return signal;
            }
            self.0.news.notified().await;
        }
    }

    /// Waits until the connection is too far behind.
    pub(crate) async fn overrun(&self) {
        while !self.0.mail().overrun {
            self.0.news.notified().await;
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        *self.0.mail() = Mail { gone: true, ..Mail::default() };
    }
}

impl Address {
    /// Delivers a signal, or gives it back and gives the connection up.
    pub(crate) fn put(&self, signal: Box<Signal>) -> Option<Box<Signal>> {
        let refused = self.0.mail().put(signal);
        self.0.news.notify_one();
        refused
    }
}

impl Mailbox {
    fn mail(&self) -> MutexGuard<'_, Mail> {
        // Nothing that is done with it can panic half-way.
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mail {
    fn put(&mut self, signal: Box<Signal>) -> Option<Box<Signal>> {
        if self.gone || self.signals.len() >= SIGNALS_MAX {
            self.overrun = true;
            return Some(signal);
        }
        self.signals.push_back(signal);
        None
    }

    /// The next signal, or that there will be none; `None` while there is neither.
    fn take(&mut self) -> Option<Option<Box<Signal>>> {
        if self.overrun {
            return Some(None);
        }
        let signal = self.signals.pop_front()?;
        if self.signals.is_empty() {
            self.signals = VecDeque::new();
        }
        Some(Some(signal))
    }
}
