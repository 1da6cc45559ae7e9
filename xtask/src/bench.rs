//! `cargo xtask bench`: how fast the programs are and how much memory they take, built as they ship.

use std::{ffi::OsString, process::ExitCode};

use crate::{
    cargo,
    failure::{Doing, Failure},
};

/// What a target asks for and what is measured are a report; only what could not be measured fails.
pub(crate) fn run(args: &[OsString]) -> Result<ExitCode, Failure> {
    let binaries = cargo::build(&["--release", "-p", "hither-server", "-p", "hither"])?;
    let folder = binaries.hither.parent().unwrap_or(cargo::root());
    let mut bench = cargo::cargo();
    bench.args(["bench", "--quiet", "-p", "hither-tests", "--bench", "bench", "--"]).args(args);
    let status = bench.env("HITHER_BIN_DIR", folder).status().doing("starting cargo bench")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
