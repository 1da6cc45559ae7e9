//! One address of a server: the connection that it gives, or why it gives none.

use std::net::SocketAddr;

use hither_proto::{
    name::Host,
    wire::{
        self,
        version::{NO_VERSION, NO_VERSION_CODE, Outdated, Versions},
    },
};
use quinn::{
    ClientConfig, Connection, ConnectionError, TransportErrorCode, VarInt,
    crypto::rustls::HandshakeData,
};

use super::{door::Opened, endpoint::Network, server::PATIENCE, tls};
use crate::fault::Fault;

/// The TLS alert `no_application_protocol` (RFC 7301): no version that both know.
const NO_COMMON_VERSION: u8 = 120;

/// Why an address gave no connection.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum NoDial {
    Silent,
    Refused(String),
    /// It speaks other versions of the protocol only: these, if it has said so.
    Version(Option<Versions>),
}

pub(super) fn no_dial(error: ConnectionError) -> NoDial {
    match error {
        ConnectionError::TransportError(error) => NoDial::Refused(error.reason),
        ConnectionError::ConnectionClosed(close)
            if close.error_code == TransportErrorCode::crypto(NO_COMMON_VERSION) =>
        {
            NoDial::Version(None)
        }
        _ => NoDial::Silent,
    }
}

/// Dials one address of a server.
pub(super) async fn dial(
    network: &Network,
    config: ClientConfig,
    address: SocketAddr,
) -> Result<(Connection, Opened), NoDial> {
    let opened = network.door.open(address);
    let connecting =
        network.endpoint.connect_with(config, address, tls::NO_NAME).map_err(|_| NoDial::Silent)?;
    let connected = tokio::time::timeout(PATIENCE, connecting).await;
    let connection = connected.map_err(|_| NoDial::Silent)?.map_err(no_dial)?;
    let agreed = connection.handshake_data().and_then(|data| data.downcast::<HandshakeData>().ok());
    if agreed.is_none_or(|agreed| agreed.protocol.as_deref() == Some(NO_VERSION)) {
        return Err(NoDial::Version(hear_versions(&connection).await));
    }
    Ok((connection, opened))
}

/// What a server says that has no version in common with this program: it closes the connection with it.
async fn hear_versions(connection: &Connection) -> Option<Versions> {
    match tokio::time::timeout(PATIENCE, connection.closed()).await {
        Ok(ConnectionError::ApplicationClosed(close))
            if close.error_code == VarInt::from_u32(NO_VERSION_CODE) =>
        {
            wire::decode(&close.reason).ok()
        }
        _ => None,
    }
}

/// Which end has to be updated, as far as the server has said.
pub(super) fn no_version(host: &Host, spoken: Option<Versions>) -> Fault {
    let host = host.host.clone();
    match spoken.and_then(|spoken| Some((spoken, Versions::OURS.gap(spoken)?))) {
        Some((Versions { oldest, .. }, Outdated::Client)) => {
            Fault::ClientTooOld { host, needed: oldest }
        }
        Some((Versions { newest, .. }, Outdated::Server)) => {
            Fault::ServerTooOld { host, spoken: newest }
        }
        None => Fault::ServerVersion { host },
    }
}
