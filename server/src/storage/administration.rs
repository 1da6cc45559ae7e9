//! What an administrator asks of the accounts: lists, and their ends.

use core::result::Result as Answer;

use hither_proto::{
    directory::{Consents, Signal},
    name::Name,
    wire::server::SessionId,
};
use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use super::{Storage, Unavailable, accounts, changes::Changed, recovery, revision, row};
use crate::{
    administration::{User, UserDetails},
    clock::{rfc3339, unix_seconds},
    limits::USERS_PAGE,
};

/// What other sessions have to be told now that an account is disabled or deleted.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    sessions: Vec<SessionId>,
    consents: Vec<(Name, Consents)>,
}

impl Ended {
    /// Signals and whom they are for, when this was the account of `name`.
    pub(crate) fn signals(self, name: &Name) -> Vec<(Name, Box<Signal>)> {
        let Self { sessions, consents } = self;
        let ended = sessions.into_iter().map(|session| (name.clone(), Signal::Ended { session }));
        let withdrawn = consents
            .into_iter()
            .map(|(other, consents)| (other, Signal::Consent { from: name.clone(), consents }));
        ended.chain(withdrawn).map(|(to, signal)| (to, Box::new(signal))).collect()
    }
}

impl Storage {
    /// Accounts in the order of their names, those after `after`; a page of them.
    pub(crate) async fn users(&self, after: Option<Name>) -> Answer<Vec<User>, Unavailable> {
        self.run(move |database| users(database, after.as_ref())).await
    }

    /// What is known of an account.
    pub(crate) async fn user(&self, name: Name) -> Answer<Option<UserDetails>, Unavailable> {
        self.run(move |database| user(database, &name)).await
    }

    /// Nobody logs in to the account any more; `None` if there is none.
    pub(crate) async fn disable(&self, name: Name) -> Answer<Option<Ended>, Unavailable> {
        let now = unix_seconds();
        self.change(move |database| disable(database, &name, now)).await
    }

    /// Whoever has the password logs in again. Says whether there is such an account.
    pub(crate) async fn enable(&self, name: Name) -> Answer<bool, Unavailable> {
        self.change(move |database| enable(database, &name)).await
    }

    /// The account is gone, and its name with it; `None` if there is none.
    pub(crate) async fn delete(&self, name: Name) -> Answer<Option<Ended>, Unavailable> {
        let now = unix_seconds();
        self.change(move |database| delete(database, &name, now)).await
    }
}

impl Storage {
    /// Does something to an account that others may have said something about.
    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Answer<T, Unavailable> {
        let changes = self.changes.clone();
        let change = move |database: &Connection| {
            let changed = change(database)?;
            changes.note(&Changed::Everybody, revision(database));
            Ok(changed)
        };
        self.run(change).await
    }
}

pub(super) fn is_disabled(database: &Connection, name: &Name) -> Result<bool> {
    database.prepare_cached("SELECT 1 FROM disabled WHERE name = ?1")?.exists([name.as_str()])
}

fn users(database: &Connection, after: Option<&Name>) -> Result<Vec<User>> {
    let mut users = database.prepare_cached(
        "SELECT name, created, name IN (SELECT name FROM disabled) FROM account
         WHERE name > ?1 ORDER BY name LIMIT ?2",
    )?;
    users
        .query_map(params![after.map_or("", Name::as_str), USERS_PAGE], read_user)?
        .collect::<Result<_>>()
}

fn user(database: &Connection, name: &Name) -> Result<Option<UserDetails>> {
    let found = database
        .prepare_cached(
            "SELECT name, created, name IN (SELECT name FROM disabled),
                    (SELECT count(*) FROM consent WHERE name = ?1 AND state = 'accepted'),
                    (SELECT count(*) FROM note WHERE name = ?1),
                    (SELECT created FROM recovery WHERE name = ?1 AND record IS NOT NULL)
             FROM account WHERE name = ?1",
        )?
        .query_row([name.as_str()], |row| {
            let recovery: Option<i64> = row.get(5)?;
            let recovery_code = recovery.map(rfc3339);
            Ok((read_user(row)?, row::number(row, 3)?, row::number(row, 4)?, recovery_code))
        })
        .optional()?;
    let Some((user, accepted, notes, recovery_code)) = found else { return Ok(None) };
    let identity = accounts::entry(database, name)?;
    let identity = identity.and_then(|entry| entry.verified(name));
    let sessions = database
        .prepare_cached(
            "SELECT created FROM session WHERE name = ?1
             AND name NOT IN (SELECT name FROM disabled) ORDER BY created",
        )?
        .query_map([name.as_str()], |row| row.get(0).map(rfc3339))?
        .collect::<Result<_>>()?;
    let identity = identity.map(|identity| identity.fingerprint_letters());
    Ok(Some(UserDetails { user, identity, accepted, notes, sessions, recovery_code }))
}

fn read_user(row: &Row<'_>) -> Result<User> {
    Ok(User {
        name: row::name(row, 0)?,
        created: rfc3339(row.get(1)?),
        disabled: row.get(2)?,
        online: false,
    })
}

fn disable(database: &Connection, name: &Name, now: i64) -> Result<Option<Ended>> {
    if !exists(database, name)? {
        return Ok(None);
    }
    database
        .prepare_cached("INSERT INTO disabled VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
        .execute(params![name.as_str(), now])?;
    // They are remembered, and none of them goes on: who shows one is told why.
    let mut sessions = database.prepare_cached("SELECT id FROM session WHERE name = ?1")?;
    let sessions = sessions.query_map([name.as_str()], |row| row::bytes(row, 0))?;
    Ok(Some(Ended { sessions: sessions.collect::<Result<_>>()?, consents: Vec::new() }))
}

fn enable(database: &Connection, name: &Name) -> Result<bool> {
    let disabled = "DELETE FROM disabled WHERE name = ?1";
    if database.prepare_cached(disabled)?.execute([name.as_str()])? > 0 {
        // Why somebody was disabled may be a machine of theirs, so that a password is asked for.
        end_sessions(database, name)?;
    }
    exists(database, name)
}

fn delete(database: &Connection, name: &Name, now: i64) -> Result<Option<Ended>> {
    let Some(sessions) = bury(database, name, now)? else { return Ok(None) };
    // What others have said is theirs. Who is there learns that it is not returned any more.
    let revision = revision(database);
    let consents = database
        .prepare_cached("SELECT name, state FROM consent WHERE other = ?1")?
        .query_map([name.as_str()], |row| {
            let mine = Some(row::consent(row, 1)?);
            Ok((row::name(row, 0)?, Consents { mine, theirs: None, revision }))
        })?
        .collect::<Result<_>>()?;
    Ok(Some(Ended { sessions, consents }))
}

/// Deletes everything about an account, says which sessions that ends, and leaves the name to nobody. What
/// others have said about the name takes room of theirs, and stays. `None` if there is no such account.
pub(super) fn bury(database: &Connection, name: &Name, now: i64) -> Result<Option<Vec<SessionId>>> {
    let buried = database
        .prepare_cached(
            "INSERT INTO tombstone (name, created, credential)
             SELECT name, ?2, credential FROM account WHERE name = ?1",
        )?
        .execute(params![name.as_str(), now])?;
    if buried == 0 {
        return Ok(None);
    }
    let sessions = end_sessions(database, name)?;
    for what in [
        "DELETE FROM account WHERE name = ?1",
        "DELETE FROM consent WHERE name = ?1",
        "DELETE FROM disabled WHERE name = ?1",
        "DELETE FROM note WHERE name = ?1 OR sender = ?1",
    ] {
        database.prepare_cached(what)?.execute([name.as_str()])?;
    }
    recovery::void(database, name)?;
    Ok(Some(sessions))
}

pub(super) fn exists(database: &Connection, name: &Name) -> Result<bool> {
    database.prepare_cached("SELECT 1 FROM account WHERE name = ?1")?.exists([name.as_str()])
}

fn end_sessions(database: &Connection, name: &Name) -> Result<Vec<SessionId>> {
    let mut ended = database.prepare_cached("DELETE FROM session WHERE name = ?1 RETURNING id")?;
    ended.query_map([name.as_str()], |row| row::bytes(row, 0))?.collect()
}

#[cfg(test)]
mod tests {
    use hither_proto::{
        crypto::{
            opaque::{CREDENTIAL_BYTES, RECORD_BYTES},
            secret::Secret,
            sign::SignPublic,
        },
        directory::{Consent, NewAccount, NewSession, Outcome},
        identity::Identity,
    };

    use super::{super::schema::in_memory, *};

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn register(database: &Connection, text: &str, byte: u8) -> Outcome {
        let account = NewAccount {
            name: name(text),
            credential: [byte; CREDENTIAL_BYTES],
            record: [byte; RECORD_BYTES],
            vault: [&[1][..], &1_u64.to_be_bytes()].concat(),
            entry: Identity::from_seed(Secret::new([7; 32])).entry(&name(text)),
            invite: None,
        };
        accounts::create(database, &account, &session(byte), 0).unwrap()
    }

    fn session(byte: u8) -> NewSession {
        NewSession { id: [byte; 16], device: SignPublic([8; 32]) }
    }

    fn credentials(database: &Connection, text: &str) -> Option<([u8; 32], bool)> {
        let found = accounts::credentials(database, &name(text)).unwrap();
        found.map(|found| (found.credential, found.record.is_some()))
    }

    #[test]
    fn nobody_logs_in_while_disabled_and_the_credential_stays() {
        let database = in_memory();
        register(&database, "alice", 1);
        assert!(disable(&database, &name("bob"), 0).unwrap().is_none());
        let ended = disable(&database, &name("alice"), 0).unwrap().unwrap();
        assert_eq!(ended.sessions, [[1; 16]]);
        assert_eq!(credentials(&database, "alice"), Some(([1; 32], false)));
        // A login that was answered before, and comes to its end after.
        let opened =
            accounts::open_session(&database, &name("alice"), &[1; 32], &session(2), 0).unwrap();
        assert!(matches!(opened, Outcome::Resumable(None)), "{opened:?}");
        for returns in [false, true] {
            let resumed =
                accounts::resume_session(&database, &name("alice"), &[1; 16], returns).unwrap();
            assert!(matches!(resumed, Outcome::Disabled), "{resumed:?}");
            let none =
                accounts::resume_session(&database, &name("alice"), &[2; 16], returns).unwrap();
            assert!(matches!(none, Outcome::Resumable(None)), "{none:?}");
        }
        assert!(user(&database, &name("alice")).unwrap().unwrap().sessions.is_empty());
        assert!(disable(&database, &name("alice"), 0).unwrap().is_some());

        assert!(enable(&database, &name("alice")).unwrap());
        assert!(!enable(&database, &name("bob")).unwrap());
        assert_eq!(credentials(&database, "alice"), Some(([1; 32], true)));
        let ended = accounts::resume_session(&database, &name("alice"), &[1; 16], false).unwrap();
        assert!(matches!(ended, Outcome::Resumable(None)), "{ended:?}");
        let opened =
            accounts::open_session(&database, &name("alice"), &[1; 32], &session(2), 0).unwrap();
        assert!(matches!(opened, Outcome::Opened(_)), "{opened:?}");
    }

    #[test]
    fn of_whoever_is_deleted_only_the_name_and_the_credential_stay() {
        let database = in_memory();
        register(&database, "alice", 1);
        register(&database, "bob", 2);
        let said = "INSERT INTO consent VALUES ('alice', 'bob', 'accepted'),
            ('bob', 'alice', 'accepted'), ('bob', 'carol', 'requested');
            INSERT INTO note (name, sender, kind, sealed, created) VALUES
            ('alice', 'bob', 'accept', x'00', 0), ('carol', 'alice', 'request', x'00', 0),
            ('carol', 'bob', 'request', x'00', 0)";
        database.execute_batch(said).unwrap();
        disable(&database, &name("alice"), 0).unwrap();
        let ended = delete(&database, &name("alice"), 9).unwrap().unwrap();
        let [(other, consents)] = ended.consents.try_into().unwrap();
        assert_eq!(other, name("bob"));
        assert_eq!((consents.mine, consents.theirs), (Some(Consent::Accepted), None));

        assert_eq!(credentials(&database, "alice"), Some(([1; 32], false)));
        assert!(matches!(register(&database, "alice", 3), Outcome::NameTaken));
        assert!(delete(&database, &name("alice"), 9).unwrap().is_none());
        let left = |what: &str| -> i64 {
            let count = format!("SELECT count(*) FROM {what}");
            database.query_row(&count, [], |row| row.get(0)).unwrap()
        };
        for gone in ["account", "consent", "session", "disabled", "note"] {
            assert_eq!(left(&format!("{gone} WHERE name = 'alice'")), 0, "{gone}");
        }
        assert_eq!((left("note"), left("consent"), left("account")), (1, 2, 1));
    }

    #[test]
    fn accounts_are_listed_page_by_page() {
        let database = in_memory();
        for (text, byte) in [("carol", 3), ("alice", 1), ("bob", 2)] {
            register(&database, text, byte);
        }
        disable(&database, &name("bob"), 0).unwrap();
        let listed = |after: Option<&str>| -> Vec<(String, bool)> {
            let users = users(&database, after.map(name).as_ref()).unwrap().into_iter();
            users.map(|user| (user.name.to_string(), user.disabled)).collect()
        };
        let expected = [("alice", false), ("bob", true), ("carol", false)];
        let expected = expected.map(|(name, disabled)| (name.to_owned(), disabled));
        assert_eq!(listed(None), expected);
        assert_eq!(listed(Some("alice")), expected[1..]);
        assert_eq!(listed(Some("carol")), []);

        let shown = user(&database, &name("alice")).unwrap().unwrap();
        assert_eq!((shown.accepted, shown.notes, shown.sessions.len()), (0, 0, 1));
        let identity = Identity::from_seed(Secret::new([7; 32])).public().fingerprint_letters();
        assert_eq!(shown.identity, Some(identity));
        assert!(user(&database, &name("dave")).unwrap().is_none());
    }
}
