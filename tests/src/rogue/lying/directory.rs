//! What the server that lies knows, and what it would say if it were honest.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::SocketAddr,
};

use hither_proto::{
    crypto::{
        label::Label,
        opaque::{CREDENTIAL_BYTES, RECORD_BYTES, ServerLogin, ServerSetup, answer_registration},
        rng::Rng,
        secret::Secret,
        sign::SignPublic,
    },
    identity::Entry,
    login::Channel,
    name::Name,
    note::NoteKind,
    ticket::AttemptId,
    wire::{
        self,
        server::{Candidate, Door, Refusal, Reply, Request, SessionId},
    },
};
use tokio::sync::mpsc::UnboundedSender;

use super::{
    super::rng,
    Foretold, Lie,
    stage::{Parting, Seat, Stage},
};

/// Accounts, connections, and what was said on them.
pub(super) struct Directory {
    pub(super) lie: Lie,
    /// Where whoever asks for somebody is told at once that they are.
    pub(super) foretold: Option<Foretold>,
    /// What was said to whom, lies included.
    pub(super) told: Vec<(String, Vec<u8>)>,
    /// What was heard from whom.
    pub(super) heard: Vec<(String, Vec<u8>)>,
    rng: Rng,
    setup: ServerSetup,
    accounts: BTreeMap<Name, Account>,
    seats: BTreeMap<u64, Seat>,
    /// Who has sent a note to whom: with one each way, they are contacts.
    notes: BTreeSet<(Name, Name)>,
    attempts: BTreeMap<AttemptId, Attempt>,
    numbers: u64,
}

struct Account {
    credential: [u8; CREDENTIAL_BYTES],
    record: [u8; RECORD_BYTES],
    entry: Entry,
    vault: Vec<u8>,
    sessions: BTreeMap<SessionId, [u8; 32]>,
    /// Notes that were not taken yet.
    waiting: BTreeMap<u64, Vec<u8>>,
}

struct Attempt {
    caller: Name,
    callee: Name,
    secret: Secret<32>,
}

impl Directory {
    pub(super) fn new() -> Self {
        let mut rng = rng();
        Self {
            foretold: None,
            lie: Box::new(|_, body| vec![body]),
            told: Vec::new(),
            heard: Vec::new(),
            setup: ServerSetup::generate(&mut rng),
            rng,
            accounts: BTreeMap::new(),
            seats: BTreeMap::new(),
            notes: BTreeSet::new(),
            attempts: BTreeMap::new(),
            numbers: 0,
        }
    }

    /// A connection stands.
    pub(super) fn arrives(
        &mut self,
        number: u64,
        channel: Channel,
        remote: SocketAddr,
        outbox: UnboundedSender<Vec<u8>>,
    ) {
        let seat = Seat { channel, remote, outbox, stage: Stage::Greeting, owner: None };
        self.seats.insert(number, seat);
    }

    /// A connection has ended.
    pub(super) fn leaves(&mut self, number: u64) {
        let Some(seat) = self.seats.remove(&number) else { return };
        if let Some(name) = seat.owner {
            self.shows(&name, false);
        }
    }

    /// Somebody has said something.
    pub(super) fn hears(&mut self, number: u64, body: &[u8]) {
        let request = match wire::decode(body) {
            Ok(request) if self.seats.contains_key(&number) => request,
            _ => return self.leaves(number),
        };
        let stage = self.seats.get_mut(&number).map(|seat| &mut seat.stage).unwrap();
        let stage = std::mem::replace(stage, Stage::Greeting);
        let named = match &request {
            Request::Register { name, .. } | Request::Login { name, .. } => Some(name),
            _ => stage.name(),
        };
        let named = named.map(ToString::to_string).unwrap_or_default();
        self.heard.push((named, body.to_vec()));
        let stage = match stage {
            Stage::Open { name, session, key, parting } => {
                self.serves(number, Stage::Open { name, session, key, parting }, request)
            }
            before => self.greets(number, before, request),
        };
        match (stage, self.seats.get_mut(&number)) {
            (Some(stage), Some(seat)) => seat.stage = stage,
            _ => drop(self.seats.remove(&number)),
        }
    }

    /// Says something to whoever is logged in under a name.
    pub(super) fn says(&mut self, name: &str, body: &[u8]) {
        if let Some(number) = self.seat(&name.parse().unwrap()) {
            // They may just have left.
            let _ = self.seats[&number].outbox.send(body.to_vec());
            self.told.push((name.to_owned(), body.to_vec()));
        }
    }

    pub(super) fn sessions_of(&self, name: &str) -> usize {
        self.accounts.get(&name.parse().unwrap()).map_or(0, |account| account.sessions.len())
    }

    /// What is said before somebody is logged in. Without a next stage, the connection ends.
    fn greets(&mut self, number: u64, stage: Stage, request: Request) -> Option<Stage> {
        let channel = self.seats[&number].channel.clone();
        match (stage, request) {
            (Stage::Greeting, Request::Register { name, request }) => {
                let credential = self.rng.bytes();
                let response = answer_registration(&self.setup, &credential, &request).ok()?;
                self.tells(number, &name, &Reply::Registration { response });
                Some(Stage::Registering { name, credential })
            }
            (
                Stage::Registering { name, credential },
                Request::FinishRegistration { record, vault, entry, device, .. },
            ) => {
                let (sessions, waiting) = (BTreeMap::new(), BTreeMap::new());
                let account = Account { credential, record, entry, vault, sessions, waiting };
                self.accounts.insert(name.clone(), account);
                self.opens(number, name, device, None)
            }
            (Stage::Greeting, Request::Login { name, ke1 }) => {
                let Account { credential, record, .. } = self.accounts.get(&name)?;
                let (rng, context) = (&mut self.rng, channel.login_context());
                let (login, ke2) = ServerLogin::start(
                    rng,
                    &self.setup,
                    name.as_bytes(),
                    credential,
                    Some(record),
                    &context,
                    &ke1,
                )
                .ok()?;
                self.tells(number, &name, &Reply::Login { ke2 });
                Some(Stage::LoggingIn { name, login })
            }
            (Stage::LoggingIn { name, login }, Request::FinishLogin { ke3, device }) => {
                match login.finish(name.as_bytes(), &channel.login_context(), &ke3) {
                    Ok(key) => self.opens(number, name, device, Some(&key)),
                    Err(_) => self.refuses(number, &name),
                }
            }
            (Stage::Greeting, Request::Resume { session, signature }) => {
                let owner = self.accounts.iter().find_map(|(name, account)| {
                    let device = SignPublic(*account.sessions.get(&session)?);
                    let holds = channel.verifies_resumption(device, &session, &signature);
                    holds.then(|| name.clone())
                });
                match owner {
                    Some(name) => self.welcomes(number, name, session, None, false),
                    None => self.refuses(number, &"nobody".parse().unwrap()),
                }
            }
            _ => None,
        }
    }

    fn refuses(&mut self, number: u64, name: &Name) -> Option<Stage> {
        let (why, retry_after_ms) = (Refusal::AuthFailed, None);
        self.tells(number, name, &Reply::Refused { request: None, why, retry_after_ms });
        None
    }

    fn opens(
        &mut self,
        number: u64,
        name: Name,
        device: [u8; 32],
        opaque_key: Option<&Secret<64>>,
    ) -> Option<Stage> {
        let session = self.rng.bytes();
        self.accounts.get_mut(&name)?.sessions.insert(session, device);
        self.welcomes(number, name, session, opaque_key, true)
    }

    fn welcomes(
        &mut self,
        number: u64,
        name: Name,
        session: SessionId,
        opaque_key: Option<&Secret<64>>,
        vault: bool,
    ) -> Option<Stage> {
        // A new connection takes the place of an old one.
        self.seats.retain(|other, seat| *other == number || seat.owner.as_ref() != Some(&name));
        self.seats.get_mut(&number)?.owner = Some(name.clone());
        let account = self.accounts.get(&name)?;
        let (entry, waiting) = (account.entry.clone(), account.waiting.clone());
        let vault = if vault { account.vault.clone() } else { Vec::new() };
        let welcome =
            Reply::Welcome { session, entry, vault, envelope: None, sunset: None, observer: None };
        self.tells(number, &name, &welcome);
        for note in waiting.into_values() {
            self.tells_bytes(number, &name, note);
        }
        let key = self.seats[&number].channel.session_key(&session, opaque_key);
        let there: Vec<Name> = self.friends(&name).filter(|one| self.seat(one).is_some()).collect();
        for other in there {
            self.tells(number, &name, &Reply::Presence { name: other, online: true });
        }
        self.shows(&name, true);
        Some(Stage::Open { name, session, key, parting: None })
    }

    /// What is said to whoever is logged in.
    fn serves(&mut self, number: u64, stage: Stage, request: Request) -> Option<Stage> {
        let Stage::Open { name, session, key, mut parting } = stage else { return None };
        match request {
            Request::Logout { challenge: theirs } => {
                let ours = self.rng.bytes();
                let proof = *key.logout_proof(Label::LogoutServer, &theirs, &ours).expose();
                parting = Some(Parting { theirs, ours });
                self.tells(number, &name, &Reply::LogoutChallenge { challenge: ours, proof });
            }
            Request::FinishLogout { proof } => {
                let Parting { theirs, ours } = parting?;
                if key.logout_proof(Label::LogoutClient, &theirs, &ours).matches(&proof) {
                    self.accounts.get_mut(&name)?.sessions.remove(&session);
                    self.tells(number, &name, &Reply::LoggedOut);
                }
                self.shows(&name, false);
                return None;
            }
            Request::Lookup { request, name: whom } => {
                let entry = self.accounts.get(&whom)?.entry.clone();
                self.tells(number, &name, &Reply::Entry { request, entry });
            }
            Request::SendNote { request, to, kind, note } => {
                self.tells(number, &name, &Reply::Done { request });
                self.passes_on(&name, to, kind, note);
            }
            Request::Withdraw { request, .. } => {
                self.tells(number, &name, &Reply::Done { request });
            }
            Request::NoteTaken { note } => {
                drop(self.accounts.get_mut(&name)?.waiting.remove(&note));
            }
            Request::PutVault { request, vault } => {
                self.accounts.get_mut(&name)?.vault = vault;
                self.tells(number, &name, &Reply::Done { request });
            }
            Request::ListDevices { request } => {
                self.tells(number, &name, &Reply::Devices { request, devices: Vec::new() });
            }
            other => self.introduces(number, &name, other),
        }
        Some(Stage::Open { name, session, key, parting })
    }

    fn passes_on(&mut self, from: &Name, to: Name, kind: NoteKind, sealed: Vec<u8>) {
        self.numbers += 1;
        let note = Reply::Note { note: self.numbers, from: from.clone(), kind, sealed };
        let note = wire::encode(&note);
        let Some(account) = self.accounts.get_mut(&to) else { return };
        account.waiting.insert(self.numbers, note.clone());
        if let Some(seat) = self.seat(&to) {
            self.tells_bytes(seat, &to, note);
        }
        self.notes.insert((from.clone(), to.clone()));
        if self.are_friends(from, &to) && self.seat(&to).is_some() {
            self.shows(from, true);
            self.shows(&to, true);
        }
    }

    fn introduces(&mut self, number: u64, name: &Name, request: Request) {
        match request {
            Request::Introduce { attempt, to, door, first } => {
                let callee = self.seat(&to).filter(|_| self.are_friends(name, &to));
                let Some(callee) = callee else {
                    return self.tells(number, name, &Reply::Unavailable { attempt });
                };
                let secret: Secret<32> = self.rng.secret();
                let (caller, door) = (self.accounts[name].entry.clone(), self.seen(number, door));
                let (told, ahead) = (secret.duplicate(), secret.duplicate());
                let known = Attempt { caller: name.clone(), callee: to.clone(), secret };
                self.attempts.insert(attempt, known);
                let asked =
                    Reply::Asked { attempt, caller, secret: told, door, first, dependent: None };
                if let Some(foretold) = &mut self.foretold {
                    let candidates = foretold(to.as_str());
                    let secret = ahead;
                    let meet = Reply::Meet { attempt, secret, candidates, dependent: false };
                    self.tells(number, name, &meet);
                }
                self.tells(callee, &to, &asked);
            }
            Request::Answer { attempt, door, second } => {
                let Some(Attempt { caller, callee, secret }) = self.attempts.remove(&attempt)
                else {
                    return;
                };
                let (Some(seat), true) = (self.seat(&caller), callee == *name) else { return };
                let (callee, door) = (self.accounts[name].entry.clone(), self.seen(number, door));
                let introduced = Reply::Introduced { attempt, callee, secret, door, second };
                self.tells(seat, &caller, &introduced);
            }
            Request::Decline { attempt } => {
                // It may have been asked twice, and be answered yet.
                let Some(Attempt { caller, .. }) = self.attempts.get(&attempt) else { return };
                let caller = caller.clone();
                if let Some(seat) = self.seat(&caller) {
                    self.tells(seat, &caller, &Reply::Unavailable { attempt });
                }
            }
            _ => {}
        }
    }

    /// A door with the address in front that it is seen at.
    fn seen(&self, number: u64, mut door: Door) -> Door {
        door.candidates.insert(0, Candidate(self.seats[&number].remote));
        door
    }

    /// Tells everybody who may know whether somebody is there.
    fn shows(&mut self, name: &Name, online: bool) {
        for friend in self.friends(name).collect::<Vec<_>>() {
            if let Some(seat) = self.seat(&friend) {
                self.tells(seat, &friend, &Reply::Presence { name: name.clone(), online });
            }
        }
    }

    fn friends(&self, name: &Name) -> impl Iterator<Item = Name> {
        let others = self.accounts.keys().filter(|other| self.are_friends(name, other));
        others.cloned().collect::<Vec<_>>().into_iter()
    }

    fn are_friends(&self, one: &Name, other: &Name) -> bool {
        let noted = |from: &Name, to: &Name| self.notes.contains(&(from.clone(), to.clone()));
        noted(one, other) && noted(other, one)
    }

    fn seat(&self, name: &Name) -> Option<u64> {
        let mut seats = self.seats.iter();
        seats.find_map(|(number, seat)| (seat.owner.as_ref() == Some(name)).then_some(*number))
    }

    fn tells(&mut self, number: u64, name: &Name, reply: &Reply) {
        self.tells_bytes(number, name, wire::encode(reply));
    }

    fn tells_bytes(&mut self, number: u64, name: &Name, body: Vec<u8>) {
        for body in (self.lie)(name.as_str(), body) {
            if let Some(seat) = self.seats.get(&number) {
                // They may just have left.
                let _ = seat.outbox.send(body.clone());
            }
            self.told.push((name.to_string(), body));
        }
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory").field("accounts", &self.accounts.keys()).finish_non_exhaustive()
    }
}
