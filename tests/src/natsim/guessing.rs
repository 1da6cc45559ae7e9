//! How an end is found whose translator shows it to each of its peers at another port: by prediction where the ports
//! are regular, by guessing where they are not.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use hither_proto::{
    crypto::{rng::Rng, secret::Secret},
    guess::{OPENER, Part, Ports, decode, encode},
    knock::KnockKey,
    limits::{GUESS_AFTER, GUESS_SOCKETS, PATH_PATIENCE, PREDICTED_MAX},
    reach::{self, Trail},
};
use quinn::Endpoint;

use super::{Behaviour, Filtering, Machine, Mapping, Sim, Weather, locked};
use crate::wire::tls::{self, SERVER_NAME};

const ROUND_TRIP: Duration = Duration::from_millis(100);

/// Runs of each kind: every one has another order of ports on both sides.
const SEEDS: u64 = 1_000;

const EASY: Option<Behaviour> =
    Some(Behaviour { mapping: Mapping::Independent, filtering: Filtering::AddressAndPort });
const HARD: Option<Behaviour> =
    Some(Behaviour { mapping: Mapping::Random, filtering: Filtering::AddressAndPort });
const REGULAR: Option<Behaviour> =
    Some(Behaviour { mapping: Mapping::Sequential, filtering: Filtering::AddressAndPort });

const BY_LOT: reach::Mapping = reach::Mapping::Dependent { step: None };

/// When the first connection stands.
#[derive(Clone, Default)]
struct Stands(Arc<Mutex<Option<Duration>>>);

impl Stands {
    fn dial(&self, sim: &Sim, endpoint: Endpoint, to: SocketAddr) {
        let (stands, clock) = (self.clone(), sim.clone());
        sim.spawn(async move {
            let Ok(connecting) = endpoint.connect(to, SERVER_NAME) else { return };
            if let Ok(connection) = connecting.await {
                locked(&stands.0).get_or_insert(clock.now());
                connection.closed().await;
            }
        });
    }

    fn within(&self, sim: &Sim, patience: Duration) -> Option<Duration> {
        let (stands, clock) = (self.clone(), sim.clone());
        sim.run(patience, async move {
            loop {
                let since = *locked(&stands.0);
                match since {
                    Some(since) => return since,
                    None => clock.sleep(Duration::from_millis(1)).await,
                }
            }
        })
    }
}

fn endpoint(sim: &Sim, machine: &Machine) -> Endpoint {
    let endpoint = machine.endpoint(tls::any_server(), tls::trusting_client());
    let (accepting, spawns) = (endpoint.clone(), sim.clone());
    sim.spawn(async move {
        while let Some(incoming) = accepting.accept().await {
            spawns.spawn(async move {
                if let Ok(connection) = incoming.await {
                    connection.closed().await;
                }
            });
        }
    });
    endpoint
}

/// Has one end listen, and the other knock after a while, and says when a connection stands.
fn guess(seed: u64, weather: Weather, after: Duration) -> Option<Duration> {
    let sim = Sim::new(seed, weather);
    let server = sim.machine(0, None);
    let (easy, hard) = (sim.machine(1, EASY), sim.machine(2, HARD));
    let (easy_at, hard_at) = (easy.seen_by(&server), hard.seen_by(&server));
    let stands = Stands::default();
    endpoint(&sim, &easy);
    assert_eq!(Part::of(BY_LOT, false, &[easy_at]), Some(Part::Listens(easy_at)));
    for port in (5_000..).take(GUESS_SOCKETS) {
        let socket = hard.beside(port);
        socket.sends(easy_at, &OPENER);
        let (stands, clock) = (stands.clone(), sim.clone());
        sim.spawn(async move {
            let (from, datagram) = socket.hears().await;
            assert!(from == easy_at && decode(&datagram).is_some(), "nobody else knows of it");
            stands.dial(&clock, endpoint(&clock, &socket), from);
        });
    }
    let part = Part::of(reach::Mapping::Independent, true, &[hard_at]);
    let Some(Part::Knocks(at)) = part else { panic!("{part:?}") };
    let clock = sim.clone();
    sim.spawn(async move {
        let mut rng =
            Rng::from_seed(Secret::new([seed.to_le_bytes(); 4].concat().try_into().unwrap()));
        let key = KnockKey(rng.secret());
        clock.sleep(after).await;
        let started = clock.now();
        for (due, port) in Ports::new(&mut rng) {
            clock.sleep((started + due).saturating_sub(clock.now())).await;
            easy.sends(SocketAddr::new(at, port), &encode(&key.knock(&mut rng)));
        }
    });
    stands.within(&sim, PATH_PATIENCE)
}

#[test]
fn guessing_finds_whoever_can_be_found_by_nothing_else() {
    let calm = Weather { round_trip: ROUND_TRIP, jitter: Duration::ZERO, loss: 0.0 };
    // At once where it is known that no dial can arrive, and in half of all runs 4.5 round trips after the request elsewhere.
    for (after, goal) in [(Duration::ZERO, 7), (GUESS_AFTER, 9)] {
        let mut took: Vec<_> = (0..SEEDS).filter_map(|seed| guess(seed, calm, after)).collect();
        took.sort();
        let found = took.len() as u64;
        // One in 4,000 is missed, and found by the next attempt.
        assert!(found + 1 >= SEEDS, "{found}");
        // The introduction takes one round trip more.
        let median = took[took.len() / 2] + ROUND_TRIP;
        println!("found {found} of {SEEDS}, median {median:?}, worst {:?}", took.last());
        assert!(median <= ROUND_TRIP * goal / 2, "{median:?}");
    }
}

#[test]
fn guessing_goes_on_through_loss_and_reordering() {
    let weather = Weather { round_trip: ROUND_TRIP, jitter: ROUND_TRIP / 2, loss: 0.1 };
    let found = (0..50).filter(|seed| guess(*seed, weather, GUESS_AFTER).is_some()).count();
    assert_eq!(found, 50);
}

#[test]
fn a_regular_translator_is_met_at_its_next_port() {
    let calm = Weather { round_trip: ROUND_TRIP, jitter: Duration::ZERO, loss: 0.0 };
    let sim = Sim::new(1, calm);
    let (server, observer) = (sim.machine(0, None), sim.machine(3, None));
    let (easy, regular) = (sim.machine(1, EASY), sim.machine(2, REGULAR));
    let easy_at = easy.seen_by(&server);
    let mut trail = Trail::new(regular.seen_by(&server));
    trail.probed(regular.seen_by(&observer), false);
    trail.probed(regular.beside(5_000).seen_by(&observer), true);
    let predicted = trail.predicted(PREDICTED_MAX);
    let seen = [&[trail.at][..], &predicted].concat();
    assert_eq!(Part::of(reach::Mapping::Independent, true, &seen), None, "nothing to guess");
    assert_eq!(Part::of(trail.mapping(), false, &[easy_at]), Some(Part::Dials(easy_at)));
    // It has been there before, at a port that nobody foresees any more.
    regular.sends(easy_at, &OPENER);
    trail.probed(regular.beside(5_001).seen_by(&observer), true);
    let seen = [&[trail.at][..], &trail.predicted(PREDICTED_MAX)].concat();
    let fresh = regular.beside(5_002);
    let stands = Stands::default();
    let (dials, answers) = (endpoint(&sim, &fresh), endpoint(&sim, &easy));
    stands.dial(&sim, dials, easy_at);
    for at in seen {
        // These open the translator in front of them; the one that answers is the other end's.
        stands.dial(&sim, answers.clone(), at);
    }
    assert_eq!(stands.within(&sim, PATH_PATIENCE), Some(ROUND_TRIP));
}
