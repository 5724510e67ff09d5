//! Recent changes over settled members, against a plain map; and a table that goes.

#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;

use model::member::MemberRecord;
use model::user::User;
use model::{GuildId, Id};
use otp::testing::Probe;
use otp::{ExitReason, Node};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::guild::members::Change;

const GUILD: GuildId = Id::new(1);

fn row(user: u64, nick: u64) -> Arc<Row> {
    let user = User::new(Id::new(user), "u", false);
    let mut record = MemberRecord::new(GUILD, user.id, model::time::from_unix_ms(0));
    record.nick = Some(nick.to_string());
    Arc::new(Row { record, user })
}

/// What is done: put or remove a user, or let the lane settle the next so many changes.
#[derive(Debug, Clone)]
enum Step {
    Put(u64),
    Remove(u64),
    Settle(usize),
    /// The guild dies and starts again: the lane settles all, and memory is lost.
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1..12_u64).prop_map(Step::Put),
        3 => (1..12_u64).prop_map(Step::Remove),
        3 => (0..5_usize).prop_map(Step::Settle),
        1 => Just(Step::Restart),
    ];
    vec(step, 1..80)
}

/// The lane's part: changes on their way, in order.
#[derive(Default)]
struct Way {
    queue: VecDeque<(u64, Change)>,
    settled: u64,
}

impl Way {
    fn settle(&mut self, many: usize, table: &MemberTable) {
        for _ in 0..many {
            let Some((number, change)) = self.queue.pop_front() else {
                return;
            };
            table.apply([change]).unwrap();
            self.settled = number;
        }
    }
}

async fn check(steps: Vec<Step>) {
    let node = Node::new("test");
    let keeper = Probe::start(&node).await.unwrap();
    let table = MemberTable::create(&node, keeper.pid(), GUILD).unwrap();
    table.apply([(Id::new(3), Some(row(3, 0)))]).unwrap();
    let mut members = Members::of_table(table.clone());
    let mut own = Members::own([Row::clone(&row(3, 0))]);
    let mut model = BTreeMap::from([(UserId::new(3), row(3, 0))]);
    let mut way = Way::default();
    for (number, step) in steps.into_iter().enumerate() {
        let number = number as u64 + 1;
        members.settle(way.settled);
        own.settle(way.settled);
        match step {
            Step::Put(user) => {
                let row = row(user, number);
                members.put(number, Arc::clone(&row));
                own.put(number, Arc::clone(&row));
                way.queue
                    .push_back((number, (Id::new(user), Some(Arc::clone(&row)))));
                model.insert(Id::new(user), row);
            }
            Step::Remove(user) => {
                members.remove(number, Id::new(user));
                own.remove(number, Id::new(user));
                way.queue.push_back((number, (Id::new(user), None)));
                model.remove(&Id::new(user));
            }
            Step::Settle(many) => way.settle(many, &table),
            Step::Restart => {
                way.settle(usize::MAX, &table);
                members = Members::of_table(table.clone());
            }
        }
        assert_eq!(members.len(), model.len());
        assert_eq!(members.all(), model.values().cloned().collect::<Vec<_>>());
        assert!(own.clone() == own && own.all() == members.all());
        for user in 1..12 {
            assert_eq!(
                members.get(&Id::new(user)),
                model.get(&Id::new(user)).cloned()
            );
        }
    }
    way.settle(usize::MAX, &table);
    members.settle(way.settled);
    assert_eq!(members.recent(), 0, "what is settled is here no more");
    assert!(!members.is_gone());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn whatever_changes_in_whatever_order_it_settles(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check(steps));
    }
}

#[test]
fn equal_is_who_has_the_same_members_settled_or_not() {
    let mut one = Members::own([Row::clone(&row(1, 0))]);
    let before = one.clone();
    let two = Members::own([Row::clone(&row(1, 0)), Row::clone(&row(2, 0))]);
    one.put(1, row(2, 0));
    assert!(one == two && one != before, "not settled yet");
    one.settle(1);
    assert!(one == two);
    one.put(2, row(2, 9));
    assert!(one != two);
    assert!(
        before.len() == 1 && before.get(&Id::new(2)).is_none(),
        "a copy is apart"
    );
}

#[tokio::test]
async fn a_table_that_is_gone_is_noticed_and_never_taken_for_an_empty_one() {
    let node = Node::new("test");
    let keeper = Probe::start(&node).await.unwrap();
    let table = MemberTable::create(&node, keeper.pid(), GUILD).unwrap();
    table.apply([(Id::new(3), Some(row(3, 0)))]).unwrap();
    let mut members = Members::of_table(table.clone());
    members.put(1, row(4, 0));
    let keeper = keeper.pid();
    node.exit(keeper, ExitReason::Kill);
    node.wait_for_exit(keeper).await;
    assert!(members.get(&Id::new(4)).is_some() && !members.is_gone());
    assert!(members.get(&Id::new(3)).is_none() && members.is_gone());
    assert!(Members::of_table(table.clone()).is_gone());
    assert!(MemberTable::create(&node, keeper, GUILD).is_err());
    assert_eq!(table.page(None, 10), Err(Gone));
}
