//! Who watches which lists, and what is to be looked at: it outlives the process.
//!
//! ```text
//!  Lane ──watch, touch, shape, clear──▶ Lists ── todo, Flush ──▶ [MemberList]
//! ```

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use metrics::{counter, gauge};
use model::UserId;
use otp::ServerRef;
use parking_lot::Mutex;

use super::diff::Ends;
use super::shape::Shape;
use super::{DIRTY_MAX, MemberList, Message, RANGE_ITEMS_MAX, RANGES_MAX, WATCHES_MAX};
use crate::guild::message::Watch;
use crate::relay::SessionId;

/// The way to the lists of a guild, whichever process keeps them; clones are cheap.
#[derive(Clone, Default)]
pub(crate) struct Lists {
    pub(super) shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
pub(super) struct Shared {
    pub(super) server: Option<ServerRef<MemberList>>,
    pub(super) watches: HashMap<SessionId, Arc<Watch>>,
    pub(super) by_user: HashMap<UserId, HashSet<SessionId>>,
    pub(super) shape: Option<Arc<Shape>>,
    pub(super) todo: Todo,
    /// A Flush is on its way.
    pub(super) woken: bool,
}

/// What is to be looked at.
#[derive(Default)]
pub(super) struct Todo {
    /// Sessions that watch something else, or nothing any more.
    pub(super) sessions: HashSet<SessionId>,
    /// Members that changed.
    pub(super) users: HashSet<UserId>,
    /// Everything.
    pub(super) all: bool,
}

impl Todo {
    pub(super) fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.users.is_empty() && !self.all
    }
}

impl Lists {
    /// A session watches this from here on, instead of what it watched before. One that was asked for
    /// later stays.
    pub(crate) fn watch(&self, watch: Arc<Watch>, shape: Arc<Shape>) {
        let mut shared = self.shared.lock();
        let known = shared.watches.get(&watch.session);
        if known.is_some_and(|known| known.number > watch.number) {
            return;
        }
        if known.is_none() && shared.watches.len() >= WATCHES_MAX {
            counter!("guildhall_member_list_refused_total").increment(1);
            return;
        }
        shared.set_shape(shape);
        let session = watch.session.clone();
        if watch.channels.is_empty() {
            shared.forget(&session);
        } else {
            let of_user = shared.by_user.entry(watch.user).or_default();
            of_user.insert(session.clone());
            if shared.watches.insert(session.clone(), watch).is_none() {
                gauge!("guildhall_member_list_watches").increment(1.0);
            }
        }
        shared.todo.sessions.insert(session);
        shared.wake();
    }

    /// A session watches nothing any more.
    pub(crate) fn unwatch(&self, session: &SessionId) {
        let mut shared = self.shared.lock();
        if shared.forget(session) {
            shared.todo.sessions.insert(session.clone());
            shared.wake();
        }
    }

    /// A user is out of the guild.
    pub(crate) fn remove(&self, user: UserId) {
        let sessions = self.shared.lock().by_user.get(&user).cloned();
        for session in sessions.unwrap_or_default() {
            self.unwatch(&session);
        }
    }

    /// Whether anybody watches; else nothing need be told.
    pub(crate) fn are_watched(&self) -> bool {
        !self.shared.lock().watches.is_empty()
    }

    /// A member came, changed, went, or its presence did.
    pub(crate) fn touch(&self, user: UserId) {
        let mut shared = self.shared.lock();
        if shared.watches.is_empty() || shared.todo.all {
            return;
        }
        shared.todo.users.insert(user);
        if shared.todo.users.len() > DIRTY_MAX {
            shared.todo.users.clear();
            shared.todo.all = true;
        }
        shared.wake();
    }

    /// Roles, overwrites or the owner may have changed.
    pub(crate) fn shape(&self, shape: Arc<Shape>) {
        let mut shared = self.shared.lock();
        if !shared.watches.is_empty() {
            shared.set_shape(shape);
            shared.wake();
        }
    }

    /// Nobody watches any more: all sessions are gone.
    pub(crate) fn clear(&self) {
        let mut shared = self.shared.lock();
        let sessions: Vec<SessionId> = shared.watches.keys().cloned().collect();
        for session in sessions {
            shared.forget(&session);
        }
        shared.todo.all = true;
        shared.wake();
    }
}

impl Shared {
    fn forget(&mut self, session: &SessionId) -> bool {
        let Some(watch) = self.watches.remove(session) else {
            return false;
        };
        if let Some(sessions) = self.by_user.get_mut(&watch.user) {
            sessions.remove(session);
            if sessions.is_empty() {
                self.by_user.remove(&watch.user);
            }
        }
        gauge!("guildhall_member_list_watches").decrement(1.0);
        true
    }

    fn set_shape(&mut self, shape: Arc<Shape>) {
        let same = self.shape.as_ref().is_some_and(|old| {
            // The guild makes one when something changes, and hands the same one out till then.
            Arc::ptr_eq(old, &shape) || **old == *shape
        });
        if !same {
            self.todo.all = true;
            self.shape = Some(shape);
        }
    }

    pub(super) fn wake(&mut self) {
        if !self.woken
            && !self.todo.is_empty()
            && let Some(server) = &self.server
        {
            self.woken = true;
            server.cast(Message::Flush);
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        gauge!("guildhall_member_list_watches").decrement(self.watches.len() as f64);
    }
}

/// The ranges as they are served: in order, at most [`RANGES_MAX`] of at most [`RANGE_ITEMS_MAX`],
/// the first positions always.
pub(crate) fn served(ranges: &[(u32, u32)]) -> Vec<Ends> {
    let mut served: Vec<Ends> = vec![(0, RANGE_ITEMS_MAX - 1)];
    for (start, end) in ranges {
        let end = (*end).min(start.saturating_add(RANGE_ITEMS_MAX - 1));
        let apart = |other: &Ends| end < other.0 || other.1 < *start;
        if served.len() < RANGES_MAX && *start <= end && served.iter().all(apart) {
            served.push((*start, end));
        }
    }
    served.sort_unstable();
    served
}
