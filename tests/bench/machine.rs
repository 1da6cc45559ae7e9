//! What the figures were measured on. Linux says it in full, others what the standard library knows.

use std::{fs, process::Command};

/// Processor, cores, memory and kernel, in one line.
pub(crate) fn describe() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let processor = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "processor".to_owned());
    let memory = field("/proc/meminfo", "MemTotal");
    let memory = memory.and_then(|text| text.trim_end_matches(" kB").parse::<f64>().ok());
    let memory = memory.map(|kibibytes| format!(", {:.0} GiB", kibibytes / 1024.0 / 1024.0));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel = format!("{} {}", std::env::consts::OS, kernel.trim());
    format!("{processor}, {cores} cores{}, {}", memory.unwrap_or_default(), kernel.trim())
}

/// How many processes want to run, on average over a minute; nothing where the system does not say.
pub(crate) fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or_default()
}

/// Today, as YYYY-MM-DD in UTC; nothing where there is no `date`.
pub(crate) fn today() -> String {
    let date = Command::new("date").args(["-u", "+%Y-%m-%d"]).output();
    let date = date.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    date.unwrap_or_default()
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
