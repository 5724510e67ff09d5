//! What is said of a cluster that does not do what it is asked: not once for each of the thousands of
//! requests that fail then.

use std::time::{Duration, Instant};

/// Time between two lines about it.
const EVERY: Duration = Duration::from_secs(10);

/// Counts failures between two lines. Pure.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    told: Option<Instant>,
    untold: u64,
}

impl Complaints {
    /// A request failed; how many have since the last line, this one included, if it is time for
    /// another.
    pub(super) fn note(&mut self, now: Instant) -> Option<u64> {
        self.untold += 1;
        let due = self
            .told
            .is_none_or(|told| now.saturating_duration_since(told) >= EVERY);
        due.then(|| {
            self.told = Some(now);
            std::mem::take(&mut self.untold)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_at_once_and_the_others_are_counted() {
        let (mut complaints, began) = (Complaints::default(), Instant::now());
        assert_eq!(complaints.note(began), Some(1));
        for _ in 0..5 {
            assert_eq!(complaints.note(began + EVERY / 2), None);
        }
        assert_eq!(complaints.note(began + EVERY), Some(6));
        assert_eq!(complaints.note(began + EVERY), None);
        assert_eq!(complaints.note(began + 3 * EVERY), Some(2));
    }
}
