//! Start functions, links and supervision.

use otp::testing::Probe;
use otp::{Context, ExitReason, Init, Next, Options, Restart, StartError, Supervisor, gen_server};

use crate::support::node;

/// Counts, and dies on demand.
struct Counter {
    count: u64,
}

#[gen_server]
impl Counter {
    #[init]
    async fn init() -> Init<Self> {
        Init::Ok(Counter { count: 0 })
    }

    #[call]
    async fn increment(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    #[cast]
    async fn die(&mut self, reason: ExitReason) -> Next<Self> {
        Next::Stop(reason)
    }
}

/// Starts a counter of its own.
struct Parent {
    child: CounterClient,
}

#[gen_server]
impl Parent {
    #[init]
    async fn init(name: &'static str, ctx: &mut Context<Self>) -> Init<Self> {
        match Counter::start_link(ctx, (), Options::new().name(name)).await {
            Ok(child) => Init::Ok(Parent { child }),
            Err(error) => Init::Stop(ExitReason::error(error)),
        }
    }

    #[call]
    async fn child(&self) -> CounterClient {
        self.child.clone()
    }
}

#[tokio::test]
async fn options_apply_to_a_start() {
    let node = node();
    let options = || Options::new().name("counter");
    let counter = Counter::start(&node, (), options()).await.unwrap();
    assert_eq!(node.whereis("counter"), Some(counter.pid()));
    assert_eq!(
        Counter::start(&node, (), options()).await,
        Err(StartError::AlreadyStarted(counter.pid()))
    );
}

#[tokio::test]
async fn a_linked_start_shares_its_fate() {
    let node = node();
    let parent = Parent::start(&node, "child", Options::new()).await.unwrap();
    let child = parent.child().await.unwrap();
    assert_eq!(node.whereis("child"), Some(child.pid()));
    assert_eq!(child.increment().await, Ok(1));
    node.exit(parent.pid(), ExitReason::Kill);
    assert_eq!(child.server_ref().wait_for_exit().await, ExitReason::Killed);

    let parent = Parent::start(&node, "child", Options::new()).await.unwrap();
    parent
        .child()
        .await
        .unwrap()
        .die(ExitReason::error("broken"));
    assert_eq!(
        parent.server_ref().wait_for_exit().await,
        ExitReason::error("broken")
    );
}

#[tokio::test]
async fn a_linked_start_does_not_borrow_its_parent() {
    let node = node();
    let probe = Probe::start(&node).await.unwrap();
    let start = probe
        .run(|ctx| Counter::start_link(ctx, (), Options::new()))
        .await;
    let counter = tokio::spawn(start).await.unwrap().unwrap();
    assert_eq!(counter.increment().await, Ok(1));
}

#[tokio::test]
async fn a_supervisor_restarts_it() {
    let node = node();
    let named = |name: &'static str| move || Options::new().name(name);
    let supervisor = Supervisor::one_for_one()
        .child(Counter::child_spec("default", || ()).options(named("default")))
        .child(
            Counter::child_spec("transient", || ())
                .options(named("transient"))
                .restart(Restart::Transient),
        )
        .start(&node, Options::new())
        .await
        .unwrap();
    let find = |name| CounterClient::whereis(&node, name);

    // Permanent: also after a normal end; and with a new state.
    let first = find("default").unwrap();
    assert_eq!(first.increment().await, Ok(1));
    assert_eq!(first.increment().await, Ok(2));
    first.die(ExitReason::Normal);
    otp::eventually!(find("default").is_some_and(|second| second != first));
    assert_eq!(find("default").unwrap().increment().await, Ok(1));

    // The builder's word counts.
    find("transient").unwrap().die(ExitReason::Normal);
    otp::eventually!(find("transient").is_none());
    let count = supervisor.count_children().await.unwrap();
    assert_eq!((count.specs, count.active, count.workers), (2, 1, 2));
}

/// A server with start functions of its own in place of the written ones.
struct Own;

#[gen_server]
impl Own {
    pub(crate) fn start() -> &'static str {
        "mine"
    }

    #[init]
    async fn init() -> Init<Self> {
        Init::Ok(Own)
    }

    #[call]
    async fn child_spec(&self) -> u8 {
        1
    }
}

#[tokio::test]
async fn own_functions_take_the_place_of_written_ones() {
    assert_eq!(Own::start(), "mine");
    let own = otp::start::<Own>(&node(), (), Options::new())
        .await
        .unwrap();
    assert_eq!(OwnClient::from(own).child_spec().await, Ok(1));
}
