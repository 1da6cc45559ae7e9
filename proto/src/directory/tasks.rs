//! What a session asks of the server's storage and worker pool, and what comes back.

use crate::{
    crypto::{
        opaque::{
            CREDENTIAL_BYTES, KE1_BYTES, KE2_BYTES, RECORD_BYTES, REGISTRATION_REQUEST_BYTES,
            REGISTRATION_RESPONSE_BYTES, ServerLogin,
        },
        sign::SignPublic,
    },
    directory::{Consents, Revision},
    identity::Entry,
    login::Authenticator,
    name::Name,
    note::NoteKind,
    wire::server::{Device, ENVELOPE_BYTES, SessionId, Withdrawal},
};

/// One thing to do. Each is answered by one [`Outcome`].
#[derive(Debug)]
pub enum Task {
    /// OPAQUE's answer to somebody who has proven something and asks for something else to prove:
    /// [`Outcome::Proven`] or [`Outcome::Malformed`]. It counts against no limit, because the proof has.
    AnswerProof {
        /// What they have proven to know.
        by: Authenticator,
        /// Whose account.
        name: Name,
        /// A fresh credential identifier, never that of an account.
        credential: [u8; CREDENTIAL_BYTES],
        /// The registration request.
        request: [u8; REGISTRATION_REQUEST_BYTES],
    },
    /// OPAQUE's answer to a registration request: [`Outcome::Registration`], [`Outcome::Limited`] or
    /// [`Outcome::Malformed`].
    AnswerRegistration {
        /// A fresh credential identifier, never that of an account.
        credential: [u8; CREDENTIAL_BYTES],
        /// The request.
        request: [u8; REGISTRATION_REQUEST_BYTES],
    },
    /// Gives the account another password and opens a session, ending every other one of the account:
    /// [`Outcome::Opened`], or [`Outcome::Resumable`] with nobody if what was proven does not hold any more.
    ///
    /// A recovery code by which it was proven is spent in the same step. One that was not needed stays good.
    ChangePassword {
        /// What was proven to be known.
        by: Authenticator,
        /// Whose.
        name: Name,
        /// What was proven.
        proven: [u8; CREDENTIAL_BYTES],
        /// What is to be proven from now on.
        password: Box<NewPassword>,
        /// The session.
        session: NewSession,
    },
    /// Creates the account and its first session: [`Outcome::Opened`], [`Outcome::NameTaken`] or
    /// [`Outcome::BadInvite`].
    ///
    /// What anybody has asked of the name or granted it while nobody had it was not meant for whoever has
    /// it now, and becomes `Declined`.
    CreateAccount {
        /// The account.
        account: Box<NewAccount>,
        /// The session.
        session: NewSession,
    },
    /// Deletes everything that is kept of an account, and gives its name to nobody any more:
    /// [`Outcome::Done`], or [`Outcome::Resumable`] with nobody if what was proven does not hold any more.
    ///
    /// What others have said about the name stays, because it takes room of theirs.
    DeleteAccount {
        /// Whose.
        name: Name,
        /// What was proven.
        proven: [u8; CREDENTIAL_BYTES],
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
    /// Every session of an account, oldest first: [`Outcome::Devices`].
    ListDevices {
        /// Whose.
        name: Name,
    },
    /// The directory entry of a name, or a decoy: [`Outcome::Entry`].
    Lookup {
        /// Who.
        name: Name,
    },
    /// Opens a session after a login. Every other one of the account is parked: [`Outcome::Opened`], or
    /// [`Outcome::Resumable`] with nobody if the password has been changed since KE2.
    OpenSession {
        /// Whose.
        name: Name,
        /// What was proven.
        proven: [u8; CREDENTIAL_BYTES],
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
    /// Makes sure that a session which was loaded is what it was: [`Outcome::Unchanged`], or otherwise the
    /// outcome of [`Task::ResumeSession`].
    Recheck {
        /// Whose.
        name: Name,
        /// Which.
        session: SessionId,
        /// When it was loaded.
        since: Revision,
    },
    /// Loads the account of a session that exists and is not parked: [`Outcome::Opened`],
    /// [`Outcome::Parked`], [`Outcome::Disabled`], or [`Outcome::Resumable`] with nobody.
    ResumeSession {
        /// Whose.
        name: Name,
        /// Which.
        session: SessionId,
    },
    /// Loads the account of a session that exists, which is not parked any more and every other one of the
    /// account is: [`Outcome::Opened`], [`Outcome::Disabled`], or [`Outcome::Resumable`] with nobody.
    ReturnSession {
        /// Whose.
        name: Name,
        /// Which.
        session: SessionId,
    },
    /// Ends the session of a device of this account: [`Outcome::Revoked`].
    RevokeDevice {
        /// Whose.
        name: Name,
        /// The device.
        device: SignPublic,
    },
    /// Stores a note and the consent it stands for: [`Outcome::NoteSent`]. Or [`Outcome::Limited`], if the
    /// sender has sent too many, to whomever: then nothing is changed.
    ///
    /// A request makes the sender's consent `Requested`; if the addressee has requested or accepted the
    /// sender, both become `Accepted`. An acceptance makes the sender's `Accepted`, and a `Requested` of
    /// the addressee `Accepted`.
    ///
    /// For an unknown addressee, one who has blocked the sender, or one with too many notes, the sender's
    /// consent changes all the same, and nothing else is stored. The sender is not told, and cannot find
    /// out by counting how many consents there is room for.
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
    /// Makes this the recovery code of the account, in the place of any other, or leaves it without one:
    /// [`Outcome::Done`], or [`Outcome::Resumable`] with nobody if what was proven does not hold any more.
    SetRecovery {
        /// Whose.
        name: Name,
        /// What was proven: the password.
        proven: [u8; CREDENTIAL_BYTES],
        /// The code, if there is to be one.
        code: Option<Box<NewCode>>,
    },
    /// Counts an attempt against the limits and, within them, answers KE1: [`Outcome::Login`],
    /// [`Outcome::Limited`] or [`Outcome::Malformed`].
    StartLogin {
        /// What they say that they know.
        by: Authenticator,
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
    /// Takes consent back: [`Outcome::Withdrawn`].
    ///
    /// `Reject` deletes the own consent if it is `Accepted`, makes the other's `Requested` a `Declined`, and deletes
    /// the note. `Block` makes the own consent `Blocked` and deletes the other's notes. `Unblock` deletes a `Blocked`.
    /// `Remove` deletes the own consent, makes the other's `Requested` a `Declined`, and deletes the notes between
    /// the two.
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
    /// OPAQUE's credential identifier, drawn for this account.
    pub credential: [u8; CREDENTIAL_BYTES],
    /// OPAQUE's record.
    pub record: [u8; RECORD_BYTES],
    /// The first vault.
    pub vault: Vec<u8>,
    /// The directory entry.
    pub entry: Entry,
    /// A permission to register.
    pub invite: Option<String>,
}

/// What is to be proven instead of what was.
#[derive(Debug)]
pub struct NewPassword {
    /// OPAQUE's credential identifier, drawn for it.
    pub credential: [u8; CREDENTIAL_BYTES],
    /// OPAQUE's record.
    pub record: [u8; RECORD_BYTES],
    /// The key of the vault, sealed.
    pub envelope: [u8; ENVELOPE_BYTES],
}

/// A recovery code as the server keeps it.
#[derive(Debug)]
pub struct NewCode {
    /// OPAQUE's credential identifier, drawn for it.
    pub credential: [u8; CREDENTIAL_BYTES],
    /// OPAQUE's record.
    pub record: [u8; RECORD_BYTES],
    /// The key of the vault, sealed.
    pub envelope: [u8; ENVELOPE_BYTES],
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
    /// When all this was so.
    pub revision: Revision,
    /// The directory entry.
    pub entry: Entry,
    /// The vault.
    pub vault: Vec<u8>,
    /// The key of the vault, sealed under the password, unless that is the first one.
    pub envelope: Option<[u8; ENVELOPE_BYTES]>,
    /// Everybody about whom this person has said something, and what they have said in turn.
    pub consents: Vec<(Name, Consents)>,
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
    /// The sessions of an account.
    Devices(Vec<Device>),
    /// The session is there, but whoever runs the server has disabled its account.
    Disabled,
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
        /// The credential identifier that it was made with.
        credential: [u8; CREDENTIAL_BYTES],
    },
    /// No honest client sends such a request or KE1.
    Malformed,
    /// The name is taken.
    NameTaken,
    /// The note is stored, or pretended to be.
    NoteSent {
        /// Its number; `None` if it was not stored.
        number: Option<u64>,
        /// What sender and addressee have now said about each other.
        consents: Consents,
    },
    /// The account of a session that is open now.
    Opened(Box<Account>),
    /// The session is there, but another one speaks for the account.
    Parked,
    /// What somebody who has proven a password or a recovery code goes on with.
    Proven {
        /// OPAQUE's registration response.
        response: Box<[u8; REGISTRATION_RESPONSE_BYTES]>,
        /// The key of the vault, sealed under what was proven.
        envelope: Option<[u8; ENVELOPE_BYTES]>,
    },
    /// OPAQUE's registration response.
    Registration(Box<[u8; REGISTRATION_RESPONSE_BYTES]>),
    /// Who may resume a session, and with which device; `None` if nobody.
    Resumable(Option<(Name, SignPublic)>),
    /// The session of the device that was revoked, if there was one.
    Revoked(Option<SessionId>),
    /// The storage cannot do it now; nothing was changed.
    Unavailable,
    /// The account and its session are as they were.
    Unchanged,
    /// Consent is taken back, and this is what the two have now said about each other.
    Withdrawn(Consents),
}
