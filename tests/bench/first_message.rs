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

pub(crate) fn measure() -> Vec<Row> {
    let Some(mut meeting) = Meeting::arrange("first-message", ROUND_TRIP, 0.0) else {
        return Vec::new();
    };
    let mut row = |what, caller, callee| {
        let readable = |ending| match ending {
            Ending::Delivered { readable, .. } => readable.as_secs_f64() / ROUND_TRIP.as_secs_f64(),
            other => panic!("{caller} to {callee}: {other:?}"),
        };
        Row {
            area: "first-message",
            what,
            unit: Unit::RoundTrips,
            measured: meeting.meet(caller, callee, ROUNDS).into_iter().map(readable).collect(),
            floor: Some(Samples::once(NECESSARY)),
            peer: None,
            target: Some(Target::AtMost(2.7)),
        }
    };
    vec![
        row("readable, nothing in front of either", Kind::Open, Kind::Open),
        row("readable, from home to home", Kind::PortRestricted, Kind::PortRestricted),
    ]
}
