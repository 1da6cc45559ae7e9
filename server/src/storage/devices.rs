//! The sessions of an account, each on a machine of its own: which of them may go on, and which are listed.

use hither_proto::{
    crypto::sign::SignPublic,
    directory::{NewSession, Outcome},
    name::Name,
    wire::server::{Device, SessionId},
};
use rusqlite::{Connection, OptionalExtension, Result, params};

use super::row;
use crate::limits::SESSIONS_MAX;

const DAY: i64 = 24 * 60 * 60;

pub(super) fn insert(
    database: &Connection,
    name: &Name,
    session: &NewSession,
    now: i64,
) -> Result<()> {
    database
        .prepare_cached(
            "INSERT INTO session (id, name, device, created, seen) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![session.id, name.as_str(), session.device.0, now, day(now)])?;
    park_all_but(database, name, &session.id)?;
    let count = "SELECT count(*) > ?2 FROM session WHERE name = ?1";
    let mut count = database.prepare_cached(count)?;
    if count.query_row(params![name.as_str(), SESSIONS_MAX], |row| row.get(0))? {
        database
            .prepare_cached(
                "DELETE FROM session WHERE name = ?1 AND id NOT IN (
                    SELECT id FROM session WHERE name = ?1
                    ORDER BY parked, seen DESC, created DESC LIMIT ?2)",
            )?
            .execute(params![name.as_str(), SESSIONS_MAX])?;
    }
    Ok(())
}

/// Lets this session speak for the account, and no other until it asks for that.
pub(super) fn park_others(database: &Connection, name: &Name, session: &SessionId) -> Result<()> {
    let known = "SELECT 1 FROM session WHERE id = ?1 AND name = ?2";
    if database.prepare_cached(known)?.exists(params![session, name.as_str()])? {
        park_all_but(database, name, session)?;
    }
    Ok(())
}

fn park_all_but(database: &Connection, name: &Name, session: &SessionId) -> Result<()> {
    database
        .prepare_cached(
            "UPDATE session SET parked = (id != ?2) WHERE name = ?1 AND parked != (id != ?2)",
        )?
        .execute(params![name.as_str(), session])?;
    Ok(())
}

pub(super) fn list(database: &Connection, name: &Name) -> Result<Outcome> {
    let mut found = database.prepare_cached(
        "SELECT device, created, seen FROM session WHERE name = ?1 ORDER BY created, id",
    )?;
    let read = |row: &rusqlite::Row<'_>| {
        let (created, seen) = (row::number(row, 1)?, row::number(row, 2)?);
        Ok(Device { key: row::bytes(row, 0)?, created, seen })
    };
    let devices = found.query_map([name.as_str()], read)?.collect::<Result<_>>()?;
    Ok(Outcome::Devices(devices))
}

pub(super) fn revoke(database: &Connection, name: &Name, device: SignPublic) -> Result<Outcome> {
    let revoked = database
        .prepare_cached("DELETE FROM session WHERE name = ?1 AND device = ?2 RETURNING id")?
        .query_row(params![name.as_str(), device.0], |row| row::bytes(row, 0))
        .optional()?;
    Ok(Outcome::Revoked(revoked))
}

pub(super) fn see(database: &Connection, session: &SessionId, now: i64) -> Result<()> {
    database
        .prepare_cached("UPDATE session SET seen = ?2 WHERE id = ?1 AND seen < ?2")?
        .execute(params![session, day(now)])?;
    Ok(())
}

/// The day is all that is kept: when somebody was there to the second is nobody's business later.
const fn day(now: i64) -> i64 {
    now - now.rem_euclid(DAY)
}

#[cfg(test)]
mod tests {
    use super::{super::schema::in_memory, *};

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn session(byte: u8) -> NewSession {
        NewSession { id: [byte; 16], device: SignPublic([byte; 32]) }
    }

    fn devices(database: &Connection, of: &str) -> Vec<u8> {
        match list(database, &name(of)).unwrap() {
            Outcome::Devices(devices) => devices.iter().map(|device| device.key[0]).collect(),
            other => panic!("{other:?}"),
        }
    }

    fn going_on(database: &Connection) -> Vec<u8> {
        let ids = "SELECT id FROM session WHERE parked = 0 ORDER BY id";
        let mut ids = database.prepare(ids).unwrap();
        let ids = ids.query_map([], |row| row::bytes::<16>(row, 0)).unwrap();
        ids.map(|id| id.unwrap()[0]).collect()
    }

    #[test]
    fn of_one_account_one_session_goes_on() {
        let database = in_memory();
        for (byte, who) in [(1, "alice"), (2, "bob"), (3, "alice")] {
            insert(&database, &name(who), &session(byte), 0).unwrap();
        }
        assert_eq!(going_on(&database), [2, 3]);
        park_others(&database, &name("alice"), &[1; 16]).unwrap();
        assert_eq!(going_on(&database), [1, 2]);
        // What is not there, or is somebody else's, parks nobody.
        for foreign in [[9; 16], [2; 16]] {
            park_others(&database, &name("alice"), &foreign).unwrap();
            assert_eq!(going_on(&database), [1, 2]);
        }
        assert_eq!(devices(&database, "alice"), [1, 3]);
    }

    #[test]
    fn a_device_is_revoked_by_its_owner_only() {
        let database = in_memory();
        insert(&database, &name("alice"), &session(1), 0).unwrap();
        let revoke = |who, byte| match revoke(&database, &name(who), SignPublic([byte; 32])) {
            Ok(Outcome::Revoked(session)) => session,
            other => panic!("{other:?}"),
        };
        assert_eq!(revoke("bob", 1), None);
        assert_eq!(revoke("alice", 1), Some([1; 16]));
        assert_eq!(revoke("alice", 1), None);
        assert_eq!(devices(&database, "alice"), [0; 0]);
    }

    #[test]
    fn the_day_and_no_more_is_remembered_of_when_a_device_was_seen() {
        let database = in_memory();
        insert(&database, &name("alice"), &session(1), DAY + 5).unwrap();
        let seen = || match list(&database, &name("alice")).unwrap() {
            Outcome::Devices(devices) => (devices[0].created, devices[0].seen),
            other => panic!("{other:?}"),
        };
        assert_eq!(seen(), (86_405, 86_400));
        for (now, expected) in [(2 * DAY + 7, 2 * 86_400), (DAY, 2 * 86_400)] {
            see(&database, &[1; 16], now).unwrap();
            assert_eq!(seen(), (86_405, expected));
        }
    }

    #[test]
    fn the_session_that_was_not_seen_for_longest_makes_room() {
        let database = in_memory();
        let most = u8::try_from(SESSIONS_MAX).unwrap();
        for byte in 0..=most {
            insert(&database, &name("alice"), &session(byte), i64::from(byte) * DAY).unwrap();
        }
        assert_eq!(devices(&database, "alice"), (1..=most).collect::<Vec<_>>());
    }
}
