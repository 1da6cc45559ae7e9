//! Recovery codes: who has one, and another password for whoever proves it.

use hither_proto::{
    crypto::opaque::CREDENTIAL_BYTES,
    directory::{NewCode, NewPassword, NewSession, Outcome},
    name::Name,
    wire::server::ENVELOPE_BYTES,
};
use rusqlite::{Connection, OptionalExtension, Result, params};

use super::{accounts, readers::Known, row};

/// What a recovery is answered from.
pub(super) fn credentials(database: &Connection, name: &Name) -> Result<Known> {
    // Whoever may not log in may not recover, either.
    let account = accounts::credentials(database, name)?;
    let session = account.as_ref().and_then(|account| account.session);
    let open = account.is_some_and(|account| account.record.is_some());
    let code = database
        .prepare_cached("SELECT credential, record FROM recovery WHERE name = ?1")?
        .query_row([name.as_str()], |row| Ok((row::bytes(row, 0)?, row::bytes_if_any(row, 1)?)))
        .optional()?;
    let credential = code.map(|(credential, record)| (credential, record.filter(|_| open)));
    Ok(Known { session, credential })
}

/// The key of the vault, sealed under the code, if there is one.
pub(super) fn envelope(database: &Connection, name: &Name) -> Result<Option<[u8; ENVELOPE_BYTES]>> {
    let mut found = database.prepare_cached("SELECT envelope FROM recovery WHERE name = ?1")?;
    let found = found.query_row([name.as_str()], |row| row::bytes_if_any(row, 0)).optional();
    found.map(Option::flatten)
}

/// Makes this the code of the account, or leaves it without one, if this is still its password.
pub(super) fn set(
    database: &Connection,
    name: &Name,
    proven: &[u8; CREDENTIAL_BYTES],
    code: Option<&NewCode>,
    now: i64,
) -> Result<Outcome> {
    let account = accounts::credentials(database, name)?;
    let holds =
        account.is_some_and(|account| account.record.is_some() && account.credential == *proven);
    if !holds {
        return Ok(Outcome::Resumable(None));
    }
    let Some(NewCode { credential, record, envelope }) = code else {
        void(database, name)?;
        return Ok(Outcome::Done);
    };
    database
        .prepare_cached(
            "INSERT OR REPLACE INTO recovery (name, credential, record, envelope, created)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![name.as_str(), credential, record, envelope, now])?;
    Ok(Outcome::Done)
}

/// Gives the account another password, if this is still its code, which it is not afterwards.
pub(super) fn recover(
    database: &Connection,
    name: &Name,
    proven: &[u8; CREDENTIAL_BYTES],
    password: &NewPassword,
    session: &NewSession,
    now: i64,
) -> Result<Outcome> {
    let holds = database
        .prepare_cached(
            "SELECT 1 FROM recovery WHERE name = ?1 AND credential = ?2 AND record IS NOT NULL",
        )?
        .exists(params![name.as_str(), proven])?;
    let account = accounts::credentials(database, name)?;
    let Some(account) = account.filter(|_| holds) else { return Ok(Outcome::Resumable(None)) };
    let known = account.credential;
    let changed = accounts::change_password(database, name, &known, password, session, now)?;
    if matches!(changed, Outcome::Opened(_)) {
        void(database, name)?;
    }
    Ok(changed)
}

/// The code is good for nothing any more. Its credential stays.
pub(super) fn void(database: &Connection, name: &Name) -> Result<()> {
    database
        .prepare_cached("UPDATE recovery SET record = NULL, envelope = NULL WHERE name = ?1")?
        .execute([name.as_str()])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use hither_proto::{
        crypto::{opaque::RECORD_BYTES, secret::Secret, sign::SignPublic},
        directory::NewAccount,
        identity::Identity,
    };

    use super::{
        super::{administration, schema::in_memory},
        *,
    };

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn session(byte: u8) -> NewSession {
        NewSession { id: [byte; 16], device: SignPublic([8; 32]) }
    }

    fn register(database: &Connection, text: &str, byte: u8) {
        let account = NewAccount {
            name: name(text),
            credential: [byte; CREDENTIAL_BYTES],
            record: [byte; RECORD_BYTES],
            vault: [&[1][..], &1_u64.to_be_bytes()].concat(),
            entry: Identity::from_seed(Secret::new([7; 32])).entry(&name(text)),
            invite: None,
        };
        let made = accounts::create(database, &account, &session(byte), 0).unwrap();
        assert!(matches!(made, Outcome::Opened(_)), "{made:?}");
    }

    /// Lets alice, whose password is the credential `proven`, have a code.
    fn make(database: &Connection, proven: u8, byte: u8) -> Outcome {
        let code = NewCode {
            credential: [byte; CREDENTIAL_BYTES],
            record: [byte; RECORD_BYTES],
            envelope: [byte; ENVELOPE_BYTES],
        };
        set(database, &name("alice"), &[proven; CREDENTIAL_BYTES], Some(&code), 0).unwrap()
    }

    fn recovers(database: &Connection, proven: u8, byte: u8) -> Outcome {
        let password = NewPassword {
            credential: [byte; CREDENTIAL_BYTES],
            record: [byte; RECORD_BYTES],
            envelope: [byte; ENVELOPE_BYTES],
        };
        let (alice, proven) = (name("alice"), [proven; CREDENTIAL_BYTES]);
        recover(database, &alice, &proven, &password, &session(byte), 0).unwrap()
    }

    /// Which code alice has had last, and whether it is good for anything.
    fn code(database: &Connection) -> Option<(u8, bool)> {
        let code = credentials(database, &name("alice")).unwrap().credential;
        code.map(|(credential, record)| (credential[0], record.is_some()))
    }

    #[test]
    fn a_code_sets_a_password_once_and_ends_every_session() {
        let database = in_memory();
        register(&database, "alice", 1);
        register(&database, "bob", 2);
        assert_eq!((code(&database), envelope(&database, &name("alice"))), (None, Ok(None)));
        assert!(matches!(recovers(&database, 1, 9), Outcome::Resumable(None)), "a password");
        assert!(matches!(make(&database, 1, 50), Outcome::Done));
        assert_eq!(code(&database), Some((50, true)));
        assert_eq!(envelope(&database, &name("alice")), Ok(Some([50; ENVELOPE_BYTES])));
        let opened = recovers(&database, 50, 3);
        let Outcome::Opened(account) = opened else { panic!("{opened:?}") };
        assert_eq!(account.envelope, Some([3; ENVELOPE_BYTES]));
        let password = accounts::credentials(&database, &name("alice")).unwrap().unwrap();
        assert_eq!((password.credential, password.record), ([3; 32], Some([3; RECORD_BYTES])));
        let sessions = "SELECT group_concat(hex(id)) FROM (SELECT id FROM session ORDER BY id)";
        let sessions: String = database.query_row(sessions, [], |row| row.get(0)).unwrap();
        assert_eq!(sessions, [[2; 16], [3; 16]].map(hex).join(","));
        assert_eq!(
            (code(&database), envelope(&database, &name("alice"))),
            (Some((50, false)), Ok(None))
        );
        assert!(matches!(recovers(&database, 50, 4), Outcome::Resumable(None)));
        assert!(matches!(make(&database, 1, 51), Outcome::Resumable(None)), "the old password");
        assert!(matches!(make(&database, 3, 51), Outcome::Done));
        assert_eq!(code(&database), Some((51, true)));
        assert_eq!(credentials(&database, &name("alice")).unwrap().session, Some([3; 16]));
    }

    fn hex(bytes: [u8; 16]) -> String {
        bytes.map(|byte| format!("{byte:02X}")).concat()
    }

    #[test]
    fn a_code_is_replaced_or_removed_by_whoever_has_the_password() {
        let database = in_memory();
        register(&database, "alice", 1);
        let remove =
            |proven| set(&database, &name("alice"), &[proven; CREDENTIAL_BYTES], None, 0).unwrap();
        assert!(matches!(remove(1), Outcome::Done));
        assert_eq!(code(&database), None);
        for byte in [50, 51] {
            make(&database, 1, byte);
        }
        assert!(matches!(recovers(&database, 50, 4), Outcome::Resumable(None)));
        assert!(matches!(remove(50), Outcome::Resumable(None)), "the code is no password");
        assert_eq!(code(&database), Some((51, true)));
        assert!(matches!(remove(1), Outcome::Done));
        assert_eq!(code(&database), Some((51, false)));
        assert!(matches!(recovers(&database, 51, 4), Outcome::Resumable(None)));
    }

    #[test]
    fn whoever_is_disabled_or_deleted_recovers_nothing_and_looks_as_before() {
        let database = in_memory();
        register(&database, "alice", 1);
        make(&database, 1, 50);
        database.execute("INSERT INTO disabled VALUES ('alice', 0)", []).unwrap();
        assert_eq!(code(&database), Some((50, false)));
        assert!(matches!(recovers(&database, 50, 3), Outcome::Resumable(None)));
        assert!(matches!(make(&database, 1, 51), Outcome::Resumable(None)));
        database.execute("DELETE FROM disabled", []).unwrap();
        assert_eq!(code(&database), Some((50, true)));
        administration::bury(&database, &name("alice"), 0).unwrap();
        assert_eq!(code(&database), Some((50, false)));
        assert!(matches!(recovers(&database, 50, 3), Outcome::Resumable(None)));
        let left = "SELECT count(*) FROM recovery WHERE record IS NOT NULL OR envelope IS NOT NULL";
        assert_eq!(database.query_row(left, [], |row| row.get(0)), Ok(0));
    }
}
