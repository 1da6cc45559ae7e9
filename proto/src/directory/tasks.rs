//! What a session asks of the server's storage and worker pool, and what comes back.

use crate::{
    crypto::{
        opaque::{
            KE1_BYTES, KE2_BYTES, RECORD_BYTES, REGISTRATION_REQUEST_BYTES,
            REGISTRATION_RESPONSE_BYTES, ServerLogin,
        },
        sign::SignPublic,
    },
    directory::Consent,
    identity::Entry,
    name::Name,
    note::NoteKind,
    wire::server::{SessionId, Withdrawal},
};

/// One thing to do. Each is answered by one [`Outcome`].
#[derive(Debug)]
pub enum Task {
    /// OPAQUE's answer to a registration request: [`Outcome::Registration`].
    AnswerRegistration {
        /// The name asked for.
        name: Name,
        /// The request.
        request: [u8; REGISTRATION_REQUEST_BYTES],
    },
    /// Creates the account and its first session: [`Outcome::Opened`], [`Outcome::NameTaken`] or
    /// [`Outcome::BadInvite`].
    CreateAccount {
        /// The account.
        account: Box<NewAccount>,
        /// The session.
        session: NewSession,
    },
    /// Ends the session for good: [`Outcome::Done`].
    EndSession {
        /// Which.
        session: SessionId,
    },
    /// Who may resume this session: [`Outcome::Resumable`].
    FindSession {
        /// Which.
        session: SessionId,
    },
    /// The directory entry of a name, or a decoy: [`Outcome::Entry`].
    Lookup {
        /// Who.
        name: Name,
    },
    /// Opens a session after a login, ending every other one of the account: [`Outcome::Opened`].
    OpenSession {
        /// Whose.
        name: Name,
        /// The session.
        session: NewSession,
    },
    /// Replaces the vault if this is its successor: [`Outcome::Done`] or [`Outcome::Conflict`].
    PutVault {
        /// Whose.
        name: Name,
        /// The sealed vault.
        vault: Vec<u8>,
    },
    /// Loads the account of a session that is being resumed: [`Outcome::Opened`], or
    /// [`Outcome::Resumable`] with nobody if the session has been ended in the meantime.
    ResumeSession {
        /// Whose.
        name: Name,
        /// Which.
        session: SessionId,
    },
    /// Stores a note and the consent it stands for: [`Outcome::NoteSent`].
    ///
    /// A request makes the sender's consent `Requested`; if the addressee has requested or accepted the
    /// sender, both become `Accepted`. An acceptance makes the sender's `Accepted`, and a `Requested` of
    /// the addressee `Accepted`. Nothing is stored for an unknown addressee, one who has blocked the
    /// sender, or one with too many notes; the sender is not told.
    SendNote {
        /// From whom.
        from: Name,
        /// To whom.
        to: Name,
        /// What it says.
        kind: NoteKind,
        /// The sealed note.
        note: Vec<u8>,
    },
    /// Counts an attempt against the limits and, within them, answers KE1: [`Outcome::Login`].
    StartLogin {
        /// Who, perhaps.
        name: Name,
        /// KE1.
        ke1: Box<[u8; KE1_BYTES]>,
        /// The OPAQUE context.
        context: Vec<u8>,
    },
    /// Forgets a note that its addressee has: [`Outcome::Done`].
    TakeNote {
        /// The addressee.
        name: Name,
        /// Which.
        note: u64,
    },
    /// Takes consent back: [`Outcome::Done`].
    ///
    /// `Reject` deletes the other's request and its note. `Block` makes the own consent `Blocked` and
    /// deletes the other's notes. `Unblock` deletes a `Blocked`. `Remove` deletes the own consent, the
    /// other's request and the notes between the two.
    Withdraw {
        /// Whose.
        name: Name,
        /// From whom.
        from: Name,
        /// In which way.
        how: Withdrawal,
    },
}

/// An account as it is created.
#[derive(Debug)]
pub struct NewAccount {
    /// The name.
    pub name: Name,
    /// OPAQUE's record.
    pub record: [u8; RECORD_BYTES],
    /// The first vault.
    pub vault: Vec<u8>,
    /// The directory entry.
    pub entry: Entry,
    /// A permission to register.
    pub invite: Option<String>,
}

/// A session as it is opened.
#[derive(Clone, Copy, Debug)]
pub struct NewSession {
    /// Its id.
    pub id: SessionId,
    /// The device that may resume it.
    pub device: SignPublic,
}

/// What a logged-in session starts from.
#[derive(Debug)]
pub struct Account {
    /// The directory entry.
    pub entry: Entry,
    /// The vault.
    pub vault: Vec<u8>,
    /// What this person has said about others.
    pub consents: Vec<(Name, Consent)>,
    /// Notes that wait, oldest first.
    pub notes: Vec<StoredNote>,
}

/// A note that waits for its addressee.
#[derive(Debug)]
pub struct StoredNote {
    /// Its number.
    pub number: u64,
    /// From whom.
    pub from: Name,
    /// What it says.
    pub kind: NoteKind,
    /// The sealed note.
    pub sealed: Vec<u8>,
}

/// How a [`Task`] came out.
#[derive(Debug)]
pub enum Outcome {
    /// The invite is not valid, or one is needed.
    BadInvite,
    /// The vault is not the successor of the stored one.
    Conflict,
    /// It is done, durably.
    Done,
    /// A directory entry.
    Entry(Entry),
    /// Too many attempts; the next one may come after this many milliseconds.
    Limited {
        /// How long to wait.
        retry_after_ms: u64,
    },
    /// KE1 is answered. The outcome is the same for a name that nobody has.
    Login {
        /// What the login is continued with.
        state: Box<ServerLogin>,
        /// KE2.
        ke2: Box<[u8; KE2_BYTES]>,
    },
    /// The name is taken.
    NameTaken,
    /// The note is stored, or pretended to be.
    NoteSent {
        /// Its number; `None` if nothing was stored.
        number: Option<u64>,
        /// What the sender has now said about the addressee.
        mine: Option<Consent>,
        /// What the addressee has now said about the sender.
        theirs: Option<Consent>,
    },
    /// The account of a session that is open now.
    Opened(Box<Account>),
    /// OPAQUE's registration response.
    Registration(Box<[u8; REGISTRATION_RESPONSE_BYTES]>),
    /// Who may resume a session, and with which device; `None` if nobody.
    Resumable(Option<(Name, SignPublic)>),
    /// The storage cannot do it now; nothing was changed.
    Unavailable,
}
