//! How long a typed `hither send` takes from its start to its end, with an agent that runs and a path that stands.

use std::process::{Command, Stdio};

use hither_tests::lab::{Lab, Person, binaries};

use crate::{
    flow::Pair,
    report::{Row, Target, Unit},
    samples::{Samples, alternately, seconds},
};

const WARM_UP: usize = 10;
const ROUNDS: usize = 200;

pub(crate) fn measure() -> Vec<Row> {
    let lab = Lab::new("command");
    let pair = Pair::meet(&lab);
    for _ in 0..WARM_UP {
        sends(&pair.alice, &[]);
    }
    let (delivered, floor) = alternately(ROUNDS, || timed(&pair.alice, &[]), || seconds(nothing));
    let queued = (0..ROUNDS).map(|_| timed(&pair.alice, &["--wait", "0s", "--queue-ok"]));
    let queued: Samples = queued.collect();
    let last = Samples::once(delivered.quantile(0.99));
    let row = |what, measured, target| Row {
        area: "command",
        what,
        unit: Unit::Seconds,
        measured,
        floor: Some(floor.clone()),
        peer: None,
        target,
    };
    let target = Some(Target::AtMost(0.015));
    vec![
        row("`hither send`, its floor being `hither --version`", delivered, target),
        row("the 99th of a hundred", last, None),
        row("`hither send --wait 0s`", queued, target),
    ]
}

#[track_caller]
fn timed(alice: &Person, flags: &[&str]) -> f64 {
    seconds(|| sends(alice, flags))
}

#[track_caller]
fn sends(alice: &Person, flags: &[&str]) {
    let mut command = hither();
    command.arg("--home").arg(alice.home()).args(["send", "bob", "a line"]).args(flags);
    assert!(command.status().unwrap().success());
}

/// A process that does next to nothing.
#[track_caller]
fn nothing() {
    assert!(hither().arg("--version").status().unwrap().success());
}

fn hither() -> Command {
    let mut command = Command::new(binaries().join("hither"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}
