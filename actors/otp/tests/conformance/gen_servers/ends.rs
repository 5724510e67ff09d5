//! How servers end: stop, and the rules of `terminate`.

use std::sync::{Arc, Weak};
use std::time::Duration;

use otp::{
    At, CallError, ChildSpec, ExitReason, Init, Next, Node, Options, Registry, ServerRef,
    Supervisor,
};

use crate::gen_servers::server::{Message, Server, Start, asked, busy, start, tell, walk, within};
use crate::support::{Log, node};

crate::cases! {
    stop_returns_after_the_end: "GSRV-004";
    stop_with_a_reason_and_all_the_time: "GSRV-005";
    stop_without_any_time: "GSRV-006";
    stop_by_name: "GSRV-007";
    stop_by_name_and_node: "GSRV-008";
    stop_by_a_name_of_another_node: "GSRV-009";
    stop_by_key: "GSRV-010";
    stop_a_server_of_another_node: "GSRV-011";
    stop_a_name_of_another_node_and_free_it: "GSRV-012";
    a_name_of_another_node_is_gone_after_its_stop: "GSRV-013";
    stop_tells_another_reason [Paused]: "GSRV-076";
    terminate_runs_for_ends_in_good_order: "GSRV-077";
    terminate_runs_for_the_parent_if_exits_are_trapped: "GSRV-077";
    terminate_never_runs_after_a_kill: "GSRV-077";
    the_exit_of_a_parent_and_of_others: "GSRV-078";
}

const LONG: Duration = Duration::from_secs(10);
const TIMES: usize = 1_000;

async fn stop_returns_after_the_end() {
    let node = node();
    for _ in 0..TIMES {
        let log = Log::default();
        let options = Options::new().name("mine");
        let server = otp::start::<Server>(&node, Start::plain(&log), options);
        let server = server.await.unwrap();
        assert_eq!(server.stop(ExitReason::Normal, LONG).await, Ok(()));
        assert!(!server.is_alive() && !node.is_alive(server.pid()));
        assert!(node.process_info(server.pid()).is_none());
        assert_eq!(node.whereis("mine"), None);
        assert_eq!(log.all(), ["init", "terminate normal"]);
        let again = server.stop(ExitReason::Normal, LONG).await;
        assert_eq!(again, Err(CallError::NoProc));
    }
}

async fn stop_with_a_reason_and_all_the_time() {
    let node = node();
    let log = Log::default();
    let server = start(&node, Start::plain(&log)).await;
    let (open, gate) = tokio::sync::oneshot::channel();
    within(&server, |state, _| state.terminate_gate = Some(gate)).await;
    let reason = ExitReason::Custom("other".into());
    let stopping = tokio::spawn({
        let (server, reason) = (server.clone(), reason.clone());
        async move { server.stop(reason, Duration::MAX).await }
    });
    otp::eventually!(log.len() == 2);
    assert!(!stopping.is_finished() && server.is_alive());
    open.send(()).unwrap();
    assert_eq!(stopping.await.unwrap(), Ok(()));
    assert_eq!(server.wait_for_exit().await, reason);
    assert_eq!(log.all(), ["init", "terminate custom: other"]);
}

/// A limit that is no time cannot be written down; the shortest is none at all.
async fn stop_without_any_time() {
    let node = node();
    let log = Log::default();
    let server = start(&node, Start::plain(&log)).await;
    let open = busy(&server);
    let stopped = server.stop(ExitReason::Normal, Duration::ZERO).await;
    assert_eq!(stopped, Err(CallError::Timeout));
    // It lives on for as long as it is busy, and was asked all the same.
    assert!(server.is_alive());
    assert_eq!(log.all(), ["init"]);
    open.send(()).unwrap();
    assert_eq!(server.wait_for_exit().await, ExitReason::Normal);
    assert_eq!(log.all(), ["init", "terminate normal"]);
}

async fn stop_by_name() {
    let node = node();
    let log = Log::default();
    let options = Options::new().name("mine");
    let server = otp::start::<Server>(&node, Start::plain(&log), options);
    let server = server.await.unwrap();
    let stop = || node.stop_server::<Server>("mine", ExitReason::Normal, LONG);
    assert_eq!(stop().await, Ok(()));
    assert!(!server.is_alive());
    assert_eq!(node.whereis("mine"), None);
    assert_eq!(stop().await, Err(CallError::NoProc));
}

async fn stop_by_name_and_node() {
    let node = node();
    let log = Log::default();
    let options = Options::new().name("mine");
    let server = otp::start::<Server>(&node, Start::plain(&log), options);
    let server = server.await.unwrap();
    let here = At {
        name: "mine",
        node: node.name(),
    };
    let stop = || node.stop_server::<Server>(here, ExitReason::Normal, LONG);
    assert_eq!(stop().await, Ok(()));
    assert!(!server.is_alive());
    assert_eq!(stop().await, Err(CallError::NoProc));
}

async fn stop_by_key() {
    let node = node();
    let log = Log::default();
    let registry = Registry::<(u32, u32)>::new(&node);
    let options = Options::new().register_in(&registry, (1, 2));
    let server = otp::start::<Server>(&node, Start::plain(&log), options);
    let server = server.await.unwrap();
    let found = registry.lookup_ref::<Server>(&(1, 2)).unwrap();
    assert_eq!(found.stop(ExitReason::Normal, LONG).await, Ok(()));
    assert!(!server.is_alive());
    assert!(registry.lookup_ref::<Server>(&(1, 2)).is_none());
}

/// Two connected nodes, and a server called `far` on the second.
async fn far(log: &Log) -> (Node, Node, ServerRef<Server>) {
    let (here, there) = (node(), Node::new("there"));
    here.connect(&there);
    let options = Options::new().name("far");
    let server = otp::start::<Server>(&there, Start::plain(log), options).await;
    (here, there, server.unwrap())
}

const FAR: At<'_> = At {
    name: "far",
    node: "there",
};

/// Stands for a global name, see the header of the module.
async fn stop_by_a_name_of_another_node() {
    let log = Log::default();
    let (here, _there, server) = far(&log).await;
    let stop = || here.stop_server::<Server>(FAR, ExitReason::Normal, LONG);
    assert_eq!(stop().await, Ok(()));
    assert!(!server.is_alive());
    assert_eq!(log.all(), ["init", "terminate normal"]);
    assert_eq!(stop().await, Err(CallError::NoProc));
}

async fn stop_a_server_of_another_node() {
    let log = Log::default();
    let (here, there, server) = far(&log).await;
    let pid = server.pid();
    let stop = || here.stop_server::<Server>(pid, ExitReason::Normal, LONG);
    let held = here.server_ref::<Server>(pid).unwrap();
    assert_eq!(stop().await, Ok(()));
    assert!(!server.is_alive());
    assert_eq!(stop().await, Err(CallError::NoProc));
    let again = held.stop(ExitReason::Normal, LONG).await;
    assert_eq!(again, Err(CallError::NoProc));
    there.stop().await;
    otp::eventually!(here.nodes().is_empty());
    assert_eq!(stop().await, Err(CallError::NodeDown));
    let again = held.stop(ExitReason::Normal, LONG).await;
    assert_eq!(again, Err(CallError::NodeDown));
}

async fn stop_a_name_of_another_node_and_free_it() {
    let log = Log::default();
    let (here, there, server) = far(&log).await;
    let stop = || here.stop_server::<Server>(FAR, ExitReason::Shutdown, LONG);
    assert_eq!(stop().await, Ok(()));
    assert!(!server.is_alive());
    assert_eq!(there.whereis("far"), None);
    assert_eq!(stop().await, Err(CallError::NoProc));
    there.stop().await;
    otp::eventually!(here.nodes().is_empty());
    assert_eq!(stop().await, Err(CallError::NodeDown));
}

/// Stands for a global name that a server of another node has.
async fn a_name_of_another_node_is_gone_after_its_stop() {
    let log = Log::default();
    let (here, there, server) = far(&log).await;
    let third = Node::new("third");
    third.connect(&there);
    let stop = |from: &Node| {
        let from = from.clone();
        async move {
            let stop = from.stop_server::<Server>(FAR, ExitReason::Normal, LONG);
            stop.await
        }
    };
    assert_eq!(stop(&here).await, Ok(()));
    assert!(!server.is_alive());
    assert_eq!(stop(&here).await, Err(CallError::NoProc));
    assert_eq!(stop(&third).await, Err(CallError::NoProc), "for everybody");
}

async fn stop_tells_another_reason() {
    let node = node();
    let log = Log::default();
    let server = start(&node, Start::plain(&log)).await;
    let reason = ExitReason::ShutdownWith("planned".into());
    assert_eq!(server.stop(reason.clone(), LONG).await, Ok(()));
    assert_eq!(server.wait_for_exit().await, reason);
    // It ends for another reason than it was asked to.
    let server = start(&node, Start::plain(&log)).await;
    within(&server, |state, _| state.panic_in_terminate = true).await;
    let stopped = server.stop(ExitReason::Normal, LONG).await;
    assert!(
        matches!(&stopped, Err(CallError::Exit(ExitReason::Panic { message, .. }))
            if &**message == "terminate panics"),
        "{stopped:?}"
    );
    // It does not end in time.
    let server = start(&node, Start::plain(&log)).await;
    let (_open, gate) = tokio::sync::oneshot::channel();
    within(&server, |state, _| state.terminate_gate = Some(gate)).await;
    let begun = tokio::time::Instant::now();
    let stopped = server.stop(ExitReason::Normal, LONG).await;
    assert_eq!(stopped, Err(CallError::Timeout));
    assert_eq!(begun.elapsed(), LONG);
    assert!(server.is_alive());
    // It is not there.
    let missing = node.stop_server::<Server>("nobody", ExitReason::Normal, LONG);
    assert_eq!(missing.await, Err(CallError::NoProc));
    // It cannot ask itself.
    let server = start(&node, Start::plain(&log)).await;
    let own = server.clone();
    let itself = walk(&server, move |_| {
        Box::pin(async move { own.stop(ExitReason::Normal, LONG).await })
    });
    assert_eq!(itself.await, Err(CallError::CallingSelf));
    assert_eq!(server.call(Message::Get).await, Ok(7));
}

async fn terminate_runs_for_ends_in_good_order() {
    let node = node();
    let why = || ExitReason::Custom("why".into());
    let stop = || Next::Stop(ExitReason::Custom("why".into()));
    for callback in [
        "call",
        "cast",
        "info",
        "continue",
        "timeout",
        "first continue",
    ] {
        let log = Log::default();
        let begin = match callback {
            "first continue" => Start::new(&log, move |server, _| {
                Init::Continue(server, Message::Tell(Box::new(move |_, _| stop())))
            }),
            _ => Start::plain(&log),
        };
        let server = start(&node, begin).await;
        match callback {
            "call" => {
                let answer = server.call(asked(move |_from| stop())).await;
                assert_eq!(answer, Err(CallError::Exit(why())));
            }
            "cast" => tell(&server, move |_, _| stop()),
            "continue" => tell(&server, move |_, _| {
                Next::Continue(Message::Tell(Box::new(move |_, _| stop())))
            }),
            "first continue" => {}
            _ => tell(&server, move |state, ctx| {
                state.on_info = Some(Box::new(move |_| stop()));
                if callback == "timeout" {
                    return Next::Timeout(Duration::ZERO);
                }
                ctx.send(ctx.pid(), Box::new("info"));
                Next::Go
            }),
        }
        assert_eq!(server.wait_for_exit().await, why(), "{callback}");
        assert_eq!(log.all().last().unwrap(), "terminate custom: why");
    }
    // An error in a callback.
    let log = Log::default();
    let server = start(&node, Start::plain(&log)).await;
    tell(&server, |_, _| panic!("wrong"));
    let reason = server.wait_for_exit().await;
    assert!(matches!(&reason, ExitReason::Panic { message, .. } if &**message == "wrong"));
    assert_eq!(log.all()[1], format!("terminate {reason}"));
}

async fn terminate_runs_for_the_parent_if_exits_are_trapped() {
    let node = node();
    for reason in [
        ExitReason::Shutdown,
        ExitReason::Custom("gone".into()),
        ExitReason::Normal,
    ] {
        let log = Log::default();
        let parent = start(&node, Start::plain(&Log::default())).await;
        let link = |start| {
            within(&parent, |_, ctx| {
                ctx.start_link::<Server>(start, Options::new())
            })
        };
        let trapping = link(Start::trapping(&log)).await.await.unwrap();
        tell(&parent, {
            let reason = reason.clone();
            move |_, _| Next::Stop(reason)
        });
        assert_eq!(trapping.wait_for_exit().await, reason);
        assert_eq!(log.all()[1..], [format!("terminate {reason}")]);
    }
    // One that does not trap is dropped, or goes on if the reason is normal.
    let log = Log::default();
    let parent = start(&node, Start::plain(&Log::default())).await;
    let plain = within(&parent, {
        let log = log.clone();
        move |_, ctx| ctx.start_link::<Server>(Start::plain(&log), Options::new())
    });
    let plain = plain.await.await.unwrap();
    let state = state_of(&plain).await;
    tell(&parent, |_, _| Next::Stop(ExitReason::Shutdown));
    assert_eq!(plain.wait_for_exit().await, ExitReason::Shutdown);
    otp::eventually!(state.upgrade().is_none());
    assert_eq!(log.all(), ["init"]);
    // The same for children of a supervisor.
    let log = Log::default();
    let (trapping, plain) = (log.clone(), log.clone());
    let supervisor = Supervisor::one_for_one()
        .child(ChildSpec::worker::<Server>("plain", move || {
            Start::plain(&plain)
        }))
        .child(ChildSpec::worker::<Server>("trapping", move || {
            Start::trapping(&trapping)
        }));
    let supervisor = supervisor.start(&node, Options::new()).await.unwrap();
    let pid = supervisor.pid();
    node.exit(pid, ExitReason::Kill);
    otp::eventually!(node.process_count() == 0);
    assert_eq!(log.all(), ["init", "init", "terminate killed"]);
}

/// Gone once the state is dropped, after which nothing of the server runs.
async fn state_of(server: &ServerRef<Server>) -> Weak<()> {
    within(server, |state, _| Arc::downgrade(&state.token)).await
}

async fn terminate_never_runs_after_a_kill() {
    let node = node();
    for round in 0..TIMES {
        let log = Log::default();
        let server = start(&node, Start::trapping(&log)).await;
        let state = state_of(&server).await;
        // Idle, busy, or about to be asked to stop.
        let open = (round % 3 == 1).then(|| busy(&server));
        if round % 2 == 0 {
            node.exit(server.pid(), ExitReason::Kill);
            tell(&server, |_, _| Next::Stop(ExitReason::Normal));
        } else {
            tell(&server, |state, _| {
                state.log.add("handled");
                Next::Go
            });
            node.exit(server.pid(), ExitReason::Kill);
        }
        let stopping = server.stop(ExitReason::Normal, LONG).await;
        assert!(
            matches!(
                stopping,
                Err(CallError::Exit(ExitReason::Killed) | CallError::NoProc)
            ),
            "{stopping:?}"
        );
        drop(open);
        assert_eq!(server.wait_for_exit().await, ExitReason::Killed);
        otp::eventually!(state.upgrade().is_none());
        let log = log.all();
        assert!(
            log.iter().all(|line| line == "init" || line == "handled"),
            "{log:?}"
        );
    }
    // Nor to its end, if it has begun.
    let log = Log::default();
    let server = start(&node, Start::trapping(&log)).await;
    let (_open, gate) = tokio::sync::oneshot::channel();
    within(&server, |state, _| {
        state.terminate_gate = Some(gate);
        state.panic_in_terminate = true;
    })
    .await;
    tell(&server, |_, _| Next::Stop(ExitReason::Normal));
    otp::eventually!(log.len() == 2);
    node.exit(server.pid(), ExitReason::Kill);
    assert_eq!(server.wait_for_exit().await, ExitReason::Killed);
}

async fn the_exit_of_a_parent_and_of_others() {
    let node = node();
    let (log, others) = (Log::default(), Log::default());
    let parent = start(&node, Start::trapping(&others)).await;
    let child = within(&parent, {
        let log = log.clone();
        move |_, ctx| ctx.start_link::<Server>(Start::trapping(&log), Options::new())
    });
    let child = child.await.await.unwrap();
    // A linked process that is not the parent.
    for reason in [
        ExitReason::Normal,
        ExitReason::Shutdown,
        ExitReason::Custom("other".into()),
    ] {
        let peer = start(&node, Start::plain(&others)).await;
        let pid = peer.pid();
        within(&child, move |_, ctx| ctx.link(pid)).await;
        log.clear();
        tell(&peer, {
            let reason = reason.clone();
            move |_, _| Next::Stop(reason)
        });
        otp::eventually!(log.len() == 1);
        assert_eq!(log.all(), [format!("EXIT {reason}")]);
        assert_eq!(child.call(Message::Get).await, Ok(7));
    }
    // A signal of somebody who is neither.
    log.clear();
    node.exit(child.pid(), ExitReason::Shutdown);
    otp::eventually!(log.len() == 1);
    assert_eq!(log.all(), ["EXIT shutdown"]);
    // The parent: also by a signal it merely sends, and never through handle_info.
    log.clear();
    let pid = child.pid();
    let signal = ExitReason::Custom("told".into());
    within(&parent, {
        let signal = signal.clone();
        move |_, ctx| ctx.exit(pid, signal)
    })
    .await;
    assert_eq!(child.wait_for_exit().await, signal);
    assert_eq!(log.all(), ["terminate custom: told"]);
    let child = within(&parent, {
        let log = log.clone();
        move |_, ctx| ctx.start_link::<Server>(Start::trapping(&log), Options::new())
    });
    let child = child.await.await.unwrap();
    log.clear();
    tell(&parent, |_, _| Next::Stop(ExitReason::Normal));
    assert_eq!(child.wait_for_exit().await, ExitReason::Normal);
    assert_eq!(log.all(), ["terminate normal"]);
}
