//! The chores of this repository, run as `cargo xtask CHORE`.

mod bench;
mod cargo;
mod ci;
mod demo;
mod dist;
mod failure;
mod fuzz;
mod models;
mod sim;
mod test;
mod tidy;

use std::{env, ffi::OsString, process::ExitCode};

use failure::Failure;

const CHORES: &str = "\
cargo xtask demo          a server and three people talk, on this machine, in half a minute
cargo xtask test [ARGS]   every test; ARGS go to `cargo test`, for example a part of a test's name
cargo xtask test --heavy  the same, with ten times the kills
cargo xtask bench [AREA…] how fast and how large the programs are, built as they ship; `--json FILE` too
cargo xtask bench --install-peers     what else they are held against, from Debian; as root
cargo xtask bench reach   who reaches whom from which kind of home, and how soon; an hour, as root (--minutes=N ends it
                          before, and --resume goes on; --rounds=N, --jobs=N)
cargo xtask fuzz [TARGET] [--seconds N]  what strangers may say to the protocol; `--keep` its corpora
cargo xtask dist          what is handed out, below target/dist; `--check` tries it with what tests use
cargo xtask sim SEED      one run of the protocol's simulator, told whole; `--seeds A..B` for many
cargo xtask models        what a symbolic prover says of the protocol's models, whole and weakened
cargo xtask tidy          the rules about the text of this repository
cargo xtask check         everything but the tests: lock file, formatting, lints, documentation, tidy
cargo xtask ci            check, then test, then dist --check
cargo xtask help          this list
";

fn main() -> ExitCode {
    let mut args = env::args_os().skip(1);
    let chore = args.next().unwrap_or_else(|| OsString::from("help"));
    match run(&chore.to_string_lossy(), &args.collect::<Vec<_>>()) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("\n{failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(chore: &str, args: &[OsString]) -> Result<ExitCode, Failure> {
    match (chore, args) {
        ("demo", []) => demo::run(),
        (demo::SWEEP, [hither]) => demo::sweep(hither.as_ref()),
        ("test", args) => test::run(args),
        ("bench", args) => bench::run(args),
        ("fuzz", args) => fuzz::run(args),
        ("dist", args) => dist::run(args),
        ("sim", args) => sim::run(args),
        ("models", []) => models::run(),
        ("tidy", []) => tidy::run(),
        ("check", []) => ci::check(),
        ("ci", []) => ci::run(),
        ("help" | "--help" | "-h", []) => {
            print!("{CHORES}");
            Ok(ExitCode::SUCCESS)
        }
        _ => {
            eprint!("There is no such chore. There are:\n\n{CHORES}");
            Ok(ExitCode::from(2))
        }
    }
}
