//! Life signs: how often silence on a connection is broken, when one of a peer is given up, and what wakes a path that
//! slept. QUIC's own could neither follow what is measured nor be stopped while a path sleeps.

use std::time::Duration;

use hither_proto::limits::{WAKE_COPIES, WAKE_COPIES_A_ROUND_TRIP};
use quinn::{Connection, VarInt};
use tokio::time::{Instant, sleep};

use super::endpoint::{IDLE_TIMEOUT, Network};

/// How often it is looked at whether anything has come.
const PERIOD: Duration = Duration::from_secs(1);

/// Where nothing is far, copies would leave all at once.
const COPIES_APART: Duration = Duration::from_millis(5);

/// Says something that the other end acknowledges, again and again, on a connection that takes so much ahead of being
/// read. Never ends.
///
/// QUIC's own keep-alives come as often as was set when the connection was made, which for the first one to a server is
/// before anything has been measured. That so much may be sent to us is as short as a ping, and acknowledged alike; one
/// byte more or less makes it news.
pub(super) async fn beats(connection: &Connection, network: &Network, window_bytes: u32) {
    loop {
        sleep(network.keep_alive()).await;
        for bytes in [window_bytes, window_bytes + 1] {
            connection.set_receive_window(VarInt::from_u32(bytes));
        }
    }
}

/// Waits until nothing has come for too long.
pub(super) async fn stops(connection: &Connection) {
    let received = || connection.stats().udp_rx.datagrams;
    let mut last = (received(), Instant::now());
    while last.1.elapsed() <= IDLE_TIMEOUT {
        sleep(PERIOD).await;
        if received() != last.0 {
            last = (received(), Instant::now());
        }
    }
}

/// Sends copies of what wakes the other end, until anything comes from there.
pub(super) async fn wakes(connection: Connection, frame: Vec<u8>) {
    let heard = connection.stats().udp_rx.datagrams;
    let pause = (connection.rtt() / WAKE_COPIES_A_ROUND_TRIP).max(COPIES_APART);
    for _ in 0..WAKE_COPIES {
        let sent = connection.send_datagram(frame.clone().into());
        if sent.is_err() || connection.stats().udp_rx.datagrams != heard {
            return;
        }
        sleep(pause).await;
    }
}
