//! Folding of reactions that wait. Pure.
//!
//! ```text
//!  add 👍   post   remove 👍        ──fold──▶   post
//!  add 👍   remove 👍   add 👍       ──fold──▶   add 👍
//!  add 👍   REMOVE_ALL   add 👍      unchanged: nothing is folded across it
//! ```
//!
//! The rule. Two waiting changes of the same reaction (message, user, emoji) are
//!
//! * **both left out** when the later undoes the earlier. What a client shows is a count and its own
//!   mark; an addition and its removal change the count by nothing, whatever it was, so it ends as
//!   it would have with both.
//! * **one left out**, the later, when they are alike. Guilds do not publish that; the pair is then
//!   never undone, because it says that what is shown before is not known.
//!
//! Nothing is folded
//!
//! * across an event that states the reactions of the message or ends them
//!   ([`Reactions::Settled`]: cleared, deleted, updated);
//! * across any order about sessions: whoever begins or ceases to see the channel in between is told
//!   one half of the pair only, and the other half has to come or not as ever;
//! * when a moderator took away what its user added: the user's client was answered that the
//!   reaction is there, and shows it until it hears of the removal. A user who takes a reaction back
//!   was answered both times, and shows nothing by itself.
//!
//! Messages and everything else keep their places.

use std::collections::HashMap;

use model::event::{ReactionChange, Reactions};
use model::{MessageId, UserId};

use super::Order;

/// Orders waiting from which on reactions are folded. Counter `guildhall_relay_folded_total`.
pub const REACTIONS_QUEUE_MAX: usize = 512;

/// The waiting changes of one reaction.
#[derive(Default)]
struct History {
    /// Those that are not undone; each the opposite of the one before.
    left: Vec<Left>,
    /// What the last one said, undone or not.
    added: Option<bool>,
}

struct Left {
    place: usize,
    /// It was said more than once.
    repeated: bool,
}

type Key<'o> = (UserId, &'o str);

/// Folds what can be folded of waiting orders; how many are left out.
pub(super) fn fold<O: AsRef<Order>>(orders: &mut Vec<O>) -> usize {
    let out = left_out(orders);
    let count = out.len();
    if count > 0 {
        let mut out = out.into_iter().peekable();
        let mut place = 0;
        orders.retain(|_| {
            let keep = out.next_if_eq(&place).is_none();
            place += 1;
            keep
        });
    }
    count
}

/// The places of the orders that are left out, rising.
fn left_out<O: AsRef<Order>>(orders: &[O]) -> Vec<usize> {
    let mut out = Vec::new();
    let mut waiting: HashMap<MessageId, HashMap<Key<'_>, History>> = HashMap::new();
    for (place, order) in orders.iter().enumerate() {
        let Order::Publish(event) = order.as_ref() else {
            waiting.clear();
            continue;
        };
        match &event.reactions {
            Reactions::Untouched => {}
            Reactions::Settled(messages) => {
                for message in messages {
                    waiting.remove(message);
                }
            }
            Reactions::Changed(change) => {
                let of_message = waiting.entry(change.message).or_default();
                let history = of_message.entry((change.user, &change.emoji)).or_default();
                out.extend(history.enter(change, place).into_iter().flatten());
            }
        }
    }
    out.sort_unstable();
    out
}

impl History {
    /// Enters a change; the places that are left out for it.
    fn enter(&mut self, change: &ReactionChange, place: usize) -> [Option<usize>; 2] {
        let again = self.added.replace(change.added) == Some(change.added);
        if again {
            if let Some(last) = self.left.last_mut() {
                last.repeated = true;
            }
            return [Some(place), None];
        }
        match self.left.last() {
            Some(last) if !last.repeated && (change.added || change.own) => {
                let undone = last.place;
                self.left.pop();
                return [Some(undone), Some(place)];
            }
            _ => {}
        }
        self.left.push(Left {
            place,
            repeated: false,
        });
        [None, None]
    }
}

#[cfg(test)]
mod tests;
