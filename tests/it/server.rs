//! `hitherd` by itself: its folder, its port, its end, and disks that are full.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs,
    net::UdpSocket,
    path::{Path, PathBuf},
};

use hither_tests::{
    lab::{Lab, Outcome, fill, until, until_true},
    search::{entries_below, files_below},
};
use rustix::process::Signal;

#[test]
fn run_makes_what_is_missing_and_keeps_what_is_there() {
    let lab = Lab::new("first run");
    let mut server = lab.server();
    let link = server.link().to_owned();
    assert!(link.len() <= 100, "a link is short: {link}");
    let [alice] = lab.people(&server, ["alice"]);
    let identity = alice.identity();
    alice.logs_out();
    server.stops().shows();
    server.starts_again();
    assert_eq!(server.link(), link);
    alice.logs_in(&server);
    assert_eq!(alice.identity(), identity);
}

#[test]
fn a_link_works_in_any_letter_case() {
    let lab = Lab::new("shouted link");
    let server = lab.server();
    let alice = lab.person("alice");
    alice.tries_to_register(&server.link().to_uppercase()).done();
    alice.is_online();
}

#[test]
fn a_port_in_use_is_said_clearly() {
    let lab = Lab::new("port in use");
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let data = lab.path("server");
    let error = hitherd(&lab, &["run", "--data", as_text(&data), "--listen", &listen]).error();
    let message = error["message"].as_str().unwrap();
    assert!(message.contains(&taken.local_addr().unwrap().port().to_string()), "{message}");
}

#[test]
fn a_database_of_a_newer_version_is_left_alone() {
    let lab = Lab::new("newer database");
    let mut server = lab.server();
    server.stops().shows();
    let version = |newer: i64| {
        let database = server.database();
        let read = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
        let found = database.query_row("PRAGMA user_version", [], read).unwrap();
        database.pragma_update(None, "user_version", found + newer).unwrap();
        found
    };
    let current = version(1000);
    let data = as_text(server.data());
    let error = hitherd(&lab, &["run", "--data", data, "--listen", "127.0.0.1:0"]).error();
    let message = error.to_string();
    assert!(message.contains("newer"), "{message}");
    assert_eq!(version(-1000), current + 1000, "it was not touched");
    server.starts_again();
}

#[test]
fn init_refuses_to_overwrite_and_link_repeats_its_link() {
    let lab = Lab::new("init");
    let data = lab.path("server");
    let init = ["init", "--data", as_text(&data), "--host", "chat.example.org"];
    let made = hitherd(&lab, &init).done();
    let before = contents(&data);
    assert!(!before.is_empty());
    let error = hitherd(&lab, &init).error();
    assert_ne!(error["code"], "internal", "{error}");
    assert!(contents(&data) == before, "nothing was changed");

    let link = made["link"].as_str().expect("a link");
    assert!(link.starts_with("hither://chat.example.org"), "{link}");
    let repeated = hitherd(&lab, &["link", "--data", as_text(&data)]).done();
    assert_eq!(repeated["link"], link);
    let read = start(&lab, &["link", "--data", as_text(&data)], &[]).wait();
    assert_eq!(read.shows().trim_end(), link, "and nothing else on stdout");
}

#[test]
fn the_link_of_a_running_server_is_the_one_it_announced() {
    let lab = Lab::new("link while running");
    let server = lab.server();
    let shown = hitherd(&lab, &["link", "--data", as_text(server.data())]).done();
    let link = shown["link"].as_str().expect("a link");
    assert_eq!(link.split_once('#').unwrap().1, server.fingerprint());
}

#[test]
fn dev_says_what_to_type_next_and_leaves_nothing_behind() {
    let lab = Lab::new("dev");
    let temporary = lab.path("tmp");
    fs::create_dir(&temporary).unwrap();
    let env = [("TMPDIR", temporary.as_os_str())];
    let server = start(&lab, &["dev", "--listen", "127.0.0.1:0"], &env);
    let commands = until("two commands", || {
        let said = server.stdout();
        let commands: Vec<String> = said.lines().filter_map(command_in).collect();
        (commands.len() >= 2 && said.ends_with('\n')).then_some(commands)
    });
    assert!(server.stdout().contains("hither://"), "the link");
    assert!(!entries_below(&temporary).is_empty(), "it keeps its data there");

    let mut words = commands[0].split_whitespace();
    assert_eq!(words.next(), Some("register"), "{commands:?}");
    let user = words.next().unwrap();
    let link = words.skip_while(|word| *word != "--server").nth(1).unwrap();
    let newcomer = lab.person(user);
    newcomer.tries_to_register(link).done();
    newcomer.is_online();

    server.signal(Signal::TERM);
    server.wait().shows();
    let left = entries_below(&temporary);
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_server_with_company_still_stops_when_asked() {
    let lab = Lab::new("stop");
    let mut server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    server.stops().shows();
    for person in [&alice, &bob] {
        person.is_offline();
    }
    server.starts_again();
    alice.is_online();
    let ended = server.is_interrupted();
    assert!([0, 130].contains(&ended.exit), "it stops by itself: {ended}");
}

#[test]
fn keys_are_for_the_owner_only() {
    let lab = Lab::new("key files");
    let data = lab.path("server");
    hitherd(&lab, &["init", "--data", as_text(&data)]).done();
    for file in files_below(&data) {
        use std::os::unix::fs::PermissionsExt;
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{mode:o} {}", file.display());
    }
}

#[test]
fn a_server_with_a_full_disk_says_so_and_loses_nobody() {
    let lab = Lab::new("full server");
    let Some(disk) = lab.small_disk("server", 4096) else { return };
    let server = lab.server_in(&disk);
    let [alice] = lab.people(&server, ["alice"]);
    let identity = alice.identity();
    alice.logs_out();
    let filled = fill(&disk);

    let bob = lab.person("bob");
    let error = bob.tries_to_register(server.link()).error();
    assert_ne!(error["code"], "internal", "{error}");

    fs::remove_file(filled).unwrap();
    bob.registers(&server);
    let there = alice.elsewhere();
    there.logs_in(&server);
    assert_eq!(there.identity(), identity);
}

#[test]
fn a_receiver_with_a_full_disk_acknowledges_nothing() {
    let lab = Lab::new("full receiver");
    let Some(disk) = lab.small_disk("bobs", 4096) else { return };
    let server = lab.server();
    let alice = lab.person("alice");
    let bob = lab.person_at("bob", &disk.join("home"));
    for person in [&alice, &bob] {
        person.registers(&server);
    }
    alice.befriends(&bob);
    let filled = fill(&disk);

    let mut texts = Vec::new();
    loop {
        assert!(texts.len() < 100, "six megabytes on a full disk");
        let text = format!("{} {}", texts.len(), "x".repeat(60 * 1024));
        let sent = alice.sends_with("bob", &text, &["--wait", "3s"]);
        texts.push(text);
        match sent.exit {
            0 => {}
            6 => drop(sent.fails(6, "peer_unreachable")),
            7 => drop(sent.fails(7, "queued")),
            _ => panic!("{sent}"),
        }
        if !alice.queue().is_empty() {
            break;
        }
    }

    fs::remove_file(filled).unwrap();
    let heard = bob.hears(texts.len());
    assert!(heard == texts, "every text, once, in order");
    until_true("the queue is empty", || alice.queue().is_empty());
}

#[test]
fn a_sender_with_a_full_disk_accepts_nothing() {
    let lab = Lab::new("full sender");
    let Some(disk) = lab.small_disk("alices", 4096) else { return };
    let server = lab.server();
    let alice = lab.person_at("alice", &disk.join("home"));
    let bob = lab.person("bob");
    for person in [&alice, &bob] {
        person.registers(&server);
    }
    alice.befriends(&bob);
    bob.stops_agent();
    alice.sees_offline("bob");
    let filled = fill(&disk);

    let mut accepted = Vec::new();
    let error = loop {
        assert!(accepted.len() < 100, "six megabytes on a full disk");
        let text = format!("{} {}", accepted.len(), "x".repeat(60 * 1024));
        let sent = alice.sends_with("bob", &text, &["--queue-ok"]);
        if sent.exit != 0 {
            break sent.error();
        }
        accepted.push(text);
    };
    assert!(error["code"] != "internal" && error["code"] != "queued", "{error}");

    fs::remove_file(filled).unwrap();
    alice.queues("bob", "there is room again");
    accepted.push("there is room again".to_owned());
    bob.starts_agent();
    assert!(bob.hears(accepted.len()) == accepted, "what was accepted, once, in order");
}

#[test]
fn a_home_that_cannot_be_written_to_is_said_clearly() {
    let lab = Lab::new("read-only home");
    let Some(folder) = lab.read_only_folder("read-only") else { return };
    let server = lab.server();
    let alice = lab.person_at("alice", &folder.join("home"));
    let error = alice.tries_to_register(server.link()).error();
    assert_ne!(error["code"], "internal", "{error}");
    assert!(error["message"].as_str().unwrap().contains("read-only"), "it says where: {error}");
    lab.person("alice").registers(&server);
}

/// Runs `hitherd` with `--json` to its end.
#[track_caller]
fn hitherd(lab: &Lab, args: &[&str]) -> Outcome {
    start(lab, &[args, &["--json"]].concat(), &[]).wait()
}

#[track_caller]
fn start(lab: &Lab, args: &[&str], env: &[(&str, &OsStr)]) -> hither_tests::lab::Running {
    let args: Vec<OsString> = args.iter().map(OsString::from).collect();
    lab.transcript().start("hitherd", &args, env, None)
}

/// The command of ours that stands in a line, without its first word.
fn command_in(line: &str) -> Option<String> {
    let (_, command) = line.split_once("hither -p ")?;
    // The profile is the newcomer's own affair here, and the quotes are the shell's.
    let (_, command) = command.split_once(' ')?;
    Some(command.replace('\'', ""))
}

fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    files_below(folder).into_iter().map(|file| (file.clone(), fs::read(file).unwrap())).collect()
}

fn as_text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}
