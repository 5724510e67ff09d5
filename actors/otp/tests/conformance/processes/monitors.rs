//! Monitors: exactly one DOWN, or none after demonitor, and the truth about which.

use otp::{ExitReason, GenServer, Info, Init, MonitorRef, Next, Node, Options, Pid, eventually};

use super::{RUNS, arrived, custom, large, plain, probe, spin_until, tell, trapping};
use crate::support::{Message, Plan, Worker, busy, node, stop, within, worker};

crate::cases! {
    a_tag_makes_it_a_message_of_ones_own: "PROC-044";
    the_watched_kills_its_watcher: "PROC-049";
    the_watched_child_kills_its_parent: "PROC-050";
    a_stranger_cannot_take_a_monitor_back: "PROC-051", "PROC-052";
    targets_that_make_no_sense: "PROC-053";
    refs_that_make_no_sense: "PROC-054", "PROC-055";
    demonitor_and_oneself: "PROC-056";
    flush_is_for_one_monitor: "PROC-058";
    demonitor_tells_the_truth: "PROC-059";
    each_kind_of_end: "PROC-061";
    a_large_reason_arrives: "PROC-063";
    nothing_is_left_of_a_monitor: "PROC-064", "PROC-071";
    one_down_from_a_process_that_ends_meanwhile: "PROC-075";
    an_urgent_monitor_overtakes: "PROC-091";
    nobody_to_watch: "PROC-108";
    two_monitors_two_downs: "PROC-109";
}

/// The monitors whose DOWN is among the items.
pub(super) fn downs(items: &[Info]) -> Vec<MonitorRef> {
    let of = |info: &Info| match info {
        Info::Down { monitor, .. } => Some(*monitor),
        _ => None,
    };
    items.iter().filter_map(of).collect()
}

/// Has DOWNs as messages of its own.
struct Tagged;

impl GenServer for Tagged {
    type Args = (Pid, Pid);
    type Message = (&'static str, otp::Down, Pid);

    async fn init((pid, probe): Self::Args, ctx: &mut otp::Context<Tagged>) -> Init<Tagged> {
        ctx.monitor_as(pid, move |down| ("ended", down, probe));
        Init::Ok(Tagged)
    }

    async fn handle(
        &mut self,
        (tag, down, probe): Self::Message,
        ctx: &mut otp::Context<Tagged>,
    ) -> Next<Tagged> {
        ctx.send(probe, Box::new((tag, down.reason)));
        Next::Go
    }

    async fn handle_info(&mut self, info: Info, _ctx: &mut otp::Context<Tagged>) -> Next<Tagged> {
        panic!("{info:?} should have been a message of its own")
    }
}

async fn a_tag_makes_it_a_message_of_ones_own() {
    let node = node();
    let mut probe = probe(&node).await;
    let target = worker(&node).await;
    let arguments = (target.pid(), probe.pid());
    let tagged = otp::start::<Tagged>(&node, arguments, Options::new());
    let tagged = tagged.await.unwrap();
    stop(&target, custom("end"));
    let told: (&str, ExitReason) = probe.expect_msg().await;
    assert_eq!(told, ("ended", custom("end")));
    assert!(tagged.is_alive());
    probe.expect_nothing().await;
}

async fn the_watched_kills_its_watcher() {
    let node = node();
    let mut probe = probe(&node).await;
    for _ in 0..RUNS / 5 {
        let (watcher, watched) = (worker(&node).await, worker(&node).await);
        let (a, b) = (watcher.pid(), watched.pid());
        within(&watcher, move |ctx| ctx.monitor(b)).await;
        probe.monitor(a).await;
        probe.monitor(b).await;
        watched.cast(Message::Run(Box::new(move |ctx| {
            ctx.exit(a, ExitReason::Kill);
            Next::Stop(ExitReason::Normal)
        })));
        assert_eq!(probe.expect_down(a).await.1, ExitReason::Killed);
        assert_eq!(probe.expect_down(b).await.1, ExitReason::Normal);
        probe.expect_nothing().await;
    }
    assert_eq!(node.process_count(), 1);
}

async fn the_watched_child_kills_its_parent() {
    let node = node();
    let mut probe = probe(&node).await;
    for _ in 0..RUNS / 5 {
        let parent = otp::start::<Parent>(&node, (), Options::new());
        let parent = parent.await.unwrap();
        let (child, _monitor) = parent.call(Start).await.unwrap();
        let (a, b) = (parent.pid(), child);
        probe.monitor(a).await;
        probe.monitor(b).await;
        let child = node.server_ref::<Worker>(child).unwrap();
        child.cast(Message::Run(Box::new(move |ctx| {
            assert_eq!(ctx.parent(), Some(a));
            ctx.exit(a, ExitReason::Kill);
            Next::Stop(ExitReason::Normal)
        })));
        assert_eq!(probe.expect_down(a).await.1, ExitReason::Killed);
        assert_eq!(probe.expect_down(b).await.1, ExitReason::Normal);
        probe.expect_nothing().await;
    }
    assert_eq!(node.process_count(), 1);
}

/// Starts a child and watches it in one step.
struct Parent;

struct Start(otp::From<(Pid, MonitorRef)>);

impl GenServer for Parent {
    type Args = ();
    type Message = Start;

    async fn init((): (), _ctx: &mut otp::Context<Parent>) -> Init<Parent> {
        Init::Ok(Parent)
    }

    async fn handle(&mut self, Start(from): Start, ctx: &mut otp::Context<Parent>) -> Next<Parent> {
        let child = ctx.start_monitor::<Worker>(Plan::default(), Options::new());
        let (child, monitor) = child.await.unwrap();
        from.reply((child.pid(), monitor));
        Next::Go
    }
}

async fn a_stranger_cannot_take_a_monitor_back() {
    let node = node();
    let mut owner = probe(&node).await;
    let stranger = worker(&node).await;
    let target = worker(&node).await;
    let monitor = owner.monitor(target.pid()).await;
    let taken = within(&stranger, move |ctx| ctx.demonitor(monitor, true)).await;
    assert!(!taken);
    let pid = target.pid();
    let taken = within(&target, move |ctx| ctx.demonitor(monitor, true)).await;
    assert!(!taken, "nor can the one that is watched");
    stop(&target, custom("end"));
    assert_eq!(owner.expect_down(pid).await, (monitor, custom("end")));

    // The same with a monitor that came with a start.
    let parent = otp::start::<Parent>(&node, (), Options::new());
    let parent = parent.await.unwrap();
    let (child, monitor) = parent.call(Start).await.unwrap();
    let taken = within(&stranger, move |ctx| ctx.demonitor(monitor, true)).await;
    assert!(!taken);
    let info = node.process_info(child).unwrap();
    assert_eq!(info.monitored_by, [parent.pid()]);
}

async fn targets_that_make_no_sense() {
    let node = node();
    let mut probe = probe(&node).await;
    let foreign = Pid::from_parts(7, 7, 7);
    probe.monitor(foreign).await;
    assert_eq!(probe.expect_down(foreign).await.1, ExitReason::NoConnection);
    probe.monitor(node.outside()).await;
    let (_, reason) = probe.expect_down(node.outside()).await;
    assert_eq!(reason, ExitReason::NoProc);
    for name in ["", "undefined", "nobody"] {
        probe.run(move |ctx| ctx.monitor_name(name)).await;
        let (_, reason) = probe.expect_down(node.outside()).await;
        assert_eq!(reason, ExitReason::NoProc);
        probe.run(move |ctx| ctx.monitor_name_on("", name)).await;
        assert_eq!(super::texts(&mut probe, 1).await, ["DOWN noconnection"]);
    }
    probe.expect_nothing().await;
}

async fn refs_that_make_no_sense() {
    let (a, b) = (Node::new("a"), Node::new("b"));
    let mut here = probe(&a).await;
    let there = probe(&b).await;
    let (target, far_target) = (worker(&a).await, worker(&b).await);
    // Of another node, of another process, and one that has done its work.
    let mut refs = Vec::new();
    for _ in 0..10 {
        refs.push(there.monitor(far_target.pid()).await);
    }
    let foreign = refs.pop().unwrap();
    let others = probe(&a).await.monitor(target.pid()).await;
    let short = worker(&a).await;
    let used = here.monitor(short.pid()).await;
    stop(&short, ExitReason::Normal);
    here.expect_down(short.pid()).await;
    let own = here.monitor(target.pid()).await;
    for unknown in [foreign, others, used] {
        for flush in [false, true] {
            let taken = here.run(move |ctx| ctx.demonitor(unknown, flush)).await;
            assert!(!taken, "there was nothing to take back, and no harm in it");
        }
    }
    stop(&target, custom("end"));
    assert_eq!(here.expect_down(target.pid()).await.0, own);
}

async fn demonitor_and_oneself() {
    let node = node();
    let mut probe = probe(&node).await;
    let own = probe.run(|ctx| ctx.monitor(ctx.pid())).await;
    assert!(!probe.run(move |ctx| ctx.demonitor(own, false)).await);
    let target = worker(&node).await;
    let monitor = probe.monitor(target.pid()).await;
    assert!(probe.run(move |ctx| ctx.demonitor(monitor, false)).await);
    assert!(!probe.run(move |ctx| ctx.demonitor(monitor, false)).await);
    stop(&target, custom("unseen"));
    target.wait_for_exit().await;
    probe.expect_nothing().await;
    // Its own end does not reach a process through its own monitor, but others' do.
    let (selfish, log) = trapping(&node).await;
    within(&selfish, |ctx| ctx.monitor(ctx.pid())).await;
    probe.monitor(selfish.pid()).await;
    stop(&selfish, custom("end"));
    assert_eq!(probe.expect_down(selfish.pid()).await.1, custom("end"));
    assert_eq!(log.all(), ["terminate custom: end"]);
}

async fn flush_is_for_one_monitor() {
    let node = node();
    let mut probe = probe(&node).await;
    for flush in [true, false] {
        let target = worker(&node).await.pid();
        let (first, second, taken) = probe
            .run(move |ctx| {
                let (first, second) = (ctx.monitor(target), ctx.monitor(target));
                ctx.exit(target, ExitReason::Kill);
                // Both DOWNs wait behind this.
                spin_until(|| ctx.mailbox_len() == 2);
                (first, second, ctx.demonitor(first, flush))
            })
            .await;
        assert!(!taken, "its DOWN had arrived");
        let seen = downs(&arrived(&mut probe, 1).await);
        if flush {
            assert_eq!(seen, [second]);
        } else {
            assert_eq!(seen.len(), 2);
            assert!(seen.contains(&first) && seen.contains(&second));
        }
        probe.expect_nothing().await;
    }
}

async fn demonitor_tells_the_truth() {
    let node = node();
    let mut probe = probe(&node).await;
    let (mut taken_back, mut fired) = (0, 0);
    for run in 0..RUNS {
        let target = worker(&node).await;
        let pid = target.pid();
        let monitors: Vec<_> = probe
            .run(move |ctx| (0..10).map(|_| ctx.monitor(pid)).collect())
            .await;
        let all: Vec<MonitorRef> = monitors.clone();
        let from = node.clone();
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
        let wanted = taken.iter().filter(|taken| !**taken).count();
        let mut seen = downs(&arrived(&mut probe, wanted).await);
        for (monitor, taken) in monitors.iter().zip(&taken) {
            let downs = seen.iter().filter(|one| *one == monitor).count();
            assert_eq!(downs, usize::from(!taken), "run {run}");
        }
        seen.retain(|one| !monitors.contains(one));
        assert_eq!(seen, []);
        taken_back += 10 - wanted;
        fired += wanted;
    }
    println!("{taken_back} taken back, {fired} fired");
}

async fn each_kind_of_end() {
    let node = node();
    let mut probe = probe(&node).await;
    for reason in [ExitReason::Normal, custom("end"), ExitReason::Shutdown] {
        let target = worker(&node).await;
        let monitor = probe.monitor(target.pid()).await;
        stop(&target, reason.clone());
        assert_eq!(probe.expect_down(target.pid()).await, (monitor, reason));
        probe.monitor(target.pid()).await;
        let (_, reason) = probe.expect_down(target.pid()).await;
        assert_eq!(reason, ExitReason::NoProc);
    }
    // By name.
    let target = otp::start::<Worker>(&node, Plan::default(), Options::new().name("target"));
    let target = target.await.unwrap();
    let monitor = probe.run(|ctx| ctx.monitor_name("target")).await;
    stop(&target, custom("named"));
    let items = arrived(&mut probe, 1).await;
    let [
        Info::Down {
            monitor: of,
            pid,
            name,
            reason,
        },
    ] = &items[..]
    else {
        panic!("{items:?}");
    };
    assert_eq!(
        (*of, *pid, reason),
        (monitor, target.pid(), &custom("named"))
    );
    assert_eq!(name.as_deref(), Some("target"));
    probe.run(|ctx| ctx.monitor_name_on("test", "target")).await;
    let items = arrived(&mut probe, 1).await;
    assert!(
        matches!(&items[..], [Info::Down { pid, name: Some(name), reason: ExitReason::NoProc, .. }]
            if pid.serial() == 0 && **name == *"target"),
        "{items:?}"
    );
}

async fn a_large_reason_arrives() {
    let node = node();
    let mut probe = probe(&node).await;
    let target = worker(&node).await;
    probe.monitor(target.pid()).await;
    stop(&target, large());
    assert_eq!(probe.expect_down(target.pid()).await.1, large());
}

/// Both lists of monitors.
fn lists(node: &Node, watcher: Pid, target: Pid) -> (Vec<Pid>, Vec<Pid>) {
    let watcher = node.process_info(watcher);
    let target = node.process_info(target);
    (
        watcher.map_or(Vec::new(), |info| info.monitors),
        target.map_or(Vec::new(), |info| info.monitored_by),
    )
}

async fn nothing_is_left_of_a_monitor() {
    let node = node();
    let ends: [fn(&Node, &otp::ServerRef<Worker>); 5] = [
        |_, target| stop(target, ExitReason::Normal),
        |_, target| stop(target, custom("end")),
        |_, target| target.cast(Message::Run(Box::new(|_| panic!("end")))),
        |node, target| node.exit(target.pid(), ExitReason::Kill),
        |node, target| node.exit(target.pid(), custom("signal")),
    ];
    for end in ends {
        let mut probe = probe(&node).await;
        let target = worker(&node).await;
        let (a, b) = (probe.pid(), target.pid());
        let monitor = probe.monitor(b).await;
        probe.monitor(b).await;
        assert_eq!(lists(&node, a, b), (vec![b, b], vec![a, a]));
        probe.run(move |ctx| ctx.demonitor(monitor, false)).await;
        assert_eq!(lists(&node, a, b), (vec![b], vec![a]));
        end(&node, &target);
        probe.expect_down(b).await;
        assert_eq!(lists(&node, a, b), (vec![], vec![]), "after the DOWN");

        // The watcher ends.
        let watcher = worker(&node).await;
        let target = worker(&node).await;
        let (a, b) = (watcher.pid(), target.pid());
        within(&watcher, move |ctx| ctx.monitor(b)).await;
        assert_eq!(lists(&node, a, b), (vec![b], vec![a]));
        end(&node, &watcher);
        watcher.wait_for_exit().await;
        assert_eq!(lists(&node, a, b), (vec![], vec![]), "after its watcher");
    }
}

async fn one_down_from_a_process_that_ends_meanwhile() {
    let node = node();
    let mut probe = probe(&node).await;
    for run in 0..RUNS {
        let target = worker(&node).await;
        let pid = target.pid();
        let watch = probe.run(move |ctx| (ctx.monitor(pid), ctx.monitor(pid)));
        let (from, reason) = (node.clone(), custom("meanwhile"));
        let end = tokio::spawn(async move { from.exit(pid, reason) });
        let (first, second) = watch.await;
        end.await.unwrap();
        target.wait_for_exit().await;
        let items = arrived(&mut probe, 2).await;
        let mut seen = downs(&items);
        seen.sort_unstable();
        assert_eq!(seen, [first, second], "run {run}");
        for info in &items {
            let text = super::text(info);
            assert!(["DOWN custom: meanwhile", "DOWN noproc"].contains(&text.as_str()));
        }
        probe.expect_nothing().await;
    }
}

async fn an_urgent_monitor_overtakes() {
    for urgent in [false, true] {
        let node = node();
        let (watcher, log) = plain(&node).await;
        let target = worker(&node).await;
        let pid = target.pid();
        within(&watcher, move |ctx| match urgent {
            true => ctx.monitor_urgently(pid),
            false => ctx.monitor(pid),
        })
        .await;
        let open = busy(&watcher);
        eventually!(watcher.mailbox_len() == 0);
        tell(&watcher, |_| {});
        watcher.cast(Message::Note("one".into()));
        watcher.cast(Message::Note("two".into()));
        stop(&target, custom("end"));
        target.wait_for_exit().await;
        open.send(()).unwrap();
        eventually!(log.len() == 3);
        let expected = match urgent {
            true => ["DOWN custom: end", "one", "two"],
            false => ["one", "two", "DOWN custom: end"],
        };
        assert_eq!(log.all(), expected);
    }
}

async fn nobody_to_watch() {
    let node = node();
    let mut probe = probe(&node).await;
    let gone = worker(&node).await;
    stop(&gone, custom("end"));
    gone.wait_for_exit().await;
    // At once: the DOWN is there before the next message of the same handler.
    probe
        .run(move |ctx| {
            ctx.monitor(gone.pid());
            ctx.monitor_name("nobody");
            ctx.send(ctx.pid(), Box::new(1_u32));
        })
        .await;
    let texts = super::texts(&mut probe, 3).await;
    assert_eq!(texts, ["DOWN noproc", "DOWN noproc", "1"]);
}

async fn two_monitors_two_downs() {
    let node = node();
    let mut probe = probe(&node).await;
    let target = worker(&node).await;
    let (first, second) = (
        probe.monitor(target.pid()).await,
        probe.monitor(target.pid()).await,
    );
    assert_ne!(first, second);
    stop(&target, custom("end"));
    let mut seen = downs(&arrived(&mut probe, 2).await);
    seen.sort_unstable();
    assert_eq!(seen, [first, second]);
    probe.expect_nothing().await;
}
