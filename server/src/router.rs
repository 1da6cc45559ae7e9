//! Who is there: the connection that speaks for each name, and how signals get to it.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasher, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
};

use hither_proto::{
    directory::{Revision, Signal},
    name::Name,
    wire::server::SessionId,
};

use crate::{inbox::Address, limits::ROUTER_SHARDS};

/// Everybody who is there. Names are spread over many locks, each held for a moment.
pub(crate) struct Router {
    hasher: RandomState,
    shards: Vec<Mutex<HashMap<Name, Binding>>>,
}

/// One connection among all those that there have been.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct ConnectionId(pub(crate) u64);

/// Who speaks for a name.
pub(crate) struct Binding {
    /// On which connection.
    pub(crate) connection: ConnectionId,
    /// In which session.
    pub(crate) session: SessionId,
    /// When that was opened.
    pub(crate) revision: Revision,
    /// Where to put signals.
    pub(crate) address: Address,
}

impl Router {
    /// Nobody is there.
    pub(crate) fn new() -> Self {
        let shards = (0..ROUTER_SHARDS).map(|_| Mutex::default()).collect();
        Self { hasher: RandomState::new(), shards }
    }

    /// From now on `newcomer` speaks for `name`, and whoever did before is told; or the other way round,
    /// if that one was opened later and was only quicker to get here.
    pub(crate) fn bind(&self, name: Name, newcomer: Binding) {
        let mut shard = self.shard(&name);
        let (told, by) = match shard.get(&name) {
            Some(newer) if newer.revision > newcomer.revision => (newcomer, newer.session),
            _ => {
                let by = newcomer.session;
                let Some(before) = shard.insert(name, newcomer) else { return };
                (before, by)
            }
        };
        told.address.put(Box::new(Signal::Replaced { by }));
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

    /// Whether somebody speaks for `name`.
    pub(crate) fn is_there(&self, name: &Name) -> bool {
        self.shard(name).contains_key(name)
    }

    fn shard(&self, name: &Name) -> MutexGuard<'_, HashMap<Name, Binding>> {
        // The remainder is below the number of shards, which fits every integer there is.
        let at = (self.hasher.hash_one(name) % self.shards.len() as u64) as usize;
        // No shard is left half-changed by a panic: each change is one call.
        self.shards[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{inbox::inbox, limits::SIGNALS_MAX};

    const FIRST: ConnectionId = ConnectionId(1);
    const SECOND: ConnectionId = ConnectionId(2);

    /// A connection of that number, whose session was opened at `revision` and is called by it.
    fn binding(connection: ConnectionId, revision: u8, address: Address) -> Binding {
        let session = [revision; 16];
        Binding { connection, session, revision: Revision(revision.into()), address }
    }

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
        router.bind(name("alice"), binding(FIRST, 1, address));
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
        router.bind(name("alice"), binding(FIRST, 1, first));
        router.bind(name("alice"), binding(SECOND, 2, second));
        let told = first_inbox.next().await.unwrap();
        assert!(matches!(*told, Signal::Replaced { by } if by == [2; 16]));
        assert!(!router.unbind(&name("alice"), FIRST));
        assert!(router.route(name("alice"), offline("bob")).is_none());
        assert!(second_inbox.next().await.is_some());
        assert!(router.unbind(&name("alice"), SECOND));
        assert!(!router.unbind(&name("alice"), SECOND));
    }

    #[tokio::test]
    async fn whoever_was_opened_later_stays_even_if_it_is_bound_first() {
        let router = Router::new();
        let ((older, mut older_inbox), (newer, mut newer_inbox)) = (inbox(), inbox());
        router.bind(name("alice"), binding(SECOND, 2, newer));
        router.bind(name("alice"), binding(FIRST, 1, older));
        let told = older_inbox.next().await.unwrap();
        assert!(matches!(*told, Signal::Replaced { by } if by == [2; 16]));
        assert!(!router.unbind(&name("alice"), FIRST));
        assert!(router.route(name("alice"), offline("bob")).is_none());
        let heard = newer_inbox.next().await.unwrap();
        assert!(matches!(*heard, Signal::Offline { .. }), "{heard:?}");
    }

    #[tokio::test]
    async fn a_connection_that_does_not_keep_up_is_given_up() {
        let router = Router::new();
        let (address, inbox) = inbox();
        router.bind(name("alice"), binding(FIRST, 1, address));
        for _ in 0..SIGNALS_MAX {
            assert!(router.route(name("alice"), offline("bob")).is_none());
        }
        assert!(router.route(name("alice"), offline("bob")).is_some());
        inbox.overrun().await;
        assert!(router.unbind(&name("alice"), FIRST), "it still has to say goodbye itself");
    }
}
