//! `guildhall bench storm`: every socket is cut within a second and comes back within another, while
//! messages go on.
//!
//! ```text
//!  sign in N ─▶ calm ─▶ storm: half RESUME, half IDENTIFY ─▶ all RESUME ─▶ all IDENTIFY ─▶ calm
//!                 └ post latency, what posts cost           └ what a login of each kind costs
//! ```
//! The clients try again as stock clients do when they are told to come back. The node admits logins
//! at its default rates. What a login costs is the processor time of the node until all are back,
//! without what the posts of that time cost, divided by the logins; replays and GUILD_CREATEs are in
//! it. A session that resumes must have every message, once, in order; one that identifies anew must
//! have all from its first one on.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::Args;
use serde_json::{Value, json};

use super::client::{Back, Clients, Common, Kind, Order, random};
use super::conditions;
use super::fanout::server::{self, Cpu, Server};
use super::fanout::tally::{Histogram, Ledger};
use super::fanout::{mib, raise_file_limit, round};
use super::steady::Steady;

/// Longest wait for anything that has to happen.
const DEADLINE: Duration = Duration::from_secs(180);
/// Rest between phases.
const SETTLE: Duration = Duration::from_secs(2);

const CALM: usize = 0;
const STORM: usize = 1;
const OTHER: usize = 2;

/// What to measure with.
#[derive(Debug, Clone, Args)]
pub(crate) struct StormArgs {
    /// Sessions.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(2..=50_000))]
    sessions: u32,
    /// Messages a second, all the time.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rate: u32,
    /// Bytes of content of a message.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(64..=2_000))]
    payload: u32,
    /// Milliseconds within which all sockets are cut, and within which they come back.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    within: u32,
    /// Seconds of calm that are measured before the storm.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=600))]
    calm: u32,
    /// Leave out the storms of one kind of login each.
    #[arg(long)]
    mixed_only: bool,
    /// Do not keep node and clients on processors of their own.
    #[arg(long)]
    no_pin: bool,
}

/// One storm.
struct Storm {
    backs: Vec<Back>,
    seconds: f64,
    cpu: f64,
}

/// Measures and prints.
///
/// # Errors
/// When it could not be carried out, or a message was lost, repeated or reordered, or a session that
/// could be resumed was not.
pub(crate) async fn run(args: StormArgs) -> anyhow::Result<()> {
    // A socket that was cut may take a while to go from the node. Should it run out of files
    // meanwhile, it goes on accepting when some are back.
    raise_file_limit(u64::from(args.sessions) * 5 / 4)?;
    let server = Server::start(
        server::node(Some("memory:"))?,
        args.sessions as usize,
        !args.no_pin,
    )
    .await?;
    let rss_before = server.resident_bytes()?;
    let common = Arc::new(Common::new());
    eprintln!("connecting {} sessions …", args.sessions);
    let mut clients = Clients::sign_in(&server, &common).await?;
    let steady = Steady::start(&server, args.rate, args.payload, &common).await?;
    clients.wait_for(|_| true, 1, DEADLINE).await?;
    tokio::time::sleep(SETTLE).await;
    let rss_connected = server.resident_bytes()?;

    common.enter(CALM);
    let (began, cpu) = (Instant::now(), server.cpu()?);
    tokio::time::sleep(Duration::from_secs(u64::from(args.calm))).await;
    let posts = server.cpu()?.since(cpu).total / began.elapsed().as_secs_f64();

    eprintln!("storm …");
    common.enter(STORM);
    let mixed = |number: usize| match number % 2 {
        0 => Kind::Resume,
        _ => Kind::Identify,
    };
    let storm = blow(&mut clients, &server, &args, posts, mixed).await?;
    common.enter(OTHER);
    let mut others = Vec::new();
    if !args.mixed_only {
        for kind in [Kind::Resume, Kind::Identify] {
            settle(&clients).await?;
            others.push(blow(&mut clients, &server, &args, posts, |_| kind).await?);
        }
    }
    settle(&clients).await?;
    let acknowledged = steady.stop().await?;
    let published = common.published.load(Ordering::Acquire);
    let complete = clients.wait_for(|_| true, published, DEADLINE).await;
    let rss_peak = server.peak_bytes()?;
    let mut sum = Ledger::default();
    let mut cuts = 0;
    // Before the node goes: they would come back to it.
    for account in clients.end().await? {
        sum.add(&account.sum);
        cuts += account.cuts;
    }
    drop(server);
    let lost_sessions: usize = std::iter::once(&storm)
        .chain(&others)
        .map(|storm| storm.backs.iter().filter(|back| back.lost).count())
        .sum();
    let mut result = json!({
        "bench": "storm",
        "conditions": conditions(json!({
            "sessions": args.sessions, "rate": args.rate, "payload_bytes": args.payload,
            "cut_and_back_within_ms": args.within, "pinned": !args.no_pin,
            "storage": "memory", "intents": "GUILDS, GUILD_MESSAGES, MESSAGE_CONTENT",
        })),
        "memory": {
            "rss_mib_before": mib(rss_before),
            "rss_mib_connected": mib(rss_connected),
            "rss_mib_peak": mib(rss_peak),
        },
        "posts_share_of_one_core": round(posts),
        "storm": storm.to_json(),
        "post_ms": {"calm": acknowledged[CALM].to_json(), "storm": acknowledged[STORM].to_json()},
        "delivery_ms": {
            "calm": common.latency[CALM].to_json(),
            "storm": common.latency[STORM].to_json(),
        },
        "published": published,
        "deliveries": sum.delivered,
        "lost": sum.lost,
        "duplicated": sum.duplicated,
        "reordered": sum.reordered,
        "gaps_in_sequence": sum.gaps,
        "sessions_not_resumed": lost_sessions,
        "cut_by_the_node": cuts,
    });
    if let [resume, identify] = &others[..] {
        result["only_resume"] = resume.to_json();
        result["only_identify"] = identify.to_json();
        let each = |storm: &Storm| round(storm.cpu * 1e3 / f64::from(args.sessions));
        result["server_cpu_ms_each"] = json!({
            "resume": each(resume), "identify": each(identify), "mixed": each(&storm),
        });
    }
    println!("{}", serde_json::to_string_pretty(&result)?);
    complete?;
    let faults = sum.lost + sum.duplicated + sum.reordered + sum.gaps + cuts;
    ensure!(
        faults == 0 && lost_sessions == 0,
        "the figures stand, but the run has faults: see the counts above"
    );
    Ok(())
}

/// Everyone has something of its life, so that what comes after can be accounted for.
async fn settle(clients: &Clients) -> anyhow::Result<()> {
    clients.wait_for(|_| true, 1, DEADLINE).await?;
    tokio::time::sleep(SETTLE).await;
    Ok(())
}

/// Cuts all sockets and waits until all clients are back.
async fn blow(
    clients: &mut Clients,
    server: &Server,
    args: &StormArgs,
    posts: f64,
    how: impl Fn(usize) -> Kind,
) -> anyhow::Result<Storm> {
    let within = args.within;
    let (began, cpu): (_, Cpu) = (Instant::now(), server.cpu()?);
    for (number, client) in clients.each.iter().enumerate() {
        let order = Order::Cut {
            after: random() * within / 1_000,
            away: random() * within / 1_000,
            how: how(number),
        };
        let _ = client.send(order);
    }
    let mut backs = Vec::with_capacity(clients.each.len());
    while backs.len() < clients.each.len() {
        let back = tokio::time::timeout(DEADLINE, clients.backs.recv()).await;
        match back {
            Ok(Some(back)) => backs.push(back),
            _ => anyhow::bail!(
                "only {} of {} clients are back",
                backs.len(),
                clients.each.len()
            ),
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    // GUILD_CREATE comes after READY.
    clients.wait_for(|_| true, 1, DEADLINE).await?;
    let busy = server.cpu()?.since(cpu).total - posts * began.elapsed().as_secs_f64();
    Ok(Storm {
        backs,
        seconds,
        cpu: busy.max(0.0),
    })
}

impl Storm {
    fn to_json(&self) -> Value {
        let of = |kind| {
            let took = Histogram::default();
            let backs = self.backs.iter().filter(|back| back.how == kind);
            let (mut count, mut refusals) = (0, 0);
            for back in backs {
                took.add(u64::try_from(back.took.as_micros()).unwrap_or(u64::MAX));
                count += 1;
                refusals += back.refusals;
            }
            json!({"count": count, "told_to_come_back": refusals, "ms": took.to_json()})
        };
        json!({
            "seconds_until_all_are_back": round(self.seconds),
            "server_cpu_seconds": round(self.cpu),
            "resume": of(Kind::Resume),
            "identify": of(Kind::Identify),
        })
    }
}
