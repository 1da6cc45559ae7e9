//! Changing an account at the server: the password is proven anew, on a connection of its own, for one change.

use hither_proto::{
    crypto::{
        opaque::{ClientRegistration, RECORD_BYTES, Stretching},
        rng::Rng,
        secret::Secret,
        sign::SignKey,
    },
    name::Name,
    vault::VaultKey,
    wire::server::{ENVELOPE_BYTES, Reply, Request},
};
use zeroize::Zeroizing;

use super::server::{Link, LoggedIn, stretch};
use crate::fault::Fault;

/// What is to be proven from now on, ready to be sent on the connection where the password was proven.
pub(in crate::agent) struct Change {
    rng: Rng,
    record: [u8; RECORD_BYTES],
    envelope: [u8; ENVELOPE_BYTES],
    vault_key: VaultKey,
    opaque_key: Option<Secret<64>>,
}

impl Link {
    /// Deletes the account. If this fails because nothing is heard, the server may have done it all the same.
    pub(in crate::agent) async fn delete_account(
        &mut self,
        rng: Rng,
        name: &Name,
        password: Zeroizing<String>,
    ) -> Result<(), Fault> {
        let (mut rng, ke3, _) = self.authenticate(rng, name, password).await?;
        // A proof asks for another password in the same breath; this one is never set.
        let unused: Secret<32> = rng.secret();
        let (_, request) =
            ClientRegistration::start(&mut rng, unused.expose()).map_err(|_| Fault::AuthFailed)?;
        let Reply::Proven { .. } = self.ask(&Request::Prove { ke3, request }, name).await? else {
            return Err(self.nonsense());
        };
        match self.ask(&Request::DeleteAccount { request: 0 }, name).await? {
            Reply::Done { .. } => Ok(()),
            _ => Err(self.nonsense()),
        }
    }

    /// Proves the password, and prepares what is to be proven instead of it.
    pub(in crate::agent) async fn prepare_change(
        &mut self,
        rng: Rng,
        name: &Name,
        password: Zeroizing<String>,
        new: Zeroizing<String>,
    ) -> Result<Change, Fault> {
        let (mut rng, ke3, keys) = self.authenticate(rng, name, password).await?;
        let (registration, request) =
            ClientRegistration::start(&mut rng, new.as_bytes()).map_err(|_| Fault::AuthFailed)?;
        let reply = self.ask(&Request::Prove { ke3, request }, name).await?;
        let Reply::Proven { response, envelope } = reply else { return Err(self.nonsense()) };
        let vault_key = VaultKey::from_proof(&keys.export_key, name, envelope.as_ref())
            .map_err(|_| self.nonsense())?;
        let (mut rng, finished) = stretch(rng, name, new, move |rng, name, new| {
            registration.finish(rng, name, new, &response, Stretching::STANDARD)
        })
        .await?;
        let (record, new_keys) = finished.map_err(|_| Fault::AuthFailed)?;
        let envelope = vault_key.envelope(&mut rng, &new_keys.export_key, name);
        let envelope = envelope.map_err(|_| self.nonsense())?;
        Ok(Change { rng, record, envelope, vault_key, opaque_key: keys.session_key })
    }

    /// Makes it the password, and logs in with it. If this fails because nothing is heard, the server may have
    /// changed it all the same.
    pub(in crate::agent) async fn change_password(
        &mut self,
        name: &Name,
        change: Change,
    ) -> Result<LoggedIn, Fault> {
        let Change { mut rng, record, envelope, vault_key, opaque_key } = change;
        let device: Secret<32> = rng.secret();
        let public = SignKey::from_secret(&device).public().0;
        let request = Request::ChangePassword { record, envelope, device: public };
        let welcome = self.welcome(&request, name).await?;
        self.logged_in(name, welcome, &vault_key, device, opaque_key.as_ref())
    }
}
