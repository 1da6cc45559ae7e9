//! What a login and a session with the server are bound to: the very TLS connection they run on.

use crate::{
    crypto::{
        derive::{authenticate, derive},
        label::Label,
        secret::Secret,
        sign::{SIGNATURE_BYTES, SignKey, SignPublic},
    },
    identity::length_prefixed,
    name::ServerPin,
    wire::server::{PROOF_BYTES, SessionId},
};

/// What somebody proves to know in order to be let at an account.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Authenticator {
    /// The password.
    Password,
    /// The recovery code, which is good for one thing: another password.
    RecoveryCode,
}

/// A connection between a client and a server, as each end sees it. A man in the middle makes two of
/// them, and so no login.
#[derive(Clone, Debug)]
pub struct Channel {
    /// The TLS exporter of the connection ([`crate::crypto::label::SERVER_EXPORTER`]).
    pub exporter: [u8; 32],
    /// The fingerprint of the identity that signed the server's certificate.
    pub pin: ServerPin,
}

impl Channel {
    /// The OPAQUE context: login succeeds only if both ends have the same one.
    pub fn login_context(&self) -> Vec<u8> {
        self.opaque_context(Label::Login)
    }

    /// The OPAQUE context of somebody who has a recovery code instead of the password.
    pub fn recovery_context(&self) -> Vec<u8> {
        self.opaque_context(Label::Recovery)
    }

    fn opaque_context(&self, label: Label) -> Vec<u8> {
        let pin = length_prefixed(self.pin.as_str().as_bytes());
        [label.as_bytes(), &pin, &self.exporter].concat()
    }

    /// The key of the logged-in session. `opaque_key` is OPAQUE's session key after a login with a password
    /// or a recovery code, and missing after a registration or a resumption.
    pub fn session_key(&self, session: &SessionId, opaque_key: Option<&Secret<64>>) -> SessionKey {
        let ikm = opaque_key.map_or(&[][..], |key| key.expose());
        SessionKey(derive(&self.exporter, ikm, Label::ServerSession, session))
    }

    /// A device's proof that it may resume `session` on this connection.
    pub fn sign_resumption(&self, device: &SignKey, session: &SessionId) -> [u8; SIGNATURE_BYTES] {
        device.sign(Label::Resume, &[&session[..], &self.exporter].concat())
    }

    /// Whether `signature` is that proof.
    pub fn verifies_resumption(
        &self,
        device: SignPublic,
        session: &SessionId,
        signature: &[u8; SIGNATURE_BYTES],
    ) -> bool {
        device.verifies(Label::Resume, &[&session[..], &self.exporter].concat(), signature)
    }
}

/// The key that a client and the server share for as long as they are connected.
#[derive(Debug)]
pub struct SessionKey(Secret<32>);

impl SessionKey {
    /// The proof that `label`'s end of the logout exchange knows this key.
    pub fn logout_proof(
        &self,
        label: Label,
        client: &[u8; PROOF_BYTES],
        server: &[u8; PROOF_BYTES],
    ) -> Secret<PROOF_BYTES> {
        authenticate(self.0.expose(), &[label.as_bytes(), client, server])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(byte: u8) -> Channel {
        Channel { exporter: [byte; 32], pin: ServerPin::of_hash(&[1; 32]) }
    }

    #[test]
    fn a_resumption_is_for_one_session_on_one_connection() {
        let device = SignKey::from_secret(&Secret::new([1; 32]));
        let signature = channel(1).sign_resumption(&device, &[2; 16]);
        let verifies = |channel: Channel, session| {
            channel.verifies_resumption(device.public(), session, &signature)
        };
        assert!(verifies(channel(1), &[2; 16]));
        assert!(!verifies(channel(2), &[2; 16]));
        assert!(!verifies(channel(1), &[3; 16]));
    }

    #[test]
    fn the_two_ends_of_a_logout_prove_different_things() {
        let key = channel(1).session_key(&[2; 16], None);
        let client = key.logout_proof(Label::LogoutClient, &[1; 32], &[2; 32]);
        assert!(
            !client.matches(key.logout_proof(Label::LogoutServer, &[1; 32], &[2; 32]).expose())
        );
        let other = channel(2).session_key(&[2; 16], None);
        assert!(
            !client.matches(other.logout_proof(Label::LogoutClient, &[1; 32], &[2; 32]).expose())
        );
    }
}
