//! Folding against clients that are told everything.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::Id;
use model::emoji::ReactionEmoji;
use model::event::{Audience, Encoded};
use model::intents::Intents;
use proptest::prelude::*;

use super::*;

const EMOJI: [&str; 2] = ["👍", "👎"];

fn event(name: &'static str, reactions: Reactions) -> Order {
    let event = Encoded::new(name, None, Audience::Guild, Intents::NONE, &());
    Order::Publish(Arc::new(event.reactions(reactions)))
}

fn reaction(message: u64, user: u64, emoji: usize, added: bool, own: bool) -> Order {
    let emoji = ReactionEmoji::parse(EMOJI[emoji]).unwrap();
    let change = ReactionChange::new(Id::new(message), Id::new(user), &emoji, added, own);
    event("REACTION", Reactions::Changed(Box::new(change)))
}

fn add(user: u64) -> Order {
    reaction(1, user, 0, true, true)
}

fn take_back(user: u64) -> Order {
    reaction(1, user, 0, false, true)
}

fn post() -> Order {
    event("MESSAGE_CREATE", Reactions::Untouched)
}

fn settled(message: u64) -> Order {
    event("SETTLED", Reactions::Settled([Id::new(message)].into()))
}

/// What is left of orders, as the signs of [`sign`].
fn folded(mut orders: Vec<Order>) -> String {
    let before = orders.len();
    let count = fold(&mut orders);
    assert_eq!(before - count, orders.len());
    orders.iter().map(sign).collect()
}

fn sign(order: &Order) -> char {
    let Order::Publish(event) = order else {
        return '|';
    };
    match &event.reactions {
        Reactions::Untouched => '.',
        Reactions::Settled(_) => '!',
        Reactions::Changed(change) if change.added => '+',
        Reactions::Changed(_) => '-',
    }
}

#[test]
fn what_undoes_each_other_is_left_out_and_the_rest_keeps_its_place() {
    assert_eq!(folded(vec![add(1), post(), take_back(1)]), ".");
    assert_eq!(folded(vec![add(1), take_back(1), add(1)]), "+");
    assert_eq!(folded(vec![take_back(1), post(), add(1), post()]), "..");
    assert_eq!(folded(vec![add(1), add(2), take_back(1)]), "+");
    let other_emoji = reaction(1, 1, 1, false, true);
    let other_message = reaction(2, 1, 0, false, true);
    assert_eq!(folded(vec![add(1), other_emoji, other_message]), "+--");
}

#[test]
fn what_is_said_twice_is_said_once_and_never_undone() {
    assert_eq!(folded(vec![add(1), add(1), post()]), "+.");
    assert_eq!(folded(vec![add(1), add(1), take_back(1)]), "+-");
    assert_eq!(
        folded(vec![add(1), take_back(1), take_back(1), add(1)]),
        "+"
    );
}

#[test]
fn nothing_is_folded_across_what_settles_the_message() {
    assert_eq!(folded(vec![add(1), settled(1), take_back(1)]), "+!-");
    assert_eq!(folded(vec![add(1), settled(2), take_back(1)]), "!");
}

#[test]
fn nothing_is_folded_across_orders_about_sessions() {
    let unsubscribe = Order::Unsubscribe("session".into());
    let views = Order::Views([].into());
    assert_eq!(folded(vec![add(1), unsubscribe, take_back(1)]), "+|-");
    assert_eq!(folded(vec![add(1), views, take_back(1)]), "+|-");
}

#[test]
fn what_a_moderator_takes_away_is_told_to_the_user_who_was_answered() {
    let taken_away = || reaction(1, 1, 0, false, false);
    assert_eq!(folded(vec![add(1), taken_away()]), "+-");
    // Two that cancel out behind it leave the first one alone.
    assert_eq!(folded(vec![add(1), taken_away(), add(1)]), "+");
}

type Reaction = (MessageId, UserId, String);

/// What a client shows that was told so.
#[derive(Debug, Clone, Default, PartialEq)]
struct Shown {
    /// By user: the mark of one's own reactions, and lists of who reacted.
    users: BTreeSet<Reaction>,
    /// By message and emoji, as clients count that do not know who reacted.
    counts: BTreeMap<(MessageId, String), i64>,
    posts: usize,
}

impl Shown {
    fn hear(&mut self, order: &Order) {
        let Order::Publish(event) = order else { return };
        match &event.reactions {
            Reactions::Untouched => self.posts += 1,
            Reactions::Settled(messages) => {
                self.users
                    .retain(|(message, ..)| !messages.contains(message));
                self.counts
                    .retain(|(message, _), _| !messages.contains(message));
            }
            Reactions::Changed(change) => {
                let emoji = change.emoji.to_string();
                let count = self.counts.entry((change.message, emoji.clone()));
                *count.or_default() += if change.added { 1 } else { -1 };
                let reaction = (change.message, change.user, emoji);
                match change.added {
                    true => drop(self.users.insert(reaction)),
                    false => drop(self.users.remove(&reaction)),
                }
            }
        }
        self.counts.retain(|_, count| *count != 0);
    }

    fn after(mut self, orders: &[Order]) -> Self {
        orders.iter().for_each(|order| self.hear(order));
        self
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// The reaction comes, or goes if it is there: by its user, or not.
    Toggle(u64, u64, usize, bool),
    Post,
    Settle(u64),
    Control,
}

fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => (1..3_u64, 1..4_u64, 0..2_usize, prop::bool::weighted(0.8))
            .prop_map(|(message, user, emoji, own)| Step::Toggle(message, user, emoji, own)),
        3 => Just(Step::Post),
        1 => (1..3_u64).prop_map(Step::Settle),
        1 => Just(Step::Control),
    ];
    prop::collection::vec(step, 0..most)
}

/// Publishes as guilds do: what comes was not there, what goes was.
fn published(steps: Vec<Step>, there: &mut BTreeSet<(u64, u64, usize)>) -> Vec<Order> {
    let mut orders = Vec::new();
    for step in steps {
        orders.push(match step {
            Step::Toggle(message, user, emoji, own) => {
                let key = (message, user, emoji);
                let added = there.insert(key);
                if !added {
                    there.remove(&key);
                }
                reaction(message, user, emoji, added, own || added)
            }
            Step::Post => post(),
            Step::Settle(message) => {
                there.retain(|(of, ..)| *of != message);
                settled(message)
            }
            Step::Control => Order::Unsubscribe("session".into()),
        });
    }
    orders
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Whoever listens from before the list, or begins at an order about sessions in the middle of
    /// it, ends with what the unfolded list gives.
    #[test]
    fn clients_end_with_the_same_state(before in steps(30), waiting in steps(120)) {
        let mut there = BTreeSet::new();
        let before = Shown::default().after(&published(before, &mut there));
        let orders = published(waiting, &mut there);
        let mut left = orders.clone();
        fold(&mut left);
        let all = before.clone().after(&orders);
        prop_assert_eq!(&all, &before.clone().after(&left));
        let begins = |orders: &[Order]| -> Vec<usize> {
            (0..orders.len()).filter(|place| sign(&orders[*place]) == '|').collect()
        };
        let pairs = begins(&orders).into_iter().zip(begins(&left));
        prop_assert_eq!(begins(&orders).len(), begins(&left).len());
        for (then, place) in pairs {
            let shown = before.clone().after(&orders[..then]);
            prop_assert_eq!(&all, &shown.after(&left[place..]));
        }
    }

    /// The same when some of it is said twice, for clients that know who reacted.
    #[test]
    fn repeats_change_nothing(waiting in steps(120), twice in prop::collection::vec(any::<bool>(), 120)) {
        let once = published(waiting, &mut BTreeSet::new());
        let doubled = once.iter().zip(twice).flat_map(|(order, twice)| {
            let again = (twice && matches!(sign(order), '+' | '-')).then(|| order.clone());
            std::iter::once(order.clone()).chain(again)
        });
        let mut left: Vec<Order> = doubled.collect();
        let all = Shown::default().after(&left);
        fold(&mut left);
        prop_assert_eq!(all.users, Shown::default().after(&left).users);
    }
}
