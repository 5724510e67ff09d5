//! Calls, their failures, and mailbox limits.

use std::time::Duration;

use otp::{CallError, ExitReason, Options, SendError};

use crate::support::{Log, Message, Plan, Worker, busy, node, planned, stop, within, worker};

const SHORT: Duration = Duration::from_millis(20);

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_answered() {
    let node = node();
    assert_eq!(worker(&node).await.call(Message::Get).await, Ok(7));
}

#[tokio::test(flavor = "multi_thread")]
async fn calling_the_dead_is_noproc() {
    let node = node();
    let server = worker(&node).await;
    stop(&server, ExitReason::Normal);
    server.wait_for_exit().await;
    assert_eq!(server.call(Message::Get).await, Err(CallError::NoProc));
    assert!(node.server_ref::<Worker>(server.pid()).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ends_gives_its_reason() {
    let node = node();
    for reason in [ExitReason::Normal, ExitReason::Custom("mine".into())] {
        let server = worker(&node).await;
        let held = server.call(|from| Message::StopHolding(from, reason.clone()));
        assert_eq!(held.await, Err(CallError::Exit(reason.clone())));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_waits_in_a_killed_mailbox_gives_killed() {
    let node = node();
    for _ in 0..50 {
        let server = worker(&node).await;
        let _open = busy(&server);
        let waiting = tokio::spawn({
            let server = server.clone();
            async move { server.call(Message::Get).await }
        });
        otp::eventually!(server.mailbox_len() >= 1);
        node.exit(server.pid(), ExitReason::Kill);
        let outcome = waiting.await.unwrap();
        assert!(
            // The call may also have been made only after the kill.
            matches!(
                outcome,
                Err(CallError::Exit(ExitReason::Killed) | CallError::NoProc)
            ),
            "{outcome:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panicking_server_gives_the_panic_not_noreply() {
    let node = node();
    for _ in 0..50 {
        let server = worker(&node).await;
        let outcome = server.call(Message::PanicHolding).await;
        assert!(
            matches!(&outcome, Err(CallError::Exit(ExitReason::Panic { .. }))),
            "{outcome:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_server_is_a_timeout_and_lives_on() {
    let node = node();
    let server = worker(&node).await;
    let outcome = server.call_timeout(SHORT, Message::Hold).await;
    assert_eq!(outcome, Err(CallError::Timeout));
    assert_eq!(server.call(Message::Get).await, Ok(7));
}

#[tokio::test(flavor = "multi_thread")]
async fn calling_oneself_fails_at_once() {
    let node = node();
    let server = worker(&node).await;
    let inner = server.call(Message::CallSelf).await.unwrap();
    assert_eq!(inner, Err(CallError::CallingSelf));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_handle_is_noreply() {
    let node = node();
    let server = worker(&node).await;
    assert_eq!(server.call(Message::Drop).await, Err(CallError::NoReply));
    assert_eq!(server.call(Message::Get).await, Ok(7));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handle_may_be_answered_elsewhere() {
    let node = node();
    let server = worker(&node).await;
    let (out, exported) = tokio::sync::oneshot::channel::<otp::From<u32>>();
    let answering = tokio::spawn(async move { exported.await.unwrap().reply(11) });
    let answer = server.call(|from| Message::Export(from, out)).await;
    assert_eq!(answer, Ok(11));
    answering.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exported_handle_does_not_outlive_the_server() {
    let node = node();
    let server = worker(&node).await;
    let (out, exported) = tokio::sync::oneshot::channel();
    let waiting = tokio::spawn({
        let server = server.clone();
        async move { server.call(|from| Message::Export(from, out)).await }
    });
    let from = exported.await.unwrap();
    stop(&server, ExitReason::Shutdown);
    assert_eq!(
        waiting.await.unwrap(),
        Err(CallError::Exit(ExitReason::Shutdown))
    );
    assert!(from.is_abandoned());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_reply_is_dropped() {
    let node = node();
    let server = worker(&node).await;
    let (out, exported) = tokio::sync::oneshot::channel();
    let outcome = server
        .call_timeout(SHORT, |from| Message::Export(from, out))
        .await;
    assert_eq!(outcome, Err(CallError::Timeout));
    exported.await.unwrap().reply(13);
    // Nothing of it reaches the next call.
    assert_eq!(server.call(Message::Get).await, Ok(7));
}

#[tokio::test(flavor = "multi_thread")]
async fn reply_then_stop_delivers_the_reply() {
    let node = node();
    for _ in 0..200 {
        let server = worker(&node).await;
        let answer = server
            .call(|from| Message::ReplyThenStop(from, ExitReason::Normal))
            .await;
        assert_eq!(answer, Ok(9));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_mailbox_refuses_casts_and_calls_but_not_signals() {
    let node = node();
    let log = Log::default();
    let plan = Plan {
        trap: true,
        log: log.clone(),
        ..Plan::default()
    };
    let server = otp::start::<Worker>(&node, plan, Options::new().mailbox_max(2))
        .await
        .unwrap();
    let open = busy(&server);
    otp::eventually!(server.mailbox_len() == 0);
    server.try_cast(Message::Note("1".into())).ok().unwrap();
    server.try_cast(Message::Note("2".into())).ok().unwrap();
    assert!(matches!(
        server.try_cast(Message::Note("3".into())),
        Err(SendError::Full(Message::Note(note))) if note == "3"
    ));
    assert_eq!(server.call(Message::Get).await, Err(CallError::Overloaded));
    node.exit(server.pid(), ExitReason::Shutdown);
    open.send(()).unwrap();
    otp::eventually!(log.len() == 4);
    assert_eq!(log.all(), ["init", "1", "2", "EXIT shutdown"]);
    assert_eq!(server.call(Message::Get).await, Ok(7));
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_runs_terminate_and_waits() {
    let node = node();
    let log = Log::default();
    let plan = Plan {
        log: log.clone(),
        ..Plan::default()
    };
    let server = planned(&node, plan).await;
    let stopped = server.stop(ExitReason::Shutdown, Duration::from_secs(5));
    assert_eq!(stopped.await, Ok(()));
    assert_eq!(log.all(), ["init", "terminate shutdown"]);
    let again = server.stop(ExitReason::Shutdown, Duration::from_secs(5));
    assert_eq!(again.await, Err(CallError::NoProc));
}

#[tokio::test(flavor = "multi_thread")]
async fn continue_runs_before_what_is_queued() {
    let node = node();
    let log = Log::default();
    let plan = Plan {
        log: log.clone(),
        ..Plan::default()
    };
    let server = planned(&node, plan).await;
    let in_server = server.clone();
    server.cast(Message::Run(Box::new(move |_| {
        in_server.cast(Message::Note("queued".into()));
        otp::Next::Continue(Message::Note("continued".into()))
    })));
    otp::eventually!(log.len() == 3);
    assert_eq!(log.all(), ["init", "continued", "queued"]);
    within(&server, |_| ()).await;
}
