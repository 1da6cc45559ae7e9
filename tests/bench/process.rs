//! What the kernel says of a process: its time on a core, and its memory. Linux only.

use std::fs;

/// Ticks in a second in `/proc/PID/stat`: the same on every Linux that programs have ever seen.
const TICKS: f64 = 100.0;

/// Seconds that all threads of a process have spent on a core, in the kernel and outside.
#[track_caller]
pub(crate) fn cpu(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process that runs");
    // The name of the program, in brackets, may hold anything; what follows are numbers.
    let (_, numbers) = stat.rsplit_once(") ").expect("a name in brackets");
    let ticks = |at: usize| numbers.split(' ').nth(at).and_then(|text| text.parse::<f64>().ok());
    (ticks(11).expect("time outside the kernel") + ticks(12).expect("time in the kernel")) / TICKS
}

/// Seconds that this very thread has spent on a core.
#[track_caller]
pub(crate) fn thread_cpu() -> f64 {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").expect("this thread runs");
    let nanoseconds = stat.split(' ').next().and_then(|text| text.parse::<f64>().ok());
    nanoseconds.expect("time on a core") / 1e9
}

/// Seconds that the threads which a process has now have spent on a core, in finer steps.
#[track_caller]
pub(crate) fn threads_cpu(pid: u32) -> f64 {
    of_threads(pid, "schedstat", |text| text.split(' ').next()?.parse().ok()) / 1e9
}

/// How often the threads which a process has now have been woken up after they had waited for something.
#[track_caller]
pub(crate) fn wakes(pid: u32) -> f64 {
    of_threads(pid, "status", |text| {
        let switches =
            |line: &str| line.strip_prefix("voluntary_ctxt_switches:")?.trim().parse().ok();
        text.lines().find_map(switches)
    })
}

#[track_caller]
fn of_threads(pid: u32, file: &str, number: impl Fn(&str) -> Option<f64>) -> f64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("a process that runs");
    // A thread may end in between.
    let texts =
        threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join(file)).ok());
    texts.filter_map(|text| number(&text)).sum()
}

/// Bytes of memory that a process keeps in use.
#[track_caller]
pub(crate) fn resident(pid: u32) -> f64 {
    kibibytes(pid, "status", "VmRSS:")
}

/// The same, with what it shares with others divided among them.
#[track_caller]
pub(crate) fn proportional(pid: u32) -> f64 {
    kibibytes(pid, "smaps_rollup", "Pss:")
}

#[track_caller]
fn kibibytes(pid: u32, file: &str, field: &str) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).expect("a process that runs");
    let line = text.lines().find_map(|line| line.strip_prefix(field)).expect("the field");
    let number = line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number");
    number * 1024.0
}
