//! Spawn requests: one answer each, before any EXIT or DOWN.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use otp::testing::Probe;
use otp::{
    Context, ExitReason, Info, MonitorRef, Next, Node, Options, RequestRef, SpawnOptions,
    eventually,
};

use super::{RUNS, arrived, custom, plain, probe, settled, text, texts, two_nodes};
use crate::support::{Begin, Log, Message, Plan, Worker, node, within, worker};

crate::cases! {
    one_answer_with_its_ref: "PROC-029";
    a_monitor_is_taken_back_before_and_after: "PROC-030";
    the_answer_comes_before_the_down: "PROC-031";
    the_answer_comes_before_the_exit: "PROC-032";
    the_requester_ends_first: "PROC-033", "PROC-034";
    the_requester_ends_meanwhile: "PROC-033";
    the_node_of_the_requester_vanishes: "PROC-035";
    an_abandoned_request: "PROC-036";
    the_real_reason_from_another_node: "PROC-037";
    only_the_answers_that_are_wanted: "PROC-038";
}

const LINK: SpawnOptions = SpawnOptions {
    link: true,
    monitor: false,
    reply_success: true,
    reply_failure: true,
};

const MONITOR: SpawnOptions = SpawnOptions {
    link: false,
    monitor: true,
    ..LINK
};

const PLAIN: SpawnOptions = SpawnOptions {
    monitor: false,
    ..MONITOR
};

/// Has a probe ask for a worker.
async fn request(
    probe: &Probe,
    node: &Node,
    plan: Plan,
    options: Options,
    how: SpawnOptions,
) -> (RequestRef, Option<MonitorRef>) {
    let node = node.clone();
    let ask = probe.run(move |ctx| ctx.spawn_request::<Worker>(&node, plan, options, how));
    ask.await
}

/// A worker whose `init` fails.
fn failing() -> Plan {
    Plan {
        begin: Begin::Stop(custom("init")),
        ..Plan::default()
    }
}

/// A worker that traps, and what it writes down.
fn logging() -> (Plan, Log) {
    let log = Log::default();
    let plan = Plan {
        trap: true,
        log: log.clone(),
        ..Plan::default()
    };
    (plan, log)
}

async fn one_answer_with_its_ref() {
    let (a, b) = two_nodes();
    let alone = Node::new("alone");
    let mut probe = probe(&a).await;
    for node in [&a, &b] {
        let named = Options::new().name("name");
        let (good, monitor) = request(&probe, node, Plan::default(), named.clone(), PLAIN).await;
        assert_eq!(monitor, None);
        let items = arrived(&mut probe, 1).await;
        let [
            Info::Spawned {
                request: answered,
                result: Ok(pid),
            },
        ] = &items[..]
        else {
            panic!("{items:?}");
        };
        assert_eq!(*answered, good);
        assert_eq!(node.whereis("name"), Some(*pid));
        assert!(node.process_info(*pid).unwrap().links.is_empty());

        let (bad, _) = request(&probe, node, Plan::default(), named, MONITOR).await;
        let items = arrived(&mut probe, 1).await;
        let [
            Info::Spawned {
                request: answered,
                result: Err(error),
            },
        ] = &items[..]
        else {
            panic!("{items:?}");
        };
        assert_eq!(*answered, bad);
        assert_eq!(*error, otp::StartError::AlreadyStarted(*pid));
        settled(&a, &b).await;
        probe.expect_nothing().await;
        assert_eq!(
            a.process_info(probe.pid()).unwrap().monitors,
            [],
            "no monitor of nobody"
        );
    }
    for node in [&alone, &Node::new("stopped")] {
        node.stop().await;
        request(&probe, node, Plan::default(), Options::new(), LINK).await;
        let texts = texts(&mut probe, 1).await;
        assert_eq!(texts, ["not spawned: init failed: noconnection"]);
    }
    let stopping = Node::new("stopping");
    a.connect(&stopping);
    a.hold_connection(&stopping, true);
    request(&probe, &stopping, Plan::default(), Options::new(), LINK).await;
    probe.expect_nothing().await;
    a.disconnect(&stopping);
    let texts = texts(&mut probe, 1).await;
    assert_eq!(texts, ["not spawned: init failed: noconnection"]);
    // Those that went wrong on their way: each has one answer as well.
    for run in 0..RUNS / 5 {
        a.connect(&b);
        let (cutting, other) = (a.clone(), b.clone());
        let cut = tokio::spawn(async move { cutting.disconnect(&other) });
        let (asked, _) = request(&probe, &b, Plan::default(), Options::new(), PLAIN).await;
        cut.await.unwrap();
        let items = arrived(&mut probe, 1).await;
        assert!(
            matches!(&items[..], [Info::Spawned { request, .. }] if *request == asked),
            "run {run}: {items:?}"
        );
        eventually!(a.nodes().iter().all(|name| **name != *"b"));
        probe.expect_nothing().await;
    }
}

async fn a_monitor_is_taken_back_before_and_after() {
    let (a, b) = two_nodes();
    let mut probe = probe(&a).await;
    for node in [&a, &b] {
        for before in [true, false] {
            if before {
                a.hold_connection(&b, true);
            }
            let (plan, log) = logging();
            let target = node.clone();
            let options = Options::new().name("child");
            let monitor = probe.run(move |ctx| {
                let asked = ctx.spawn_request::<Worker>(&target, plan, options, MONITOR);
                let monitor = asked.1.unwrap();
                if before {
                    assert!(
                        ctx.demonitor(monitor, false),
                        "it exists from the request on"
                    );
                    assert!(!ctx.demonitor(monitor, false));
                }
                monitor
            });
            let monitor = monitor.await;
            a.hold_connection(&b, false);
            assert_eq!(texts(&mut probe, 1).await, ["spawned"]);
            if !before {
                assert!(probe.run(move |ctx| ctx.demonitor(monitor, false)).await);
            }
            settled(&a, &b).await;
            let child = node.whereis("child").unwrap();
            assert_eq!(node.process_info(child).unwrap().monitored_by, []);
            assert_eq!(a.process_info(probe.pid()).unwrap().monitors, []);
            assert_eq!((a.crossing(&b), b.crossing(&a)), (0, 0));
            node.exit(child, ExitReason::Kill);
            eventually!(!node.is_alive(child));
            settled(&a, &b).await;
            probe.expect_nothing().await;
            assert_eq!(log.all(), ["init"]);
        }
    }
}

async fn the_answer_comes_before_the_down() {
    let (a, b) = two_nodes();
    let mut probe = probe(&a).await;
    for run in 0..RUNS {
        let node = if run % 4 == 0 { &b } else { &a };
        request(&probe, node, failing(), Options::new(), MONITOR).await;
        let texts = texts(&mut probe, 2).await;
        assert_eq!(texts, ["spawned", "DOWN custom: init"], "run {run}");
    }
    probe.expect_nothing().await;
    eventually!((a.crossing(&b), b.crossing(&a)) == (0, 0));
}

async fn the_answer_comes_before_the_exit() {
    let (a, b) = two_nodes();
    let mut probe = probe(&a).await;
    for run in 0..RUNS {
        let node = if run % 4 == 0 { &b } else { &a };
        request(&probe, node, failing(), Options::new(), LINK).await;
        let texts = texts(&mut probe, 2).await;
        assert_eq!(texts, ["spawned", "EXIT custom: init"], "run {run}");
    }
    probe.expect_nothing().await;
    // One that does not trap ends with it.
    let (requester, log) = plain(&a).await;
    let here = a.clone();
    within(&requester, move |ctx| {
        ctx.spawn_request::<Worker>(&here, failing(), Options::new(), LINK)
    })
    .await;
    assert_eq!(requester.wait_for_exit().await, custom("init"));
    assert!(log.len() <= 1);
    eventually!((a.crossing(&b), b.crossing(&a)) == (0, 0));
}

/// Some reasons of more than one word.
fn reasons() -> [ExitReason; 4] {
    [
        custom("gone"),
        ExitReason::ShutdownWith("because, of, it".into()),
        ExitReason::Panic {
            message: "text".into(),
            location: "here:1:2".into(),
        },
        ExitReason::error("words"),
    ]
}

async fn the_requester_ends_first() {
    let (a, b) = two_nodes();
    for reason in reasons() {
        let mut in_good_order = 0;
        for run in 0..50 {
            let requester = worker(&a).await;
            a.hold_connection(&b, true);
            let (plan, log) = logging();
            let far = b.clone();
            within(&requester, move |ctx| {
                ctx.spawn_request::<Worker>(&far, plan, Options::new(), LINK)
            })
            .await;
            a.exit(requester.pid(), reason.clone());
            requester.wait_for_exit().await;
            a.hold_connection(&b, false);
            settled(&a, &b).await;
            eventually!(b.process_count() == 0 && (a.crossing(&b), b.crossing(&a)) == (0, 0));
            // Its parent's end is its own.
            ended_by(&reason.to_string(), &log, run);
            in_good_order += usize::from(log.len() == 2);
        }
        assert!(in_good_order > 0, "never with this reason: {reason}");
    }
}

/// It was not started, or has ended for this reason: before its `init` said that it traps, or in
/// good order.
fn ended_by(reason: &str, log: &Log, run: usize) {
    let seen = log.all();
    let all = ["init".to_owned(), format!("terminate {reason}")];
    assert_eq!(seen, all[..seen.len()], "run {run}");
}

async fn the_requester_ends_meanwhile() {
    let node = node();
    let mut in_good_order = 0;
    for run in 0..RUNS {
        let requester = worker(&node).await;
        let (plan, log) = logging();
        let here = node.clone();
        let asked = Arc::new(AtomicBool::new(false));
        let asks = asked.clone();
        requester.cast(Message::Run(Box::new(move |ctx| {
            let started = Options::new().name("child");
            ctx.spawn_request::<Worker>(&here, plan, started, LINK);
            if run % 2 == 0 {
                super::spin_until(|| here.whereis("child").is_some());
            }
            asks.store(true, Ordering::SeqCst);
            Next::Stop(custom("gone"))
        })));
        eventually!(asked.load(Ordering::SeqCst) && node.process_count() == 0);
        ended_by("custom: gone", &log, run);
        in_good_order += usize::from(log.len() == 2);
    }
    assert!(in_good_order > 0, "never with the reason of the requester");
}

async fn the_node_of_the_requester_vanishes() {
    let (a, b) = two_nodes();
    let mut probe = probe(&a).await;
    // After the answer.
    let (plan, log) = logging();
    request(&probe, &b, plan, Options::new(), LINK).await;
    assert_eq!(texts(&mut probe, 1).await, ["spawned"]);
    a.disconnect(&b);
    assert_eq!(texts(&mut probe, 1).await, ["EXIT noconnection"]);
    eventually!(b.process_count() == 0);
    ended_by("noconnection", &log, 0);
    // At any time before it.
    for run in 0..RUNS / 2 {
        a.connect(&b);
        let (plan, log) = logging();
        let (cutting, other) = (a.clone(), b.clone());
        let cut = tokio::spawn(async move {
            for _ in 0..run % 20 {
                std::thread::yield_now();
            }
            cutting.disconnect(&other);
        });
        request(&probe, &b, plan, Options::new(), LINK).await;
        cut.await.unwrap();
        eventually!(a.nodes().is_empty() && b.nodes().is_empty());
        let got = arrived(&mut probe, 1).await;
        let started = matches!(&got[0], Info::Spawned { result: Ok(_), .. });
        if started && got.len() == 1 {
            assert_eq!(texts(&mut probe, 1).await, ["EXIT noconnection"]);
        }
        eventually!(b.process_count() == 0);
        // Either the request was lost, or there was a process and it ended for this.
        ended_by("noconnection", &log, run);
        probe.expect_nothing().await;
    }
}

async fn an_abandoned_request() {
    let (a, b) = two_nodes();
    let mut probe = probe(&a).await;
    for (how, end) in [
        (PLAIN, None),
        (MONITOR, None),
        (LINK, Some("custom: abandoned")),
    ] {
        a.hold_connection(&b, true);
        let (plan, log) = logging();
        let options = Options::new().name("child");
        let (asked, _) = request(&probe, &b, plan, options, how).await;
        assert!(probe.run(move |ctx| ctx.abandon_spawn_request(asked)).await);
        assert!(!probe.run(move |ctx| ctx.abandon_spawn_request(asked)).await);
        a.hold_connection(&b, false);
        match end {
            None => eventually!(log.len() == 1),
            Some(reason) => {
                eventually!(log.len() > 0 && b.process_count() == 0);
                ended_by(reason, &log, 0);
            }
        }
        settled(&a, &b).await;
        probe.expect_nothing().await;
        eventually!((a.crossing(&b), b.crossing(&a)) == (0, 0));
        if end.is_none() {
            let child = b.whereis("child").unwrap();
            assert_eq!(b.process_info(child).unwrap().monitored_by, []);
            b.exit(child, ExitReason::Kill);
        }
        eventually!(b.process_count() == 0);
        settled(&a, &b).await;
        probe.expect_nothing().await;
    }
    // Answered already: the answer is kept.
    let (asked, _) = request(&probe, &a, Plan::default(), Options::new(), PLAIN).await;
    let items = arrived(&mut probe, 1).await;
    assert_eq!(text(&items[0]), "spawned");
    assert!(!probe.run(move |ctx| ctx.abandon_spawn_request(asked)).await);
    // It waits in the mailbox, behind the handler that abandons it.
    let here = a.clone();
    let abandoned = probe.run(move |ctx: &mut Context<_>| {
        let asked = ctx.spawn_request::<Worker>(&here, Plan::default(), Options::new(), PLAIN);
        super::spin_until(|| ctx.mailbox_len() == 1);
        ctx.abandon_spawn_request(asked.0)
    });
    assert!(!abandoned.await);
    assert_eq!(texts(&mut probe, 1).await, ["spawned"]);
}

async fn the_real_reason_from_another_node() {
    let (a, b) = two_nodes();
    let mut probe = probe(&a).await;
    for reason in reasons()
        .into_iter()
        .chain([ExitReason::Normal, ExitReason::Kill])
    {
        let (_, monitor) = request(&probe, &b, Plan::default(), Options::new(), MONITOR).await;
        let items = arrived(&mut probe, 1).await;
        let Info::Spawned {
            result: Ok(child), ..
        } = items[0]
        else {
            panic!("{items:?}");
        };
        let child = b.server_ref::<Worker>(child).unwrap();
        crate::support::stop(&child, reason.clone());
        let down = probe.expect_down(child.pid()).await;
        assert_eq!(down, (monitor.unwrap(), reason));
    }
    request(
        &probe,
        &b,
        Plan {
            begin: Begin::Panic,
            ..Plan::default()
        },
        Options::new(),
        MONITOR,
    )
    .await;
    let texts = texts(&mut probe, 2).await;
    assert_eq!(texts[0], "spawned");
    assert!(texts[1].starts_with("DOWN panic: init panics"), "{texts:?}");
}

async fn only_the_answers_that_are_wanted() {
    let (a, b) = two_nodes();
    let mut probe = probe(&a).await;
    for node in [&a, &b] {
        let taken = Options::new().name("taken");
        let holder = otp::start::<Worker>(node, Plan::default(), taken.clone());
        let holder = holder.await.unwrap();
        for (reply_success, reply_failure) in
            [(true, true), (true, false), (false, true), (false, false)]
        {
            let how = SpawnOptions {
                reply_success,
                reply_failure,
                ..PLAIN
            };
            request(
                &probe,
                node,
                Plan::default(),
                Options::new().name("free"),
                how,
            )
            .await;
            eventually!(node.whereis("free").is_some());
            settled(&a, &b).await;
            let expected: &[&str] = if reply_success { &["spawned"] } else { &[] };
            assert_eq!(texts(&mut probe, expected.len()).await, expected);

            request(&probe, node, Plan::default(), taken.clone(), how).await;
            let error = format!("not spawned: already started as {}", holder.pid());
            let expected = if reply_failure { vec![error] } else { vec![] };
            assert_eq!(texts(&mut probe, expected.len()).await, expected);
            let free = node.whereis("free").unwrap();
            node.exit(free, ExitReason::Kill);
            eventually!(node.whereis("free").is_none());
            // Whatever could still come has come.
            eventually!(node.process_count() <= 2);
            settled(&a, &b).await;
            probe.expect_nothing().await;
        }
        node.exit(holder.pid(), ExitReason::Kill);
        holder.wait_for_exit().await;
    }
}
