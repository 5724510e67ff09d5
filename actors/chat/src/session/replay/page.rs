//! Pages: stretches of events that many sessions were sent alike, written once and shared.
//!
//! ```text
//!  relay, one class of sessions:   Page [e1][e2][e3][e4][  ]      written slot by slot
//!  session A  run { page, 0..4 }        └──────────┘               16 bytes for any number
//!  session B  run { page, 1..4 }            └──────┘
//! ```
//!
//! A page is freed with the last run that points to it. Writing is the relay's alone; a run never
//! reaches beyond what was written when it was made.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use smallvec::SmallVec;

use super::Dispatch;

/// Events of one page.
pub(crate) const PAGE_EVENTS: usize = 128;

/// A stretch of events; see the module.
#[derive(Debug)]
pub(crate) struct Page {
    slots: Box<[OnceLock<Slot>]>,
}

#[derive(Debug)]
struct Slot {
    kept: Dispatch,
    /// Bytes of the page's bodies up to and including this one.
    through: u64,
}

impl Page {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            slots: (0..PAGE_EVENTS).map(|_| OnceLock::new()).collect(),
        })
    }

    pub(super) fn kept(&self, index: usize) -> Option<&Dispatch> {
        self.slots.get(index)?.get().map(|slot| &slot.kept)
    }

    /// Bytes of the bodies in a range.
    pub(super) fn bytes(&self, range: Range<usize>) -> usize {
        let through = |end: usize| {
            let last = end.checked_sub(1)?;
            Some(self.slots.get(last)?.get()?.through)
        };
        let bytes = through(range.end).unwrap_or(0) - through(range.start).unwrap_or(0);
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }
}

/// Consecutive events of one page.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    page: Arc<Page>,
    start: u16,
    len: u16,
}

impl Run {
    pub(super) fn len(&self) -> usize {
        usize::from(self.len)
    }

    fn range(&self) -> Range<usize> {
        let start = usize::from(self.start);
        start..start + self.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.page.bytes(self.range())
    }

    /// Which page it is on.
    #[cfg(test)]
    pub(super) fn page_address(&self) -> usize {
        Arc::as_ptr(&self.page).addr()
    }

    /// Bytes of memory of its page and all events on it.
    #[cfg(test)]
    pub(super) fn page_memory(&self) -> usize {
        let slots = self.page.slots.iter();
        let events = slots.filter_map(|slot| Some(slot.get()?.kept.memory()));
        events.sum::<usize>() + self.page.slots.len() * size_of::<OnceLock<Slot>>()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Dispatch> {
        self.range().filter_map(|index| self.page.kept(index))
    }

    /// Takes the other in if it goes on where this one ends.
    pub(super) fn extend(&mut self, other: &Self) -> bool {
        let follows = Arc::ptr_eq(&self.page, &other.page) && self.start + self.len == other.start;
        if follows {
            self.len += other.len;
        }
        follows
    }

    /// Leaves out the first event; the bytes of its body.
    pub(super) fn drop_first(&mut self) -> usize {
        let start = usize::from(self.start);
        let bytes = self.page.bytes(start..start + 1);
        self.start += 1;
        self.len -= 1;
        bytes
    }
}

/// Writes the pages of one class of sessions.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    page: Option<Arc<Page>>,
    written: usize,
    bytes: u64,
}

impl Writer {
    /// Writes events; the runs that have them, in order.
    pub(crate) fn write(&mut self, events: &[Dispatch]) -> SmallVec<[Run; 1]> {
        let mut runs: SmallVec<[Run; 1]> = SmallVec::new();
        for kept in events {
            if self.written == PAGE_EVENTS {
                *self = Self::default();
            }
            let page = self.page.get_or_insert_with(Page::new);
            self.bytes += kept.bytes() as u64;
            let slot = Slot {
                kept: kept.clone(),
                through: self.bytes,
            };
            // The slot is free: this is the only writer, and it goes forward.
            let _ = page.slots[self.written].set(slot);
            let run = Run {
                page: Arc::clone(page),
                // A page has far fewer slots than 65,536.
                start: self.written as u16,
                len: 1,
            };
            self.written += 1;
            if !runs.last_mut().is_some_and(|last| last.extend(&run)) {
                runs.push(run);
            }
        }
        runs
    }
}
