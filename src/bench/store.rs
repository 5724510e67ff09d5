//! `guildhall bench store`: what the store costs a client: messages posted, the latest 50 read, and
//! one channel that many read while somebody writes.
//!
//! ```text
//! this process                                         child: guildhall dev --storage URL
//! writers ──POST /channels/…/messages, each its own───▶ guild ─▶ lane ─▶ data service ─▶ store
//! readers ──GET  /channels/…/messages?limit=50────────▶ guild (may they?) ─▶ data service ─▶ store
//! ```
//! Conditions: loopback, everything through the API as any client has it; each writer has a channel of
//! its own, the channels are spread over guilds, and each client sends its next request when the one
//! before is answered. Node, clients and a cluster on this machine share its processors. The hot
//! channel is measured twice, on two nodes: with identical reads joined, and with each read its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Args;
use serde_json::{Value, json};

use super::fanout::round;
use super::fanout::server::{self, Server};
use super::fanout::tally::Histogram;
use super::http::Connection;

/// Messages a channel has before its latest 50 are read.
const FILL: usize = 50;

/// Rest between phases.
const SETTLE: Duration = Duration::from_secs(1);

/// What to measure with.
#[derive(Debug, Clone, Args)]
pub(crate) struct StoreArgs {
    /// Storage engine of the node, as `dev` takes it; `fjall:` in a folder of its own when left out.
    /// A keyspace of a cluster is best a new one.
    #[arg(
        long,
        value_name = "URL",
        env = "GUILDHALL_STORAGE",
        hide_env_values = true
    )]
    storage: Option<String>,
    /// Seconds of each phase.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Clients of the phases with many, and channels.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=400))]
    clients: u32,
    /// Guilds the channels are spread over.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=50))]
    guilds: u32,
    /// Readers of the hot channel.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    readers: u32,
    /// Messages a second posted into the hot channel.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    hot_rate: u32,
    /// Bytes of content of a message.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=2_000))]
    payload: u32,
}

/// What clients saw in one phase.
#[derive(Default)]
struct Seen {
    took: Histogram,
    answered: AtomicU64,
    /// 503: nothing was done.
    refused: AtomicU64,
}

impl Seen {
    fn to_json(&self, seconds: f64) -> Value {
        let answered = self.answered.load(Ordering::Acquire);
        json!({
            "answered": answered,
            "per_second": round(answered as f64 / seconds),
            "ms": self.took.to_json(),
            "refused": self.refused.load(Ordering::Acquire),
        })
    }

    /// The same of a phase in which the node did nothing else, with its processor time.
    fn with_cpu(&self, seconds: f64, cpu: f64) -> Value {
        let mut result = self.to_json(seconds);
        let answered = self.answered.load(Ordering::Acquire).max(1);
        result["node_cpu_ms_each"] = json!(round(cpu * 1e3 / answered as f64));
        result["node_share_of_one_core"] = json!(round(cpu / seconds));
        result
    }
}

/// One client's requests, again and again.
#[derive(Clone)]
enum Work {
    /// Post into this channel.
    Post { channel: String, body: Arc<str> },
    /// The same at a rate: the time counts from when a post was due.
    PostAt {
        channel: String,
        body: Arc<str>,
        every: Duration,
    },
    /// Read the latest 50 of these channels in turn.
    Latest {
        channels: Arc<[String]>,
        first: usize,
    },
}

/// Measures and prints.
///
/// # Errors
/// When it could not be carried out, or a request was answered with anything but success and 503.
pub(crate) async fn run(args: StoreArgs) -> anyhow::Result<()> {
    let server = start(&args, false).await?;
    let channels: Arc<[String]> = channels(&server, &args).await?.into();
    let body: Arc<str> =
        format!("{{\"content\":\"{}\"}}", "x".repeat(args.payload as usize)).into();
    let post = |channel: &String| Work::Post {
        channel: channel.clone(),
        body: body.clone(),
    };
    eprintln!("posting …");
    let one = phase(&server, &args, vec![post(&channels[0])]).await?;
    let many = phase(&server, &args, channels.iter().map(post).collect()).await?;
    fill(&server, &channels, &body).await?;
    eprintln!("reading …");
    let latest = |first| Work::Latest {
        channels: channels.clone(),
        first,
    };
    let reads_one = phase(&server, &args, vec![latest(0)]).await?;
    let reads_many = phase(&server, &args, (0..channels.len()).map(latest).collect()).await?;
    eprintln!("reading one channel …");
    let joined = hot(&server, &args, &body).await?;
    drop(server);
    let server = start(&args, true).await?;
    let apart = hot(&server, &args, &body).await?;
    drop(server);
    let result = json!({
        "bench": "store",
        "conditions": super::conditions(json!({
            "storage": args.storage.as_deref().map_or_else(|| "fjall:".to_owned(), storage::engine::shown),
            "seconds_of_a_phase": args.seconds,
            "clients": args.clients,
            "channels": channels.len(),
            "guilds": args.guilds,
            "hot_readers": args.readers,
            "hot_posts_per_second": args.hot_rate,
            "payload_bytes": args.payload,
            "processors": std::thread::available_parallelism().map_or(1, usize::from),
        })),
        "insert": {"one_writer": one, "many_writers": many},
        "latest_50": {"one_reader": reads_one, "many_readers": reads_many},
        "hot_channel": {"joined": joined, "apart": apart},
    });
    println!("{}", serde_json::to_string_pretty(&result)?);
    Ok(())
}

async fn start(args: &StoreArgs, reads_apart: bool) -> anyhow::Result<Server> {
    let mut command = server::node(args.storage.as_deref())?;
    if reads_apart {
        command.arg("--reads-apart");
    }
    // Node, clients and a cluster share what there is.
    Server::start(command, 0, false).await
}

async fn connection(server: &Server) -> anyhow::Result<Connection> {
    Connection::open(server.addr(), server.var("TOKEN_A")?).await
}

/// Makes the guilds and a channel for each client.
async fn channels(server: &Server, args: &StoreArgs) -> anyhow::Result<Vec<String>> {
    let mut connection = connection(server).await?;
    let mut guilds = Vec::new();
    for number in 0..args.guilds {
        let body = format!("{{\"name\":\"store {number}\"}}");
        let guild = connection
            .send("POST", "/api/v10/guilds", &body)
            .await?
            .ok()?;
        guilds.push(id_of(&guild)?);
    }
    let mut channels = Vec::new();
    for number in 0..args.clients as usize {
        channels.push(channel(&mut connection, &guilds[number % guilds.len()]).await?);
    }
    Ok(channels)
}

async fn channel(connection: &mut Connection, guild: &str) -> anyhow::Result<String> {
    let path = format!("/api/v10/guilds/{guild}/channels");
    let channel = connection
        .send("POST", &path, "{\"name\":\"measured\"}")
        .await?;
    id_of(&channel.ok()?)
}

fn id_of(value: &Value) -> anyhow::Result<String> {
    Ok(value["id"].as_str().context("an id")?.to_owned())
}

/// Posts so many messages into each channel that its latest 50 are a whole page.
async fn fill(server: &Server, channels: &[String], body: &str) -> anyhow::Result<()> {
    let mut connection = connection(server).await?;
    for channel in channels {
        let path = format!("/api/v10/channels/{channel}/messages?limit={FILL}");
        let page = connection.send("GET", &path, "").await?.ok()?;
        let there = page.as_array().context("a page")?.len();
        let path = format!("/api/v10/channels/{channel}/messages");
        for _ in there..FILL {
            connection.send("POST", &path, body).await?.ok()?;
        }
    }
    Ok(())
}

/// Many read the latest 50 of one channel while one posts into it.
async fn hot(server: &Server, args: &StoreArgs, body: &Arc<str>) -> anyhow::Result<Value> {
    let mut connection = connection(server).await?;
    let hot = channel(&mut connection, server.var("GUILD_ID")?).await?;
    let channels: Arc<[String]> = vec![hot.clone()].into();
    fill(server, &channels, body).await?;
    tokio::time::sleep(SETTLE).await;
    let before = counters(server).await?;
    let writer = Work::PostAt {
        channel: hot,
        body: body.clone(),
        every: Duration::from_secs(1) / args.hot_rate,
    };
    let readers = (0..args.readers).map(|_| Work::Latest {
        channels: channels.clone(),
        first: 0,
    });
    let (writes, reads) = (Arc::new(Seen::default()), Arc::new(Seen::default()));
    let work = std::iter::once((writer, writes.clone()));
    let work = work.chain(readers.map(|reader| (reader, reads.clone())));
    let (seconds, cpu) = together(server, args, work.collect()).await?;
    let after = counters(server).await?;
    let [asked, joined] = [after[0] - before[0], after[1] - before[1]];
    let mut result = reads.with_cpu(seconds, cpu);
    ensure!(
        asked > 0,
        "the node counts no pages: has its metric another name?"
    );
    result["reads_of_the_store"] = json!(asked - joined);
    result["reads_joined"] = json!(joined);
    result["writer"] = writes.to_json(seconds);
    Ok(result)
}

/// Pages asked for, and those of them that were answered by another's read.
async fn counters(server: &Server) -> anyhow::Result<[u64; 2]> {
    let mut connection = connection(server).await?;
    let answer = connection.send("GET", "/metrics", "").await?;
    ensure!(answer.status == 200, "no metrics");
    let text = String::from_utf8_lossy(answer.body);
    // Not there yet: nothing was counted.
    let value = |name: &str| {
        let name = format!("{name}{{read=\"history\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&name));
        line.map_or(Ok(0), str::parse)
    };
    Ok([
        value("guildhall_store_reads_total")?,
        value("guildhall_store_reads_joined_total")?,
    ])
}

/// All clients at once for the time of a phase.
async fn phase(server: &Server, args: &StoreArgs, work: Vec<Work>) -> anyhow::Result<Value> {
    tokio::time::sleep(SETTLE).await;
    let seen = Arc::new(Seen::default());
    let work = work.into_iter().map(|work| (work, seen.clone()));
    let (seconds, cpu) = together(server, args, work.collect()).await?;
    Ok(seen.with_cpu(seconds, cpu))
}

/// How long it took, and the processor time of the node.
async fn together(
    server: &Server,
    args: &StoreArgs,
    work: Vec<(Work, Arc<Seen>)>,
) -> anyhow::Result<(f64, f64)> {
    let mut clients = Vec::new();
    for (work, seen) in work {
        clients.push((connection(server).await?, work, seen));
    }
    let stop = Arc::new(AtomicBool::new(false));
    let cpu = server.cpu()?;
    let began = Instant::now();
    let tasks: Vec<_> = clients
        .into_iter()
        .map(|(connection, work, seen)| tokio::spawn(client(connection, work, seen, stop.clone())))
        .collect();
    tokio::time::sleep(Duration::from_secs(u64::from(args.seconds))).await;
    stop.store(true, Ordering::Release);
    for task in tasks {
        task.await??;
    }
    Ok((
        began.elapsed().as_secs_f64(),
        server.cpu()?.since(cpu).total,
    ))
}

async fn client(
    mut connection: Connection,
    work: Work,
    seen: Arc<Seen>,
    stop: Arc<AtomicBool>,
) -> anyhow::Result<()> {
    let mut due = Instant::now();
    let mut turn = 0;
    while !stop.load(Ordering::Acquire) {
        let (method, path, body) = match &work {
            Work::Post { channel, body } => ("POST", posts(channel), &**body),
            Work::PostAt { channel, body, .. } => ("POST", posts(channel), &**body),
            Work::Latest { channels, first } => {
                let channel = &channels[(first + turn) % channels.len()];
                ("GET", format!("{}?limit={FILL}", posts(channel)), "")
            }
        };
        let mut began = Instant::now();
        if let Work::PostAt { every, .. } = &work {
            tokio::time::sleep_until(due.into()).await;
            began = due;
            due += *every;
        }
        let answer = connection.send(method, &path, body).await?;
        match answer.status {
            200 => {
                let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
                seen.took.add(micros);
                seen.answered.fetch_add(1, Ordering::AcqRel);
            }
            503 => drop(seen.refused.fetch_add(1, Ordering::AcqRel)),
            _ => drop(answer.ok()?),
        }
        turn += 1;
    }
    Ok(())
}

fn posts(channel: &str) -> String {
    format!("/api/v10/channels/{channel}/messages")
}
