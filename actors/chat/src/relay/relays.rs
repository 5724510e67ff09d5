//! All relays of a guild: one as long as that is enough, another for every
//! [`RELAY_SESSIONS_MAX`] sessions.
//!
//! ```text
//!                       ┌─ subscribe ann ─▶ relay 0 ─▶ its 15,000 sessions
//!  Lane ──deliver──▶ Relays ── event ─────▶ relay 0, relay 1, …   one push for each
//!                       └─ subscribe bob ─▶ relay 1 (started now)
//! ```
//!
//! A session stays with its relay for as long as it listens, so its order holds. Relays are
//! children of one supervisor ([`Relays::describe`]); a relay that dies takes nobody along.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use model::GuildId;
use otp::{ChildSpec, Pid, Supervisor, SupervisorRef};
use parking_lot::{Mutex, RwLock};

use super::{Coming, Listeners, Order, Relay, RelayHandle, SessionId};

/// Sessions of one relay, unless [`crate::chat::ChatConfig::relay_sessions_max`] says otherwise;
/// for more the guild gets another relay.
pub const RELAY_SESSIONS_MAX: usize = 15_000;

/// How often passive sessions are told which channels have moved, unless
/// [`crate::chat::ChatConfig::passive_update_every`] says otherwise.
pub const PASSIVE_UPDATE_EVERY: Duration = Duration::from_secs(30);

/// What an operator can set about relays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayOptions {
    /// Most sessions of one relay.
    pub sessions_max: usize,
    /// Longest time until passive sessions are told which channels have moved.
    pub passive_update_every: Duration,
}

impl Default for RelayOptions {
    fn default() -> Self {
        Self {
            sessions_max: RELAY_SESSIONS_MAX,
            passive_update_every: PASSIVE_UPDATE_EVERY,
        }
    }
}

/// Restarts of a guild's relays within [`RELAY_RESTART_PERIOD`] after which their supervisor gives up:
/// the family starts it anew, and the sessions are sent away.
pub const RELAY_RESTARTS_MAX: usize = 30;

/// Time within which restarts are counted.
pub const RELAY_RESTART_PERIOD: Duration = Duration::from_secs(10);

/// Which relay serves which session, by the relay's number.
#[derive(Debug, Default)]
pub(super) struct Homes(Mutex<HomesInner>);

#[derive(Debug, Default)]
struct HomesInner {
    by_id: HashMap<SessionId, Home>,
    /// Sessions of each relay.
    sessions: Vec<usize>,
}

/// Where a session is served.
#[derive(Debug)]
struct Home {
    relay: usize,
    _coming: Option<Arc<Coming>>,
}

impl HomesInner {
    fn enter(&mut self, id: &SessionId, relay: usize, coming: Option<Arc<Coming>>) {
        let home = Home {
            relay,
            _coming: coming,
        };
        if let Some(old) = self.by_id.insert(id.clone(), home) {
            self.sessions[old.relay] -= 1;
        }
        if self.sessions.len() <= relay {
            self.sessions.resize(relay + 1, 0);
        }
        self.sessions[relay] += 1;
    }
}

impl Homes {
    /// The relay of a session, chosen now if it has none: the first with room, or a new one.
    fn choose(&self, id: &SessionId, most: usize, coming: Option<&Arc<Coming>>) -> usize {
        let mut homes = self.0.lock();
        if let Some(home) = homes.by_id.get(id) {
            return home.relay;
        }
        let sessions = &homes.sessions;
        let room = sessions.iter().position(|sessions| *sessions < most);
        let relay = room.unwrap_or(sessions.len());
        homes.enter(id, relay, coming.cloned());
        relay
    }

    fn of(&self, id: &SessionId) -> Option<usize> {
        self.0.lock().by_id.get(id).map(|home| home.relay)
    }

    /// The relay serves the session.
    pub(super) fn enter(&self, id: &SessionId, relay: usize, coming: Option<Arc<Coming>>) {
        self.0.lock().enter(id, relay, coming);
    }

    /// The relay serves the session no more.
    pub(super) fn leave(&self, id: &SessionId, relay: usize) {
        let mut homes = self.0.lock();
        if homes.by_id.get(id).is_some_and(|home| home.relay == relay) {
            homes.by_id.remove(id);
            homes.sessions[relay] -= 1;
        }
    }
}

/// The way to the relays of a guild; clones are cheap.
#[derive(Clone)]
pub struct Relays {
    inner: Arc<Inner>,
}

struct Inner {
    guild: GuildId,
    options: RelayOptions,
    homes: Arc<Homes>,
    listeners: Listeners,
    /// By number; never fewer.
    relays: RwLock<Vec<RelayHandle>>,
}

impl std::fmt::Debug for Relays {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relays")
            .field("guild", &self.inner.guild)
            .field("relays", &self.len())
            .finish()
    }
}

impl Relays {
    /// The way to the relays of `guild`, which are yet to be started by the supervisor of
    /// [`Relays::describe`].
    pub fn new(guild: GuildId, options: RelayOptions) -> Self {
        let homes = Arc::<Homes>::default();
        let first = RelayHandle::numbered(guild, 0, Arc::clone(&homes), options);
        Self {
            inner: Arc::new(Inner {
                guild,
                options,
                homes,
                listeners: Listeners::default(),
                relays: RwLock::new(vec![first]),
            }),
        }
    }

    /// The supervisor of the relays there are by now.
    pub fn describe(&self) -> Supervisor {
        let relays = self.inner.relays.read();
        Supervisor::one_for_one()
            .intensity(RELAY_RESTARTS_MAX, RELAY_RESTART_PERIOD)
            .children(relays.iter().map(child))
    }

    /// Whose sessions listen, as far as they were expected ([`Listeners::expect`]).
    pub fn listeners(&self) -> &Listeners {
        &self.inner.listeners
    }

    /// How many relays there are. Never 0, and never fewer than before.
    pub fn len(&self) -> usize {
        self.inner.relays.read().len()
    }

    /// Never: a guild has a relay from the start.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Hands orders over, to be carried out in this order; see [`RelayHandle::deliver`]. Orders
    /// for everyone go to each relay, those of one session to its own.
    pub fn deliver(&self, orders: Vec<Order>) {
        let mut each: Vec<Vec<Order>> = vec![Vec::new(); self.len()];
        for order in orders {
            match &order {
                Order::Subscribe {
                    subscriber, coming, ..
                } => {
                    let most = self.inner.options.sessions_max.max(1);
                    let homes = &self.inner.homes;
                    let home = homes.choose(&subscriber.id, most, coming.as_ref());
                    while each.len() <= home {
                        each.push(Vec::new());
                        self.grow(each.len());
                    }
                    each[home].push(order);
                }
                Order::Unsubscribe(id) | Order::Activate(id) => match self.inner.homes.of(id) {
                    Some(home) if home < each.len() => each[home].push(order),
                    _ => everyone(&mut each, order),
                },
                _ => everyone(&mut each, order),
            }
        }
        let relays = self.inner.relays.read();
        for (relay, orders) in relays.iter().zip(each) {
            if !orders.is_empty() {
                relay.deliver(orders);
            }
        }
    }

    /// Sees to it that there are so many relays.
    fn grow(&self, relays: usize) {
        let inner = &self.inner;
        let mut all = inner.relays.write();
        while all.len() < relays {
            let homes = Arc::clone(&inner.homes);
            let relay = RelayHandle::numbered(inner.guild, all.len(), homes, inner.options);
            tracing::info!(guild = %inner.guild, relays = all.len() + 1, "another relay");
            start(&all[0], &relay);
            all.push(relay);
        }
    }

    /// The process whose end means that all subscriptions are gone; see [`RelayHandle::anchor`].
    pub fn anchor(&self) -> Option<Pid> {
        self.inner.relays.read().first()?.anchor()
    }

    /// Says that events may have been lost on the way here: the relays that start next send all
    /// sessions away.
    pub fn lost_events(&self) {
        for relay in &*self.inner.relays.read() {
            relay.lost_events();
        }
    }

    /// Orders waiting at the relay that is most behind.
    pub fn waiting(&self) -> usize {
        let relays = self.inner.relays.read();
        relays.iter().map(RelayHandle::waiting).max().unwrap_or(0)
    }

    /// Whether a relay is so far behind that the guild must refuse work
    /// ([`crate::ChatError::Busy`]).
    pub fn is_full(&self) -> bool {
        self.inner.relays.read().iter().any(RelayHandle::is_full)
    }
}

fn everyone(each: &mut [Vec<Order>], order: Order) {
    if let Some((first, others)) = each.split_first_mut() {
        for orders in others {
            orders.push(order.clone());
        }
        first.push(order);
    }
}

fn child(relay: &RelayHandle) -> ChildSpec {
    let (args, options) = (relay.clone(), relay.clone());
    let name = format!("relay {}", relay.number());
    ChildSpec::worker::<Relay>(name, move || args.args()).options(move || options.options())
}

/// Starts a relay beside the first one. If their supervisor is not there just now, it starts this
/// one too when it comes back; until then its orders wait.
fn start(first: &RelayHandle, relay: &RelayHandle) {
    let Some(supervisor) = first.supervisor() else {
        return;
    };
    let spec = child(relay);
    tokio::spawn(start_child(supervisor, spec));
}

async fn start_child(supervisor: SupervisorRef, spec: ChildSpec) {
    if let Err(error) = supervisor.start_child(spec).await {
        tracing::debug!(%error, "a relay is started by its supervisor instead");
    }
}

#[cfg(test)]
mod tests;
