//! How many introductions a core of the server makes, and how long one takes that it answers alone, while it is asked for
//! half as many.

use std::{
    net::Ipv4Addr,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use hither_proto::{
    identity::Entry,
    note::NoteKind,
    ticket::AttemptId,
    wire::server::{Door, Reply, Request},
};
use hither_tests::{
    lab::{Lab, Server},
    rogue::{self, Account, Online, Place},
};
use quinn::Connection;
use tokio::sync::mpsc;

use crate::{
    bare::Bare,
    process,
    ratchet::rng,
    report::{Row, Target, Unit},
    samples::{Samples, seconds},
};

/// Two people each, who ask for each other: so many that the server is busy for two seconds, by a clock that goes in
/// steps of ten milliseconds.
const PAIRS: usize = 512;

/// Pairs that are busy at once, introductions that one person has under way, fewer than the server allows, and how many
/// of these in a row: fewer than a pair may have in a burst.
const AT_ONCE: usize = 32;
const UNDER_WAY: usize = 16;
const ROUNDS: usize = 5;

/// Hosts that they are at: fewer sockets than people cost the clients less, and each has fewer people than the server
/// lets register in a row.
const HOSTS: usize = 8;

/// Bytes of the two handshake messages.
const FIRST_BYTES: usize = 1248;
const SECOND_BYTES: usize = 1168;

/// What one core is asked to make in a second, and questions of each pair that the server answers by itself, while it
/// is asked half as many.
const PER_SECOND: f64 = 20_000.0;
const EACH: usize = 80;

pub(crate) fn measure() -> Vec<Row> {
    let lab = Lab::new("introduce");
    let server = lab.server();
    let hosts = std::array::from_fn(|at| Place::at(Ipv4Addr::new(127, 9, 1, at as u8)));
    let mut pairs = befriend_all(&server, &hosts);
    let before = process::cpu(server.pid());
    let took = seconds(|| {
        for pairs in pairs.chunks_mut(AT_ONCE) {
            everybody(pairs, Pair::introduces);
        }
    });
    let spent = process::cpu(server.pid()) - before;
    let all = (PAIRS * UNDER_WAY * ROUNDS) as f64;
    let bare = Bare::start();
    let connections = (0..PAIRS).map(|at| hosts[at % HOSTS].try_connection_to(bare.address));
    let connections = connections.map(Result::unwrap);
    let echoes = in_turns(connections.collect(), ask_for_an_echo);
    let answers = in_turns(pairs.into_iter().map(Pair::parts).collect(), ask_in_vain);
    let row = |what, unit, measured, target| Row {
        area: "introduce",
        what,
        unit,
        measured,
        floor: None,
        peer: None,
        target,
    };
    let once = Samples::once;
    let last = |waits: &Samples| Samples::once(waits.quantile(0.99));
    vec![
        row(
            "made by one core",
            Unit::PerSecond,
            once(all / spent),
            Some(Target::AtLeast(PER_SECOND)),
        ),
        row("made while the clients share the machine", Unit::PerSecond, once(all / took), None),
        Row {
            floor: Some(last(&echoes)),
            ..row(
                "the 99th answer while half as many are asked for, its floor being an echo",
                Unit::Seconds,
                last(&answers),
                Some(Target::AtMost(2e-3)),
            )
        },
        Row { floor: Some(echoes), ..row("all of these answers", Unit::Seconds, answers, None) },
    ]
}

/// The moments at which somebody is to ask.
type Told = mpsc::UnboundedReceiver<Instant>;

struct Pair {
    alice: Online,
    bob: Online,
    to_alice: Entry,
    to_bob: Entry,
}

impl Pair {
    #[track_caller]
    fn befriend(server: &Server, place: &Place, at: usize) -> Self {
        let of =
            |name: &str| Account::new(&format!("{name}-{at}")).registers_on(place.link_to(server));
        let (mut alice, mut bob) = (of("alice"), of("bob"));
        let (to_alice, to_bob) = (alice.entry.clone(), bob.entry.clone());
        alice.sends_note(&to_bob, NoteKind::Request);
        bob.sends_note(&to_alice, NoteKind::Accept);
        alice.awaits(|reply| matches!(reply, Reply::Presence { online: true, .. }).then_some(()));
        bob.awaits(|reply| matches!(reply, Reply::Presence { online: true, .. }).then_some(()));
        Self { alice, bob, to_alice, to_bob }
    }

    /// All of a burst, a few under way at a time.
    #[track_caller]
    fn introduces(&mut self) {
        for _ in 0..ROUNDS {
            for _ in 0..UNDER_WAY {
                let question = question(&mut self.alice, &self.to_bob);
                self.alice.link.says(&question);
            }
            for _ in 0..UNDER_WAY {
                let attempt = self.bob.awaits(attempt);
                let answer = answer(&mut self.bob, attempt);
                self.bob.link.says(&answer);
            }
            for _ in 0..UNDER_WAY {
                let introduced = |reply| matches!(reply, Reply::Introduced { .. }).then_some(());
                self.alice.awaits(introduced);
            }
        }
    }

    /// Alice goes, and bob knows it.
    #[track_caller]
    fn parts(mut self) -> (Online, Entry) {
        self.alice.link.hangs_up();
        self.bob
            .awaits(|reply| matches!(reply, Reply::Presence { online: false, .. }).then_some(()));
        (self.bob, self.to_alice)
    }
}

/// Asks for somebody who is not there whenever it is told to. What comes of it is how long each time took from its
/// being told to its hearing of it.
async fn ask_in_vain((mut online, to): (Online, Entry), mut told: Told) -> Vec<f64> {
    let mut took = Vec::new();
    while let Some(at) = told.recv().await {
        let question = question(&mut online, &to);
        online.link.say(&question).await;
        while !matches!(online.link.hear().await, Reply::Unavailable { .. }) {}
        took.push(at.elapsed().as_secs_f64());
    }
    took
}

/// The same of somebody who only says again what it hears.
async fn ask_for_an_echo(connection: Connection, mut told: Told) -> Vec<f64> {
    let (mut send, mut receive) = connection.open_bi().await.unwrap();
    let mut took = Vec::new();
    let mut heard = [0; FIRST_BYTES];
    while let Some(at) = told.recv().await {
        send.write_all(&[1; FIRST_BYTES]).await.unwrap();
        receive.read_exact(&mut heard).await.unwrap();
        took.push(at.elapsed().as_secs_f64());
    }
    took
}

/// Lets everybody ask, so often in all as a busy server is asked, and as nobody arranged it with anybody else: at
/// moments drawn by lot. Whoever is told while they still wait has waited since then.
#[track_caller]
fn in_turns<W, F>(who: Vec<W>, asks: impl Fn(W, Told) -> F) -> Samples
where
    F: Future<Output = Vec<f64>> + Send + 'static,
{
    let (tell, asking): (Vec<_>, Vec<_>) = who
        .into_iter()
        .map(|one| {
            let (tell, told) = mpsc::unbounded_channel();
            (tell, rogue::begin(asks(one, told)))
        })
        .unzip();
    let (mut rng, mut due) = (rng(), Instant::now());
    for _ in 0..EACH {
        for one in &tell {
            let lot = f64::from(u32::from_be_bytes(rng.bytes())) / f64::from(u32::MAX);
            due += Duration::from_secs_f64(-lot.max(1e-9).ln() / (PER_SECOND / 2.0));
            thread::sleep(due.saturating_duration_since(Instant::now()));
            one.send(due).expect("somebody who asks");
        }
    }
    drop(tell);
    asking.into_iter().flat_map(rogue::end).collect()
}

/// The attempt, if somebody asks for one.
fn attempt(reply: Reply) -> Option<AttemptId> {
    match reply {
        Reply::Asked { attempt, .. } => Some(attempt),
        _ => None,
    }
}

fn question(from: &mut Online, to: &Entry) -> Request {
    let attempt = AttemptId(from.rng.bytes());
    let (to, door) = (to.name.clone(), door(from));
    Request::Introduce { attempt, to, door, first: vec![1; FIRST_BYTES] }
}

fn answer(from: &mut Online, attempt: AttemptId) -> Request {
    Request::Answer { attempt, door: door(from), second: vec![2; SECOND_BYTES] }
}

fn door(online: &mut Online) -> Door {
    Door { certificate: [7; 32], knock: online.rng.secret(), candidates: Vec::new() }
}

#[track_caller]
fn befriend_all(server: &Server, hosts: &[Place; HOSTS]) -> Vec<Pair> {
    thread::scope(|scope| {
        let some = (0..AT_ONCE).map(|first| {
            scope.spawn(move || {
                let all = (first..PAIRS).step_by(AT_ONCE);
                all.map(|at| Pair::befriend(server, &hosts[at % HOSTS], at)).collect::<Vec<_>>()
            })
        });
        let some: Vec<_> = some.collect();
        some.into_iter().flat_map(|pairs| pairs.join().unwrap()).collect()
    })
}

/// Lets every pair do something at the same time.
#[track_caller]
fn everybody(pairs: &mut [Pair], what: impl Fn(&mut Pair) + Sync) {
    let ready = Barrier::new(pairs.len());
    thread::scope(|scope| {
        for pair in pairs {
            let (ready, what) = (&ready, &what);
            scope.spawn(move || {
                ready.wait();
                what(pair);
            });
        }
    });
}
