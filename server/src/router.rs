//! Who is there: the connection that speaks for each name, and how signals get to it.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hither_proto::{directory::Signal, name::Name, wire::server::SessionId};
use tokio::sync::{Notify, mpsc};

use crate::limits::{ROUTER_SHARDS, SIGNALS_MAX};

/// Everybody who is there. Names are spread over many locks, each held for a moment.
pub(crate) struct Router {
    hasher: RandomState,
    shards: Vec<Mutex<HashMap<Name, Binding>>>,
}

/// One connection among all those that there have been.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct ConnectionId(pub(crate) u64);

struct Binding {
    connection: ConnectionId,
    address: Address,
}

/// Where to put signals for one connection.
#[derive(Clone)]
pub(crate) struct Address {
    signals: mpsc::Sender<Box<Signal>>,
    overrun: Arc<Notify>,
}

/// The signals for one connection, and the news that it is too far behind with them.
pub(crate) struct Inbox {
    signals: mpsc::Receiver<Box<Signal>>,
    overrun: Arc<Notify>,
}

/// An inbox, and where to put signals for it.
pub(crate) fn inbox() -> (Address, Inbox) {
    let (sender, signals) = mpsc::channel(SIGNALS_MAX);
    let overrun = Arc::new(Notify::new());
    (Address { signals: sender, overrun: Arc::clone(&overrun) }, Inbox { signals, overrun })
}

impl Inbox {
    /// The next signal; `None` once it is pointless to go on, because some could not be delivered.
    pub(crate) async fn next(&mut self) -> Option<Box<Signal>> {
        tokio::select! {
            signal = self.signals.recv() => signal,
            () = self.overrun.notified() => None,
        }
    }

    /// Waits until the connection is too far behind. After this, [`Inbox::next`] may miss it.
    pub(crate) async fn overrun(&self) {
        self.overrun.notified().await;
    }
}

impl Router {
    /// Nobody is there.
    pub(crate) fn new() -> Self {
        let shards = (0..ROUTER_SHARDS).map(|_| Mutex::default()).collect();
        Self { hasher: RandomState::new(), shards }
    }

    /// From now on `connection` speaks for `name`, in `session`. Whoever did before is told.
    pub(crate) fn bind(
        &self,
        name: Name,
        connection: ConnectionId,
        session: SessionId,
        address: Address,
    ) {
        let binding = Binding { connection, address };
        let before = self.shard(&name).insert(name, binding);
        if let Some(before) = before {
            before.address.put(Box::new(Signal::Replaced { by: session }));
        }
    }

    /// `connection` does not speak for `name` any more. Says whether it did until now.
    pub(crate) fn unbind(&self, name: &Name, connection: ConnectionId) -> bool {
        let mut shard = self.shard(name);
        let was_ours = shard.get(name).is_some_and(|binding| binding.connection == connection);
        if was_ours {
            shard.remove(name);
        }
        was_ours
    }

    /// Hands a signal to whoever speaks for `name`; it comes back if nobody does.
    pub(crate) fn route(&self, name: Name, signal: Box<Signal>) -> Option<Box<Signal>> {
        match self.shard(&name).entry(name) {
            Entry::Occupied(binding) => binding.get().address.put(signal),
            Entry::Vacant(_) => Some(signal),
        }
    }

    fn shard(&self, name: &Name) -> MutexGuard<'_, HashMap<Name, Binding>> {
        // The remainder is below the number of shards, which fits every integer there is.
        let at = (self.hasher.hash_one(name) % self.shards.len() as u64) as usize;
        // No shard is left half-changed by a panic: each change is one call.
        self.shards[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Address {
    /// Delivers a signal, or gives it back and gives the connection up.
    fn put(&self, signal: Box<Signal>) -> Option<Box<Signal>> {
        let refused = self.signals.try_send(signal).err()?;
        self.overrun.notify_one();
        Some(refused.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: ConnectionId = ConnectionId(1);
    const SECOND: ConnectionId = ConnectionId(2);

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn offline(from: &str) -> Box<Signal> {
        Box::new(Signal::Offline { from: name(from) })
    }

    #[tokio::test]
    async fn signals_come_to_who_is_bound_in_order() {
        let router = Router::new();
        assert!(router.route(name("alice"), offline("bob")).is_some());
        let (address, mut inbox) = inbox();
        router.bind(name("alice"), FIRST, [1; 16], address);
        for from in ["bob", "carol"] {
            assert!(router.route(name("alice"), offline(from)).is_none());
        }
        for expected in ["bob", "carol"] {
            let signal = inbox.next().await.unwrap();
            assert!(matches!(*signal, Signal::Offline { from } if from == name(expected)));
        }
        assert!(router.unbind(&name("alice"), FIRST));
        assert!(router.route(name("alice"), offline("bob")).is_some());
    }

    #[tokio::test]
    async fn a_second_connection_takes_the_name_over() {
        let router = Router::new();
        let ((first, mut first_inbox), (second, mut second_inbox)) = (inbox(), inbox());
        router.bind(name("alice"), FIRST, [1; 16], first);
        router.bind(name("alice"), SECOND, [2; 16], second);
        let told = first_inbox.next().await.unwrap();
        assert!(matches!(*told, Signal::Replaced { by } if by == [2; 16]));
        assert!(!router.unbind(&name("alice"), FIRST));
        assert!(router.route(name("alice"), offline("bob")).is_none());
        assert!(second_inbox.next().await.is_some());
        assert!(router.unbind(&name("alice"), SECOND));
        assert!(!router.unbind(&name("alice"), SECOND));
    }

    #[tokio::test]
    async fn a_connection_that_does_not_keep_up_is_given_up() {
        let router = Router::new();
        let (address, inbox) = inbox();
        router.bind(name("alice"), FIRST, [1; 16], address);
        for _ in 0..SIGNALS_MAX {
            assert!(router.route(name("alice"), offline("bob")).is_none());
        }
        assert!(router.route(name("alice"), offline("bob")).is_some());
        inbox.overrun().await;
        assert!(router.unbind(&name("alice"), FIRST), "it still has to say goodbye itself");
    }
}
