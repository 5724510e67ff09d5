//! `guildhall bench million`: one guild, N members, N sessions in this process on connections that
//! only count; what an event costs the guild, and how long until the last session has it.
//!
//! ```text
//!  post ─▶ guild ─▶ lane ─▶ N / 15,000 relays ─▶ N outboxes ─▶ N counters
//!           └ guild_command_seconds └ lane_deliver_seconds        └ all have it: the next post
//! ```
//! Guild, lane, relays, session processes, outboxes and replay rings are those of a node; there are
//! no sockets, and the store is in memory. Sessions ask for GUILD_MESSAGES and MESSAGE_CONTENT, and
//! are invisible unless `--online`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use chat::guild::command::Actor;
use chat::session::dispatch::Dispatches;
use chat::session::transport::{Close, Sent, Transport};
use chat::session::{self, Attached, GuildSubscription, Login};
use chat::{Chat, ChatConfig, accounts};
use clap::Args;
use futures_util::StreamExt as _;
use model::application::flags::ALL_PRIVILEGED;
use model::intents::Intents;
use model::member::MemberRecord;
use model::message::Draft;
use model::presence::{Presence, Status};
use model::user::{Account, User};
use model::{GuildId, UserId, time};
use serde_json::json;
use storage::DataService;
use storage::blob::BlobStore;
use storage::store::Write;

use super::conditions;
use super::fanout::tally::Histogram;
use super::fanout::{mib, round, server};

/// Longest wait for an event to be everywhere, and for all to be subscribed.
const DEADLINE: Duration = Duration::from_secs(300);
/// Logins under way at a time.
const LOGINS_AT_ONCE: usize = 256;
/// Members written in one batch.
const MEMBERS_BATCH: usize = 512;
/// Counters the deliveries are spread over.
const COUNTERS: usize = 64;

/// What to measure with.
#[derive(Debug, Clone, Args)]
pub(crate) struct MillionArgs {
    /// Members, each with a session.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..=2_000_000))]
    sessions: u32,
    /// Messages, each when all have the one before.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    events: u32,
    /// Bytes of content of a message.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=2_000))]
    payload: u32,
    /// Sessions of one relay.
    #[arg(long, default_value_t = chat::relay::RELAY_SESSIONS_MAX)]
    relay_sessions: usize,
    /// Members are shown as online: each login is told to the guild.
    #[arg(long)]
    online: bool,
    /// Percent of the sessions that do not show the guild, and are given nothing that is not for
    /// them by name.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=99))]
    passive: u32,
}

/// A counter on a cache line of its own.
#[derive(Default)]
#[repr(align(128))]
struct Counter(AtomicU64);

/// Messages that arrived, at all sessions together.
struct Counters([Counter; COUNTERS]);

impl Counters {
    fn sum(&self) -> u64 {
        let each = self.0.iter();
        each.map(|one| one.0.load(Ordering::Acquire)).sum()
    }
}

/// A connection whose other end reads everything at once.
struct Null {
    number: usize,
    all: Arc<Counters>,
    own: Arc<AtomicU32>,
}

impl Transport for Null {
    fn dispatch(&self, dispatches: &Dispatches<'_>) -> Sent {
        let each = dispatches.each.iter();
        let messages = each.filter(|one| one.event().name == "MESSAGE_CREATE");
        let messages = messages.count();
        // A batch has far fewer than 2³².
        self.own.fetch_add(messages as u32, Ordering::Relaxed);
        self.all.0[self.number % COUNTERS]
            .0
            .fetch_add(messages as u64, Ordering::Release);
        Sent::Accepted
    }

    fn close(&self, _why: Close) {}
}

/// Measures and prints.
///
/// # Errors
/// When it could not be carried out, or a session has more or less than all messages.
pub(crate) async fn run(args: MillionArgs) -> anyhow::Result<()> {
    let exporter = gateway::telemetry::Exporter::installed();
    let sessions = args.sessions as usize;
    let process = std::process::id();
    let resident = || server::memory(process, "VmRSS:");
    let data = DataService::new(storage::engine::open("memory:").await?);
    let config = ChatConfig {
        sessions_max: sessions,
        relay_sessions_max: args.relay_sessions,
        passive_members_min: match args.passive {
            0 => usize::MAX,
            _ => 0,
        },
        ..ChatConfig::default()
    };
    let node = otp::Node::new("million");
    let chat = Chat::start(node, data.clone(), BlobStore::memory(), config).await?;
    let rss_empty = resident()?;

    eprintln!("making {sessions} members …");
    let owner = accounts::create_bot(&chat, "owner", ALL_PRIVILEGED).await?;
    let view = chat::guild::create_guild(&chat, &owner.user, "Million").await?;
    let (guild, channel) = (view.guild.id, view.guild.system_channel_id);
    let channel = channel.context("a new guild has a channel")?;
    let accounts = make_members(&chat, &data, guild, sessions).await?;
    guildhall::demo::reload(&chat, guild).await;
    let began = Instant::now();
    chat::guild::guild_view(&chat, Actor::User(owner.user.id), guild, false).await?;
    let load_seconds = began.elapsed().as_secs_f64();
    let rss_members = resident()?;

    eprintln!("signing in …");
    let all = Arc::new(Counters(std::array::from_fn(|_| Counter::default())));
    let own: Vec<Arc<AtomicU32>> = (0..sessions).map(|_| Arc::default()).collect();
    let (began, cpu) = (Instant::now(), server::cpu(process)?);
    let attached = sign_in(&chat, accounts, &all, &own, args.online).await?;
    let subscribed = || gauge(&exporter.render(), "guildhall_relay_subscriptions");
    wait("all sessions are subscribed", || {
        subscribed() as usize == sessions
    })
    .await?;
    let active = show(&args, guild, &attached);
    let passive = || gauge(&exporter.render(), "guildhall_relay_passive_subscriptions");
    wait("those who show the guild are active", || {
        passive() as usize == sessions - active
    })
    .await?;
    let sign_in_seconds = began.elapsed().as_secs_f64();
    let sign_in_cpu = server::cpu(process)?.since(cpu).total;
    let rss_connected = resident()?;

    eprintln!("publishing …");
    let last = Histogram::default();
    let before = exporter.render();
    let (began, cpu) = (Instant::now(), server::cpu(process)?);
    for number in 1..=u64::from(args.events) {
        let draft = Draft {
            content: format!("{number:x<length$}", length = args.payload as usize),
            ..Draft::default()
        };
        let posted = Instant::now();
        chat::guild::post_message(&chat, Actor::User(owner.user.id), channel, draft).await?;
        let due = number * active as u64;
        while all.sum() < due {
            ensure!(posted.elapsed() < DEADLINE, "an event is not everywhere");
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        last.add(u64::try_from(posted.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    let seconds = began.elapsed().as_secs_f64();
    let busy = server::cpu(process)?.since(cpu).total;
    let rss_after = resident()?;
    let metrics = exporter.render();
    let wrong = own
        .iter()
        .enumerate()
        .filter(|(number, count)| {
            let due = if shows(&args, *number) {
                args.events
            } else {
                0
            };
            count.load(Ordering::Relaxed) != due
        })
        .count();
    let each = |bytes: u64| round(bytes as f64 / 1_024.0 / sessions as f64);
    let deliveries = u64::from(args.events) * active as u64;
    let result = json!({
        "bench": "million",
        "conditions": conditions(json!({
            "sessions": sessions, "events": args.events, "payload_bytes": args.payload,
            "relays": sessions.div_ceil(args.relay_sessions), "online": args.online,
            "passive_percent": args.passive,
            "store": "memory", "transport": "counts, no sockets",
            "processors": std::thread::available_parallelism().map_or(1, usize::from),
        })),
        "guild_load_seconds": round(load_seconds),
        "sign_in": {
            "seconds": round(sign_in_seconds),
            "per_second": round(sessions as f64 / sign_in_seconds),
            "cpu_ms_each": round(sign_in_cpu * 1e3 / sessions as f64),
        },
        "memory": {
            "rss_mib_members": mib(rss_members),
            "rss_mib_connected": mib(rss_connected),
            "rss_mib_after": mib(rss_after),
            "kib_per_member": each(rss_members.saturating_sub(rss_empty)),
            "kib_per_session": each(rss_connected.saturating_sub(rss_members)),
            "kib_per_session_for_replay": each(rss_after.saturating_sub(rss_connected)),
        },
        "guild_ms_per_event": between(&before, &metrics, "guildhall_guild_command_seconds"),
        "lane_ms_per_event": between(&before, &metrics, "guildhall_lane_deliver_seconds"),
        "last_session_ms": last.to_json(),
        "seconds": round(seconds),
        "deliveries": all.sum(),
        "deliveries_per_second": round(deliveries as f64 / seconds),
        "cpu_seconds_per_million_deliveries": round(busy / (deliveries as f64 / 1e6)),
        "sessions_with_other_than_all_events": wrong,
    });
    println!("{}", serde_json::to_string_pretty(&result)?);
    ensure!(
        wrong == 0 && all.sum() == deliveries,
        "the figures stand, but not every session has every event once"
    );
    drop(attached);
    Ok(())
}

/// Accounts and members, past the guild's process.
async fn make_members(
    chat: &Chat,
    data: &DataService,
    guild: GuildId,
    count: usize,
) -> anyhow::Result<Vec<Account>> {
    let now = chat::clock::now_ms();
    let mut accounts = Vec::with_capacity(count);
    for number in 0..count {
        let id: UserId = chat.ids().next(now);
        let account = Account {
            user: User::new(id, format!("member-{number}"), false),
            email: None,
            application: None,
            token_generation: 0,
        };
        data.store().create_account(account.clone()).await?;
        accounts.push(account);
    }
    for chunk in accounts.chunks(MEMBERS_BATCH) {
        let member = |account: &Account| {
            let joined_at = time::from_unix_ms(now);
            let record = MemberRecord::new(guild, account.user.id, joined_at);
            Write::PutMember(Box::new(record))
        };
        data.commit(chunk.iter().map(member).collect()).await?;
    }
    Ok(accounts)
}

async fn sign_in(
    chat: &Chat,
    accounts: Vec<Account>,
    all: &Arc<Counters>,
    own: &[Arc<AtomicU32>],
    online: bool,
) -> anyhow::Result<Vec<(usize, Attached)>> {
    let total = accounts.len();
    let signing_in = accounts
        .into_iter()
        .zip(own)
        .enumerate()
        .map(|(number, (account, own))| {
            let transport = Arc::new(Null {
                number,
                all: Arc::clone(all),
                own: Arc::clone(own),
            });
            let intents = Intents::GUILD_MESSAGES | Intents::MESSAGE_CONTENT;
            let login = Login {
                presence: (!online).then(|| Presence {
                    status: Status::Invisible,
                    ..Presence::default()
                }),
                ..Login::new(account, intents)
            };
            async move { (number, session::login(chat, login, transport).await) }
        });
    let mut signing_in = futures_util::stream::iter(signing_in).buffer_unordered(LOGINS_AT_ONCE);
    let mut attached = Vec::with_capacity(total);
    while let Some(one) = signing_in.next().await {
        attached.push((one.0, one.1?));
        if attached.len().is_multiple_of(100_000) {
            eprintln!("{} signed in", attached.len());
        }
    }
    Ok(attached)
}

/// Whether this session shows the guild.
fn shows(args: &MillionArgs, number: usize) -> bool {
    number % 100 >= args.passive as usize
}

/// Has the clients of the sessions that show the guild say so; how many they are.
fn show(args: &MillionArgs, guild: GuildId, attached: &[(usize, Attached)]) -> usize {
    let mut active = 0;
    for (number, one) in attached {
        if shows(args, *number) {
            active += 1;
            if args.passive > 0 {
                one.subscribe_guilds(vec![GuildSubscription {
                    guild,
                    channels: None,
                }]);
            }
        }
    }
    active
}

async fn wait(what: &str, done: impl Fn() -> bool) -> anyhow::Result<()> {
    let began = Instant::now();
    while !done() {
        ensure!(began.elapsed() < DEADLINE, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// A metric, named with its labels.
fn gauge(metrics: &str, name: &str) -> f64 {
    let value = metrics
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.and_then(|value| value.parse().ok()).unwrap_or(0.0)
}

/// Mean and 99th percentile (the bound of its bucket) of what a histogram of seconds got between
/// two looks.
fn between(before: &str, after: &str, name: &str) -> serde_json::Value {
    let grown = |line: &str| gauge(after, line) - gauge(before, line);
    let count = grown(&format!("{name}_count"));
    let sum = grown(&format!("{name}_sum"));
    let prefix = format!("{name}_bucket{{le=\"");
    let bound = after.lines().find_map(|line| {
        let (bound, _) = line.strip_prefix(&prefix)?.split_once("\"} ")?;
        let below = grown(&format!("{prefix}{bound}\"}}"));
        (below >= count * 0.99).then(|| bound.parse::<f64>().ok())?
    });
    json!({
        "count": count,
        "mean": round(sum * 1e3 / count.max(1.0)),
        "p99_at_most": bound.map(|bound| bound * 1e3),
    })
}
