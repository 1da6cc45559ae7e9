//! What an agent with many contacts, many open paths and a long history keeps in memory.

use crate::{
    crowd::Crowd,
    process,
    report::{Row, Target, Unit},
    samples::Samples,
};

const TARGET: f64 = 64.0 * 1024.0 * 1024.0;

pub(crate) fn measure(crowd: &mut Crowd) -> Vec<Row> {
    let [resident, proportional] = weigh(crowd, "resident, after a million messages", "its Pss");
    crowd.restart_agent();
    let [anew, anew_proportional] = weigh(crowd, "resident, after a restart", "its Pss");
    let [first, .., last] = crowd.taken_in[..] else { panic!("a rate for each part") };
    let rate = |what, rate| Row {
        area: "memory",
        what,
        unit: Unit::PerSecond,
        measured: Samples::once(rate),
        floor: None,
        peer: None,
        target: None,
    };
    vec![
        resident,
        proportional,
        anew,
        anew_proportional,
        rate("messages taken in, the first tenth of the million", first),
        rate("messages taken in, the last tenth", last),
    ]
}

fn weigh(crowd: &Crowd, resident: &'static str, proportional: &'static str) -> [Row; 2] {
    assert_eq!(crowd.paths(), crate::crowd::OPEN, "all paths stand");
    let agent = crowd.alice.agent();
    let row = |what, bytes| Row {
        area: "memory",
        what,
        unit: Unit::Bytes,
        measured: Samples::once(bytes),
        floor: None,
        peer: None,
        target: Some(Target::AtMost(TARGET)),
    };
    [row(resident, process::resident(agent)), row(proportional, process::proportional(agent))]
}
