//! Keeps a connection's way open through translators that forget, as often as is known by now to be needed.

use quinn::{Connection, VarInt};
use tokio::time::sleep;

use super::endpoint::Network;

/// Says something that the other end acknowledges, again and again, on a connection that takes so much ahead of being
/// read. Never ends.
///
/// QUIC's own keep-alives come as often as was set when the connection was made, which for the first one to a server is
/// before anything has been measured. That so much may be sent to us is as short as a ping, and acknowledged alike; one
/// byte more or less makes it news.
pub(super) async fn keep_open(connection: &Connection, network: &Network, window_bytes: u32) {
    loop {
        sleep(network.keep_alive()).await;
        for bytes in [window_bytes, window_bytes + 1] {
            connection.set_receive_window(VarInt::from_u32(bytes));
        }
    }
}
