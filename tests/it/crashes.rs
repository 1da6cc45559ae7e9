//! Agents and servers that are killed at any moment, again and again, while people write to each other.

use std::{
    collections::BTreeSet,
    fmt::Write,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use hither_proto::crypto::{rng::Rng, secret::Secret};
use hither_tests::lab::{Lab, Person, Server, kill, until_true};
use serde_json::Value;

/// How often somebody is killed; ten times as often when `HITHER_HEAVY` is set.
const ROUNDS: usize = 20;

/// How long after a message was begun a kill may come, at most: as long as it takes to be stored, sent
/// and confirmed.
const AIM: Duration = Duration::from_millis(40);

/// How long the disk takes for each write.
const WRITE: Duration = Duration::from_millis(2);

/// What one person has written so far.
#[derive(Default)]
struct Written {
    begun: AtomicUsize,
    /// What `send` said was delivered or queued.
    accepted: Mutex<BTreeSet<usize>>,
    /// Whom to kill as soon as something more is accepted.
    doomed: Mutex<Vec<u32>>,
}

#[test]
fn what_was_accepted_arrives_once_and_in_order_whoever_is_killed_whenever() {
    let lab = Lab::new("kills");
    let mut server = lab.server();
    let mut people = lab.friends(&server, ["alice", "bob"]);
    if let Some(machine) = lab.machine() {
        // A kill in the middle of a commit would be rare on a fast disk.
        machine.writes_take(WRITE);
        people.iter().for_each(Person::stops_agent);
        people = people.map(|person| person.on(&machine));
    }
    let rounds = if std::env::var_os("HITHER_HEAVY").is_some() { 10 * ROUNDS } else { ROUNDS };
    let mut dice = Dice::cast();
    let (written, over) = (people.each_ref().map(|_| Written::default()), AtomicBool::new(false));
    let (writers, ended) = (people.iter().zip(&written).zip(["bob", "alice"]), &over);
    thread::scope(|scope| {
        // Should a round fail, the writers have to stop, or the scope would never end.
        let _end = Ends(ended);
        for ((person, written), to) in writers {
            let mut dice = Dice::of(u64::from_le_bytes(dice.0.bytes()));
            scope.spawn(move || writes(person, to, written, &mut dice, ended));
        }
        for round in 0..rounds {
            kills(&people, &mut server, &written, &mut dice, round);
        }
    });
    for person in &people {
        until_true("every queue is empty", || person.queue().is_empty());
    }
    let [alice, bob] = &people;
    for (from, to, written) in [(alice, bob, &written[0]), (bob, alice, &written[1])] {
        arrived(from, to, written);
    }
}

/// Writes numbers to somebody until it is over. Every other one under an id of its own and again until
/// it is accepted; whether the others were is known only when `send` says so.
fn writes(person: &Person, to: &str, written: &Written, dice: &mut Dice, over: &AtomicBool) {
    for number in 0.. {
        let id = dice.id();
        let insists = number % 2 == 0;
        loop {
            if over.load(Ordering::SeqCst) {
                return;
            }
            written.begun.fetch_add(1, Ordering::SeqCst);
            let wait = ["0s", "50ms", "2s"][dice.below(3)];
            let mut flags = vec!["--wait", wait];
            flags.extend(insists.then_some(["--id", &id]).into_iter().flatten());
            let sent = person.sends_with(to, &number.to_string(), &flags);
            if [0, 7].contains(&sent.exit) {
                written.doomed.lock().unwrap().drain(..).for_each(kill);
                written.accepted.lock().unwrap().insert(number);
            } else {
                sent.error();
            }
            if !insists || [0, 7].contains(&sent.exit) {
                break;
            }
        }
    }
}

/// Kills somebody, or everybody, while messages are under way.
fn kills(
    people: &[Person; 2],
    server: &mut Server,
    written: &[Written; 2],
    dice: &mut Dice,
    round: usize,
) {
    let agents = people.each_ref().map(Person::agent);
    let begun = || written.iter().map(|one| one.begun.load(Ordering::SeqCst)).sum::<usize>();
    let aim = begun() + 1 + dice.below(10);
    until_true("messages are under way", || begun() >= aim);
    let mut doomed = match dice.below(4) {
        0 => agents.to_vec(),
        one => vec![agents[one % 2]],
    };
    if dice.below(2) == 0 {
        // What was said to be accepted a moment ago must be somewhere by now.
        let witness = &written[dice.below(2)].doomed;
        witness.lock().unwrap().append(&mut doomed);
        until_true("something is accepted", || witness.lock().unwrap().is_empty());
    } else {
        // Not in place of a condition: the kill is to come at any moment of what is under way.
        thread::sleep(AIM.mul_f64(dice.fraction()));
        doomed.into_iter().for_each(kill);
    }
    if round % 4 == 3 {
        server.dies();
        server.starts_again();
    }
    // Somebody reads now and then, so that receipts are under way as well. Their agent may just have
    // been killed.
    drop(people[dice.below(2)].runs(&["receive"]));
}

/// What one person has of the other's messages is what was accepted, in order, and each once.
#[track_caller]
fn arrived(from: &Person, to: &Person, written: &Written) {
    let arrived = to.receives_with(&["--since", "0"]);
    let numbers: Vec<usize> = arrived.iter().map(|one| one.text.parse().unwrap()).collect();
    let increasing = numbers.windows(2).all(|pair| pair[0] < pair[1]);
    assert!(increasing, "{} has in this order: {numbers:?}", to.name());
    let accepted = written.accepted.lock().unwrap();
    let missing: Vec<&usize> = accepted.iter().filter(|number| !numbers.contains(number)).collect();
    assert!(missing.is_empty(), "{} lacks {missing:?} and has {numbers:?}", to.name());
    assert!(accepted.len() > ROUNDS, "there was something to lose");

    let sent: Vec<Value> = from.conversation(to.name());
    let sent = sent.into_iter().filter(|message| message["direction"] == "out");
    for message in sent {
        let state = message["state"].as_str().unwrap();
        assert!(["delivered", "read"].contains(&state), "{message}");
    }
}

/// Chance that comes from a number.
struct Dice(Rng);

impl Dice {
    /// The number is the one in `HITHER_SEED`, or another each time.
    fn cast() -> Self {
        let given = std::env::var("HITHER_SEED").ok().map(|seed| seed.parse().expect("a number"));
        let seed = given.unwrap_or_else(|| getrandom::u64().unwrap());
        println!("HITHER_SEED={seed}");
        Self::of(seed)
    }

    fn of(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Self(Rng::from_seed(Secret::new(bytes)))
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::from_le_bytes(self.0.bytes()) % bound
    }

    fn fraction(&mut self) -> f64 {
        f64::from(u32::from_le_bytes(self.0.bytes())) / f64::from(u32::MAX)
    }

    fn id(&mut self) -> String {
        self.0.bytes::<16>().iter().fold(String::new(), |mut id, byte| {
            write!(id, "{byte:02x}").unwrap();
            id
        })
    }
}

/// Says that it is over when it goes, however it goes.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
