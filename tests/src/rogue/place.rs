//! An address of this machine, from which any number of connections come.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use hither_proto::name::{self, ServerPin};
use quinn::{AckFrequencyConfig, Connection, ConnectionError, Endpoint, TransportConfig, VarInt};

use super::{Link, runtime, soon};
use crate::{
    lab::Server,
    wire::{Dialect, SERVER_NAME, tls::trusting_client_with},
};

/// As often as agents behind routers that remember for long enough.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// As little as one can read ahead and still be welcomed.
const NARROW_BYTES: u32 = 2 * 1024;

/// A socket that everything goes out from.
#[derive(Clone, Debug)]
pub struct Place {
    endpoint: Endpoint,
    /// What a client takes ahead of its reading, unless it is the usual.
    window: Option<u32>,
}

impl Place {
    /// On an address of loopback. Each is a host of its own to a server.
    #[must_use]
    #[track_caller]
    pub fn at(address: impl Into<IpAddr>) -> Self {
        let _entered = runtime().enter();
        let endpoint = Endpoint::client((address.into(), 0).into()).unwrap();
        Self { endpoint, window: None }
    }

    /// The same for somebody who takes next to nothing that they have not read yet.
    #[must_use]
    pub fn taking_little(self) -> Self {
        Self { window: Some(NARROW_BYTES), ..self }
    }

    /// Connects to a server.
    #[must_use]
    #[track_caller]
    pub fn link_to(&self, server: &Server) -> Link {
        self.try_link_to(server).expect("the server lets us in")
    }

    /// Tries to.
    ///
    /// # Errors
    /// If the server does not let it in.
    #[track_caller]
    pub fn try_link_to(&self, server: &Server) -> Result<Link, ConnectionError> {
        let pin: ServerPin = server.link().parse::<name::Link>().unwrap().pin;
        let connection = self.try_connection_to(server.address())?;
        Ok(Link::on(self.endpoint.clone(), connection, pin))
    }

    /// Tries to connect to a server that says again what it hears, and has it do that so many times with so many bytes.
    ///
    /// # Errors
    /// If the server does not let it in.
    #[track_caller]
    pub fn try_turns_with(
        &self,
        address: SocketAddr,
        turns: usize,
        bytes: usize,
    ) -> Result<Connection, ConnectionError> {
        let connection = self.try_connection_to(address)?;
        soon("what was said, again", async {
            let (mut send, mut receive) = connection.open_bi().await.unwrap();
            let mut heard = vec![0; bytes];
            for _ in 0..turns {
                send.write_all(&vec![1; bytes]).await.unwrap();
                receive.read_exact(&mut heard).await.unwrap();
            }
        });
        Ok(connection)
    }

    /// Tries to connect to any server, and says nothing on the connection.
    ///
    /// # Errors
    /// If the server does not let it in.
    #[track_caller]
    pub fn try_connection_to(&self, address: SocketAddr) -> Result<Connection, ConnectionError> {
        soon("an end of the handshake", async {
            let mut transport = TransportConfig::default();
            transport.keep_alive_interval(Some(KEEP_ALIVE));
            // As agents do.
            let mut rare = AckFrequencyConfig::default();
            rare.ack_eliciting_threshold(VarInt::from_u32(8));
            transport.ack_frequency_config(Some(rare));
            if let Some(window) = self.window {
                transport.stream_receive_window(VarInt::from_u32(window));
            }
            let mut config = trusting_client_with(&Dialect::default(), None);
            config.transport_config(Arc::new(transport));
            self.endpoint.connect_with(config, address, SERVER_NAME).unwrap().await
        })
    }
}
