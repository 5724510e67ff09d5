//! Names: one process each, and free before anybody learns of the end.

use std::sync::Arc;

use otp::{
    Context, ExitReason, GenServer, Info, Init, NameError, Next, Node, Options, Pid, ServerRef,
    eventually,
};

use super::{RUNS, custom, message, probe};
use crate::support::{Log, Message, Plan, Worker, node, stop, worker};

crate::cases! {
    what_cannot_be_registered: "PROC-012";
    a_name_is_free_when_its_end_is_seen: "PROC-066", "PROC-114";
    the_name_is_shown_while_there_is_one: "PROC-096";
    sending_to_nobody: "PROC-112";
    one_name_each: "PROC-113";
    one_of_many_gets_the_name: "PROC-113";
}

async fn named(node: &Node, name: &str) -> ServerRef<Worker> {
    let options = Options::new().name(name);
    otp::start(node, Plan::default(), options).await.unwrap()
}

async fn what_cannot_be_registered() {
    let node = node();
    let other = Node::new("other");
    let gone = worker(&node).await;
    stop(&gone, ExitReason::Normal);
    gone.wait_for_exit().await;
    let never = Pid::from_parts(gone.pid().node(), gone.pid().incarnation(), u64::MAX);
    let foreign = worker(&other).await.pid();
    for pid in [gone.pid(), never, foreign, node.outside()] {
        assert_eq!(node.register("name", pid), Err(NameError::NoProc));
    }
    let alive = worker(&node).await.pid();
    for name in ["", "undefined"] {
        assert_eq!(node.register(name, alive), Err(NameError::Reserved));
    }
    assert_eq!(node.registered(), [] as [Arc<str>; 0]);
    assert_eq!(node.unregister("name"), Err(NameError::NotRegistered));
    // Nothing of all this hinders it.
    assert_eq!(node.register("name", alive), Ok(()));
    assert_eq!(node.whereis("name"), Some(alive));
}

/// Looks a name up within the handler that is told of its holder's end.
struct Witness {
    name: &'static str,
    log: Log,
}

impl GenServer for Witness {
    type Args = (&'static str, Log);
    type Message = Pid;

    async fn init((name, log): Self::Args, ctx: &mut Context<Witness>) -> Init<Witness> {
        ctx.trap_exit(true);
        Init::Ok(Witness { name, log })
    }

    async fn handle(&mut self, holder: Pid, ctx: &mut Context<Witness>) -> Next<Witness> {
        ctx.link(holder);
        ctx.monitor(holder);
        self.log.add("watching");
        Next::Go
    }

    async fn handle_info(&mut self, info: Info, ctx: &mut Context<Witness>) -> Next<Witness> {
        let what = match info {
            Info::Down { .. } => "DOWN",
            Info::Exit { .. } => "EXIT",
            other => panic!("{other:?}"),
        };
        match ctx.node().whereis(self.name) {
            None => self.log.add(format!("{what}, free")),
            Some(_) => self.log.add(format!("{what}, taken")),
        }
        Next::Go
    }
}

async fn a_name_is_free_when_its_end_is_seen() {
    let node = node();
    let log = Log::default();
    let witness = otp::start::<Witness>(&node, ("holder", log.clone()), Options::new());
    let witness = witness.await.unwrap();
    // Many others are told as well, which gives the witness time to look before the last is.
    let mut crowd = probe(&node).await;
    for run in 0..RUNS {
        log.clear();
        let holder = named(&node, "holder").await;
        let pid = holder.pid();
        crowd
            .run(move |ctx| {
                for _ in 0..100 {
                    ctx.monitor(pid);
                }
            })
            .await;
        witness.cast(holder.pid());
        eventually!(log.all() == ["watching"]);
        match run % 4 {
            0 => stop(&holder, custom("end")),
            1 => node.exit(holder.pid(), ExitReason::Kill),
            2 => node.exit(holder.pid(), custom("signal")),
            _ => holder.cast(Message::Run(Box::new(|_| panic!("end")))),
        }
        eventually!(log.len() == 3);
        let mut seen = log.all();
        seen.sort();
        assert_eq!(seen, ["DOWN, free", "EXIT, free", "watching"], "run {run}");
        super::arrived(&mut crowd, 100).await;
    }
}

async fn the_name_is_shown_while_there_is_one() {
    let node = node();
    let pid = worker(&node).await.pid();
    let shown = || node.process_info(pid).unwrap().name;
    assert_eq!(shown(), None);
    node.register("name", pid).unwrap();
    assert_eq!(shown().as_deref(), Some("name"));
    node.unregister("name").unwrap();
    assert_eq!(shown(), None);
}

async fn sending_to_nobody() {
    let node = node();
    let unknown = node.send_name("nobody", message(1));
    assert_eq!(unknown, Err(NameError::NotRegistered));
    let gone = named(&node, "somebody").await;
    assert_eq!(node.send_name("somebody", message(1)), Ok(()));
    stop(&gone, ExitReason::Normal);
    gone.wait_for_exit().await;
    // To the pid it is nothing: no error, no message, no process.
    assert!(!node.send(gone.pid(), message(1)));
    let unknown = node.send_name("somebody", message(1));
    assert_eq!(unknown, Err(NameError::NotRegistered));
    let mut probe = probe(&node).await;
    let sent = probe.run(move |ctx| ctx.send(gone.pid(), message(1)));
    assert!(!sent.await);
    probe.expect_nothing().await;
}

async fn one_name_each() {
    let node = node();
    let (one, two) = (worker(&node).await.pid(), worker(&node).await.pid());
    assert_eq!(node.register("a", one), Ok(()));
    assert_eq!(node.register("a", two), Err(NameError::Taken(one)));
    assert_eq!(node.register("a", one), Err(NameError::Taken(one)));
    let again = node.register("b", one);
    assert_eq!(again, Err(NameError::AlreadyNamed("a".into())));
    assert_eq!(node.whereis("b"), None, "the refused name is free");
    assert_eq!(node.register("b", two), Ok(()));
    assert_eq!(node.unregister("a"), Ok(()));
    assert_eq!(node.register("c", one), Ok(()), "having given up the first");
    assert_eq!(node.whereis("a"), None);
}

async fn one_of_many_gets_the_name() {
    let node = node();
    let mut pids = Vec::new();
    for _ in 0..4 {
        pids.push(worker(&node).await.pid());
    }
    for run in 0..RUNS {
        let tries = pids.iter().map(|pid| {
            let (node, pid) = (node.clone(), *pid);
            tokio::spawn(async move { node.register("name", pid).is_ok() })
        });
        let mut given = 0;
        for one in tries.collect::<Vec<_>>() {
            given += usize::from(one.await.unwrap());
        }
        assert_eq!(given, 1, "run {run}");
        let holder = node.whereis("name").unwrap();
        let info = node.process_info(holder).unwrap();
        assert_eq!(info.name.as_deref(), Some("name"));
        node.unregister("name").unwrap();
    }
}
