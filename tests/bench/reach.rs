//! Who reaches whom directly, and how soon, from every kind of home: behind real NATs, at 100 ms round trip.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Write,
    sync::Mutex,
    thread,
    time::Duration,
};

use hither_tests::natlab::{Ending, Expected, Kind, Meeting, Mishap, NatLab, cell, expected};

use crate::{
    report::{Row, Target, Unit},
    samples::Samples,
};

const ROUND_TRIP: Duration = Duration::from_millis(100);

const ROUNDS: usize = 20;

/// So few beside each other that they do not wait for a core.
const MEETINGS: usize = 2;

/// How soon a pair that has no way has to be told so.
const PATIENCE: f64 = 4.0;

type Endings = BTreeMap<(Kind, Kind), Vec<Ending>>;

pub(crate) fn measure() -> Vec<Row> {
    let Some(endings) = all_pairs() else { return Vec::new() };
    eprintln!("{}", matrix(&endings));
    let readable = |wanted: &dyn Fn(Kind, Kind) -> bool| -> Samples {
        let of = endings.iter().filter(|((one, other), _)| wanted(*one, *other));
        of.flat_map(|(_, endings)| endings.iter().filter_map(readable)).collect()
    };
    let is = |letter: &'static str| {
        move |one: Kind, other: Kind| cell(one, other).eq_ignore_ascii_case(letter)
    };
    let symmetric = |one: Kind, other: Kind| one.is_symmetric() || other.is_symmetric();
    let no_way = endings.values().flatten().filter_map(|ending| match ending {
        Ending::NoPath { after, .. } => Some(after.as_secs_f64()),
        _ => None,
    });
    let direct = is("D");
    let mut rows = vec![
        row("neither symmetric, readable", readable(&|a, b| direct(a, b) && !symmetric(a, b)), 3.2),
        row("symmetric and easy, readable", readable(&|a, b| direct(a, b) && symmetric(a, b)), 3.9),
        row("IPv6, readable", readable(&is("V")), 3.2),
        row("predicted, readable", readable(&is("P")), 3.9),
        row("by a kept port, readable", readable(&is("M")), 3.9),
        row("guessed, readable", readable(&is("G")), 5.5),
    ];
    let target = Some(Target::AtMost(PATIENCE));
    rows.push(Row {
        floor: None,
        target,
        ..row("told that there is no way", no_way.collect(), 0.0)
    });
    for mishap in Mishap::ALL {
        let took = [true, false].map(|writer| mishap.befalls(writer, ROUND_TRIP).flatten());
        let took = took.into_iter().flatten().map(|took| took.as_secs_f64());
        let what = match mishap {
            Mishap::MappingExpires => "readable when a mapping has expired",
            Mishap::RouterForgets => "readable when a router has forgotten",
            Mishap::NewPublicAddress => "readable at a new public address",
            Mishap::NewNetwork => "readable on a new network",
        };
        let target = Some(Target::AtMost(2.0 + 3.0 * ROUND_TRIP.as_secs_f64()));
        rows.push(Row { floor: None, target, ..row(what, took.collect(), 0.0) });
    }
    // What never happened has no number.
    let never = |row: &Row| row.measured.len() == 0;
    rows.iter().filter(|row| never(row)).for_each(|row| eprintln!("MISS  never {}", row.what));
    rows.retain(|row| !never(row));
    rows
}

/// One number, beside the round trip, of which it may take so many.
fn row(what: &'static str, measured: Samples, round_trips: f64) -> Row {
    Row {
        area: "reach",
        what,
        unit: Unit::Seconds,
        measured,
        floor: Some(Samples::once(ROUND_TRIP.as_secs_f64())),
        peer: None,
        target: Some(Target::Times(round_trips)),
    }
}

fn readable(ending: &Ending) -> Option<f64> {
    match ending {
        Ending::Delivered { readable, .. } => Some(readable.as_secs_f64()),
        _ => None,
    }
}

/// Pairs that connect many times, or as often as `--rounds=N` says, the others once: each of those takes all of the client's
/// patience.
fn all_pairs() -> Option<Endings> {
    let many = crate::number("--rounds=").unwrap_or(ROUNDS);
    let kinds = NatLab::kinds();
    let with_each = |one: &Kind| kinds.iter().map(|other| (*one, *other)).collect::<Vec<_>>();
    let pairs: VecDeque<_> = kinds.iter().flat_map(with_each).collect();
    let pairs = Mutex::new(pairs);
    let endings = Mutex::new(Endings::new());
    let meets = |number: usize| {
        let name = format!("reach {number}");
        let Some(mut meeting) = Meeting::arrange(&name, ROUND_TRIP, 0.0) else { return };
        loop {
            let pair = pairs.lock().unwrap().pop_front();
            let Some((one, other)) = pair else { return };
            let rounds = if expected(one, other) == Expected::Connects { many } else { 1 };
            let ended = meeting.meet(one, other, rounds);
            endings.lock().unwrap().insert((one, other), ended);
        }
    };
    thread::scope(|scope| {
        for number in 0..MEETINGS {
            let meets = &meets;
            scope.spawn(move || meets(number));
        }
    });
    let endings = endings.into_inner().unwrap();
    (!endings.is_empty()).then_some(endings)
}

/// The median of round trips until it was readable, one row a caller; where not every round was
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
            let took: Vec<f64> = ended.iter().filter_map(readable).collect();
            let text = match (took.len(), cell(caller, callee)) {
                (0, way) => way.to_owned(),
                (some, _) if some < ended.len() => format!("{some}/{}", ended.len()),
                _ => {
                    let took: Samples = took.into_iter().collect();
                    format!("{:.1}", took.median() / ROUND_TRIP.as_secs_f64())
                }
            };
            let _ = write!(table, "{text:>8}");
        }
    }
    table
}
