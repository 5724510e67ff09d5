//! Links that cross a connection, and what its loss makes of all that crosses it.

use otp::{ExitReason, Info, Node, Pid, eventually};

use super::{RUNS, arrived, custom, probe, reached, settled, text, texts, two_nodes};
use crate::support::{stop, within, worker};

crate::cases! {
    nothing_is_left_of_a_link: "PROC-014", "PROC-069";
    node_monitors_are_counted: "PROC-070";
    one_exit_from_a_process_that_ends_meanwhile: "PROC-074";
    all_that_crosses_fires_once: "PROC-115";
    a_new_link_is_a_new_link: "PROC-116";
    nodes_that_connect_at_the_same_time: "PROC-115";
}

/// Nothing crosses any more, as both see it.
pub(super) fn nothing_crosses(a: &Node, b: &Node) -> bool {
    (a.crossing(b), b.crossing(a)) == (0, 0)
}

/// Cuts the connection and waits until both know.
pub(super) async fn cut(a: &Node, b: &Node) {
    a.disconnect(b);
    eventually!(a.nodes().is_empty() && b.nodes().is_empty());
}

fn links(node: &Node, pid: Pid) -> Vec<Pid> {
    node.process_info(pid).unwrap().links
}

async fn nothing_is_left_of_a_link() {
    let (a, b) = two_nodes();
    let mut probe = probe(&a).await;
    let own = probe.pid();
    // Linked more than once, from both sides: one link.
    let peer = worker(&b).await;
    let pid = peer.pid();
    probe.link(pid).await;
    probe.link(pid).await;
    within(&peer, move |ctx| ctx.link(own)).await;
    settled(&a, &b).await;
    assert_eq!((links(&a, own), links(&b, pid)), (vec![pid], vec![own]));
    assert_eq!((a.crossing(&b), b.crossing(&a)), (1, 1));
    probe.unlink(pid).await;
    assert_eq!(links(&a, own), []);
    eventually!(links(&b, pid).is_empty() && nothing_crosses(&a, &b));
    // The other end ends, the own one does, the node does.
    probe.link(pid).await;
    reached(&b, pid).await;
    stop(&peer, custom("end"));
    assert_eq!(probe.expect_exit(pid).await, custom("end"));
    eventually!(nothing_crosses(&a, &b));
    let (near, far) = (worker(&a).await, worker(&b).await);
    let pid = far.pid();
    within(&near, move |ctx| ctx.link(pid)).await;
    reached(&b, pid).await;
    stop(&near, custom("near"));
    assert_eq!(far.wait_for_exit().await, custom("near"));
    eventually!(nothing_crosses(&a, &b));
    let far = worker(&b).await;
    probe.link(far.pid()).await;
    settled(&a, &b).await;
    cut(&a, &b).await;
    assert_eq!(probe.expect_exit(far.pid()).await, ExitReason::NoConnection);
    assert_eq!(far.wait_for_exit().await, ExitReason::NoConnection);
    assert_eq!(links(&a, own), []);
    // To a node that is gone.
    probe.link(far.pid()).await;
    assert_eq!(probe.expect_exit(far.pid()).await, ExitReason::NoConnection);
    assert_eq!(links(&a, own), []);
    // Unlinked while the peer ends, and while it links and unlinks itself.
    a.connect(&b);
    for run in 0..RUNS {
        let peer = worker(&b).await;
        let pid = peer.pid();
        probe.link(pid).await;
        let others = peer.clone();
        let other = tokio::spawn(async move {
            match run % 3 {
                0 => stop(&others, custom("end")),
                turn => {
                    within(&others, move |ctx| {
                        ctx.unlink(own);
                        if turn == 1 {
                            ctx.link(own);
                        }
                    })
                    .await;
                }
            }
        });
        probe
            .run(move |ctx| {
                ctx.unlink(pid);
                ctx.link(pid);
                ctx.unlink(pid);
            })
            .await;
        other.await.unwrap();
        if run % 3 != 0 {
            // Who was linked by the other's last word may be so, but then both are.
            settled(&a, &b).await;
            settled(&a, &b).await;
            let agreed = links(&a, own).contains(&pid) == links(&b, pid).contains(&own);
            assert!(agreed, "run {run}");
        }
        stop(&peer, custom("end"));
        peer.wait_for_exit().await;
        settled(&a, &b).await;
        assert_eq!(links(&a, own), [], "run {run}");
        probe.drain().await;
    }
    eventually!(nothing_crosses(&a, &b));
}

async fn node_monitors_are_counted() {
    let (a, b) = (Node::new("a"), Node::new("b"));
    let mut one = probe(&a).await;
    let two = worker(&a).await;
    for expected in 1..=3 {
        one.run(|ctx| ctx.monitor_nodes(true)).await;
        assert_eq!(a.node_monitors(), expected);
    }
    within(&two, |ctx| ctx.monitor_nodes(true)).await;
    assert_eq!(a.node_monitors(), 4);
    a.connect(&b);
    assert_eq!(texts(&mut one, 3).await, ["up b"; 3]);
    one.run(|ctx| ctx.monitor_nodes(false)).await;
    assert_eq!(a.node_monitors(), 3);
    cut(&a, &b).await;
    assert_eq!(texts(&mut one, 2).await, ["down b"; 2]);
    // They end with their process.
    a.exit(two.pid(), ExitReason::Kill);
    two.wait_for_exit().await;
    assert_eq!(a.node_monitors(), 2);
    a.exit(one.pid(), ExitReason::Kill);
    eventually!(a.node_monitors() == 0);
}

async fn one_exit_from_a_process_that_ends_meanwhile() {
    let (a, b) = two_nodes();
    let mut probe = probe(&a).await;
    for run in 0..RUNS {
        let peer = worker(&b).await;
        let pid = peer.pid();
        let from = b.clone();
        let kill = tokio::spawn(async move { from.exit(pid, custom("end")) });
        probe.link(pid).await;
        kill.await.unwrap();
        let got = texts(&mut probe, 1).await;
        assert!(
            got == ["EXIT custom: end"] || got == ["EXIT noproc"],
            "run {run}: {got:?}"
        );
    }
    settled(&a, &b).await;
    probe.expect_nothing().await;
    eventually!(nothing_crosses(&a, &b));
}

async fn all_that_crosses_fires_once() {
    let (a, b) = two_nodes();
    for run in 0..RUNS / 10 {
        let (mut near, mut far) = (probe(&a).await, probe(&b).await);
        let mut peers = Vec::new();
        for _ in 0..10 {
            peers.push((worker(&a).await, worker(&b).await));
        }
        let all: Vec<(Pid, Pid)> = peers
            .iter()
            .map(|(one, two)| (one.pid(), two.pid()))
            .collect();
        let others = all.clone();
        near.run(move |ctx| {
            for (_, pid) in others {
                ctx.link(pid);
                ctx.monitor(pid);
                ctx.monitor(pid);
            }
        })
        .await;
        let others = all.clone();
        far.run(move |ctx| {
            for (pid, _) in others {
                ctx.link(pid);
                ctx.monitor(pid);
            }
        })
        .await;
        // Sometimes set up on both sides, sometimes on its way.
        if run % 2 == 0 {
            settled(&a, &b).await;
        }
        if run % 3 == 0 {
            b.stop().await;
            assert!(a.nodes().is_empty() || a.nodes().len() == 1);
            eventually!(a.nodes().is_empty());
            // A stopped node's processes have ended; the end was told, or the loss was.
            near.drain().await;
            break;
        }
        a.disconnect(&b);
        for (probe, of, monitors) in [(&mut near, false, 2), (&mut far, true, 1)] {
            let items = arrived(probe, 10 * (1 + monitors)).await;
            for (one, two) in &all {
                let peer = if of { *one } else { *two };
                let exits = items.iter().filter(|info| {
                    matches!(info, Info::Exit { from, reason: ExitReason::NoConnection } if *from == peer)
                });
                let downs = items.iter().filter(|info| {
                    matches!(info, Info::Down { pid, reason: ExitReason::NoConnection, .. } if *pid == peer)
                });
                assert_eq!((exits.count(), downs.count()), (1, monitors), "run {run}");
            }
        }
        eventually!(a.nodes().is_empty() && b.nodes().is_empty());
        a.connect(&b);
        settled(&a, &b).await;
        for (one, two) in &peers {
            // Those that do not trap have ended for it, if the link had reached them.
            stop(one, ExitReason::Normal);
            stop(two, ExitReason::Normal);
        }
        settled(&a, &b).await;
        near.expect_nothing().await;
        far.expect_nothing().await;
        for probe in [&near, &far] {
            a.exit(probe.pid(), ExitReason::Kill);
        }
    }
}

async fn a_new_link_is_a_new_link() {
    let (a, b) = two_nodes();
    let (mut near, mut far) = (probe(&a).await, probe(&b).await);
    let (one, two) = (near.pid(), far.pid());
    for run in 0..RUNS / 2 {
        near.link(two).await;
        if run % 2 == 0 {
            settled(&a, &b).await;
        }
        // The old EXIT waits in the mailbox while the new link is made.
        let (from, to) = (a.clone(), b.clone());
        near.run(move |ctx| {
            from.disconnect(&to);
            super::spin_until(|| ctx.mailbox_len() > 0);
            if run % 4 < 2 {
                // It counts, or, taken back, it does not.
                ctx.unlink(two);
            }
            from.connect(&to);
            ctx.link(two);
        })
        .await;
        settled(&a, &b).await;
        let expected: &[&str] = if run % 4 < 2 {
            &[]
        } else {
            &["EXIT noconnection"]
        };
        assert_eq!(
            texts(&mut near, expected.len()).await,
            expected,
            "run {run}"
        );
        far.drain().await;
        // The new one is there on both sides, and fires once for its own reason.
        assert_eq!(
            (links(&a, one), links(&b, two)),
            (vec![two], vec![one]),
            "run {run}"
        );
        assert_eq!((a.crossing(&b), b.crossing(&a)), (1, 1), "run {run}");
        near.unlink(two).await;
        eventually!(links(&b, two).is_empty());
    }
    near.link(two).await;
    reached(&b, two).await;
    b.exit(two, ExitReason::Kill);
    assert_eq!(near.expect_exit(two).await, ExitReason::Killed);
    near.expect_nothing().await;
}

async fn nodes_that_connect_at_the_same_time() {
    let (a, b) = (Node::new("a"), Node::new("b"));
    let mut near = probe(&a).await;
    near.run(|ctx| ctx.monitor_nodes(true)).await;
    for run in 0..RUNS {
        let (one, two) = ((a.clone(), b.clone()), (b.clone(), a.clone()));
        super::race(async move { one.0.connect(&one.1) }, async move {
            two.0.connect(&two.1)
        })
        .await;
        let target = worker(&b).await;
        near.monitor(target.pid()).await;
        b.exit(target.pid(), ExitReason::Kill);
        near.expect_down(target.pid()).await;
        a.disconnect(&b);
        // The next connection is asked for while this one is being lost.
        if run % 2 == 0 {
            eventually!(a.nodes().is_empty() && b.nodes().is_empty());
        }
    }
    eventually!(a.nodes().is_empty() && b.nodes().is_empty());
    let told = near.drain().await;
    let texts: Vec<String> = told.iter().map(text).collect();
    assert_eq!(texts.len(), 2 * RUNS, "each came and went");
    for pair in texts.chunks(2) {
        assert_eq!(pair, ["up b", "down b"]);
    }
}
