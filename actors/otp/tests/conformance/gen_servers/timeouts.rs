//! Continue, time-outs and hibernation: what a callback may ask for besides waiting.

use std::time::Duration;

use otp::{ExitReason, Init, Next, Node, Options, ProcessStatus, ServerRef, sys};
use tokio::time::{Instant, sleep};

use crate::gen_servers::server::{Message, Server, Start, asked, start, tell, within};
use crate::support::{Log, node};

crate::cases! {
    init_may_ask_for_a_timeout [Paused]: "GSRV-002";
    a_zero_timeout_of_init_comes_first [Paused]: "GSRV-003";
    a_zero_timeout_of_init_comes_first_always: "GSRV-003";
    continue_comes_first [Paused]: "GSRV-025";
    continue_comes_first_always: "GSRV-025";
    a_timeout_of_any_callback [Paused]: "GSRV-026";
    a_zero_timeout_of_any_callback [Paused]: "GSRV-027";
    a_timeout_is_told_once [Paused]: "GSRV-028";
    hibernate_of_any_callback [Paused]: "GSRV-046";
    idle_servers_hibernate [Paused]: "GSRV-047";
}

const SHORT: Duration = Duration::from_millis(100);
const TIMES: usize = 1_000;

/// What a callback asks for.
type Ask = fn() -> Next<Server>;

fn relative() -> Next<Server> {
    Next::Timeout(SHORT)
}

fn absolute() -> Next<Server> {
    Next::TimeoutAt(Instant::now() + SHORT)
}

fn at_once() -> Next<Server> {
    Next::Timeout(Duration::ZERO)
}

fn hibernate() -> Next<Server> {
    Next::Hibernate
}

/// Starts a server whose `init` gives what `ask` asks for, directly.
fn from_init(ask: Ask, log: &Log) -> Start {
    Start::new(log, move |server, _| match ask() {
        Next::Timeout(limit) => Init::Timeout(server, limit),
        Next::TimeoutAt(when) => Init::TimeoutAt(server, when),
        Next::Hibernate => Init::Hibernate(server),
        _ => Init::Ok(server),
    })
}

/// Starts a server whose `init` continues with a message that asks for it.
fn from_first_continue(ask: Ask, log: &Log) -> Start {
    Start::new(log, move |server, _| {
        Init::Continue(server, Message::Tell(Box::new(move |_, _| ask())))
    })
}

/// The callbacks that may ask for something, by name.
const CALLBACKS: [&str; 5] = ["call", "cast", "info", "continue", "timeout"];

/// Has a callback of a running server ask for something, with `queued` in its mailbox behind it.
async fn from_callback(callback: &str, ask: Ask, server: &ServerRef<Server>, queued: bool) {
    let sent = server.clone();
    let behind = move || {
        if queued {
            sent.cast(Message::Note("queued"));
        }
    };
    match callback {
        "call" => {
            let answer = server.call(asked(move |from| {
                behind();
                from.reply(1);
                ask()
            }));
            assert_eq!(answer.await, Ok(1));
        }
        "cast" => tell(server, move |_, _| {
            behind();
            ask()
        }),
        "continue" => tell(server, move |_, _| {
            behind();
            Next::Continue(Message::Tell(Box::new(move |_, _| ask())))
        }),
        "info" | "timeout" => {
            let by_timeout = callback == "timeout";
            tell(server, move |state, ctx| {
                let mut behind = Some(behind);
                let log = state.log.clone();
                state.on_info = Some(Box::new(move |_| match behind.take() {
                    // The one that asks is none of those the case looks for.
                    Some(behind) => {
                        log.clear();
                        behind();
                        ask()
                    }
                    None => Next::Go,
                }));
                if by_timeout {
                    return Next::Timeout(Duration::ZERO);
                }
                ctx.send(ctx.pid(), Box::new("info"));
                Next::Go
            });
        }
        other => panic!("no such callback: {other}"),
    }
    within_quietly(server).await;
}

/// Lets the server get through its mailbox, without a message of it.
async fn within_quietly(server: &ServerRef<Server>) {
    sys::with_state(server, |_| ()).await.unwrap();
    sys::with_state(server, |_| ()).await.unwrap();
}

async fn init_may_ask_for_a_timeout() {
    let node = node();
    for ask in [relative as Ask, absolute] {
        for begin in [from_init, from_first_continue] {
            let log = Log::default();
            let server = start(&node, begin(ask, &log)).await;
            sleep(SHORT - Duration::from_millis(2)).await;
            assert_eq!(log.all(), ["init"]);
            sleep(Duration::from_millis(4)).await;
            assert_eq!(log.all(), ["init", "timeout"]);
            sleep(10 * SHORT).await;
            assert_eq!(log.all(), ["init", "timeout"], "it is told once");
            drop(server);
            // Whatever comes in between cancels it.
            for by_info in [false, true] {
                let log = Log::default();
                let server = start(&node, begin(ask, &log)).await;
                sleep(SHORT / 2).await;
                if by_info {
                    node.send(server.pid(), Box::new("between"));
                } else {
                    server.cast(Message::Note("between"));
                }
                sleep(10 * SHORT).await;
                assert_eq!(log.all(), ["init", "between"]);
            }
        }
    }
    for begin in [from_init, from_first_continue] {
        let log = Log::default();
        let server = start(&node, begin(hibernate, &log)).await;
        within_quietly(&server).await;
        assert_eq!(status(&node, &server), ProcessStatus::Hibernating);
        assert_eq!(log.all(), ["init", "hibernate"]);
        assert_eq!(server.call(Message::Get).await, Ok(7));
        assert_ne!(status(&node, &server), ProcessStatus::Hibernating);
    }
}

/// A server whose `init` puts a message into its own mailbox before it gives what it gives.
fn with_queued(begin: fn(Ask, &Log) -> Start, ask: Ask, log: &Log) -> Start {
    let Start { log, gate, init } = begin(ask, log);
    Start {
        log,
        gate,
        init: Box::new(move |server, ctx| {
            ctx.self_ref().cast(Message::Note("queued"));
            init(server, ctx)
        }),
    }
}

async fn a_zero_timeout_of_init_comes_first() {
    let node = node();
    for begin in [from_init, from_first_continue] {
        let log = Log::default();
        let server = start(&node, with_queued(begin, at_once, &log)).await;
        within_quietly(&server).await;
        assert_eq!(log.all(), ["init", "timeout", "queued"]);
    }
}

async fn a_zero_timeout_of_init_comes_first_always() {
    let node = node();
    for begin in [from_init, from_first_continue] {
        for _ in 0..TIMES {
            let log = Log::default();
            let server = start(&node, with_queued(begin, at_once, &log)).await;
            within_quietly(&server).await;
            assert_eq!(log.all(), ["init", "timeout", "queued"]);
            node.exit(server.pid(), ExitReason::Kill);
        }
    }
}

fn continued() -> Next<Server> {
    Next::Continue(Message::Note("continued"))
}

/// Continues three times.
fn chained() -> Next<Server> {
    fn step(left: u32) -> Next<Server> {
        Next::Continue(Message::Tell(Box::new(move |server, _| {
            server.log.add(format!("step {left}"));
            if left == 0 { Next::Go } else { step(left - 1) }
        })))
    }
    step(2)
}

async fn continue_comes_first() {
    let node = node();
    let continued = continued as Ask;
    for (ask, steps) in [
        (continued, &["continued"][..]),
        (chained, &["step 2", "step 1", "step 0"]),
    ] {
        let expected = [steps, &["queued"]].concat();
        for callback in CALLBACKS {
            let log = Log::default();
            let server = start(&node, Start::plain(&log)).await;
            log.clear();
            from_callback(callback, ask, &server, true).await;
            assert_eq!(log.all(), expected, "{callback}");
        }
        let log = Log::default();
        let first = Start::new(&log, move |server, ctx| {
            ctx.self_ref().cast(Message::Note("queued"));
            match ask() {
                Next::Continue(message) => Init::Continue(server, message),
                _ => Init::Ok(server),
            }
        });
        let server = start(&node, first).await;
        within_quietly(&server).await;
        assert_eq!(log.all()[1..], expected);
    }
    // The starter does not wait for it.
    let log = Log::default();
    let (open, gate) = tokio::sync::oneshot::channel();
    let slow = Start::new(&log, |server, _| {
        Init::Continue(server, Message::Wait(gate))
    });
    let server = start(&node, slow).await;
    let early = server.call_timeout(SHORT, Message::Get).await;
    assert_eq!(early, Err(otp::CallError::Timeout));
    open.send(()).unwrap();
    assert_eq!(server.call(Message::Get).await, Ok(7));
}

/// Others send as soon as the name is there, which is before `init` has ended.
async fn continue_comes_first_always() {
    let node = node();
    for _ in 0..TIMES {
        let log = Log::default();
        let sender = {
            let node = node.clone();
            tokio::spawn(async move {
                loop {
                    if let Some(server) = node.whereis_ref::<Server>("early") {
                        return server.cast(Message::Note("queued"));
                    }
                    tokio::task::yield_now().await;
                }
            })
        };
        let first = Start::new(&log, |server, _| {
            Init::Continue(server, Message::Note("continued"))
        });
        let server = otp::start::<Server>(&node, first, Options::new().name("early"));
        let server = server.await.unwrap();
        sender.await.unwrap();
        within_quietly(&server).await;
        assert_eq!(log.all(), ["init", "continued", "queued"]);
        node.exit(server.pid(), ExitReason::Kill);
        server.wait_for_exit().await;
    }
}

async fn a_timeout_of_any_callback() {
    let node = node();
    for callback in CALLBACKS {
        for ask in [relative as Ask, absolute] {
            let log = Log::default();
            let server = start(&node, Start::plain(&log)).await;
            log.clear();
            from_callback(callback, ask, &server, false).await;
            assert_eq!(log.len(), 0, "{callback}: {:?}", log.all());
            sleep(SHORT - Duration::from_millis(2)).await;
            assert_eq!(log.len(), 0, "{callback}: {:?}", log.all());
            sleep(Duration::from_millis(4)).await;
            assert_eq!(log.all(), ["timeout"], "{callback}");
            // Cancelled by the next message.
            let server = start(&node, Start::plain(&log)).await;
            log.clear();
            from_callback(callback, ask, &server, false).await;
            sleep(SHORT / 2).await;
            assert_eq!(server.call(Message::Get).await, Ok(7));
            sleep(10 * SHORT).await;
            assert_eq!(log.len(), 0, "{callback}: {:?}", log.all());
        }
        let log = Log::default();
        let server = start(&node, Start::plain(&log)).await;
        log.clear();
        from_callback(callback, hibernate, &server, false).await;
        assert_eq!(status(&node, &server), ProcessStatus::Hibernating);
        assert_eq!(server.call(Message::Get).await, Ok(7));
        within_quietly(&server).await;
        assert_eq!(status(&node, &server), ProcessStatus::Waiting);
    }
}

async fn a_zero_timeout_of_any_callback() {
    let node = node();
    for callback in CALLBACKS {
        let log = Log::default();
        let server = start(&node, Start::plain(&log)).await;
        log.clear();
        from_callback(callback, at_once, &server, true).await;
        assert_eq!(log.all(), ["timeout", "queued"], "{callback}");
    }
}

async fn a_timeout_is_told_once() {
    let node = node();
    let log = Log::default();
    let server = start(&node, Start::plain(&log)).await;
    log.clear();
    tell(&server, |_, _| Next::Timeout(SHORT));
    sleep(100 * SHORT).await;
    assert_eq!(log.all(), ["timeout"]);
    // A later one takes the place of the one before.
    tell(&server, |_, _| Next::Timeout(SHORT));
    sleep(SHORT / 2).await;
    tell(&server, |_, _| Next::Timeout(10 * SHORT));
    sleep(9 * SHORT).await;
    assert_eq!(log.all(), ["timeout"]);
    sleep(2 * SHORT).await;
    assert_eq!(log.all(), ["timeout", "timeout"]);
    // A time-out that asks for the next one: a tick.
    log.clear();
    let ticking = within(&server, |state, _| {
        let mut left = 3;
        state.on_info = Some(Box::new(move |_| {
            left -= 1;
            if left > 0 {
                Next::Timeout(SHORT)
            } else {
                Next::Go
            }
        }));
    });
    ticking.await;
    tell(&server, |_, _| Next::Timeout(SHORT));
    sleep(100 * SHORT).await;
    assert_eq!(log.all(), ["timeout"; 3]);
}

fn status(node: &Node, server: &ServerRef<Server>) -> ProcessStatus {
    node.process_info(server.pid()).unwrap().status
}

async fn hibernate_of_any_callback() {
    let node = node();
    for callback in CALLBACKS {
        let log = Log::default();
        let server = start(&node, Start::plain(&log)).await;
        assert_eq!(status(&node, &server), ProcessStatus::Waiting);
        log.clear();
        from_callback(callback, hibernate, &server, false).await;
        assert_eq!(
            status(&node, &server),
            ProcessStatus::Hibernating,
            "{callback}"
        );
        assert_eq!(log.all(), ["hibernate"], "{callback}");
        // System requests are no reason to wake up.
        sys::with_state(&server, |_| ()).await.unwrap();
        sys::suspend(&server).await.unwrap();
        sys::resume(&server).await.unwrap();
        sys::get_status(&server).await.unwrap();
        assert_eq!(
            status(&node, &server),
            ProcessStatus::Hibernating,
            "{callback}"
        );
        // The next message is, of whatever kind, and the state is the same.
        let sends: [fn(&Node, &ServerRef<Server>); 2] = [
            |_, server| server.cast(Message::Note("woken")),
            |node, server| assert!(node.send(server.pid(), Box::new("woken"))),
        ];
        for send in sends {
            log.clear();
            send(&node, &server);
            within_quietly(&server).await;
            assert_eq!(log.all(), ["woken"], "{callback}");
            assert_eq!(status(&node, &server), ProcessStatus::Waiting);
            assert_eq!(server.call(Message::Get).await, Ok(7));
            tell(&server, |_, _| Next::Hibernate);
            within_quietly(&server).await;
            assert_eq!(status(&node, &server), ProcessStatus::Hibernating);
        }
        // What is queued already is handled at once.
        log.clear();
        from_callback("cast", hibernate, &server, true).await;
        assert_eq!(log.all(), ["hibernate", "queued"]);
        assert_eq!(status(&node, &server), ProcessStatus::Waiting);
        // It ends in good order from hibernation as well.
        tell(&server, |_, _| Next::Hibernate);
        log.clear();
        let stopped = server
            .stop(ExitReason::Normal, Duration::from_secs(5))
            .await;
        assert_eq!(stopped, Ok(()));
        assert_eq!(log.all(), ["hibernate", "terminate normal"]);
    }
}

async fn idle_servers_hibernate() {
    let node = node();
    let log = Log::default();
    let options = Options::new().hibernate_after(SHORT);
    let server = otp::start::<Server>(&node, Start::plain(&log), options);
    let server = server.await.unwrap();
    log.clear();
    sleep(SHORT - Duration::from_millis(2)).await;
    assert_eq!(status(&node, &server), ProcessStatus::Waiting);
    sleep(Duration::from_millis(4)).await;
    assert_eq!(status(&node, &server), ProcessStatus::Hibernating);
    assert_eq!(log.all(), ["hibernate"]);
    sleep(10 * SHORT).await;
    assert_eq!(log.all(), ["hibernate"], "once is enough");
    // Traffic keeps it awake.
    for _ in 0..20 {
        assert_eq!(server.call(Message::Get).await, Ok(7));
        sleep(SHORT / 2).await;
        assert_eq!(status(&node, &server), ProcessStatus::Waiting);
    }
    assert_eq!(log.all(), ["hibernate"]);
    sleep(SHORT).await;
    assert_eq!(status(&node, &server), ProcessStatus::Hibernating);
    assert_eq!(log.all(), ["hibernate", "hibernate"]);
    // As does one that is not asked to be idle.
    let awake = start(&node, Start::plain(&log)).await;
    sleep(100 * SHORT).await;
    assert_eq!(status(&node, &awake), ProcessStatus::Waiting);
}
