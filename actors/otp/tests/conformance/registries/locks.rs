//! `Registry.lock`.

use std::future::pending;
use std::time::Duration;

use otp::registry::{LockError, Registry};
use otp::{ExitReason, Node, Task, eventually};
use tokio::sync::oneshot;

use super::{PARTITIONS, unique};
use crate::support::{Log, node};

crate::cases! {
    different_keys: "REG-002";
    same_key [Paused]: "REG-003";
    holder_raises: "REG-004";
    holder_dies: "REG-005";
    waiter_dies: "REG-006";
}

type Locks = Registry<&'static str>;

/// A process that does something under a lock.
fn locking<T: Send + 'static>(
    node: &Node,
    registry: &Locks,
    key: &'static str,
    work: impl Future<Output = T> + Send + 'static,
) -> Task<Result<T, LockError>> {
    let registry = registry.clone();
    otp::task::spawn(node, key, async move { registry.lock(key, work).await })
}

/// A process that holds a lock until the sender is used or dropped. Comes back when it does.
async fn holding(
    node: &Node,
    registry: &Locks,
    key: &'static str,
) -> (Task<Result<(), LockError>>, oneshot::Sender<()>) {
    let (gate, open) = oneshot::channel::<()>();
    let (holds, held) = oneshot::channel();
    let task = locking(node, registry, key, async move {
        holds.send(()).unwrap();
        let _ = open.await;
    });
    held.await.unwrap();
    (task, gate)
}

/// Lets everybody run until they wait.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

async fn different_keys() {
    let node = node();
    for partitions in PARTITIONS {
        let registry = unique(&node, partitions);
        let (one, gate) = holding(&node, &registry, "one").await;
        // Each of these gets its lock while all the others hold theirs.
        let (two, gate_two) = holding(&node, &registry, "two").await;
        assert_eq!(registry.stats().locks, 2);
        assert_eq!(
            locking(&node, &registry, "three", async { 3 }).await,
            Ok(Ok(3))
        );
        // An entry under the key has nothing to do with it.
        registry.register("one", two.pid()).unwrap();
        drop((gate, gate_two));
        assert_eq!(one.await, Ok(Ok(())));
        assert_eq!(two.await, Ok(Ok(())));
        eventually!(registry.stats().locks == 0);
    }
}

async fn same_key() {
    let node = node();
    for partitions in PARTITIONS {
        let registry = unique(&node, partitions);
        let log = Log::default();
        let mut tasks = Vec::new();
        for name in ["a", "b", "c"] {
            let say = log.clone();
            tasks.push(locking(&node, &registry, "key", async move {
                say.add(format!("{name} begins"));
                tokio::time::sleep(Duration::from_secs(1)).await;
                say.add(format!("{name} ends"));
            }));
            // They come one after the other.
            settle().await;
        }
        assert_eq!(log.all(), ["a begins"]);
        assert_eq!(registry.stats().locks, 1);
        for task in tasks {
            assert_eq!(task.await, Ok(Ok(())));
        }
        let expected = [
            "a begins", "a ends", "b begins", "b ends", "c begins", "c ends",
        ];
        assert_eq!(log.all(), expected);
        assert_eq!(registry.stats().locks, 0);
    }
}

async fn holder_raises() {
    let node = node();
    for partitions in PARTITIONS {
        let registry = unique(&node, partitions);
        let (gate, open) = oneshot::channel::<()>();
        let (holds, held) = oneshot::channel();
        let holder = locking(&node, &registry, "key", async move {
            holds.send(()).unwrap();
            let _ = open.await;
            panic!("the holder raises");
        });
        held.await.unwrap();
        let waiter = locking(&node, &registry, "key", async { "waited" });
        drop(gate);
        let reason: Result<Result<(), _>, _> = holder.await;
        assert!(matches!(reason, Err(ExitReason::Panic { .. })));
        assert_eq!(waiter.await, Ok(Ok("waited")));
        eventually!(registry.stats().locks == 0);
    }
}

async fn holder_dies() {
    let node = node();
    for partitions in PARTITIONS {
        let registry = unique(&node, partitions);
        let (holder, _gate) = holding(&node, &registry, "key").await;
        let waiter = locking(&node, &registry, "key", async { "waited" });
        node.exit(holder.pid(), ExitReason::Kill);
        assert_eq!(holder.await, Err(ExitReason::Killed));
        assert_eq!(waiter.await, Ok(Ok("waited")));
        eventually!(registry.stats().locks == 0);
    }
}

async fn waiter_dies() {
    let node = node();
    for partitions in PARTITIONS {
        let registry = unique(&node, partitions);
        let (holder, gate) = holding(&node, &registry, "key").await;
        let never = locking(&node, &registry, "key", async {
            panic!("a dead process has no turn");
        });
        let also_never = locking(&node, &registry, "key", pending::<()>());
        settle().await;
        let last = locking(&node, &registry, "key", async { "waited" });
        settle().await;
        for waiter in [never.pid(), also_never.pid()] {
            node.exit(waiter, ExitReason::Kill);
        }
        let never: Result<Result<(), _>, _> = never.await;
        assert_eq!(never, Err(ExitReason::Killed));
        assert_eq!(also_never.await, Err(ExitReason::Killed));
        // The holder goes on, and nobody has taken its place.
        assert_eq!(registry.stats().locks, 1);
        drop(gate);
        assert_eq!(holder.await, Ok(Ok(())));
        assert_eq!(last.await, Ok(Ok("waited")));
        eventually!(registry.stats().locks == 0);
    }
}
