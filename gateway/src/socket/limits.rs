//! How much a client may do: payloads per connection, logins per account. Pure: told the time.

use std::time::{Duration, Instant};

use dashmap::DashMap;
use model::UserId;

/// Payloads a connection may send per [`PAYLOADS_WINDOW`], heartbeats apart; one more is answered
/// with close 4008 (Discord docs, Gateway, "Rate Limiting").
pub const PAYLOADS_MAX: u32 = 120;

/// Heartbeats a connection may send per [`PAYLOADS_WINDOW`]: the same again, so that a client that
/// used up its payloads can still keep the connection. One more is answered with close 4008.
pub const HEARTBEATS_MAX: u32 = 120;

/// WebSocket pings and pongs a connection may send per [`PAYLOADS_WINDOW`]; close 4008.
pub const CONTROL_FRAMES_MAX: u32 = 240;

/// What the three limits above are counted over.
pub const PAYLOADS_WINDOW: Duration = Duration::from_secs(60);

/// Logins that may go on at once per bot: one per key and [`IDENTIFY_WINDOW`], where the key is
/// `shard_id % MAX_CONCURRENCY` (Discord docs, Gateway, "Max Concurrency"). Excess logins get op 9
/// with `d: false`, and the client tries again. `GET /gateway/bot` says this number.
pub const MAX_CONCURRENCY: u32 = 16;

/// See [`MAX_CONCURRENCY`].
pub const IDENTIFY_WINDOW: Duration = Duration::from_secs(5);

/// Logins per account in [`SESSION_STARTS_WINDOW`] (Discord docs, Gateway, "Session Start Limit");
/// one more is answered with close 4004, as Discord resets the token then; here the token stays.
pub const SESSION_STARTS_MAX: u32 = 1_000;

/// See [`SESSION_STARTS_MAX`].
pub const SESSION_STARTS_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);

/// Most accounts whose logins are remembered; at the limit those without a login in the last
/// [`IDENTIFY_WINDOW`] and with few logins are forgotten first.
pub const ACCOUNTS_REMEMBERED_MAX: usize = 100_000;

/// A counter that starts anew when its window has passed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    since: Instant,
    count: u32,
}

impl Window {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            since: now,
            count: 0,
        }
    }

    /// Counts one; `false` when there were `max` already in this window.
    pub(crate) fn take(&mut self, now: Instant, max: u32, length: Duration) -> bool {
        if now.saturating_duration_since(self.since) >= length {
            *self = Self::new(now);
        }
        if self.count >= max {
            return false;
        }
        self.count += 1;
        true
    }
}

/// What kind of thing a connection sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    Payload,
    Heartbeat,
    Control,
}

/// The limits of one connection.
#[derive(Debug)]
pub(crate) struct ConnectionLimits {
    payloads: Window,
    heartbeats: Window,
    controls: Window,
}

impl ConnectionLimits {
    pub(crate) fn new(now: Instant) -> Self {
        let window = Window::new(now);
        Self {
            payloads: window,
            heartbeats: window,
            controls: window,
        }
    }

    /// Counts one; `false` = close with 4008.
    pub(crate) fn take(&mut self, sent: Sent, now: Instant) -> bool {
        let (window, max) = match sent {
            Sent::Payload => (&mut self.payloads, PAYLOADS_MAX),
            Sent::Heartbeat => (&mut self.heartbeats, HEARTBEATS_MAX),
            Sent::Control => (&mut self.controls, CONTROL_FRAMES_MAX),
        };
        window.take(now, max, PAYLOADS_WINDOW)
    }
}

/// Whether an account may log in now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Go on.
    Granted,
    /// Too soon after the last one of the same key: op 9, `d: false`.
    TooSoon,
    /// No logins left today.
    Exhausted,
}

/// How many logins an account has left, as `GET /gateway/bot` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionStarts {
    /// Of [`SESSION_STARTS_MAX`].
    pub remaining: u32,
    /// Until all are there again.
    pub reset_after: Duration,
}

/// The logins of accounts on this node.
#[derive(Debug, Default)]
pub(crate) struct Identifies {
    accounts: DashMap<UserId, Logins>,
}

#[derive(Debug)]
struct Logins {
    day: Window,
    last: [Option<Instant>; MAX_CONCURRENCY as usize],
}

impl Identifies {
    /// Counts a login of `user`; people log in under the daily limit alone.
    pub(crate) fn take(&self, user: UserId, bot: bool, shard: u32, now: Instant) -> Admission {
        self.make_room(now);
        let mut logins = self.accounts.entry(user).or_insert_with(|| Logins {
            day: Window::new(now),
            last: [None; MAX_CONCURRENCY as usize],
        });
        let last = &mut logins.last[(shard % MAX_CONCURRENCY) as usize];
        if bot && last.is_some_and(|last| now.saturating_duration_since(last) < IDENTIFY_WINDOW) {
            return Admission::TooSoon;
        }
        *last = Some(now);
        match logins
            .day
            .take(now, SESSION_STARTS_MAX, SESSION_STARTS_WINDOW)
        {
            true => Admission::Granted,
            false => Admission::Exhausted,
        }
    }

    /// What `user` has left.
    pub(crate) fn left(&self, user: UserId, now: Instant) -> SessionStarts {
        let all = SessionStarts {
            remaining: SESSION_STARTS_MAX,
            reset_after: Duration::ZERO,
        };
        let Some(logins) = self.accounts.get(&user) else {
            return all;
        };
        let passed = now.saturating_duration_since(logins.day.since);
        match SESSION_STARTS_WINDOW.checked_sub(passed) {
            None | Some(Duration::ZERO) => all,
            Some(reset_after) => SessionStarts {
                remaining: SESSION_STARTS_MAX.saturating_sub(logins.day.count),
                reset_after,
            },
        }
    }

    fn make_room(&self, now: Instant) {
        if self.accounts.len() < ACCOUNTS_REMEMBERED_MAX {
            return;
        }
        let recent = |logins: &Logins| {
            logins
                .last
                .iter()
                .flatten()
                .any(|last| now.saturating_duration_since(*last) < IDENTIFY_WINDOW)
        };
        self.accounts
            .retain(|_, logins| recent(logins) || logins.day.count > SESSION_STARTS_MAX / 2);
        if self.accounts.len() >= ACCOUNTS_REMEMBERED_MAX {
            self.accounts.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use model::Id;

    #[test]
    fn a_connection_has_120_payloads_a_minute_and_its_heartbeats() {
        let start = Instant::now();
        let mut limits = ConnectionLimits::new(start);
        for _ in 0..PAYLOADS_MAX {
            assert!(limits.take(Sent::Payload, start));
        }
        assert!(!limits.take(Sent::Payload, start + Duration::from_secs(59)));
        assert!(limits.take(Sent::Heartbeat, start + Duration::from_secs(59)));
        assert!(limits.take(Sent::Payload, start + PAYLOADS_WINDOW));
    }

    #[test]
    fn one_login_per_key_and_window() {
        let identifies = Identifies::default();
        let (bot, start) = (Id::new(1), Instant::now());
        assert_eq!(identifies.take(bot, true, 0, start), Admission::Granted);
        assert_eq!(identifies.take(bot, true, 0, start), Admission::TooSoon);
        assert_eq!(identifies.take(bot, true, 16, start), Admission::TooSoon);
        assert_eq!(identifies.take(bot, true, 1, start), Admission::Granted);
        assert_eq!(
            identifies.take(Id::new(2), true, 0, start),
            Admission::Granted
        );
        assert_eq!(
            identifies.take(bot, true, 0, start + IDENTIFY_WINDOW),
            Admission::Granted
        );
        assert_eq!(
            identifies.left(bot, start).remaining,
            SESSION_STARTS_MAX - 3
        );
    }

    #[test]
    fn a_thousand_logins_a_day() {
        let identifies = Identifies::default();
        let (person, start) = (Id::new(1), Instant::now());
        for _ in 0..SESSION_STARTS_MAX {
            assert_eq!(identifies.take(person, false, 0, start), Admission::Granted);
        }
        assert_eq!(
            identifies.take(person, false, 0, start),
            Admission::Exhausted
        );
        assert_eq!(identifies.left(person, start).remaining, 0);
        let tomorrow = start + SESSION_STARTS_WINDOW;
        assert_eq!(
            identifies.take(person, false, 0, tomorrow),
            Admission::Granted
        );
    }
}
