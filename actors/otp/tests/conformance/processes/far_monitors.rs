//! Monitors that cross a connection.

use otp::testing::Probe;
use otp::{ExitReason, Info, MonitorRef, Node, Options, Pid, eventually};

use super::monitors::downs;
use super::nodes::{cut, nothing_crosses};
use super::{RUNS, arrived, custom, large, probe, reached, settled, text, texts, two_nodes};
use crate::support::{Message, Plan, Worker, stop, within, worker};

crate::cases! {
    demonitor_and_the_end_of_a_node: "PROC-057";
    demonitor_tells_the_truth: "PROC-060";
    each_kind_of_end: "PROC-062";
    many_monitors_of_all_kinds: "PROC-065";
    a_name_on_a_node_that_is_not_there: "PROC-067";
    nothing_is_left_of_a_monitor: "PROC-072";
    one_down_from_a_process_that_ends_meanwhile: "PROC-076";
}

async fn demonitor_and_the_end_of_a_node() {
    let (a, b) = two_nodes();
    let mut probe = probe(&a).await;
    let target = worker(&b).await.pid();
    // Suppressed by the demonitor that came first.
    let monitor = probe.monitor(target).await;
    assert!(probe.run(move |ctx| ctx.demonitor(monitor, false)).await);
    cut(&a, &b).await;
    settled_alone(&a).await;
    probe.expect_nothing().await;
    // One that has arrived survives a plain demonitor, and not one with flush.
    for flush in [false, true] {
        a.connect(&b);
        let (from, to) = (a.clone(), b.clone());
        let late = probe.run(move |ctx| {
            let monitor = ctx.monitor(target);
            from.disconnect(&to);
            super::spin_until(|| ctx.mailbox_len() == 1);
            (monitor, ctx.demonitor(monitor, flush))
        });
        let (monitor, taken) = late.await;
        assert!(!taken);
        let expected = if flush { vec![] } else { vec![monitor] };
        let items = arrived(&mut probe, expected.len()).await;
        assert_eq!(downs(&items), expected);
        eventually!(a.nodes().is_empty() && b.nodes().is_empty());
    }
    // The other end forgets the watcher.
    assert_eq!(b.process_info(target).unwrap().monitored_by, []);
}

/// Everything within one node has been handled.
async fn settled_alone(node: &Node) {
    let mut echo = probe(node).await;
    node.send(echo.pid(), Box::new(0_u32));
    echo.expect_msg::<u32>().await;
}

async fn demonitor_tells_the_truth() {
    let (a, b) = two_nodes();
    let mut probe = probe(&a).await;
    let (mut taken_back, mut fired) = (0, 0);
    for run in 0..RUNS {
        let target = worker(&b).await;
        let pid = target.pid();
        let monitors: Vec<MonitorRef> = probe
            .run(move |ctx| (0..10).map(|_| ctx.monitor(pid)).collect())
            .await;
        let (all, from) = (monitors.clone(), b.clone());
        let kill = tokio::spawn(async move { from.exit(pid, ExitReason::Kill) });
        let take_back = probe.run(move |ctx| {
            for _ in 0..run % 50 {
                std::thread::yield_now();
            }
            let taken = all.iter().map(|monitor| ctx.demonitor(*monitor, false));
            taken.collect::<Vec<bool>>()
        });
        let taken = take_back.await;
        kill.await.unwrap();
        target.wait_for_exit().await;
        settled(&a, &b).await;
        let seen = downs(&probe.drain().await);
        for (monitor, taken) in monitors.iter().zip(&taken) {
            let downs = seen.iter().filter(|one| *one == monitor).count();
            assert_eq!(downs, usize::from(!taken), "run {run}");
            taken_back += usize::from(*taken);
            fired += usize::from(!taken);
        }
        assert_eq!(seen.len(), taken.iter().filter(|taken| !**taken).count());
    }
    eventually!(nothing_crosses(&a, &b));
    println!("{taken_back} taken back, {fired} fired");
}

async fn each_kind_of_end() {
    let (a, b) = two_nodes();
    let mut probe = probe(&a).await;
    for reason in [ExitReason::Normal, custom("end"), ExitReason::Kill, large()] {
        let target = worker(&b).await;
        let monitor = probe.monitor(target.pid()).await;
        reached(&b, target.pid()).await;
        stop(&target, reason.clone());
        assert_eq!(probe.expect_down(target.pid()).await, (monitor, reason));
        probe.monitor(target.pid()).await;
        let (_, reason) = probe.expect_down(target.pid()).await;
        assert_eq!(reason, ExitReason::NoProc);
    }
    // By name.
    for reason in [custom("end"), ExitReason::NoConnection] {
        let options = Options::new().name("target");
        let target = otp::start::<Worker>(&b, Plan::default(), options);
        let target = target.await.unwrap();
        let monitor = probe.run(|ctx| ctx.monitor_name_on("b", "target")).await;
        settled(&a, &b).await;
        match reason {
            ExitReason::NoConnection => cut(&a, &b).await,
            _ => stop(&target, reason.clone()),
        }
        let items = arrived(&mut probe, 1).await;
        let [
            Info::Down {
                monitor: of,
                pid,
                name,
                reason: seen,
            },
        ] = &items[..]
        else {
            panic!("{items:?}");
        };
        assert_eq!(
            (*of, name.as_deref(), seen),
            (monitor, Some("target"), &reason)
        );
        assert_eq!(pid.node(), target.pid().node());
        b.exit(target.pid(), ExitReason::Kill);
        target.wait_for_exit().await;
        a.connect(&b);
        // Nobody has it now.
        probe.run(|ctx| ctx.monitor_name_on("b", "target")).await;
        assert_eq!(texts(&mut probe, 1).await, ["DOWN noproc"]);
        // One that is taken back is taken back there, too.
        let again = Options::new().name("target");
        let again = otp::start::<Worker>(&b, Plan::default(), again)
            .await
            .unwrap();
        let monitor = probe.run(|ctx| ctx.monitor_name_on("b", "target")).await;
        settled(&a, &b).await;
        assert_eq!(
            b.process_info(again.pid()).unwrap().monitored_by,
            [probe.pid()]
        );
        assert!(probe.run(move |ctx| ctx.demonitor(monitor, false)).await);
        settled(&a, &b).await;
        assert_eq!(b.process_info(again.pid()).unwrap().monitored_by, []);
        b.exit(again.pid(), ExitReason::Kill);
        again.wait_for_exit().await;
    }
    // The node stops: what is watched then, and what is watched afterwards.
    let target = worker(&b).await.pid();
    probe.monitor(target).await;
    settled(&a, &b).await;
    a.disconnect(&b);
    assert_eq!(probe.expect_down(target).await.1, ExitReason::NoConnection);
    eventually!(a.nodes().is_empty());
    probe.monitor(target).await;
    assert_eq!(probe.expect_down(target).await.1, ExitReason::NoConnection);
    probe.expect_nothing().await;
}

async fn many_monitors_of_all_kinds() {
    let (a, b) = two_nodes();
    let mut watchers: Vec<Probe> = Vec::new();
    for node in [&a, &a, &b, &b] {
        watchers.push(probe(node).await);
    }
    for _ in 0..RUNS / 20 {
        let mut targets = Vec::new();
        for number in 0..20 {
            let node = if number % 2 == 0 { &a } else { &b };
            let name: String = format!("target {number}");
            let options = Options::new().name(name.clone());
            let target = otp::start::<Worker>(node, Plan::default(), options);
            targets.push((node.name().to_owned(), name, target.await.unwrap()));
        }
        let mut expected = Vec::new();
        for watcher in &watchers {
            let mut refs = Vec::new();
            for (node, name, target) in &targets {
                let (node, name, pid) = (node.clone(), name.clone(), target.pid());
                let set = watcher.run(move |ctx| {
                    let here = ctx.node().name() == node;
                    let by_name = match here {
                        true => ctx.monitor_name(&name),
                        false => ctx.monitor_name_on(&node, &name),
                    };
                    [ctx.monitor(pid), by_name, ctx.monitor_name_on(&node, &name)]
                });
                refs.extend(set.await);
            }
            refs.sort_unstable();
            expected.push(refs);
        }
        settled(&a, &b).await;
        for (number, (_, _, target)) in targets.iter().enumerate() {
            match number % 3 {
                0 => stop(target, custom("end")),
                1 => a.exit(target.pid(), ExitReason::Kill),
                _ => b.exit(target.pid(), custom("signal")),
            }
        }
        for (watcher, expected) in watchers.iter_mut().zip(expected) {
            let mut seen = downs(&arrived(watcher, expected.len()).await);
            seen.sort_unstable();
            assert_eq!(seen, expected, "each once");
        }
    }
    settled(&a, &b).await;
    for watcher in &mut watchers {
        watcher.expect_nothing().await;
    }
    assert!(nothing_crosses(&a, &b));
}

async fn a_name_on_a_node_that_is_not_there() {
    let (a, b) = two_nodes();
    let alone = Node::new("alone");
    let mut probe = probe(&a).await;
    cut(&a, &b).await;
    for node in ["nowhere", "b", alone.name()] {
        let node = node.to_owned();
        let monitor = probe
            .run(move |ctx| ctx.monitor_name_on(&node, "name"))
            .await;
        let items = arrived(&mut probe, 1).await;
        assert!(
            matches!(&items[..], [Info::Down { monitor: of, name: Some(name), reason: ExitReason::NoConnection, .. }]
                if *of == monitor && **name == *"name"),
            "{items:?}"
        );
    }
    assert!(!a.send_name_on("nowhere", "name", Box::new(1_u32)));
}

/// Both lists of monitors, on two nodes.
fn lists(a: (&Node, Pid), b: (&Node, Pid)) -> (Vec<Pid>, Vec<Pid>) {
    let (watcher, target) = (a.0.process_info(a.1), b.0.process_info(b.1));
    (
        watcher.map_or(Vec::new(), |info| info.monitors),
        target.map_or(Vec::new(), |info| info.monitored_by),
    )
}

async fn nothing_is_left_of_a_monitor() {
    let (a, b) = two_nodes();
    let mut probe = probe(&a).await;
    let own = probe.pid();
    let ends: [fn(&otp::ServerRef<Worker>, &Node, &Node); 5] = [
        |one, _, _| stop(one, ExitReason::Normal),
        |one, _, _| stop(one, custom("end")),
        |one, _, _| one.cast(Message::Run(Box::new(|_| panic!("end")))),
        |one, a, _| a.exit(one.pid(), ExitReason::Kill),
        |_, a, b| a.disconnect(b),
    ];
    for end in ends {
        a.connect(&b);
        let target = worker(&b).await;
        let pid = target.pid();
        let monitor = probe.monitor(pid).await;
        probe.monitor(pid).await;
        settled(&a, &b).await;
        let both = || lists((&a, own), (&b, pid));
        assert_eq!(both(), (vec![pid, pid], vec![own, own]));
        assert_eq!((a.crossing(&b), b.crossing(&a)), (2, 2));
        probe.run(move |ctx| ctx.demonitor(monitor, false)).await;
        settled(&a, &b).await;
        assert_eq!(both(), (vec![pid], vec![own]));
        end(&target, &a, &b);
        probe.expect_down(pid).await;
        eventually!(both() == (vec![], vec![]));
        eventually!(nothing_crosses(&a, &b));
        eventually!(b.nodes().is_empty() == a.nodes().is_empty());

        // The watcher ends, or loses its node.
        a.connect(&b);
        let (watcher, target) = (worker(&a).await, worker(&b).await);
        let pid = target.pid();
        within(&watcher, move |ctx| ctx.monitor(pid)).await;
        settled(&a, &b).await;
        assert_eq!(b.process_info(pid).unwrap().monitored_by, [watcher.pid()]);
        end(&watcher, &a, &b);
        eventually!(b.process_info(pid).unwrap().monitored_by.is_empty());
        eventually!(nothing_crosses(&a, &b));
        eventually!(b.nodes().is_empty() == a.nodes().is_empty());
    }
    probe.expect_nothing().await;
}

async fn one_down_from_a_process_that_ends_meanwhile() {
    let (a, b) = two_nodes();
    let mut probe = probe(&a).await;
    for run in 0..RUNS {
        let target = worker(&b).await;
        let pid = target.pid();
        let from = b.clone();
        let kill = tokio::spawn(async move { from.exit(pid, custom("end")) });
        let (one, two) = probe
            .run(move |ctx| (ctx.monitor(pid), ctx.monitor(pid)))
            .await;
        kill.await.unwrap();
        let items = arrived(&mut probe, 2).await;
        let mut seen = downs(&items);
        seen.sort_unstable();
        assert_eq!(seen, [one, two], "run {run}");
        for info in &items {
            assert!(["DOWN custom: end", "DOWN noproc"].contains(&text(info).as_str()));
        }
    }
    settled(&a, &b).await;
    probe.expect_nothing().await;
    eventually!(nothing_crosses(&a, &b));
}
