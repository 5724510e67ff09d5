//! A million idle supervised processes on one node, and a tenth of them killed at once.
//!
//! `cargo run --release -p guildhall-otp --example million -- [processes]` prints one line of JSON
//! and fails if a rule was broken:
//!
//! * every monitor of a process that ended fires once, no other fires;
//! * a supervisor restarts its children up to its intensity; the one that gets a kill more gives
//!   up and takes its children along;
//! * in the end as many processes are there as must be.
//!
//! Meanwhile a server that has nothing to do with it is called every millisecond, before and
//! during; `slowdown` is the ratio of the two 99th percentiles.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use otp::{
    ChildSpec, Context, DynamicSupervisor, DynamicSupervisorRef, ExitReason, From, GenServer, Info,
    Init, Next, Node, Options, Pid, ServerRef,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Supervisors, each with its share of the processes and a watcher.
const SUPERVISORS: usize = 100;

/// One in so many is killed.
const SPARED: usize = 10;

/// Longest time the whole recovery may take.
const LIMIT: Duration = Duration::from_secs(120);

/// Time the unrelated server is called before anything happens.
const IDLE: Duration = Duration::from_secs(5);

/// A process with nothing to do.
struct Idle;

impl GenServer for Idle {
    type Args = ();
    type Message = ();

    async fn init((): (), _ctx: &mut Context<Idle>) -> Init<Idle> {
        Init::Ok(Idle)
    }

    async fn handle(&mut self, (): (), _ctx: &mut Context<Idle>) -> Next<Idle> {
        Next::Go
    }
}

/// The unrelated server.
struct Clerk;

impl GenServer for Clerk {
    type Args = ();
    type Message = From<()>;

    async fn init((): (), _ctx: &mut Context<Clerk>) -> Init<Clerk> {
        Init::Ok(Clerk)
    }

    async fn handle(&mut self, from: From<()>, _ctx: &mut Context<Clerk>) -> Next<Clerk> {
        from.reply(());
        Next::Go
    }
}

/// Monitors the processes of one supervisor.
struct Watcher {
    /// How often the monitor of each has fired.
    fired: HashMap<Pid, u32>,
    all: Arc<AtomicUsize>,
}

impl GenServer for Watcher {
    type Args = (Vec<Pid>, Arc<AtomicUsize>);
    type Message = From<HashMap<Pid, u32>>;

    async fn init((pids, all): Self::Args, ctx: &mut Context<Watcher>) -> Init<Watcher> {
        for pid in pids {
            ctx.monitor(pid);
        }
        let fired = HashMap::new();
        Init::Ok(Watcher { fired, all })
    }

    async fn handle(&mut self, from: Self::Message, _ctx: &mut Context<Watcher>) -> Next<Watcher> {
        from.reply(self.fired.clone());
        Next::Go
    }

    async fn handle_info(&mut self, info: Info, _ctx: &mut Context<Watcher>) -> Next<Watcher> {
        if let Info::Down { pid, .. } = info {
            *self.fired.entry(pid).or_default() += 1;
            self.all.fetch_add(1, Ordering::Relaxed);
        }
        Next::Go
    }
}

/// A supervisor with its children, and who watches them.
struct Family {
    supervisor: DynamicSupervisorRef,
    children: Vec<Pid>,
    watcher: ServerRef<Watcher>,
}

impl Family {
    async fn start(
        node: &Node,
        size: usize,
        intensity: usize,
        downs: Arc<AtomicUsize>,
    ) -> Result<Family, Error> {
        let supervisor = DynamicSupervisor::new()
            .intensity(intensity, Duration::from_secs(3600))
            .start(node, Options::new())
            .await?;
        let mut children = Vec::with_capacity(size);
        for _ in 0..size {
            let child = ChildSpec::worker::<Idle>("idle", || ());
            children.push(supervisor.start_child(child).await?);
        }
        let arguments = (children.clone(), downs);
        let watcher = otp::start::<Watcher>(node, arguments, Options::new()).await?;
        Ok(Family {
            supervisor,
            children,
            watcher,
        })
    }

    fn victims(&self) -> impl Iterator<Item = Pid> {
        self.children.iter().copied().step_by(SPARED)
    }
}

/// Calls the server every millisecond while the switch is on; the latencies in microseconds.
async fn call_while(clerk: ServerRef<Clerk>, on: Arc<AtomicBool>) -> Result<Vec<u64>, Error> {
    let mut latencies = Vec::new();
    while on.load(Ordering::Relaxed) {
        let begun = Instant::now();
        clerk.call(|from| from).await?;
        latencies.push(begun.elapsed().as_micros() as u64);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    latencies.sort_unstable();
    Ok(latencies)
}

fn percentile(sorted: &[u64], percent: usize) -> u64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get(last * percent / 100).copied().unwrap_or(0)
}

/// Resident memory in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split_whitespace().nth(1);
    pages
        .and_then(|pages| pages.parse().ok())
        .unwrap_or(0_usize)
        * 4096
}

async fn run(node: &Node, processes: usize) -> Result<(), Error> {
    let size = processes / SUPERVISORS;
    let killed = size.div_ceil(SPARED);
    let downs = Arc::new(AtomicUsize::new(0));
    let before = resident();
    let begun = Instant::now();
    let mut families = Vec::new();
    for number in 0..SUPERVISORS {
        // The last one gets one kill too many.
        let intensity = killed - usize::from(number == SUPERVISORS - 1);
        families.push(Family::start(node, size, intensity, downs.clone()).await?);
        if (number + 1) % (SUPERVISORS / 10) == 0 {
            eprintln!("{} of {processes} processes", (number + 1) * size);
        }
    }
    let started = begun.elapsed();
    let bytes = (resident() - before) / processes;

    let clerk = otp::start::<Clerk>(node, (), Options::new()).await?;
    let on = Arc::new(AtomicBool::new(true));
    let idle = tokio::spawn(call_while(clerk.clone(), on.clone()));
    tokio::time::sleep(IDLE).await;
    on.store(false, Ordering::Relaxed);
    let idle = idle.await??;

    let on = Arc::new(AtomicBool::new(true));
    let busy = tokio::spawn(call_while(clerk, on.clone()));
    let begun = Instant::now();
    for pid in families.iter().flat_map(Family::victims) {
        node.exit(pid, ExitReason::Kill);
    }
    let sent = begun.elapsed();
    // All killed ones of the supervisors that go on, all children of the one that gives up.
    let expected = (SUPERVISORS - 1) * killed + size;
    let alive = (SUPERVISORS - 1) * (size + 2) + 1;
    let whole = || downs.load(Ordering::Relaxed) >= expected && node.process_count() <= alive + 2;
    while !whole() {
        if begun.elapsed() > LIMIT {
            return Err(format!(
                "{} of {expected} monitors fired",
                downs.load(Ordering::Relaxed)
            )
            .into());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut restarted = 0;
    for family in &families[..SUPERVISORS - 1] {
        restarted += family.supervisor.count_children().await?.active;
    }
    let recovered = begun.elapsed();
    on.store(false, Ordering::Relaxed);
    let busy = busy.await??;

    check(&families, size, restarted).await?;
    let (before, during) = (percentile(&idle, 99), percentile(&busy, 99));
    println!(
        "{{\"processes\":{processes},\"start_us_each\":{:.2},\"bytes_each\":{bytes},\
         \"killed\":{},\"monitors_fired\":{expected},\"kills_sent_ms\":{},\"recovered_ms\":{},\
         \"call_us\":{{\"idle_p50\":{},\"idle_p99\":{before},\"busy_p50\":{},\"busy_p99\":{during},\
         \"busy_max\":{},\"busy_calls\":{}}},\"slowdown\":{:.1}}}",
        started.as_secs_f64() * 1e6 / processes as f64,
        killed * SUPERVISORS,
        sent.as_millis(),
        recovered.as_millis(),
        percentile(&idle, 50),
        percentile(&busy, 50),
        percentile(&busy, 100),
        busy.len(),
        during as f64 / before.max(1) as f64,
    );
    Ok(())
}

/// Fails if a monitor did not fire once, or a supervisor did other than its intensity says.
async fn check(families: &[Family], size: usize, restarted: usize) -> Result<(), Error> {
    let (last, others) = families.split_last().ok_or("no supervisors")?;
    if restarted != others.len() * size {
        return Err(format!(
            "{restarted} children are there, not {}",
            others.len() * size
        )
        .into());
    }
    for family in others {
        let fired = family.watcher.call(|from| from).await?;
        let once = family.victims().all(|pid| fired.get(&pid) == Some(&1));
        if !once || fired.len() != family.victims().count() {
            return Err("a monitor did not fire once, or one too many did".into());
        }
    }
    if last.supervisor.is_alive() {
        return Err("a supervisor went on beyond its intensity".into());
    }
    let fired = last.watcher.call(|from| from).await?;
    if last.children.iter().any(|pid| fired.get(pid) != Some(&1)) {
        return Err("a child outlived its supervisor, or its end was told twice".into());
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let count = std::env::args().nth(1);
    let processes = count.map_or(Ok(1_000_000), |count| count.parse::<usize>())?;
    if processes < SUPERVISORS * SPARED {
        return Err(format!("at least {} processes are needed", SUPERVISORS * SPARED).into());
    }
    // On a worker like everything else: the thread of `main` would have to be woken for each answer.
    tokio::spawn(async move { run(&Node::new("million"), processes).await }).await?
}
