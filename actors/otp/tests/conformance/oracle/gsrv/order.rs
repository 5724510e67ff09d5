//! Twins about continuations and receive timeouts.

use std::time::Duration;

use otp::{Next, ServerRef};

use super::target;
use crate::oracle::actor::{
    self, Actor, Begin, Errand, Message, Plan, ask, busy, next, note, run, sync, within,
};
use crate::oracle::stage::Stage;
use crate::oracle::trace::boom;
use crate::oracle::{Scenario, scenario};

pub(super) fn scenarios() -> Vec<Scenario> {
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
