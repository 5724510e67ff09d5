//! What a writer was told of each message it sent, and whether a store agrees with that.
#![allow(dead_code, clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use model::message::MessageRecord;
use model::{ChannelId, Id, MessageId};
use storage::Store;
use storage::store::{Page, Write};

/// Tasks that write at the same time, each to a channel of its own.
pub(crate) const TASKS: u64 = 64;
/// Numbers of messages that each life of a writer has for itself.
pub(crate) const LIFE: u64 = 1_000_000;
/// Milliseconds of the ids of the first message.
const FIRST_MS: u64 = 330_000_000_000;
/// Rows of a page when all are read.
const PAGE: usize = 1_000;

pub(crate) fn channel(task: u64) -> ChannelId {
    Id::new(2_000 + task)
}

pub(crate) fn id(task: u64, number: u64) -> MessageId {
    Id::new((FIRST_MS + number) << 22 | task)
}

/// The message: its text follows from its number, one in 50 is stored in several pieces.
pub(crate) fn message(task: u64, number: u64) -> MessageRecord {
    let mix = (task << 40 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    let length = if mix.is_multiple_of(50) {
        7_000
    } else {
        1 + mix % 300
    };
    let letter = |at: u64| char::from(b'a' + u8::try_from((mix >> (at % 37)) % 26).unwrap());
    MessageRecord {
        content: (0..length).map(letter).collect(),
        ..MessageRecord::new(
            id(task, number),
            channel(task),
            Id::new(1_000),
            Id::new(3_000),
        )
    }
}

pub(crate) fn put(task: u64, number: u64) -> Vec<Write> {
    vec![Write::PutMessage(Box::new(message(task, number)))]
}

/// What became of a message, as the writer was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    Acknowledged,
    Unknown,
    /// Definitely not applied.
    Refused,
}

/// All that was told, by task and number.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    told: BTreeMap<(u64, u64), Told>,
    pub(crate) acknowledged: usize,
}

/// How a store differs from what was told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Acknowledged and not there.
    pub(crate) lost: Vec<(u64, u64)>,
    /// There with another content.
    pub(crate) changed: Vec<(u64, u64)>,
    /// There though it was refused, or never sent.
    pub(crate) invented: Vec<(u64, u64)>,
}

impl Ledger {
    pub(crate) fn tell(&mut self, task: u64, number: u64, told: Told) {
        self.acknowledged += usize::from(told == Told::Acknowledged);
        let twice = self.told.insert((task, number), told);
        assert_eq!(twice, None, "each message is told of once");
    }

    pub(crate) fn count(&self, told: Told) -> usize {
        self.told.values().filter(|one| **one == told).count()
    }

    /// Whether a message without an answer may be there: the one its task was waiting for.
    fn was_under_way(&self, task: u64, number: u64) -> bool {
        let begin = number - number % LIFE;
        let after = self.told.range((task, number)..(task, begin + LIFE)).next();
        let before = number == begin || self.told.contains_key(&(task, number - 1));
        before && after.is_none()
    }

    /// Compares with what the store has of the messages from number `from` on.
    pub(crate) async fn compare(&self, store: &dyn Store, from: u64) -> Difference {
        let mut difference = Difference::default();
        for task in 0..TASKS {
            let mut found = BTreeSet::new();
            // Before all of the channel's, or the last one before `from`.
            let mut after = id(task, from).get() - (1 << 22);
            loop {
                let page = store.messages(channel(task), Page::After(Id::new(after)), PAGE);
                let page = page.await.unwrap();
                let Some(newest) = page.iter().map(|one| one.id.get()).max() else {
                    break;
                };
                after = newest;
                for record in page {
                    let number = (record.id.get() >> 22) - FIRST_MS;
                    found.insert(number);
                    if record != message(task, number) {
                        difference.changed.push((task, number));
                    }
                    let fits = match self.told.get(&(task, number)) {
                        Some(Told::Acknowledged | Told::Unknown) => true,
                        Some(Told::Refused) => false,
                        None => self.was_under_way(task, number),
                    };
                    if !fits {
                        difference.invented.push((task, number));
                    }
                }
            }
            for (&(_, number), told) in self.told.range((task, from)..(task, u64::MAX)) {
                if *told == Told::Acknowledged && !found.contains(&number) {
                    difference.lost.push((task, number));
                }
            }
        }
        difference
    }
}
