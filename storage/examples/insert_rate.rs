//! How many durable inserts a second the embedded engine takes: 64 writers in a closed loop.
//!
//! `cargo run --release -p guildhall-storage --example insert_rate -- [seconds] [directory]` prints
//! one line of JSON: inserts and their rate, latencies of the acknowledgement in milliseconds, CPU
//! microseconds per insert, bytes on disk, time to reopen, and the latency of the page reads that
//! run beside it in microseconds.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use model::snowflake::{EPOCH_MS, Generator};
use model::{ChannelId, Id, MessageId};
use storage::engine::fjall::FjallStore;
use storage::store::{Page, Store, Write};

const WRITERS: u64 = 64;
const CHANNELS: u64 = 1_000;

fn message(channel: ChannelId, id: MessageId, number: u64) -> Write {
    let length = 20 + usize::try_from(number * 7_919 % 180).unwrap();
    let words = "the quick brown fox jumps over the lazy dog while nobody looks at it ";
    let content = words
        .chars()
        .cycle()
        .skip(usize::try_from(number % 60).unwrap())
        .take(length)
        .collect();
    Write::PutMessage(Box::new(model::message::MessageRecord {
        id,
        channel_id: channel,
        guild_id: Id::new(1 + channel.get() % 50),
        author_id: Id::new(1 + number % 500),
        kind: 0,
        content,
        edited_timestamp: None,
        tts: false,
        mention_everyone: false,
        mentions: Vec::new(),
        mention_roles: Vec::new(),
        attachments: Vec::new(),
        embeds: Vec::new(),
        components: Vec::new(),
        nonce: None,
        pinned: false,
        flags: 0,
        message_reference: None,
    }))
}

/// CPU seconds of this process so far (Linux; 0 elsewhere).
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<f64> = stat
        .rsplit(')')
        .next()
        .unwrap_or("")
        .split(' ')
        .filter_map(|field| field.parse().ok())
        .collect();
    // After the state come 10 fields, then user and system time in ticks of 10 ms.
    fields
        .get(10)
        .zip(fields.get(11))
        .map_or(0.0, |(user, system)| (user + system) / 100.0)
}

fn quantile(sorted: &[Duration], q: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let at = (0..=last).find(|at| {
        f64::from(u32::try_from(*at).unwrap()) >= q * f64::from(u32::try_from(last).unwrap())
    });
    at.and_then(|at| sorted.get(at))
        .map_or(0.0, Duration::as_secs_f64)
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let seconds: u64 = arguments
        .next()
        .map_or(10, |text| text.parse().expect("seconds"));
    let temporary = tempfile::tempdir().unwrap();
    let directory = arguments
        .next()
        .map_or_else(|| temporary.path().to_owned(), Into::into);
    let store = Arc::new(FjallStore::open(&directory).await.unwrap());
    let stop = Arc::new(AtomicBool::new(false));
    let (began, cpu) = (Instant::now(), cpu_seconds());
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (store, stop) = (store.clone(), stop.clone());
            tokio::spawn(async move {
                let mut ids = Generator::new(u16::try_from(writer).unwrap());
                let mut latencies = Vec::new();
                let mut number = writer;
                while !stop.load(Ordering::Relaxed) {
                    number += WRITERS;
                    let id = ids.next(EPOCH_MS + 300_000_000_000 + number);
                    // Every second message goes to one of ten hot channels.
                    let channel = if number % 2 == 0 {
                        1 + number / 2 % 10
                    } else {
                        1 + number * 31 % CHANNELS
                    };
                    let at = Instant::now();
                    store
                        .commit(vec![message(Id::new(channel), id, number)])
                        .await
                        .unwrap();
                    latencies.push(at.elapsed());
                }
                latencies
            })
        })
        .collect();
    let reader = {
        let (store, stop) = (store.clone(), stop.clone());
        tokio::spawn(async move {
            let mut latencies = Vec::new();
            let mut channel = 0;
            let mut pace = tokio::time::interval(Duration::from_millis(2));
            while !stop.load(Ordering::Relaxed) {
                pace.tick().await;
                channel = channel % 10 + 1;
                let at = Instant::now();
                store
                    .messages(Id::new(channel), Page::Latest, 50)
                    .await
                    .unwrap();
                latencies.push(at.elapsed());
            }
            latencies
        })
    };
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    stop.store(true, Ordering::Relaxed);
    let mut acks = Vec::new();
    for writer in writers {
        acks.extend(writer.await.unwrap());
    }
    let (elapsed, cpu) = (began.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let mut reads = reader.await.unwrap();
    acks.sort_unstable();
    reads.sort_unstable();
    let inserts = f64::from(u32::try_from(acks.len()).unwrap());
    store.close().await.unwrap();
    let bytes = store.disk_space().unwrap();
    drop(store);
    let at = Instant::now();
    let store = FjallStore::open(&directory).await.unwrap();
    let reopen = at.elapsed().as_secs_f64();
    drop(store);
    let report = serde_json::json!({
        "writers": WRITERS,
        "inserts": inserts,
        "inserts_per_second": (inserts / elapsed).round(),
        "ack_ms": { "p50": quantile(&acks, 0.5) * 1e3, "p99": quantile(&acks, 0.99) * 1e3, "max": quantile(&acks, 1.0) * 1e3 },
        "cpu_us_per_insert": cpu / inserts * 1e6,
        "latest_50_us": { "reads": reads.len(), "p50": quantile(&reads, 0.5) * 1e6, "p99": quantile(&reads, 0.99) * 1e6 },
        "disk_bytes": bytes,
        "reopen_seconds": reopen,
    });
    println!("{report}");
}
