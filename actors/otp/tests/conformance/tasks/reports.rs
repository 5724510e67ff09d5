//! What is told of a task which fails.

use std::future::Future;
use std::sync::Arc;

use otp::report::{Format, Report, TaskReport};
use otp::{ExitReason, Node, task};
use parking_lot::Mutex;

use super::custom;

crate::cases! {
    a_task_which_fails_is_told_of: "TASK-113";
    with_its_label: "TASK-114";
    a_clean_end_is_not_told_of: "TASK-113";
}

/// Runs something and gives what was told of tasks meanwhile.
async fn told<F: Future<Output = ()>>(body: impl FnOnce(Node) -> F) -> Vec<TaskReport> {
    let node = crate::support::node();
    let reports = Arc::new(Mutex::new(Vec::new()));
    let collected = reports.clone();
    assert!(node.on_report(move |report| {
        if let Report::Task(report) = report {
            collected.lock().push((**report).clone());
        }
    }));
    body(node).await;
    reports.lock().clone()
}

async fn a_task_which_fails_is_told_of() {
    let pids = Arc::new(Mutex::new(Vec::new()));
    let started = pids.clone();
    let reports = told(move |node| async move {
        let inner = node.clone();
        super::process(&node, async move {
            task::trap_exit(true);
            let pid = task::start_link(&inner, "download", async { panic!("oops") });
            started.lock().extend([pid, task::self_pid().unwrap()]);
            inner.wait_for_exit(pid).await;
        })
        .await;
    })
    .await;
    let pids = pids.lock();
    let [report] = &reports[..] else {
        panic!("{reports:?}")
    };
    assert_eq!(report.task, pids[0]);
    assert_eq!(report.caller, Some(pids[1]));
    assert_eq!(report.label.as_deref(), Some("download"));
    let ExitReason::Panic { message, location } = &report.reason else {
        panic!("{report:?}")
    };
    assert_eq!(&**message, "oops");
    assert!(location.contains("reports.rs"), "{location}");
    let text = Report::Task(Box::new(report.clone())).format(Format::default());
    for part in ["task terminating", "download", "oops", &pids[1].to_string()] {
        assert!(text.contains(part), "{part} is missing: {text}");
    }
}

async fn with_its_label() {
    let reports = told(|node| async move {
        let failing = task::spawn(&node, "task", async {
            task::set_label("the third attempt");
            task::exit::<()>(custom("unknown")).await;
        });
        assert_eq!(failing.await, Err(custom("unknown")));
    })
    .await;
    let [report] = &reports[..] else {
        panic!("{reports:?}")
    };
    assert_eq!(report.label.as_deref(), Some("the third attempt"));
    assert_eq!(report.caller, None);
}

async fn a_clean_end_is_not_told_of() {
    let reports = told(|node| async move {
        for reason in [
            ExitReason::Normal,
            ExitReason::Shutdown,
            ExitReason::ShutdownWith("enough".into()),
        ] {
            let ending = task::spawn(&node, "task", task::exit::<()>(reason.clone()));
            assert_eq!(ending.await, Err(reason));
        }
        assert_eq!(task::spawn(&node, "task", async { 5 }).await, Ok(5));
    })
    .await;
    assert!(reports.is_empty(), "{reports:?}");
}
