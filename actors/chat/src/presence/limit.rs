//! How often a session may change its presence. Pure: the time is an argument.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Most changes of presence a session makes in [`UPDATES_WINDOW`] (Discord's limit of op 3). At
/// the limit the last one waits, the ones before it are dropped. Counter
/// `guildhall_presence_coalesced_total`.
pub const UPDATES_MAX: usize = 5;

/// The window of [`UPDATES_MAX`].
pub const UPDATES_WINDOW: Duration = Duration::from_secs(20);

/// The changes of one session in the last window.
#[derive(Debug, Default)]
pub struct UpdateLimit {
    recent: VecDeque<Instant>,
}

impl UpdateLimit {
    /// Takes a change at `now`, or answers how long it must wait; then nothing was taken.
    ///
    /// # Errors
    /// The time to wait.
    pub fn take(&mut self, now: Instant) -> Result<(), Duration> {
        while self
            .recent
            .front()
            .is_some_and(|oldest| now.duration_since(*oldest) >= UPDATES_WINDOW)
        {
            self.recent.pop_front();
        }
        match self.recent.front() {
            Some(oldest) if self.recent.len() >= UPDATES_MAX => {
                Err(UPDATES_WINDOW.saturating_sub(now.duration_since(*oldest)))
            }
            _ => {
                self.recent.push_back(now);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_in_any_twenty_seconds() {
        let mut limit = UpdateLimit::default();
        let start = Instant::now();
        for second in 0..5 {
            assert_eq!(limit.take(start + Duration::from_secs(second)), Ok(()));
        }
        assert_eq!(
            limit.take(start + Duration::from_secs(5)),
            Err(Duration::from_secs(15))
        );
        assert_eq!(
            limit.take(start + Duration::from_secs(19)),
            Err(Duration::from_secs(1))
        );
        assert_eq!(limit.take(start + Duration::from_secs(20)), Ok(()));
        assert_eq!(
            limit.take(start + Duration::from_secs(20)),
            Err(Duration::from_secs(1))
        );
    }
}
