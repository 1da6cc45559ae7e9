//! One agent between a friend, who keeps to the protocol unless the script says otherwise, a server and a
//! disk; and what must hold of the agent whatever the script says.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    sync::LazyLock,
};

use super::{PEOPLE, name, rng, secret};
use crate::{
    crypto::rng::Rng,
    handshake::{Agreed, ExpectSecond, Prologue, hear, initiate},
    id::MessageId,
    identity::Identity,
    limits::{
        CANDIDATES_MAX, IN_FLIGHT_MAX, PEER_FRAME_BYTES_MAX, QUEUE_MAX, SERVER_FRAME_BYTES_MAX,
        VAULT_BYTES_MAX,
    },
    message::Message,
    name::Name,
    node::{Change, Conn, Input, Node, Output, Remembered, Start},
    reach::Policy,
    session::Session,
    ticket::{AttemptId, Party, Ticket},
    time::Time,
    vault::{Contact, Standing, VaultKey},
    wire::{
        self,
        peer::Content,
        server::{Candidate, Door, Reply, Request},
    },
};

/// More than anything here can set off at once: beyond it, the agent keeps itself busy.
const OUTPUTS_MAX: usize = 100_000;

const ALICES_CERTIFICATE: [u8; 32] = [1; 32];
const BOBS_CERTIFICATE: [u8; 32] = [2; 32];

/// Made once: it takes longer than many a script.
static IDENTITIES: LazyLock<BTreeMap<Name, Identity>> = LazyLock::new(|| {
    PEOPLE.map(|(who, seed)| (name(who), Identity::from_seed(secret(seed)))).into()
});

/// Alice's agent, and everything around it.
pub(super) struct Arena {
    pub(super) now: Time,
    pub(super) node: Node,
    pub(super) rng: Rng,
    pub(super) people: &'static BTreeMap<Name, Identity>,
    pub(super) links: BTreeMap<Conn, Link>,
    pub(super) disk: Disk,
    /// Attempts whose door is open, in the order of their ids.
    pub(super) doors: BTreeSet<AttemptId>,
    /// Whether the server introduces whoever asks.
    pub(super) introduces: bool,
    /// The last request that awaits an answer by its number.
    pub(super) asked: u32,
    /// Every message that bob was sent, though perhaps not on a path that still stands.
    pub(super) told: Vec<MessageId>,
    /// Those of them that alice does not know bob to have.
    pub(super) unconfirmed: BTreeSet<MessageId>,
    /// What bob has just said, until it is on the disk.
    expected: Option<Message>,
    /// Calls of bob's that alice has not answered.
    calls: BTreeMap<AttemptId, ExpectSecond>,
    /// Bob's half of attempts that both agree on, and whether he is the caller.
    agreed: BTreeMap<AttemptId, (Agreed, bool)>,
    pending: VecDeque<Pending>,
    conns: u64,
}

/// Bob's end of a connection.
pub(super) struct Link {
    pub(super) session: Session,
    pub(super) open: bool,
    pub(super) last: Vec<u8>,
    attempt: AttemptId,
    /// What was written to it and is not confirmed, in that order.
    written: Vec<MessageId>,
    /// What alice has confirmed on it.
    confirmed: BTreeSet<MessageId>,
    greeted: bool,
    /// Whether it has slept.
    woken: bool,
}

/// What is on alice's disk.
#[derive(Default)]
pub(super) struct Disk {
    pub(super) queues: BTreeMap<Name, Vec<Message>>,
    contacts: BTreeMap<Name, Contact>,
    received: BTreeSet<MessageId>,
}

/// What the world has in store for the agent.
enum Pending {
    Connected { conn: Conn, attempt: AttemptId, exporter: [u8; 32] },
    DoorOpened(AttemptId),
    PeerFrame(Conn, Vec<u8>),
    ServerFrame(Vec<u8>),
}

impl Arena {
    /// Alice and bob are friends and connected: alice had something to say.
    pub(super) fn new() -> Self {
        let people = &*IDENTITIES;
        let contact = |who: &str, standing| Contact {
            name: name(who),
            identity: people.get(&name(who)).map(Identity::public),
            standing,
            verified: false,
            blocked: standing == Standing::Stranger,
            policy: Policy::default(),
        };
        let contacts = vec![
            contact("bob", Standing::Accepted),
            contact("carol", Standing::Pending),
            contact("dave", Standing::Requested),
            contact("eve", Standing::Stranger),
        ];
        let by_name = |contact: &Contact| (contact.name.clone(), contact.clone());
        let disk = Disk { contacts: contacts.iter().map(by_name).collect(), ..Disk::default() };
        let node = Node::new(Start {
            name: name("alice"),
            identity: Identity::from_seed(secret(0xa1)),
            vault_key: VaultKey::from_secret(secret(0x7a)),
            server_pin: "PIN".into(),
            remembered: Remembered { contacts, vault_counter: 1, vault_dirty: false },
            conversations: Vec::new(),
            queue: Vec::new(),
            rng: rng(40),
        });
        let mut arena = Self {
            now: Time::ZERO,
            node,
            rng: rng(41),
            people,
            links: BTreeMap::new(),
            disk,
            doors: BTreeSet::new(),
            introduces: true,
            asked: 0,
            told: Vec::new(),
            unconfirmed: BTreeSet::new(),
            expected: None,
            calls: BTreeMap::new(),
            agreed: BTreeMap::new(),
            pending: VecDeque::new(),
            conns: 0,
        };
        arena.feed(Input::ServerUp(None));
        arena.server_says(&Reply::Presence { name: name("bob"), online: true });
        arena
    }

    /// Gives the agent something, and does what it asks for, until nothing is left to do.
    pub(super) fn feed(&mut self, input: Input<'_>) {
        self.node.handle(self.now, input);
        self.settle();
    }

    pub(super) fn server_says(&mut self, reply: &Reply) {
        self.feed(Input::ServerFrame(&wire::encode(reply)));
    }

    /// Bob says something in his session. Alice takes it down and confirms it, or ends the connection.
    pub(super) fn bob_says(&mut self, conn: Conn, plaintext: Vec<u8>) {
        let content = Content::decode_known(&plaintext);
        let Some(frame) = self.sealed_by_bob(conn, plaintext) else { return };
        self.expected = match content {
            Ok(Some(Content::Message(message))) if message.body.is_within_bounds() => Some(message),
            _ => None,
        };
        let id = self.expected.as_ref().map(|message| message.id);
        self.feed(Input::PeerFrame { conn, frame: &frame });
        assert_eq!(self.expected, None, "a message was not taken down");
        let link = &self.links[&conn];
        assert!(id.is_none_or(|id| link.confirmed.contains(&id)), "a message is not confirmed");
    }

    pub(super) fn sealed_by_bob(&mut self, conn: Conn, plaintext: Vec<u8>) -> Option<Vec<u8>> {
        let link = self.links.get_mut(&conn).filter(|link| link.open)?;
        let frame = link.session.seal(self.now, &mut self.rng, plaintext).ok()?;
        link.last.clone_from(&frame);
        Some(frame)
    }

    /// Something that bob has not sealed comes on his connection, which ends it.
    pub(super) fn forge(&mut self, conn: Conn, frame: &[u8]) {
        self.feed(Input::PeerFrame { conn, frame });
        assert!(self.links.get(&conn).is_none_or(|link| !link.open), "a forgery is borne");
    }

    /// Bob asks for alice, by way of the server.
    pub(super) fn bob_calls(&mut self) {
        let attempt = AttemptId(self.rng.bytes());
        let (alice, bob) = (name("alice"), name("bob"));
        let prologue = Prologue {
            attempt,
            caller: &bob,
            callee: &alice,
            caller_certificate: &BOBS_CERTIFICATE,
        };
        let (me, them) = (&self.people[&bob], self.people[&alice].public().agree());
        let (call, first) = initiate(&mut self.rng, me.agree(), them, &prologue).unwrap();
        let caller = me.entry(&bob);
        self.calls.insert(attempt, call);
        let (secret, door) = (secret(0x71), bobs_door());
        let dependent = Some(false);
        self.server_says(&Reply::Asked { attempt, caller, secret, door, first, dependent });
    }

    /// Does everything that the agent asks for, and what the world makes of it.
    pub(super) fn settle(&mut self) {
        for _ in 0..OUTPUTS_MAX {
            if let Some(output) = self.node.poll(self.now) {
                self.perform(output);
                continue;
            }
            let now = self.now;
            match self.pending.pop_front() {
                Some(Pending::DoorOpened(attempt)) => {
                    let candidates = vec![Candidate(address())];
                    let certificate = ALICES_CERTIFICATE;
                    let opened = Input::DoorOpened { attempt, certificate, candidates };
                    self.node.handle(now, opened);
                }
                Some(Pending::Connected { conn, attempt, exporter }) => {
                    let (certificate, remote) = (BOBS_CERTIFICATE, address());
                    let connected =
                        Input::PeerConnected { conn, attempt, exporter, certificate, remote };
                    self.node.handle(now, connected);
                }
                Some(Pending::PeerFrame(conn, frame)) => {
                    self.node.handle(now, Input::PeerFrame { conn, frame: &frame });
                }
                Some(Pending::ServerFrame(body)) => {
                    self.node.handle(now, Input::ServerFrame(&body));
                }
                None => return self.check(),
            }
        }
        panic!("the agent does not come to rest");
    }

    /// What the agent knows is what is on the disk, and nothing is left over.
    fn check(&self) {
        let contacts = self.node.contacts().map(|view| view.contact);
        assert!(contacts.eq(self.disk.contacts.values()), "contacts differ from the disk's");
        let queue = self.node.queue().map(|(to, message, ..)| (to, message));
        let of_person = |(to, queue)| {
            assert!(Vec::len(queue) <= QUEUE_MAX);
            queue.iter().map(move |message| (to, message))
        };
        let on_disk = self.disk.queues.iter().flat_map(of_person);
        assert!(queue.eq(on_disk), "the queue differs from the disk's");
        assert!(self.doors.len() <= self.disk.contacts.len(), "doors stay open");
        for view in self.node.contacts() {
            let Some((conn, _)) = view.path else { continue };
            assert!(self.links.get(&conn).is_some_and(|link| link.open), "a path to nowhere");
        }
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::CloseDoor { attempt, keep } => {
                self.doors.remove(&attempt);
                let of_attempt = |(conn, link): &(&Conn, &mut Link)| {
                    link.attempt == attempt && Some(**conn) != keep
                };
                self.links.iter_mut().filter(of_attempt).for_each(|(_, link)| link.open = false);
            }
            Output::ClosePeer(conn) => {
                if let Some(link) = self.links.get_mut(&conn) {
                    link.open = false;
                }
            }
            Output::Dial { attempt, dial } => {
                assert!((1..=CANDIDATES_MAX).contains(&dial.addresses.len()));
                self.connect(attempt);
            }
            Output::Awake(conn) => {
                self.links.entry(conn).and_modify(|link| link.woken = true);
            }
            Output::Event(_) | Output::Sleep(_) => {}
            Output::OpenDoor { attempt, .. } => {
                assert!(self.doors.insert(attempt), "a door is opened twice");
                self.pending.push_back(Pending::DoorOpened(attempt));
            }
            Output::Guess(..) | Output::Probe { .. } => {}
            Output::SendPeer { conn, frame } | Output::Wake { conn, frame } => {
                self.bob_hears(conn, &frame);
            }
            Output::SendServer(body) => {
                assert!(body.len() <= SERVER_FRAME_BYTES_MAX);
                self.server_hears(wire::decode(&body).unwrap());
            }
            Output::Store(change) => self.store(change),
        }
    }

    fn connect(&mut self, attempt: AttemptId) {
        let Some((agreed, calls)) = self.agreed.get(&attempt) else { return };
        self.conns += 1;
        let (conn, exporter) = (Conn(self.conns), self.rng.bytes());
        let link = Link {
            session: agreed.bind(&exporter),
            open: true,
            last: Vec::new(),
            attempt,
            written: Vec::new(),
            confirmed: BTreeSet::new(),
            greeted: false,
            woken: false,
        };
        let calls = *calls;
        self.links.insert(conn, link);
        self.pending.push_back(Pending::Connected { conn, attempt, exporter });
        if calls {
            let hello = self.sealed_by_bob(conn, wire::encode(&Content::Hello)).unwrap();
            self.pending.push_back(Pending::PeerFrame(conn, hello));
        }
    }

    fn bob_hears(&mut self, conn: Conn, frame: &[u8]) {
        assert!(frame.len() <= PEER_FRAME_BYTES_MAX);
        let link = self.links.get_mut(&conn).filter(|link| link.open);
        let link = link.expect("something is said on a connection that is closed");
        let plaintext = link.session.open(self.now, frame).expect("an honest frame does not open");
        let content = Content::decode_known(&plaintext).unwrap().unwrap();
        let greeting = content == Content::Hello;
        assert!(link.woken || greeting != link.greeted, "a greeting out of place");
        link.greeted = true;
        if greeting {
            // What woke a path may be lost, so it is said again.
            link.written.clear();
        }
        match content {
            Content::Message(message) => {
                let queue = &self.disk.queues[&name("bob")];
                let place = |id: MessageId| queue.iter().position(|queued| queued.id == id);
                let at = place(message.id).expect("something is sent that is not on the disk");
                assert_eq!(queue[at], message);
                assert!(link.written.iter().all(|id| place(*id) < Some(at)), "out of order");
                link.written.push(message.id);
                assert!(link.written.len() <= IN_FLIGHT_MAX);
                self.told.push(message.id);
                self.unconfirmed.insert(message.id);
            }
            Content::Delivered { ids } => {
                assert!(ids.len() <= IN_FLIGHT_MAX);
                let stored = |id: &MessageId| self.disk.received.contains(id);
                assert!(ids.iter().all(stored), "something is confirmed that is not on the disk");
                link.confirmed.extend(ids);
            }
            Content::Bye
            | Content::Hello
            | Content::Rest
            | Content::Tick { .. }
            | Content::Typing { .. } => {}
        }
    }

    fn server_hears(&mut self, request: Request) {
        match request {
            Request::Introduce { attempt, to, door, first } if to == name("bob") => {
                assert!(door.candidates.len() < CANDIDATES_MAX);
                if self.introduces {
                    let (agreed, second) = self.bob_answers(attempt, &first);
                    self.agreed.insert(attempt, (agreed, false));
                    let callee = self.people[&to].entry(&to);
                    let (secret, door) = (secret(0x71), bobs_door());
                    let reply = Reply::Introduced { attempt, callee, secret, door, second };
                    self.pending.push_back(Pending::ServerFrame(wire::encode(&reply)));
                }
            }
            Request::Answer { attempt, second, .. } => {
                let call = self.calls.remove(&attempt).expect("an answer to nothing");
                let (bob, alice) = (name("bob"), name("alice"));
                let psk = self.psk(attempt, [&bob, &alice]);
                let agreed = call.finish(self.people[&bob].agree(), &psk, &second).unwrap();
                self.agreed.insert(attempt, (agreed, true));
            }
            Request::Lookup { request, .. }
            | Request::SendNote { request, .. }
            | Request::Withdraw { request, .. } => self.asked = request,
            Request::PutVault { request, vault } => {
                assert!(vault.len() <= VAULT_BYTES_MAX);
                self.asked = request;
            }
            Request::Introduce { to, .. } => panic!("{to} is no friend"),
            Request::Decline { .. }
            | Request::NoteTaken { .. }
            | Request::Outcome { .. }
            | Request::Reach { .. } => {}
            other => panic!("{other:?} is not the agent's to say"),
        }
    }

    fn bob_answers(&mut self, attempt: AttemptId, first: &[u8]) -> (Agreed, Vec<u8>) {
        let (alice, bob) = (name("alice"), name("bob"));
        let prologue = Prologue {
            attempt,
            caller: &alice,
            callee: &bob,
            caller_certificate: &ALICES_CERTIFICATE,
        };
        let (me, them) = (self.people[&bob].agree(), self.people[&alice].public().agree());
        let heard = hear(me, them, &prologue, first).unwrap();
        let psk = self.psk(attempt, [&alice, &bob]);
        heard.answer(&mut self.rng, &psk).unwrap()
    }

    fn psk(&self, attempt: AttemptId, parties: [&Name; 2]) -> crate::crypto::secret::Secret<32> {
        let identities = parties.map(|name| self.people[name].public());
        let certificate = |name: &Name| {
            if name.as_str() == "alice" { &ALICES_CERTIFICATE } else { &BOBS_CERTIFICATE }
        };
        Ticket {
            attempt,
            caller: Party { name: parties[0], identity: &identities[0] },
            callee: Party { name: parties[1], identity: &identities[1] },
            caller_certificate: certificate(parties[0]),
            callee_certificate: certificate(parties[1]),
            secret: &secret(0x71),
        }
        .psk()
    }

    fn store(&mut self, change: Change) {
        match change {
            Change::Contact(contact) => {
                self.disk.contacts.insert(contact.name.clone(), contact);
            }
            Change::ContactGone(name) => {
                self.disk.contacts.remove(&name);
            }
            Change::Queued { to, message } => {
                assert!(message.body.is_within_bounds());
                self.disk.queues.entry(to).or_default().push(message);
            }
            Change::Cancelled { to, id } => self.dequeue(&to, id),
            Change::Delivered { to, id } => {
                assert!(self.unconfirmed.contains(&id), "something is delivered that was not sent");
                self.dequeue(&to, id);
                for link in self.links.values_mut() {
                    link.written.retain(|written| *written != id);
                }
            }
            Change::Received { from, message } => {
                assert_eq!(from, name("bob"));
                let expected = self.expected.take();
                self.disk.received.insert(message.id);
                assert_eq!(expected, Some(message), "something is taken down that was not said");
            }
            Change::Vault { .. } => {}
        }
    }

    fn dequeue(&mut self, to: &Name, id: MessageId) {
        self.unconfirmed.remove(&id);
        let queue = self.disk.queues.get_mut(to).expect("nothing waits for them");
        let at = queue.iter().position(|message| message.id == id);
        queue.remove(at.expect("it does not wait"));
    }
}

pub(super) fn bobs_door() -> Door {
    let candidates = (0..CANDIDATES_MAX).map(|at| {
        let host = u8::try_from(at).unwrap() + 2;
        Candidate(SocketAddr::from(([192, 0, 2, host], 4_000)))
    });
    let candidates = candidates.collect();
    Door { certificate: BOBS_CERTIFICATE, knock: secret(0x6b), candidates }
}

fn address() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 4_000))
}
