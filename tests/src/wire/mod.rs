//! What can stand between two processes: somebody who listens, and somebody who answers.

mod certificate;
mod forwarder;
mod hello;
pub(crate) mod impostor;
mod initial;
mod spoofer;
mod stranger;
pub(crate) mod tls;
mod versions;

pub use self::{
    certificate::{Pem, presented_certificate},
    forwarder::{Forwarder, Way},
    hello::error_for_tls_1_2,
    impostor::{Forgery, Impostor},
    initial::{initials_in, version_negotiation},
    spoofer::Spoofer,
    stranger::{Stranger, probes, quic_client_gets_through},
    tls::{Dialect, SERVER_NAME, any_server, trimmed_server, trusting_client, trusting_tls},
    versions::OtherVersion,
};
