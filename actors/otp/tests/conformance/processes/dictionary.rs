//! The process dictionary and the label.

use std::sync::Arc;

use otp::report::Report;
use otp::{ExitReason, Options, eventually};
use parking_lot::Mutex;

use crate::support::{Plan, Worker, node, stop, within, worker};

crate::cases! {
    one_key_can_be_read_from_outside: "PROC-027";
    a_label_can_be_read_from_outside: "PROC-028", "PROC-105";
    the_dictionary_is_a_process_own: "PROC-092";
    no_label_unless_one_was_set: "PROC-104";
    a_label_is_in_reports_and_information: "PROC-106";
}

async fn one_key_can_be_read_from_outside() {
    let node = node();
    let one = worker(&node).await;
    let pid = one.pid();
    assert_eq!(node.dictionary::<u32>(pid, "key"), None);
    within(&one, |ctx| ctx.put("key", 5_u32)).await;
    assert_eq!(node.dictionary::<u32>(pid, "key").as_deref(), Some(&5));
    assert_eq!(
        node.dictionary::<String>(pid, "key"),
        None,
        "of another type"
    );
    assert_eq!(node.dictionary::<u32>(pid, "other"), None);
    stop(&one, ExitReason::Normal);
    one.wait_for_exit().await;
    assert_eq!(node.dictionary::<u32>(pid, "key"), None, "gone with it");
}

async fn a_label_can_be_read_from_outside() {
    let node = node();
    let options = Options::new().label("guild 7");
    let one = otp::start::<Worker>(&node, Plan::default(), options);
    let one = one.await.unwrap();
    assert_eq!(node.label(one.pid()).as_deref(), Some("guild 7"));
    within(&one, |ctx| ctx.set_label("guild 8")).await;
    assert_eq!(node.label(one.pid()).as_deref(), Some("guild 8"));
    stop(&one, ExitReason::Normal);
    one.wait_for_exit().await;
    assert_eq!(node.label(one.pid()), None);
}

async fn the_dictionary_is_a_process_own() {
    let node = node();
    let (one, two) = (worker(&node).await, worker(&node).await);
    within(&one, |ctx| {
        assert_eq!(ctx.get::<u32>("key"), None);
        ctx.put("key", 1_u32);
        ctx.put("text", "words".to_owned());
        ctx.put("key", 2_u32);
        assert_eq!(ctx.get::<u32>("key").as_deref(), Some(&2));
        assert_eq!(ctx.keys(), ["key", "text"]);
    })
    .await;
    within(&two, |ctx| {
        assert_eq!(ctx.get::<u32>("key"), None);
        assert_eq!(ctx.keys(), [""; 0]);
        ctx.put("key", 9_u32);
    })
    .await;
    within(&one, |ctx| {
        assert_eq!(ctx.erase::<u32>("key").as_deref(), Some(&2));
        assert_eq!(ctx.erase::<u32>("key"), None);
        assert_eq!(ctx.get::<u32>("key"), None);
        assert_eq!(ctx.keys(), ["text"]);
    })
    .await;
    assert_eq!(
        node.dictionary::<u32>(two.pid(), "key").as_deref(),
        Some(&9)
    );
}

async fn no_label_unless_one_was_set() {
    let node = node();
    let one = worker(&node).await;
    assert_eq!(node.label(one.pid()), None);
    assert_eq!(node.process_info(one.pid()).unwrap().label, None);
}

async fn a_label_is_in_reports_and_information() {
    let node = node();
    let reports: Arc<Mutex<Vec<Report>>> = Arc::default();
    let kept = reports.clone();
    assert!(node.on_report(move |report| kept.lock().push(report.clone())));
    let one = worker(&node).await;
    within(&one, |ctx| ctx.set_label("guild 7")).await;
    let info = node.process_info(one.pid()).unwrap();
    assert_eq!(info.label.as_deref(), Some("guild 7"));
    stop(&one, ExitReason::error("broken"));
    eventually!(!reports.lock().is_empty());
    let reports = reports.lock();
    let [Report::Crash(report)] = &reports[..] else {
        panic!("{reports:?}");
    };
    assert_eq!(report.label.as_deref(), Some("guild 7"));
    assert!(reports[0].to_string().contains("label: guild 7"));
}
