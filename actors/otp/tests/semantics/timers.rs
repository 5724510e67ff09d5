//! Timers, on a paused clock.

use std::time::Duration;

use otp::{Next, eventually};

use crate::support::{Log, Message, Plan, node, planned, within};

fn logging(log: &Log) -> Plan {
    Plan {
        log: log.clone(),
        ..Plan::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_timer_fires_once() {
    let node = node();
    let log = Log::default();
    let server = planned(&node, logging(&log)).await;
    within(&server, |ctx| {
        ctx.send_after(Duration::from_secs(1), Message::Note("ring".into()))
    })
    .await;
    eventually!(log.len() == 2);
    tokio::time::advance(Duration::from_secs(10)).await;
    within(&server, |_| ()).await;
    assert_eq!(log.all(), ["init", "ring"]);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_timer_is_never_handled() {
    let node = node();
    let log = Log::default();
    let server = planned(&node, logging(&log)).await;
    let cancelled = within(&server, |ctx| {
        let timer = ctx.send_after(Duration::from_secs(1), Message::Note("ring".into()));
        (ctx.cancel(timer), ctx.cancel(timer))
    })
    .await;
    assert_eq!(cancelled, (true, false));
    tokio::time::advance(Duration::from_secs(2)).await;
    within(&server, |_| ()).await;
    assert_eq!(log.all(), ["init"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_whose_message_is_queued_can_still_be_cancelled() {
    let node = node();
    let log = Log::default();
    let server = planned(&node, logging(&log)).await;
    let itself = server.clone();
    let cancelled = within(&server, move |ctx| {
        let timer = ctx.send_after(Duration::ZERO, Message::Note("ring".into()));
        // Stay in the handler until the timer's signal waits in the mailbox.
        let deadline = std::time::Instant::now() + otp::testing::TEST_DEADLINE;
        tokio::task::block_in_place(|| {
            while itself.mailbox_len() == 0 && std::time::Instant::now() < deadline {
                std::thread::yield_now();
            }
        });
        assert_eq!(itself.mailbox_len(), 1);
        let cancelled = ctx.cancel(timer);
        // What waits is not taken for the next one's either, though there was none in between.
        ctx.send_after(Duration::from_secs(3_600), Message::Note("later".into()));
        cancelled
    })
    .await;
    assert!(cancelled);
    within(&server, |_| ()).await;
    assert_eq!(log.all(), ["init"]);
}

#[tokio::test(start_paused = true)]
async fn an_interval_ticks_until_cancelled() {
    let node = node();
    let log = Log::default();
    let server = planned(&node, logging(&log)).await;
    let timer = within(&server, |ctx| {
        ctx.send_interval(Duration::from_secs(1), || Message::Note("tick".into()))
    })
    .await;
    eventually!(log.len() == 4);
    assert!(within(&server, move |ctx| ctx.cancel(timer)).await);
    let ticks = log.len();
    tokio::time::advance(Duration::from_secs(5)).await;
    within(&server, |_| ()).await;
    assert_eq!(log.len(), ticks);
}

#[tokio::test(start_paused = true)]
async fn a_receive_timeout_fires_only_in_silence() {
    let node = node();
    let log = Log::default();
    let server = planned(&node, logging(&log)).await;
    let arm = || Message::Run(Box::new(|_| Next::Timeout(Duration::from_secs(1))));
    server.cast(arm());
    server.cast(Message::Note("not silent".into()));
    within(&server, |_| ()).await;
    tokio::time::advance(Duration::from_secs(5)).await;
    within(&server, |_| ()).await;
    assert_eq!(log.all(), ["init", "not silent"]);
    server.cast(arm());
    eventually!(log.len() == 3);
    assert_eq!(log.all(), ["init", "not silent", "timeout"]);
}

#[tokio::test(start_paused = true)]
async fn timers_end_with_their_process() {
    let node = node();
    let log = Log::default();
    let server = planned(&node, logging(&log)).await;
    server.cast(Message::Run(Box::new(|ctx| {
        ctx.send_after(Duration::from_secs(1), Message::Note("ring".into()));
        Next::Stop(otp::ExitReason::Normal)
    })));
    server.wait_for_exit().await;
    tokio::time::advance(Duration::from_secs(2)).await;
    otp::testing::pause().await;
    assert_eq!(log.all(), ["init", "terminate normal"]);
}
