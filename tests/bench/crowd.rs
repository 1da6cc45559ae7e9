//! Somebody with a thousand contacts, a hundred of them on open paths, and a million messages: a real agent
//! among people who exist in this process only, so that they come cheap.

use std::{
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use hither_proto::{
    id::MessageId,
    identity::Entry,
    message::{Body, Message},
    note::NoteKind,
    wire::{
        self,
        peer::Content,
        server::{Reply, Request},
    },
};
use hither_tests::{
    lab::{Lab, Person, Server},
    rogue::{Account, Online, Path},
};
use serde_json::json;

use crate::{
    api::Api,
    ratchet::rng,
    samples::{seconds, until},
};

const CONTACTS: usize = 1_000;
pub(crate) const OPEN: usize = 100;

/// Messages that one person writes at once, and people who write at the same time.
const AT_ONCE: usize = 250;
const WRITING: usize = 5;

/// A million messages come in so many parts.
const TENTHS: usize = 10;
const TENTH: usize = 100_000;

/// What a server takes from one address: so many registrations at once, and so many a second after that. A
/// little less, because its clock is not ours.
const REGISTRATIONS_MAX: f64 = 190.0;
const REGISTRATIONS_PER_SECOND: f64 = 4.9;

const PATIENCE: Duration = Duration::from_secs(60);

/// The agent's owner, and everybody who stays.
#[derive(Debug)]
pub(crate) struct Crowd {
    pub(crate) alice: Person,
    pub(crate) server: Server,
    /// Messages a second that the agent took in, in each tenth of all.
    pub(crate) taken_in: Vec<f64>,
    friends: Vec<Friend>,
    // Dropped last, because it kills whatever still runs.
    _lab: Lab,
}

/// Somebody in this process who is a contact of a real agent's owner, on a path to them.
#[derive(Debug)]
pub(crate) struct Friend {
    online: Online,
    theirs: Entry,
    path: Path,
}

impl Crowd {
    /// Makes everybody, and lets them write.
    #[track_caller]
    pub(crate) fn gather() -> Self {
        let lab = Lab::new("crowd");
        let server = lab.server();
        let [alice] = lab.people(&server, ["alice"]);
        let doorway = Doorway::new(&alice, &server);
        eprintln!("  {OPEN} friends come …");
        let mut friends: Vec<Friend> =
            (0..OPEN).map(|at| Friend::of(&doorway, &format!("friend{at}"))).collect();
        eprintln!("  {} more come and go, and a million messages are written …", CONTACTS - OPEN);
        let taken_in = thread::scope(|scope| {
            scope.spawn(|| {
                for at in OPEN..CONTACTS {
                    drop(doorway.befriend(&format!("guest{at}")));
                }
            });
            (0..TENTHS).map(|_| TENTH as f64 / seconds(|| write_a_tenth(&mut friends))).collect()
        });
        let contacts = alice.runs(&["list"]).done();
        let contacts = contacts["contacts"].as_array().expect("a list of contacts");
        let unread = contacts.iter().filter_map(|contact| contact["unread"].as_u64());
        assert_eq!((contacts.len(), unread.sum()), (CONTACTS, (TENTHS * TENTH) as u64));
        Self { alice, server, taken_in, friends, _lab: lab }
    }

    /// Starts the agent anew, and finds a new path to it for everybody who stays.
    #[track_caller]
    pub(crate) fn restart_agent(&mut self) {
        self.alice.stops_agent();
        self.alice.starts_agent();
        self.alice.is_online();
        self.friends.iter_mut().for_each(Friend::dials_again);
    }

    /// How many paths stand.
    #[track_caller]
    pub(crate) fn paths(&self) -> usize {
        self.alice.status()["paths"].as_array().expect("a list of paths").len()
    }
}

impl Friend {
    /// Somebody who registers, is accepted, and opens a path.
    #[track_caller]
    pub(crate) fn of(doorway: &Doorway<'_>, name: &str) -> Self {
        let (mut online, theirs) = doorway.befriend(name);
        let path = dial(&mut online, &theirs);
        Self { online, theirs, path }
    }

    #[track_caller]
    fn dials_again(&mut self) {
        self.path = dial(&mut self.online, &self.theirs);
    }

    /// Writes texts, without waiting for their receipts: how many are owed.
    #[track_caller]
    fn begins_to_write(&mut self, texts: Vec<String>) -> usize {
        let owed = texts.len();
        let frames: Vec<Vec<u8>> = texts
            .into_iter()
            .map(|text| {
                let id = MessageId(self.online.rng.bytes());
                let message = Message { id, sent_at: 1_000, seen: None, body: Body::text(text) };
                let plaintext = wire::encode(&Content::Message(message));
                wire::frame(&self.path.session.seals(plaintext))
            })
            .collect();
        self.path.dialled.says_bytes(&frames.concat());
        owed
    }

    #[track_caller]
    fn hears_receipts(&mut self, mut owed: usize) {
        while owed > 0 {
            if let Content::Delivered { ids } = self.path.hears().expect("receipts before the end")
            {
                owed -= ids.len();
            }
        }
    }
}

/// Lets all friends write, a few at a time and each as much as the others.
#[track_caller]
fn write_a_tenth(friends: &mut [Friend]) {
    let text = "x".repeat(100);
    for _ in 0..TENTH / AT_ONCE / OPEN {
        for writing in friends.chunks_mut(WRITING) {
            write_all(writing, |_| std::iter::repeat_n(text.clone(), AT_ONCE).collect());
        }
    }
}

/// Lets several friends write at the same time, and waits until all of it is on the reader's disk.
#[track_caller]
pub(crate) fn write_all(friends: &mut [Friend], mut texts: impl FnMut(usize) -> Vec<String>) {
    let owed: Vec<usize> = friends
        .iter_mut()
        .enumerate()
        .map(|(at, friend)| friend.begins_to_write(texts(at)))
        .collect();
    for (friend, owed) in friends.iter_mut().zip(owed) {
        friend.hears_receipts(owed);
    }
}

#[track_caller]
fn dial(online: &mut Online, theirs: &Entry) -> Path {
    let mut path = online.calls(theirs).dials(&mut rng());
    path.greets();
    path
}

/// Where people become contacts of somebody.
pub(crate) struct Doorway<'l> {
    alice: &'l Person,
    server: &'l Server,
    /// How many may register now, and as of when.
    free: Mutex<(f64, Instant)>,
}

impl<'l> Doorway<'l> {
    /// Where people become contacts of `alice`, who has just registered at `server`.
    pub(crate) fn new(alice: &'l Person, server: &'l Server) -> Self {
        Self { alice, server, free: Mutex::new((REGISTRATIONS_MAX, Instant::now())) }
    }

    /// Registers somebody, who asks to be a contact and is accepted.
    #[track_caller]
    pub(crate) fn befriend(&self, name: &str) -> (Online, Entry) {
        self.waits_for_its_turn();
        let mut online = Account::new(name).registers(self.server);
        let theirs = online.looks_up(self.alice.name());
        online.sends_note(&theirs, NoteKind::Request);
        let mut api = Api::of(self.alice);
        until("a request", PATIENCE, || {
            api.try_call("contact.accept", json!({ "name": name })).is_ok()
        });
        let taken = online.awaits(|reply| match reply {
            Reply::Note { note, from, kind: NoteKind::Accept, .. } if from == theirs.name => {
                Some(note)
            }
            _ => None,
        });
        online.link.says(&Request::NoteTaken { note: taken });
        (online, theirs)
    }

    /// Nobody is turned away, because nobody comes too early.
    fn waits_for_its_turn(&self) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, since) = *free;
        let more = since.elapsed().as_secs_f64() * REGISTRATIONS_PER_SECOND;
        let count = (count + more).min(REGISTRATIONS_MAX) - 1.0;
        *free = (count, Instant::now());
        thread::sleep(Duration::from_secs_f64((-count).max(0.0) / REGISTRATIONS_PER_SECOND));
    }
}
