//! The connection to the server: making it, logging in on it, and carrying frames both ways.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use hither_proto::{
    crypto::{
        label::SERVER_EXPORTER,
        opaque::{ClientKeys, ClientLogin, ClientRegistration, KE3_BYTES, Stretching},
        rng::Rng,
        secret::Secret,
        sign::SignKey,
    },
    identity::{Entry, Identity},
    limits::SERVER_FRAME_BYTES_MAX,
    login::{Authenticator, Channel, SessionKey},
    name::{Host, Name, ServerPin},
    vault::{Vault, VaultKey},
    wire::{
        self,
        server::{ENVELOPE_BYTES, Observer, Refusal, Reply, Request, SessionId, Sunset},
        version::VERSION,
    },
};
use quinn::{ClientConfig, Connection, RecvStream, SendStream};
use rustls::pki_types::CertificateDer;
use tokio::{sync::mpsc, task};
use zeroize::Zeroizing;

use super::{
    dial::{NoDial, dial, no_version},
    door::Opened,
    endpoint::{self, Network, SERVER_WINDOW_BYTES},
    frames, pulse,
    race::race,
    silence, tls,
};
use crate::agent::{ToAgent, session_file::SavedSession};
use crate::fault::Fault;

/// How long a server may take to answer anything.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// How long the server may leave packets unanswered. Dialling it anew is quicker than to wait for a path that
/// has gone.
const SILENCE: Duration = Duration::from_secs(2);

/// Frames that may wait for the network.
const OUTBOX_FRAMES: usize = 1024;

/// A connection to a server on which nobody has logged in yet, or somebody has.
pub(in crate::agent) struct Link {
    host: Host,
    connection: Connection,
    send: SendStream,
    receive: RecvStream,
    pub(super) channel: Channel,
    opened: Opened,
    sunset: Option<Sunset>,
    observer: Option<Observer>,
}

/// What the server gives whoever is logged in.
pub(super) struct Welcome {
    pub(super) session: SessionId,
    pub(super) entry: Entry,
    pub(super) vault: Vec<u8>,
    envelope: Option<[u8; ENVELOPE_BYTES]>,
}

/// What a login gives, beside the connection.
pub(in crate::agent) struct LoggedIn {
    pub(in crate::agent) session: SavedSession,
    pub(in crate::agent) session_key: SessionKey,
    /// The vault, and which version of it this is.
    pub(in crate::agent) vault: (u64, Vault),
}

/// A logged-in connection whose frames are being carried.
pub(in crate::agent) struct Carried {
    pub(in crate::agent) session_key: SessionKey,
    pub(in crate::agent) remote: SocketAddr,
    /// When this version will be too old for the server, if it has said so.
    pub(in crate::agent) sunset: Option<Sunset>,
    /// Where this machine may show itself, if the server has said so with its welcome.
    pub(in crate::agent) observer: Option<Observer>,
    connection: Connection,
    frames: mpsc::Sender<Vec<u8>>,
}

/// What comes down a carried connection.
pub(in crate::agent) enum FromServer {
    Frame(Vec<u8>),
    Gone,
}

impl Link {
    /// Connects to the first address of `host` that answers. If `expected` is given, only that server.
    pub(in crate::agent) async fn connect(
        network: &Network,
        host: &Host,
        expected: Option<ServerPin>,
    ) -> Result<Self, Fault> {
        let unreachable = || Fault::ServerUnreachable { host: host.host.clone(), port: host.port };
        let addresses = tokio::net::lookup_host((host.host.as_str(), host.port)).await;
        let addresses = addresses.map_err(|_| unreachable())?;
        let mut config = tls::server(expected).map(|tls| ClientConfig::new(Arc::new(tls)));
        if let Ok(config) = &mut config {
            config.transport_config(Arc::new(endpoint::server_transport()));
            config.initial_dst_cid_provider(Arc::new(endpoint::random_id));
        }
        let config = config.map_err(|_| unreachable())?;
        let dialled = race(addresses, |address| {
            let (network, config) = (network.clone(), config.clone());
            async move { dial(&network, config, address).await }
        });
        let reasons = match dialled.await {
            Ok((connection, opened)) => return Self::open(host, connection, opened).await,
            Err(reasons) => reasons,
        };
        let said = reasons.iter().rev().find_map(|reason| match reason {
            NoDial::Refused(reason) if tls::is_identity_mismatch(reason) => {
                Some(Fault::ServerIdentityMismatch { host: host.host.clone() })
            }
            NoDial::Version(spoken) => Some(no_version(host, *spoken)),
            NoDial::Refused(_) | NoDial::Silent => None,
        });
        Err(said.unwrap_or_else(unreachable))
    }

    async fn open(host: &Host, connection: Connection, opened: Opened) -> Result<Self, Fault> {
        let unreachable = || Fault::ServerUnreachable { host: host.host.clone(), port: host.port };
        let (send, receive) = connection.open_bi().await.map_err(|_| unreachable())?;
        let mut exporter = [0; 32];
        connection
            .export_keying_material(&mut exporter, SERVER_EXPORTER, b"")
            .map_err(|_| unreachable())?;
        let chain = connection.peer_identity();
        let chain = chain.and_then(|chain| chain.downcast::<Vec<CertificateDer<'static>>>().ok());
        let pin = chain.and_then(|chain| tls::pin(&chain)).ok_or_else(unreachable)?;
        let channel = Channel { exporter, pin };
        let (host, sunset, observer) = (host.clone(), None, None);
        Ok(Self { host, connection, send, receive, channel, opened, sunset, observer })
    }

    /// The server's pin, as the connection proved it.
    pub(in crate::agent) const fn pin(&self) -> &ServerPin {
        &self.channel.pin
    }

    /// Creates an account, and a fresh identity for it.
    pub(in crate::agent) async fn register(
        &mut self,
        mut rng: Rng,
        name: &Name,
        invite: Option<String>,
        password: Zeroizing<String>,
    ) -> Result<LoggedIn, Fault> {
        let (registration, request) = ClientRegistration::start(&mut rng, password.as_bytes())
            .map_err(|_| Fault::AuthFailed)?;
        let register = Request::Register { name: name.clone(), request };
        let reply = self.ask(&register, name).await?;
        let Reply::Registration { response } = reply else { return Err(self.nonsense()) };
        let (mut rng, finished) = stretch(rng, name, password, move |rng, name, password| {
            registration.finish(rng, name, password, &response, Stretching::STANDARD)
        })
        .await?;
        let (record, keys) = finished.map_err(|_| Fault::AuthFailed)?;
        let identity = Identity::from_seed(rng.secret());
        let vault_key = VaultKey::from_export_key(&keys.export_key, name);
        let vault = Vault {
            seed: identity.seed().duplicate(),
            server_pin: self.channel.pin.to_string(),
            contacts: Vec::new(),
        };
        let sealed = vault_key.seal(&mut rng, name, 1, &vault).map_err(|_| self.nonsense())?;
        let device: Secret<32> = rng.secret();
        let request = Request::FinishRegistration {
            record,
            vault: sealed,
            entry: identity.entry(name),
            device: SignKey::from_secret(&device).public().0,
            invite,
        };
        let Welcome { session, entry, .. } = self.welcome(&request, name).await?;
        self.check_own(&entry, name, &identity)?;
        Ok(LoggedIn {
            session_key: self.channel.session_key(&session, None),
            session: self.saved(name, &identity, &vault_key, device, session),
            vault: (1, vault),
        })
    }

    /// Logs in with a password, which brings the identity back.
    pub(in crate::agent) async fn login(
        &mut self,
        rng: Rng,
        name: &Name,
        password: Zeroizing<String>,
    ) -> Result<LoggedIn, Fault> {
        let by = Authenticator::Password;
        let (mut rng, ke3, keys) = self.authenticate(by, rng, name, password).await?;
        let device: Secret<32> = rng.secret();
        let public = SignKey::from_secret(&device).public().0;
        let welcome = self.welcome(&Request::FinishLogin { ke3, device: public }, name).await?;
        let key = VaultKey::from_proof(&keys.export_key, name, welcome.envelope.as_ref())
            .map_err(|_| self.nonsense())?;
        self.logged_in(name, welcome, &key, device, keys.session_key.as_ref())
    }

    /// A login as far as the proof of the password, or of what takes its place.
    pub(super) async fn authenticate(
        &mut self,
        by: Authenticator,
        mut rng: Rng,
        name: &Name,
        password: Zeroizing<String>,
    ) -> Result<(Rng, [u8; KE3_BYTES], ClientKeys), Fault> {
        let (login, ke1) =
            ClientLogin::start(&mut rng, password.as_bytes()).map_err(|_| Fault::AuthFailed)?;
        let (channel, who) = (&self.channel, name.clone());
        let (request, context) = match by {
            Authenticator::Password => (Request::Login { name: who, ke1 }, channel.login_context()),
            Authenticator::RecoveryCode => {
                (Request::Recover { name: who, ke1 }, channel.recovery_context())
            }
        };
        let Reply::Login { ke2 } = self.ask(&request, name).await? else {
            return Err(self.nonsense());
        };
        let (rng, finished) = stretch(rng, name, password, move |rng, name, password| {
            login.finish(rng, name, password, &context, &ke2, stretching(by))
        })
        .await?;
        let (ke3, keys) = finished.map_err(|_| Fault::AuthFailed)?;
        Ok((rng, ke3, keys))
    }

    /// What a welcome brings whoever has the key of the vault.
    pub(super) fn logged_in(
        &self,
        name: &Name,
        welcome: Welcome,
        key: &VaultKey,
        device: Secret<32>,
        opaque_key: Option<&Secret<64>>,
    ) -> Result<LoggedIn, Fault> {
        let Welcome { session, entry, vault, .. } = welcome;
        let (counter, vault) = key.open(name, &vault).map_err(|_| self.nonsense())?;
        let identity = Identity::from_seed(vault.seed.duplicate());
        self.check_own(&entry, name, &identity)?;
        Ok(LoggedIn {
            session_key: self.channel.session_key(&session, opaque_key),
            session: self.saved(name, &identity, key, device, session),
            vault: (counter, vault),
        })
    }

    /// Continues a session of this machine, without a password.
    pub(in crate::agent) async fn resume(
        &mut self,
        saved: &SavedSession,
    ) -> Result<SessionKey, Fault> {
        let device = SignKey::from_secret(&saved.device);
        let signature = self.channel.sign_resumption(&device, &saved.session);
        let request = Request::Resume { session: saved.session, signature };
        let Welcome { session, entry, .. } = self.welcome(&request, &saved.name).await?;
        let me = Identity::from_seed(saved.seed.duplicate());
        if self.check_own(&entry, &saved.name, &me).is_err() {
            // Contacts refuse what it shows them; staying lets them find out.
            tracing::error!("the server shows another identity under this account's name");
        }
        if session == saved.session {
            Ok(self.channel.session_key(&session, None))
        } else {
            Err(self.nonsense())
        }
    }

    /// Takes the account back from another machine, without a password.
    pub(in crate::agent) async fn take_back(
        &mut self,
        saved: &SavedSession,
    ) -> Result<LoggedIn, Fault> {
        let device = SignKey::from_secret(&saved.device);
        let signature = self.channel.sign_resumption(&device, &saved.session);
        let request = Request::Return { session: saved.session, signature };
        let welcome = self.welcome(&request, &saved.name).await?;
        let key = VaultKey::from_secret(saved.vault_key.duplicate());
        self.logged_in(&saved.name, welcome, &key, saved.device.duplicate(), None)
    }

    /// Carries frames from now on: up through the returned [`Carried`], down to the agent.
    pub(in crate::agent) fn carry(
        self,
        session_key: SessionKey,
        network: &Network,
        to: mpsc::Sender<ToAgent>,
    ) -> Carried {
        let Self { connection, mut send, mut receive, opened, sunset, observer, .. } = self;
        let (frames, mut outbox) = mpsc::channel::<Vec<u8>>(OUTBOX_FRAMES);
        let remote = connection.remote_address();
        tokio::spawn(async move {
            while let Some(body) = outbox.recv().await {
                if frames::write(&mut send, &body).await.is_err() {
                    return;
                }
            }
            // A stream that has ended already needs no end.
            let _ = send.finish();
        });
        let (listening, network) = (connection.clone(), network.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = pulse::beats(&listening, &network, SERVER_WINDOW_BYTES) => {}
                () = silence::begins(&listening, SILENCE) => listening.close(0_u32.into(), b""),
                _ = listening.closed() => {}
            }
        });
        let reading = connection.clone();
        tokio::spawn(async move {
            while let Ok(body) = frames::read(&mut receive, SERVER_FRAME_BYTES_MAX).await {
                let frame = FromServer::Frame(body);
                let link = reading.stable_id();
                if to.send(ToAgent::Server { link, what: frame }).await.is_err() {
                    break;
                }
            }
            let link = reading.stable_id();
            reading.close(0_u32.into(), b"");
            drop(opened);
            // The agent has gone if it does not listen.
            let _ = to.send(ToAgent::Server { link, what: FromServer::Gone }).await;
        });
        Carried { session_key, remote, sunset, observer, connection, frames }
    }

    /// What this machine keeps of a login, so that it can go on without a password.
    fn saved(
        &self,
        name: &Name,
        identity: &Identity,
        vault_key: &VaultKey,
        device: Secret<32>,
        session: SessionId,
    ) -> SavedSession {
        SavedSession {
            name: name.clone(),
            host: self.host.clone(),
            pin: self.channel.pin.clone(),
            seed: identity.seed().duplicate(),
            vault_key: vault_key.secret().duplicate(),
            device,
            session,
        }
    }

    /// A server that shows us another entry than our own shows it to others as well.
    fn check_own(&self, entry: &Entry, name: &Name, me: &Identity) -> Result<(), Fault> {
        if entry.verified(name) == Some(me.public()) {
            Ok(())
        } else {
            Err(Fault::ServerIdentityMismatch { host: self.host.host.clone() })
        }
    }

    /// Sends the last message of a login and waits to be welcomed.
    pub(super) async fn welcome(
        &mut self,
        request: &Request,
        name: &Name,
    ) -> Result<Welcome, Fault> {
        match self.ask(request, name).await? {
            Reply::Welcome { session, entry, vault, envelope, sunset, observer } => {
                self.observer = observer;
                self.sunset = sunset.filter(|sunset| sunset.min_version > VERSION);
                Ok(Welcome { session, entry, vault, envelope })
            }
            _ => Err(self.nonsense()),
        }
    }

    pub(super) async fn ask(&mut self, request: &Request, name: &Name) -> Result<Reply, Fault> {
        let asked = async {
            frames::write(&mut self.send, &wire::encode(request)).await.ok()?;
            frames::read(&mut self.receive, SERVER_FRAME_BYTES_MAX).await.ok()
        };
        let body = tokio::time::timeout(PATIENCE, asked).await.ok().flatten();
        let reply = body.and_then(|body| wire::decode::<Reply>(&body).ok());
        match reply.ok_or_else(|| self.nonsense())? {
            Reply::Refused { why, retry_after_ms, .. } => {
                Err(refused(why, retry_after_ms, name, &self.host))
            }
            reply => Ok(reply),
        }
    }

    pub(super) fn nonsense(&self) -> Fault {
        Fault::ServerUnreachable { host: self.host.host.clone(), port: self.host.port }
    }
}

impl Carried {
    /// Which connection this is.
    pub(in crate::agent) fn link(&self) -> usize {
        self.connection.stable_id()
    }

    /// Another port of the server, where it is.
    pub(in crate::agent) fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.remote.ip().to_canonical(), port)
    }

    /// Sends a frame's body. A server that takes nothing for so long is given up.
    pub(in crate::agent) fn send(&self, body: Vec<u8>) {
        if self.frames.try_send(body).is_err() {
            self.close();
        }
    }

    /// Ends the connection.
    pub(in crate::agent) fn close(&self) {
        self.connection.close(0_u32.into(), b"");
    }
}

/// What a guess at it is to cost.
pub(super) const fn stretching(by: Authenticator) -> Stretching {
    match by {
        Authenticator::Password => Stretching::STANDARD,
        Authenticator::RecoveryCode => Stretching::TRIVIAL,
    }
}

/// Runs what takes a second of computing beside the network, and gives the randomness back.
pub(super) async fn stretch<T: Send + 'static>(
    mut rng: Rng,
    name: &Name,
    password: Zeroizing<String>,
    work: impl FnOnce(&mut Rng, &[u8], &[u8]) -> T + Send + 'static,
) -> Result<(Rng, T), Fault> {
    let name = name.clone();
    let worked = task::spawn_blocking(move || {
        let done = work(&mut rng, name.as_bytes(), password.as_bytes());
        (rng, done)
    });
    worked.await.map_err(|_| Fault::AuthFailed)
}

fn refused(why: Refusal, retry_after_ms: Option<u64>, name: &Name, host: &Host) -> Fault {
    let retry_after_ms = retry_after_ms.unwrap_or(1_000);
    match why {
        Refusal::AuthFailed => Fault::AuthFailed,
        Refusal::NameTaken => Fault::NameTaken { name: name.to_string() },
        Refusal::RateLimited => Fault::RateLimited { retry_after_ms },
        Refusal::RegistrationClosed => Fault::RegistrationClosed,
        Refusal::Unavailable => Fault::Unavailable { retry_after_ms },
        Refusal::Disabled => Fault::Disabled,
        Refusal::Parked => Fault::TakenOver,
        Refusal::Conflict | Refusal::Full | Refusal::Unexpected => {
            Fault::ServerVersion { host: host.host.clone() }
        }
    }
}
