//! Repeated measurements, and what is said of them.

use std::time::{Duration, Instant};

/// The same thing measured again and again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    /// Something that is measured once, because it does not vary.
    pub(crate) fn once(value: f64) -> Self {
        Self(vec![value])
    }

    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The largest, if there is any.
    pub(crate) fn largest(&self) -> Option<f64> {
        self.0.iter().copied().max_by(f64::total_cmp)
    }

    /// The value below which `share` of all samples lie.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().checked_sub(1).expect("at least one sample");
        sorted[(share * last as f64).round() as usize]
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

/// Measures two things in turns, so that whatever else the machine does befalls both alike.
pub(crate) fn alternately(
    rounds: usize,
    mut thing: impl FnMut() -> f64,
    mut floor: impl FnMut() -> f64,
) -> (Samples, Samples) {
    let (mut things, mut floors) = (Samples::default(), Samples::default());
    for round in 0..rounds {
        // Whoever goes first finds colder caches, so they take turns at that, too.
        if round % 2 == 0 {
            things.push(thing());
            floors.push(floor());
        } else {
            floors.push(floor());
            things.push(thing());
        }
    }
    (things, floors)
}

/// How long something takes, in seconds.
pub(crate) fn seconds(work: impl FnOnce()) -> f64 {
    let began = Instant::now();
    work();
    began.elapsed().as_secs_f64()
}

/// Looks again and again until something holds. Nothing here is timed by how often it looks.
#[track_caller]
pub(crate) fn until(what: &str, patience: Duration, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience;
    while !holds() {
        assert!(Instant::now() < deadline, "waited {patience:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
