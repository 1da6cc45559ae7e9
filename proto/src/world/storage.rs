//! The server's storage, in memory: performs every task as its documentation says.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    crypto::{
        opaque::{
            CREDENTIAL_BYTES, RECORD_BYTES, ServerLogin, ServerSetup, answer_registration,
            decoy_credential, decoy_recovery_credential,
        },
        rng::Rng,
        secret::Secret,
        sign::SignPublic,
    },
    directory::{
        Account, Consent, Consents, NewAccount, NewCode, NewSession, Outcome, Revision, StoredNote,
        Task,
    },
    identity::Entry,
    limits::PENDING_NOTES_MAX,
    login::Authenticator,
    name::Name,
    note::NoteKind,
    vault,
    wire::server::{Device, ENVELOPE_BYTES, SessionId, Withdrawal},
};

/// Everything a server keeps.
#[derive(Debug)]
pub(crate) struct Storage {
    setup: ServerSetup,
    decoy: Secret<32>,
    rng: Rng,
    accounts: BTreeMap<Name, Stored>,
    sessions: BTreeMap<SessionId, (Name, SignPublic)>,
    /// The sessions of those who have logged in on another machine since.
    parked: BTreeSet<SessionId>,
    tombstones: BTreeSet<Name>,
    next_note: u64,
    revision: u64,
    /// Whether nothing can be written.
    pub(crate) full: bool,
    /// Whether logins are over the limit.
    pub(crate) limited: bool,
    /// The invite that a registration needs.
    pub(crate) invite: Option<String>,
}

#[derive(Debug)]
struct Stored {
    credential: [u8; CREDENTIAL_BYTES],
    record: [u8; RECORD_BYTES],
    vault: Vec<u8>,
    envelope: Option<[u8; ENVELOPE_BYTES]>,
    recovery: Option<Recovery>,
    entry: Entry,
    consents: BTreeMap<Name, Consent>,
    notes: BTreeMap<u64, (Name, NoteKind, Vec<u8>)>,
}

/// The recovery code that somebody made last.
#[derive(Debug)]
struct Recovery {
    credential: [u8; CREDENTIAL_BYTES],
    /// Missing once it is spent or removed.
    record: Option<([u8; RECORD_BYTES], [u8; ENVELOPE_BYTES])>,
}

impl Stored {
    /// What a login of this kind is answered from.
    fn credential(&self, by: Authenticator) -> Option<[u8; CREDENTIAL_BYTES]> {
        match by {
            Authenticator::Password => Some(self.credential),
            Authenticator::RecoveryCode => self.recovery.as_ref().map(|code| code.credential),
        }
    }

    fn record(&self, by: Authenticator) -> Option<&[u8; RECORD_BYTES]> {
        let code = self.recovery.as_ref().and_then(|code| code.record.as_ref());
        match by {
            Authenticator::Password => Some(&self.record),
            Authenticator::RecoveryCode => code.map(|(record, _)| record),
        }
    }

    fn envelope(&self, by: Authenticator) -> Option<[u8; ENVELOPE_BYTES]> {
        let code = self.recovery.as_ref().and_then(|code| code.record.as_ref());
        match by {
            Authenticator::Password => self.envelope,
            Authenticator::RecoveryCode => code.map(|(_, envelope)| *envelope),
        }
    }

    fn set_recovery(&mut self, code: Option<NewCode>) {
        match (code, &mut self.recovery) {
            (Some(NewCode { credential, record, envelope }), recovery) => {
                *recovery = Some(Recovery { credential, record: Some((record, envelope)) });
            }
            // What a stranger hears stays what it was.
            (None, Some(recovery)) => recovery.record = None,
            (None, None) => {}
        }
    }

    /// Whether what was proven is still good.
    fn holds(&self, by: Authenticator, proven: &[u8; CREDENTIAL_BYTES]) -> bool {
        self.record(by).is_some() && self.credential(by).as_ref() == Some(proven)
    }
}

impl Storage {
    pub(crate) fn new(mut rng: Rng) -> Self {
        Self {
            setup: ServerSetup::generate(&mut rng),
            decoy: rng.secret(),
            rng,
            accounts: BTreeMap::new(),
            sessions: BTreeMap::new(),
            parked: BTreeSet::new(),
            tombstones: BTreeSet::new(),
            next_note: 0,
            revision: 0,
            full: false,
            limited: false,
            invite: None,
        }
    }

    /// What `name` has said about `other`.
    pub(crate) fn consent(&self, name: &Name, other: &Name) -> Option<Consent> {
        self.accounts.get(name)?.consents.get(other).copied()
    }

    /// Lets `name` have said something about `other`.
    pub(crate) fn set_consent(&mut self, name: &Name, other: &Name, consent: Consent) {
        self.account(name).consents.insert(other.clone(), consent);
    }

    /// How many notes wait for `name`.
    pub(crate) fn notes(&self, name: &Name) -> usize {
        self.accounts.get(name).map_or(0, |account| account.notes.len())
    }

    /// The stored vault of `name`.
    pub(crate) fn vault(&self, name: &Name) -> &[u8] {
        &self.accounts[name].vault
    }

    /// How many sessions may be resumed.
    pub(crate) fn sessions(&self) -> usize {
        self.sessions.keys().filter(|session| self.has_session(session)).count()
    }

    /// Whether this session may be resumed.
    pub(crate) fn has_session(&self, session: &SessionId) -> bool {
        self.sessions.contains_key(session) && !self.parked.contains(session)
    }

    /// Parks every session of `name` but this one.
    fn park(&mut self, name: &Name, but: &SessionId) {
        let others = self.sessions.iter().filter(|(_, (owner, _))| owner == name);
        self.parked.extend(others.map(|(session, _)| *session));
        self.parked.remove(but);
    }

    pub(crate) fn perform(&mut self, task: Task) -> Outcome {
        let writes = !matches!(
            task,
            Task::AnswerProof { .. }
                | Task::AnswerRegistration { .. }
                | Task::FindSession { .. }
                | Task::ListDevices { .. }
                | Task::Lookup { .. }
                | Task::Recheck { .. }
                | Task::ResumeSession { .. }
                | Task::StartLogin { .. }
        );
        if writes && self.full {
            return Outcome::Unavailable;
        }
        if let Task::Recheck { name, session, since } = task {
            if since == Revision(self.revision) && self.has_session(&session) {
                return Outcome::Unchanged;
            }
            return self.perform(Task::ResumeSession { name, session });
        }
        self.revision += 1;
        match task {
            Task::CreateAccount { account, session } => self.create(*account, session),
            Task::Lookup { name } => {
                let entry = self.accounts.get(&name).map(|account| account.entry.clone());
                Outcome::Entry(entry.unwrap_or_else(|| Entry::decoy(&self.decoy, &name)))
            }
            Task::PutVault { name, vault } => self.put_vault(&name, vault),
            Task::SendNote { .. } if self.limited => Outcome::Limited { retry_after_ms: 7_000 },
            Task::SendNote { from, to, kind, note } => self.send_note(from, to, kind, note),
            Task::TakeNote { name, note } => {
                self.account(&name).notes.remove(&note);
                Outcome::Done
            }
            Task::Withdraw { name, from, how } => self.withdraw(&name, &from, how),
            task => self.perform_proof(task),
        }
    }

    /// Tasks of OPAQUE, and what a proof is for.
    fn perform_proof(&mut self, task: Task) -> Outcome {
        match task {
            Task::AnswerRegistration { credential, request } => {
                match answer_registration(&self.setup, &credential, &request) {
                    Ok(response) => Outcome::Registration(Box::new(response)),
                    Err(_) => Outcome::Malformed,
                }
            }
            Task::AnswerProof { by, name, credential, request } => {
                match answer_registration(&self.setup, &credential, &request) {
                    Ok(response) => Outcome::Proven {
                        response: Box::new(response),
                        envelope: self.accounts.get(&name).and_then(|known| known.envelope(by)),
                    },
                    Err(_) => Outcome::Malformed,
                }
            }
            Task::StartLogin { .. } if self.limited => Outcome::Limited { retry_after_ms: 7_000 },
            Task::StartLogin { by, name, ke1, context } => {
                let Self { setup, rng, accounts, .. } = self;
                let account = accounts.get(&name);
                let name = name.as_bytes();
                let decoy = match by {
                    Authenticator::Password => decoy_credential(&self.decoy, name),
                    Authenticator::RecoveryCode => decoy_recovery_credential(&self.decoy, name),
                };
                let credential = account.and_then(|account| account.credential(by));
                let credential = credential.unwrap_or(decoy);
                let record = account.and_then(|account| account.record(by));
                match ServerLogin::start(rng, setup, name, &credential, record, &context, &ke1) {
                    Ok((state, ke2)) => {
                        Outcome::Login { state: Box::new(state), ke2: Box::new(ke2), credential }
                    }
                    Err(_) => Outcome::Malformed,
                }
            }
            task => self.perform_proven(task),
        }
    }

    /// Tasks that are done for whoever has proven something, if that still holds.
    fn perform_proven(&mut self, task: Task) -> Outcome {
        match task {
            Task::ChangePassword { by, name, proven, .. } if !self.holds(&name, by, &proven) => {
                Outcome::Resumable(None)
            }
            Task::DeleteAccount { name, proven }
            | Task::OpenSession { name, proven, .. }
            | Task::SetRecovery { name, proven, .. }
                if !self.holds(&name, Authenticator::Password, &proven) =>
            {
                Outcome::Resumable(None)
            }
            Task::SetRecovery { name, code, .. } => {
                self.account(&name).set_recovery(code.map(|code| *code));
                Outcome::Done
            }
            Task::DeleteAccount { name, .. } => {
                self.accounts.remove(&name);
                self.sessions.retain(|_, (owner, _)| *owner != name);
                for account in self.accounts.values_mut() {
                    account.notes.retain(|_, (from, ..)| *from != name);
                }
                self.tombstones.insert(name);
                Outcome::Done
            }
            Task::ChangePassword { by, name, password, session, .. } => {
                let account = self.account(&name);
                if by == Authenticator::RecoveryCode {
                    account.set_recovery(None);
                }
                (account.credential, account.record) = (password.credential, password.record);
                account.envelope = Some(password.envelope);
                self.sessions.retain(|_, (owner, _)| *owner != name);
                self.sessions.insert(session.id, (name.clone(), session.device));
                self.opened(&name)
            }
            Task::OpenSession { name, session, .. } => {
                self.sessions.insert(session.id, (name.clone(), session.device));
                self.park(&name, &session.id);
                self.opened(&name)
            }
            task => self.perform_session(task),
        }
    }

    fn perform_session(&mut self, task: Task) -> Outcome {
        match task {
            Task::EndSession { session } => {
                self.sessions.remove(&session);
                Outcome::Done
            }
            Task::FindSession { session } => {
                Outcome::Resumable(self.sessions.get(&session).cloned())
            }
            Task::ListDevices { name } => {
                let own = self.sessions.values().filter(|(owner, _)| *owner == name);
                let device = |device: &SignPublic| Device { key: device.0, created: 0, seen: 0 };
                Outcome::Devices(own.map(|(_, key)| device(key)).collect())
            }
            Task::ResumeSession { session, .. } if !self.has_session(&session) => {
                match self.sessions.contains_key(&session) {
                    true => Outcome::Parked,
                    false => Outcome::Resumable(None),
                }
            }
            Task::ReturnSession { session, .. } if !self.sessions.contains_key(&session) => {
                Outcome::Resumable(None)
            }
            Task::ReturnSession { name, session } => {
                self.park(&name, &session);
                self.opened(&name)
            }
            Task::RevokeDevice { name, device } => {
                let mut own = self.sessions.iter();
                let found = own.find(|(_, session)| **session == (name.clone(), device));
                let found = found.map(|(session, _)| *session);
                found.inspect(|session| drop(self.sessions.remove(session)));
                Outcome::Revoked(found)
            }
            Task::ResumeSession { name, .. } => self.opened(&name),
            other => panic!("not performed: {other:?}"),
        }
    }

    fn create(&mut self, account: NewAccount, session: NewSession) -> Outcome {
        let NewAccount { name, credential, record, vault, entry, invite } = account;
        if self.invite.is_some() && self.invite != invite {
            return Outcome::BadInvite;
        }
        if self.accounts.contains_key(&name) || self.tombstones.contains(&name) {
            return Outcome::NameTaken;
        }
        for consents in self.accounts.values_mut().map(|account| &mut account.consents) {
            consents.entry(name.clone()).and_modify(|consent| {
                if *consent != Consent::Blocked {
                    *consent = Consent::Declined;
                }
            });
        }
        let (consents, notes) = (BTreeMap::new(), BTreeMap::new());
        let (envelope, recovery) = (None, None);
        let stored =
            Stored { credential, record, vault, envelope, recovery, entry, consents, notes };
        self.accounts.insert(name.clone(), stored);
        self.sessions.insert(session.id, (name.clone(), session.device));
        self.opened(&name)
    }

    fn opened(&self, name: &Name) -> Outcome {
        let account = &self.accounts[name];
        let notes = account.notes.iter().map(|(number, (from, kind, sealed))| StoredNote {
            number: *number,
            from: from.clone(),
            kind: *kind,
            sealed: sealed.clone(),
        });
        let said = |other: &Name| (other.clone(), self.consents(name, other));
        Outcome::Opened(Box::new(Account {
            revision: Revision(self.revision),
            entry: account.entry.clone(),
            vault: account.vault.clone(),
            envelope: account.envelope,
            consents: account.consents.keys().map(said).collect(),
            notes: notes.collect(),
        }))
    }

    fn put_vault(&mut self, name: &Name, vault: Vec<u8>) -> Outcome {
        let stored = &mut self.account(name).vault;
        let successor = vault::counter(stored).map(|counter| counter + 1);
        if vault::counter(&vault) != successor && vault != *stored {
            return Outcome::Conflict;
        }
        *stored = vault;
        Outcome::Done
    }

    fn send_note(&mut self, from: Name, to: Name, kind: NoteKind, note: Vec<u8>) -> Outcome {
        let theirs = self.consent(&to, &from);
        let has_room = |account: &Stored| {
            account.notes.len() < PENDING_NOTES_MAX
                || account.notes.values().any(|(sender, ..)| *sender == from)
        };
        let takes = self.accounts.get(&to).is_some_and(has_room);
        let takes = takes && theirs != Some(Consent::Blocked);
        let answered = matches!(theirs, Some(Consent::Requested | Consent::Accepted));
        let mine = if kind == NoteKind::Accept || answered {
            Consent::Accepted
        } else {
            Consent::Requested
        };
        self.account(&from).consents.insert(to.clone(), mine);
        if !takes {
            return Outcome::NoteSent { number: None, consents: self.consents(&from, &to) };
        }
        if answered {
            self.account(&to).consents.insert(from.clone(), Consent::Accepted);
        }
        let number = self.next_note;
        self.next_note += 1;
        let consents = self.consents(&from, &to);
        let addressee = self.account(&to);
        addressee.notes.retain(|_, (sender, ..)| *sender != from);
        addressee.notes.insert(number, (from, kind, note));
        Outcome::NoteSent { number: Some(number), consents }
    }

    fn withdraw(&mut self, name: &Name, from: &Name, how: Withdrawal) -> Outcome {
        let mine = &mut self.account(name).consents;
        match how {
            Withdrawal::Block => {
                mine.insert(from.clone(), Consent::Blocked);
            }
            Withdrawal::Unblock if mine.get(from) == Some(&Consent::Blocked) => {
                mine.remove(from);
            }
            Withdrawal::Reject if mine.get(from) == Some(&Consent::Accepted) => {
                mine.remove(from);
            }
            Withdrawal::Remove => {
                mine.remove(from);
            }
            Withdrawal::Reject | Withdrawal::Unblock => {}
        }
        if how != Withdrawal::Unblock {
            self.account(name).notes.retain(|_, (sender, ..)| sender != from);
        }
        if let Some(other) = self.accounts.get_mut(from) {
            if how == Withdrawal::Remove {
                other.notes.retain(|_, (sender, ..)| sender != name);
            }
            let requested = other.consents.get(name) == Some(&Consent::Requested);
            if requested && matches!(how, Withdrawal::Reject | Withdrawal::Remove) {
                other.consents.insert(name.clone(), Consent::Declined);
            }
        }
        Outcome::Withdrawn(self.consents(name, from))
    }

    fn consents(&self, name: &Name, other: &Name) -> Consents {
        let (mine, theirs) = (self.consent(name, other), self.consent(other, name));
        Consents { mine, theirs, revision: Revision(self.revision) }
    }

    fn holds(&self, name: &Name, by: Authenticator, proven: &[u8; CREDENTIAL_BYTES]) -> bool {
        self.accounts.get(name).is_some_and(|account| account.holds(by, proven))
    }

    fn account(&mut self, name: &Name) -> &mut Stored {
        self.accounts.get_mut(name).unwrap()
    }
}
