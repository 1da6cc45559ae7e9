//! Accounts and the sessions that are open on them.

use hither_proto::{
    crypto::opaque::{CREDENTIAL_BYTES, RECORD_BYTES},
    directory::{
        Account, Consent, Consents, NewAccount, NewPassword, NewSession, Outcome, StoredNote,
    },
    identity::Entry,
    name::Name,
    vault, wire,
    wire::server::{ENVELOPE_BYTES, SessionId},
};
use rusqlite::{Connection, OptionalExtension, Result, params};

use super::{administration, devices, invites, revision, row};

/// What a login is answered from.
pub(crate) struct Credentials {
    /// OPAQUE's credential identifier.
    pub(crate) credential: [u8; CREDENTIAL_BYTES],
    /// OPAQUE's record; `None` if nobody may log in with it.
    pub(crate) record: Option<[u8; RECORD_BYTES]>,
    /// The session that goes on, of which a login that succeeds makes another.
    pub(crate) session: Option<SessionId>,
}

pub(super) fn credentials(database: &Connection, name: &Name) -> Result<Option<Credentials>> {
    // Whoever is disabled or deleted keeps the credential identifier: with another one, the answer to
    // one and the same question would change on the day it happened.
    let mut found = database.prepare_cached(
        "SELECT credential,
                iif(EXISTS (SELECT 1 FROM disabled WHERE name = ?1), NULL, record),
                (SELECT id FROM session WHERE name = ?1 AND parked = 0)
         FROM account WHERE name = ?1
         UNION ALL SELECT credential, NULL, NULL FROM tombstone
         WHERE name = ?1 AND credential IS NOT NULL",
    )?;
    let read = |row: &rusqlite::Row<'_>| {
        let (credential, record) = (row::bytes(row, 0)?, row::bytes_if_any(row, 1)?);
        Ok(Credentials { credential, record, session: row::bytes_if_any(row, 2)? })
    };
    found.query_row([name.as_str()], read).optional()
}

/// The key of the vault, sealed under the password, unless that is still the first one.
pub(super) fn envelope(database: &Connection, name: &Name) -> Result<Option<[u8; ENVELOPE_BYTES]>> {
    let mut found = database.prepare_cached("SELECT envelope FROM account WHERE name = ?1")?;
    let found = found.query_row([name.as_str()], |row| row::bytes_if_any(row, 0)).optional();
    found.map(Option::flatten)
}

pub(super) fn entry(database: &Connection, name: &Name) -> Result<Option<Entry>> {
    let mut found = database.prepare_cached("SELECT entry FROM account WHERE name = ?1")?;
    found.query_row([name.as_str()], |row| row::entry(row, 0)).optional()
}

pub(super) fn create(
    database: &Connection,
    account: &NewAccount,
    session: &NewSession,
    now: i64,
) -> Result<Outcome> {
    let NewAccount { name, credential, record, vault, entry, invite } = account;
    // Who has no invite does not learn which names are taken, either.
    let invite = match invite.as_deref().map(|code| invites::find(database, code, now)) {
        Some(found) => match found? {
            Some(invite) => Some(invite),
            None => return Ok(Outcome::BadInvite),
        },
        None => None,
    };
    let created = database
        .prepare_cached(
            "INSERT INTO account (name, credential, record, vault, entry, created)
             SELECT ?1, ?2, ?3, ?4, ?5, ?6
             WHERE NOT EXISTS (SELECT 1 FROM tombstone WHERE name = ?1) ON CONFLICT DO NOTHING",
        )?
        .execute(params![name.as_str(), credential, record, vault, wire::encode(entry), now])?;
    if created == 0 {
        return Ok(Outcome::NameTaken);
    }
    if let Some(invite) = invite {
        invites::spend(database, invite)?;
    }
    decline_all(database, name)?;
    devices::insert(database, name, session, now)?;
    load(database, name)
}

pub(super) fn open_session(
    database: &Connection,
    name: &Name,
    proven: &[u8; CREDENTIAL_BYTES],
    session: &NewSession,
    now: i64,
) -> Result<Outcome> {
    // It may not hold any more since it was asked for; the answer is that of a wrong one.
    let opens = "SELECT 1 FROM account WHERE name = ?1 AND credential = ?2
         AND NOT EXISTS (SELECT 1 FROM disabled WHERE name = ?1)";
    if !database.prepare_cached(opens)?.exists(params![name.as_str(), proven])? {
        return Ok(Outcome::Resumable(None));
    }
    devices::insert(database, name, session, now)?;
    load(database, name)
}

pub(super) fn change_password(
    database: &Connection,
    name: &Name,
    proven: &[u8; CREDENTIAL_BYTES],
    password: &NewPassword,
    session: &NewSession,
    now: i64,
) -> Result<Outcome> {
    if administration::is_disabled(database, name)? {
        return Ok(Outcome::Resumable(None));
    }
    let NewPassword { credential, record, envelope } = password;
    let held = database
        .prepare_cached(
            "UPDATE account SET credential = ?3, record = ?4, envelope = ?5
             WHERE name = ?1 AND credential = ?2",
        )?
        .execute(params![name.as_str(), proven, credential, record, envelope])?;
    if held == 0 {
        return Ok(Outcome::Resumable(None));
    }
    database.prepare_cached("DELETE FROM session WHERE name = ?1")?.execute([name.as_str()])?;
    devices::insert(database, name, session, now)?;
    load(database, name)
}

/// The account is no more, if this is still its password.
pub(super) fn delete(
    database: &Connection,
    name: &Name,
    proven: &[u8; CREDENTIAL_BYTES],
    now: i64,
) -> Result<Outcome> {
    if !holds(database, name, proven)? {
        return Ok(Outcome::Resumable(None));
    }
    administration::bury(database, name, now)?;
    Ok(Outcome::Done)
}

pub(super) fn find_session(database: &Connection, session: &SessionId) -> Result<Outcome> {
    let mut found = database.prepare_cached("SELECT name, device FROM session WHERE id = ?1")?;
    let read = |row: &rusqlite::Row<'_>| Ok((row::name(row, 0)?, row::device(row, 1)?));
    found.query_row([session], read).optional().map(Outcome::Resumable)
}

/// A session goes on whose device has shown its key. One that is parked does if it `returns`.
pub(super) fn resume_session(
    database: &Connection,
    name: &Name,
    session: &SessionId,
    returns: bool,
) -> Result<Outcome> {
    // It may have ended since its device was looked up.
    let parked: Option<bool> = database
        .prepare_cached("SELECT parked FROM session WHERE id = ?1 AND name = ?2")?
        .query_row(params![session, name.as_str()], |row| row.get(0))
        .optional()?;
    match parked {
        None => Ok(Outcome::Resumable(None)),
        Some(_) if administration::is_disabled(database, name)? => Ok(Outcome::Disabled),
        Some(true) if !returns => Ok(Outcome::Parked),
        Some(_) => {
            if returns {
                devices::park_others(database, name, session)?;
            }
            load(database, name)
        }
    }
}

pub(super) fn end_session(database: &Connection, session: &SessionId) -> Result<Outcome> {
    database.prepare_cached("DELETE FROM session WHERE id = ?1")?.execute([session])?;
    Ok(Outcome::Done)
}

pub(super) fn put_vault(database: &Connection, name: &Name, vault: &[u8]) -> Result<Outcome> {
    let stored: Option<Vec<u8>> = database
        .prepare_cached("SELECT vault FROM account WHERE name = ?1")?
        .query_row([name.as_str()], |row| row.get(0))
        .optional()?;
    let Some(stored) = stored else { return Ok(Outcome::Conflict) };
    if stored == vault {
        // The client did not hear that this very vault was stored.
        return Ok(Outcome::Done);
    }
    let successor = vault::counter(&stored).and_then(|counter| counter.checked_add(1));
    if successor.is_none() || vault::counter(vault) != successor {
        return Ok(Outcome::Conflict);
    }
    database
        .prepare_cached("UPDATE account SET vault = ?2 WHERE name = ?1")?
        .execute(params![name.as_str(), vault])?;
    Ok(Outcome::Done)
}

/// Whether what was proven is still the password.
fn holds(database: &Connection, name: &Name, proven: &[u8; CREDENTIAL_BYTES]) -> Result<bool> {
    let holds = "SELECT 1 FROM account WHERE name = ?1 AND credential = ?2";
    database.prepare_cached(holds)?.exists(params![name.as_str(), proven])
}

/// Nothing that was said while nobody had the name was meant for whoever has it now.
fn decline_all(database: &Connection, name: &Name) -> Result<()> {
    let [declined, blocked] = [Consent::Declined, Consent::Blocked].map(row::consent_column);
    database
        .prepare_cached("UPDATE consent SET state = ?2 WHERE other = ?1 AND state != ?3")?
        .execute([name.as_str(), declined, blocked])?;
    Ok(())
}

/// What a session starts from.
fn load(database: &Connection, name: &Name) -> Result<Outcome> {
    let account = database
        .prepare_cached("SELECT entry, vault, envelope FROM account WHERE name = ?1")?
        .query_row([name.as_str()], |row| {
            Ok((row::entry(row, 0)?, row.get(1)?, row::bytes_if_any(row, 2)?))
        })
        .optional()?;
    // The account may have been deleted since its password was checked.
    let Some((entry, vault, envelope)) = account else { return Ok(Outcome::Unavailable) };
    let revision = revision(database);
    let consents = database
        .prepare_cached(
            "SELECT mine.other, mine.state, theirs.state FROM consent AS mine
             LEFT JOIN consent AS theirs ON theirs.name = mine.other AND theirs.other = mine.name
             WHERE mine.name = ?1",
        )?
        .query_map([name.as_str()], |row| {
            let (mine, theirs) = (row::consent_if_any(row, 1)?, row::consent_if_any(row, 2)?);
            Ok((row::name(row, 0)?, Consents { mine, theirs, revision }))
        })?
        .collect::<Result<_>>()?;
    let notes = database
        .prepare_cached(
            "SELECT number, sender, kind, sealed FROM note WHERE name = ?1 ORDER BY number",
        )?
        .query_map([name.as_str()], |row| {
            Ok(StoredNote {
                number: row::number(row, 0)?,
                from: row::name(row, 1)?,
                kind: row::note_kind(row, 2)?,
                sealed: row.get(3)?,
            })
        })?
        .collect::<Result<_>>()?;
    Ok(Outcome::Opened(Box::new(Account { revision, entry, vault, envelope, consents, notes })))
}

#[cfg(test)]
mod tests {
    use hither_proto::{
        crypto::{secret::Secret, sign::SignPublic},
        identity::Identity,
    };

    use super::{super::schema::in_memory, *};

    const DEVICE: SignPublic = SignPublic([8; 32]);

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn entry_of(text: &str) -> Entry {
        Identity::from_seed(Secret::new([7; 32])).entry(&name(text))
    }

    fn session(byte: u8) -> NewSession {
        NewSession { id: [byte; 16], device: DEVICE }
    }

    /// As much of a vault as the server understands: a version and a counter.
    fn vault(counter: u64, rest: &[u8]) -> Vec<u8> {
        [&[1], &counter.to_be_bytes()[..], rest].concat()
    }

    fn register(database: &Connection, text: &str, id: u8) -> Outcome {
        let account = NewAccount {
            name: name(text),
            credential: [id + 100; CREDENTIAL_BYTES],
            record: [id; RECORD_BYTES],
            vault: vault(1, b"sealed"),
            entry: entry_of(text),
            invite: None,
        };
        create(database, &account, &session(id), 0).unwrap()
    }

    /// A login with the password that the account was registered with under this number.
    fn log_in(database: &Connection, text: &str, password: u8, id: u8) -> Outcome {
        let proven = [password + 100; CREDENTIAL_BYTES];
        open_session(database, &name(text), &proven, &session(id), 0).unwrap()
    }

    fn opened(outcome: Outcome) -> Account {
        match outcome {
            Outcome::Opened(account) => *account,
            other => panic!("{other:?}"),
        }
    }

    fn resumable(database: &Connection, id: u8) -> Option<Name> {
        let Outcome::Resumable(found) = find_session(database, &[id; 16]).unwrap() else {
            panic!("a search is answered by what it finds");
        };
        let (name, device) = found?;
        assert_eq!(device, DEVICE);
        let resumed = resume_session(database, &name, &[id; 16], false).unwrap();
        matches!(resumed, Outcome::Opened(_)).then_some(name)
    }

    fn count(database: &Connection) -> Result<u64> {
        database.query_row("SELECT count(*) FROM account", [], |row| row::number(row, 0))
    }

    #[test]
    fn a_name_is_given_out_once() {
        let database = in_memory();
        let account = opened(register(&database, "alice", 1));
        assert_eq!(account.entry, entry_of("alice"));
        assert_eq!(account.vault, vault(1, b"sealed"));
        assert!(matches!(register(&database, "alice", 2), Outcome::NameTaken));
        let credentials = credentials(&database, &name("alice")).unwrap().unwrap();
        assert_eq!(credentials.record, Some([1; RECORD_BYTES]));
        assert_eq!(credentials.credential, [101; CREDENTIAL_BYTES]);
        assert_eq!(resumable(&database, 1), Some(name("alice")));
        assert_eq!(resumable(&database, 2), None);
        assert_eq!(count(&database), Ok(1));
    }

    #[test]
    fn unknown_names_have_nothing() {
        let database = in_memory();
        assert!(credentials(&database, &name("bob")).unwrap().is_none());
        assert_eq!(entry(&database, &name("bob")).unwrap(), None);
        assert!(matches!(log_in(&database, "bob", 1, 1), Outcome::Resumable(None)));
    }

    #[test]
    fn a_login_counts_and_parks_every_other_session_of_the_account() {
        let database = in_memory();
        register(&database, "alice", 1);
        register(&database, "bob", 2);
        for id in [3, 4] {
            opened(log_in(&database, "alice", 1, id));
        }
        let found = [1, 3, 4, 2].map(|id| resumable(&database, id));
        assert_eq!(found, [None, None, Some(name("alice")), Some(name("bob"))]);
        let session = |text| credentials(&database, &name(text)).unwrap().unwrap().session;
        assert_eq!((session("alice"), session("bob")), (Some([4; 16]), Some([2; 16])));
        let resumed = |text, id| resume_session(&database, &name(text), &[id; 16], false).unwrap();
        assert_eq!(opened(resumed("bob", 2)).entry, entry_of("bob"));
        // A login elsewhere came between looking the session up and loading the account.
        assert!(matches!(resumed("alice", 3), Outcome::Parked));
        assert!(matches!(resumed("alice", 2), Outcome::Resumable(None)));
    }

    #[test]
    fn another_password_ends_every_session_and_what_was_proven_before_it() {
        let database = in_memory();
        register(&database, "alice", 1);
        register(&database, "bob", 2);
        let change = |proven: u8, byte: u8| {
            let password = NewPassword {
                credential: [byte + 100; CREDENTIAL_BYTES],
                record: [byte; RECORD_BYTES],
                envelope: [byte; ENVELOPE_BYTES],
            };
            let proven = [proven + 100; CREDENTIAL_BYTES];
            change_password(&database, &name("alice"), &proven, &password, &session(byte), 0)
                .unwrap()
        };
        let account = opened(change(1, 5));
        assert_eq!(account.envelope, Some([5; ENVELOPE_BYTES]));
        assert_eq!(account.vault, vault(1, b"sealed"));
        assert_eq!(envelope(&database, &name("alice")), Ok(Some([5; ENVELOPE_BYTES])));
        let found = [1, 5, 2].map(|id| resumable(&database, id));
        assert_eq!(found, [None, Some(name("alice")), Some(name("bob"))]);
        for late in [change(1, 6), log_in(&database, "alice", 1, 6)] {
            assert!(matches!(late, Outcome::Resumable(None)), "{late:?}");
        }
        assert_eq!(resumable(&database, 5), Some(name("alice")));
        opened(log_in(&database, "alice", 5, 7));
        let kept = credentials(&database, &name("bob")).unwrap().unwrap();
        assert_eq!((kept.record, kept.session), (Some([2; RECORD_BYTES]), Some([2; 16])));
    }

    #[test]
    fn of_a_deleted_account_only_its_name_and_what_others_said_of_it_stay() {
        let database = in_memory();
        register(&database, "alice", 1);
        register(&database, "bob", 2);
        database
            .execute_batch(
                "INSERT INTO consent VALUES ('alice', 'bob', 'accepted'), ('bob', 'alice', 'accepted');
                 INSERT INTO note (name, sender, kind, sealed, created) VALUES
                    ('alice', 'bob', 'request', x'01', 0), ('bob', 'alice', 'accept', x'01', 0);",
            )
            .unwrap();
        let delete = |proven| delete(&database, &name("alice"), &[proven; CREDENTIAL_BYTES], 7);
        assert!(matches!(delete(9), Ok(Outcome::Resumable(None))));
        assert_eq!(count(&database), Ok(2));
        assert!(matches!(delete(101), Ok(Outcome::Done)));
        assert!(matches!(delete(101), Ok(Outcome::Resumable(None))));
        assert!(matches!(register(&database, "alice", 3), Outcome::NameTaken));
        let rows = |table: &str| {
            let rows = format!("SELECT count(*) FROM {table}");
            database.query_row(&rows, [], |row| row::number(row, 0)).unwrap()
        };
        let left = ["account", "session", "consent", "note", "tombstone"].map(rows);
        assert_eq!(left, [1, 1, 1, 0, 1]);
        assert_eq!(resumable(&database, 2), Some(name("bob")));
    }

    #[test]
    fn what_is_opened_later_says_so() {
        let database = in_memory();
        let mut before = opened(register(&database, "alice", 1)).revision;
        for id in [2, 3] {
            let login = opened(log_in(&database, "alice", 1, id)).revision;
            assert!(login > before);
            let resumed = resume_session(&database, &name("alice"), &[id; 16], false).unwrap();
            before = opened(resumed).revision;
            assert!(before >= login);
        }
    }

    #[test]
    fn a_new_account_gets_nothing_that_was_given_to_its_name_before() {
        let database = in_memory();
        for (who, state) in [("a", "accepted"), ("b", "requested"), ("c", "blocked")] {
            let said = "INSERT INTO consent VALUES (?1, 'alice', ?2), (?1, 'bob', ?2)";
            database.execute(said, [who, state]).unwrap();
        }
        register(&database, "alice", 1);
        let states = |other: &str| -> Vec<String> {
            let states = "SELECT state FROM consent WHERE other = ?1 ORDER BY name";
            let mut states = database.prepare(states).unwrap();
            let states = states.query_map([other], |row| row.get(0)).unwrap();
            states.map(Result::unwrap).collect()
        };
        assert_eq!(states("alice"), ["declined", "declined", "blocked"]);
        assert_eq!(states("bob"), ["accepted", "requested", "blocked"]);
    }

    #[test]
    fn an_account_is_loaded_with_both_sides_of_what_it_has_said() {
        use Consent::{Accepted, Blocked, Requested};
        let database = in_memory();
        register(&database, "alice", 1);
        let said = "INSERT INTO consent VALUES ('alice', 'bob', 'accepted'),
            ('bob', 'alice', 'blocked'), ('alice', 'carol', 'requested'),
            ('dave', 'alice', 'accepted'), ('bob', 'carol', 'accepted')";
        database.execute(said, []).unwrap();
        let loaded = opened(resume_session(&database, &name("alice"), &[1; 16], false).unwrap());
        let said =
            loaded.consents.iter().map(|(other, said)| (other.as_str(), said.mine, said.theirs));
        let expected = [("bob", Some(Accepted), Some(Blocked)), ("carol", Some(Requested), None)];
        assert_eq!(said.collect::<Vec<_>>(), expected);
        assert!(loaded.consents.iter().all(|(_, said)| said.revision == loaded.revision));
    }

    #[test]
    fn an_ended_session_is_not_resumed() {
        let database = in_memory();
        register(&database, "alice", 1);
        for _ in 0..2 {
            assert!(matches!(end_session(&database, &[1; 16]).unwrap(), Outcome::Done));
            assert_eq!(resumable(&database, 1), None);
        }
    }

    #[test]
    fn a_vault_is_replaced_by_its_successor_only() {
        let database = in_memory();
        register(&database, "alice", 1);
        let put = |vault: &[u8]| put_vault(&database, &name("alice"), vault).unwrap();
        let second = vault(2, b"sealed again");
        assert!(matches!(put(&second), Outcome::Done));
        assert!(matches!(put(&second), Outcome::Done), "told twice, stored once");
        for conflict in [
            vault(2, b"another second"),
            vault(1, b"sealed"),
            vault(4, b"too far"),
            vault(u64::MAX, b"way too far"),
            b"short".to_vec(),
        ] {
            assert!(matches!(put(&conflict), Outcome::Conflict));
        }
        let stored = resume_session(&database, &name("alice"), &[1; 16], false).unwrap();
        let stored = opened(stored).vault;
        assert_eq!(stored, second);
        let nobody = put_vault(&database, &name("bob"), &vault(1, b"")).unwrap();
        assert!(matches!(nobody, Outcome::Conflict));
    }

    #[test]
    fn the_counter_of_a_vault_does_not_wrap() {
        let database = in_memory();
        register(&database, "alice", 1);
        let last = vault(u64::MAX, b"");
        database.execute("UPDATE account SET vault = ?1", [&last]).unwrap();
        let wrapped = put_vault(&database, &name("alice"), &vault(0, b"")).unwrap();
        assert!(matches!(wrapped, Outcome::Conflict));
    }

    #[test]
    fn what_cannot_be_read_is_an_error_and_not_a_guess() {
        let database = in_memory();
        register(&database, "alice", 1);
        database.execute("UPDATE account SET entry = x'00'", []).unwrap();
        assert!(entry(&database, &name("alice")).is_err());
        assert!(resume_session(&database, &name("alice"), &[1; 16], false).is_err());
    }
}
