//! Who may log in when many come at once: IDENTIFYs and RESUMEs of a node at a rate each, RESUMEs
//! first, the rest in a line with an end. Pure: told the time.
//!
//! ```text
//!  RESUME ───▶ [bucket] ──▶ in                      in, now
//!     └ empty ▶ line ──────▶ in, when the bucket has filled    … or late: op 7, come back
//!  IDENTIFY ─▶ [bucket] ──▶ in, unless a RESUME waits
//!     └──────▶ line ───────▶ in, when no RESUME waits          … or late: op 9, `d: false`
//! ```
//!
//! * A bucket is a rate and a burst (GCRA: one instant says all).
//! * The order within a kind is that of arrival. A login is late when it has waited [`WAIT_MAX`];
//!   one that would have to is refused at once, and so is one that finds [`WAITING_MAX`] before it.
//! * What those are told is what stock clients handle best. A RESUME gets op 7 and keeps its session
//!   (Discord docs, Gateway Events, "Reconnect"). An IDENTIFY gets op 9 with `d: false`, which is
//!   Discord's answer to too many of them ("Invalid Session", "Max Concurrency"): after op 7 some
//!   clients would RESUME a session they do not have.
//!
//! `admission/gate.rs` has the waiting and the clock.

use std::collections::BTreeMap;
use std::time::Duration;

pub(crate) mod gate;

pub use gate::{HOLD_MAX, HOLD_MIN};

/// Most logins of a kind that wait to be admitted; more are refused. Gauge
/// `guildhall_logins_waiting`, counter `guildhall_logins_refused_total`.
pub const WAITING_MAX: usize = 50_000;

/// Longest wait to be admitted. Below the time after which clients that hear nothing give a
/// connection up (discord.js: one heartbeat interval).
pub const WAIT_MAX: Duration = Duration::from_secs(15);

/// IDENTIFYs a second and processor unless set otherwise: about half of what they cost one.
pub const IDENTIFIES_PER_PROCESSOR: u32 = 1_000;

/// RESUMEs a second and processor unless set otherwise: about half of what they cost one.
pub const RESUMES_PER_PROCESSOR: u32 = 2_500;

/// How a session is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An old one, op 6.
    Resume,
    /// A new one, op 2.
    Identify,
}

impl Kind {
    /// For metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Resume => "resume",
            Self::Identify => "identify",
        }
    }
}

/// How many logins of a kind are admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// In a second, in the long run.
    pub per_second: u32,
    /// At once, after a rest.
    pub burst: u32,
}

impl Rate {
    /// At least one a second and one at once.
    pub fn new(per_second: u32, burst: u32) -> Self {
        Self {
            per_second: per_second.max(1),
            burst: burst.max(1),
        }
    }

    /// `each` for every processor of this machine, a second's worth at once.
    pub fn per_processor(each: u32) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let per_second = each.saturating_mul(u32::try_from(processors).unwrap_or(u32::MAX));
        Self::new(per_second, per_second)
    }

    fn interval(self) -> Duration {
        Duration::from_secs(1) / self.per_second
    }
}

/// What becomes of a login that comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It is in.
    Admitted,
    /// It waits under this number until [`Admission::pass`] names it.
    Waits(Ticket),
    /// It cannot be admitted in time.
    Refused,
}

/// Names a login that waits. Later ones have higher numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ticket(u64);

/// What time has brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Passed {
    /// These are in, in this order.
    pub(crate) admitted: Vec<(Kind, Ticket)>,
    /// These have waited too long.
    pub(crate) late: Vec<(Kind, Ticket)>,
}

/// A bucket by the generic cell rate algorithm (ITU-T I.371): `full_at` is when it will be full.
#[derive(Debug)]
struct Bucket {
    rate: Rate,
    full_at: Duration,
}

impl Bucket {
    /// When there is one for the next, if not now.
    fn free_at(&self) -> Duration {
        let slack = self.rate.interval() * (self.rate.burst - 1);
        self.full_at.saturating_sub(slack)
    }

    fn take(&mut self, now: Duration) -> bool {
        if self.free_at() > now {
            return false;
        }
        self.full_at = self.full_at.max(now) + self.rate.interval();
        true
    }
}

/// One kind: its bucket, and those who wait with the end of their patience, by number.
#[derive(Debug)]
struct Line {
    bucket: Bucket,
    waiting: BTreeMap<Ticket, Duration>,
}

impl Line {
    fn new(rate: Rate) -> Self {
        Self {
            bucket: Bucket {
                rate,
                full_at: Duration::ZERO,
            },
            waiting: BTreeMap::new(),
        }
    }

    /// When a login that comes now would be admitted if nobody gave up.
    fn turn_of_next(&self) -> Duration {
        let ahead = u32::try_from(self.waiting.len()).unwrap_or(u32::MAX);
        self.bucket
            .free_at()
            .saturating_add(self.bucket.rate.interval().saturating_mul(ahead))
    }
}

/// The logins of a node. All times are counted from one beginning and never go back.
#[derive(Debug)]
pub(crate) struct Admission {
    resume: Line,
    identify: Line,
    next: u64,
}

impl Admission {
    /// Full buckets, nobody waits.
    pub(crate) fn new(resume: Rate, identify: Rate) -> Self {
        Self {
            resume: Line::new(resume),
            identify: Line::new(identify),
            next: 0,
        }
    }

    fn line(&mut self, kind: Kind) -> &mut Line {
        match kind {
            Kind::Resume => &mut self.resume,
            Kind::Identify => &mut self.identify,
        }
    }

    /// A login comes. Call [`Admission::pass`] first, so that those who wait keep their turn.
    pub(crate) fn arrive(&mut self, kind: Kind, now: Duration) -> Arrival {
        let resumes_wait = !self.resume.waiting.is_empty();
        let ticket = Ticket(self.next);
        let line = self.line(kind);
        let first = line.waiting.is_empty() && (kind == Kind::Resume || !resumes_wait);
        if first && line.bucket.take(now) {
            return Arrival::Admitted;
        }
        let until = now + WAIT_MAX;
        if line.waiting.len() >= WAITING_MAX || line.turn_of_next() > until {
            return Arrival::Refused;
        }
        line.waiting.insert(ticket, until);
        self.next += 1;
        Arrival::Waits(ticket)
    }

    /// A login that waits has gone away.
    pub(crate) fn withdraw(&mut self, kind: Kind, ticket: Ticket) {
        self.line(kind).waiting.remove(&ticket);
    }

    /// Admits whom it may and sends those away who have waited too long.
    pub(crate) fn pass(&mut self, now: Duration) -> Passed {
        let mut passed = Passed::default();
        for kind in [Kind::Resume, Kind::Identify] {
            let line = self.line(kind);
            // Those who came first have the least patience left.
            while let Some(entry) = line.waiting.first_entry()
                && *entry.get() < now
            {
                passed.late.push((kind, entry.remove_entry().0));
            }
        }
        for kind in [Kind::Resume, Kind::Identify] {
            let line = self.line(kind);
            while let Some(entry) = line.waiting.first_entry()
                && line.bucket.take(now)
            {
                passed.admitted.push((kind, entry.remove_entry().0));
            }
            if !line.waiting.is_empty() {
                // IDENTIFYs wait for all RESUMEs.
                break;
            }
        }
        passed
    }

    /// When [`Admission::pass`] has something to do next; `None` when nobody waits.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        let due = |line: &Line| {
            let (_, until) = line.waiting.first_key_value()?;
            // Late is who has waited longer than the limit.
            Some(line.bucket.free_at().min(*until + Duration::from_nanos(1)))
        };
        match due(&self.resume) {
            Some(resume) => {
                let late = self.identify.waiting.values().next();
                let late = late.map(|until| *until + Duration::from_nanos(1));
                Some(late.map_or(resume, |late| late.min(resume)))
            }
            None => due(&self.identify),
        }
    }

    /// How many of a kind wait.
    pub(crate) fn waiting(&self, kind: Kind) -> usize {
        match kind {
            Kind::Resume => self.resume.waiting.len(),
            Kind::Identify => self.identify.waiting.len(),
        }
    }
}

#[cfg(test)]
mod tests;
