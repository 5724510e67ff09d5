//! `proc_lib(3)`: crash reports, starts, stops, ancestors, labels.

use std::sync::Arc;
use std::time::Duration;

use otp::report::{CrashReport, Report};
use otp::{
    At, CallError, ExitReason, Init, Next, Node, Options, ProcessStatus, ServerRef, StartError,
    observer,
};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::gen_servers::server::{Message, Server, Start, start, tell, walk, within};
use crate::support::{Log, node};

crate::cases! {
    a_crash_report_has_everything: "SYS-006";
    a_start_returns_after_init: "SYS-007";
    a_stop_is_synchronous: "SYS-008";
    ancestors_and_initial_call: "SYS-009";
    labels_are_shown_everywhere: "SYS-010";
    hibernation_keeps_crash_reports: "SYS-011";
}

const LONG: Duration = Duration::from_secs(10);

/// The crash reports of a node.
fn crashes(node: &Node) -> Arc<Mutex<Vec<CrashReport>>> {
    let crashes: Arc<Mutex<Vec<CrashReport>>> = Arc::default();
    let all = crashes.clone();
    node.on_report(move |report| {
        if let Report::Crash(crash) = report {
            all.lock().push((**crash).clone());
        }
    });
    crashes
}

async fn child(parent: &ServerRef<Server>, log: &Log, options: Options) -> ServerRef<Server> {
    let start = Start::trapping(log);
    let child = within(parent, move |_, ctx| {
        ctx.start_link::<Server>(start, options)
    });
    child.await.await.unwrap()
}

async fn a_crash_report_has_everything() {
    let node = node();
    let crashes = crashes(&node);
    let parent = start(&node, Start::trapping(&Log::default())).await;
    let options = Options::new().name("crashing").label("guild 7");
    let server = child(&parent, &Log::default(), options).await;
    let peer = start(&node, Start::trapping(&Log::default())).await;
    let linked = peer.pid();
    within(&server, move |_, ctx| ctx.link(linked)).await;
    let (open, gate) = oneshot::channel();
    server.cast(Message::Wait(gate));
    tell(&server, |_, _| panic!("it broke"));
    let line = line!() - 1;
    for _ in 0..3 {
        server.cast(Message::Note("lost"));
    }
    open.send(()).unwrap();
    let reason = server.wait_for_exit().await;
    otp::eventually!(crashes.lock().len() == 1);
    let report = crashes.lock().remove(0);
    assert!(
        report.server.ends_with("server::Server"),
        "the initial call: {}",
        report.server
    );
    assert_eq!(report.pid, server.pid());
    assert_eq!(report.name.as_deref(), Some("crashing"));
    assert_eq!(report.reason, reason);
    let ExitReason::Panic { message, location } = report.reason else {
        panic!("{reason}");
    };
    assert_eq!(&*message, "it broke");
    assert!(
        location.contains(&format!("processes.rs:{line}:")),
        "{location}"
    );
    assert_eq!(report.ancestors, [parent.pid()]);
    let mut links = report.links;
    links.sort_unstable();
    assert_eq!(links, [parent.pid(), peer.pid()]);
    assert_eq!(report.mailbox_len, 3);
    assert_eq!(report.label.as_deref(), Some("guild 7"));
}

async fn a_start_returns_after_init() {
    let node = node();
    let starter_log = Log::default();
    let starter = start(&node, Start::trapping(&starter_log)).await;
    // Not before.
    let log = Log::default();
    let (open, gate) = oneshot::channel();
    let slow = Start {
        gate: Some(gate),
        ..Start::new(&log, |server, _| {
            server.log.add("ready");
            Init::Ok(server)
        })
    };
    let starting = tokio::spawn({
        let starter = starter.clone();
        async move {
            let started = walk(&starter, move |ctx| {
                Box::pin(async move { ctx.start_link::<Server>(slow, Options::new()).await })
            });
            started.await
        }
    });
    otp::eventually!(log.len() == 1);
    assert!(!starting.is_finished());
    open.send(()).unwrap();
    starting.await.unwrap().unwrap();
    assert_eq!(log.all(), ["init", "ready"]);
    // A failure is told once, as the result; what takes too long is gone.
    let why = ExitReason::Custom("no".into());
    for round in 0..1_000 {
        let reason = why.clone();
        let (start, options) = if round % 2 == 0 {
            let fails = Start::new(&log, |_, _| Init::Stop(reason));
            (fails, Options::new().name("failing"))
        } else {
            let options = Options::new().name("failing");
            (Start::hanging(&log), options.start_timeout(Duration::ZERO))
        };
        let failed = walk(&starter, move |ctx| {
            Box::pin(async move {
                let linked = ctx.start_link::<Server>(start, options).await;
                linked.map(|server| server.pid())
            })
        });
        let expected = match round % 2 {
            0 => StartError::Failed(why.clone()),
            _ => StartError::Timeout,
        };
        assert_eq!(failed.await, Err(expected));
        assert_eq!(node.whereis("failing"), None);
        assert_eq!(node.process_count(), 2);
    }
    for _ in 0..10 {
        within(&starter, |_, _| ()).await;
    }
    assert_eq!(starter_log.all(), ["init"]);
}

async fn a_stop_is_synchronous() {
    let (here, there) = (node(), Node::new("there"));
    here.connect(&there);
    for home in [&here, &there] {
        let log = Log::default();
        let options = Options::new().name("stopping");
        let server = otp::start::<Server>(home, Start::plain(&log), options).await;
        let server = server.unwrap();
        let to = At {
            name: "stopping",
            node: home.name(),
        };
        let (open, gate) = oneshot::channel();
        within(&server, |state, _| state.terminate_gate = Some(gate)).await;
        let stop = |limit| here.stop_server::<Server>(to, ExitReason::Shutdown, limit);
        // Not in time: it goes on ending.
        let late = stop(Duration::from_millis(20)).await;
        assert_eq!(late, Err(CallError::Timeout));
        assert!(server.is_alive());
        open.send(()).unwrap();
        assert_eq!(server.wait_for_exit().await, ExitReason::Shutdown);
        assert_eq!(log.all(), ["init", "terminate shutdown"]);
        assert_eq!(stop(LONG).await, Err(CallError::NoProc));
        // In time: it has ended when stop returns.
        let options = Options::new().name("stopping");
        let server = otp::start::<Server>(home, Start::plain(&log), options).await;
        assert_eq!(stop(LONG).await, Ok(()));
        assert!(!server.unwrap().is_alive());
        assert_eq!(home.whereis("stopping"), None);
    }
    here.disconnect(&there);
    otp::eventually!(here.nodes().is_empty());
    let far = At {
        name: "stopping",
        node: "there",
    };
    let lost = here.stop_server::<Server>(far, ExitReason::Shutdown, LONG);
    assert_eq!(lost.await, Err(CallError::NodeDown));
}

async fn ancestors_and_initial_call() {
    let node = node();
    let crashes = crashes(&node);
    let mut line = vec![start(&node, Start::trapping(&Log::default())).await];
    for _ in 0..3 {
        let next = child(line.last().unwrap(), &Log::default(), Options::new()).await;
        line.push(next);
    }
    for (place, server) in line.iter().enumerate() {
        let info = node.process_info(server.pid()).unwrap();
        assert!(info.server.ends_with("server::Server"));
        let parent = place.checked_sub(1).map(|place| line[place].pid());
        assert_eq!(info.parent, parent);
        assert_eq!(within(server, |_, ctx| ctx.parent()).await, parent);
    }
    // The youngest tells them, its parent first, also one that is gone. That one was killed, which
    // is no crash of its own.
    let youngest = line.pop().unwrap();
    let (gone, orphan) = (line[1].pid(), line[2].clone());
    within(&orphan, move |_, ctx| ctx.unlink(gone)).await;
    node.exit(gone, ExitReason::Kill);
    otp::eventually!(!node.is_alive(gone));
    tell(&youngest, |_, _| panic!("wrong"));
    otp::eventually!(!crashes.lock().is_empty());
    let ancestors: Vec<_> = line.iter().rev().map(ServerRef::pid).collect();
    assert_eq!(crashes.lock().remove(0).ancestors, ancestors);
}

async fn labels_are_shown_everywhere() {
    let node = node();
    let crashes = crashes(&node);
    let server = start(&node, Start::plain(&Log::default())).await;
    assert_eq!(node.label(server.pid()), None);
    within(&server, |_, ctx| ctx.set_label("guild 7")).await;
    assert_eq!(node.label(server.pid()).as_deref(), Some("guild 7"));
    within(&server, |_, ctx| ctx.set_label("guild 8")).await;
    let options = Options::new().label("session 9");
    let other = otp::start::<Server>(&node, Start::plain(&Log::default()), options).await;
    let labels: Vec<Option<Arc<str>>> = observer::processes(&node, observer::SortBy::Handled)
        .into_iter()
        .map(|process| process.label)
        .collect();
    assert_eq!(labels, [Some("guild 8".into()), Some("session 9".into())]);
    let shown: String = observer::tree(&node)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert!(
        shown.contains("guild 8") && shown.contains("session 9"),
        "{shown}"
    );
    tell(&server, |_, _| panic!("wrong"));
    otp::eventually!(crashes.lock().len() == 1);
    let report = crashes.lock().remove(0);
    assert_eq!(report.label.as_deref(), Some("guild 8"));
    assert!(
        Report::Crash(Box::new(report))
            .to_string()
            .contains("guild 8")
    );
    assert_eq!(node.label(server.pid()), None, "gone with the process");
    drop(other);
}

async fn hibernation_keeps_crash_reports() {
    let node = node();
    let crashes = crashes(&node);
    let log = Log::default();
    let server = start(&node, Start::trapping(&log)).await;
    tell(&server, |_, _| Next::Hibernate);
    let status = || node.process_info(server.pid()).unwrap().status;
    otp::eventually!(status() == ProcessStatus::Hibernating);
    tell(&server, |_, _| panic!("woken to break"));
    let reason = server.wait_for_exit().await;
    otp::eventually!(crashes.lock().len() == 1);
    let report = crashes.lock().remove(0);
    assert_eq!((report.pid, &report.reason), (server.pid(), &reason));
    assert!(matches!(&reason, ExitReason::Panic { message, .. } if &**message == "woken to break"));
    assert_eq!(report.state.as_deref(), Some("number 7"));
    assert_eq!(
        log.all()[1..],
        ["hibernate".to_owned(), format!("terminate {reason}")]
    );
}
