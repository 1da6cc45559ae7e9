//! What somebody logged in may ask, and what other people's sessions may tell them.

use std::collections::BTreeMap;

use super::{
    Account, Consent, Consents, Outcome, Signal, Task,
    introductions::Introductions,
    reach::Reach,
    session::{Session, State, is_vault},
};
use crate::{
    crypto::{label::Label, secret::Secret, sign::SignPublic},
    identity::Entry,
    limits::{CONTACTS_MAX, HANDSHAKE_BYTES_MAX, NOTE_BYTES_MAX, OWN_CANDIDATES_MAX},
    login::SessionKey,
    name::Name,
    note::NoteKind,
    ticket::AttemptId,
    time::Time,
    wire::server::{
        Door, Farewell, Observer, PROOF_BYTES, Refusal, Reply, Request, SessionId, Withdrawal,
    },
};

/// A logged-in session.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) name: Name,
    pub(super) session: SessionId,
    pub(super) key: SessionKey,
    pub(super) entry: Entry,
    /// Everybody about whom this person has said something. Nobody else has a place here: only this
    /// person's own requests make one, so strangers cannot fill it.
    consents: BTreeMap<Name, Consents>,
    /// The last note that was loaded with the account. Numbers grow, so no signal has news of it or of one
    /// before it.
    pub(super) notes_until: Option<u64>,
    pub(super) introductions: Introductions,
    /// What the client lets others be told of where it is, once it has said.
    pub(super) reach: Option<Reach>,
    /// Where the client may show itself a second time.
    pub(super) observer: Option<Observer>,
    logout: Option<Secret<PROOF_BYTES>>,
    /// What the outcome of the task under way is for.
    doing: Option<Doing>,
}

#[derive(Debug)]
enum Doing {
    EndSession,
    ListDevices { request: u32 },
    Lookup { request: u32 },
    PutVault { request: u32 },
    RevokeDevice { request: u32 },
    SendNote { request: u32, to: Name, kind: NoteKind, note: Vec<u8> },
    TakeNote,
    Withdraw { request: u32, from: Name },
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
            Request::ListDevices { request } => {
                (Doing::ListDevices { request }, Task::ListDevices { name })
            }
            Request::RevokeDevice { request, device } => {
                let device = SignPublic(device);
                (Doing::RevokeDevice { request }, Task::RevokeDevice { name, device })
            }
            Request::Reach { hidden_from, nat, global } => {
                let (nat, global) = (nat.unwrap_or_default(), global.unwrap_or_default());
                return self.reach(Reach::new(hidden_from, nat, global));
            }
            Request::Outcome { attempt, connected } => return self.tried(attempt, connected),
            Request::Lookup { request, name } => (Doing::Lookup { request }, Task::Lookup { name }),
            Request::NoteTaken { note } => (Doing::TakeNote, Task::TakeNote { name, note }),
            Request::PutVault { request, vault } if is_vault(&vault) => {
                (Doing::PutVault { request }, Task::PutVault { name, vault })
            }
            Request::SendNote { request, to, kind, note }
                if note.len() <= NOTE_BYTES_MAX && to != name =>
            {
                if !open.has_room_for(&to) {
                    return self.refuse(request, Refusal::Full);
                }
                let doing = Doing::SendNote { request, to: to.clone(), kind, note: note.clone() };
                (doing, Task::SendNote { from: name, to, kind, note })
            }
            Request::Withdraw { request, name: from, how } if from != name => {
                if how == Withdrawal::Block && !open.has_room_for(&from) {
                    return self.refuse(request, Refusal::Full);
                }
                let doing = Doing::Withdraw { request, from: from.clone() };
                (doing, Task::Withdraw { name, from, how })
            }
            _ => return self.misbehaved(),
        };
        open.doing = Some(doing);
        self.perform(task);
    }

    pub(super) fn done(&mut self, outcome: Outcome) {
        let State::Open(open) = &mut self.state else { return };
        let refused = match (&open.doing, &outcome) {
            (
                Some(
                    Doing::ListDevices { request }
                    | Doing::Lookup { request }
                    | Doing::PutVault { request }
                    | Doing::RevokeDevice { request }
                    | Doing::SendNote { request, .. }
                    | Doing::Withdraw { request, .. },
                ),
                Outcome::Unavailable,
            ) => Some((*request, Refusal::Unavailable, None)),
            (Some(Doing::PutVault { request }), Outcome::Conflict) => {
                Some((*request, Refusal::Conflict, None))
            }
            (Some(Doing::SendNote { request, .. }), Outcome::Limited { retry_after_ms }) => {
                Some((*request, Refusal::RateLimited, Some(*retry_after_ms)))
            }
            _ => None,
        };
        let doing = open.doing.take();
        if let Some((request, why, retry_after_ms)) = refused {
            let request = Some(request);
            return self.send(&Reply::Refused { request, why, retry_after_ms });
        }
        match (doing, outcome) {
            (Some(Doing::EndSession), Outcome::Done) => self.leave(Some(Reply::LoggedOut)),
            // The session could not be deleted, so nobody is told that it was.
            (Some(Doing::EndSession), _) => self.send(&Reply::Refused {
                request: None,
                why: Refusal::Unavailable,
                retry_after_ms: None,
            }),
            (Some(Doing::ListDevices { request }), Outcome::Devices(devices)) => {
                self.send(&Reply::Devices { request, devices });
            }
            (Some(Doing::RevokeDevice { request }), Outcome::Revoked(session)) => {
                self.send(&Reply::Done { request });
                self.have_revoked(session);
            }
            (Some(Doing::Lookup { request }), Outcome::Entry(entry)) => {
                self.send(&Reply::Entry { request, entry });
            }
            (Some(Doing::PutVault { request }), Outcome::Done) => {
                self.send(&Reply::Done { request });
            }
            (
                Some(Doing::SendNote { request, to, kind, note }),
                Outcome::NoteSent { number, consents },
            ) => {
                self.send(&Reply::Done { request });
                self.note_sent(to, number, kind, note, consents);
            }
            (Some(Doing::Withdraw { request, from }), Outcome::Withdrawn(consents)) => {
                self.send(&Reply::Done { request });
                self.have_said(&from, consents, true);
            }
            // A note that could not be forgotten comes again, and is taken again.
            (Some(Doing::TakeNote), _) => {}
            _ => self.misbehaved(),
        }
    }

    /// A session is no more: whoever speaks on it does not speak for the account any more.
    fn have_revoked(&mut self, session: Option<SessionId>) {
        let (State::Open(open), Some(session)) = (&self.state, session) else { return };
        if open.session == session {
            return self.refuse_and_close(Refusal::AuthFailed, None);
        }
        let me = open.name.clone();
        self.route(me, Signal::Ended { session });
    }

    fn note_sent(
        &mut self,
        to: Name,
        number: Option<u64>,
        kind: NoteKind,
        sealed: Vec<u8>,
        consents: Consents,
    ) {
        let State::Open(open) = &self.state else { return };
        let from = open.name.clone();
        self.have_said(&to, consents, false);
        if let Some(number) = number {
            self.route(to.clone(), Signal::Note { number, from: from.clone(), kind, sealed });
        }
        if consents.mutual() {
            self.route(to, Signal::Online { from, answer: true });
        }
    }

    /// This person has said something about another, and this is what both have said now.
    fn have_said(&mut self, other: &Name, consents: Consents, withdrawn: bool) {
        let State::Open(open) = &mut self.state else { return };
        let me = open.name.clone();
        let were_friends = open.learn(other, consents);
        if were_friends && !consents.mutual() {
            self.part(other, withdrawn);
        }
        // Who has said nothing about this person has no place for it, and is not troubled with it.
        if consents.theirs.is_some() {
            let consents = consents.swapped();
            self.route(other.clone(), Signal::Consent { from: me, consents });
        }
    }

    /// Another has said something about this person, or did until this person said something else.
    fn has_said(&mut self, other: &Name, consents: Consents) {
        let State::Open(open) = &mut self.state else { return };
        let known = open.consents.get(other);
        let news = known.is_some_and(|known| known.revision < consents.revision);
        if news && open.learn(other, consents) && !consents.mutual() {
            self.part(other, false);
        }
    }

    /// Two people see each other no longer. Unless the withdrawal is this client's own, it hears of it as
    /// if the other had gone.
    fn part(&mut self, other: &Name, withdrawn: bool) {
        let State::Open(open) = &mut self.state else { return };
        for attempt in open.introductions.void(other) {
            self.send(&if withdrawn {
                Reply::Unavailable { attempt }
            } else {
                Reply::Voided { attempt }
            });
        }
        if !withdrawn {
            self.send(&Reply::Presence { name: other.clone(), online: false });
        }
    }

    fn refuse(&mut self, request: u32, why: Refusal) {
        self.send(&Reply::Refused { request: Some(request), why, retry_after_ms: None });
    }

    fn introduce(
        &mut self,
        now: Time,
        attempt: AttemptId,
        to: Name,
        mut door: Door,
        first: Vec<u8>,
    ) {
        if !self.well_formed(&to, &mut door, &first) {
            return self.misbehaved();
        }
        let secret: Secret<32> = self.rng.secret();
        let State::Open(open) = &mut self.state else { return };
        // Whoever is not accepted is refused here: nobody's session works for a stranger's, and how long
        // an answer takes says nothing about who is there.
        let friend = open.is_friend(&to);
        let copy = secret.duplicate();
        if !friend || !open.introductions.ask(now, attempt, to.clone(), secret) {
            return self.send(&Reply::Unavailable { attempt });
        }
        let caller = open.entry.clone();
        let dependent = self.shown_to(&to);
        self.route(to, Signal::Ask { attempt, caller, secret: copy, door, first, dependent });
    }

    fn answer(&mut self, attempt: AttemptId, mut door: Door, second: Vec<u8>) {
        let State::Open(open) = &mut self.state else { return };
        let (callee, nat) = (open.entry.clone(), open.nat());
        let caller = open.introductions.answer(attempt);
        // An answer to nothing is one that came too late, but not a reason to say anything.
        let to = caller.as_ref().unwrap_or(&callee.name);
        if !self.well_formed(to, &mut door, &second) {
            return self.misbehaved();
        }
        if let Some(caller) = caller {
            self.route(caller, Signal::Answer { attempt, callee, door, second, nat });
        }
    }

    /// Whether this may be handed on. What the server itself sees goes along, first: it is what somebody
    /// outside can reach, if anything is.
    fn well_formed(&self, to: &Name, door: &mut Door, message: &[u8]) -> bool {
        let fits =
            door.candidates.len() <= OWN_CANDIDATES_MAX && message.len() <= HANDSHAKE_BYTES_MAX;
        let seen = self.seen_by(to);
        door.candidates.retain(|candidate| !seen.contains(candidate));
        door.candidates.splice(0..0, seen);
        fits
    }

    pub(super) fn signal(&mut self, now: Time, signal: Signal) {
        let State::Open(open) = &mut self.state else { return };
        match signal {
            Signal::Answer { attempt, callee, door, second, nat } => {
                if let Some(secret) = open.introductions.answered(attempt, &callee.name) {
                    open.introductions.granted(now, attempt, nat);
                    self.send(&Reply::Introduced { attempt, callee, secret, door, second });
                }
            }
            Signal::Ask { attempt, caller, secret, door, first, dependent } => {
                let from = caller.name.clone();
                if open.accepts(&from) && open.introductions.be_asked(now, attempt, from.clone()) {
                    self.send(&Reply::Asked { attempt, caller, secret, door, first, dependent });
                    self.meet(attempt, from);
                } else {
                    let me = open.name.clone();
                    self.route(from, Signal::Decline { attempt, from: me });
                }
            }
            Signal::Consent { from, consents } => self.has_said(&from, consents),
            Signal::Decline { attempt, from } => {
                if open.introductions.answered(attempt, &from).is_some() {
                    self.send(&Reply::Unavailable { attempt });
                }
            }
            Signal::Deleted => self.refuse_and_close(Refusal::AuthFailed, None),
            Signal::Ended { session } => {
                if open.session == session {
                    self.refuse_and_close(Refusal::AuthFailed, None);
                }
            }
            Signal::Meet { attempt, from, candidates, dependent } => {
                if let Some(secret) = open.introductions.asked_for(attempt, &from) {
                    let secret = secret.duplicate();
                    self.send(&Reply::Meet { attempt, secret, candidates, dependent });
                }
            }
            Signal::Probed { from, fresh } => self.probed(from, fresh),
            Signal::Note { number, from, kind, sealed } => {
                if open.notes_until.is_none_or(|until| until < number) {
                    self.send(&Reply::Note { note: number, from, kind, sealed });
                }
            }
            Signal::Offline { from } => {
                if open.is_friend(&from) {
                    self.part(&from, false);
                }
            }
            Signal::Online { from, answer } => {
                if open.is_friend(&from) {
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
    pub(super) fn new(name: Name, session: SessionId, key: SessionKey, account: Account) -> Self {
        Self {
            name,
            session,
            key,
            entry: account.entry,
            consents: account.consents.into_iter().collect(),
            notes_until: None,
            introductions: Introductions::default(),
            reach: None,
            observer: None,
            logout: None,
            doing: None,
        }
    }

    /// Everybody who sees when this person comes and goes.
    pub(super) fn friends(&self) -> Vec<Name> {
        let friends = self.consents.iter().filter(|(_, consents)| consents.mutual());
        friends.map(|(name, _)| name.clone()).collect()
    }

    fn has_room_for(&self, name: &Name) -> bool {
        self.consents.len() < CONTACTS_MAX || self.consents.contains_key(name)
    }

    fn accepts(&self, name: &Name) -> bool {
        self.consents.get(name).is_some_and(|said| said.mine == Some(Consent::Accepted))
    }

    fn is_friend(&self, name: &Name) -> bool {
        self.consents.get(name).is_some_and(|consents| consents.mutual())
    }

    /// Notes what this person and another have said about each other. Says whether they were friends.
    fn learn(&mut self, other: &Name, consents: Consents) -> bool {
        let before = match consents.mine {
            Some(_) => self.consents.insert(other.clone(), consents),
            None => self.consents.remove(other),
        };
        before.is_some_and(Consents::mutual)
    }
}
