//! Anti-entropy: finds rows of messages without author and deletes them.
//!
//! ```text
//!  readers that met one ─▶ Orphans (bounded) ─┐
//!                                             ├─▶ heal: read when its cells were written,
//!  Scan: slice by slice of the token ring ────┘         DELETE USING TIMESTAMP of the newest
//! ```
//!
//! **Where they come from.** An UPDATE is an upsert. When an edit meets a delete, with two writers
//! for one guild or in one that timed out and was played again, a row is left that has the edited
//! columns and nothing else.
//!
//! **Why that timestamp.** It deletes exactly the cells that are there. A message that is put again
//! later, on purpose, has a greater one and stays.
//!
//! The scan is resumable: the slice it is in is kept in the keyspace, so that a node that restarts
//! every hour still comes round, and so is the end of the rest after a round, so that it does not
//! scan more than it should. It reads at most [`Pace::rows_per_second`].
//! Several nodes may scan: they find the same and delete the same.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use scylla::response::PagingState;
use scylla::value::CqlValue;
use tokio::time::Instant;

use super::changes::{Change, partition};
use super::clock;
use super::facts;
use super::link::Link;
use super::record::{Written, key};
use super::statements::{Statement, big, blob, is};
use super::work::Place;
use crate::engine::value;
use crate::store::Result;
use crate::upkeep::Upkeep;

/// Orphans that readers met and that wait to be healed; further ones are left to the scan.
pub const ORPHANS_MAX: usize = 1_024;

/// Orphans healed in one step.
const HEALED_AT_ONCE: usize = 64;

/// Into how many equal slices the token ring is cut.
const SLICES: u32 = 4_096;

/// The name of the row that keeps where the scan is, see [`Scan::resumed`].
const CURSOR: &str = "anti_entropy";

/// Orphans that readers met, each once.
#[derive(Debug, Default)]
pub(super) struct Orphans(Mutex<BTreeSet<Place>>);

impl Orphans {
    /// Notes one, unless too many wait.
    pub(super) fn add(&self, place: Place) {
        metrics::counter!("guildhall_store_orphans_met_total").increment(1);
        let mut waiting = self.0.lock();
        if waiting.len() < ORPHANS_MAX {
            waiting.insert(place);
        } else if !waiting.contains(&place) {
            metrics::counter!("guildhall_store_orphans_left_total").increment(1);
        }
    }

    fn take(&self, most: usize) -> Vec<Place> {
        let mut waiting = self.0.lock();
        let some: Vec<_> = waiting.iter().take(most).copied().collect();
        for place in &some {
            waiting.remove(place);
        }
        some
    }
}

/// How fast the scan goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Rows it reads per second, at most.
    pub rows_per_second: u32,
    /// How long it rests after a round over the whole ring.
    pub rest: Duration,
}

impl Default for Pace {
    /// 2,000 rows per second, an hour of rest.
    fn default() -> Self {
        Self {
            rows_per_second: 2_000,
            rest: Duration::from_secs(3_600),
        }
    }
}

/// Where the scan is. Pure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Scan {
    slice: u32,
}

/// What to do after a page.
#[derive(Debug, PartialEq, Eq)]
struct After {
    /// Rows to look at again and delete.
    heal: Vec<Place>,
    /// What to keep for after a restart: the slice to begin with, or the time (Unix milliseconds)
    /// until which a rest lasts.
    save: Option<u64>,
    /// How long to wait.
    pause: Duration,
}

impl Scan {
    /// At the slice that was kept. What is no slice is the time (Unix milliseconds) until which a
    /// round was to be followed by a rest: what is left of that, and no more than a whole one. With
    /// nothing kept it begins at once.
    fn resumed(kept: Option<u64>, now_ms: u64, pace: Pace) -> (Self, Duration) {
        let kept = kept.unwrap_or_default();
        let slice = u32::try_from(kept).ok().filter(|slice| *slice < SLICES);
        let rest = match slice {
            Some(_) => Duration::ZERO,
            None => Duration::from_millis(kept.saturating_sub(now_ms)).min(pace.rest),
        };
        let slice = slice.unwrap_or_default();
        (Self { slice }, rest)
    }

    /// The tokens of its slice, both included.
    fn tokens(self) -> (i64, i64) {
        let width = (1_i128 << 64) / i128::from(SLICES);
        let first = i128::from(i64::MIN) + width * i128::from(self.slice);
        let narrow = |token: i128| i64::try_from(token).unwrap_or(i64::MAX);
        (narrow(first), narrow(first + width - 1))
    }

    /// A page was read: `rows` of its slice, with whether each has an author, and whether there are
    /// more.
    fn page(&mut self, rows: &[(Place, bool)], more: bool, now_ms: u64, pace: Pace) -> After {
        let read = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        let mut pause = Duration::from_secs(1) * read / pace.rows_per_second.max(1);
        let mut save = None;
        if !more {
            self.slice = (self.slice + 1) % SLICES;
            // An empty slice costs a question too.
            pause = pause.max(Duration::from_millis(10));
            // A restart does a few slices again; to keep each would be a write per slice.
            save = (self.slice.is_multiple_of(16)).then_some(u64::from(self.slice));
            if self.slice == 0 {
                pause = pause.max(pace.rest);
                let rest_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
                save = Some(now_ms.saturating_add(rest_ms));
            }
        }
        let heal = rows.iter().filter(|(_, author)| !author);
        After {
            heal: heal.map(|(place, _)| *place).collect(),
            save,
            pause,
        }
    }
}

/// The worker: made by [`super::ScyllaStore::anti_entropy`], driven by its [`Upkeep::step`].
pub struct AntiEntropy {
    link: Arc<Link>,
    pace: Pace,
    scan: Option<Scan>,
    page: Option<PagingState>,
    /// Before this the scan rests.
    scan_at: Option<Instant>,
}

impl std::fmt::Debug for AntiEntropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AntiEntropy")
            .field("pace", &self.pace)
            .field("scan", &self.scan)
            .finish_non_exhaustive()
    }
}

impl AntiEntropy {
    pub(super) fn new(link: Arc<Link>, pace: Pace) -> Self {
        Self {
            link,
            pace,
            scan: None,
            page: None,
            scan_at: None,
        }
    }

    /// Heals what readers met; answers how many rows it deleted.
    ///
    /// # Errors
    /// What the cluster answers. Those not healed are met again, by a reader or the scan.
    pub async fn heal_met(&mut self) -> Result<usize> {
        let mut healed = 0;
        for place in self.link.orphans.take(HEALED_AT_ONCE) {
            looked_at(1);
            healed += usize::from(heal(&self.link, place).await?);
        }
        Ok(healed)
    }

    /// Reads one page of the scan and heals what is in it; answers how long to wait.
    ///
    /// # Errors
    /// What the cluster answers; the next call reads the same page again.
    pub async fn scan_page(&mut self) -> Result<Duration> {
        let mut scan = match self.scan {
            Some(scan) => scan,
            None => {
                let (scan, rest) = Scan::resumed(self.kept().await?, now_ms(), self.pace);
                if !rest.is_zero() {
                    self.scan = Some(scan);
                    return Ok(rest);
                }
                scan
            }
        };
        let (first, last) = scan.tokens();
        let state = self.page.clone().unwrap_or_else(PagingState::start);
        let (rows, next) = self
            .link
            .page::<(i64, i32, i64, Option<i64>)>(
                Statement::MessagesOfTokens,
                &[big(first), big(last)],
                state,
            )
            .await?;
        let rows = rows
            .into_iter()
            .map(|(channel, _, message, author)| {
                Ok((Link::place_of(channel, message)?, author.is_some()))
            })
            .collect::<Result<Vec<_>>>()?;
        let after = scan.page(&rows, next.is_some(), now_ms(), self.pace);
        for place in after.heal {
            heal(&self.link, place).await?;
        }
        looked_at(rows.len());
        if let Some(kept) = after.save {
            self.keep(kept).await?;
        }
        (self.scan, self.page) = (Some(scan), next);
        Ok(after.pause)
    }

    async fn kept(&self) -> Result<Option<u64>> {
        let name = vec![is(CqlValue::Text(CURSOR.to_owned()))];
        let row = self
            .link
            .row::<(Option<Vec<u8>>,)>(Statement::Cursor, name)
            .await?;
        let kept = row.and_then(|(value,)| value);
        kept.map(|kept| value::decode_number(&kept)).transpose()
    }

    async fn keep(&self, kept: u64) -> Result<()> {
        let values = vec![
            is(CqlValue::Text(CURSOR.to_owned())),
            blob(value::encode_number(kept)),
            big(self.link.clock.next().put),
        ];
        let change = Change::new(Statement::PutCursor, (1, 0), values);
        self.link.write(&[change]).await
    }
}

#[async_trait]
impl Upkeep for AntiEntropy {
    async fn step(&mut self) -> Result<Duration> {
        self.heal_met().await?;
        let now = Instant::now();
        let mut at = self.scan_at.unwrap_or(now);
        if at <= now {
            at = Instant::now() + self.scan_page().await?;
            self.scan_at = Some(at);
        }
        // What readers meet meanwhile does not wait for the end of a rest.
        let pause = at.saturating_duration_since(Instant::now());
        Ok(pause.min(MET_WAIT_MAX))
    }
}

fn looked_at(rows: usize) {
    let rows = u64::try_from(rows).unwrap_or_default();
    metrics::counter!("guildhall_store_upkeep_rows_total").increment(rows);
}

fn now_ms() -> u64 {
    u64::try_from(clock::now() / 1_000).unwrap_or_default()
}

/// Longest time an orphan that a reader met waits for the next step.
const MET_WAIT_MAX: Duration = Duration::from_secs(5);

/// Deletes a row that still has no author; answers whether it did.
async fn heal(link: &Link, (channel, message): Place) -> Result<bool> {
    let orphan = facts::written(link, (channel, message))
        .await?
        .filter(Written::is_orphan);
    let Some(written) = orphan.and_then(|row| row.newest()) else {
        return Ok(false);
    };
    let mut values = vec![big(written)];
    values.extend(key(channel, message));
    let change = Change::new(
        Statement::DeleteMessage,
        partition(channel, message),
        values,
    );
    link.write(&[change]).await?;
    metrics::counter!("guildhall_store_upkeep_healed_total").increment(1);
    tracing::warn!(%channel, %message, "a row of a message without author was deleted");
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Id;
    use proptest::prelude::*;

    const NOW_MS: u64 = 1_800_000_000_000;

    const PACE: Pace = Pace {
        rows_per_second: 100,
        rest: Duration::from_secs(60),
    };

    fn place(message: u64) -> Place {
        (Id::new(1), Id::new(message))
    }

    #[test]
    fn slices_cover_the_ring_once() {
        let mut next = i128::from(i64::MIN);
        for slice in 0..SLICES {
            let (first, last) = Scan { slice }.tokens();
            assert_eq!(i128::from(first), next);
            next = i128::from(last) + 1;
        }
        assert_eq!(next, i128::from(i64::MAX) + 1);
    }

    #[test]
    fn rows_without_author_are_healed_and_the_pace_is_kept() {
        let mut scan = Scan { slice: 14 };
        let rows: Vec<_> = (1..=50).map(|n| (place(n), n != 7)).collect();
        let after = scan.page(&rows, true, NOW_MS, PACE);
        assert_eq!(after.heal, [place(7)]);
        assert_eq!((after.save, scan.slice), (None, 14));
        assert_eq!(after.pause, Duration::from_millis(500));
        let after = scan.page(&[], false, NOW_MS, PACE);
        assert_eq!((after.save, scan.slice), (None, 15));
        let after = scan.page(&[], false, NOW_MS, PACE);
        assert_eq!((after.save, scan.slice), (Some(16), 16));
        scan.slice = SLICES - 1;
        let after = scan.page(&[], false, NOW_MS, PACE);
        assert_eq!((after.save, scan.slice), (Some(NOW_MS + 60_000), 0));
        assert_eq!(after.pause, PACE.rest);
    }

    #[test]
    fn a_kept_slice_is_resumed_and_a_rest_gone_on_with() {
        let resumed = |kept| Scan::resumed(kept, NOW_MS, PACE);
        let at = |slice, rest_ms| (Scan { slice }, Duration::from_millis(rest_ms));
        assert_eq!(resumed(Some(77)), at(77, 0));
        assert_eq!(resumed(None), at(0, 0));
        assert_eq!(resumed(Some(NOW_MS + 20_000)), at(0, 20_000));
        // A rest that is over, a clock that was ahead, and what nobody ever kept.
        assert_eq!(resumed(Some(NOW_MS - 1)), at(0, 0));
        assert_eq!(resumed(Some(NOW_MS + 10 * 60_000)), at(0, 60_000));
        assert_eq!(resumed(Some(u64::from(SLICES))), at(0, 0));
        assert_eq!(resumed(Some(u64::MAX)), at(0, 60_000));
    }

    #[test]
    fn orphans_are_bounded_and_each_stands_once() {
        let orphans = Orphans::default();
        for n in 0..ORPHANS_MAX as u64 + 10 {
            orphans.add(place(n + 1));
            orphans.add(place(n + 1));
        }
        let mut taken = Vec::new();
        loop {
            let some = orphans.take(HEALED_AT_ONCE);
            if some.is_empty() {
                break;
            }
            taken.extend(some);
        }
        assert_eq!(taken.len(), ORPHANS_MAX);
    }

    proptest! {
        #[test]
        fn a_scan_comes_round(pages in proptest::collection::vec(0_usize..3, 1..50)) {
            let mut scan = Scan { slice: SLICES - 20 };
            let mut seen = Vec::new();
            for more in pages {
                for _ in 0..more {
                    let before = scan;
                    scan.page(&[(place(1), true)], true, NOW_MS, PACE);
                    prop_assert_eq!(scan, before);
                }
                seen.push(scan.slice);
                scan.page(&[], false, NOW_MS, PACE);
            }
            for pair in seen.windows(2) {
                prop_assert_eq!((pair[0] + 1) % SLICES, pair[1]);
            }
        }
    }
}
