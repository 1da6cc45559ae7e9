//! One connection at the server, from its first frame to its end.

use std::{collections::VecDeque, net::SocketAddr};

use super::{
    Account, NewAccount, NewSession, Outcome, Revision, Signal, StoredNote, Task,
    open::Open,
    proof::{Ke2, Proof},
};
use crate::{
    crypto::{
        opaque::{CREDENTIAL_BYTES, RECORD_BYTES, is_record},
        rng::Rng,
        sign::{SIGNATURE_BYTES, SignPublic},
    },
    identity::Entry,
    limits::{GREETING_FRAME_BYTES_MAX, GREETING_TIMEOUT, SERVER_FRAME_BYTES_MAX, VAULT_BYTES_MAX},
    login::{Authenticator, Channel, SessionKey},
    name::Name,
    reach::Trail,
    ticket::AttemptId,
    time::Time,
    vault,
    wire::{
        self,
        server::{Nat, Refusal, Reply, Request, SessionId, Sunset},
    },
};

/// What holds for every session of a server.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Whether anybody may register, if need be with an invite.
    pub registration_open: bool,
    /// When clients of this version are too old, so that they are told ahead.
    pub sunset: Option<Sunset>,
    /// The second port on which clients show themselves.
    pub observer: Option<u16>,
}

/// Everything that can happen to a session.
#[derive(Debug)]
pub enum Input<'a> {
    /// The client has sent a frame's body.
    Frame(&'a [u8]),
    /// The task is done.
    Performed(Outcome),
    /// Another session has something to say. What it says while a task is performed waits.
    Signal(Box<Signal>),
    /// An [`Signal::Ask`] of ours found nobody.
    Unrouted(AttemptId),
    /// The name is unbound; `was_ours` says whether it was bound to this session until now.
    Unbound {
        /// If not, another connection speaks for the account, and nobody is told that it has gone.
        was_ours: bool,
    },
    /// The client's address is another from now on.
    Moved(SocketAddr),
    /// The deadline has passed.
    Timeout,
    /// The connection is gone.
    Closed,
}

/// Everything a session can ask of the server. Outputs are carried out in the order they come.
#[derive(Debug)]
pub enum Output {
    /// From now on signals to this name come here; whoever had them before is told
    /// [`Signal::Replaced`]. Unless that one was opened later: then this one is told, and nothing changes.
    Bind {
        /// The name.
        name: Name,
        /// The session.
        session: SessionId,
        /// When it was opened.
        revision: Revision,
    },
    /// The connection is to be closed.
    Close,
    /// Datagrams with this token on the second port are to come here, as [`Signal::Probed`].
    Observe([u8; 16]),
    /// The task is to be performed; no other input until its outcome.
    Perform(Task),
    /// The signal is for whoever is bound to this name.
    Route(Name, Box<Signal>),
    /// The frame's body is for the client.
    Send(Vec<u8>),
    /// An introduction has led to a path, or has not, between clients behind these.
    Tried {
        /// In front of the one who asked.
        caller: Nat,
        /// In front of the other.
        callee: Nat,
        /// Whether there is a path.
        connected: bool,
    },
    /// Signals to this name do not come here any more. Answered by [`Input::Unbound`].
    Unbind(Name),
}

/// One connection's state.
#[derive(Debug)]
pub struct Session {
    pub(super) settings: Settings,
    pub(super) channel: Channel,
    pub(super) trail: Trail,
    pub(super) rng: Rng,
    pub(super) state: State,
    outputs: VecDeque<Output>,
}

/// What is expected next.
#[derive(Debug)]
pub(super) enum State {
    /// A first frame.
    Greeting { deadline: Time },
    /// The answer to a registration request, or the client's second message.
    Registering { name: Name, credential: [u8; CREDENTIAL_BYTES], deadline: Time },
    /// The account being created.
    Creating { name: Name, session: SessionId },
    /// KE2, or KE3.
    LoggingIn { by: Authenticator, name: Name, ke2: Option<Ke2>, context: Vec<u8>, deadline: Time },
    /// What somebody goes on with who has proven something, or what they want to be done with it.
    Proven { proof: Box<Proof>, answered: bool },
    /// The account being deleted.
    Deleting { name: Name, request: u32 },
    /// A recovery code being stored, or removed.
    SettingRecovery { request: u32 },
    /// The session being opened after a password login or a change of the password.
    Opening { name: Name, session: SessionId, key: SessionKey },
    /// Who may resume a session, or the account of whoever may.
    Resuming { session: SessionId, signature: Box<[u8; 64]>, returns: bool, name: Option<Name> },
    /// Whether the account is as it was: the name is bound, so what changes from now on is heard.
    Binding(Box<Binding>),
    /// Anything that somebody logged in may say.
    Open(Box<Open>),
    /// The name's being unbound, before the rest is said.
    Leaving { name: Name, session: SessionId, friends: Vec<Name>, farewell: Option<Box<Reply>> },
    /// Nothing; the connection is being closed.
    Gone,
}

/// Somebody who may come in.
#[derive(Debug)]
pub(super) struct Binding {
    name: Name,
    session: SessionId,
    key: SessionKey,
    account: Account,
    with_vault: bool,
}

impl Session {
    /// A connection that has just been made. `observed` is where it comes from.
    pub fn new(
        now: Time,
        settings: Settings,
        channel: Channel,
        observed: SocketAddr,
        rng: Rng,
    ) -> Self {
        let state = State::Greeting { deadline: now + GREETING_TIMEOUT };
        let trail = Trail::new(observed);
        Self { settings, channel, trail, rng, state, outputs: VecDeque::new() }
    }

    /// Takes in what has happened.
    pub fn handle(&mut self, now: Time, input: Input<'_>) {
        match input {
            Input::Frame(body) => self.frame(now, body),
            Input::Performed(outcome) => self.performed(outcome),
            Input::Signal(signal) => self.signal(now, *signal),
            Input::Unrouted(attempt) => self.unrouted(attempt),
            Input::Unbound { was_ours } => self.unbound(was_ours),
            Input::Moved(to) => self.moved(to),
            Input::Timeout => self.timeout(now),
            Input::Closed => self.leave(None),
        }
    }

    /// What is to be done next.
    pub fn poll(&mut self) -> Option<Output> {
        let next = self.outputs.pop_front();
        if next.is_none() {
            // Most sessions are silent most of the time, and there are many.
            self.outputs = VecDeque::new();
        }
        next
    }

    /// When [`Input::Timeout`] is due.
    pub fn deadline(&self) -> Option<Time> {
        match &self.state {
            State::Greeting { deadline }
            | State::Registering { deadline, .. }
            | State::LoggingIn { deadline, .. } => Some(*deadline),
            State::Proven { proof, .. } => Some(proof.deadline),
            State::Open(open) => open.introductions.deadline(),
            _ => None,
        }
    }

    /// The longest body that may come now.
    pub const fn frame_bytes_max(&self) -> usize {
        match self.state {
            State::Open(_) => SERVER_FRAME_BYTES_MAX,
            _ => GREETING_FRAME_BYTES_MAX,
        }
    }

    /// Who is logged in here.
    pub fn name(&self) -> Option<&Name> {
        match &self.state {
            State::Open(open) => Some(&open.name),
            _ => None,
        }
    }

    fn frame(&mut self, now: Time, body: &[u8]) {
        let Ok(request) = wire::decode::<Request>(body) else {
            return self.misbehaved();
        };
        match std::mem::replace(&mut self.state, State::Gone) {
            State::Greeting { deadline } => self.greet(request, deadline),
            State::Registering { name, credential, .. } => {
                self.register(request, name, credential);
            }
            State::LoggingIn { by, name, ke2: Some(ke2), context, deadline } => {
                self.finish_login(&request, by, name, ke2, &context, deadline);
            }
            State::Proven { proof, answered: true } => self.use_proof(&request, *proof),
            State::Open(open) => {
                self.state = State::Open(open);
                self.request(now, request);
            }
            _ => self.misbehaved(),
        }
    }

    fn greet(&mut self, request: Request, deadline: Time) {
        match request {
            Request::Register { name, request } => {
                if !self.settings.registration_open {
                    return self.refuse_and_close(Refusal::RegistrationClosed, None);
                }
                let credential = self.rng.bytes();
                self.perform(Task::AnswerRegistration { credential, request });
                self.state = State::Registering { name, credential, deadline };
            }
            Request::Login { name, ke1 } => {
                self.start_login(Authenticator::Password, name, ke1, deadline);
            }
            Request::Recover { name, ke1 } => {
                self.start_login(Authenticator::RecoveryCode, name, ke1, deadline);
            }
            Request::Resume { session, signature } => self.resume(session, signature, false),
            Request::Return { session, signature } => self.resume(session, signature, true),
            _ => self.misbehaved(),
        }
    }

    fn resume(&mut self, session: SessionId, signature: [u8; SIGNATURE_BYTES], returns: bool) {
        self.perform(Task::FindSession { session });
        let signature = Box::new(signature);
        self.state = State::Resuming { session, signature, returns, name: None };
    }

    fn register(&mut self, request: Request, name: Name, credential: [u8; CREDENTIAL_BYTES]) {
        let Request::FinishRegistration { record, vault, entry, device, invite } = request else {
            return self.misbehaved();
        };
        if !registrable(&name, &record, &vault, &entry) {
            return self.misbehaved();
        }
        let session = self.rng.bytes();
        let account = NewAccount { name: name.clone(), credential, record, vault, entry, invite };
        self.perform(Task::CreateAccount {
            account: Box::new(account),
            session: NewSession { id: session, device: SignPublic(device) },
        });
        self.state = State::Creating { name, session };
    }

    fn performed(&mut self, outcome: Outcome) {
        match (std::mem::replace(&mut self.state, State::Gone), outcome) {
            (State::Open(open), outcome) => {
                self.state = State::Open(open);
                self.done(outcome);
            }
            (
                State::Registering { name, credential, deadline },
                Outcome::Registration(response),
            ) => {
                self.send(&Reply::Registration { response: *response });
                self.state = State::Registering { name, credential, deadline };
            }
            (State::Creating { name, session }, Outcome::Opened(account)) => {
                let key = self.channel.session_key(&session, None);
                self.bind(Binding { name, session, key, account: *account, with_vault: true });
            }
            (
                State::LoggingIn { by, name, context, deadline, .. },
                Outcome::Login { state, ke2, credential },
            ) => {
                self.send(&Reply::Login { ke2: *ke2 });
                let ke2 = Some(Ke2 { state, credential });
                self.state = State::LoggingIn { by, name, ke2, context, deadline };
            }
            (State::Proven { proof, .. }, Outcome::Proven { response, envelope }) => {
                self.send(&Reply::Proven { response: *response, envelope });
                self.state = State::Proven { proof, answered: true };
            }
            (State::Deleting { name, request }, Outcome::Done) => {
                self.route(name, Signal::Deleted);
                self.depart(Some(&Reply::Done { request }));
            }
            (State::SettingRecovery { request }, Outcome::Done) => {
                self.depart(Some(&Reply::Done { request }));
            }
            (State::Opening { name, session, key }, Outcome::Opened(account)) => {
                self.bind(Binding { name, session, key, account: *account, with_vault: true });
            }
            (
                State::Resuming { session, signature, returns, .. },
                Outcome::Resumable(Some((name, device))),
            ) => {
                if !self.channel.verifies_resumption(device, &session, &signature) {
                    return self.refuse_and_close(Refusal::AuthFailed, None);
                }
                let task = match returns {
                    true => Task::ReturnSession { name: name.clone(), session },
                    false => Task::ResumeSession { name: name.clone(), session },
                };
                self.perform(task);
                self.state = State::Resuming { session, signature, returns, name: Some(name) };
            }
            (
                State::Resuming { session, returns, name: Some(name), .. },
                Outcome::Opened(account),
            ) => {
                let key = self.channel.session_key(&session, None);
                self.bind(Binding { name, session, key, account: *account, with_vault: returns });
            }
            (State::Binding(binding), Outcome::Unchanged) => self.open(*binding),
            (State::Binding(binding), Outcome::Opened(account)) => {
                self.open(Binding { account: *account, ..*binding });
            }
            (State::Binding(binding), outcome) => {
                // Whoever this one has replaced told nobody that it has gone, so this one has to.
                let Binding { name, session, key, account, .. } = *binding;
                self.state = State::Open(Box::new(Open::new(name, session, key, account)));
                self.not_opened(&outcome);
            }
            (_, outcome) => self.not_opened(&outcome),
        }
    }

    /// A login, registration or resumption that does not go on.
    fn not_opened(&mut self, outcome: &Outcome) {
        let (why, retry_after_ms) = match outcome {
            Outcome::BadInvite => (Refusal::RegistrationClosed, None),
            Outcome::NameTaken => (Refusal::NameTaken, None),
            Outcome::Limited { retry_after_ms } => (Refusal::RateLimited, Some(*retry_after_ms)),
            Outcome::Malformed => (Refusal::Unexpected, None),
            Outcome::Resumable(None) => (Refusal::AuthFailed, None),
            Outcome::Disabled => (Refusal::Disabled, None),
            Outcome::Parked => (Refusal::Parked, None),
            _ => (Refusal::Unavailable, None),
        };
        self.refuse_and_close(why, retry_after_ms);
    }

    /// Takes the name over and looks again. What others said after the account was loaded may have found
    /// nobody here; from now on, it comes as a signal.
    fn bind(&mut self, binding: Binding) {
        let (name, session) = (binding.name.clone(), binding.session);
        let revision = binding.account.revision;
        self.outputs.push_back(Output::Bind { name: name.clone(), session, revision });
        self.perform(Task::Recheck { name, session, since: revision });
        self.state = State::Binding(Box::new(binding));
    }

    fn open(&mut self, binding: Binding) {
        let Binding { name, session, key, mut account, with_vault } = binding;
        let vault = if with_vault { std::mem::take(&mut account.vault) } else { Vec::new() };
        let envelope = account.envelope.filter(|_| with_vault);
        let notes = std::mem::take(&mut account.notes);
        let mut open = Open::new(name, session, key, account);
        let (entry, sunset) = (open.entry.clone(), self.settings.sunset);
        open.observer = self.observer();
        let observer = open.observer;
        self.send(&Reply::Welcome { session, entry, vault, envelope, sunset, observer });
        for StoredNote { number, from, kind, sealed } in notes {
            open.notes_until = Some(number);
            self.send(&Reply::Note { note: number, from, kind, sealed });
        }
        for friend in open.friends() {
            self.route(friend, Signal::Online { from: open.name.clone(), answer: true });
        }
        self.state = State::Open(Box::new(open));
    }

    fn timeout(&mut self, now: Time) {
        if let State::Open(open) = &mut self.state {
            for attempt in open.introductions.expire(now) {
                self.send(&Reply::Unavailable { attempt });
            }
        } else if self.deadline().is_some_and(|deadline| deadline <= now) {
            self.leave(None);
        }
    }

    /// Ends the connection with a last word. If somebody was logged in, everybody who may know is told
    /// first that this person has gone, which voids the tickets of whatever they have under way.
    pub(super) fn leave(&mut self, farewell: Option<Reply>) {
        let State::Open(open) = std::mem::replace(&mut self.state, State::Gone) else {
            return self.depart(farewell.as_ref());
        };
        let friends = open.friends();
        let Open { name, session, .. } = *open;
        self.outputs.push_back(Output::Unbind(name.clone()));
        self.state = State::Leaving { name, session, friends, farewell: farewell.map(Box::new) };
    }

    fn unbound(&mut self, was_ours: bool) {
        let State::Leaving { name, session, friends, farewell } =
            std::mem::replace(&mut self.state, State::Gone)
        else {
            return;
        };
        if !was_ours && matches!(farewell.as_deref(), Some(Reply::LoggedOut)) {
            self.route(name.clone(), Signal::Ended { session });
        }
        for friend in friends.into_iter().filter(|_| was_ours) {
            self.route(friend, Signal::Offline { from: name.clone() });
        }
        self.depart(farewell.as_deref());
    }

    fn depart(&mut self, farewell: Option<&Reply>) {
        self.state = State::Gone;
        if let Some(farewell) = farewell {
            self.send(farewell);
        }
        self.outputs.push_back(Output::Close);
    }

    /// A frame that no honest client sends here: this connection ends, and nothing else.
    pub(super) fn misbehaved(&mut self) {
        self.refuse_and_close(Refusal::Unexpected, None);
    }

    pub(super) fn refuse_and_close(&mut self, why: Refusal, retry_after_ms: Option<u64>) {
        self.leave(Some(Reply::Refused { request: None, why, retry_after_ms }));
    }

    pub(super) fn send(&mut self, reply: &Reply) {
        self.outputs.push_back(Output::Send(wire::encode(reply)));
    }

    pub(super) fn observe(&mut self, token: [u8; 16]) {
        self.outputs.push_back(Output::Observe(token));
    }

    pub(super) fn count(&mut self, caller: Nat, callee: Nat, connected: bool) {
        self.outputs.push_back(Output::Tried { caller, callee, connected });
    }

    pub(super) fn perform(&mut self, task: Task) {
        self.outputs.push_back(Output::Perform(task));
    }

    pub(super) fn route(&mut self, to: Name, signal: Signal) {
        self.outputs.push_back(Output::Route(to, Box::new(signal)));
    }
}

fn registrable(name: &Name, record: &[u8; RECORD_BYTES], vault: &[u8], entry: &Entry) -> bool {
    is_record(record) && is_vault(vault) && entry.verified(name).is_some()
}

pub(super) fn is_vault(vault: &[u8]) -> bool {
    vault.len() <= VAULT_BYTES_MAX && vault::counter(vault).is_some()
}
