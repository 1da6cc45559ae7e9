//! What is counted for whoever watches the server, in Prometheus' text format. No name and no address is in it.

mod paths;
mod text;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use hither_proto::{
    directory::{Outcome, Signal, Task},
    login::Authenticator,
    wire::server::Nat,
};

use self::paths::Paths;
pub(crate) use self::text::Snapshot;

/// Every count. Each set of labels is closed, so that a stranger cannot make more of them.
pub(crate) struct Metrics {
    started: SystemTime,
    connections: AtomicU64,
    logged_in: AtomicU64,
    handshakes: AtomicU64,
    computing: AtomicU64,
    retries: AtomicU64,
    handshake_outcomes: Counts<Handshake, { Handshake::COUNT }>,
    logins: Counts<Login, { Login::COUNT }>,
    recoveries: Counts<Login, { Login::COUNT }>,
    resumptions: Counts<Resumption, { Resumption::COUNT }>,
    registrations: Counts<Registration, { Registration::COUNT }>,
    introductions: Counts<Introduction, { Introduction::COUNT }>,
    paths: Paths,
    notes: Counts<Note, { Note::COUNT }>,
    limits: Counts<Limit, { Limit::COUNT }>,
}

/// A count for each value of a closed set of labels.
struct Counts<L, const N: usize>([AtomicU64; N], std::marker::PhantomData<fn(L)>);

/// Makes the type of a closed set of labels, in the order in which they are counted.
macro_rules! labels {
    ($(#[$about:meta])* $name:ident { $($(#[$what:meta])* $label:ident = $text:literal),* $(,)? }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub(crate) enum $name { $($(#[$what])* $label),* }

        impl $name {
            const TEXTS: &'static [&'static str] = &[$($text),*];
            const COUNT: usize = Self::TEXTS.len();
        }

        impl From<$name> for usize {
            fn from(label: $name) -> Self {
                label as Self
            }
        }
    };
}

labels! {
    /// How a TLS handshake ended.
    Handshake {
        /// With a connection.
        Completed = "completed",
        /// Without one.
        Failed = "failed",
    }
}

labels! {
    /// How a login with a password ended.
    Login {
        /// The session is open.
        Completed = "completed",
        /// The password was not shown to be right: it was wrong, or the client went away.
        Failed = "failed",
        /// There were too many before.
        Limited = "limited",
        /// No honest client says what was said.
        Malformed = "malformed",
        /// The storage did not answer.
        Unavailable = "unavailable",
    }
}

labels! {
    /// How it ended when a device wanted to continue its session.
    Resumption {
        /// The session goes on.
        Completed = "completed",
        /// There is no such session, or it is not that device's.
        Failed = "failed",
        /// The storage did not answer.
        Unavailable = "unavailable",
    }
}

labels! {
    /// How a registration ended.
    Registration {
        /// There is a new account.
        Completed = "completed",
        /// An invite was missing or not valid.
        BadInvite = "bad_invite",
        /// There were too many before.
        Limited = "limited",
        /// No honest client says what was said.
        Malformed = "malformed",
        /// Somebody has the name.
        NameTaken = "name_taken",
        /// The storage did not answer.
        Unavailable = "unavailable",
    }
}

labels! {
    /// What became of introductions. Those that were asked for and are nothing else ran out of time.
    Introduction {
        /// One was asked of the other's agent.
        Asked = "asked",
        /// The other's agent has answered.
        Answered = "answered",
        /// The other's agent does not want to.
        Declined = "declined",
        /// The other is not there.
        Absent = "absent",
    }
}

labels! {
    /// What became of contact notes.
    Note {
        /// It waits for its addressee.
        Stored = "stored",
        /// There is no such addressee, no room, or no wish for it. The sender is not told which.
        Dropped = "dropped",
    }
}

labels! {
    /// The bound that somebody came up against.
    Limit {
        /// All connections together.
        Connections = "connections",
        /// Logins of an account or an address prefix.
        Logins = "logins",
        /// Registrations of an address prefix.
        Registrations = "registrations",
        /// Signals that wait for one connection.
        Signals = "signals",
    }
}

impl<L: Into<usize>, const N: usize> Counts<L, N> {
    fn new() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)), std::marker::PhantomData)
    }

    fn add(&self, label: L) {
        if let Some(count) = self.0.get(label.into()) {
            count.fetch_add(1, Relaxed);
        }
    }

    fn read(&self) -> [u64; N] {
        self.0.each_ref().map(|count| count.load(Relaxed))
    }
}

impl Metrics {
    /// Nothing has happened yet.
    pub(crate) fn new(started: SystemTime) -> Self {
        Self {
            started,
            connections: AtomicU64::new(0),
            logged_in: AtomicU64::new(0),
            handshakes: AtomicU64::new(0),
            computing: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            handshake_outcomes: Counts::new(),
            logins: Counts::new(),
            recoveries: Counts::new(),
            resumptions: Counts::new(),
            registrations: Counts::new(),
            introductions: Counts::new(),
            paths: Paths::default(),
            notes: Counts::new(),
            limits: Counts::new(),
        }
    }

    fn logins_by(&self, by: Authenticator) -> &Counts<Login, { Login::COUNT }> {
        match by {
            Authenticator::Password => &self.logins,
            Authenticator::RecoveryCode => &self.recoveries,
        }
    }

    /// A caller was asked to prove its address.
    pub(crate) fn retry_sent(&self) {
        self.retries.fetch_add(1, Relaxed);
    }

    /// A TLS handshake begins. Unless it is said to have been completed, it has failed.
    pub(crate) fn handshake(self: &Arc<Self>) -> HandshakeCount {
        self.handshakes.fetch_add(1, Relaxed);
        HandshakeCount { metrics: Arc::clone(self), outcome: Handshake::Failed }
    }

    /// Public-key work waits or is done, for as long as this is kept.
    pub(crate) fn computing(&self) -> impl Drop + use<'_> {
        Held::of(&self.computing)
    }

    /// An introduction has led to a path, or has not.
    pub(crate) fn tried(&self, caller: Nat, callee: Nat, connected: bool) {
        self.paths.add(caller, callee, connected);
    }

    /// Somebody came up against a bound.
    pub(crate) fn limit_hit(&self, limit: Limit) {
        self.limits.add(limit);
    }
}

/// One more, for as long as this is kept.
struct Held<'a>(&'a AtomicU64);

impl<'a> Held<'a> {
    fn of(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, Relaxed);
        Self(count)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// A TLS handshake under way.
pub(crate) struct HandshakeCount {
    metrics: Arc<Metrics>,
    outcome: Handshake,
}

impl HandshakeCount {
    /// There is a connection.
    pub(crate) fn completed(mut self) {
        self.outcome = Handshake::Completed;
    }
}

impl Drop for HandshakeCount {
    fn drop(&mut self) {
        self.metrics.handshakes.fetch_sub(1, Relaxed);
        self.metrics.handshake_outcomes.add(self.outcome);
    }
}

/// What is counted of one connection.
pub(crate) struct Tally {
    metrics: Arc<Metrics>,
    pending: Option<Pending>,
    logged_in: bool,
}

/// What a connection has begun and not brought to an end. If it ends first, that is a failure.
#[derive(Clone, Copy)]
enum Pending {
    Login(Authenticator),
    Resumption,
}

/// A task whose outcome is counted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    AnswerRegistration,
    CreateAccount,
    StartLogin(Authenticator),
    AnswerProof(Authenticator),
    ChangePassword(Authenticator),
    OpenSession,
    FindSession,
    ResumeSession,
    SendNote,
    Other,
}

impl Step {
    /// Which step a task is.
    pub(crate) const fn of(task: &Task) -> Self {
        match task {
            Task::AnswerRegistration { .. } => Self::AnswerRegistration,
            Task::CreateAccount { .. } => Self::CreateAccount,
            Task::StartLogin { by, .. } => Self::StartLogin(*by),
            Task::AnswerProof { by, .. } => Self::AnswerProof(*by),
            Task::ChangePassword { by, .. } => Self::ChangePassword(*by),
            Task::OpenSession { .. } => Self::OpenSession,
            Task::FindSession { .. } => Self::FindSession,
            Task::ResumeSession { .. } => Self::ResumeSession,
            Task::SendNote { .. } => Self::SendNote,
            _ => Self::Other,
        }
    }
}

impl Tally {
    /// A connection begins.
    pub(crate) fn new(metrics: &Arc<Metrics>) -> Self {
        metrics.connections.fetch_add(1, Relaxed);
        Self { metrics: Arc::clone(metrics), pending: None, logged_in: false }
    }

    /// A task has come out so.
    pub(crate) fn performed(&mut self, step: Step, outcome: &Outcome) {
        let metrics = &self.metrics;
        match (step, outcome) {
            (Step::StartLogin(by), Outcome::Login { .. }) => {
                self.pending = Some(Pending::Login(by));
            }
            (Step::StartLogin(by), Outcome::Limited { .. }) => {
                metrics.logins_by(by).add(Login::Limited);
                metrics.limits.add(Limit::Logins);
            }
            (Step::StartLogin(by), Outcome::Malformed) => {
                metrics.logins_by(by).add(Login::Malformed);
            }
            (Step::StartLogin(by), _) => metrics.logins_by(by).add(Login::Unavailable),
            // A password that was proven is one, whatever is done with it; a code is there for one thing.
            (Step::AnswerProof(Authenticator::Password), Outcome::Proven { .. }) => {
                metrics.logins.add(Login::Completed);
                self.pending = None;
            }
            (Step::ChangePassword(by), Outcome::Opened(_)) => {
                if by == Authenticator::RecoveryCode {
                    metrics.recoveries.add(Login::Completed);
                }
                self.opened();
            }
            (Step::OpenSession, Outcome::Opened(_)) => {
                metrics.logins.add(Login::Completed);
                self.opened();
            }
            (Step::OpenSession, _) => {
                metrics.logins.add(Login::Unavailable);
                self.pending = None;
            }
            (Step::FindSession, Outcome::Resumable(Some(_))) => {
                self.pending = Some(Pending::Resumption);
            }
            (Step::FindSession, Outcome::Resumable(None)) => {
                metrics.resumptions.add(Resumption::Failed);
            }
            (Step::FindSession, _) => metrics.resumptions.add(Resumption::Unavailable),
            (Step::ResumeSession, Outcome::Opened(_)) => {
                metrics.resumptions.add(Resumption::Completed);
                self.opened();
            }
            (Step::CreateAccount, Outcome::Opened(_)) => {
                metrics.registrations.add(Registration::Completed);
                self.opened();
            }
            (Step::AnswerRegistration, Outcome::Registration(_)) => {}
            (Step::AnswerRegistration | Step::CreateAccount, outcome) => {
                let (label, limit) = registration(outcome);
                metrics.registrations.add(label);
                limit.into_iter().for_each(|limit| metrics.limits.add(limit));
            }
            (Step::SendNote, Outcome::NoteSent { number, .. }) => {
                let label = if number.is_some() { Note::Stored } else { Note::Dropped };
                metrics.notes.add(label);
            }
            (
                Step::AnswerProof(_)
                | Step::ChangePassword(_)
                | Step::ResumeSession
                | Step::SendNote
                | Step::Other,
                _,
            ) => {}
        }
    }

    /// A signal is on its way.
    pub(crate) fn routes(&self, signal: &Signal) {
        match signal {
            Signal::Ask { .. } => self.metrics.introductions.add(Introduction::Asked),
            Signal::Answer { .. } => self.metrics.introductions.add(Introduction::Answered),
            Signal::Decline { .. } => self.metrics.introductions.add(Introduction::Declined),
            _ => {}
        }
    }

    /// Somebody who was asked for is not there.
    pub(crate) fn found_nobody(&self) {
        self.metrics.introductions.add(Introduction::Absent);
    }

    fn opened(&mut self) {
        self.pending = None;
        if !self.logged_in {
            self.logged_in = true;
            self.metrics.logged_in.fetch_add(1, Relaxed);
        }
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        match self.pending {
            Some(Pending::Login(by)) => self.metrics.logins_by(by).add(Login::Failed),
            Some(Pending::Resumption) => self.metrics.resumptions.add(Resumption::Failed),
            None => {}
        }
        self.metrics.logged_in.fetch_sub(u64::from(self.logged_in), Relaxed);
        self.metrics.connections.fetch_sub(1, Relaxed);
    }
}

const fn registration(outcome: &Outcome) -> (Registration, Option<Limit>) {
    match outcome {
        Outcome::BadInvite => (Registration::BadInvite, None),
        Outcome::Limited { .. } => (Registration::Limited, Some(Limit::Registrations)),
        Outcome::Malformed => (Registration::Malformed, None),
        Outcome::NameTaken => (Registration::NameTaken, None),
        _ => (Registration::Unavailable, None),
    }
}

/// The bounds of the buckets that durations are counted in. A flush of a good disk takes a millisecond, of
/// a bad one a hundred, and what takes longer than a second is felt by people.
const BOUNDS: [Duration; 8] = [
    Duration::from_micros(100),
    Duration::from_micros(500),
    Duration::from_millis(2),
    Duration::from_millis(10),
    Duration::from_millis(50),
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(5),
];

/// How long something took, each time.
#[derive(Default)]
pub(crate) struct Durations {
    /// One for each bound, and one for what took longer than all of them.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
}

impl Durations {
    /// It took so long this time.
    pub(crate) fn add(&self, duration: Duration) {
        let bucket = BOUNDS.partition_point(|bound| *bound < duration);
        if let Some(bucket) = self.buckets.get(bucket) {
            bucket.fetch_add(1, Relaxed);
        }
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_that_comes_to_no_end_has_failed() {
        let metrics = Arc::new(Metrics::new(SystemTime::UNIX_EPOCH));
        for by in [Authenticator::Password, Authenticator::RecoveryCode] {
            for (answered, label) in [(true, Login::Failed), (false, Login::Limited)] {
                let before = metrics.logins_by(by).read();
                let mut tally = Tally::new(&metrics);
                if answered {
                    tally.pending = Some(Pending::Login(by));
                } else {
                    tally.performed(Step::StartLogin(by), &Outcome::Limited { retry_after_ms: 1 });
                }
                drop(tally);
                let mut expected = before;
                expected[usize::from(label)] += 1;
                assert_eq!(metrics.logins_by(by).read(), expected, "{by:?} {label:?}");
            }
        }
        assert_eq!(metrics.limits.read(), [0, 2, 0, 0]);
        assert_eq!(metrics.connections.load(Relaxed), 0);
    }

    #[test]
    fn a_password_that_was_proven_is_a_login_and_a_code_is_none_yet() {
        let metrics = Arc::new(Metrics::new(SystemTime::UNIX_EPOCH));
        for by in [Authenticator::Password, Authenticator::RecoveryCode] {
            let mut tally = Tally::new(&metrics);
            tally.pending = Some(Pending::Login(by));
            let proven = Outcome::Proven { response: Box::new([0; 64]), envelope: None };
            tally.performed(Step::AnswerProof(by), &proven);
        }
        let count = |label| {
            let mut counts = [0; Login::COUNT];
            counts[usize::from(label)] = 1;
            counts
        };
        assert_eq!(metrics.logins.read(), count(Login::Completed));
        assert_eq!(metrics.recoveries.read(), count(Login::Failed));
    }

    #[test]
    fn whoever_is_logged_in_is_counted_once_and_until_the_end() {
        let metrics = Arc::new(Metrics::new(SystemTime::UNIX_EPOCH));
        let mut tally = Tally::new(&metrics);
        for _ in 0..2 {
            tally.opened();
        }
        assert_eq!(metrics.logged_in.load(Relaxed), 1);
        tally.performed(Step::ResumeSession, &Outcome::Unavailable);
        drop(tally);
        assert_eq!(metrics.logged_in.load(Relaxed), 0);
        assert_eq!(metrics.resumptions.read(), [0; 3]);
    }

    #[test]
    fn a_handshake_that_is_given_up_has_failed() {
        let metrics = Arc::new(Metrics::new(SystemTime::UNIX_EPOCH));
        drop(metrics.handshake());
        metrics.handshake().completed();
        assert_eq!(metrics.handshake_outcomes.read(), [1, 1]);
        assert_eq!(metrics.handshakes.load(Relaxed), 0);
    }
}
