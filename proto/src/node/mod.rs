//! One person's agent: contacts, the queue of what is to be delivered, attempts at reaching people, and
//! sessions with them. It knows no clock, no socket and no disk; a driver gives it [`Input`]s and carries
//! out its [`Output`]s.

mod allowance;
mod attempt;
mod attempts;
mod contacts;
mod dials;
mod guesses;
mod neighbours;
mod outbox;
mod peers;
mod reach;
mod rest;
mod restore;
mod resumption;
mod rounds;
mod server;
#[cfg(test)]
mod tests;
mod vault;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    time::Duration,
};

use crate::{
    crypto::rng::Rng,
    id::MessageId,
    identity::{Entry, Identity, PublicIdentity},
    knock::KnockKey,
    limits::REST_AFTER,
    message::Message,
    name::Name,
    neighbour::Pseudonym,
    reach::{Policy, Probe},
    ticket::AttemptId,
    time::Time,
    vault::{Contact, Standing, VaultKey},
    wire::server::{Candidate, Nat, Observer},
};
use allowance::Allowances;
use attempt::Attempt;
pub use contacts::ContactView;
use contacts::Request;
pub use dials::Dial;
pub use guesses::Guess;
pub use neighbours::Announcement;
use neighbours::Neighbours;
use outbox::Outbox;
use peers::Peer;
pub use reach::{Hold, NoPath, TheirEnd};
use reach::{Retry, Seen};
pub use restore::{Remembered, restore};
use resumption::Resumption;
pub use rounds::Afresh;

/// A direct connection to a peer, numbered by the driver and never reused.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Conn(pub u64);

/// Which request of the person an [`Event::Answered`] answers.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct RequestId(pub u32);

/// Everything that can happen to a node.
#[derive(Debug)]
pub enum Input<'a> {
    /// The door of an attempt is open: it answers with this certificate, and these are its addresses.
    DoorOpened {
        /// Which attempt.
        attempt: AttemptId,
        /// The hash of the throw-away certificate.
        certificate: [u8; 32],
        /// Where it can be found, as far as this machine knows.
        candidates: Vec<Candidate>,
    },
    /// Somebody announces themselves on this machine's network.
    Neighbour {
        /// As what.
        pseudonyms: &'a [Pseudonym],
        /// Where.
        at: SocketAddr,
    },
    /// A socket that [`Guess::Afresh`] asked for is open, or will not be.
    OpenedAfresh {
        /// For which attempt.
        attempt: AttemptId,
        /// Where the server sees it.
        at: Option<SocketAddr>,
    },
    /// The network of this machine is another, or may have forgotten this machine while it slept.
    NetworkChanged,
    /// A direct connection of an attempt is closed, for whatever reason.
    PeerClosed(Conn),
    /// A direct connection of an attempt stands.
    PeerConnected {
        /// Its number.
        conn: Conn,
        /// Which attempt's knock it came with, or was dialled for.
        attempt: AttemptId,
        /// Its TLS exporter ([`crate::crypto::label::PEER_EXPORTER`]).
        exporter: [u8; 32],
        /// The hash of the other end's certificate.
        certificate: [u8; 32],
        /// The other end's address.
        remote: SocketAddr,
    },
    /// Packets have gone out on a direct connection for a while, and none has come back.
    PeerSilent(Conn),
    /// The peer has sent a frame.
    PeerFrame {
        /// On which connection.
        conn: Conn,
        /// Its body.
        frame: &'a [u8],
    },
    /// The connection to the server is gone.
    ServerDown,
    /// The server has sent a frame's body.
    ServerFrame(&'a [u8]),
    /// This client is logged in at the server, and may show itself there.
    ServerUp(Option<Observer>),
    /// What [`Output::Wake`] has sent at the other end has come, or a copy of it.
    PeerWakes {
        /// On which connection.
        conn: Conn,
        /// Its body.
        frame: &'a [u8],
    },
    /// The deadline has passed.
    Timeout,
}

/// Everything a node can ask of the world. Outputs are carried out in the order they come: a `Store` is
/// durable before a `Send` behind it leaves. Stores may be carried out earlier, so that many share one
/// flush.
#[derive(Debug)]
pub enum Output {
    /// Keep a direct connection alive again, and give it up when nobody answers.
    Awake(Conn),
    /// Stop dialling for this attempt and admitting its knocks, and close its connections but one.
    CloseDoor {
        /// Which attempt.
        attempt: AttemptId,
        /// The connection that stays.
        keep: Option<Conn>,
    },
    /// Close a direct connection.
    ClosePeer(Conn),
    /// Dial the other end's door, as often as [`crate::limits::REDIALS`] says, until the door is closed.
    Dial {
        /// Which attempt.
        attempt: AttemptId,
        /// The other end's door.
        dial: Dial,
    },
    /// Something that a person or a program may wait for.
    Event(Event),
    /// Find the other end of an attempt by guessing.
    Guess(AttemptId, Guess),
    /// Make a throw-away certificate, and admit these knocks. Answered by [`Input::DoorOpened`].
    OpenDoor {
        /// Which attempt.
        attempt: AttemptId,
        /// The key of the knocks.
        knock: KnockKey,
    },
    /// Send this datagram to the server at this port: if `fresh`, from a socket of its own, else from the one
    /// that everything else leaves from. It may be lost, so more than once.
    Probe {
        /// The port.
        port: u16,
        /// The datagram.
        probe: Probe,
    },
    /// Send a frame to a peer.
    SendPeer {
        /// On which connection.
        conn: Conn,
        /// Its body.
        frame: Vec<u8>,
    },
    /// Send a frame's body to the server.
    SendServer(Vec<u8>),
    /// Send nothing on a direct connection of your own accord, and do not give it up however long nothing comes.
    Sleep(Conn),
    /// Write this down, durably.
    Store(Change),
    /// Send a frame to a peer in datagrams, [`crate::limits::WAKE_COPIES`] times; as any other, if it is too large for one.
    Wake {
        /// On which connection.
        conn: Conn,
        /// Its body.
        frame: Vec<u8>,
    },
}

/// A change of what is remembered. Each is idempotent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Change {
    /// A queued message will not be sent any more.
    Cancelled {
        /// To whom it was.
        to: Name,
        /// Which.
        id: MessageId,
    },
    /// Somebody is remembered this way.
    Contact(Contact),
    /// Somebody is forgotten. What was said stays.
    ContactGone(Name),
    /// A message is on its addressee's disk.
    Delivered {
        /// To whom it was.
        to: Name,
        /// Which.
        id: MessageId,
    },
    /// A message is to be delivered.
    Queued {
        /// To whom.
        to: Name,
        /// The message.
        message: Message,
    },
    /// A message has come. One of this person with this id that has come before stays as it was. Afterwards
    /// the node is told where that leaves the conversation ([`Node::set_conversation`]).
    Received {
        /// From whom.
        from: Name,
        /// The message.
        message: Message,
    },
    /// How the vault at the server stands to what is remembered here.
    Vault {
        /// The newest version that is known to be there.
        counter: u64,
        /// Whether something has changed since.
        dirty: bool,
    },
}

/// Where a conversation stands, as far as the next message needs to know.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Conversation {
    /// The newest message of the other person on this machine's disk.
    pub seen: Option<MessageId>,
    /// After how many seconds texts disappear.
    pub timer: Option<u32>,
}

/// Something that a person or a program may wait for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// A request has come out.
    Answered(RequestId, Result<(), Refused>),
    /// Somebody has accepted.
    ContactAccepted(Name),
    /// Somebody asks to be accepted.
    ContactRequested(Name),
    /// The message is on its addressee's disk. The path it went is given.
    Delivered(MessageId, SocketAddr),
    /// What waits for this contact goes on waiting, for this reason.
    Held(Name, Hold),
    /// Somebody's identity is not the pinned one. Nothing was sent.
    IdentityChanged(Name),
    /// There is no path to this contact any more.
    PathDown(Name),
    /// There is a path to this contact.
    PathUp(Name, SocketAddr),
    /// A contact came or went.
    Presence(Name, bool),
    /// A contact has read these messages.
    Read(Name, Vec<MessageId>),
    /// The server ends this session: the account is logged in on another machine.
    TakenOver,
    /// A contact is typing, or has stopped.
    Typing(Name, bool),
    /// No version of the vault is under way any more: the server has the newest one, has refused it, or is gone.
    VaultSettled,
}

/// Why a request was not carried out.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refused {
    /// They are blocked.
    #[error("blocked")]
    Blocked,
    /// More contacts, more messages for one of them, or more bytes in a message, than are allowed.
    #[error("full")]
    Full,
    /// They have not accepted, or nobody has accepted them.
    #[error("not accepted")]
    NotAccepted,
    /// There is no such contact.
    #[error("no such contact")]
    NoContact,
    /// Their identity was last seen to be another than the pinned one.
    #[error("the identity has changed")]
    IdentityChanged,
    /// They have not asked.
    #[error("no request")]
    NoRequest,
    /// That is this person's own name.
    #[error("oneself")]
    Oneself,
    /// There is no connection to the server.
    #[error("no connection to the server")]
    ServerGone,
    /// The server does that so often and no more.
    #[error("too often")]
    RateLimited {
        /// In how many milliseconds it would do it again.
        retry_after_ms: u64,
    },
    /// The server cannot do it now.
    #[error("the server cannot do it now")]
    ServerUnavailable,
    /// The server has said something that cannot be true.
    #[error("the server lies")]
    ServerLies,
}

/// One person's agent.
#[derive(Debug)]
pub struct Node {
    name: Name,
    identity: Identity,
    entry: Entry,
    vault_key: VaultKey,
    server_pin: String,
    rng: Rng,
    contacts: BTreeMap<Name, Contact>,
    changed: BTreeMap<Name, ()>,
    present: BTreeMap<Name, ()>,
    conversations: BTreeMap<Name, Conversation>,
    outboxes: BTreeMap<Name, Outbox>,
    vault_counter: u64,
    vault_dirty: bool,
    server_up: bool,
    /// Until when the server may still be saying who is there.
    grace: Option<Time>,
    requests: BTreeMap<u32, Request>,
    next_request: u32,
    attempts: BTreeMap<AttemptId, Attempt>,
    allowances: Allowances,
    retries: BTreeMap<Name, Retry>,
    peers: BTreeMap<Conn, Peer>,
    paths: BTreeMap<Name, Conn>,
    /// What the last sessions have left.
    resumptions: BTreeMap<Name, Resumption>,
    /// Who is on this network, as far as that matters.
    neighbours: Neighbours,
    /// Whom there was a path to that may not stand any more.
    missed: BTreeSet<Name>,
    /// Why the last attempt at reaching somebody came to nothing.
    failures: BTreeMap<Name, NoPath>,
    /// What it has shown of the other end.
    their_ends: BTreeMap<Name, TheirEnd>,
    /// Where the server sees this client.
    seen: Option<Seen>,
    /// What stands in front of this machine.
    nat: Nat,
    /// Where the Internet sees this machine without a translator in between.
    global: Vec<SocketAddr>,
    /// Whether the server has been told.
    global_told: bool,
    /// Where it has shown itself on this connection, before the server has said where it sees it.
    shown: Option<Observer>,
    /// How long a path that nobody uses is kept alive.
    rest_after: Duration,
    outputs: VecDeque<Output>,
}

/// What a node starts from.
#[derive(Debug)]
pub struct Start {
    /// Who.
    pub name: Name,
    /// The identity.
    pub identity: Identity,
    /// The key of the vault.
    pub vault_key: VaultKey,
    /// The fingerprint of the server.
    pub server_pin: String,
    /// What is remembered of contacts and the vault.
    pub remembered: Remembered,
    /// Where conversations stand.
    pub conversations: Vec<(Name, Conversation)>,
    /// What waits to be delivered, oldest first.
    pub queue: Vec<(Name, Message)>,
    /// Randomness of its own.
    pub rng: Rng,
}

impl Node {
    /// An agent that is not connected to anybody.
    pub fn new(start: Start) -> Self {
        let Start { name, identity, vault_key, server_pin, remembered, conversations, queue, rng } =
            start;
        let mut outboxes: BTreeMap<Name, Outbox> = BTreeMap::new();
        for (to, message) in queue {
            outboxes.entry(to).or_default().restore(message);
        }
        let contacts = remembered.contacts.into_iter();
        Self {
            entry: identity.entry(&name),
            name,
            identity,
            vault_key,
            server_pin,
            rng,
            contacts: contacts.map(|contact| (contact.name.clone(), contact)).collect(),
            changed: BTreeMap::new(),
            present: BTreeMap::new(),
            conversations: conversations.into_iter().collect(),
            outboxes,
            vault_counter: remembered.vault_counter,
            vault_dirty: remembered.vault_dirty,
            server_up: false,
            grace: None,
            requests: BTreeMap::new(),
            next_request: 0,
            attempts: BTreeMap::new(),
            allowances: Allowances::default(),
            retries: BTreeMap::new(),
            peers: BTreeMap::new(),
            paths: BTreeMap::new(),
            resumptions: BTreeMap::new(),
            neighbours: Neighbours::default(),
            missed: BTreeSet::new(),
            failures: BTreeMap::new(),
            their_ends: BTreeMap::new(),
            seen: None,
            nat: Nat::default(),
            global: Vec::new(),
            global_told: false,
            shown: None,
            rest_after: REST_AFTER,
            outputs: VecDeque::new(),
        }
    }

    /// Takes in what has happened.
    pub fn handle(&mut self, now: Time, input: Input<'_>) {
        match input {
            Input::DoorOpened { attempt, certificate, candidates } => {
                self.door_opened(now, attempt, certificate, candidates);
            }
            Input::Neighbour { pseudonyms, at } => self.neighbour(now, pseudonyms, at),
            Input::NetworkChanged => self.network_changed(now),
            Input::OpenedAfresh { attempt, at } => self.opened_afresh(now, attempt, at),
            Input::PeerClosed(conn) => self.peer_closed(now, conn),
            Input::PeerConnected { conn, attempt, exporter, certificate, remote } => {
                let link = attempt::Link { conn, exporter, certificate, remote };
                self.peer_connected(now, attempt, link);
            }
            Input::PeerSilent(conn) => self.peer_silent(now, conn),
            Input::PeerFrame { conn, frame } => self.peer_frame(now, conn, frame),
            Input::PeerWakes { conn, frame } => self.peer_wakes(now, conn, frame),
            Input::ServerDown => self.server_down(now),
            Input::ServerFrame(body) => self.server_frame(now, body),
            Input::ServerUp(observer) => self.server_up(now, observer),
            Input::Timeout => self.timeout(now),
        }
    }

    /// What is to be done next. Receipts come when nothing else is left, so that whatever was taken in
    /// before this call shares one.
    pub fn poll(&mut self, now: Time) -> Option<Output> {
        if self.outputs.is_empty() {
            self.send_receipts(now);
        }
        self.outputs.pop_front()
    }

    /// When [`Input::Timeout`] is due.
    pub fn deadline(&self) -> Option<Time> {
        let attempts = self.attempts.values().map(Attempt::deadline);
        let alone = |name: &Name| self.wants_resumption(name) || self.wants_neighbour(name);
        let due = |name: &Name| self.wants_path(name) || alone(name);
        let retries = self.retries.iter().filter(|(name, _)| due(name));
        let sessions = self.peers.values().map(Peer::deadline);
        attempts.chain(retries.map(|(_, retry)| retry.next)).chain(self.grace).chain(sessions).min()
    }

    /// Who this is.
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// This person's own identity.
    pub fn identity(&self) -> PublicIdentity {
        self.entry.identity
    }

    /// Whether this client is logged in at the server right now.
    pub const fn is_online(&self) -> bool {
        self.server_up
    }

    /// Everybody this person has to do with.
    pub fn contacts(&self) -> impl Iterator<Item = ContactView<'_>> {
        self.contacts.values().map(|contact| self.view(contact))
    }

    /// Somebody.
    pub fn contact(&self, name: &Name) -> Option<ContactView<'_>> {
        self.contacts.get(name).map(|contact| self.view(contact))
    }

    /// Why messages for somebody wait, if that is known.
    pub fn waiting_for(&self, name: &Name) -> Option<Hold> {
        match () {
            () if self.paths.contains_key(name) => None,
            () if self.policy(name) == Policy::Never => Some(Hold::NoPath(NoPath::Policy)),
            () if !self.server_up => Some(Hold::ServerGone),
            () if self.present.contains_key(name) || self.grace.is_some() => None,
            () => Some(Hold::Offline),
        }
    }

    /// How many messages wait, for everybody.
    pub fn queued(&self) -> usize {
        self.outboxes.values().map(Outbox::len).sum()
    }

    /// What waits: to whom, the message, how often it was tried, and whether it was written to a path
    /// that still stands.
    pub fn queue(&self) -> impl Iterator<Item = (&Name, &Message, u32, bool)> {
        self.outboxes.iter().flat_map(|(to, outbox)| {
            let waiting = outbox.iter();
            waiting.map(move |(waiting, sent)| (to, &waiting.message, waiting.attempts, sent))
        })
    }

    /// Where a conversation stands on the disk, once a message that has come, or was cancelled, has done there
    /// what it does. To be called before anything else is asked of this node: what came before changes nothing
    /// there, and nothing that is not there has been seen.
    pub fn set_conversation(&mut self, name: &Name, stored: Conversation) {
        self.conversations.insert(name.clone(), stored);
    }

    /// After how many seconds texts of this conversation disappear.
    pub fn timer(&self, name: &Name) -> Option<u32> {
        self.conversations.get(name)?.timer
    }

    /// Whether both said yes, and nobody is blocked.
    fn is_friend(&self, name: &Name) -> bool {
        let friend = |contact: &Contact| !contact.blocked && contact.standing == Standing::Accepted;
        self.contacts.get(name).is_some_and(friend)
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn store(&mut self, change: Change) {
        self.outputs.push_back(Output::Store(change));
    }
}
