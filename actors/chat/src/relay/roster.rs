//! Who listens to a guild on this node, and what each of them is owed. Pure but for the writes to
//! outboxes.
//!
//! ```text
//!  batch   P0 P1 [Views of Ann] P2 P3          each entry has a cursor, in events of this relay:
//!  Ann     ├─ P0 P1 ─┤new view ├─ P2 P3 ─┤     it is caught up before its own change,
//!  Bob     ├─────── P0 P1 P2 P3 ─────────┤     and once at the end of the batch
//! ```
//!
//! It belongs to the handle, not to the relay process: when that dies its successor finds the
//! batch at hand and how far each session is, and goes on there. Entries lie in slices, each
//! behind a lock of its own, which are walked in parallel; a session stays in its slice, so its
//! order holds.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use model::UserId;
use model::event::Encoded;
use otp::{MonitorRef, Pid};
use parking_lot::Mutex;
use smallvec::SmallVec;

use super::class::{ClassId, Classes, reaches};
use super::view::View;
use super::{SESSIONS_PER_SLICE, SessionId, Subscriber};
use crate::session::outbox::Appended;
use crate::session::replay::Portion;

/// Slices of a roster: more than cores, so that those who are done early help out.
pub(super) const SLICES: usize = 16;

/// One session that listens.
#[derive(Debug)]
struct Entry {
    subscriber: Subscriber,
    class: ClassId,
    view: Arc<View>,
    /// Events of this relay it has been given, or was not meant to get; [`UNKNOWN`] while it is
    /// being given some.
    cursor: u64,
}

/// The cursor of a session that was being given events when something panicked: it may have them
/// or not, and cannot go on.
const UNKNOWN: u64 = u64::MAX;

/// Entries that are walked together.
#[derive(Debug, Default)]
pub(super) struct Slice {
    entries: Vec<Entry>,
}

/// Events on their way to everyone.
#[derive(Debug)]
pub(super) struct Batch {
    events: Vec<Arc<Encoded>>,
    /// Events of this relay before these.
    first: u64,
    /// By class.
    portions: Vec<Portion>,
    /// Users to be asked one by one.
    apart: HashSet<UserId>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    slice: usize,
    index: usize,
}

/// All sessions that listen.
#[derive(Debug)]
pub(super) struct Roster {
    slices: Vec<Arc<Mutex<Slice>>>,
    by_id: HashMap<SessionId, Place>,
    by_user: HashMap<UserId, SmallVec<[SessionId; 1]>>,
    /// Of the relay process that runs.
    by_monitor: HashMap<MonitorRef, SessionId>,
    monitors: HashMap<SessionId, MonitorRef>,
    classes: Classes,
    /// Events of this relay so far, without those of the batch that is being put together.
    position: u64,
    /// Not yet with everyone.
    delivering: Option<Arc<Batch>>,
    /// Events or orders were lost: nobody can go on.
    broken: bool,
}

impl Default for Roster {
    fn default() -> Self {
        Self {
            slices: (0..SLICES).map(|_| Arc::default()).collect(),
            by_id: HashMap::new(),
            by_user: HashMap::new(),
            by_monitor: HashMap::new(),
            monitors: HashMap::new(),
            classes: Classes::default(),
            position: 0,
            delivering: None,
            broken: false,
        }
    }
}

impl Entry {
    /// Gives it what it may have of the events, of which the first is number `first`.
    fn catch_up(&mut self, events: &[Arc<Encoded>], first: u64) -> Appended {
        let end = first + events.len() as u64;
        // It is never behind the batch at hand, and may be ahead of its beginning.
        let had = self.cursor.saturating_sub(first).min(end - first) as usize;
        let then = self.cursor.max(end);
        self.cursor = UNKNOWN;
        let subscriber = &self.subscriber;
        let mut wanted = events[had..].iter().filter_map(|event| {
            if !reaches(&event.audience, subscriber.user, &self.view) {
                return None;
            }
            Some((event, event.body_for(subscriber.user, subscriber.intents)?))
        });
        let appended = match wanted.next() {
            // Most sessions are not meant by most events: they cost no lock.
            None => Appended::default(),
            Some(first) => subscriber
                .outbox
                .append_many(std::iter::once(first).chain(wanted)),
        };
        self.cursor = then;
        appended
    }

    /// Gives it the whole batch.
    fn give(&mut self, batch: &Batch) -> Appended {
        if self.cursor == UNKNOWN {
            return Appended {
                closed: true,
                ..Appended::default()
            };
        }
        let apart = !batch.apart.is_empty() && batch.apart.contains(&self.subscriber.user);
        if self.cursor != batch.first || apart {
            return self.catch_up(&batch.events, batch.first);
        }
        self.cursor = UNKNOWN;
        let appended = match batch.portions.get(self.class) {
            Some(portion) if !portion.events.is_empty() => {
                self.subscriber.outbox.append_portion(portion)
            }
            _ => Appended::default(),
        };
        self.cursor = batch.first + batch.events.len() as u64;
        appended
    }
}

impl Slice {
    /// Gives the next [`SESSIONS_PER_SLICE`] sessions from `from` on the batch; where to go on, or
    /// `None` at the end. Giving it again does nothing. Sessions that are closed or cannot go on are
    /// noted in `closed`.
    pub(super) fn give(
        &mut self,
        from: usize,
        batch: &Batch,
        total: &mut Appended,
        closed: &mut Vec<SessionId>,
    ) -> Option<usize> {
        let to = self.entries.len().min(from + SESSIONS_PER_SLICE);
        for entry in self.entries.get_mut(from..to).unwrap_or_default() {
            let appended = entry.give(batch);
            total.events += appended.events;
            total.bytes += appended.bytes;
            if appended.closed {
                closed.push(entry.subscriber.id.clone());
            }
        }
        (to < self.entries.len()).then_some(to)
    }
}

impl Roster {
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// How many classes its sessions are of.
    pub(super) fn classes(&self) -> usize {
        self.classes.len()
    }

    /// The slices, to be walked.
    pub(super) fn slices(&self) -> Vec<Arc<Mutex<Slice>>> {
        self.slices.clone()
    }

    /// Adds a session that is owed the batch being put together from `position` on. One that is
    /// here already is replaced; whether it was.
    pub(super) fn add(
        &mut self,
        subscriber: Subscriber,
        view: &Arc<View>,
        position: usize,
    ) -> bool {
        let replaced = self.remove(&subscriber.id).is_some();
        let (class, view) = self.classes.enter(view, subscriber.intents);
        let lengths = self.slices.iter().map(|slice| slice.lock().entries.len());
        let slice = lengths
            .enumerate()
            .min_by_key(|(_, length)| *length)
            .map_or(0, |(slice, _)| slice);
        let ids = self.by_user.entry(subscriber.user).or_default();
        ids.push(subscriber.id.clone());
        let id = subscriber.id.clone();
        let mut entries = self.slices[slice].lock();
        let index = entries.entries.len();
        entries.entries.push(Entry {
            subscriber,
            class,
            view,
            cursor: self.position + position as u64,
        });
        drop(entries);
        self.by_id.insert(id, Place { slice, index });
        replaced
    }

    /// Takes a session out.
    pub(super) fn remove(&mut self, id: &SessionId) -> Option<Subscriber> {
        let Place { slice, index } = self.by_id.remove(id)?;
        let mut slice = self.slices[slice].lock();
        let entry = slice.entries.swap_remove(index);
        if let Some(moved) = slice.entries.get(index)
            && let Some(place) = self.by_id.get_mut(&moved.subscriber.id)
        {
            place.index = index;
        }
        drop(slice);
        self.classes.leave(entry.class);
        let user = entry.subscriber.user;
        if let Some(ids) = self.by_user.get_mut(&user) {
            ids.retain(|other| *other != entry.subscriber.id);
            if ids.is_empty() {
                self.by_user.remove(&user);
            }
        }
        Some(entry.subscriber)
    }

    /// The session is watched by this monitor; the one before it, if any.
    pub(super) fn watched_by(&mut self, id: SessionId, monitor: MonitorRef) -> Option<MonitorRef> {
        self.by_monitor.insert(monitor, id.clone());
        let old = self.monitors.insert(id, monitor)?;
        self.by_monitor.remove(&old);
        Some(old)
    }

    /// The session is watched no more.
    pub(super) fn unwatch(&mut self, id: &SessionId) -> Option<MonitorRef> {
        let monitor = self.monitors.remove(id)?;
        self.by_monitor.remove(&monitor);
        Some(monitor)
    }

    /// The session a monitor watches.
    pub(super) fn watched(&self, monitor: MonitorRef) -> Option<SessionId> {
        self.by_monitor.get(&monitor).cloned()
    }

    /// Another process serves them from here on: its predecessor's monitors are void. All sessions
    /// with their processes.
    pub(super) fn change_hands(&mut self) -> Vec<(SessionId, Pid)> {
        self.by_monitor.clear();
        self.monitors.clear();
        let mut all = Vec::with_capacity(self.len());
        for slice in &self.slices {
            let slice = slice.lock();
            let each = slice.entries.iter().map(|entry| &entry.subscriber);
            all.extend(each.map(|one| (one.id.clone(), one.pid)));
        }
        all
    }

    /// The sessions of a user.
    pub(super) fn of(&self, user: UserId) -> SmallVec<[SessionId; 1]> {
        self.by_user.get(&user).cloned().unwrap_or_default()
    }

    /// Every session.
    pub(super) fn ids(&self) -> Vec<SessionId> {
        self.by_id.keys().cloned().collect()
    }

    fn entry<T>(&self, id: &SessionId, then: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        let Place { slice, index } = self.by_id.get(id)?;
        let mut slice = self.slices[*slice].lock();
        slice.entries.get_mut(*index).map(then)
    }

    /// Gives one session what there is of the batch being put together.
    pub(super) fn catch_up_one(&mut self, id: &SessionId, batch: &[Arc<Encoded>]) -> Appended {
        let first = self.position;
        self.entry(id, |entry| entry.catch_up(batch, first))
            .unwrap_or_default()
    }

    /// Changes what a session may see from here on.
    pub(super) fn set_view(&mut self, id: &SessionId, view: &Arc<View>) {
        let Some((old, intents)) = self.entry(id, |entry| (entry.class, entry.subscriber.intents))
        else {
            return;
        };
        // First in, then out: a class of one keeps its pages if nothing changes.
        let (class, view) = self.classes.enter(view, intents);
        self.classes.leave(old);
        self.entry(id, |entry| {
            entry.class = class;
            entry.view = view;
        });
    }

    /// The batch is complete: what everyone is to be given. Until [`Roster::delivered`] it is what
    /// a successor begins with.
    pub(super) fn prepare(&mut self, events: Vec<Arc<Encoded>>) -> Arc<Batch> {
        let (portions, apart) = self.classes.prepare(&events);
        let batch = Arc::new(Batch {
            first: self.position,
            portions,
            apart,
            events,
        });
        self.position += batch.events.len() as u64;
        self.delivering = Some(Arc::clone(&batch));
        batch
    }

    /// A batch that a predecessor did not get to the end of.
    pub(super) fn delivering(&self) -> Option<Arc<Batch>> {
        self.delivering.clone()
    }

    /// Everyone has the batch.
    pub(super) fn delivered(&mut self) {
        self.delivering = None;
    }

    /// Events or orders were lost, or may be if the process ends before [`Roster::mend`].
    pub(super) fn break_up(&mut self) {
        self.broken = true;
    }

    /// Nothing was lost after all, or everyone has been told.
    pub(super) fn mend(&mut self) {
        self.broken = false;
    }

    /// Whether nobody can go on.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Begins anew, whatever state it is in; those who listened.
    pub(super) fn reset(&mut self) -> Vec<Subscriber> {
        let Self { slices, .. } = std::mem::take(self);
        let entries = |slice: Arc<Mutex<Slice>>| std::mem::take(&mut slice.lock().entries);
        let entries = slices.into_iter().flat_map(entries);
        entries.map(|entry| entry.subscriber).collect()
    }
}
