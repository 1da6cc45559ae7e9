//! A server whose disk is full, or that is killed while people register.

use std::{
    fs,
    sync::mpsc::{Sender, channel},
    thread,
};

use hither_tests::{
    lab::{DEADLINE, Lab, fill},
    rogue::{Account, Link},
};

/// How often the server is killed; ten times as often when `HITHER_HEAVY` is set.
const ROUNDS: usize = 5;

/// Machines that register people at once, and how many each.
const REGISTRARS: usize = 4;
const PEOPLE_EACH: usize = 8;

#[test]
fn with_a_full_disk_nobody_registers_and_everybody_goes_on() {
    let lab = Lab::new("full disk");
    let Some(disk) = lab.small_disk("server", 4096) else { return };
    let mut server = lab.server_in(&disk.join("data"));
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    let filled = fill(&disk);

    let carol = lab.person("carol");
    carol.tries_to_register(server.link()).fails(5, "rate_limited");
    for _ in 0..3 {
        alice.logs_out();
        bob.sees_offline("alice");
        alice.logs_in(&server);
        bob.sees_online("alice");
        alice.sees_online("bob");
        alice.delivers("bob", "the server introduces us all the same");
    }
    // Even one that is started then.
    server.stops().shows();
    server.starts_again();
    let there = alice.elsewhere();
    there.logs_in(&server);
    there.sees_online("bob");
    there.delivers("bob", "and again");
    carol.tries_to_register(server.link()).fails(5, "rate_limited");

    fs::remove_file(filled).unwrap();
    carol.registers(&server);
}

#[test]
fn whoever_was_welcomed_can_log_in_whenever_the_server_is_killed() {
    let lab = Lab::new("kills while people register");
    let mut server = lab.server();
    let rounds = if std::env::var_os("HITHER_HEAVY").is_some() { 10 * ROUNDS } else { ROUNDS };
    let mut welcomed = 0;
    for round in 0..rounds {
        let (tell, told) = channel();
        for registrar in 0..REGISTRARS {
            let (link, address) = (server.link().to_owned(), server.address());
            let (who, tell) = (format!("r{round}-{registrar}"), tell.clone());
            // Whoever was in the middle waits for a server that is gone, which is not waited for.
            thread::spawn(move || register(&who, || Link::by(&link, address), &tell));
        }
        drop(tell);
        let mut byte = [0];
        getrandom::fill(&mut byte).unwrap();
        let until = usize::from(byte[0]) % (REGISTRARS * PEOPLE_EACH / 2) + 1;
        let mut accounts: Vec<Account> =
            (0..until).map(|_| told.recv_timeout(DEADLINE).expect("people register")).collect();
        server.dies();
        accounts.extend(told.try_iter());
        welcomed += accounts.len();

        server.starts_again();
        for account in &mut accounts {
            let online = account.logs_in(&server);
            assert!(online.entry.verified(&account.name).is_some());
        }
    }
    server.stops().shows();
    let database = server.database();
    let count = |what: &str| -> usize {
        database.query_row(&format!("SELECT count(*) FROM {what}"), [], |row| row.get(0)).unwrap()
    };
    assert!(count("account") >= welcomed);
    assert_eq!(count("account WHERE name NOT IN (SELECT name FROM session)"), 0);
    assert_eq!(count("session WHERE name NOT IN (SELECT name FROM account)"), 0);
}

fn register(who: &str, connect: impl Fn() -> Link, tell: &Sender<Account>) {
    for person in 0..PEOPLE_EACH {
        let mut account = Account::new(&format!("{who}-{person}"));
        // Only the welcome counts; the connection need not outlive it.
        drop(account.registers_on(connect()));
        if tell.send(account).is_err() {
            return;
        }
    }
}
