//! Backups: a server comes back from one file, on an empty host, or nothing is changed.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::mpsc::channel,
    thread,
};

use hither_tests::{
    lab::{DEADLINE, Lab, Outcome, Server},
    rogue::Account,
    search::{contains, entries_below, files_below},
    wire::Pem,
};

/// Strong enough to seal a backup.
const PASSWORD: &str = "tallow gimlet quorum ferret";

#[test]
fn everybody_logs_in_at_a_server_that_came_back_on_an_empty_host() {
    let lab = Lab::new("backup and restore");
    let mut server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    let identities = [&alice, &bob].map(|person| person.identity());
    let link = server.link().to_owned();
    server.administers(&["user", "disable", "nobody"]).fails(10, "not_found");

    let file = lab.path("backup");
    backs_up(&lab, &server, &file, PASSWORD).done();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let bytes = fs::read(&file).unwrap();
    for secret in ["identity.key", "opaque.setup", "decoy.key"] {
        let secret = fs::read(server.data().join(secret)).unwrap();
        assert!(!contains(&bytes, &secret[..16]));
    }
    assert!(!contains(&bytes, b"alice") && !contains(&bytes, b"CREATE TABLE"));
    backs_up(&lab, &server, &file, PASSWORD).fails(11, "refused");
    alice.delivers("bob", "the server goes on meanwhile");

    server.dies();
    let kept = names(server.data());
    let old = server.data().to_owned();
    server.moves_to(&lab.path("another-host/data"));
    restores(&lab, &server, &file, PASSWORD).done();
    assert_eq!(names(server.data()), kept, "every file that makes the server");
    for file in files_below(server.data()) {
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    fs::remove_dir_all(old).unwrap();
    server.starts_again();
    assert_eq!(server.link(), link);
    for (person, identity) in [&alice, &bob].into_iter().zip(identities) {
        let there = person.elsewhere();
        there.logs_in(&server);
        assert_eq!(there.identity(), identity);
    }
    let alice = alice.elsewhere();
    alice.sees_online("bob");
    alice.delivers("bob", "here we are");
}

#[test]
fn a_backup_under_load_is_of_one_moment() {
    const PEOPLE: usize = 40;
    let lab = Lab::new("backup under load");
    let mut server = lab.server();
    let (tell, told) = channel();
    let file = lab.path("backup");
    let mut early = Vec::new();
    thread::scope(|scope| {
        let server = &server;
        scope.spawn(move || {
            for number in 0..PEOPLE {
                let mut account = Account::new(&format!("p{number}"));
                drop(account.registers(server));
                tell.send(account).unwrap();
            }
        });
        early.extend((0..PEOPLE / 4).map(|_| told.recv_timeout(DEADLINE).unwrap()));
        backs_up(&lab, server, &file, PASSWORD).done();
    });
    server.stops().shows();
    server.moves_to(&lab.path("another"));
    restores(&lab, &server, &file, PASSWORD).done();
    {
        let database = server.database();
        let count = |what: &str| -> usize {
            let count = format!("SELECT count(*) FROM {what}");
            database.query_row(&count, [], |row| row.get(0)).unwrap()
        };
        assert!((early.len()..=PEOPLE).contains(&count("account")));
        assert_eq!(count("account"), count("session"));
    }
    server.starts_again();
    for account in &mut early {
        drop(account.logs_in(&server));
    }
}

#[test]
fn what_cannot_be_restored_changes_nothing() {
    let lab = Lab::new("bad restores");
    let mut server = lab.server();
    let file = lab.path("backup");
    server.stops().shows();
    backs_up(&lab, &server, &file, PASSWORD).done();
    let before = contents(server.data());
    restores(&lab, &server, &file, PASSWORD).fails(11, "refused");
    assert!(contents(server.data()) == before, "a server is not overwritten");

    let letters = lab.path("letters");
    fs::create_dir(&letters).unwrap();
    fs::write(letters.join("letter"), "dear").unwrap();
    server.moves_to(&letters);
    restores(&lab, &server, &file, PASSWORD).fails(1, "data_unusable");
    assert_eq!(fs::read_dir(&letters).unwrap().count(), 1);

    let target = lab.path("target");
    server.moves_to(&target);
    let bytes = fs::read(&file).unwrap();
    let bad = lab.path("bad");
    let refused = |bytes: &[u8], password: &str, exit: i32, code: &str| {
        fs::write(&bad, bytes).unwrap();
        let error = restores(&lab, &server, &bad, password).fails(exit, code);
        assert!(!target.exists(), "{error}");
    };
    refused(&bytes, "another password", 4, "auth_failed");
    refused(&bytes[..bytes.len() - 1], PASSWORD, 11, "refused");
    refused(&bytes[..bytes.len() / 2], PASSWORD, 11, "refused");
    refused(b"a letter to somebody", PASSWORD, 11, "refused");
    let mut damaged = bytes.clone();
    damaged[bytes.len() / 2] ^= 1;
    refused(&damaged, PASSWORD, 11, "refused");

    // Killed in the middle: no server is begun with other keys in its place.
    fs::create_dir(&target).unwrap();
    fs::write(target.join("restoring"), "").unwrap();
    fs::write(target.join("identity.key"), "half").unwrap();
    let error = server.tries_to_start().fails(1, "data_unusable");
    assert!(error["hint"].as_str().unwrap().contains("hitherd restore"), "{error}");
    restores(&lab, &server, &file, PASSWORD).done();
    server.starts_again();
}

#[test]
fn a_weak_password_makes_no_backup() {
    let lab = Lab::new("weak backup");
    let server = lab.server();
    let file = lab.path("backup");
    let error = backs_up(&lab, &server, &file, "password1").fails(12, "weak_password");
    assert!(!error["hint"].as_str().unwrap().is_empty());
    let error = server.administers(&["backup", as_text(&file)]).fails(2, "usage");
    assert!(error["hint"].as_str().unwrap().contains("--password-file"), "{error}");
    assert!(!file.exists());
}

#[test]
fn whoever_sits_at_a_terminal_is_asked_for_the_password_of_a_backup_twice() {
    let lab = Lab::new("backup at a terminal");
    let mut server = lab.server();
    let file = lab.path("backup");
    let backup = ["backup", as_text(&file)];
    let Some(mut terminal) = server.administered_at_terminal(&backup) else { return };
    terminal.answers_unseen("Password: ", "password1");
    let (exit, shown) = terminal.ends();
    assert_eq!(exit, 12, "{shown}");
    let mut terminal = server.administered_at_terminal(&backup).unwrap();
    terminal.answers_unseen("Password: ", PASSWORD);
    terminal.answers_unseen("Again:    ", "tallow gimlet quorum ferrets");
    let (exit, shown) = terminal.ends();
    assert!(exit == 2 && shown.contains("differ") && !file.exists(), "{shown}");
    let mut terminal = server.administered_at_terminal(&backup).unwrap();
    for prompt in ["Password: ", "Again:    "] {
        terminal.answers_unseen(prompt, PASSWORD);
    }
    let (exit, shown) = terminal.ends();
    assert!(exit == 0 && !shown.contains("gimlet"), "nothing typed is shown: {shown}");
    let never = [&backup[..], &["--no-input"]].concat();
    let (exit, shown) = server.administered_at_terminal(&never).unwrap().ends();
    assert!(exit == 2 && shown.contains("--password-file"), "{shown}");

    server.stops().shows();
    server.moves_to(&lab.path("another-host"));
    let mut terminal =
        server.administered_at_terminal(&["restore", as_text(&file)]).expect("a terminal");
    terminal.answers_unseen("Password: ", PASSWORD);
    let (exit, shown) = terminal.ends();
    assert_eq!(exit, 0, "{shown}");
    server.starts_again();
}

#[test]
fn files_outside_the_data_folder_are_named_and_not_included() {
    let lab = Lab::new("files outside");
    let mut server = lab.server();
    let (inside, outside) = (server.data().to_owned(), lab.path("pem"));
    fs::create_dir(&outside).unwrap();
    let config = |folder: &Path| {
        let pem = Pem::of_another_issuer(30);
        fs::write(folder.join("chat.pem"), &pem.certificate).unwrap();
        fs::write(folder.join("chat.key"), &pem.key).unwrap();
        fs::set_permissions(folder.join("chat.key"), fs::Permissions::from_mode(0o600)).unwrap();
        let [certificate, key] = ["chat.pem", "chat.key"].map(|file| folder.join(file));
        let (certificate, key) = (as_text(&certificate), as_text(&key));
        format!("certificate = \"{certificate}\"\ncertificate_key = \"{key}\"\n")
    };
    let not_included = |name: &str, flags: &[&str]| {
        let (file, secret) = (lab.path(name), lab.path("backup.password"));
        fs::write(&secret, PASSWORD).unwrap();
        let args = ["backup", as_text(&file), "--password-file", as_text(&secret)];
        let said = server.administers(&[&args, flags].concat()).done();
        let files = said["not_included"].as_array().unwrap().iter();
        files.map(|file| PathBuf::from(file.as_str().unwrap())).collect::<Vec<_>>()
    };
    assert_eq!(not_included("first", &[]), [] as [PathBuf; 0]);
    server.is_configured(&config(&inside));
    assert_eq!(not_included("second", &[]), [] as [PathBuf; 0]);
    let elsewhere = lab.path("etc.toml");
    fs::write(&elsewhere, config(&outside)).unwrap();
    let pem = [outside.join("chat.pem"), outside.join("chat.key")];
    let expected = [&[elsewhere.clone()][..], &pem].concat();
    assert_eq!(not_included("third", &["--config", as_text(&elsewhere)]), expected);
    server.is_configured(&config(&outside));
    assert_eq!(not_included("fourth", &[]), pem);

    server.stops().shows();
    server.moves_to(&lab.path("another-host"));
    // What stood in the folder came along, and it is what the configuration there still names.
    restores(&lab, &server, &lab.path("second"), PASSWORD).done();
    for name in ["chat.pem", "chat.key", "hitherd.toml"] {
        assert!(server.data().join(name).is_file(), "{name}");
    }
}

#[test]
fn a_damaged_database_is_not_served_and_comes_back_from_a_backup() {
    let lab = Lab::new("damaged database");
    let mut server = lab.server();
    let [alice] = lab.people(&server, ["alice"]);
    let file = lab.path("backup");
    backs_up(&lab, &server, &file, PASSWORD).done();
    server.stops().shows();
    let database = server.data().join("hitherd.db");
    let mut bytes = fs::read(&database).unwrap();
    // The page with the account, whose name stands there in clear.
    let at =
        (4096..bytes.len()).step_by(4096).find(|at| contains(&bytes[*at..at + 4096], b"alice"));
    let at = at.expect("a page with an account");
    bytes[at..at + 64].fill(0x55);
    fs::write(&database, bytes).unwrap();

    let error = server.tries_to_start().fails(1, "data_unusable");
    assert!(error["hint"].as_str().unwrap().contains("hitherd restore"), "{error}");
    backs_up(&lab, &server, &lab.path("useless"), PASSWORD).fails(1, "data_unusable");
    assert!(!lab.path("useless").exists(), "what is damaged is no backup");
    fs::rename(server.data(), lab.path("damaged")).unwrap();
    restores(&lab, &server, &file, PASSWORD).done();
    server.starts_again();
    let there = alice.elsewhere();
    there.logs_in(&server);
}

fn backs_up(lab: &Lab, server: &Server, file: &Path, password: &str) -> Outcome {
    with_password(lab, server, "backup", file, password)
}

fn restores(lab: &Lab, server: &Server, file: &Path, password: &str) -> Outcome {
    with_password(lab, server, "restore", file, password)
}

fn with_password(
    lab: &Lab,
    server: &Server,
    command: &str,
    file: &Path,
    password: &str,
) -> Outcome {
    let secret = lab.path("backup.password");
    fs::write(&secret, format!("{password}\n")).unwrap();
    let args = [command, as_text(file), "--password-file", as_text(&secret)];
    server.administers(&args)
}

/// What makes a server, by name: not what is there only while it runs.
fn names(folder: &Path) -> Vec<OsString> {
    let names = entries_below(folder).into_iter().map(|path| path.file_name().unwrap().to_owned());
    let passing = ["control", "hitherd.db-wal", "hitherd.db-shm", "reserve"];
    names.filter(|name| passing.iter().all(|passing| name != passing)).collect()
}

fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut contents: BTreeMap<_, _> = files_below(folder)
        .into_iter()
        .map(|file| (file.clone(), fs::read(file).unwrap()))
        .collect();
    contents.retain(|file, _| !file.ends_with("audit.log"));
    contents
}

fn as_text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}
