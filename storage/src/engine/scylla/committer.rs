//! The committer: runs the groups of the queue, each read, applied, written and settled.
//!
//! ```text
//!  commit() ─▶ check ─▶ queue.rs ─▶ group ─▶ facts.rs ─▶ work.rs ─▶ emit.rs ─▶ link.rs ─▶ epochs.rs ─▶ settle
//!                          ▲                                                                  │
//!                          └────────────────── its lanes are free ◀───────────────────────────┘
//! ```
//!
//! Not a process: each group is a task, and whoever submits or finishes starts what may run. When a
//! task panics, or the runtime ends below it, its callers get [`StoreError::Unknown`], the jobs that
//! wait are refused, and the store is broken: the node must stop and reopen it.
//!
//! A group the cluster refuses for what it is (too large, say) is tried batch by batch, so that no
//! batch suffers from its neighbours; one that is too large by itself is [`StoreError::TooLarge`] for
//! its caller alone, and not sent again. Full queue: [`StoreError::Busy`], nothing changed.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use model::user::Account;
use model::{ChannelId, GuildId};

use super::changes::Changes;
use super::emit;
use super::facts::Needs;
use super::link::Link;
use super::queue::{Group, Queue, Weight};
use super::scopes::{self, Scope};
use super::{epochs, names, purge};
use crate::engine::rules;
use crate::error::StoreError;
use crate::fence::Epoch;
use crate::store::{Result, Write};

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
    fn scopes(&self) -> Vec<Scope> {
        match self {
            Self::Batch(batch, _) => scopes::of_batch(batch),
            Self::CreateAccount(account, _) => {
                let name = rules::unique_name(account).map(Scope::Name);
                name.into_iter()
                    .chain([Scope::User(account.user.id)])
                    .collect()
            }
            Self::Claim(guild, ..) => vec![Scope::Guild(*guild)],
            Self::Purge(channel, ..) => vec![Scope::Channel(*channel)],
        }
    }

    fn weight(&self) -> Weight {
        match self {
            Self::Batch(batch, _) => Weight {
                writes: batch.len().max(1),
                bytes: scopes::bytes(batch),
                alone: false,
            },
            Self::Claim(..) | Self::CreateAccount(..) | Self::Purge(..) => Weight {
                writes: 1,
                bytes: 0,
                alone: true,
            },
        }
    }

    fn check(&self) -> Result<()> {
        match self {
            Self::Batch(batch, _) => scopes::check(batch),
            Self::Claim(..) | Self::CreateAccount(..) | Self::Purge(..) => Ok(()),
        }
    }

    fn refuse(self, error: StoreError) {
        match self {
            Self::Batch(_, settle) | Self::Claim(_, _, settle) | Self::CreateAccount(_, settle) => {
                drop(settle.send(Err(error)));
            }
            Self::Purge(_, _, settle) => drop(settle.send(Err(error))),
        }
    }
}

/// The queue, and the way to the cluster.
pub(super) struct Committer {
    link: Arc<Link>,
    state: Mutex<State>,
    idle: Notify,
    runtime: tokio::runtime::Handle,
}

#[derive(Default)]
struct State {
    queue: Queue<Job>,
    closed: bool,
    broken: Option<StoreError>,
}

impl Committer {
    /// A committer that runs its groups on this runtime.
    pub(super) fn new(link: Arc<Link>) -> Arc<Self> {
        Arc::new(Self {
            link,
            state: Mutex::default(),
            idle: Notify::new(),
            runtime: tokio::runtime::Handle::current(),
        })
    }

    /// Queues a job, in the order of the calls, or refuses it at once.
    pub(super) fn submit(self: &Arc<Self>, job: Job) {
        let (scopes, weight) = (job.scopes(), job.weight());
        let mut state = self.state.lock();
        let refusal = if let Some(broken) = &state.broken {
            Some(broken.clone())
        } else if state.closed {
            Some(StoreError::NotApplied("the store is closed".to_owned()))
        } else if state.queue.is_full(weight.writes) {
            metrics::counter!("guildhall_store_busy_total", "where" => "commit_queue").increment(1);
            Some(StoreError::Busy)
        } else {
            job.check().err()
        };
        if let Some(error) = refusal {
            drop(state);
            job.refuse(error);
            return;
        }
        state.queue.push(job, scopes, weight);
        drop(state);
        self.start_groups();
    }

    fn start_groups(self: &Arc<Self>) {
        let (groups, waiting) = {
            let mut state = self.state.lock();
            let groups: Vec<_> = std::iter::from_fn(|| state.queue.next_group()).collect();
            (groups, state.queue.waiting())
        };
        metrics::gauge!("guildhall_store_queue_batches")
            .set(u32::try_from(waiting).map_or(f64::MAX, f64::from));
        // Without the lock: a runtime that has ended drops the task on the spot.
        for group in groups {
            let running = Running {
                committer: self.clone(),
                scopes: group.scopes.clone(),
                finished: false,
            };
            self.runtime.spawn(running.run(group));
        }
    }

    /// Whether the store can still write.
    ///
    /// # Errors
    /// [`StoreError::Broken`].
    pub(super) fn health(&self) -> Result<()> {
        self.state.lock().broken.clone().map_or(Ok(()), Err)
    }

    /// Refuses new jobs, waits until those that were taken are done.
    pub(super) async fn close(&self) {
        loop {
            let idle = self.idle.notified();
            tokio::pin!(idle);
            idle.as_mut().enable();
            {
                let mut state = self.state.lock();
                state.closed = true;
                if state.queue.is_idle() {
                    return;
                }
            }
            idle.await;
        }
    }
}

/// A group under way; gives its lanes back however it ends.
struct Running {
    committer: Arc<Committer>,
    scopes: Vec<Scope>,
    finished: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = self.committer.state.lock();
        state.queue.release(&self.scopes);
        let refused = if self.finished {
            Vec::new()
        } else {
            let text = "a group of writes ended early; the node must stop";
            state.broken = Some(StoreError::Broken(text.to_owned()));
            state.queue.drain()
        };
        let idle = state.queue.is_idle();
        drop(state);
        if !self.finished {
            metrics::counter!("guildhall_store_broken_total").increment(1);
        }
        for job in refused {
            job.refuse(StoreError::NotApplied("the store stopped".to_owned()));
        }
        self.committer.start_groups();
        if idle {
            self.committer.idle.notify_waiters();
        }
    }
}

impl Running {
    async fn run(mut self, group: Group<Job>) {
        let began = Instant::now();
        let link = &*self.committer.link;
        let size = u32::try_from(group.jobs.len()).unwrap_or(u32::MAX);
        let mut batches = Vec::new();
        for job in group.jobs {
            match job {
                Job::Batch(batch, settle) => batches.push((batch, settle)),
                Job::Claim(guild, epoch, settle) => {
                    drop(settle.send(epochs::claim(link, guild, epoch).await));
                }
                Job::CreateAccount(account, settle) => {
                    drop(settle.send(names::create_account(link, &account).await));
                }
                Job::Purge(channel, limit, settle) => {
                    drop(settle.send(purge::purge(link, channel, limit).await));
                }
            }
        }
        if !batches.is_empty() {
            commit(link, batches).await;
        }
        metrics::histogram!("guildhall_store_group_batches").record(f64::from(size));
        metrics::histogram!("guildhall_store_group_seconds").record(began.elapsed().as_secs_f64());
        self.finished = true;
    }
}

/// A batch, and where to say how it ended.
type Batch = (Vec<Write>, oneshot::Sender<Result<()>>);

/// Makes batches durable together, in their order.
async fn commit(link: &Link, batches: Vec<Batch>) {
    let (writes, settles): (Vec<_>, Vec<_>) = batches.into_iter().unzip();
    let alone = writes.len() == 1;
    // Kept for a second round, should the first be refused.
    let again = (!alone).then(|| writes.clone());
    let results = match attempt(link, writes).await {
        Ok(results) => results,
        Err(StoreError::NotApplied(_) | StoreError::TooLarge(_)) if !alone => {
            metrics::counter!("guildhall_store_groups_apart_total").increment(1);
            let mut results = Vec::new();
            for batch in again.unwrap_or_default() {
                results.push(
                    attempt(link, vec![batch])
                        .await
                        .and_then(|one| one.into_iter().next().unwrap_or(Ok(()))),
                );
            }
            results
        }
        Err(error) => vec![Err(error); settles.len()],
    };
    for (settle, result) in settles.into_iter().zip(results) {
        drop(settle.send(result));
    }
}

/// One group: the outer error is everybody's, the inner ones each batch's own.
async fn attempt(link: &Link, batches: Vec<Vec<Write>>) -> Result<Vec<Result<()>>> {
    let mut needs = Needs::default();
    for batch in &batches {
        needs.add(batch);
    }
    let fences: Vec<_> = batches.iter().map(|batch| epochs::fences(batch)).collect();
    let mut work = needs.load(link).await?;
    epochs::raise(link, &fences, &mut work).await?;
    #[cfg(any(test, feature = "testsuite"))]
    link.stop.reached().await;
    let mut results: Vec<_> = batches
        .into_iter()
        .map(|batch| work.commit(batch))
        .collect();
    let mut changes = Changes::new(link.clock.next());
    emit::emit(&work, &mut changes)?;
    link.write(&changes.into_list()).await?;
    epochs::confirm(link, &fences, &mut results).await;
    Ok(results)
}
