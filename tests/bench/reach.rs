//! Who reaches whom directly, and how soon, from every kind of home: behind real NATs, at 100 ms round trip.

use std::{fmt::Write, time::Duration};

use hither_tests::natlab::{Ending, Expected, Kind, Mishap, cell, expected};

use crate::{
    pairs::{self, Endings},
    report::{Row, Target, Unit},
    samples::Samples,
};

const ROUND_TRIP: Duration = Duration::from_millis(100);

/// How soon a pair that has no way has to be told so.
const PATIENCE: f64 = 4.0;

/// How much later than the connection the first message may be readable, in round trips.
const MESSAGE: f64 = 1.0;

/// Pairs of which the same is asked.
struct Class {
    connected: &'static str,
    stands: &'static str,
    slowest: &'static str,
    readable: &'static str,
    holds: fn(Kind, Kind) -> bool,
    /// After how many round trips the connection stands.
    goal: f64,
    /// Whether it does in every round, or in half of them.
    always: bool,
}

const CLASSES: [Class; 6] = [
    Class {
        connected: "neither symmetric, connected",
        stands: "neither symmetric, stands",
        slowest: "neither symmetric, stands, the slowest",
        readable: "neither symmetric, readable",
        holds: |one, other| cell(one, other) == "D" && !symmetric(one, other),
        goal: 2.2,
        always: true,
    },
    Class {
        connected: "symmetric and easy, connected",
        stands: "symmetric and easy, stands",
        slowest: "symmetric and easy, stands, the slowest",
        readable: "symmetric and easy, readable",
        holds: |one, other| cell(one, other) == "D" && symmetric(one, other),
        goal: 2.9,
        always: true,
    },
    Class {
        connected: "IPv6, connected",
        stands: "IPv6, stands",
        slowest: "IPv6, stands, the slowest",
        readable: "IPv6, readable",
        holds: |one, other| cell(one, other) == "V",
        goal: 2.2,
        always: true,
    },
    Class {
        connected: "predicted, connected",
        stands: "predicted, stands",
        slowest: "predicted, stands, the slowest",
        readable: "predicted, readable",
        holds: |one, other| cell(one, other) == "P",
        goal: 2.9,
        always: true,
    },
    Class {
        connected: "by a kept port, connected",
        stands: "by a kept port, stands",
        slowest: "by a kept port, stands, the slowest",
        readable: "by a kept port, readable",
        holds: |one, other| cell(one, other) == "M",
        goal: 2.9,
        always: true,
    },
    Class {
        connected: "guessed, connected",
        stands: "guessed, stands",
        slowest: "guessed, stands, the slowest",
        readable: "guessed, readable",
        holds: |one, other| cell(one, other) == "G",
        goal: 4.5,
        always: false,
    },
];

pub(crate) fn measure() -> Vec<Row> {
    let endings = pairs::meet(&pairs::Asked::typed(), ROUND_TRIP).expect("a file for the rounds");
    if endings.is_empty() {
        return Vec::new();
    }
    eprintln!("{}", matrix(&endings));
    let mut rows: Vec<_> = CLASSES.iter().flat_map(|class| class.rows(&endings)).collect();
    let no_way = endings.values().flatten().filter_map(|ending| match ending {
        Ending::NoPath { after, .. } => Some(after.as_secs_f64()),
        _ => None,
    });
    let told = row("told that there is no way", Unit::Seconds, no_way.collect());
    rows.push(Row { target: Some(Target::AtMost(PATIENCE)), ..told });
    rows.extend(Mishap::ALL.map(goes_on));
    // What never happened has no number.
    let never = |row: &Row| row.measured.len() == 0;
    rows.iter().filter(|row| never(row)).for_each(|row| eprintln!("MISS  never {}", row.what));
    rows.retain(|row| !never(row));
    say_what_failed(&endings);
    rows
}

impl Class {
    fn rows(&self, endings: &Endings) -> [Row; 4] {
        let of = endings.iter().filter(|((one, other), _)| (self.holds)(*one, *other));
        let of: Vec<_> = of.flat_map(|(_, endings)| endings).collect();
        let connected = of.iter().map(|ending| f64::from(u8::from(delivered(ending).is_some())));
        // In which share of all rounds: the mean, of which there is one.
        let share = connected.clone().sum::<f64>() / of.len() as f64;
        let connected: Samples =
            if of.is_empty() { Samples::default() } else { Samples::once(share) };
        let took = |which: fn((f64, f64)) -> f64| -> Samples {
            of.iter().filter_map(|ending| delivered(ending)).map(which).collect()
        };
        let (stands, readable) = (took(|(stands, _)| stands), took(|(_, readable)| readable));
        let slowest = stands.largest().into_iter().collect();
        let at_most = |what, measured, goal| Row {
            target: Some(Target::AtMost(goal)),
            ..row(what, Unit::RoundTrips, measured)
        };
        let slowest = at_most(self.slowest, slowest, self.goal);
        [
            Row {
                target: Some(Target::AtLeast(1.0)),
                ..row(self.connected, Unit::Share, connected)
            },
            at_most(self.stands, stands, self.goal),
            Row { target: slowest.target.filter(|_| self.always), ..slowest },
            at_most(self.readable, readable, self.goal + MESSAGE),
        ]
    }
}

/// How long a conversation takes to go on after what befalls the network, of either end.
fn goes_on(mishap: Mishap) -> Row {
    let took = [true, false].map(|writer| mishap.befalls(writer, ROUND_TRIP).flatten());
    let took = took.into_iter().flatten().map(|took| took.as_secs_f64());
    let what = match mishap {
        Mishap::MappingExpires => "readable when a mapping has expired",
        Mishap::RouterForgets => "readable when a router has forgotten",
        Mishap::NewPublicAddress => "readable at a new public address",
        Mishap::NewNetwork => "readable on a new network",
    };
    let target = Some(Target::AtMost(2.0 + 3.0 * ROUND_TRIP.as_secs_f64()));
    Row { target, ..row(what, Unit::Seconds, took.collect()) }
}

fn row(what: &'static str, unit: Unit, measured: Samples) -> Row {
    Row { area: "reach", what, unit, measured, floor: None, peer: None, target: None }
}

fn symmetric(one: Kind, other: Kind) -> bool {
    one.is_symmetric() || other.is_symmetric()
}

/// After how many round trips the connection stood, and the text could be read.
fn delivered(ending: &Ending) -> Option<(f64, f64)> {
    let trips = |took: &Duration| took.as_secs_f64() / ROUND_TRIP.as_secs_f64();
    match ending {
        Ending::Delivered { stands, readable, .. } => Some((trips(stands), trips(readable))),
        _ => None,
    }
}

/// Names what the table does not expect.
fn say_what_failed(endings: &Endings) {
    for ((caller, callee), ended) in endings {
        let connects = expected(*caller, *callee) == Expected::Connects;
        for ending in ended.iter().filter(|ending| delivered(ending).is_some() != connects) {
            eprintln!("MISS  {caller} to {callee}: {ending:?}");
        }
    }
}

/// The median of round trips until the connection stood, one row a caller; where not every round was
/// delivered, how many were.
fn matrix(endings: &Endings) -> String {
    let mut table = " ".repeat(8);
    for callee in Kind::ALL {
        // Writing to a string does not fail.
        let _ = write!(table, "{callee:>8}");
    }
    for caller in Kind::ALL {
        let _ = write!(table, "\n{caller:>8}");
        for callee in Kind::ALL {
            let ended = endings.get(&(caller, callee)).map(Vec::as_slice).unwrap_or_default();
            let took: Vec<f64> =
                ended.iter().filter_map(delivered).map(|(stands, _)| stands).collect();
            let text = match (took.len(), cell(caller, callee)) {
                (0, way) => way.to_owned(),
                (some, _) if some < ended.len() => format!("{some}/{}", ended.len()),
                _ => format!("{:.1}", took.into_iter().collect::<Samples>().median()),
            };
            let _ = write!(table, "{text:>8}");
        }
    }
    table
}
