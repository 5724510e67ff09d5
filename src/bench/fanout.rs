//! `guildhall bench fanout`: N people in one channel, messages at a rate or with a window.
//!
//! ```text
//! this process                                       child: guildhall dev --rate-limits off
//! publishers ──POST /channels/…/messages───────────▶ guild ─▶ lane ─▶ relay ─▶ N outboxes
//! receivers ◀─────────MESSAGE_CREATE, N sockets──────────────────────────────────┘
//!     └─▶ tally: latency, gaps, repeats, order; a message is done when all N have it
//! ```
//! Conditions: loopback; with two or more processors the node is kept on the first and the clients
//! on the last (`--no-pin` leaves that to the kernel). Processor time is that of all threads of the
//! node between the first and the last measured message. Sessions identify with GUILD_MESSAGES and
//! MESSAGE_CONTENT only, so that signing in does not send each of N sessions a list of N members. After
//! READY they subscribe to the guild (op 37), as clients do that show it; with `--passive` a share of
//! them does not, and is passive: what counts as delivered then is what the others get.

pub(super) mod frames;
pub(super) mod publisher;
pub(super) mod receiver;
pub(super) mod server;
pub(super) mod tally;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use clap::{Args, ValueEnum};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use receiver::{Connection, Receiver};
use server::Server;
use tally::{Ledger, Tally};

/// Connections opened at a time.
pub(super) const CONNECTING_MAX: usize = 64;
/// Most measured messages of a run: bounds the memory for keeping account of each.
const MESSAGES_MAX: u64 = 2_000_000;
/// Longest wait for all sessions, for the first message everywhere, and for the last deliveries.
pub(super) const DEADLINE: Duration = Duration::from_secs(120);
/// Rest between phases, so that the tail of one is not measured with the next.
const SETTLE: Duration = Duration::from_secs(1);
/// Every connection sends a heartbeat this often.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// Open files that are neither sockets of sessions nor of publishers.
const FILES_RESERVED: u64 = 200;

/// What to measure with.
#[derive(Debug, Clone, Args)]
pub(crate) struct FanoutArgs {
    /// Sessions in the channel.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    sessions: u32,
    /// Messages a second, evenly spaced; 0 = as fast as the window lets.
    #[arg(long, default_value_t = 0)]
    rate: u32,
    /// Seconds to publish for.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: u32,
    /// Bytes of content of a message.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(64..=2_000))]
    payload: u32,
    /// Stream compression of every session.
    #[arg(long, value_enum, default_value_t = Compression::None)]
    compress: Compression,
    /// Messages not yet received by everyone; 0 = no limit (then --rate is needed).
    #[arg(long, default_value_t = 1)]
    window: u32,
    /// Connections that publish; 1 for each message of the window, at most 16, when left out.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=256))]
    publishers: Option<u32>,
    /// Storage engine of the node: `fjall` (every message is synced to disk) or `memory`.
    #[arg(long, value_enum, default_value_t = Storage::Fjall)]
    storage: Storage,
    /// Measure this program instead of a node. It is started with `--demo-users N --data DIRECTORY`,
    /// has to write the tokens there and print what `guildhall dev --print-env` prints.
    #[arg(long, value_name = "PROGRAM")]
    server: Option<PathBuf>,
    /// Percentage of the sessions that do not subscribe to the guild. They count for nothing but the
    /// order of what they get, and the cost of having them.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=99))]
    passive: u32,
    /// Do not keep node and clients on processors of their own.
    #[arg(long)]
    no_pin: bool,
}

/// Stream compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Compression {
    /// Plain text frames.
    None,
    /// zlib-stream.
    Zlib,
    /// zstd-stream.
    Zstd,
}

/// Storage engine of the measured node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Storage {
    Fjall,
    Memory,
}

/// Measures and prints.
///
/// # Errors
/// When it could not be carried out, or messages were lost, repeated or reordered, or connections
/// dropped.
pub(crate) async fn run(args: FanoutArgs) -> anyhow::Result<()> {
    ensure!(
        args.rate > 0 || args.window > 0,
        "give --rate, --window, or both: neither is no load"
    );
    raise_file_limit(u64::from(args.sessions))?;
    // Asked before this process is kept on one of them.
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let sessions = args.sessions as usize;
    let server = match &args.server {
        Some(program) => server::other(program),
        None => server::node((args.storage == Storage::Memory).then_some("memory:")),
    };
    let server = Server::start(server?, sessions, !args.no_pin).await?;
    let rss_before = server.resident_bytes()?;

    eprintln!("connecting {sessions} sessions …");
    let active = sessions - passive(&args);
    let tally = Arc::new(Tally::new(
        active,
        messages_max(&args),
        args.window as usize,
    ));
    let connect_began = Instant::now();
    let cpu_before_connect = server.cpu()?;
    let receivers = connect(&server, &args, &tally).await?;
    let connect_seconds = connect_began.elapsed().as_secs_f64();
    let connections: Arc<[Arc<Connection>]> = receivers
        .iter()
        .map(|it| Arc::clone(&it.connection))
        .collect();
    let heartbeats = tokio::spawn(keep_alive(Arc::clone(&connections)));
    let mut publishers =
        publisher::connect(&server, publishers(&args), args.payload as usize).await?;
    warm_up(&mut publishers, &tally, active).await?;
    tokio::time::sleep(SETTLE).await;
    let rss_connected = server.resident_bytes()?;
    let cpu_connected = server.cpu()?;

    eprintln!("publishing for {} s …", args.seconds);
    let duration = Duration::from_secs(u64::from(args.seconds));
    let began = Instant::now();
    let cpu_began = server.cpu()?;
    let clients_began = server::cpu(std::process::id())?;
    let published = publisher::run(publishers, &tally, args.rate, duration).await?;
    let complete = tally.wait_complete(published.count, DEADLINE).await;
    let seconds = began.elapsed().as_secs_f64();
    let cpu = server.cpu()?.since(cpu_began);
    let clients = server::cpu(std::process::id())?.since(clients_began);
    let rss_after = server.resident_bytes()?;

    tally.stopping.store(true, Ordering::Release);
    heartbeats.abort();
    drop(server);
    let mut sum = Ledger::default();
    for running in receivers {
        let ledger = tokio::time::timeout(DEADLINE, running.task)
            .await
            .context("a receiver did not end")??;
        sum.add(&ledger.finish(if running.active { published.count } else { 0 }));
    }
    let per_million = |value: f64| value / (sum.delivered as f64 / 1e6);
    let result = json!({
        "bench": "fanout",
        "conditions": conditions(&args, processors),
        "connect": {
            "seconds": round(connect_seconds),
            "per_second": round(sessions as f64 / connect_seconds),
            "server_cpu_ms_each": round(cpu_connected.since(cpu_before_connect).total * 1e3 / sessions as f64),
        },
        "memory": {
            "rss_mib_before": mib(rss_before),
            "rss_mib_connected": mib(rss_connected),
            "rss_mib_after": mib(rss_after),
            "rss_kib_per_connection": round((rss_connected as f64 - rss_before as f64) / 1_024.0 / sessions as f64),
        },
        "published": published.count,
        "deliveries": sum.delivered,
        "seconds": round(seconds),
        "messages_per_second": round(published.count as f64 / seconds),
        "deliveries_per_second": round(sum.delivered as f64 / seconds),
        "server_cpu": {
            "seconds": round(cpu.total),
            "user_seconds": round(cpu.user),
            "share_of_one_core": round(cpu.total / seconds),
            "seconds_per_million_deliveries": round(per_million(cpu.total)),
            "user_seconds_per_million_deliveries": round(per_million(cpu.user)),
        },
        "clients_cpu": {"share_of_one_core": round(clients.total / seconds)},
        "latency_ms": tally.latency.to_json(),
        "last_receiver_latency_ms": tally.last_latency.to_json(),
        "acknowledged_ms": published.acknowledged.to_json(),
        "received_bytes_per_delivery": round(sum.bytes as f64 / sum.delivered.max(1) as f64),
        "lost": sum.lost,
        "duplicated": sum.duplicated,
        "reordered": sum.reordered,
        "gaps_in_sequence": sum.gaps,
        "disconnects": sum.disconnects,
    });
    println!("{}", serde_json::to_string_pretty(&result)?);
    let faults = sum.lost + sum.duplicated + sum.reordered + sum.gaps + sum.disconnects;
    ensure!(
        complete && faults == 0,
        "the figures stand, but the run has faults: see the counts above"
    );
    Ok(())
}

fn publishers(args: &FanoutArgs) -> usize {
    args.publishers
        .map_or((args.window as usize).clamp(1, 16), |count| count as usize)
}

/// An upper bound of the messages a run can publish.
fn messages_max(args: &FanoutArgs) -> u64 {
    match args.rate {
        0 => MESSAGES_MAX,
        rate => (u64::from(rate) * u64::from(args.seconds) + 1).min(MESSAGES_MAX),
    }
}

fn conditions(args: &FanoutArgs, processors: usize) -> Value {
    let read = |path| {
        std::fs::read_to_string(path)
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    let processor = read("/proc/cpuinfo");
    let processor = processor
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or("");
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "server": args.server.as_ref().map_or("guildhall dev".into(), |program| program.to_string_lossy()),
        "optimised": !cfg!(debug_assertions),
        "kernel": read("/proc/sys/kernel/osrelease"),
        "processor": processor.trim_start_matches([' ', '\t', ':']),
        "processors": processors,
        "pinned": !args.no_pin && processors > 1,
        "transport": "loopback TCP, JSON",
        "sessions": args.sessions,
        "passive_sessions": passive(args),
        "rate": args.rate,
        "seconds": args.seconds,
        "payload_bytes": args.payload,
        "compress": format!("{:?}", args.compress).to_lowercase(),
        "window": args.window,
        "publishers": publishers(args),
        "storage": format!("{:?}", args.storage).to_lowercase(),
    })
}

/// Lifts the soft limit of open files to the hard one; the node inherits it.
pub(super) fn raise_file_limit(sessions: u64) -> anyhow::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, wanted).context("cannot raise the limit of open files")?;
    if let Some(maximum) = limit.maximum {
        ensure!(
            sessions + FILES_RESERVED <= maximum,
            "{sessions} sessions need more open files than the hard limit of {maximum}; raise it (ulimit -Hn) or use fewer"
        );
    }
    Ok(())
}

struct Running {
    connection: Arc<Connection>,
    /// Whether messages are counted for it.
    active: bool,
    task: tokio::task::JoinHandle<Ledger>,
}

/// How many sessions stay passive; at least one does not.
fn passive(args: &FanoutArgs) -> usize {
    args.sessions as usize * args.passive as usize / 100
}

async fn connect(
    server: &Server,
    args: &FanoutArgs,
    tally: &Arc<Tally>,
) -> anyhow::Result<Vec<Running>> {
    // Servers that know one guild only have no name for it.
    let guild = server.var("GUILD_ID").unwrap_or("1");
    let opening = server
        .tokens()
        .iter()
        .enumerate()
        .map(|(number, token)| async move {
            let active = number >= passive(args);
            let shown = active.then_some(guild);
            let tally = Arc::clone(tally);
            let receiver =
                Receiver::connect(server.addr(), token, args.compress, shown, tally).await?;
            anyhow::Ok(Running {
                connection: receiver.connection(),
                active,
                task: tokio::spawn(receiver.run()),
            })
        });
    let mut opening = futures_util::stream::iter(opening).buffer_unordered(CONNECTING_MAX);
    let mut receivers = Vec::with_capacity(args.sessions as usize);
    while let Some(opened) = opening.next().await {
        receivers.push(opened.context("a session could not be opened")?);
    }
    Ok(receivers)
}

/// Publishes messages that are not measured until every session has received one: from then on all
/// are subscribed.
async fn warm_up(
    publishers: &mut [publisher::Publisher],
    tally: &Tally,
    sessions: usize,
) -> anyhow::Result<()> {
    let began = Instant::now();
    let Some(publisher) = publishers.first_mut() else {
        bail!("at least one publisher")
    };
    loop {
        publisher.publish(tally::WARM_UP, 0).await?;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let warm = tally.warm.load(Ordering::Acquire);
        if warm == sessions {
            return Ok(());
        }
        ensure!(
            began.elapsed() < DEADLINE,
            "only {warm} of {sessions} sessions receive messages"
        );
    }
}

async fn keep_alive(connections: Arc<[Arc<Connection>]>) {
    loop {
        tokio::time::sleep(HEARTBEAT).await;
        for (number, connection) in connections.iter().enumerate() {
            connection.heartbeat();
            if number % 128 == 127 {
                tokio::task::yield_now().await;
            }
        }
    }
}

/// Three decimals are more than these measurements repeat to.
pub(super) fn round(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

pub(super) fn mib(bytes: u64) -> f64 {
    round(bytes as f64 / f64::from(1 << 20))
}
