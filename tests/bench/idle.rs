//! What clients that are logged in and say nothing cost the server in memory, beside bare connections, and what
//! their keep-alives cost it.

use std::{
    net::Ipv4Addr,
    thread,
    time::{Duration, Instant},
};

use hither_tests::{
    lab::{Lab, Server},
    rogue::{Account, Online, Place},
};

use crate::{
    bare::Bare,
    peers::{Prosody, XmppClient},
    process,
    report::{Peer, Row, Target, Unit},
    samples::{Samples, alternately},
};

const CLIENTS: usize = 10_000;

const ROUNDS: usize = 5;

/// As many as one machine is asked to hold, and for how long.
const MANY: usize = 50_000;
const LONG: Duration = Duration::from_secs(600);

/// So many come from one host: fewer than the server lets register in a row.
const AT_ONE_HOST: usize = 125;

/// Hosts at which somebody registers at the same time.
const AT_ONCE: usize = 16;

pub(crate) fn measure() -> Vec<Row> {
    let (cost, floor) = alternately(ROUNDS, our_memory, bare_memory);
    let peer = Peer { name: "Prosody", measured: prosody_memory().map(Samples::once) };
    let row = |what, measured, floor, peer, times| Row {
        area: "idle",
        what,
        unit: Unit::Bytes,
        measured,
        floor,
        peer,
        target: Some(Target::Times(times)),
    };
    let beside_floor = "memory of a client at 10,000, its floor being a bare connection";
    vec![
        row(beside_floor, cost.clone(), Some(floor), None, 1.15),
        row("the same, beside Prosody's", cost, None, Some(peer), 0.7),
    ]
}

/// Memory of our server for each client.
#[track_caller]
fn our_memory() -> f64 {
    let lab = Lab::new("idle");
    let server = lab.server();
    let before = process::resident(server.pid());
    let clients = register(&server, CLIENTS);
    let cost = (process::resident(server.pid()) - before) / CLIENTS as f64;
    assert!(clients.iter().all(|client| !client.link.has_ended()), "all of them are there");
    cost
}

/// The same for connections that nothing is done with.
#[track_caller]
fn bare_memory() -> f64 {
    let bare = Bare::start();
    let connect = |host: usize| {
        let place = place(host);
        let connections = (0..AT_ONE_HOST).map(|_| place.try_connection_to(bare.address).unwrap());
        connections.collect::<Vec<_>>()
    };
    let before = process::resident(bare.pid());
    let connections = everybody(CLIENTS, connect);
    let cost = (process::resident(bare.pid()) - before) / CLIENTS as f64;
    assert!(connections.iter().all(|connection| connection.close_reason().is_none()));
    cost
}

/// The same for another server, if it is installed.
#[track_caller]
fn prosody_memory() -> Option<f64> {
    let lab = Lab::new("idle-prosody");
    let prosody = Prosody::start(&lab.path("prosody"), CLIENTS)?;
    let log_in = |host: usize| {
        let accounts = host * AT_ONE_HOST..(host + 1) * AT_ONE_HOST;
        accounts.map(|account| prosody.logs_in(account)).collect::<Vec<XmppClient>>()
    };
    let before = process::resident(prosody.pid());
    let clients = everybody(CLIENTS, log_in);
    let cost = (process::resident(prosody.pid()) - before) / CLIENTS as f64;
    assert_eq!(clients.len(), CLIENTS);
    Some(cost)
}

/// Measured only when it is asked for by name, because it takes a quarter of an hour and some gigabytes.
/// `--clients=N` and `--seconds=N` make less of it; its targets are those of all.
pub(crate) fn measure_many() -> Vec<Row> {
    let clients = crate::number("--clients=").unwrap_or(MANY);
    let long =
        crate::number("--seconds=").map_or(LONG, |seconds| Duration::from_secs(seconds as u64));
    let lab = Lab::new("idle-many");
    let server = lab.server();
    let online = register(&server, clients);
    let (before, began) = (process::cpu(server.pid()), Instant::now());
    thread::sleep(long);
    let spent = (process::cpu(server.pid()) - before) / began.elapsed().as_secs_f64();
    let memory = process::resident(server.pid());
    assert!(online.iter().all(|client| !client.link.has_ended()), "all of them are there");
    let of_all = MANY as f64 / clients as f64;
    let row = |what, unit, measured, target| Row {
        area: "idle-many",
        what,
        unit,
        measured: Samples::once(measured),
        floor: None,
        peer: None,
        target: Some(Target::AtMost(target)),
    };
    vec![
        row("memory of the server, as of 50,000", Unit::Bytes, memory * of_all, 1.6e9),
        row("a second's keep-alives of 50,000", Unit::Seconds, spent * of_all, 0.08),
    ]
}

/// So many people who come and stay.
#[track_caller]
fn register(server: &Server, clients: usize) -> Vec<Online> {
    let register = |host: usize| {
        let place = place(host);
        let register =
            |at| Account::new(&format!("client-{host}-{at}")).registers_on(place.link_to(server));
        (0..AT_ONE_HOST).map(register).collect::<Vec<Online>>()
    };
    everybody(clients, register)
}

/// What somebody at each host comes to.
fn everybody<T: Send>(clients: usize, at: impl Fn(usize) -> Vec<T> + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let somebody = (0..AT_ONCE).map(|first| {
            let at = &at;
            scope.spawn(move || {
                (first..clients / AT_ONE_HOST).step_by(AT_ONCE).flat_map(at).collect::<Vec<T>>()
            })
        });
        let somebody: Vec<_> = somebody.collect();
        somebody.into_iter().flat_map(|one| one.join().unwrap()).collect()
    })
}

fn place(host: usize) -> Place {
    Place::at(Ipv4Addr::from(0x7f07_0001 + u32::try_from(host).unwrap()))
}
