//! One connection to the server that lies: who is there, and how far they have come.

use std::net::SocketAddr;

use hither_proto::{
    crypto::opaque::{CREDENTIAL_BYTES, ServerLogin},
    login::{Channel, SessionKey},
    name::Name,
    wire::server::{PROOF_BYTES, SessionId},
};
use tokio::sync::mpsc::UnboundedSender;

/// A connection.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) channel: Channel,
    pub(super) remote: SocketAddr,
    pub(super) outbox: UnboundedSender<Vec<u8>>,
    pub(super) stage: Stage,
    /// Who is logged in.
    pub(super) owner: Option<Name>,
}

/// What has happened on a connection so far.
#[derive(Debug)]
pub(super) enum Stage {
    /// Nothing.
    Greeting,
    /// Somebody makes an account.
    Registering { name: Name, credential: [u8; CREDENTIAL_BYTES] },
    /// Somebody proves a password.
    LoggingIn { name: Name, login: ServerLogin },
    /// Somebody is logged in.
    Open { name: Name, session: SessionId, key: SessionKey, parting: Option<Parting> },
}

/// The challenges of a logout.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parting {
    pub(super) theirs: [u8; PROOF_BYTES],
    pub(super) ours: [u8; PROOF_BYTES],
}

impl Stage {
    /// Who it is, as far as they have said.
    pub(super) fn name(&self) -> Option<&Name> {
        match self {
            Self::Greeting => None,
            Self::Registering { name, .. }
            | Self::LoggingIn { name, .. }
            | Self::Open { name, .. } => Some(name),
        }
    }
}
