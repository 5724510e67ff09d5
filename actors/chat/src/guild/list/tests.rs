//! A client that applies the operations always has what the list says, whatever happens to it.

#![allow(clippy::unwrap_used)]

use ::model::member::MemberRecord;
use ::model::user::User;
use ::model::{Id, RoleId};
use proptest::collection::vec;
use proptest::prelude::*;

use super::contents::Slot;
use super::diff::Op;
use super::*;

const ROLE: RoleId = Id::new(7);

fn entry(user: u64, name: u8, look: u8) -> Entry {
    let mut user = User::new(Id::new(user), format!("{}", name % 26), false);
    user.discriminator = look.to_string();
    let epoch = ::model::time::from_unix_ms(0);
    let record = MemberRecord::new(Id::new(1), user.id, epoch);
    Entry {
        member: record.with_user(&user),
        presence: None,
    }
}

/// A client's list: an array with holes, changed as the operations say.
#[derive(Default)]
struct Client {
    items: Vec<Option<Slot>>,
}

impl Client {
    fn room(&mut self, len: usize) {
        if self.items.len() < len {
            self.items.resize(len, None);
        }
    }

    fn apply(&mut self, ops: Vec<Op>) {
        for op in ops {
            match op {
                Op::Sync { range, items } => {
                    let (start, end) = (range.0 as usize, range.1 as usize + 1);
                    assert!(items.len() <= end - start);
                    self.room(end);
                    self.items[start..end].fill(None);
                    for (at, item) in items.into_iter().enumerate() {
                        self.items[start + at] = Some(item);
                    }
                }
                Op::Insert { index, item } => {
                    self.room(index as usize);
                    self.items.insert(index as usize, Some(item));
                }
                Op::Update { index, item } => {
                    let old = self.items[index as usize].replace(item).unwrap();
                    let new = self.items[index as usize].as_ref().unwrap();
                    assert_eq!(old.identity(), new.identity());
                }
                Op::Delete { index } => assert!(self.items.remove(index as usize).is_some()),
                Op::Invalidate { range } => {
                    self.room(range.1 as usize + 1);
                    self.items[range.0 as usize..=range.1 as usize].fill(None);
                }
            }
        }
    }

    /// What it has in its ranges, and that it is what the list has there.
    fn check(&self, list: &List, ranges: &[Ends]) {
        for (start, end) in ranges {
            let window = list.window(*start as usize..*end as usize + 1);
            for at in *start..=*end {
                let has = self.items.get(at as usize).cloned().flatten();
                assert_eq!(has, window.get((at - start) as usize).cloned(), "at {at}");
            }
        }
    }
}

/// What happens: a user (re)appears in a group with a name and a look, or leaves.
type Step = (u64, Option<(u8, u8, u8)>);

fn steps(users: u64, most: usize) -> impl Strategy<Value = Vec<Step>> {
    let to = proptest::option::weighted(0.8, (0..3_u8, any::<u8>(), 0..3_u8));
    vec((1..=users, to), 1..most)
}

fn group(number: u8) -> Group {
    [Group::Role(ROLE), Group::Online, Group::Offline][usize::from(number)]
}

/// The same list without order statistics: everything sorted, headers in between.
fn by_hand(of: &BTreeMap<u64, (u8, u8, u8)>) -> Vec<diff_key::Key> {
    let mut all = Vec::new();
    for number in 0..3 {
        let mut users: Vec<(String, u64)> = of
            .iter()
            .filter(|(_, (group, ..))| *group == number)
            .map(|(user, (_, name, _))| ((name % 26).to_string(), *user))
            .collect();
        users.sort();
        if !users.is_empty() {
            all.push(diff_key::Key::Header(group(number), users.len()));
            all.extend(users.into_iter().map(|(_, user)| diff_key::Key::User(user)));
        }
    }
    all
}

mod diff_key {
    use super::*;

    #[derive(Debug, PartialEq)]
    pub(super) enum Key {
        Header(Group, usize),
        User(u64),
    }

    pub(super) fn of(slot: &Slot) -> Key {
        match slot {
            Slot::Header(group, count) => Key::Header(*group, *count),
            Slot::Member(entry) => Key::User(entry.member.user.id.get()),
        }
    }
}

fn run(ranges: &[Ends], steps: Vec<Step>, fold: usize) {
    let mut list = List::new((0..3).map(group));
    let mut model = BTreeMap::new();
    let mut client = Client::default();
    let mut sent = windows(&list, ranges);
    client.apply(diff::sync(ranges, &sent));
    for steps in steps.chunks(fold) {
        for (user, to) in steps {
            match to {
                Some(to) => drop(model.insert(*user, *to)),
                None => drop(model.remove(user)),
            }
            let to = to.map(|(number, name, look)| (group(number), entry(*user, name, look)));
            list.set(Id::new(*user), to);
        }
        let all: Vec<_> = list
            .window(0..usize::MAX - 1)
            .iter()
            .map(diff_key::of)
            .collect();
        assert_eq!(all, by_hand(&model));
        assert_eq!(list.len(), all.len());
        let now = windows(&list, ranges);
        let ops = diff::change(ranges, &sent, &now);
        assert_eq!(ops.is_empty(), sent == now, "nothing is sent for nothing");
        client.apply(ops);
        client.check(&list, ranges);
        sent = now;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_client_has_what_the_list_has(
        steps in steps(60, 250),
        cuts in (0..12_u32, 1..12_u32, 0..8_u32, 1..10_u32, 0..4_u32, 1..14_u32),
        fold in 1..4_usize,
    ) {
        // Three ranges, some next to one another, some apart, all small, so that all edges are met.
        let (a, b, c, d, e, f) = cuts;
        let first = (a, a + b);
        let second = (first.1 + 1 + c, first.1 + 1 + c + d);
        let third = (second.1 + 1 + e, second.1 + 1 + e + f);
        run(&[first, second, third], steps, fold);
    }

    #[test]
    fn a_burst_becomes_a_sync(steps in steps(400, 600)) {
        run(&served(&[]), steps, 100);
    }
}

#[test]
fn one_who_moves_is_one_delete_and_one_insert() {
    let ranges = served(&[]);
    let mut list = List::new((0..3).map(group));
    for user in 1..=300 {
        list.set(Id::new(user), Some((Group::Online, entry(user, 5, 0))));
    }
    let before = windows(&list, &ranges);
    list.set(Id::new(50), Some((Group::Online, entry(50, 5, 1))));
    let ops = diff::change(&ranges, &before, &windows(&list, &ranges));
    assert!(
        matches!(&ops[..], [Op::Update { index: 50, .. }]),
        "{ops:?}"
    );
    let before = windows(&list, &ranges);
    list.set(Id::new(90), Some((Group::Online, entry(90, 0, 0))));
    let ops = diff::change(&ranges, &before, &windows(&list, &ranges));
    let [Op::Insert { index: 1, .. }, Op::Delete { index: 91 }] = &ops[..] else {
        panic!("{ops:?}");
    };
    let before = windows(&list, &ranges);
    list.set(Id::new(90), None);
    let ops = diff::change(&ranges, &before, &windows(&list, &ranges));
    let [
        Op::Update { index: 0, .. },
        Op::Delete { index: 1 },
        Op::Insert { index: 99, .. },
    ] = &ops[..]
    else {
        panic!("{ops:?}");
    };
}

#[test]
fn ranges_are_held_to_what_is_served() {
    assert_eq!(served(&[]), [(0, 99)]);
    assert_eq!(served(&[(0, 99), (100, 199)]), [(0, 99), (100, 199)]);
    assert_eq!(served(&[(300, 100_000)]), [(0, 99), (300, 399)], "cut");
    assert_eq!(
        served(&[(9, 3), (50, 120)]),
        [(0, 99)],
        "none, and one that overlaps"
    );
    let many: Vec<Ends> = (1..9).map(|at| (at * 100, at * 100 + 99)).collect();
    assert_eq!(served(&many), [(0, 99), (100, 199), (200, 299)]);
    assert_eq!(served(&[(u32::MAX - 3, u32::MAX)]).len(), 2);
}
