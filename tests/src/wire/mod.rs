//! What can stand between two processes: somebody who listens, and somebody who answers.

mod forwarder;
mod impostor;
mod stranger;
pub(crate) mod tls;

pub use self::{
    forwarder::Forwarder,
    impostor::{Forgery, Impostor},
    stranger::{Stranger, quic_client_gets_through},
    tls::Dialect,
};
