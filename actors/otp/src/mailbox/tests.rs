//! The mailbox against a simple model, and its limits one by one.

#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;
use crate::context::Context;
use crate::gen_server::{Init, Next};

/// A server that is never started.
struct Reader;

/// Counts when it is dropped.
struct Numbered {
    number: u32,
    bytes: usize,
    dropped: Arc<AtomicUsize>,
}

impl Drop for Numbered {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

impl GenServer for Reader {
    type Args = ();
    type Message = Numbered;

    async fn init((): (), _ctx: &mut Context<Reader>) -> Init<Reader> {
        Init::Ignore
    }

    async fn handle(&mut self, _message: Numbered, _ctx: &mut Context<Reader>) -> Next<Reader> {
        Next::Go
    }

    fn message_name(_message: &Numbered) -> &'static str {
        "numbered"
    }

    fn message_bytes(message: &Numbered) -> usize {
        message.bytes
    }
}

/// One thing that is done to a mailbox.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Message { bytes: usize },
    Raw { urgent: bool },
    Signal { system: bool, urgent: bool },
    Take { suspended: bool },
    Close,
}

/// What a model holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Message { bytes: usize },
    Raw,
    Signal { system: bool },
}

impl Kind {
    fn bytes(self) -> Option<usize> {
        match self {
            Kind::Message { bytes } => Some(bytes),
            Kind::Raw => Some(RAW_BYTES),
            Kind::Signal { .. } => None,
        }
    }
}

/// What became of a deed.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Queued { wake: bool, dropped: u32 },
    Full,
    Closed,
    Exit,
    Taken(Option<u32>),
    Done,
}

/// The mailbox as one would write it without a thought of speed.
struct Model {
    limits: Limits,
    /// Urgent or not, number, kind; in the order of coming.
    items: Vec<(bool, u32, Kind)>,
    awake: bool,
    /// Somebody has looked in vain, and is to be woken.
    sleeper: bool,
    closed: bool,
}

impl Model {
    fn counted(&self) -> impl Iterator<Item = usize> {
        self.items.iter().filter_map(|(_, _, kind)| kind.bytes())
    }

    fn has_room(&self, bytes: usize) -> bool {
        let held: usize = self.counted().sum();
        self.counted().count() < self.limits.messages
            && self.limits.bytes.is_none_or(|max| held + bytes <= max)
    }

    fn push(&mut self, urgent: bool, number: u32, kind: Kind) -> Outcome {
        if self.closed {
            return Outcome::Closed;
        }
        let mut dropped = 0;
        if let Some(bytes) = kind.bytes() {
            let ever = self.limits.messages > 0 && self.limits.bytes.is_none_or(|max| bytes <= max);
            while !self.has_room(bytes) {
                match self.limits.overflow {
                    Overflow::Refuse => return Outcome::Full,
                    Overflow::Exit => return Outcome::Exit,
                    Overflow::DropNewest => {
                        return Outcome::Queued {
                            wake: false,
                            dropped: 1,
                        };
                    }
                    Overflow::DropOldest if !ever => return Outcome::Full,
                    Overflow::DropOldest => {
                        let ordinary = |urgent: bool| {
                            let is = move |(one, _, kind): &(bool, u32, Kind)| {
                                *one == urgent && kind.bytes().is_some()
                            };
                            self.items.iter().position(is)
                        };
                        let oldest = ordinary(false).or(ordinary(true)).unwrap();
                        self.items.remove(oldest);
                        dropped += 1;
                    }
                }
            }
        }
        self.items.push((urgent, number, kind));
        let wake = !std::mem::replace(&mut self.awake, true) && self.sleeper;
        self.sleeper &= !wake;
        Outcome::Queued { wake, dropped }
    }

    fn take(&mut self, suspended: bool) -> Outcome {
        let first = |urgent: bool| {
            let is = move |(one, _, kind): &(bool, u32, Kind)| {
                *one == urgent && (!suspended || *kind == Kind::Signal { system: true })
            };
            self.items.iter().position(is)
        };
        match first(true).or(first(false)) {
            Some(position) => Outcome::Taken(Some(self.items.remove(position).1)),
            None => {
                self.awake = false;
                self.sleeper = true;
                Outcome::Taken(None)
            }
        }
    }
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        6 => (0..120_usize).prop_map(|bytes| Deed::Message { bytes }),
        3 => any::<bool>().prop_map(|urgent| Deed::Raw { urgent }),
        3 => any::<(bool, bool)>().prop_map(|(system, urgent)| Deed::Signal { system, urgent }),
        6 => prop::bool::weighted(0.2).prop_map(|suspended| Deed::Take { suspended }),
        1 => prop::bool::weighted(0.1).prop_map(|close| match close {
            true => Deed::Close,
            false => Deed::Take { suspended: false },
        }),
    ]
}

fn limits() -> impl Strategy<Value = Limits> {
    let overflow = prop_oneof![
        Just(Overflow::Refuse),
        Just(Overflow::DropNewest),
        Just(Overflow::DropOldest),
        Just(Overflow::Exit),
    ];
    (0..6_usize, prop::option::of(0..300_usize), overflow).prop_map(
        |(messages, bytes, overflow)| Limits {
            messages,
            bytes,
            overflow,
        },
    )
}

/// The number a taken item carries.
fn number_of(envelope: Envelope<Reader>) -> u32 {
    match envelope {
        Envelope::User(message) => message.number,
        Envelope::Signal(Signal::Raw(message)) => message.downcast::<Numbered>().unwrap().number,
        Envelope::Signal(Signal::Timer { id }) => u32::try_from(id).unwrap(),
        Envelope::Signal(Signal::Stop {
            reason: crate::ExitReason::Custom(number),
        }) => number.parse().unwrap(),
        _ => panic!("nobody put this in"),
    }
}

fn outcome<M>(pushed: Result<Pushed, Refused<M>>) -> Outcome {
    match pushed {
        Ok(Pushed { wake, dropped }) => Outcome::Queued {
            wake: wake.is_some(),
            dropped,
        },
        Err(Refused::Full(_)) => Outcome::Full,
        Err(Refused::Closed(_)) => Outcome::Closed,
        Err(Refused::Exit) => Outcome::Exit,
    }
}

/// Does a deed to the real one.
fn act(mailbox: &Mailbox<Reader>, deed: Deed, number: u32, drops: &Arc<AtomicUsize>) -> Outcome {
    let numbered = |bytes| Numbered {
        number,
        bytes,
        dropped: drops.clone(),
    };
    match deed {
        Deed::Message { bytes } => outcome(mailbox.push(numbered(bytes))),
        Deed::Raw { urgent } => outcome(mailbox.push_raw(Box::new(numbered(0)), urgent)),
        Deed::Signal { system, urgent } => {
            let signal = match system {
                true => Signal::Stop {
                    reason: crate::ExitReason::Custom(number.to_string().into()),
                },
                false => Signal::Timer { id: number.into() },
            };
            mailbox
                .push_signal(signal, urgent)
                .map_or(Outcome::Closed, |pushed| outcome::<()>(Ok(pushed)))
        }
        Deed::Take { suspended } => {
            Outcome::Taken(mailbox.take(suspended, false, Waker::noop()).map(number_of))
        }
        Deed::Close => {
            drop(mailbox.close());
            Outcome::Done
        }
    }
}

proptest! {
    /// Order, limits, what is dropped and who is woken are those of the model, and no message is
    /// lost without a count or kept without a place.
    #[test]
    fn it_does_what_the_model_does(
        limits in limits(),
        deeds in prop::collection::vec(deed(), 0..120),
    ) {
        let mailbox = Mailbox::<Reader>::new(limits, Arc::default());
        let mut model = Model { limits, items: Vec::new(), awake: false, sleeper: false, closed: false };
        let drops = Arc::new(AtomicUsize::new(0));
        let mut made = 0;
        for (number, deed) in (0_u32..).zip(deeds) {
            let expected = match deed {
                Deed::Message { bytes } => model.push(false, number, Kind::Message { bytes }),
                Deed::Raw { urgent } => model.push(urgent, number, Kind::Raw),
                Deed::Signal { system, urgent } => {
                    model.push(urgent, number, Kind::Signal { system })
                }
                Deed::Take { suspended } => model.take(suspended),
                Deed::Close => {
                    model.closed = true;
                    model.items.clear();
                    Outcome::Done
                }
            };
            made += usize::from(matches!(deed, Deed::Message { .. } | Deed::Raw { .. }));
            prop_assert_eq!(act(&mailbox, deed, number, &drops), expected);

            let load = mailbox.load();
            prop_assert_eq!(load.len, model.items.len());
            prop_assert_eq!(load.messages, model.counted().count());
            let bytes = limits.bytes.map_or(0, |_| model.counted().sum());
            prop_assert_eq!(load.bytes, bytes);
            prop_assert_eq!(load.awake, model.awake);
            prop_assert_eq!(made - drops.load(Ordering::SeqCst), load.messages);
            prop_assert_eq!(mailbox.names(usize::MAX).len(), load.len);
        }
    }
}

fn full(messages: usize, bytes: Option<usize>, overflow: Overflow) -> Mailbox<Reader> {
    let limits = Limits {
        messages,
        bytes,
        overflow,
    };
    Mailbox::new(limits, Arc::default())
}

fn numbers(mailbox: &Mailbox<Reader>) -> VecDeque<u32> {
    std::iter::from_fn(|| mailbox.take(false, false, Waker::noop()))
        .map(number_of)
        .collect()
}

fn push(mailbox: &Mailbox<Reader>, number: u32, bytes: usize) -> Outcome {
    act(
        mailbox,
        Deed::Message { bytes },
        number,
        &Arc::new(AtomicUsize::new(0)),
    )
}

const QUEUED: Outcome = Outcome::Queued {
    wake: false,
    dropped: 0,
};

#[test]
fn a_message_too_large_for_an_empty_mailbox_drives_nobody_out() {
    let mailbox = full(10, Some(100), Overflow::DropOldest);
    push(&mailbox, 1, 60);
    assert_eq!(push(&mailbox, 2, 30), QUEUED);
    assert_eq!(push(&mailbox, 3, 101), Outcome::Full);
    assert_eq!(numbers(&mailbox), [1, 2]);
}

#[test]
fn as_many_are_dropped_as_make_room() {
    let mailbox = full(10, Some(100), Overflow::DropOldest);
    for number in 0..4 {
        push(&mailbox, number, 25);
    }
    let outcome = push(&mailbox, 4, 60);
    let three = Outcome::Queued {
        wake: false,
        dropped: 3,
    };
    assert_eq!(outcome, three);
    assert_eq!(numbers(&mailbox), [3, 4]);
}

#[test]
fn signals_are_never_refused_or_dropped() {
    for overflow in [
        Overflow::Refuse,
        Overflow::DropNewest,
        Overflow::DropOldest,
        Overflow::Exit,
    ] {
        let mailbox = full(1, None, overflow);
        push(&mailbox, 0, 0);
        for id in 1..=3 {
            let pushed = mailbox.push_signal(Signal::Timer { id }, false);
            assert_eq!(pushed.unwrap().dropped, 0);
        }
        push(&mailbox, 4, 0);
        let left = numbers(&mailbox);
        assert!([1, 2, 3].iter().all(|id| left.contains(id)), "{left:?}");
    }
}

#[test]
fn one_that_hibernates_keeps_no_room() {
    let mailbox = full(10, None, Overflow::Refuse);
    let capacity = || {
        let lane = mailbox.lane.lock();
        (lane.queue.capacity(), lane.urgent.capacity())
    };
    push(&mailbox, 0, 0);
    assert!(mailbox.push_signal(Signal::Timer { id: 1 }, true).is_some());
    numbers(&mailbox);
    assert!(capacity().0 > 0, "one that only sleeps does");
    push(&mailbox, 2, 0);
    let noop = Waker::noop();
    assert!(mailbox.take(false, true, noop).is_some());
    assert!(mailbox.take(false, true, noop).is_none());
    assert_eq!(capacity(), (0, 0));
    push(&mailbox, 3, 0);
    assert_eq!(numbers(&mailbox), [3]);
}

#[test]
fn the_oldest_of_both_queues_tells_the_age() {
    let clock = Arc::new(Clock::default());
    let limits = full(10, None, Overflow::Refuse).limits;
    let mailbox = Mailbox::<Reader>::new(limits, clock.clone());
    let drops = Arc::new(AtomicUsize::new(0));
    assert_eq!(mailbox.load().oldest_ms, 0);
    act(&mailbox, Deed::Raw { urgent: true }, 0, &drops);
    clock.set(3);
    push(&mailbox, 1, 0);
    clock.set(5);
    assert_eq!(mailbox.load().oldest_ms, 50);
    mailbox.take(false, false, Waker::noop());
    assert_eq!(mailbox.load().oldest_ms, 20);
}

/// Dropping one sends another one, as a reply handle with a destructor may.
#[test]
fn what_is_dropped_may_send() {
    struct Sends(Arc<Mailbox<Reader>>);
    impl Drop for Sends {
        fn drop(&mut self) {
            push(&self.0, 7, 0);
        }
    }
    let mailbox = Arc::new(full(2, None, Overflow::DropOldest));
    let sends: Box<dyn Any + Send> = Box::new(Sends(mailbox.clone()));
    assert!(mailbox.push_raw(sends, false).is_ok());
    push(&mailbox, 1, 0);
    push(&mailbox, 2, 0);
    assert_eq!(numbers(&mailbox), [2, 7]);
}

#[test]
fn an_emptied_mailbox_gives_its_buffer_back() {
    let mailbox = full(10_000, None, Overflow::Refuse);
    for number in 0..10_000 {
        push(&mailbox, number, 0);
    }
    assert_eq!(numbers(&mailbox).len(), 10_000);
    assert!(mailbox.lane.lock().queue.capacity() <= KEPT_CAPACITY);
}
