//! Page reads in flight: who leads, who waits, and how many may read a channel at once.
//!
//! ```text
//!  read(key) ── open flight with this key? ── yes ─▶ wait for its leader
//!                    │ no
//!                    └─▶ spawn a leader: gate (≤ 4 per channel) ─▶ store ─▶ off the table ─▶ answer
//!  close(channel) ──▶ its flights take no more waiters
//! ```
//!
//! A channel has an entry only while someone reads it, so the table is as large as the number of
//! channels being read at this instant.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use tokio::sync::{Semaphore, watch};

use model::ChannelId;
use model::message::MessageRecord;

use crate::error::StoreError;
use crate::store::{Page, Result};

/// Reads of one channel that may be in the engine at once; others wait in the channel's gate.
pub(super) const CHANNEL_READS: usize = 4;

/// Readers of one channel, leaders and waiters together; past it a read is refused with
/// [`StoreError::Busy`].
pub(super) const CHANNEL_READERS: usize = 1_024;

/// A page read; equal ones can be joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct PageRead {
    /// The channel.
    pub(super) channel: ChannelId,
    /// Which part.
    pub(super) page: Page,
    /// At most this many.
    pub(super) limit: usize,
}

type Answer = Result<Arc<Vec<MessageRecord>>>;

/// Where a flight's answer appears.
type Landing = watch::Receiver<Option<Answer>>;

/// All flights of a data service.
#[derive(Debug)]
pub(super) struct Flights {
    channels: DashMap<ChannelId, Channel>,
    next: AtomicU64,
    deadline: Duration,
}

/// The reads of one channel.
#[derive(Debug)]
struct Channel {
    /// Flights a newcomer may join.
    open: HashMap<PageRead, Flight>,
    gate: Arc<Semaphore>,
    readers: usize,
}

#[derive(Debug)]
struct Flight {
    number: u64,
    answer: Landing,
}

/// Counts a reader of a channel as long as it lives; the last one takes the entry away.
struct Reader {
    flights: Arc<Flights>,
    channel: ChannelId,
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.flights
            .channels
            .remove_if_mut(&self.channel, |_, channel| {
                channel.readers -= 1;
                channel.readers == 0
            });
    }
}

impl Flights {
    /// No flights; each one will be given up after `deadline`.
    pub(super) fn new(deadline: Duration) -> Self {
        Self {
            channels: DashMap::new(),
            next: AtomicU64::new(0),
            deadline,
        }
    }

    /// How many channels are being read.
    pub(super) fn channels(&self) -> usize {
        self.channels.len()
    }

    /// Lets no newcomer join a flight of `channel` that has already begun.
    pub(super) fn close(&self, channel: ChannelId) {
        if let Some(mut channel) = self.channels.get_mut(&channel) {
            channel.open.clear();
        }
    }

    /// Answers `read` from the flight that is on its way, or starts one that does `work`.
    pub(super) async fn read<W>(
        self: &Arc<Self>,
        read: PageRead,
        work: impl FnOnce() -> W,
    ) -> Answer
    where
        W: Future<Output = Result<Vec<MessageRecord>>> + Send + 'static,
    {
        let (mut answer, _reader) = self.join(read, work)?;
        let settled = match answer.wait_for(Option::is_some).await {
            Ok(settled) => settled.clone(),
            Err(_) => None,
        };
        settled.unwrap_or_else(|| {
            Err(StoreError::Broken(
                "a read ended without an answer".to_owned(),
            ))
        })
    }

    fn join<W>(
        self: &Arc<Self>,
        read: PageRead,
        work: impl FnOnce() -> W,
    ) -> Result<(Landing, Reader)>
    where
        W: Future<Output = Result<Vec<MessageRecord>>> + Send + 'static,
    {
        let mut channel = self
            .channels
            .entry(read.channel)
            .or_insert_with(|| Channel {
                open: HashMap::new(),
                gate: Arc::new(Semaphore::new(CHANNEL_READS)),
                readers: 0,
            });
        if channel.readers >= CHANNEL_READERS {
            metrics::counter!("guildhall_store_busy_total", "where" => "channel_readers")
                .increment(1);
            return Err(StoreError::Busy);
        }
        channel.readers += 1;
        let reader = self.reader(read.channel);
        if let Some(flight) = channel.open.get(&read) {
            metrics::counter!("guildhall_store_reads_joined_total").increment(1);
            return Ok((flight.answer.clone(), reader));
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (publish, answer) = watch::channel(None);
        channel.open.insert(
            read,
            Flight {
                number,
                answer: answer.clone(),
            },
        );
        channel.readers += 1;
        let leader = Leader {
            number,
            read,
            reader: self.reader(read.channel),
        };
        tokio::spawn(leader.run(work(), channel.gate.clone(), publish));
        drop(channel);
        Ok((answer, reader))
    }

    fn reader(self: &Arc<Self>, channel: ChannelId) -> Reader {
        Reader {
            flights: self.clone(),
            channel,
        }
    }

    /// Takes a flight off the table, unless it is closed already.
    fn land(&self, number: u64, read: &PageRead) {
        if let Some(mut channel) = self.channels.get_mut(&read.channel)
            && channel
                .open
                .get(read)
                .is_some_and(|flight| flight.number == number)
        {
            channel.open.remove(read);
        }
    }
}

/// The task that reads for everyone who joined.
struct Leader {
    number: u64,
    read: PageRead,
    reader: Reader,
}

impl Drop for Leader {
    /// Also when the read panicked: a flight without a leader must not be joined.
    fn drop(&mut self) {
        self.reader.flights.land(self.number, &self.read);
    }
}

impl Leader {
    async fn run<W>(self, work: W, gate: Arc<Semaphore>, publish: watch::Sender<Option<Answer>>)
    where
        W: Future<Output = Result<Vec<MessageRecord>>> + Send,
    {
        let work = async {
            let _turn = gate.acquire().await.map_err(|_| StoreError::Busy)?;
            work.await
        };
        let answer = match tokio::time::timeout(self.reader.flights.deadline, work).await {
            Ok(answer) => answer.map(Arc::new),
            Err(_) => {
                metrics::counter!("guildhall_store_busy_total", "where" => "read_deadline")
                    .increment(1);
                Err(StoreError::Busy)
            }
        };
        // Off the table before the answer is out: whoever comes later starts a read of its own.
        drop(self);
        publish.send_replace(Some(answer));
    }
}
