//! Supervisors under names, and children that were started by somebody else.

use otp::{
    ChildSpec, ExitReason, Options, Registry, StartError, Supervisor, SupervisorError,
    SupervisorInit, SupervisorRef,
};

use super::*;
use crate::support::{Message, node, worker};

crate::cases! {
    a_name_that_is_taken_is_an_error_and_its_holder_is_left_alone: "SUP-080";
    a_supervisor_has_a_registry_key: "SUP-086";
    a_supervisor_has_a_name: "SUP-088";
    a_supervisor_is_made_of_children: "SUP-089";
    a_supervisor_is_made_by_a_callback: "SUP-090";
    children_are_described_in_any_way: "SUP-091";
}

async fn a_name_that_is_taken_is_an_error_and_its_holder_is_left_alone() {
    let (node, log) = (node(), Log::default());
    let supervisor = run(&node, Supervisor::one_for_one()).await;
    let holder = worker(&node).await;
    node.register("a", holder.pid()).unwrap();
    let taken = StartError::AlreadyStarted(holder.pid());
    let refused = Err(SupervisorError::Start(taken.clone()));
    assert_eq!(supervisor.start_child(child("a", &log)).await, refused);
    // From a start function just as well.
    let pid = holder.pid();
    let spec = ChildSpec::function(
        "f",
        move |_| async move { Err(StartError::AlreadyStarted(pid)) },
    );
    assert_eq!(supervisor.start_child(spec.clone()).await, refused);
    assert_eq!(counts(&supervisor).await, [0, 0, 0, 0]);
    // And at the start of a supervisor.
    let failed = Supervisor::one_for_one()
        .child(spec)
        .start(&node, Options::new())
        .await;
    assert!(failed.unwrap_err().to_string().contains("already started"));
    supervisor.stop(ExitReason::Shutdown, LONG).await.unwrap();
    assert_eq!(holder.call(Message::Get).await, Ok(7));
    assert!(node.process_info(holder.pid()).unwrap().links.is_empty());
}

async fn a_supervisor_has_a_registry_key() {
    let node = node();
    let registry = Registry::<&str>::new(&node);
    let options = || Options::new().register_in(&registry, "sup");
    let supervisor = Supervisor::one_for_one()
        .start(&node, options())
        .await
        .unwrap();
    let pid = registry.lookup(&"sup").unwrap();
    assert_eq!(pid, supervisor.pid());
    let found = SupervisorRef::from_pid(&node, pid).unwrap();
    assert_eq!(found.which_children().await, Ok(vec![]));
    let second = Supervisor::one_for_one().start(&node, options()).await;
    assert_eq!(second, Err(StartError::AlreadyStarted(pid)));
}

async fn a_supervisor_has_a_name() {
    let node = node();
    let start = || Supervisor::one_for_one().start(&node, Options::new().name("my_sup"));
    let supervisor = start().await.unwrap();
    let found = SupervisorRef::whereis(&node, "my_sup").unwrap();
    assert_eq!(found, supervisor);
    assert_eq!(found.which_children().await, Ok(vec![]));
    assert_eq!(
        start().await,
        Err(StartError::AlreadyStarted(supervisor.pid()))
    );
    supervisor.stop(ExitReason::Normal, LONG).await.unwrap();
    assert_eq!(SupervisorRef::whereis(&node, "my_sup"), None);
}

async fn restarts_under_its_name(node: &Node, supervisor: SupervisorRef) {
    let worker = node.whereis_ref::<Worker>("stack").unwrap();
    assert_eq!(worker.call(Message::Get).await, Ok(7));
    end(node, worker.pid(), ExitReason::Normal).await;
    assert_eq!(counts(&supervisor).await, [1, 1, 0, 1]);
    let successor = node.whereis_ref::<Worker>("stack").unwrap();
    assert_ne!(successor.pid(), worker.pid());
    assert_eq!(successor.call(Message::Get).await, Ok(7));
    supervisor.stop(ExitReason::Normal, LONG).await.unwrap();
    assert_eq!(node.process_count(), 0);
}

async fn a_supervisor_is_made_of_children() {
    let (node, log) = (node(), Log::default());
    let supervisor = Supervisor::one_for_one().child(child("stack", &log));
    let supervisor = run(&node, supervisor).await;
    restarts_under_its_name(&node, supervisor).await;
    // A name nobody can have is refused when it is asked for.
    let holder = worker(&node).await;
    assert!(node.register("undefined", holder.pid()).is_err());
}

async fn a_supervisor_is_made_by_a_callback() {
    let (node, log) = (node(), Log::default());
    let called = log.clone();
    let callback = Supervisor::init(move || {
        let log = called.clone();
        async move {
            tokio::task::yield_now().await;
            SupervisorInit::Ok(Supervisor::one_for_one().child(child("stack", &log)))
        }
    });
    let supervisor = run(&node, callback.clone()).await;
    restarts_under_its_name(&node, supervisor).await;
    // As a child too, where it is called anew at each start. It has no name, which those of a
    // supervisor that is killed keep until they have heard of it.
    log.clear();
    let spec = ChildSpec::supervisor("inner", move || {
        let log = log.clone();
        Supervisor::init(move || {
            let unnamed = child("stack", &log).options(Options::new);
            std::future::ready(SupervisorInit::Ok(Supervisor::one_for_one().child(unnamed)))
        })
    });
    let root = run(&node, Supervisor::one_for_one().child(spec)).await;
    let inner = root.child("inner").await.unwrap();
    kill(&node, inner).await;
    let second = root.child("inner").await.unwrap();
    let second = SupervisorRef::from_pid(&node, second).unwrap();
    assert_eq!(states(&second).await, ["stack runs"]);
}

async fn children_are_described_in_any_way() {
    let (node, log) = (node(), Log::default());
    let function = ChildSpec::function("function", |start| async move {
        start.server::<Worker>(Plan::default()).await
    });
    let supervisor = Supervisor::one_for_one()
        .child(child("worker", &log))
        .child(ChildSpec::once::<Worker>("once", Plan::default()))
        .child(function)
        .child(ChildSpec::supervisor("supervisor", Supervisor::one_for_all))
        .child(ChildSpec::dynamic_supervisor(
            "dynamic",
            DynamicSupervisor::new,
        ));
    let supervisor = run(&node, supervisor).await;
    assert_eq!(counts(&supervisor).await, [5, 5, 2, 3]);
}
