//! Draining a node before it ends.

use std::sync::Arc;
use std::time::Duration;

use otp::{ApplicationError, DrainOutcome, StartType, eventually};
use tokio::sync::Notify;

use super::*;
use crate::support::node;

crate::cases! {
    work_is_finished_before_the_end: "APP-021";
    a_second_call_does_not_wait: "APP-022";
}

const LONG: Duration = Duration::from_secs(60);

/// Two applications, the second on top of the first; `finish` of the second waits for the gate.
async fn two(node: &Node, log: &Log, gate: &Arc<Notify>) -> Applications {
    let apps = applications(node).await;
    let noted = |what: &'static str, name: &'static str| {
        let (log, node) = (log.clone(), node.clone());
        move |_| {
            let found = node.whereis(&format!("{name} worker")).is_some();
            log.add(format!(
                "{name} {what} {}",
                if found { "found" } else { "hidden" }
            ));
            std::future::ready(())
        }
    };
    for name in ["a", "b"] {
        let (finish, gate) = (noted("finishes", name), gate.clone());
        let app = application(name, log)
            .public_name(format!("{name} worker"))
            .stop_accepting(noted("refuses", name))
            .finish(move |context| {
                let gate = gate.clone();
                let noted = finish(context);
                async move {
                    noted.await;
                    if name == "b" {
                        gate.notified().await;
                    }
                }
            });
        apps.load(app).await.unwrap();
        apps.start(name, StartType::Permanent).await.unwrap();
    }
    log.clear();
    apps
}

async fn work_is_finished_before_the_end() {
    let (node, log, gate) = (node(), Log::default(), Arc::new(Notify::new()));
    let apps = two(&node, &log, &gate).await;
    let worker = node.whereis_ref::<Worker>("b worker").unwrap();
    let drain = tokio::spawn({
        let apps = apps.clone();
        async move { apps.drain(LONG).await }
    });
    eventually!(log.len() == 4);
    // No new work, then no names, then the work: the top first. The tree runs meanwhile.
    let all = log.all();
    assert_eq!(all[..2], ["b refuses found", "a refuses found"]);
    assert!(
        all[2..].contains(&"b finishes hidden".to_owned()),
        "{all:?}"
    );
    assert!(
        all[2..].contains(&"a finishes hidden".to_owned()),
        "{all:?}"
    );
    let answer = worker.call(crate::support::Message::Get).await;
    assert_eq!(answer, Ok(7));
    // Nothing can be started any more.
    apps.load(application("c", &log)).await.unwrap();
    let late = apps.start("c", StartType::Temporary).await;
    assert_eq!(late, Err(ApplicationError::NodeStopping));
    gate.notify_one();
    assert_eq!(drain.await.unwrap(), Ok(DrainOutcome::Finished));
    let ends = ["prep_stop", "terminate shutdown", "stop"];
    let expected = ["b", "a"].map(|name| ends.map(|what| format!("{name} {what}")));
    assert_eq!(log.all()[4..], expected.concat());
    // The node itself is still there, and then is not.
    assert_eq!(running(&apps).await, [""; 0]);
    node.stop().await;
    assert_eq!(node.process_count(), 0);
}

async fn a_second_call_does_not_wait() {
    let (node, log, gate) = (node(), Log::default(), Arc::new(Notify::new()));
    let apps = two(&node, &log, &gate).await;
    let drain = tokio::spawn({
        let apps = apps.clone();
        async move { apps.drain(LONG).await }
    });
    // It is in the middle of it, and will not get any further by itself.
    eventually!(log.len() == 4);
    let begun = std::time::Instant::now();
    assert_eq!(apps.drain(LONG).await, Ok(DrainOutcome::Forced));
    assert_eq!(drain.await.unwrap(), Ok(DrainOutcome::Forced));
    assert!(begun.elapsed() < LONG);
    eventually!(running(&apps).await.is_empty());
    assert_eq!(node.whereis("a worker"), None);
    assert!(!log.all().iter().any(|line| line.contains("prep_stop")));
    // A drain that takes too long is forced by itself.
    let (node, log) = (crate::support::node(), Log::default());
    let apps = two(&node, &log, &gate).await;
    let outcome = apps.drain(Duration::from_millis(50)).await;
    assert_eq!(outcome, Ok(DrainOutcome::Forced));
    eventually!(running(&apps).await.is_empty());
}
