//! What must survive a restart: accounts, sessions, consents and notes, in SQLite, on a thread of its own.
//!
//! Requests that wait together become durable together: one transaction, one flush, and only then every
//! answer.

mod accounts;
mod administration;
mod changes;
mod contacts;
mod devices;
mod invites;
mod readers;
mod recovery;
mod reserve;
mod row;
mod schema;

pub(crate) use self::{
    administration::Ended,
    readers::{Known, Readers},
};

use std::{
    fs,
    path::Path,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::Context;
use hither_proto::{
    directory::{Outcome, Revision, Task},
    identity::Entry,
    login::Authenticator,
    name::Name,
    wire::server::{ENVELOPE_BYTES, SessionId},
};
use rusqlite::{Connection, InterruptHandle};
use tokio::sync::{mpsc, oneshot};
use tracing::{error, warn};

use crate::{
    clock::unix_seconds,
    fault::Fault,
    limits::{CHECK_TIMEOUT, COMMIT_PERIOD, STORAGE_BATCH_MAX, STORAGE_QUEUE_MAX, TIGHT_BATCH_MAX},
    metrics::Durations,
};
use changes::{Changed, Changes};
use reserve::{Reserve, Tight};
use schema::Looked;

/// The way to the storage. It ends when the last of these is dropped.
#[derive(Clone)]
pub(crate) struct Storage {
    // Dropped before the thread ends, which is the one to close the file.
    readers: Readers,
    changes: Changes,
    jobs: mpsc::Sender<Job>,
    durations: Arc<Durations>,
    tight: Tight,
}

/// What the file is called that keeps room on the disk.
pub(crate) const RESERVE: &str = "reserve";

/// What the file is called that says that damage was found while the server ran: whoever starts next looks through
/// all of the database before anybody is let in, however long that takes.
pub(crate) const DAMAGED: &str = "damaged";

/// The thread that the storage runs on, and one that looks through what was not seen at the start.
pub(crate) struct StorageThread {
    works: JoinHandle<()>,
    looks: Option<Looks>,
}

/// Somebody who looks through a database while it is worked with.
struct Looks {
    handle: InterruptHandle,
    thread: JoinHandle<()>,
    found: Option<oneshot::Receiver<Fault>>,
}

/// The storage cannot do it now. Nothing was changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Unavailable;

/// What is done in one transaction with others: it gives the answer, which is told once it is true.
#[expect(clippy::type_complexity, reason = "it is the shape of one closure, used here only")]
struct Job {
    work: Box<dyn FnOnce(&Connection) -> rusqlite::Result<Answer> + Send>,
    /// Whether it may wait a little for others to become durable with.
    patient: bool,
}

/// Tells whoever asked.
struct Answer(Box<dyn FnOnce() + Send>);

/// Makes the database of a new server.
pub(crate) fn create(path: &Path) -> Result<(), Fault> {
    schema::create(path)
}

/// Makes sure that the database of a server can be worked with.
pub(crate) fn check(path: &Path) -> Result<(), Fault> {
    schema::open(path, Duration::MAX).map(drop)
}

/// Looks through the database of a server without changing it. Says of which version it is, and which one
/// this program makes of it.
pub(crate) fn examine(path: &Path) -> Result<(i64, i64), Fault> {
    schema::examine(path)
}

/// Copies the database of a server, running or stopped, as it is at one moment.
pub(crate) fn snapshot(path: &Path, to: &Path) -> Result<(), Fault> {
    schema::snapshot(path, to)
}

impl Storage {
    /// Opens the database of a server.
    pub(crate) fn open(path: &Path) -> Result<(Self, StorageThread), Fault> {
        let reserve = Reserve::new(path.with_file_name(RESERVE));
        reserve.look();
        let mark = path.with_file_name(DAMAGED);
        let marked = mark.exists();
        let patience = if marked { Duration::MAX } else { CHECK_TIMEOUT };
        let (database, looked) = schema::open(path, patience)?;
        if marked {
            fs::remove_file(&mark).map_err(|error| Fault::file(&mark, error))?;
        }
        let tight = reserve.tight();
        let looks = match looked {
            Looked::Through => None,
            Looked::InPart => Some(look_further(path)?),
        };
        let (jobs, waiting) = mpsc::channel(STORAGE_QUEUE_MAX);
        let thread = thread::Builder::new().name("storage".to_owned());
        let works = thread.spawn(move || work(database, &reserve, waiting));
        let thread = StorageThread { works: works.context("starting a thread")?, looks };
        let durations: Arc<Durations> = Arc::default();
        let readers = Readers::of(path.to_owned(), Arc::clone(&durations));
        Ok((Self { readers, changes: Changes::new(), jobs, durations, tight }, thread))
    }

    /// Whether the database can be read.
    pub(crate) async fn responds(&self) -> Result<(), Unavailable> {
        self.run(|database| database.query_row("PRAGMA user_version", [], |_| Ok(()))).await
    }

    /// How many requests wait.
    pub(crate) fn waiting(&self) -> usize {
        self.jobs.max_capacity() - self.jobs.capacity()
    }

    /// How long requests have taken, waiting included.
    pub(crate) fn durations(&self) -> &Durations {
        &self.durations
    }

    /// For whoever may be held up by the disk.
    pub(crate) const fn readers(&self) -> &Readers {
        &self.readers
    }

    /// The key of `name`'s vault, sealed under what was proven, unless that is still the first password.
    pub(crate) async fn envelope(
        &self,
        by: Authenticator,
        name: Name,
    ) -> Result<Option<[u8; ENVELOPE_BYTES]>, Unavailable> {
        self.run(move |database| match by {
            Authenticator::Password => accounts::envelope(database, &name),
            Authenticator::RecoveryCode => recovery::envelope(database, &name),
        })
        .await
    }

    /// The directory entry of `name`, if somebody has it.
    pub(crate) async fn entry(&self, name: Name) -> Result<Option<Entry>, Unavailable> {
        self.run(move |database| accounts::entry(database, &name)).await
    }

    /// Performs a task that is about what is stored.
    pub(crate) async fn perform(&self, task: Task) -> Outcome {
        if let Task::Recheck { name, since, .. } = &task
            && self.changes.none_since(name, *since)
        {
            return Outcome::Unchanged;
        }
        let (now, tight, changes) = (unix_seconds(), self.tight.clone(), self.changes.clone());
        let changed = Changed::by(&task);
        let patient = matches!(task, Task::OpenSession { .. } | Task::ReturnSession { .. });
        let resumed = match &task {
            Task::ResumeSession { session, .. } => Some(*session),
            _ => None,
        };
        let grows = matches!(
            task,
            Task::CreateAccount { .. }
                | Task::PutVault { .. }
                | Task::SendNote { .. }
                | Task::SetRecovery { code: Some(_), .. }
        );
        let performed = self.ask(patient, move |database| {
            // What room there is belongs to those who have an account, and need none for a login.
            if grows && tight.is_so() {
                return Ok(Outcome::Unavailable);
            }
            let outcome = perform(database, task, now)?;
            changes.note(&changed, revision(database));
            Ok(outcome)
        });
        let performed = performed.await;
        if let (Some(session), Ok(Outcome::Opened(_))) = (resumed, &performed) {
            self.see(session, now);
        }
        performed.unwrap_or(Outcome::Unavailable)
    }

    /// Remembers the day on which a session was seen, beside what it goes on with: a disk that does not take
    /// this keeps nobody out.
    fn see(&self, session: SessionId, now: i64) {
        let work = move |database: &Connection| {
            devices::see(database, &session, now)?;
            Ok(Answer(Box::new(|| ())))
        };
        let job = Job { work: Box::new(work), patient: true };
        // A day later it is remembered, if not today.
        let _ = self.jobs.try_send(job);
    }

    async fn run<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Unavailable> {
        self.ask(false, ask).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        patient: bool,
        ask: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Unavailable> {
        let asked = Instant::now();
        let (tell, told) = oneshot::channel();
        let work = move |database: &Connection| {
            let answer = ask(database)?;
            // Whoever asked may be gone; what they asked for was done all the same.
            Ok(Answer(Box::new(move || drop(tell.send(answer)))))
        };
        let job = Job { work: Box::new(work), patient };
        self.jobs.send(job).await.map_err(|_| Unavailable)?;
        // An answer that is not told is one that did not become true.
        let answer = told.await.map_err(|_| Unavailable);
        self.durations.add(asked.elapsed());
        answer
    }
}

impl StorageThread {
    /// Waits until the database turns out to be damaged, which may be never. To be asked once.
    pub(crate) fn damaged(&mut self) -> impl Future<Output = Fault> + use<> {
        let found = self.looks.as_mut().and_then(|looks| looks.found.take());
        async {
            match found {
                Some(found) => match found.await {
                    Ok(fault) => fault,
                    Err(_) => std::future::pending().await,
                },
                None => std::future::pending().await,
            }
        }
    }

    /// As if the database were too large to be looked through at the start.
    #[cfg(test)]
    pub(crate) fn looks_further(&mut self, path: &Path) {
        self.looks = Some(look_further(path).unwrap());
    }

    /// Waits until everything asked for is done and the database is closed.
    pub(crate) fn join(self) {
        let looked = self.looks.map(|looks| {
            looks.handle.interrupt();
            looks.thread.join()
        });
        if self.works.join().is_err() || looked.is_some_and(|looked| looked.is_err()) {
            error!("the storage ended by a bug");
        }
    }
}

/// Looks through a database that is too large for that at the start, while it is worked with. A server whose database
/// turns out to be damaged ends, as it would have at the start: what it wrote meanwhile would be lost with the rest.
fn look_further(path: &Path) -> Result<Looks, Fault> {
    let database = schema::look(path).context("opening the database")?;
    let handle = database.get_interrupt_handle();
    let path = path.to_owned();
    let (tell, found) = oneshot::channel();
    let look = move || {
        if let Err(fault) = schema::look_through(&database, &path) {
            error!("{fault}");
            if matches!(fault, Fault::DamagedDatabase(_)) {
                // Without the mark the next start looks for a second, and finds it again later.
                let _ = fs::write(path.with_file_name(DAMAGED), b"");
                let _ = tell.send(fault);
            }
        }
    };
    let thread = thread::Builder::new().name("look".to_owned()).spawn(look);
    Ok(Looks { handle, thread: thread.context("starting a thread")?, found: Some(found) })
}

/// Performs what [`Storage::perform`] is for; the other tasks are not about what is stored.
fn perform(database: &Connection, task: Task, now: i64) -> rusqlite::Result<Outcome> {
    match task {
        Task::ChangePassword { by, name, proven, password, session } => match by {
            Authenticator::Password => {
                accounts::change_password(database, &name, &proven, &password, &session, now)
            }
            Authenticator::RecoveryCode => {
                recovery::recover(database, &name, &proven, &password, &session, now)
            }
        },
        Task::CreateAccount { account, session } => {
            accounts::create(database, &account, &session, now)
        }
        Task::DeleteAccount { name, proven } => accounts::delete(database, &name, &proven, now),
        Task::EndSession { session } => accounts::end_session(database, &session),
        Task::FindSession { session } => accounts::find_session(database, &session),
        Task::ListDevices { name } => devices::list(database, &name),
        Task::RevokeDevice { name, device } => devices::revoke(database, &name, device),
        Task::ReturnSession { name, session } => {
            accounts::resume_session(database, &name, &session, true)
        }
        Task::OpenSession { name, proven, session } => {
            accounts::open_session(database, &name, &proven, &session, now)
        }
        Task::PutVault { name, vault } => accounts::put_vault(database, &name, &vault),
        Task::Recheck { name, session, .. } | Task::ResumeSession { name, session } => {
            accounts::resume_session(database, &name, &session, false)
        }
        Task::SetRecovery { name, proven, code } => {
            recovery::set(database, &name, &proven, code.as_deref(), now)
        }
        Task::SendNote { from, to, kind, note } => {
            contacts::send_note(database, &from, &to, kind, &note, now)
        }
        Task::TakeNote { name, note } => contacts::take_note(database, &name, note),
        Task::Withdraw { name, from, how } => contacts::withdraw(database, &name, &from, how),
        Task::AnswerProof { .. }
        | Task::AnswerRegistration { .. }
        | Task::Lookup { .. }
        | Task::StartLogin { .. } => Ok(Outcome::Unavailable),
    }
}

/// How far the database has come. SQLite counts the rows that have changed since the connection was opened,
/// and this connection is the only one that changes any while the server runs. Two tasks with the same
/// count found the same.
fn revision(database: &Connection) -> Revision {
    Revision(database.total_changes())
}

fn work(database: Connection, reserve: &Reserve, mut waiting: mpsc::Receiver<Job>) {
    let tight = reserve.tight();
    let mut last: Option<Instant> = None;
    while let Some(first) = waiting.blocking_recv() {
        reserve.look();
        let jobs_max = if tight.is_so() { TIGHT_BATCH_MAX } else { STORAGE_BATCH_MAX };
        let mut jobs = vec![first];
        let mut gather = |jobs: &mut Vec<Job>| {
            while jobs.len() < jobs_max
                && let Ok(job) = waiting.try_recv()
            {
                jobs.push(job);
            }
        };
        gather(&mut jobs);
        let due = last.map_or(Duration::ZERO, |last| COMMIT_PERIOD.saturating_sub(last.elapsed()));
        if !due.is_zero() && jobs.iter().all(|job| job.patient) {
            thread::sleep(due);
            gather(&mut jobs);
        }
        last = Some(Instant::now());
        match commit(&database, jobs) {
            Ok(answers) => answers.into_iter().for_each(|answer| answer.0()),
            Err(error) => complain(&error),
        }
        if tight.is_so()
            && let Err(error) = database.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
        {
            complain(&error);
        }
    }
    if let Err((_, error)) = database.close() {
        complain(&error);
    }
}

/// Does all of it or, if the database as a whole does not go along, nothing.
fn commit(database: &Connection, jobs: Vec<Job>) -> rusqlite::Result<Vec<Answer>> {
    let transaction = database.unchecked_transaction()?;
    let mut answers = Vec::with_capacity(jobs.len());
    let alone = jobs.len() == 1;
    let say = |what: &str| database.prepare_cached(what)?.execute([]);
    for job in jobs {
        if alone {
            answers.push((job.work)(&transaction)?);
            break;
        }
        say("SAVEPOINT job")?;
        match (job.work)(&transaction) {
            Ok(answer) => answers.push(answer),
            // One that fails takes nothing back but its own. If even that cannot be done, SQLite has
            // given up the transaction, and with it everything in it.
            Err(error) => {
                complain(&error);
                say("ROLLBACK TO job")?;
            }
        }
        say("RELEASE job")?;
    }
    transaction.commit()?;
    Ok(answers)
}

/// Says that something was not stored. The words are SQLite's, which name tables but no values.
fn complain(error: &rusqlite::Error) {
    use rusqlite::ErrorCode::{
        CannotOpen, DatabaseBusy, DatabaseLocked, DiskFull, PermissionDenied, ReadOnly,
        SystemIoFailure,
    };
    match error.sqlite_error_code() {
        Some(
            CannotOpen | DatabaseBusy | DatabaseLocked | DiskFull | PermissionDenied | ReadOnly
            | SystemIoFailure,
        ) => warn!("nothing can be stored now: {error}"),
        _ => error!("the database does not do what it should: {error}"),
    }
}

/// Spoils the last page of a database.
#[cfg(test)]
pub(crate) fn spoil(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let last = bytes.len() - 4096;
    bytes[last..].fill(0x55);
    fs::write(path, bytes).unwrap();
}

#[cfg(test)]
mod tests {
    use std::{path::PathBuf, sync::mpsc::sync_channel};

    use hither_proto::{directory::Consent, note::NoteKind, wire::server::Withdrawal};

    use super::*;

    /// A database in which alice and bob have accounts.
    fn made() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hitherd.db");
        create(&path).unwrap();
        let database = Connection::open(&path).unwrap();
        for text in ["alice", "bob"] {
            let insert =
                "INSERT INTO account VALUES (NULL, ?1, x'00', x'00', x'00', 0, NULL, x'00')";
            database.execute(insert, [text]).unwrap();
        }
        (folder, path)
    }

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn block(who: &str, whom: &str) -> Task {
        Task::Withdraw { name: name(who), from: name(whom), how: Withdrawal::Block }
    }

    fn consents(path: &Path) -> u64 {
        let database = Connection::open(path).unwrap();
        let count = "SELECT count(*) FROM consent WHERE state = 'blocked'";
        database.query_row(count, [], |row| row::number(row, 0)).unwrap()
    }

    #[tokio::test]
    async fn what_an_answer_says_holds_for_everybody() {
        let (_folder, path) = made();
        let (storage, _thread) = Storage::open(&path).unwrap();
        let tasks = (0..50).map(|i| storage.perform(block("alice", &format!("spammer-{i}"))));
        for (done, task) in tasks.enumerate() {
            assert!(matches!(task.await, Outcome::Withdrawn(_)));
            assert!(consents(&path) > done as u64);
        }
    }

    #[tokio::test]
    async fn what_waits_together_fails_alone() {
        let (_folder, path) = made();
        let (storage, thread) = Storage::open(&path).unwrap();
        let (go, wait) = sync_channel::<()>(0);
        let held = storage.run(move |_| Ok(wait.recv().is_ok()));
        let fails = storage.run(|database| {
            database.execute_batch("INSERT INTO consent VALUES ('x', 'y', 'blocked')")?;
            database.execute_batch("INSERT INTO nowhere VALUES (1)")
        });
        let (before, after) = (block("alice", "bob"), block("alice", "carol"));
        let (held, before, failed, after, ()) = tokio::join!(
            held,
            storage.perform(before),
            fails,
            storage.perform(after),
            async move { drop(go) }
        );
        assert_eq!((held, failed), (Ok(false), Err(Unavailable)));
        assert!(matches!((before, after), (Outcome::Withdrawn(_), Outcome::Withdrawn(_))));
        drop(storage);
        thread.join();
        assert_eq!(consents(&path), 2);
    }

    #[tokio::test]
    async fn a_full_disk_changes_nothing_and_passes() {
        let (_folder, path) = made();
        let (storage, _thread) = Storage::open(&path).unwrap();
        let pages = |count: &'static str| {
            storage.run(move |database| {
                database.execute_batch(&format!("PRAGMA max_page_count = {count}"))
            })
        };
        pages("1").await.unwrap();
        let mut stored = 0;
        let refused = loop {
            match storage.perform(block("alice", &format!("spammer-{stored}"))).await {
                Outcome::Withdrawn(_) => stored += 1,
                refused => break refused,
            }
            assert!(stored < 100_000, "the limit does not hold");
        };
        assert!(matches!(refused, Outcome::Unavailable));
        let accounts = storage.run(|database| {
            database.query_row("SELECT count(*) FROM account", [], |row| row::number(row, 0))
        });
        assert_eq!(accounts.await, Ok(2), "what is there can be read");
        assert_eq!(consents(&path), stored);
        pages("1000000").await.unwrap();
        assert!(matches!(storage.perform(block("alice", "bob")).await, Outcome::Withdrawn(_)));
    }

    #[tokio::test]
    async fn the_database_is_closed_in_order() {
        let (_folder, path) = made();
        let (storage, thread) = Storage::open(&path).unwrap();
        storage.perform(block("alice", "bob")).await;
        drop(storage);
        thread.join();
        assert!(!path.with_extension("db-wal").exists());
        assert_eq!(consents(&path), 1);
    }

    #[tokio::test]
    async fn tasks_arrive_where_they_belong() {
        let (_folder, path) = made();
        let (storage, _thread) = Storage::open(&path).unwrap();
        let kind = NoteKind::Request;
        let note = Task::SendNote { from: name("alice"), to: name("bob"), kind, note: vec![1] };
        let sent = storage.perform(note).await;
        let requested = Some(Consent::Requested);
        assert!(
            matches!(sent, Outcome::NoteSent { number: Some(1), consents } if consents.mine == requested)
        );
        let take = Task::TakeNote { name: name("bob"), note: 1 };
        assert!(matches!(storage.perform(take).await, Outcome::Done));
        let find = Task::FindSession { session: [0; 16] };
        assert!(matches!(storage.perform(find).await, Outcome::Resumable(None)));
    }

    #[tokio::test]
    async fn damage_that_is_found_late_is_told_and_looked_for_at_the_next_start() {
        let (folder, path) = made();
        let (storage, mut thread) = Storage::open(&path).unwrap();
        let whole = fs::read(&path).unwrap();
        spoil(&path);
        thread.looks_further(&path);
        let found = thread.damaged().await;
        assert!(matches!(&found, Fault::DamagedDatabase(at) if *at == path), "{found}");
        drop(storage);
        thread.join();
        let mark = folder.path().join(DAMAGED);
        assert!(mark.exists());
        assert!(matches!(Storage::open(&path), Err(Fault::DamagedDatabase(_))));
        assert!(mark.exists());
        fs::write(&path, whole).unwrap();
        let (storage, thread) = Storage::open(&path).unwrap();
        drop(storage);
        thread.join();
        assert!(!mark.exists(), "what was looked through is whole");
    }
}
