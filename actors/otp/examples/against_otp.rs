//! One operation of the runtime, measured; the counterpart of `benches/against_otp/bench.erl`.
//!
//! `cargo run --release -p guildhall-otp --example against_otp -- call 200000` prints one line of
//! JSON: processor time of all threads in nanoseconds per operation, or bytes. The script
//! `benches/against_otp/run` runs both drivers in turn and compares.
//!
//! As the product does, it allocates with mimalloc; the runtime is tokio's for one thread.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use otp::{
    ChildSpec, Context, DynamicSupervisor, ExitReason, From, GenServer, Init, Next, Node, Options,
    Registry, Restart, ServerRef, Supervisor,
};
use tokio::sync::{mpsc, oneshot};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// What an operation cost.
type Figures = BTreeMap<&'static str, f64>;

/// Casts between two calls that wait for the server, so that no mailbox comes near its limit.
const WINDOW: usize = 1_000;

/// Callers at once.
const CALLERS: usize = 100;

/// Bytes of the payload that is fanned out.
const PAYLOAD: usize = 1_024;

/// Restarts between two fresh supervisors: each looks through its log of restarts.
const RESTARTS: usize = 100;

/// Registered names and keys.
const NAMES: usize = 10_000;

/// The server of all operations.
struct Counter {
    sum: u64,
}

enum Message {
    Add(u64),
    Get(From<u64>),
    Event(Bytes, Arc<Fan>),
}

/// What a new server tells, and to whom.
type Args = Option<mpsc::UnboundedSender<otp::Pid>>;

impl GenServer for Counter {
    type Args = Args;
    type Message = Message;

    async fn init(started: Args, ctx: &mut Context<Counter>) -> Init<Counter> {
        if let Some(started) = started {
            let _ = started.send(ctx.pid());
        }
        Init::Ok(Counter { sum: 0 })
    }

    async fn handle(&mut self, message: Message, _ctx: &mut Context<Counter>) -> Next<Counter> {
        match message {
            Message::Add(number) => self.sum += number,
            Message::Get(from) => from.reply(self.sum),
            Message::Event(payload, fan) => {
                self.sum += payload.len() as u64;
                fan.handled();
            }
        }
        Next::Go
    }
}

/// One round of a fan-out.
struct Fan {
    left: AtomicUsize,
    done: mpsc::UnboundedSender<()>,
}

impl Fan {
    fn handled(&self) {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            let _ = self.done.send(());
        }
    }
}

/// Processor time of all threads so far, in nanoseconds.
fn cpu() -> u64 {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten();
    let times = threads.flatten().filter_map(|thread| {
        let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    times.sum()
}

/// Resident memory in bytes.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split_whitespace().nth(1);
    pages.and_then(|pages| pages.parse().ok()).unwrap_or(0_u64) * 4096
}

fn each(name: &'static str, used: u64, count: usize) -> Figures {
    Figures::from([(name, used as f64 / count as f64)])
}

async fn server(node: &Node) -> Result<ServerRef<Counter>, Error> {
    Ok(otp::start::<Counter>(node, None, Options::new()).await?)
}

async fn servers(node: &Node, count: usize) -> Result<Vec<ServerRef<Counter>>, Error> {
    let mut servers = Vec::with_capacity(count);
    for _ in 0..count {
        servers.push(server(node).await?);
    }
    Ok(servers)
}

/// Lets new processes go from the end of their `init` to their rest.
async fn settle() {
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
}

/// Starts servers nobody is linked to, and looks at what they hold.
async fn spawn(node: &Node, count: usize) -> Result<Figures, Error> {
    let warm = servers(node, count / 10).await?;
    settle().await;
    let (memory, begun) = (resident(), cpu());
    let servers = servers(node, count).await?;
    settle().await;
    let mut figures = each("ns", cpu() - begun, count);
    let memory = resident() - memory;
    figures.insert("bytes", memory as f64 / count as f64);
    assert_eq!(node.process_count(), servers.len() + warm.len() + 1);
    Ok(figures)
}

/// Starts children of a supervisor that starts them on demand.
async fn spawn_supervised(node: &Node, count: usize) -> Result<Figures, Error> {
    let supervisor = DynamicSupervisor::new().start(node, Options::new()).await?;
    let child = || async {
        let spec = ChildSpec::worker::<Counter>("child", || None).restart(Restart::Temporary);
        supervisor.start_child(spec).await
    };
    for _ in 0..count / 10 {
        child().await?;
    }
    let begun = cpu();
    for _ in 0..count {
        child().await?;
    }
    settle().await;
    Ok(each("ns", cpu() - begun, count))
}

/// One caller, one call after the other, each with the time-out of 5 s.
async fn call(node: &Node, count: usize) -> Result<Figures, Error> {
    let server = server(node).await?;
    for _ in 0..count / 10 {
        server.call(Message::Get).await?;
    }
    let begun = cpu();
    for _ in 0..count {
        server.call(Message::Get).await?;
    }
    Ok(each("ns", cpu() - begun, count))
}

/// Many callers of one server at once.
async fn call_many(node: &Node, count: usize) -> Result<Figures, Error> {
    let server = server(node).await?;
    let mut begins = Vec::new();
    let mut callers = Vec::new();
    for _ in 0..CALLERS {
        let server = server.clone();
        let (begin, wait) = oneshot::channel::<()>();
        begins.push(begin);
        callers.push(otp::task::spawn(node, "caller", async move {
            server.call(Message::Get).await?;
            let _ = wait.await;
            for _ in 0..count / CALLERS {
                server.call(Message::Get).await?;
            }
            Ok::<(), otp::CallError>(())
        }));
    }
    for _ in 0..count / 10 {
        server.call(Message::Get).await?;
    }
    let begun = cpu();
    drop(begins);
    for caller in callers {
        caller.await.map_err(|reason| reason.to_string())??;
    }
    Ok(each("ns", cpu() - begun, count))
}

/// Casts to one server.
async fn cast(node: &Node, count: usize) -> Result<Figures, Error> {
    let server = server(node).await?;
    let mut begun = 0;
    for round in 0..count / WINDOW + 100 {
        if round == 100 {
            begun = cpu();
        }
        for _ in 0..WINDOW {
            server.cast(Message::Add(1));
        }
        server.call(Message::Get).await?;
    }
    let used = cpu() - begun;
    assert_eq!(
        server.call(Message::Get).await?,
        (count / WINDOW + 100) as u64 * WINDOW as u64
    );
    Ok(each("ns", used, count))
}

/// Gives one payload to many servers, and waits until all have handled it.
async fn fan_out(node: &Node, width: usize, count: usize) -> Result<Figures, Error> {
    let servers = servers(node, width).await?;
    let payload = Bytes::from(vec![7; PAYLOAD]);
    let (done, mut finished) = mpsc::unbounded_channel();
    let rounds = (count / width).max(1);
    let mut begun = 0;
    for round in 0..rounds + 2 {
        if round == 2 {
            begun = cpu();
        }
        let fan = Arc::new(Fan {
            left: AtomicUsize::new(width),
            done: done.clone(),
        });
        for server in &servers {
            server.cast(Message::Event(payload.clone(), fan.clone()));
        }
        finished.recv().await;
    }
    Ok(each("ns", cpu() - begun, rounds * width))
}

/// Kills the child of a supervisor and waits until its successor answers.
async fn restart(node: &Node, count: usize) -> Result<Figures, Error> {
    let (started, mut pids) = mpsc::unbounded_channel();
    let mut used = 0;
    for round in 0..count / RESTARTS + 2 {
        let started = started.clone();
        let child = ChildSpec::worker::<Counter>("child", move || Some(started.clone()));
        let supervisor = Supervisor::one_for_one()
            .intensity(1_000_000, Duration::from_secs(1))
            .child(child)
            .start(node, Options::new())
            .await?;
        let mut pid = pids.recv().await.ok_or("no child")?;
        let begun = cpu();
        for _ in 0..RESTARTS {
            node.exit(pid, ExitReason::Kill);
            pid = pids.recv().await.ok_or("no successor")?;
            let child = node.server_ref::<Counter>(pid).ok_or("no child")?;
            child.call(Message::Get).await?;
        }
        // The first two rounds warm up.
        used += if round < 2 { 0 } else { cpu() - begun };
        let limit = Duration::from_secs(5);
        supervisor.stop(ExitReason::Shutdown, limit).await?;
    }
    Ok(each("ns", used, count / RESTARTS * RESTARTS))
}

/// Looks names and keys up.
async fn lookup(node: &Node, count: usize) -> Result<Figures, Error> {
    let registry = Registry::<u64>::new(node);
    let mut names = Vec::new();
    let mut kept = Vec::new();
    for number in 0..NAMES {
        let name = format!("server_{number}");
        let options = Options::new()
            .name(name.clone())
            .register_in(&registry, number as u64);
        kept.push(otp::start::<Counter>(node, None, options).await?);
        names.push(name);
    }
    let rounds = count / NAMES;
    let count = rounds * NAMES;
    let mut figures = Figures::new();
    let mut found = 0;

    let begun = cpu();
    for _ in 0..rounds {
        found += names.iter().filter_map(|name| node.whereis(name)).count();
    }
    figures.append(&mut each("whereis_ns", cpu() - begun, count));

    let begun = cpu();
    for _ in 0..rounds {
        let keys = 0..NAMES as u64;
        found += keys.filter_map(|key| registry.lookup(&key)).count();
    }
    figures.append(&mut each("registry_ns", cpu() - begun, count));

    let begun = cpu();
    for _ in 0..rounds {
        let keys = 0..NAMES as u64;
        let servers = keys.filter_map(|key| registry.lookup_ref::<Counter>(&key));
        found += servers.filter(ServerRef::is_alive).count();
    }
    figures.append(&mut each("registry_ref_ns", cpu() - begun, count));
    assert_eq!(found, 3 * count);
    Ok(figures)
}

async fn measure(node: Node, operation: String, count: usize) -> Result<Figures, Error> {
    match &*operation {
        "spawn" => spawn(&node, count).await,
        "spawn_supervised" => spawn_supervised(&node, count).await,
        "call" => call(&node, count).await,
        "call_100" => call_many(&node, count).await,
        "cast" => cast(&node, count).await,
        "fan_out_10k" => fan_out(&node, 10_000, count).await,
        "fan_out_100k" => fan_out(&node, 100_000, count).await,
        "restart" => restart(&node, count).await,
        "lookup" => lookup(&node, count).await,
        other => Err(format!("no operation is called {other}").into()),
    }
}

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let operation = arguments.next().ok_or("which operation?")?;
    let count = arguments.next().ok_or("how many times?")?.parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let figures = runtime.block_on(async {
        let node = Node::new("bench");
        // In a process, as the driver of the other side is one.
        let work = measure(node.clone(), operation.clone(), count);
        let driver = otp::task::spawn(&node, "driver", work);
        driver.await.map_err(|reason| reason.to_string())?
    })?;
    let figures: Vec<String> = figures
        .iter()
        .map(|(name, value)| format!("\"{name}\":{value:.1}"))
        .collect();
    println!(
        "{{\"operation\":\"{operation}\",\"count\":{count},{}}}",
        figures.join(",")
    );
    Ok(())
}
