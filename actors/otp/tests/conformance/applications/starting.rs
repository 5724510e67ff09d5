//! Starting applications, one or all.

use std::sync::Arc;
use std::time::Duration;

use otp::{Application, ApplicationError, ApplicationStatus, ExitReason, StartType, eventually};
use tokio::sync::Notify;

use super::*;
use crate::support::node;

crate::cases! {
    ensuring_a_start_twice_starts_once: "APP-001";
    all_that_is_needed_is_started [Paused]: "APP-002";
    phases_run_in_order_when_the_tree_is_up: "APP-003";
    a_start_is_held_until_it_is_permitted: "APP-005";
    what_is_needed_must_run_before: "APP-011";
    concurrent_starts_are_one_start: "APP-014";
    very_many_starts_are_one_start: "APP-017";
    an_application_starts_and_stops_again_and_again: "APP-018";
}

const TEMPORARY: StartType = StartType::Temporary;

async fn ensuring_a_start_twice_starts_once() {
    let (node, log) = (node(), Log::default());
    let apps = applications(&node).await;
    let unknown = ApplicationError::NotLoaded("a".into());
    assert_eq!(apps.ensure_started("a", TEMPORARY).await, Err(unknown));
    apps.load(application("a", &log)).await.unwrap();
    let loaded = apps.load(application("a", &log)).await;
    assert_eq!(loaded, Err(ApplicationError::AlreadyLoaded("a".into())));
    apps.ensure_started("a", TEMPORARY).await.unwrap();
    apps.ensure_started("a", TEMPORARY).await.unwrap();
    let again = apps.start("a", TEMPORARY).await;
    assert_eq!(again, Err(ApplicationError::AlreadyStarted("a".into())));
    assert_eq!(log.all(), ["a start", "a init"]);
    assert_eq!(running(&apps).await, ["a"]);
    // Anybody finds the same applications.
    let same = applications(&node).await;
    assert_eq!(same.pid(), apps.pid());
    assert_eq!(running(&same).await, ["a"]);
    // One that does not start says why, and can be tried again.
    apps.load(failing("f", &log)).await.unwrap();
    let failed = ApplicationError::Failed("f".into(), ExitReason::Error("no start".into()));
    assert_eq!(
        apps.ensure_started("f", TEMPORARY).await,
        Err(failed.clone())
    );
    assert_eq!(apps.ensure_started("f", TEMPORARY).await, Err(failed));
    assert_eq!(running(&apps).await, ["a"]);
}

/// An application that needs so long to start.
fn slow(name: &'static str, log: &Log, takes: u64) -> Application {
    let log = log.clone();
    Application::new(name, move |_| {
        let log = log.clone();
        async move {
            log.add(format!("{name} begins"));
            tokio::time::sleep(Duration::from_secs(takes)).await;
            log.add(format!("{name} is up"));
            Ok(Supervisor::one_for_one())
        }
    })
}

async fn all_that_is_needed_is_started() {
    let (node, log) = (node(), Log::default());
    let apps = applications(&node).await;
    // top needs left and right, which both need base.
    apps.load(slow("base", &log, 1)).await.unwrap();
    apps.load(slow("left", &log, 10).depends_on("base"))
        .await
        .unwrap();
    apps.load(slow("right", &log, 10).depends_on("base"))
        .await
        .unwrap();
    let top = || slow("top", &log, 1).depends_on("left").depends_on("right");
    apps.load(top()).await.unwrap();
    let begun = tokio::time::Instant::now();
    let started = apps.ensure_all_started(&["top"], TEMPORARY).await.unwrap();
    assert_eq!(started.len(), 4);
    assert_eq!((&*started[0], &*started[3]), ("base", "top"));
    // The independent ones at the same time.
    assert_eq!(begun.elapsed().as_secs(), 12);
    let all = log.all();
    assert_eq!(all[..2], ["base begins", "base is up"]);
    assert!(
        all[2].ends_with("begins") && all[3].ends_with("begins"),
        "{all:?}"
    );
    assert_eq!(all[6..], ["top begins", "top is up"]);
    // Nothing is left to do.
    assert_eq!(
        apps.ensure_all_started(&["top", "base"], TEMPORARY).await,
        Ok(vec![])
    );
    // On a failure what was started for it is stopped again, and what ran before goes on.
    for name in ["top", "left", "right"] {
        apps.stop(name).await.unwrap();
    }
    apps.load(failing("bad", &log).depends_on("left"))
        .await
        .unwrap();
    let wanted = slow("wanted", &log, 1)
        .depends_on("right")
        .depends_on("bad");
    apps.load(wanted).await.unwrap();
    let failed = apps.ensure_all_started(&["wanted"], TEMPORARY).await;
    let reason = ExitReason::Error("no start".into());
    assert_eq!(failed, Err(ApplicationError::Failed("bad".into(), reason)));
    assert_eq!(running(&apps).await, ["base"]);
    // What is not there, or goes round in a circle, is named before anything starts.
    apps.load(slow("lost", &log, 1).depends_on("nobody"))
        .await
        .unwrap();
    apps.load(slow("round", &log, 1).depends_on("round"))
        .await
        .unwrap();
    log.clear();
    let unknown = Err(ApplicationError::NotLoaded("nobody".into()));
    assert_eq!(
        apps.ensure_all_started(&["left", "lost"], TEMPORARY).await,
        unknown
    );
    let circle = Err(ApplicationError::Circle("round".into()));
    assert_eq!(
        apps.ensure_all_started(&["left", "round"], TEMPORARY).await,
        circle
    );
    assert!(log.all().is_empty());
    assert_eq!(running(&apps).await, ["base"]);
}

async fn phases_run_in_order_when_the_tree_is_up() {
    let (node, log) = (node(), Log::default());
    let apps = applications(&node).await;
    let phased = |name: &'static str, phases: &'static [&'static str]| {
        let noted = log.clone();
        application(name, &log).start_phases(phases.iter().copied(), move |context, phase| {
            let up = context.node().whereis("main worker").is_some();
            noted.add(format!("{} {phase} {up}", context.name()));
            std::future::ready(Ok(()))
        })
    };
    let main = phased("main", &["init", "takeover", "go"])
        .includes(phased("first", &["go", "init"]))
        .includes(phased("second", &["takeover", "other"]));
    apps.load(main).await.unwrap();
    apps.start("main", TEMPORARY).await.unwrap();
    assert_eq!(
        log.all(),
        [
            "main start",
            "main init",
            "main init true",
            "first init true",
            "main takeover true",
            "second takeover true",
            "main go true",
            "first go true",
        ]
    );
    // A phase that fails, or panics, is a failed start, which leaves nothing.
    let fails = Application::new("fails", |_| async { Ok(tree("fails", &Log::default())) })
        .start_phases(["go"], |_, _| async {
            Err(ExitReason::Error("phase".into()))
        });
    let panics = Application::new("panics", |_| async { Ok(Supervisor::one_for_one()) })
        .start_phases(["go"], |_, _| async { panic!("phase panics") });
    apps.load(fails).await.unwrap();
    apps.load(panics).await.unwrap();
    let failed = apps.start("fails", TEMPORARY).await;
    let reason = ExitReason::Error("phase".into());
    assert_eq!(
        failed,
        Err(ApplicationError::Failed("fails".into(), reason))
    );
    let error = apps.start("panics", TEMPORARY).await.unwrap_err();
    assert!(error.to_string().contains("phase panics"), "{error}");
    assert_eq!(node.whereis("fails worker"), None);
    assert_eq!(running(&apps).await, ["main"]);
}

async fn a_start_is_held_until_it_is_permitted() {
    let (node, log) = (node(), Log::default());
    let apps = applications(&node).await;
    apps.permit("a", false).await.unwrap();
    apps.load(application("a", &log)).await.unwrap();
    apps.load(application("b", &log).depends_on("a"))
        .await
        .unwrap();
    // The start is accepted, and held.
    apps.start("a", TEMPORARY).await.unwrap();
    let status = || async { apps.which().await.unwrap()[0].status };
    assert_eq!(status().await, ApplicationStatus::Held);
    assert!(log.all().is_empty());
    let needed = ApplicationError::NotStarted("a".into());
    assert_eq!(apps.start("b", TEMPORARY).await, Err(needed));
    // With the permission it starts, and whoever gave it knows when it is up.
    apps.permit("a", true).await.unwrap();
    assert_eq!(log.all(), ["a start", "a init"]);
    assert_eq!(running(&apps).await, ["a"]);
    apps.start("b", TEMPORARY).await.unwrap();
    // Taken away while it runs it is stopped, and given back it runs again.
    apps.permit("a", false).await.unwrap();
    assert_eq!(status().await, ApplicationStatus::Held);
    assert_eq!(node.whereis("a worker"), None);
    apps.permit("a", true).await.unwrap();
    assert!(node.whereis("a worker").is_some());
    // A held one can be stopped: then the permission starts nothing.
    apps.permit("a", false).await.unwrap();
    apps.stop("a").await.unwrap();
    apps.permit("a", true).await.unwrap();
    assert_eq!(status().await, ApplicationStatus::Loaded);
}

async fn what_is_needed_must_run_before() {
    let (node, log) = (node(), Log::default());
    let apps = applications(&node).await;
    apps.load(application("c", &log).depends_on("b"))
        .await
        .unwrap();
    apps.load(application("b", &log).depends_on("a"))
        .await
        .unwrap();
    apps.load(application("a", &log)).await.unwrap();
    for (name, needed) in [("c", "b"), ("b", "a")] {
        let error = ApplicationError::NotStarted(needed.into());
        assert_eq!(apps.start(name, TEMPORARY).await, Err(error.clone()));
        assert_eq!(apps.ensure_started(name, TEMPORARY).await, Err(error));
    }
    assert!(log.all().is_empty());
    let started = apps
        .ensure_all_started(&["c", "a"], TEMPORARY)
        .await
        .unwrap();
    let started: Vec<&str> = started.iter().map(|name| &**name).collect();
    assert_eq!(started, ["a", "b", "c"]);
    assert_eq!(
        log.all(),
        [
            "a start", "a init", "b start", "b init", "c start", "c init"
        ]
    );
}

/// Many processes ask for the start of one application, which waits until all have.
async fn started_by(many: usize, fails: bool) -> Vec<Result<(), ApplicationError>> {
    let (node, log) = (node(), Log::default());
    let apps = applications(&node).await;
    let gate = Arc::new(Notify::new());
    let (open, starts) = (gate.clone(), log.clone());
    let app = Application::new("a", move |_| {
        let (gate, log) = (gate.clone(), starts.clone());
        async move {
            log.add("start");
            gate.notified().await;
            if fails {
                return Err(ExitReason::Error("no start".into()));
            }
            Ok(Supervisor::one_for_one())
        }
    });
    apps.load(app).await.unwrap();
    let asking: Vec<_> = (0..many)
        .map(|number| {
            let apps = apps.clone();
            let label = format!("starter {number}");
            otp::task::spawn(
                &node,
                label,
                async move { apps.start("a", TEMPORARY).await },
            )
        })
        .collect();
    // All have asked when the controller has nothing left to do but to answer them.
    eventually!(log.len() == 1);
    eventually!(node.process_info(apps.pid()).unwrap().handled as usize > many);
    open.notify_one();
    let mut outcomes = Vec::new();
    for asked in asking {
        outcomes.push(asked.await.unwrap());
    }
    assert_eq!(log.all(), ["start"]);
    let expected: &[&str] = if fails { &[] } else { &["a"] };
    assert_eq!(running(&apps).await, expected);
    outcomes
}

async fn concurrent_starts_are_one_start() {
    assert_eq!(started_by(2, false).await, vec![Ok(()); 2]);
    let failed = ApplicationError::Failed("a".into(), ExitReason::Error("no start".into()));
    assert_eq!(started_by(2, true).await, vec![Err(failed); 2]);
}

async fn very_many_starts_are_one_start() {
    assert_eq!(started_by(1_000, false).await, vec![Ok(()); 1_000]);
}

async fn an_application_starts_and_stops_again_and_again() {
    let (node, log) = (node(), Log::default());
    let apps = applications(&node).await;
    apps.load(application("a", &log)).await.unwrap();
    let before = node.process_count();
    for _ in 0..2 {
        log.clear();
        apps.start("a", StartType::Permanent).await.unwrap();
        assert!(node.whereis("a worker").is_some());
        apps.stop("a").await.unwrap();
        assert_eq!(
            log.all(),
            [
                "a start",
                "a init",
                "a prep_stop",
                "a terminate shutdown",
                "a stop"
            ]
        );
        let stopped = apps.stop("a").await;
        assert_eq!(stopped, Err(ApplicationError::NotStarted("a".into())));
        assert_eq!(node.process_count(), before);
    }
    apps.unload("a").await.unwrap();
    let unknown = ApplicationError::NotLoaded("a".into());
    assert_eq!(apps.start("a", TEMPORARY).await, Err(unknown));
}
