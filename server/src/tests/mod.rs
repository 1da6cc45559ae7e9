//! A whole server in this process, and small clients that say exactly what a test wants said.

mod abuse;
mod enumeration;
mod logins;
mod monitoring;
mod people;

use std::{net::SocketAddr, time::Duration};

use hither_proto::{
    crypto::{
        label::Label,
        opaque::{ClientLogin, ClientRegistration, Stretching},
        rng::Rng,
        secret::Secret,
        sign::SignKey,
    },
    identity::{Entry, Identity},
    login::SessionKey,
    name::Name,
    note::NoteKind,
    vault::{Vault, VaultKey},
    wire::server::{Reply, Request, SessionId, Withdrawal},
};
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::{sync::oneshot, task::JoinHandle, time::timeout};

use crate::{
    config::Config, data::DataFolder, quic::client::Client, serve::Server, storage::Storage,
};

/// Longer than anything takes that a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server with a data folder of its own.
struct Host {
    folder: TempDir,
    config: Config,
    address: SocketAddr,
    metrics: Option<SocketAddr>,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Host {
    async fn start() -> Self {
        Self::start_with(Config::default()).await
    }

    async fn start_with(config: Config) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = "127.0.0.1:0".parse().unwrap();
        DataFolder::init(folder.path(), &config).unwrap();
        let mut host = Self { folder, config, address, metrics: None, running: None };
        host.starts().await;
        host
    }

    async fn starts(&mut self) {
        let config = Config { listen: Some(self.address), ..self.config.clone() };
        let data = DataFolder::open(self.folder.path()).unwrap();
        let server = Server::open(&data, &config).await.unwrap();
        self.address = server.listen();
        self.metrics = server.metrics();
        let (stop, stopped) = oneshot::channel();
        // A test that fails drops the other end, which stops the server as well.
        let running = async { server.run(async { drop(stopped.await) }).await.unwrap() };
        let running = tokio::spawn(running);
        self.running = Some((stop, running));
    }

    async fn stops(&mut self) {
        let (stop, running) = self.running.take().unwrap();
        drop(stop);
        soon(running).await.unwrap();
    }

    /// Lets nobody log in to the one account, and makes an end of the other, between two of its runs.
    async fn disables_and_deletes(&mut self, disabled: &Person, deleted: &Person) {
        self.stops().await;
        let database = DataFolder::open(self.folder.path()).unwrap().database();
        let (storage, thread) = Storage::open(&database).unwrap();
        assert!(storage.disable(disabled.name.clone()).await.unwrap().is_some());
        assert!(storage.delete(deleted.name.clone()).await.unwrap().is_some());
        drop(storage);
        thread.join();
        self.starts().await;
    }

    /// What it keeps, while it does not run.
    fn database(&self) -> Connection {
        assert!(self.running.is_none());
        Connection::open(DataFolder::open(self.folder.path()).unwrap().database()).unwrap()
    }
}

/// Somebody with an identity and a password, on a device.
struct Person {
    name: Name,
    password: Vec<u8>,
    identity: Identity,
    device: SignKey,
    rng: Rng,
}

impl Person {
    fn new(name: &str) -> Self {
        let mut rng = Rng::from_seed(crate::data::random().unwrap());
        Self {
            name: name.parse().unwrap(),
            password: format!("the password of {name}").into_bytes(),
            identity: Identity::from_seed(rng.secret()),
            device: SignKey::from_secret(&rng.secret()),
            rng,
        }
    }

    /// The same person with another password in mind.
    fn mistaken(&self) -> Self {
        let password = b"another password".to_vec();
        Self { password, ..Self::new(self.name.as_str()) }
    }

    async fn registers(&mut self, host: &Host) -> Online {
        self.tries_to_register(host).await.expect("they are registered")
    }

    /// Registers, or says what the server says instead of a welcome.
    async fn tries_to_register(&mut self, host: &Host) -> Result<Online, Reply> {
        let Self { name, password, identity, rng, .. } = self;
        let mut client = Client::connect(host.address).await;
        let (state, request) = ClientRegistration::start(rng, password).unwrap();
        client.send(&Request::Register { name: name.clone(), request }).await;
        let response = match hear(&mut client).await {
            Reply::Registration { response } => response,
            other => return Err(other),
        };
        let stretching = Stretching::TRIVIAL;
        let (record, keys) =
            state.finish(rng, name.as_bytes(), password, &response, stretching).unwrap();
        let seed = identity.seed().duplicate();
        let vault = Vault { seed, server_pin: String::new(), contacts: Vec::new() };
        let key = VaultKey::from_export_key(&keys.export_key, name);
        let vault = key.seal(rng, name, 1, &vault).unwrap();
        let (entry, device) = (identity.entry(name), self.device.public().0);
        let request = Request::FinishRegistration { record, vault, entry, device, invite: None };
        client.send(&request).await;
        Online::welcomed(client, None).await
    }

    async fn logs_in(&mut self, host: &Host) -> Online {
        self.tries_to_log_in(host).await.expect("they are logged in")
    }

    /// Logs in, or says what the server says instead of a welcome. A client that cannot make sense of KE2
    /// would stop there; this one goes on with a proof made of nothing.
    async fn tries_to_log_in(&mut self, host: &Host) -> Result<Online, Reply> {
        let Self { name, password, rng, .. } = self;
        let mut client = Client::connect(host.address).await;
        let context = client.channel().login_context();
        let (state, ke1) = ClientLogin::start(rng, password).unwrap();
        client.send(&Request::Login { name: name.clone(), ke1 }).await;
        let ke2 = match hear(&mut client).await {
            Reply::Login { ke2 } => ke2,
            other => return Err(other),
        };
        let (bytes, stretching) = (name.as_bytes(), Stretching::TRIVIAL);
        let finished = state.finish(rng, bytes, password, &context, &ke2, stretching);
        let device = self.device.public().0;
        let Ok((ke3, keys)) = finished else {
            client.send(&Request::FinishLogin { ke3: [7; 64], device }).await;
            return Err(hear(&mut client).await);
        };
        client.send(&Request::FinishLogin { ke3, device }).await;
        let mut online = Online::welcomed(client, keys.session_key).await?;
        let key = VaultKey::from_export_key(&keys.export_key, name);
        online.seed = key.open(name, &online.vault).ok().map(|(_, vault)| vault.seed);
        Ok(online)
    }

    /// Continues a session without a password.
    async fn tries_to_resume(&self, host: &Host, session: SessionId) -> Result<Online, Reply> {
        let mut client = Client::connect(host.address).await;
        let signature = client.channel().sign_resumption(&self.device, &session);
        client.send(&Request::Resume { session, signature }).await;
        Online::welcomed(client, None).await
    }
}

/// Somebody logged in.
struct Online {
    client: Client,
    session: SessionId,
    key: SessionKey,
    entry: Entry,
    vault: Vec<u8>,
    /// What was in the vault, if the password opened it.
    seed: Option<Secret<32>>,
}

impl Online {
    async fn welcomed(mut client: Client, opaque: Option<Secret<64>>) -> Result<Self, Reply> {
        match hear(&mut client).await {
            Reply::Welcome { session, entry, vault, .. } => {
                let key = client.channel().session_key(&session, opaque.as_ref());
                Ok(Self { client, session, key, entry, vault, seed: None })
            }
            other => Err(other),
        }
    }

    async fn says(&mut self, request: &Request) {
        self.client.send(request).await;
    }

    async fn hears(&mut self) -> Reply {
        hear(&mut self.client).await
    }

    /// Hears that somebody came or went.
    async fn hears_presence(&mut self) -> (String, bool) {
        match self.hears().await {
            Reply::Presence { name, online } => (name.to_string(), online),
            other => panic!("{other:?}"),
        }
    }

    /// Sends a request that is answered with `Done`, whatever else is heard before; says what was.
    async fn does(&mut self, request: &Request) -> Vec<Reply> {
        self.says(request).await;
        let mut before = Vec::new();
        loop {
            match self.hears().await {
                Reply::Done { .. } => return before,
                other => before.push(other),
            }
        }
    }

    async fn sends_note(&mut self, to: &str, kind: NoteKind) -> Vec<Reply> {
        let (to, note) = (to.parse().unwrap(), b"sealed".to_vec());
        self.does(&Request::SendNote { request: 1, to, kind, note }).await
    }

    async fn withdraws(&mut self, from: &str, how: Withdrawal) {
        let name = from.parse().unwrap();
        self.does(&Request::Withdraw { request: 2, name, how }).await;
    }

    /// Everything that waits to be heard. A signal and a request that wait together come in any order, so
    /// one request proves little, and each further one halves the doubt.
    async fn overhears(&mut self) -> Vec<Reply> {
        let mut overheard = Vec::new();
        for request in 0..12 {
            let name = self.entry.name.clone();
            self.says(&Request::Lookup { request, name }).await;
            loop {
                match self.hears().await {
                    Reply::Entry { request: answered, .. } if answered == request => break,
                    other => overheard.push(other),
                }
            }
        }
        overheard
    }

    async fn hears_nothing(&mut self) {
        let overheard = self.overhears().await;
        assert!(overheard.is_empty(), "{overheard:?}");
    }

    /// Goes through the logout exchange and waits for the end of the connection.
    async fn logs_out(mut self) {
        let client = [3; 32];
        self.says(&Request::Logout { challenge: client }).await;
        let (challenge, proof) = loop {
            match self.hears().await {
                Reply::LogoutChallenge { challenge, proof } => break (challenge, proof),
                Reply::Presence { .. } => {}
                other => panic!("{other:?}"),
            }
        };
        assert!(self.key.logout_proof(Label::LogoutServer, &client, &challenge).matches(&proof));
        let proof = self.key.logout_proof(Label::LogoutClient, &client, &challenge);
        self.says(&Request::FinishLogout { proof: *proof.expose() }).await;
        assert!(matches!(self.hears().await, Reply::LoggedOut));
        self.gets_cut_off().await;
    }

    /// Waits for the end of the connection, before which nothing more is said.
    async fn gets_cut_off(mut self) {
        let last = soon(self.client.receive()).await;
        assert!(last.is_none(), "{last:?}");
    }
}

/// Makes two people accept each other, and has both hear all that there is to hear of it.
async fn befriend(a: &mut Online, b: &mut Online) {
    let [first, second] = [&*a, &*b].map(|online| online.entry.name.to_string());
    a.sends_note(&second, NoteKind::Request).await;
    let number = match b.hears().await {
        Reply::Note { note, .. } => note,
        other => panic!("{other:?}"),
    };
    b.says(&Request::NoteTaken { note: number }).await;
    let mut heard = b.sends_note(&first, NoteKind::Accept).await;
    let told = a.overhears().await;
    heard.extend(b.overhears().await);
    let sees = |heard: &[Reply], who: &str| {
        heard.iter().any(
            |reply| matches!(reply, Reply::Presence { name, online: true } if name.as_str() == who),
        )
    };
    assert!(sees(&told, &second) && sees(&heard, &first), "{told:?} {heard:?}");
    assert!(told.iter().any(|reply| matches!(reply, Reply::Note { .. })), "{told:?}");
}

async fn hear(client: &mut Client) -> Reply {
    soon(client.receive()).await.expect("the server says something")
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("it happens at all")
}
