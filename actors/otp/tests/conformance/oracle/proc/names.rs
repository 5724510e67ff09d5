//! Twins about names.

use otp::{ExitReason, Pid, StartError};

use crate::oracle::actor::{self, Ending, Plan, sync};
use crate::oracle::stage::Stage;
use crate::oracle::trace::{How, boom, say};
use crate::oracle::{Scenario, scenario};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("name_is_found", |stage| async move {
            let target = stage.start_named(stage.plan("target")).await.unwrap();
            stage.whereis("named");
            sync(&target).await;
        }),
        scenario(
            "name_unknown",
            |stage| async move { stage.whereis("nobody") },
        ),
        scenario("name_is_taken", |stage| async move {
            let _first = stage.start_named(stage.plan("first")).await.unwrap();
            match stage.start_named(stage.plan("second")).await {
                Err(StartError::AlreadyStarted(pid)) => say!(stage.trace, "already_started", pid),
                other => panic!("{other:?}"),
            }
            stage.whereis("named");
        }),
        scenario("name_is_free_before_down", |stage| {
            name_is_free(stage, How::Stop(boom()))
        }),
        scenario("name_is_free_before_down_killed", |stage| {
            name_is_free(stage, How::Signal(ExitReason::Kill))
        }),
        scenario("name_is_free_before_exit", |mut stage| async move {
            let target = stage.start_named(stage.plan("target")).await.unwrap();
            stage.driver.link(target.pid()).await;
            actor::stop(&target, boom());
            stage.driver.exit_of(target.pid()).await;
            stage.whereis("named");
        }),
        scenario(
            "name_can_be_taken_again_after_down",
            |mut stage| async move {
                let first = stage.start_named(stage.plan("first")).await.unwrap();
                let monitor = stage.driver.watch(first.pid()).await;
                actor::stop(&first, boom());
                stage.driver.down(monitor).await;
                let second = stage.start_named(stage.plan("second")).await.unwrap();
                stage.whereis("named");
                sync(&second).await;
            },
        ),
        scenario("name_stays_while_terminate_runs", |mut stage| async move {
            let plan = Plan {
                ending: Ending::Hang,
                ..stage.plan("target")
            };
            let target = stage.start_named(plan).await.unwrap();
            let monitor = stage.driver.watch(target.pid()).await;
            actor::stop(&target, ExitReason::Normal);
            stage.trace.wait("terminate", 1).await;
            stage.whereis("named");
            stage.driver.exit(target.pid(), ExitReason::Kill).await;
            stage.driver.down(monitor).await;
            stage.whereis("named");
        }),
        scenario("register_a_second_process_is_refused", |stage| async move {
            let first = stage.worker("first").await;
            let second = stage.worker("second").await;
            register(&stage, "named", first.pid());
            register(&stage, "named", second.pid());
            stage.whereis("named");
        }),
        scenario("register_a_second_name_is_refused", |stage| async move {
            let first = stage.worker("first").await;
            register(&stage, "named", first.pid());
            register(&stage, "other", first.pid());
            stage.whereis("other");
        }),
        scenario(
            "register_a_dead_process_is_refused",
            |mut stage| async move {
                let (target, monitor) = stage.watched("target", false).await;
                actor::stop(&target, ExitReason::Normal);
                stage.driver.down(monitor).await;
                register(&stage, "named", target.pid());
                stage.whereis("named");
            },
        ),
        scenario("unregister_frees_the_name", |stage| async move {
            let first = stage.worker("first").await;
            stage.node.register("named", first.pid()).unwrap();
            stage.node.unregister("named").unwrap();
            stage.whereis("named");
            let second = stage.worker("second").await;
            register(&stage, "named", second.pid());
            stage.whereis("named");
        }),
    ]
}

fn register(stage: &Stage, name: &'static str, pid: Pid) {
    let word = match stage.node.register(name, pid) {
        Ok(()) => "ok",
        Err(_) => "refused",
    };
    say!(stage.trace, "register", pid, word);
}

async fn name_is_free(mut stage: Stage, how: How) {
    let target = stage.start_named(stage.plan("target")).await.unwrap();
    let monitor = stage.driver.watch(target.pid()).await;
    stage.finish(&target, &how).await;
    stage.driver.down(monitor).await;
    stage.whereis("named");
}
