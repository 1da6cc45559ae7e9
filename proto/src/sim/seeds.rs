//! Which seeds are run: some thousands each time, those that ever failed, and whichever somebody asks for.
//!
//! The environment is looked at in this file and nowhere else in the protocol: only a run that somebody
//! asks for depends on it.

use std::{
    any::Any,
    collections::BTreeSet,
    env,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
};

use super::{Broken, Sim};

/// What is run when nobody asks for anything else.
const SEEDS: Range<u64> = 0..2_000;

/// Seeds that failed once, one a line, each with what it was.
const FAILED: &str = include_str!("failed_seeds.txt");

/// All that people, the weather and liars may do.
const EVERYTHING: &[&str] = &[
    "accept",
    "add",
    "block",
    "blocked",
    "cancel",
    "clock",
    "crash",
    "cut",
    "cut off",
    "delay",
    "delete",
    "edit",
    "flood",
    "forgery",
    "full disk",
    "full server",
    "lie: flood",
    "lie: frames",
    "lie: history",
    "lie: noise",
    "lie: receipts",
    "lie: rewritten",
    "lie: ticks",
    "lie: wrong message",
    "login",
    "logout",
    "man in the middle",
    "network",
    "reaction",
    "read",
    "recovery",
    "recovery code",
    "recovery cut off",
    "reject",
    "remove",
    "server back",
    "server gone",
    "stall",
    "text",
    "timer",
    "typing",
    "unblock",
    "verify",
    "woken",
];

/// Lines of a trace that say how it came about.
const TRACE_LINES: usize = 60;

/// The tests among which a range is divided: they run side by side.
const SHARES: u64 = 8;

/// Runs one seed; what has not held, if anything.
fn run(sim: &mut Sim) -> Result<(), String> {
    let result = catch_unwind(AssertUnwindSafe(|| sim.run()));
    let broken = |panic: Box<dyn Any + Send>| {
        let text = panic.downcast_ref::<&str>().map(ToString::to_string);
        let details = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Broken { invariant: "nothing panics", details: details.unwrap_or_default() }
    };
    let Broken { invariant, details } = match result {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(broken)) => broken,
        Err(panic) => broken(panic),
    };
    Err(format!("step {}: {invariant}: {details}", sim.step))
}

/// Runs one seed, and once more with a trace if it fails.
fn hold(seed: u64) {
    let Err(_) = run(&mut Sim::new(seed)) else { return };
    let mut sim = Sim::new(seed);
    sim.world.trace = Some(Vec::new());
    let why = run(&mut sim).err().unwrap_or_else(|| "not the second time".to_owned());
    let trace = sim.world.trace.unwrap_or_default();
    let trace = trace[trace.len().saturating_sub(TRACE_LINES)..].join("\n");
    panic!("seed {seed}, {why}\n{trace}\nseed {seed}, {why}; replay with: cargo xtask sim {seed}");
}

fn share(number: u64) {
    for seed in range().filter(|seed| seed % SHARES == number) {
        hold(seed);
    }
}

/// What `cargo xtask sim --seeds A..B` has asked for.
fn range() -> Range<u64> {
    let Some(asked) = asked("HITHER_SIM_SEEDS") else { return SEEDS };
    let (from, to) = asked.split_once("..").unwrap();
    from.parse().unwrap()..to.parse().unwrap()
}

#[expect(clippy::disallowed_methods, reason = "a run that somebody asks for")]
fn asked(what: &str) -> Option<String> {
    env::var(what).ok()
}

#[test]
fn seeds_hold_0() {
    share(0);
}

#[test]
fn seeds_hold_1() {
    share(1);
}

#[test]
fn seeds_hold_2() {
    share(2);
}

#[test]
fn seeds_hold_3() {
    share(3);
}

#[test]
fn seeds_hold_4() {
    share(4);
}

#[test]
fn seeds_hold_5() {
    share(5);
}

#[test]
fn seeds_hold_6() {
    share(6);
}

#[test]
fn seeds_hold_7() {
    share(7);
}

#[test]
fn seeds_that_failed_once_hold() {
    for line in FAILED.lines().filter(|line| !line.starts_with('#')) {
        let seed = line.split_whitespace().next().unwrap();
        hold(seed.parse().unwrap());
    }
}

#[test]
fn a_seed_decides_everything() {
    let hash = |seed, traced: bool| {
        let mut sim = Sim::new(seed);
        sim.world.trace = traced.then(Vec::new);
        run(&mut sim).unwrap();
        sim.hash
    };
    let hashes: Vec<_> = (0..4).map(|seed| hash(seed, false)).collect();
    assert_eq!(hashes, (0..4).map(|seed| hash(seed, true)).collect::<Vec<_>>());
    assert!((1..4).all(|at| hashes[at] != hashes[0]));
}

#[test]
fn everything_that_can_happen_does() {
    let mut done = BTreeSet::new();
    for seed in 0..300 {
        let mut sim = Sim::new(seed);
        run(&mut sim).unwrap();
        done.extend(sim.tally.into_keys());
    }
    let missing: Vec<_> = EVERYTHING.iter().filter(|what| !done.contains(*what)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// The whole trace of one seed: `cargo xtask sim SEED`.
#[test]
#[ignore = "for whoever asks for a seed"]
fn replay() {
    let seed = asked("HITHER_SIM_SEED").unwrap().parse().unwrap();
    let mut sim = Sim::new(seed);
    sim.world.trace = Some(Vec::new());
    let result = run(&mut sim);
    println!("{}", sim.world.trace.unwrap_or_default().join("\n"));
    println!("seed {seed}: hash {:016x}, {} steps, {:?}", sim.hash, sim.step, sim.tally);
    result.unwrap();
}
