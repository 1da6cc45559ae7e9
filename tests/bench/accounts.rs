//! A server of a million accounts: how long it looks for one of them, how large its file is, and how long it
//! takes to start.

use std::{fs, net::Ipv4Addr};

use hither_proto::{
    crypto::{opaque::ClientLogin, rng::Rng},
    wire::server::{Reply, Request},
};
use hither_tests::{
    lab::{Lab, Server},
    rogue::{Account, Place},
};
use rusqlite::params_from_iter;

use crate::{
    ratchet::rng,
    report::{Row, Target, Unit},
    samples::{Samples, seconds},
};

const ACCOUNTS: u64 = 1_000_000;

/// Logins that are answered with KE2, for each of which the server looks once, from so many hosts.
const GUESSES: u64 = 2_000;
const GUESSES_OF_A_HOST: u64 = 50;

const STARTS: usize = 3;

/// The metric that counts how long the storage takes.
const LOOKS: &str = "hither_storage_seconds";

pub(crate) fn measure() -> Vec<Row> {
    let lab = Lab::new("accounts");
    let config = "metrics = \"127.0.0.1:0\"";
    let data = lab.path("server");
    let mut server = Server::configured(lab.transcript(), &data, config, None, &[]);
    drop(Account::new("real").registers(&server));
    drop(server.stops());
    let size = fill(&server);
    let starts = (0..STARTS).map(|_| {
        let took = seconds(|| server.starts_again());
        drop(server.stops());
        took
    });
    let starts: Samples = starts.collect();
    server.starts_again();
    let row = |what, unit, measured, target| Row {
        area: "accounts",
        what,
        unit,
        measured,
        floor: None,
        peer: None,
        target: Some(target),
    };
    vec![
        row("a login's look, of a million", Unit::Seconds, look(&server), Target::AtMost(100e-6)),
        row("the file of a million", Unit::Bytes, Samples::once(size), Target::AtMost(1.5e9)),
        row("from nothing to serving a million", Unit::Seconds, starts, Target::AtMost(2.0)),
    ]
}

/// Gives the stopped server a million accounts as large as a real one, each with a session and one contact.
/// Says how large its file is then.
#[track_caller]
fn fill(server: &Server) -> f64 {
    let database = server.database();
    let all = "PRAGMA synchronous = OFF; PRAGMA cache_size = -1000000; BEGIN";
    database.execute_batch(all).unwrap();
    let accounts = "INSERT INTO account (name, credential, record, entry, created, vault)
         SELECT ?1, randomblob(32), record, randomblob(length(entry)), created,
                randomblob(length(vault)) FROM account WHERE name = 'real'";
    let sessions = "INSERT INTO session (id, name, device, created, seen)
         SELECT randomblob(16), ?1, randomblob(32), created, seen FROM session WHERE name = 'real'";
    let consents = "INSERT INTO consent VALUES (?1, ?2, 'accepted')";
    // One table after the other, so that the pages of one fit into memory.
    for what in [accounts, sessions, consents] {
        let mut insert = database.prepare(what).unwrap();
        let columns = insert.parameter_count();
        for at in 0..ACCOUNTS {
            let names = [name(at), name(at ^ 1)];
            assert_eq!(insert.execute(params_from_iter(&names[..columns])), Ok(1));
        }
    }
    database.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let path = database.path().expect("a file").to_owned();
    drop(database);
    fs::metadata(path).unwrap().len() as f64
}

/// Names in no order, as people choose them.
fn name(at: u64) -> String {
    format!("p{:010x}", at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 24)
}

/// How long the server itself says that its looks at accounts took, the mean of those for each host.
#[track_caller]
fn look(server: &Server) -> Samples {
    let mut rng = rng();
    let spread = |at: u64| (at * 7_919) % ACCOUNTS;
    let counted = |what: &str| server.counted(&format!("{LOOKS}_{what}"));
    let rounds = (0..GUESSES / GUESSES_OF_A_HOST).map(|host| {
        let place = Place::at(Ipv4Addr::from(0x7f60_0001 + u32::try_from(host).unwrap()));
        let (spent, looks) = (counted("sum"), counted("count"));
        for at in host * GUESSES_OF_A_HOST..(host + 1) * GUESSES_OF_A_HOST {
            guess(server, &place, &mut rng, &name(spread(at)));
        }
        (counted("sum") - spent) / (counted("count") - looks)
    });
    rounds.collect()
}

#[track_caller]
fn guess(server: &Server, place: &Place, rng: &mut Rng, name: &str) {
    let mut link = place.link_to(server);
    let (_, ke1) = ClientLogin::start(rng, b"a guess").unwrap();
    link.says(&Request::Login { name: name.parse().unwrap(), ke1 });
    let reply = link.hears();
    assert!(matches!(reply, Reply::Login { .. }), "{reply:?}");
}
