//! One connection at the server. The bytes are a script of what its client, other people's sessions and the
//! storage say.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use super::{PEOPLE, Script, name, rng, secret};
use crate::{
    crypto::{
        opaque::{CREDENTIAL_BYTES, ServerLogin, ServerSetup, answer_registration},
        sign::SignKey,
    },
    directory::{
        Account, Consent, Consents, Input, Outcome, Output, Revision, Session, Settings, Signal,
        StoredNote, Task,
    },
    identity::{Entry, Identity},
    limits::{CANDIDATES_MAX, INTRODUCTIONS_MAX, SERVER_FRAME_BYTES_MAX},
    login::Channel,
    name::{Name, ServerPin},
    note::NoteKind,
    ticket::AttemptId,
    time::Time,
    wire::{
        self,
        server::{Candidate, Door, Nat, Reply, Request, SessionId, Withdrawal},
    },
};

const SESSION: SessionId = [0x1d; 16];

/// Outputs that one input may have, and then some: everybody whom the account knows is told.
const OUTPUTS_MAX: usize = 1000;

/// What a client says before anybody is logged in, and what the storage makes of it.
pub(super) fn greeting(bytes: &[u8]) {
    let mut script = Script(bytes);
    Desk::new(script.byte() & 1 == 0).play(&mut script);
}

/// The same once somebody is logged in.
pub(super) fn directory(bytes: &[u8]) {
    let mut desk = Desk::new(true);
    let signature = desk.channel.sign_resumption(&device(), &SESSION);
    let resume = wire::encode(&Request::Resume { session: SESSION, signature });
    desk.feed(Input::Frame(&resume), &mut Script(&[]));
    assert!(desk.session.name().is_some());
    desk.play(&mut Script(bytes));
}

/// A session, and what has passed between it and the world.
struct Desk {
    now: Time,
    session: Session,
    channel: Channel,
    revision: u64,
    logged_in: bool,
    /// Whether the client has said what may be told of where it is.
    reached: bool,
    closed: bool,
    /// How often the client has asked for an introduction of this number, and has not been answered.
    asked: BTreeMap<AttemptId, usize>,
    /// Introductions that were handed on and are not answered.
    under_way: BTreeSet<AttemptId>,
}

impl Desk {
    fn new(registration_open: bool) -> Self {
        let channel = Channel { exporter: [0xee; 32], pin: ServerPin::of_hash(&[0x5e; 32]) };
        let settings = Settings { registration_open, sunset: None, observer: Some(4_434) };
        let session = Session::new(Time::ZERO, settings, channel.clone(), address(1), rng(50));
        Self {
            now: Time::ZERO,
            session,
            channel,
            revision: 1,
            logged_in: false,
            reached: false,
            closed: false,
            asked: BTreeMap::new(),
            under_way: BTreeSet::new(),
        }
    }

    fn play(&mut self, script: &mut Script<'_>) {
        while !script.is_over() && !self.closed {
            let step = script.byte();
            match step & 0x0f {
                0..=2 => self.client_says(script.chunk().to_vec(), script),
                3..=6 => {
                    let request = request(step, script);
                    self.client_says(wire::encode(&request), script);
                }
                7..=13 => {
                    let signal = self.signal(step, script);
                    self.feed(Input::Signal(Box::new(signal)), script);
                }
                14 => self.feed(Input::Unrouted(AttemptId([step >> 4; 16])), script),
                _ if step & 0x10 == 0 => {
                    let Some(deadline) = self.session.deadline() else { continue };
                    self.now = self.now.max(deadline);
                    self.feed(Input::Timeout, script);
                    let next = self.session.deadline();
                    assert!(next.is_none_or(|next| next > self.now), "a deadline is not seen to");
                }
                _ => self.feed(Input::Closed, script),
            }
        }
    }

    fn client_says(&mut self, body: Vec<u8>, script: &mut Script<'_>) {
        // Whoever reads the connection sees to this.
        assert!(body.len() <= self.session.frame_bytes_max());
        if let Ok(Request::Introduce { attempt, .. }) = wire::decode(&body) {
            *self.asked.entry(attempt).or_default() += 1;
        }
        self.feed(Input::Frame(&body), script);
    }

    /// Gives the session something, and does what it asks for. A session has one task at a time, and is
    /// told nothing else until its outcome.
    fn feed(&mut self, input: Input<'_>, script: &mut Script<'_>) {
        self.session.handle(self.now, input);
        let mut task = None;
        for _ in 0..OUTPUTS_MAX {
            let Some(output) = self.session.poll() else {
                let Some(task) = task.take() else { return };
                let outcome = self.outcome(task, script);
                self.session.handle(self.now, Input::Performed(outcome));
                continue;
            };
            assert!(!self.closed, "something happens after the end");
            match output {
                Output::Bind { name, .. } => assert_eq!(name, me()),
                Output::Observe(_) | Output::Tried { .. } => {}
                Output::Close => self.closed = true,
                Output::Perform(next) => {
                    assert!(task.replace(next).is_none(), "two tasks at once");
                }
                Output::Route(to, signal) => self.routed(&to, &signal),
                Output::Send(body) => {
                    assert!(body.len() <= SERVER_FRAME_BYTES_MAX);
                    self.client_hears(wire::decode(&body).unwrap());
                }
                Output::Unbind(name) => {
                    assert_eq!(name, me());
                    let was_ours = script.byte() & 1 == 0;
                    self.session.handle(self.now, Input::Unbound { was_ours });
                }
            }
        }
        panic!("the session does not come to rest");
    }

    fn client_hears(&mut self, reply: Reply) {
        match reply {
            Reply::Introduced { attempt, callee, door, .. } => {
                assert_ne!(callee.name, stranger());
                assert!(door.candidates.len() <= CANDIDATES_MAX);
                self.answered(attempt);
            }
            Reply::Unavailable { attempt } | Reply::Voided { attempt } => self.answered(attempt),
            Reply::Presence { name, .. } => assert_ne!(name, stranger(), "a stranger is seen"),
            Reply::Asked { caller, .. } => assert_ne!(caller.name, stranger(), "a stranger calls"),
            Reply::Welcome { .. } => {
                assert!(!self.logged_in, "welcomed twice");
                self.logged_in = true;
            }
            Reply::Registration { .. } | Reply::Login { .. } | Reply::Proven { .. } => {
                assert!(!self.logged_in);
            }
            Reply::Refused { request, .. } => assert!(self.logged_in || request.is_none()),
            Reply::Devices { .. }
            | Reply::LogoutChallenge { .. }
            | Reply::LoggedOut
            | Reply::Entry { .. }
            | Reply::Meet { .. }
            | Reply::Done { .. }
            | Reply::Note { .. } => assert!(self.logged_in),
            Reply::Observed { .. } => self.reached = true,
            Reply::Goodbye { .. } => {}
        }
    }

    fn answered(&mut self, attempt: AttemptId) {
        let asked = self.asked.get_mut(&attempt).filter(|asked| **asked > 0);
        *asked.expect("an answer to nothing, or a second one") -= 1;
        self.under_way.remove(&attempt);
    }

    fn routed(&mut self, to: &Name, signal: &Signal) {
        match signal {
            Signal::Ask { attempt, caller, door, .. } => {
                assert_ne!(*to, stranger(), "a stranger is called");
                assert_eq!(caller.name, me());
                self.shows_what_it_sees(door);
                assert!(door.candidates.len() <= CANDIDATES_MAX);
                self.under_way.insert(*attempt);
                assert!(self.under_way.len() <= INTRODUCTIONS_MAX);
            }
            Signal::Answer { callee, door, .. } => {
                assert_ne!(*to, stranger(), "a stranger is answered");
                assert_eq!(callee.name, me());
                self.shows_what_it_sees(door);
                assert!(door.candidates.len() <= CANDIDATES_MAX);
            }
            Signal::Meet { from, candidates, .. } => {
                assert!(self.reached, "a client is shown that has not agreed");
                assert_eq!((from, &candidates[..]), (&me(), &[Candidate(address(1))][..]));
                assert_ne!(*to, stranger(), "a stranger is met");
            }
            Signal::Online { from, .. } | Signal::Offline { from } => {
                assert_eq!(*from, me());
                assert_ne!(*to, stranger(), "a stranger sees who is there");
            }
            Signal::Consent { from, .. }
            | Signal::Decline { from, .. }
            | Signal::Note { from, .. } => assert_eq!(*from, me()),
            Signal::Ended { session } => assert_eq!((to, *session), (&me(), SESSION)),
            Signal::Deleted => panic!("nothing was proven"),
            Signal::Replaced { .. } | Signal::Drain | Signal::Probed { .. } => {
                panic!("not a session's to say")
            }
        }
    }

    /// What the server sees goes first, unless the client may have reserved that.
    fn shows_what_it_sees(&self, door: &Door) {
        assert!(self.reached || door.candidates[0] == Candidate(address(1)));
    }

    /// An outcome that the task may have.
    fn outcome(&mut self, task: Task, script: &mut Script<'_>) -> Outcome {
        let choice = script.byte();
        if choice == 0xff {
            return Outcome::Unavailable;
        }
        let fails = choice & 7 == 7;
        self.revision += 1;
        match task {
            Task::AnswerRegistration { .. } | Task::StartLogin { .. } if fails => {
                Outcome::Limited { retry_after_ms: 7 }
            }
            task @ (Task::AnswerProof { .. }
            | Task::AnswerRegistration { .. }
            | Task::StartLogin { .. }) => answer(task),
            Task::CreateAccount { .. } if fails => Outcome::NameTaken,
            Task::CreateAccount { account, .. } => {
                assert_eq!(account.entry.verified(&account.name), Some(account.entry.identity));
                self.opened(account.entry, choice)
            }
            Task::FindSession { .. } if fails => Outcome::Resumable(None),
            Task::FindSession { .. } => Outcome::Resumable(Some((me(), device().public()))),
            Task::ChangePassword { .. }
            | Task::DeleteAccount { .. }
            | Task::OpenSession { .. }
            | Task::Recheck { .. }
            | Task::ResumeSession { .. }
            | Task::ReturnSession { .. }
            | Task::SetRecovery { .. }
                if fails =>
            {
                Outcome::Resumable(None)
            }
            Task::ListDevices { .. } => Outcome::Devices(Vec::new()),
            Task::Recheck { .. } if choice & 16 != 0 => Outcome::Unchanged,
            Task::RevokeDevice { device, .. } => {
                Outcome::Revoked((device == self::device().public()).then_some(SESSION))
            }
            Task::ChangePassword { .. }
            | Task::OpenSession { .. }
            | Task::Recheck { .. }
            | Task::ResumeSession { .. }
            | Task::ReturnSession { .. } => self.opened(entry("alice"), choice),
            Task::Lookup { name } => Outcome::Entry(Entry::decoy(&secret(0xdc), &name)),
            Task::PutVault { .. } if fails => Outcome::Conflict,
            Task::DeleteAccount { .. }
            | Task::EndSession { .. }
            | Task::PutVault { .. }
            | Task::SetRecovery { .. }
            | Task::TakeNote { .. } => Outcome::Done,
            Task::SendNote { to, .. } => {
                let number = (!fails).then_some(u64::from(choice));
                Outcome::NoteSent { number, consents: self.consents(&to, choice) }
            }
            Task::Withdraw { from, .. } => Outcome::Withdrawn(self.consents(&from, choice)),
        }
    }

    /// An account that knows everybody. Notes have come from all of them, or from nobody.
    fn opened(&self, entry: Entry, choice: u8) -> Outcome {
        let others = || ["bob", "carol", "dave", "mallory"].map(name);
        let said = |other: Name| {
            let consents = self.consents(&other, choice);
            (other, consents)
        };
        let note = |(number, from)| StoredNote {
            number,
            from,
            kind: NoteKind::Request,
            sealed: vec![1; 40],
        };
        let notes = (choice & 8 != 0).then(|| (0..).zip(others()).map(note).collect());
        Outcome::Opened(Box::new(Account {
            revision: Revision(self.revision),
            entry,
            vault: vec![1; 60],
            envelope: None,
            consents: others().map(said).into(),
            notes: notes.unwrap_or_default(),
        }))
    }

    /// What two have said about each other. One person is never accepted, whatever they say.
    fn consents(&self, other: &Name, choice: u8) -> Consents {
        let one = |choice: u8| match choice & 7 {
            0..=2 => Some(Consent::Accepted),
            3 => Some(Consent::Blocked),
            4 => Some(Consent::Declined),
            5 => Some(Consent::Requested),
            _ => None,
        };
        let mine = one(choice).filter(|mine| *other != stranger() || *mine != Consent::Accepted);
        let theirs = one(choice.rotate_right(3));
        // News may come late.
        let revision = Revision(self.revision.saturating_sub(u64::from(choice & 1) * 2));
        Consents { mine, theirs, revision }
    }

    fn signal(&mut self, step: u8, script: &mut Script<'_>) -> Signal {
        let (who, choice) = (other(script.byte()), script.byte());
        let attempt = AttemptId([step >> 4; 16]);
        // The other end's session has seen to the number of addresses.
        let door = door(choice & 0x7f);
        match choice & 0x0f {
            0..=2 => {
                let callee = entry(who.as_str());
                let (second, nat) = (vec![2; 60], Nat::Cone);
                Signal::Answer { attempt, callee, door, second, nat }
            }
            3..=5 => {
                let (caller, secret) = (entry(who.as_str()), secret(0x71));
                Signal::Ask { attempt, caller, secret, door, first: vec![1; 60], dependent: None }
            }
            6 | 7 => {
                self.revision += 1;
                let consents = self.consents(&who, script.byte());
                Signal::Consent { from: who, consents }
            }
            8 => Signal::Decline { attempt, from: who },
            9 => Signal::Ended { session: if step & 0x10 == 0 { SESSION } else { [0; 16] } },
            10 if step & 0x10 == 0 => Signal::Deleted,
            10 => {
                let (number, kind) = (u64::from(choice >> 4), NoteKind::Accept);
                Signal::Note { number, from: who, kind, sealed: vec![1; 40] }
            }
            11 => Signal::Offline { from: who },
            12 | 13 => Signal::Online { from: who, answer: step & 0x10 == 0 },
            14 => Signal::Replaced { by: if step & 0x10 == 0 { SESSION } else { [0; 16] } },
            _ => Signal::Drain,
        }
    }
}

/// What OPAQUE makes of the first message of a registration or a login.
fn answer(task: Task) -> Outcome {
    let answered = match task {
        Task::AnswerRegistration { credential, request } => {
            let response = answer_registration(&setup(), &credential, &request);
            response.map(|response| Outcome::Registration(Box::new(response)))
        }
        Task::AnswerProof { credential, request, .. } => {
            let response = answer_registration(&setup(), &credential, &request);
            response
                .map(|response| Outcome::Proven { response: Box::new(response), envelope: None })
        }
        Task::StartLogin { name, ke1, context, .. } => {
            let (credential, setup) = ([0xc7; CREDENTIAL_BYTES], setup());
            let (mut rng, name) = (rng(51), name.as_bytes());
            ServerLogin::start(&mut rng, &setup, name, &credential, None, &context, &ke1).map(
                |(state, ke2)| {
                    let (state, ke2) = (Box::new(state), Box::new(ke2));
                    Outcome::Login { state, ke2, credential }
                },
            )
        }
        other => panic!("not OPAQUE's: {other:?}"),
    };
    answered.unwrap_or(Outcome::Malformed)
}

fn request(step: u8, script: &mut Script<'_>) -> Request {
    let (to, choice) = (other(script.byte()), script.byte());
    let (attempt, request) = (AttemptId([step >> 4; 16]), u32::from(choice));
    match choice & 0x0f {
        0..=3 => Request::Introduce { attempt, to, door: door(choice), first: vec![1; 60] },
        4 | 5 => Request::Answer { attempt, door: door(choice), second: vec![2; 60] },
        6 => Request::Decline { attempt },
        7 if choice & 0x10 != 0 => Request::ListDevices { request },
        7 if choice & 0x20 != 0 => Request::RevokeDevice { request, device: [choice; 32] },
        7 => Request::Lookup { request, name: to },
        8 | 9 => Request::SendNote { request, to, kind: NoteKind::Request, note: vec![1; 40] },
        10 => Request::Withdraw { request, name: to, how: Withdrawal::Block },
        11 => Request::Withdraw { request, name: to, how: Withdrawal::Remove },
        12 => Request::NoteTaken { note: u64::from(request) },
        13 => Request::PutVault { request, vault: vec![1; usize::from(choice)] },
        14 => Request::Logout { challenge: [7; 32] },
        _ => Request::FinishLogout { proof: [7; 32] },
    }
}

fn other(number: u8) -> Name {
    name(["bob", "carol", "dave", "mallory", "eve", "alice"][usize::from(number % 6)])
}

/// Whom alice never accepts.
fn stranger() -> Name {
    name("mallory")
}

fn me() -> Name {
    name("alice")
}

fn entry(who: &str) -> Entry {
    let known = PEOPLE.iter().find(|(person, _)| *person == who);
    let seed = known.map_or(0x99, |(_, seed)| *seed);
    Identity::from_seed(secret(seed)).entry(&name(who))
}

fn door(choice: u8) -> Door {
    let candidates = (0..choice >> 4).map(|number| Candidate(address(2 + number))).collect();
    Door { certificate: [1; 32], knock: secret(0x6b), candidates }
}

fn device() -> SignKey {
    SignKey::from_secret(&secret(0xde))
}

fn setup() -> ServerSetup {
    ServerSetup::generate(&mut rng(20))
}

fn address(host: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, host], 4_000))
}
