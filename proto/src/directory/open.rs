//! What somebody logged in may ask, and what other people's sessions may tell them.

use std::collections::BTreeMap;

use super::{
    Consent, Outcome, Signal, Task,
    introductions::Introductions,
    session::{Session, State, is_vault},
};
use crate::{
    crypto::{label::Label, secret::Secret},
    identity::Entry,
    limits::{CANDIDATES_MAX, CONTACTS_MAX, HANDSHAKE_BYTES_MAX, NOTE_BYTES_MAX},
    login::SessionKey,
    name::Name,
    note::NoteKind,
    ticket::AttemptId,
    time::Time,
    wire::server::{Door, Farewell, PROOF_BYTES, Refusal, Reply, Request, SessionId, Withdrawal},
};

/// A logged-in session.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) name: Name,
    pub(super) session: SessionId,
    pub(super) key: SessionKey,
    pub(super) entry: Entry,
    pub(super) consents: BTreeMap<Name, Consent>,
    pub(super) introductions: Introductions,
    pub(super) logout: Option<Secret<PROOF_BYTES>>,
    /// What the outcome of the task under way is for.
    pub(super) doing: Option<Doing>,
}

#[derive(Debug)]
pub(super) enum Doing {
    EndSession,
    Lookup { request: u32 },
    PutVault { request: u32 },
    SendNote { request: u32, to: Name, kind: NoteKind, note: Vec<u8> },
    TakeNote,
    Withdraw { request: u32, from: Name, how: Withdrawal },
}

impl Session {
    pub(super) fn request(&mut self, now: Time, request: Request) {
        let State::Open(open) = &mut self.state else { return };
        let name = open.name.clone();
        let (doing, task) = match request {
            Request::Logout { challenge } => return self.challenge_logout(&challenge),
            Request::FinishLogout { proof } => return self.finish_logout(&proof),
            Request::Introduce { attempt, to, door, first } => {
                return self.introduce(now, attempt, to, door, first);
            }
            Request::Answer { attempt, door, second } => return self.answer(attempt, door, second),
            Request::Decline { attempt } => {
                if let Some(caller) = open.introductions.answer(attempt) {
                    self.route(caller, Signal::Decline { attempt, from: name });
                }
                return;
            }
            Request::Lookup { request, name } => (Doing::Lookup { request }, Task::Lookup { name }),
            Request::NoteTaken { note } => (Doing::TakeNote, Task::TakeNote { name, note }),
            Request::PutVault { request, vault } if is_vault(&vault) => {
                (Doing::PutVault { request }, Task::PutVault { name, vault })
            }
            Request::SendNote { request, to, kind, note }
                if note.len() <= NOTE_BYTES_MAX && to != name && open.has_room_for(&to) =>
            {
                let doing = Doing::SendNote { request, to: to.clone(), kind, note: note.clone() };
                (doing, Task::SendNote { from: name, to, kind, note })
            }
            Request::Withdraw { request, name: from, how }
                if from != name && (how != Withdrawal::Block || open.has_room_for(&from)) =>
            {
                let doing = Doing::Withdraw { request, from: from.clone(), how };
                (doing, Task::Withdraw { name, from, how })
            }
            _ => return self.misbehaved(),
        };
        open.doing = Some(doing);
        self.perform(task);
    }

    pub(super) fn done(&mut self, outcome: Outcome) {
        let State::Open(open) = &mut self.state else { return };
        let request = match (&open.doing, &outcome) {
            (
                Some(
                    Doing::Lookup { request }
                    | Doing::PutVault { request }
                    | Doing::SendNote { request, .. }
                    | Doing::Withdraw { request, .. },
                ),
                Outcome::Unavailable,
            ) => Some((*request, Refusal::Unavailable)),
            (Some(Doing::PutVault { request }), Outcome::Conflict) => {
                Some((*request, Refusal::Conflict))
            }
            _ => None,
        };
        let doing = open.doing.take();
        if let Some((request, why)) = request {
            let request = Some(request);
            return self.send(&Reply::Refused { request, why, retry_after_ms: None });
        }
        match (doing, outcome) {
            (Some(Doing::EndSession), Outcome::Done) => self.leave(Some(Reply::LoggedOut)),
            // The session could not be deleted, so nobody is told that it was.
            (Some(Doing::EndSession), _) => self.send(&Reply::Refused {
                request: None,
                why: Refusal::Unavailable,
                retry_after_ms: None,
            }),
            (Some(Doing::Lookup { request }), Outcome::Entry(entry)) => {
                self.send(&Reply::Entry { request, entry });
            }
            (Some(Doing::PutVault { request }), Outcome::Done) => {
                self.send(&Reply::Done { request });
            }
            (Some(Doing::SendNote { request, to, kind, note }), sent) => {
                self.note_sent(request, to, kind, note, &sent);
            }
            (Some(Doing::Withdraw { request, from, how }), Outcome::Done) => {
                self.withdrawn(request, from, how);
            }
            // A note that could not be forgotten comes again, and is taken again.
            (Some(Doing::TakeNote), _) => {}
            _ => self.misbehaved(),
        }
    }

    fn note_sent(
        &mut self,
        request: u32,
        to: Name,
        kind: NoteKind,
        sealed: Vec<u8>,
        sent: &Outcome,
    ) {
        let Outcome::NoteSent { number, mine, theirs } = sent else {
            return self.misbehaved();
        };
        let State::Open(open) = &mut self.state else { return };
        let from = open.name.clone();
        set(&mut open.consents, &to, *mine);
        self.send(&Reply::Done { request });
        let consent = Signal::Consent { from: from.clone(), yours: *theirs, theirs: *mine };
        self.route(to.clone(), consent);
        if let Some(number) = *number {
            self.route(to.clone(), Signal::Note { number, from: from.clone(), kind, sealed });
        }
        if *mine == Some(Consent::Accepted) {
            self.route(to, Signal::Online { from, answer: true });
        }
    }

    fn withdrawn(&mut self, request: u32, from: Name, how: Withdrawal) {
        let State::Open(open) = &mut self.state else { return };
        let me = open.name.clone();
        let mine = match how {
            Withdrawal::Reject => open.consents.get(&from).copied(),
            Withdrawal::Block => Some(Consent::Blocked),
            Withdrawal::Unblock | Withdrawal::Remove => None,
        };
        let before = open.consents.get(&from).copied();
        set(&mut open.consents, &from, mine);
        self.send(&Reply::Done { request });
        // Whoever was told that this person has gone is not told again.
        if before == Some(Consent::Accepted) && mine != before {
            for attempt in self.void(&from) {
                self.send(&Reply::Unavailable { attempt });
            }
            self.route(from, Signal::Offline { from: me });
        }
    }

    fn introduce(
        &mut self,
        now: Time,
        attempt: AttemptId,
        to: Name,
        mut door: Door,
        first: Vec<u8>,
    ) {
        if !self.well_formed(&mut door, &first) {
            return self.misbehaved();
        }
        let secret: Secret<32> = self.rng.secret();
        let State::Open(open) = &mut self.state else { return };
        let accepted = open.consents.get(&to) == Some(&Consent::Accepted);
        let copy = secret.duplicate();
        if !accepted || !open.introductions.ask(now, attempt, to.clone(), secret) {
            return self.send(&Reply::Unavailable { attempt });
        }
        let caller = open.entry.clone();
        self.route(to, Signal::Ask { attempt, caller, secret: copy, door, first });
    }

    fn answer(&mut self, attempt: AttemptId, mut door: Door, second: Vec<u8>) {
        if !self.well_formed(&mut door, &second) {
            return self.misbehaved();
        }
        let State::Open(open) = &mut self.state else { return };
        let callee = open.entry.clone();
        // An answer to nothing is one that came too late.
        if let Some(caller) = open.introductions.answer(attempt) {
            self.route(caller, Signal::Answer { attempt, callee, door, second });
        }
    }

    fn void(&mut self, name: &Name) -> Vec<AttemptId> {
        match &mut self.state {
            State::Open(open) => open.introductions.void(name),
            _ => Vec::new(),
        }
    }

    /// Whether this may be handed on. The address that the server itself sees goes along, first: it is
    /// the one that somebody outside can reach, if any is.
    fn well_formed(&self, door: &mut Door, message: &[u8]) -> bool {
        let fits = door.candidates.len() < CANDIDATES_MAX && message.len() <= HANDSHAKE_BYTES_MAX;
        door.candidates.retain(|candidate| *candidate != self.observed);
        door.candidates.insert(0, self.observed);
        fits
    }

    pub(super) fn signal(&mut self, now: Time, signal: Signal) {
        let State::Open(open) = &mut self.state else { return };
        match signal {
            Signal::Answer { attempt, callee, door, second } => {
                if let Some(secret) = open.introductions.answered(attempt, &callee.name) {
                    self.send(&Reply::Introduced { attempt, callee, secret, door, second });
                }
            }
            Signal::Ask { attempt, caller, secret, door, first } => {
                let from = caller.name.clone();
                if open.accepts(&from) && open.introductions.be_asked(now, attempt, from.clone()) {
                    self.send(&Reply::Asked { attempt, caller, secret, door, first });
                } else {
                    let me = open.name.clone();
                    self.route(from, Signal::Decline { attempt, from: me });
                }
            }
            Signal::Consent { from, yours, theirs } => self.consent_changed(from, yours, theirs),
            Signal::Decline { attempt, from } => {
                if open.introductions.answered(attempt, &from).is_some() {
                    self.send(&Reply::Unavailable { attempt });
                }
            }
            Signal::Note { number, from, kind, sealed } => {
                self.send(&Reply::Note { note: number, from, kind, sealed });
            }
            Signal::Offline { from } => {
                let accepted = open.accepts(&from);
                for attempt in self.void(&from) {
                    self.send(&Reply::Voided { attempt });
                }
                if accepted {
                    self.send(&Reply::Presence { name: from, online: false });
                }
            }
            Signal::Online { from, answer } => {
                if open.accepts(&from) {
                    let me = open.name.clone();
                    self.send(&Reply::Presence { name: from.clone(), online: true });
                    if answer {
                        self.route(from, Signal::Online { from: me, answer: false });
                    }
                }
            }
            Signal::Replaced { by } => {
                // For contacts this person is still there: the name is not ours to unbind.
                let elsewhere = open.session != by;
                self.leave(elsewhere.then_some(Reply::Goodbye { why: Farewell::TakenOver }));
            }
            Signal::Drain => {
                self.leave(Some(Reply::Goodbye { why: Farewell::Draining }));
            }
        }
    }

    fn consent_changed(&mut self, from: Name, yours: Option<Consent>, theirs: Option<Consent>) {
        let State::Open(open) = &mut self.state else { return };
        let me = open.name.clone();
        let before = open.consents.get(&from).copied();
        // Only a request can be answered. If it has been taken back in the meantime, it stays so.
        if yours == Some(Consent::Accepted) && before == Some(Consent::Requested) {
            set(&mut open.consents, &from, yours);
        }
        let mutual = open.accepts(&from) && theirs == Some(Consent::Accepted);
        if mutual && before != Some(Consent::Accepted) {
            self.route(from, Signal::Online { from: me, answer: true });
        }
    }

    pub(super) fn unrouted(&mut self, attempt: AttemptId) {
        let State::Open(open) = &mut self.state else { return };
        if open.introductions.forget(attempt) {
            self.send(&Reply::Unavailable { attempt });
        }
    }

    fn challenge_logout(&mut self, client: &[u8; PROOF_BYTES]) {
        let challenge: [u8; PROOF_BYTES] = self.rng.bytes();
        let State::Open(open) = &mut self.state else { return };
        let proof = open.key.logout_proof(Label::LogoutServer, client, &challenge);
        open.logout = Some(open.key.logout_proof(Label::LogoutClient, client, &challenge));
        self.send(&Reply::LogoutChallenge { challenge, proof: *proof.expose() });
    }

    fn finish_logout(&mut self, proof: &[u8; PROOF_BYTES]) {
        let State::Open(open) = &mut self.state else { return };
        let expected = open.logout.take();
        if !expected.is_some_and(|expected| expected.matches(proof)) {
            return self.misbehaved();
        }
        open.doing = Some(Doing::EndSession);
        let session = open.session;
        self.perform(Task::EndSession { session });
    }
}

impl Open {
    fn has_room_for(&self, name: &Name) -> bool {
        self.consents.len() < CONTACTS_MAX || self.consents.contains_key(name)
    }

    fn accepts(&self, name: &Name) -> bool {
        self.consents.get(name) == Some(&Consent::Accepted)
    }
}

fn set(consents: &mut BTreeMap<Name, Consent>, name: &Name, consent: Option<Consent>) {
    match consent {
        Some(consent) => consents.insert(name.clone(), consent),
        None => consents.remove(name),
    };
}
