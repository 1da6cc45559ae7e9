//! Translators that an early packet spoils: whoever is far from such a one is dialled before it has opened, and its own
//! packets leave from a port that nobody knows, for as long as the pair of addresses is the same. A second round uses
//! other sockets, opened by a datagram that reaches nobody.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use hither_proto::limits::SECOND_ROUND_AFTER;

use super::{
    Behaviour, Filtering, Mapping, Sim, locked,
    tests::{AT_HOME, CALM, PATIENCE, ROUND_TRIP, Stands, answer, dial},
};
use crate::wire::tls;

const SPOILT: Option<Behaviour> =
    Some(Behaviour { mapping: Mapping::Independent, filtering: Filtering::Spoilt });

/// How much later what the far end sends is at its own translator: more than the other end's way there.
const LATE: Duration = ROUND_TRIP;

/// Has both dial, the far end late; then both open another socket towards where the other one is, if it `opens`, first the caller,
/// who then dials from the one to the other. Says when a connection stands after the one and after the other.
fn rounds(caller_is_far: bool, opens: bool) -> [Option<Duration>; 2] {
    let sim = Sim::new(1, CALM);
    let server = sim.machine(0, None);
    let (near, far) = (sim.machine(1, AT_HOME), sim.machine(2, SPOILT));
    let (near_at, far_at) = (near.seen_by(&server), far.seen_by(&server));
    let fresh = [near.beside(5_000), far.beside(5_000)];
    let stands: Stands = Arc::new(Mutex::new(None));
    for (machine, to, late) in [(near, far_at, Duration::ZERO), (far, near_at, LATE)] {
        let endpoint = machine.endpoint(tls::any_server(), tls::trusting_client());
        answer(&sim, endpoint.clone());
        dial(&sim, &endpoint, to, late, &stands);
    }
    let first = stand(&sim, &stands, SECOND_ROUND_AFTER);
    let [near, far] = fresh;
    let (caller, callee, callee_at) =
        if caller_is_far { (far, near, near_at) } else { (near, far, far_at) };
    let [fresh_at, other_at] = [&caller, &callee].map(|machine| machine.seen_by(&server));
    if opens {
        caller.opens_towards(callee_at);
    }
    let [one, other] = [&caller, &callee]
        .map(|machine| machine.endpoint(tls::any_server(), tls::trusting_client()));
    answer(&sim, other);
    let clock = sim.clone();
    sim.spawn(async move {
        clock.sleep(ROUND_TRIP).await;
        if opens {
            callee.opens_towards(fresh_at);
        }
    });
    // Whoever is far away is so once on each way there.
    dial(&sim, &one, other_at, 2 * ROUND_TRIP + LATE, &stands);
    let second = stand(&sim, &stands, PATIENCE);
    [first, second.map(|since| since - SECOND_ROUND_AFTER)]
}

fn stand(sim: &Sim, stands: &Stands, patience: Duration) -> Option<Duration> {
    let (watching, stands) = (sim.clone(), stands.clone());
    sim.run(patience, async move {
        loop {
            let since = *locked(&stands);
            match since {
                Some(since) => return since,
                None => watching.sleep(Duration::from_millis(1)).await,
            }
        }
    })
}

#[test]
fn a_translator_that_an_early_packet_spoils_is_passed_in_a_second_round() {
    for caller_is_far in [true, false] {
        let stands = rounds(caller_is_far, true);
        assert_eq!(stands, [None, Some(3 * ROUND_TRIP + LATE)], "the introduction and the dial");
    }
}

#[test]
fn other_sockets_alone_do_not_help() {
    for caller_is_far in [true, false] {
        assert_eq!(rounds(caller_is_far, false), [None, None]);
    }
}
