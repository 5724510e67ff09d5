//! The table and its process, over the reference engine.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use model::Id;
use model::message::MessageRecord;
use model::user::User;
use otp::{ExitReason, Supervisor};
use storage::Store as _;
use storage::conformance::faulty::Faulty;
use storage::engine::memory::MemoryStore;

use super::*;

const ADA: UserId = Id::new(1);
const BOB: UserId = Id::new(2);
const HALL: ChannelId = Id::new(10);

struct World {
    node: Node,
    store: Arc<MemoryStore>,
    data: DataService,
    states: ReadStates,
}

impl World {
    fn new(rows_max: usize) -> Self {
        let node = Node::new("read states");
        let store = Arc::new(MemoryStore::new());
        Self {
            states: ReadStates::with_room(&node, rows_max),
            data: DataService::new(store.clone()),
            store,
            node,
        }
    }

    /// With the process under a supervisor.
    async fn running(rows_max: usize) -> Self {
        let world = Self::new(rows_max);
        Supervisor::one_for_one()
            .child(world.states.child_spec(&world.data))
            .start(&world.node, Options::new())
            .await
            .unwrap();
        world
    }

    async fn read(&self, user: UserId, channel: ChannelId, to: u64) -> Option<ReadState> {
        let read = |state: &mut ReadState| state.read(Id::new(to));
        let changed = self.states.change(&self.data, user, channel, read);
        changed.await.unwrap()
    }

    async fn stored(&self, user: UserId, channel: ChannelId) -> Option<u64> {
        let stored = self.store.read_state(user, channel).await.unwrap()?;
        stored.last_message_id.map(Id::get)
    }

    async fn mentions(&self, user: UserId) -> u32 {
        let states = self.states.of(&self.data, user).await.unwrap();
        states.iter().map(ReadState::mention_count).sum()
    }
}

/// A message of [`ADA`], or of a bot, that names [`BOB`] and itself.
fn message(id: u64, by_bot: bool) -> ChatMessage {
    let record = MessageRecord {
        mentions: vec![ADA, BOB],
        ..MessageRecord::new(Id::new(id), HALL, Id::new(9), ADA)
    };
    ChatMessage::from_record(&record, |id| {
        Some(User::new(id, "somebody", by_bot && id == ADA))
    })
}

#[tokio::test]
async fn an_ack_waits_in_the_table_and_is_seen_at_once() {
    let world = World::new(9);
    let changed = world.read(ADA, HALL, 5).await.unwrap();
    assert_eq!(changed.last_message_id, Some(Id::new(5)));
    assert_eq!(world.read(ADA, HALL, 4).await, None, "it never goes back");
    assert_eq!(world.stored(ADA, HALL).await, None);
    let listed = world.states.of(&world.data, ADA).await.unwrap();
    assert_eq!(listed, [changed]);
    let young = Instant::now().checked_sub(FLUSH_AFTER).unwrap();
    world.states.write(&world.data, young).await;
    assert_eq!(world.states.dirty(), 1, "it is too young");
    world.states.write(&world.data, Instant::now()).await;
    assert_eq!(world.stored(ADA, HALL).await, Some(5));
    assert_eq!(world.states.dirty(), 0);
    assert_eq!(world.read(ADA, HALL, 5).await, None, "it is stored");
    assert_eq!(world.states.dirty(), 0, "what changes nothing is not kept");
    assert_eq!(world.states.of(&world.data, ADA).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_change_while_it_is_written_is_written_too() {
    let world = World::new(9);
    world.read(ADA, HALL, 5).await.unwrap();
    let mut due = world.states.due(Instant::now());
    let (user, rows) = due.pop().unwrap();
    world.read(ADA, HALL, 6).await.unwrap();
    world
        .states
        .write_user(&world.data, user, &rows)
        .await
        .unwrap();
    world.states.written(user, rows);
    assert_eq!(world.stored(ADA, HALL).await, Some(5));
    assert_eq!(world.states.dirty(), 1);
    world.states.write(&world.data, Instant::now()).await;
    assert_eq!(world.stored(ADA, HALL).await, Some(6));
}

#[tokio::test]
async fn what_is_forgotten_while_it_is_written_does_not_come_back() {
    let world = World::new(9);
    world.read(ADA, HALL, 5).await.unwrap();
    world.read(ADA, Id::new(11), 5).await.unwrap();
    let (user, rows) = world.states.due(Instant::now()).pop().unwrap();
    assert_eq!(rows.len(), 2);
    world.states.drop_row(ADA, HALL);
    let delete = vec![Write::DeleteReadState(ADA, HALL)];
    world.data.commit(delete).await.unwrap();
    let written = world.states.write_user(&world.data, user, &rows);
    written.await.unwrap();
    world.states.written(user, rows);
    assert_eq!(world.stored(ADA, HALL).await, None);
    assert_eq!(world.stored(ADA, Id::new(11)).await, Some(5));
    assert_eq!(world.states.dirty(), 0);
}

#[tokio::test]
async fn a_full_table_writes_acks_at_once_and_counts_no_mentions() {
    let world = World::new(1);
    world.read(ADA, HALL, 5).await.unwrap();
    let other = Id::new(11);
    assert!(world.read(ADA, other, 7).await.is_some());
    assert_eq!(world.stored(ADA, other).await, Some(7));
    assert_eq!(world.stored(ADA, HALL).await, None, "it has room");
    assert!(world.read(ADA, HALL, 6).await.is_some(), "it is there");
    world.states.posted(&message(8, false));
    assert_eq!(world.mentions(BOB).await, 0);
    assert_eq!(world.states.dirty(), 1);
    assert_eq!(world.states.shared.users.len(), 1, "nothing empty is left");
}

#[tokio::test]
async fn a_message_is_read_by_its_author_and_mentions_others_once() {
    let world = World::new(9);
    world.states.posted(&message(20, false));
    world.states.posted(&message(20, false));
    assert_eq!(world.mentions(BOB).await, 1);
    assert_eq!(world.mentions(ADA).await, 0, "one does not mention oneself");
    world.states.write(&world.data, Instant::now()).await;
    world.states.posted(&message(20, false));
    world.states.write(&world.data, Instant::now()).await;
    assert_eq!(world.mentions(BOB).await, 1, "also when it comes again");
    assert_eq!(world.stored(ADA, HALL).await, Some(20));
    world.read(BOB, HALL, 20).await.unwrap();
    assert_eq!(world.mentions(BOB).await, 0);
}

/// What is known of one's own message only is read together with what is stored.
#[tokio::test]
async fn ones_own_message_reads_on_from_a_position_set_by_hand() {
    let world = World::new(9);
    let set = |state: &mut ReadState| {
        state.set(Id::new(3), 2, 15);
        true
    };
    let changed = world.states.change(&world.data, ADA, HALL, set);
    changed.await.unwrap().unwrap();
    world.states.write(&world.data, Instant::now()).await;
    world.states.posted(&message(20, false));
    let listed = world.states.of(&world.data, ADA).await.unwrap();
    assert_eq!(listed[0].last_message_id, Some(Id::new(20)));
    assert_eq!(listed[0].mention_count(), 0);
    world.states.write(&world.data, Instant::now()).await;
    assert_eq!(world.stored(ADA, HALL).await, Some(20));
}

#[tokio::test]
async fn bots_have_none() {
    let world = World::new(9);
    world.states.posted(&message(20, true));
    assert_eq!(world.states.dirty(), 1, "the mention of a person");
    assert!(world.states.of(&world.data, ADA).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_process_writes_when_half_is_used() {
    let world = World::running(4).await;
    for channel in 10..=12 {
        world.read(ADA, Id::new(channel), 5).await.unwrap();
    }
    otp::eventually!(world.states.dirty() == 0);
    assert_eq!(world.stored(ADA, HALL).await, Some(5));
    // And again: it asks to be told anew.
    for channel in 20..=22 {
        world.read(ADA, Id::new(channel), 5).await.unwrap();
    }
    otp::eventually!(world.states.dirty() == 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_dies_loses_nothing() {
    let world = World::running(4).await;
    world.read(ADA, HALL, 5).await.unwrap();
    let pid = world.node.whereis(NAME).unwrap();
    world.node.exit(pid, ExitReason::Kill);
    otp::eventually!(world.node.whereis(NAME).is_some_and(|now| now != pid));
    for channel in 11..=12 {
        world.read(ADA, Id::new(channel), 6).await.unwrap();
    }
    otp::eventually!(world.states.dirty() == 0);
    assert_eq!(world.stored(ADA, HALL).await, Some(5));
    assert_eq!(world.stored(ADA, Id::new(12)).await, Some(6));
}

#[tokio::test]
async fn what_cannot_be_written_stays() {
    let world = World::new(9);
    world.read(ADA, HALL, 5).await.unwrap();
    world.store.close().await.unwrap();
    world.states.write(&world.data, Instant::now()).await;
    assert_eq!(world.states.dirty(), 1);
    let listed = world.states.of(&world.data, ADA).await.unwrap();
    assert_eq!(listed.len(), 1);
}

/// What is too large for the store together goes one by one: as it is it would wait for ever.
#[tokio::test]
async fn what_is_too_large_together_is_written_one_by_one() {
    let node = Node::new("read states");
    let store = Faulty::new();
    store.refuse_above(1);
    let (states, data) = (
        ReadStates::with_room(&node, 9),
        DataService::new(store.clone()),
    );
    for channel in 10..13 {
        let read = |state: &mut ReadState| state.read(Id::new(channel));
        let changed = states.change(&data, ADA, Id::new(channel), read);
        changed.await.unwrap().unwrap();
    }
    states.write(&data, Instant::now()).await;
    assert_eq!(states.dirty(), 0);
    for channel in 10..13 {
        let stored = store.read_state(ADA, Id::new(channel)).await.unwrap();
        assert_eq!(stored.unwrap().last_message_id, Some(Id::new(channel)));
    }
}

#[tokio::test]
async fn a_dropped_row_makes_room() {
    let world = World::new(1);
    world.read(ADA, HALL, 5).await.unwrap();
    world.states.drop_row(ADA, HALL);
    world.states.drop_row(ADA, HALL);
    assert_eq!(world.states.dirty(), 0);
    assert!(world.states.shared.users.is_empty());
    world.read(BOB, HALL, 5).await.unwrap();
    assert_eq!(world.stored(BOB, HALL).await, None, "there is room again");
}
