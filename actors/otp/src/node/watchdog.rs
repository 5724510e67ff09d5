//! The watchdog: finds handlers that do not come back, and replaces their processes.
//!
//! ```text
//!  worker thread: poll begins ─▶ slot { process, since } ─▶ poll ends ─▶ slot { nobody }
//!                                        ▲
//!  watchdog thread: every TICK moves the node's clock on, looks at the slots of all workers
//!       held for `report_after`  ─▶ reported, once
//!       held for `replace_after` ─▶ links and monitors fire `killed`, names are free, and what
//!                                   the code still does is fenced and counted
//! ```
//!
//! Erlang's scheduler takes a process off its core after so many reductions. A Rust future that
//! does not reach an await cannot be taken off; what can be done is to stop everybody else from
//! waiting for it. The worker thread is lost until the code comes back: give what blocks to
//! `tokio::task::spawn_blocking`.
//!
//! Its time stands still while the whole program is stopped (SIGSTOP, a debugger), so nobody is
//! replaced for that.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use crate::node::clock::{Clock, TICK};
use crate::pid::Pid;

/// How long a handler may hold its worker before it is reported, unless
/// [`crate::Node::set_handler_limits`] says otherwise.
pub const HANDLER_REPORT_AFTER: Duration = Duration::from_secs(1);

/// How long a handler may hold its worker before its process is replaced, unless
/// [`crate::Node::set_handler_limits`] says otherwise.
pub const HANDLER_REPLACE_AFTER: Duration = Duration::from_secs(60);

/// The clock moves on by at most so many steps at once.
const STEPS_MAX: u32 = 3;

/// What a worker thread is doing for one node. The thread alone writes, except for `reported`.
#[derive(Default)]
struct Slot {
    /// Odd while the thread changes the two below, which belong together: read in between, the
    /// start of one poll and the process of another would make a handler that holds its worker.
    version: AtomicU32,
    /// The serial of the process whose code runs; 0 for none.
    serial: AtomicU64,
    /// Since when, on the node's clock.
    since: AtomicU32,
    /// The poll that was reported last, so that it is reported once.
    reported: Mutex<(u64, u32)>,
}

impl Slot {
    /// Who runs, and since when. For the thread itself.
    fn get(&self) -> (u64, u32) {
        let serial = self.serial.load(Ordering::Relaxed);
        (serial, self.since.load(Ordering::Relaxed))
    }

    /// Notes who runs, and since when.
    fn set(&self, (serial, since): (u64, u32)) {
        let version = self.version.load(Ordering::Relaxed);
        self.version
            .store(version.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        self.since.store(since, Ordering::Relaxed);
        self.serial.store(serial, Ordering::Relaxed);
        self.version
            .store(version.wrapping_add(2), Ordering::Release);
    }

    /// Who runs, and since when, for another thread; `None` if it changes just now.
    fn look(&self) -> Option<(u64, u32)> {
        let before = self.version.load(Ordering::Acquire);
        let seen = self.get();
        fence(Ordering::Acquire);
        let same = before == self.version.load(Ordering::Relaxed);
        (same && before.is_multiple_of(2)).then_some(seen)
    }
}

/// The slots of a node's workers, and the limits.
pub(crate) struct Watchdog {
    pub(crate) clock: Arc<Clock>,
    /// One for each thread that ever ran a process of this node.
    slots: Mutex<Vec<Arc<Slot>>>,
    report_after_ms: AtomicU64,
    /// 0 for never.
    replace_after_ms: AtomicU64,
}

/// A handler that has held its worker too long.
pub(crate) struct Stuck {
    pub(crate) serial: u64,
    pub(crate) held: Duration,
    pub(crate) replace: bool,
}

thread_local! {
    /// This thread's slots, by node; the one used last comes first.
    static SLOTS: RefCell<Vec<(Weak<Watchdog>, Arc<Slot>)>> = const { RefCell::new(Vec::new()) };
}

impl Watchdog {
    pub(crate) fn new() -> Arc<Watchdog> {
        let millis = |limit: Duration| limit.as_millis() as u64;
        Arc::new(Watchdog {
            clock: Arc::default(),
            slots: Mutex::default(),
            report_after_ms: AtomicU64::new(millis(HANDLER_REPORT_AFTER)),
            replace_after_ms: AtomicU64::new(millis(HANDLER_REPLACE_AFTER)),
        })
    }

    pub(crate) fn set_limits(&self, report_after: Duration, replace_after: Option<Duration>) {
        let millis = |limit: Duration| (limit.as_millis() as u64).max(1);
        self.report_after_ms
            .store(millis(report_after), Ordering::Relaxed);
        self.replace_after_ms
            .store(replace_after.map_or(0, millis), Ordering::Relaxed);
    }

    /// Those that have held their worker too long, each to be reported once.
    pub(crate) fn stuck(&self) -> Vec<Stuck> {
        let report_after = self.report_after_ms.load(Ordering::Relaxed);
        let replace_after = self.replace_after_ms.load(Ordering::Relaxed);
        let slots = self.slots.lock();
        let looks = slots.iter().filter_map(|slot| {
            let poll = slot.look()?;
            let (serial, since) = poll;
            let held = self.clock.since_ms(since);
            let replace = replace_after > 0 && held >= replace_after;
            if serial == 0 || (held < report_after && !replace) {
                return None;
            }
            let reported = std::mem::replace(&mut *slot.reported.lock(), poll);
            (replace || reported != poll).then_some(Stuck {
                serial,
                held: Duration::from_millis(held),
                replace,
            })
        });
        looks.collect()
    }

    /// Notes in this thread's slot who runs, and since when; tells what was noted before.
    fn note(self: &Arc<Watchdog>, now: (u64, u32)) -> (u64, u32) {
        SLOTS.with(|slots| {
            let mut slots = slots.borrow_mut();
            if slots.first().is_none_or(|(one, _)| !self.is(one)) {
                self.bring_to_front(&mut slots);
            }
            let slot = &slots[0].1;
            let before = slot.get();
            slot.set(now);
            before
        })
    }

    fn is(self: &Arc<Watchdog>, other: &Weak<Watchdog>) -> bool {
        other.as_ptr() == Arc::as_ptr(self)
    }

    /// Makes this node's slot the first of the thread's.
    #[cold]
    fn bring_to_front(self: &Arc<Watchdog>, slots: &mut Vec<(Weak<Watchdog>, Arc<Slot>)>) {
        match slots.iter().position(|(one, _)| self.is(one)) {
            Some(position) => slots.swap(0, position),
            None => {
                // Those of nodes that are gone.
                slots.retain(|(watchdog, _)| watchdog.strong_count() > 0);
                let slot = Arc::<Slot>::default();
                self.slots.lock().push(slot.clone());
                slots.insert(0, (Arc::downgrade(self), slot));
            }
        }
    }

    /// Runs one poll of a process' code.
    pub(crate) fn watch<T>(self: &Arc<Watchdog>, pid: Pid, poll: impl FnOnce() -> T) -> T {
        // The `init` of a child is polled by its starter: the outer poll goes on afterwards.
        let outer = self.note((pid.serial(), self.clock.now()));
        let result = poll();
        self.note(outer);
        result
    }
}

/// The thread behind a node: its clock, and its eye on handlers. Ends with the node.
pub(crate) fn spawn(
    name: &str,
    watchdog: &Arc<Watchdog>,
    mut on_stuck: impl FnMut(Stuck) -> bool + Send + 'static,
) {
    let watchdog = Arc::downgrade(watchdog);
    let name = format!("watchdog of {name}");
    let watch = move || {
        let mut last = std::time::Instant::now();
        let mut steps: u32 = 0;
        loop {
            std::thread::sleep(TICK);
            let Some(watchdog) = watchdog.upgrade() else {
                return;
            };
            let passed = last.elapsed().as_millis() / TICK.as_millis();
            last = std::time::Instant::now();
            let passed = u32::try_from(passed)
                .unwrap_or(STEPS_MAX)
                .clamp(1, STEPS_MAX);
            steps = steps.wrapping_add(passed);
            watchdog.clock.set(steps);
            for stuck in watchdog.stuck() {
                if !on_stuck(stuck) {
                    return;
                }
            }
        }
    };
    if let Err(error) = std::thread::Builder::new().name(name).spawn(watch) {
        tracing::error!(%error, "no watchdog: handlers that do not come back will not be found");
    }
}

#[cfg(test)]
mod tests;
