//! Exit signals: who ends, with which reason, and who is told.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use otp::testing::Probe;
use otp::{
    Context, ExitReason, GenServer, Info, Init, Next, Node, Options, Pid, ServerRef, eventually,
};

use super::{RUNS, custom, large, plain, probe, race, tell, trapping};
use crate::support::{Message, Plan, Worker, busy, node, stop, within, worker};

crate::cases! {
    a_large_reason_reaches_a_linked_process: "PROC-001";
    a_large_reason_ends_its_target: "PROC-002";
    normal_from_another_is_ignored: "PROC-003", "PROC-100";
    a_process_traps_its_own_signal: "PROC-004";
    normal_to_oneself_ends: "PROC-005", "PROC-101";
    another_reason_to_oneself_ends: "PROC-006";
    a_signal_to_oneself_cannot_be_caught: "PROC-007";
    a_signal_and_a_timeout_make_one_end: "PROC-008";
    only_the_first_signal_counts: "PROC-009";
    a_panic_reaches_the_parent_with_its_place: "PROC-010";
    a_panic_of_the_runtime_looks_the_same: "PROC-011";
    a_sleeping_process_receives_and_is_killable: "PROC-094";
    the_normal_end_of_a_peer: "PROC-110";
}

async fn a_large_reason_reaches_a_linked_process() {
    let node = node();
    let mut probe = probe(&node).await;
    let victim = worker(&node).await;
    probe.link(victim.pid()).await;
    stop(&victim, large());
    assert_eq!(probe.expect_exit(victim.pid()).await, large());
    probe.expect_nothing().await;
}

async fn a_large_reason_ends_its_target() {
    let node = node();
    let mut probe = probe(&node).await;
    let (victim, sender) = (worker(&node).await, worker(&node).await);
    probe.link(victim.pid()).await;
    let pid = victim.pid();
    within(&sender, move |ctx| ctx.exit(pid, large())).await;
    assert_eq!(victim.wait_for_exit().await, large());
    assert_eq!(probe.expect_exit(victim.pid()).await, large());
}

async fn normal_from_another_is_ignored() {
    let node = node();
    let (target, log) = plain(&node).await;
    let sender = worker(&node).await;
    let pid = target.pid();
    within(&sender, move |ctx| ctx.exit(pid, ExitReason::Normal)).await;
    node.exit(pid, ExitReason::Normal);
    assert_eq!(target.call(Message::Get).await, Ok(7));
    assert_eq!(log.all(), [""; 0], "not even a message");
}

async fn a_process_traps_its_own_signal() {
    let node = node();
    let mut probe = probe(&node).await;
    for reason in [ExitReason::Normal, custom("mine"), ExitReason::Killed] {
        probe.exit(probe.pid(), reason.clone()).await;
        assert_eq!(probe.expect_exit(probe.pid()).await, reason);
    }
    assert!(node.is_alive(probe.pid()));
    probe.expect_nothing().await;
}

/// A worker sends itself a signal; what it would do afterwards must not happen.
async fn suicide(reason: ExitReason) {
    let node = node();
    let mut probe = probe(&node).await;
    let (victim, log) = plain(&node).await;
    probe.link(victim.pid()).await;
    let sent = reason.clone();
    tell(&victim, move |ctx| ctx.exit(ctx.pid(), sent));
    victim.cast(Message::Note("handled".into()));
    assert_eq!(victim.wait_for_exit().await, reason);
    assert_eq!(probe.expect_exit(victim.pid()).await, reason);
    assert_eq!(log.all(), [""; 0], "neither a message nor terminate");
}

async fn normal_to_oneself_ends() {
    suicide(ExitReason::Normal).await;
}

async fn another_reason_to_oneself_ends() {
    suicide(custom("enough")).await;
    suicide(ExitReason::Shutdown).await;
}

async fn a_signal_to_oneself_cannot_be_caught() {
    let node = node();
    let (victim, log) = plain(&node).await;
    victim.cast(Message::Run(Box::new(|ctx| {
        let caught = catch_unwind(AssertUnwindSafe(|| ctx.exit(ctx.pid(), custom("signal"))));
        assert!(caught.is_ok(), "there is nothing to catch");
        Next::Stop(custom("the handler's own idea"))
    })));
    victim.cast(Message::Note("handled".into()));
    assert_eq!(victim.wait_for_exit().await, custom("signal"));
    // One that panics afterwards does not change it either.
    let (second, second_log) = plain(&node).await;
    second.cast(Message::Run(Box::new(|ctx| {
        ctx.exit(ctx.pid(), custom("signal"));
        panic!("after the signal");
    })));
    assert_eq!(second.wait_for_exit().await, custom("signal"));
    eventually!(node.process_count() == 0);
    assert_eq!(log.all(), [""; 0]);
    assert_eq!(second_log.all(), [""; 0], "terminate must not run");
}

/// Times out again and again.
struct Impatient;

impl GenServer for Impatient {
    type Args = Duration;
    type Message = ();

    async fn init(limit: Duration, _ctx: &mut Context<Impatient>) -> Init<Impatient> {
        Init::Timeout(Impatient, limit)
    }

    async fn handle(&mut self, (): (), _ctx: &mut Context<Impatient>) -> Next<Impatient> {
        Next::Go
    }

    async fn handle_info(&mut self, info: Info, _ctx: &mut Context<Impatient>) -> Next<Impatient> {
        assert!(matches!(info, Info::Timeout));
        Next::Timeout(Duration::from_micros(100))
    }
}

async fn a_signal_and_a_timeout_make_one_end() {
    let node = node();
    let mut probe = probe(&node).await;
    for batch in 0..RUNS / 50 {
        let mut pids = Vec::new();
        for number in 0..50 {
            let limit = Duration::from_micros(20 * (batch as u64 % 50) + number);
            let server = otp::start::<Impatient>(&node, limit, Options::new());
            pids.push(server.await.unwrap().pid());
        }
        let watched = pids.clone();
        probe
            .run(move |ctx| {
                for pid in watched {
                    ctx.monitor(pid);
                    ctx.link(pid);
                }
            })
            .await;
        for pid in &pids {
            node.exit(*pid, custom("signal"));
        }
        for pid in pids {
            assert_eq!(probe.expect_exit(pid).await, custom("signal"));
            assert_eq!(probe.expect_down(pid).await.1, custom("signal"));
        }
        probe.expect_nothing().await;
    }
}

/// Everybody who is told is told the same.
async fn told(probe: &mut Probe, victim: &ServerRef<Worker>) -> ExitReason {
    let reason = victim.wait_for_exit().await;
    assert_eq!(probe.expect_exit(victim.pid()).await, reason);
    assert_eq!(probe.expect_down(victim.pid()).await.1, reason);
    probe.expect_nothing().await;
    reason
}

async fn only_the_first_signal_counts() {
    let node = node();
    let mut probe = probe(&node).await;
    for _ in 0..RUNS / 2 {
        let victim = worker(&node).await;
        probe.link(victim.pid()).await;
        probe.monitor(victim.pid()).await;
        node.exit(victim.pid(), custom("first"));
        node.exit(victim.pid(), custom("second"));
        assert_eq!(told(&mut probe, &victim).await, custom("first"));
    }
    for _ in 0..RUNS / 2 {
        let victim = worker(&node).await;
        probe.link(victim.pid()).await;
        probe.monitor(victim.pid()).await;
        let (one, two, pid) = (node.clone(), node.clone(), victim.pid());
        race(async move { one.exit(pid, custom("one")) }, async move {
            two.exit(pid, ExitReason::Kill)
        })
        .await;
        let reason = told(&mut probe, &victim).await;
        assert!([custom("one"), ExitReason::Killed].contains(&reason));
    }
}

/// A child of the probe, which traps.
async fn child_of(probe: &Probe) -> ServerRef<Worker> {
    let start = probe.run(|ctx| ctx.start_link::<Worker>(Plan::default(), Options::new()));
    start.await.await.unwrap()
}

/// The EXIT of a child which has panicked.
async fn panic_of(probe: &mut Probe, child: Pid) -> (String, String) {
    match probe.expect_exit(child).await {
        ExitReason::Panic { message, location } => (message.to_string(), location.to_string()),
        other => panic!("ended with {other}"),
    }
}

async fn a_panic_reaches_the_parent_with_its_place() {
    let node = node();
    let mut probe = probe(&node).await;
    let child = child_of(&probe).await;
    let line = line!() + 1;
    child.cast(Message::Run(Box::new(|_| panic!("user code {}", 42))));
    let (message, location) = panic_of(&mut probe, child.pid()).await;
    assert_eq!(message, "user code 42");
    let place = format!("processes/exits.rs:{line}:");
    assert!(location.contains(&place), "{location} is not {place}");
}

async fn a_panic_of_the_runtime_looks_the_same() {
    let node = node();
    let mut probe = probe(&node).await;
    let child = child_of(&probe).await;
    tell(&child, |ctx| {
        for number in 0..=otp::DICTIONARY_MAX {
            let key: &'static str = Box::leak(number.to_string().into_boxed_str());
            ctx.put(key, number);
        }
    });
    let (message, location) = panic_of(&mut probe, child.pid()).await;
    assert!(message.contains("dictionary"), "{message}");
    assert!(location.contains(".rs:"), "{location}");
}

async fn a_sleeping_process_receives_and_is_killable() {
    let node = node();
    let (sleeper, log) = plain(&node).await;
    let wake = busy(&sleeper);
    eventually!(sleeper.mailbox_len() == 0);
    sleeper.cast(Message::Note("one".into()));
    assert_eq!(sleeper.mailbox_len(), 1, "received, though it sleeps");
    wake.send(()).unwrap();
    eventually!(log.all() == ["one"]);

    let (started, begun) = tokio::sync::oneshot::channel();
    sleeper.cast(Message::Hang(started));
    begun.await.unwrap();
    node.exit(sleeper.pid(), ExitReason::Kill);
    assert_eq!(sleeper.wait_for_exit().await, ExitReason::Killed);
}

async fn the_normal_end_of_a_peer() {
    let node: Node = node();
    let (plain, plain_log) = plain(&node).await;
    let (trapping, trapping_log) = trapping(&node).await;
    for one in [&plain, &trapping] {
        let peer = worker(&node).await;
        let pid = peer.pid();
        within(one, move |ctx| ctx.link(pid)).await;
        stop(&peer, ExitReason::Normal);
        peer.wait_for_exit().await;
    }
    assert_eq!(plain.call(Message::Get).await, Ok(7));
    assert_eq!(plain_log.all(), [""; 0]);
    let info = node.process_info(plain.pid()).unwrap();
    assert_eq!(info.links, [], "the link is gone all the same");
    eventually!(trapping_log.all() == ["EXIT normal"]);
    assert_eq!(trapping.call(Message::Get).await, Ok(7));
}
