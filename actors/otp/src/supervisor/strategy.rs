//! What a supervisor decides, without doing it: whom a failure concerns, when it is too much.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use tokio::time::Instant;

/// Restarts allowed within [`DEFAULT_PERIOD`] unless said otherwise (Elixir: `max_restarts`).
pub const DEFAULT_INTENSITY: usize = 3;

/// The period of [`DEFAULT_INTENSITY`] (Elixir: `max_seconds`).
pub const DEFAULT_PERIOD: Duration = Duration::from_secs(5);

/// Which children a failed one takes along (`supervisor(3)`, strategy).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// None.
    OneForOne,
    /// All.
    OneForAll,
    /// Those started after it.
    RestForOne,
}

impl Strategy {
    /// The positions to be stopped and started again when the child at `failed` fails, in start
    /// order. Always includes `failed`.
    pub fn affected(self, failed: usize, children: usize) -> Range<usize> {
        match self {
            Strategy::OneForOne => failed..failed + 1,
            Strategy::OneForAll => 0..children,
            Strategy::RestForOne => failed..children,
        }
    }
}

/// When a supervisor ends because significant children ended by themselves (`supervisor(3)`,
/// auto_shutdown).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoShutdown {
    /// Never.
    Never,
    /// When one of them did.
    AnySignificant,
    /// When the last of them did.
    AllSignificant,
}

/// Counts restarts over a sliding period. Holds at most `intensity + 1` times.
#[derive(Clone, Debug)]
pub struct RestartWindow {
    intensity: usize,
    period: Duration,
    restarts: VecDeque<Instant>,
}

impl RestartWindow {
    /// Allows `intensity` restarts within `period`.
    pub fn new(intensity: usize, period: Duration) -> RestartWindow {
        RestartWindow {
            intensity,
            period,
            restarts: VecDeque::new(),
        }
    }

    /// Other limits from now on; what was counted stays counted.
    pub(crate) fn change(&mut self, intensity: usize, period: Duration) {
        self.intensity = intensity;
        self.period = period;
    }

    /// Counts one restart; `false` if that makes it too many, so the supervisor has to end.
    pub fn allow(&mut self, now: Instant) -> bool {
        while let Some(oldest) = self.restarts.front() {
            if now.duration_since(*oldest) <= self.period {
                break;
            }
            self.restarts.pop_front();
        }
        self.restarts.push_back(now);
        while self.restarts.len() > self.intensity + 1 {
            self.restarts.pop_front();
        }
        self.restarts.len() <= self.intensity
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A source of numbers that are the same in each run.
    fn numbers(seed: u64) -> impl FnMut(u64) -> u64 {
        let mut state = seed.wrapping_mul(2).wrapping_add(1);
        move |below| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        }
    }

    #[test]
    fn whoever_is_concerned_includes_the_failed_and_is_in_range() {
        for seed in 0..1_000 {
            let mut number = numbers(seed);
            let children = number(50) as usize + 1;
            let failed = number(children as u64) as usize;
            for (strategy, expected) in [
                (Strategy::OneForOne, 1),
                (Strategy::OneForAll, children),
                (Strategy::RestForOne, children - failed),
            ] {
                let affected = strategy.affected(failed, children);
                assert!(affected.contains(&failed));
                assert!(affected.end <= children);
                assert_eq!(affected.len(), expected);
            }
        }
    }

    #[test]
    fn the_window_agrees_with_counting_all_restarts() {
        for seed in 0..500 {
            let mut number = numbers(seed);
            let (intensity, period) = (number(5) as usize, number(20) + 1);
            let mut window = RestartWindow::new(intensity, Duration::from_secs(period));
            let start = Instant::now();
            let (mut second, mut all) = (0, Vec::new());
            for _ in 0..60 {
                second += number(8);
                all.push(second);
                let recent = all.iter().filter(|then| second - **then <= period).count();
                let allowed = window.allow(start + Duration::from_secs(second));
                assert_eq!(allowed, recent <= intensity, "seed {seed}");
            }
        }
    }

    #[test]
    fn one_for_one_concerns_the_failed_child_only() {
        assert_eq!(Strategy::OneForOne.affected(1, 4), 1..2);
    }

    #[test]
    fn one_for_all_concerns_all() {
        assert_eq!(Strategy::OneForAll.affected(1, 4), 0..4);
    }

    #[test]
    fn rest_for_one_concerns_the_later_ones() {
        assert_eq!(Strategy::RestForOne.affected(1, 4), 1..4);
    }

    #[test]
    fn the_window_allows_exactly_its_intensity() {
        let mut window = RestartWindow::new(2, Duration::from_secs(5));
        let start = Instant::now();
        assert!(window.allow(start));
        assert!(window.allow(start + Duration::from_secs(1)));
        assert!(!window.allow(start + Duration::from_secs(5)));
    }

    #[test]
    fn restarts_leave_the_window_after_the_period() {
        let mut window = RestartWindow::new(1, Duration::from_secs(5));
        let start = Instant::now();
        assert!(window.allow(start));
        assert!(window.allow(start + Duration::from_millis(5_001)));
        assert!(!window.allow(start + Duration::from_millis(5_002)));
    }

    #[test]
    fn a_change_counts_what_was_counted() {
        let mut window = RestartWindow::new(2, Duration::from_secs(5));
        let start = Instant::now();
        assert!(window.allow(start));
        window.change(1, Duration::from_secs(5));
        assert!(!window.allow(start + Duration::from_secs(1)));
        window.change(1, Duration::from_millis(500));
        assert!(window.allow(start + Duration::from_secs(2)));
    }

    #[test]
    fn an_intensity_of_zero_allows_nothing() {
        assert!(!RestartWindow::new(0, Duration::from_secs(5)).allow(Instant::now()));
    }
}
