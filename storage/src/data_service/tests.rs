//! Joining, read-your-writes and the limits of the data service.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicU64, Ordering};

use model::Id;
use model::message::MessageRecord;
use tokio::task::JoinHandle;

use super::*;
use crate::conformance::faulty::Faulty;
use crate::conformance::{
    ADA, BOB, CHANNEL, GUILD, account, emoji, found, ids, message_id, put, reaction,
};
use crate::error::StoreError;
use crate::store::Page;

mod stampede;

/// No read of these tests is given up because the machine is busy.
const PATIENT: Duration = Duration::from_secs(600);

struct World {
    store: Arc<Faulty>,
    service: DataService,
}

impl World {
    /// A guild with a channel and a message in it.
    async fn new() -> Self {
        let store = Faulty::new();
        found(&*store).await;
        store.commit(vec![put(message_id(1, 1))]).await.unwrap();
        let service = DataService::new(store.clone());
        let mut world = Self { store, service };
        world.fly(Flights::new(PATIENT, true));
        world
    }

    fn fly(&mut self, flights: Flights) {
        self.service.flights = Arc::new(flights);
    }

    fn latest(&self, limit: usize) -> JoinHandle<Result<Arc<Vec<MessageRecord>>>> {
        let service = self.service.clone();
        tokio::spawn(async move { service.messages(CHANNEL, Page::Latest, limit).await })
    }
}

/// Lets every other task run until it waits; the tests' runtime has one thread.
async fn settle() {
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn identical_reads_are_one() {
    let world = World::new().await;
    world.store.hold_reads();
    let readers: Vec<_> = (0..100).map(|_| world.latest(50)).collect();
    settle().await;
    assert_eq!(world.store.reads("messages"), 1);
    let different = world.latest(49);
    settle().await;
    assert_eq!(
        world.store.reads("messages"),
        2,
        "a different read is not joined"
    );
    world.store.release_all_reads();
    for reader in readers {
        assert_eq!(ids(&reader.await.unwrap().unwrap()), [message_id(1, 1)]);
    }
    different.await.unwrap().unwrap();
    settle().await;
    assert_eq!(
        world.service.flights.partitions(),
        0,
        "nothing is kept when nobody reads"
    );
}

#[tokio::test]
async fn without_joining_each_read_is_a_query() {
    let mut world = World::new().await;
    world.service = DataService::without_joining(world.store.clone());
    world.store.hold_reads();
    let readers: Vec<_> = (0..10).map(|_| world.latest(50)).collect();
    settle().await;
    world.store.release_all_reads();
    for reader in readers {
        reader.await.unwrap().unwrap();
    }
    assert_eq!(world.store.reads("messages"), 10);
}

/// What another node was told is written may be missing in a read that began before the claim.
#[tokio::test]
async fn a_read_after_a_claim_never_joins_an_earlier_one() {
    let world = World::new().await;
    world.store.hold_reads();
    let before = world.latest(50);
    settle().await;
    let others = vec![put(message_id(1, 2))];
    world.store.commit(others).await.unwrap();
    world.service.claim(GUILD, Epoch(1)).await.unwrap();
    let after = world.latest(50);
    settle().await;
    world.store.release_all_reads();
    assert_eq!(ids(&before.await.unwrap().unwrap()), [message_id(1, 1)]);
    let seen = after.await.unwrap().unwrap();
    assert_eq!(ids(&seen), [message_id(1, 2), message_id(1, 1)]);
}

/// Each write that changes what a read answers, and the read: it must see it, whatever was on its way.
#[tokio::test]
async fn a_read_after_an_ack_never_joins_an_earlier_one() {
    let (first, pinned) = (message_id(1, 1), message_id(1, 2));
    let edit = || crate::store::RecordPatch {
        content: Some("edited".to_owned()),
        ..Default::default()
    };
    let renamed = |name: &str| {
        let mut account = account(ADA, "ada", false);
        account.user.global_name = Some(name.to_owned());
        Write::PutAccount(Box::new(account))
    };
    let moved = || {
        Write::PutChannel(Box::new(model::channel::Channel::new(
            Id::new(2_001),
            crate::conformance::GUILD,
            0,
            "new",
        )))
    };
    let writes = [
        put(message_id(9, 9)),
        Write::PatchMessage(CHANNEL, first, Box::new(edit())),
        Write::PutReaction(reaction(first, BOB, "👍", 9)),
        Write::DeleteReaction(CHANNEL, first, emoji("❤"), ADA),
        Write::ClearReactions(CHANNEL, pinned, None),
        Write::PutPin(CHANNEL, first, 7),
        Write::DeletePin(CHANNEL, pinned),
        Write::DeleteMessage(CHANNEL, pinned),
        renamed("Ada L."),
        moved(),
        Write::DeleteGuild(crate::conformance::GUILD),
    ];
    for write in writes {
        let mut world = World::new().await;
        world.fly(Flights::new(PATIENT, true).with_channel_reads(100));
        let before = vec![
            Write::PutReaction(reaction(first, ADA, "❤", 1)),
            put(pinned),
            Write::PutReaction(reaction(pinned, ADA, "❤", 1)),
            Write::PutPin(CHANNEL, pinned, 5),
        ];
        world.store.commit(before).await.unwrap();
        let old = everything(&world.service).await;
        world.store.hold_reads();
        let service = world.service.clone();
        // Not one after the other: all are on their way before the write.
        let early = tokio::spawn(async move { everything(&service).await });
        settle().await;
        world.service.commit(vec![write.clone()]).await.unwrap();
        let service = world.service.clone();
        let late = tokio::spawn(async move { everything(&service).await });
        settle().await;
        world.store.release_all_reads();
        let now = everything(&DataService::new(world.store.clone())).await;
        assert_ne!(now, old, "{write:?} changes something");
        assert_eq!(late.await.unwrap(), now, "{write:?}");
        // Who came before gets what was, or what is.
        early.await.unwrap();
    }
}

/// All reads that are joined, together.
async fn everything(service: &DataService) -> impl PartialEq + std::fmt::Debug + use<> {
    let (first, second) = (message_id(1, 1), message_id(1, 2));
    let (thumb, heart) = (emoji("👍"), emoji("❤"));
    let (both, people) = ([first, second], [ADA, BOB]);
    futures_util::join!(
        service.messages(CHANNEL, Page::Latest, 50),
        service.message(CHANNEL, first),
        service.pins(CHANNEL, None, 50),
        service.pin_count(CHANNEL),
        service.reactions(CHANNEL, &both, ADA),
        service.reactors(CHANNEL, first, &thumb, None, 10),
        service.reactors(CHANNEL, first, &heart, None, 10),
        service.accounts(&people),
        service.guild_of_channel(CHANNEL),
        service.guild_of_channel(Id::new(2_001)),
    )
}

#[tokio::test]
async fn a_new_account_is_seen_at_once() {
    let world = World::new().await;
    world.store.hold_reads();
    let service = world.service.clone();
    let early = tokio::spawn(async move { service.account(Id::new(9)).await });
    settle().await;
    let new = account(Id::new(9), "nine", false);
    world.service.create_account(new.clone()).await.unwrap();
    let service = world.service.clone();
    let late = tokio::spawn(async move { service.account(Id::new(9)).await });
    settle().await;
    world.store.release_all_reads();
    assert_eq!(late.await.unwrap().unwrap(), Some(new));
    assert_eq!(early.await.unwrap().unwrap(), None);
}

#[tokio::test]
async fn who_reacted_is_read_once_for_all_who_ask() {
    let world = World::new().await;
    let message = message_id(1, 1);
    let many = query::REACTORS_JOINED_MAX + 1;
    let mut batch: Vec<_> = (1..=many)
        .map(|user| Write::PutReaction(reaction(message, Id::new(user), "🎉", 1)))
        .collect();
    batch.push(Write::PutReaction(reaction(message, ADA, "👍", 2)));
    world.store.commit(batch).await.unwrap();
    world.store.hold_reads();
    let readers: Vec<_> = [Id::new(1), ADA, BOB]
        .into_iter()
        .map(|reader| {
            let service = world.service.clone();
            let read = async move { service.reactions(CHANNEL, &[message], reader).await };
            (reader, tokio::spawn(read))
        })
        .collect();
    settle().await;
    world.store.release_all_reads();
    for (reader, reactions) in readers {
        let seen: Vec<_> = reactions.await.unwrap().unwrap()[0]
            .iter()
            .map(|reaction| (reaction.count, reaction.me))
            .collect();
        assert_eq!(seen, [(many, reader == Id::new(1)), (1, reader == ADA)]);
    }
    assert_eq!(world.store.reads("reaction_counts"), 1);
    assert_eq!(world.store.reads("reactors_of"), 1, "those with one user");
    assert_eq!(
        world.store.reads("reacted"),
        3,
        "of those with many each asks for itself"
    );
}

#[tokio::test]
async fn the_flight_goes_on_without_its_first_reader() {
    let world = World::new().await;
    world.store.hold_reads();
    let (first, second) = (world.latest(50), world.latest(50));
    settle().await;
    first.abort();
    settle().await;
    world.store.release_reads(1);
    assert_eq!(second.await.unwrap().unwrap().len(), 1);
    assert_eq!(world.store.reads("messages"), 1);
}

#[tokio::test]
async fn readers_of_a_leader_that_died_elect_another_once() {
    let world = World::new().await;
    world.store.panic_in_reads(1);
    let readers: Vec<_> = (0..10).map(|_| world.latest(50)).collect();
    for reader in readers {
        assert_eq!(reader.await.unwrap().unwrap().len(), 1);
    }
    assert_eq!(
        world.store.reads("messages"),
        2,
        "one that died and one for all"
    );
    world.store.panic_in_reads(2);
    let readers: Vec<_> = (0..10).map(|_| world.latest(50)).collect();
    for reader in readers {
        assert!(matches!(reader.await.unwrap(), Err(StoreError::Broken(_))));
    }
    assert_eq!(world.latest(50).await.unwrap().unwrap().len(), 1);
    settle().await;
    assert_eq!(world.service.flights.partitions(), 0);
}

#[tokio::test]
async fn reads_of_a_channel_are_limited() {
    let world = World::new().await;
    world.store.hold_reads();
    let mut readers: Vec<_> = (1..=CHANNEL_FLIGHTS_MAX)
        .map(|limit| world.latest(limit))
        .collect();
    settle().await;
    assert_eq!(
        world.store.reads("messages"),
        CHANNEL_READS_MAX,
        "at once in the store"
    );
    let joins = CHANNEL_READERS_MAX - CHANNEL_FLIGHTS_MAX;
    assert_eq!(
        world.service.messages(CHANNEL, Page::Latest, 9_999).await,
        Err(StoreError::Busy),
        "no further flight"
    );
    readers.extend((0..joins).map(|_| world.latest(1)));
    settle().await;
    assert_eq!(world.service.readers(), CHANNEL_READERS_MAX);
    assert_eq!(
        world.service.messages(CHANNEL, Page::Latest, 1).await,
        Err(StoreError::Busy),
        "no further reader"
    );
    let elsewhere = world.service.clone();
    let elsewhere =
        tokio::spawn(async move { elsewhere.messages(Id::new(1), Page::Latest, 1).await });
    settle().await;
    assert_eq!(
        world.store.reads("messages"),
        CHANNEL_READS_MAX + 1,
        "other channels are not in its way"
    );
    world.store.release_all_reads();
    for reader in readers {
        reader.await.unwrap().unwrap();
    }
    elsewhere.await.unwrap().unwrap();
    assert!(
        world
            .service
            .messages(CHANNEL, Page::Latest, 9_999)
            .await
            .is_ok()
    );
    settle().await;
    assert_eq!(world.service.flights.partitions(), 0);
}

#[tokio::test]
async fn a_read_that_hangs_is_given_up() {
    let mut world = World::new().await;
    world.fly(Flights::new(Duration::from_millis(1), true));
    world.store.hold_reads();
    assert_eq!(world.latest(50).await.unwrap(), Err(StoreError::Busy));
    world.store.release_all_reads();
    world.fly(Flights::new(PATIENT, true));
    assert_eq!(world.latest(50).await.unwrap().unwrap().len(), 1);
}

#[tokio::test]
async fn a_dropped_commit_closes_flights_too() {
    let world = World::new().await;
    world.store.hold_reads();
    let early = world.latest(50);
    settle().await;
    drop(world.service.commit(vec![put(message_id(9, 9))]));
    let late = world.latest(50);
    settle().await;
    world.store.release_all_reads();
    assert_eq!(
        ids(&late.await.unwrap().unwrap()),
        [message_id(9, 9), message_id(1, 1)]
    );
    early.await.unwrap().unwrap();
}

#[tokio::test]
async fn the_busiest_channels_are_known() {
    let world = World::new().await;
    for read in 0..30 {
        let channel = Id::new(if read % 3 == 0 { 5 } else { 6 });
        world
            .service
            .messages(channel, Page::Latest, 1)
            .await
            .unwrap();
    }
    let hot = world.service.hot_channels(10);
    let hot: Vec<_> = hot
        .iter()
        .map(|hot| (hot.channel.get(), hot.reads))
        .collect();
    assert_eq!(hot, [(6, 20), (5, 10)]);
}
