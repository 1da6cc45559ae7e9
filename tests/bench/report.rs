//! What a run has found, as a table for people and as JSON for machines.

use std::{fmt, fs};

use serde_json::{Value, json};

use crate::samples::Samples;

/// One thing that was measured.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) area: &'static str,
    pub(crate) what: &'static str,
    pub(crate) unit: Unit,
    pub(crate) measured: Samples,
    /// What the same work costs without us.
    pub(crate) floor: Option<Samples>,
    pub(crate) target: Option<Target>,
}

/// What a number counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Unit {
    Bytes,
    PerSecond,
    Seconds,
}

/// What a number has to come to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
    /// At most so many times the floor.
    Times(f64),
}

/// A whole run.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) rows: Vec<Row>,
    /// The areas that could not be measured.
    pub(crate) failed: Vec<&'static str>,
    load: f64,
}

impl Row {
    fn ratio(&self) -> Option<f64> {
        Some(self.measured.median() / self.floor.as_ref()?.median())
    }

    /// Whether the target is met, if there is one.
    fn meets(&self) -> Option<bool> {
        let measured = self.measured.median();
        Some(match self.target? {
            Target::AtLeast(least) => measured >= least,
            Target::AtMost(most) => measured <= most,
            Target::Times(times) => self.ratio()? <= times,
        })
    }

    fn cells(&self) -> [String; 8] {
        let Self { area, what, unit, measured, floor, target, .. } = self;
        let noise = match measured.len() {
            1 => String::new(),
            _ => format!(
                "{} … {}",
                unit.show(measured.quantile(0.1)),
                unit.show(measured.quantile(0.9))
            ),
        };
        let target = target.map(|target| match target {
            Target::AtLeast(least) => format!("≥ {}", unit.show(least)),
            Target::AtMost(most) => format!("≤ {}", unit.show(most)),
            Target::Times(times) => format!("≤ {times} ×"),
        });
        let verdict = self.meets().map(|meets| if meets { "ok" } else { "MISS" });
        [
            format!("{area}: {what}"),
            unit.show(measured.median()),
            noise,
            floor.as_ref().map(|floor| unit.show(floor.median())).unwrap_or_default(),
            self.ratio().map(|ratio| format!("{ratio:.2}")).unwrap_or_default(),
            target.unwrap_or_default(),
            verdict.unwrap_or_default().to_owned(),
            measured.len().to_string(),
        ]
    }

    fn to_json(&self) -> Value {
        let (unit, measured) = (self.unit, &self.measured);
        let target = self.target.map(|target| match target {
            Target::AtLeast(least) => json!({ "at_least": least }),
            Target::AtMost(most) => json!({ "at_most": most }),
            Target::Times(times) => json!({ "times_floor": times }),
        });
        json!({
            "area": self.area,
            "what": self.what,
            "unit": unit.name(),
            "measured": measured.median(),
            "noise": [measured.quantile(0.1), measured.quantile(0.9)],
            "samples": measured.len(),
            "floor": self.floor.as_ref().map(Samples::median),
            "ratio": self.ratio(),
            "target": target,
            "ok": self.meets(),
        })
    }
}

impl Unit {
    const fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::PerSecond => "per_second",
            Self::Seconds => "seconds",
        }
    }

    fn show(self, value: f64) -> String {
        match self {
            Self::Bytes if value.abs() < 1024.0 * 1024.0 => format!("{:.1} KiB", value / 1024.0),
            Self::Bytes => format!("{:.1} MiB", value / 1024.0 / 1024.0),
            Self::PerSecond => format!("{value:.0}/s"),
            Self::Seconds if value.abs() < 1e-6 => format!("{:.0} ns", value * 1e9),
            Self::Seconds if value.abs() < 1e-3 => format!("{:.2} µs", value * 1e6),
            Self::Seconds if value.abs() < 1.0 => format!("{:.2} ms", value * 1e3),
            Self::Seconds => format!("{value:.2} s"),
        }
    }
}

impl Report {
    /// A report with nothing in it yet.
    pub(crate) fn begin() -> Self {
        Self { rows: Vec::new(), failed: Vec::new(), load: load() }
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "v": 1,
            "rows": self.rows.iter().map(Row::to_json).collect::<Vec<_>>(),
            "failed": self.failed,
            "cores": cores(),
            "load": [self.load, load()],
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let titles = ["", "median", "10 % … 90 %", "floor", "ratio", "target", "", "samples"]
            .map(str::to_owned);
        let table: Vec<[String; 8]> =
            [titles].into_iter().chain(self.rows.iter().map(Row::cells)).collect();
        let width = |at: usize| table.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
        for row in &table {
            let mut line = String::new();
            for (at, cell) in row.iter().enumerate() {
                // The name is read from its beginning, numbers from their end.
                match at {
                    0 => line.push_str(&format!("{cell:<0$}", width(at))),
                    _ => line.push_str(&format!("  {cell:>0$}", width(at))),
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        writeln!(f, "\nload {:.1} before, {:.1} after, on {} cores", self.load, load(), cores())?;
        for row in self.rows.iter().filter(|row| row.meets() == Some(false)) {
            writeln!(f, "MISS  {}: {}", row.area, row.what)?;
        }
        for area in &self.failed {
            writeln!(f, "FAILED  {area} could not be measured")?;
        }
        Ok(())
    }
}

/// How many processes want to run, on average over a minute; nothing where the system does not say.
fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or_default()
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
