//! Slow mode: how long a member still has to wait in a channel (Discord docs, Channels Resource,
//! `rate_limit_per_user`).

use std::collections::HashMap;

use model::{ChannelId, UserId};

/// Most waiting members remembered per guild; at the limit those who need not wait any more are
/// forgotten, and if none are, all (they may post a little early). Counter
/// `guildhall_guild_slow_mode_forgotten_total`.
pub const SLOW_MODE_ENTRIES_MAX: usize = 100_000;

/// When each member may post again, in Unix milliseconds.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct SlowMode(HashMap<(ChannelId, UserId), u64>);

impl SlowMode {
    /// Seconds the member still has to wait, if any.
    pub(super) fn wait(&self, now_ms: u64, channel: ChannelId, user: UserId) -> Option<f64> {
        let until = self.0.get(&(channel, user)).copied()?;
        let left = until.checked_sub(now_ms).filter(|left| *left > 0)?;
        Some(left as f64 / 1_000.0)
    }

    /// Notes that a member posted in a channel with this slow mode.
    pub(super) fn posted(&mut self, channel: ChannelId, user: UserId, now_ms: u64, seconds: u32) {
        if self.0.len() >= SLOW_MODE_ENTRIES_MAX {
            self.0.retain(|_, until| *until > now_ms);
            if self.0.len() >= SLOW_MODE_ENTRIES_MAX {
                metrics::counter!("guildhall_guild_slow_mode_forgotten_total")
                    .increment(self.0.len() as u64);
                self.0.clear();
            }
        }
        self.0
            .insert((channel, user), now_ms + u64::from(seconds) * 1_000);
    }

    /// Forgets a deleted channel.
    pub(super) fn forget(&mut self, channel: ChannelId) {
        self.0.retain(|(of, _), _| *of != channel);
    }
}
