//! The committer: the one thread that writes, and the bounded queue in front of it.
//!
//! ```text
//!  commit() ─┐                        ┌ snapshot ─ apply each ─▶ one batch ─▶ fdatasync ─▶ visible
//!  commit() ─┼─▶ queue (≤ 16,384) ─▶ ≤ 1,024 at a time                                      │
//!  create() ─┘                        ◀──────────── each one settled, in order ─────────────┘
//! ```
//!
//! Group commit without a timer: while one group is being synced the next one gathers. One writer
//! also makes everything that reads before it writes linearizable.
//!
//! Started by [`super::FjallStore::open`], ended by its `close` or drop after everything queued is
//! done. Calls nobody but the disk. Full queue: [`StoreError::Busy`], nothing changed, counted in
//! `guildhall_store_busy_total`. Full disk: [`StoreError::Full`] for a whole group before anything of
//! it is written, until there is room. When a write to disk fails, or the thread panics, the store is
//! *broken*: the outcome of that group is unknown, every later write is refused with
//! [`StoreError::Broken`], reads go on with what is durable; the node must stop and reopen, because
//! after a failed sync nobody knows which pages the system still holds, and a second sync that
//! succeeds says nothing about them (Rebello et al., "Can Applications Recover from fsync Failures?",
//! ATC 2020). Next hop: [`super::tables`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use model::user::Account;
use model::{ChannelId, GuildId};

use super::apply;
use super::pending::Pending;
use super::tables::Tables;
use crate::error::StoreError;
use crate::fence::Epoch;
use crate::room::Room;
use crate::store::{Result, Write};

/// Batches that may wait; past it a commit is refused with [`StoreError::Busy`].
pub const QUEUE_BATCHES: usize = 16_384;

/// Writes that may wait, all batches together, unless the queue is empty: a bound on its memory.
pub const QUEUE_WRITES: usize = 65_536;

/// Batches that become durable with one sync.
pub const GROUP_BATCHES: usize = 1_024;

/// Work for the committer, with where to say how it ended.
#[derive(Debug)]
pub(super) enum Job {
    /// [`crate::Store::commit`].
    Batch(Vec<Write>, oneshot::Sender<Result<()>>),
    /// [`crate::Store::claim`].
    Claim(GuildId, Epoch, oneshot::Sender<Result<()>>),
    /// [`crate::Store::create_account`].
    CreateAccount(Box<Account>, oneshot::Sender<Result<()>>),
    /// [`crate::Store::purge_channel`].
    Purge(ChannelId, usize, oneshot::Sender<Result<usize>>),
}

impl Job {
    /// How many writes it counts for in the queue.
    fn weight(&self) -> usize {
        match self {
            Self::Batch(batch, _) => batch.len().max(1),
            Self::Claim(..) | Self::CreateAccount(..) | Self::Purge(..) => 1,
        }
    }

    fn refuse(self, error: StoreError) {
        match self {
            Self::Batch(_, settle) | Self::Claim(_, _, settle) | Self::CreateAccount(_, settle) => {
                drop(settle.send(Err(error)))
            }
            Self::Purge(_, _, settle) => drop(settle.send(Err(error))),
        }
    }

    /// Applies the job and answers how to settle it once the group is durable.
    fn run(self, pending: &mut Pending<'_>) -> Settlement {
        match self {
            Self::Batch(writes, settle) => {
                Settlement::new(settle, judged(pending, |p| apply::batch(p, writes)))
            }
            Self::Claim(guild, epoch, settle) => {
                Settlement::new(settle, judged(pending, |p| apply::claim(p, guild, epoch)))
            }
            Self::CreateAccount(account, settle) => Settlement::new(
                settle,
                judged(pending, |p| apply::create_account(p, &account)),
            ),
            Self::Purge(channel, limit, settle) => {
                Settlement::new(settle, judged(pending, |p| apply::purge(p, channel, limit)))
            }
        }
    }
}

/// Keeps the changes of a job that went well, and nothing of one that failed.
fn judged<T>(
    pending: &mut Pending<'_>,
    work: impl FnOnce(&mut Pending<'_>) -> Result<T>,
) -> Result<T> {
    let result = work(pending);
    match &result {
        Ok(_) => pending.keep(),
        Err(_) => pending.discard(),
    }
    result
}

/// An answer that waits until its group is durable.
struct Settlement(Box<dyn FnOnce(Option<StoreError>)>);

impl Settlement {
    fn new<T: 'static>(settle: oneshot::Sender<Result<T>>, result: Result<T>) -> Self {
        Self(Box::new(move |failed| {
            let answer = match (result, failed) {
                (Ok(_), Some(error)) => Err(error),
                (result, _) => result,
            };
            let _ = settle.send(answer);
        }))
    }
}

/// The queue and the thread behind it.
pub(super) struct Committer {
    queue: Arc<Queue>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    #[cfg(any(test, feature = "testsuite"))]
    fail_next: std::sync::atomic::AtomicBool,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    writes: usize,
    closed: bool,
    broken: Option<StoreError>,
}

impl Committer {
    /// Starts the thread.
    ///
    /// # Errors
    /// [`StoreError::Broken`] when the system gives no thread.
    pub(super) fn start(tables: Tables, room: Arc<Room>) -> Result<Self> {
        let queue = Arc::new(Queue {
            waiting: Mutex::default(),
            changed: Condvar::new(),
            #[cfg(any(test, feature = "testsuite"))]
            fail_next: std::sync::atomic::AtomicBool::new(false),
        });
        let work = Work {
            queue: queue.clone(),
            tables,
            room,
        };
        let thread = std::thread::Builder::new()
            .name("store-committer".to_owned())
            .spawn(move || work.run())
            .map_err(|error| StoreError::Broken(format!("no thread for the committer: {error}")))?;
        Ok(Self {
            queue,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Queues a job, in the order of the calls, or refuses it at once.
    pub(super) fn submit(&self, job: Job) {
        let mut waiting = self.queue.waiting.lock();
        let refusal = if let Some(broken) = &waiting.broken {
            Some(broken.clone())
        } else if waiting.closed {
            Some(StoreError::NotApplied("the store is closed".to_owned()))
        } else if waiting.is_full(job.weight()) {
            metrics::counter!("guildhall_store_busy_total", "where" => "commit_queue").increment(1);
            Some(StoreError::Busy)
        } else {
            None
        };
        match refusal {
            Some(error) => {
                drop(waiting);
                job.refuse(error);
            }
            None => {
                waiting.writes += job.weight();
                waiting.jobs.push_back(job);
                drop(waiting);
                self.queue.changed.notify_one();
            }
        }
    }

    /// Whether the store can still write.
    ///
    /// # Errors
    /// [`StoreError::Broken`].
    pub(super) fn health(&self) -> Result<()> {
        self.queue.waiting.lock().broken.clone().map_or(Ok(()), Err)
    }

    /// Refuses new work, waits until the queued work is done and the thread has ended. Blocks.
    pub(super) fn close(&self) {
        self.queue.waiting.lock().closed = true;
        self.queue.changed.notify_one();
        // The lock is held while waiting, so that a second close also returns only at the end.
        let mut thread = self.thread.lock();
        if let Some(thread) = thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the committer had panicked");
        }
    }

    /// Whether a batch of so many writes would be refused now.
    #[cfg(test)]
    pub(super) fn is_full(&self, more: usize) -> bool {
        self.queue.waiting.lock().is_full(more)
    }

    /// Makes the next group fail as if the disk had: for tests of what happens then.
    #[cfg(any(test, feature = "testsuite"))]
    pub(super) fn fail_next_commit(&self) {
        self.queue
            .fail_next
            .store(true, std::sync::atomic::Ordering::SeqCst);
    }
}

impl Waiting {
    fn is_full(&self, more: usize) -> bool {
        self.jobs.len() >= QUEUE_BATCHES
            || (!self.jobs.is_empty() && self.writes + more > QUEUE_WRITES)
    }
}

impl Queue {
    /// The next group, or `None` when there is nothing left to do ever again.
    fn next_group(&self) -> Option<Vec<Job>> {
        let mut waiting = self.waiting.lock();
        while waiting.jobs.is_empty() {
            if waiting.closed {
                return None;
            }
            self.changed.wait(&mut waiting);
        }
        let some = waiting.jobs.len().min(GROUP_BATCHES);
        let group: Vec<_> = waiting.jobs.drain(..some).collect();
        waiting.writes -= group.iter().map(Job::weight).sum::<usize>();
        gauge(waiting.jobs.len());
        Some(group)
    }

    /// No write will ever be taken again; those that wait are refused.
    fn break_with(&self, error: &StoreError) {
        let mut waiting = self.waiting.lock();
        waiting.broken.get_or_insert_with(|| error.clone());
        waiting.writes = 0;
        let jobs = std::mem::take(&mut waiting.jobs);
        drop(waiting);
        for job in jobs {
            job.refuse(error.clone());
        }
    }
}

fn gauge(waiting: usize) {
    metrics::gauge!("guildhall_store_queue_batches")
        .set(u32::try_from(waiting).map_or(f64::MAX, f64::from));
}

/// What the thread owns.
struct Work {
    queue: Arc<Queue>,
    tables: Tables,
    room: Arc<Room>,
}

impl Work {
    fn run(self) {
        while let Some(group) = self.queue.next_group() {
            match self.room.check() {
                Ok(()) => self.commit(group),
                Err(full) => {
                    for job in group {
                        job.refuse(StoreError::Full(full.clone()));
                    }
                }
            }
        }
        // After a failed write no sync tells anything.
        if self.queue.waiting.lock().broken.is_some() {
            return;
        }
        if let Err(error) = self.tables.sync() {
            self.queue.break_with(&error);
        }
    }

    fn commit(&self, group: Vec<Job>) {
        let began = Instant::now();
        let size = u32::try_from(group.len()).unwrap_or(u32::MAX);
        let newest = self.tables.reader();
        let mut pending = Pending::new(&newest);
        let settlements: Vec<_> = group.into_iter().map(|job| job.run(&mut pending)).collect();
        let changes = pending.into_changes();
        let failed = self.write(&newest, &changes).err();
        if let Some(error) = &failed {
            tracing::error!(%error, "a commit failed; the store takes no more writes until a fresh start");
            metrics::counter!("guildhall_store_broken_total").increment(1);
            self.queue.break_with(&broken(error));
        }
        for Settlement(settle) in settlements {
            settle(failed.clone());
        }
        metrics::histogram!("guildhall_store_group_batches").record(f64::from(size));
        metrics::histogram!("guildhall_store_group_seconds").record(began.elapsed().as_secs_f64());
    }

    #[cfg(any(test, feature = "testsuite"))]
    fn write(
        &self,
        newest: &super::tables::Reader<'_>,
        changes: &super::tables::Changes,
    ) -> Result<()> {
        if self
            .queue
            .fail_next
            .swap(false, std::sync::atomic::Ordering::SeqCst)
        {
            return Err(StoreError::Unknown("a failure made by a test".to_owned()));
        }
        self.tables.write(newest, changes)
    }

    #[cfg(not(any(test, feature = "testsuite")))]
    fn write(
        &self,
        newest: &super::tables::Reader<'_>,
        changes: &super::tables::Changes,
    ) -> Result<()> {
        self.tables.write(newest, changes)
    }
}

impl Drop for Work {
    /// Reached after [`Work::run`], or by a panic: then whoever waits must not wait for ever.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.queue
                .break_with(&StoreError::Broken("the committer panicked".to_owned()));
        }
    }
}

fn broken(error: &StoreError) -> StoreError {
    match error {
        StoreError::Broken(text) | StoreError::Unknown(text) => StoreError::Broken(text.clone()),
        other => StoreError::Broken(other.to_string()),
    }
}
