//! How far a migration is: what was moved, how much is left.

use std::collections::BTreeMap;
use std::time::Instant;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use model::MessageId;

use super::scope::Scope;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Named values.
    Settings,
    /// Accounts.
    Accounts,
    /// Read states, one per person and channel.
    ReadStates,
    /// Guilds.
    Guilds,
    /// Roles.
    Roles,
    /// Channels.
    Channels,
    /// Members.
    Members,
    /// Bans.
    Bans,
    /// Messages.
    Messages,
    /// Reactions, one per user and emoji.
    Reactions,
    /// Pins.
    Pins,
    /// Files still to be deleted.
    LostFiles,
    /// Channels still to be purged.
    Purges,
}

impl Kind {
    /// As the metrics and the reports name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Accounts => "accounts",
            Self::ReadStates => "read_states",
            Self::Guilds => "guilds",
            Self::Roles => "roles",
            Self::Channels => "channels",
            Self::Members => "members",
            Self::Bans => "bans",
            Self::Messages => "messages",
            Self::Reactions => "reactions",
            Self::Pins => "pins",
            Self::LostFiles => "lost_files",
            Self::Purges => "purges",
        }
    }
}

/// How many of each kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Counts(BTreeMap<Kind, u64>);

impl Counts {
    /// Adds some.
    pub fn add(&mut self, kind: Kind, some: usize) {
        if some > 0 {
            *self.0.entry(kind).or_default() += u64::try_from(some).unwrap_or(u64::MAX);
        }
    }

    /// Adds all of `other`.
    pub fn add_all(&mut self, other: &Self) {
        for (kind, some) in &other.0 {
            *self.0.entry(*kind).or_default() += some;
        }
    }

    /// How many of a kind.
    pub fn of(&self, kind: Kind) -> u64 {
        self.0.get(&kind).copied().unwrap_or_default()
    }

    /// All kinds of which there are some.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, u64)> + '_ {
        self.0.iter().map(|(kind, some)| (*kind, *some))
    }

    /// All together.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }
}

/// What a migration is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It opens the stores and counts what lies before it.
    Preparing,
    /// It copies.
    Copying,
    /// It reads both stores back and compares.
    Verifying,
}

/// How far it is; shared with whoever shows it.
#[derive(Debug)]
pub struct Progress(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    stage: Stage,
    began: Instant,
    /// Rows of this run.
    counts: Counts,
    scopes: usize,
    done: usize,
    /// How much of each open scope is done, and from where to where it goes.
    open: BTreeMap<Scope, Span>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Span {
    first: Option<u64>,
    last: u64,
    now: u64,
}

impl Span {
    fn part(self) -> f64 {
        let first = self.first.unwrap_or(self.now);
        let (now, all) = (
            self.now.saturating_sub(first),
            self.last.saturating_sub(first),
        );
        if all == 0 {
            0.0
        } else {
            (now as f64 / all as f64).min(1.0)
        }
    }
}

/// What is shown.
#[derive(Debug, Clone, Serialize)]
pub struct Seen {
    /// What it is doing.
    pub stage: Stage,
    /// Rows so far, in this run and stage.
    pub counts: Counts,
    /// How much of the stage is done, 0 to 1: by sections, and inside a channel by the time of its
    /// messages.
    pub part: f64,
    /// Seconds since the stage began.
    pub seconds: f64,
}

impl Seen {
    /// Rows in a second.
    pub fn rate(&self) -> f64 {
        self.counts.total() as f64 / self.seconds.max(0.001)
    }

    /// Seconds it will take on, if it goes on like this; `None` at the beginning.
    pub fn left(&self) -> Option<f64> {
        (self.part > 0.001).then(|| self.seconds * (1.0 - self.part) / self.part)
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Progress {
    /// Nothing done yet.
    pub fn new() -> Self {
        Self(Mutex::new(Inner {
            stage: Stage::Preparing,
            began: Instant::now(),
            counts: Counts::default(),
            scopes: 0,
            done: 0,
            open: BTreeMap::new(),
        }))
    }

    /// What to show now.
    pub fn seen(&self) -> Seen {
        let inner = self.0.lock();
        let open: f64 = inner.open.values().map(|span| span.part()).sum();
        Seen {
            stage: inner.stage,
            counts: inner.counts.clone(),
            part: ((inner.done as f64 + open) / inner.scopes.max(1) as f64).min(1.0),
            seconds: inner.began.elapsed().as_secs_f64(),
        }
    }

    pub(super) fn begin(&self, stage: Stage, scopes: usize) {
        *self.0.lock() = Inner {
            stage,
            began: Instant::now(),
            counts: Counts::default(),
            scopes,
            done: 0,
            open: BTreeMap::new(),
        };
    }

    /// A scope begins; `last` is the last message of it, if it has messages.
    pub(super) fn open(&self, scope: Scope, last: Option<MessageId>) {
        let last = last.map_or(0, |id| id.get() >> 22);
        let span = Span {
            last,
            ..Span::default()
        };
        self.0.lock().open.insert(scope, span);
    }

    /// Rows of a scope are done, the last of them this message.
    pub(super) fn rows(&self, scope: Scope, counts: &Counts, at: Option<MessageId>) {
        let mut inner = self.0.lock();
        inner.counts.add_all(counts);
        if let (Some(span), Some(at)) = (inner.open.get_mut(&scope), at) {
            span.now = at.get() >> 22;
            span.first.get_or_insert(span.now);
        }
    }

    /// A scope is done.
    pub(super) fn close(&self, scope: Scope) {
        let mut inner = self.0.lock();
        inner.open.remove(&scope);
        inner.done += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Id;

    #[test]
    fn the_part_grows_with_scopes_and_inside_a_channel() {
        let progress = Progress::new();
        progress.begin(Stage::Copying, 2);
        let part = || (progress.seen().part * 100.0).round() as u32;
        let id = |ms: u64| Some(Id::new(ms << 22 | 1));
        let channel = Scope::Purged(Id::new(1));
        progress.open(Scope::Settings, None);
        assert_eq!(part(), 0);
        assert_eq!(progress.seen().left(), None);
        progress.close(Scope::Settings);
        assert_eq!(part(), 50);
        progress.open(channel, id(300));
        progress.rows(channel, &Counts::default(), id(100));
        assert_eq!(part(), 50);
        progress.rows(channel, &Counts::default(), id(200));
        assert_eq!(part(), 75);
        progress.close(channel);
        assert_eq!(part(), 100);
    }
}
