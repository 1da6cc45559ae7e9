//! An account whose owner holds every key in his own hands.

use std::sync::Arc;

use hither_proto::{
    crypto::{
        opaque::{ClientKeys, ClientLogin, ClientRegistration, KE3_BYTES, Stretching},
        rng::Rng,
        secret::Secret,
        sign::SignKey,
    },
    identity::Identity,
    name::Name,
    vault::{Vault, VaultKey},
    wire::server::{Reply, Request, SessionId},
};

use super::{Link, Online, rng};
use crate::lab::Server;

/// A name, its password and keys.
#[derive(Debug)]
pub struct Account {
    /// The name.
    pub name: Name,
    /// The password.
    pub password: Vec<u8>,
    /// The identity.
    pub identity: Arc<Identity>,
    /// The key by which this machine resumes its session.
    pub device: SignKey,
    /// Randomness.
    pub rng: Rng,
}

impl Account {
    /// Keys for an account that no server knows yet.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut rng = rng();
        Self {
            name: name.parse().unwrap(),
            password: crate::lab::password().into_bytes(),
            identity: Arc::new(Identity::from_seed(rng.secret())),
            device: SignKey::from_secret(&rng.secret()),
            rng,
        }
    }

    /// Makes the account.
    #[track_caller]
    pub fn registers(&mut self, server: &Server) -> Online {
        self.registers_on(Link::to(server))
    }

    /// Makes the account on a connection that stands.
    #[track_caller]
    pub fn registers_on(&mut self, mut link: Link) -> Online {
        let Self { name, password, identity, device, rng } = self;
        let (state, request) = ClientRegistration::start(rng, password).unwrap();
        link.says(&Request::Register { name: name.clone(), request });
        let Reply::Registration { response } = link.hears() else { panic!("no registration") };
        let stretching = Stretching::TRIVIAL;
        let finished = state.finish(rng, name.as_bytes(), password, &response, stretching);
        let (record, keys) = finished.unwrap();
        let seed = identity.seed().duplicate();
        let vault = Vault { seed, server_pin: String::new(), contacts: Vec::new() };
        let key = VaultKey::from_export_key(&keys.export_key, name);
        let vault = key.seal(rng, name, 1, &vault).unwrap();
        let (entry, device) = (identity.entry(name), device.public().0);
        link.says(&Request::FinishRegistration { record, vault, entry, device, invite: None });
        self.is_welcomed(link, None).expect("a welcome")
    }

    /// Logs in.
    #[track_caller]
    pub fn logs_in(&mut self, server: &Server) -> Online {
        self.logs_in_on(Link::to(server))
    }

    /// A login as far as the proof, which the server has not seen yet; nothing if the password is wrong.
    #[track_caller]
    pub fn proves(&mut self, link: &mut Link) -> Option<([u8; KE3_BYTES], ClientKeys)> {
        let Self { name, password, rng, .. } = self;
        let (state, ke1) = ClientLogin::start(rng, password).unwrap();
        link.says(&Request::Login { name: name.clone(), ke1 });
        let Reply::Login { ke2 } = link.hears() else { panic!("no KE2") };
        let (context, stretching) = (link.channel().login_context(), Stretching::TRIVIAL);
        state.finish(rng, name.as_bytes(), password, &context, &ke2, stretching).ok()
    }

    /// Logs in on a connection that stands.
    #[track_caller]
    pub fn logs_in_on(&mut self, mut link: Link) -> Online {
        let (ke3, keys) = self.proves(&mut link).expect("the right password");
        link.says(&Request::FinishLogin { ke3, device: self.device.public().0 });
        self.is_welcomed(link, keys.session_key.as_ref()).expect("a welcome")
    }

    /// Tries to continue a session on a new connection, with this machine's key.
    ///
    /// # Errors
    /// What the server says instead of a welcome.
    #[track_caller]
    pub fn tries_to_resume(
        &mut self,
        server: &Server,
        session: SessionId,
    ) -> Result<Online, Box<Reply>> {
        let link = Link::to(server);
        let signature = link.channel().sign_resumption(&self.device, &session);
        self.tries_to_resume_with(link, session, signature)
    }

    /// Tries to continue a session on a connection, with any proof.
    ///
    /// # Errors
    /// What the server says instead of a welcome.
    #[track_caller]
    pub fn tries_to_resume_with(
        &mut self,
        mut link: Link,
        session: SessionId,
        signature: [u8; 64],
    ) -> Result<Online, Box<Reply>> {
        link.says(&Request::Resume { session, signature });
        self.is_welcomed(link, None)
    }

    #[track_caller]
    fn is_welcomed(
        &mut self,
        mut link: Link,
        opaque_key: Option<&Secret<64>>,
    ) -> Result<Online, Box<Reply>> {
        match link.hears() {
            Reply::Welcome { session, entry, .. } => {
                let key = link.channel().session_key(&session, opaque_key);
                let rng = Rng::from_seed(self.rng.secret());
                let identity = Arc::clone(&self.identity);
                Ok(Online { link, session, key, entry, identity, rng })
            }
            other => Err(Box::new(other)),
        }
    }
}
