//! How a batch comes to everyone: one walk over the slices of the roster, by all workers if there
//! are many sessions.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use model::UserId;
use otp::Context;
use parking_lot::Mutex;
use tokio::task::JoinSet;

use super::handle::Shared;
use super::roster::{Batch, SLICES, Slice};
use super::{PARALLEL_SESSIONS_MIN, Relay, SESSIONS_PER_SLICE, SessionId};
use crate::session;
use crate::session::outbox::Appended;

impl Relay {
    /// Gives everyone a batch.
    pub(super) async fn give(&self, batch: Arc<Batch>, ctx: &mut Context<Self>) {
        let (slices, sessions) = self.shared.roster.lock().slices(&batch);
        let workers = tokio::runtime::Handle::current().metrics().num_workers();
        let mut closed = Vec::new();
        if sessions < PARALLEL_SESSIONS_MIN || workers == 1 {
            for slice in slices {
                closed.extend(walk(&slice, &batch, &self.shared).await);
            }
        } else {
            let slices: Arc<[_]> = slices.into();
            let next = Arc::new(AtomicUsize::new(0));
            let mut walks = JoinSet::new();
            for _ in 0..workers.min(SLICES) {
                let (slices, next) = (Arc::clone(&slices), Arc::clone(&next));
                let (batch, shared) = (Arc::clone(&batch), Arc::clone(&self.shared));
                walks.spawn(async move {
                    let mut closed = Vec::new();
                    while let Some(slice) = slices.get(next.fetch_add(1, Ordering::Relaxed)) {
                        closed.extend(walk(slice, &batch, &shared).await);
                    }
                    closed
                });
            }
            // A walk that panics takes the relay along, as one without tasks would.
            closed = walks.join_all().await.concat();
        }
        closed.extend(self.give_passive(&batch).await);
        let mut roster = self.shared.roster.lock();
        roster.delivered();
        self.shared.meters.classes.record(roster.classes() as f64);
        for id in closed {
            if let Some(pid) = self.forget(&mut roster, &id, ctx) {
                // Nothing to one that has ended; one that cannot go on has to.
                self.tell(ctx.node(), pid, |guild| session::Message::Lost { guild });
            }
        }
    }

    /// Gives a batch that concerns few passive sessions to these; those that are closed.
    async fn give_passive(&self, batch: &Batch) -> Vec<SessionId> {
        let mut closed = Vec::new();
        for (number, user) in batch.passive_apart().enumerate() {
            self.give_user(user, batch, &mut closed);
            if number % SESSIONS_PER_SLICE == SESSIONS_PER_SLICE - 1 {
                tokio::task::yield_now().await;
            }
        }
        closed
    }

    fn give_user(&self, user: UserId, batch: &Batch, closed: &mut Vec<SessionId>) {
        let roster = self.shared.roster.lock();
        for id in roster.of(user) {
            let appended = roster.give_one(&id, batch);
            self.count(appended);
            if appended.closed {
                closed.push(id);
            }
        }
    }
}

/// Gives the sessions of a slice a batch; those that are closed.
async fn walk(slice: &Mutex<Slice>, batch: &Batch, shared: &Shared) -> Vec<SessionId> {
    let (mut closed, mut from) = (Vec::new(), 0);
    loop {
        let mut total = Appended::default();
        let next = slice.lock().give(from, batch, &mut total, &mut closed);
        shared.meters.dispatched(total.events, total.bytes);
        match next {
            Some(next) => from = next,
            None => return closed,
        }
        tokio::task::yield_now().await;
    }
}
