//! Aliases: addresses that can be taken back, alone or with a monitor.

use otp::testing::Probe;
use otp::{Alias, AliasMode, ExitReason, MonitorRef, Node, Options, Pid, SpawnOptions, eventually};

use super::{RUNS, custom, message, probe, race, spin_until, texts, two_nodes};
use crate::support::{Plan, Worker, busy, node, stop, within, worker};

crate::cases! {
    an_alias_works_until_it_is_taken_back: "PROC-039", "PROC-102";
    each_mode_in_each_ending: "PROC-040";
    each_mode_with_a_monitor_of_a_start: "PROC-041";
    demonitor_takes_along_what_it_promises: "PROC-042";
    down_takes_along_what_it_promises: "PROC-043";
    an_urgent_alias_overtakes: "PROC-089";
    a_monitor_gives_a_reply_address: "PROC-093";
    a_reply_alias_is_good_for_one_message: "PROC-103";
}

const MODES: [AliasMode; 4] = [
    AliasMode::Explicit,
    AliasMode::Reply,
    AliasMode::Demonitor,
    AliasMode::ReplyDemonitor,
];

/// Whether a message to an alias arrives.
async fn is_active(node: &Node, probe: &mut Probe, alias: Alias) -> bool {
    let sent = node.send_alias(alias, message(77));
    let got = probe
        .drain()
        .await
        .iter()
        .any(|info| super::text(info) == "77");
    assert_eq!(sent, got, "the sender is told what becomes of it");
    got
}

async fn an_alias_works_until_it_is_taken_back() {
    let node = node();
    let mut probe = probe(&node).await;
    let alias = probe.run(|ctx| ctx.alias(AliasMode::Explicit)).await;
    assert_eq!(alias.pid(), probe.pid());
    for _ in 0..3 {
        assert!(is_active(&node, &mut probe, alias).await);
    }
    let other = worker(&node).await;
    let taken = within(&other, move |ctx| ctx.unalias(alias)).await;
    assert!(!taken, "only its own process can");
    assert!(is_active(&node, &mut probe, alias).await);
    assert!(probe.run(move |ctx| ctx.unalias(alias)).await);
    assert!(!probe.run(move |ctx| ctx.unalias(alias)).await);
    assert!(!is_active(&node, &mut probe, alias).await);
    probe.expect_nothing().await;
    // It ends with its process, too.
    let alias = within(&other, |ctx| ctx.alias(AliasMode::Explicit)).await;
    stop(&other, ExitReason::Normal);
    other.wait_for_exit().await;
    assert!(!node.send_alias(alias, message(1)));
}

/// What ends an alias, or does not.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ending {
    Message,
    Demonitor,
    /// It waits in the mailbox.
    Down,
    /// It was handled.
    DownHandled,
    Unalias,
}

const ENDINGS: [Ending; 5] = [
    Ending::Message,
    Ending::Demonitor,
    Ending::Down,
    Ending::DownHandled,
    Ending::Unalias,
];

/// `monitor/3`, `{alias, Mode}`.
fn survives(mode: AliasMode, ending: Ending) -> bool {
    match ending {
        Ending::Unalias => false,
        Ending::Message => matches!(mode, AliasMode::Explicit | AliasMode::Demonitor),
        Ending::Demonitor | Ending::Down | Ending::DownHandled => {
            matches!(mode, AliasMode::Explicit | AliasMode::Reply)
        }
    }
}

/// A watched worker, with an alias that hangs on its monitor.
struct Watched {
    target: Pid,
    monitor: MonitorRef,
    alias: Alias,
}

/// Brings an ending about and looks whether the alias is still good.
async fn check(node: &Node, probe: &mut Probe, watched: &Watched, mode: AliasMode, ending: Ending) {
    let Watched {
        target,
        monitor,
        alias,
    } = *watched;
    match ending {
        Ending::Message => assert!(is_active(node, probe, alias).await, "{mode:?}"),
        Ending::Demonitor => {
            assert!(probe.run(move |ctx| ctx.demonitor(monitor, false)).await);
        }
        Ending::Unalias => assert!(probe.run(move |ctx| ctx.unalias(alias)).await),
        Ending::Down => {
            let passed = probe.run(move |ctx| {
                let node = ctx.node().clone();
                node.exit(target, ExitReason::Kill);
                // The DOWN waits behind this handler.
                spin_until(|| ctx.mailbox_len() > 0);
                node.send_alias(alias, message(78))
            });
            assert_eq!(passed.await, survives(mode, ending), "{mode:?} {ending:?}");
            probe.drain().await;
        }
        Ending::DownHandled => {
            node.exit(target, ExitReason::Kill);
            assert_eq!(probe.expect_down(target).await.0, monitor);
        }
    }
    if !(ending == Ending::Down && mode == AliasMode::Reply) {
        let active = is_active(node, probe, alias).await;
        assert_eq!(active, survives(mode, ending), "{mode:?} {ending:?}");
    }
    // The monitor: only a first message in the last mode takes it back.
    if ending == Ending::Message || ending == Ending::Unalias {
        probe.drain().await;
        node.exit(target, custom("end"));
        eventually!(!node.is_alive(target));
        let gone = mode == AliasMode::ReplyDemonitor && ending == Ending::Message;
        let expected: &[&str] = if gone { &[] } else { &["DOWN custom: end"] };
        assert_eq!(texts(probe, expected.len()).await, expected, "{mode:?}");
    }
    node.exit(target, ExitReason::Kill);
    eventually!(!node.is_alive(target));
    probe.drain().await;
}

async fn watched(node: &Node, probe: &Probe, mode: AliasMode) -> Watched {
    let target = worker(node).await.pid();
    let (monitor, alias) = probe.run(move |ctx| ctx.monitor_alias(target, mode)).await;
    Watched {
        target,
        monitor,
        alias,
    }
}

async fn each_mode_in_each_ending() {
    let node = node();
    let mut probe = probe(&node).await;
    for mode in MODES {
        for ending in ENDINGS {
            let watched = watched(&node, &probe, mode).await;
            check(&node, &mut probe, &watched, mode, ending).await;
        }
        // Watching nobody: the DOWN is there at once.
        let gone = worker(&node).await.pid();
        node.exit(gone, ExitReason::Kill);
        eventually!(!node.is_alive(gone));
        let (_, alias) = probe.run(move |ctx| ctx.monitor_alias(gone, mode)).await;
        probe.expect_down(gone).await;
        let active = is_active(&node, &mut probe, alias).await;
        assert_eq!(active, survives(mode, Ending::Down), "{mode:?}");
    }
}

async fn each_mode_with_a_monitor_of_a_start() {
    let node = node();
    let mut probe = probe(&node).await;
    for mode in MODES {
        for ending in ENDINGS {
            let how = SpawnOptions {
                monitor: true,
                ..SpawnOptions::default()
            };
            let (monitor, alias) = probe
                .run(move |ctx| {
                    let here = ctx.node().clone();
                    let options = Options::new().name("target");
                    let request = ctx.spawn_request::<Worker>(&here, Plan::default(), options, how);
                    let monitor = request.1.unwrap();
                    (monitor, ctx.alias_on(monitor, mode))
                })
                .await;
            assert_eq!(texts(&mut probe, 1).await, ["spawned"]);
            let target = node.whereis("target").unwrap();
            let watched = Watched {
                target,
                monitor,
                alias,
            };
            check(&node, &mut probe, &watched, mode, ending).await;
        }
    }
}

async fn demonitor_takes_along_what_it_promises() {
    let node = node();
    let mut probe = probe(&node).await;
    for mode in MODES {
        let watched = watched(&node, &probe, mode).await;
        check(&node, &mut probe, &watched, mode, Ending::Demonitor).await;
        // Taking another monitor back does nothing to it.
        let watched = self::watched(&node, &probe, mode).await;
        let target = watched.target;
        let taken = probe.run(move |ctx| {
            let other = ctx.monitor(target);
            ctx.demonitor(other, true)
        });
        assert!(taken.await);
        assert!(
            is_active(&node, &mut probe, watched.alias).await,
            "{mode:?}"
        );
    }
}

async fn down_takes_along_what_it_promises() {
    let node = node();
    let mut probe = probe(&node).await;
    for mode in MODES {
        for ending in [Ending::Down, Ending::DownHandled] {
            let watched = watched(&node, &probe, mode).await;
            check(&node, &mut probe, &watched, mode, ending).await;
        }
        // Over a connection, and with the connection.
        let (a, b) = two_nodes();
        let mut near = super::probe(&a).await;
        let target = worker(&b).await.pid();
        let (_, alias) = near.run(move |ctx| ctx.monitor_alias(target, mode)).await;
        a.disconnect(&b);
        near.expect_down(target).await;
        let active = is_active(&a, &mut near, alias).await;
        assert_eq!(active, survives(mode, Ending::Down), "{mode:?}");
    }
}

async fn an_urgent_alias_overtakes() {
    let node = node();
    let (target, log) = super::plain(&node).await;
    let alias = within(&target, |ctx| ctx.urgent_alias(AliasMode::Explicit)).await;
    let ordinary = within(&target, |ctx| ctx.alias(AliasMode::Explicit)).await;
    let open = busy(&target);
    eventually!(target.mailbox_len() == 0);
    target.cast(crate::support::Message::Note("one".into()));
    node.send_alias(ordinary, message(1));
    for _ in 0..2 {
        node.send_alias(alias, message(2));
    }
    let waiting = node.mailbox_names(target.pid(), 10).unwrap();
    assert_eq!(waiting.len(), 4);
    open.send(()).unwrap();
    eventually!(log.len() == 4);
    assert_eq!(log.all(), ["message", "message", "one", "message"]);

    // In their own order.
    let mut probe = probe(&node).await;
    let sender = node.clone();
    probe
        .run(move |ctx| {
            let alias = ctx.urgent_alias(AliasMode::Explicit);
            sender.send(ctx.pid(), message(1));
            sender.send(ctx.pid(), message(2));
            for number in 10..15 {
                sender.send_alias(alias, message(number));
            }
        })
        .await;
    let order = texts(&mut probe, 7).await;
    assert_eq!(order, ["10", "11", "12", "13", "14", "1", "2"]);
}

async fn a_monitor_gives_a_reply_address() {
    let (a, b) = two_nodes();
    for server in [&a, &b] {
        let mut client = probe(&a).await;
        let target = worker(server).await;
        let pid = target.pid();
        let mode = AliasMode::ReplyDemonitor;
        let (_, alias) = client.run(move |ctx| ctx.monitor_alias(pid, mode)).await;
        // The other end knows nothing but the address.
        within(&target, move |ctx| {
            assert!(ctx.node().send_alias(alias, message(5)));
            ctx.node().send_alias(alias, message(6));
        })
        .await;
        assert_eq!(client.expect_msg::<u32>().await, 5);
        stop(&target, custom("later"));
        target.wait_for_exit().await;
        super::settled(&a, &b).await;
        client.expect_nothing().await;
    }
}

async fn a_reply_alias_is_good_for_one_message() {
    let node = node();
    let mut probe = probe(&node).await;
    for _ in 0..RUNS {
        let alias = probe.run(|ctx| ctx.alias(AliasMode::Reply)).await;
        let (one, two) = (node.clone(), node.clone());
        let (first, second) = race(
            async move { one.send_alias(alias, message(1)) },
            async move { two.send_alias(alias, message(2)) },
        )
        .await;
        assert!(first ^ second, "one of them, not both");
        let expected = if first { "1" } else { "2" };
        assert_eq!(texts(&mut probe, 1).await, [expected]);
    }
    probe.expect_nothing().await;
}
