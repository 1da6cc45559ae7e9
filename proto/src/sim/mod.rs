//! Whole conversations under everything that can go wrong, in one process, in virtual time, from one seed:
//! people, their machines and a server, all of them the protocol's real state machines, in weather that
//! cuts, crashes, stalls, fills disks and lies. Whatever must hold is checked after every step.
//!
//! A seed decides everything, so a failure is its seed. `cargo xtask sim SEED` replays one.

mod clearing;
mod dice;
mod invariants;
mod ledger;
mod liars;
mod people;
mod seeds;
mod weather;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    crypto::seal::watch,
    id::MessageId,
    limits::{REST_AFTER, SESSION_LIFETIME},
    name::Name,
    node::Conn,
    recovery::RecoveryCode,
    ticket::AttemptId,
    time::Time,
    world::{Driver, World},
};
use dice::Dice;
use ledger::Ledger;

const NAMES: [&str; 5] = ["alice", "bob", "carol", "dave", "erin"];

/// One run.
struct Sim {
    world: World,
    dice: Dice,
    people: Vec<Person>,
    ledger: Ledger,
    step: usize,
    /// When somebody does something next, or something goes wrong.
    next_act: Time,
    /// The machines whose agents run, or come back when they have died.
    awake: BTreeSet<String>,
    /// When an agent that is not connected, or has died, does something about it.
    wakes: BTreeMap<String, Time>,
    /// With whom an attempt is, as a machine knows or was told.
    asked: BTreeMap<(String, AttemptId), BTreeSet<Name>>,
    /// Connections that have been closed by the end of this number.
    closed: BTreeSet<Conn>,
    mood: Mood,
    /// Whether people have recovery codes and use them. In some runs only, so that in the others a seed goes on
    /// meaning what it meant before there were any.
    forgetful: bool,
    /// What was ever written to a path: from which machine, to whom.
    written: BTreeSet<(String, Name, MessageId)>,
    /// How often what was done.
    tally: BTreeMap<&'static str, usize>,
    /// Grows from everything that has happened.
    hash: u64,
}

/// What there is more of in this run than in others.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mood {
    Calm,
    /// Accidents.
    Stormy,
    /// Friendships that begin and end.
    Restless,
    /// Lies.
    Lying,
}

/// Somebody with an account.
struct Person {
    name: Name,
    machines: Vec<String>,
    /// On which of the machines they sit; none while they are logged out.
    at: Option<usize>,
    /// The challenge of a logout that is under way.
    leaving: Option<[u8; 32]>,
    /// What they have written down for the day they forget the password.
    code: Option<RecoveryCode>,
    liar: bool,
    /// What the wall clock says at the start of time.
    clock: u64,
}

/// What must hold and does not.
#[derive(Debug)]
struct Broken {
    invariant: &'static str,
    details: String,
}

impl Sim {
    fn new(seed: u64) -> Self {
        watch::begin();
        let mut dice = Dice::new(seed);
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut sim = Self {
            world: World::seeded(bytes),
            people: Vec::new(),
            ledger: Ledger::default(),
            step: 0,
            next_act: Time::ZERO,
            awake: BTreeSet::new(),
            wakes: BTreeMap::new(),
            asked: BTreeMap::new(),
            closed: BTreeSet::new(),
            forgetful: seed.is_multiple_of(3),
            mood: [Mood::Calm, Mood::Stormy, Mood::Restless, Mood::Lying][dice.pick(4)],
            written: BTreeSet::new(),
            tally: BTreeMap::new(),
            hash: seed,
            dice: dice.clone(),
        };
        let rests = [REST_AFTER, REST_AFTER, Duration::from_secs(60), Duration::from_secs(5)];
        sim.world.rest_after = rests[dice.pick(4)];
        let count = [2, 2, 2, 3, 3, 3, 4, 4, 5][dice.pick(9)];
        sim.dice = dice;
        sim.populate(count);
        sim
    }

    /// Everybody registers, and most of them become contacts, in calm weather.
    fn populate(&mut self, count: usize) {
        let lying = self.mood == Mood::Lying;
        let with_liar = count > 2 && (lying || self.dice.chance(40));
        for (at, who) in NAMES[..count].iter().enumerate() {
            self.world.register(who);
            self.people.push(Person {
                name: who.parse().unwrap(),
                machines: vec![(*who).to_owned()],
                at: Some(0),
                leaving: None,
                code: None,
                liar: with_liar && at == count - 1,
                clock: 1_700_000_000_000,
            });
            self.awake.insert((*who).to_owned());
        }
        for (at, a) in NAMES[..count].iter().enumerate() {
            for b in &NAMES[at + 1..count] {
                if *b == NAMES[1] || self.dice.chance(65) {
                    self.world.befriend(a, b);
                }
            }
        }
        for who in &NAMES[..count] {
            let driver = self.any_driver();
            self.world.drive(who, driver);
        }
        self.world.watched = Some(Vec::new());
        self.world.longest_delay = Some(Duration::from_millis(200));
        if self.dice.chance(if lying { 60 } else { 20 }) {
            self.tell_lies();
        }
    }

    /// The whole run.
    fn run(&mut self) -> Result<(), Broken> {
        let steps = 300 + self.dice.pick(500);
        for _ in 0..steps {
            if self.world.now >= self.next_act && self.dice.chance(30) {
                self.act();
                self.next_act = self.world.now + self.pause();
            } else {
                if self.dice.chance(4) {
                    self.forge();
                }
                let end = self.next_act.max(self.world.now);
                self.proceed(end);
            }
            self.after_step()?;
        }
        self.clear()
    }

    /// Somebody does something, or something goes wrong.
    fn act(&mut self) {
        let (people, weather) = match self.mood {
            Mood::Calm => (70, 85),
            Mood::Stormy => (48, 94),
            Mood::Restless => (78, 94),
            Mood::Lying => (50, 65),
        };
        match self.dice.pick(100) {
            choice if choice < people => self.person_acts(),
            choice if choice < weather => self.weather_changes(),
            _ => self.liar_acts(),
        }
    }

    /// How long nothing is done: mostly not at all, sometimes long.
    fn pause(&mut self) -> Duration {
        let longest = match self.dice.pick(1000) {
            0..500 => return Duration::ZERO,
            500..750 => Duration::from_millis(60),
            750..900 => Duration::from_secs(2),
            900..980 => Duration::from_secs(25),
            980..998 => Duration::from_secs(400),
            // Sessions end of themselves in this time.
            _ => 2 * SESSION_LIFETIME,
        };
        self.dice.time(longest)
    }

    /// One thing that is under way arrives; if nothing is, time passes, at most until `end`.
    fn proceed(&mut self, end: Time) {
        self.wake();
        if self.world.step() {
            return;
        }
        let end = self.wakes.values().copied().min().map_or(end, |wake| wake.min(end));
        if !self.world.tick(Some(end)) {
            self.world.now = end.max(self.world.now);
        }
    }

    /// Agents that have died are started, and those without a connection to the server seek one.
    fn wake(&mut self) {
        self.tend_logouts();
        let now = self.world.now;
        for who in self.awake.clone() {
            let machine = self.world.machine(&who);
            let dead = machine.node.is_none();
            let cut_off = machine.link.is_none() && machine.resuming.is_none() && !machine.ended;
            if !dead && !cut_off {
                self.wakes.remove(&who);
                continue;
            }
            let pause = if self.wakes.contains_key(&who) { Duration::ZERO } else { self.rest() };
            let due = *self.wakes.entry(who.clone()).or_insert(now + pause);
            if due > now {
                continue;
            }
            self.wakes.remove(&who);
            self.world.note(|| format!("{who} wakes"));
            if dead {
                self.world.boot(&who);
                self.world.machine(&who).ended = false;
            }
            if self.world.server_gone {
                self.wakes.insert(who, now + Duration::from_secs(3));
            } else if self.world.machine(&who).resuming.is_none() {
                self.world.dial_back(&who);
            }
        }
    }

    /// How long an agent takes to come back.
    fn rest(&mut self) -> Duration {
        let longest = [0, 200, 200, 3_000, 15_000, 90_000][self.dice.pick(6)];
        self.dice.time(Duration::from_millis(longest))
    }

    fn any_driver(&mut self) -> Driver {
        if self.dice.chance(70) { Driver::Batching } else { Driver::Ordered }
    }

    /// Counts something that has been done, and says what it was to whoever reads the trace.
    fn did(&mut self, what: &'static str, details: impl FnOnce() -> String) {
        *self.tally.entry(what).or_default() += 1;
        self.world.note(|| format!("{what}: {}", details()));
    }

    /// The machine that a person sits at, if its agent runs and speaks for them.
    fn seat(&mut self, person: usize) -> Option<String> {
        let Person { machines, at, leaving, .. } = &self.people[person];
        let who = machines[(*at).filter(|_| leaving.is_none())?].clone();
        let machine = self.world.machine(&who);
        (machine.node.is_some() && !machine.ended).then_some(who)
    }

    fn person_of(&self, who: &str) -> &Person {
        let owns = |person: &&Person| person.machines.iter().any(|machine| machine == who);
        self.people.iter().find(owns).unwrap()
    }

    fn person_named(&self, name: &Name) -> Option<&Person> {
        self.people.iter().find(|person| person.name == *name)
    }

    fn is_honest(&self, name: &Name) -> bool {
        self.person_named(name).is_some_and(|person| !person.liar)
    }
}
