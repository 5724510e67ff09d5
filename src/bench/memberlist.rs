//! `guildhall bench memberlist`: what one change of a list of a million members costs, in processor
//! time: the sorted sequence of the sidebar, and the member table.
//!
//! Conditions: one thread, no node, no network; members come in random order, with names of 5 to 16
//! letters. Each operation is measured by itself with the thread's processor clock, of which the
//! cost (its median, printed) is taken off.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use chat::guild::list::contents::Place;
use chat::guild::list::sorted::Sorted;
use chat::guild::members::{MemberTable, Row};
use clap::Args;
use model::member::MemberRecord;
use model::user::User;
use model::{GuildId, Id, UserId};
use otp::Node;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

/// What to measure with.
#[derive(Debug, Clone, Args)]
pub(crate) struct MemberListArgs {
    /// Members.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1_000..=5_000_000))]
    members: u32,
    /// How often everything but inserting is done.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(1_000..=5_000_000))]
    operations: u32,
}

/// Positions of a slice: what a client shows at once.
const SLICE: usize = 100;

/// Members of a page of the table.
const PAGE: usize = 1_000;

/// Numbers that look random, the same in every run (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.0;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^ (number >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn name(&mut self) -> String {
        let letters = 5 + self.below(12);
        let letter = |_| char::from(b'a' + self.below(26) as u8);
        (0..letters).map(letter).collect()
    }
}

/// Processor time of this thread, in nanoseconds.
fn cpu_ns() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Durations of one kind of operation.
struct Meter {
    clock_ns: u64,
    each: Vec<u32>,
}

impl Meter {
    fn new(clock_ns: u64) -> Self {
        Self {
            clock_ns,
            each: Vec::new(),
        }
    }

    fn time<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let began = cpu_ns();
        let done = work();
        let took = (cpu_ns() - began).saturating_sub(self.clock_ns);
        self.each.push(u32::try_from(took).unwrap_or(u32::MAX));
        done
    }

    fn to_json(&self) -> Value {
        let mut sorted = self.each.clone();
        sorted.sort_unstable();
        let at = |share: f64| {
            let index =
                ((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1));
            sorted.get(index).copied().unwrap_or_default()
        };
        let sum: u64 = sorted.iter().map(|ns| u64::from(*ns)).sum();
        json!({
            "operations": sorted.len(),
            "mean_ns": sum / sorted.len().max(1) as u64,
            "p50_ns": at(0.5),
            "p99_ns": at(0.99),
            "p999_ns": at(0.999),
            "max_ns": sorted.last().copied().unwrap_or_default(),
        })
    }
}

/// What reading the clock costs.
fn clock_ns() -> u64 {
    let mut meter = Meter::new(0);
    for _ in 0..100_000 {
        meter.time(|| ());
    }
    meter.each.sort_unstable();
    u64::from(meter.each[meter.each.len() / 2])
}

/// Measures and prints.
///
/// # Errors
/// When what it measured is wrong: a position that is not the right one, members that are missing.
pub(crate) async fn run(args: MemberListArgs) -> anyhow::Result<()> {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let clock_ns = clock_ns();
    let sorted = sorted(&args, clock_ns)?;
    let table = table(&args, clock_ns).await?;
    let result = json!({
        "bench": "memberlist",
        "conditions": {
            "members": args.members,
            "processors": std::thread::available_parallelism().map_or(1, usize::from),
            "optimized": !cfg!(debug_assertions),
            "load_average": load.split(' ').next().unwrap_or_default(),
            "clock": "processor time of the thread",
            "clock_ns": clock_ns,
        },
        "sorted": sorted,
        "table": table,
    });
    println!("{}", serde_json::to_string_pretty(&result)?);
    Ok(())
}

fn sorted(args: &MemberListArgs, clock_ns: u64) -> anyhow::Result<Value> {
    let mut numbers = Numbers(1);
    let members = args.members as usize;
    let mut places: Vec<Place> = (0..members)
        .map(|user| Place::new(&numbers.name(), Id::new(user as u64 + 1)))
        .collect();
    let mut list = Sorted::default();
    let mut other = Sorted::default();
    let meters = || Meter::new(clock_ns);
    let (mut insert, mut rank, mut slice) = (meters(), meters(), meters());
    let (mut rename, mut regroup) = (meters(), meters());
    for place in &places {
        let place = place.clone();
        let inserted = insert.time(|| list.insert(place));
        ensure!(inserted.is_ok(), "a member was there twice");
    }
    for _ in 0..args.operations {
        let at = numbers.below(members);
        let position = rank.time(|| list.rank(&places[at]));
        let found = position.ok().and_then(|at| list.slice(at..at + 1).next());
        ensure!(found == Some(&places[at]), "a wrong position");
        let from = numbers.below(members - SLICE);
        let last = slice.time(|| list.slice(from..from + SLICE).last().cloned());
        ensure!(last.is_some(), "a slice that is too short");
        let name = numbers.name();
        let renamed = rename.time(|| {
            let new = Place::new(&name, Id::new(at as u64 + 1));
            let old = std::mem::replace(&mut places[at], new.clone());
            (list.remove(&old), list.insert(new))
        });
        ensure!(
            renamed.0.is_some() && renamed.1.is_ok(),
            "a rename that was none"
        );
    }
    for place in places.iter().take(args.operations as usize) {
        let moved = regroup.time(|| (list.remove(place), other.insert(place.clone())));
        ensure!(moved.0.is_some() && moved.1.is_ok(), "not moved");
    }
    ensure!(list.len() + other.len() == members, "members are missing");
    Ok(json!({
        "insert_with_index": insert.to_json(),
        "rank": rank.to_json(),
        "slice_of_100": slice.to_json(),
        "rename": rename.to_json(),
        "group_change": regroup.to_json(),
    }))
}

async fn table(args: &MemberListArgs, clock_ns: u64) -> anyhow::Result<Value> {
    const GUILD: GuildId = Id::new(1);
    let node = Node::new("bench");
    let (keep, kept) = tokio::sync::oneshot::channel::<()>();
    let keeper = otp::task::spawn(&node, "keeper", async move {
        // Until the end of the measurement.
        let _ = kept.await;
    });
    let table = MemberTable::create(&node, keeper.pid(), GUILD)
        .ok()
        .context("no table")?;
    let mut numbers = Numbers(2);
    let members = args.members as usize;
    let row = |user: usize, name: String| {
        let user = User::new(Id::new(user as u64 + 1), name, false);
        let record = MemberRecord::new(GUILD, user.id, model::time::from_unix_ms(0));
        Arc::new(Row { record, user })
    };
    let mut order: Vec<usize> = (0..members).collect();
    for at in (1..members).rev() {
        order.swap(at, numbers.below(at + 1));
    }
    let meters = || Meter::new(clock_ns);
    let (mut insert, mut get, mut replace, mut page) = (meters(), meters(), meters(), meters());
    for user in order {
        let row = row(user, numbers.name());
        let id = row.record.user_id;
        let applied = insert.time(|| table.apply([(id, Some(row))]));
        ensure!(applied.is_ok(), "the table is gone");
    }
    for number in 0..args.operations as usize {
        let user = numbers.below(members);
        let id: UserId = Id::new(user as u64 + 1);
        let found = get.time(|| table.get(id));
        ensure!(found.is_ok_and(|row| row.is_some()), "a member is missing");
        let row = row(user, numbers.name());
        let applied = replace.time(|| table.apply([(id, Some(row))]));
        ensure!(applied.is_ok(), "the table is gone");
        if number % PAGE == 0 {
            let rows = page.time(|| table.page(Some(id), PAGE));
            ensure!(rows.is_ok(), "the table is gone");
        }
    }
    ensure!(table.len() == Some(members), "members are missing");
    drop(keep);
    Ok(json!({
        "insert": insert.to_json(),
        "get": get.to_json(),
        "replace": replace.to_json(),
        "page_of_1000": page.to_json(),
    }))
}
