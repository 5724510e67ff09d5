//! What a process shows of itself, and lists of processes.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use otp::{
    ExitReason, Next, Node, Options, Pid, ProcessInfo, ProcessStatus, ServerRef, eventually,
};

use super::{RUNS, custom, message, plain, probe, spin_until, tell, two_nodes};
use crate::support::{Log, Message, Plan, Worker, busy, node, stop, within, worker};

crate::cases! {
    nothing_is_shown_of_one_that_has_ended: "PROC-013", "PROC-095";
    a_list_holds_all_that_live_throughout: "PROC-015";
    one_just_listed_can_be_sent_to: "PROC-016";
    each_is_visited_once: "PROC-017";
    what_is_shown: "PROC-018";
    waiting_messages_are_counted_and_listed: "PROC-019";
    a_running_process_can_be_looked_at: "PROC-020";
    own_sends_are_counted_at_once: "PROC-021";
    each_status: "PROC-022";
    all_of_it_is_of_one_moment: "PROC-023";
    the_parent_is_shown: "PROC-024";
    after_a_signal_it_waits_again: "PROC-025";
    the_own_mailbox_is_counted_exactly: "PROC-026";
    pids_are_never_used_again: "PROC-048";
}

fn info(node: &Node, one: &ServerRef<Worker>) -> ProcessInfo {
    node.process_info(one.pid()).unwrap()
}

async fn nothing_is_shown_of_one_that_has_ended() {
    let node = node();
    let mut probe = probe(&node).await;
    for _ in 0..RUNS {
        let options = Options::new().name("name").label("label");
        let one = otp::start::<Worker>(&node, Plan::default(), options);
        let one = one.await.unwrap();
        let pid = one.pid();
        probe.link(pid).await;
        probe.monitor(pid).await;
        let looking = node.clone();
        let look = tokio::spawn(async move {
            // What is shown while it ends is all or nothing.
            while let Some(info) = looking.process_info(pid) {
                assert_eq!(info.name.as_deref(), Some("name"), "{info:?}");
                assert_eq!(info.label.as_deref(), Some("label"));
                assert_eq!((info.links.len(), info.monitored_by.len()), (1, 1));
                tokio::task::yield_now().await;
            }
        });
        stop(&one, custom("end"));
        probe.expect_down(pid).await;
        assert!(node.process_info(pid).is_none(), "the DOWN was seen");
        assert!(!node.pids().contains(&pid));
        look.await.unwrap();
    }
}

/// Starts and ends processes until it is told to stop.
fn churn(node: &Node) -> (Arc<AtomicBool>, tokio::task::JoinHandle<()>) {
    let done = Arc::new(AtomicBool::new(false));
    let (node, end) = (node.clone(), done.clone());
    let task = tokio::spawn(async move {
        while !end.load(Ordering::Relaxed) {
            let short = worker(&node).await;
            node.exit(short.pid(), ExitReason::Kill);
            short.wait_for_exit().await;
        }
    });
    (done, task)
}

async fn a_list_holds_all_that_live_throughout() {
    let node = node();
    let mut lasting = HashSet::new();
    for _ in 0..100 {
        lasting.insert(worker(&node).await.pid());
    }
    let (done, task) = churn(&node);
    for _ in 0..RUNS {
        let listed: Vec<Pid> = node.pids();
        let set: HashSet<Pid> = listed.iter().copied().collect();
        assert_eq!(set.len(), listed.len(), "nobody twice");
        assert!(lasting.is_subset(&set));
        let shown = node.processes().iter().map(|info| info.pid).collect();
        assert!(lasting.is_subset(&shown));
    }
    done.store(true, Ordering::Relaxed);
    task.await.unwrap();
}

async fn one_just_listed_can_be_sent_to() {
    let node = node();
    let log = Log::default();
    let (starting, plan) = (
        node.clone(),
        Plan {
            log: log.clone(),
            ..Plan::default()
        },
    );
    let start = tokio::spawn(async move {
        for _ in 0..RUNS {
            crate::support::planned(&starting, plan.clone()).await;
        }
    });
    let mut known = HashSet::new();
    while known.len() < RUNS {
        for pid in node.pids() {
            if known.insert(pid) {
                assert!(node.send(pid, message(1)), "{pid} was listed");
            }
        }
        tokio::task::yield_now().await;
    }
    start.await.unwrap();
    let handled = || log.all().iter().filter(|text| *text == "message").count();
    eventually!(handled() == RUNS);
}

async fn each_is_visited_once() {
    let node = node();
    let mut lasting = HashSet::new();
    for _ in 0..100 {
        lasting.insert(worker(&node).await.pid());
    }
    let (done, task) = churn(&node);
    for _ in 0..10 {
        let mut visited = Vec::new();
        for pid in node.pids() {
            // Others come and go between two steps.
            tokio::task::yield_now().await;
            visited.push(pid);
        }
        for pid in &lasting {
            assert_eq!(visited.iter().filter(|one| *one == pid).count(), 1);
        }
        assert!(visited.is_sorted(), "oldest first");
    }
    done.store(true, Ordering::Relaxed);
    task.await.unwrap();
}

async fn what_is_shown() {
    let node = node();
    let probe = probe(&node).await;
    let peer = worker(&node).await.pid();
    let options = Options::new().name("name").label("guild 7");
    let one = otp::start::<Worker>(&node, Plan::default(), options);
    let one = one.await.unwrap();
    probe.monitor(one.pid()).await;
    within(&one, move |ctx| {
        ctx.trap_exit(true);
        ctx.link(peer);
        ctx.monitor(peer);
        ctx.monitor(peer);
        ctx.put("key", 1_u32);
    })
    .await;
    let open = busy(&one);
    eventually!(one.mailbox_len() == 0);
    one.cast(Message::Note("waits".into()));
    let info = info(&node, &one);
    assert_eq!(info.pid, one.pid());
    assert_eq!(info.name.as_deref(), Some("name"));
    assert_eq!(info.label.as_deref(), Some("guild 7"));
    assert!(info.server.ends_with("support::Worker"), "{}", info.server);
    assert_eq!(info.status, ProcessStatus::Running);
    assert_eq!(info.current, Some("message"));
    assert_eq!(info.mailbox_len, 1);
    assert_eq!(info.handled, 2);
    assert_eq!(info.parent, None);
    assert_eq!(info.links, [peer]);
    assert_eq!(info.monitors, [peer, peer]);
    assert_eq!(info.monitored_by, [probe.pid()]);
    assert_eq!(info.dictionary, ["key"]);
    assert!(info.trap_exit);
    open.send(()).unwrap();
}

async fn waiting_messages_are_counted_and_listed() {
    let node = node();
    let one = worker(&node).await;
    let pid = one.pid();
    assert_eq!(node.mailbox_names(pid, 10), Some(vec![]));
    let open = busy(&one);
    eventually!(one.mailbox_len() == 0);
    one.cast(Message::Note("one".into()));
    node.send(pid, message(1));
    let gone = Pid::from_parts(7, 7, 7);
    let watcher = worker(&node).await;
    within(&watcher, move |ctx| ctx.link(pid)).await;
    assert_eq!(
        node.mailbox_names(pid, 10),
        Some(vec!["message", "message"])
    );
    tell(&one, move |ctx| {
        ctx.monitor(gone);
    });
    assert_eq!(info(&node, &one).mailbox_len, 3);
    assert_eq!(
        node.mailbox_names(pid, 2).unwrap().len(),
        2,
        "no more than asked for"
    );
    open.send(()).unwrap();
    eventually!(node.mailbox_names(pid, 10) == Some(vec![]));
    stop(&one, ExitReason::Normal);
    one.wait_for_exit().await;
    assert_eq!(node.mailbox_names(pid, 10), None);
}

async fn a_running_process_can_be_looked_at() {
    let node = node();
    let one = worker(&node).await;
    let done = Arc::new(AtomicBool::new(false));
    let (running, began) = (done.clone(), Arc::new(AtomicBool::new(false)));
    let begins = began.clone();
    tell(&one, move |_| {
        begins.store(true, Ordering::Release);
        spin_until(|| running.load(Ordering::Acquire));
    });
    eventually!(began.load(Ordering::Acquire));
    for sent in 0..10 {
        let info = info(&node, &one);
        assert_eq!(
            (info.status, info.mailbox_len),
            (ProcessStatus::Running, sent)
        );
        one.cast(Message::Note("waits".into()));
    }
    done.store(true, Ordering::Release);
    eventually!(info(&node, &one).mailbox_len == 0);
}

async fn own_sends_are_counted_at_once() {
    let node = node();
    let one = worker(&node).await;
    let open = busy(&one);
    eventually!(one.mailbox_len() == 0);
    for sent in 1..=RUNS {
        match sent % 2 {
            0 => one.cast(Message::Note("waits".into())),
            _ => drop(node.send(one.pid(), message(1))),
        }
        assert_eq!(info(&node, &one).mailbox_len, sent);
        assert_eq!(one.mailbox_len(), sent);
    }
    // Signals, too.
    let gone = Pid::from_parts(7, 7, 7);
    let other = worker(&node).await;
    let pid = one.pid();
    within(&other, move |ctx| {
        ctx.node().exit(gone, ExitReason::Normal);
        ctx.send(pid, message(1));
    })
    .await;
    assert_eq!(info(&node, &one).mailbox_len, RUNS + 1);
    open.send(()).unwrap();
}

async fn each_status() {
    let node = node();
    let one = worker(&node).await;
    let status = |one: &ServerRef<Worker>| info(&node, one).status;
    eventually!(status(&one) == ProcessStatus::Waiting);
    let open = busy(&one);
    assert_eq!(status(&one), ProcessStatus::Running);
    open.send(()).unwrap();
    eventually!(status(&one) == ProcessStatus::Waiting);
    otp::sys::suspend(&one).await.unwrap();
    assert_eq!(status(&one), ProcessStatus::Suspended);
    one.cast(Message::Note("waits".into()));
    assert_eq!(status(&one), ProcessStatus::Suspended);
    otp::sys::resume(&one).await.unwrap();
    eventually!(status(&one) == ProcessStatus::Waiting);
    one.cast(Message::Run(Box::new(|_| Next::Hibernate)));
    eventually!(status(&one) == ProcessStatus::Hibernating);
    one.cast(Message::Note("wake".into()));
    eventually!(status(&one) == ProcessStatus::Waiting);

    let plan = Plan {
        hang_in_terminate: true,
        ..Plan::default()
    };
    let ending = crate::support::planned(&node, plan).await;
    stop(&ending, ExitReason::Normal);
    eventually!(status(&ending) == ProcessStatus::Exiting);
    node.exit(ending.pid(), ExitReason::Kill);
    ending.wait_for_exit().await;

    // Condemned, though its handler has not come to an await.
    let done = Arc::new(AtomicBool::new(false));
    let running = done.clone();
    tell(&one, move |_| {
        spin_until(|| running.load(Ordering::Acquire))
    });
    node.exit(one.pid(), custom("end"));
    assert_eq!(status(&one), ProcessStatus::Exiting);
    done.store(true, Ordering::Release);
    one.wait_for_exit().await;
}

async fn all_of_it_is_of_one_moment() {
    let node = node();
    let (one, peer) = (worker(&node).await, worker(&node).await.pid());
    let done = Arc::new(AtomicBool::new(false));
    let end = done.clone();
    within(&one, move |ctx| ctx.link(peer)).await;
    tell(&one, move |ctx| {
        // At every moment there is a link or a monitor, seldom both.
        while !end.load(Ordering::Relaxed) {
            let monitor = ctx.monitor(peer);
            ctx.unlink(peer);
            ctx.link(peer);
            ctx.demonitor(monitor, false);
        }
    });
    for _ in 0..20 * RUNS {
        let info = info(&node, &one);
        let there = info.links.len() + info.monitors.len();
        assert!(there >= 1, "{info:?}");
    }
    done.store(true, Ordering::Relaxed);
}

async fn the_parent_is_shown() {
    let (a, b) = two_nodes();
    let mut parent = probe(&a).await;
    let child = parent.run(|ctx| ctx.start_link::<Worker>(Plan::default(), Options::new()));
    let child = child.await.await.unwrap();
    assert_eq!(info(&a, &child).parent, Some(parent.pid()));
    assert_eq!(within(&child, |ctx| ctx.parent()).await, Some(parent.pid()));
    assert_eq!(info(&a, &worker(&a).await).parent, None);
    // On another node.
    let target = b.clone();
    parent
        .run(move |ctx| {
            let options = Options::new().name("far");
            ctx.spawn_request::<Worker>(
                &target,
                Plan::default(),
                options,
                otp::SpawnOptions::default(),
            );
        })
        .await;
    assert_eq!(super::texts(&mut parent, 1).await, ["spawned"]);
    let far = b.whereis("far").unwrap();
    assert_eq!(b.process_info(far).unwrap().parent, Some(parent.pid()));
}

async fn after_a_signal_it_waits_again() {
    let node = node();
    let (one, log) = plain(&node).await;
    let peer = worker(&node).await.pid();
    let pid = one.pid();
    within(&one, move |ctx| ctx.link(peer)).await;
    eventually!(info(&node, &one).status == ProcessStatus::Waiting);
    for _ in 0..RUNS {
        // None of these is a message to it.
        node.exit(pid, ExitReason::Normal);
        node.process_info(pid);
        assert_eq!(info(&node, &one).status, ProcessStatus::Waiting);
    }
    // Nor is one that it takes from its mailbox and drops.
    let monitor = within(&one, move |ctx| {
        let monitor = ctx.monitor(peer);
        ctx.unlink(peer);
        monitor
    });
    monitor.await;
    node.exit(peer, ExitReason::Kill);
    eventually!(log.all() == ["DOWN killed"]);
    eventually!(info(&node, &one).status == ProcessStatus::Waiting);
}

async fn the_own_mailbox_is_counted_exactly() {
    let node = node();
    let one = worker(&node).await;
    let counts = within(&one, |ctx| {
        let mut counts = Vec::new();
        for number in 0..10 {
            counts.push((ctx.mailbox_len(), number as usize));
            ctx.send(ctx.pid(), message(number));
        }
        let info = ctx.node().process_info(ctx.pid()).unwrap();
        counts.push((info.mailbox_len, 10));
        counts
    });
    for (counted, sent) in counts.await {
        assert_eq!(counted, sent);
    }
}

async fn pids_are_never_used_again() {
    let node = node();
    let mut seen = HashSet::new();
    let mut last = None;
    for _ in 0..10 * RUNS {
        let pid = otp::task::spawn(&node, "short", async {}).pid();
        assert!(seen.insert(pid));
        assert!(Some(pid) > last, "younger is larger");
        last = Some(pid);
    }
    eventually!(node.process_count() == 0);
    assert!(seen.iter().all(|pid| !node.is_alive(*pid)));
    // Another life of the node has others.
    let first = Node::with_incarnation("again", 1);
    let second = Node::with_incarnation("again", 2);
    let (one, two) = (worker(&first).await, worker(&second).await);
    assert_eq!(one.pid().serial(), two.pid().serial());
    assert_ne!(one.pid(), two.pid());
    assert!(!second.is_alive(one.pid()));
    assert!(!second.send(one.pid(), message(1)));
}
