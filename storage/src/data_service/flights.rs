//! Reads in flight: who leads, who waits, and how many may read a partition at once.
//!
//! ```text
//!  read(query) ── open flight of an equal one? ── yes ─▶ wait for its leader
//!                    │ no                                     └─ it died ─▶ once more from the left
//!                    └─▶ admission ─▶ spawn a leader: gate (≤ 4 per channel) ─▶ store
//!                                                  ─▶ off the table ─▶ answer for all who wait
//!  close(partition) ──▶ its flights take no more waiters
//! ```
//!
//! A partition has an entry only while someone reads it, so the table is as large as the number of
//! channels being read at this instant. Gauges `guildhall_store_flights` and
//! `guildhall_store_readers`.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use tokio::sync::{Semaphore, watch};

use super::admission::Admission;
use super::hot::Hot;
use super::query::{Open, Partition, Query};
use crate::error::StoreError;
use crate::store::{Result, Store};

/// Reads of one channel that may be in the engine at once; others wait in the channel's gate. A
/// bounded load, however hot the channel.
pub const CHANNEL_READS_MAX: usize = 4;

/// The same for reads of accounts, which are spread over the whole store.
pub const ACCOUNT_READS_MAX: usize = 64;

/// Different reads of one channel that are in flight, waiting for the gate or in the engine; past it
/// a read that joins none of them is refused with [`StoreError::Busy`].
pub const CHANNEL_FLIGHTS_MAX: usize = 512;

/// Readers that wait for reads of one channel, all flights together; past it a read is refused with
/// [`StoreError::Busy`].
pub const CHANNEL_READERS_MAX: usize = 16_384;

/// How often a reader whose leader died (it panicked) leads or joins again before it is told.
const ELECTIONS_MAX: usize = 2;

type Answer<A> = Result<Arc<A>>;

/// Where a flight's answer appears.
type Landing<A> = watch::Receiver<Option<Answer<A>>>;

/// All flights of a data service.
#[derive(Debug)]
pub(super) struct Flights {
    partitions: DashMap<Partition, Reading>,
    next: AtomicU64,
    deadline: Duration,
    admission: Arc<Admission>,
    hot: Hot,
    joining: bool,
    channel_reads: usize,
}

/// The reads of one partition.
#[derive(Debug)]
struct Reading {
    /// Flights a newcomer may join.
    open: Open,
    gate: Arc<Semaphore>,
    flights: usize,
    readers: usize,
}

/// A read on its way.
#[derive(Debug)]
pub(super) struct Flight<A> {
    number: u64,
    answer: Landing<A>,
}

/// Counts a reader or a leader of a partition as long as it lives; the last one takes the entry away.
struct Counted {
    flights: Arc<Flights>,
    partition: Partition,
    leads: bool,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let of = if self.leads {
            "guildhall_store_flights"
        } else {
            "guildhall_store_readers"
        };
        metrics::gauge!(of).decrement(1.0);
        self.flights
            .partitions
            .remove_if_mut(&self.partition, |_, reading| {
                let count = if self.leads {
                    &mut reading.flights
                } else {
                    &mut reading.readers
                };
                *count -= 1;
                reading.flights + reading.readers == 0
            });
    }
}

impl Reading {
    fn new(at_once: usize) -> Self {
        Self {
            open: Open::default(),
            gate: Arc::new(Semaphore::new(at_once)),
            flights: 0,
            readers: 0,
        }
    }
}

impl Flights {
    /// No flights; each one will be given up after `deadline`. Without `joining` each read is a
    /// flight of its own.
    pub(super) fn new(deadline: Duration, joining: bool) -> Self {
        Self {
            partitions: DashMap::new(),
            next: AtomicU64::new(0),
            deadline,
            admission: Arc::default(),
            hot: Hot::default(),
            joining,
            channel_reads: CHANNEL_READS_MAX,
        }
    }

    /// With another number in place of [`CHANNEL_READS_MAX`].
    #[cfg(test)]
    pub(super) fn with_channel_reads(mut self, at_once: usize) -> Self {
        self.channel_reads = at_once;
        self
    }

    /// How many partitions are being read.
    pub(super) fn partitions(&self) -> usize {
        self.partitions.len()
    }

    /// How many wait for a read.
    pub(super) fn readers(&self) -> usize {
        self.partitions.iter().map(|reading| reading.readers).sum()
    }

    /// What is read most.
    pub(super) fn hot(&self) -> &Hot {
        &self.hot
    }

    /// Lets in or refuses reads that are not joined.
    pub(super) fn admission(&self) -> &Arc<Admission> {
        &self.admission
    }

    /// Lets no newcomer join a flight of `partition` that has already begun.
    pub(super) fn close(&self, partition: Partition) {
        if let Some(mut reading) = self.partitions.get_mut(&partition) {
            reading.open = Open::default();
        }
    }

    /// The same for all partitions.
    pub(super) fn close_all(&self) {
        for mut reading in self.partitions.iter_mut() {
            reading.open = Open::default();
        }
    }

    /// Answers `query` from the flight that is on its way, or starts one.
    ///
    /// # Errors
    /// [`StoreError::Busy`] at a limit, when the store is slow, or when the read took too long; what
    /// the store answers.
    pub(super) async fn read<Q: Query>(
        self: &Arc<Self>,
        query: Q,
        store: &Arc<dyn Store>,
    ) -> Answer<Q::Answer> {
        if let Partition::Channel(channel) = query.partition() {
            self.hot.count(channel, Instant::now());
        }
        for _ in 0..ELECTIONS_MAX {
            let (mut answer, _reader) = self.join(&query, store)?;
            if let Ok(settled) = answer.wait_for(Option::is_some).await
                && let Some(settled) = &*settled
            {
                return settled.clone();
            }
            metrics::counter!("guildhall_store_leaders_lost_total").increment(1);
        }
        Err(StoreError::Broken(
            "a read ended without an answer, twice; the log says why".to_owned(),
        ))
    }

    fn join<Q: Query>(
        self: &Arc<Self>,
        query: &Q,
        store: &Arc<dyn Store>,
    ) -> Result<(Landing<Q::Answer>, Counted)> {
        let partition = query.partition();
        // Declared before the entry's lock, so that it is dropped after it when the read is refused:
        // an entry that was made for this reader must not stay.
        let reader;
        let at_once = match partition {
            Partition::Channel(_) => self.channel_reads,
            Partition::Accounts => ACCOUNT_READS_MAX,
        };
        let mut reading = self
            .partitions
            .entry(partition)
            .or_insert_with(|| Reading::new(at_once));
        reader = self.counted(partition, false, &mut reading);
        if reading.readers > CHANNEL_READERS_MAX {
            return Err(busy("channel_readers"));
        }
        if self.joining
            && let Some(flight) = Q::flights(&mut reading.open).get(query)
        {
            metrics::counter!("guildhall_store_reads_joined_total", "read" => Q::NAME).increment(1);
            let answer = flight.answer.clone();
            return Ok((answer, reader));
        }
        if self.joining && reading.flights >= CHANNEL_FLIGHTS_MAX {
            return Err(busy("channel_flights"));
        }
        self.admission.check()?;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (publish, answer) = watch::channel(None);
        let flight = Flight {
            number,
            answer: answer.clone(),
        };
        Q::flights(&mut reading.open).insert(query.clone(), flight);
        let leader = Leader {
            number,
            query: query.clone(),
            counted: self.counted(partition, true, &mut reading),
        };
        let work = query.clone().ask(Arc::clone(store));
        tokio::spawn(leader.run(work, reading.gate.clone(), publish));
        drop(reading);
        Ok((answer, reader))
    }

    fn counted(
        self: &Arc<Self>,
        partition: Partition,
        leads: bool,
        reading: &mut Reading,
    ) -> Counted {
        if leads {
            reading.flights += 1;
            metrics::gauge!("guildhall_store_flights").increment(1.0);
        } else {
            reading.readers += 1;
            metrics::gauge!("guildhall_store_readers").increment(1.0);
        }
        Counted {
            flights: self.clone(),
            partition,
            leads,
        }
    }

    /// Takes a flight off the table, unless it is closed already.
    fn land<Q: Query>(&self, number: u64, query: &Q) {
        if let Some(mut reading) = self.partitions.get_mut(&query.partition()) {
            let flights = Q::flights(&mut reading.open);
            if flights
                .get(query)
                .is_some_and(|flight| flight.number == number)
            {
                flights.remove(query);
            }
        }
    }
}

fn busy(limit: &'static str) -> StoreError {
    metrics::counter!("guildhall_store_busy_total", "where" => limit).increment(1);
    StoreError::Busy
}

/// The task that reads for everyone who joined.
struct Leader<Q: Query> {
    number: u64,
    query: Q,
    counted: Counted,
}

impl<Q: Query> Drop for Leader<Q> {
    /// Also when the read panicked: a flight without a leader must not be joined.
    fn drop(&mut self) {
        self.counted.flights.land(self.number, &self.query);
    }
}

impl<Q: Query> Leader<Q> {
    async fn run<W>(
        self,
        work: W,
        gate: Arc<Semaphore>,
        publish: watch::Sender<Option<Answer<Q::Answer>>>,
    ) where
        W: Future<Output = Result<Q::Answer>> + Send,
    {
        let work = async {
            let _turn = gate.acquire().await.map_err(|_| StoreError::Busy)?;
            let _in_store = self.counted.flights.admission.enter(Q::NAME);
            work.await
        };
        let answer = match tokio::time::timeout(self.counted.flights.deadline, work).await {
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
