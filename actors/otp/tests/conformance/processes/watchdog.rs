//! Handlers that do not come back: reported, then replaced, and what they still do is void.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use otp::report::{Report, StuckReport};
use otp::{AliasMode, ChildSpec, ExitReason, Node, Options, ServerRef, Supervisor, eventually};
use parking_lot::Mutex;

use super::{message, plain, probe, tell};
use crate::support::{Log, Message, Plan, Worker, node, within, worker};

crate::cases! {
    a_handler_that_blocks_is_reported_once;
    a_handler_that_blocks_for_long_is_replaced;
    many_slow_handlers_are_not_one;
    a_supervisor_restarts_it;
    what_a_replaced_process_still_does_is_void;
    a_replaced_process_ends_once;
}

const REPORT: Duration = Duration::from_millis(50);
const REPLACE: Duration = Duration::from_millis(300);

/// A node with short limits, and its reports of handlers.
fn strict() -> (Node, Arc<Mutex<Vec<StuckReport>>>) {
    let node = node();
    node.set_handler_limits(REPORT, Some(REPLACE));
    let reports: Arc<Mutex<Vec<StuckReport>>> = Arc::default();
    let kept = reports.clone();
    node.on_report(move |report| {
        if let Report::Stuck(report) = report {
            kept.lock().push((**report).clone());
        }
    });
    (node, reports)
}

/// Blocks a worker's thread until the flag is set; what comes after it runs then.
async fn block(
    worker: &ServerRef<Worker>,
    then: impl FnOnce(&mut otp::Context<Worker>) + Send + 'static,
) -> Arc<AtomicBool> {
    let free = Arc::new(AtomicBool::new(false));
    let flag = free.clone();
    let blocked = Arc::new(AtomicBool::new(false));
    let blocks = blocked.clone();
    tell(worker, move |ctx| {
        // It wakes nobody: who is woken here would run on this thread, next.
        blocks.store(true, Ordering::Release);
        let deadline = Instant::now() + otp::testing::TEST_DEADLINE;
        while !flag.load(Ordering::Acquire) && Instant::now() < deadline {
            std::hint::spin_loop();
        }
        then(ctx);
    });
    eventually!(blocked.load(Ordering::Acquire));
    free
}

async fn a_handler_that_blocks_is_reported_once() {
    let (node, reports) = strict();
    node.set_handler_limits(REPORT, None);
    let one = worker(&node).await;
    within(&one, |ctx| ctx.set_label("stuck 1")).await;
    // On a busy machine the threads of others may be held up as well.
    let of_it = || {
        let reports = reports.lock();
        let of_it = reports.iter().filter(|report| report.pid == one.pid());
        of_it.cloned().collect::<Vec<StuckReport>>()
    };
    let before = of_it().len();
    let free = block(&one, |_| {}).await;
    eventually!(of_it().len() > before);
    // Long after the other limit, if there were one.
    let began = Instant::now();
    eventually!(began.elapsed() > 2 * REPLACE);
    let seen = of_it();
    assert_eq!(seen.len(), before + 1, "{seen:?}");
    let seen = &seen[before];
    assert!(!seen.replaced);
    assert_eq!(seen.label.as_deref(), Some("stuck 1"));
    assert_eq!(seen.message.as_deref(), Some("message"));
    assert!(
        seen.held >= REPORT && seen.held < REPLACE,
        "{:?}",
        seen.held
    );
    free.store(true, Ordering::Release);
    assert_eq!(one.call(Message::Get).await, Ok(7), "it goes on");
    // The next time is another time.
    let before = of_it().len();
    let free = block(&one, |_| {}).await;
    eventually!(of_it().len() > before);
    free.store(true, Ordering::Release);
    assert_eq!(one.call(Message::Get).await, Ok(7));
    // One that waits is not one that blocks.
    let open = crate::support::busy(&one);
    eventually!(one.mailbox_len() == 0);
    let (began, before) = (Instant::now(), of_it().len());
    eventually!(began.elapsed() > 2 * REPLACE);
    let seen = of_it();
    assert!(
        seen[before..].iter().all(|report| report.held < REPLACE),
        "{seen:?}"
    );
    open.send(()).unwrap();
    assert_eq!(one.call(Message::Get).await, Ok(7));
}

async fn a_handler_that_blocks_for_long_is_replaced() {
    let (node, reports) = strict();
    let mut probe = probe(&node).await;
    let options = Options::new().name("stuck");
    let stuck = otp::start::<Worker>(&node, Plan::default(), options);
    let stuck = stuck.await.unwrap();
    let pid = stuck.pid();
    let (peer, peer_log) = plain(&node).await;
    within(&peer, move |ctx| ctx.link(pid)).await;
    probe.link(pid).await;
    probe.monitor(pid).await;
    let began = Instant::now();
    let free = block(&stuck, |_| {}).await;
    let ended = stuck.wait_for_exit();
    let pending = stuck.call(Message::Get);
    let (other, log) = plain(&node).await;
    // The others are not concerned meanwhile.
    while began.elapsed() < REPLACE / 2 {
        assert_eq!(other.call(Message::Get).await, Ok(7));
    }
    assert_eq!(ended.await, ExitReason::Killed);
    let after = began.elapsed();
    assert!(after >= REPLACE && after < 10 * REPLACE, "{after:?}");
    assert_eq!(pending.await, Err(otp::CallError::NoProc));
    assert_eq!(probe.expect_down(pid).await.1, ExitReason::Killed);
    assert_eq!(probe.expect_exit(pid).await, ExitReason::Killed);
    assert_eq!(peer.wait_for_exit().await, ExitReason::Killed);
    assert_eq!(peer_log.all(), [""; 0]);
    assert_eq!(node.whereis("stuck"), None);
    assert!(!node.is_alive(pid) && node.process_info(pid).is_none());
    assert_eq!(node.register("stuck", other.pid()), Ok(()));
    let mut seen = reports.lock().clone();
    seen.retain(|report| report.pid == pid);
    let flags: Vec<bool> = seen.iter().map(|report| report.replaced).collect();
    assert_eq!(flags, [false, true], "reported, then replaced");
    assert_eq!(other.call(Message::Get).await, Ok(7));
    free.store(true, Ordering::Release);
    probe.expect_nothing().await;
    assert_eq!(log.all(), [""; 0]);
}

async fn many_slow_handlers_are_not_one() {
    let (node, reports) = strict();
    let one = worker(&node).await;
    for _ in 0..10 {
        tell(&one, |_| std::thread::sleep(REPLACE / 5));
    }
    let reply = one.call_timeout(10 * REPLACE, Message::Get).await;
    assert_eq!(reply, Ok(7), "together they took far longer than the limit");
    let reports = reports.lock();
    assert!(reports.iter().all(|report| !report.replaced), "{reports:?}");
}

async fn a_supervisor_restarts_it() {
    let (node, _) = strict();
    let log = Log::default();
    let of_child = log.clone();
    let child = ChildSpec::worker::<Worker>("child", move || Plan {
        name: "child",
        trap: true,
        log: of_child.clone(),
        ..Plan::default()
    });
    let child = child.options(|| Options::new().name("child"));
    let supervisor = Supervisor::one_for_one().child(child);
    let supervisor = supervisor.start(&node, Options::new()).await.unwrap();
    let first = node.whereis_ref::<Worker>("child").unwrap();
    let began = Instant::now();
    let free = block(&first, |_| {}).await;
    eventually!(log.all() == ["child init", "child init"]);
    let after = began.elapsed();
    assert!(after >= REPLACE && after < 10 * REPLACE, "{after:?}");
    let second = node.whereis_ref::<Worker>("child").unwrap();
    assert_ne!(first.pid(), second.pid());
    assert_eq!(second.call(Message::Get).await, Ok(7));
    // The first comes back, to nothing.
    free.store(true, Ordering::Release);
    assert_eq!(second.call(Message::Get).await, Ok(7));
    assert_eq!(node.whereis("child"), Some(second.pid()));
    supervisor
        .stop(ExitReason::Shutdown, Duration::from_secs(5))
        .await
        .unwrap();
    assert_eq!(log.all()[2..], ["child terminate shutdown"]);
}

async fn what_a_replaced_process_still_does_is_void() {
    let (node, _) = strict();
    let far = Node::new("far");
    node.connect(&far);
    let (mut near, mut other) = (probe(&node).await, probe(&far).await);
    let (pid, far_pid) = (near.pid(), other.pid());
    let alias = near.run(|ctx| ctx.alias(AliasMode::Explicit)).await;
    let (typed, typed_log) = plain(&node).await;
    let victim = worker(&node).await;
    let victim_pid = victim.pid();
    let stuck = worker(&node).await;
    let (done, is_done) = tokio::sync::oneshot::channel();
    let cast_to = typed.clone();
    let free = block(&stuck, move |ctx| {
        let node = ctx.node().clone();
        let before = node.fenced_total();
        cast_to.cast(Message::Note("void".into()));
        ctx.send(pid, message(1));
        node.send(pid, message(2));
        node.send_alias(alias, message(3));
        ctx.send(far_pid, message(4));
        node.send_name_on("far", "nobody", message(5));
        node.send_after(pid, Duration::ZERO, message(6));
        ctx.exit(victim_pid, ExitReason::Kill);
        node.exit(victim_pid, ExitReason::Kill);
        ctx.link(victim_pid);
        ctx.monitor(victim_pid);
        ctx.monitor_name_on("far", "nobody");
        let how = otp::SpawnOptions::default();
        ctx.spawn_request::<Worker>(&node, Plan::default(), Options::new(), how);
        assert!(node.register("void", ctx.pid()).is_err());
        let _ = done.send(node.fenced_total() - before);
    })
    .await;
    assert_eq!(stuck.wait_for_exit().await, ExitReason::Killed);
    let processes = node.process_count();
    free.store(true, Ordering::Release);
    assert_eq!(is_done.await.unwrap(), 13, "each counted");
    super::settled(&node, &far).await;
    near.expect_nothing().await;
    other.expect_nothing().await;
    assert_eq!(typed_log.all(), [""; 0]);
    assert_eq!(victim.call(Message::Get).await, Ok(7));
    let info = node.process_info(victim_pid).unwrap();
    assert_eq!((info.links.len(), info.monitored_by.len()), (0, 0));
    eventually!(node.process_count() == processes);
    assert_eq!(node.whereis("void"), None);
    // Those who are not replaced are not concerned.
    assert!(near.run(move |ctx| ctx.send(far_pid, message(1))).await);
    assert_eq!(other.expect_msg::<u32>().await, 1);
}

async fn a_replaced_process_ends_once() {
    let (node, _) = strict();
    let mut probe = probe(&node).await;
    let log = Log::default();
    let plan = Plan {
        trap: true,
        log: log.clone(),
        ..Plan::default()
    };
    let stuck = crate::support::planned(&node, plan).await;
    probe.monitor(stuck.pid()).await;
    let (done, is_done) = tokio::sync::oneshot::channel();
    let free = block(&stuck, move |_| {
        let _ = done.send(());
    })
    .await;
    // It is told to end, which it does not see.
    node.exit(stuck.pid(), ExitReason::Kill);
    stuck.cast(Message::Note("after".into()));
    assert_eq!(probe.expect_down(stuck.pid()).await.1, ExitReason::Killed);
    assert_eq!(node.process_count(), 1);
    free.store(true, Ordering::Release);
    is_done.await.unwrap();
    probe.monitor(stuck.pid()).await;
    assert_eq!(probe.expect_down(stuck.pid()).await.1, ExitReason::NoProc);
    assert_eq!(log.all(), ["init"], "neither its message nor terminate");
    probe.expect_nothing().await;
}
