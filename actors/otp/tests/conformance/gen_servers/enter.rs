//! Processes that become a server after a body of their own (`enter_loop`).

use std::time::Duration;

use otp::{
    At, Body, CallError, Destination, Enter, ExitReason, Info, Next, Node, Options, Registry,
    ServerRef, StartError,
};
use tokio::sync::oneshot;

use crate::gen_servers::server::{Message, Server, Start, start, tell, within};
use crate::support::{Log, node};

crate::cases! {
    a_process_becomes_a_server_under_every_name: "GSRV-042";
    a_body_may_take_its_time_or_fail: "GSRV-042";
    a_body_may_ask_for_a_timeout [Paused]: "GSRV-042";
    the_end_of_a_parent_with_a_name: "GSRV-043";
    the_end_of_a_parent_with_a_name_for_other_nodes: "GSRV-044";
    a_name_of_somebody_else_is_refused: "GSRV-045";
}

const LONG: Duration = Duration::from_secs(10);

/// A body that traps exits, waits, and gives what `give` makes of the state.
fn body(
    log: &Log,
    gate: Option<oneshot::Receiver<()>>,
    give: impl FnOnce(Server) -> Enter<Server> + Send + 'static,
) -> Body<Server> {
    let log = log.clone();
    Box::new(move |ctx| {
        Box::pin(async move {
            ctx.trap_exit(true);
            log.add("body");
            if let Some(gate) = gate {
                let _ = gate.await;
            }
            give(Server::new(log))
        })
    })
}

fn plain(log: &Log) -> Body<Server> {
    body(log, None, |server| Enter::Server(server, Next::Go))
}

async fn works(server: &ServerRef<Server>) {
    assert_eq!(server.call(Message::Get).await, Ok(7));
    server.cast(Message::Set(8));
    assert_eq!(server.call(Message::Get).await, Ok(8));
}

async fn a_process_becomes_a_server_under_every_name() {
    let (node, there) = (node(), Node::new("there"));
    there.connect(&node);
    let registry = Registry::<u8>::new(&node);
    for kind in ["none", "local", "key", "far"] {
        let log = Log::default();
        let options = match kind {
            "local" | "far" => Options::new().name("mine"),
            "key" => Options::new().register_in(&registry, 1),
            _ => Options::new(),
        };
        let body = match kind {
            "local" | "far" => body(&log, None, |server| {
                Enter::Named("mine".into(), server, Next::Go)
            }),
            _ => plain(&log),
        };
        let server = otp::start_body::<Server>(&node, body, options)
            .await
            .unwrap();
        let mine = At {
            name: "mine",
            node: node.name(),
        };
        let found: ServerRef<Server> = match kind {
            "local" => "mine".resolve(&node).unwrap(),
            "key" => registry.lookup_ref(&1).unwrap(),
            // Stands for a global name, see the header of the module.
            "far" => mine.resolve(&there).unwrap(),
            _ => server.clone(),
        };
        assert_eq!(found, server);
        works(&found).await;
        node.send(server.pid(), Box::new("info"));
        within(&server, |_, _| ()).await;
        assert_eq!(found.stop(ExitReason::Normal, LONG).await, Ok(()));
        assert_eq!(log.all(), ["body", "info", "terminate normal"]);
        assert_eq!(found.call(Message::Get).await, Err(CallError::NoProc));
        assert_eq!((node.whereis("mine"), registry.lookup(&1)), (None, None));
    }
    // One that gives itself its name in its body.
    let named: Body<Server> = Box::new(|ctx| {
        Box::pin(async move {
            ctx.node().register("own", ctx.pid()).unwrap();
            Enter::Named("own".into(), Server::new(Log::default()), Next::Go)
        })
    });
    let server = otp::start_body::<Server>(&node, named, Options::new())
        .await
        .unwrap();
    works(&server).await;
    assert_eq!(node.whereis("own"), Some(server.pid()));
    // Its parent's EXIT ends it, whatever it traps.
    let log = Log::default();
    let parent = start(&node, Start::plain(&Log::default())).await;
    let child = plain(&log);
    let child = within(&parent, |_, ctx| {
        ctx.start_body_link::<Server>(child, Options::new())
    });
    let child = child.await.await.unwrap();
    works(&child).await;
    assert_eq!(
        within(&child, |_, ctx| ctx.parent()).await,
        Some(parent.pid())
    );
    tell(&parent, |_, _| Next::Stop(ExitReason::Shutdown));
    assert_eq!(child.wait_for_exit().await, ExitReason::Shutdown);
    assert_eq!(log.all(), ["body", "terminate shutdown"]);
}

async fn a_body_may_take_its_time_or_fail() {
    let node = node();
    let log = Log::default();
    let (open, gate) = oneshot::channel();
    let slow = body(&log, Some(gate), |server| Enter::Server(server, Next::Go));
    // The starter does not wait for it; messages to it do.
    let server = otp::start_body::<Server>(&node, slow, Options::new())
        .await
        .unwrap();
    let waiting = server.send_request(Message::Get);
    server.cast(Message::Note("waited"));
    let early = server.call_timeout(Duration::from_millis(20), Message::Get);
    assert_eq!(early.await, Err(CallError::Timeout));
    assert_eq!(log.all(), ["body"]);
    open.send(()).unwrap();
    assert_eq!(waiting.receive(LONG).await, Ok(7));
    assert_eq!(server.call(Message::Get).await, Ok(7));
    assert_eq!(log.all(), ["body", "waited"]);
    // It ends, it panics, it is killed: without `terminate`, and callers are told.
    for how in ["stop", "panic", "kill"] {
        let log = Log::default();
        let (open, gate) = oneshot::channel();
        let why = ExitReason::Custom("not today".into());
        let reason = why.clone();
        let fails = body(&log, Some(gate), move |_| {
            assert!(how != "panic", "the body panics");
            Enter::Stop(reason)
        });
        let server = otp::start_body::<Server>(&node, fails, Options::new())
            .await
            .unwrap();
        let waiting = server.send_request(Message::Get);
        if how == "kill" {
            node.exit(server.pid(), ExitReason::Kill);
        } else {
            open.send(()).unwrap();
        }
        let ended = server.wait_for_exit().await;
        match how {
            "stop" => assert_eq!(ended, why),
            "kill" => assert_eq!(ended, ExitReason::Killed),
            _ => assert!(
                matches!(&ended, ExitReason::Panic { message, .. } if &**message == "the body panics")
            ),
        }
        assert_eq!(waiting.receive(LONG).await, Err(CallError::Exit(ended)));
        assert!(
            log.all().iter().all(|line| line == "body"),
            "{:?}",
            log.all()
        );
    }
    // A parent that ends meanwhile ends it when it becomes a server.
    let log = Log::default();
    let (open, gate) = oneshot::channel();
    let parent = start(&node, Start::plain(&Log::default())).await;
    let slow = body(&log, Some(gate), |server| Enter::Server(server, Next::Go));
    let child = within(&parent, |_, ctx| {
        ctx.start_body_link::<Server>(slow, Options::new())
    });
    let child = child.await.await.unwrap();
    otp::eventually!(log.len() == 1);
    tell(&parent, |_, _| Next::Stop(ExitReason::Shutdown));
    parent.wait_for_exit().await;
    open.send(()).unwrap();
    assert_eq!(child.wait_for_exit().await, ExitReason::Shutdown);
    assert_eq!(log.all(), ["body", "terminate shutdown"]);
}

async fn a_body_may_ask_for_a_timeout() {
    let node = node();
    let short = Duration::from_millis(100);
    for (next, expected) in [
        (Next::Timeout(short), "timeout"),
        (Next::Timeout(Duration::ZERO), "timeout"),
        (Next::Continue(Message::Note("continued")), "continued"),
        (Next::Hibernate, "hibernate"),
    ] {
        let log = Log::default();
        let body = body(&log, None, |server| Enter::Server(server, next));
        let server = otp::start_body::<Server>(&node, body, Options::new()).await;
        tokio::time::sleep(2 * short).await;
        assert_eq!(log.all(), ["body", expected]);
        works(&server.unwrap()).await;
    }
    // An info of its decides like any other.
    let log = Log::default();
    let body = body(&log, None, move |mut server| {
        server.on_info = Some(Box::new(|info| match info {
            Info::Timeout => Next::Stop(ExitReason::Custom("late".into())),
            _ => Next::Go,
        }));
        Enter::Server(server, Next::Timeout(short))
    });
    let server = otp::start_body::<Server>(&node, body, Options::new())
        .await
        .unwrap();
    assert_eq!(
        server.wait_for_exit().await,
        ExitReason::Custom("late".into())
    );
}

/// A process knows its parent by its pid, whatever names that has, or gets, or loses.
async fn the_end_of_a_parent_with_a_name() {
    let node = node();
    for renamed in [false, true] {
        let log = Log::default();
        let options = Options::new().name("parent");
        let parent = otp::start::<Server>(&node, Start::plain(&Log::default()), options).await;
        let parent = parent.unwrap();
        let child = plain(&log);
        let child = within(&parent, |_, ctx| {
            ctx.start_body_link::<Server>(child, Options::new())
        });
        let child = child.await.await.unwrap();
        works(&child).await;
        if renamed {
            node.unregister("parent").unwrap();
            node.register("other", parent.pid()).unwrap();
        }
        let reason = ExitReason::Custom("parent".into());
        let why = reason.clone();
        tell(&parent, |_, _| Next::Stop(why));
        assert_eq!(child.wait_for_exit().await, reason);
        assert_eq!(log.all(), ["body", "terminate custom: parent"]);
    }
}

/// Stands for a global name, see the header of the module.
async fn the_end_of_a_parent_with_a_name_for_other_nodes() {
    let (here, there) = (node(), Node::new("there"));
    here.connect(&there);
    let log = Log::default();
    let options = Options::new().name("parent");
    otp::start::<Server>(&there, Start::plain(&Log::default()), options)
        .await
        .unwrap();
    let at = At {
        name: "parent",
        node: "there",
    };
    let parent: ServerRef<Server> = at.resolve(&here).unwrap();
    let child = plain(&log);
    let child = within(&parent, |_, ctx| {
        ctx.start_body_link::<Server>(child, Options::new())
    });
    let child = child.await.await.unwrap();
    works(&child).await;
    let stopped = here
        .stop_server::<Server>(at, ExitReason::Shutdown, LONG)
        .await;
    assert_eq!(stopped, Ok(()));
    assert_eq!(child.wait_for_exit().await, ExitReason::Shutdown);
    assert_eq!(log.all(), ["body", "terminate shutdown"]);
}

async fn a_name_of_somebody_else_is_refused() {
    let node = node();
    let options = || Options::new().name("taken");
    let owner = otp::start::<Server>(&node, Start::plain(&Log::default()), options()).await;
    let owner = owner.unwrap();
    // To begin with.
    let log = Log::default();
    let refused = otp::start_body::<Server>(&node, plain(&log), options()).await;
    assert_eq!(refused.err(), Some(StartError::AlreadyStarted(owner.pid())));
    assert_eq!(log.len(), 0, "its body did not run");
    // At the end of the body: a name of another, and one of nobody.
    for name in ["taken", "free"] {
        let log = Log::default();
        let enters = body(&log, None, move |server| {
            Enter::Named(name.into(), server, Next::Go)
        });
        let server = otp::start_body::<Server>(&node, enters, Options::new()).await;
        let reason = server.unwrap().wait_for_exit().await;
        let why = format!("the process is not registered as {name}");
        assert_eq!(reason, ExitReason::Error(why.into()));
        assert_eq!(log.all(), ["body"]);
    }
    works(&owner).await;
    assert_eq!(node.whereis("taken"), Some(owner.pid()));
    assert_eq!(node.whereis("free"), None);
}
