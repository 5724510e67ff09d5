//! The log of what a node writes while it migrates, and the worker that repeats it in the target.
//!
//! ```text
//!  switch.rs ─▶ [batch][batch][account][batch][point][batch]… ─▶ worker ─▶ target
//!                  │ applied when the source has acknowledged it, in this order
//!                  │ NotFound: what it changes is not copied yet; write by write, the rest is skipped
//!                  │ fences and claims too, so that the target knows who owns which guild
//!                  └ point: rows as the source had them exactly here: put, or compared
//! ```
//!
//! **Why that is exact.** A point's rows are read while no batch is under way ([`super::switch`]), and
//! stand in the log where they were read. What is before it is in them, what is behind it is applied
//! behind them: an old copy never covers a newer write, and what was copied stays equal to the source
//! at every place of the log. So a comparison at a point needs no pause of the writers either.
//!
//! The log is bounded ([`MIRROR_BATCHES_MAX`], [`MIRROR_WRITES_MAX`]); a target that is too slow for
//! it, or fails, ends the migration, never the serving.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use model::user::Account;
use model::{ChannelId, GuildId};

use super::apply;
use super::row::{Difference, Key, Row, differences};
use super::scope::{PIECE_ROWS, Scope, read};
use super::switch::Asked;
use crate::engine::scylla::bytes;
use crate::error::StoreError;
use crate::fence::Epoch;
use crate::store::{Result, Store, Write};

/// Batches that may wait for the target; past it the migration ends.
pub const MIRROR_BATCHES_MAX: usize = 65_536;

/// Writes that may wait for the target, all batches together; past it the migration ends.
pub const MIRROR_WRITES_MAX: usize = 262_144;

/// What to do with the rows of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Put them: the target has none in this range but what the log wrote.
    Put,
    /// Make the target's rows of the range equal to them.
    Repair,
    /// Compare.
    Check,
}

/// Rows of the source at a place of the log: all it has of a scope above `after` and up to `upto`.
#[derive(Debug)]
pub(super) struct Point {
    pub(super) scope: Scope,
    pub(super) after: Option<Key>,
    /// `None`: to the end of the scope.
    pub(super) upto: Option<Key>,
    pub(super) rows: Vec<Row>,
    pub(super) mode: Mode,
}

/// What became of a point.
#[derive(Debug, Default)]
pub(super) struct Reached {
    /// The rows the source had.
    pub(super) source: Vec<Row>,
    /// The rows the target had, if it was asked.
    pub(super) target: Vec<Row>,
    /// What differs, or what no write could make equal.
    pub(super) differ: Vec<(Difference, Key)>,
}

/// How a batch ended in the source.
type Outcome = oneshot::Receiver<Result<()>>;

enum Entry {
    Batch(Vec<Write>, Outcome),
    Claim(GuildId, Epoch, Outcome),
    Account(Box<Account>, Outcome),
    Purge(ChannelId, usize, Outcome),
    Point(Box<Point>, oneshot::Sender<Reached>),
    /// Everything before it is in the target.
    Flush(oneshot::Sender<()>),
}

impl Entry {
    fn weight(&self) -> usize {
        match self {
            Self::Batch(writes, _) => writes.len(),
            _ => 1,
        }
    }
}

#[derive(Default)]
struct Log {
    entries: VecDeque<Entry>,
    writes: usize,
    failed: Option<String>,
}

/// The log, and the store it is repeated in.
pub(super) struct Mirror {
    pub(super) target: Arc<dyn Store>,
    log: Mutex<Log>,
    more: Notify,
    failed: Notify,
    skipped: AtomicU64,
    /// Whether groups are tried as one batch first.
    whole: AtomicBool,
}

impl Mirror {
    /// An empty log.
    pub(super) fn new(target: Arc<dyn Store>) -> Self {
        Self {
            target,
            log: Mutex::default(),
            more: Notify::new(),
            failed: Notify::new(),
            skipped: AtomicU64::new(0),
            whole: AtomicBool::new(true),
        }
    }

    fn push(&self, entry: Entry) {
        let mut log = self.log.lock();
        if log.failed.is_some() {
            return;
        }
        let full = log.entries.len() >= MIRROR_BATCHES_MAX
            || log.writes + entry.weight() > MIRROR_WRITES_MAX;
        if full {
            drop(log);
            self.fail("the target is too slow: too much waits for it".to_owned());
            return;
        }
        log.writes += entry.weight();
        log.entries.push_back(entry);
        gauge(log.entries.len());
        drop(log);
        self.more.notify_one();
    }

    /// Something was asked of the source: answers where to say how it ended.
    pub(super) fn asked(&self, asked: Asked) -> oneshot::Sender<Result<()>> {
        let (settle, outcome) = oneshot::channel();
        self.push(match asked {
            Asked::Batch(writes) => Entry::Batch(writes, outcome),
            Asked::Claim(guild, epoch) => Entry::Claim(guild, epoch, outcome),
        });
        settle
    }

    /// The same for an account.
    pub(super) fn account(&self, account: Account) -> oneshot::Sender<Result<()>> {
        let (settle, outcome) = oneshot::channel();
        self.push(Entry::Account(Box::new(account), outcome));
        settle
    }

    /// The same for a purge.
    pub(super) fn purge(&self, channel: ChannelId, limit: usize) -> oneshot::Sender<Result<()>> {
        let (settle, outcome) = oneshot::channel();
        self.push(Entry::Purge(channel, limit, outcome));
        settle
    }

    /// Puts a point at the end of the log; the receiver is dropped when the migration fails before.
    pub(super) fn point(&self, point: Point) -> oneshot::Receiver<Reached> {
        let (reached, wait) = oneshot::channel();
        self.push(Entry::Point(Box::new(point), reached));
        wait
    }

    /// Answers when everything that is in the log now is in the target.
    pub(super) fn flush(&self) -> oneshot::Receiver<()> {
        let (reached, wait) = oneshot::channel();
        self.push(Entry::Flush(reached));
        wait
    }

    /// Ends the migration; nothing more is written to the target.
    pub(super) fn fail(&self, why: String) {
        let mut log = self.log.lock();
        log.failed.get_or_insert(why);
        log.writes = 0;
        let dropped = std::mem::take(&mut log.entries);
        gauge(0);
        drop(log);
        drop(dropped);
        self.failed.notify_waiters();
        self.more.notify_one();
    }

    /// Why it ended, if it has.
    pub(super) fn failure(&self) -> Option<String> {
        self.log.lock().failed.clone()
    }

    /// Waits until it fails.
    pub(super) async fn until_failed(&self) -> String {
        loop {
            let failed = self.failed.notified();
            tokio::pin!(failed);
            failed.as_mut().enable();
            if let Some(why) = self.failure() {
                return why;
            }
            failed.await;
        }
    }

    /// How many batches wait.
    pub(super) fn waiting(&self) -> usize {
        self.log.lock().entries.len()
    }

    /// Writes that were skipped because what they change was not copied yet.
    pub(super) fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    /// Repeats the log in the target until it fails.
    pub(super) async fn run(self: Arc<Self>) {
        loop {
            let more = self.more.notified();
            let entry = {
                let mut log = self.log.lock();
                if log.failed.is_some() {
                    return;
                }
                let entry = log.entries.pop_front();
                log.writes -= entry.as_ref().map_or(0, Entry::weight);
                entry
            };
            let Some(entry) = entry else {
                more.await;
                continue;
            };
            if let Err(why) = self.repeat(entry).await {
                self.fail(why);
                return;
            }
        }
    }

    async fn repeat(&self, entry: Entry) -> std::result::Result<(), String> {
        let told = |error: StoreError| format!("the target: {error}");
        match entry {
            Entry::Batch(writes, outcome) => {
                if applied(outcome.await.ok())? {
                    let mut batches = vec![writes];
                    self.gather(&mut batches)?;
                    self.apply(batches).await.map_err(told)?;
                }
            }
            Entry::Claim(guild, epoch, outcome) => {
                if applied(outcome.await.ok())? {
                    // As a fence, which may be repeated when its outcome was not known.
                    let claim = || self.target.commit(vec![Write::Fence(guild, epoch)]);
                    apply::again(claim).await.map_err(told)?;
                }
            }
            Entry::Account(account, outcome) => {
                if applied(outcome.await.ok())? {
                    let create = || self.target.create_account((*account).clone());
                    match apply::again(create).await {
                        // It was copied, or changed, before.
                        Ok(()) | Err(StoreError::Conflict("id")) => {}
                        Err(error) => return Err(told(error)),
                    }
                }
            }
            Entry::Purge(channel, limit, outcome) => {
                if applied(outcome.await.ok())? {
                    let purge = || self.target.purge_channel(channel, limit);
                    apply::again(purge).await.map_err(told)?;
                }
            }
            Entry::Point(point, reached) => {
                let answer = self.reach(*point).await.map_err(told)?;
                let _ = reached.send(answer);
            }
            Entry::Flush(reached) => drop(reached.send(())),
        }
        gauge(self.waiting());
        Ok(())
    }

    /// Takes the batches that come next and have ended too, as many as go together.
    fn gather(&self, batches: &mut Vec<Vec<Write>>) -> std::result::Result<(), String> {
        let mut size = batches.first().map_or(0, |first| bytes(first));
        let mut log = self.log.lock();
        while let Some(Entry::Batch(writes, outcome)) = log.entries.front_mut() {
            size += bytes(writes);
            if size > apply::BATCH_BYTES_MAX || batches.len() >= apply::BATCH_WRITES_MAX {
                break;
            }
            let applied = match outcome.try_recv() {
                Ok(outcome) => applied(Some(outcome))?,
                Err(oneshot::error::TryRecvError::Empty) => break,
                Err(oneshot::error::TryRecvError::Closed) => applied(None)?,
            };
            if let Some(Entry::Batch(writes, _)) = log.entries.pop_front() {
                log.writes -= writes.len();
                if applied {
                    batches.push(writes);
                }
            }
        }
        Ok(())
    }

    /// Applies batches in their order: together, and when something they change is not there, or the
    /// target does not take so much at once, every write by itself, of which the former are skipped.
    async fn apply(&self, batches: Vec<Vec<Write>>) -> Result<()> {
        let writes = batches.concat();
        // Where the last group met what is not copied yet, this one will too.
        if self.whole.load(Ordering::Relaxed) {
            match apply::again(|| self.target.commit(writes.clone())).await {
                Err(StoreError::NotFound | StoreError::TooLarge(_)) => {}
                result => return result,
            }
        }
        let skipped = apply::again(|| self.one_by_one(&writes)).await?;
        self.whole.store(skipped == 0, Ordering::Relaxed);
        self.skipped.fetch_add(skipped, Ordering::Relaxed);
        metrics::counter!("guildhall_migration_skipped_total").increment(skipped);
        Ok(())
    }

    /// All of them under way at once: each stands for itself, and they keep their order.
    async fn one_by_one(&self, writes: &[Write]) -> Result<u64> {
        let commits: Vec<_> = writes
            .iter()
            .map(|write| self.target.commit(vec![write.clone()]))
            .collect();
        let mut skipped = 0;
        let mut failed = Ok(());
        for commit in commits {
            match commit.await {
                Err(StoreError::NotFound) => skipped += 1,
                result => failed = failed.and(result),
            }
        }
        failed.map(|()| skipped)
    }

    async fn reach(&self, point: Point) -> Result<Reached> {
        let target = &*self.target;
        if point.mode == Mode::Put {
            apply::put(target, &point.rows).await?;
            return Ok(Reached {
                source: point.rows,
                ..Reached::default()
            });
        }
        let (after, upto) = (point.after, point.upto.as_ref());
        let rows = apply::again(|| range(target, point.scope, after.clone(), upto)).await?;
        let differ = if point.mode == Mode::Repair {
            let stays = apply::repair(target, &point.rows, &rows).await?;
            stays
                .into_iter()
                .map(|(what, row)| (what, row.key()))
                .collect()
        } else {
            differences(&point.rows, &rows)
                .into_iter()
                .filter_map(|(what, at, against)| {
                    let row = at.and_then(|at| point.rows.get(at));
                    Some((what, row.or_else(|| rows.get(against?))?.key()))
                })
                .collect()
        };
        Ok(Reached {
            source: point.rows,
            target: rows,
            differ,
        })
    }
}

/// All rows of a store above `after` and up to `upto`.
async fn range(
    store: &dyn Store,
    scope: Scope,
    mut after: Option<Key>,
    upto: Option<&Key>,
) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    loop {
        let piece = read(store, scope, after.as_ref(), PIECE_ROWS).await?;
        let inside = |row: &Row| upto.is_none_or(|upto| row.key() <= *upto);
        rows.extend(piece.rows.into_iter().take_while(inside));
        let ended = piece.next.is_none()
            || upto.is_some_and(|upto| piece.next.as_ref().is_some_and(|next| next >= upto));
        if ended {
            return Ok(rows);
        }
        after = piece.next;
    }
}

/// Whether the source applied a batch; an error when that is not known.
fn applied(outcome: Option<Result<()>>) -> std::result::Result<bool, String> {
    match outcome {
        Some(Ok(())) => Ok(true),
        Some(Err(
            StoreError::NotFound
            | StoreError::Conflict(_)
            | StoreError::Fenced
            | StoreError::Busy
            | StoreError::Full(_)
            | StoreError::Broken(_)
            | StoreError::NotApplied(_)
            | StoreError::TooLarge(_),
        )) => Ok(false),
        Some(Err(error)) => Err(format!(
            "it is not known whether the source applied a batch: {error}"
        )),
        None => Err("it is not known whether the source applied a batch".to_owned()),
    }
}

fn gauge(waiting: usize) {
    metrics::gauge!("guildhall_migration_waiting")
        .set(u32::try_from(waiting).map_or(f64::MAX, f64::from));
}
