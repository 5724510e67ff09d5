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
//! behind a lock of its own, which are walked in parallel; a session stays in its slice while one
//! is, so its order holds. Passive sessions lie in slices of their own: most batches have nothing
//! for them, and then these are not walked, and their cursors stay behind.

use std::collections::HashMap;
use std::sync::Arc;

use model::event::Latest;
use model::{GuildId, UserId};
use otp::{MonitorRef, Pid};
use parking_lot::Mutex;
use smallvec::SmallVec;

use super::class::{Apart, ClassId, Classes, Item};
use super::digest::{Changes, Digest};
use super::view::View;
use super::{SESSIONS_PER_SLICE, SessionId, Subscriber};
use crate::session::outbox::Appended;
use crate::session::replay::Portion;

/// Slices of the active sessions of a roster, and of the passive ones: more than cores, so that
/// those who are done early help out.
pub(super) const SLICES: usize = 16;

/// Sessions whose memory is asked for at once.
const FETCHED_TOGETHER: usize = 8;

/// If more users than one for so many passive sessions are to be asked one by one, all passive
/// sessions are walked.
const PASSIVE_APART_SHARE: usize = 4;

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
    items: Vec<Item>,
    /// Items of this relay before these.
    first: u64,
    /// By class.
    portions: Vec<Portion>,
    /// Users to be asked one by one.
    apart: Apart,
    /// Whether all passive sessions are to be walked, not only those of users apart.
    all_passive: bool,
}

impl Batch {
    /// Users whose passive sessions are given the batch one by one, because most have no part in
    /// it.
    pub(super) fn passive_apart(&self) -> impl Iterator<Item = UserId> {
        let users = (!self.all_passive).then_some(&self.apart.passive);
        users.into_iter().flatten().copied()
    }
}

#[derive(Debug, Clone, Copy)]
struct Place {
    slice: usize,
    index: usize,
}

/// All sessions that listen.
#[derive(Debug)]
pub(super) struct Roster {
    /// [`SLICES`] of active sessions, then as many of passive ones.
    slices: Vec<Arc<Mutex<Slice>>>,
    passive: usize,
    /// What the passive sessions are to be told of.
    changes: Changes,
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
            slices: (0..2 * SLICES).map(|_| Arc::default()).collect(),
            passive: 0,
            changes: Changes::default(),
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
    /// Gives it what it may have of the items, of which the first is number `first`.
    fn catch_up(&mut self, items: &[Item], first: u64) -> Appended {
        let end = first + items.len() as u64;
        // If it is behind the batch at hand, nothing in between was for it; it may be ahead of its
        // beginning.
        let had = self.cursor.saturating_sub(first).min(end - first) as usize;
        let then = self.cursor.max(end);
        self.cursor = UNKNOWN;
        let subscriber = &self.subscriber;
        let mut wanted = items[had..].iter().filter_map(|item| {
            let event = item.event_for(subscriber.user, &self.view, subscriber.passive)?;
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
        let apart = match self.subscriber.passive {
            true => &batch.apart.passive,
            false => &batch.apart.active,
        };
        let apart = !apart.is_empty() && apart.contains(&self.subscriber.user);
        if self.cursor > batch.first || apart {
            return self.catch_up(&batch.items, batch.first);
        }
        self.cursor = UNKNOWN;
        let appended = match batch.portions.get(self.class) {
            Some(portion) if !portion.events.is_empty() => {
                self.subscriber.outbox.append_portion(portion)
            }
            _ => Appended::default(),
        };
        self.cursor = batch.first + batch.items.len() as u64;
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
        let entries = self.entries.get_mut(from..to).unwrap_or_default();
        for group in entries.chunks_mut(FETCHED_TOGETHER) {
            for entry in &*group {
                entry.subscriber.outbox.fetch();
            }
            for entry in group {
                let appended = entry.give(batch);
                total.events += appended.events;
                total.bytes += appended.bytes;
                if appended.closed {
                    closed.push(entry.subscriber.id.clone());
                }
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

    /// How many of its sessions are passive.
    pub(super) fn passive(&self) -> usize {
        self.passive
    }

    /// The slices to be walked for a batch, and how many sessions are in them.
    pub(super) fn slices(&self, batch: &Batch) -> (Vec<Arc<Mutex<Slice>>>, usize) {
        match batch.all_passive {
            true => (self.slices.clone(), self.len()),
            false => (self.slices[..SLICES].to_vec(), self.len() - self.passive),
        }
    }

    /// Gives one session the whole batch.
    pub(super) fn give_one(&self, id: &SessionId, batch: &Batch) -> Appended {
        self.entry(id, |entry| entry.give(batch))
            .unwrap_or_default()
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
        let (class, view) = self
            .classes
            .enter(view, subscriber.intents, subscriber.passive);
        let ids = self.by_user.entry(subscriber.user).or_default();
        ids.push(subscriber.id.clone());
        self.put(Entry {
            subscriber,
            class,
            view,
            cursor: self.position + position as u64,
        });
        replaced
    }

    /// Lays an entry into the shortest slice of its kind.
    fn put(&mut self, entry: Entry) {
        let passive = entry.subscriber.passive;
        let kind = usize::from(passive) * SLICES;
        let lengths = self.slices.iter().map(|slice| slice.lock().entries.len());
        let slice = lengths
            .enumerate()
            .skip(kind)
            .take(SLICES)
            .min_by_key(|(_, length)| *length)
            .map_or(kind, |(slice, _)| slice);
        self.passive += usize::from(passive);
        let id = entry.subscriber.id.clone();
        let mut entries = self.slices[slice].lock();
        let index = entries.entries.len();
        entries.entries.push(entry);
        drop(entries);
        self.by_id.insert(id, Place { slice, index });
    }

    /// Takes an entry out of its slice.
    fn take(&mut self, id: &SessionId) -> Option<Entry> {
        let Place { slice, index } = self.by_id.remove(id)?;
        let mut slice = self.slices[slice].lock();
        let entry = slice.entries.swap_remove(index);
        if let Some(moved) = slice.entries.get(index)
            && let Some(place) = self.by_id.get_mut(&moved.subscriber.id)
        {
            place.index = index;
        }
        drop(slice);
        self.passive -= usize::from(entry.subscriber.passive);
        Some(entry)
    }

    /// Takes a session out.
    pub(super) fn remove(&mut self, id: &SessionId) -> Option<Subscriber> {
        let entry = self.take(id)?;
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
    pub(super) fn catch_up_one(&mut self, id: &SessionId, batch: &[Item]) -> Appended {
        let first = self.position;
        self.entry(id, |entry| entry.catch_up(batch, first))
            .unwrap_or_default()
    }

    /// Changes what a session may see from here on.
    pub(super) fn set_view(&mut self, id: &SessionId, view: &Arc<View>) {
        let now = |entry: &mut Entry| {
            let Subscriber {
                intents, passive, ..
            } = entry.subscriber;
            (entry.class, intents, passive)
        };
        let Some((old, intents, passive)) = self.entry(id, now) else {
            return;
        };
        // First in, then out: a class of one keeps its pages if nothing changes.
        let (class, view) = self.classes.enter(view, intents, passive);
        self.classes.leave(old);
        self.entry(id, |entry| {
            entry.class = class;
            entry.view = view;
        });
    }

    /// Whether a session is passive.
    pub(super) fn is_passive(&self, id: &SessionId) -> bool {
        self.entry(id, |entry| entry.subscriber.passive)
            .unwrap_or(false)
    }

    /// A passive session becomes active; what it is still to be told of, if anything. It has to be
    /// caught up before.
    pub(super) fn activate(&mut self, guild: GuildId, id: &SessionId) -> Option<Appended> {
        let mut entry = self.take(id)?;
        entry.subscriber.passive = false;
        let (user, intents) = (entry.subscriber.user, entry.subscriber.intents);
        let (class, view) = self.classes.enter(&entry.view, intents, false);
        self.classes.leave(entry.class);
        (entry.class, entry.view) = (class, view);
        let due = self.changes.seen_by(guild, &entry.view);
        let outbox = Arc::clone(&entry.subscriber.outbox);
        self.put(entry);
        let due = due?;
        let body = due.body_for(user, intents)?;
        Some(outbox.append_many([(&due, body)]))
    }

    /// A channel has moved, of which passive sessions are told later. `false` when there is no room
    /// to remember it: make a digest.
    pub(super) fn note(&mut self, latest: &Latest) -> bool {
        self.passive == 0 || self.changes.note(latest)
    }

    /// What the passive sessions are to be told of by now, if anything.
    pub(super) fn digest(&mut self, guild: GuildId) -> Option<Digest> {
        let changes = std::mem::take(&mut self.changes);
        changes.digest(guild, self.classes.passive_views())
    }

    /// Whether passive sessions are to be told something.
    pub(super) fn has_changes(&self) -> bool {
        !self.changes.is_empty()
    }

    /// The batch is complete: what everyone is to be given. Until [`Roster::delivered`] it is what
    /// a successor begins with.
    pub(super) fn prepare(&mut self, items: Vec<Item>) -> Arc<Batch> {
        let (portions, apart) = self.classes.prepare(&items, &self.by_user);
        let many = apart.passive.len() > self.passive / PASSIVE_APART_SHARE;
        let all_passive = self.passive > 0 && (many || self.classes.concerns_passive(&portions));
        let batch = Arc::new(Batch {
            first: self.position,
            portions,
            apart,
            all_passive,
            items,
        });
        self.position += batch.items.len() as u64;
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
