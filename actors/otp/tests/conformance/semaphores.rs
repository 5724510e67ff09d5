//! `Semaphore`, after Discord's `semaphore_test.exs`.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use otp::{AcquireError, ExitReason, Semaphore, eventually, task};

use crate::support::node;

crate::cases! {
    acquire: "SEM-001";
    release: "SEM-002";
    raise_max: "SEM-003";
    call: "SEM-004";
    call_linksafe: "SEM-005";
    full: "SEM-006";
    acquire_linksafe: "SEM-007";
    release_linksafe: "SEM-008";
    dedupe: "SEM-009";
    never_waits: "SEM-010";
}

const FULL: Result<(), AcquireError> = Err(AcquireError::Full);

async fn acquire() {
    let semaphore = Semaphore::new(2);
    assert_eq!(semaphore.acquire(), Ok(()));
    assert_eq!(semaphore.acquire(), Ok(()));
    assert_eq!(semaphore.acquire(), FULL);
    assert_eq!(semaphore.count(), 2);
    assert_eq!(Semaphore::new(0).acquire(), FULL);
    semaphore.reset();
    assert_eq!((semaphore.count(), semaphore.acquire()), (0, Ok(())));
}

async fn release() {
    let semaphore = Semaphore::new(1);
    assert_eq!(semaphore.acquire(), Ok(()));
    assert!(semaphore.release());
    assert_eq!(semaphore.acquire(), Ok(()));
    assert!(semaphore.release());
    // One too many makes no room for more.
    assert!(!semaphore.release());
    assert_eq!((semaphore.acquire(), semaphore.acquire()), (Ok(()), FULL));
}

async fn raise_max() {
    let semaphore = Semaphore::new(1);
    assert_eq!((semaphore.acquire(), semaphore.acquire()), (Ok(()), FULL));
    semaphore.set_max(2);
    assert_eq!((semaphore.acquire(), semaphore.acquire()), (Ok(()), FULL));
    semaphore.set_max(1);
    semaphore.release();
    assert_eq!(semaphore.acquire(), FULL, "one is still out");
    semaphore.release();
    assert_eq!(semaphore.acquire(), Ok(()));
}

async fn call() {
    let node = node();
    let semaphore = Semaphore::new(1);
    let inner = semaphore.clone();
    let counted = semaphore.call(async move { (inner.count(), inner.call(async {}).await) });
    assert_eq!(counted.await, Ok((1, FULL)));
    assert_eq!(semaphore.count(), 0);
    let crashing = semaphore.clone();
    let crash = task::spawn(&node, "crash", async move {
        let _: Result<(), _> = crashing.call(async { panic!("in a call") }).await;
    });
    assert!(matches!(crash.await, Err(ExitReason::Panic { .. })));
    assert_eq!(semaphore.count(), 0);
    // A future that is dropped half way.
    let mut dropped = Box::pin(semaphore.call(pending::<()>()));
    assert!(futures_util::poll!(&mut dropped).is_pending());
    assert_eq!(semaphore.count(), 1);
    drop(dropped);
    assert_eq!(semaphore.count(), 0);
}

async fn call_linksafe() {
    let node = node();
    let semaphore = Semaphore::new(1);
    let inner = semaphore.clone();
    let caller = task::spawn(&node, "caller", async move {
        let counted = inner.call_linksafe(async { inner.count() }).await;
        (counted, inner.count())
    });
    assert_eq!(caller.await, Ok((Ok(1), 0)));
    let inner = semaphore.clone();
    let killed = task::spawn(&node, "killed", async move {
        let _ = inner.call_linksafe(pending::<()>()).await;
    });
    eventually!(semaphore.count() == 1);
    node.exit(killed.pid(), ExitReason::Kill);
    killed.await.unwrap_err();
    assert_eq!(semaphore.count(), 0);
    // Permits of a process are for processes.
    let outside = semaphore.call_linksafe(async {}).await;
    assert_eq!(outside, Err(AcquireError::NoProcess));
}

async fn full() {
    let node = node();
    let semaphore = Semaphore::new(1);
    semaphore.acquire().unwrap();
    let run = Arc::new(AtomicUsize::new(0));
    let count = run.clone();
    let work = move || {
        let count = count.clone();
        async move {
            count.fetch_add(1, Ordering::SeqCst);
        }
    };
    let inner = semaphore.clone();
    let refused = task::spawn(&node, "caller", async move {
        let called = [inner.call(work()).await, inner.call_linksafe(work()).await];
        (called, inner.acquire_linksafe())
    });
    assert_eq!(refused.await, Ok(([FULL, FULL], FULL)));
    assert_eq!(run.load(Ordering::SeqCst), 0, "nothing was run");
    assert_eq!(semaphore.count(), 1);
}

/// A process that takes a permit and keeps it.
fn keeper(node: &otp::Node, semaphore: &Semaphore) -> otp::Task<()> {
    let semaphore = semaphore.clone();
    task::spawn(node, "keeper", async move {
        semaphore.acquire_linksafe().unwrap();
        pending().await
    })
}

async fn acquire_linksafe() {
    let node = node();
    let semaphore = Semaphore::new(2);
    let keepers = [keeper(&node, &semaphore), keeper(&node, &semaphore)];
    eventually!(semaphore.count() == 2);
    assert_eq!(semaphore.acquire(), FULL);
    for (left, keeper) in keepers.into_iter().enumerate() {
        node.exit(keeper.pid(), ExitReason::Kill);
        keeper.await.unwrap_err();
        // Free as soon as the end is known.
        assert_eq!(semaphore.count(), 1 - left);
    }
    assert_eq!(semaphore.acquire_linksafe(), Err(AcquireError::NoProcess));
}

async fn release_linksafe() {
    let node = node();
    let semaphore = Semaphore::new(1);
    let inner = semaphore.clone();
    let holder = task::spawn(&node, "holder", async move {
        for _ in 0..1_000 {
            inner.acquire_linksafe().unwrap();
            assert!(inner.release_linksafe());
        }
        assert!(!inner.release_linksafe(), "it has none");
        inner.count()
    });
    assert_eq!(holder.await, Ok(0));
    // Nobody gives back the permit of another.
    let keeper = keeper(&node, &semaphore);
    eventually!(semaphore.count() == 1);
    let inner = semaphore.clone();
    let thief = task::spawn(&node, "thief", async move { inner.release_linksafe() });
    assert_eq!((thief.await, semaphore.count()), (Ok(false), 1));
    // One that was given back does not come back again with the end.
    semaphore.reset();
    semaphore.acquire().unwrap();
    node.exit(keeper.pid(), ExitReason::Kill);
    keeper.await.unwrap_err();
    assert_eq!(semaphore.count(), 1);
}

async fn dedupe() {
    let node = node();
    let semaphore = Semaphore::new(2);
    let inner = semaphore.clone();
    let holder = task::spawn(&node, "holder", async move {
        inner.acquire_linksafe().unwrap();
        inner.acquire_linksafe().unwrap();
        let twice = inner.count();
        let inside = inner.call_linksafe(async { inner.count() }).await;
        let after = inner.count();
        (
            twice,
            inside,
            after,
            inner.release_linksafe(),
            inner.count(),
        )
    });
    assert_eq!(holder.await, Ok((1, Ok(1), 1, true, 0)));
}

/// However many want it: each has its answer at once, and never more than the limit have it.
async fn never_waits() {
    let node = node();
    let semaphore = Semaphore::new(3);
    let most = Arc::new(AtomicUsize::new(0));
    let inside = Arc::new(AtomicUsize::new(0));
    let mut crowd = Vec::new();
    for _ in 0..8 {
        let (semaphore, most, inside) = (semaphore.clone(), most.clone(), inside.clone());
        crowd.push(task::spawn(&node, "one of many", async move {
            for _ in 0..500 {
                let called = semaphore.call_linksafe(async {
                    let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
                    most.fetch_max(now, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                    inside.fetch_sub(1, Ordering::SeqCst);
                });
                if called.await.is_err() {
                    tokio::task::yield_now().await;
                }
            }
        }));
    }
    for one in crowd {
        one.await.unwrap();
    }
    assert!(most.load(Ordering::SeqCst) <= 3);
    assert_eq!(semaphore.count(), 0);
    // While all permits are out, the answer comes in the same poll.
    (0..3).for_each(|_| semaphore.acquire().unwrap());
    let mut refused = Box::pin(semaphore.call(pending::<()>()));
    let answer = futures_util::poll!(&mut refused);
    assert_eq!(answer, std::task::Poll::Ready(FULL));
}
