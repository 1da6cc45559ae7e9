//! How many round trips it takes until a direct connection stands, for every pair of translators: both ends
//! learn of each other, and dial again and again where the server saw the other.

use std::{net::SocketAddr, sync::Arc, sync::Mutex, time::Duration};

use hither_proto::limits::REDIALS;
use quinn::Endpoint;

use super::{Behaviour, Filtering, Mapping, Sim, Weather, locked};
use crate::wire::tls::{self, SERVER_NAME};

pub(super) const ROUND_TRIP: Duration = Duration::from_millis(100);

/// How long a pair may try.
pub(super) const PATIENCE: Duration = Duration::from_secs(4);

pub(super) const CALM: Weather =
    Weather { round_trip: ROUND_TRIP, jitter: Duration::ZERO, loss: 0.0 };

/// When the first connection stands.
pub(super) type Stands = Arc<Mutex<Option<Duration>>>;

const IN_THE_OPEN: Option<Behaviour> = None;
pub(super) const AT_HOME: Option<Behaviour> =
    Some(Behaviour { mapping: Mapping::Independent, filtering: Filtering::AddressAndPort });

fn kinds() -> Vec<Option<Behaviour>> {
    let mut kinds = vec![IN_THE_OPEN];
    for mapping in [Mapping::Independent, Mapping::Random, Mapping::Sequential] {
        for filtering in [Filtering::Independent, Filtering::Address, Filtering::AddressAndPort] {
            kinds.push(Some(Behaviour { mapping, filtering }));
        }
    }
    kinds
}

/// Whether a dial from `one` to where the server saw `other` is answered, once both have dialled.
fn is_answered(one: Option<Behaviour>, other: Option<Behaviour>) -> bool {
    let dependent = |side: Option<Behaviour>| {
        side.is_some_and(|behaviour| behaviour.mapping != Mapping::Independent)
    };
    // An answer has to come from where the dial went, and such a mapping sends it from elsewhere.
    if dependent(other) {
        return false;
    }
    // Who filters by port opens to where the server saw the dialler, and it comes from elsewhere.
    let by_port = other.is_some_and(|behaviour| behaviour.filtering == Filtering::AddressAndPort);
    !(by_port && dependent(one))
}

/// Has both dial, each after its own delay, and says when the first connection stands.
fn meet(
    seed: u64,
    weather: Weather,
    sides: [Option<Behaviour>; 2],
    delays: [Duration; 2],
) -> Option<Duration> {
    let sim = Sim::new(seed, weather);
    let server = sim.machine(0, None);
    let machines = [sim.machine(1, sides[0]), sim.machine(2, sides[1])];
    let seen = [0, 1].map(|at: usize| machines[at].seen_by(&server));
    let stands = Arc::new(Mutex::new(None));
    let endpoints = machines.map(|machine| {
        let mut answers = tls::any_server();
        let mut client = tls::trusting_client();
        // A dial is given up only by whoever dialled it.
        let transport = Arc::new(quinn::TransportConfig::default());
        answers.transport_config(transport.clone());
        client.transport_config(transport);
        machine.endpoint(answers, client)
    });
    for (at, endpoint) in endpoints.iter().enumerate() {
        answer(&sim, endpoint.clone());
        dial(&sim, endpoint, seen[1 - at], delays[at], &stands);
    }
    let (watching, done) = (sim.clone(), stands.clone());
    sim.run(PATIENCE, async move {
        loop {
            let stands = *locked(&done);
            match stands {
                Some(since) => return since,
                None => watching.sleep(Duration::from_millis(1)).await,
            }
        }
    })
}

pub(super) fn answer(sim: &Sim, endpoint: Endpoint) {
    let spawns = sim.clone();
    sim.spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            spawns.spawn(async move {
                if let Ok(connection) = incoming.await {
                    connection.closed().await;
                }
            });
        }
    });
}

pub(super) fn dial(
    sim: &Sim,
    endpoint: &Endpoint,
    to: SocketAddr,
    delay: Duration,
    stands: &Stands,
) {
    for pause in REDIALS {
        let (task, endpoint, stands) = (sim.clone(), endpoint.clone(), stands.clone());
        sim.spawn(async move {
            task.sleep(delay + pause).await;
            let Ok(connecting) = endpoint.connect(to, SERVER_NAME) else { return };
            if let Ok(connection) = connecting.await {
                locked(&stands).get_or_insert(task.now());
                connection.closed().await;
            }
        });
    }
}

#[test]
fn every_pair_stands_after_one_round_trip_or_never() {
    for one in kinds() {
        for other in kinds() {
            let stands = meet(1, CALM, [one, other], [Duration::ZERO; 2]);
            let possible = is_answered(one, other) || is_answered(other, one);
            assert_eq!(stands, possible.then_some(ROUND_TRIP), "{one:?} and {other:?}");
        }
    }
}

#[test]
fn a_dial_that_came_too_early_costs_the_pause_until_the_next() {
    // The first dial arrives after half a round trip, when the other's translator has seen nothing leave.
    let late = ROUND_TRIP / 2 + Duration::from_millis(1);
    let stands = meet(1, CALM, [AT_HOME, AT_HOME], [Duration::ZERO, late]);
    assert_eq!(stands, Some(REDIALS[1] + ROUND_TRIP));
    let stands = meet(1, CALM, [AT_HOME, IN_THE_OPEN], [Duration::ZERO, PATIENCE]);
    assert_eq!(stands, Some(ROUND_TRIP), "nobody has to wait for a machine in the open");
}

#[test]
fn nobody_gets_in_where_the_other_does_not_dial() {
    let stands = meet(1, CALM, [AT_HOME, AT_HOME], [Duration::ZERO, PATIENCE]);
    assert_eq!(stands, None);
}

#[test]
fn loss_and_reordering_keep_no_pair_apart() {
    let weather = Weather { round_trip: ROUND_TRIP, jitter: ROUND_TRIP / 2, loss: 0.1 };
    for seed in 0..50 {
        for other in [IN_THE_OPEN, AT_HOME] {
            let stands = meet(seed, weather, [AT_HOME, other], [Duration::ZERO; 2]);
            assert!(stands.is_some(), "seed {seed}, {other:?}");
        }
    }
}
