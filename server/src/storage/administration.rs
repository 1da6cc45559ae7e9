//! What an administrator asks of the accounts: lists, and their ends.

use core::result::Result as Answer;

use hither_proto::{
    directory::{Consents, Signal},
    name::Name,
    wire::server::SessionId,
};
use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use super::{Storage, Unavailable, accounts, revision, row};
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
        self.run(move |database| disable(database, &name, now)).await
    }

    /// Whoever has the password logs in again. Says whether there is such an account.
    pub(crate) async fn enable(&self, name: Name) -> Answer<bool, Unavailable> {
        self.run(move |database| enable(database, &name)).await
    }

    /// The account is gone, and its name with it; `None` if there is none.
    pub(crate) async fn delete(&self, name: Name) -> Answer<Option<Ended>, Unavailable> {
        let now = unix_seconds();
        self.run(move |database| delete(database, &name, now)).await
    }
}

pub(super) fn is_disabled(database: &Connection, name: &Name) -> Result<bool> {
    database.prepare_cached("SELECT 1 FROM disabled WHERE name = ?1")?.exists([name.as_str()])
}

fn users(database: &Connection, after: Option<&Name>) -> Result<Vec<User>> {
    let mut users = database.prepare_cached(
        "SELECT name, created, logins, name IN (SELECT name FROM disabled) FROM account
         WHERE name > ?1 ORDER BY name LIMIT ?2",
    )?;
    users
        .query_map(params![after.map_or("", Name::as_str), USERS_PAGE], read_user)?
        .collect::<Result<_>>()
}

fn user(database: &Connection, name: &Name) -> Result<Option<UserDetails>> {
    let found = database
        .prepare_cached(
            "SELECT name, created, logins, name IN (SELECT name FROM disabled),
                    (SELECT count(*) FROM consent WHERE name = ?1 AND state = 'accepted'),
                    (SELECT count(*) FROM note WHERE name = ?1)
             FROM account WHERE name = ?1",
        )?
        .query_row([name.as_str()], |row| {
            Ok((read_user(row)?, row::number(row, 4)?, row::number(row, 5)?))
        })
        .optional()?;
    let Some((user, accepted, notes)) = found else { return Ok(None) };
    let identity = accounts::entry(database, name)?;
    let identity = identity.and_then(|entry| entry.verified(name));
    let sessions = database
        .prepare_cached("SELECT created FROM session WHERE name = ?1 ORDER BY created")?
        .query_map([name.as_str()], |row| row.get(0).map(rfc3339))?
        .collect::<Result<_>>()?;
    let identity = identity.map(|identity| identity.fingerprint_letters());
    Ok(Some(UserDetails { user, identity, accepted, notes, sessions }))
}

fn read_user(row: &Row<'_>) -> Result<User> {
    Ok(User {
        name: row::name(row, 0)?,
        created: rfc3339(row.get(1)?),
        logins: row::number(row, 2)?,
        disabled: row.get(3)?,
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
    let sessions = end_sessions(database, name)?;
    Ok(Some(Ended { sessions, consents: Vec::new() }))
}

fn enable(database: &Connection, name: &Name) -> Result<bool> {
    database.prepare_cached("DELETE FROM disabled WHERE name = ?1")?.execute([name.as_str()])?;
    exists(database, name)
}

fn delete(database: &Connection, name: &Name, now: i64) -> Result<Option<Ended>> {
    let buried = database
        .prepare_cached(
            "INSERT INTO tombstone SELECT name, credential, ?2 FROM account WHERE name = ?1",
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

fn exists(database: &Connection, name: &Name) -> Result<bool> {
    database.prepare_cached("SELECT 1 FROM account WHERE name = ?1")?.exists([name.as_str()])
}

fn end_sessions(database: &Connection, name: &Name) -> Result<Vec<SessionId>> {
    let mut ended = database.prepare_cached("DELETE FROM session WHERE name = ?1 RETURNING id")?;
    ended.query_map([name.as_str()], |row| row::bytes(row, 0))?.collect()
}
