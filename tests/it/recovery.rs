//! Recovery codes: an account comes back without its password, once, and to nobody else.

use std::fs;

use hither_proto::{
    crypto::opaque::{ClientLogin, ClientRegistration},
    recovery::RecoveryCode,
    wire::{
        self,
        server::{Refusal, Reply, Request},
    },
};
use hither_tests::{
    lab::{Lab, Lie, Server, kill, password, until_true},
    rogue::{Account, Link},
    search::{files_with, holds},
    wire::{Forgery, Impostor},
};

use crate::account_life::record;

#[test]
fn name_and_code_bring_identity_and_contacts_back_on_an_empty_machine() {
    let lab = Lab::new("recovery");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    bob.delivers("alice", "before");
    assert_eq!(alice.hears(1), ["before"]);
    let identity = alice.identity();
    let (code, new, place) = (alice.makes_code(), password(), server.address().to_string());
    alice.delivers("bob", "whoever makes a code stays logged in");
    assert_eq!(bob.hears(1), ["whoever makes a code stays logged in"]);
    let shown = server.administers(&["user", "show", "alice"]).done();
    assert!(shown["recovery_code"].is_string(), "{shown}");

    let there = alice.elsewhere().recovers(&server, &code, &new);
    assert_eq!(there.identity(), identity);
    there.is_online();
    there.sees_online("bob");
    there.delivers("bob", "it is me");
    assert_eq!(bob.hears(1), ["it is me"]);
    until_true("the other machine is told", || alice.status()["ended"] == "session_ended");
    alice.runs(&["resume"]).fails(4, "auth_required");
    alice.tries_to_log_in(&place, None).fails(4, "auth_failed");
    let here = alice.posing_as("alice", &new);
    here.logs_in(&server);
    assert_eq!(here.history().first().map(String::as_str), Some("before"));

    let spent = here.tries_to_recover(&place, &code, &password()).fails(4, "auth_failed");
    assert!(spent["message"].as_str().unwrap().contains("recovery code"), "{spent}");
    let shown = server.administers(&["user", "show", "alice"]).done();
    assert_eq!(shown["recovery_code"], serde_json::Value::Null);
    // Somebody who is logged in and has forgotten the password needs no other machine.
    let (another, newer) = (here.makes_code(), password());
    let here = here.recovers(&server, &another, &newer);
    here.is_online();
    assert_eq!(here.identity(), identity);
}

#[test]
fn a_mistyped_code_is_told_without_the_server_and_a_wrong_one_by_it() {
    let lab = Lab::new("wrong codes");
    let mut server = lab.server();
    let [alice] = lab.people(&server, ["alice"]);
    let (code, new, place) = (alice.makes_code(), password(), server.address().to_string());
    let there = alice.elsewhere();
    let other = RecoveryCode::generate(&mut Account::new("nobody").rng).to_text();
    there.tries_to_recover(&place, &other, &new).fails(4, "auth_failed");
    there.posing_as("nobody", &new).tries_to_recover(&place, &code, &new).fails(4, "auth_failed");
    there.tries_to_recover(&place, &code, "password1").fails(12, "weak_password");
    server.stops().shows();
    let mistyped = code.replacen(&code[..1], if code.starts_with('7') { "8" } else { "7" }, 1);
    for (typed, why) in [(&mistyped, "mistyped"), (&code[1..].to_owned(), "30 letters")] {
        let error = there.tries_to_recover(&place, typed, &new).fails(2, "usage");
        assert!(error["message"].as_str().unwrap().contains(why), "{error}");
    }
    there.tries_to_recover(&place, &code, &new).fails(3, "server_unreachable");
    server.starts_again();
    let typed = code.to_lowercase().replace('-', " ");
    there.tries_to_recover(&server.address().to_string(), &typed, &new).done();
    let nobody = there.runs(&["recover", "alice@localhost"]).fails(2, "usage");
    assert!(nobody["hint"].as_str().unwrap().contains("--code-file"), "{nobody}");
}

#[test]
fn a_code_outlives_a_password_and_ends_when_it_is_replaced_or_removed() {
    let lab = Lab::new("the life of a code");
    let server = lab.server();
    let stranger = lab.person("alice");
    stranger.runs(&stranger.with_password(&["recovery", "new"])).fails(4, "auth_required");
    let [alice] = lab.people(&server, ["alice"]);
    let place = server.address().to_string();
    let wrong = alice.posing_as("alice", &password());
    wrong.runs(&wrong.with_password(&["recovery", "new"])).fails(4, "auth_failed");
    let first = alice.makes_code();
    let second = alice.makes_code();
    let alice = alice.changes_password(&password());
    let there = alice.elsewhere();
    there.tries_to_recover(&place, &first, &password()).fails(4, "auth_failed");
    let alice = there.recovers(&server, &second, &password());
    let third = alice.makes_code();
    wrong.runs(&wrong.with_password(&["recovery", "remove"])).error();
    alice.runs(&alice.with_password(&["recovery", "remove"])).done();
    alice.tries_to_recover(&place, &third, &password()).fails(4, "auth_failed");
    alice.is_online();
    let read = alice.reads(&alice.with_password(&["recovery", "new"]));
    let code = read.shows().lines().last().unwrap().to_owned();
    assert!(RecoveryCode::read(&code).is_ok(), "a line with nothing but the code: {code}");
}

#[test]
fn nobody_recovers_a_disabled_or_deleted_account() {
    let lab = Lab::new("recovery of the absent");
    let server = lab.server();
    let [alice] = lab.people(&server, ["alice"]);
    let (code, place) = (alice.makes_code(), server.address().to_string());
    server.administers(&["user", "disable", "alice"]).done();
    let there = alice.elsewhere();
    there.tries_to_recover(&place, &code, &password()).fails(4, "auth_failed");
    server.administers(&["user", "enable", "alice"]).done();
    let there = there.recovers(&server, &code, &password());
    let code = there.makes_code();
    there.runs(&there.with_password(&["account", "delete", "--yes"])).done();
    there.tries_to_recover(&place, &code, &password()).fails(4, "auth_failed");
}

#[test]
fn neither_the_server_nor_a_home_keeps_a_recovery_code() {
    let lab = Lab::new("where the code is not");
    let mut server = Server::talkative(lab.transcript(), &lab.path("server"));
    let [alice] = lab.people(&server, ["alice"]);
    let code = alice.makes_code();
    let there = alice.elsewhere().recovers(&server, &code, &password());
    let kept = there.makes_code();
    there.logs_out();
    server.stops().shows();
    assert!(!files_with(server.data(), "alice").is_empty(), "there are files to search");
    let nothing: [std::path::PathBuf; 0] = [];
    for code in [code, kept] {
        let letters = RecoveryCode::read(&code).unwrap().to_password();
        for secret in [code.as_str(), letters.as_str()] {
            assert!(!holds(server.log().as_bytes(), secret), "in the log");
            for folder in [server.data(), alice.home(), there.home()] {
                assert_eq!(files_with(folder, secret), nothing);
            }
        }
    }
}

#[test]
fn whoever_comes_back_after_a_disaster_needs_no_password() {
    let lab = Lab::new("recovery after a restore");
    let mut server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    let (identity, code) = (alice.identity(), alice.makes_code());
    let (file, secret) = (lab.path("backup"), lab.path("backup.password"));
    fs::write(&secret, "the password of the backup\n").unwrap();
    let (file, secret) = (file.to_str().unwrap(), secret.to_str().unwrap());
    server.administers(&["backup", file, "--password-file", secret]).done();
    server.dies();
    server.moves_to(&lab.path("another-host/data"));
    server.administers(&["restore", file, "--password-file", secret]).done();
    server.starts_again();
    let there = alice.elsewhere().recovers(&server, &code, &password());
    assert_eq!(there.identity(), identity);
    bob.is_online();
    there.delivers("bob", "here we are");
}

/// The agent is killed once the server has the new password, and may not have heard of it.
#[test]
fn a_recovery_whose_answer_is_lost_is_whole() {
    let lab = Lab::new("lost answer to a recovery");
    let server = lab.server();
    let [alice, _bob] = lab.friends(&server, ["alice", "bob"]);
    let (code, new) = (alice.makes_code(), password());
    let (before, place) = (record(&server), server.address().to_string());
    let there = alice.elsewhere();
    there.starts_agent();
    let (agent, recovering) = (there.agent(), there.starts_to_recover(&place, &code, &new));
    until_true("the password is another", || record(&server) != before);
    kill(agent);
    let _ = recovering.wait();
    there.tries_to_log_in(&place, None).fails(4, "auth_failed");
    there.tries_to_recover(&place, &code, &password()).fails(4, "auth_failed");
    let there = there.posing_as("alice", &new);
    there.logs_in(&server);
    assert!(there.contact("bob").is_some());
}

/// The server is killed when the recovery is on its way to it, or on its disk.
#[test]
fn a_recovery_that_the_server_did_not_survive_happened_or_did_not() {
    let lab = Lab::new("killed in a recovery");
    let mut server = lab.server();
    let mut alice = Account::new("alice");
    drop(alice.registers(&server));
    let mut code = alice.makes_code(&server);
    for _ in 0..10 {
        let new = password().into_bytes();
        let mut link = alice.begins_to_recover(&server, &code, &new);
        server.dies();
        link.falls_silent();
        server.starts_again();
        let old = std::mem::replace(&mut alice.password, new);
        let happened = alice.proves(&mut Link::to(&server)).is_some();
        let holds = alice.proves_code(&mut Link::to(&server), &code).is_some();
        assert_ne!(happened, holds, "the code is spent if, and only if, the password is set");
        if happened {
            code = alice.makes_code(&server);
        } else {
            alice.password = old;
            assert!(alice.proves(&mut Link::to(&server)).is_some(), "the password is what it was");
        }
    }
}

#[test]
fn a_man_in_the_middle_of_a_recovery_gets_nothing_and_spends_nothing() {
    let lab = Lab::new("relayed recovery");
    let server = lab.server();
    let [alice] = lab.people(&server, ["alice"]);
    let code = alice.makes_code();
    let impostor = Impostor::before(server.address(), Forgery::OwnChain);
    let (there, place) = (alice.elsewhere(), impostor.address().to_string());
    there.tries_to_recover(&place, &code, &password()).fails(4, "auth_failed");
    let (to_server, to_client) = impostor.relayed();
    assert!(to_server > 0 && to_client > 0, "the recovery itself was relayed, in both directions");
    alice.is_online();
    drop(there.recovers(&server, &code, &password()));
}

#[test]
fn a_server_that_lies_brings_back_no_other_identity() {
    for (lie, error) in
        [(Lie::Keys, "server_identity_mismatch"), (Lie::Account, "server_unreachable")]
    {
        let lab = Lab::new(&format!("a lie to whoever recovers: {lie:?}"));
        let mut server = lab.server();
        server.stops().shows();
        server.copy_data(&lab.path("twin"));
        let mut twin = lab.server_in(&lab.path("twin"));
        let impostor = lab.person_at("alice", &lab.path("impostor"));
        impostor.registers(&twin);
        impostor.stops_agent();
        twin.stops().shows();
        server.starts_again();
        let [alice] = lab.people(&server, ["alice"]);
        let code = alice.makes_code();
        alice.stops_agent();
        server.stops().shows();
        server.swaps_account("alice", &twin, lie);
        server.starts_again();
        let (there, place) = (alice.elsewhere(), server.address().to_string());
        there.tries_to_recover(&place, &code, &password()).fails(3, error);
        assert_eq!(there.status()["account"], serde_json::Value::Null, "{lie:?}");
    }
}

#[test]
fn a_recovery_looks_the_same_whoever_it_is_for() {
    let lab = Lab::new("enumeration by recovery");
    let server = lab.server();
    for (name, makes_code, disabled) in
        [("coder", true, false), ("plain", false, false), ("bann1", true, true)]
    {
        let mut account = Account::new(name);
        drop(account.registers(&server));
        makes_code.then(|| account.makes_code(&server));
        if disabled {
            server.administers(&["user", "disable", name]).done();
        }
    }
    let answers = ["coder", "plain", "bann1", "nobod"].map(|name| {
        let mut guesser = Account::new(name);
        std::array::from_fn::<_, 2, _>(|_| answers_to_a_guess(&server, &mut guesser))
    });
    for [(ke2, refusal), _] in &answers {
        assert_eq!((ke2.len(), &ke2[..6]), (answers[0][0].0.len(), &answers[0][0].0[..6]));
        assert_eq!(refusal, &answers[0][0].1);
    }
}

#[test]
fn recoveries_are_counted_as_the_logins_that_they_are() {
    let lab = Lab::new("many recoveries");
    let server = lab.server();
    for name in ["alice", "nobody"] {
        let mut guesser = Account::new(name);
        let limited = (0..20).any(|_| {
            let (_, ke1) = ClientLogin::start(&mut guesser.rng, b"a guess").unwrap();
            let mut link = Link::to(&server);
            link.says(&Request::Recover { name: guesser.name.clone(), ke1 });
            is_limited(&link.hears())
        });
        assert!(limited, "{name}");
        let (_, ke1) = ClientLogin::start(&mut guesser.rng, b"a guess").unwrap();
        let mut link = Link::to(&server);
        link.says(&Request::Login { name: guesser.name.clone(), ke1 });
        assert!(is_limited(&link.hears()), "one count for both");
    }
}

fn is_limited(reply: &Reply) -> bool {
    matches!(reply, Reply::Refused { why: Refusal::RateLimited, retry_after_ms: Some(1..), .. })
}

/// Recovers with whatever code comes to mind: the body of KE2, and that of the refusal.
fn answers_to_a_guess(server: &Server, guesser: &mut Account) -> (Vec<u8>, Vec<u8>) {
    let mut link = Link::to(server);
    let (_, ke1) = ClientLogin::start(&mut guesser.rng, b"a guess").unwrap();
    link.says(&Request::Recover { name: guesser.name.clone(), ke1 });
    let ke2 = link.hears_body().expect("KE2, whether or not there is such a code");
    let (_, request) = ClientRegistration::start(&mut guesser.rng, b"another").unwrap();
    link.says(&Request::Prove { ke3: guesser.rng.bytes(), request });
    let refusal = link.hears_body().expect("a refusal");
    let refused: Reply = wire::decode(&refusal).unwrap();
    assert!(matches!(refused, Reply::Refused { why: Refusal::AuthFailed, .. }), "{refused:?}");
    (ke2, refusal)
}
