//! Twins about calls and casts.

use std::time::Duration;

use otp::{CallError, DEFAULT_CALL_TIMEOUT, ExitReason, From, Next, ServerRef};

use super::{call_then_down, target, tell};
use crate::oracle::actor::{self, Actor, Message, ask, busy, crash_holding, note, run, sync};
use crate::oracle::stage::Stage;
use crate::oracle::trace::{boom, say};
use crate::oracle::{Scenario, scenario};

pub(super) fn scenarios() -> Vec<Scenario> {
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

pub(super) async fn call(
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
pub(super) fn call_aside(
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
