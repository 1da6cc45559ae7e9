//! `cargo xtask check` and `cargo xtask ci`: what must hold before a change goes in.

use std::{
    process::{Command, ExitCode, Stdio},
    time::Instant,
};

use crate::{
    cargo::cargo,
    dist,
    failure::{Doing, Failure},
    test, tidy,
};

/// Everything but the tests. Goes on after a failure, so that one run shows all that is wrong.
pub(crate) fn check() -> Result<ExitCode, Failure> {
    let steps = [
        Step { name: "lock file", command: lock_file },
        Step { name: "formatting", command: formatting },
        Step { name: "lints", command: lints },
        Step { name: "documentation", command: documentation },
    ];
    let mut failed = Vec::new();
    for step in steps {
        let began = announce(step.name);
        let status = (step.command)().status().doing("starting cargo")?;
        settle(step.name, status.success(), began, &mut failed);
    }
    let began = announce("tidy");
    let breaches = tidy::breaches()?;
    breaches.iter().for_each(|breach| eprintln!("{breach}"));
    settle("tidy", breaches.is_empty(), began, &mut failed);
    if failed.is_empty() {
        Ok(ExitCode::SUCCESS)
    } else {
        Err(Failure::new(format!("Failed: {}.", failed.join(", "))))
    }
}

/// The same, then every test, and then what is handed out, made of the programs that the tests have used.
pub(crate) fn run() -> Result<ExitCode, Failure> {
    let checked = check();
    let tested = test::run(&[])?;
    let packed = dist::check();
    checked.and(packed).map(|_| tested)
}

struct Step {
    name: &'static str,
    command: fn() -> Command,
}

fn announce(name: &str) -> Instant {
    println!("== {name}");
    Instant::now()
}

fn settle(name: &'static str, held: bool, began: Instant, failed: &mut Vec<&'static str>) {
    let verdict = if held { "holds" } else { "FAILS" };
    println!("== {name} {verdict} ({:.1} s)", began.elapsed().as_secs_f64());
    if !held {
        failed.push(name);
    }
}

fn lock_file() -> Command {
    let mut command = cargo();
    command.args(["metadata", "--locked", "--format-version", "1"]).stdout(Stdio::null());
    command
}

fn formatting() -> Command {
    let mut command = cargo();
    command.args(["fmt", "--all", "--check"]);
    command
}

fn lints() -> Command {
    let mut command = cargo();
    command.args(["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    command
}

fn documentation() -> Command {
    let mut command = cargo();
    command
        .args(["doc", "--quiet", "--workspace", "--no-deps", "--document-private-items"])
        .env("RUSTDOCFLAGS", "-D warnings");
    command
}
