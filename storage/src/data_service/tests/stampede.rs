//! Ten thousand readers of one page, alone and with writes in between.

use super::*;

const READERS: usize = 10_000;

fn numbered(number: u64) -> Write {
    put(message_id(2, number))
}

#[tokio::test]
async fn ten_thousand_readers_cost_a_handful_of_queries() {
    let world = World::new().await;
    let message = message_id(1, 1);
    let react = Write::PutReaction(reaction(message, BOB, "👍", 2));
    world.store.commit(vec![react]).await.unwrap();
    world.store.hold_reads();
    let readers: Vec<_> = (0..READERS)
        .map(|reader| {
            let service = world.service.clone();
            tokio::spawn(async move {
                let page = service.history(CHANNEL, Page::Latest, 50).await?;
                let reader = Id::new(10_000 + reader as u64);
                service.reactions_on(CHANNEL, &page, reader).await
            })
        })
        .collect();
    settle().await;
    world.store.release_all_reads();
    for reader in readers {
        assert_eq!(reader.await.unwrap().unwrap()[0][0].count, 1);
    }
    // The page, the counts, who reacted.
    assert!(world.store.all_reads() <= 5, "{}", world.store.all_reads());
}

/// Each reader notes the newest message acknowledged before it asks, and must find it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_reader_sees_every_write_acknowledged_before_it_asked() {
    const WRITES: u64 = 300;
    let world = World::new().await;
    let acknowledged = Arc::new(AtomicU64::new(0));
    let (service, newest) = (world.service.clone(), acknowledged.clone());
    let writer = tokio::spawn(async move {
        for number in 1..=WRITES {
            service.commit(vec![numbered(number)]).await.unwrap();
            newest.store(number, Ordering::SeqCst);
            tokio::task::yield_now().await;
        }
    });
    let readers: Vec<_> = (0..READERS)
        .map(|reader| {
            let (service, newest) = (world.service.clone(), acknowledged.clone());
            tokio::spawn(async move {
                // Not all in the same instant: some before each of the writes.
                for _ in 0..reader % 100 {
                    tokio::task::yield_now().await;
                }
                let at_least = newest.load(Ordering::SeqCst);
                let page = service.messages(CHANNEL, Page::Latest, 50).await.unwrap();
                assert!(
                    at_least == 0 || page[0].id >= message_id(2, at_least),
                    "{at_least}: {}",
                    page[0].id
                );
                let gaps = page.windows(2).all(|two| {
                    two[0].id.get() - two[1].id.get() == 1 << 22 || two[1].id == message_id(1, 1)
                });
                assert!(gaps, "a page without holes");
            })
        })
        .collect();
    for reader in readers {
        reader.await.unwrap();
    }
    writer.await.unwrap();
    assert!(
        world.store.reads("messages") < READERS,
        "{}",
        world.store.reads("messages")
    );
}
