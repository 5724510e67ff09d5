//! Timers: never early, readable, cancelled with their process.

use std::time::Duration;

use otp::{ExitReason, Options, eventually};
use tokio::time::{Instant, advance};

use super::{message, plain, probe};
use crate::support::{Message, Plan, Worker, node, within, worker};

crate::cases! {
    a_relative_timer_is_never_early [Paused]: "PROC-097";
    an_absolute_timer_is_honoured [Paused]: "PROC-098";
    a_timer_is_read_and_cancelled [Paused]: "PROC-099";
    a_timer_to_a_pid_or_a_name [Paused]: "PROC-117";
    a_timer_ends_with_its_process [Paused]: "PROC-117";
    a_timer_runs_out_or_is_cancelled: "PROC-117";
}

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// Lets everything run that can, without time passing.
async fn rest() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

async fn a_relative_timer_is_never_early() {
    let node = node();
    let (one, log) = plain(&node).await;
    within(&one, |ctx| {
        ctx.send_after(SECOND, Message::Note("one".into()));
        ctx.send_after(SECOND / 2, Message::Note("half".into()));
        ctx.send_after(Duration::ZERO, Message::Note("none".into()));
    })
    .await;
    eventually!(log.len() > 0);
    assert_eq!(log.all(), ["none"]);
    let (began, early) = (Instant::now(), 10 * MS);
    advance(SECOND / 2 - early).await;
    rest().await;
    assert_eq!(log.all(), ["none"], "never before");
    eventually!(log.all() == ["none", "half"]);
    assert!(began.elapsed() <= SECOND / 2 + early);
    eventually!(log.all() == ["none", "half", "one"]);
    assert!(began.elapsed() >= SECOND - early && began.elapsed() <= SECOND + early);
}

async fn an_absolute_timer_is_honoured() {
    let node = node();
    let (one, log) = plain(&node).await;
    let began = Instant::now();
    advance(SECOND).await;
    within(&one, move |ctx| {
        ctx.send_at(began + 3 * SECOND, Message::Note("three".into()));
        ctx.send_at(began + 2 * SECOND, Message::Note("two".into()));
        ctx.send_at(began, Message::Note("past".into()));
    })
    .await;
    eventually!(log.all() == ["past"]);
    eventually!(log.all() == ["past", "two"]);
    let passed = began.elapsed();
    assert!(
        passed >= 2 * SECOND && passed < 2 * SECOND + 10 * MS,
        "{passed:?}"
    );
    eventually!(log.all() == ["past", "two", "three"]);
    let passed = began.elapsed();
    assert!(
        passed >= 3 * SECOND && passed < 3 * SECOND + 10 * MS,
        "{passed:?}"
    );
}

async fn a_timer_is_read_and_cancelled() {
    let node = node();
    let (one, log) = plain(&node).await;
    let note = |text: &str| Message::Note(text.to_owned());
    let (gone, kept) = (note("gone"), note("kept"));
    let (gone, kept) = within(&one, |ctx| {
        (
            ctx.send_after(SECOND, gone),
            ctx.send_after(2 * SECOND, kept),
        )
    })
    .await;
    advance(SECOND / 4).await;
    within(&one, move |ctx| {
        assert_eq!(ctx.read_timer(gone), Some(SECOND * 3 / 4));
        assert_eq!(ctx.cancel_timer(gone), Some(SECOND * 3 / 4));
        assert_eq!(ctx.cancel_timer(gone), None);
        assert_eq!(ctx.read_timer(gone), None);
    })
    .await;
    eventually!(log.len() > 0);
    assert_eq!(log.all(), ["kept"]);
    within(&one, move |ctx| {
        assert_eq!(ctx.read_timer(kept), None, "it has run out");
        assert_eq!(ctx.cancel_timer(kept), None);
    })
    .await;
    // One that has run out, but whose message waits, can still be cancelled.
    let late = Message::Note("late".into());
    within(&one, |ctx| ctx.send_after(Duration::ZERO, late)).await;
    eventually!(log.len() == 2);
}

async fn a_timer_to_a_pid_or_a_name() {
    let node = node();
    let mut probe = probe(&node).await;
    let began = Instant::now();
    let to_pid = node.send_after(probe.pid(), 2 * SECOND, message(2));
    let to_name = node.send_after("target", SECOND, message(1));
    let absolute = node.send_at(probe.pid(), began + 3 * SECOND, message(3));
    let cancelled = node.send_after(probe.pid(), SECOND, message(9));
    let nobody = node.send_after("nobody", SECOND, message(9));
    assert_eq!(node.timer_count(), 5);
    advance(SECOND / 2).await;
    assert_eq!(to_pid.left(), Some(SECOND * 3 / 2));
    assert_eq!(cancelled.cancel(), Some(SECOND / 2));
    assert_eq!(cancelled.cancel(), None);
    assert_eq!(cancelled.left(), None);
    // The name is looked up when the time has come.
    node.register("target", probe.pid()).unwrap();
    for number in 1..=3 {
        assert_eq!(probe.expect_msg::<u32>().await, number);
        let passed = began.elapsed();
        assert!(passed >= number * SECOND, "{number} came after {passed:?}");
        assert!(
            passed < number * SECOND + 10 * MS,
            "{number} came after {passed:?}"
        );
    }
    for timer in [&to_pid, &to_name, &absolute, &nobody] {
        assert_eq!((timer.left(), timer.cancel()), (None, None));
    }
    eventually!(node.timer_count() == 0);
    probe.expect_nothing().await;
    // One for the past is for now.
    node.send_at(probe.pid(), began, message(4));
    assert_eq!(probe.expect_msg::<u32>().await, 4);
}

async fn a_timer_ends_with_its_process() {
    let node = node();
    let (early, late) = (worker(&node).await, worker(&node).await);
    let timer = node.send_after(early.pid(), 100 * SECOND, message(1));
    let other = node.send_after(late.pid(), 100 * SECOND, message(1));
    rest().await;
    assert_eq!(node.timer_count(), 2);
    node.exit(early.pid(), ExitReason::Kill);
    early.wait_for_exit().await;
    eventually!(node.timer_count() == 1);
    assert_eq!((timer.left(), timer.cancel()), (None, None));
    assert!(other.left() > Some(99 * SECOND));
    // For one that is dead already there is none.
    let dead = node.send_after(early.pid(), SECOND, message(1));
    eventually!(node.timer_count() == 1);
    assert_eq!(dead.cancel(), None);
    // Its own timers end with a process, too: nothing of it is left to be sent to.
    let options = Options::new().name("late");
    let named = otp::start::<Worker>(&node, Plan::default(), options);
    let named = named.await.unwrap();
    let to_name = node.send_after("late", 100 * SECOND, message(1));
    node.exit(named.pid(), ExitReason::Kill);
    named.wait_for_exit().await;
    rest().await;
    assert!(
        to_name.left().is_some(),
        "a name may have another holder by then"
    );
    advance(200 * SECOND).await;
    eventually!(node.timer_count() == 0);
}

async fn a_timer_runs_out_or_is_cancelled() {
    let node = node();
    let mut probe = probe(&node).await;
    for run in 0..super::RUNS {
        let delay = Duration::from_micros(run as u64 % 1_500);
        let timer = node.send_after(probe.pid(), delay, message(1));
        let wait = Duration::from_micros((run as u64 * 7) % 2_500);
        tokio::time::sleep(wait).await;
        let expected = usize::from(timer.cancel().is_none());
        assert_eq!(super::arrived(&mut probe, expected).await.len(), expected);
    }
    probe.expect_nothing().await;
    eventually!(node.timer_count() == 0);
}
