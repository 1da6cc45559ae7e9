//! `cargo xtask test`: every test, against programs that are up to date.

use std::{ffi::OsString, process::ExitCode};

use crate::{
    cargo,
    failure::{Doing, Failure},
};

/// Builds all targets first, for `cargo test` alone does not build the programs that the tests of
/// `tests` run, and building them with another choice of packages could compile dependencies twice.
pub(crate) fn run(args: &[OsString]) -> Result<ExitCode, Failure> {
    let binaries = cargo::build(&["--workspace", "--all-targets"])?;
    let folder = binaries.hither.parent().unwrap_or(cargo::root());
    let status = cargo::cargo()
        .args(["test", "--workspace", "--no-fail-fast"])
        .args(args)
        .env("HITHER_BIN_DIR", folder)
        .status()
        .doing("starting cargo test")?;
    // Cargo has said all there is to say, and its lines are the last ones.
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
