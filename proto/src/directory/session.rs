//! One connection at the server, from its first frame to its end.

use std::collections::{BTreeMap, VecDeque};

use super::{
    Account, Consent, NewAccount, NewSession, Outcome, Signal, Task, introductions::Introductions,
    open::Open,
};
use crate::{
    crypto::{
        opaque::{RECORD_BYTES, ServerLogin, is_record},
        rng::Rng,
        sign::SignPublic,
    },
    identity::Entry,
    limits::{GREETING_FRAME_BYTES_MAX, GREETING_TIMEOUT, SERVER_FRAME_BYTES_MAX, VAULT_BYTES_MAX},
    login::{Channel, SessionKey},
    name::Name,
    ticket::AttemptId,
    time::Time,
    vault,
    wire::{
        self,
        server::{Candidate, Refusal, Reply, Request, SessionId},
    },
};

/// What holds for every session of a server.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Whether anybody may register, if need be with an invite.
    pub registration_open: bool,
}

/// Everything that can happen to a session.
#[derive(Debug)]
pub enum Input<'a> {
    /// The client has sent a frame's body.
    Frame(&'a [u8]),
    /// The task is done.
    Performed(Outcome),
    /// Another session has something to say.
    Signal(Box<Signal>),
    /// An [`Signal::Ask`] of ours found nobody.
    Unrouted(AttemptId),
    /// The name is unbound; `was_ours` says whether it was bound to this session until now.
    Unbound {
        /// If not, another connection speaks for the account, and nobody is told that it has gone.
        was_ours: bool,
    },
    /// The deadline has passed.
    Timeout,
    /// The connection is gone.
    Closed,
}

/// Everything a session can ask of the server. Outputs are carried out in the order they come.
#[derive(Debug)]
pub enum Output {
    /// From now on signals to this name come here; whoever had them before is told
    /// [`Signal::Replaced`].
    Bind(Name, SessionId),
    /// The connection is to be closed.
    Close,
    /// The task is to be performed; no other input until its outcome.
    Perform(Task),
    /// The signal is for whoever is bound to this name.
    Route(Name, Box<Signal>),
    /// The frame's body is for the client.
    Send(Vec<u8>),
    /// Signals to this name do not come here any more. Answered by [`Input::Unbound`].
    Unbind(Name),
}

/// One connection's state.
#[derive(Debug)]
pub struct Session {
    settings: Settings,
    channel: Channel,
    pub(super) observed: Candidate,
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
    Registering { name: Name, deadline: Time },
    /// The account being created.
    Creating { name: Name, session: SessionId },
    /// KE2, or KE3.
    LoggingIn { name: Name, state: Option<Box<ServerLogin>>, context: Vec<u8>, deadline: Time },
    /// The session being opened after a password login.
    Opening { name: Name, session: SessionId, key: SessionKey },
    /// Who may resume a session, or the account of whoever may.
    Resuming { session: SessionId, signature: Box<[u8; 64]>, name: Option<Name> },
    /// Anything that somebody logged in may say.
    Open(Box<Open>),
    /// The name's being unbound, before the rest is said.
    Leaving { name: Name, accepted: Vec<Name>, farewell: Option<Box<Reply>> },
    /// Nothing; the connection is being closed.
    Gone,
}

impl Session {
    /// A connection that has just been made. `observed` is where it comes from.
    pub fn new(
        now: Time,
        settings: Settings,
        channel: Channel,
        observed: std::net::SocketAddr,
        rng: Rng,
    ) -> Self {
        let state = State::Greeting { deadline: now + GREETING_TIMEOUT };
        let observed = Candidate(observed);
        Self { settings, channel, observed, rng, state, outputs: VecDeque::new() }
    }

    /// Takes in what has happened.
    pub fn handle(&mut self, now: Time, input: Input<'_>) {
        match input {
            Input::Frame(body) => self.frame(now, body),
            Input::Performed(outcome) => self.performed(outcome),
            Input::Signal(signal) => self.signal(now, *signal),
            Input::Unrouted(attempt) => self.unrouted(attempt),
            Input::Unbound { was_ours } => self.unbound(was_ours),
            Input::Timeout => self.timeout(now),
            Input::Closed => self.leave(None),
        }
    }

    /// What is to be done next.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Timeout`] is due.
    pub fn deadline(&self) -> Option<Time> {
        match &self.state {
            State::Greeting { deadline }
            | State::Registering { deadline, .. }
            | State::LoggingIn { deadline, .. } => Some(*deadline),
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
            State::Registering { name, .. } => self.register(request, name),
            State::LoggingIn { name, state: Some(state), context, .. } => {
                self.finish_login(&request, name, *state, &context);
            }
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
                self.perform(Task::AnswerRegistration { name: name.clone(), request });
                self.state = State::Registering { name, deadline };
            }
            Request::Login { name, ke1 } => {
                let context = self.channel.login_context();
                let ke1 = Box::new(ke1);
                self.perform(Task::StartLogin {
                    name: name.clone(),
                    ke1,
                    context: context.clone(),
                });
                self.state = State::LoggingIn { name, state: None, context, deadline };
            }
            Request::Resume { session, signature } => {
                self.perform(Task::FindSession { session });
                let signature = Box::new(signature);
                self.state = State::Resuming { session, signature, name: None };
            }
            _ => self.misbehaved(),
        }
    }

    fn register(&mut self, request: Request, name: Name) {
        let Request::FinishRegistration { record, vault, entry, device, invite } = request else {
            return self.misbehaved();
        };
        if !registrable(&name, &record, &vault, &entry) {
            return self.misbehaved();
        }
        let session = self.rng.bytes();
        let account = NewAccount { name: name.clone(), record, vault, entry, invite };
        self.perform(Task::CreateAccount {
            account: Box::new(account),
            session: NewSession { id: session, device: SignPublic(device) },
        });
        self.state = State::Creating { name, session };
    }

    fn finish_login(&mut self, request: &Request, name: Name, state: ServerLogin, context: &[u8]) {
        let Request::FinishLogin { ke3, device } = request else {
            return self.misbehaved();
        };
        let Ok(opaque_key) = state.finish(name.as_bytes(), context, ke3) else {
            return self.refuse_and_close(Refusal::AuthFailed, None);
        };
        let session = self.rng.bytes();
        let key = self.channel.session_key(&session, Some(&opaque_key));
        self.perform(Task::OpenSession {
            name: name.clone(),
            session: NewSession { id: session, device: SignPublic(*device) },
        });
        self.state = State::Opening { name, session, key };
    }

    fn performed(&mut self, outcome: Outcome) {
        match (std::mem::replace(&mut self.state, State::Gone), outcome) {
            (State::Open(open), outcome) => {
                self.state = State::Open(open);
                self.done(outcome);
            }
            (State::Registering { name, deadline }, Outcome::Registration(response)) => {
                self.send(&Reply::Registration { response: *response });
                self.state = State::Registering { name, deadline };
            }
            (State::Creating { name, session }, Outcome::Opened(account)) => {
                let key = self.channel.session_key(&session, None);
                self.open(name, session, key, *account, true);
            }
            (State::LoggingIn { name, context, deadline, .. }, Outcome::Login { state, ke2 }) => {
                self.send(&Reply::Login { ke2: *ke2 });
                self.state = State::LoggingIn { name, state: Some(state), context, deadline };
            }
            (State::Opening { name, session, key }, Outcome::Opened(account)) => {
                self.open(name, session, key, *account, true);
            }
            (
                State::Resuming { session, signature, .. },
                Outcome::Resumable(Some((name, device))),
            ) => {
                if !self.channel.verifies_resumption(device, &session, &signature) {
                    return self.refuse_and_close(Refusal::AuthFailed, None);
                }
                self.perform(Task::ResumeSession { name: name.clone(), session });
                self.state = State::Resuming { session, signature, name: Some(name) };
            }
            (State::Resuming { session, name: Some(name), .. }, Outcome::Opened(account)) => {
                let key = self.channel.session_key(&session, None);
                self.open(name, session, key, *account, false);
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
            Outcome::Resumable(None) => (Refusal::AuthFailed, None),
            _ => (Refusal::Unavailable, None),
        };
        self.refuse_and_close(why, retry_after_ms);
    }

    fn open(
        &mut self,
        name: Name,
        session: SessionId,
        key: SessionKey,
        account: Account,
        with_vault: bool,
    ) {
        let Account { entry, vault, consents, notes } = account;
        let vault = if with_vault { vault } else { Vec::new() };
        self.outputs.push_back(Output::Bind(name.clone(), session));
        self.send(&Reply::Welcome { session, entry: entry.clone(), vault });
        for note in notes {
            let super::StoredNote { number, from, kind, sealed } = note;
            self.send(&Reply::Note { note: number, from, kind, sealed });
        }
        let consents: BTreeMap<_, _> = consents.into_iter().collect();
        for (other, _) in consents.iter().filter(|(_, consent)| **consent == Consent::Accepted) {
            let signal = Signal::Online { from: name.clone(), answer: true };
            self.route(other.clone(), signal);
        }
        self.state = State::Open(Box::new(Open {
            name,
            session,
            key,
            entry,
            consents,
            introductions: Introductions::default(),
            logout: None,
            doing: None,
        }));
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
        let Open { name, consents, .. } = *open;
        self.outputs.push_back(Output::Unbind(name.clone()));
        let accepted = consents.into_iter().filter(|(_, consent)| *consent == Consent::Accepted);
        let accepted = accepted.map(|(other, _)| other).collect();
        self.state = State::Leaving { name, accepted, farewell: farewell.map(Box::new) };
    }

    fn unbound(&mut self, was_ours: bool) {
        let State::Leaving { name, accepted, farewell } =
            std::mem::replace(&mut self.state, State::Gone)
        else {
            return;
        };
        for other in accepted.into_iter().filter(|_| was_ours) {
            self.route(other, Signal::Offline { from: name.clone() });
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

    fn refuse_and_close(&mut self, why: Refusal, retry_after_ms: Option<u64>) {
        self.leave(Some(Reply::Refused { request: None, why, retry_after_ms }));
    }

    pub(super) fn send(&mut self, reply: &Reply) {
        self.outputs.push_back(Output::Send(wire::encode(reply)));
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
