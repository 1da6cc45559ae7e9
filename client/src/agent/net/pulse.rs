//! Life signs on a connection to a peer: often enough that the translator in front of this machine remembers it, and until
//! nobody answers any more. QUIC's own could not be stopped while a path sleeps.

use std::time::Duration;

use hither_proto::limits::{WAKE_COPIES, WAKE_COPIES_A_ROUND_TRIP};
use quinn::Connection;
use tokio::time::{Instant, sleep};

use super::endpoint::{IDLE_TIMEOUT, Network};

/// How often a connection is looked at.
const PERIOD: Duration = Duration::from_millis(500);

/// Where nothing is far, copies would leave all at once.
const COPIES_APART: Duration = Duration::from_millis(5);

/// Keeps a connection alive until nothing has come for too long.
pub(super) async fn beats(connection: &Connection, network: &Network) {
    let mut sent = Counted::new(connection.stats().udp_tx.datagrams);
    let mut received = Counted::new(connection.stats().udp_rx.datagrams);
    loop {
        sleep(PERIOD).await;
        let stats = connection.stats();
        if received.is_quiet_for(stats.udp_rx.datagrams) > IDLE_TIMEOUT {
            return;
        }
        if sent.is_quiet_for(stats.udp_tx.datagrams) + PERIOD > network.keep_alive() {
            // One that says nothing. What cannot be sent is not answered, which ends it.
            let _ = connection.send_datagram(Vec::new().into());
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

/// A count of datagrams, and since when it has been what it is.
struct Counted {
    count: u64,
    since: Instant,
}

impl Counted {
    fn new(count: u64) -> Self {
        Self { count, since: Instant::now() }
    }

    fn is_quiet_for(&mut self, count: u64) -> Duration {
        if count != self.count {
            *self = Self::new(count);
        }
        self.since.elapsed()
    }
}
