//! Links, exit signals and their order.

use otp::testing::Probe;
use otp::{ExitReason, Next, eventually};

use crate::support::{Log, Message, Plan, busy, node, planned, stop, within, worker};

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_watcher_sees_messages_before_the_exit() {
    let node = node();
    for _ in 0..50 {
        let log = Log::default();
        let plan = Plan {
            trap: true,
            log: log.clone(),
            ..Plan::default()
        };
        let boss = planned(&node, plan).await;
        let child = worker(&node).await;
        let child_pid = child.pid();
        within(&boss, move |ctx| ctx.link(child_pid)).await;
        let open = busy(&boss);
        let boss_in_child = boss.clone();
        child.cast(Message::Run(Box::new(move |_| {
            for number in 0..3 {
                boss_in_child.cast(Message::Note(format!("note {number}")));
            }
            Next::Stop(ExitReason::Shutdown)
        })));
        child.wait_for_exit().await;
        open.send(()).unwrap();
        eventually!(log.len() >= 5);
        assert_eq!(
            log.all(),
            ["init", "note 0", "note 1", "note 2", "EXIT shutdown"]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_cannot_be_trapped_and_links_see_killed() {
    let node = node();
    let mut probe = Probe::start(&node).await.unwrap();
    let log = Log::default();
    let plan = Plan {
        trap: true,
        log: log.clone(),
        ..Plan::default()
    };
    let victim = planned(&node, plan).await;
    probe.link(victim.pid()).await;
    node.exit(victim.pid(), ExitReason::Kill);
    assert_eq!(probe.expect_exit(victim.pid()).await, ExitReason::Killed);
    assert_eq!(log.all(), ["init"], "terminate must not run");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_linked_process_dies_with_killed_not_kill() {
    let node = node();
    let one = worker(&node).await;
    let two = worker(&node).await;
    let two_pid = two.pid();
    within(&one, move |ctx| ctx.link(two_pid)).await;
    node.exit(one.pid(), ExitReason::Kill);
    assert_eq!(two.wait_for_exit().await, ExitReason::Killed);
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_oneself_with_kill_is_trappable_by_links() {
    let node = node();
    let mut probe = Probe::start(&node).await.unwrap();
    let victim = worker(&node).await;
    probe.link(victim.pid()).await;
    stop(&victim, ExitReason::Kill);
    assert_eq!(probe.expect_exit(victim.pid()).await, ExitReason::Kill);
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_interrupts_a_handler_that_waits() {
    let node = node();
    let victim = worker(&node).await;
    let (started, begun) = tokio::sync::oneshot::channel();
    victim.cast(Message::Hang(started));
    begun.await.unwrap();
    node.exit(victim.pid(), ExitReason::Kill);
    assert_eq!(victim.wait_for_exit().await, ExitReason::Killed);
}

#[tokio::test(flavor = "multi_thread")]
async fn normal_does_not_end_a_linked_process() {
    let node = node();
    let one = worker(&node).await;
    let two = worker(&node).await;
    let two_pid = two.pid();
    within(&one, move |ctx| ctx.link(two_pid)).await;
    stop(&two, ExitReason::Normal);
    assert_eq!(two.wait_for_exit().await, ExitReason::Normal);
    assert_eq!(one.call(Message::Get).await, Ok(7));
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_normal_from_another_is_ignored_unless_trapped() {
    let node = node();
    let mut probe = Probe::start(&node).await.unwrap();
    let plain = worker(&node).await;
    node.exit(plain.pid(), ExitReason::Normal);
    assert_eq!(plain.call(Message::Get).await, Ok(7));
    node.exit(probe.pid(), ExitReason::Normal);
    assert_eq!(probe.expect_exit(node.outside()).await, ExitReason::Normal);
}

#[tokio::test(flavor = "multi_thread")]
async fn abnormal_ends_spread_over_links() {
    for reason in [
        ExitReason::Shutdown,
        ExitReason::ShutdownWith("why".into()),
        ExitReason::Error("broken".into()),
        ExitReason::Custom("mine".into()),
    ] {
        let node = node();
        let one = worker(&node).await;
        let two = worker(&node).await;
        let two_pid = two.pid();
        within(&one, move |ctx| ctx.link(two_pid)).await;
        stop(&two, reason.clone());
        assert_eq!(one.wait_for_exit().await, reason);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_an_exit_reason_and_terminate_runs() {
    let node = node();
    let log = Log::default();
    let plan = Plan {
        log: log.clone(),
        ..Plan::default()
    };
    let victim = planned(&node, plan).await;
    victim.cast(Message::Run(Box::new(|_| panic!("so what {}", 7))));
    let reason = victim.wait_for_exit().await;
    let ExitReason::Panic { message, location } = &reason else {
        panic!("{reason}");
    };
    assert_eq!(&**message, "so what 7");
    assert!(location.contains("signals.rs"), "{location}");
    assert_eq!(log.all(), ["init", &format!("terminate {reason}")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_exit_arrives_after_unlink() {
    let node = node();
    let mut probe = Probe::start(&node).await.unwrap();
    let peer = worker(&node).await;
    probe.link(peer.pid()).await;
    // The EXIT waits in the probe's mailbox when the probe unlinks.
    let peer_in_probe = peer.clone();
    let handle = tokio::runtime::Handle::current();
    probe
        .run(move |ctx| {
            stop(&peer_in_probe, ExitReason::Shutdown);
            tokio::task::block_in_place(|| handle.block_on(peer_in_probe.wait_for_exit()));
            ctx.unlink(peer_in_probe.pid());
        })
        .await;
    probe.expect_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn linking_with_nobody_gives_noproc() {
    let node = node();
    let mut probe = Probe::start(&node).await.unwrap();
    let gone = worker(&node).await;
    stop(&gone, ExitReason::Normal);
    gone.wait_for_exit().await;
    probe.link(gone.pid()).await;
    assert_eq!(probe.expect_exit(gone.pid()).await, ExitReason::NoProc);
    probe.expect_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn linking_twice_gives_one_exit() {
    let node = node();
    let mut probe = Probe::start(&node).await.unwrap();
    let peer = worker(&node).await;
    probe.link(peer.pid()).await;
    probe.link(peer.pid()).await;
    stop(&peer, ExitReason::Shutdown);
    assert_eq!(probe.expect_exit(peer.pid()).await, ExitReason::Shutdown);
    probe.expect_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn terminate_runs_on_the_parents_exit_only_if_trapping() {
    for (trap, expected) in [
        (true, vec!["init", "terminate shutdown"]),
        (false, vec!["init"]),
    ] {
        let node = node();
        let log = Log::default();
        let plan = Plan {
            trap,
            log: log.clone(),
            ..Plan::default()
        };
        let parent = worker(&node).await;
        let start = within(&parent, move |ctx| {
            ctx.start_link::<crate::support::Worker>(plan, otp::Options::new())
        })
        .await;
        let child = start.await.unwrap();
        stop(&parent, ExitReason::Shutdown);
        assert_eq!(child.wait_for_exit().await, ExitReason::Shutdown);
        assert_eq!(log.all(), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_in_one_program_do_not_meet() {
    let one = node();
    let two = node();
    let here = otp::start::<crate::support::Worker>(
        &one,
        Plan::default(),
        otp::Options::new().name("same"),
    )
    .await
    .unwrap();
    let there = otp::start::<crate::support::Worker>(
        &two,
        Plan::default(),
        otp::Options::new().name("same"),
    )
    .await
    .unwrap();
    assert_ne!(here.pid(), there.pid());
    assert!(!one.is_alive(there.pid()));
    one.exit(there.pid(), ExitReason::Kill);
    assert_eq!(there.call(Message::Get).await, Ok(7));
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_a_node_ends_everything() {
    let node = node();
    let log = Log::default();
    for name in ["a", "b"] {
        let plan = Plan {
            name,
            trap: true,
            log: log.clone(),
            ..Plan::default()
        };
        planned(&node, plan).await;
    }
    log.clear();
    node.stop().await;
    assert_eq!(node.process_count(), 0);
    let mut ended = log.all();
    ended.sort();
    assert_eq!(ended, ["a terminate shutdown", "b terminate shutdown"]);
    let refused =
        otp::start::<crate::support::Worker>(&node, Plan::default(), otp::Options::new()).await;
    assert_eq!(
        refused.unwrap_err(),
        otp::StartError::Failed(ExitReason::Shutdown)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_kills_what_does_not_stop_in_time() {
    let node = node();
    let plan = Plan {
        hang_in_terminate: true,
        ..Plan::default()
    };
    let stubborn = planned(&node, plan).await;
    node.stop_within(std::time::Duration::from_millis(20)).await;
    assert_eq!(stubborn.wait_for_exit().await, ExitReason::Killed);
}
