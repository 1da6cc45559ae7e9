//! Changing an account at the server: the password is proven anew, on a connection of its own, for one change.

use hither_proto::{
    crypto::{
        opaque::{ClientRegistration, RECORD_BYTES},
        rng::Rng,
        secret::Secret,
        sign::SignKey,
    },
    login::Authenticator,
    name::Name,
    vault::VaultKey,
    wire::server::{ENVELOPE_BYTES, Reply, Request},
};
use zeroize::Zeroizing;

use super::server::{Link, LoggedIn, stretch, stretching};
use crate::fault::Fault;

/// What a proof has brought, and what was registered on the same connection.
struct Proof {
    rng: Rng,
    record: [u8; RECORD_BYTES],
    /// That of what was registered.
    export_key: Secret<64>,
    vault_key: VaultKey,
    /// The session key of what was proven.
    opaque_key: Option<Secret<64>>,
}

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
        self.prove_alone(rng, name, password).await?;
        self.last_word(&Request::DeleteAccount { request: 0 }, name).await
    }

    /// Proves the password or the recovery code, and prepares the password that is to be proven from then on.
    pub(in crate::agent) async fn prepare_change(
        &mut self,
        rng: Rng,
        name: &Name,
        (by, known): (Authenticator, Zeroizing<String>),
        new: Zeroizing<String>,
    ) -> Result<Change, Fault> {
        let new = (Authenticator::Password, new);
        let proof = self.prove(rng, name, (by, known), new).await?;
        let Proof { mut rng, record, export_key, vault_key, opaque_key } = proof;
        let envelope = vault_key.envelope(&mut rng, &export_key, name);
        let envelope = envelope.map_err(|_| self.nonsense())?;
        Ok(Change { rng, record, envelope, vault_key, opaque_key })
    }

    /// Makes a recovery code the one of the account. If this fails because nothing is heard, the server may have
    /// taken it all the same.
    pub(in crate::agent) async fn set_recovery(
        &mut self,
        rng: Rng,
        name: &Name,
        password: Zeroizing<String>,
        code: Zeroizing<String>,
    ) -> Result<(), Fault> {
        let known = (Authenticator::Password, password);
        let proof = self.prove(rng, name, known, (Authenticator::RecoveryCode, code)).await?;
        let Proof { mut rng, record, export_key, vault_key, .. } = proof;
        let envelope = vault_key.recovery_envelope(&mut rng, &export_key, name);
        let envelope = envelope.map_err(|_| self.nonsense())?;
        self.last_word(&Request::SetRecovery { request: 0, record, envelope }, name).await
    }

    /// Leaves the account without a recovery code.
    pub(in crate::agent) async fn remove_recovery(
        &mut self,
        rng: Rng,
        name: &Name,
        password: Zeroizing<String>,
    ) -> Result<(), Fault> {
        self.prove_alone(rng, name, password).await?;
        self.last_word(&Request::RemoveRecovery { request: 0 }, name).await
    }

    /// Whether this is the recovery code of the account: the server has to prove that it is.
    pub(in crate::agent) async fn knows_recovery(
        &mut self,
        rng: Rng,
        name: &Name,
        code: Zeroizing<String>,
    ) -> Result<(), Fault> {
        self.authenticate(Authenticator::RecoveryCode, rng, name, code).await.map(|_| ())
    }

    /// Proves what is known, opens the envelope that this brings, and registers what is to be proven besides it or
    /// instead of it, which the server does not take before it is told to.
    async fn prove(
        &mut self,
        rng: Rng,
        name: &Name,
        (by, known): (Authenticator, Zeroizing<String>),
        (kind, new): (Authenticator, Zeroizing<String>),
    ) -> Result<Proof, Fault> {
        let (mut rng, ke3, keys) = self.authenticate(by, rng, name, known).await?;
        let (registration, request) =
            ClientRegistration::start(&mut rng, new.as_bytes()).map_err(|_| Fault::AuthFailed)?;
        let reply = self.ask(&Request::Prove { ke3, request }, name).await?;
        let Reply::Proven { response, envelope } = reply else { return Err(self.nonsense()) };
        let vault_key = match (by, &envelope) {
            (Authenticator::Password, envelope) => {
                VaultKey::from_proof(&keys.export_key, name, envelope.as_ref())
            }
            (Authenticator::RecoveryCode, Some(envelope)) => {
                VaultKey::from_recovery(&keys.export_key, name, envelope)
            }
            // Another machine was faster, and has spent it.
            (Authenticator::RecoveryCode, None) => return Err(Fault::AuthFailed),
        };
        let vault_key = vault_key.map_err(|_| self.nonsense())?;
        let (rng, finished) = stretch(rng, name, new, move |rng, name, new| {
            registration.finish(rng, name, new, &response, stretching(kind))
        })
        .await?;
        let (record, new_keys) = finished.map_err(|_| Fault::AuthFailed)?;
        let (export_key, opaque_key) = (new_keys.export_key, keys.session_key);
        Ok(Proof { rng, record, export_key, vault_key, opaque_key })
    }

    /// Proves the password for something that needs no other one.
    async fn prove_alone(
        &mut self,
        rng: Rng,
        name: &Name,
        password: Zeroizing<String>,
    ) -> Result<(), Fault> {
        let by = Authenticator::Password;
        let (mut rng, ke3, _) = self.authenticate(by, rng, name, password).await?;
        // A proof asks for another password in the same breath; this one is never set.
        let unused: Secret<32> = rng.secret();
        let (_, request) =
            ClientRegistration::start(&mut rng, unused.expose()).map_err(|_| Fault::AuthFailed)?;
        match self.ask(&Request::Prove { ke3, request }, name).await? {
            Reply::Proven { .. } => Ok(()),
            _ => Err(self.nonsense()),
        }
    }

    /// Asks for what the proof was for, and hears that it is done.
    async fn last_word(&mut self, request: &Request, name: &Name) -> Result<(), Fault> {
        match self.ask(request, name).await? {
            Reply::Done { .. } => Ok(()),
            _ => Err(self.nonsense()),
        }
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
