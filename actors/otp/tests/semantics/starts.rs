//! The start protocol.

use std::time::Duration;

use otp::testing::Probe;
use otp::{ExitReason, Options, Registry, StartError};

use crate::support::{Begin, Log, Message, Plan, Worker, node};

fn plan(begin: Begin) -> Plan {
    Plan {
        begin,
        ..Plan::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_start_leaves_nothing() {
    let node = node();
    let registry = Registry::<u32>::new(&node);
    let mut probe = Probe::start(&node).await.unwrap();
    for (begin, expected) in [
        (Begin::Ignore, StartError::Ignore),
        (
            Begin::Stop(ExitReason::Error("no".into())),
            StartError::Failed(ExitReason::Error("no".into())),
        ),
        (Begin::Hang, StartError::Timeout),
    ] {
        let options = Options::new()
            .name("name")
            .register_in(&registry, 1)
            .start_timeout(Duration::from_millis(20));
        let start = probe
            .run(move |ctx| ctx.start_link::<Worker>(plan(begin), options))
            .await;
        assert_eq!(start.await.unwrap_err(), expected);
        assert_eq!(node.whereis("name"), None);
        assert_eq!(registry.lookup(&1), None);
        assert_eq!(node.process_count(), 1, "only the probe");
        probe.expect_nothing().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_init_is_a_failed_start() {
    let node = node();
    let outcome = otp::start::<Worker>(&node, plan(Begin::Panic), Options::new()).await;
    assert!(
        matches!(
            &outcome,
            Err(StartError::Failed(ExitReason::Panic { message, .. })) if &**message == "init panics"
        ),
        "{outcome:?}"
    );
    assert_eq!(node.process_count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_during_init_is_a_failed_start() {
    let node = node();
    let starting = tokio::spawn({
        let node = node.clone();
        async move {
            let options = Options::new().name("starting");
            otp::start::<Worker>(&node, plan(Begin::Hang), options).await
        }
    });
    otp::eventually!(node.whereis("starting").is_some());
    node.exit(node.whereis("starting").unwrap(), ExitReason::Kill);
    assert_eq!(
        starting.await.unwrap().unwrap_err(),
        StartError::Failed(ExitReason::Killed)
    );
    assert_eq!(node.process_count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_start_leaves_nothing() {
    let node = node();
    let starting = tokio::spawn({
        let node = node.clone();
        async move {
            let options = Options::new().name("starting");
            otp::start::<Worker>(&node, plan(Begin::Hang), options).await
        }
    });
    otp::eventually!(node.whereis("starting").is_some());
    starting.abort();
    otp::eventually!(node.process_count() == 0);
    assert_eq!(node.whereis("starting"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_name_tells_who_has_it() {
    let node = node();
    let registry = Registry::<u32>::new(&node);
    let options = Options::new().name("name").register_in(&registry, 1);
    let first = otp::start::<Worker>(&node, Plan::default(), options)
        .await
        .unwrap();
    for options in [
        Options::new().name("name"),
        Options::new().name("other").register_in(&registry, 1),
    ] {
        let second = otp::start::<Worker>(&node, Plan::default(), options).await;
        assert_eq!(second.unwrap_err(), StartError::AlreadyStarted(first.pid()));
    }
    assert_eq!(node.whereis("other"), None);
    assert_eq!(node.whereis("name"), Some(first.pid()));
    assert_eq!(first.call(Message::Get).await, Ok(7));
}

#[tokio::test(flavor = "multi_thread")]
async fn continue_comes_before_messages_sent_during_init() {
    let node = node();
    let log = Log::default();
    let plan = Plan {
        begin: Begin::Continue,
        log: log.clone(),
        ..Plan::default()
    };
    let server = otp::start::<Worker>(&node, plan, Options::new())
        .await
        .unwrap();
    server.cast(Message::Note("sent".into()));
    otp::eventually!(log.len() == 3);
    assert_eq!(log.all(), ["init", "continued", "sent"]);
}
