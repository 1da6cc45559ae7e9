//! What a client that is logged in and says nothing costs the server in memory, beside a bare connection.

use std::{net::Ipv4Addr, thread};

use hither_tests::{
    lab::Lab,
    rogue::{Account, Online, Place},
};

use crate::{
    bare::Bare,
    process,
    report::{Row, Target, Unit},
    samples::Samples,
};

const CLIENTS: usize = 10_000;

/// So many come from one host: fewer than the server lets register in a row.
const AT_ONE_HOST: usize = 125;

/// Hosts at which somebody registers at the same time.
const AT_ONCE: usize = 16;

pub(crate) fn measure() -> Vec<Row> {
    let bare = Bare::start();
    let connect = |host: usize| {
        let place = place(host);
        let connections = (0..AT_ONE_HOST).map(|_| place.try_connection_to(bare.address).unwrap());
        connections.collect::<Vec<_>>()
    };
    let before = process::resident(bare.pid());
    let connections = everybody(connect);
    let floor = (process::resident(bare.pid()) - before) / CLIENTS as f64;
    assert!(connections.iter().all(|connection| connection.close_reason().is_none()));
    drop((connections, bare));

    let lab = Lab::new("idle");
    let server = lab.server();
    let before = process::resident(server.pid());
    let register = |host: usize| {
        let place = place(host);
        let register =
            |at| Account::new(&format!("client-{host}-{at}")).registers_on(place.link_to(&server));
        (0..AT_ONE_HOST).map(register).collect::<Vec<Online>>()
    };
    let clients = everybody(register);
    let cost = (process::resident(server.pid()) - before) / CLIENTS as f64;
    assert!(clients.iter().all(|client| !client.link.has_ended()), "all of them are there");
    vec![Row {
        area: "idle",
        what: "memory of a client at 10,000, its floor being a bare connection",
        unit: Unit::Bytes,
        measured: Samples::once(cost),
        floor: Some(Samples::once(floor)),
        target: Some(Target::Times(1.15)),
    }]
}

/// What somebody at each host comes to.
fn everybody<T: Send>(at: impl Fn(usize) -> Vec<T> + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let somebody = (0..AT_ONCE).map(|first| {
            let at = &at;
            scope.spawn(move || {
                (first..CLIENTS / AT_ONE_HOST).step_by(AT_ONCE).flat_map(at).collect::<Vec<T>>()
            })
        });
        let somebody: Vec<_> = somebody.collect();
        somebody.into_iter().flat_map(|one| one.join().unwrap()).collect()
    })
}

fn place(host: usize) -> Place {
    Place::at(Ipv4Addr::new(127, 7, 0, u8::try_from(1 + host).unwrap()))
}
