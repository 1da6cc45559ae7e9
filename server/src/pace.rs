//! How fast one client is listened to.

use std::time::Duration;

use hither_proto::time::Time;

use crate::limits::{FRAMES_BURST, FRAMES_PER_SECOND};

/// The time that every frame takes up. A client has some in advance.
const FRAME: Duration = Duration::from_nanos(1_000_000_000 / FRAMES_PER_SECOND as u64);

/// What a client has said so far, as a moment at which it would be through with it one frame after another.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace(Time);

impl Pace {
    /// A frame has come.
    pub(crate) fn count(&mut self, now: Time) {
        self.0 = self.0.max(now) + FRAME;
    }

    /// How long the next frame has to wait.
    pub(crate) fn wait(&self, now: Time) -> Duration {
        now.until(self.0).saturating_sub(FRAME * (FRAMES_BURST - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_through_at_once_and_what_follows_at_a_pace() {
        let mut pace = Pace::default();
        let mut now = Time::since_start(Duration::from_secs(7));
        for _ in 0..FRAMES_BURST {
            assert_eq!(pace.wait(now), Duration::ZERO);
            pace.count(now);
        }
        for _ in 0..FRAMES_PER_SECOND {
            let wait = pace.wait(now);
            assert!(wait > Duration::ZERO && wait <= FRAME, "{wait:?}");
            now = now + wait;
            assert_eq!(pace.wait(now), Duration::ZERO);
            pace.count(now);
        }
        let later = now + Duration::from_secs(1);
        for _ in 0..FRAMES_PER_SECOND {
            assert_eq!(pace.wait(later), Duration::ZERO);
            pace.count(later);
        }
        assert!(pace.wait(later) > Duration::ZERO);
    }
}
