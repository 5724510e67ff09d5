//! Classes: sessions that may have the same events, because their users see the same channels and
//! they asked for the same intents.
//!
//! ```text
//!  batch ──prepare──▶ class 1: [e1 e2 e4]  ┐ one answer per class and event, whatever
//!                     class 2: [e1 e3]     ┘ the number of sessions
//!                     apart: users some event names by themselves; they are asked one by one
//! ```
//!
//! What a class got is written once, on its pages ([`crate::session::replay`]), for all its
//! sessions to replay from. Pure but for that.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use model::event::{Audience, Encoded};
use model::intents::Intents;
use model::{ChannelId, UserId};

use super::view::View;
use crate::session::replay::page::Writer;
use crate::session::replay::{Kept, Portion};

/// Sessions from which on a class has pages: a page costs 4 KiB, what is on it 16 bytes less for
/// each session.
const PAGED_SESSIONS_MIN: usize = 16;

/// Names a class within its relay; used again when the class is gone.
pub(super) type ClassId = usize;

#[derive(Debug)]
struct Class {
    view: Arc<View>,
    intents: Intents,
    sessions: usize,
    writer: Writer,
}

/// All classes of a relay.
#[derive(Debug, Default)]
pub(super) struct Classes {
    all: Vec<Option<Class>>,
    free: Vec<ClassId>,
    by_key: HashMap<(Arc<View>, Intents), ClassId>,
}

impl Classes {
    /// Takes a session into the class for what its user sees and it asked for. The view that comes
    /// back is the one the class shares.
    pub(super) fn enter(&mut self, view: &Arc<View>, intents: Intents) -> (ClassId, Arc<View>) {
        let key = (Arc::clone(view), intents);
        let id = match self.by_key.get(&key) {
            Some(id) => *id,
            None => {
                let class = Some(Class {
                    view: Arc::clone(view),
                    intents,
                    sessions: 0,
                    writer: Writer::default(),
                });
                let id = self.free.pop().unwrap_or(self.all.len());
                if id == self.all.len() {
                    self.all.push(class);
                } else {
                    self.all[id] = class;
                }
                self.by_key.insert(key, id);
                id
            }
        };
        match &mut self.all[id] {
            Some(class) => {
                class.sessions += 1;
                (id, Arc::clone(&class.view))
            }
            None => (id, Arc::clone(view)),
        }
    }

    /// A session leaves its class.
    pub(super) fn leave(&mut self, id: ClassId) {
        let Some(Some(class)) = self.all.get_mut(id) else {
            return;
        };
        class.sessions -= 1;
        if class.sessions == 0 {
            self.by_key
                .remove(&(Arc::clone(&class.view), class.intents));
            self.all[id] = None;
            self.free.push(id);
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Decides what each class gets of a batch.
    pub(super) fn prepare(&mut self, events: &[Arc<Encoded>]) -> (Vec<Portion>, HashSet<UserId>) {
        let portions = self.all.iter_mut().map(|class| match class {
            Some(class) => class.portion(events),
            None => Portion::default(),
        });
        let portions = portions.collect();
        let mut apart = HashSet::new();
        for event in events {
            if let Audience::Users(users) = &event.audience {
                apart.extend(users.iter().copied());
            }
            apart.extend(event.always_for.iter().copied());
            apart.extend(event.whole_for.iter().copied());
        }
        (portions, apart)
    }
}

impl Class {
    fn portion(&mut self, events: &[Arc<Encoded>]) -> Portion {
        let wanted = events.iter().filter_map(|event| {
            let body = self.body(event)?;
            Some(Kept::new(event, body))
        });
        let events: Vec<Kept> = wanted.collect();
        let bytes = events.iter().map(Kept::bytes).sum();
        let paged = self.sessions >= PAGED_SESSIONS_MIN;
        let runs = if paged {
            self.writer.write(&events)
        } else {
            Default::default()
        };
        Portion {
            events,
            runs,
            bytes,
        }
    }

    /// What those get whom the event does not name.
    fn body<'e>(&self, event: &'e Encoded) -> Option<&'e Bytes> {
        let channel: ChannelId = match &event.audience {
            Audience::Guild => return event.body_for_most(self.intents),
            Audience::Users(_) => return None,
            Audience::Channel(channel) => *channel,
        };
        let body = event.body_for_most(self.intents)?;
        self.view.may_see(channel).then_some(body)
    }
}

/// Whether an audience includes a user with this view.
pub(super) fn reaches(audience: &Audience, user: UserId, view: &View) -> bool {
    match audience {
        Audience::Guild => true,
        Audience::Users(users) => users.contains(&user),
        Audience::Channel(channel) => view.may_see(*channel),
    }
}
