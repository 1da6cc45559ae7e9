//! Invites: permissions to register, of which only hashes are kept.

use hither_proto::crypto::{derive::hash, label::Label};
use rusqlite::{Connection, OptionalExtension, Result, params};

use super::{Storage, Unavailable, row};
use crate::{
    administration::{Invite, InviteState},
    clock::{rfc3339, unix_seconds},
};

/// An invite that may be spent in the transaction it was found in.
pub(super) struct Open(i64);

impl Storage {
    /// Keeps a new invite that is good for `uses` accounts, and says its number.
    pub(crate) async fn add_invite(
        &self,
        code: &str,
        uses: u32,
        expires: Option<i64>,
    ) -> core::result::Result<u32, Unavailable> {
        let (hash, now) = (hash_of(code), unix_seconds());
        self.run(move |database| {
            let mut insert = database.prepare_cached(
                "INSERT INTO invite (hash, created, expires, uses, used, revoked)
                 VALUES (?1, ?2, ?3, ?4, 0, 0) RETURNING id",
            )?;
            insert.query_row(params![hash, now, expires, uses], |row| row.get(0))
        })
        .await
    }

    /// Every invite there has been, oldest first.
    pub(crate) async fn invites(&self) -> core::result::Result<Vec<Invite>, Unavailable> {
        let now = unix_seconds();
        self.run(move |database| list(database, now)).await
    }

    /// Ends an invite. Says whether there is such a one.
    pub(crate) async fn revoke_invite(&self, id: u32) -> core::result::Result<bool, Unavailable> {
        self.run(move |database| {
            let revoke = "UPDATE invite SET revoked = 1 WHERE id = ?1";
            Ok(database.prepare_cached(revoke)?.execute([id])? > 0)
        })
        .await
    }
}

/// The invite with this code, if it is good for one more account.
pub(super) fn find(database: &Connection, code: &str, now: i64) -> Result<Option<Open>> {
    let mut found = database.prepare_cached(
        "SELECT id FROM invite
         WHERE hash = ?1 AND revoked = 0 AND used < uses AND ifnull(expires > ?2, 1)",
    )?;
    found.query_row(params![hash_of(code), now], |row| row.get(0).map(Open)).optional()
}

/// Spends one of its uses.
pub(super) fn spend(database: &Connection, invite: Open) -> Result<()> {
    let spend = "UPDATE invite SET used = used + 1 WHERE id = ?1";
    database.prepare_cached(spend)?.execute([invite.0])?;
    Ok(())
}

fn list(database: &Connection, now: i64) -> Result<Vec<Invite>> {
    let invites = "SELECT id, created, expires, uses, used, revoked FROM invite ORDER BY id";
    let mut invites = database.prepare_cached(invites)?;
    let invites = invites.query_map([], |row| {
        let expires: Option<i64> = row.get(2)?;
        let (uses, used) = (row::number(row, 3)?, row::number(row, 4)?);
        let state = if row.get(5)? {
            InviteState::Revoked
        } else if used >= uses {
            InviteState::Spent
        } else if expires.is_some_and(|expires| expires <= now) {
            InviteState::Expired
        } else {
            InviteState::Open
        };
        let created = rfc3339(row.get(1)?);
        Ok(Invite { id: row.get(0)?, state, uses, used, created, expires: expires.map(rfc3339) })
    })?;
    invites.collect()
}

/// Codes are drawn from so many that a hash without salt or stretching gives none of them away.
fn hash_of(code: &str) -> [u8; 32] {
    hash(&[Label::Invite.as_bytes(), code.to_ascii_uppercase().as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::{super::schema::in_memory, *};

    const NOW: i64 = 1_000;

    fn add(database: &Connection, code: &str, uses: u32, expires: Option<i64>) {
        let add = "INSERT INTO invite (hash, created, expires, uses, used, revoked)
            VALUES (?1, 0, ?2, ?3, 0, 0)";
        database.execute(add, params![hash_of(code), expires, uses]).unwrap();
    }

    fn states(database: &Connection) -> Vec<(u32, InviteState, u64)> {
        let invites = list(database, NOW).unwrap().into_iter();
        invites.map(|invite| (invite.id, invite.state, invite.used)).collect()
    }

    #[test]
    fn an_invite_is_good_for_so_many_accounts() {
        let database = in_memory();
        add(&database, "ONCE", 1, None);
        add(&database, "TWICE", 2, Some(NOW + 1));
        for (code, times) in [("ONCE", 1), ("TWICE", 2), ("NEVER", 0)] {
            for _ in 0..times {
                let invite = find(&database, &code.to_lowercase(), NOW).unwrap().unwrap();
                spend(&database, invite).unwrap();
            }
            assert!(find(&database, code, NOW).unwrap().is_none(), "{code}");
        }
        assert_eq!(states(&database), [(1, InviteState::Spent, 1), (2, InviteState::Spent, 2)]);
    }

    #[test]
    fn an_invite_that_has_ended_is_found_no_more() {
        let database = in_memory();
        add(&database, "LATE", 1, Some(NOW));
        add(&database, "REVOKED", 1, None);
        database.execute_batch("UPDATE invite SET revoked = 1 WHERE id = 2").unwrap();
        for code in ["LATE", "REVOKED"] {
            assert!(find(&database, code, NOW).unwrap().is_none(), "{code}");
        }
        assert!(find(&database, "LATE", NOW - 1).unwrap().is_some());
        assert_eq!(states(&database), [(1, InviteState::Expired, 0), (2, InviteState::Revoked, 0)]);
    }

    #[test]
    fn no_code_is_kept() {
        let database = in_memory();
        add(&database, "K7S3QX2M", 1, None);
        let row = "SELECT quote(hash) || created || uses FROM invite";
        let row: String = database.query_row(row, [], |row| row.get(0)).unwrap();
        let hexadecimal = b"K7S3QX2M".map(|byte| format!("{byte:02X}")).concat();
        assert!(!row.contains("K7S3QX2M") && !row.contains(&hexadecimal), "{row}");
    }
}
