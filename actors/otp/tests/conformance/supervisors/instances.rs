//! Many children of a kind (`simple_one_for_one`): a dynamic supervisor, and a function from
//! arguments to a specification as the template.

use otp::{
    ChildInfo, ChildKind, ChildSpec, DynamicSupervisor, ExitReason, Restart, Shutdown, StartError,
    SupervisorError,
};

use super::*;
use crate::support::{Message, node, within};

crate::cases! {
    an_instance_that_ignores_is_not_stored: "SUP-006", "SUP-007";
    an_instance_that_does_not_start_is_not_stored: "SUP-012";
    the_specification_of_an_instance_is_found_by_its_process: "SUP-014";
    instances_are_administrated_by_process: "SUP-024";
    only_the_failed_instance_is_replaced: "SUP-035";
    instances_have_arguments_of_their_own: "SUP-037";
    the_limit_is_over_all_instances: "SUP-038";
    nothing_unexpected_disturbs_the_books: "SUP-039";
    an_instance_that_ignores_its_restart_is_forgotten: "SUP-040";
    instances_are_listed: "SUP-082";
}

fn spec() -> ChildSpec {
    ChildSpec::worker::<Worker>("w", Plan::default)
}

fn scripted_spec(script: &Script) -> ChildSpec {
    let script = script.clone();
    ChildSpec::worker::<Worker>("w", move || Plan {
        begin: script.next(),
        ..Plan::default()
    })
}

async fn an_instance_that_ignores_is_not_stored() {
    let node = node();
    for restart in [Restart::Temporary, Restart::Permanent] {
        let script = Script::default();
        script
            .then(Begin::Ignore)
            .then(Begin::Run)
            .then(Begin::Ignore);
        let supervisor = dynamic(&node, DynamicSupervisor::new()).await;
        let start = || supervisor.start_child(scripted_spec(&script).restart(restart));
        let ignored = Err(SupervisorError::Start(StartError::Ignore));
        assert_eq!(start().await, ignored);
        start().await.unwrap();
        assert_eq!(start().await, ignored);
        assert_eq!(dynamic_counts(&supervisor).await, [1, 1, 0, 1]);
        supervisor.stop(ExitReason::Shutdown, LONG).await.unwrap();
        assert_eq!(node.process_count(), 0);
    }
}

async fn an_instance_that_does_not_start_is_not_stored() {
    let (node, script) = (node(), Script::default());
    let supervisor = dynamic(&node, DynamicSupervisor::new()).await;
    script.fails(1);
    let failed = supervisor.start_child(scripted_spec(&script)).await;
    // The reason as it is, without the child around it.
    let reason = ExitReason::Error("no start".into());
    assert_eq!(
        failed,
        Err(SupervisorError::Start(StartError::Failed(reason)))
    );
    assert_eq!(dynamic_counts(&supervisor).await, [0, 0, 0, 0]);
    assert_eq!(node.process_count(), 1);
}

async fn the_specification_of_an_instance_is_found_by_its_process() {
    let node = node();
    let supervisor = dynamic(&node, DynamicSupervisor::new()).await;
    for restart in [Restart::Permanent, Restart::Transient, Restart::Temporary] {
        let shutdown = Shutdown::Timeout(secs(7));
        let pid = supervisor
            .start_child(spec().restart(restart).shutdown(shutdown))
            .await;
        let found = supervisor.get_childspec(pid.unwrap()).await.unwrap();
        assert_eq!((found.id(), found.kind()), ("w", ChildKind::Worker));
        assert_eq!(found.restart_type(), restart);
        assert_eq!(found.shutdown_type(), shutdown);
        assert!(found.module().contains("Worker"));
        assert_eq!(found.can_start(), restart != Restart::Temporary);
    }
    let unknown = supervisor.get_childspec(supervisor.pid()).await;
    assert_eq!(unknown.unwrap_err(), SupervisorError::NotFound);
}

async fn instances_are_administrated_by_process() {
    let node = node();
    let supervisor = dynamic(&node, DynamicSupervisor::new()).await;
    assert_eq!(supervisor.which_children().await, Ok(vec![]));
    let first = supervisor.start_child(spec()).await.unwrap();
    let second = supervisor.start_child(spec()).await.unwrap();
    assert_eq!(dynamic_counts(&supervisor).await, [2, 2, 0, 2]);
    supervisor.terminate_child(first).await.unwrap();
    assert!(!node.is_alive(first) && node.is_alive(second));
    assert_eq!(dynamic_counts(&supervisor).await, [1, 1, 0, 1]);
    // Nothing is done by id here: there are no requests for it. One that is gone, and one of
    // somebody else, is no child.
    let stranger = crate::support::worker(&node).await;
    for pid in [first, stranger.pid(), supervisor.pid()] {
        let outcome = supervisor.terminate_child(pid).await;
        assert_eq!(outcome, Err(SupervisorError::NotFound));
    }
    assert_eq!(stranger.call(Message::Get).await, Ok(7));
    assert_eq!(dynamic_counts(&supervisor).await, [1, 1, 0, 1]);
}

async fn only_the_failed_instance_is_replaced() {
    let node = node();
    let supervisor = dynamic(&node, DynamicSupervisor::new().intensity(2, HOUR)).await;
    let first = supervisor.start_child(spec()).await.unwrap();
    let second = supervisor.start_child(spec()).await.unwrap();
    end(&node, first, crash()).await;
    assert_eq!(dynamic_counts(&supervisor).await, [2, 2, 0, 2]);
    let children = supervisor.which_children().await.unwrap();
    assert_eq!(children[0].state, ChildState::Running(second));
    let third = children[1].state.pid().unwrap();
    assert!(third != first && node.is_alive(third));
    end(&node, second, crash()).await;
    assert_eq!(dynamic_counts(&supervisor).await, [2, 2, 0, 2]);
    end(&node, third, crash()).await;
    assert_eq!(supervisor.wait_for_exit().await, ExitReason::Shutdown);
    assert_eq!(node.process_count(), 0);
}

async fn instances_have_arguments_of_their_own() {
    let (node, log) = (node(), Log::default());
    // The template has one argument, each instance adds another.
    let template = |log: Log| {
        move |name: &'static str| {
            let log = log.clone();
            ChildSpec::function("w", move |start| {
                let log = log.clone();
                async move {
                    let plan = Plan {
                        name,
                        log,
                        ..Plan::default()
                    };
                    let started = start.server::<Worker>(plan).await?;
                    Ok(started.with_info(name))
                }
            })
        }
    };
    let template = template(log.clone());
    let supervisor = dynamic(&node, DynamicSupervisor::new().intensity(2, HOUR)).await;
    let one = supervisor
        .start_child_with_info(template("one"))
        .await
        .unwrap();
    let two = supervisor
        .start_child_with_info(template("two"))
        .await
        .unwrap();
    assert_eq!(one.info::<&str>().as_deref(), Some(&"one"));
    assert_eq!(two.info::<&str>().as_deref(), Some(&"two"));
    log.clear();
    // They are kept for the restart.
    end(&node, one.pid(), crash()).await;
    assert_eq!(dynamic_counts(&supervisor).await, [2, 2, 0, 2]);
    assert_eq!(log.all(), ["one terminate error: crash", "one init"]);
    assert!(node.is_alive(two.pid()));
    end(&node, two.pid(), crash()).await;
    assert_eq!(dynamic_counts(&supervisor).await, [2, 2, 0, 2]);
    assert_eq!(log.all()[2..], ["two terminate error: crash", "two init"]);
    let any = supervisor.which_children().await.unwrap()[0]
        .state
        .pid()
        .unwrap();
    end(&node, any, crash()).await;
    assert_eq!(supervisor.wait_for_exit().await, ExitReason::Shutdown);
}

async fn the_limit_is_over_all_instances() {
    let (node, script) = (node(), Script::default());
    let supervisor = dynamic(&node, DynamicSupervisor::new().intensity(4, HOUR)).await;
    let faulty = supervisor
        .start_child(scripted_spec(&script))
        .await
        .unwrap();
    let other = supervisor.start_child(spec()).await.unwrap();
    let watched = node.wait_for_exit(other);
    script.fails(100);
    end(&node, faulty, crash()).await;
    assert_eq!(supervisor.wait_for_exit().await, ExitReason::Shutdown);
    assert_eq!(watched.await, ExitReason::Shutdown);
    // One restart of each of five.
    let supervisor = dynamic(&node, DynamicSupervisor::new().intensity(4, HOUR)).await;
    let mut instances = Vec::new();
    for _ in 0..5 {
        instances.push(supervisor.start_child(spec()).await.unwrap());
    }
    for pid in &instances[..4] {
        end(&node, *pid, crash()).await;
        assert_eq!(dynamic_counts(&supervisor).await, [5, 5, 0, 5]);
    }
    end(&node, instances[4], crash()).await;
    assert_eq!(supervisor.wait_for_exit().await, ExitReason::Shutdown);
}

async fn nothing_unexpected_disturbs_the_books() {
    let node = node();
    let supervisor = dynamic(&node, DynamicSupervisor::new()).await;
    let temporary = || spec().restart(Restart::Temporary);
    let first = supervisor.start_child(temporary()).await.unwrap();
    end(&node, first, crash()).await;
    // Messages, exit signals of strangers, and of children that live on.
    let pid = supervisor.pid();
    let second = supervisor.start_child(temporary()).await.unwrap();
    assert!(node.send(pid, Box::new("what is this")));
    node.exit(pid, crash());
    let stranger = crate::support::worker(&node).await;
    within(&stranger, move |ctx| {
        ctx.link(pid);
        ctx.exit(pid, crash());
    })
    .await;
    let worker = node.server_ref::<Worker>(second).unwrap();
    within(&worker, move |ctx| ctx.exit(pid, crash())).await;
    end(&node, stranger.pid(), crash()).await;
    assert_eq!(dynamic_counts(&supervisor).await, [1, 1, 0, 1]);
    let known = supervisor.which_child(second).await.unwrap();
    assert_eq!(known.state, ChildState::Running(second));
    assert!(!supervisor.get_childspec(second).await.unwrap().can_start());
    end(&node, second, crash()).await;
    assert_eq!(dynamic_counts(&supervisor).await, [0, 0, 0, 0]);
    supervisor.stop(ExitReason::Shutdown, LONG).await.unwrap();
}

async fn an_instance_that_ignores_its_restart_is_forgotten() {
    for restart in [Restart::Transient, Restart::Permanent] {
        let (node, script) = (node(), Script::default());
        let supervisor = dynamic(&node, DynamicSupervisor::new().intensity(10, HOUR)).await;
        let first = supervisor
            .start_child(scripted_spec(&script).restart(restart))
            .await;
        end(&node, first.unwrap(), ExitReason::Killed).await;
        let second = supervisor.which_children().await.unwrap()[0]
            .state
            .pid()
            .unwrap();
        script.then(Begin::Ignore);
        end(&node, second, ExitReason::Killed).await;
        assert_eq!(supervisor.which_children().await, Ok(vec![]));
        assert_eq!(dynamic_counts(&supervisor).await, [0, 0, 0, 0]);
        supervisor.stop(ExitReason::Shutdown, LONG).await.unwrap();
    }
}

async fn instances_are_listed() {
    let node = node();
    let supervisor = dynamic(&node, DynamicSupervisor::new()).await;
    assert_eq!(supervisor.which_children().await, Ok(vec![]));
    let nobody = crate::support::worker(&node).await.pid();
    assert_eq!(
        supervisor.which_child(nobody).await,
        Err(SupervisorError::NotFound)
    );
    let start = || supervisor.start_child(spec().restart(Restart::Temporary));
    let (one, two) = (start().await.unwrap(), start().await.unwrap());
    let info = |pid| ChildInfo {
        id: "w".into(),
        state: ChildState::Running(pid),
        kind: ChildKind::Worker,
        module: std::any::type_name::<Worker>(),
    };
    assert_eq!(
        supervisor.which_children().await.unwrap(),
        [info(one), info(two)]
    );
    assert_eq!(supervisor.which_child(one).await, Ok(info(one)));
    assert_eq!(supervisor.which_child(two).await, Ok(info(two)));
    supervisor.terminate_child(one).await.unwrap();
    assert_eq!(supervisor.which_children().await.unwrap(), [info(two)]);
    assert_eq!(
        supervisor.which_child(one).await,
        Err(SupervisorError::NotFound)
    );
    assert_eq!(supervisor.which_child(two).await, Ok(info(two)));
}
