//! How somebody in the world makes a recovery code, and comes back with it.

use super::{
    World,
    login::{Change, Proven, Welcomed, password, refusal},
};
use crate::{
    crypto::{
        opaque::{ClientRegistration, Stretching},
        secret::Secret,
        sign::SignKey,
    },
    login::{Authenticator, Channel as Binding},
    name::Name,
    recovery::RecoveryCode,
    vault::{Vault, VaultKey},
    wire::server::{Refusal, Reply, Request},
};

/// A code that the server has not been given yet.
pub(crate) struct NewCode {
    pub(crate) link: u64,
    pub(crate) code: RecoveryCode,
    pub(crate) request: Request,
}

/// A code that was proven, and all that is left to do with it.
pub(crate) struct Recovering {
    pub(crate) change: Change,
    binding: Binding,
    opaque_key: Option<Secret<64>>,
    vault_key: VaultKey,
}

impl Recovering {
    /// What is in the vault that a welcome brings.
    pub(crate) fn open(&self, name: &Name, vault: &[u8]) -> Vault {
        self.vault_key.open(name, vault).unwrap().1
    }
}

impl World {
    /// The person `name` makes a recovery code, with the password.
    pub(crate) fn make_code(&mut self, name: &Name) -> RecoveryCode {
        let NewCode { link, code, request } = self.prepare_code(name).unwrap();
        assert!(matches!(self.ask(link, &request), Reply::Done { request: 5 }));
        assert!(self.is_closed(link));
        code
    }

    /// The same as far as the last word.
    pub(crate) fn prepare_code(&mut self, name: &Name) -> Result<NewCode, Refusal> {
        let known = password(name.as_str());
        let Proven { link, ke3, keys, .. } = self.prove(Authenticator::Password, name, &known)?;
        let code = RecoveryCode::generate(&mut self.rng);
        let new = code.to_password();
        let (client, request) = ClientRegistration::start(&mut self.rng, new.as_bytes()).unwrap();
        let reply = self.ask(link, &Request::Prove { ke3, request });
        let Reply::Proven { response, envelope } = reply else { return Err(refusal(&reply)) };
        let key = VaultKey::from_proof(&keys.export_key, name, envelope.as_ref()).unwrap();
        let (rng, trivial) = (&mut self.rng, Stretching::TRIVIAL);
        let finished = client.finish(rng, name.as_bytes(), new.as_bytes(), &response, trivial);
        let (record, keys) = finished.unwrap();
        let envelope = key.recovery_envelope(rng, &keys.export_key, name).unwrap();
        Ok(NewCode { link, code, request: Request::SetRecovery { request: 5, record, envelope } })
    }

    /// The person `name` wants no recovery code any more.
    pub(crate) fn remove_code(&mut self, name: &Name) {
        let change = self.prove_for_change(name, &password(name.as_str()), b"unused").unwrap();
        let done = self.ask(change.link, &Request::RemoveRecovery { request: 6 });
        assert!(matches!(done, Reply::Done { request: 6 }));
    }

    /// Whoever has the code proves it, and has everything for another password.
    pub(crate) fn prove_code(
        &mut self,
        name: &Name,
        code: &RecoveryCode,
        new: &[u8],
    ) -> Result<Recovering, Refusal> {
        let known = code.to_password();
        let by = Authenticator::RecoveryCode;
        let Proven { link, binding, ke3, keys } = self.prove(by, name, known.as_bytes())?;
        let (client, request) = ClientRegistration::start(&mut self.rng, new).unwrap();
        let reply = self.ask(link, &Request::Prove { ke3, request });
        let Reply::Proven { response, envelope } = reply else { return Err(refusal(&reply)) };
        let envelope = envelope.expect("an envelope for whoever has proven a code");
        let vault_key = VaultKey::from_recovery(&keys.export_key, name, &envelope).unwrap();
        let change = self.another_password(link, name, new, &vault_key, client, &response);
        Ok(Recovering { change, binding, opaque_key: keys.session_key, vault_key })
    }

    /// The same, and the server has not heard the last of it; nobody listens to what it says then.
    pub(crate) fn begin_to_recover(&mut self, name: &Name, code: &RecoveryCode) -> u64 {
        let recovering = self.prove_code(name, code, &password(name.as_str())).unwrap();
        self.send_on(recovering.change.link, &recovering.change.request());
        recovering.change.link
    }

    /// The person `name`, who has forgotten the password, comes back with the code on the machine `who`, which
    /// may be new, and sets the password that people of this world have.
    pub(crate) fn recover(
        &mut self,
        who: &str,
        name: &Name,
        code: &RecoveryCode,
    ) -> Result<(), Refusal> {
        let recovering = self.prove_code(name, code, &password(name.as_str()))?;
        let Recovering { change, binding, opaque_key, vault_key } = recovering;
        let device = SignKey::from_secret(&self.rng.secret());
        let Change { link, record, envelope } = change;
        let request = Request::ChangePassword { record, envelope, device: device.public().0 };
        let (session, vault) = match self.ask(link, &request) {
            Reply::Welcome { session, vault, .. } => (session, vault),
            other => return Err(refusal(&other)),
        };
        let (counter, vault) = vault_key.open(name, &vault).unwrap();
        let session_key = binding.session_key(&session, opaque_key.as_ref());
        let welcomed = Welcomed { link, session, session_key, vault_key, counter, vault, device };
        self.arrive(who, name, welcomed);
        Ok(())
    }
}
