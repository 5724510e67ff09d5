//! Moving the store of a node while it serves: a job of that node.
//!
//! ```text
//!  start ─▶ copying ─▶ verifying ─▶ ready ─▶ switched
//!              │           │          │  └── until then both stores are written
//!              └───────────┴──────────┴─▶ failed, cancelled: the node goes on with its store
//! ```
//!
//! Everything is written to both stores from the beginning (`mirror.rs`); meanwhile the job walks
//! over all there is, piece by piece, each put into the log where it was read. Then it walks again and
//! compares the same way. When all is equal, `switch` holds the writers back for a moment, waits until
//! the log is empty, marks both stores, and the node goes on with the target. From then on **the old
//! store is no longer written**; it says so, and a node that is started on it refuses and names the new
//! one, so that nobody goes on with half of the writes.
//!
//! Only this node may write to the store. A node that ends in between has not migrated: given again
//! there, everything is compared anew and only what differs is written.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::copy::{count, last_message, message_of};
use super::mirror::{Mirror, Mode, Point, Reached};
use super::position::{Marker, Position};
use super::progress::{Counts, Progress, Stage};
use super::row::{Key, Row};
use super::scope::{PIECE_ROWS, Scope, Walk, read};
use super::switch::{HELD_TIME_MAX, Switch};
use super::verify::{BothWalks, Differing, Verified};
use super::{Failure, apply, begin, identity, keep_marker};
use crate::store::Store;

/// Longest time the writers wait for a switch; past it the node goes on with its store.
pub const SWITCH_TIME_MAX: Duration = Duration::from_secs(5);

/// Where a migration is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// There is none.
    Idle,
    /// It copies.
    Copying,
    /// It compares.
    Verifying,
    /// Both stores hold the same and are written together; `switch` may be given.
    Ready,
    /// The node uses the new store.
    Switched,
    /// It ended, see the error; the node uses its store as before.
    Failed,
    /// It was ended by the operator.
    Cancelled,
}

/// What is told of a migration.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// Where it is.
    pub state: State,
    /// Where it goes to.
    pub to: Option<String>,
    /// What was copied.
    pub copied: Counts,
    /// How much of this stage is done, 0 to 1.
    pub part: f64,
    /// Rows of this stage in a second.
    pub rows_per_second: f64,
    /// Batches that wait for the target.
    pub waiting: usize,
    /// Writes that were skipped there because what they change was not copied yet.
    pub skipped: u64,
    /// Rows that differ, the first of them.
    pub differences: Vec<Differing>,
    /// Why it ended.
    pub error: Option<String>,
}

/// The migrations of a node, of which one runs at a time. Cheap to clone.
#[derive(Clone)]
pub struct Online {
    switch: Arc<Switch>,
    inner: Arc<Mutex<Inner>>,
    from: Arc<str>,
    /// One operator's command at a time.
    commands: Arc<tokio::sync::Mutex<()>>,
}

struct Inner {
    state: State,
    to: Option<String>,
    error: Option<String>,
    copied: Counts,
    differences: Vec<Differing>,
    progress: Arc<Progress>,
    job: Option<Job>,
}

#[derive(Clone)]
struct Job {
    mirror: Arc<Mirror>,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

impl std::fmt::Debug for Online {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Online")
            .field("state", &self.inner.lock().state)
            .finish_non_exhaustive()
    }
}

impl Online {
    /// None yet, of a node whose store is behind `switch` and has this URL.
    pub fn new(switch: Arc<Switch>, url: &str) -> Self {
        Self {
            switch,
            from: identity(url).into(),
            commands: Arc::default(),
            inner: Arc::new(Mutex::new(Inner {
                state: State::Idle,
                to: None,
                error: None,
                copied: Counts::default(),
                differences: Vec::new(),
                progress: Arc::new(Progress::new()),
                job: None,
            })),
        }
    }

    /// How far it is.
    pub fn status(&self) -> Status {
        let inner = self.inner.lock();
        let seen = inner.progress.seen();
        let running = matches!(inner.state, State::Copying | State::Verifying);
        let mirror = inner.job.as_ref().map(|job| &job.mirror);
        Status {
            state: inner.state,
            to: inner.to.clone(),
            copied: match inner.state {
                State::Copying => seen.counts.clone(),
                _ => inner.copied.clone(),
            },
            part: if running { seen.part } else { 0.0 },
            rows_per_second: if running { seen.rate() } else { 0.0 },
            waiting: mirror.map_or(0, |mirror| mirror.waiting()),
            skipped: mirror.map_or(0, |mirror| mirror.skipped()),
            differences: inner.differences.clone(),
            error: inner.error.clone(),
        }
    }

    /// Starts to move the node's store to the store of a URL.
    ///
    /// # Errors
    /// [`Failure`]: nothing was started, the node goes on as it was.
    pub async fn start(&self, url: &str) -> std::result::Result<(), Failure> {
        let refused = |text: &str| Failure::Refused(text.to_owned());
        if url.starts_with("memory") || self.from.starts_with("memory") {
            return Err(refused("a store in memory is gone with the process"));
        }
        let target = crate::engine::open(url);
        self.start_into(url, target).await
    }

    /// The same with a store that is opened already, for tests that make it fail.
    ///
    /// # Errors
    /// As [`Online::start`].
    #[cfg(any(test, feature = "testsuite"))]
    pub async fn start_with(
        &self,
        url: &str,
        target: Arc<dyn Store>,
    ) -> std::result::Result<(), Failure> {
        self.start_into(url, std::future::ready(Ok(target))).await
    }

    async fn start_into(
        &self,
        url: &str,
        target: impl Future<Output = crate::store::Result<Arc<dyn Store>>>,
    ) -> std::result::Result<(), Failure> {
        let refused = |text: &str| Failure::Refused(text.to_owned());
        let _alone = self.commands.lock().await;
        match self.inner.lock().state {
            State::Copying | State::Verifying | State::Ready => {
                return Err(refused("a migration is under way; cancel it first"));
            }
            State::Switched => {
                return Err(refused(
                    "the node has switched; start it on its new store first",
                ));
            }
            State::Idle | State::Failed | State::Cancelled => {}
        }
        let to = identity(url);
        if to == *self.from {
            return Err(refused("this is the store the node uses"));
        }
        let target = target.await.map_err(Failure::Target)?;
        let source = self.switch.store();
        let begun = begin(&source, &target, &self.from).await?;
        let fresh = begun.is_none();
        let mut position = Position::new(&self.from);
        if begun.is_some_and(|position| position.complete) {
            return Err(refused(
                "a migration into the target is complete already; whoever used it since would lose what is newer there. Empty it, or name another",
            ));
        }
        position.online = true;
        let marker = Marker::Target(position);
        keep_marker(&*target, &marker)
            .await
            .map_err(Failure::Target)?;
        let job = Job {
            mirror: Arc::new(Mirror::new(target)),
            cancel: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        let progress = Arc::new(Progress::new());
        {
            let mut inner = self.inner.lock();
            inner.state = State::Copying;
            inner.to = Some(to);
            inner.error = None;
            inner.differences.clear();
            inner.copied = Counts::default();
            inner.progress = progress.clone();
            inner.job = Some(job.clone());
        }
        let running = Running {
            online: self.clone(),
            job: job.clone(),
            progress,
            fresh,
        };
        job.tasks.spawn(job.mirror.clone().run());
        let task = job.tasks.spawn(running.run());
        let (online, tasks) = (self.clone(), job.tasks.clone());
        // A job that panics ends its migration, not the node. It is waited for as well: it has a hand on
        // the target.
        tasks.spawn(async move {
            if let Err(ended) = task.await {
                online.end(&job, State::Failed, Some(ended.to_string()));
            }
        });
        tasks.close();
        Ok(())
    }

    /// Ends the migration; the node goes on with its store.
    ///
    /// # Errors
    /// [`Failure::Refused`]: there is none under way.
    pub async fn cancel(&self) -> std::result::Result<(), Failure> {
        let _alone = self.commands.lock().await;
        let job = match self.inner.lock().job.clone() {
            Some(job) => job,
            None => return Err(Failure::Refused("no migration is under way".to_owned())),
        };
        self.end(&job, State::Cancelled, None);
        let _ = job.mirror.target.close().await;
        // Then nothing uses the target any more.
        job.tasks.wait().await;
        Ok(())
    }

    /// Makes the node use the target.
    ///
    /// # Errors
    /// [`Failure`]: the node goes on with its store. The migration goes on too, if the target was
    /// only too slow.
    pub async fn switch(&self) -> std::result::Result<(), Failure> {
        let _alone = self.commands.lock().await;
        let (job, to) = {
            let inner = self.inner.lock();
            match (inner.state, inner.job.clone(), inner.to.clone()) {
                (State::Ready, Some(job), Some(to)) => (job, to),
                _ => {
                    return Err(Failure::Refused(
                        "no migration is ready; see its status".to_owned(),
                    ));
                }
            }
        };
        let hold = self.switch.hold().await.map_err(Failure::Source)?;
        let old = hold.store();
        let late = |_| Failure::Refused("the target is behind; try again later".to_owned());
        let flushed = tokio::time::timeout(SWITCH_TIME_MAX, job.mirror.flush()).await;
        if flushed.map_err(late)?.is_err() {
            let why = job.mirror.failure().unwrap_or_default();
            return Err(Failure::Refused(format!("the migration has ended: {why}")));
        }
        // In this order: a node that ends in between can be started on one of them, with everything.
        let mut complete = Position::new(&self.from);
        complete.online = true;
        complete.complete = true;
        complete.counts = self.inner.lock().copied.clone();
        let marker = Marker::Target(complete);
        let target = job.mirror.target.clone();
        let marked = tokio::time::timeout(SWITCH_TIME_MAX, keep_marker(&*target, &marker)).await;
        marked.map_err(late)?.map_err(Failure::Target)?;
        // From here on nobody else can end this migration, and close the target with it.
        if self.inner.lock().job.take().is_none() {
            return Err(Failure::Refused("the migration has ended".to_owned()));
        }
        let moved = Marker::Moved { to };
        if let Err(error) = keep_marker(&*old, &moved).await {
            drop(hold);
            {
                let mut inner = self.inner.lock();
                inner.state = State::Failed;
                inner.error = Some(error.to_string());
            }
            self.end(&job, State::Failed, None);
            let _ = target.close().await;
            return Err(Failure::Source(error));
        }
        hold.change(target);
        drop(hold);
        self.inner.lock().state = State::Switched;
        job.cancel.cancel();
        job.mirror.fail("the node has switched".to_owned());
        if let Err(error) = old.close().await {
            tracing::warn!(%error, "the old store did not close; what it held is in the new one");
        }
        Ok(())
    }

    /// Ends a migration; answers whether it was not ended before.
    fn end(&self, job: &Job, state: State, error: Option<String>) -> bool {
        self.switch.detach(&job.mirror);
        job.cancel.cancel();
        let mut inner = self.inner.lock();
        let ours = inner.job.as_ref();
        let ours = ours.is_some_and(|ours| Arc::ptr_eq(&ours.mirror, &job.mirror));
        if ours {
            inner.job = None;
            inner.state = state;
            if let Some(error) = &error {
                tracing::error!(%error, "the migration has ended; the node goes on with its store");
            }
            inner.error = error;
        }
        drop(inner);
        job.mirror.fail("the migration has ended".to_owned());
        ours
    }
}

struct Running {
    online: Online,
    job: Job,
    progress: Arc<Progress>,
    fresh: bool,
}

impl Running {
    async fn run(self) {
        self.online.switch.attach(self.job.mirror.clone());
        let cancelled = self.job.cancel.clone();
        let ended = tokio::select! {
            () = cancelled.cancelled() => return,
            why = self.job.mirror.until_failed() => why,
            why = self.work() => why,
        };
        // Who ended it before has closed the target, or the node uses it now.
        if self.online.end(&self.job, State::Failed, Some(ended)) {
            let _ = self.job.mirror.target.close().await;
        }
    }

    /// Copies and compares; then waits for ever. Answers why it ended.
    async fn work(&self) -> String {
        let verified = match self.copy_and_verify().await {
            Ok(verified) => verified,
            Err(failure) => return failure.to_string(),
        };
        let differ = verified.differences_total;
        self.change(|inner| {
            inner.differences = verified.differences;
            if differ == 0 {
                inner.state = State::Ready;
            }
        });
        if differ > 0 {
            return format!("{differ} rows differ");
        }
        tracing::info!("the migration is ready: both stores hold the same, `switch` may be given");
        std::future::pending().await
    }

    /// Changes what is told, unless the migration has been ended meanwhile.
    fn change(&self, change: impl FnOnce(&mut Inner)) {
        let mut inner = self.online.inner.lock();
        let ours = inner.job.as_ref();
        if ours.is_some_and(|ours| Arc::ptr_eq(&ours.mirror, &self.job.mirror)) {
            change(&mut inner);
        }
    }

    async fn copy_and_verify(&self) -> std::result::Result<Verified, Failure> {
        let source = self.online.switch.store();
        let target = self.job.mirror.target.clone();
        let scopes = count(&source, None).await.map_err(Failure::Source)?;
        self.progress.begin(Stage::Copying, scopes);
        let mut found = Verified::default();
        if self.fresh {
            let mut walk = Walk::new(source.clone(), None);
            while let Some(scope) = walk.next().await.map_err(Failure::Source)? {
                self.scope(scope, Mode::Put, &mut found).await?;
            }
        } else {
            let mut walk = BothWalks::new(&source, &target);
            while let Some(scope) = walk.next().await? {
                self.scope(scope, Mode::Repair, &mut found).await?;
            }
        }
        self.change(|inner| {
            inner.copied = self.progress.seen().counts;
            inner.state = State::Verifying;
        });
        self.progress.begin(Stage::Verifying, scopes);
        let mut found = Verified::default();
        let mut walk = BothWalks::new(&source, &target);
        while let Some(scope) = walk.next().await? {
            self.scope(scope, Mode::Check, &mut found).await?;
        }
        Ok(found)
    }

    async fn scope(
        &self,
        scope: Scope,
        mode: Mode,
        found: &mut Verified,
    ) -> std::result::Result<(), Failure> {
        let source = self.online.switch.store();
        let last = last_message(&*source, scope.channel()).await;
        self.progress.open(scope, last.map_err(Failure::Source)?);
        let mut after = None;
        loop {
            let (next, reached) = apply_again(|| self.piece(scope, after.clone(), mode)).await?;
            let mut counts = Counts::default();
            for row in &reached.source {
                row.count(&mut counts);
            }
            let key = reached.source.last().map(Row::key);
            let message = message_of(scope, key.as_ref());
            self.progress.rows(scope, &counts, message);
            found.saw(scope, &reached.source, &reached.target);
            for (what, key) in &reached.differ {
                found.differs(scope, key, *what);
            }
            match next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        self.progress.close(scope);
        Ok(())
    }

    /// Reads a piece while nothing changes, and waits until the log has come to it.
    async fn piece(
        &self,
        scope: Scope,
        after: Option<Key>,
        mode: Mode,
    ) -> std::result::Result<(Option<Key>, Reached), Failure> {
        let held = Instant::now();
        let (next, reached) = {
            let hold = self.online.switch.hold().await.map_err(Failure::Source)?;
            let store = hold.store();
            let reading = read(&*store, scope, after.as_ref(), PIECE_ROWS);
            let piece = match tokio::time::timeout(HELD_TIME_MAX, reading).await {
                Ok(piece) => piece.map_err(Failure::Source)?,
                Err(_) => return Err(Failure::Source(crate::StoreError::Busy)),
            };
            let point = Point {
                scope,
                after,
                upto: piece.next.clone(),
                rows: piece.rows,
                mode,
            };
            (piece.next, self.job.mirror.point(point))
        };
        let held = held.elapsed();
        metrics::histogram!("guildhall_migration_hold_seconds").record(held.as_secs_f64());
        let ended = || Failure::Ended(self.job.mirror.failure().unwrap_or_default());
        let reached = reached.await.map_err(|_| ended())?;
        // The writers get at least as much time as they were held back for.
        tokio::time::sleep(held).await;
        Ok((next, reached))
    }
}

/// Again while the source is only busy.
async fn apply_again<T, F>(work: impl Fn() -> F) -> std::result::Result<T, Failure>
where
    F: Future<Output = std::result::Result<T, Failure>>,
{
    for _ in 1..apply::TRIES_MAX {
        match work().await {
            Err(Failure::Source(error)) if apply::passes(&error) => {
                tokio::time::sleep(apply::PAUSE).await;
            }
            result => return result,
        }
    }
    work().await
}

#[cfg(test)]
mod tests;
