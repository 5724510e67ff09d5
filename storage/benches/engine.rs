//! What an engine does by itself, without the API: durable inserts of many writers, and pages read
//! meanwhile. `cargo bench -p guildhall-storage --bench engine -- URL [SECONDS]`
//!
//! `inserts_fenced` are those of an owner who claimed the guild, as a node makes them.
//!
//! Prints one object of JSON: rates, times in milliseconds, CPU time per insert of the whole process.
#![allow(missing_docs)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use model::channel::Channel;
use model::guild::Guild;
use model::message::MessageRecord;
use model::{ChannelId, GuildId, Id, UserId};
use storage::engine;
use storage::store::{Page, Write};
use storage::{Epoch, Store};

const GUILD: GuildId = Id::new(1_000);
const ADA: UserId = Id::new(3_000);
const WRITERS: u64 = 64;
const READERS: u64 = 4;
/// Bytes of a message's text.
const TEXT: usize = 200;
/// Messages of a channel before it is measured, so that pages are full.
const BEFORE: u64 = 200;
/// From the first message of one measurement to the first of the next: all are new.
const APART: u64 = 10_000_000;

fn channel(writer: u64) -> ChannelId {
    Id::new(2_000 + writer)
}

fn message(writer: u64, number: u64) -> Write {
    Write::PutMessage(Box::new(MessageRecord {
        content: format!("{number:0>TEXT$}"),
        ..MessageRecord::new(
            Id::new((330_000_000_000 + number) << 22 | writer),
            channel(writer),
            GUILD,
            ADA,
        )
    }))
}

/// CPU time of this process so far, its own and the kernel's for it.
fn cpu() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    // A tick is 10 ms on Linux, whatever the kernel's own clock does.
    Some(Duration::from_millis(ticks * 10))
}

fn at(sorted: &[Duration], part: f64) -> f64 {
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )]
    let index = (sorted.len() as f64 * part) as usize;
    let time = sorted.get(index.min(sorted.len().saturating_sub(1)));
    time.map_or(0.0, |time| time.as_secs_f64() * 1_000.0)
}

/// What is measured.
#[derive(Clone, Copy)]
struct Load {
    /// The number of the first message.
    from: u64,
    readers: u64,
    /// Under which epoch messages are inserted.
    fence: Option<Epoch>,
}

async fn write(
    store: Arc<dyn Store>,
    writer: u64,
    load: Load,
    stop: Arc<AtomicBool>,
) -> Vec<Duration> {
    let mut times = Vec::new();
    let fence = load.fence.map(|epoch| Write::Fence(GUILD, epoch));
    for number in load.from.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let batch = fence.iter().cloned().chain([message(writer, number)]);
        let batch = batch.collect();
        let began = Instant::now();
        if let Err(error) = store.commit(batch).await {
            panic!("{error}");
        }
        times.push(began.elapsed());
    }
    times
}

async fn read(
    store: Arc<dyn Store>,
    first: u64,
    stop: Arc<AtomicBool>,
    pages: Arc<AtomicU64>,
) -> Vec<Duration> {
    let mut times = Vec::new();
    for number in first.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let began = Instant::now();
        let page = store.messages(channel(number % WRITERS), Page::Latest, 50);
        match page.await {
            Ok(page) => assert_eq!(page.len(), 50),
            Err(error) => panic!("{error}"),
        }
        times.push(began.elapsed());
        pages.fetch_add(1, Ordering::Relaxed);
        // A reader at rest between two pages: not who reads most, but how long one takes.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    times
}

/// Inserts for a while, with or without readers.
async fn measure(store: &Arc<dyn Store>, seconds: u64, load: Load) -> serde_json::Value {
    let stop = Arc::new(AtomicBool::new(false));
    let pages = Arc::new(AtomicU64::new(0));
    let (began, used) = (Instant::now(), cpu());
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| tokio::spawn(write(Arc::clone(store), writer, load, Arc::clone(&stop))))
        .collect();
    let readers: Vec<_> = (0..load.readers)
        .map(|reader| {
            let (store, stop, pages) = (Arc::clone(store), Arc::clone(&stop), Arc::clone(&pages));
            tokio::spawn(read(store, reader * 17, stop, pages))
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    stop.store(true, Ordering::Relaxed);
    let (mut inserts, mut reads) = (Vec::new(), Vec::new());
    for writer in writers {
        inserts.extend(writer.await.unwrap_or_else(|error| panic!("{error}")));
    }
    for reader in readers {
        reads.extend(reader.await.unwrap_or_else(|error| panic!("{error}")));
    }
    let elapsed = began.elapsed();
    let used = cpu().zip(used).map(|(now, before)| now - before);
    inserts.sort_unstable();
    reads.sort_unstable();
    #[allow(clippy::cast_precision_loss)]
    let count = inserts.len() as f64;
    serde_json::json!({
        "inserts": inserts.len(),
        "inserts_per_second": (count / elapsed.as_secs_f64()).round(),
        "insert_ms": {"p50": at(&inserts, 0.5), "p99": at(&inserts, 0.99)},
        "cpu_us_per_insert": used.map(|used| used.as_secs_f64() * 1e6 / count),
        "pages": reads.len(),
        "page_ms": {"p50": at(&reads, 0.5), "p99": at(&reads, 0.99)},
    })
}

#[tokio::main]
async fn main() {
    // cargo passes --bench.
    let mut arguments = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--"));
    let directory = std::env::temp_dir().join(format!("guildhall-bench-{}", std::process::id()));
    let here = format!("fjall:{}", directory.display());
    let url = arguments.next().unwrap_or(here);
    let seconds = arguments
        .next()
        .and_then(|seconds| seconds.parse().ok())
        .unwrap_or(10);
    let store = engine::open(&url)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let mut batch = vec![Write::PutGuild(Box::new(Guild::new(GUILD, "bench", ADA)))];
    for writer in 0..WRITERS {
        let channel = Channel::new(channel(writer), GUILD, 0, "general");
        batch.push(Write::PutChannel(Box::new(channel)));
    }
    let mut commits = vec![store.commit(batch)];
    for writer in 0..WRITERS {
        let some = (0..BEFORE).map(|number| message(writer, number)).collect();
        commits.push(store.commit(some));
    }
    for commit in commits {
        commit.await.unwrap_or_else(|error| panic!("{error}"));
    }
    let claimed = store.claim(GUILD, Epoch(1)).await;
    claimed.unwrap_or_else(|error| panic!("{error}"));
    let load = |number, readers, fence| Load {
        from: BEFORE + number * APART,
        readers,
        fence,
    };
    // In this order, so that what grows with the store shows on both.
    let fence = Some(Epoch(1));
    let alone = measure(&store, seconds, load(0, 0, None)).await;
    let fenced = measure(&store, seconds, load(1, 0, fence)).await;
    let fenced_again = measure(&store, seconds, load(2, 0, fence)).await;
    let alone_again = measure(&store, seconds, load(3, 0, None)).await;
    let with_readers = measure(&store, seconds, load(4, READERS, fence)).await;
    let closed = store.close().await;
    drop(store);
    // Only what this run made itself.
    let _ = std::fs::remove_dir_all(&directory);
    closed.unwrap_or_else(|error| panic!("{error}"));
    let scheme = url.split(':').next().unwrap_or_default();
    println!(
        "{}",
        serde_json::json!({
            "engine": scheme, "seconds": seconds, "writers": WRITERS, "text_bytes": TEXT,
            "load": std::fs::read_to_string("/proc/loadavg").ok().map(|load| load.trim().to_owned()),
            "inserts_alone": [alone, alone_again], "inserts_fenced": [fenced, fenced_again],
            "fenced_with_readers": with_readers, "readers": READERS,
        })
    );
}
