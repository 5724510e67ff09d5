//! From what a client has to what it should have: the operations of GUILD_MEMBER_LIST_UPDATE. Pure.
//!
//! A client keeps an array of items. SYNC sets a range of it, INSERT and DELETE move what follows,
//! UPDATE replaces one item, INVALIDATE forgets a range. Windows whose length does not change shift
//! nothing behind them; when one does, everything is sent anew.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::contents::{Identity, Slot};

/// Operations for one window above which it is sent anew: a SYNC is then the smaller event.
pub const OPS_MAX: usize = 24;

/// A range of positions, both ends included.
pub type Ends = (u32, u32);

/// One operation.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "op")]
pub enum Op {
    /// These are the items of the range; behind them it is empty.
    #[serde(rename = "SYNC")]
    Sync {
        /// Which positions.
        range: Ends,
        /// What is there.
        items: Vec<Slot>,
    },
    /// An item comes before the one at this position.
    #[serde(rename = "INSERT")]
    Insert {
        /// The position.
        index: u32,
        /// What comes.
        item: Slot,
    },
    /// The item at this position looks different.
    #[serde(rename = "UPDATE")]
    Update {
        /// The position.
        index: u32,
        /// How.
        item: Slot,
    },
    /// The item at this position goes.
    #[serde(rename = "DELETE")]
    Delete {
        /// The position.
        index: u32,
    },
    /// Nothing is at these positions any more.
    #[serde(rename = "INVALIDATE")]
    Invalidate {
        /// Which.
        range: Ends,
    },
}

/// Ranges that follow one another, as one.
pub fn joined(ranges: &[Ends]) -> Vec<Ends> {
    let mut joined: Vec<Ends> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match joined.last_mut() {
            Some(last) if last.1.saturating_add(1) >= range.0 => last.1 = last.1.max(range.1),
            _ => joined.push(*range),
        }
    }
    joined
}

/// Everything anew: `windows` are what is at the [`joined`] ranges.
pub fn sync(ranges: &[Ends], windows: &[Vec<Slot>]) -> Vec<Op> {
    let joined = joined(ranges);
    let slots = |(start, end): Ends| {
        let inside = |(first, last): &Ends| *first <= start && end <= *last;
        let window = joined.iter().position(inside);
        let (Some(window), Some((first, _))) = (
            window.and_then(|window| windows.get(window)),
            window.and_then(|window| joined.get(window)),
        ) else {
            return Vec::new();
        };
        let from = window.len().min((start - first) as usize);
        let to = window.len().min((end - first) as usize + 1);
        window[from..to].to_vec()
    };
    let mut ops = Vec::with_capacity(ranges.len());
    for range in ranges {
        let items = slots(*range);
        // The first is sent in any case: by it a client knows that it has the list.
        if items.is_empty() && range.0 > 0 {
            ops.push(Op::Invalidate { range: *range });
        } else {
            ops.push(Op::Sync {
                range: *range,
                items,
            });
        }
    }
    ops
}

/// What brings a client from `old` to `new`, both what is at the [`joined`] ranges; nothing if they
/// are the same.
pub fn change(ranges: &[Ends], old: &[Vec<Slot>], new: &[Vec<Slot>]) -> Vec<Op> {
    if old == new {
        return Vec::new();
    }
    let mut ops = Vec::new();
    for (index, ((start, _), (old, now))) in
        joined(ranges).iter().zip(old.iter().zip(new)).enumerate()
    {
        if old == now {
            continue;
        }
        // What follows would move along.
        let shifts = old.len() != now.len() && index + 1 < new.len();
        match (shifts, one(*start, old, now)) {
            (false, Some(more)) => ops.extend(more),
            _ => return sync(ranges, new),
        }
    }
    ops
}

/// The operations for one window, if they are few.
fn one(start: u32, old: &[Slot], new: &[Slot]) -> Option<Vec<Op>> {
    let place = |slots: &[Slot]| -> HashMap<Identity, usize> {
        let slots = slots.iter().enumerate();
        slots.map(|(at, slot)| (slot.identity(), at)).collect()
    };
    let (was, is) = (place(old), place(new));
    // Shown further up already, while the old one is still there.
    let mut moved: HashSet<Identity> = HashSet::new();
    let mut ops = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < old.len() || j < new.len() {
        if ops.len() > OPS_MAX {
            return None;
        }
        let index = start + j as u32;
        match (old.get(i), new.get(j)) {
            (Some(slot), _) if moved.contains(&slot.identity()) => {
                ops.push(Op::Delete { index });
                i += 1;
            }
            (Some(slot), Some(now)) if slot.identity() == now.identity() => {
                if slot != now {
                    let item = now.clone();
                    ops.push(Op::Update { index, item });
                }
                i += 1;
                j += 1;
            }
            (Some(slot), now) => {
                let insert = now.filter(|now| {
                    let down = is.get(&slot.identity()).copied();
                    let up = was.get(&now.identity()).copied().filter(|at| *at >= i);
                    match (down, up) {
                        // The old one is gone.
                        (None, _) => false,
                        // The new one was not there, or is taken out already.
                        (Some(_), None) => true,
                        // Whichever moved farther.
                        (Some(down), Some(up)) => up - i > down.saturating_sub(j),
                    }
                });
                match insert {
                    Some(now) => {
                        moved.insert(now.identity());
                        let item = now.clone();
                        ops.push(Op::Insert { index, item });
                        j += 1;
                    }
                    None => {
                        ops.push(Op::Delete { index });
                        i += 1;
                    }
                }
            }
            (None, Some(now)) => {
                let item = now.clone();
                ops.push(Op::Insert { index, item });
                j += 1;
            }
            (None, None) => {}
        }
    }
    (ops.len() <= OPS_MAX).then_some(ops)
}
