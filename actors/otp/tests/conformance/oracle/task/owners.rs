//! Twins about tasks and whoever they are linked to.

use otp::{ExitReason, Next, Options, Supervisor, Task, eventually, task};
use tokio::sync::oneshot;

use super::{own, waiting_task};
use crate::oracle::actor::{run, within};
use crate::oracle::family::counted;
use crate::oracle::stage::Stage;
use crate::oracle::trace::{How, boom, say};
use crate::oracle::{Scenario, scenario, stories, told};

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut list = told(stories!(Stage:
        linked_failure_ends_an_owner_that_does_not_trap,
        start_is_not_linked,
        start_link_is_linked,
        supervised_it_is_temporary,
    ));
    let ends = [
        ("owner_ends_the_linked_task_too", How::Stop(boom()), true),
        (
            "owner_is_killed_the_linked_task_too",
            How::Signal(ExitReason::Kill),
            true,
        ),
        (
            "owner_ends_normally_the_linked_task_stays",
            How::Stop(ExitReason::Normal),
            false,
        ),
    ];
    for (name, how, ends) in ends {
        list.push(scenario(name, move |stage| {
            owner_ends(stage, how.clone(), ends)
        }));
    }
    list
}

async fn owner_ends(mut stage: Stage, how: How, ends: bool) {
    let owner = stage.worker("owner").await;
    let (task, _go) = within(&owner, |ctx| waiting_task(ctx.node())).await;
    let monitor = stage.driver.watch(task.pid()).await;
    stage.finish(&owner, &how).await;
    if ends {
        stage.driver.down(monitor).await;
    } else {
        stage.gone(owner.pid()).await;
        say!(stage.trace, "alive", stage.node.is_alive(task.pid()));
    }
    stage.nothing().await;
}

async fn linked_failure_ends_an_owner_that_does_not_trap(stage: &mut Stage) {
    let (owner, monitor) = stage.watched("owner", false).await;
    run(&owner, |_, ctx| {
        drop(task::async_(ctx.node(), "task", task::exit::<()>(boom())));
        Box::pin(async { Next::Go })
    });
    stage.driver.down(monitor).await;
    stage.nothing().await;
}

/// Fails when it is told to.
fn failing() -> (
    oneshot::Sender<()>,
    impl Future<Output = ()> + Send + 'static,
) {
    let (go, gate) = oneshot::channel();
    let work = async {
        gate.await.expect("the twin says when");
        task::exit(boom()).await
    };
    (go, work)
}

async fn start_is_not_linked(stage: &mut Stage) {
    let (go, work) = failing();
    let node = stage.node.clone();
    let pid = own(stage, async move { task::start(&node, "task", work) }).await;
    let monitor = stage.driver.watch(pid).await;
    go.send(()).unwrap();
    stage.driver.down(monitor).await;
    stage.nothing().await;
}

async fn start_link_is_linked(stage: &mut Stage) {
    let (go, work) = failing();
    let node = stage.node.clone();
    let pid = own(stage, async move { task::start_link(&node, "task", work) }).await;
    go.send(()).unwrap();
    stage.driver.exit_of(pid).await;
    stage.nothing().await;
}

async fn supervised_it_is_temporary(stage: &mut Stage) {
    let (go, gate) = oneshot::channel::<()>();
    let gate = parking_lot::Mutex::new(Some(gate));
    let spec = Task::child_spec("task", move || {
        // A second start would find nothing to wait for.
        let gate = gate.lock().take();
        async move {
            gate.expect("it starts once")
                .await
                .expect("the twin says when");
            task::exit::<()>(boom()).await;
        }
    });
    let supervisor = Supervisor::one_for_one().child(spec);
    let start = move |ctx: &mut otp::Context<_>| supervisor.start_link(ctx, Options::new());
    let supervisor = stage.driver.start_linked(start).await.unwrap();
    go.send(()).unwrap();
    eventually!(supervisor.which_children().await == Ok(vec![]));
    counted(&stage.trace, supervisor.count_children().await.unwrap());
    stage.nothing().await;
}
