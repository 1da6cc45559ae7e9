//! A server that is left alone and watched: what it tells monitors and the log, its certificate, its clock.

use std::{ffi::OsString, fs, os::unix::fs::PermissionsExt, path::Path};

use hither_proto::{
    crypto::opaque::ClientLogin,
    wire::server::{Refusal, Reply, Request},
};
use hither_tests::{
    lab::{Lab, Server, until, until_true},
    rogue::{Account, Link},
    wire::{Pem, presented_certificate},
};
use rustix::process::Signal;
use serde_json::Value;

const DAY: i64 = 24 * 60 * 60;

/// A monitoring port that the system chooses.
const MONITORED: &str = "metrics = \"127.0.0.1:0\"\n";

fn monitored(lab: &Lab, config: &str) -> Server {
    let config = format!("{MONITORED}{config}");
    Server::configured(lab.transcript(), &lab.path("server"), &config, None, &[])
}

#[test]
fn a_monitor_sees_that_it_is_alive_and_ready_and_what_it_has_done() {
    let lab = Lab::new("monitor");
    let mut server = monitored(&lab, "");
    for page in ["/livez", "/readyz"] {
        assert_eq!(server.page(page).expect("an answer").0, 200, "{page}");
    }
    let [alice, bob] = lab.friends(&server, ["thistlewood", "marchbanks"]);
    alice.delivers("marchbanks", "counted as an introduction");
    for (series, at_least) in [
        ("hither_registrations_total{outcome=\"completed\"}", 2.0),
        ("hither_notes_total{outcome=\"stored\"}", 2.0),
        ("hither_introductions_total{outcome=\"asked\"}", 1.0),
        ("hither_introductions_total{outcome=\"answered\"}", 1.0),
        ("hither_logged_in", 2.0),
    ] {
        assert!(server.counted(series) >= at_least, "{series}");
    }
    // The caller's client says so in its own time. Here is no network of which anybody could know the kind.
    let path = "hither_paths_total{caller=\"unknown\",callee=\"unknown\",outcome=\"connected\"} 1";
    until_true("the path is counted", || server.page("/metrics").unwrap().1.contains(path));
    let (_, page) = server.page("/metrics").unwrap();
    for name in [alice.name(), bob.name()] {
        assert!(!page.contains(name), "{name}");
    }
    server.stops().shows();
    assert_eq!(server.page("/livez"), None);
}

#[test]
fn monitors_are_answered_on_this_machine_only() {
    let lab = Lab::new("monitor from outside");
    let data = lab.path("server");
    let run = |config: &str| {
        fs::write(data.join("hitherd.toml"), config).unwrap();
        let args = ["run", "--json", "--data", data.to_str().unwrap()].map(Into::into);
        lab.transcript().start("hitherd", &args, &[], None).wait()
    };
    let mut server = lab.server_in(&data);
    server.stops().shows();
    for address in ["0.0.0.0:9464", "[::]:9464", "192.0.2.1:9464"] {
        let error = run(&format!("metrics = \"{address}\"\n")).fails(2, "usage");
        assert!(error["message"].as_str().unwrap().contains(address), "{error}");
    }
}

#[test]
fn the_log_is_for_machines_if_that_is_wished_for_and_names_nobody() {
    let lab = Lab::new("log");
    let config = "log = \"trace\"\n";
    let flags = ["--log-format", "json"];
    let mut server =
        Server::configured(lab.transcript(), &lab.path("server"), config, None, &flags);
    let [alice, bob] = lab.friends(&server, ["thistlewood", "marchbanks"]);
    alice.logs_out();
    alice.logs_in(&server);
    let ended = server.stops();
    ended.shows();
    let lines: Vec<Value> =
        ended.stderr.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    for line in &lines {
        for field in ["timestamp", "level", "target", "message"] {
            assert!(line[field].is_string(), "{field} in {line}");
        }
        let text = line.to_string();
        for name in [alice.name(), bob.name()] {
            assert!(!text.contains(name), "{text}");
        }
        let own = text.contains(&server.address().to_string());
        assert!(own || !text.contains("127.0.0.1"), "{text}");
    }
    let called = |message: &str| -> Vec<&Value> {
        lines.iter().filter(|line| line["message"] == message).map(|line| &line["user"]).collect()
    };
    let speaks = called("speaks for");
    assert!(speaks.len() >= 3, "two registrations and a login: {speaks:?}");
    assert!(called("would like to log in").iter().all(|user| speaks.contains(user)));
    let froms: Vec<_> = lines.iter().filter_map(|line| line["from"].as_str()).collect();
    assert!(!froms.is_empty() && froms.iter().all(|from| *from == "127.0.0.0/24"), "{froms:?}");
}

#[test]
fn what_can_be_changed_is_changed_without_a_restart_and_only_if_all_of_it_is_right() {
    let lab = Lab::new("reload");
    let server = monitored(&lab, "");
    let [alice] = lab.people(&server, ["alice"]);
    let closed = format!("{MONITORED}registration = \"closed\"\n");
    for wrong in [
        "regstration = \"closed\"\n",
        "registration = \"closed\"\nlog = \"hitherd=loud\"\n",
        "registration = \"closed\"\ncertificate = \"fullchain.pem\"\n",
        "registration = \"closed\"\ncertificate = \"none.pem\"\ncertificate_key = \"none.key\"\n",
    ] {
        server.is_configured(wrong);
        server.reloads("nothing was changed");
    }
    lab.person("bob").registers(&server);
    server.is_configured(&closed);
    server.reloads("the configuration was read again");
    lab.person("carol").tries_to_register(server.link()).error();
    server.is_configured("retry = \"always\"\nlog = \"debug\"\n");
    server.reloads("`retry` has changed, which takes effect at the next start");
    lab.person("carol").registers(&server);
    assert!(server.log().contains("DEBUG"), "it logs more from now on");
    alice.is_online();
    assert_eq!(server.counted("hither_logged_in"), 3.0, "nobody was cut off");
}

#[test]
fn the_certificate_is_made_anew_in_time_and_nobody_is_cut_off() {
    let lab = Lab::new("rotation");
    let Some(machine) = lab.machine() else { return };
    let data = lab.path("server");
    let server = Server::configured(lab.transcript(), &data, MONITORED, Some(&machine), &[]);
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    let first = presented_certificate(server.address());
    let (until, made) =
        ("hither_certificate_expiry_seconds", "hither_handshakes_total{outcome=\"completed\"}");
    let ends = server.counted(until);

    machine.clock_is_ahead(29 * DAY);
    server.reloads("the configuration was read again");
    assert_eq!(presented_certificate(server.address()), first, "it is not due yet");
    machine.clock_is_ahead(31 * DAY);
    let handshakes = server.counted(made);
    server.reloads("the certificate was made anew");
    assert!(server.counted(until) > ends);
    assert_ne!(presented_certificate(server.address()), first);
    alice.delivers("bob", "on the connections from before");
    assert_eq!(server.counted(made), handshakes + 1.0, "the one that has looked");
    bob.logs_out();
    bob.logs_in(&server);
    bob.is_online();
}

#[test]
fn an_operators_certificate_is_used_and_replaced_without_a_restart() {
    let lab = Lab::new("own certificate");
    let data = lab.path("server");
    let server = monitored(&lab, "");
    let [alice] = lab.people(&server, ["alice"]);
    let made = presented_certificate(server.address());
    let config = "certificate = \"own.pem\"\ncertificate_key = \"own.key\"\n";
    let install = |pem: &Pem| {
        write_for_owner(&data.join("own.pem"), &pem.certificate);
        write_for_owner(&data.join("own.key"), &pem.key);
    };
    let (first, second) = (Pem::of_another_issuer(90), Pem::of_another_issuer(90));
    install(&first);
    server.is_configured(&format!("{MONITORED}{config}"));
    server.reloads("the configuration was read again");
    let presented = presented_certificate(server.address());
    assert_ne!(presented, made);
    assert!(holds(&presented, &first.public_key), "with the operator's key");
    let bob = lab.person("bob");
    bob.registers(&server);

    install(&Pem { key: second.key.clone(), ..first.clone() });
    server.reloads("belongs to another certificate");
    install(&Pem::of_another_issuer(-1));
    server.reloads("has expired");
    assert_eq!(presented_certificate(server.address()), presented, "the last good one stays");

    install(&second);
    server.reloads("the configuration was read again");
    assert!(holds(&presented_certificate(server.address()), &second.public_key));
    assert_eq!(server.counted("hither_logged_in"), 2.0, "nobody was cut off");
    bob.logs_out();
    bob.logs_in(&server);
    server.is_configured(MONITORED);
    server.reloads("the configuration was read again");
    assert!(!holds(&presented_certificate(server.address()), &second.public_key));
    alice.is_online();
}

#[test]
fn whoever_is_there_when_it_stops_is_back_at_the_next_one_without_a_password() {
    let lab = Lab::new("graceful end");
    let mut server = monitored(&lab, "");
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    let agents = [alice.agent(), bob.agent()];
    for round in 0..2 {
        let ended = server.stops();
        ended.shows();
        assert!(!ended.stderr.contains("cut off"), "everybody took leave: {}", ended.stderr);
        for (person, other) in [(&alice, "bob"), (&bob, "alice")] {
            person.is_offline();
            person.sees_offline(other);
        }
        server.starts_again();
        for (person, other) in [(&alice, "bob"), (&bob, "alice")] {
            person.is_online();
            person.sees_online(other);
        }
        assert_eq!(server.counted("hither_resumptions_total{outcome=\"completed\"}"), 2.0);
        let passwords = "hither_logins_total{outcome=\"completed\"}";
        assert_eq!(server.counted(passwords), 0.0, "round {round}");
    }
    assert_eq!([alice.agent(), bob.agent()], agents, "the same agents");
    alice.delivers("bob", "still here");
}

#[test]
fn a_server_whose_clock_is_set_serves_as_before() {
    let lab = Lab::new("the server's clock");
    let Some(machine) = lab.machine() else { return };
    let data = lab.path("server");
    let server = Server::configured(lab.transcript(), &data, MONITORED, Some(&machine), &[]);
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    let sessions = server.counted("hither_logged_in");
    for ahead in [-365 * DAY, DAY, 365 * DAY, -20_000 * DAY, 0] {
        machine.clock_is_ahead(ahead);
        server.reloads("the configuration was read again");
        assert_eq!(server.page("/readyz").expect("an answer").0, 200, "{ahead}");
        let still = server.counted("hither_logged_in");
        assert!(still >= sessions, "nobody was cut off: {still} of {sessions}, {ahead} s ahead");
        // A new connection, which sees whichever certificate there is now, and a password.
        bob.logs_out();
        bob.logs_in(&server);
        bob.sees_online("alice");
        alice.kills_agent();
        alice.is_online();
        alice.delivers("bob", &format!("{ahead} s ahead"));
    }
    assert_eq!(bob.history().len(), 5);
}

#[test]
fn a_server_that_restarts_under_another_clock_knows_everybody_and_ends_invites_by_it() {
    let lab = Lab::new("restarts under another clock");
    let Some(machine) = lab.machine() else { return };
    let data = lab.path("server");
    let config = format!("{MONITORED}registration = \"invite\"\n");
    let mut server = Server::configured(lab.transcript(), &data, &config, Some(&machine), &[]);
    let invite = |server: &Server, expires: &str| -> String {
        let made = server.administers(&["invite", "new", "--expires", expires]).done();
        made["link"].as_str().unwrap().to_owned()
    };
    let [alice, bob] = [lab.person("alice"), lab.person("bob")];
    for person in [&alice, &bob] {
        person.tries_to_register(&invite(&server, "never")).done();
    }
    alice.befriends(&bob);
    let (day, ever) = (invite(&server, "1d"), invite(&server, "never"));
    let hour = 60 * 60;
    for ahead in [5 * hour, -5 * hour, 400 * DAY, -400 * DAY, 0] {
        server.stops().shows();
        machine.clock_is_ahead(ahead);
        server.starts_again();
        for person in [&alice, &bob] {
            person.is_online();
        }
        alice.sees_online("bob");
        alice.delivers("bob", &format!("after a start {ahead} s ahead"));
        bob.logs_out();
        bob.logs_in(&server);
        bob.sees_online("alice");
        let passwords = server.counted("hither_logins_total{outcome=\"completed\"}");
        assert_eq!(passwords, 1.0, "alice needed none");
    }
    // An invite lasts by the server's clock, whichever way that is set.
    machine.clock_is_ahead(2 * DAY);
    let carol = lab.person("carol");
    carol.tries_to_register(&day).fails(11, "refused");
    machine.clock_is_ahead(-2 * DAY);
    carol.tries_to_register(&day).done();
    machine.clock_is_ahead(4_000 * DAY);
    lab.person("dave").tries_to_register(&ever).done();
}

#[test]
fn a_limit_is_not_lifted_or_drawn_out_by_setting_the_clock() {
    let lab = Lab::new("limits and the clock");
    let Some(machine) = lab.machine() else { return };
    let data = lab.path("server");
    let server = Server::configured(lab.transcript(), &data, MONITORED, Some(&machine), &[]);
    let mut mallory = Account::new("mallory");
    let retry = until("too many logins", || tries(&mut mallory, &server));
    for ahead in [10 * DAY, -10 * DAY] {
        machine.clock_is_ahead(ahead);
        let again = tries(&mut mallory, &server).expect("the limit holds");
        assert!(again <= retry.max(60_000), "{again} ms, and {retry} ms before, {ahead} s ahead");
    }
}

/// Guesses once; says for how long the server wants to hear of no more guesses, if it does.
fn tries(guesser: &mut Account, server: &Server) -> Option<u64> {
    let mut link = Link::to(server);
    let (_, ke1) = ClientLogin::start(&mut guesser.rng, b"a guess").unwrap();
    link.says(&Request::Login { name: guesser.name.clone(), ke1 });
    match link.hears() {
        Reply::Refused { why: Refusal::RateLimited, retry_after_ms, .. } => retry_after_ms,
        _ => None,
    }
}

#[test]
fn the_key_of_the_identity_can_be_kept_elsewhere() {
    let lab = Lab::new("key elsewhere");
    let data = lab.path("server");
    let mut server = monitored(&lab, "");
    let link = server.link().to_owned();
    let [alice] = lab.people(&server, ["alice"]);
    let (file, password) = (lab.path("identity.export"), lab.path("password"));
    write_for_owner(&password, "tallow gimlet quorum ferret\n");
    let key = |args: &[&str]| {
        let words = [&["key"], args, &["--json", "--data"]].concat();
        let mut words: Vec<OsString> = words.iter().map(OsString::from).collect();
        words.push(data.clone().into());
        if args[0] != "rotate" {
            words.extend(["--password-file".into(), password.clone().into()]);
        }
        lab.transcript().start("hitherd", &words, &[], None).wait()
    };
    let at = file.to_str().unwrap();
    key(&["export", at, "--remove"]).error();
    assert!(!file.exists(), "a server that runs would keep the key in its memory");
    server.stops().shows();
    key(&["export", at, "--remove"]).done();
    assert!(!data.join("identity.key").exists());
    assert!(!holds(&fs::read(&file).unwrap(), b"-----BEGIN"));

    server.starts_again();
    assert_eq!(server.link(), link, "the same identity");
    alice.is_online();
    let bob = lab.person("bob");
    bob.registers(&server);
    let first = presented_certificate(server.address());
    key(&["sign", at, "--days", "30"]).done();
    server.reloads("the configuration was read again");
    assert_ne!(presented_certificate(server.address()), first);
    bob.logs_out();
    bob.logs_in(&server);

    server.stops().shows();
    write_for_owner(&password, "another password\n");
    key(&["import", at]).fails(11, "refused");
    write_for_owner(&password, "tallow gimlet quorum ferret");
    key(&["import", at]).done();
    server.starts_again();
    assert_eq!(server.link(), link);
    alice.is_online();

    server.stops().shows();
    key(&["rotate"]).fails(11, "refused");
    let rotated = key(&["rotate", "--yes"]).done();
    server.starts_again();
    assert_eq!(rotated["link"].as_str().unwrap().split('#').nth(1), Some(server.fingerprint()));
    assert_ne!(server.link(), link);
    bob.elsewhere()
        .tries_to_log_in(&server.address().to_string(), Some(&link))
        .fails(3, "server_identity_mismatch");
}

#[test]
fn the_end_of_the_terminal_ends_a_throw_away_server() {
    let lab = Lab::new("dev and hangup");
    let args = ["dev", "--listen", "127.0.0.1:0", "--json"].map(Into::into);
    let mut server = lab.transcript().start("hitherd", &args, &[], None);
    server.lines(1);
    server.signal(Signal::HUP);
    server.wait().shows();
}

fn write_for_owner(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn holds(whole: &[u8], part: &[u8]) -> bool {
    whole.windows(part.len()).any(|window| window == part)
}
