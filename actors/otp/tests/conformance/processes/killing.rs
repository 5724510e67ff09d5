//! Kill: cannot be trapped, and is seen as killed; but the reason kill can be.

use otp::{ExitReason, Node, ServerRef};

use super::{RUNS, plain, probe, trapping, two_nodes};
use crate::support::{Message, Worker, node, stop, within, worker};

crate::cases! {
    kill_becomes_killed_along_a_chain: "PROC-078";
    kill_cannot_be_trapped_and_killed_can: "PROC-111";
}

/// Workers, each linked to the next; they are on the nodes in turn.
async fn chain(nodes: &[&Node], length: usize) -> Vec<ServerRef<Worker>> {
    let mut chain: Vec<ServerRef<Worker>> = Vec::new();
    for number in 0..length {
        let next = worker(nodes[number % nodes.len()]).await;
        if let Some(last) = chain.last() {
            let pid = next.pid();
            within(last, move |ctx| ctx.link(pid)).await;
        }
        chain.push(next);
    }
    chain
}

/// Ends the first of a chain; all of it must end so, and a trapping one at its end must be told.
async fn end_chain(
    nodes: &[&Node],
    length: usize,
    reason: &ExitReason,
    end: impl Fn(&ServerRef<Worker>),
) {
    let chain = chain(nodes, length).await;
    let last = chain.last().unwrap();
    let mut probe = probe(nodes[0]).await;
    probe.link(last.pid()).await;
    end(&chain[0]);
    assert_eq!(&probe.expect_exit(last.pid()).await, reason);
    for one in &chain {
        assert_eq!(&one.wait_for_exit().await, reason);
    }
    nodes[0].exit(probe.pid(), ExitReason::Kill);
}

async fn kill_becomes_killed_along_a_chain() {
    let (a, b) = two_nodes();
    for run in 0..RUNS {
        let length = 1 + run % 5;
        let kill = |first: &ServerRef<Worker>| a.exit(first.pid(), ExitReason::Kill);
        let nodes: &[&Node] = if run % 5 == 0 { &[&a, &b] } else { &[&a] };
        end_chain(nodes, length, &ExitReason::Killed, kill).await;
        // One that ends itself with it is seen as it is.
        let own = |first: &ServerRef<Worker>| stop(first, ExitReason::Kill);
        end_chain(nodes, length, &ExitReason::Kill, own).await;
    }
    let kill = |first: &ServerRef<Worker>| a.exit(first.pid(), ExitReason::Kill);
    end_chain(&[&a], 500, &ExitReason::Killed, kill).await;
}

async fn kill_cannot_be_trapped_and_killed_can() {
    let node = node();
    let (victim, log) = trapping(&node).await;
    let (peer, peer_log) = trapping(&node).await;
    let (bystander, _) = plain(&node).await;
    for one in [&peer, &bystander] {
        let pid = victim.pid();
        within(one, move |ctx| ctx.link(pid)).await;
    }
    node.exit(victim.pid(), ExitReason::Kill);
    assert_eq!(victim.wait_for_exit().await, ExitReason::Killed);
    assert_eq!(log.all(), [""; 0], "neither a message nor terminate");
    otp::eventually!(peer_log.all() == ["EXIT killed"]);
    assert_eq!(peer.call(Message::Get).await, Ok(7));
    assert_eq!(bystander.wait_for_exit().await, ExitReason::Killed);
    // Sent as a reason by somebody, it is a reason like others.
    node.exit(peer.pid(), ExitReason::Killed);
    otp::eventually!(peer_log.all() == ["EXIT killed", "EXIT killed"]);
}
