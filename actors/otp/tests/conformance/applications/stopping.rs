//! Stopping applications, alone and with their node.

use std::time::Duration;

use otp::{
    Application, ApplicationError, ChildSpec, Node, Shutdown, StartType, Supervisor, eventually,
};

use super::*;
use crate::support::node;

crate::cases! {
    a_function_runs_before_the_shutdown: "APP-008";
    a_stop_is_limited [Paused]: "APP-009";
    whoever_asks_during_a_stop_does_not_wait_for_ever: "APP-010";
    what_started_first_stops_last: "APP-019";
    the_node_stops_all_within_its_time [Paused]: "APP-020";
}

const TEMPORARY: StartType = StartType::Temporary;

async fn a_function_runs_before_the_shutdown() {
    let (node, log) = (node(), Log::default());
    let apps = applications(&node).await;
    apps.load(application("a", &log)).await.unwrap();
    apps.start("a", TEMPORARY).await.unwrap();
    log.clear();
    let (noted, there) = (log.clone(), node.clone());
    apps.set_shutdown_func(move |reason| async move {
        let runs = there.whereis("a worker").is_some();
        noted.add(format!("function {reason} {runs}"));
    });
    node.stop().await;
    assert_eq!(
        log.all(),
        [
            "function shutdown true",
            "a prep_stop",
            "a terminate shutdown",
            "a stop"
        ]
    );
    assert_eq!(node.process_count(), 0);
    // One that panics stops nothing.
    let node = crate::support::node();
    let apps = applications(&node).await;
    apps.set_shutdown_func(|_| async { panic!("function panics") });
    node.stop().await;
    assert_eq!(node.process_count(), 0);
}

/// An application whose worker never gets out of its `terminate`, with all the time it wants.
fn stuck(name: &'static str, log: &Log) -> Application {
    let log = log.clone();
    Application::new(name, move |_| {
        let log = log.clone();
        let spec = ChildSpec::worker::<Worker>("worker", move || Plan {
            name,
            trap: true,
            hang_in_terminate: true,
            log: log.clone(),
            ..Plan::default()
        });
        let spec = spec.shutdown(Shutdown::Infinity);
        std::future::ready(Ok(Supervisor::one_for_one().child(spec)))
    })
}

async fn a_stop_is_limited() {
    let (node, log) = (node(), Log::default());
    let apps = applications(&node).await;
    apps.load(stuck("a", &log)).await.unwrap();
    apps.start("a", TEMPORARY).await.unwrap();
    let before = tokio::time::Instant::now();
    let outcome = apps.stop_within("a", Duration::from_secs(10)).await;
    assert_eq!(outcome, Err(ApplicationError::Killed("a".into())));
    assert_eq!(before.elapsed().as_secs(), 10);
    assert_eq!(log.all(), ["a init", "a terminate shutdown"]);
    // Nothing is left but the controller, and it can start again.
    eventually!(node.process_count() == 1);
    assert_eq!(running(&apps).await, [""; 0]);
    apps.start("a", TEMPORARY).await.unwrap();
    // One that is fast enough is not killed.
    apps.load(application("b", &log)).await.unwrap();
    apps.start("b", TEMPORARY).await.unwrap();
    apps.stop_within("b", Duration::from_secs(10))
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(running(&apps).await, ["a"]);
}

async fn whoever_asks_during_a_stop_does_not_wait_for_ever() {
    // A stop of itself, from its own hook.
    let (node, log) = (node(), Log::default());
    let apps = applications(&node).await;
    let asking = |log: &Log| {
        let log = log.clone();
        move |context: otp::ApplicationContext| {
            let log = log.clone();
            async move {
                let apps = context.applications().clone();
                let own = apps.stop("a").await;
                log.add(format!("own {}", own.is_err()));
                // Others can be asked for, and are answered one way or the other.
                let other = apps.stop("b").await;
                log.add(format!("other {}", other.is_ok()));
                let known = apps.which().await.is_ok();
                log.add(format!("known {known}"));
                log.add(format!("env {:?}", apps.get_env::<u8>("a", "key")));
            }
        }
    };
    for app in [
        application("b", &Log::default()),
        application("a", &Log::default())
            .env("key", 1_u8)
            .prep_stop(asking(&log)),
    ] {
        apps.load(app).await.unwrap();
    }
    for name in ["a", "b"] {
        apps.start(name, TEMPORARY).await.unwrap();
    }
    apps.stop("a").await.unwrap();
    assert_eq!(
        log.all(),
        ["own true", "other true", "known true", "env Some(1)"]
    );
    assert_eq!(running(&apps).await, [""; 0]);
    // The same while the node stops: nobody answers any more, and nobody waits.
    log.clear();
    for name in ["b", "a"] {
        apps.start(name, TEMPORARY).await.unwrap();
    }
    node.stop().await;
    assert_eq!(
        log.all(),
        ["own true", "other false", "known false", "env Some(1)"]
    );
    assert_eq!(node.process_count(), 0);
    assert_eq!(apps.which().await, Err(ApplicationError::NodeStopping));
    // A process of the application stops it, and is told that it cannot wait.
    let node = Node::new("another");
    let apps = applications(&node).await;
    apps.load(application("a", &log)).await.unwrap();
    apps.start("a", TEMPORARY).await.unwrap();
    let worker = node.whereis_ref::<Worker>("a worker").unwrap();
    let (asked, answer) = tokio::sync::oneshot::channel();
    let asker = apps.clone();
    crate::support::within(&worker, move |ctx| {
        let task = ctx.spawn_link_task(async move {
            let _ = asked.send(asker.stop("a").await);
        });
        drop(task);
    })
    .await;
    let within = Err(ApplicationError::WithinItself("a".into()));
    assert_eq!(answer.await.unwrap(), within);
    eventually!(node.whereis("a worker").is_none());
    eventually!(running(&apps).await.is_empty());
}

async fn what_started_first_stops_last() {
    let (node, log) = (node(), Log::default());
    let apps = applications(&node).await;
    apps.load(application("c", &log).depends_on("b"))
        .await
        .unwrap();
    apps.load(application("b", &log).depends_on("a"))
        .await
        .unwrap();
    apps.load(application("a", &log)).await.unwrap();
    apps.ensure_all_started(&["c"], TEMPORARY).await.unwrap();
    log.clear();
    node.stop().await;
    let expected: Vec<String> = ["c", "b", "a"]
        .iter()
        .flat_map(|name| {
            ["prep_stop", "terminate shutdown", "stop"].map(|what| format!("{name} {what}"))
        })
        .collect();
    assert_eq!(log.all(), expected);
    // Within a tree it is the order of the supervisor.
    let node = crate::support::node();
    let apps = applications(&node).await;
    let noted = log.clone();
    let app = Application::new("a", move |_| {
        let specs = ["one", "two", "three"].map(|id| crate::supervisors::child(id, &noted));
        std::future::ready(Ok(Supervisor::one_for_one().children(specs)))
    });
    apps.load(app).await.unwrap();
    apps.start("a", TEMPORARY).await.unwrap();
    log.clear();
    apps.stop("a").await.unwrap();
    assert_eq!(
        log.all(),
        ["three", "two", "one"].map(|id| format!("{id} terminate shutdown"))
    );
}

async fn the_node_stops_all_within_its_time() {
    let (node, log) = (node(), Log::default());
    let apps = applications(&node).await;
    apps.set_stop_limit(Duration::from_secs(5));
    // The one in the middle does not stop; the last one is not asked any more.
    apps.load(application("a", &log)).await.unwrap();
    apps.load(stuck("b", &log)).await.unwrap();
    apps.load(application("c", &log)).await.unwrap();
    for name in ["a", "b", "c"] {
        apps.start(name, TEMPORARY).await.unwrap();
    }
    log.clear();
    let begun = tokio::time::Instant::now();
    node.stop().await;
    assert_eq!(begun.elapsed().as_secs(), 5);
    assert_eq!(node.process_count(), 0);
    let expected = [
        "c prep_stop",
        "c terminate shutdown",
        "c stop",
        "b terminate shutdown",
    ];
    assert_eq!(log.all()[..4], expected);
    assert!(begun.elapsed() < otp::NODE_STOP_LIMIT);
    assert!(otp::APPLICATION_STOP_LIMIT < otp::NODE_STOP_LIMIT);
}
