//! Tasks.

use otp::{ExitReason, task};

use crate::support::{node, within, worker};

#[tokio::test(flavor = "multi_thread")]
async fn a_task_gives_its_value_and_is_gone() {
    let node = node();
    let task = task::spawn(&node, "sum", async { 3 + 4 });
    let pid = task.pid();
    assert_eq!(task.await, Ok(7));
    let ended = node.wait_for_exit(pid).await;
    assert!(matches!(ended, ExitReason::Normal | ExitReason::NoProc));
    otp::eventually!(node.process_count() == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panicking_task_gives_the_panic() {
    let node = node();
    let outcome = task::spawn(&node, "broken", async { panic!("broken task") }).await;
    let outcome: Result<(), ExitReason> = outcome;
    assert!(
        matches!(&outcome, Err(ExitReason::Panic { message, .. }) if &**message == "broken task"),
        "{outcome:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_can_be_shut_down_at_once_after_its_start() {
    let node = node();
    for _ in 0..100 {
        let task = task::spawn(&node, "waits", std::future::pending::<()>());
        assert!(node.is_alive(task.pid()));
        task.shutdown();
        assert_eq!(task.await, Err(ExitReason::Shutdown));
    }
    otp::eventually!(node.process_count() == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_link_of_a_task_fires_even_before_it_begins() {
    let node = node();
    for _ in 0..100 {
        let owner = worker(&node).await;
        let task = within(&owner, |ctx| {
            let task = ctx.spawn_link_task(std::future::pending::<()>());
            task.shutdown();
            task
        })
        .await;
        assert_eq!(task.await, Err(ExitReason::Shutdown));
        assert_eq!(owner.wait_for_exit().await, ExitReason::Shutdown);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_linked_task_ends_with_its_owner_and_the_owner_with_it() {
    let node = node();
    let owner = worker(&node).await;
    let task = within(&owner, |ctx| {
        ctx.spawn_link_task(std::future::pending::<()>())
    })
    .await;
    node.exit(owner.pid(), ExitReason::Kill);
    assert_eq!(task.await, Err(ExitReason::Killed));

    let owner = worker(&node).await;
    let task = within(&owner, |ctx| {
        ctx.spawn_link_task(async { panic!("takes its owner along") })
    })
    .await;
    let outcome: Result<(), ExitReason> = task.await;
    assert_eq!(Err(owner.wait_for_exit().await), outcome);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_linked_task_does_not_hurt_its_owner() {
    let node = node();
    let owner = worker(&node).await;
    let task = within(&owner, |ctx| ctx.spawn_link_task(async { 5 })).await;
    let pid = task.pid();
    assert_eq!(task.await, Ok(5));
    node.wait_for_exit(pid).await;
    assert_eq!(owner.call(crate::support::Message::Get).await, Ok(7));
}
