//! What supervisors report, and how it looks.

use otp::report::{Format, ProgressReport, Report, SupervisorContext, SupervisorReport};
use otp::{ChildSpec, ExitReason, Options, Restart, Shutdown, Supervisor};

use super::*;
use crate::support::{node, worker};

crate::cases! {
    only_those_who_were_started_are_progress: "SUP-044";
    a_report_has_fields_and_limits [Paused]: "SUP-078";
    a_report_fits_on_a_line: "SUP-079";
}

fn progress(reports: &Mutex<Vec<Report>>) -> Vec<ProgressReport> {
    let reports = reports.lock();
    let reports = reports.iter().filter_map(|report| match report {
        Report::Progress(report) => Some((**report).clone()),
        _ => None,
    });
    reports.collect()
}

async fn only_those_who_were_started_are_progress() {
    let (node, log) = (node(), Log::default());
    let reports = reported(&node);
    let outside = worker(&node).await;
    let pid = outside.pid();
    let spec = ChildSpec::function("outside", move |start| async move { start.running(pid) });
    let spec = spec.restart(Restart::Temporary);
    let supervisor = run(&node, Supervisor::one_for_one().child(child("a", &log))).await;
    supervisor.start_child(spec.clone()).await.unwrap();
    // It is a child in all else: found, linked, its end is noticed.
    assert_eq!(supervisor.child("outside").await, Ok(pid));
    let reported = progress(&reports);
    assert_eq!(
        reported,
        [ProgressReport {
            supervisor: supervisor.pid(),
            child: "a".into(),
            child_pid: node.whereis("a").unwrap(),
        }]
    );
    // Restarts are progress.
    end_named(&node, "a", crash()).await;
    assert_eq!(counts(&supervisor).await, [2, 2, 0, 2]);
    assert_eq!(progress(&reports).len(), 2);
    end(&node, pid, ExitReason::Normal).await;
    assert_eq!(counts(&supervisor).await, [1, 1, 0, 1]);
    assert_eq!(progress(&reports).len(), 2);
    // It can be stopped too; and nobody who is gone can be a child.
    let outside = worker(&node).await;
    let pid = outside.pid();
    let spec = ChildSpec::function("outside", move |start| async move { start.running(pid) });
    supervisor.start_child(spec.clone()).await.unwrap();
    supervisor.terminate_child("outside").await.unwrap();
    assert_eq!(outside.wait_for_exit().await, ExitReason::Shutdown);
    assert!(supervisor.restart_child("outside").await.is_err());
    assert_eq!(progress(&reports).len(), 2);
}

async fn a_report_has_fields_and_limits() {
    let (node, log, script) = (node(), Log::default(), Script::default());
    let reports = reported(&node);
    let supervisor = Supervisor::one_for_one()
        .intensity(2, HOUR)
        .child(stubborn("slow", &log).shutdown(Shutdown::Timeout(secs(1))))
        .child(scripted("a", &log, &script));
    let options = Options::new().name("my_supervisor");
    let supervisor = supervisor.start(&node, options).await.unwrap();
    let first = supervisor.child("a").await.unwrap();
    script.fails(10);
    end(&node, first, crash()).await;
    supervisor.wait_for_exit().await;
    // What it was doing, each time, and why.
    let start_error = (
        SupervisorContext::StartError,
        "a: error: no start".to_owned(),
    );
    assert_eq!(
        supervisor_reports(&reports),
        [
            (
                SupervisorContext::ChildTerminated,
                "a: error: crash".to_owned()
            ),
            start_error.clone(),
            start_error,
            (
                SupervisorContext::Shutdown,
                "a: error: too many restarts".to_owned()
            ),
            (SupervisorContext::ShutdownError, "slow: killed".to_owned()),
        ]
    );
    let kept = reports.lock();
    let Some(Report::Supervisor(report)) = kept
        .iter()
        .find(|report| matches!(report, Report::Supervisor(_)))
    else {
        panic!("no report");
    };
    assert_eq!(report.supervisor, supervisor.pid());
    assert_eq!(report.name.as_deref(), Some("my_supervisor"));
    assert_eq!(report.child_pid, Some(first));
    // All fields by default; cut where a limit says so.
    let text = Report::Supervisor(report.clone()).format(Format::default());
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    assert_eq!(lines[0], "a child ended");
    assert_eq!(lines[2], "name: my_supervisor");
    assert_eq!(lines[3], "child: a");
    assert_eq!(lines[5], "reason: error: crash");
    let mut long = report.clone();
    long.reason = ExitReason::Error("x".repeat(100_000).into());
    let format = Format {
        chars_max: 20,
        ..Format::default()
    };
    let text = Report::Supervisor(long.clone()).format(format);
    assert!(
        text.contains(&format!("reason: error: {}…", "x".repeat(13))),
        "{text}"
    );
    assert!(text.lines().all(|line| line.chars().count() < 40), "{text}");
    // And nothing is without a limit.
    let text = Report::Supervisor(long).format(Format::default());
    assert!(text.len() < 5_000, "{}", text.len());
}

async fn a_report_fits_on_a_line() {
    let pid = node().outside();
    let report = Report::Supervisor(Box::new(SupervisorReport {
        supervisor: pid,
        name: Some("my_supervisor".into()),
        context: SupervisorContext::ShutdownError,
        reason: ExitReason::Error("two\nlines".into()),
        child: "any_id".into(),
        child_pid: Some(pid),
    }));
    let line = Format {
        single_line: true,
        ..Format::default()
    };
    assert_eq!(
        report.format(line),
        format!(
            "a child did not shut down as told; supervisor: {pid}; name: my_supervisor; \
             child: any_id; pid: {pid}; reason: error: two lines"
        )
    );
    let short = Format {
        single_line: true,
        chars_max: 6,
        ..Format::default()
    };
    let text = report.format(short);
    assert!(
        !text.contains('\n') && text.contains("child: any_id"),
        "{text}"
    );
    assert!(text.contains("name: my_sup…"), "{text}");
    let progress = Report::Progress(Box::new(ProgressReport {
        supervisor: pid,
        child: "any_id".into(),
        child_pid: pid,
    }));
    assert_eq!(
        progress.format(line),
        format!("a child runs; supervisor: {pid}; child: any_id; pid: {pid}")
    );
    assert!(progress.to_string().contains("\n    child: any_id"));
}
