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
mod crowd;
mod disk;
mod flow;
mod idle;
mod introduce;
mod latency;
mod login;
mod loopback;
mod memory;
mod process;
mod ratchet;
#[cfg(target_os = "linux")]
mod reach;
mod report;
mod samples;
mod search;
mod start;

use std::{
    env,
    panic::{self, AssertUnwindSafe},
    process::ExitCode,
};

use crowd::Crowd;
use report::{Report, Row};

/// What areas share, because it takes minutes to make.
#[derive(Default)]
struct Shared {
    crowd: Option<Crowd>,
}

type Area = (&'static str, fn(&mut Shared) -> Vec<Row>);

/// Too long for a run of everything: measured when they are named. The second takes root, too.
const HEAVY: [&str; 2] = ["idle-many", "reach"];

const AREAS: [Area; 12] = [
    ("ratchet", |_| ratchet::measure()),
    ("flow", |_| flow::measure()),
    ("latency", |_| latency::measure()),
    ("search", |_| search::measure()),
    ("login", |_| login::measure()),
    ("idle", |_| idle::measure()),
    ("idle-many", |_| idle::measure_many()),
    ("accounts", |_| accounts::measure()),
    ("introduce", |_| introduce::measure()),
    ("memory", |shared| memory::measure(shared.crowd.get_or_insert_with(Crowd::gather))),
    ("start", |shared| start::measure(shared.crowd.get_or_insert_with(Crowd::gather))),
    ("reach", |_| reach()),
];

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
    let json = args.iter().any(|arg| arg == "--json");
    let wanted: Vec<&String> = args.iter().filter(|arg| !arg.starts_with("--")).collect();
    let names = AREAS.map(|(name, _)| name);
    if let Some(unknown) = wanted.iter().find(|area| !names.contains(&area.as_str())) {
        eprintln!("There is no area `{unknown}`. There are: {}.", names.join(", "));
        return ExitCode::from(2);
    }
    let mut report = Report::begin();
    let mut shared = Shared::default();
    for (name, measure) in AREAS {
        let named = wanted.iter().any(|area| *area == name);
        if named || (wanted.is_empty() && !HEAVY.contains(&name)) {
            eprintln!("{name} …");
            // The panic has said what went wrong; the other areas can still be measured.
            match panic::catch_unwind(AssertUnwindSafe(|| measure(&mut shared))) {
                Ok(rows) => report.rows.extend(rows),
                Err(_) => report.failed.push(name),
            }
        }
    }
    println!("{}", if json { report.to_json().to_string() } else { report.to_string() });
    if report.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
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
