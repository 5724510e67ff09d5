//! What carries a process: a ractor actor, or a task of its own.
//!
//! ```text
//!   start ──▶ ractor actor:  four lanes of ractor's, of which only the kill lane is used
//!         └─▶ task (light):  Killable { begin } in the starter, then Killable { live } as a task
//! ```
//!
//! The process is the same in both: one mailbox, links, monitors, names, one kill at the next
//! await. A task saves what ractor's lanes hold whether they are used or not, some 4 KB. Why there
//! are two: `docs/adr/0005-own-mailbox.md`.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as PollContext, Poll};

use futures_util::task::AtomicWaker;
use ractor::ActorCell;

use crate::exit_reason::ExitReason;
use crate::gen_server::GenServer;
use crate::panics::{guarded, on_behalf_of};
use crate::process::Process;
use crate::runner::{Published, Running, Start, begin};
use crate::start::StartError;

/// What a process is ended by, if it has to end at its next await.
pub(crate) enum Carrier {
    /// A ractor actor.
    Actor(ActorCell),
    /// A task, or its starter during `init`: whoever polls it now.
    Task(AtomicWaker),
}

impl Carrier {
    /// That of a light process.
    pub(crate) fn task() -> Carrier {
        Carrier::Task(AtomicWaker::new())
    }

    /// Drops the process at its next await. Its control block says so already.
    pub(crate) fn kill(&self) {
        match self {
            Carrier::Actor(cell) => cell.kill(),
            Carrier::Task(polled_by) => polled_by.wake(),
        }
    }
}

/// Something that is over when its process is condemned.
struct Killable<F> {
    process: Arc<Process>,
    work: F,
}

impl<F: Future + Unpin> Future for Killable<F> {
    /// `None` if it was killed.
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut PollContext<'_>) -> Poll<Self::Output> {
        let Killable { process, work } = &mut *self;
        if let Carrier::Task(polled_by) = process.carrier() {
            // Before the look, or a kill between the two would be missed.
            polled_by.register(context.waker());
        }
        if process.is_condemned() {
            return Poll::Ready(None);
        }
        Pin::new(work).poll(context).map(Some)
    }
}

/// Starts a process that is carried by a task: `init` runs in the caller, as it does with ractor,
/// so that a starter which gives up takes the half-started process with it.
pub(crate) async fn start_light<S: GenServer>(start: Start<S>) -> Result<Arc<Process>, StartError> {
    let slot = start.slot();
    let published = slot.get_or_init(|| {
        let Start {
            node, pid, parent, ..
        } = &start;
        Published::new::<S>(node, *pid, parent.as_ref(), Carrier::task(), &start.options)
    });
    let process = published.process.clone();
    let init = Killable {
        process: process.clone(),
        work: Box::pin(guarded(begin(start, Carrier::task))),
    };
    match init.await {
        Some(Ok(begun)) => {
            let running = begun?;
            tokio::spawn(carry(running));
            Ok(process)
        }
        // Killed, or what `init` left behind could not even be dropped: its record knows.
        None | Some(Err(_)) => {
            let reason = process.exit_reason().unwrap_or(ExitReason::Killed);
            Err(StartError::Failed(reason))
        }
    }
}

/// The whole life of a light process. All of it lies in one box, since a task is allocated in
/// steps of 128 bytes.
fn carry<S: GenServer>(mut running: Running<S>) -> impl Future<Output = ()> + Send {
    let process = running.process();
    let life = Box::pin(async move {
        // Ended in good order or not: everybody who has to know does.
        let _ = running.live().await;
    });
    let life = Killable {
        work: on_behalf_of(process.clone(), life),
        process,
    };
    async move {
        life.await;
    }
}
