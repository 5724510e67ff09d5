//! Twins of `sc_gsrv.erl`: starts, calls and their failures, ends, continue, timeouts.

use std::time::Duration;

use otp::{
    CallError, DEFAULT_CALL_TIMEOUT, ExitReason, From, MonitorRef, Next, Options, ServerRef,
    StartError,
};

use super::actor::{
    self, Actor, Begin, Ending, Errand, Message, Plan, ask, busy, crash_holding, next, note, run,
    sync, within,
};
use super::stage::Stage;
use super::trace::{How, boom, custom, reasons, say, some_reasons};
use super::{Scenario, scenario};

pub(crate) fn scenarios() -> Vec<Scenario> {
    let mut list = starts();
    list.extend(calls());
    for (name, reason) in local_reasons() {
        list.push(scenario(format!("call_server_stops_{name}"), {
            let how = How::Stop(reason.clone());
            move |stage| call_ends(stage, how.clone())
        }));
        if name != "normal" {
            list.push(scenario(
                format!("call_server_exits_by_signal_{name}"),
                move |stage| call_signal(stage, reason.clone()),
            ));
        }
    }
    list.push(scenario("call_server_stops_crash", |stage| {
        call_ends(stage, How::Crash)
    }));
    let mut queued: Vec<(&str, How)> =
        some_reasons(&["normal", "shutdown", "shutdown_with", "custom"])
            .into_iter()
            .map(|(name, reason)| (name, How::Stop(reason)))
            .collect();
    queued.push(("crash", How::Crash));
    queued.push(("signal_kill", How::Signal(ExitReason::Kill)));
    for (name, how) in queued {
        list.push(scenario(
            format!("call_in_queue_of_a_server_that_stops_{name}"),
            move |stage| call_queued(stage, how.clone()),
        ));
    }
    list.extend(ends());
    for (what, reason) in some_reasons(&["normal", "shutdown", "custom"]) {
        for (name, ending) in [
            ("crashes", Ending::Crash),
            ("exits", Ending::Exit(custom("why"))),
        ] {
            let reason = reason.clone();
            list.push(scenario(
                format!("terminate_{name}_after_stop_{what}"),
                move |stage| terminate_fails(stage, ending.clone(), reason.clone()),
            ));
        }
        list.push(scenario(
            format!("stop_request_then_{what}"),
            move |stage| stop_differs(stage, reason.clone()),
        ));
    }
    list.extend(order());
    list.extend(stops());
    list
}

/// A call reports noconnection as the node that is down.
fn local_reasons() -> Vec<(&'static str, ExitReason)> {
    let mut list = reasons();
    list.retain(|(name, _)| *name != "noconnection");
    list
}

async fn target(stage: &Stage, trap: bool) -> (ServerRef<Actor>, MonitorRef) {
    let plan = Plan {
        trap,
        ..stage.plan("target")
    };
    stage.start_watched(plan).await
}

// ---- starts -----------------------------------------------------------------------------------

const STARTS: [&str; 2] = ["start", "start_link"];

fn starts() -> Vec<Scenario> {
    let failures = [
        ("ignore", Begin::Ignore),
        ("stop_normal", Begin::Stop(ExitReason::Normal)),
        ("stop_shutdown", Begin::Stop(ExitReason::Shutdown)),
        ("stop_custom", Begin::Stop(boom())),
        ("stop_error", Begin::Stop(ExitReason::Error("bad".into()))),
        ("crash", Begin::Crash),
        ("exit_custom", Begin::Stop(boom())),
        ("timeout", Begin::Hang),
    ];
    let mut list = Vec::new();
    for how in STARTS {
        for named in [false, true] {
            let kind = if named { "named" } else { "unnamed" };
            for (name, begin) in failures.clone() {
                list.push(scenario(
                    format!("start_fails_{name}_{how}_{kind}"),
                    move |stage| start_fails(stage, begin.clone(), how, named),
                ));
            }
            list.push(scenario(
                format!("start_works_{how}_{kind}"),
                move |stage| start_works(stage, how, named),
            ));
        }
        list.push(scenario(
            format!("start_under_a_taken_name_{how}"),
            move |stage| start_taken(stage, how),
        ));
    }
    list
}

async fn start(
    stage: &Stage,
    how: &str,
    plan: Plan,
    options: Options,
) -> Result<ServerRef<Actor>, StartError> {
    match how {
        "start" => otp::start(&stage.node, plan, options).await,
        _ => {
            let start = move |ctx: &mut otp::Context<_>| ctx.start_link::<Actor>(plan, options);
            stage.driver.start_linked(start).await
        }
    }
}

fn options(named: bool) -> Options {
    if named {
        Options::new().name("named")
    } else {
        Options::new()
    }
}

async fn start_fails(mut stage: Stage, begin: Begin, how: &'static str, named: bool) {
    let mut options = options(named);
    if matches!(begin, Begin::Hang) {
        options = options.start_timeout(Duration::from_millis(1));
    }
    let plan = Plan {
        begin,
        ..stage.quiet("target")
    };
    match start(&stage, how, plan, options).await {
        Err(StartError::Ignore) => say!(stage.trace, "start", "ignore"),
        Err(StartError::Timeout) => say!(stage.trace, "start", "timeout"),
        Err(StartError::Failed(reason)) => say!(stage.trace, "start", "failed", &reason),
        other => say!(stage.trace, format!("{other:?}")),
    }
    stage.whereis("named");
    stage.nothing().await;
}

async fn start_works(mut stage: Stage, how: &'static str, named: bool) {
    let plan = stage.plan("target");
    let target = start(&stage, how, plan, options(named)).await.unwrap();
    say!(stage.trace, "start", "ok", target.pid());
    stage.whereis("named");
    let monitor = stage.driver.watch(target.pid()).await;
    actor::stop(&target, boom());
    if how == "start_link" {
        stage.driver.exit_of(target.pid()).await;
    }
    stage.driver.down(monitor).await;
    stage.whereis("named");
    stage.nothing().await;
}

async fn start_taken(mut stage: Stage, how: &'static str) {
    let first = stage.start_named(stage.plan("first")).await.unwrap();
    let plan = stage.plan("second");
    match start(&stage, how, plan, options(true)).await {
        Err(StartError::AlreadyStarted(pid)) => say!(stage.trace, "start", "already_started", pid),
        other => say!(stage.trace, format!("{other:?}")),
    }
    stage.whereis("named");
    stage.nothing().await;
    sync(&first).await;
}

// ---- calls ------------------------------------------------------------------------------------

fn tell(stage: &super::trace::Trace, outcome: Result<String, CallError>) {
    match outcome {
        Ok(answer) => say!(stage, "call", "answer", answer),
        Err(error) => say!(stage, "call", "error", &error),
    }
}

async fn call(
    stage: &Stage,
    server: &ServerRef<Actor>,
    request: impl FnOnce(From<String>) -> Message + Send,
) {
    call_within(stage, server, DEFAULT_CALL_TIMEOUT, request).await;
}

async fn call_within(
    stage: &Stage,
    server: &ServerRef<Actor>,
    limit: Duration,
    request: impl FnOnce(From<String>) -> Message + Send,
) {
    tell(&stage.trace, server.call_timeout(limit, request).await);
}

/// A call from somewhere else; it tells how it went.
fn call_aside(
    stage: &Stage,
    server: &ServerRef<Actor>,
    request: impl FnOnce(From<String>) -> Message + Send + 'static,
) {
    let (trace, server) = (stage.trace.clone(), server.clone());
    tokio::spawn(async move {
        let outcome = server.call(request).await;
        tell(&trace, outcome);
    });
}

/// The answer and the end that follows it have two observers: the answer is told last.
async fn call_then_down(
    mut stage: Stage,
    server: ServerRef<Actor>,
    monitor: MonitorRef,
    request: impl FnOnce(From<String>) -> Message + Send,
) {
    let outcome = server.call(request).await;
    stage.driver.down(monitor).await;
    tell(&stage.trace, outcome);
    stage.nothing().await;
}

async fn call_ends(mut stage: Stage, how: How) {
    let (server, monitor) = target(&stage, false).await;
    let request = ask(move |from, _, _| {
        Box::pin(async move {
            match how {
                How::Stop(reason) => Next::Stop(reason),
                _ => crash_holding(from),
            }
        })
    });
    call(&stage, &server, request).await;
    stage.driver.down(monitor).await;
    stage.nothing().await;
}

async fn call_signal(mut stage: Stage, reason: ExitReason) {
    let (server, monitor) = target(&stage, false).await;
    let killer = stage.worker("killer").await;
    let request = ask(move |from, _, ctx| {
        let me = ctx.pid();
        run(&killer, move |_, ctx| {
            ctx.exit(me, reason);
            Box::pin(async { Next::Go })
        });
        Box::pin(async move {
            let _held = from;
            std::future::pending().await
        })
    });
    call(&stage, &server, request).await;
    stage.driver.down(monitor).await;
    stage.nothing().await;
}

async fn call_queued(mut stage: Stage, how: How) {
    let (server, monitor) = target(&stage, false).await;
    let free = busy(&server).await;
    let signal = matches!(how, How::Signal(_));
    if !signal {
        stage.finish(&server, &how).await;
    }
    call_aside(&stage, &server, Message::Get);
    let queued = if signal { 1 } else { 2 };
    stage.queued(server.pid(), queued).await;
    if signal {
        stage.finish(&server, &how).await;
    } else {
        drop(free);
    }
    stage.trace.wait("call", 1).await;
    stage.driver.down(monitor).await;
    stage.nothing().await;
}

fn calls() -> Vec<Scenario> {
    let brief = Duration::from_millis(1);
    vec![
        scenario("call_answers", |stage| async move {
            let (server, _) = target(&stage, false).await;
            call(&stage, &server, Message::Get).await;
        }),
        scenario("call_of_a_dead_process", |mut stage| async move {
            let (server, monitor) = target(&stage, false).await;
            actor::stop(&server, boom());
            stage.driver.down(monitor).await;
            call(&stage, &server, Message::Get).await;
            stage.nothing().await;
        }),
        scenario("call_of_a_free_name", |mut stage| async move {
            match stage.node.whereis_ref::<Actor>("named") {
                Some(server) => call(&stage, &server, Message::Get).await,
                None => tell(&stage.trace, Err(CallError::NoProc)),
            }
            stage.nothing().await;
        }),
        scenario("call_of_a_name", |mut stage| async move {
            let _target = stage.start_named(stage.plan("target")).await.unwrap();
            let server = stage.node.whereis_ref::<Actor>("named").unwrap();
            call(&stage, &server, Message::Get).await;
            stage.nothing().await;
        }),
        scenario("call_itself", |mut stage| async move {
            let (server, monitor) = target(&stage, false).await;
            run(&server, |actor, ctx| {
                Box::pin(async move {
                    let outcome = ctx.self_ref().call(Message::Get).await;
                    tell(&actor.plan.trace, outcome);
                    Next::Go
                })
            });
            stage.trace.wait("call", 1).await;
            stage.alive_or_down(&server, monitor).await;
            stage.nothing().await;
        }),
        scenario("call_takes_too_long", move |mut stage| async move {
            let (server, _) = target(&stage, false).await;
            let free = busy(&server).await;
            call_within(&stage, &server, brief, Message::Get).await;
            drop(free);
            sync(&server).await;
            stage.nothing().await;
        }),
        scenario(
            "call_that_took_too_long_still_runs",
            move |mut stage| async move {
                let (server, _) = target(&stage, false).await;
                let free = busy(&server).await;
                let request = ask(|from, actor, _| {
                    say!(actor.plan.trace, "ran");
                    from.reply("late".into());
                    Box::pin(async { Next::Go })
                });
                call_within(&stage, &server, brief, request).await;
                drop(free);
                stage.trace.wait("ran", 1).await;
                sync(&server).await;
                stage.nothing().await;
            },
        ),
        scenario("call_with_a_limit_of_zero", |mut stage| async move {
            let (server, _) = target(&stage, false).await;
            let free = busy(&server).await;
            call_within(&stage, &server, Duration::ZERO, Message::Get).await;
            drop(free);
            sync(&server).await;
            stage.nothing().await;
        }),
        scenario("call_answered_by_another_process", |mut stage| async move {
            let (server, _) = target(&stage, false).await;
            let other = stage.worker("other").await;
            let request = ask(move |from, _, _| {
                run(&other, move |_, _| {
                    from.reply("other".into());
                    Box::pin(async { Next::Go })
                });
                Box::pin(async { Next::Go })
            });
            call(&stage, &server, request).await;
            stage.nothing().await;
        }),
        scenario("call_answered_later_by_a_cast", |stage| async move {
            let (server, _) = target(&stage, false).await;
            call_aside(&stage, &server, |from| Message::Hold("held", from));
            stage.trace.wait("held", 1).await;
            reply_held(&server, "later");
            stage.trace.wait("call answer", 1).await;
        }),
        scenario("calls_answered_in_reverse", |stage| async move {
            let (server, _) = target(&stage, false).await;
            for name in ["one", "two", "three"] {
                let (trace, server) = (stage.trace.clone(), server.clone());
                tokio::spawn(async move {
                    let answer = server.call(|from| Message::Hold(name, from)).await;
                    say!(trace, "got", name, answer.unwrap());
                });
                stage.trace.wait(name, 1).await;
            }
            for (count, answer) in ["1", "2", "3"].into_iter().enumerate() {
                reply_held(&server, answer);
                stage.trace.wait("got", count + 1).await;
            }
        }),
        scenario("call_answered_then_stop", |stage| async move {
            let (server, monitor) = target(&stage, false).await;
            let request = ask(|from, _, _| {
                from.reply("answer".into());
                Box::pin(async { Next::Stop(boom()) })
            });
            call_then_down(stage, server, monitor, request).await;
        }),
        scenario("call_answered_then_crash", |stage| async move {
            let (server, monitor) = target(&stage, false).await;
            let request = ask(|from, _, _| {
                from.reply("answer".into());
                Box::pin(async { crash_holding(()) })
            });
            call_then_down(stage, server, monitor, request).await;
        }),
        scenario("call_of_a_caller_that_is_gone", |mut stage| async move {
            let (server, monitor) = target(&stage, false).await;
            let caller = stage.worker("caller").await;
            let called = server.clone();
            run(&caller, move |actor, _| {
                Box::pin(async move {
                    let outcome = called.call(|from| Message::Hold("held", from)).await;
                    tell(&actor.plan.trace, outcome);
                    Next::Go
                })
            });
            stage.trace.wait("held", 1).await;
            let caller_monitor = stage.driver.watch(caller.pid()).await;
            stage.driver.exit(caller.pid(), ExitReason::Kill).await;
            stage.driver.down(caller_monitor).await;
            reply_held(&server, "later");
            stage.alive_or_down(&server, monitor).await;
            stage.nothing().await;
        }),
        scenario("call_held_when_the_server_stops", |mut stage| async move {
            let (server, monitor) = target(&stage, false).await;
            call_aside(&stage, &server, |from| Message::Hold("held", from));
            stage.trace.wait("held", 1).await;
            actor::stop(&server, boom());
            stage.trace.wait("call", 1).await;
            stage.driver.down(monitor).await;
            stage.nothing().await;
        }),
        scenario(
            "two_calls_held_when_the_server_stops",
            |mut stage| async move {
                let (server, monitor) = target(&stage, false).await;
                for name in ["one", "two"] {
                    call_aside(&stage, &server, move |from| Message::Hold(name, from));
                    stage.trace.wait(name, 1).await;
                }
                actor::stop(&server, boom());
                stage.trace.wait("call", 2).await;
                stage.driver.down(monitor).await;
                stage.nothing().await;
            },
        ),
        scenario("calls_and_casts_keep_their_order", |stage| async move {
            let (server, _) = target(&stage, false).await;
            note(&server, "m1");
            call(&stage, &server, Message::Get).await;
            note(&server, "m2");
            call(&stage, &server, Message::Get).await;
        }),
        scenario(
            "cast_to_a_dead_process_is_nothing",
            |mut stage| async move {
                let (server, monitor) = target(&stage, false).await;
                actor::stop(&server, ExitReason::Normal);
                stage.driver.down(monitor).await;
                note(&server, "m1");
                stage.nothing().await;
            },
        ),
        scenario("cast_to_a_free_name_is_nothing", |mut stage| async move {
            if let Some(server) = stage.node.whereis_ref::<Actor>("nobody") {
                note(&server, "m1");
            }
            stage.nothing().await;
        }),
        scenario("info_is_a_plain_message", |mut stage| async move {
            let (server, monitor) = target(&stage, false).await;
            stage.node.send(server.pid(), Box::new("hello"));
            stage.alive_or_down(&server, monitor).await;
        }),
    ]
}

/// Answers the youngest of the calls held.
fn reply_held(server: &ServerRef<Actor>, answer: &'static str) {
    run(server, move |actor, _| {
        actor.release().reply(answer.into());
        Box::pin(async { Next::Go })
    });
}

// ---- ends -------------------------------------------------------------------------------------

fn ends() -> Vec<Scenario> {
    let mut list = Vec::new();
    let mut hows: Vec<(&str, How)> = some_reasons(&[
        "normal",
        "shutdown",
        "shutdown_with",
        "kill",
        "custom",
        "error",
    ])
    .into_iter()
    .map(|(name, reason)| (name, How::Stop(reason)))
    .collect();
    hows.push(("crash", How::Crash));
    for way in WAYS {
        for (name, how) in hows.clone() {
            // Nobody sends a crash.
            let sent = matches!(
                way,
                Way::StopRequest | Way::ParentSignals | Way::LinkedSignals | Way::StrangerSignals
            );
            if how == How::Crash && sent {
                continue;
            }
            for trap in [false, true] {
                let (how, kind) = (how.clone(), if trap { "trapping" } else { "plain" });
                list.push(scenario(
                    format!("terminate_{}_{name}_{kind}", way.name()),
                    move |stage| terminate(stage, way, how.clone(), trap),
                ));
            }
        }
    }
    list
}

/// The way to the end of a server.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    StopFromHandler,
    StopFromCall,
    StopFromInfo,
    StopFromContinue,
    StopRequest,
    ParentEnds,
    ParentSignals,
    LinkedEnds,
    LinkedSignals,
    StrangerSignals,
}

const WAYS: [Way; 10] = [
    Way::StopFromHandler,
    Way::StopFromCall,
    Way::StopFromInfo,
    Way::StopFromContinue,
    Way::StopRequest,
    Way::ParentEnds,
    Way::ParentSignals,
    Way::LinkedEnds,
    Way::LinkedSignals,
    Way::StrangerSignals,
];

impl Way {
    fn name(self) -> &'static str {
        match self {
            Way::StopFromHandler => "stop_from_handler",
            Way::StopFromCall => "stop_from_call",
            Way::StopFromInfo => "stop_from_info",
            Way::StopFromContinue => "stop_from_continue",
            Way::StopRequest => "stop_request",
            Way::ParentEnds => "parent_ends",
            Way::ParentSignals => "parent_signals",
            Way::LinkedEnds => "linked_ends",
            Way::LinkedSignals => "linked_signals",
            Way::StrangerSignals => "stranger_signals",
        }
    }
}

async fn terminate(mut stage: Stage, way: Way, how: How, trap: bool) {
    let stops = |how: &How| match how {
        How::Stop(reason) => Some(reason.clone()),
        _ => None,
    };
    if matches!(way, Way::ParentEnds | Way::ParentSignals) {
        return parent(stage, way, how, trap).await;
    }
    let (server, monitor) = target(&stage, trap).await;
    match way {
        Way::StopFromHandler => actor::finish(&server, &how),
        Way::StopFromCall => {
            let request = ask(move |from, _, _| {
                Box::pin(async move {
                    match how {
                        How::Stop(reason) => {
                            from.reply("answered".into());
                            Next::Stop(reason)
                        }
                        _ => crash_holding(from),
                    }
                })
            });
            return call_then_down(stage, server, monitor, request).await;
        }
        Way::StopFromInfo => {
            let errand: Errand = Box::new(move |_, _| {
                Box::pin(async move {
                    match how {
                        How::Stop(reason) => Next::Stop(reason),
                        _ => crash_holding(()),
                    }
                })
            });
            stage.node.send(server.pid(), Box::new(errand));
        }
        Way::StopFromContinue => {
            let crash = ExitReason::Panic {
                message: "oops".into(),
                location: "".into(),
            };
            let reason = stops(&how).unwrap_or(crash);
            next(
                &server,
                Next::Continue(Message::Continued(vec!["c1"], Some(reason))),
            );
        }
        Way::StopRequest => {
            let reason = stops(&how).unwrap();
            stop_request(&stage, &server, reason, DEFAULT_CALL_TIMEOUT).await;
        }
        Way::StrangerSignals => {
            stage.driver.exit(server.pid(), stops(&how).unwrap()).await;
            stage.alive_or_down(&server, monitor).await;
            return stage.nothing().await;
        }
        Way::LinkedEnds | Way::LinkedSignals => {
            let peer = stage.worker("peer").await;
            let (at_peer, at_server) = (peer.pid(), server.pid());
            within(&server, move |ctx| ctx.link(at_peer)).await;
            if way == Way::LinkedEnds {
                actor::finish(&peer, &how);
                stage.unlinked(at_server, at_peer).await;
            } else {
                let reason = stops(&how).unwrap();
                within(&peer, move |ctx| {
                    ctx.unlink(at_server);
                    ctx.exit(at_server, reason);
                })
                .await;
            }
            stage.alive_or_down(&server, monitor).await;
            return stage.nothing().await;
        }
        Way::ParentEnds | Way::ParentSignals => unreachable!("done above"),
    }
    stage.driver.down(monitor).await;
    stage.nothing().await;
}

/// Starts an actor as the child of another.
async fn child(parent: &ServerRef<Actor>, plan: Plan) -> ServerRef<Actor> {
    let start = within(parent, move |ctx| {
        ctx.start_link::<Actor>(plan, Options::new())
    });
    start.await.await.unwrap()
}

async fn parent(mut stage: Stage, way: Way, how: How, trap: bool) {
    let parent = stage.worker("parent").await;
    let plan = Plan {
        trap,
        ..stage.plan("target")
    };
    let server = child(&parent, plan).await;
    let monitor = stage.driver.watch(server.pid()).await;
    let at_server = server.pid();
    match (way, how) {
        (Way::ParentSignals, How::Stop(reason)) => {
            within(&parent, move |ctx| {
                ctx.unlink(at_server);
                ctx.exit(at_server, reason);
            })
            .await;
        }
        (_, how) => {
            actor::finish(&parent, &how);
            stage.unlinked(at_server, parent.pid()).await;
        }
    }
    stage.alive_or_down(&server, monitor).await;
    stage.nothing().await;
}

async fn terminate_fails(mut stage: Stage, ending: Ending, reason: ExitReason) {
    let plan = Plan {
        ending,
        ..stage.plan("target")
    };
    let (server, monitor) = stage.start_watched(plan).await;
    actor::stop(&server, reason);
    stage.driver.down(monitor).await;
    stage.nothing().await;
}

async fn stop_differs(mut stage: Stage, reason: ExitReason) {
    let plan = Plan {
        ending: Ending::Exit(reason),
        ..stage.plan("target")
    };
    let (server, monitor) = stage.start_watched(plan).await;
    stop_request(&stage, &server, ExitReason::Normal, DEFAULT_CALL_TIMEOUT).await;
    stage.driver.down(monitor).await;
    stage.nothing().await;
}

async fn stop_request(
    stage: &Stage,
    server: &ServerRef<Actor>,
    reason: ExitReason,
    limit: Duration,
) {
    tell_stop(&stage.trace, server.stop(reason, limit).await);
}

fn tell_stop(trace: &super::trace::Trace, outcome: Result<(), CallError>) {
    match outcome {
        Ok(()) => say!(trace, "stop", "ok"),
        Err(error) => say!(trace, "stop", "error", &error),
    }
}

// ---- continue and timeouts --------------------------------------------------------------------

fn order() -> Vec<Scenario> {
    vec![
        scenario(
            "continue_runs_before_the_mailbox_from_init",
            |stage| async move {
                let plan = Plan {
                    begin: Begin::NoteAndContinue("queued", vec!["c1"]),
                    ..stage.plan("target")
                };
                let server = stage.start(plan).await;
                sync(&server).await;
            },
        ),
        scenario(
            "continue_runs_before_the_mailbox_from_cast",
            |stage| async move {
                let (server, _) = target(&stage, false).await;
                let free = busy(&server).await;
                next(
                    &server,
                    Next::Continue(Message::Continued(vec!["c1"], None)),
                );
                note(&server, "queued");
                drop(free);
                sync(&server).await;
            },
        ),
        scenario(
            "continue_runs_before_the_mailbox_from_call",
            |stage| async move {
                let (server, _) = target(&stage, false).await;
                let request = ask(|from, _, ctx| {
                    ctx.self_ref().cast(Message::Note("queued"));
                    from.reply("answer".into());
                    Box::pin(async { Next::Continue(Message::Continued(vec!["c1"], None)) })
                });
                server.call(request).await.unwrap();
                sync(&server).await;
            },
        ),
        scenario(
            "continue_runs_before_the_mailbox_from_info",
            |stage| async move {
                let (server, _) = target(&stage, false).await;
                let errand: Errand = Box::new(|_, ctx| {
                    ctx.self_ref().cast(Message::Note("queued"));
                    Box::pin(async { Next::Continue(Message::Continued(vec!["c1"], None)) })
                });
                stage.node.send(server.pid(), Box::new(errand));
                stage.trace.wait("handle", 1).await;
                sync(&server).await;
            },
        ),
        scenario("continue_may_follow_continue", |stage| async move {
            let (server, _) = target(&stage, false).await;
            run(&server, |_, ctx| {
                ctx.self_ref().cast(Message::Note("queued"));
                let notes = vec!["c1", "c2", "c3"];
                Box::pin(async { Next::Continue(Message::Continued(notes, None)) })
            });
            sync(&server).await;
            stage.trace.wait("handle", 1).await;
        }),
        scenario("continue_may_stop_from_init", |mut stage| async move {
            let plan = Plan {
                begin: Begin::Continue(vec!["c1"], Some(boom())),
                ..stage.plan("target")
            };
            let server = stage.start(plan).await;
            server.wait_for_exit().await;
            stage.nothing().await;
        }),
        scenario("timeout_after_silence", |stage| timeout(stage, 1)),
        scenario("timeout_of_zero", |stage| timeout(stage, 0)),
        scenario("timeout_is_cancelled_by_a_message", |stage| async move {
            let (server, _) = target(&stage, false).await;
            let free = busy(&server).await;
            next(&server, Next::Timeout(Duration::from_millis(20)));
            note(&server, "m1");
            drop(free);
            sync(&server).await;
            later(&stage, &server).await;
        }),
        scenario("timeout_is_cancelled_by_a_down", |stage| async move {
            let (server, _) = target(&stage, false).await;
            let other = stage.worker("other").await;
            let pid = other.pid();
            within(&server, move |ctx| ctx.monitor(pid)).await;
            let free = busy(&server).await;
            next(&server, Next::Timeout(Duration::from_millis(20)));
            actor::stop(&other, boom());
            stage.queued(server.pid(), 2).await;
            drop(free);
            stage.trace.wait("info target down", 1).await;
            later(&stage, &server).await;
        }),
    ]
}

async fn timeout(stage: Stage, milliseconds: u64) {
    let (server, _) = target(&stage, false).await;
    next(&server, Next::Timeout(Duration::from_millis(milliseconds)));
    stage.trace.wait("info target timeout", 1).await;
}

/// Long after the timeout would have come.
async fn later(stage: &Stage, server: &ServerRef<Actor>) {
    within(server, |ctx| {
        ctx.send_after(Duration::from_millis(40), actor::info("later"))
    })
    .await;
    stage.trace.wait("info target later", 1).await;
}

// ---- stop requests, parents and children ------------------------------------------------------

fn stops() -> Vec<Scenario> {
    let second = Duration::from_secs(1);
    vec![
        scenario("stop_request_normal", |mut stage| async move {
            let (server, monitor) = target(&stage, false).await;
            stop_request(&stage, &server, ExitReason::Normal, DEFAULT_CALL_TIMEOUT).await;
            stage.driver.down(monitor).await;
            stage.nothing().await;
        }),
        scenario("stop_request_of_a_name", |mut stage| async move {
            let target = stage.start_named(stage.plan("target")).await.unwrap();
            let monitor = stage.driver.watch(target.pid()).await;
            let server = stage.node.whereis_ref::<Actor>("named").unwrap();
            stop_request(&stage, &server, ExitReason::Normal, DEFAULT_CALL_TIMEOUT).await;
            stage.driver.down(monitor).await;
            stage.whereis("named");
            stage.nothing().await;
        }),
        scenario("stop_request_twice", move |mut stage| async move {
            let (server, monitor) = target(&stage, false).await;
            stop_request(&stage, &server, ExitReason::Normal, second).await;
            stage.driver.down(monitor).await;
            stop_request(&stage, &server, ExitReason::Normal, second).await;
        }),
        scenario("stop_request_of_a_free_name", move |stage| async move {
            match stage.node.whereis_ref::<Actor>("named") {
                Some(server) => stop_request(&stage, &server, ExitReason::Normal, second).await,
                None => tell_stop(&stage.trace, Err(CallError::NoProc)),
            }
        }),
        scenario("stop_request_takes_too_long", |mut stage| async move {
            let (server, monitor) = target(&stage, false).await;
            let free = busy(&server).await;
            stop_request(
                &stage,
                &server,
                ExitReason::Normal,
                Duration::from_millis(1),
            )
            .await;
            drop(free);
            stage.driver.down(monitor).await;
            stage.nothing().await;
        }),
        scenario("stop_request_waits_its_turn", |mut stage| async move {
            let (server, monitor) = target(&stage, false).await;
            note(&server, "m1");
            stop_request(&stage, &server, ExitReason::Normal, DEFAULT_CALL_TIMEOUT).await;
            stage.driver.down(monitor).await;
            stage.nothing().await;
        }),
        scenario(
            "stop_request_and_the_queue_behind_it",
            |mut stage| async move {
                let (server, monitor) = target(&stage, false).await;
                let free = busy(&server).await;
                stop_aside(&stage, &server);
                stage.queued(server.pid(), 1).await;
                note(&server, "late");
                drop(free);
                stage.trace.wait("stop", 1).await;
                stage.driver.down(monitor).await;
                stage.nothing().await;
            },
        ),
        scenario(
            "stop_request_to_one_that_is_killed",
            |mut stage| async move {
                let (server, monitor) = target(&stage, false).await;
                let _free = busy(&server).await;
                stop_aside(&stage, &server);
                stage.queued(server.pid(), 1).await;
                stage.driver.exit(server.pid(), ExitReason::Kill).await;
                stage.trace.wait("stop", 1).await;
                stage.driver.down(monitor).await;
                stage.nothing().await;
            },
        ),
        scenario("killed_while_terminate_runs", |stage| {
            while_terminate_runs(stage, ExitReason::Kill)
        }),
        scenario("signal_while_terminate_runs_plain", |stage| {
            while_terminate_runs(stage, custom("other"))
        }),
        scenario("terminate_runs_before_links_fire", |mut stage| async move {
            let (server, monitor) = target(&stage, true).await;
            stage.driver.link(server.pid()).await;
            actor::stop(&server, boom());
            stage.driver.exit_of(server.pid()).await;
            stage.driver.down(monitor).await;
            stage.nothing().await;
        }),
        scenario(
            "children_end_with_a_parent_that_stops",
            |mut stage| async move {
                let parent = stage.worker("parent").await;
                let mut monitors = Vec::new();
                for label in ["a", "b"] {
                    let child = child(&parent, stage.plan(label)).await;
                    monitors.push(stage.driver.watch(child.pid()).await);
                }
                actor::stop(&parent, boom());
                for monitor in monitors {
                    stage.driver.down(monitor).await;
                }
                stage.nothing().await;
            },
        ),
        scenario(
            "children_outlive_a_parent_that_ends_normally_plain",
            |mut stage| async move {
                let parent = stage.worker("parent").await;
                let child = child(&parent, stage.plan("a")).await;
                let monitor = stage.driver.watch(child.pid()).await;
                actor::stop(&parent, ExitReason::Normal);
                stage.unlinked(child.pid(), parent.pid()).await;
                stage.alive_or_down(&child, monitor).await;
                stage.nothing().await;
            },
        ),
        scenario("parent_traps_and_sees_its_child_end", |stage| async move {
            let plan = Plan {
                trap: true,
                ..stage.quiet("parent")
            };
            let parent = stage.start(plan).await;
            let child = child(&parent, stage.plan("a")).await;
            actor::stop(&child, boom());
            stage.trace.wait("info parent exit", 1).await;
        }),
    ]
}

fn stop_aside(stage: &Stage, server: &ServerRef<Actor>) {
    let (trace, server) = (stage.trace.clone(), server.clone());
    tokio::spawn(async move {
        let outcome = server.stop(ExitReason::Normal, DEFAULT_CALL_TIMEOUT).await;
        tell_stop(&trace, outcome);
    });
}

async fn while_terminate_runs(mut stage: Stage, reason: ExitReason) {
    let plan = Plan {
        ending: Ending::Hang,
        ..stage.plan("target")
    };
    let (server, monitor) = stage.start_watched(plan).await;
    actor::stop(&server, boom());
    stage.trace.wait("terminate", 1).await;
    stage.driver.exit(server.pid(), reason).await;
    stage.driver.down(monitor).await;
    stage.nothing().await;
}
