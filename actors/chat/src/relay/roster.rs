//! Who listens to a guild on this node, and what each of them is owed of a batch. Pure but for the
//! writes to outboxes.
//!
//! ```text
//!  batch   P0 P1 [Views of Ann] P2 P3          each entry has a cursor into the batch:
//!  Ann     ├─ P0 P1 ─┤new view ├─ P2 P3 ─┤     it is caught up before its own change,
//!  Bob     ├─────── P0 P1 P2 P3 ─────────┤     and once at the end of the batch
//! ```

use std::collections::HashMap;
use std::sync::Arc;

use model::event::{Audience, Encoded};
use model::{ChannelId, UserId};
use otp::MonitorRef;
use smallvec::SmallVec;

use super::view::View;
use super::{SessionId, Subscriber};
use crate::session::outbox::Appended;

/// One session that listens.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) subscriber: Subscriber,
    pub(super) view: Arc<View>,
    /// Watches the session process.
    pub(super) monitor: MonitorRef,
    /// How much of the batch at hand it has been given.
    cursor: usize,
}

/// All sessions that listen.
#[derive(Debug, Default)]
pub(super) struct Roster {
    entries: Vec<Entry>,
    by_id: HashMap<SessionId, usize>,
    by_user: HashMap<UserId, SmallVec<[SessionId; 1]>>,
    by_monitor: HashMap<MonitorRef, SessionId>,
}

impl Entry {
    /// Gives it what it may have of the batch up to `end`.
    fn catch_up(&mut self, batch: &[Arc<Encoded>], end: usize) -> Appended {
        let due = batch.get(self.cursor..end).unwrap_or_default();
        self.cursor = end;
        let subscriber = &self.subscriber;
        let mut wanted = due.iter().filter_map(|event| {
            if !reaches(&event.audience, subscriber.user, &self.view) {
                return None;
            }
            Some((event, event.body_for(subscriber.user, subscriber.intents)?))
        });
        match wanted.next() {
            // Most sessions are not meant by most events: they cost no lock.
            None => Appended::default(),
            Some(first) => subscriber
                .outbox
                .append_many(std::iter::once(first).chain(wanted)),
        }
    }
}

/// Whether an audience includes a user with this view.
fn reaches(audience: &Audience, user: UserId, view: &View) -> bool {
    let channel: ChannelId = match audience {
        Audience::Guild => return true,
        Audience::Users(users) => return users.contains(&user),
        Audience::Channel(channel) => *channel,
    };
    view.may_see(channel)
}

impl Roster {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Adds a session that is owed the batch from `position` on. A session that is here already
    /// is replaced.
    pub(super) fn add(
        &mut self,
        subscriber: Subscriber,
        view: Arc<View>,
        monitor: MonitorRef,
        position: usize,
    ) -> Option<Entry> {
        let old = self.remove(&subscriber.id);
        self.by_id.insert(subscriber.id.clone(), self.entries.len());
        self.by_user
            .entry(subscriber.user)
            .or_default()
            .push(subscriber.id.clone());
        self.by_monitor.insert(monitor, subscriber.id.clone());
        self.entries.push(Entry {
            subscriber,
            view,
            monitor,
            cursor: position,
        });
        old
    }

    /// Takes a session out.
    pub(super) fn remove(&mut self, id: &SessionId) -> Option<Entry> {
        let index = self.by_id.remove(id)?;
        let entry = self.entries.swap_remove(index);
        if let Some(moved) = self.entries.get(index) {
            self.by_id.insert(moved.subscriber.id.clone(), index);
        }
        self.by_monitor.remove(&entry.monitor);
        let user = entry.subscriber.user;
        if let Some(ids) = self.by_user.get_mut(&user) {
            ids.retain(|other| *other != entry.subscriber.id);
            if ids.is_empty() {
                self.by_user.remove(&user);
            }
        }
        Some(entry)
    }

    /// The session a monitor watches.
    pub(super) fn watched(&self, monitor: MonitorRef) -> Option<SessionId> {
        self.by_monitor.get(&monitor).cloned()
    }

    /// The sessions of a user.
    pub(super) fn of(&self, user: UserId) -> SmallVec<[SessionId; 1]> {
        self.by_user.get(&user).cloned().unwrap_or_default()
    }

    /// Every session.
    pub(super) fn ids(&self) -> Vec<SessionId> {
        self.entries
            .iter()
            .map(|entry| entry.subscriber.id.clone())
            .collect()
    }

    /// Gives one session the batch up to `position`.
    pub(super) fn catch_up_one(
        &mut self,
        id: &SessionId,
        batch: &[Arc<Encoded>],
        position: usize,
    ) -> Appended {
        match self.by_id.get(id) {
            Some(index) => self.entries[*index].catch_up(batch, position),
            None => Appended::default(),
        }
    }

    /// Gives the sessions in `range` (of [`Roster::len`]) the rest of the batch and readies them
    /// for the next one. The closed ones among them are noted in `closed`.
    pub(super) fn finish(
        &mut self,
        range: std::ops::Range<usize>,
        batch: &[Arc<Encoded>],
        closed: &mut Vec<SessionId>,
    ) -> Appended {
        let mut total = Appended::default();
        for entry in self.entries.get_mut(range).unwrap_or_default() {
            let appended = entry.catch_up(batch, batch.len());
            entry.cursor = 0;
            total.events += appended.events;
            total.bytes += appended.bytes;
            if appended.closed {
                closed.push(entry.subscriber.id.clone());
            }
        }
        total
    }

    /// Changes what a session may see from here on.
    pub(super) fn set_view(&mut self, id: &SessionId, view: &Arc<View>) {
        if let Some(index) = self.by_id.get(id) {
            self.entries[*index].view = Arc::clone(view);
        }
    }
}
