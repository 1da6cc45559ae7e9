//! Logging in: with nothing but a name and a password, and not without them.

use std::{fs, net::UdpSocket};

use hither_tests::lab::{Lab, password, until_true};

#[test]
fn a_login_from_an_empty_home_brings_back_the_same_identity() {
    let lab = Lab::new("login from an empty home");
    let server = lab.server();
    let [alice, bob] = lab.people(&server, ["alice", "bob"]);
    let identity = alice.identity();
    assert_ne!(identity, bob.identity(), "one identity each");
    alice.logs_out();
    let there = alice.elsewhere();
    assert!(!there.home().exists(), "the home is empty");
    there.logs_in(&server);
    assert_eq!(there.identity(), identity);
    there.is_online();
}

#[test]
fn a_wrong_password_and_an_unknown_name_look_the_same() {
    let lab = Lab::new("wrong password, unknown name");
    let server = lab.server();
    let [alice] = lab.people(&server, ["alice"]);
    let place = server.address().to_string();
    let error = |name: &str| {
        let somebody = lab.person(&format!("machine-of-{name}")).posing_as(name, &password());
        let error = somebody.tries_to_log_in(&place, None).fails(4, "auth_failed");
        error.to_string().replace(name, "NAME")
    };
    assert_eq!(error(alice.name()), error("elise"));
}

#[test]
fn three_wrong_passwords_and_then_the_right_one_log_in() {
    let lab = Lab::new("three wrong passwords");
    let server = lab.server();
    let [alice] = lab.people(&server, ["alice"]);
    let identity = alice.identity();
    alice.logs_out();
    let place = server.address().to_string();
    for _ in 0..3 {
        let forgetful = alice.posing_as("alice", &password());
        forgetful.tries_to_log_in(&place, None).fails(4, "auth_failed");
    }
    alice.logs_in(&server);
    assert_eq!(alice.identity(), identity);
}

#[test]
fn many_wrong_passwords_are_slowed_down_and_told_for_how_long() {
    let lab = Lab::new("many wrong passwords");
    let server = lab.server();
    let [alice] = lab.people(&server, ["alice"]);
    let place = server.address().to_string();
    let guesser = alice.elsewhere().posing_as("alice", &password());
    for _ in 0..40 {
        let tried = guesser.tries_to_log_in(&place, None);
        if tried.exit != 5 {
            tried.fails(4, "auth_failed");
            continue;
        }
        let error = tried.fails(5, "rate_limited");
        assert!(error["retry_after_ms"].as_u64().is_some_and(|time| time > 0), "{error}");
        assert_eq!(alice.status()["online"], true, "who is logged in is not disturbed");
        return;
    }
    panic!("forty wrong passwords, and never slowed down");
}

#[test]
fn a_weak_password_is_refused_before_anything_is_sent() {
    let lab = Lab::new("weak password");
    let server = lab.server();
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap();
    nobody.set_nonblocking(true).unwrap();
    let link = server.link_at(nobody.local_addr().unwrap());
    let alice = lab.person("alice");
    let mut buffer = [0; 2048];

    for weak in ["password1", "alice1984", "qwertyuiop", "hunter2"] {
        let careless = alice.posing_as("alice", weak);
        let error = careless.tries_to_register(&link).fails(12, "weak_password");
        assert!(error["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{error}");
        assert!(!error.to_string().contains(weak), "the password is not repeated: {error}");
    }
    assert!(nobody.recv(&mut buffer).is_err(), "nothing was sent");

    alice.tries_to_register(&link).fails(3, "server_unreachable");
    assert!(nobody.recv(&mut buffer).is_ok(), "with a strong password something is");
}

#[test]
fn a_link_with_the_wrong_fingerprint_leads_nowhere() {
    let lab = Lab::new("wrong pin");
    let server = lab.server();
    let other = lab.server_in(&lab.path("another-server"));
    let wrong = other.link_at(server.address());
    let alice = lab.person("alice");
    alice.tries_to_register(&wrong).fails(3, "server_identity_mismatch");
    alice.registers(&server);
    let there = alice.elsewhere();
    let place = server.address().to_string();
    there.tries_to_log_in(&place, Some(&wrong)).fails(3, "server_identity_mismatch");
    there.tries_to_log_in(&place, Some(server.link())).done();
}

#[test]
fn a_home_remembers_the_server_it_met() {
    let lab = Lab::new("remembered pin");
    let mut server = lab.server();
    let [alice] = lab.people(&server, ["alice"]);
    let fingerprint = server.fingerprint().to_owned();
    alice.logs_out();
    server.dies();
    fs::remove_dir_all(server.data()).unwrap();
    server.starts_again();
    assert_ne!(server.fingerprint(), fingerprint, "another server at the same address");
    let place = server.address().to_string();
    alice.tries_to_log_in(&place, None).fails(3, "server_identity_mismatch");
}

#[test]
fn where_nobody_listens_the_server_is_unreachable() {
    let lab = Lab::new("nobody listens");
    let mut server = lab.server();
    server.dies();
    let alice = lab.person("alice");
    alice.tries_to_register(server.link()).fails(3, "server_unreachable");
    let place = server.address().to_string();
    alice.tries_to_log_in(&place, None).fails(3, "server_unreachable");
}

#[test]
fn a_login_elsewhere_takes_over_and_the_queue_stays() {
    let lab = Lab::new("login elsewhere");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    bob.stops_agent();
    alice.sees_offline("bob");
    let waiting = alice.queues("bob", "from the first machine");

    let there = alice.elsewhere();
    there.logs_in(&server);
    alice.is_offline();
    let said = alice.reads(&["status"]);
    let said = format!("{}{}", said.shows(), said.stderr).to_lowercase();
    let reasons = ["another", "elsewhere", "taken over", "took over"];
    assert!(reasons.iter().any(|reason| said.contains(reason)), "it says why: {said}");
    assert_eq!(alice.queue(), [waiting.as_str()]);

    there.logs_out();
    alice.logs_in(&server);
    bob.starts_agent();
    let [message] = bob.awaits(1).try_into().unwrap();
    assert_eq!((message.id, message.text), (waiting, "from the first machine".to_owned()));
    until_true("the queue is empty", || alice.queue().is_empty());
}

#[test]
fn a_machine_that_was_taken_over_speaks_for_nobody() {
    let lab = Lab::new("taken over");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    bob.delivers("alice", "to the first machine");
    assert_eq!(alice.hears(1), ["to the first machine"]);
    let there = alice.elsewhere();
    there.logs_in(&server);
    alice.is_offline();

    bob.sees_online("alice");
    bob.delivers("alice", "to the second");
    assert_eq!(there.hears(1), ["to the second"]);
    assert!(alice.receives().is_empty());
    alice.sends("bob", "from the first").fails(4, "auth_required");
    alice.runs(&["contact", "add", "carol"]).fails(4, "auth_required");
    there.delivers("bob", "from the second");
    assert_eq!(bob.hears(1), ["from the second"]);
}
