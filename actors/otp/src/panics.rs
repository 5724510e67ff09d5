//! Panics as exit reasons: what was said, and where.
//!
//! An unwind carries the text but not the place, so a panic hook notes the place of panics which
//! happen inside a process. The hook calls the one that was there before it.

use std::any::Any;
use std::cell::RefCell;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Once};
use std::task::{Context as PollContext, Poll};

use futures_util::FutureExt;

use crate::exit_reason::ExitReason;
use crate::pid::Pid;
use crate::process::Process;

thread_local! {
    /// The process on whose behalf this thread runs right now.
    static CURRENT: RefCell<Option<Arc<Process>>> = const { RefCell::new(None) };

    static LAST_PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A panic hook is by nature one per program; so is this guard.
static HOOK: Once = Once::new();

pub(crate) fn install_hook() {
    HOOK.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if current_pid().is_some() {
                let place = info.location().map(ToString::to_string);
                LAST_PLACE.with(|last| *last.borrow_mut() = place);
            }
            previous(info);
        }));
    });
}

/// The process which is running, if the caller is one.
pub(crate) fn current() -> Option<Arc<Process>> {
    let current = CURRENT.try_with(|current| current.borrow().clone());
    current.ok().flatten()
}

/// The pid of the process which is running, if the caller is one.
pub(crate) fn current_pid() -> Option<Pid> {
    let pid = |current: &RefCell<Option<Arc<Process>>>| Some(current.borrow().as_ref()?.pid);
    CURRENT.try_with(pid).ok().flatten()
}

/// The process which is running, if the caller is one, and whether the watchdog has replaced it.
pub(crate) fn current_standing() -> Option<(Pid, bool)> {
    let standing = |current: &RefCell<Option<Arc<Process>>>| {
        let current = current.borrow();
        let process = current.as_ref()?;
        Some((process.pid, process.is_fenced()))
    };
    CURRENT.try_with(standing).ok().flatten()
}

/// Something that runs as a process, under the eye of its node's watchdog.
///
/// Written by hand because each process lies in one for its whole life: it costs no reference
/// count to poll, and the work is not moved through the layers of nested futures.
#[must_use = "a future does nothing unless it is awaited"]
pub(crate) struct OnBehalfOf<F> {
    process: Arc<Process>,
    /// The same, while it does not run.
    absent: Option<Arc<Process>>,
    work: Option<F>,
}

/// Runs something as the process.
pub(crate) fn on_behalf_of<F: Future + Unpin>(process: Arc<Process>, work: F) -> OnBehalfOf<F> {
    OnBehalfOf {
        absent: Some(process.clone()),
        process,
        work: Some(work),
    }
}

/// Puts the current process back when its turn is over, also by a panic.
struct Turn<'a> {
    absent: &'a mut Option<Arc<Process>>,
    outer: Option<Arc<Process>>,
}

impl Turn<'_> {
    fn begin(absent: &mut Option<Arc<Process>>) -> Turn<'_> {
        let outer = CURRENT.try_with(|current| current.replace(absent.take()));
        Turn {
            absent,
            outer: outer.ok().flatten(),
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let process = CURRENT.try_with(|current| current.replace(self.outer.take()));
        *self.absent = process.ok().flatten();
    }
}

impl<F: Future + Unpin> Future for OnBehalfOf<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut PollContext<'_>) -> Poll<F::Output> {
        let OnBehalfOf {
            process,
            absent,
            work,
        } = &mut *self;
        let Some(work) = work else {
            return Poll::Pending;
        };
        let _turn = Turn::begin(absent);
        let watchdog = process.node.watchdog();
        watchdog.watch(process.pid, || Pin::new(work).poll(context))
    }
}

impl<F> Drop for OnBehalfOf<F> {
    fn drop(&mut self) {
        // What the work drops is dropped by the process, too.
        let _turn = Turn::begin(&mut self.absent);
        self.work = None;
    }
}

/// Runs a callback; a panic becomes an exit reason.
pub(crate) async fn guarded<T>(callback: impl Future<Output = T>) -> Result<T, ExitReason> {
    AssertUnwindSafe(callback)
        .catch_unwind()
        .await
        .map_err(reason_of_panic)
}

/// Runs a function; a panic becomes an exit reason.
pub(crate) fn guarded_now<T>(function: impl FnOnce() -> T) -> Result<T, ExitReason> {
    std::panic::catch_unwind(AssertUnwindSafe(function)).map_err(reason_of_panic)
}

/// The exit reason of a caught panic.
fn reason_of_panic(payload: Box<dyn Any + Send>) -> ExitReason {
    let message = match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => match payload.downcast::<&'static str>() {
            Ok(text) => (*text).to_owned(),
            Err(_) => "a panic without a text".to_owned(),
        },
    };
    let location = LAST_PLACE
        .with(|last| last.borrow_mut().take())
        .unwrap_or_default();
    ExitReason::Panic {
        message: message.into(),
        location: location.into(),
    }
}
