//! A thief of disks, memory and backups: what can be read of each, and nothing else.

use std::{fs, path::PathBuf};

use hither_proto::{
    crypto::{
        opaque::{ClientLogin, ServerLogin, ServerSetup, Stretching},
        secret::Secret,
    },
    vault::{Vault, VaultKey},
};
use hither_tests::{
    lab::{Lab, Server, is_running, memory_of, password, until_true},
    search::{contains, files_containing, files_with, holds},
};

use super::rng;
use crate::locking::{KEYS, saved_keys, session_file};

const QUESTION: &str = "where is the crooked lighthouse";

#[test]
fn who_has_the_disks_of_server_and_client_knows_who_and_needs_the_password_for_the_rest() {
    let lab = Lab::new("both disks");
    let mut server = lab.server();
    let [alice, bob] = lab.friends(&server, ["thistlewood", "marchbanks"]);
    alice.says("marchbanks", QUESTION);
    assert_eq!(bob.hears(1), [QUESTION]);
    let keys = saved_keys(&alice);
    for person in [&alice, &bob] {
        person.logs_out();
    }
    server.stops().shows();

    for word in ["thistlewood", "marchbanks"] {
        assert_ne!(files_with(server.data(), word), NONE, "the server knows who there is");
    }
    for folder in [server.data(), alice.home(), bob.home()] {
        for (key, name) in keys.iter().zip(KEYS) {
            assert_eq!(files_containing(folder, key), NONE, "{name}");
        }
        for secret in [QUESTION, alice.password(), bob.password()] {
            assert_eq!(files_with(folder, secret), NONE, "{secret}");
        }
    }
    // Each guess costs the stretching of a login, and nobody is asked for it.
    assert!(guess(&server, "thistlewood", &password()).is_none());
    assert!(guess(&server, "thistlewood", bob.password()).is_none());
    let vault = guess(&server, "thistlewood", alice.password()).expect("the right guess");
    assert_eq!(vault.seed.expose()[..], keys[0]);
    let contacts: Vec<_> = vault.contacts.iter().map(|contact| contact.name.as_str()).collect();
    assert_eq!(contacts, ["marchbanks"]);
}

#[test]
fn no_key_is_left_in_the_memory_or_the_files_of_an_agent_that_has_logged_out() {
    let lab = Lab::new("logout and memory");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["thistlewood", "marchbanks"]);
    bob.says("thistlewood", QUESTION);
    assert_eq!(alice.hears(1), [QUESTION]);
    let (agent, keys) = (alice.agent(), saved_keys(&alice));
    let Some(memory) = memory_of(agent) else { return };
    assert!(keys.iter().any(|key| contains(&memory, key)), "they are there to be found");
    drop(memory);
    alice.logs_out();
    until_true("the agent's end", || {
        if let Some(memory) = memory_of(agent) {
            for (key, name) in keys.iter().zip(KEYS) {
                assert!(!contains(&memory, key), "{name}");
            }
            assert!(!holds(&memory, alice.password()), "the password");
        }
        !is_running(agent)
    });
    assert_eq!(session_file(&alice), None);
    for (key, name) in keys.iter().zip(KEYS) {
        assert_eq!(files_containing(alice.home(), key), NONE, "{name}");
    }
}

#[test]
fn an_old_copy_of_the_server_knows_what_it_knew_and_no_machine_forgets_for_it() {
    let lab = Lab::new("old copy");
    let mut server = lab.server();
    let [alice, bob] = lab.people(&server, ["alice", "bob"]);
    let identity = alice.identity();
    server.stops().shows();
    let old = lab.path("old");
    server.copy_data(&old);
    server.starts_again();
    for person in [&alice, &bob] {
        person.is_online();
    }
    alice.befriends(&bob);
    let [carol] = lab.people(&server, ["carol"]);
    let number = alice.runs(&["verify", "bob"]).done()["digits"].clone();
    alice.logs_out();
    carol.logs_out();
    server.stops().shows();
    assert_eq!(files_with(&old, "carol"), NONE, "it was not told since");

    server.moves_to(&old);
    server.starts_again();
    carol.tries_to_log_in(&server.address().to_string(), None).fails(4, "auth_failed");
    alice.logs_in(&server);
    assert_eq!(alice.identity(), identity);
    assert_eq!(alice.contact("bob").expect("a contact")["accepted"], true);
    assert_eq!(alice.runs(&["verify", "bob"]).done()["digits"], number, "the same identity");
    // A machine that remembers nothing has from it what it had.
    alice.stops_agent();
    let there = alice.elsewhere();
    there.logs_in(&server);
    assert_eq!(there.identity(), identity);
}

const NONE: [PathBuf; 0] = [];

/// A guess at a password, by somebody who has everything of a server that does not run.
#[track_caller]
fn guess(server: &Server, name: &str, password: &str) -> Option<Vault> {
    let setup = fs::read(server.data().join("opaque.setup")).unwrap();
    let setup = ServerSetup::from_secret(&Secret::from_slice(&setup).unwrap()).unwrap();
    let account = "SELECT credential, record, vault FROM account WHERE name = ?1";
    let stolen = server.database().query_row(account, [name], |row| {
        Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?, row.get::<_, Vec<u8>>(2)?))
    });
    let (credential, record, vault) = stolen.unwrap();
    let (credential, record) = (credential.try_into().unwrap(), record.try_into().unwrap());
    let (mut rng, name) = (rng(), name.parse().unwrap());
    let (password, bytes) = (password.as_bytes(), hither_proto::name::Name::as_bytes(&name));
    let (client, ke1) = ClientLogin::start(&mut rng, password).unwrap();
    let answered =
        ServerLogin::start(&mut rng, &setup, bytes, &credential, Some(&record), b"", &ke1);
    let (_, ke2) = answered.unwrap();
    let proven = client.finish(&mut rng, bytes, password, b"", &ke2, Stretching::STANDARD).ok()?;
    let key = VaultKey::from_export_key(&proven.1.export_key, &name);
    Some(key.open(&name, &vault).expect("the vault of the right password").1)
}
