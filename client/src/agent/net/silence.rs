//! Notices that nobody answers on a connection, long before the connection is given up.

use std::time::Duration;

use quinn::Connection;
use tokio::time::{Instant, sleep};

/// How often a connection is looked at.
const PERIOD: Duration = Duration::from_millis(500);

/// What was sent and received when something was last in order.
struct Last {
    at: Instant,
    sent: u64,
    received: u64,
}

impl Last {
    fn of(connection: &Connection) -> Self {
        let stats = connection.stats();
        let (sent, received) = (stats.udp_tx.datagrams, stats.udp_rx.datagrams);
        Self { at: Instant::now(), sent, received }
    }
}

/// Waits until packets have gone out for `patience` and two round trips, and none has come back.
pub(super) async fn begins(connection: &Connection, patience: Duration) {
    let mut last = Last::of(connection);
    loop {
        sleep(PERIOD).await;
        let now = Last::of(connection);
        // One packet alone may have been lost, or be an acknowledgement, which nobody answers.
        if now.received != last.received || now.sent < last.sent + 2 {
            let quiet = now.received == last.received && now.sent > last.sent;
            last = if quiet { Last { at: last.at, ..last } } else { now };
        } else if last.at.elapsed() > patience + 2 * connection.rtt() {
            return;
        }
    }
}

/// Waits until something comes again.
pub(super) async fn ends(connection: &Connection) {
    let silent = Last::of(connection);
    while Last::of(connection).received == silent.received {
        sleep(PERIOD).await;
    }
}
