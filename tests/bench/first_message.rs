//! How many round trips pass from the typed line until somebody can read it to whom there was no path, on networks
//! of 100 ms.

use std::time::Duration;

use hither_tests::natlab::{Ending, Kind, Meeting};

use crate::{
    report::{Row, Target, Unit},
    samples::Samples,
};

const ROUND_TRIP: Duration = Duration::from_millis(100);

const ROUNDS: usize = 10;

/// To the server and on to the other, the answer back the same way, half a round trip for the knock, and one for the
/// handshake of the connection, with whose end the text goes along.
const NECESSARY: f64 = 2.5;

/// To the server and on to the other, whose router lets nothing in before.
const NECESSARY_AGAIN: f64 = 1.0;

pub(crate) fn measure() -> Vec<Row> {
    let Some(mut meeting) = Meeting::arrange("first-message", ROUND_TRIP, 0.0) else {
        return Vec::new();
    };
    let mut row = |what, kind, again: bool| {
        let readable = |ending| match ending {
            Ending::Delivered { readable, .. } => readable.as_secs_f64() / ROUND_TRIP.as_secs_f64(),
            other => panic!("{what}: {other:?}"),
        };
        let endings = if again {
            meeting.meet_again(kind, kind, ROUNDS)
        } else {
            meeting.meet(kind, kind, ROUNDS)
        };
        let (necessary, goal) = if again { (NECESSARY_AGAIN, 1.6) } else { (NECESSARY, 2.7) };
        Row {
            area: "first-message",
            what,
            unit: Unit::RoundTrips,
            measured: endings.into_iter().map(readable).collect(),
            floor: Some(Samples::once(necessary)),
            peer: None,
            target: Some(Target::AtMost(goal)),
        }
    };
    let home = Kind::PortRestricted;
    vec![
        row("readable, nothing in front of either", Kind::Open, false),
        row("readable, from home to home", home, false),
        row("readable, from home to home, talked to today", home, true),
    ]
}
