//! Joining, read-your-writes and the limits of the data service.
#![allow(clippy::unwrap_used)]

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use tokio::sync::Semaphore;

use super::flights::{CHANNEL_READERS, CHANNEL_READS};
use super::*;
use crate::conformance::{CHANNEL, ids, message_id, put, record};
use crate::engine::memory::MemoryStore;

const READ: PageRead = PageRead {
    channel: CHANNEL,
    page: Page::Latest,
    limit: 50,
};

/// A read that counts itself and ends when the test says so.
#[derive(Clone)]
struct Slow {
    begun: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
}

impl Slow {
    fn new() -> Self {
        Self {
            begun: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
        }
    }

    fn read(&self) -> impl Future<Output = Result<Vec<MessageRecord>>> + Send + use<> {
        let slow = self.clone();
        async move {
            slow.begun.fetch_add(1, Ordering::SeqCst);
            slow.gate.acquire().await.unwrap().forget();
            Ok(vec![record(message_id(1, 1))])
        }
    }

    fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }
}

fn service() -> DataService {
    DataService::new(Arc::new(MemoryStore::new()))
}

/// Lets every other task run until it waits; the tests' runtime has one thread.
async fn settle() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn identical_reads_are_one() {
    let (service, slow) = (service(), Slow::new());
    let readers: Vec<_> = (0..100)
        .map(|_| {
            let (flights, slow) = (service.flights.clone(), slow.clone());
            tokio::spawn(async move { flights.read(READ, || slow.read()).await })
        })
        .collect();
    settle().await;
    assert_eq!(slow.begun(), 1);
    let other = PageRead { limit: 49, ..READ };
    let (flights, theirs) = (service.flights.clone(), slow.clone());
    let different = tokio::spawn(async move { flights.read(other, || theirs.read()).await });
    settle().await;
    assert_eq!(slow.begun(), 2, "a different read is not joined");
    slow.gate.add_permits(2);
    for reader in readers {
        assert_eq!(reader.await.unwrap().unwrap().len(), 1);
    }
    different.await.unwrap().unwrap();
    settle().await;
    assert_eq!(
        service.flights.channels(),
        0,
        "nothing is kept when nobody reads"
    );
}

#[tokio::test]
async fn a_read_after_an_ack_never_joins_an_earlier_one() {
    let (service, slow) = (service(), Slow::new());
    let (flights, read) = (service.flights.clone(), slow.read());
    let early = tokio::spawn(async move { flights.read(READ, || read).await });
    settle().await;
    service.commit(vec![put(message_id(9, 9))]).await.unwrap();
    let page = service.messages(CHANNEL, Page::Latest, 50).await.unwrap();
    assert_eq!(ids(&page), [message_id(9, 9)]);
    slow.gate.add_permits(1);
    assert_eq!(
        ids(&early.await.unwrap().unwrap()),
        [message_id(1, 1)],
        "who came before gets the old page"
    );
}

#[tokio::test]
async fn the_flight_goes_on_without_its_first_reader() {
    let (service, slow) = (service(), Slow::new());
    let (flights, read) = (service.flights.clone(), slow.read());
    let first = tokio::spawn(async move { flights.read(READ, || read).await });
    settle().await;
    let (flights, read) = (service.flights.clone(), slow.read());
    let second = tokio::spawn(async move { flights.read(READ, || read).await });
    settle().await;
    first.abort();
    settle().await;
    slow.gate.add_permits(1);
    assert_eq!(second.await.unwrap().unwrap().len(), 1);
    assert_eq!(slow.begun(), 1);
}

#[tokio::test]
async fn a_panicking_read_hurts_only_who_joined_it() {
    let service = service();
    async fn panics() -> Result<Vec<MessageRecord>> {
        panic!("made by a test")
    }
    let answer = service.flights.read(READ, panics).await;
    assert!(matches!(answer, Err(StoreError::Broken(_))));
    assert!(
        service
            .messages(CHANNEL, Page::Latest, 50)
            .await
            .unwrap()
            .is_empty()
    );
    settle().await;
    assert_eq!(service.flights.channels(), 0);
}

#[tokio::test]
async fn reads_of_a_channel_are_limited() {
    let (service, slow) = (service(), Slow::new());
    let mut readers = Vec::new();
    // Each of these is a flight of its own, and a flight counts for its reader and its leader.
    for limit in 0..CHANNEL_READERS / 2 {
        let (flights, slow) = (service.flights.clone(), slow.clone());
        let read = PageRead { limit, ..READ };
        readers.push(tokio::spawn(async move {
            flights.read(read, || slow.read()).await
        }));
    }
    settle().await;
    assert_eq!(slow.begun(), CHANNEL_READS);
    assert_eq!(
        service.messages(CHANNEL, Page::Latest, 9_999).await,
        Err(StoreError::Busy)
    );
    let elsewhere = model::Id::new(CHANNEL.get() + 1);
    assert!(
        service
            .messages(elsewhere, Page::Latest, 1)
            .await
            .unwrap()
            .is_empty()
    );
    slow.gate.add_permits(readers.len());
    for reader in readers {
        reader.await.unwrap().unwrap();
    }
    assert!(service.messages(CHANNEL, Page::Latest, 9_999).await.is_ok());
}

#[tokio::test]
async fn a_read_that_hangs_is_given_up() {
    let flights = Arc::new(Flights::new(Duration::from_millis(1)));
    let hangs = || std::future::poll_fn(|_| Poll::<Result<Vec<MessageRecord>>>::Pending);
    assert_eq!(flights.read(READ, hangs).await, Err(StoreError::Busy));
    let answers = || async { Ok(Vec::new()) };
    assert!(flights.read(READ, answers).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_dropped_commit_closes_flights_too() {
    let (service, slow) = (service(), Slow::new());
    let (flights, read) = (service.flights.clone(), slow.read());
    let early = tokio::spawn(async move { flights.read(READ, || read).await });
    settle().await;
    drop(service.commit(vec![put(message_id(9, 9))]));
    assert_eq!(
        ids(&service.messages(CHANNEL, Page::Latest, 50).await.unwrap()),
        [message_id(9, 9)]
    );
    slow.gate.add_permits(1);
    early.await.unwrap().unwrap();
}
