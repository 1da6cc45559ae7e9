//! How the protocol's values stand in columns.

use hither_proto::{
    crypto::sign::SignPublic, directory::Consent, identity::Entry, name::Name, note::NoteKind, wire,
};
use rusqlite::{
    Error, Result, Row,
    types::{Type, ValueRef},
};

/// A column that holds no such value: somebody else has written to the database, or it is damaged.
#[derive(Debug, thiserror::Error)]
#[error("not what should stand there")]
struct Unexpected;

pub(super) fn name(row: &Row<'_>, at: usize) -> Result<Name> {
    row.get_ref(at)?.as_str()?.parse().map_err(|_| unexpected(at, Type::Text))
}

pub(super) fn entry(row: &Row<'_>, at: usize) -> Result<Entry> {
    wire::decode(row.get_ref(at)?.as_blob()?).map_err(|_| unexpected(at, Type::Blob))
}

pub(super) fn device(row: &Row<'_>, at: usize) -> Result<SignPublic> {
    bytes(row, at).map(SignPublic)
}

pub(super) fn bytes<const N: usize>(row: &Row<'_>, at: usize) -> Result<[u8; N]> {
    row.get_ref(at)?.as_blob()?.try_into().map_err(|_| unexpected(at, Type::Blob))
}

pub(super) fn bytes_if_any<const N: usize>(row: &Row<'_>, at: usize) -> Result<Option<[u8; N]>> {
    match row.get_ref(at)? {
        ValueRef::Null => Ok(None),
        _ => bytes(row, at).map(Some),
    }
}

/// A count or a number that was given out, neither of which SQLite makes negative.
pub(super) fn number(row: &Row<'_>, at: usize) -> Result<u64> {
    u64::try_from(row.get_ref(at)?.as_i64()?).map_err(|_| unexpected(at, Type::Integer))
}

pub(super) fn consent(row: &Row<'_>, at: usize) -> Result<Consent> {
    match row.get_ref(at)?.as_str()? {
        "accepted" => Ok(Consent::Accepted),
        "blocked" => Ok(Consent::Blocked),
        "declined" => Ok(Consent::Declined),
        "requested" => Ok(Consent::Requested),
        _ => Err(unexpected(at, Type::Text)),
    }
}

pub(super) fn consent_if_any(row: &Row<'_>, at: usize) -> Result<Option<Consent>> {
    match row.get_ref(at)? {
        ValueRef::Null => Ok(None),
        _ => consent(row, at).map(Some),
    }
}

pub(super) const fn consent_column(consent: Consent) -> &'static str {
    match consent {
        Consent::Accepted => "accepted",
        Consent::Blocked => "blocked",
        Consent::Declined => "declined",
        Consent::Requested => "requested",
    }
}

pub(super) fn note_kind(row: &Row<'_>, at: usize) -> Result<NoteKind> {
    match row.get_ref(at)?.as_str()? {
        "request" => Ok(NoteKind::Request),
        "accept" => Ok(NoteKind::Accept),
        _ => Err(unexpected(at, Type::Text)),
    }
}

pub(super) const fn note_kind_column(kind: NoteKind) -> &'static str {
    match kind {
        NoteKind::Request => "request",
        NoteKind::Accept => "accept",
    }
}

fn unexpected(at: usize, is: Type) -> Error {
    Error::FromSqlConversionFailure(at, is, Box::new(Unexpected))
}
