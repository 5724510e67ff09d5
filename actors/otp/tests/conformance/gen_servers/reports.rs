//! What is told of a server that fails, and what a server shows of itself.

use std::sync::Arc;
use std::time::Duration;

use otp::report::{CrashReport, Format, Report};
use otp::{CallError, ExitReason, Next, Node, Options, ServerRef, sys};
use parking_lot::Mutex;

use crate::gen_servers::server::{Message, Server, Show, Start, asked, start, tell, walk, within};
use crate::support::{Log, node};

crate::cases! {
    clean_ends_make_no_report: "GSRV-014";
    a_crash_tells_all_about_it: "GSRV-014";
    a_status_goes_through_the_hook: "GSRV-049";
    a_report_goes_through_the_hook: "GSRV-050";
    a_crash_in_terminate_shows_the_formatted_state: "GSRV-051";
    a_hook_that_panics_hides_nothing: "GSRV-052";
    a_hook_that_throws_falls_back: "GSRV-053";
    everything_can_be_masked: "GSRV-054";
    long_reports_are_cut: "GSRV-061";
    reports_on_a_single_line: "GSRV-062";
    a_label_is_in_the_report: "GSRV-063";
}

/// The reports of a node.
#[derive(Clone)]
struct Reports(Arc<Mutex<Vec<Report>>>);

impl Reports {
    fn of(node: &Node) -> Reports {
        let reports = Reports(Arc::default());
        let all = reports.0.clone();
        assert!(node.on_report(move |report| all.lock().push(report.clone())));
        reports
    }

    fn all(&self) -> Vec<Report> {
        self.0.lock().clone()
    }

    /// The only report so far, of this process.
    async fn only(&self, server: &ServerRef<Server>) -> CrashReport {
        otp::eventually!(!self.0.lock().is_empty());
        let mut all = std::mem::take(&mut *self.0.lock());
        assert_eq!(all.len(), 1, "{all:?}");
        match all.remove(0) {
            Report::Crash(report) if report.pid == server.pid() => *report,
            other => panic!("{other:?}"),
        }
    }
}

fn stop_with(reason: ExitReason) -> impl FnOnce(otp::From<u64>) -> Message + Send {
    asked(move |_from| Next::Stop(reason))
}

async fn clean_ends_make_no_report() {
    let node = node();
    let reports = Reports::of(&node);
    let last = start(&node, Start::plain(&Log::default())).await;
    for reason in [
        ExitReason::Normal,
        ExitReason::Shutdown,
        ExitReason::ShutdownWith("planned".into()),
    ] {
        let server = start(&node, Start::plain(&Log::default())).await;
        let answer = server.call(stop_with(reason.clone())).await;
        assert_eq!(answer, Err(CallError::Exit(reason)));
        // Neither when it is told to by a signal.
        let server = start(&node, Start::plain(&Log::default())).await;
        node.exit(server.pid(), ExitReason::Shutdown);
        server.wait_for_exit().await;
    }
    // The reports of ends before this one would have come by now.
    tell(&last, |_, _| Next::Stop(ExitReason::Custom("last".into())));
    let report = reports.only(&last).await;
    assert_eq!(report.reason, ExitReason::Custom("last".into()));
}

async fn a_crash_tells_all_about_it() {
    let node = node();
    let reports = Reports::of(&node);
    let (log, client_log) = (Log::default(), Log::default());
    let client = start(&node, Start::trapping(&client_log)).await;
    for panics in [false, true] {
        let options = Options::new().name("crashing");
        let server = otp::start::<Server>(&node, Start::plain(&log), options).await;
        let server = server.unwrap();
        let to = server.clone();
        let outcome = walk(&client, move |_| {
            Box::pin(async move {
                let crash = asked(move |_from| {
                    assert!(!panics, "crashed");
                    Next::Stop(ExitReason::error("crashed"))
                });
                to.call(crash).await
            })
        });
        let outcome = outcome.await;
        let report = reports.only(&server).await;
        assert_eq!(outcome, Err(CallError::Exit(report.reason.clone())));
        match &report.reason {
            ExitReason::Panic { message, location } => {
                assert!(panics && &**message == "crashed");
                assert!(location.contains("reports.rs"));
            }
            reason => assert!(!panics && *reason == ExitReason::error("crashed")),
        }
        assert_eq!(report.last_message.as_deref(), Some("ask"));
        assert_eq!(report.state.as_deref(), Some("number 7"));
        assert_eq!(report.client, Some(client.pid()));
        assert_eq!(report.name.as_deref(), Some("crashing"));
        assert!(report.server.ends_with("Server"));
    }
    // A crash that nobody asked for has no client.
    let server = start(&node, Start::plain(&log)).await;
    tell(&server, |_, _| panic!("crashed"));
    assert_eq!(reports.only(&server).await.client, None);
    // An end that was asked for with such a reason is told as well.
    let server = start(&node, Start::plain(&log)).await;
    let why = ExitReason::Custom("stopped".into());
    let stopped = server.stop(why.clone(), Duration::from_secs(5)).await;
    assert_eq!(stopped, Ok(()));
    assert_eq!(reports.only(&server).await.reason, why);
}

async fn show(server: &ServerRef<Server>, show: Show) {
    within(server, move |state, _| {
        state.number = 42;
        state.show = show;
    })
    .await;
}

async fn a_status_goes_through_the_hook() {
    let node = node();
    let server = start(&node, Start::plain(&Log::default())).await;
    show(&server, Show::Number).await;
    let status = sys::get_status(&server).await.unwrap();
    assert_eq!(status.status.state, "number 42");
    assert_eq!(status.status.reason, None, "it has not ended");
    show(&server, Show::Masked).await;
    let status = sys::get_status(&server).await.unwrap();
    assert_eq!(status.status.state, "hidden state");
    assert_eq!(status.pid, server.pid());
}

async fn a_report_goes_through_the_hook() {
    let node = node();
    let reports = Reports::of(&node);
    let server = start(&node, Start::plain(&Log::default())).await;
    show(&server, Show::Number).await;
    let why = ExitReason::error("wrong");
    let outcome = server.call(stop_with(why.clone())).await;
    assert_eq!(outcome, Err(CallError::Exit(why)));
    let report = reports.only(&server).await;
    assert_eq!(report.state.as_deref(), Some("number 42"));
    // Not even by a panic is it gone around.
    let server = start(&node, Start::plain(&Log::default())).await;
    show(&server, Show::Masked).await;
    tell(&server, |_, _| panic!("wrong"));
    let report = reports.only(&server).await;
    assert_eq!(report.state.as_deref(), Some("hidden state"));
}

async fn a_crash_in_terminate_shows_the_formatted_state() {
    let node = node();
    let reports = Reports::of(&node);
    let server = start(&node, Start::plain(&Log::default())).await;
    show(&server, Show::Number).await;
    within(&server, |state, _| state.panic_in_terminate = true).await;
    let stopped = server
        .stop(ExitReason::Normal, Duration::from_secs(5))
        .await;
    let report = reports.only(&server).await;
    assert_eq!(stopped, Err(CallError::Exit(report.reason.clone())));
    assert!(
        matches!(&report.reason, ExitReason::Panic { message, .. }
            if &**message == "terminate panics"),
        "{report:?}"
    );
    assert_eq!(report.state.as_deref(), Some("number 42"));
}

async fn a_hook_that_panics_hides_nothing() {
    let node = node();
    let reports = Reports::of(&node);
    let server = start(&node, Start::plain(&Log::default())).await;
    show(&server, Show::Panics).await;
    let why = ExitReason::error("the real one");
    let outcome = server.call(stop_with(why.clone())).await;
    assert_eq!(outcome, Err(CallError::Exit(why.clone())));
    let report = reports.only(&server).await;
    assert_eq!(report.reason, why);
    assert_eq!(report.last_message.as_deref(), Some("ask"));
    let state = report.state.unwrap();
    assert!(state.contains("Server") && state.contains("format_status panicked"));
}

async fn a_hook_that_throws_falls_back() {
    let node = node();
    let reports = Reports::of(&node);
    let server = start(&node, Start::plain(&Log::default())).await;
    for broken in [Show::Panics, Show::Throws] {
        show(&server, broken).await;
        let status = sys::get_status(&server).await.unwrap();
        assert!(status.status.state.contains("format_status panicked"));
        assert_eq!(
            server.call(Message::Get).await,
            Ok(42),
            "it is not concerned"
        );
    }
    let why = ExitReason::error("the real one");
    let outcome = server.call(stop_with(why.clone())).await;
    assert_eq!(outcome, Err(CallError::Exit(why.clone())));
    let report = reports.only(&server).await;
    assert_eq!(report.reason, why);
    assert!(report.state.unwrap().contains("format_status panicked"));
}

async fn everything_can_be_masked() {
    let node = node();
    let reports = Reports::of(&node);
    let log = Log::default();
    let watcher = start(&node, Start::trapping(&log)).await;
    let server = start(&node, Start::plain(&Log::default())).await;
    sys::log(&server, 10).await.unwrap();
    server.cast(Message::Note("secret"));
    let open = sys::get_status(&server).await.unwrap();
    assert_eq!(open.status.log, ["got note"]);
    show(&server, Show::Masked).await;
    let status = sys::get_status(&server).await.unwrap().status;
    assert_eq!(status.state, "hidden state");
    assert_eq!(status.message.as_deref(), Some("hidden message"));
    assert_eq!(status.log, ["hidden event"; 2]);
    let pid = server.pid();
    within(&watcher, move |_, ctx| ctx.monitor(pid)).await;
    let why = ExitReason::error("secret");
    let outcome = server.call(stop_with(why.clone())).await;
    let report = reports.only(&server).await;
    assert_eq!(report.state.as_deref(), Some("hidden state"));
    assert_eq!(report.last_message.as_deref(), Some("hidden message"));
    assert_eq!(report.reason, ExitReason::Custom("hidden reason".into()));
    assert_eq!(report.log, ["hidden event"; 3]);
    let text = Report::Crash(Box::new(report)).to_string();
    assert!(!text.contains("secret"), "{text}");
    // Those who have to know are told the real one.
    assert_eq!(outcome, Err(CallError::Exit(why)));
    otp::eventually!(log.len() == 2);
    assert_eq!(log.all()[1], "DOWN error: secret");
}

/// A report with long fields and long lists.
async fn long_report() -> Report {
    let node = node();
    let reports = Reports::of(&node);
    let server = start(&node, Start::plain(&Log::default())).await;
    let mut linked = Vec::new();
    for _ in 0..40 {
        linked.push(start(&node, Start::trapping(&Log::default())).await);
    }
    let pids: Vec<_> = linked.iter().map(ServerRef::pid).collect();
    within(&server, move |_, ctx| {
        for pid in pids {
            ctx.link(pid);
        }
    })
    .await;
    sys::log(&server, 100).await.unwrap();
    for _ in 0..50 {
        server.cast(Message::Note("note"));
    }
    tell(&server, |_, _| {
        Next::Stop(ExitReason::error("é".repeat(10_000) + "\nend"))
    });
    otp::eventually!(!reports.all().is_empty());
    reports.all().remove(0)
}

async fn long_reports_are_cut() {
    let report = long_report().await;
    let format = |chars_max, entries_max| {
        report.format(Format {
            single_line: false,
            chars_max,
            entries_max,
        })
    };
    let whole = format(usize::MAX, usize::MAX);
    assert!(whole.contains(&"é".repeat(10_000)) && !whole.contains('…'));
    assert_eq!(whole.matches("got note").count(), 50);
    for chars_max in [0, 1, 10, 100] {
        let text = format(chars_max, usize::MAX);
        assert!(!text.contains(&"é".repeat(chars_max + 1)));
        for field in text.lines().skip(1).filter(|line| line.starts_with("    ")) {
            let value = field.split_once(": ").unwrap().1;
            assert!(value.chars().count() <= chars_max + 1, "{field}");
        }
    }
    for entries_max in [0, 1, 10] {
        let text = format(usize::MAX, entries_max);
        assert_eq!(text.matches("got note").count(), entries_max);
        assert_eq!(
            text.matches('…').count(),
            2,
            "the links, and the log: {text}"
        );
    }
    // There are limits also for whoever names none.
    let usual = report.to_string();
    assert!(usual.contains('…') && usual.len() < whole.len());
}

async fn reports_on_a_single_line() {
    let report = long_report().await;
    let format = |single_line| {
        report.format(Format {
            single_line,
            chars_max: usize::MAX,
            entries_max: 3,
        })
    };
    let (several, single) = (format(false), format(true));
    assert!(several.lines().count() > 5);
    assert_eq!(single.lines().count(), 1, "{single}");
    // The same fields in the same order.
    let names = |text: &str, separator: &str| -> Vec<String> {
        let fields = text.split(separator).skip(1);
        fields
            .map(|field| field.split(':').next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&several, "\n    "), names(&single, "; "));
}

async fn a_label_is_in_the_report() {
    let node = node();
    let reports = Reports::of(&node);
    let options = Options::new().label("guild 7");
    let server = otp::start::<Server>(&node, Start::plain(&Log::default()), options).await;
    let server = server.unwrap();
    tell(&server, |_, _| panic!("wrong"));
    let report = reports.only(&server).await;
    assert_eq!(report.label.as_deref(), Some("guild 7"));
    // One that was set later, in each kind of text.
    let server = start(&node, Start::plain(&Log::default())).await;
    tell(&server, |_, ctx| {
        ctx.set_label("guild 8");
        Next::Stop(ExitReason::error("wrong"))
    });
    let report = Report::Crash(Box::new(reports.only(&server).await));
    for single_line in [false, true] {
        let text = report.format(Format {
            single_line,
            ..Format::default()
        });
        assert!(text.contains("label: guild 8"), "{text}");
    }
    // Without one there is no such field.
    let server = start(&node, Start::plain(&Log::default())).await;
    tell(&server, |_, _| panic!("wrong"));
    let report = reports.only(&server).await;
    assert!(
        !Report::Crash(Box::new(report))
            .to_string()
            .contains("label")
    );
}
