//! `cargo xtask sim`: one run of the protocol's simulator with all that happens in it, or many runs.

use std::{ffi::OsString, process::ExitCode};

use crate::{
    cargo,
    failure::{Doing, Failure},
};

const USAGE: &str = "\
Usage: cargo xtask sim SEED            one run, with its whole trace
       cargo xtask sim --seeds A..B    many runs; what fails is printed with the end of its trace
";

/// The simulator is part of the protocol's tests, where it can look into the state machines, and takes its
/// seeds from the environment.
pub(crate) fn run(args: &[OsString]) -> Result<ExitCode, Failure> {
    let args: Vec<_> = args.iter().map(|arg| arg.to_string_lossy()).collect();
    let args: Vec<_> = args.iter().map(AsRef::as_ref).collect();
    let (variable, value, tests): (_, _, &[&str]) = match args[..] {
        [seed] if is_seed(seed) => {
            let replay = &["--ignored", "--exact", "--nocapture", "sim::seeds::replay"];
            ("HITHER_SIM_SEED", seed, replay)
        }
        ["--seeds", seeds] if is_range(seeds) => {
            ("HITHER_SIM_SEEDS", seeds, &["sim::seeds::seeds_hold"])
        }
        _ => {
            eprint!("{USAGE}");
            return Ok(ExitCode::from(2));
        }
    };
    let status = cargo::cargo()
        .args(["test", "--quiet", "--package", "hither-proto", "--lib", "--"])
        .args(tests)
        .env(variable, value)
        .status()
        .doing("starting cargo test")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn is_seed(text: &str) -> bool {
    text.parse::<u64>().is_ok()
}

fn is_range(text: &str) -> bool {
    text.split_once("..").is_some_and(|(from, to)| is_seed(from) && is_seed(to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_number_and_a_range_is_two() {
        assert!(is_seed("7") && is_range("0..5000"));
        for text in ["", "7..", "..7", "a..b", "-1", "1..2..3"] {
            assert!(!is_seed(text) && !is_range(text), "{text}");
        }
    }
}
