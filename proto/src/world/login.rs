//! How a machine of the world comes to a logged-in session: registration, login, resumption, logout.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
};

use super::{
    Channel, Delivery, Machine, World,
    disk::{Disk, Platter},
    driver::Crash,
    machine::{Driver, Keys},
    name,
};
use crate::{
    crypto::{
        label::Label,
        opaque::{
            ClientKeys, ClientLogin, ClientRegistration, KE3_BYTES, RECORD_BYTES,
            REGISTRATION_RESPONSE_BYTES, Stretching,
        },
        rng::Rng,
        sign::SignKey,
    },
    directory::{self, Session},
    identity::Identity,
    login::{Authenticator, Channel as Binding, SessionKey},
    name::Name,
    node::{Input, Node, Start, restore},
    vault::{Vault, VaultKey},
    wire::{
        self,
        server::{ENVELOPE_BYTES, Refusal, Reply, Request, SessionId},
    },
};

/// What a login has brought.
pub(super) struct Welcomed {
    pub(super) link: u64,
    pub(super) session: SessionId,
    pub(super) session_key: SessionKey,
    pub(super) vault_key: VaultKey,
    pub(super) counter: u64,
    pub(super) vault: Vault,
    pub(super) device: SignKey,
}

/// A login that the client has everything for.
pub(crate) struct Proven {
    pub(crate) link: u64,
    pub(super) binding: Binding,
    pub(crate) ke3: [u8; KE3_BYTES],
    pub(super) keys: ClientKeys,
}

/// What changes a password, on a connection where the present one is proven.
pub(crate) struct Change {
    pub(crate) link: u64,
    pub(crate) record: [u8; RECORD_BYTES],
    pub(crate) envelope: [u8; ENVELOPE_BYTES],
}

impl Change {
    pub(crate) fn request(&self) -> Request {
        let (record, envelope) = (self.record, self.envelope);
        Request::ChangePassword { record, envelope, device: [0xde; 32] }
    }
}

impl World {
    /// Somebody comes with a new name and a new machine, both called `who`.
    pub(crate) fn register(&mut self, who: &str) {
        assert_eq!(self.try_register(who, None), Ok(()));
    }

    pub(crate) fn try_register(&mut self, who: &str, invite: Option<&str>) -> Result<(), Refusal> {
        let (name, password) = (name(who), password(who));
        let (link, binding) = self.dial_server(self.next_address());
        let (client, request) = ClientRegistration::start(&mut self.rng, &password).unwrap();
        let response = match self.ask(link, &Request::Register { name: name.clone(), request }) {
            Reply::Registration { response } => response,
            other => return Err(refusal(&other)),
        };
        let (record, keys) = client
            .finish(&mut self.rng, name.as_bytes(), &password, &response, Stretching::TRIVIAL)
            .unwrap();
        let vault_key = VaultKey::from_export_key(&keys.export_key, &name);
        let seed = self.rng.secret();
        let identity = Identity::from_seed(seed.duplicate());
        let vault = Vault {
            seed: seed.duplicate(),
            server_pin: self.pin.to_string(),
            contacts: Vec::new(),
        };
        let sealed = vault_key.seal(&mut self.rng, &name, 1, &vault).unwrap();
        let device = SignKey::from_secret(&self.rng.secret());
        let finish = Request::FinishRegistration {
            record,
            vault: sealed,
            entry: identity.entry(&name),
            device: device.public().0,
            invite: invite.map(str::to_owned),
        };
        let session = match self.ask(link, &finish) {
            Reply::Welcome { session, .. } => session,
            other => return Err(refusal(&other)),
        };
        let keys = Keys { seed, vault_key: vault_key.secret().duplicate(), device, session };
        let session_key = binding.session_key(&session, None);
        self.new_machine(who, &name, keys);
        self.machine(who).disk.vault = (1, false);
        self.start(who, link, session_key);
        Ok(())
    }

    /// The person `name` logs in with the password on the machine `who`, which may be new.
    pub(crate) fn log_in(&mut self, who: &str, name: &Name) {
        let welcomed = self.authenticate(name, &password(name.as_str())).unwrap();
        self.arrive(who, name, welcomed);
    }

    /// Whoever was welcomed goes on, on the machine `who`.
    pub(super) fn arrive(&mut self, who: &str, name: &Name, welcomed: Welcomed) {
        let Welcomed { link, session, session_key, vault_key, counter, vault, device } = welcomed;
        let here = self.machines.get(who).map(|machine| machine.disk.remembered());
        let seed = vault.seed.duplicate();
        let remembered = restore(here, counter, vault);
        let vault_key = vault_key.secret().duplicate();
        if let Some(machine) = self.machines.get_mut(who) {
            (machine.keys.device, machine.keys.session) = (device, session);
        } else {
            self.new_machine(who, name, Keys { seed, vault_key, device, session });
        }
        let machine = self.machine(who);
        machine.platter.flushed.remember(remembered.clone());
        machine.disk.remember(remembered);
        (machine.node, machine.ended) = (None, false);
        self.start(who, link, session_key);
    }

    /// A login with the wrong password, or to an account that may not exist.
    pub(crate) fn try_log_in(&mut self, name: &str, password: &[u8]) -> Result<(), Refusal> {
        self.authenticate(&super::name(name), password).map(|_| ())
    }

    /// The agent of `who` comes back without a password: from its disk, if it does not run any more.
    pub(crate) fn resume(&mut self, who: &str) {
        assert_eq!(self.try_resume(who), Ok(()));
        self.run();
    }

    pub(crate) fn try_resume(&mut self, who: &str) -> Result<(), Refusal> {
        let address = self.machine(who).address;
        let (link, binding) = self.dial_server(address);
        let Keys { device, session, .. } = &self.machines[who].keys;
        let session = *session;
        let signature = binding.sign_resumption(device, &session);
        match self.ask(link, &Request::Resume { session, signature }) {
            Reply::Welcome { vault, .. } => assert_eq!(vault, []),
            other => return Err(refusal(&other)),
        }
        self.start(who, link, binding.session_key(&session, None));
        Ok(())
    }

    /// The agent of `who` takes the account back from wherever it is now.
    pub(crate) fn try_return(&mut self, who: &str) -> Result<(), Refusal> {
        let address = self.machine(who).address;
        let (link, binding) = self.dial_server(address);
        let Keys { device, session, vault_key, .. } = &self.machines[who].keys;
        let (session, vault_key) = (*session, vault_key.duplicate());
        let signature = binding.sign_resumption(device, &session);
        let (counter, vault) = match self.ask(link, &Request::Return { session, signature }) {
            Reply::Welcome { vault, .. } => {
                let name = self.machine(who).name.clone();
                VaultKey::from_secret(vault_key).open(&name, &vault).unwrap()
            }
            other => return Err(refusal(&other)),
        };
        let machine = self.machine(who);
        let remembered = restore(Some(machine.disk.remembered()), counter, vault);
        machine.platter.flushed.remember(remembered.clone());
        machine.disk.remember(remembered);
        (machine.node, machine.ended) = (None, false);
        self.start(who, link, binding.session_key(&session, None));
        Ok(())
    }

    /// The agent of `who` begins to come back. How far it comes before something else happens, the seed
    /// decides.
    pub(crate) fn begin_to_resume(&mut self, who: &str) -> u64 {
        let (link, session_key) = self.ask_to_resume(who);
        self.start(who, link, session_key);
        link
    }

    /// The agent of `who` dials the server and asks to continue its session.
    fn ask_to_resume(&mut self, who: &str) -> (u64, SessionKey) {
        let address = self.machine(who).address;
        let (link, binding) = self.dial_server(address);
        let Keys { device, session, .. } = &self.machines[who].keys;
        let session = *session;
        let signature = binding.sign_resumption(device, &session);
        self.send_on(link, &Request::Resume { session, signature });
        (link, binding.session_key(&session, None))
    }

    /// Somebody logs in on a machine that does not matter, and the server has not heard the last of it.
    pub(crate) fn begin_to_log_in(&mut self, name: &Name) -> u64 {
        let (by, password) = (Authenticator::Password, password(name.as_str()));
        let Proven { link, ke3, .. } = self.prove(by, name, &password).unwrap();
        let device = SignKey::from_secret(&self.rng.secret()).public().0;
        self.send_on(link, &Request::FinishLogin { ke3, device });
        link
    }

    /// The whole logout exchange, as the driver of a client conducts it.
    pub(crate) fn log_out(&mut self, who: &str) {
        let (link, challenge) = (self.machine(who).link.unwrap(), [7; 32]);
        let now = self.now;
        self.node(who).part(now);
        self.settle(who);
        self.client_says(who, &Request::Logout { challenge });
        let (server, proof) = self.logout_challenge(who);
        let key = self.machine(who).session_key.take().unwrap();
        assert!(key.logout_proof(Label::LogoutServer, &challenge, &server).matches(&proof));
        let proof = *key.logout_proof(Label::LogoutClient, &challenge, &server).expose();
        self.client_says(who, &Request::FinishLogout { proof });
        assert!(!self.sessions.contains_key(&link));
    }

    /// The server's last challenge to somebody, and its proof.
    pub(crate) fn logout_challenge(&mut self, who: &str) -> ([u8; 32], [u8; 32]) {
        let challenge = |reply| match reply {
            Reply::LogoutChallenge { challenge, proof } => Some((challenge, proof)),
            _ => None,
        };
        self.heard(who).into_iter().filter_map(challenge).next_back().unwrap()
    }

    /// A new connection to the server.
    pub(crate) fn dial_server(&mut self, from: SocketAddr) -> (u64, Binding) {
        let binding = Binding { exporter: self.rng.bytes(), pin: self.pin.clone() };
        let rng = Rng::from_seed(self.rng.secret());
        let session = Session::new(self.now, self.settings, binding.clone(), from, rng);
        let link = self.number();
        self.sessions.insert(link, session);
        (link, binding)
    }

    /// Says something on a connection on which nobody is logged in yet, and gives the answer.
    pub(crate) fn ask(&mut self, link: u64, request: &Request) -> Reply {
        let mut replies = self.ask_bytes(link, &wire::encode(request));
        assert!(!replies.is_empty(), "no answer to {request:?}");
        replies.remove(0)
    }

    /// Says something on a connection of no machine: everything that comes back.
    pub(crate) fn ask_bytes(&mut self, link: u64, body: &[u8]) -> Vec<Reply> {
        self.serve(link, directory::Input::Frame(body));
        while self.is_busy(link) {
            self.deliver_next(&Channel::Storage(link));
        }
        let mut replies = Vec::new();
        while let Some((_, delivery)) =
            self.channels.get_mut(&Channel::Down(link)).and_then(VecDeque::pop_front)
        {
            match delivery {
                Delivery::Frame(body) => replies.push(wire::decode(&body).unwrap()),
                // What follows a welcome waits for the machine.
                other => assert!(matches!(other, Delivery::Closed)),
            }
            if matches!(replies.last(), Some(Reply::Welcome { .. })) {
                break;
            }
        }
        replies
    }

    /// The connection that signals for somebody go to.
    pub(crate) fn bound_to(&self, name: &Name) -> Option<u64> {
        self.bound.get(name).map(|(link, ..)| *link)
    }

    /// The session that speaks for somebody.
    pub(crate) fn bound_session(&self, name: &Name) -> Option<SessionId> {
        self.bound.get(name).map(|(_, session, _)| *session)
    }

    /// Whether the server has closed a connection.
    pub(crate) fn is_closed(&self, link: u64) -> bool {
        !self.sessions.contains_key(&link)
    }

    fn authenticate(&mut self, name: &Name, password: &[u8]) -> Result<Welcomed, Refusal> {
        let Proven { link, binding, ke3, keys } =
            self.prove(Authenticator::Password, name, password)?;
        let device = SignKey::from_secret(&self.rng.secret());
        let (session, vault, envelope) =
            match self.ask(link, &Request::FinishLogin { ke3, device: device.public().0 }) {
                Reply::Welcome { session, vault, envelope, .. } => (session, vault, envelope),
                other => return Err(refusal(&other)),
            };
        let export_key = &keys.export_key;
        let vault_key = VaultKey::from_proof(export_key, name, envelope.as_ref()).unwrap();
        let (counter, vault) = vault_key.open(name, &vault).unwrap();
        let session_key = binding.session_key(&session, keys.session_key.as_ref());
        Ok(Welcomed { link, session, session_key, vault_key, counter, vault, device })
    }

    /// A login as far as the client's proof.
    pub(crate) fn prove(
        &mut self,
        by: Authenticator,
        name: &Name,
        password: &[u8],
    ) -> Result<Proven, Refusal> {
        let (link, binding) = self.dial_server(SocketAddr::from(([192, 0, 2, 251], 9)));
        let (client, ke1) = ClientLogin::start(&mut self.rng, password).unwrap();
        let name_of = name.clone();
        let (login, context) = match by {
            Authenticator::Password => {
                (Request::Login { name: name_of, ke1 }, binding.login_context())
            }
            Authenticator::RecoveryCode => {
                (Request::Recover { name: name_of, ke1 }, binding.recovery_context())
            }
        };
        let ke2 = match self.ask(link, &login) {
            Reply::Login { ke2 } => ke2,
            other => return Err(refusal(&other)),
        };
        let trivial = Stretching::TRIVIAL;
        let finished =
            client.finish(&mut self.rng, name.as_bytes(), password, &context, &ke2, trivial);
        let (ke3, keys) = finished.map_err(|_| Refusal::AuthFailed)?;
        Ok(Proven { link, binding, ke3, keys })
    }

    /// Proves a password in order to change the account, and has everything for another.
    pub(crate) fn prove_for_change(
        &mut self,
        name: &Name,
        password: &[u8],
        new: &[u8],
    ) -> Result<Change, Refusal> {
        let Proven { link, ke3, keys, .. } = self.prove(Authenticator::Password, name, password)?;
        let (client, request) = ClientRegistration::start(&mut self.rng, new).unwrap();
        let reply = self.ask(link, &Request::Prove { ke3, request });
        let Reply::Proven { response, envelope } = reply else { return Err(refusal(&reply)) };
        let key = VaultKey::from_proof(&keys.export_key, name, envelope.as_ref()).unwrap();
        Ok(self.another_password(link, name, new, &key, client, &response))
    }

    pub(super) fn another_password(
        &mut self,
        link: u64,
        name: &Name,
        new: &[u8],
        key: &VaultKey,
        client: ClientRegistration,
        response: &[u8; REGISTRATION_RESPONSE_BYTES],
    ) -> Change {
        let rng = &mut self.rng;
        let finished = client.finish(rng, name.as_bytes(), new, response, Stretching::TRIVIAL);
        let (record, keys) = finished.unwrap();
        let envelope = key.envelope(rng, &keys.export_key, name).unwrap();
        Change { link, record, envelope }
    }

    /// Where the next machine will be.
    fn next_address(&self) -> SocketAddr {
        let host = u8::try_from(self.machines.len() + 1).unwrap();
        SocketAddr::from(([192, 0, 2, host], 4_000))
    }

    fn new_machine(&mut self, who: &str, name: &Name, keys: Keys) {
        let machine = Machine {
            name: name.clone(),
            address: self.next_address(),
            node: None,
            keys,
            disk: Disk::default(),
            link: None,
            session_key: None,
            events: Vec::new(),
            heard: Vec::new(),
            said: Vec::new(),
            frames: Vec::new(),
            doors: BTreeMap::new(),
            dials: BTreeMap::new(),
            guesses: Vec::new(),
            probes: Vec::new(),
            crash_after: None,
            crash: Crash::Killed,
            driver: Driver::Eager,
            platter: Platter::default(),
            full: false,
            resuming: None,
            ended: false,
            unsettled: false,
        };
        self.machines.insert(who.to_owned(), machine);
    }

    /// The agent, from what is on the disk if it does not run, and what it is told of its login.
    fn start(&mut self, who: &str, link: u64, session_key: SessionKey) {
        self.boot(who);
        self.log_on(who, link, session_key);
    }

    /// The agent, from what is on the disk, unless it runs.
    pub(crate) fn boot(&mut self, who: &str) {
        let rng = Rng::from_seed(self.rng.secret());
        let server_pin = self.pin.to_string();
        let machine = self.machine(who);
        let Disk { queue, conversations, .. } = &machine.disk;
        let Keys { seed, vault_key, .. } = &machine.keys;
        let start = Start {
            name: machine.name.clone(),
            identity: Identity::from_seed(seed.duplicate()),
            vault_key: VaultKey::from_secret(vault_key.duplicate()),
            server_pin,
            remembered: machine.disk.remembered(),
            conversations: conversations.clone().into_iter().collect(),
            queue: queue.clone(),
            rng,
        };
        let rest_after = self.rest_after;
        let machine = self.machine(who);
        machine.node.get_or_insert_with(|| Node::new(start)).set_rest_after(rest_after);
    }

    /// The agent is told that it is logged in.
    fn log_on(&mut self, who: &str, link: u64, session_key: SessionKey) {
        let machine = self.machine(who);
        machine.link = Some(link);
        machine.session_key = Some(session_key);
        machine.heard.clear();
        machine.said.clear();
        self.feed(who, Input::ServerUp(None));
    }

    /// The agent of `who` dials the server to continue its session.
    pub(crate) fn dial_back(&mut self, who: &str) {
        self.machine(who).resuming = Some(self.ask_to_resume(who));
    }

    /// The server has said something to an agent that is continuing its session.
    pub(super) fn resumption_heard(&mut self, who: &str, delivery: &Delivery) {
        let Some((link, key)) = self.machine(who).resuming.take() else { return };
        let Delivery::Frame(body) = delivery else { return };
        match wire::decode(body) {
            Ok(Reply::Welcome { .. }) => self.log_on(who, link, key),
            Ok(Reply::Refused { why: Refusal::AuthFailed | Refusal::Parked, .. }) => {
                self.end(who);
            }
            _ => {}
        }
    }
}

pub(super) fn password(name: &str) -> Vec<u8> {
    format!("the password of {name}").into_bytes()
}

pub(super) fn refusal(reply: &Reply) -> Refusal {
    match reply {
        Reply::Refused { why, .. } => *why,
        other => panic!("{other:?} is no refusal"),
    }
}
