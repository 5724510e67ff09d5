//! Classes: sessions that may have the same events, because their users see the same channels, they
//! asked for the same intents, and they are active or passive alike.
//!
//! ```text
//!  batch ──prepare──▶ class 1: [e1 e2 e4]  ┐ one answer per class and event, whatever
//!                     class 2: [e1 e3]     ┘ the number of sessions
//!                     passive classes: [e3]  what everyone is mentioned in, and the like
//!                     apart: users some event names by themselves; they are asked one by one
//! ```
//!
//! What a class got is written once, on its pages ([`crate::session::replay`]), for all its
//! sessions to replay from. Pure but for that.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use model::event::{Audience, Encoded, Passive};
use model::intents::Intents;
use model::{ChannelId, UserId};

use super::digest::Digest;
use super::view::View;
use crate::session::dispatch::{Alike, Dispatch};
use crate::session::replay::Portion;
use crate::session::replay::page::Writer;

/// Sessions from which on a class has pages: a page costs 4 KiB, what is on it 16 bytes less for
/// each session.
const PAGED_SESSIONS_MIN: usize = 16;

/// Names a class within its relay; used again when the class is gone.
pub(super) type ClassId = usize;

/// What makes sessions one class.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    view: Arc<View>,
    intents: Intents,
    passive: bool,
}

#[derive(Debug)]
struct Class {
    key: Key,
    sessions: usize,
    writer: Writer,
}

/// One thing at one place among the events of a relay.
#[derive(Debug, Clone)]
pub(super) enum Item {
    /// For those it is for.
    Event(Arc<Encoded>),
    /// For the passive sessions.
    Digest(Arc<Digest>),
}

impl Item {
    /// The event a session of `user` may have, if it asked for it.
    pub(super) fn event_for(
        &self,
        user: UserId,
        view: &Arc<View>,
        passive: bool,
    ) -> Option<&Arc<Encoded>> {
        match self {
            Self::Event(event) => {
                let included = reaches(&event.audience, user, view);
                (included && (!passive || event.reaches_passive(user))).then_some(event)
            }
            Self::Digest(digest) if passive => digest.for_view(view),
            Self::Digest(_) => None,
        }
    }
}

/// Users who are asked one by one, because an event names them.
#[derive(Debug, Default)]
pub(super) struct Apart {
    /// For their active sessions.
    pub(super) active: HashSet<UserId>,
    /// For their passive sessions.
    pub(super) passive: HashSet<UserId>,
}

/// All classes of a relay.
#[derive(Debug, Default)]
pub(super) struct Classes {
    all: Vec<Option<Class>>,
    free: Vec<ClassId>,
    by_key: HashMap<Key, ClassId>,
}

impl Classes {
    /// Takes a session into the class for what its user sees and it asked for. The view that comes
    /// back is the one the class shares.
    pub(super) fn enter(
        &mut self,
        view: &Arc<View>,
        intents: Intents,
        passive: bool,
    ) -> (ClassId, Arc<View>) {
        let key = Key {
            view: Arc::clone(view),
            intents,
            passive,
        };
        let id = match self.by_key.get(&key) {
            Some(id) => *id,
            None => {
                let class = Some(Class {
                    key: key.clone(),
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
                (id, Arc::clone(&class.key.view))
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
            self.by_key.remove(&class.key);
            self.all[id] = None;
            self.free.push(id);
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// The views of the passive classes, each once.
    pub(super) fn passive_views(&self) -> impl Iterator<Item = &Arc<View>> {
        let passive = self.by_key.keys().filter(|key| key.passive);
        let views: HashSet<&Arc<View>> = passive.map(|key| &key.view).collect();
        views.into_iter()
    }

    /// Decides what each class gets of a batch; `here` are the users of the relay.
    pub(super) fn prepare<V>(
        &mut self,
        items: &[Item],
        here: &HashMap<UserId, V>,
    ) -> (Vec<Portion>, Apart) {
        let portions = self.all.iter_mut().map(|class| match class {
            Some(class) => class.portion(items),
            None => Portion::default(),
        });
        let portions = portions.collect();
        let any_passive = self.by_key.keys().any(|key| key.passive);
        let mut apart = Apart::default();
        for item in items {
            let Item::Event(event) = item else { continue };
            let named = || {
                let users = match &event.audience {
                    Audience::Users(users) => &users[..],
                    Audience::Guild | Audience::Channel(_) => &[],
                };
                let lists = [users, &event.always_for[..], &event.whole_for[..]];
                lists.into_iter().flatten().copied()
            };
            apart.active.extend(named());
            match &event.passive {
                _ if !any_passive => {}
                Passive::All => apart.passive.extend(named()),
                // Whoever has a role may be a million, of which a relay has a few.
                Passive::Users(users) if users.most() > here.len() => {
                    let users = here.keys().filter(|user| users.contains(user));
                    apart.passive.extend(users);
                }
                Passive::Users(users) => {
                    let users = users.iter().filter(|user| here.contains_key(user));
                    apart.passive.extend(users);
                }
            }
        }
        (portions, apart)
    }

    /// Whether a passive class has a part in a batch.
    pub(super) fn concerns_passive(&self, portions: &[Portion]) -> bool {
        self.by_key.iter().any(|(key, id)| {
            let portion = || portions.get(*id).is_some_and(|it| !it.events.is_empty());
            key.passive && portion()
        })
    }
}

impl Class {
    fn portion(&mut self, items: &[Item]) -> Portion {
        let wanted = items.iter().filter_map(|item| {
            let event = self.event(item)?;
            let body = self.body(event)?;
            Some(Dispatch::new(event, body))
        });
        let events: Vec<Dispatch> = wanted.collect();
        let bytes = events.iter().map(Dispatch::bytes).sum();
        let paged = self.sessions >= PAGED_SESSIONS_MIN;
        let runs = if paged {
            self.writer.write(&events)
        } else {
            Default::default()
        };
        let cheap = |kept: &Dispatch| kept.event().class != model::event::Class::Durable;
        Portion {
            alike: (self.sessions > 1 && !events.is_empty()).then(Alike::new),
            sessions: self.sessions,
            cheap: events.iter().any(cheap),
            events,
            runs,
            bytes,
        }
    }

    fn event<'i>(&self, item: &'i Item) -> Option<&'i Arc<Encoded>> {
        let passive = self.key.passive;
        match item {
            Item::Event(event) if passive && event.passive != Passive::All => None,
            Item::Event(event) => Some(event),
            Item::Digest(digest) if passive => digest.for_view(&self.key.view),
            Item::Digest(_) => None,
        }
    }

    /// What those get whom the event does not name.
    fn body<'e>(&self, event: &'e Encoded) -> Option<&'e Bytes> {
        let channel: ChannelId = match &event.audience {
            Audience::Guild => return event.body_for_most(self.key.intents),
            Audience::Users(_) => return None,
            Audience::Channel(channel) => *channel,
        };
        let body = event.body_for_most(self.key.intents)?;
        self.key.view.may_see(channel).then_some(body)
    }
}

/// Whether an audience includes a user with this view.
fn reaches(audience: &Audience, user: UserId, view: &View) -> bool {
    match audience {
        Audience::Guild => true,
        Audience::Users(users) => users.binary_search(&user).is_ok(),
        Audience::Channel(channel) => view.may_see(*channel),
    }
}
