//! `guildhall bench stalled`: some sockets stop reading while messages go on; what that does to the
//! others and to the node's memory, and what the stalled ones find when they read again.
//!
//! ```text
//!  all read ─▶ S of N freeze ─▶ … ─▶ they thaw: read on, or RESUME, or are told op 9
//!   └ latency of the others        └ latency of the others, memory, bytes held back
//! ```

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Args;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::client::{Clients, Common, Order};
use super::conditions;
use super::fanout::server::{self, Server};
use super::fanout::tally::Ledger;
use super::fanout::{mib, raise_file_limit, round};
use super::steady::Steady;

/// Longest wait for anything that has to happen.
const DEADLINE: Duration = Duration::from_secs(180);
/// Rest between phases.
const SETTLE: Duration = Duration::from_secs(2);

const WARM: usize = 0;
const CALM: usize = 1;
const STALLED: usize = 2;
const AFTER: usize = 3;

/// What to measure with.
#[derive(Debug, Clone, Args)]
pub(crate) struct StalledArgs {
    /// Sessions.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(2..=50_000))]
    sessions: u32,
    /// Sessions that stop reading.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    stalled: u32,
    /// Messages a second.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// Seconds for which they do not read.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Seconds that are measured before.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=600))]
    calm: u32,
    /// Bytes of content of a message.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(64..=2_000))]
    payload: u32,
    /// Do not keep node and clients on processors of their own.
    #[arg(long)]
    no_pin: bool,
}

/// Measures and prints.
///
/// # Errors
/// When it could not be carried out, a message was lost, repeated or reordered for anybody, or one
/// who read was cut.
pub(crate) async fn run(args: StalledArgs) -> anyhow::Result<()> {
    ensure!(args.stalled < args.sessions, "some have to read");
    raise_file_limit(2 * u64::from(args.sessions))?;
    let server = Server::start(
        server::node(Some("memory:"))?,
        args.sessions as usize,
        !args.no_pin,
    )
    .await?;
    let common = Arc::new(Common::new());
    eprintln!("connecting {} sessions …", args.sessions);
    let mut clients = Clients::sign_in(&server, &common).await?;
    let steady = Steady::start(&server, args.rate, args.payload, &common).await?;
    clients.wait_for(|_| true, 1, DEADLINE).await?;
    common.enter(WARM);
    tokio::time::sleep(SETTLE).await;

    common.enter(CALM);
    let (began, first) = (Instant::now(), common.published.load(Ordering::Acquire));
    let (rss_calm, held_calm) = watch(&server, args.calm).await?;
    let calm_rate = rate_since(&common, first, began);

    eprintln!("{} stop reading …", args.stalled);
    common.enter(STALLED);
    let stalled = args.stalled as usize;
    for client in &clients.each[..stalled] {
        let _ = client.send(Order::Freeze);
    }
    let (began, first) = (Instant::now(), common.published.load(Ordering::Acquire));
    let (rss_stalled, held_stalled) = watch(&server, args.seconds).await?;
    let stalled_rate = rate_since(&common, first, began);
    // Those who read have everything but what is on its way.
    let there = common.published.load(Ordering::Acquire);
    let others = clients.wait_for(|number| number >= stalled, there, DEADLINE);
    let others = others.await;

    eprintln!("they read again …");
    common.enter(AFTER);
    for client in &clients.each[..stalled] {
        let _ = client.send(Order::Thaw);
    }
    tokio::time::sleep(SETTLE).await;
    steady.stop().await?;
    let published = common.published.load(Ordering::Acquire);
    // Whoever had to log in anew after the last message has nothing to wait for.
    let (mut resumed, mut told, mut slow) = (0, 0, 0);
    let complete = clients.wait_for(|number| number >= stalled, published, DEADLINE);
    let complete = complete.await;
    let wait = clients.wait_for(|_| true, published, Duration::from_secs(30));
    let stalled_complete = wait.await.is_ok();
    while let Ok(back) = clients.backs.try_recv() {
        match back.lost {
            true => told += 1,
            false => resumed += 1,
        }
        slow += back.refusals;
    }
    let overruns = metric(&server, "guildhall_gateway_queue_overruns_total").await?;
    let stalls = metric(&server, "guildhall_gateway_stalls_total").await?;
    let rss_peak = server.peak_bytes()?;
    // Before the node goes: they would come back to it.
    let accounts = clients.end().await?;
    drop(server);
    let (mut readers, mut frozen) = (Ledger::default(), Ledger::default());
    let mut cut_readers = 0;
    for (number, account) in accounts.iter().enumerate() {
        match number < stalled {
            true => frozen.add(&account.sum),
            false => {
                readers.add(&account.sum);
                cut_readers += account.cuts;
            }
        }
    }
    let counts = |sum: &Ledger| {
        json!({
            "deliveries": sum.delivered, "lost": sum.lost, "duplicated": sum.duplicated,
            "reordered": sum.reordered, "gaps_in_sequence": sum.gaps,
        })
    };
    let result = json!({
        "bench": "stalled",
        "conditions": conditions(json!({
            "sessions": args.sessions, "stalled": args.stalled, "rate": args.rate,
            "seconds": args.seconds, "payload_bytes": args.payload, "pinned": !args.no_pin,
            "storage": "memory",
        })),
        "messages_per_second": {"calm": round(calm_rate), "stalled": round(stalled_rate)},
        "delivery_ms_of_readers": {
            "calm": common.latency[CALM].to_json(),
            "stalled": common.latency[STALLED].to_json(),
        },
        "memory": {
            "rss_mib_calm": mib(rss_calm),
            "rss_mib_stalled": mib(rss_stalled),
            "rss_mib_peak": mib(rss_peak),
            "rss_kib_more_per_stalled": round((rss_stalled as f64 - rss_calm as f64) / 1_024.0 / f64::from(args.stalled)),
            "replay_mib_calm": round(held_calm / f64::from(1 << 20)),
            "replay_mib_stalled": round(held_stalled / f64::from(1 << 20)),
        },
        "cut_for_a_full_queue": overruns,
        "cut_for_reading_nothing": stalls,
        "stalled_then": {
            "resumed": resumed, "told_op_9": told, "tries_refused": slow,
            "read_on": stalled.saturating_sub(resumed + told),
            "up_to_date": stalled_complete,
        },
        "readers": counts(&readers),
        "readers_cut": cut_readers,
        "stalled": counts(&frozen),
    });
    println!("{}", serde_json::to_string_pretty(&result)?);
    others?;
    complete?;
    let faults = |sum: &Ledger| sum.lost + sum.duplicated + sum.reordered + sum.gaps;
    ensure!(
        faults(&readers) + faults(&frozen) + cut_readers == 0,
        "the figures stand, but the run has faults: see the counts above"
    );
    Ok(())
}

/// The most memory the node has, resident and held for RESUME, in so many seconds; asked for as
/// often in every phase, because answering costs the node time.
async fn watch(server: &Server, seconds: u32) -> anyhow::Result<(u64, f64)> {
    let began = Instant::now();
    let (mut resident, mut held) = (0, 0.0_f64);
    while began.elapsed() < Duration::from_secs(u64::from(seconds)) {
        tokio::time::sleep(Duration::from_secs(1)).await;
        resident = resident.max(server.resident_bytes()?);
        held = held.max(metric(server, "guildhall_replay_bytes").await?);
    }
    Ok((resident, held))
}

fn rate_since(common: &Common, first: u64, began: Instant) -> f64 {
    let count = common.published.load(Ordering::Acquire) - first;
    count as f64 / began.elapsed().as_secs_f64()
}

/// A metric of the node without labels; 0 when nothing was counted yet.
async fn metric(server: &Server, name: &str) -> anyhow::Result<f64> {
    let asking = async {
        let mut stream = TcpStream::connect(server.addr()).await?;
        let request = format!(
            "GET /metrics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            server.addr()
        );
        stream.write_all(request.as_bytes()).await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        anyhow::Ok(value.map_or(Ok(0.0), str::parse)?)
    };
    tokio::time::timeout(DEADLINE, asking)
        .await
        .context("the node does not tell its metrics")?
}
