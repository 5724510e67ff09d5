//! Panics as exit reasons: what was said, and where.
//!
//! An unwind carries the text but not the place, so a panic hook notes the place of panics which
//! happen inside a process. The hook calls the one that was there before it.

use std::any::Any;
use std::cell::RefCell;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Once};

use futures_util::FutureExt;

use crate::exit_reason::ExitReason;
use crate::pid::Pid;
use crate::process::Process;

tokio::task_local! {
    /// The process on whose behalf the current task runs right now.
    static CURRENT: Arc<Process>;
}

thread_local! {
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
    CURRENT.try_with(Arc::clone).ok()
}

/// The pid of the process which is running, if the caller is one.
pub(crate) fn current_pid() -> Option<Pid> {
    CURRENT.try_with(|process| process.pid).ok()
}

/// Runs something as the process, under the eye of its node's watchdog.
pub(crate) async fn on_behalf_of<T>(process: Arc<Process>, work: impl Future<Output = T>) -> T {
    let me = process.clone();
    let watched = async move {
        let mut work = std::pin::pin!(work);
        let watchdog = me.node.watchdog();
        std::future::poll_fn(|context| watchdog.watch(me.pid, || work.as_mut().poll(context))).await
    };
    CURRENT.scope(process, watched).await
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
