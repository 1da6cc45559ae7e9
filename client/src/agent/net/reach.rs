//! What is known of how this machine can be reached, and what finds out.

use std::net::SocketAddr;

use hither_proto::reach::Mapping;

use super::{
    portmap::PortMapper,
    survey::{Measured, Survey},
};

/// What stands in front of this machine.
pub(in crate::agent) struct Reach {
    pub(in crate::agent) port_mapper: PortMapper,
    /// Where the server sees this machine, as far as that has been followed up.
    pub(in crate::agent) seen: Option<(SocketAddr, Mapping)>,
    /// What is known of the translator in between.
    pub(in crate::agent) measured: Measured,
    /// By which of the server's tokens more is being found out, or nothing could be.
    pub(in crate::agent) survey: Option<([u8; 16], Option<Survey>)>,
}

impl Reach {
    /// Nothing is known yet. `port` is the one of this machine.
    pub(in crate::agent) fn new(port: u16) -> Self {
        let port_mapper = PortMapper::new(port);
        Self { port_mapper, seen: None, measured: Measured::default(), survey: None }
    }
}
