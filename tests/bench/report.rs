//! What a run has found: figures beside what they are held against, as a table for people and as JSON for
//! machines.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{machine, samples::Samples};

/// One thing that was measured.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) area: &'static str,
    pub(crate) what: &'static str,
    pub(crate) unit: Unit,
    pub(crate) measured: Samples,
    /// What the same work costs without us.
    pub(crate) floor: Option<Samples>,
    pub(crate) peer: Option<Peer>,
    pub(crate) target: Option<Target>,
}

/// What another program makes of the same task.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    /// Nothing where it is not installed.
    pub(crate) measured: Option<Samples>,
}

/// What a number counts.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    Bytes,
    BytesPerHour,
    /// Of one core.
    Core,
    PerHour,
    PerSecond,
    RoundTrips,
    Seconds,
    /// Of everything.
    Share,
}

/// What a number has to come to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
    /// At most so many times the floor, or the peer where there is no floor.
    Times(f64),
    /// At least so many times that.
    Share(f64),
}

/// A row as it is told to others, and kept.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Figure {
    pub(crate) area: String,
    pub(crate) metric: String,
    unit: Unit,
    product: f64,
    floor: Option<f64>,
    peer: Option<f64>,
    ratio: Option<f64>,
    goal: Option<String>,
    pub(crate) met: Option<bool>,
    /// Below the first lies a tenth of all rounds, above the second another.
    spread: [f64; 2],
    rounds: usize,
    /// Who the peer is. One without a number is not installed.
    peer_name: Option<String>,
}

/// A whole run.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) figures: Vec<Figure>,
    /// The areas that could not be measured.
    pub(crate) failed: Vec<&'static str>,
    load: f64,
}

impl Row {
    pub(crate) fn figure(&self) -> Figure {
        let Self { area, what, unit, measured, .. } = self;
        Figure {
            area: (*area).to_owned(),
            metric: (*what).to_owned(),
            unit: *unit,
            product: measured.median(),
            floor: self.floor.as_ref().map(Samples::median),
            peer: self.peer.as_ref().and_then(Peer::median),
            ratio: self.ratio(),
            goal: self.goal(),
            met: self.meets(),
            spread: [measured.quantile(0.1), measured.quantile(0.9)],
            rounds: measured.len(),
            peer_name: self.peer.as_ref().map(|peer| peer.name.to_owned()),
        }
    }

    /// Beside the floor, or beside the peer where there is no floor.
    fn ratio(&self) -> Option<f64> {
        let other = match (&self.floor, &self.peer) {
            (Some(floor), _) => floor.median(),
            (None, Some(peer)) => peer.median()?,
            (None, None) => return None,
        };
        Some(self.measured.median() / other)
    }

    /// Whether the target is met, if there is one and all that it names was measured.
    fn meets(&self) -> Option<bool> {
        let measured = self.measured.median();
        Some(match self.target? {
            Target::AtLeast(least) => measured >= least,
            Target::AtMost(most) => measured <= most,
            Target::Times(times) => self.ratio()? <= times,
            Target::Share(share) => self.ratio()? >= share,
        })
    }

    fn goal(&self) -> Option<String> {
        let other = match (&self.floor, &self.peer) {
            (None, Some(peer)) => peer.name,
            _ => "floor",
        };
        Some(match self.target? {
            Target::AtLeast(least) => format!("≥ {}", self.unit.show(least)),
            Target::AtMost(most) => format!("≤ {}", self.unit.show(most)),
            Target::Times(times) => format!("≤ {times} × {other}"),
            Target::Share(share) => format!("≥ {share} × {other}"),
        })
    }
}

impl Peer {
    fn median(&self) -> Option<f64> {
        self.measured.as_ref().map(Samples::median)
    }
}

impl Figure {
    /// What stands above the cells.
    pub(crate) const TITLES: [&'static str; 9] =
        ["", "product", "10 % … 90 %", "floor", "peer", "ratio", "goal", "", "rounds"];

    /// Everything but the area, as people read it.
    pub(crate) fn cells(&self) -> [String; 9] {
        let show = |value: Option<f64>| value.map(|value| self.unit.show(value));
        let [low, high] = self.spread.map(|value| self.unit.show(value));
        let spread = if self.rounds > 1 { format!("{low} … {high}") } else { String::new() };
        let peer = self.peer_name.as_ref().map(|name| match show(self.peer) {
            Some(value) => format!("{value} ({name})"),
            None => format!("{name}: not installed"),
        });
        [
            self.metric.clone(),
            self.unit.show(self.product),
            spread,
            show(self.floor).unwrap_or_default(),
            peer.unwrap_or_default(),
            self.ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default(),
            self.goal.clone().unwrap_or_default(),
            self.met.map(|met| if met { "ok" } else { "MISS" }).unwrap_or_default().to_owned(),
            self.rounds.to_string(),
        ]
    }
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Bytes => bytes(value),
            Self::BytesPerHour => format!("{}/h", bytes(value)),
            Self::Core => format!("{:.3} %", value * 100.0),
            Self::PerHour => format!("{value:.0}/h"),
            Self::PerSecond => format!("{value:.0}/s"),
            Self::RoundTrips => format!("{value:.2} R"),
            Self::Share => format!("{:.2} %", value * 100.0),
            Self::Seconds if value.abs() < 1e-6 => format!("{:.0} ns", value * 1e9),
            Self::Seconds if value.abs() < 1e-3 => format!("{:.2} µs", value * 1e6),
            Self::Seconds if value.abs() < 1.0 => format!("{:.2} ms", value * 1e3),
            Self::Seconds if value.abs() < 600.0 => format!("{value:.2} s"),
            Self::Seconds => format!("{:.1} min", value / 60.0),
        }
    }
}

fn bytes(value: f64) -> String {
    if value.abs() < 1024.0 * 1024.0 {
        format!("{:.1} KiB", value / 1024.0)
    } else {
        format!("{:.1} MiB", value / 1024.0 / 1024.0)
    }
}

impl Report {
    /// A report with nothing in it yet.
    pub(crate) fn begin() -> Self {
        Self { figures: Vec::new(), failed: Vec::new(), load: machine::load() }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let titles = Figure::TITLES.map(str::to_owned);
        let rows = self.figures.iter().map(|figure| {
            let mut cells = figure.cells();
            cells[0] = format!("{}: {}", figure.area, cells[0]);
            cells
        });
        let table: Vec<[String; 9]> = [titles].into_iter().chain(rows).collect();
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
        let (before, after) = (self.load, machine::load());
        writeln!(f, "\n{}; load {before:.1} before, {after:.1} after", machine::describe())?;
        for figure in self.figures.iter().filter(|figure| figure.met == Some(false)) {
            writeln!(f, "MISS  {}: {}", figure.area, figure.metric)?;
        }
        for area in &self.failed {
            writeln!(f, "FAILED  {area} could not be measured")?;
        }
        Ok(())
    }
}
