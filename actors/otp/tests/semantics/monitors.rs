//! Monitors, DOWN and the release of names.

use otp::testing::Probe;
use otp::{ExitReason, Next, Options, Registry};

use crate::support::{Message, Plan, Worker, node, stop, within, worker};

#[tokio::test(flavor = "multi_thread")]
async fn each_monitor_fires_once() {
    let node = node();
    let mut probe = Probe::start(&node).await.unwrap();
    let target = worker(&node).await;
    let first = probe.monitor(target.pid()).await;
    let second = probe.monitor(target.pid()).await;
    stop(&target, ExitReason::Shutdown);
    let mut fired = [
        probe.expect_down(target.pid()).await,
        probe.expect_down(target.pid()).await,
    ];
    fired.sort_by_key(|(monitor, _)| *monitor);
    assert_eq!(
        fired,
        [
            (first, ExitReason::Shutdown),
            (second, ExitReason::Shutdown)
        ]
    );
    probe.expect_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn monitoring_nobody_gives_noproc() {
    let node = node();
    let mut probe = Probe::start(&node).await.unwrap();
    let gone = worker(&node).await;
    stop(&gone, ExitReason::Normal);
    gone.wait_for_exit().await;
    let monitor = probe.monitor(gone.pid()).await;
    assert_eq!(
        probe.expect_down(gone.pid()).await,
        (monitor, ExitReason::NoProc)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn monitoring_another_node_gives_noconnection() {
    let node = node();
    let other = otp::Node::new("other");
    let mut probe = Probe::start(&node).await.unwrap();
    let far = worker(&other).await;
    probe.monitor(far.pid()).await;
    assert_eq!(
        probe.expect_down(far.pid()).await.1,
        ExitReason::NoConnection
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_monitor_does_not_fire() {
    let node = node();
    let mut probe = Probe::start(&node).await.unwrap();
    let target = worker(&node).await;
    let monitor = probe.monitor(target.pid()).await;
    assert!(
        probe.run(move |ctx| ctx.demonitor(monitor, false)).await,
        "it was still waiting"
    );
    stop(&target, ExitReason::Shutdown);
    target.wait_for_exit().await;
    probe.expect_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flush_removes_a_queued_down_and_its_absence_keeps_it() {
    for flush in [true, false] {
        let node = node();
        let mut probe = Probe::start(&node).await.unwrap();
        let target = worker(&node).await;
        let monitor = probe.monitor(target.pid()).await;
        let pid = target.pid();
        let handle = tokio::runtime::Handle::current();
        let waiting = probe
            .run(move |ctx| {
                stop(&target, ExitReason::Shutdown);
                tokio::task::block_in_place(|| handle.block_on(target.wait_for_exit()));
                ctx.demonitor(monitor, flush)
            })
            .await;
        assert!(!waiting, "the DOWN was queued already");
        if !flush {
            assert_eq!(probe.expect_down(pid).await.0, monitor);
        }
        probe.expect_nothing().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_keys_are_free_when_the_down_arrives() {
    let node = node();
    let registry = Registry::<u32>::new(&node);
    let watcher = worker(&node).await;
    for round in 0..200 {
        let options = Options::new().name("held").register_in(&registry, 5);
        let holder = otp::start::<Worker>(&node, Plan::default(), options)
            .await
            .unwrap();
        assert_eq!(node.whereis("held"), Some(holder.pid()));
        assert_eq!(registry.lookup(&5), Some(holder.pid()));
        let mut probe = Probe::start(&node).await.unwrap();
        probe.monitor(holder.pid()).await;
        if round % 2 == 0 {
            node.exit(holder.pid(), ExitReason::Kill);
        } else {
            stop(&holder, ExitReason::Normal);
        }
        probe.expect_down(holder.pid()).await;
        assert_eq!(node.whereis("held"), None);
        assert_eq!(registry.lookup(&5), None);
    }
    assert_eq!(watcher.call(Message::Get).await, Ok(7));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_down_comes_after_what_its_process_sent() {
    let node = node();
    for _ in 0..50 {
        let mut probe = Probe::start(&node).await.unwrap();
        let target = worker(&node).await;
        probe.monitor(target.pid()).await;
        let probe_pid = probe.pid();
        target.cast(Message::Run(Box::new(move |ctx| {
            for number in 0..3_u32 {
                ctx.send(probe_pid, Box::new(number));
            }
            Next::Stop(ExitReason::Normal)
        })));
        target.wait_for_exit().await;
        let kinds: Vec<&str> = probe
            .drain()
            .await
            .iter()
            .map(|info| match info {
                otp::Info::Message(_) => "message",
                otp::Info::Down { .. } => "DOWN",
                _ => "other",
            })
            .collect();
        assert_eq!(kinds, ["message", "message", "message", "DOWN"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_process_list_tells_what_runs() {
    let node = node();
    let options = Options::new().name("seven").label("guild 7");
    let one = otp::start::<Worker>(&node, Plan::default(), options)
        .await
        .unwrap();
    let two = worker(&node).await;
    let two_pid = two.pid();
    within(&one, move |ctx| ctx.link(two_pid)).await;
    within(&two, |ctx| ctx.set_label("guild 8")).await;
    let list = node.processes();
    assert_eq!(list.len(), 2);
    assert_eq!(list[0].label.as_deref(), Some("guild 7"));
    assert_eq!(list[0].name.as_deref(), Some("seven"));
    assert_eq!(list[0].links, [two.pid()]);
    assert_eq!(list[1].label.as_deref(), Some("guild 8"));
}
