//! Notices that the network of this machine is another than before: addresses have changed, or the machine
//! has slept.

use std::{
    net::IpAddr,
    time::{Duration, Instant, SystemTime},
};

use tokio::{sync::mpsc, time::sleep};

use super::addresses;
use crate::agent::ToAgent;

/// How often it is looked at, which costs a few system calls.
const PERIOD: Duration = Duration::from_secs(1);

/// By how much the clock on the wall must be ahead of the one that stands still in sleep.
const SLEPT: Duration = Duration::from_secs(3);

struct Seen {
    own: Vec<IpAddr>,
    awake: Instant,
    wall: SystemTime,
}

impl Seen {
    fn now() -> Self {
        Self { own: addresses::own(None), awake: Instant::now(), wall: SystemTime::now() }
    }

    /// Whether paths that stood before may not stand any more, and others may be found.
    fn differs(&self, before: &Self) -> bool {
        let awake = self.awake.duration_since(before.awake);
        let wall = self.wall.duration_since(before.wall).unwrap_or_default();
        !self.own.is_empty() && (self.own != before.own || wall > awake + SLEPT)
    }
}

/// Tells the agent whenever it has happened, for as long as there is one.
pub(super) async fn watch(to: mpsc::Sender<ToAgent>) {
    let mut before = Seen::now();
    while !to.is_closed() {
        sleep(PERIOD).await;
        let seen = Seen::now();
        if seen.differs(&before) {
            // The agent has gone if it does not listen.
            let _ = to.send(ToAgent::NetworkChanged).await;
        }
        before = seen;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_address_and_sleep_are_noticed_and_the_loss_of_all_is_not() {
        let (awake, wall) = (Instant::now(), SystemTime::now());
        let seen = |host: Option<u8>, awake_secs, wall_secs| Seen {
            own: host.map(|host| IpAddr::from([192, 168, 1, host])).into_iter().collect(),
            awake: awake + Duration::from_secs(awake_secs),
            wall: wall + Duration::from_secs(wall_secs),
        };
        let before = seen(Some(2), 0, 0);
        assert!(!seen(Some(2), 1, 1).differs(&before));
        assert!(seen(Some(3), 1, 1).differs(&before));
        assert!(!seen(None, 1, 1).differs(&before));
        assert!(seen(Some(2), 1, 1).differs(&seen(None, 0, 0)), "it is back");
        assert!(seen(Some(2), 1, 3_600).differs(&before));
    }
}
