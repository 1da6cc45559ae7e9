//! How many introductions a core of the server makes, and how long one takes that it answers alone.

use std::{net::Ipv4Addr, sync::Barrier, thread, time::Duration};

use hither_proto::{
    identity::Entry,
    note::NoteKind,
    ticket::AttemptId,
    wire::server::{Door, Reply, Request},
};
use hither_tests::{
    lab::{Lab, Server},
    rogue::{Account, Online, Place},
};

use crate::{
    process,
    report::{Row, Target, Unit},
    samples::{Samples, seconds},
};

/// Two people each, who ask for each other.
const PAIRS: usize = 32;

/// Introductions that one person has under way, fewer than the server allows, and how many of these in a row:
/// fewer than a pair may have in a burst.
const UNDER_WAY: usize = 16;
const ROUNDS: usize = 5;

/// Bytes of the two handshake messages.
const FIRST_BYTES: usize = 1248;
const SECOND_BYTES: usize = 1168;

/// Questions that the server answers by itself, each of a pair in turns, and the pause between two of one pair.
const QUESTIONS: usize = 100;
const PAUSE: Duration = Duration::from_millis(10);

pub(crate) fn measure() -> Vec<Row> {
    let lab = Lab::new("introduce");
    let server = lab.server();
    let mut pairs: Vec<Pair> = (0..PAIRS).map(|at| Pair::befriend(&server, at)).collect();
    let before = process::cpu(server.pid());
    let took = seconds(|| drop(everybody(&mut pairs, Pair::introduces)));
    let spent = process::cpu(server.pid()) - before;
    let all = (PAIRS * UNDER_WAY * ROUNDS) as f64;
    for pair in &mut pairs {
        pair.bob.link.hangs_up();
        pair.sees_bob_go();
    }
    let answers = everybody(&mut pairs, Pair::asks_in_vain);
    let answers: Samples = answers.into_iter().flatten().collect();
    let row = |what, unit, measured, target| Row {
        area: "introduce",
        what,
        unit,
        measured: Samples::once(measured),
        floor: None,
        peer: None,
        target,
    };
    vec![
        row("made by one core", Unit::PerSecond, all / spent, Some(Target::AtLeast(20_000.0))),
        row("made while the clients share the machine", Unit::PerSecond, all / took, None),
        row("the 99th answer", Unit::Seconds, answers.quantile(0.99), Some(Target::AtMost(2e-3))),
    ]
}

struct Pair {
    alice: Online,
    bob: Online,
    to_bob: Entry,
}

impl Pair {
    #[track_caller]
    fn befriend(server: &Server, at: usize) -> Self {
        let place = Place::at(Ipv4Addr::new(127, 9, 0, u8::try_from(1 + at).unwrap()));
        let of =
            |name: &str| Account::new(&format!("{name}-{at}")).registers_on(place.link_to(server));
        let (mut alice, mut bob) = (of("alice"), of("bob"));
        let (to_alice, to_bob) = (alice.entry.clone(), bob.entry.clone());
        alice.sends_note(&to_bob, NoteKind::Request);
        bob.sends_note(&to_alice, NoteKind::Accept);
        alice.awaits(|reply| matches!(reply, Reply::Presence { online: true, .. }).then_some(()));
        bob.awaits(|reply| matches!(reply, Reply::Presence { online: true, .. }).then_some(()));
        Self { alice, bob, to_bob }
    }

    /// All of a burst, a few under way at a time.
    #[track_caller]
    fn introduces(&mut self) {
        for _ in 0..ROUNDS {
            for _ in 0..UNDER_WAY {
                self.asks();
            }
            for _ in 0..UNDER_WAY {
                let attempt = self.bob.awaits(|reply| match reply {
                    Reply::Asked { attempt, .. } => Some(attempt),
                    _ => None,
                });
                let door = door(&mut self.bob);
                let second = vec![2; SECOND_BYTES];
                self.bob.link.says(&Request::Answer { attempt, door, second });
            }
            for _ in 0..UNDER_WAY {
                let introduced = |reply| matches!(reply, Reply::Introduced { .. }).then_some(());
                self.alice.awaits(introduced);
            }
        }
    }

    #[track_caller]
    fn asks(&mut self) {
        let attempt = AttemptId(self.alice.rng.bytes());
        let (to, door) = (self.to_bob.name.clone(), door(&mut self.alice));
        let first = vec![1; FIRST_BYTES];
        self.alice.link.says(&Request::Introduce { attempt, to, door, first });
    }

    #[track_caller]
    fn sees_bob_go(&mut self) {
        let gone = |reply| matches!(reply, Reply::Presence { online: false, .. }).then_some(());
        self.alice.awaits(gone);
    }

    /// How long the server takes each time to say that somebody is not there.
    #[track_caller]
    fn asks_in_vain(&mut self) -> Vec<f64> {
        let answers = (0..QUESTIONS).map(|_| {
            thread::sleep(PAUSE);
            seconds(|| {
                self.asks();
                let none = |reply| matches!(reply, Reply::Unavailable { .. }).then_some(());
                self.alice.awaits(none);
            })
        });
        answers.collect()
    }
}

fn door(online: &mut Online) -> Door {
    Door { certificate: [7; 32], knock: online.rng.secret(), candidates: Vec::new() }
}

/// Lets every pair do something at the same time.
#[track_caller]
fn everybody<T: Send>(pairs: &mut [Pair], what: impl Fn(&mut Pair) -> T + Sync) -> Vec<T> {
    let ready = Barrier::new(pairs.len());
    thread::scope(|scope| {
        let all: Vec<_> = pairs
            .iter_mut()
            .map(|pair| {
                let (ready, what) = (&ready, &what);
                scope.spawn(move || {
                    ready.wait();
                    what(pair)
                })
            })
            .collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    })
}
