//! The account that is unlocked in this agent: its node, its store, and its connection to the server.

use std::path::Path;

use hither_proto::{
    crypto::{label::Label, rng::Rng, secret::Secret},
    identity::Identity,
    login::SessionKey,
    message::{Body, Message},
    name::{Address, Link, Name},
    node::{self, Change, Node, Remembered, Start},
    time::Time,
    vault::{Vault, VaultKey},
    wire::{
        self,
        server::{PROOF_BYTES, Reply, Request},
    },
};
use tokio::sync::oneshot;

use super::{
    devices::Inquiries,
    net::{Carried, Link as Connection},
    session_file::SavedSession,
    store::{Store, StoreError},
};
use crate::fault::Fault;

/// Somebody who is logged in on this machine.
pub(super) struct Account {
    pub(super) saved: SavedSession,
    pub(super) node: Node,
    pub(super) store: Store,
    pub(super) server: Option<Carried>,
    /// Which attempt at being connected counts; older ones are ignored.
    pub(super) epoch: u64,
    /// Why the session of this machine is over, if it is.
    pub(super) ended: Option<Ended>,
    /// Why the server could not be logged in at when it was last tried.
    pub(super) absence: Option<Fault>,
    /// Texts that have been read, by their cursors, and are not marked so yet.
    pub(super) read: Vec<u64>,
    /// Why the disk did not take the last change, if it did not. Who only receives asks for nothing, and
    /// would not hear of it.
    pub(super) trouble: Option<Fault>,
    pub(super) inquiries: Inquiries,
    logout: Option<Logout>,
}

/// How an attempt at continuing a session came out.
pub(super) enum Resumption {
    /// The connection stands. Its frames are carried once the agent has taken it, so that none comes
    /// before the agent knows of it.
    Up(Box<Connection>, SessionKey),
    /// It failed, and is tried again.
    Failed(Fault),
    /// The session does not go on by itself.
    Ended(Ended),
}

/// Why a session is over, so that somebody at this machine has to do something.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ended {
    /// Another machine speaks for the account.
    TakenOver,
    /// Whoever runs the server has disabled the account.
    Disabled,
    /// The server has forgotten it.
    Forgotten,
}

impl Ended {
    /// As a command is told that cannot do without the session.
    pub(super) fn fault(self) -> Fault {
        match self {
            Self::TakenOver => Fault::TakenOver,
            Self::Disabled => Fault::Disabled,
            Self::Forgotten => Fault::SessionEnded,
        }
    }

    /// What it means that a session was not continued for this reason, if that is for good.
    pub(super) const fn by(fault: &Fault) -> Option<Self> {
        match fault {
            Fault::TakenOver => Some(Self::TakenOver),
            Fault::Disabled => Some(Self::Disabled),
            Fault::AuthFailed => Some(Self::Forgotten),
            _ => None,
        }
    }

    /// In one word.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::TakenOver => "taken_over",
            Self::Disabled => "disabled",
            Self::Forgotten => "session_ended",
        }
    }
}

struct Logout {
    challenge: [u8; PROOF_BYTES],
    /// Whether the server has proven that it knows the key of this session.
    proven: bool,
    done: oneshot::Sender<()>,
}

impl Account {
    /// The account of a session that was saved here, if its store is here too.
    pub(super) fn resume(
        saved: SavedSession,
        folder: &Path,
        rng: &mut Rng,
    ) -> Result<Option<Self>, StoreError> {
        let store = Store::open(folder, &saved.seed, Rng::from_seed(rng.secret()))?;
        let Some(remembered) = all_remembered(&store)? else { return Ok(None) };
        Self::unlocked(saved, store, remembered, rng).map(Some)
    }

    /// The account of somebody who has just logged in.
    pub(super) fn log_in(
        saved: SavedSession,
        (counter, vault): (u64, Vault),
        folder: &Path,
        rng: &mut Rng,
    ) -> Result<Self, StoreError> {
        let mut store = Store::open(folder, &saved.seed, Rng::from_seed(rng.secret()))?;
        let remembered = node::restore(store.remembered()?, counter, vault);
        store.replace(&remembered)?;
        Self::unlocked(saved, store, remembered, rng)
    }

    fn unlocked(
        saved: SavedSession,
        store: Store,
        remembered: Remembered,
        rng: &mut Rng,
    ) -> Result<Self, StoreError> {
        let node = start(&saved, &store, remembered, rng)?;
        Ok(Self {
            saved,
            node,
            store,
            server: None,
            epoch: 0,
            ended: None,
            absence: None,
            read: Vec::new(),
            trouble: None,
            inquiries: Inquiries::new(),
            logout: None,
        })
    }

    /// Forgets whatever is only in memory, as a crash would.
    pub(super) fn start_over(&mut self, rng: &mut Rng) -> Result<(), StoreError> {
        let remembered = all_remembered(&self.store)?.ok_or(StoreError::Damaged)?;
        self.node = start(&self.saved, &self.store, remembered, rng)?;
        Ok(())
    }

    /// Conversations stand where these changes have left them on the disk, and nowhere else.
    pub(super) fn follow_store(&mut self, changes: &[Change]) {
        let mut last = None;
        for change in changes {
            let (Change::Received { from: with, .. } | Change::Cancelled { to: with, .. }) = change
            else {
                continue;
            };
            if last.replace(with) != Some(with) {
                self.node.set_conversation(with, self.store.conversation(with));
            }
        }
    }

    /// What waits to be delivered, as the node tells it. Read receipts are no messages of anybody's.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (&Name, &Message, u32, bool)> {
        let queue = self.node.queue();
        queue.filter(|(_, message, ..)| !matches!(message.body, Body::Read { .. }))
    }

    /// The session is over, and whoever is there is not talked to under it any more.
    pub(super) fn end(&mut self, now: Time, why: Ended) {
        self.ended = Some(why);
        self.node.part(now);
    }

    /// `name@host[:port]`.
    pub(super) fn address(&self) -> String {
        let (name, server) = (self.saved.name.clone(), self.saved.host.clone());
        Address { name, server }.to_string()
    }

    /// The link of the server.
    pub(super) fn link(&self) -> String {
        let (server, pin) = (self.saved.host.clone(), self.saved.pin.clone());
        Link { server, invite: None, pin }.to_string()
    }

    /// Why this account cannot do what needs the server, if it cannot.
    pub(super) fn offline_fault(&self) -> Option<Fault> {
        if let Some(ended) = self.ended {
            return Some(ended.fault());
        }
        self.server.is_none().then(|| self.absence.clone().unwrap_or_else(|| self.unreachable()))
    }

    /// That the server does not answer.
    pub(super) fn unreachable(&self) -> Fault {
        let host = &self.saved.host;
        Fault::ServerUnreachable { host: host.host.clone(), port: host.port }
    }

    /// Begins the logout exchange; `None` if there is no server to have it with.
    pub(super) fn begin_logout(&mut self, rng: &mut Rng) -> Option<oneshot::Receiver<()>> {
        let server = self.server.as_ref()?;
        let challenge = rng.bytes();
        server.send(wire::encode(&Request::Logout { challenge }));
        let (done, wait) = oneshot::channel();
        self.logout = Some(Logout { challenge, proven: false, done });
        Some(wait)
    }

    /// The connection on which a logout was under way is gone.
    pub(super) fn cut_logout(&mut self) {
        self.logout = None;
    }

    /// Takes a frame if it belongs to the logout exchange. The server proves first that it knows the key
    /// of this session; then we do.
    pub(super) fn logout_frame(&mut self, body: &[u8]) -> bool {
        let (Some(logout), Some(server)) = (&mut self.logout, &self.server) else { return false };
        match wire::decode::<Reply>(body) {
            Ok(Reply::LogoutChallenge { challenge, proof }) => {
                let key = &server.session_key;
                let expected = key.logout_proof(Label::LogoutServer, &logout.challenge, &challenge);
                if !expected.matches(&proof) {
                    // Whoever this is, it is not the server that we logged in at.
                    server.close();
                    return true;
                }
                logout.proven = true;
                let proof = key.logout_proof(Label::LogoutClient, &logout.challenge, &challenge);
                let request = Request::FinishLogout { proof: *proof.expose() };
                server.send(wire::encode(&request));
                true
            }
            Ok(Reply::LoggedOut) => {
                if let Some(logout) = self.logout.take_if(|logout| logout.proven) {
                    // The server closes now, and there is no session to come back to.
                    self.ended = Some(Ended::Forgotten);
                    // Whoever waited may have given up.
                    let _ = logout.done.send(());
                }
                true
            }
            _ => false,
        }
    }
}

/// What the store remembers, if that can be gone on from without a login.
///
/// Every login leaves its mark. A store without one is not the store of this session, and one in which
/// somebody could not be read has lost it: going on from either would put an emptier vault in the place of
/// the real one. A login brings everybody back from there.
fn all_remembered(store: &Store) -> Result<Option<Remembered>, StoreError> {
    Ok(store.remembered()?.filter(|remembered| remembered.vault_counter > 0))
}

fn start(
    saved: &SavedSession,
    store: &Store,
    remembered: Remembered,
    rng: &mut Rng,
) -> Result<Node, StoreError> {
    let seed: Secret<32> = rng.secret();
    Ok(Node::new(Start {
        name: saved.name.clone(),
        identity: Identity::from_seed(saved.seed.duplicate()),
        vault_key: VaultKey::from_secret(saved.vault_key.duplicate()),
        server_pin: saved.pin.to_string(),
        remembered,
        conversations: store.conversations()?,
        queue: store.queue()?,
        rng: Rng::from_seed(seed),
    }))
}

#[cfg(test)]
mod tests {
    use hither_proto::{id::MessageId, node::Conversation, time::UnixTime};

    use super::*;
    use crate::agent::session_file::tests::sample;

    fn log_in(folder: &Path) -> Account {
        let saved = sample();
        let (seed, server_pin) = (saved.seed.duplicate(), saved.pin.to_string());
        let vault = Vault { seed, server_pin, contacts: Vec::new() };
        let mut rng = Rng::from_seed(Secret::new([6; 32]));
        Account::log_in(saved, (1, vault), folder, &mut rng).unwrap()
    }

    #[test]
    fn a_timer_that_comes_again_turns_nothing_back() {
        let folder = std::env::temp_dir().join(format!("hither-account-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let bob: Name = "bob".parse().unwrap();
        let message = |number, seconds| {
            let (id, body) = (MessageId([number; 16]), Body::Timer { seconds });
            Message { id, sent_at: 0, seen: None, body }
        };
        let theirs = [Change::Received { from: bob.clone(), message: message(1, Some(60)) }];
        let mine = [Change::Queued { to: bob.clone(), message: message(2, None) }];
        let now = UnixTime::from_millis(1);
        let mut account = log_in(&folder);
        for changes in [&theirs, &mine] {
            account.store.apply(now, changes, &[]).unwrap();
        }
        drop(account);
        let mut account = log_in(&folder);
        // So the node takes a message whose receipt was lost.
        let again = Conversation { seen: None, timer: Some(60) };
        account.node.set_conversation(&bob, again);
        account.store.apply(now, &theirs, &[]).unwrap();
        account.follow_store(&theirs);
        assert_eq!(account.node.timer(&bob), None);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
