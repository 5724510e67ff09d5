//! The observer: lists, the tree, traces of messages, and what a system monitor tells.

use std::sync::Arc;
use std::time::Duration;

use otp::observer::{self, Alarm, Alarms, Direction, Levels, SortBy};
use otp::report::{Report, StuckReport};
use otp::{ChildSpec, ExitReason, Next, Node, Options, Pid, ServerRef, Supervisor};
use parking_lot::Mutex;

use crate::gen_servers::server::{Message, Server, Start, busy, start, tell, within};
use crate::support::{Log, node};

crate::cases! {
    processes_are_listed_by_load: "SYS-015";
    the_tree_of_supervision_is_walked: "SYS-015";
    the_messages_of_a_process_are_followed: "SYS-016";
    a_trace_ends_by_itself: "SYS-016";
    a_long_handler_is_told: "SYS-017";
    long_queues_and_busy_connections_are_told: "SYS-017";
}

async fn quiet(node: &Node) -> ServerRef<Server> {
    start(node, Start::plain(&Log::default())).await
}

/// There are no tables in this crate, so there is no list of them.
async fn processes_are_listed_by_load() {
    let (node, elsewhere) = (node(), Node::new("elsewhere"));
    node.connect(&elsewhere);
    let far = quiet(&elsewhere).await;
    let options = || Options::new().mailbox_bytes_max(1 << 20);
    let limited = || otp::start::<Server>(&node, Start::plain(&Log::default()), options());
    let (idle, long, large) = (
        quiet(&node).await,
        quiet(&node).await,
        limited().await.unwrap(),
    );
    let order = |by| {
        let list = observer::processes(&node, by);
        list.into_iter().map(|one| one.pid).collect::<Vec<Pid>>()
    };
    let info = |server: &ServerRef<Server>| node.process_info(server.pid()).unwrap();
    // One that does not get on, with much to do behind it; one with little, but later.
    let open = busy(&long);
    for _ in 0..100 {
        long.cast(Message::Note("waits"));
    }
    otp::eventually!(info(&long).busy_ms >= 50);
    let open_large = busy(&large);
    for _ in 0..10 {
        large.cast(Message::Note("waits"));
    }
    otp::eventually!(large.mailbox_len() == 10 && long.mailbox_len() == 100);
    let all = [long.pid(), large.pid(), idle.pid()];
    assert_eq!(order(SortBy::MailboxLength), all);
    otp::eventually!(order(SortBy::BusyTime) == all);
    otp::eventually!(order(SortBy::MailboxAge) == all);
    assert_eq!(
        order(SortBy::MailboxBytes)[0],
        large.pid(),
        "only it counts them"
    );
    assert_eq!(info(&idle).busy_ms, 0);
    // Who has done most, and who hangs on most.
    for _ in 0..20 {
        assert_eq!(idle.call(Message::Get).await, Ok(7));
    }
    assert_eq!(order(SortBy::Handled)[0], idle.pid());
    let peers = [long.pid(), large.pid()];
    within(&idle, move |_, ctx| {
        for peer in peers {
            ctx.monitor(peer);
        }
    })
    .await;
    assert_eq!(order(SortBy::Links)[0], idle.pid());
    // Each node shows its own, and looking changed nothing.
    let others = observer::processes(&elsewhere, SortBy::Handled);
    assert_eq!(
        others.iter().map(|one| one.pid).collect::<Vec<_>>(),
        [far.pid()]
    );
    assert_eq!((long.mailbox_len(), large.mailbox_len()), (100, 10));
    for open in [open, open_large] {
        open.send(()).unwrap();
    }
    assert_eq!(long.call(Message::Get).await, Ok(7));
    otp::eventually!(info(&long).busy_ms == 0);
}

async fn the_tree_of_supervision_is_walked() {
    let node = node();
    let worker =
        |name: &'static str| ChildSpec::worker::<Server>(name, || Start::plain(&Log::default()));
    let inner = move || Supervisor::one_for_one().child(worker("leaf"));
    let top = Supervisor::one_for_one()
        .child(worker("first"))
        .child(ChildSpec::supervisor("inner", inner))
        .child(worker("last"));
    let top = top.start(&node, Options::new().label("top")).await.unwrap();
    let alone = quiet(&node).await;
    let trees = observer::tree(&node);
    assert_eq!(trees.len(), 2);
    let tree = &trees[0];
    assert_eq!(tree.process.pid, top.pid());
    let label = |tree: &observer::Tree| tree.process.label.as_deref().unwrap().to_owned();
    let labels: Vec<String> = tree.children.iter().map(label).collect();
    assert_eq!(labels, ["first", "inner", "last"]);
    let inner = &tree.children[1];
    assert_eq!(
        inner.children.iter().map(label).collect::<Vec<_>>(),
        ["leaf"]
    );
    assert!(inner.children[0].children.is_empty());
    let shown = tree.to_string();
    let depths: Vec<usize> = shown
        .lines()
        .map(|line| line.len() - line.trim_start().len())
        .collect();
    assert_eq!(depths, [0, 2, 2, 4, 2], "{shown}");
    assert_eq!(trees[1].process.pid, alone.pid());
    // A child whose parent is gone is a root of its own.
    let parent = quiet(&node).await;
    let orphan = within(&parent, |_, ctx| {
        let start = Start::plain(&Log::default());
        ctx.start_link::<Server>(start, Options::new())
    });
    let orphan = orphan.await.await.unwrap();
    let pid = parent.pid();
    within(&orphan, move |_, ctx| ctx.unlink(pid)).await;
    node.exit(pid, ExitReason::Kill);
    parent.wait_for_exit().await;
    let roots: Vec<Pid> = observer::tree(&node)
        .iter()
        .map(|tree| tree.process.pid)
        .collect();
    assert_eq!(roots, [top.pid(), alone.pid(), orphan.pid()]);
}

async fn the_messages_of_a_process_are_followed() {
    let node = node();
    let (server, other) = (quiet(&node).await, quiet(&node).await);
    let trace = observer::trace(&node, server.pid(), 100).unwrap();
    let bystander = observer::trace(&node, other.pid(), 100).unwrap();
    server.cast(Message::Set(1));
    let to = other.clone();
    tell(&server, move |_, ctx| {
        to.cast(Message::Note("typed"));
        ctx.send(to.pid(), Box::new("untyped"));
        Next::Go
    });
    node.send(server.pid(), Box::new("info"));
    within(&server, |_, _| ()).await;
    let seen = |trace: &observer::Trace| -> Vec<(Direction, Pid, &'static str)> {
        let events = trace.events();
        events
            .into_iter()
            .map(|event| (event.direction, event.peer, event.message))
            .collect()
    };
    let (own, peer) = (server.pid(), other.pid());
    let expected = [
        (Direction::Received, own, "set"),
        (Direction::Received, own, "tell"),
        (Direction::Sent, peer, "note"),
        (Direction::Sent, peer, "message"),
        (Direction::Received, own, "message"),
        (Direction::Received, own, "tell"),
    ];
    assert_eq!(seen(&trace), expected);
    within(&other, |_, _| ()).await;
    let received = |message| (Direction::Received, peer, message);
    let expected = [received("note"), received("message"), received("tell")];
    assert_eq!(seen(&bystander), expected, "each follows its own process");
    // The process goes on as before when nobody follows it any more.
    drop(trace);
    assert_eq!(server.call(Message::Get).await, Ok(1));
    assert!(observer::trace(&node, node.outside(), 1).is_none());
}

async fn a_trace_ends_by_itself() {
    let node = node();
    let server = quiet(&node).await;
    // When it is full.
    let trace = observer::trace(&node, server.pid(), 3).unwrap();
    for _ in 0..2 {
        server.cast(Message::Set(1));
    }
    within(&server, |_, _| ()).await;
    assert_eq!(trace.events().len(), 3);
    assert!(!trace.is_running());
    for _ in 0..10 {
        server.cast(Message::Set(2));
    }
    assert_eq!(server.call(Message::Get).await, Ok(2));
    assert_eq!(trace.events().len(), 3);
    // However much was asked for.
    let endless = observer::trace(&node, server.pid(), usize::MAX).unwrap();
    for _ in 0..observer::TRACE_EVENTS_MAX {
        while server.try_cast(Message::Set(3)).is_err() {
            tokio::task::yield_now().await;
        }
    }
    otp::eventually!(!endless.is_running());
    assert_eq!(endless.events().len(), observer::TRACE_EVENTS_MAX);
    // With its process.
    let last = observer::trace(&node, server.pid(), 10).unwrap();
    assert!(last.is_running());
    node.exit(server.pid(), ExitReason::Kill);
    server.wait_for_exit().await;
    assert!(!last.is_running());
}

async fn a_long_handler_is_told() {
    let node = node();
    let stuck: Arc<Mutex<Vec<StuckReport>>> = Arc::default();
    let all = stuck.clone();
    node.on_report(move |report| {
        if let Report::Stuck(report) = report {
            all.lock().push((**report).clone());
        }
    });
    node.set_handler_limits(Duration::from_millis(50), None);
    let (server, waiting) = (quiet(&node).await, quiet(&node).await);
    within(&server, |_, ctx| ctx.set_label("guild 7")).await;
    // One that waits at an await holds no worker.
    let _open = busy(&waiting);
    // One that computes does, until the report is there.
    let told = stuck.clone();
    tell(&server, move |_, _| {
        let begun = std::time::Instant::now();
        while told.lock().is_empty() && begun.elapsed() < Duration::from_secs(10) {
            std::hint::spin_loop();
        }
        // It is told once.
        while begun.elapsed() < Duration::from_millis(300) {
            std::hint::spin_loop();
        }
        Next::Go
    });
    assert_eq!(
        server.call_infinity(Message::Get).await,
        Ok(7),
        "it was only reported"
    );
    let stuck = stuck.lock();
    assert_eq!(stuck.len(), 1, "{stuck:?}");
    let report = &stuck[0];
    assert_eq!(report.pid, server.pid());
    assert_eq!(report.label.as_deref(), Some("guild 7"));
    assert_eq!(report.message.as_deref(), Some("tell"));
    assert!(report.held >= Duration::from_millis(50) && !report.replaced);
    assert!(waiting.is_alive());
}

async fn long_queues_and_busy_connections_are_told() {
    let (node, there) = (node(), Node::new("there"));
    node.connect(&there);
    let levels = Levels {
        mailbox_above: 10,
        mailbox_below: 3,
        bytes_above: 1_000,
        parcels_above: 5,
    };
    let mut alarms = Alarms::new(&node, levels);
    let server = quiet(&node).await;
    let pid = server.pid();
    assert_eq!(alarms.look(), []);
    // On, once.
    let mut open = busy(&server);
    otp::eventually!(server.mailbox_len() == 0);
    for _ in 0..10 {
        server.cast(Message::Note("waits"));
    }
    assert_eq!(alarms.look(), []);
    let (next, gate) = tokio::sync::oneshot::channel();
    server.cast(Message::Wait(gate));
    assert_eq!(alarms.look(), [Alarm::LongMailbox { pid, len: 11 }]);
    assert_eq!(alarms.look(), []);
    // Between the levels it stays on.
    for _ in 0..5 {
        server.cast(Message::Note("waits"));
    }
    std::mem::replace(&mut open, next).send(()).unwrap();
    otp::eventually!(server.mailbox_len() == 5);
    assert_eq!(alarms.look(), []);
    open.send(()).unwrap();
    assert_eq!(server.call(Message::Get).await, Ok(7));
    assert_eq!(alarms.look(), [Alarm::LongMailboxOver { pid }]);
    assert_eq!(alarms.look(), []);
    // Large messages.
    let options = Options::new().mailbox_bytes_max(1 << 20);
    let large = otp::start::<Server>(&node, Start::plain(&Log::default()), options).await;
    let large = large.unwrap();
    let open = busy(&large);
    otp::eventually!(large.mailbox_len() == 0);
    while node.process_info(large.pid()).unwrap().mailbox_bytes <= 1_000 {
        large.cast(Message::Note("large"));
    }
    let found = alarms.look();
    assert!(
        found
            .iter()
            .any(|alarm| matches!(alarm, Alarm::LargeMailbox { pid, bytes }
            if *pid == large.pid() && *bytes > 1_000)),
        "{found:?}"
    );
    open.send(()).unwrap();
    assert_eq!(large.call(Message::Get).await, Ok(7));
    assert!(
        alarms
            .look()
            .contains(&Alarm::LargeMailboxOver { pid: large.pid() })
    );
    // A connection that does not keep up.
    let far = quiet(&there).await.pid();
    node.hold_connection(&there, true);
    for _ in 0..20 {
        node.send(far, Box::new("held"));
    }
    let found = alarms.look();
    assert!(
        matches!(&found[..], [Alarm::BusyConnection { node, parcels }]
            if &**node == "there" && *parcels > 5),
        "{found:?}"
    );
    assert_eq!(alarms.look(), []);
    node.hold_connection(&there, false);
    let mut found = Vec::new();
    otp::eventually!({
        found.extend(alarms.look());
        !found.is_empty()
    });
    assert_eq!(
        found,
        [Alarm::BusyConnectionOver {
            node: "there".into()
        }]
    );
    // One that ends is no alarm.
    let open = busy(&server);
    for _ in 0..20 {
        server.cast(Message::Note("waits"));
    }
    otp::eventually!(alarms.look().len() == 1);
    node.exit(pid, ExitReason::Kill);
    server.wait_for_exit().await;
    assert_eq!(alarms.look(), []);
    drop(open);
}
