//! Who has said what about whom, and the notes that tell them.

use hither_proto::{
    directory::{Consent, Consents, Outcome},
    limits::PENDING_NOTES_MAX,
    name::Name,
    note::NoteKind,
    wire::server::Withdrawal,
};
use rusqlite::{Connection, OptionalExtension, Result, params};

use super::{administration, revision, row};

pub(super) fn send_note(
    database: &Connection,
    from: &Name,
    to: &Name,
    kind: NoteKind,
    sealed: &[u8],
    now: i64,
) -> Result<Outcome> {
    if !administration::exists(database, from)? {
        // The account was deleted when this was under way, and a name that is nobody's says nothing.
        return Ok(Outcome::NoteSent { number: None, consents: consents(database, from, to)? });
    }
    let theirs = consent(database, to, from)?;
    let answers = matches!(theirs, Some(Consent::Requested | Consent::Accepted));
    let mine = match kind {
        NoteKind::Request if !answers => Consent::Requested,
        NoteKind::Request | NoteKind::Accept => Consent::Accepted,
    };
    // Said in any case: the sender can count what it has room for, and must not learn from it whether
    // there is somebody who takes the note.
    set_consent(database, from, to, mine)?;
    if theirs == Some(Consent::Blocked) || !takes_notes(database, to, from)? {
        return Ok(Outcome::NoteSent { number: None, consents: consents(database, from, to)? });
    }
    if answers {
        set_consent(database, to, from, Consent::Accepted)?;
    }
    // A later note of the same sender replaces the earlier one, under a number of its own: whoever takes
    // the earlier one does not take this.
    forget_notes(database, to, from)?;
    let mut insert = database.prepare_cached(
        "INSERT INTO note (name, sender, kind, sealed, created) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    let kind = row::note_kind_column(kind);
    let number = insert.insert(params![to.as_str(), from.as_str(), kind, sealed, now])?;
    let number = u64::try_from(number).ok();
    Ok(Outcome::NoteSent { number, consents: consents(database, from, to)? })
}

pub(super) fn take_note(database: &Connection, name: &Name, note: u64) -> Result<Outcome> {
    // Numbers beyond SQLite's were never given out.
    if let Ok(note) = i64::try_from(note) {
        database
            .prepare_cached("DELETE FROM note WHERE number = ?1 AND name = ?2")?
            .execute(params![note, name.as_str()])?;
    }
    Ok(Outcome::Done)
}

pub(super) fn withdraw(
    database: &Connection,
    name: &Name,
    from: &Name,
    how: Withdrawal,
) -> Result<Outcome> {
    match how {
        // As for a note: of whoever was deleted meanwhile, nothing is written down.
        _ if !administration::exists(database, name)? => {}
        Withdrawal::Reject => {
            // An acceptance that was under way is taken back by what was said after it.
            delete_consent(database, name, from, Some(Consent::Accepted))?;
            decline(database, from, name)?;
            forget_notes(database, name, from)?;
        }
        Withdrawal::Block => {
            set_consent(database, name, from, Consent::Blocked)?;
            forget_notes(database, name, from)?;
        }
        Withdrawal::Unblock => delete_consent(database, name, from, Some(Consent::Blocked))?,
        Withdrawal::Remove => {
            delete_consent(database, name, from, None)?;
            decline(database, from, name)?;
            forget_notes(database, name, from)?;
            forget_notes(database, from, name)?;
        }
    }
    consents(database, name, from).map(Outcome::Withdrawn)
}

/// What `name` and `other` have said about each other.
fn consents(database: &Connection, name: &Name, other: &Name) -> Result<Consents> {
    let mine = consent(database, name, other)?;
    let theirs = consent(database, other, name)?;
    Ok(Consents { mine, theirs, revision: revision(database) })
}

/// What `name` has said about `other`.
fn consent(database: &Connection, name: &Name, other: &Name) -> Result<Option<Consent>> {
    let mut found =
        database.prepare_cached("SELECT state FROM consent WHERE name = ?1 AND other = ?2")?;
    found.query_row([name.as_str(), other.as_str()], |row| row::consent(row, 0)).optional()
}

fn set_consent(database: &Connection, name: &Name, other: &Name, state: Consent) -> Result<()> {
    let state = row::consent_column(state);
    database
        .prepare_cached(
            "INSERT INTO consent VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET state = excluded.state",
        )?
        .execute([name.as_str(), other.as_str(), state])?;
    Ok(())
}

/// Makes a request of `name` to `other` one that was not accepted.
fn decline(database: &Connection, name: &Name, other: &Name) -> Result<()> {
    if consent(database, name, other)? == Some(Consent::Requested) {
        set_consent(database, name, other, Consent::Declined)?;
    }
    Ok(())
}

/// Deletes what `name` has said about `other`, or only if it was `state`.
fn delete_consent(
    database: &Connection,
    name: &Name,
    other: &Name,
    state: Option<Consent>,
) -> Result<()> {
    database
        .prepare_cached(
            "DELETE FROM consent WHERE name = ?1 AND other = ?2 AND state = ifnull(?3, state)",
        )?
        .execute(params![name.as_str(), other.as_str(), state.map(row::consent_column)])?;
    Ok(())
}

/// Whether there is somebody called `name` with room for a note from `sender`.
fn takes_notes(database: &Connection, name: &Name, sender: &Name) -> Result<bool> {
    let mut found = database.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM account WHERE name = ?1),
            (SELECT count(*) FROM note WHERE name = ?1 AND sender != ?2)",
    )?;
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row::number(row, 1)?));
    let (exists, others): (bool, u64) = found.query_row([name.as_str(), sender.as_str()], read)?;
    Ok(exists && others < PENDING_NOTES_MAX as u64)
}

/// Deletes the notes of `sender` that wait for `name`.
fn forget_notes(database: &Connection, name: &Name, sender: &Name) -> Result<()> {
    database
        .prepare_cached("DELETE FROM note WHERE name = ?1 AND sender = ?2")?
        .execute([name.as_str(), sender.as_str()])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{super::schema::in_memory, *};

    use Consent::{Accepted, Blocked, Declined, Requested};

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    /// A database in which alice, bob and carol have accounts.
    fn people() -> Connection {
        let database = in_memory();
        for text in ["alice", "bob", "carol"] {
            come(&database, text);
        }
        database
    }

    fn come(database: &Connection, text: &str) {
        let insert = "INSERT INTO account VALUES (NULL, ?1, x'00', x'00', x'00', 0, NULL, x'00')";
        database.execute(insert, [text]).unwrap();
    }

    /// Sends a note and says what its sender and its addressee have now said, and whether it is stored.
    fn send(
        database: &Connection,
        [from, to]: [&str; 2],
        kind: NoteKind,
    ) -> (Option<Consent>, Option<Consent>, bool) {
        let sent = send_note(database, &name(from), &name(to), kind, b"sealed", 0).unwrap();
        let Outcome::NoteSent { number, consents } = sent else { panic!("{sent:?}") };
        let Consents { mine, theirs, .. } = consents;
        assert_eq!((said(database, from, to), said(database, to, from)), (mine, theirs));
        (mine, theirs, number.is_some())
    }

    fn said(database: &Connection, from: &str, of: &str) -> Option<Consent> {
        consent(database, &name(from), &name(of)).unwrap()
    }

    fn say(database: &Connection, from: &str, of: &str, what: Option<Consent>) {
        match what {
            Some(what) => set_consent(database, &name(from), &name(of), what).unwrap(),
            None => delete_consent(database, &name(from), &name(of), None).unwrap(),
        }
    }

    fn notes(database: &Connection, of: &str) -> Vec<(u64, String)> {
        let mut found = database
            .prepare("SELECT number, sender FROM note WHERE name = ?1 ORDER BY number")
            .unwrap();
        let rows = found.query_map([of], |row| Ok((row::number(row, 0)?, row.get(1)?))).unwrap();
        rows.map(Result::unwrap).collect()
    }

    fn withdraws(database: &Connection, who: &str, from: &str, how: Withdrawal) {
        let done = withdraw(database, &name(who), &name(from), how).unwrap();
        let Outcome::Withdrawn(Consents { mine, theirs, .. }) = done else { panic!("{done:?}") };
        assert_eq!((mine, theirs), (said(database, who, from), said(database, from, who)));
    }

    #[test]
    fn a_note_says_what_its_kind_says() {
        use NoteKind::{Accept, Request};
        // What alice and bob have said, what alice sends, and what they have said then.
        let table = [
            (None, None, Request, Some(Requested), None),
            (Some(Declined), None, Request, Some(Requested), None),
            (None, Some(Declined), Request, Some(Requested), Some(Declined)),
            (None, Some(Declined), Accept, Some(Accepted), Some(Declined)),
            (None, Some(Requested), Request, Some(Accepted), Some(Accepted)),
            (None, Some(Accepted), Request, Some(Accepted), Some(Accepted)),
            (Some(Blocked), None, Request, Some(Requested), None),
            (Some(Accepted), Some(Accepted), Request, Some(Accepted), Some(Accepted)),
            (None, None, Accept, Some(Accepted), None),
            (None, Some(Requested), Accept, Some(Accepted), Some(Accepted)),
            (Some(Requested), Some(Accepted), Accept, Some(Accepted), Some(Accepted)),
        ];
        for (mine, theirs, kind, mine_then, theirs_then) in table {
            let database = people();
            say(&database, "alice", "bob", mine);
            say(&database, "bob", "alice", theirs);
            let sent = send(&database, ["alice", "bob"], kind);
            assert_eq!(sent, (mine_then, theirs_then, true), "{mine:?} {theirs:?} {kind:?}");
            assert_eq!(notes(&database, "bob").len(), 1);
        }
    }

    #[test]
    fn who_is_unknown_or_has_blocked_the_sender_gets_nothing_and_the_sender_cannot_tell() {
        for (kind, said) in [(NoteKind::Request, Requested), (NoteKind::Accept, Accepted)] {
            for before in [None, Some(Requested), Some(Accepted), Some(Declined)] {
                let database = people();
                say(&database, "bob", "alice", Some(Blocked));
                for other in ["bob", "carol", "nobody"] {
                    say(&database, "alice", other, before);
                }
                let to_bob = send(&database, ["alice", "bob"], kind);
                assert_eq!(to_bob, (Some(said), Some(Blocked), false));
                let to_nobody = send(&database, ["alice", "nobody"], kind);
                assert_eq!(to_nobody, (Some(said), None, false));
                let to_carol = send(&database, ["alice", "carol"], kind);
                assert_eq!(to_carol, (Some(said), None, true));
                assert_eq!(notes(&database, "bob"), []);
                assert_eq!(notes(&database, "nobody"), []);
            }
        }
    }

    #[test]
    fn a_person_has_room_for_so_many_notes_one_from_each_sender() {
        let database = people();
        for i in 0..PENDING_NOTES_MAX {
            let sender = format!("sender-{i}");
            come(&database, &sender);
            assert!(send(&database, [&sender, "bob"], NoteKind::Request).2);
        }
        let one_too_many = send(&database, ["alice", "bob"], NoteKind::Request);
        assert_eq!(one_too_many, (Some(Requested), None, false));
        assert!(send(&database, ["sender-3", "bob"], NoteKind::Request).2, "it replaces its own");
        assert_eq!(notes(&database, "bob").len(), PENDING_NOTES_MAX);
        assert!(send(&database, ["alice", "carol"], NoteKind::Request).2, "others have room");
        let (first, _) = notes(&database, "bob")[0];
        take_note(&database, &name("bob"), first).unwrap();
        assert!(send(&database, ["alice", "bob"], NoteKind::Request).2);
    }

    #[test]
    fn what_was_under_way_when_its_sender_was_deleted_leaves_nothing() {
        use NoteKind::{Accept, Request};
        let database = people();
        say(&database, "bob", "alice", Some(Accepted));
        administration::bury(&database, &name("alice"), 0).unwrap().unwrap();
        for (to, kind) in
            [("bob", Request), ("bob", Accept), ("carol", Request), ("nobody", Accept)]
        {
            assert!(!send(&database, ["alice", to], kind).2);
        }
        for how in [Withdrawal::Block, Withdrawal::Reject, Withdrawal::Unblock, Withdrawal::Remove]
        {
            withdraws(&database, "alice", "bob", how);
        }
        let rows = |what: &str| {
            let rows = format!("SELECT count(*) FROM {what}");
            database.query_row(&rows, [], |row| row::number(row, 0))
        };
        assert_eq!(rows("consent WHERE name = 'alice'"), Ok(0));
        assert_eq!(rows("note"), Ok(0));
        assert_eq!(said(&database, "bob", "alice"), Some(Accepted), "what bob has said is his");
    }

    #[test]
    fn a_later_note_has_a_number_of_its_own() {
        let database = people();
        send(&database, ["alice", "bob"], NoteKind::Request);
        let first = notes(&database, "bob")[0].0;
        send(&database, ["alice", "bob"], NoteKind::Accept);
        take_note(&database, &name("bob"), first).unwrap();
        let left = notes(&database, "bob");
        assert!(left.len() == 1 && left[0].0 > first, "{left:?}");
    }

    #[test]
    fn a_note_is_taken_by_its_addressee_only() {
        let database = people();
        send(&database, ["alice", "bob"], NoteKind::Request);
        let number = notes(&database, "bob")[0].0;
        for (who, note) in [("carol", number), ("alice", number), ("bob", u64::MAX)] {
            assert!(matches!(take_note(&database, &name(who), note).unwrap(), Outcome::Done));
            assert_eq!(notes(&database, "bob").len(), 1);
        }
        for _ in 0..2 {
            assert!(matches!(take_note(&database, &name("bob"), number).unwrap(), Outcome::Done));
            assert_eq!(notes(&database, "bob"), []);
        }
    }

    #[test]
    fn rejecting_ends_a_request_and_the_acceptance_just_before_it() {
        let database = people();
        send(&database, ["alice", "bob"], NoteKind::Request);
        withdraws(&database, "bob", "alice", Withdrawal::Reject);
        assert_eq!(said(&database, "alice", "bob"), Some(Declined), "it takes room as before");
        assert_eq!(notes(&database, "bob"), []);

        say(&database, "alice", "bob", Some(Accepted));
        say(&database, "bob", "alice", Some(Accepted));
        withdraws(&database, "bob", "alice", Withdrawal::Reject);
        assert_eq!(said(&database, "alice", "bob"), Some(Accepted));
        assert_eq!(said(&database, "bob", "alice"), None);
    }

    #[test]
    fn blocking_lasts_until_unblocking() {
        let database = people();
        send(&database, ["alice", "bob"], NoteKind::Request);
        withdraws(&database, "bob", "alice", Withdrawal::Block);
        assert_eq!(said(&database, "bob", "alice"), Some(Blocked));
        assert_eq!(said(&database, "alice", "bob"), Some(Requested), "alice is not told");
        assert_eq!(notes(&database, "bob"), []);
        withdraws(&database, "bob", "alice", Withdrawal::Unblock);
        assert_eq!(said(&database, "bob", "alice"), None);
        say(&database, "bob", "alice", Some(Accepted));
        withdraws(&database, "bob", "alice", Withdrawal::Unblock);
        assert_eq!(said(&database, "bob", "alice"), Some(Accepted), "there was no block to end");
    }

    #[test]
    fn removing_leaves_nothing_between_the_two_but_what_the_other_said() {
        let database = people();
        send(&database, ["alice", "bob"], NoteKind::Request);
        send(&database, ["bob", "alice"], NoteKind::Accept);
        send(&database, ["carol", "bob"], NoteKind::Request);
        withdraws(&database, "bob", "alice", Withdrawal::Remove);
        assert_eq!(said(&database, "bob", "alice"), None);
        assert_eq!(said(&database, "alice", "bob"), Some(Accepted));
        assert_eq!(notes(&database, "alice"), []);
        assert_eq!(notes(&database, "bob").len(), 1, "carol's stays");

        send(&database, ["carol", "alice"], NoteKind::Request);
        withdraws(&database, "alice", "carol", Withdrawal::Remove);
        assert_eq!(said(&database, "carol", "alice"), Some(Declined), "the request is over");
        assert_eq!(said(&database, "carol", "bob"), Some(Requested));
    }
}
