//! How fast the shipped binaries are and how much memory they take, each beside a floor that was
//! measured in the same minute. Run by `cargo xtask bench`, which builds everything for release.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what goes wrong in an area ends that area"
)]

mod accounts;
mod api;
mod bare;
mod build;
mod command;
mod crowd;
mod disk;
mod docs;
#[cfg(target_os = "linux")]
mod first_message;
mod flow;
mod idle;
mod idle_cost;
mod introduce;
mod login;
mod loopback;
mod machine;
mod memory;
#[cfg(target_os = "linux")]
mod pairs;
mod peers;
mod pipe;
mod process;
mod ratchet;
#[cfg(target_os = "linux")]
mod reach;
mod report;
mod samples;
mod search;
mod start;
mod warm_message;

use std::{
    env, fs, io,
    panic::{self, AssertUnwindSafe},
    process::ExitCode,
};

use crowd::Crowd;
use docs::Docs;
use report::{Report, Row};

/// What areas share, because it takes minutes to make.
#[derive(Default)]
struct Shared {
    crowd: Option<Crowd>,
}

type Area = (&'static str, fn(&mut Shared) -> Vec<Row>);

/// Too long for a run of everything: measured when they are named. The last takes root, too.
const HEAVY: [&str; 3] = ["build", "idle-many", "reach"];

const AREAS: [Area; 16] = [
    ("login", |_| login::measure()),
    ("idle", |_| idle::measure()),
    ("first-message", |_| first_message()),
    ("warm-message", |_| warm_message::measure()),
    ("flow", |_| flow::measure()),
    ("command", |_| command::measure()),
    ("idle-cost", |_| idle_cost::measure()),
    ("ratchet", |_| ratchet::measure()),
    ("search", |_| search::measure()),
    ("accounts", |_| accounts::measure()),
    ("introduce", |_| introduce::measure()),
    ("memory", |shared| memory::measure(shared.crowd.get_or_insert_with(Crowd::gather))),
    ("start", |shared| start::measure(shared.crowd.get_or_insert_with(Crowd::gather))),
    ("build", |_| build::measure()),
    ("idle-many", |_| idle::measure_many()),
    ("reach", |_| reach()),
];

/// What was typed.
struct Asked {
    areas: Vec<String>,
    /// Where the figures are to be written as JSON.
    json: Option<String>,
}

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    if args.iter().any(|arg| arg == bare::ARGUMENT) {
        bare::serve();
        return ExitCode::SUCCESS;
    }
    // Cargo says this when it runs benchmarks. When it runs tests, nobody wants to wait for them.
    if !args.iter().any(|arg| arg == "--bench") {
        println!("run `cargo xtask bench`");
        return ExitCode::SUCCESS;
    }
    let asked = asked(args);
    let names = AREAS.map(|(name, _)| name);
    if let Some(unknown) = asked.areas.iter().find(|area| !names.contains(&area.as_str())) {
        eprintln!("There is no area `{unknown}`. There are: {}.", names.join(", "));
        return ExitCode::from(2);
    }
    let report = measure(&asked.areas);
    println!("{report}");
    match keep(&report, asked.json.as_deref(), &names) {
        Ok(()) if report.failed.is_empty() => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("The figures could not be written down: {error}");
            ExitCode::FAILURE
        }
    }
}

fn asked(args: Vec<String>) -> Asked {
    let mut asked = Asked { areas: Vec::new(), json: None };
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        if arg == "--json" {
            asked.json = args.next();
        } else if !arg.starts_with("--") {
            asked.areas.push(arg);
        }
    }
    asked
}

/// A number that was typed behind this.
fn number(flag: &str) -> Option<usize> {
    env::args().find_map(|arg| arg.strip_prefix(flag)?.parse().ok())
}

/// Measures these areas, or everything that is not too long.
fn measure(wanted: &[String]) -> Report {
    let mut report = Report::begin();
    let mut shared = Shared::default();
    for (name, measure) in AREAS {
        let named = wanted.iter().any(|area| area == name);
        if named || (wanted.is_empty() && !HEAVY.contains(&name)) {
            eprintln!("{name} …");
            // The panic has said what went wrong; the other areas can still be measured.
            match panic::catch_unwind(AssertUnwindSafe(|| measure(&mut shared))) {
                Ok(rows) => report.figures.extend(rows.iter().map(Row::figure)),
                Err(_) => report.failed.push(name),
            }
        }
    }
    report
}

/// Writes the figures where they were asked for, and into the repository.
fn keep(report: &Report, json: Option<&str>, names: &[&str]) -> io::Result<()> {
    if let Some(file) = json {
        fs::write(file, serde_json::to_vec_pretty(&report.figures)?)?;
    }
    let mut docs = Docs::load()?;
    docs.take(&report.figures);
    docs.save(names)
}

#[cfg(target_os = "linux")]
fn first_message() -> Vec<Row> {
    first_message::measure()
}

#[cfg(not(target_os = "linux"))]
fn first_message() -> Vec<Row> {
    reach()
}

#[cfg(target_os = "linux")]
fn reach() -> Vec<Row> {
    reach::measure()
}

#[cfg(not(target_os = "linux"))]
fn reach() -> Vec<Row> {
    eprintln!("skipped: networks can be made on Linux only");
    Vec::new()
}
