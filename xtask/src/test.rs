//! `cargo xtask test`: every test, against programs that are up to date.

use std::{env, ffi::OsString, process::ExitCode, thread};

use crate::{
    cargo,
    failure::{Doing, Failure},
};

/// How many tests go on beside each other.
const THREADS: &str = "RUST_TEST_THREADS";

/// So many for each core: most of the time of a test of processes is waiting.
const TESTS_A_CORE: usize = 3;

/// Builds all targets first, for `cargo test` alone does not build the programs that the tests of
/// `tests` run, and building them with another choice of packages could compile dependencies twice.
///
/// `--heavy` in front makes the tests that try their luck try it ten times as often.
pub(crate) fn run(args: &[OsString]) -> Result<ExitCode, Failure> {
    let (heavy, args) = match args.split_first() {
        Some((first, rest)) if first == "--heavy" => (true, rest),
        _ => (false, args),
    };
    let binaries = cargo::build(&["--workspace", "--all-targets"])?;
    let folder = binaries.hither.parent().unwrap_or(cargo::root());
    let mut tests = cargo::cargo();
    tests.args(["test", "--workspace", "--no-fail-fast"]).args(args);
    tests.env("HITHER_BIN_DIR", folder).envs(heavy.then_some(("HITHER_HEAVY", "1")));
    if env::var_os(THREADS).is_none() {
        let cores = thread::available_parallelism().map_or(1, Into::into);
        tests.env(THREADS, (TESTS_A_CORE * cores).to_string());
    }
    let status = tests.status().doing("starting cargo test")?;
    // Cargo has said all there is to say, and its lines are the last ones.
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
