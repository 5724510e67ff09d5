//! Links: one at most between two, on both sides or on none, and one EXIT each.

use otp::testing::Probe;
use otp::{ExitReason, Info, Node, Pid, eventually};

use super::{RUNS, custom, links_agree, plain, probe, race, spin_until, tell, texts, trapping};
use crate::support::{Message, busy, node, stop, within, worker};

crate::cases! {
    a_link_is_one_and_on_both_sides: "PROC-068";
    both_sides_agree_after_a_race: "PROC-068";
    one_exit_from_a_process_that_ends_meanwhile: "PROC-073";
    no_exit_after_unlink: "PROC-079";
    a_waiting_exit_is_void_after_unlink: "PROC-079";
    an_urgent_link_overtakes: "PROC-090";
    a_link_to_nobody: "PROC-107";
}

fn links(node: &Node, pid: Pid) -> Vec<Pid> {
    node.process_info(pid).unwrap().links
}

async fn a_link_is_one_and_on_both_sides() {
    let node = node();
    let mut probe = probe(&node).await;
    let peer = worker(&node).await;
    for _ in 0..3 {
        probe.link(peer.pid()).await;
    }
    // From the other side it is the same link.
    let pid = probe.pid();
    within(&peer, move |ctx| ctx.link(pid)).await;
    assert_eq!(links(&node, probe.pid()), [peer.pid()]);
    assert_eq!(links(&node, peer.pid()), [probe.pid()]);

    probe.unlink(peer.pid()).await;
    assert_eq!(links(&node, probe.pid()), []);
    assert_eq!(links(&node, peer.pid()), []);
    stop(&peer, custom("unseen"));
    peer.wait_for_exit().await;
    probe.expect_nothing().await;

    // To itself: nothing, and unlinking from itself or a stranger neither.
    probe.link(probe.pid()).await;
    assert_eq!(links(&node, probe.pid()), []);
    probe.unlink(probe.pid()).await;
    probe.unlink(peer.pid()).await;

    let peer = worker(&node).await;
    for _ in 0..3 {
        probe.link(peer.pid()).await;
    }
    stop(&peer, custom("once"));
    assert_eq!(probe.expect_exit(peer.pid()).await, custom("once"));
    assert_eq!(links(&node, probe.pid()), []);
    probe.expect_nothing().await;
}

async fn both_sides_agree_after_a_race() {
    let node = node();
    let (one, _) = plain(&node).await;
    let (two, _) = plain(&node).await;
    let (first, second) = (one.pid(), two.pid());
    for run in 0..RUNS {
        let deed = move |on: bool, peer: Pid| {
            move |ctx: &mut otp::Context<crate::support::Worker>| match on {
                true => ctx.link(peer),
                false => ctx.unlink(peer),
            }
        };
        let (own, other) = (run % 2 == 0, run % 3 == 0);
        let (a, b) = (one.clone(), two.clone());
        race(
            async move { within(&a, deed(own, second)).await },
            async move { within(&b, deed(other, first)).await },
        )
        .await;
        assert!(links_agree((&node, first), (&node, second)), "run {run}");
    }
}

/// How many EXITs there are of a process.
fn exits(items: &[Info], of: Pid) -> usize {
    let is = |info: &&Info| matches!(info, Info::Exit { from, .. } if *from == of);
    items.iter().filter(is).count()
}

async fn one_exit_from_a_process_that_ends_meanwhile() {
    let node = node();
    let mut probe = probe(&node).await;
    for _ in 0..RUNS {
        let peer = worker(&node).await;
        let pid = peer.pid();
        let linker = &probe;
        let linked = linker.run(move |ctx| {
            ctx.link(pid);
            ctx.link(pid);
        });
        stop(&peer, custom("meanwhile"));
        let (reason, ()) = tokio::join!(peer.wait_for_exit(), linked);
        assert_eq!(reason, custom("meanwhile"));
        eventually!(node.process_info(probe.pid()).unwrap().links.is_empty());
        let items = super::arrived(&mut probe, 1).await;
        // The second link may find it gone after the EXIT of the first; that is a link to nobody.
        let real = items
            .iter()
            .filter(|info| super::text(info) != "EXIT noproc");
        assert!(real.count() <= 1, "{items:?}");
        assert!(exits(&items, pid) <= 2);
        probe.expect_nothing().await;
    }
    for _ in 0..RUNS {
        let peer = worker(&node).await;
        let pid = peer.pid();
        let link = probe.run(move |ctx| ctx.link(pid));
        let (from, end) = (node.clone(), custom("meanwhile"));
        let kill = tokio::spawn(async move { from.exit(pid, end) });
        link.await;
        kill.await.unwrap();
        peer.wait_for_exit().await;
        let items = super::arrived(&mut probe, 1).await;
        assert_eq!(exits(&items, pid), 1, "{items:?}");
        probe.expect_nothing().await;
    }
}

/// What the probe got after its marker.
fn after_marker(texts: &[String]) -> &[String] {
    let marker = texts.iter().position(|text| text == "1").unwrap();
    &texts[marker + 1..]
}

async fn no_exit_after_unlink() {
    let node = node();
    let mut probe = probe(&node).await;
    for run in 0..2 * RUNS {
        let again = run % 2 == 0;
        let peer = worker(&node).await;
        let pid = peer.pid();
        probe.link(pid).await;
        let from = node.clone();
        let kill = tokio::spawn(async move { from.exit(pid, custom("late")) });
        probe
            .run(move |ctx| {
                ctx.unlink(pid);
                ctx.send(ctx.pid(), Box::new(1_u32));
                if again {
                    ctx.link(pid);
                }
            })
            .await;
        kill.await.unwrap();
        peer.wait_for_exit().await;
        let texts = texts(&mut probe, 1 + usize::from(again)).await;
        let after = after_marker(&texts);
        assert_eq!(after.len(), usize::from(again), "{texts:?}");
        probe.expect_nothing().await;
    }
}

async fn a_waiting_exit_is_void_after_unlink() {
    let node = node();
    let mut probe = probe(&node).await;
    for _ in 0..RUNS {
        let peer = worker(&node).await;
        let pid = peer.pid();
        probe.link(pid).await;
        probe
            .run(move |ctx| {
                let node = ctx.node().clone();
                node.exit(pid, custom("old"));
                // Its EXIT waits behind this.
                spin_until(|| !node.is_alive(pid) && node.process_info(ctx.pid()).is_some());
                spin_until(|| ctx.mailbox_len() > 0);
                ctx.unlink(pid);
                ctx.link(pid);
            })
            .await;
        // The new link tells of its own end, and the old one of nothing.
        assert_eq!(texts(&mut probe, 1).await, ["EXIT noproc"]);
        probe.expect_nothing().await;
    }
}

/// What a worker that is busy handles in which order, if a link of it fires meanwhile.
async fn order_with(
    link: impl FnOnce(&mut otp::Context<crate::support::Worker>, Pid) + Send + 'static,
) -> Vec<String> {
    let node = node();
    let (watcher, log) = trapping(&node).await;
    let peer = worker(&node).await;
    let pid = peer.pid();
    within(&watcher, move |ctx| link(ctx, pid)).await;
    let open = busy(&watcher);
    eventually!(watcher.mailbox_len() == 0);
    watcher.cast(Message::Note("one".into()));
    watcher.cast(Message::Note("two".into()));
    stop(&peer, custom("end"));
    peer.wait_for_exit().await;
    open.send(()).unwrap();
    eventually!(log.len() == 3);
    log.all()
}

async fn an_urgent_link_overtakes() {
    let first = ["EXIT custom: end", "one", "two"];
    let last = ["one", "two", "EXIT custom: end"];
    assert_eq!(order_with(|ctx, pid| ctx.link(pid)).await, last);
    assert_eq!(order_with(|ctx, pid| ctx.link_urgently(pid)).await, first);
    let enabled = order_with(|ctx, pid| {
        ctx.link(pid);
        ctx.link_urgently(pid);
    });
    assert_eq!(enabled.await, first);
    let disabled = order_with(|ctx, pid| {
        ctx.link_urgently(pid);
        ctx.link(pid);
    });
    assert_eq!(disabled.await, last);
}

async fn a_link_to_nobody() {
    let node = node();
    let gone = worker(&node).await.pid();
    node.exit(gone, ExitReason::Kill);
    eventually!(!node.is_alive(gone));
    let never = Pid::from_parts(gone.node(), gone.incarnation(), u64::MAX);
    let mut trapping: Probe = probe(&node).await;
    for pid in [gone, never] {
        trapping.link(pid).await;
        assert_eq!(trapping.expect_exit(pid).await, ExitReason::NoProc);
        trapping.expect_nothing().await;
        let (plain, log) = plain(&node).await;
        tell(&plain, move |ctx| ctx.link(pid));
        plain.cast(Message::Note("handled".into()));
        assert_eq!(plain.wait_for_exit().await, ExitReason::NoProc);
        assert_eq!(log.all(), [""; 0]);
    }
}
