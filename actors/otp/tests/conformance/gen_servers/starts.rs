//! How servers start, and what is left when they do not.

use std::time::Duration;

use otp::{
    CallError, ChildKind, ChildSpec, ExitReason, Init, MonitorRef, Next, Node, Options, Registry,
    ServerRef, StartError, Supervisor,
};

use crate::gen_servers::server::{Message, Server, Start, start, tell, walk, within};
use crate::support::{Log, node};

crate::cases! {
    every_kind_of_start: "GSRV-001";
    init_has_its_time [Paused]: "GSRV-001";
    a_failed_start_leaves_no_message: "GSRV-015";
    a_name_is_free_before_a_failed_start_returns: "GSRV-048";
    a_monitor_from_the_start_tells_the_real_reason: "GSRV-001";
    specifications_of_children: "GSRV-065";
    started_without_a_name: "GSRV-066", "GSRV-070";
    started_under_a_key: "GSRV-067";
    started_under_a_name_of_another_node: "GSRV-068";
    started_under_a_name: "GSRV-069";
    started_without_a_link: "GSRV-072";
}

const TIMES: usize = 1_000;

/// The three ways to start from within a process.
#[derive(Clone, Copy, Debug)]
enum How {
    Alone,
    Linked,
    Watched,
}

const WAYS: [How; 3] = [How::Alone, How::Linked, How::Watched];

/// Has a process start a server.
async fn start_from(
    starter: &ServerRef<Server>,
    how: How,
    args: Start,
    options: Options,
) -> Result<(ServerRef<Server>, Option<MonitorRef>), StartError> {
    walk(starter, move |ctx| {
        Box::pin(async move {
            match how {
                How::Alone => {
                    let node = ctx.node().clone();
                    Ok((otp::start::<Server>(&node, args, options).await?, None))
                }
                How::Linked => Ok((ctx.start_link::<Server>(args, options).await?, None)),
                How::Watched => {
                    let (server, monitor) = ctx.start_monitor::<Server>(args, options).await?;
                    Ok((server, Some(monitor)))
                }
            }
        })
    })
    .await
}

async fn end(server: &ServerRef<Server>) {
    let stopped = server
        .stop(ExitReason::Normal, Duration::from_secs(5))
        .await;
    assert_eq!(stopped, Ok(()));
    assert_eq!(server.call(Message::Get).await, Err(CallError::NoProc));
}

async fn every_kind_of_start() {
    let node = node();
    let (log, starter_log) = (Log::default(), Log::default());
    let starter = start(&node, Start::trapping(&starter_log)).await;
    let registry = Registry::<u32>::new(&node);
    for how in WAYS {
        // Without a name.
        let (server, _) = start_from(&starter, how, Start::plain(&log), Options::new())
            .await
            .unwrap();
        assert_eq!(server.call(Message::Get).await, Ok(7));
        end(&server).await;
        // Under a name.
        let named = || Options::new().name("mine");
        let (server, _) = start_from(&starter, how, Start::plain(&log), named())
            .await
            .unwrap();
        assert_eq!(node.whereis("mine"), Some(server.pid()));
        let again = start_from(&starter, how, Start::plain(&log), named()).await;
        assert_eq!(again.err(), Some(StartError::AlreadyStarted(server.pid())));
        let found = node.whereis_ref::<Server>("mine").unwrap();
        assert_eq!(found.call(Message::Get).await, Ok(7));
        end(&server).await;
        assert_eq!(node.whereis("mine"), None);
        // Through a registry.
        let keyed = || Options::new().register_in(&registry, 5);
        let (server, _) = start_from(&starter, how, Start::plain(&log), keyed())
            .await
            .unwrap();
        assert_eq!(registry.lookup(&5), Some(server.pid()));
        let again = start_from(&starter, how, Start::plain(&log), keyed()).await;
        assert_eq!(again.err(), Some(StartError::AlreadyStarted(server.pid())));
        end(&server).await;
        assert_eq!(registry.lookup(&5), None);
        // Not at all.
        let ignoring = Start::new(&log, |_, _| Init::Ignore);
        let ignored = start_from(&starter, how, ignoring, Options::new()).await;
        assert_eq!(ignored.err(), Some(StartError::Ignore));
        let why = ExitReason::Custom("stopped".into());
        let stopping = Start::new(&log, {
            let why = why.clone();
            |_, _| Init::Stop(why)
        });
        let stopped = start_from(&starter, how, stopping, Options::new()).await;
        assert_eq!(stopped.err(), Some(StartError::Failed(why)));
    }
    // Three servers ran with a link, three with a monitor; the failed starts tell nothing.
    otp::eventually!(starter_log.len() >= 7);
    let mut told = starter_log.all();
    told.sort();
    let downs = ["DOWN normal"; 3];
    assert_eq!(told, [&downs[..], &["EXIT normal"; 3], &["init"]].concat());
}

async fn init_has_its_time() {
    let node = node();
    let (log, starter_log) = (Log::default(), Log::default());
    let starter = start(&node, Start::trapping(&starter_log)).await;
    let limited = || {
        let options = Options::new().name("slow");
        options.start_timeout(Duration::from_secs(1))
    };
    for how in WAYS {
        let (open, gate) = tokio::sync::oneshot::channel();
        let slow = Start {
            gate: Some(gate),
            ..Start::plain(&log)
        };
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(999)).await;
            open.send(()).unwrap();
        });
        let (server, _) = start_from(&starter, how, slow, limited()).await.unwrap();
        end(&server).await;
        let begun = tokio::time::Instant::now();
        let late = start_from(&starter, how, Start::hanging(&log), limited()).await;
        assert_eq!(late.err(), Some(StartError::Timeout));
        assert_eq!(begun.elapsed(), Duration::from_secs(1));
        assert_eq!(node.whereis("slow"), None);
        assert_eq!(node.process_count(), 1, "only the starter is left");
    }
    within(&starter, |_, _| ()).await;
    assert_eq!(starter_log.all(), ["init", "EXIT normal", "DOWN normal"]);
}

/// A server that fails to start, and what the starter is told.
#[derive(Clone, Copy, Debug)]
enum Failure {
    Stop,
    Ignore,
    Panic,
    /// An exit signal hits it.
    Exit,
    Kill,
    Timeout,
}

const FAILURES: [Failure; 6] = [
    Failure::Stop,
    Failure::Ignore,
    Failure::Panic,
    Failure::Exit,
    Failure::Kill,
    Failure::Timeout,
];

impl Failure {
    fn start(self, log: &Log) -> Start {
        match self {
            Failure::Stop => Start::new(log, |_, _| Init::Stop(ExitReason::Custom("no".into()))),
            Failure::Ignore => Start::new(log, |_, _| Init::Ignore),
            Failure::Panic => Start::new(log, |_, _| std::panic::resume_unwind(Box::new("no"))),
            Failure::Exit | Failure::Kill => {
                let reason = match self {
                    Failure::Exit => ExitReason::Custom("shot".into()),
                    _ => ExitReason::Kill,
                };
                // It is hit while it is still in its init.
                Start::new(log, move |_, ctx| {
                    ctx.exit(ctx.pid(), reason);
                    Init::Stop(ExitReason::Normal)
                })
            }
            Failure::Timeout => Start::hanging(log),
        }
    }

    fn told(self, error: &StartError) -> bool {
        match self {
            Failure::Stop => *error == StartError::Failed(ExitReason::Custom("no".into())),
            Failure::Ignore => *error == StartError::Ignore,
            Failure::Panic => matches!(error, StartError::Failed(ExitReason::Panic { .. })),
            Failure::Exit => *error == StartError::Failed(ExitReason::Custom("shot".into())),
            Failure::Kill => *error == StartError::Failed(ExitReason::Killed),
            Failure::Timeout => *error == StartError::Timeout,
        }
    }

    fn options(self, options: Options) -> Options {
        match self {
            Failure::Timeout => options.start_timeout(Duration::ZERO),
            _ => options,
        }
    }
}

async fn a_failed_start_leaves_no_message() {
    let node = node();
    let mut starters = Vec::new();
    for failure in FAILURES {
        let node = node.clone();
        starters.push(tokio::spawn(async move {
            let starter_log = Log::default();
            let starter = start(&node, Start::trapping(&starter_log)).await;
            let name = format!("{failure:?}");
            for how in WAYS {
                for _ in 0..TIMES {
                    let log = Log::default();
                    let options = failure.options(Options::new().name(name.as_str()));
                    let outcome = start_from(&starter, how, failure.start(&log), options).await;
                    let error = outcome.err().unwrap();
                    assert!(failure.told(&error), "{failure:?} {how:?}: {error:?}");
                    assert_eq!(node.whereis(&name), None);
                    assert_eq!(log.all(), ["init"], "terminate is not for a failed init");
                }
            }
            // Whatever was still on its way has arrived when the starter is idle.
            for _ in 0..10 {
                within(&starter, |_, _| ()).await;
            }
            assert_eq!(starter_log.all(), ["init"], "{failure:?}");
            let info = node.process_info(starter.pid()).unwrap();
            assert_eq!(info.links, []);
            assert_eq!(info.monitors, []);
        }));
    }
    let count = starters.len();
    for starter in starters {
        starter.await.unwrap();
    }
    assert_eq!(node.process_count(), count, "only the starters are left");
}

async fn a_name_is_free_before_a_failed_start_returns() {
    let node = node();
    let mut tasks = Vec::new();
    for failure in FAILURES {
        let node = node.clone();
        tasks.push(tokio::spawn(async move {
            let log = Log::default();
            let registry = Registry::<u32>::new(&node);
            let options = || {
                let named = Options::new().name(format!("{failure:?}"));
                named.register_in(&registry, 1)
            };
            for _ in 0..TIMES {
                let start = failure.start(&log);
                let failed = otp::start::<Server>(&node, start, failure.options(options())).await;
                assert!(failure.told(&failed.err().unwrap()));
                // Taken at once by the next.
                let next = otp::start::<Server>(&node, Start::plain(&log), options()).await;
                end(&next.unwrap()).await;
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

/// `start_monitor` is one step: an end right after `init` is not `noproc`.
async fn a_monitor_from_the_start_tells_the_real_reason() {
    let node = node();
    let (log, starter_log) = (Log::default(), Log::default());
    let starter = start(&node, Start::trapping(&starter_log)).await;
    for _ in 0..TIMES {
        let short = Start::new(&log, |server, _| {
            let reason = ExitReason::Custom("done".into());
            Init::Continue(server, Message::Tell(Box::new(|_, _| Next::Stop(reason))))
        });
        let started = start_from(&starter, How::Watched, short, Options::new()).await;
        started.unwrap();
    }
    otp::eventually!(starter_log.len() > TIMES);
    let told = starter_log.all();
    assert!(
        told.iter().skip(1).all(|line| line == "DOWN custom: done"),
        "{told:?}"
    );
}

async fn specifications_of_children() {
    use otp::{Context, GenServer, Restart, Shutdown};

    /// Overrides the defaults for all its uses.
    struct Own;
    impl GenServer for Own {
        type Args = ();
        type Message = ();
        const RESTART: Restart = Restart::Transient;
        const SHUTDOWN: Shutdown = Shutdown::Timeout(Duration::from_secs(10));
        async fn init((): (), _ctx: &mut Context<Own>) -> Init<Own> {
            Init::Ok(Own)
        }
        async fn handle(&mut self, (): (), _ctx: &mut Context<Own>) -> Next<Own> {
            Next::Go
        }
    }

    let shown = |spec: &ChildSpec| (spec.restart_type(), spec.shutdown_type(), spec.kind());
    let seconds = |seconds| Shutdown::Timeout(Duration::from_secs(seconds));
    let log = Log::default();
    let plain = ChildSpec::worker::<Server>("plain", move || Start::plain(&log));
    assert_eq!(plain.id(), "plain");
    let default = (Restart::Permanent, seconds(5), ChildKind::Worker);
    assert_eq!(shown(&plain), default);
    let own = ChildSpec::worker::<Own>("own", || ());
    let overridden = (Restart::Transient, seconds(10), ChildKind::Worker);
    assert_eq!(shown(&own), overridden);
    let used = ChildSpec::worker::<Own>("used", || ())
        .restart(Restart::Temporary)
        .shutdown(Shutdown::Brutal);
    let overridden = (Restart::Temporary, Shutdown::Brutal, ChildKind::Worker);
    assert_eq!(shown(&used), overridden);
    // And they are what a supervisor goes by: a transient child that ends well stays ended, a
    // permanent one does not.
    let node = node();
    let log = Log::default();
    let supervisor = Supervisor::one_for_one()
        .child(ChildSpec::worker::<Own>("own", || ()).options(|| Options::new().name("own")))
        .child(
            ChildSpec::worker::<Server>("plain", move || Start::plain(&log))
                .options(|| Options::new().name("plain")),
        );
    let supervisor = supervisor.start(&node, Options::new()).await.unwrap();
    let first = node.whereis_ref::<Server>("plain").unwrap();
    let own = node.whereis_ref::<Own>("own").unwrap();
    let five = Duration::from_secs(5);
    assert_eq!(own.stop(ExitReason::Normal, five).await, Ok(()));
    assert_eq!(first.stop(ExitReason::Normal, five).await, Ok(()));
    otp::eventually!(node.whereis("plain").is_some_and(|pid| pid != first.pid()));
    assert_eq!(node.whereis("own"), None);
    drop(supervisor);
}

/// Calls, casts, stops: a server that lives.
async fn works(server: &ServerRef<Server>) {
    assert_eq!(server.call(Message::Get).await, Ok(7));
    server.cast(Message::Set(8));
    assert_eq!(server.call(Message::Get).await, Ok(8));
}

async fn started_without_a_name() {
    let node = node();
    let (log, starter_log) = (Log::default(), Log::default());
    let starter = start(&node, Start::trapping(&starter_log)).await;
    let link = |name: Option<&'static str>| {
        let options = match name {
            Some(name) => Options::new().name(name),
            None => Options::new(),
        };
        start_from(&starter, How::Linked, Start::plain(&log), options)
    };
    let (server, _) = link(None).await.unwrap();
    let info = node.process_info(server.pid()).unwrap();
    assert_eq!((info.name, info.links), (None, vec![starter.pid()]));
    works(&server).await;
    end(&server).await;
    // Names that nobody can have are refused, and no server is started under them.
    for reserved in ["", "undefined"] {
        let refused = link(Some(reserved)).await;
        assert!(
            matches!(refused, Err(StartError::Failed(ExitReason::Error(_)))),
            "{refused:?}"
        );
        assert_eq!(node.whereis(reserved), None);
    }
    assert_eq!(node.process_count(), 1);
    assert_eq!(starter_log.all(), ["init", "EXIT normal"]);
}

async fn started_under_a_key() {
    let node = node();
    let log = Log::default();
    let starter = start(&node, Start::trapping(&log)).await;
    let registry = Registry::<&str>::new(&node);
    let options = || Options::new().register_in(&registry, "key");
    let first = start_from(&starter, How::Linked, Start::plain(&log), options());
    let (first, _) = first.await.unwrap();
    let again = start_from(&starter, How::Linked, Start::plain(&log), options()).await;
    assert_eq!(again.err(), Some(StartError::AlreadyStarted(first.pid())));
    works(&registry.lookup_ref::<Server>(&"key").unwrap()).await;
    end(&first).await;
    assert_eq!(registry.lookup(&"key"), None);
}

/// Stands for a global name, see the header of the module.
async fn started_under_a_name_of_another_node() {
    let (here, there) = (node(), Node::new("there"));
    here.connect(&there);
    let log = Log::default();
    let options = || Options::new().name("far");
    let first = otp::start::<Server>(&there, Start::plain(&log), options());
    let first = first.await.unwrap();
    let again = otp::start::<Server>(&there, Start::plain(&log), options()).await;
    assert_eq!(again.err(), Some(StartError::AlreadyStarted(first.pid())));
    let found = here.node_named("there").unwrap();
    works(&found.whereis_ref::<Server>("far").unwrap()).await;
    assert_eq!(here.whereis("far"), None, "a name is of one node");
    end(&first).await;
    assert_eq!(found.whereis("far"), None);
}

async fn started_under_a_name() {
    let node = node();
    let log = Log::default();
    let starter = start(&node, Start::trapping(&log)).await;
    let options = || Options::new().name("local");
    let first = start_from(&starter, How::Linked, Start::plain(&log), options());
    let (first, _) = first.await.unwrap();
    let again = start_from(&starter, How::Linked, Start::plain(&log), options()).await;
    assert_eq!(again.err(), Some(StartError::AlreadyStarted(first.pid())));
    assert_eq!(
        node.process_info(first.pid()).unwrap().name.as_deref(),
        Some("local")
    );
    works(&node.whereis_ref::<Server>("local").unwrap()).await;
    end(&first).await;
    assert_eq!(node.whereis("local"), None);
}

async fn started_without_a_link() {
    let node = node();
    let (log, starter_log) = (Log::default(), Log::default());
    let starter = start(&node, Start::plain(&starter_log)).await;
    let alone = || start_from(&starter, How::Alone, Start::plain(&log), Options::new());
    let ((first, _), (second, _)) = (alone().await.unwrap(), alone().await.unwrap());
    // The end of the server does not concern the starter, nor the other way round.
    tell(&first, |_, _| Next::Stop(ExitReason::Custom("bad".into())));
    first.wait_for_exit().await;
    within(&starter, |_, _| ()).await;
    assert_eq!(starter_log.all(), ["init"]);
    node.exit(starter.pid(), ExitReason::Kill);
    starter.wait_for_exit().await;
    works(&second).await;
}
