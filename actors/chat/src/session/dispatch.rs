//! Dispatches: events in the form and with the number a session is sent them.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use model::event::{Encoded, Head};

/// One event, in one of its two forms.
#[derive(Debug, Clone)]
pub struct Dispatch {
    event: Arc<Encoded>,
    redacted: bool,
}

impl Dispatch {
    /// An event in the form `body`, which is one of its two bodies.
    pub fn new(event: &Arc<Encoded>, body: &Bytes) -> Self {
        Self {
            event: Arc::clone(event),
            redacted: !std::ptr::eq(body, &raw const event.body),
        }
    }

    /// The event.
    pub fn event(&self) -> &Arc<Encoded> {
        &self.event
    }

    /// What comes before the body when this is number `number` of a session.
    pub fn head(&self, number: u64) -> Head<'_> {
        Head {
            name: self.event.name,
            number,
            lead: &self.event.lead,
        }
    }

    /// The bytes that all who are sent this form share.
    pub fn body(&self) -> &Bytes {
        match &self.event.redacted {
            Some(redacted) if self.redacted => redacted,
            _ => &self.event.body,
        }
    }

    /// Bytes it counts for.
    pub(crate) fn bytes(&self) -> usize {
        self.event.lead.len() + self.body().len()
    }

    /// Bytes of memory of the event.
    #[cfg(test)]
    pub(crate) fn memory(&self) -> usize {
        let redacted = self.event.redacted.as_ref().map_or(0, Bytes::len);
        // The counts of the pointer come on top.
        size_of::<Encoded>() + 16 + self.event.lead.len() + self.event.body.len() + redacted
    }
}

/// Names some dispatches that many sessions are given alike but for their numbers; no two are the
/// same in the life of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alike(NonZeroU64);

impl Alike {
    /// A new name.
    #[expect(clippy::new_without_default, reason = "each is another")]
    pub fn new() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let last = LAST.fetch_add(1, Ordering::Relaxed);
        Self(NonZeroU64::MIN.saturating_add(last))
    }

    /// Its number, counted up from 1.
    pub fn number(self) -> u64 {
        self.0.get()
    }
}

/// Dispatches for one session, in order.
#[derive(Debug, Clone, Copy)]
pub struct Dispatches<'a> {
    /// Number of the first; the others follow without gaps.
    pub first: u64,
    /// Each of them.
    pub each: &'a [Dispatch],
    /// Set if others are given the same: what was made of them but for the numbers can be used
    /// again.
    pub alike: Option<Alike>,
    /// How many sessions are given the same by whoever gives it, about: 1 when it is for this one.
    pub recipients: usize,
}

impl<'a> Dispatches<'a> {
    /// Of one session alone.
    pub fn own(first: u64, each: &'a [Dispatch]) -> Self {
        Self {
            first,
            each,
            alike: None,
            recipients: 1,
        }
    }

    /// Number of the last.
    pub fn last(&self) -> u64 {
        (self.first + self.each.len() as u64).saturating_sub(1)
    }

    /// Each with its number.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &'a Dispatch)> + use<'a> {
        (self.first..).zip(self.each)
    }

    /// The same in pieces of at most `most`.
    pub fn chunks(&self, most: usize) -> impl Iterator<Item = Self> + use<'a> {
        let (whole, mut first) = (*self, self.first);
        self.each.chunks(most).map(move |each| {
            let chunk = Self {
                first,
                each,
                alike: None,
                ..whole
            };
            first += each.len() as u64;
            chunk
        })
    }

    /// Each whole, as a client reads it: for tests and tools.
    pub fn payloads(&self) -> impl Iterator<Item = Vec<u8>> + use<'a> {
        self.iter().map(|(number, dispatch)| {
            let mut payload = Vec::new();
            dispatch.head(number).append_to(&mut payload);
            payload.extend_from_slice(dispatch.body());
            payload
        })
    }
}
