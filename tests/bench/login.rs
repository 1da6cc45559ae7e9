//! What a login costs the server, how long many at once take, and what a flood from elsewhere does to one.

use std::{
    net::Ipv4Addr,
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use hither_proto::{
    crypto::opaque::{
        ClientLogin, ClientRegistration, ServerLogin, ServerSetup, Stretching, answer_registration,
    },
    wire::server::{Reply, Request},
};
use hither_tests::{
    lab::{Lab, Server},
    rogue::{Account, Place},
};

use crate::{
    bare::Bare,
    peers::Prosody,
    process,
    ratchet::rng,
    report::{Peer, Row, Target, Unit},
    samples::{Samples, alternately, seconds},
};

/// People who log in, each again and again.
const PEOPLE: usize = 64;

/// Logins under way while costs are measured, and how often each person logs in meanwhile.
const AT_ONCE: usize = 16;
const EACH: usize = 8;
const ROUNDS: usize = 5;

const BURSTS: usize = 5;

/// Logins while there is a flood, and while there is none, in turns.
const FLOODS: usize = 4;
const DURING_A_FLOOD: usize = 25;

/// Those who flood do nothing else: so many threads, each with a guess every so often.
const FLOODING: usize = 4;
const GUESS_PAUSE: Duration = Duration::from_millis(5);

/// Guesses at each name, fewer than the server stands in a row.
const GUESSES: usize = 4;

/// What a login says both ways on its stream, and about how long it is.
const TURNS: usize = 2;
const TURN_BYTES: usize = 320;

/// Seven times fewer, as a share that is written out.
const SEVENTH: Target = Target::Times(0.143);

pub(crate) fn measure() -> Vec<Row> {
    let lab = Lab::new("login");
    let server = lab.server();
    let bare = Bare::start();
    let mut hosts = Hosts(0);
    let place = Place::at(hosts.next());
    let mut people: Vec<Account> =
        (0..PEOPLE).map(|at| Account::new(&format!("person-{at}"))).collect();
    for person in &mut people {
        drop(person.registers_on(place.link_to(&server)));
    }
    let row = |what, measured, floor, target| Row {
        area: "login",
        what,
        unit: Unit::Seconds,
        measured,
        floor: Some(floor),
        peer: None,
        target: Some(target),
    };
    let mut floor_hosts = Hosts(0x10_0000);
    let (cost, floor) = alternately(
        ROUNDS,
        || cost(&server, &mut people, &mut hosts),
        || bare_cost(&bare, &mut floor_hosts, 0) + opaque_cost(),
    );
    let turns = (0..ROUNDS).map(|_| bare_cost(&bare, &mut floor_hosts, TURNS) + opaque_cost());
    let beside_turns = "the same, beside a bare one that says as much on a stream";
    let no_storage = Row {
        target: None,
        ..row(beside_turns, cost.clone(), turns.collect(), Target::Times(1.0))
    };
    let prosody = Prosody::start(&lab.path("prosody"), PEOPLE);
    let peer = prosody.map(|prosody| (0..ROUNDS).map(|_| prosody_cost(&prosody)).collect());
    let beside_peer = Row {
        floor: None,
        peer: Some(Peer { name: "Prosody, SCRAM and TLS", measured: peer }),
        ..row("the server's cores, beside Prosody's", cost.clone(), Samples::default(), SEVENTH)
    };
    let together = Samples::once(PEOPLE as f64 * cost.median());
    let bursts = (0..BURSTS).map(|_| burst(&server, &mut people, &mut hosts)).collect();
    let (unknown, known) = guesses(&server, &people, &mut hosts);
    let (flooded, quiet) = beside_a_flood(&server, &mut people, &mut hosts);
    vec![
        row(
            "the server's cores, beside a bare handshake and OPAQUE",
            cost,
            floor,
            Target::Times(1.25),
        ),
        no_storage,
        beside_peer,
        row(
            "the 99th of 64 at once, beside the cores of all",
            bursts,
            together,
            Target::Times(3.0),
        ),
        row("while another host guesses, beside no flood", flooded, quiet, Target::Times(2.0)),
        row(
            "KE2 for a name nobody has, beside one somebody has",
            unknown,
            known,
            Target::Times(1.1),
        ),
    ]
}

/// Hosts that the server has not seen, so that none of them is slowed down.
struct Hosts(u32);

impl Hosts {
    fn next(&mut self) -> Ipv4Addr {
        self.0 += 1;
        Ipv4Addr::from(0x7f20_0000 + self.0)
    }
}

/// Seconds of the server's cores for each login, of many.
#[track_caller]
fn cost(server: &Server, people: &mut [Account], hosts: &mut Hosts) -> f64 {
    let before = process::cpu(server.pid());
    thread::scope(|scope| {
        for people in people.chunks_mut(PEOPLE / AT_ONCE) {
            let place = Place::at(hosts.next());
            scope.spawn(move || {
                for _ in 0..EACH {
                    for person in &mut *people {
                        drop(person.logs_in_on(place.link_to(server)));
                    }
                }
            });
        }
    });
    (process::cpu(server.pid()) - before) / (PEOPLE * EACH) as f64
}

/// The same for another server.
#[track_caller]
fn prosody_cost(prosody: &Prosody) -> f64 {
    let before = process::cpu(prosody.pid());
    thread::scope(|scope| {
        for first in 0..AT_ONCE {
            scope.spawn(move || {
                for _ in 0..EACH {
                    (first..PEOPLE)
                        .step_by(AT_ONCE)
                        .for_each(|person| drop(prosody.logs_in(person)));
                }
            });
        }
    });
    (process::cpu(prosody.pid()) - before) / (PEOPLE * EACH) as f64
}

/// The same for connections that nothing is done with, after so many turns of a stream.
#[track_caller]
fn bare_cost(bare: &Bare, hosts: &mut Hosts, turns: usize) -> f64 {
    let before = process::cpu(bare.pid());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            let place = Place::at(hosts.next());
            scope.spawn(move || {
                for _ in 0..PEOPLE / AT_ONCE * EACH {
                    let connection = match turns {
                        0 => place.try_connection_to(bare.address),
                        _ => place.try_turns_with(bare.address, turns, TURN_BYTES),
                    };
                    connection.unwrap().close(0_u32.into(), b"");
                }
            });
        }
    });
    (process::cpu(bare.pid()) - before) / (PEOPLE * EACH) as f64
}

/// Seconds of a core for what OPAQUE asks of the server in one login.
#[track_caller]
fn opaque_cost() -> f64 {
    let mut rng = rng();
    let (name, password, context, credential) = (b"name", b"password", b"context", [7; 32]);
    let setup = ServerSetup::generate(&mut rng);
    let (client, request) = ClientRegistration::start(&mut rng, password).unwrap();
    let response = answer_registration(&setup, &credential, &request).unwrap();
    let stretching = Stretching::TRIVIAL;
    let (record, _) = client.finish(&mut rng, name, password, &response, stretching).unwrap();
    let mut spent = 0.0;
    for _ in 0..PEOPLE {
        let (client, ke1) = ClientLogin::start(&mut rng, password).unwrap();
        let began = process::thread_cpu();
        let (state, ke2) =
            ServerLogin::start(&mut rng, &setup, name, &credential, Some(&record), context, &ke1)
                .unwrap();
        spent += process::thread_cpu() - began;
        let (ke3, _) = client.finish(&mut rng, name, password, context, &ke2, stretching).unwrap();
        let began = process::thread_cpu();
        state.finish(name, context, &ke3).unwrap();
        spent += process::thread_cpu() - began;
    }
    spent / PEOPLE as f64
}

/// How long the last but one in a hundred takes when everybody logs in at once, each from elsewhere.
#[track_caller]
fn burst(server: &Server, people: &mut [Account], hosts: &mut Hosts) -> f64 {
    let ready = Barrier::new(people.len());
    let took: Samples = thread::scope(|scope| {
        let logins: Vec<_> = people
            .iter_mut()
            .map(|person| {
                let (place, ready) = (Place::at(hosts.next()), &ready);
                scope.spawn(move || {
                    ready.wait();
                    seconds(|| drop(person.logs_in_on(place.link_to(server))))
                })
            })
            .collect();
        logins.into_iter().map(|login| login.join().unwrap()).collect()
    });
    took.quantile(0.99)
}

/// How long KE2 takes for a name that nobody has, and for one that somebody has.
#[track_caller]
fn guesses(server: &Server, people: &[Account], hosts: &mut Hosts) -> (Samples, Samples) {
    let mut guess = |name: &str| {
        let mut account = Account::new(name);
        let mut link = Place::at(hosts.next()).link_to(server);
        let (_, ke1) = ClientLogin::start(&mut account.rng, &account.password).unwrap();
        let login = Request::Login { name: account.name, ke1 };
        let began = Instant::now();
        link.says(&login);
        assert!(matches!(link.hears(), Reply::Login { .. }));
        began.elapsed().as_secs_f64()
    };
    let (mut unknown, mut known) = (Samples::default(), Samples::default());
    for round in 0..GUESSES {
        for (at, person) in people.iter().enumerate() {
            let nobody = format!("nobody-{at}");
            // Whoever goes first finds colder caches, so they take turns at that.
            if (at + round) % 2 == 0 {
                unknown.push(guess(&nobody));
                known.push(guess(person.name.as_str()));
            } else {
                known.push(guess(person.name.as_str()));
                unknown.push(guess(&nobody));
            }
        }
    }
    (unknown, known)
}

/// How long a login takes while another host guesses as fast as it can, and while nobody does.
#[track_caller]
fn beside_a_flood(
    server: &Server,
    people: &mut [Account],
    hosts: &mut Hosts,
) -> (Samples, Samples) {
    let flooding_host = hosts.next();
    let (mut flooded, mut quiet) = (Samples::default(), Samples::default());
    for round in 0..2 * FLOODS {
        let over = AtomicBool::new(round % 2 == 0);
        let place = Place::at(hosts.next());
        thread::scope(|scope| {
            for at in 0..FLOODING {
                let over = &over;
                scope.spawn(move || flood(server, flooding_host, at, over));
            }
            for person in &mut people[..DURING_A_FLOOD] {
                let took = seconds(|| drop(person.logs_in_on(place.link_to(server))));
                if round % 2 == 0 { quiet.push(took) } else { flooded.push(took) }
            }
            over.store(true, Ordering::Relaxed);
        });
    }
    (flooded, quiet)
}

/// Guesses at names that nobody has, until it is over.
fn flood(server: &Server, host: Ipv4Addr, at: usize, over: &AtomicBool) {
    let place = Place::at(host);
    let mut rng = rng();
    for guess in 0_u32.. {
        if over.load(Ordering::Relaxed) {
            return;
        }
        thread::sleep(GUESS_PAUSE);
        // Whether it is let in, and what it is told, is the server's affair.
        let Ok(mut link) = place.try_link_to(server) else { continue };
        let (_, ke1) = ClientLogin::start(&mut rng, b"a guess").unwrap();
        let name = format!("guess-{at}-{guess}").parse().unwrap();
        link.says(&Request::Login { name, ke1 });
        drop(link.hears());
    }
}
