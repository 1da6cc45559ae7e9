//! What an administrator does with a server, whether it runs or not.

use std::{
    ffi::OsString,
    fs,
    io::{Read, Write},
    net::Shutdown,
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::Path,
};

use hither_tests::{
    lab::{Lab, Server, until_true},
    search::files_with,
};
use serde_json::Value;

#[test]
fn an_invite_is_good_for_one_account_and_nobody_is_told_why_not() {
    let lab = Lab::new("invites");
    let mut server = invite_only(&lab);
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| lab.person(name));
    let refusal = bob.tries_to_register(server.link()).fails(11, "refused");

    let made = server.administers(&["invite", "new"]).done();
    let link = made["link"].as_str().expect("a link").to_owned();
    assert!(link.len() <= 100 && link.starts_with("hither://"), "{link}");
    let (_, code) = link.split_once("://").unwrap().1.split_once('/').expect("an invite");
    let code = code.split_once('#').unwrap().0.to_owned();
    alice.tries_to_register(&link.to_lowercase()).done();
    alice.is_online();

    let revoked = server.administers(&["invite", "new", "--uses", "2"]).done();
    let id = revoked["id"].to_string();
    server.administers(&["invite", "revoke", &id]).done();
    let wrong = link.replace(&code, &"A".repeat(code.len()));
    let late = server.administers(&["invite", "new", "--expires", "1s"]).done();
    until_true("the end of the invite", || states(&server) == ["spent", "revoked", "expired"]);
    for link in [&link, revoked["link"].as_str().unwrap(), late["link"].as_str().unwrap(), &wrong] {
        let refused = bob.tries_to_register(link).fails(11, "refused");
        assert_eq!(refused, refusal, "the same for each of them");
    }
    assert_eq!(files_with(server.data(), &code), [] as [&Path; 0], "no code is kept");

    server.stops().shows();
    let made = server.administers(&["invite", "new", "--expires", "never"]).done();
    server.starts_again();
    carol.tries_to_register(made["link"].as_str().unwrap()).done();
    assert_eq!(states(&server)[3], "spent");
}

#[test]
fn a_taken_name_spends_no_invite() {
    let lab = Lab::new("invite and taken name");
    let server = invite_only(&lab);
    let link =
        |_| server.administers(&["invite", "new"]).done()["link"].as_str().unwrap().to_owned();
    let [first, second] = [0, 1].map(link);
    lab.person("alice").tries_to_register(&first).done();
    let other = lab.person("other").posing_as("alice", &hither_tests::lab::password());
    other.tries_to_register(&second).fails(11, "refused");
    assert_eq!(states(&server), ["spent", "open"]);
    lab.person("bob").tries_to_register(&second).done();
}

#[test]
fn whoever_is_disabled_is_gone_at_once_and_comes_back_when_enabled() {
    let lab = Lab::new("disabled");
    let mut server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    let identity = alice.identity();
    let place = server.address().to_string();
    let wrong = lab.person("elise").tries_to_log_in(&place, None).fails(4, "auth_failed");

    assert_eq!(server.administers(&["user", "show", "alice"]).done()["online"], true);
    server.administers(&["user", "disable", "alice"]).done();
    bob.sees_offline("alice");
    // Whoever has the session is told the truth; whoever tries the name is not.
    until_true("alice is told", || alice.status()["ended"] == "disabled");
    for command in [&["contact", "add", "carol"][..], &["resume"], &["send", "bob", "hello"]] {
        alice.runs(command).fails(4, "account_disabled");
    }
    assert!(alice.reads(&["status"]).shows().contains("has disabled this account"));
    alice.kills_agent();
    until_true("alice is told again", || alice.status()["ended"] == "disabled");
    let shown = server.administers(&["user", "show", "alice"]).done();
    assert_eq!((&shown["online"], &shown["disabled"]), (&false.into(), &true.into()), "{shown}");
    assert_eq!(shown["sessions"], Value::Array(Vec::new()));
    let there = alice.elsewhere();
    let refused = there.tries_to_log_in(&place, None).fails(4, "auth_failed");
    for told in ["code", "exit", "message"] {
        assert_eq!(refused[told], wrong[told], "it looks as if there were nobody");
    }

    server.stops().shows();
    let listed = server.administers(&["user", "list"]).done();
    let names = listed["users"].as_array().unwrap().iter().map(|user| &user["name"]);
    assert_eq!(names.collect::<Vec<_>>(), ["alice", "bob"]);
    server.administers(&["user", "enable", "alice"]).done();
    server.starts_again();
    alice.runs(&["resume"]).fails(4, "auth_required");
    there.logs_in(&server);
    assert_eq!(there.identity(), identity);
    bob.is_online();
    there.sees_online("bob");
    there.delivers("bob", "back again");
}

#[test]
fn whoever_is_deleted_was_never_there_and_nobody_takes_the_name() {
    let lab = Lab::new("deleted");
    let mut server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    server.administers(&["user", "delete", "alice"]).done();
    bob.sees_offline("alice");
    until_true("alice's session has ended", || alice.status()["ended"] == "session_ended");
    server.administers(&["user", "show", "alice"]).fails(10, "not_found");
    server.administers(&["user", "delete", "alice"]).fails(10, "not_found");

    let place = server.address().to_string();
    alice.elsewhere().tries_to_log_in(&place, None).fails(4, "auth_failed");
    let poser = lab.person("poser").posing_as("alice", &hither_tests::lab::password());
    poser.tries_to_register(server.link()).fails(11, "refused");
    server.stops().shows();
    server.administers(&["user", "enable", "alice"]).fails(10, "not_found");
    let database = server.database();
    for column in ["account.name", "session.name", "consent.name", "note.name", "note.sender"] {
        let table = column.split_once('.').unwrap().0;
        let count = format!("SELECT count(*) FROM {table} WHERE {column} = 'alice'");
        let count = database.query_row(&count, [], |row| row.get::<_, i64>(0));
        assert_eq!(count, Ok(0), "{column}");
    }
}

#[test]
fn every_act_is_written_down_for_the_owner_alone() {
    let lab = Lab::new("audit");
    let mut server = lab.server();
    server.administers(&["invite", "new"]).done();
    server.administers(&["user", "list"]).done();
    server.administers(&["user", "disable", "nobody"]).fails(10, "not_found");
    server.stops().shows();
    server.administers(&["invite", "revoke", "1"]).done();

    let log = server.data().join("audit.log");
    assert_eq!(fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&log).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let acts = lines.iter().map(|line| (&line["act"], &line["outcome"])).collect::<Vec<_>>();
    let act = |act: &str, outcome: &str| (Value::from(act), Value::from(outcome));
    let expected =
        [act("invite-new", "done"), act("user-disable", "not-found"), act("invite-revoke", "done")];
    assert_eq!(acts, expected.iter().map(|(act, outcome)| (act, outcome)).collect::<Vec<_>>());
    let me = rustix::process::getuid().as_raw();
    assert!(lines.iter().all(|line| line["uid"] == me && line["time"].is_string()), "{text}");
}

#[test]
fn a_drained_server_tells_everybody_and_ends() {
    let lab = Lab::new("drain");
    let mut server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    server.administers(&["drain"]).done();
    server.ends().shows();
    for person in [&alice, &bob] {
        person.is_offline();
    }
    server.starts_again();
    alice.is_online();
    alice.sees_online("bob");
    server.stops().shows();
    server.administers(&["drain"]).fails(3, "server_unreachable");

    // One that has nobody to tell ends at once, and the command hears of it.
    let mut lonely = lab.server_in(&lab.path("lonely"));
    for _ in 0..5 {
        lonely.administers(&["drain"]).done();
        lonely.ends().shows();
        lonely.starts_again();
    }
}

#[test]
fn a_server_whose_folder_has_a_long_path_can_be_administered() {
    let lab = Lab::new("long path");
    let server = lab.server_in(&lab.path(&"far-away-".repeat(20)));
    assert_eq!(states(&server), [] as [&str; 0]);
    let socket = server.data().join("control");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn nonsense_on_the_control_socket_harms_nobody() {
    let lab = Lab::new("control socket");
    let server = lab.server();
    let socket = server.data().join("control");
    let says = |bytes: &[u8]| {
        let mut stream = UnixStream::connect(&socket).unwrap();
        // What is too long to be read is not waited for, and answered by the end of the connection.
        let _ = stream.write_all(bytes).and_then(|()| stream.shutdown(Shutdown::Write));
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    };
    for nonsense in
        ["\n", "{}\n", "{\"act\":\"fly\"}\n", "{\"act\":\"user-show\",\"name\":\"../x\"}"]
    {
        assert!(says(nonsense.as_bytes()).contains("malformed"), "{nonsense}");
    }
    says(&[b'x'; 64 * 1024]);
    assert_eq!(says(b""), "");
    assert_eq!(says(&[0xff, b'\n']), "");
    assert_eq!(states(&server), [] as [&str; 0]);
}

/// A server that takes registrations with an invite only.
fn invite_only(lab: &Lab) -> Server {
    let data = lab.path("server");
    let init: [OsString; 5] = [
        "init".into(),
        "--data".into(),
        data.clone().into(),
        "--registration".into(),
        "invite".into(),
    ];
    lab.transcript().start("hitherd", &init, &[], None).wait().shows();
    lab.server_in(&data)
}

/// What has become of each invite.
fn states(server: &Server) -> Vec<String> {
    let listed = server.administers(&["invite", "list"]).done();
    let invites = listed["invites"].as_array().expect("a list").iter();
    invites.map(|invite| invite["state"].as_str().expect("a state").to_owned()).collect()
}
