//! When a handler counts as stuck.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::*;

fn pid(serial: u64) -> Pid {
    Pid::from_parts(1, 1, serial)
}

/// A watchdog without a thread: the test is its clock and its eye.
fn watchdog(report_ms: u64, replace_ms: Option<u64>) -> Arc<Watchdog> {
    let watchdog = Watchdog::new();
    watchdog.set_limits(
        Duration::from_millis(report_ms),
        replace_ms.map(Duration::from_millis),
    );
    watchdog
}

fn seen(watchdog: &Watchdog) -> Vec<(u64, u64, bool)> {
    let stuck = watchdog.stuck();
    let of = |one: &Stuck| (one.serial, one.held.as_millis() as u64, one.replace);
    stuck.iter().map(of).collect()
}

#[test]
fn a_poll_is_reported_once_and_replaced_later() {
    let watchdog = watchdog(50, Some(300));
    watchdog.clock.set(10);
    watchdog.watch(pid(7), || {
        watchdog.clock.set(14);
        assert_eq!(seen(&watchdog), []);
        watchdog.clock.set(15);
        assert_eq!(seen(&watchdog), [(7, 50, false)]);
        watchdog.clock.set(39);
        assert_eq!(seen(&watchdog), [], "reported already");
        watchdog.clock.set(40);
        assert_eq!(seen(&watchdog), [(7, 300, true)]);
    });
    watchdog.clock.set(100);
    assert_eq!(seen(&watchdog), [], "it came back");
}

#[test]
fn without_a_limit_nobody_is_replaced() {
    let watchdog = watchdog(50, None);
    watchdog.watch(pid(7), || {
        watchdog.clock.set(1_000_000);
        assert_eq!(seen(&watchdog), [(7, 10_000_000, false)]);
    });
}

#[test]
fn a_poll_within_a_poll_has_a_time_of_its_own() {
    let watchdog = watchdog(50, None);
    watchdog.watch(pid(7), || {
        watchdog.clock.set(4);
        watchdog.watch(pid(8), || {
            watchdog.clock.set(8);
            assert_eq!(seen(&watchdog), []);
        });
        assert_eq!(seen(&watchdog), [(7, 80, false)], "the outer one goes on");
        watchdog.watch(pid(8), || {});
        assert_eq!(seen(&watchdog), [], "and is reported once");
    });
    watchdog.watch(pid(7), || {
        watchdog.clock.set(20);
        assert_eq!(seen(&watchdog), [(7, 120, false)], "another poll");
    });
}

/// Each poll is short; only a reading of two halves could find one that is not.
#[test]
fn a_busy_worker_is_not_a_stuck_one() {
    let watchdog = watchdog(50, Some(300));
    watchdog.clock.set(1_000_000);
    let done = Arc::new(AtomicBool::new(false));
    let worker = {
        let (watchdog, done) = (watchdog.clone(), done.clone());
        std::thread::spawn(move || {
            while !done.load(Ordering::Relaxed) {
                watchdog.watch(pid(7), || {});
            }
        })
    };
    while watchdog.slots.lock().is_empty() {
        std::thread::yield_now();
    }
    for _ in 0..1_000_000 {
        assert_eq!(seen(&watchdog), []);
    }
    done.store(true, Ordering::Relaxed);
    assert!(worker.join().is_ok());
}
