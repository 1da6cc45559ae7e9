//! How many addresses may be dialled: the server names them, and must not make a cannon of this agent.

use crate::{
    limits::{DIALS_BURST, DIALS_PER_SECOND},
    time::Time,
};

/// What may be dialled now, and since when that is counted.
#[derive(Debug)]
pub(super) struct Dials {
    left: u32,
    since: Time,
}

impl Default for Dials {
    fn default() -> Self {
        Self { left: DIALS_BURST, since: Time::ZERO }
    }
}

impl Dials {
    /// How many of `wanted` addresses may be dialled now; they count as dialled.
    pub(super) fn take(&mut self, now: Time, wanted: usize) -> usize {
        let seconds = self.since.until(now).as_secs();
        let gained = u64::from(DIALS_PER_SECOND).saturating_mul(seconds);
        let left = u64::from(self.left).saturating_add(gained).min(u64::from(DIALS_BURST));
        self.since = self.since + std::time::Duration::from_secs(seconds);
        let left = u32::try_from(left).unwrap_or(DIALS_BURST);
        let granted = u32::try_from(wanted).map_or(left, |wanted| wanted.min(left));
        self.left = left - granted;
        granted as usize
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn dials_are_bounded_at_once_and_over_time() {
        let mut dials = Dials::default();
        let burst = DIALS_BURST as usize;
        let later = |millis| Time::ZERO + Duration::from_millis(millis);
        assert_eq!(dials.take(later(0), 8), 8);
        assert_eq!(dials.take(later(0), 10 * burst), burst - 8);
        assert_eq!(dials.take(later(999), 1), 0);
        assert_eq!(dials.take(later(1_001), 100), DIALS_PER_SECOND as usize);
        assert_eq!(dials.take(later(1_999), 1), 0, "nothing is gained twice");
        assert_eq!(dials.take(later(1_000_000_000), usize::MAX), burst);
    }
}
