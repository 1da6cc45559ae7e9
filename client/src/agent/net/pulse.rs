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

/// Sends what wakes the other end, and copies of it until it says anything.
pub(super) async fn wakes(connection: Connection, frame: Vec<u8>) {
    let said = || {
        let frames = connection.stats().frame_rx;
        frames.stream + frames.datagram
    };
    let (before, round_trip) = (said(), connection.rtt());
    // Where a translator has to be opened first, the other end does not hear of it sooner than after a round trip.
    let mut pause = round_trip / 2;
    for _ in 0..WAKE_COPIES {
        if connection.send_datagram(frame.clone().into()).is_err() {
            return;
        }
        sleep(pause.max(COPIES_APART)).await;
        if said() != before {
            return;
        }
        pause = round_trip / WAKE_COPIES_A_ROUND_TRIP;
    }
}
