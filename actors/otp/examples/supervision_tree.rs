//! A supervision tree that fails in parts, and what is restarted each time.
//!
//! Run it with `cargo run -p guildhall-otp --example supervision_tree`.

use std::time::Duration;

use otp::report::{Format, Report};
use otp::{
    ChildSpec, ChildState, Context, DynamicSupervisor, DynamicSupervisorRef, ExitReason, GenServer,
    Init, Next, Node, Options, Restart, Supervisor, SupervisorRef,
};

/// Prints when it starts and ends; ends for whatever reason it is sent.
struct Actor(&'static str);

impl GenServer for Actor {
    type Args = &'static str;
    type Message = ExitReason;

    async fn init(name: &'static str, ctx: &mut Context<Self>) -> Init<Self> {
        ctx.trap_exit(true);
        println!("    {name} starts");
        Init::Ok(Actor(name))
    }

    async fn handle(&mut self, reason: ExitReason, _ctx: &mut Context<Self>) -> Next<Self> {
        Next::Stop(reason)
    }

    async fn terminate(&mut self, reason: &ExitReason, _ctx: &mut Context<Self>) {
        println!("    {} ends: {reason}", self.0);
    }
}

fn actor(name: &'static str) -> ChildSpec {
    ChildSpec::worker::<Actor>(name, move || name).options(move || Options::new().name(name))
}

/// A database connection, whose users come after it; and guilds, started on demand.
fn tree() -> Supervisor {
    let storage = || {
        Supervisor::rest_for_one()
            .intensity(2, Duration::from_secs(5))
            .child(actor("connection"))
            .child(actor("cache"))
            .child(actor("index"))
    };
    Supervisor::one_for_one()
        .intensity(2, Duration::from_secs(5))
        .child(ChildSpec::supervisor("storage", storage))
        .child(
            ChildSpec::dynamic_supervisor("guilds", DynamicSupervisor::new)
                .options(|| Options::new().name("guilds")),
        )
}

async fn crash(node: &Node, name: &str) {
    if let Some(actor) = node.whereis_ref::<Actor>(name) {
        actor.cast(ExitReason::Error("something broke".into()));
        actor.wait_for_exit().await;
    }
}

async fn show(supervisor: &SupervisorRef) {
    // The answer comes after everything that was to be restarted.
    let Ok(children) = supervisor.which_children().await else {
        return println!("    (the supervisor has ended)");
    };
    for child in children {
        match child.state {
            ChildState::Running(pid) => println!("    {}: runs as {pid}", child.id),
            ChildState::Restarting => println!("    {}: is being restarted", child.id),
            ChildState::Stopped => println!("    {}: does not run", child.id),
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The stack traces of the runtime are not what this is about.
    std::panic::set_hook(Box::new(|_| {}));
    let node = Node::new("example");
    node.on_report(|report| {
        if let Report::Supervisor(_) = report {
            let line = Format {
                single_line: true,
                ..Format::default()
            };
            println!("    [report] {}", report.format(line));
        }
    });

    println!("1. A tree starts, children in order:");
    let root = tree().start(&node, Options::new().name("root")).await?;
    let storage = SupervisorRef::from_pid(&node, root.child("storage").await?)
        .ok_or("storage is a supervisor")?;
    show(&storage).await;

    println!("2. The cache crashes; rest for one: what started after it goes with it.");
    crash(&node, "cache").await;
    show(&storage).await;

    println!("3. Children are started on demand; a transient one that ends normally is done.");
    let guilds = DynamicSupervisorRef::whereis(&node, "guilds").ok_or("it was started")?;
    let transient = |name| actor(name).restart(Restart::Transient);
    guilds.start_child(transient("guild 1")).await?;
    guilds.start_child(transient("guild 2")).await?;
    crash(&node, "guild 1").await;
    if let Some(guild) = node.whereis_ref::<Actor>("guild 2") {
        guild.cast(ExitReason::Normal);
        guild.wait_for_exit().await;
    }
    println!("    guilds: {:?}", guilds.count_children().await?);

    println!("4. The connection crashes twice more, which is too much for storage, not for root.");
    for _ in 0..2 {
        crash(&node, "connection").await;
        let _ = storage.which_children().await;
    }
    storage.wait_for_exit().await;
    show(&root).await;

    println!("5. The tree is stopped, the last child first:");
    root.stop(ExitReason::Shutdown, Duration::from_secs(5))
        .await?;
    println!("    processes left: {}", node.process_count());
    Ok(())
}
