//! How often something may be done at once, and how often from then on.

use std::time::Duration;

use crate::{
    limits::{DIALS_BURST, DIALS_EVERY, GUESSES_BURST, GUESSES_EVERY},
    time::Time,
};

/// What a server can have this agent send to whom it names.
#[derive(Debug)]
pub(super) struct Allowances {
    pub(super) dials: Allowance,
    pub(super) guesses: Allowance,
}

impl Default for Allowances {
    fn default() -> Self {
        let dials = Allowance::new(DIALS_BURST, DIALS_EVERY);
        Self { dials, guesses: Allowance::new(GUESSES_BURST, GUESSES_EVERY) }
    }
}

/// What may be done now, and since when that is counted.
#[derive(Debug)]
pub(super) struct Allowance {
    most: u32,
    every: Duration,
    left: u32,
    since: Time,
}

impl Allowance {
    /// `most` at once, and from then on one `every` so often.
    const fn new(most: u32, every: Duration) -> Self {
        Self { most, every, left: most, since: Time::ZERO }
    }

    /// How many of `wanted` may be done now; they count as done.
    pub(super) fn take(&mut self, now: Time, wanted: usize) -> usize {
        let gained = self.since.until(now).as_nanos() / self.every.as_nanos();
        // Whatever is gained beyond the most is lost, and with it the exact time at which it was.
        if let Some(gained) = u32::try_from(gained).ok().filter(|gained| *gained < self.most) {
            self.since = self.since + self.every * gained;
            self.left = self.left.saturating_add(gained).min(self.most);
        } else {
            (self.since, self.left) = (now, self.most);
        }
        let granted = u32::try_from(wanted).map_or(self.left, |wanted| wanted.min(self.left));
        self.left -= granted;
        granted as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allowed_is_bounded_at_once_and_over_time() {
        let mut allowance = Allowance::new(256, Duration::from_millis(250));
        let later = |millis| Time::ZERO + Duration::from_millis(millis);
        assert_eq!(allowance.take(later(0), 8), 8);
        assert_eq!(allowance.take(later(0), 2_560), 248);
        assert_eq!(allowance.take(later(249), 1), 0);
        assert_eq!(allowance.take(later(1_001), 100), 4);
        assert_eq!(allowance.take(later(1_249), 1), 0, "nothing is gained twice");
        assert_eq!(allowance.take(later(1_000_000_000), usize::MAX), 256);
    }
}
