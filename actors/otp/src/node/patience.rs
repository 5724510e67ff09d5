//! Patience: most calls are answered within a millisecond, so a call first waits for its answer
//! alone, and enlists with the clock and with those who wait for the end of its server only when
//! that time is over. Enlisting costs about half of such a call.
//!
//! ```text
//!  call ──enter──▶ place { waker, turn } ──answered──▶ leave
//!                     ▲         │
//!  sweeper, every ────┘         └──over──▶ woken, enlists (`server_ref/call.rs`)
//!  PATIENCE while anybody waits
//! ```
//!
//! The caller does not yield to its server instead: that would put it at the end of its worker's
//! queue, and a call in a busy node would take as long as everybody else's work.
//!
//! A call holds one place; places are as many as calls that wait, and need no limit of their own.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use slab::Slab;

/// How long a call waits before it enlists; at most twice that.
pub(crate) const PATIENCE: Duration = Duration::from_millis(1);

/// Locks, so that callers of different servers do not wait for each other.
const SHARDS: usize = 16;

/// The calls of a node that wait and have not enlisted.
#[derive(Default)]
pub(crate) struct Patience {
    shards: [Mutex<Slab<Place>>; SHARDS],
    /// Sweeps so far.
    turn: AtomicU32,
    /// A sweeper runs.
    swept: AtomicBool,
}

enum Place {
    Waiting { waker: Waker, turn: u32 },
    Over,
}

impl Patience {
    /// Waits for `work` until the patience is over, which gives `None`. `hint` spreads the locks.
    pub(crate) fn wait<'a, F: Future + Unpin>(
        self: &'a Arc<Patience>,
        hint: u64,
        work: &'a mut F,
    ) -> Patient<'a, F> {
        Patient {
            patience: self,
            shard: &self.shards[hint as usize % SHARDS],
            place: None,
            work,
        }
    }

    /// Wakes those who have waited through a whole turn; whether others are left.
    fn sweep(&self, all: bool) -> bool {
        let now = self.turn.load(Ordering::Relaxed);
        let mut woken = Vec::new();
        let mut left = false;
        for shard in &self.shards {
            for (_, place) in &mut *shard.lock() {
                match place {
                    Place::Waiting { turn, .. } if !all && *turn == now => left = true,
                    Place::Waiting { .. } => woken.push(std::mem::replace(place, Place::Over)),
                    Place::Over => {}
                }
            }
        }
        self.turn.store(now.wrapping_add(1), Ordering::Relaxed);
        for place in woken {
            if let Place::Waiting { waker, .. } = place {
                waker.wake();
            }
        }
        left
    }

    /// Sees to it that somebody sweeps. To be called before a request is sent as well: what a
    /// worker wakes last runs next, and that should be the server.
    pub(crate) fn arm(self: &Arc<Patience>) {
        if self.swept.load(Ordering::SeqCst) || self.swept.swap(true, Ordering::SeqCst) {
            return;
        }
        let sweeper = Sweeper {
            patience: self.clone(),
            at_work: true,
        };
        tokio::spawn(sweeper.run());
    }

    fn is_anybody_waiting(&self) -> bool {
        let waits = |place: &Place| matches!(place, Place::Waiting { .. });
        let mut shards = self.shards.iter();
        shards.any(|shard| shard.lock().iter().any(|(_, place)| waits(place)))
    }
}

/// Sweeps while anybody waits. If its runtime ends before that, everybody is woken.
struct Sweeper {
    patience: Arc<Patience>,
    at_work: bool,
}

impl Sweeper {
    async fn run(mut self) {
        loop {
            tokio::time::sleep(PATIENCE).await;
            let patience = &self.patience;
            if patience.sweep(false) {
                continue;
            }
            patience.swept.store(false, Ordering::SeqCst);
            // Somebody may have come between the look and this.
            if !patience.is_anybody_waiting() || patience.swept.swap(true, Ordering::SeqCst) {
                self.at_work = false;
                return;
            }
        }
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        if self.at_work {
            self.patience.swept.store(false, Ordering::SeqCst);
            self.patience.sweep(true);
        }
    }
}

/// A wait that ends with the patience.
#[must_use = "a future does nothing unless it is awaited"]
pub(crate) struct Patient<'a, F> {
    patience: &'a Arc<Patience>,
    shard: &'a Mutex<Slab<Place>>,
    place: Option<usize>,
    work: &'a mut F,
}

impl<F: Future + Unpin> Future for Patient<'_, F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Poll::Ready(output) = Pin::new(&mut *this.work).poll(context) {
            return Poll::Ready(Some(output));
        }
        let mut places = this.shard.lock();
        let Some(key) = this.place else {
            let turn = this.patience.turn.load(Ordering::Relaxed);
            let waker = context.waker().clone();
            this.place = Some(places.insert(Place::Waiting { waker, turn }));
            drop(places);
            this.patience.arm();
            return Poll::Pending;
        };
        match places.get_mut(key) {
            Some(Place::Waiting { waker, .. }) => {
                waker.clone_from(context.waker());
                Poll::Pending
            }
            _ => Poll::Ready(None),
        }
    }
}

impl<F> Drop for Patient<'_, F> {
    fn drop(&mut self) {
        if let Some(key) = self.place {
            let _place = self.shard.lock().try_remove(key);
        }
    }
}

#[cfg(test)]
mod tests;
