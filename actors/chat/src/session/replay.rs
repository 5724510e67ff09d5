//! What RESUME replays: the last events of a session, shared with everyone else who got them.
//!
//! ```text
//!  pieces:  [one event] [run of 900 on pages] [one] [run of 40]     numbered without gaps
//!            24 bytes    24 bytes per page                            up to `last`
//! ```
//!
//! Events that a whole class of sessions got are on shared pages (`replay/page.rs`) and cost next to
//! nothing here; an event for this session alone costs a pointer. Numbers are not stored: the
//! events are consecutive. Pure: no lock, no clock.

use smallvec::SmallVec;
use std::collections::VecDeque;

use super::dispatch::{Alike, Dispatch};

pub(crate) mod page;

use page::Run;

/// Most bytes of event bodies a session may hold back for RESUME, shared ones counted in full. At
/// the limit the oldest events are dropped, and a client that needs one of them gets op 9 with
/// `d: false`. Gauge `guildhall_replay_bytes`.
pub const REPLAY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Free pieces above which the ring gives memory back when it is trimmed.
const SLACK_MAX: usize = 64;

/// How much is kept for RESUME.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayLimits {
    /// Most events.
    pub events: usize,
    /// Most bytes of bodies.
    pub bytes: usize,
}

impl Default for ReplayLimits {
    fn default() -> Self {
        Self {
            events: 4_096,
            bytes: REPLAY_BYTES_MAX,
        }
    }
}

/// What a class of sessions gets of a batch, made once for all of them.
#[derive(Debug, Default)]
pub(crate) struct Portion {
    pub(crate) events: Vec<Dispatch>,
    /// The same events on the class's pages; empty when the class is too small to have any.
    pub(crate) runs: SmallVec<[Run; 1]>,
    /// Names them, if there are several sessions to get them.
    pub(crate) alike: Option<Alike>,
    /// Sessions of the class.
    pub(crate) sessions: usize,
    /// Whether some of it may be shed.
    pub(crate) cheap: bool,
    /// Bytes of the bodies.
    pub(crate) bytes: usize,
}

/// Dispatch events that follow each other.
#[derive(Debug)]
enum Piece {
    One(Dispatch),
    Run(Run),
}

impl Piece {
    fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Run(run) => run.len(),
        }
    }

    fn iter(&self) -> impl Iterator<Item = &Dispatch> {
        let (one, run) = match self {
            Self::One(kept) => (Some(kept), None),
            Self::Run(run) => (None, Some(run.iter())),
        };
        one.into_iter().chain(run.into_iter().flatten())
    }
}

/// The kept events, numbered without gaps up to the last one given out. What a delivery touches
/// comes first.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Replay {
    /// The newest piece, which the next events may extend: no other memory is touched then.
    newest: Option<Piece>,
    /// Number of the last event pushed; 0 before the first.
    last: u64,
    /// Events of all pieces.
    events: usize,
    bytes: usize,
    limits: ReplayLimits,
    /// All pieces before the newest; none when there is no newest.
    older: VecDeque<Piece>,
}

impl Replay {
    /// How many of its bytes a delivery touches, from its beginning.
    #[cfg(test)]
    pub(super) const TOUCHED: usize = std::mem::offset_of!(Self, older);

    /// Empty; the first event gets number 1.
    pub(crate) fn new(limits: ReplayLimits) -> Self {
        Self {
            newest: None,
            last: 0,
            events: 0,
            bytes: 0,
            limits,
            older: VecDeque::new(),
        }
    }

    /// Number of the last event; 0 before the first.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// Number of the oldest event still here; one past the last when there is none.
    pub(crate) fn first(&self) -> u64 {
        self.last + 1 - self.events as u64
    }

    /// Bytes of the kept bodies.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of memory: of the ring with the events for this session alone, and by page.
    #[cfg(test)]
    pub(crate) fn memory(&self) -> (usize, std::collections::HashMap<usize, usize>) {
        let mut own = self.older.capacity() * size_of::<Piece>();
        let mut pages = std::collections::HashMap::new();
        for piece in self.older.iter().chain(&self.newest) {
            match piece {
                Piece::One(kept) => own += kept.memory(),
                Piece::Run(run) => drop(pages.insert(run.page_address(), run.page_memory())),
            }
        }
        (own, pages)
    }

    /// Numbers and keeps an event; drops the oldest ones while over the limits.
    pub(crate) fn push(&mut self, kept: Dispatch) {
        self.bytes += kept.bytes();
        self.push_piece(Piece::One(kept));
        self.pushed(1);
    }

    /// Numbers and keeps what a class got; drops the oldest ones while over the limits.
    pub(crate) fn push_portion(&mut self, portion: &Portion) {
        if portion.runs.is_empty() {
            for one in &portion.events {
                self.push_piece(Piece::One(one.clone()));
            }
        }
        for run in &portion.runs {
            let extended = match &mut self.newest {
                Some(Piece::Run(last)) => last.extend(run),
                _ => false,
            };
            if !extended {
                self.push_piece(Piece::Run(run.clone()));
            }
        }
        self.bytes += portion.bytes;
        self.pushed(portion.events.len());
    }

    fn push_piece(&mut self, piece: Piece) {
        self.older.extend(self.newest.replace(piece));
    }

    fn pushed(&mut self, events: usize) {
        self.events += events;
        self.last += events as u64;
        while self.events > self.limits.events || self.bytes > self.limits.bytes {
            if self.drop_first().is_none() {
                break;
            }
        }
    }

    /// Drops the events up to and including number `through`: the client has them.
    pub(crate) fn trim(&mut self, through: u64) {
        while self.first() <= through && self.drop_first().is_some() {}
        if self.older.capacity() - self.older.len() > SLACK_MAX {
            self.older.shrink_to(self.older.len() + SLACK_MAX / 4);
        }
    }

    /// Drops everything; the numbers go on.
    pub(crate) fn clear(&mut self) {
        self.older = VecDeque::new();
        self.newest = None;
        self.events = 0;
        self.bytes = 0;
    }

    /// The kept events from number `next` on, with their numbers. What is no longer here is left
    /// out: check [`Replay::first`] before.
    pub(crate) fn from(&self, next: u64) -> impl Iterator<Item = (u64, &Dispatch)> {
        let mut skip = usize::try_from(next.saturating_sub(self.first())).unwrap_or(usize::MAX);
        let mut number = self.first();
        let mut begin = 0;
        while let Some(piece) = self.older.get(begin)
            && piece.len() <= skip
        {
            skip -= piece.len();
            number += piece.len() as u64;
            begin += 1;
        }
        let pieces = self.older.range(begin..).chain(&self.newest);
        let events = pieces.flat_map(Piece::iter);
        (number..).zip(events).skip(skip)
    }

    fn drop_first(&mut self) -> Option<()> {
        let oldest = self.older.front_mut().or(self.newest.as_mut())?;
        let (bytes, done) = match oldest {
            Piece::Run(run) if run.len() > 1 => (run.drop_first(), false),
            Piece::Run(run) => (run.bytes(), true),
            Piece::One(kept) => (kept.bytes(), true),
        };
        if done && self.older.pop_front().is_none() {
            self.newest = None;
        }
        self.events -= 1;
        self.bytes -= bytes;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use model::event::{Audience, Encoded};
    use model::intents::Intents;
    use proptest::prelude::*;
    use std::sync::Arc;

    fn event(text: &str) -> Arc<Encoded> {
        Arc::new(Encoded::new(
            "TEST",
            None,
            Audience::Guild,
            Intents::NONE,
            &text,
        ))
    }

    fn push(replay: &mut Replay, event: &Arc<Encoded>) -> u64 {
        replay.push(Dispatch::new(event, &event.body));
        replay.last()
    }

    #[test]
    fn a_piece_is_three_words() {
        assert_eq!(size_of::<Dispatch>(), 16);
        assert_eq!(size_of::<Option<Piece>>(), 24);
    }

    #[test]
    fn numbers_go_on_whatever_is_dropped() {
        let mut replay = Replay::new(ReplayLimits {
            events: 3,
            bytes: 1_000,
        });
        assert_eq!((replay.first(), replay.last()), (1, 0));
        for expected in 1..=5 {
            let event = event("x");
            assert_eq!(push(&mut replay, &event), expected);
        }
        assert_eq!((replay.first(), replay.last()), (3, 5));
        replay.trim(4);
        assert_eq!(
            replay.from(0).map(|(number, _)| number).collect::<Vec<_>>(),
            [5]
        );
        replay.trim(99);
        assert_eq!((replay.first(), replay.last(), replay.bytes()), (6, 5, 0));
        replay.clear();
        let event = event("x");
        assert_eq!(push(&mut replay, &event), 6);
    }

    #[test]
    fn bytes_are_bounded_too() {
        let mut replay = Replay::new(ReplayLimits {
            events: 100,
            bytes: 50,
        });
        for _ in 0..10 {
            let event = event("0123456789");
            push(&mut replay, &event);
        }
        assert!(replay.bytes() <= 50);
        assert_eq!(replay.from(replay.first()).count(), 3);
        let huge = event(&"x".repeat(100));
        push(&mut replay, &huge);
        assert_eq!((replay.first(), replay.last(), replay.bytes()), (12, 11, 0));
    }

    #[test]
    fn the_form_that_was_sent_is_the_form_that_is_replayed() {
        let event = Encoded::new("TEST", None, Audience::Guild, Intents::NONE, &"whole");
        let event = Arc::new(event.redacted(&"blank", []));
        let blank = event.redacted.as_ref().expect("just set");
        let mut replay = Replay::new(ReplayLimits::default());
        replay.push(Dispatch::new(&event, &event.body));
        replay.push(Dispatch::new(&event, blank));
        let bodies: Vec<&Bytes> = replay.from(1).map(|(_, kept)| kept.body()).collect();
        assert_eq!(bodies, [&event.body, blank]);
    }

    /// What happens to a replay.
    #[derive(Debug, Clone)]
    enum Step {
        One,
        /// So many events of a class, on its pages or too small to have any.
        Class(usize, bool),
        /// The class got one which this session was not meant to get.
        Missed,
        /// The client has the oldest so many of those kept.
        Trim(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            1 => Just(Step::One),
            1 => Just(Step::Missed),
            4 => (1..100_usize, any::<bool>()).prop_map(|(events, paged)| Step::Class(events, paged)),
            1 => (0..150_u64).prop_map(Step::Trim),
        ];
        proptest::collection::vec(step, 1..40)
    }

    proptest! {
        #[test]
        fn pages_replay_what_was_sent(steps in steps(), events_max in 1..700_usize) {
            let limits = ReplayLimits { events: events_max, bytes: 4_000 };
            let mut replay = Replay::new(limits);
            let mut writer = page::Writer::default();
            // The kept events, oldest first, as a list of pointers would have them.
            let mut model: VecDeque<Bytes> = VecDeque::new();
            let mut last = 0_u64;
            for step in steps {
                let count = match step { Step::Class(events, _) => events, _ => 1 };
                match step {
                    Step::Trim(most) => {
                        let kept = most.min(model.len() as u64);
                        replay.trim(last - model.len() as u64 + kept);
                        model.drain(..kept as usize);
                    }
                    Step::Missed => {
                        let one = event("missed");
                        writer.write(&[Dispatch::new(&one, &one.body)]);
                    }
                    Step::One => {
                        let one = event(&last.to_string());
                        model.push_back(one.body.clone());
                        push(&mut replay, &one);
                        last += 1;
                    }
                    Step::Class(_, paged) => {
                        let events: Vec<Dispatch> = (0..count as u64)
                            .map(|number| event(&(last + number).to_string()))
                            .map(|one| Dispatch::new(&one, &one.body))
                            .collect();
                        model.extend(events.iter().map(|kept| kept.body().clone()));
                        let bytes = events.iter().map(|kept| kept.body().len()).sum();
                        let runs = if paged { writer.write(&events) } else { SmallVec::new() };
                        replay.push_portion(&Portion { events, runs, bytes, ..Portion::default() });
                        last += count as u64;
                    }
                }
                let over = |model: &VecDeque<Bytes>| {
                    let bytes: usize = model.iter().map(Bytes::len).sum();
                    model.len() > limits.events || bytes > limits.bytes
                };
                while over(&model) {
                    model.pop_front();
                }
                let first = last + 1 - model.len() as u64;
                prop_assert_eq!((replay.first(), replay.last()), (first, last));
                prop_assert_eq!(replay.bytes(), model.iter().map(Bytes::len).sum::<usize>());
                for next in [0, first, first + model.len() as u64 / 2, last, last + 1] {
                    let from = next.max(first);
                    let due = (from..).zip(model.range((from - first) as usize..).cloned());
                    let due: Vec<(u64, Bytes)> = due.collect();
                    let got = replay.from(next).map(|(number, kept)| (number, kept.body().clone()));
                    prop_assert_eq!(got.collect::<Vec<_>>(), due);
                }
            }
        }
    }
}
