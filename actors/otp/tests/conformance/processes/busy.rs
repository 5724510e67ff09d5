//! A connection that cannot keep up: messages are refused at the limit, signals never.

use otp::{CONNECTION_PARCELS_MAX, ExitReason, Node, Options, Pid, SpawnOptions, eventually};

use super::{custom, message, probe, settled, texts, two_nodes};
use crate::support::{Plan, Worker, stop, worker};

crate::cases! {
    an_exit_signal_arrives: "PROC-084";
    a_demonitor_works: "PROC-085";
    a_down_arrives: "PROC-086";
    a_spawn_reply_arrives: "PROC-087";
    an_unlink_completes: "PROC-088";
}

/// Holds the connection of two nodes, and fills it in both directions with messages to nobody.
fn jam(a: &Node, b: &Node) {
    a.hold_connection(b, true);
    for (from, to) in [(a, b), (b, a)] {
        let outside = to.outside();
        let nobody = Pid::from_parts(outside.node(), outside.incarnation(), u64::MAX);
        let mut sent = 0;
        while from.send(nobody, message(0)) {
            sent += 1;
        }
        // The pump has one in its hand.
        assert!(sent >= CONNECTION_PARCELS_MAX - 2, "{sent}");
        assert!(!from.send(nobody, message(0)), "the sender is told");
    }
}

/// Lets it go, and has everything arrive.
async fn release(a: &Node, b: &Node) {
    a.hold_connection(b, false);
    // Until then there is no room for a message.
    eventually!(a.send(b.outside(), message(0)) && b.send(a.outside(), message(0)));
    settled(a, b).await;
}

async fn an_exit_signal_arrives() {
    let (a, b) = two_nodes();
    let (linked, sent_to) = (worker(&b).await, worker(&b).await);
    let near = worker(&a).await;
    let pid = linked.pid();
    crate::support::within(&near, move |ctx| ctx.link(pid)).await;
    settled(&a, &b).await;
    jam(&a, &b);
    stop(&near, custom("link"));
    near.wait_for_exit().await;
    a.exit(sent_to.pid(), custom("signal"));
    settled_alone(&a).await;
    assert!(linked.is_alive() && sent_to.is_alive(), "on their way");
    release(&a, &b).await;
    assert_eq!(linked.wait_for_exit().await, custom("link"));
    assert_eq!(sent_to.wait_for_exit().await, custom("signal"));
    assert_eq!((a.crossing(&b), b.crossing(&a)), (0, 0));
}

/// Everything within one node has been handled.
async fn settled_alone(node: &Node) {
    let mut echo = probe(node).await;
    node.send(echo.pid(), message(0));
    echo.expect_msg::<u32>().await;
}

async fn a_demonitor_works() {
    let (a, b) = two_nodes();
    let mut watcher = probe(&a).await;
    let target = worker(&b).await;
    let monitor = watcher.monitor(target.pid()).await;
    settled(&a, &b).await;
    jam(&a, &b);
    assert!(watcher.run(move |ctx| ctx.demonitor(monitor, false)).await);
    // Its DOWN is on its way behind all that, and is void when it comes.
    stop(&target, custom("end"));
    target.wait_for_exit().await;
    release(&a, &b).await;
    watcher.expect_nothing().await;
    assert_eq!((a.crossing(&b), b.crossing(&a)), (0, 0));
}

async fn a_down_arrives() {
    let (a, b) = two_nodes();
    let mut watcher = probe(&a).await;
    let target = worker(&b).await;
    watcher.monitor(target.pid()).await;
    settled(&a, &b).await;
    jam(&a, &b);
    stop(&target, custom("end"));
    target.wait_for_exit().await;
    watcher.expect_nothing().await;
    release(&a, &b).await;
    assert_eq!(watcher.expect_down(target.pid()).await.1, custom("end"));
    assert_eq!((a.crossing(&b), b.crossing(&a)), (0, 0));
}

async fn a_spawn_reply_arrives() {
    let (a, b) = two_nodes();
    let mut requester = probe(&a).await;
    jam(&a, &b);
    let far = b.clone();
    requester
        .run(move |ctx| {
            let how = SpawnOptions {
                monitor: true,
                ..SpawnOptions::default()
            };
            ctx.spawn_request::<Worker>(&far, Plan::default(), Options::new().name("child"), how);
        })
        .await;
    requester.expect_nothing().await;
    release(&a, &b).await;
    assert_eq!(texts(&mut requester, 1).await, ["spawned"]);
    let child = b.whereis("child").unwrap();
    b.exit(child, ExitReason::Kill);
    assert_eq!(requester.expect_down(child).await.1, ExitReason::Killed);
}

async fn an_unlink_completes() {
    let (a, b) = two_nodes();
    let mut near = probe(&a).await;
    let far = probe(&b).await;
    let (own, peer) = (near.pid(), far.pid());
    near.link(peer).await;
    settled(&a, &b).await;
    jam(&a, &b);
    near.unlink(peer).await;
    assert_eq!(a.process_info(own).unwrap().links, []);
    assert_eq!(
        b.process_info(peer).unwrap().links,
        [own],
        "it does not know yet"
    );
    assert_eq!(a.crossing(&b), 1, "nor is this side told that it does");
    // What the peer says before it knows is void.
    far.unlink(own).await;
    far.link(own).await;
    release(&a, &b).await;
    eventually!((a.crossing(&b), b.crossing(&a)) == (0, 0));
    assert_eq!(a.process_info(own).unwrap().links, []);
    assert_eq!(b.process_info(peer).unwrap().links, []);
    b.exit(peer, ExitReason::Kill);
    settled(&a, &b).await;
    near.expect_nothing().await;
    // With nothing outstanding a link is a link again.
    let mut far = probe(&b).await;
    near.link(far.pid()).await;
    settled(&a, &b).await;
    a.exit(own, ExitReason::Kill);
    assert_eq!(far.expect_exit(own).await, ExitReason::Killed);
}
