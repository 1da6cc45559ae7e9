//! A recovery code, and a change of the password, in the hands of somebody who speaks the protocol frame by frame.

use hither_proto::{
    crypto::opaque::{ClientKeys, ClientLogin, ClientRegistration, KE3_BYTES, Stretching},
    name::Name,
    recovery::RecoveryCode,
    vault::VaultKey,
    wire::server::{ENVELOPE_BYTES, Reply, Request},
};

use super::{Account, Link};
use crate::lab::Server;

impl Account {
    /// Makes a recovery code, in the place of any before it.
    #[track_caller]
    pub fn makes_code(&mut self, server: &Server) -> RecoveryCode {
        let mut link = Link::to(server);
        let (ke3, keys) = self.proves(&mut link).expect("the right password");
        let Self { name, rng, .. } = self;
        let code = RecoveryCode::generate(rng);
        let password = code.to_password();
        let (state, request) = ClientRegistration::start(rng, password.as_bytes()).unwrap();
        link.says(&Request::Prove { ke3, request });
        let Reply::Proven { response, envelope } = link.hears() else { panic!("no proof") };
        let key = VaultKey::from_proof(&keys.export_key, name, envelope.as_ref()).unwrap();
        let (bytes, trivial) = (name.as_bytes(), Stretching::TRIVIAL);
        let finished = state.finish(rng, bytes, password.as_bytes(), &response, trivial);
        let (record, keys) = finished.unwrap();
        let envelope = key.recovery_envelope(rng, &keys.export_key, name).unwrap();
        link.says(&Request::SetRecovery { request: 1, record, envelope });
        let done = link.hears();
        assert!(matches!(done, Reply::Done { request: 1 }), "{done:?}");
        code
    }

    /// A recovery as far as the proof, which the server has not seen yet; nothing if the code is not the account's.
    #[track_caller]
    pub fn proves_code(
        &mut self,
        link: &mut Link,
        code: &RecoveryCode,
    ) -> Option<([u8; KE3_BYTES], ClientKeys)> {
        let Self { name, rng, .. } = self;
        let password = code.to_password();
        let (state, ke1) = ClientLogin::start(rng, password.as_bytes()).unwrap();
        link.says(&Request::Recover { name: name.clone(), ke1 });
        let Reply::Login { ke2 } = link.hears() else { panic!("no KE2") };
        let (context, trivial) = (link.channel().recovery_context(), Stretching::TRIVIAL);
        let (name, password) = (name.as_bytes(), password.as_bytes());
        state.finish(rng, name, password, &context, &ke2, trivial).ok()
    }

    /// Says everything that sets another password with the code, and does not wait for the answer.
    #[track_caller]
    pub fn begins_to_recover(&mut self, server: &Server, code: &RecoveryCode, new: &[u8]) -> Link {
        let mut link = Link::to(server);
        let (ke3, keys) = self.proves_code(&mut link, code).expect("the account's code");
        self.sets_password(link, ke3, new, |name, envelope| {
            let envelope = envelope.expect("an envelope for whoever has the code");
            VaultKey::from_recovery(&keys.export_key, name, envelope).unwrap()
        })
    }

    /// The same with the password.
    #[track_caller]
    pub fn begins_to_change(&mut self, server: &Server, new: &[u8]) -> Link {
        let mut link = Link::to(server);
        let (ke3, keys) = self.proves(&mut link).expect("a KE2 for this password");
        self.sets_password(link, ke3, new, |name, envelope| {
            VaultKey::from_proof(&keys.export_key, name, envelope).unwrap()
        })
    }

    /// Proves, and says which password is to count from now on. `opens` makes the vault's key of what the proof brings.
    #[track_caller]
    fn sets_password(
        &mut self,
        mut link: Link,
        ke3: [u8; KE3_BYTES],
        new: &[u8],
        opens: impl FnOnce(&Name, Option<&[u8; ENVELOPE_BYTES]>) -> VaultKey,
    ) -> Link {
        let Self { name, rng, device, .. } = self;
        let (state, request) = ClientRegistration::start(rng, new).unwrap();
        link.says(&Request::Prove { ke3, request });
        let Reply::Proven { response, envelope } = link.hears() else { panic!("no proof") };
        let key = opens(name, envelope.as_ref());
        let finished = state.finish(rng, name.as_bytes(), new, &response, Stretching::TRIVIAL);
        let (record, keys) = finished.unwrap();
        let envelope = key.envelope(rng, &keys.export_key, name).unwrap();
        link.says(&Request::ChangePassword { record, envelope, device: device.public().0 });
        link
    }
}
