//! The server's permission for one attempt of two people: single-use, short-lived, bound to both; and what two agree on
//! by themselves for an attempt that the server knows nothing of.

use minicbor::{Decode, Encode};

use crate::{
    crypto::{derive::derive, label::Label, secret::Secret},
    identity::{PublicIdentity, length_prefixed},
    name::Name,
};

/// Which attempt at a connection something belongs to; chosen at random by the caller.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cbor(transparent)]
pub struct AttemptId(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 16]);

/// What an attempt takes that no server grants, out of a secret that both ends have.
#[derive(Debug)]
pub struct Arrangement {
    /// Its id.
    pub attempt: AttemptId,
    /// The key of the knocks at the door of the end that speaks first.
    pub caller_knock: Secret<32>,
    /// The same of the other end.
    pub callee_knock: Secret<32>,
    /// The pre-shared key of the handshake.
    pub psk: Secret<32>,
}

impl Arrangement {
    /// Out of the numbered elements of such a secret; the numbers are for ever.
    pub fn of(element: impl Fn(u8) -> Secret<32>) -> Self {
        let [caller_knock, callee_knock, psk] = [1, 2, 3].map(&element);
        Self { attempt: Self::attempt(element), caller_knock, callee_knock, psk }
    }

    /// The id alone.
    pub fn attempt(element: impl Fn(u8) -> Secret<32>) -> AttemptId {
        let mut id = AttemptId([0; 16]);
        id.0.copy_from_slice(&element(0).expose()[..16]);
        id
    }
}

/// One end of an attempt, as a ticket names it.
#[derive(Clone, Copy, Debug)]
pub struct Party<'a> {
    /// The user name.
    pub name: &'a Name,
    /// The identity that this end must prove.
    pub identity: &'a PublicIdentity,
}

/// What the server hands to both ends of one attempt. It is told to each over its own authenticated
/// connection; neither end can hand it on, because the handshake needs the identity keys as well.
#[derive(Debug)]
pub struct Ticket<'a> {
    /// The attempt. Each end takes part in one attempt once.
    pub attempt: AttemptId,
    /// Who asked.
    pub caller: Party<'a>,
    /// Who was asked.
    pub callee: Party<'a>,
    /// The hash of the throw-away certificate that the caller answers with.
    pub caller_certificate: &'a [u8; 32],
    /// The hash of the callee's.
    pub callee_certificate: &'a [u8; 32],
    /// Fresh from the server. With an honest server, stolen identity keys alone join no session.
    pub secret: &'a Secret<32>,
}

impl Ticket<'_> {
    /// The pre-shared key of the handshake: both ends have the same one only if they were told the same
    /// of every field.
    pub fn psk(&self) -> Secret<32> {
        derive(&self.attempt.0, self.secret.expose(), Label::Ticket, &self.fields())
    }

    /// Every field but the secret, in the fixed layout of `PROTOCOL.md`.
    fn fields(&self) -> Vec<u8> {
        [
            &self.attempt.0[..],
            &length_prefixed(self.caller.name.as_bytes()),
            &length_prefixed(self.callee.name.as_bytes()),
            &self.caller.identity.fingerprint(),
            &self.callee.identity.fingerprint(),
            self.caller_certificate,
            self.callee_certificate,
        ]
        .concat()
    }
}

/// The key of the knocks that the callee lets in. Both ends have it with the ticket's secret, so the caller
/// can dial before it has heard the callee's answer.
pub fn callee_knock(attempt: AttemptId, secret: &Secret<32>) -> Secret<32> {
    derive(&attempt.0, secret.expose(), Label::CalleeKnock, &[])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identity;

    #[test]
    fn a_ticket_is_for_these_two_and_this_attempt() {
        let (alice, bob): (Name, Name) = ("alice".parse().unwrap(), "bob".parse().unwrap());
        let [a, b, c] = [1, 2, 3].map(|byte| Identity::from_seed(Secret::new([byte; 32])).public());
        let secret = Secret::new([7; 32]);
        let ticket = || Ticket {
            attempt: AttemptId([1; 16]),
            caller: Party { name: &alice, identity: &a },
            callee: Party { name: &bob, identity: &b },
            caller_certificate: &[4; 32],
            callee_certificate: &[5; 32],
            secret: &secret,
        };
        let psk = ticket().psk();
        assert!(psk.matches(ticket().psk().expose()));
        for other in [
            Ticket { attempt: AttemptId([2; 16]), ..ticket() },
            Ticket { caller: Party { name: &bob, identity: &a }, ..ticket() },
            Ticket { caller: Party { name: &alice, identity: &c }, ..ticket() },
            Ticket { callee: Party { name: &bob, identity: &c }, ..ticket() },
            Ticket { caller_certificate: &[6; 32], ..ticket() },
            Ticket { callee_certificate: &[6; 32], ..ticket() },
            Ticket { secret: &Secret::new([8; 32]), ..ticket() },
        ] {
            assert!(!psk.matches(other.psk().expose()), "{other:?}");
        }
    }
}
