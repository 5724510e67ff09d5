//! The Relay process: one per guild, hands every event to the sessions that may have it.
//!
//! ```text
//!  Lane ──deliver──▶ list of orders ──Flush, once──▶ [Relay] ──append_many──▶ Outbox × n
//!                    (RelayHandle)                      │ one walk per batch, one write per session
//!                                                       └─ Joined, Left ─▶ Session
//! ```
//!
//! * Started by the guild's family supervisor ([`RelayHandle::args`], [`RelayHandle::options`]).
//! * When it dies the list of orders survives in the handle, the subscriptions do not: each of its
//!   sessions has a monitor on it, gets DOWN, tells its client op 9 with `d: false` and ends. Never
//!   a silent gap.
//! * It calls nobody; it casts to sessions and appends to their outboxes.
//! * Its mailbox holds one Flush and the DOWNs of sessions. The queue that matters is the list:
//!   above [`TYPING_QUEUE_MAX`] orders typing is shed, above [`PRESENCE_QUEUE_MAX`] presence too;
//!   above [`ORDERS_BUSY`] [`RelayHandle::is_full`] tells the guild to refuse work; at
//!   [`ORDERS_MAX`] the list is dropped and the relay with it, which invalidates its sessions.
//! * Next hop: [`crate::session::outbox`].

use std::sync::Arc;

use model::event::Encoded;
use model::intents::Intents;
use model::{GuildId, UserId};
use otp::{Context, ExitReason, GenServer, Info, Init, Next, Node, Options, Pid, ServerRef};
use parking_lot::Mutex;

use crate::session::outbox::Outbox;
use crate::session::{self, Session};

mod meters;
mod roster;
mod view;

use meters::Meters;
use roster::Roster;
pub use view::View;

/// Orders waiting above which typing is shed. Counter `guildhall_relay_shed_total{class}`.
pub const TYPING_QUEUE_MAX: usize = 256;

/// Orders waiting above which presence is shed too. Counter `guildhall_relay_shed_total{class}`.
pub const PRESENCE_QUEUE_MAX: usize = 2_048;

/// Orders waiting above which the guild refuses new work. Gauge `guildhall_relay_orders`.
pub const ORDERS_BUSY: usize = 16_384;

/// Most orders waiting. At the limit the relay is stopped and its sessions are invalidated:
/// everything left in the list would reach nobody in time. Counter
/// `guildhall_relay_overflows_total`.
pub const ORDERS_MAX: usize = 65_536;

/// Most orders taken from the list at once, so that one batch is a bounded piece of work.
pub const BATCH_MAX: usize = 1_024;

/// Sessions written to between two chances for other processes to run.
pub const SESSIONS_PER_SLICE: usize = 128;

/// Names a session: 32 hex digits.
pub type SessionId = Arc<str>;

/// A session that wants a guild's events.
#[derive(Debug, Clone)]
pub struct Subscriber {
    /// The session.
    pub id: SessionId,
    /// Its process; when it ends the subscription does.
    pub pid: Pid,
    /// Whose it is.
    pub user: UserId,
    /// What it asked for.
    pub intents: Intents,
    /// Where its events go.
    pub outbox: Arc<Outbox>,
}

/// What a relay is told to do, in the order of the guild.
#[derive(Debug, Clone)]
pub enum Order {
    /// Hand this to everyone who may have it.
    Publish(Arc<Encoded>),
    /// A session listens from here on. Read [`RelayHandle::pid`] *before* handing this over and
    /// answer that pid to the session.
    Subscribe {
        /// Who.
        subscriber: Subscriber,
        /// What its user may see.
        view: Arc<View>,
        /// Goes to this session only, before everything that is published later.
        snapshot: Vec<Arc<Encoded>>,
    },
    /// A session listens no more.
    Unsubscribe(SessionId),
    /// Users see something else from here on: nothing of a channel they lost comes after this.
    Views(Vec<(UserId, Arc<View>)>),
    /// All sessions of the user leave (kick, ban, leave).
    Remove(UserId),
    /// All sessions leave (the guild was deleted).
    Clear,
}

// ── Client ────────────────────────────────────────────────────────────────────────────────────

/// The way to a guild's relay, whichever process it is at the moment; clones are cheap.
#[derive(Clone)]
pub struct RelayHandle {
    shared: Arc<Shared>,
}

struct Shared {
    guild: GuildId,
    waiting: Mutex<Waiting>,
    /// The running process; a dead one until its successor has started.
    server: Mutex<Option<ServerRef<Relay>>>,
    meters: Meters,
}

#[derive(Default)]
struct Waiting {
    orders: Vec<Order>,
    /// [`ORDERS_MAX`] was reached: orders were lost, so the relay must serve nobody any more.
    overflowed: bool,
}

impl std::fmt::Debug for RelayHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RelayHandle({})", self.shared.guild)
    }
}

impl RelayHandle {
    /// The way to the relay of `guild`, which is yet to be started with [`RelayHandle::args`].
    pub fn new(guild: GuildId) -> Self {
        let shared = Shared {
            guild,
            waiting: Mutex::default(),
            server: Mutex::new(None),
            meters: Meters::new(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// What a relay process behind this handle is started with.
    pub fn args(&self) -> RelayArgs {
        RelayArgs {
            handle: self.clone(),
        }
    }

    /// How it is started.
    pub fn options(&self) -> Options {
        Options::new().label(format!("relay {}", self.shared.guild))
    }

    /// Hands orders over, to be carried out in this order; wakes the relay if it sleeps. Returns
    /// at once. Orders given while the relay is being restarted wait for it.
    pub fn deliver(&self, orders: Vec<Order>) {
        let shared = &*self.shared;
        let mut waiting = shared.waiting.lock();
        if waiting.overflowed {
            // They were for sessions which the dying relay invalidates.
            return;
        }
        let before = waiting.orders.len();
        for order in orders {
            if !shared.meters.sheds(&order, waiting.orders.len()) {
                waiting.orders.push(order);
            }
        }
        let after = waiting.orders.len();
        shared.meters.orders.increment((after - before) as f64);
        if after > ORDERS_MAX {
            shared.meters.orders.decrement(after as f64);
            shared.meters.overflows.increment(1);
            *waiting = Waiting {
                orders: Vec::new(),
                overflowed: true,
            };
        }
        if before == 0 && after > 0 {
            shared.wake();
        }
    }

    /// The relay process, if it runs. A session which subscribes monitors the pid read *before*
    /// its [`Order::Subscribe`] was handed over: whatever relay takes the order then, either that
    /// one serves the session or the session learns that it died.
    pub fn pid(&self) -> Option<Pid> {
        self.shared
            .server
            .lock()
            .as_ref()
            .filter(|server| server.is_alive())
            .map(ServerRef::pid)
    }

    /// Orders waiting.
    pub fn waiting(&self) -> usize {
        self.shared.waiting.lock().orders.len()
    }

    /// Whether the relay is so far behind that the guild must refuse work
    /// ([`crate::ChatError::Busy`]).
    pub fn is_full(&self) -> bool {
        self.waiting() > ORDERS_BUSY
    }
}

impl Shared {
    fn wake(&self) {
        if let Some(server) = &*self.server.lock() {
            server.cast(Message::Flush);
        }
    }

    /// The next batch, and whether there is more; `None` when orders were lost.
    fn take(&self) -> Option<(Vec<Order>, bool)> {
        let mut waiting = self.waiting.lock();
        if waiting.overflowed {
            return None;
        }
        let orders = &mut waiting.orders;
        let batch = if orders.len() <= BATCH_MAX {
            std::mem::take(orders)
        } else {
            let rest = orders.split_off(BATCH_MAX);
            std::mem::replace(orders, rest)
        };
        self.meters.orders.decrement(batch.len() as f64);
        Some((batch, !waiting.orders.is_empty()))
    }
}

// ── Messages ──────────────────────────────────────────────────────────────────────────────────

/// What a relay process is started with; made by [`RelayHandle::args`].
#[derive(Debug)]
pub struct RelayArgs {
    handle: RelayHandle,
}

/// What a relay process is sent; only [`RelayHandle`] does.
#[derive(Debug)]
pub enum Message {
    /// There are orders.
    Flush,
}

// ── Server ────────────────────────────────────────────────────────────────────────────────────

/// The relay process.
pub struct Relay {
    shared: Arc<Shared>,
    roster: Roster,
}

impl GenServer for Relay {
    type Args = RelayArgs;
    type Message = Message;

    async fn init(args: RelayArgs, ctx: &mut Context<Self>) -> Init<Self> {
        let shared = args.handle.shared;
        *shared.server.lock() = Some(ctx.self_ref());
        shared.waiting.lock().overflowed = false;
        // A predecessor may have left orders, and its wake-up died with it.
        Init::Continue(
            Self {
                shared,
                roster: Roster::default(),
            },
            Message::Flush,
        )
    }

    async fn handle(&mut self, message: Message, ctx: &mut Context<Self>) -> Next<Self> {
        let Message::Flush = message;
        let Some((orders, more)) = self.shared.take() else {
            return Next::Stop(ExitReason::Error("too many orders waiting".into()));
        };
        if more {
            // The list was not emptied, so nobody else will wake this process for the rest.
            ctx.self_ref().cast(Message::Flush);
        }
        if !orders.is_empty() {
            self.carry_out(orders, ctx).await;
        }
        Next::Go
    }

    async fn handle_info(&mut self, info: Info, ctx: &mut Context<Self>) -> Next<Self> {
        if let Info::Down { monitor, .. } = info
            && let Some(id) = self.roster.watched(monitor)
        {
            self.forget(&id, ctx);
        }
        Next::Go
    }
}

impl Relay {
    /// Carries out one batch: control orders at their place among the events, then one walk over
    /// all sessions.
    async fn carry_out(&mut self, orders: Vec<Order>, ctx: &mut Context<Self>) {
        self.shared.meters.batches.increment(1);
        let mut batch: Vec<Arc<Encoded>> = Vec::with_capacity(orders.len());
        for order in orders {
            match order {
                Order::Publish(event) => batch.push(event),
                Order::Subscribe {
                    subscriber,
                    view,
                    snapshot,
                } => {
                    self.subscribe(subscriber, view, &snapshot, &batch, ctx);
                }
                Order::Unsubscribe(id) => {
                    self.catch_up(&id, &batch);
                    self.forget(&id, ctx);
                }
                Order::Views(views) => {
                    for (user, view) in views {
                        for id in self.roster.of(user) {
                            self.catch_up(&id, &batch);
                            self.roster.set_view(&id, &view);
                        }
                    }
                }
                Order::Remove(user) => {
                    for id in self.roster.of(user) {
                        self.remove(&id, &batch, ctx);
                    }
                }
                Order::Clear => {
                    for id in self.roster.ids() {
                        self.remove(&id, &batch, ctx);
                    }
                }
            }
        }
        self.publish(&batch, ctx).await;
    }

    async fn publish(&mut self, batch: &[Arc<Encoded>], ctx: &mut Context<Self>) {
        if batch.is_empty() {
            // Nobody is owed anything: a thousand logins are not a thousand walks.
            return;
        }
        let mut closed = Vec::new();
        let mut from = 0;
        while from < self.roster.len() {
            let to = self.roster.len().min(from + SESSIONS_PER_SLICE);
            let appended = self.roster.finish(from..to, batch, &mut closed);
            self.shared
                .meters
                .dispatched(appended.events, appended.bytes);
            from = to;
            if from < self.roster.len() {
                tokio::task::yield_now().await;
            }
        }
        for id in closed {
            self.forget(&id, ctx);
        }
    }

    fn subscribe(
        &mut self,
        subscriber: Subscriber,
        view: Arc<View>,
        snapshot: &[Arc<Encoded>],
        batch: &[Arc<Encoded>],
        ctx: &mut Context<Self>,
    ) {
        let (user, intents) = (subscriber.user, subscriber.intents);
        let wanted = snapshot
            .iter()
            .filter_map(|event| Some((event, event.body_for(user, intents)?)));
        // A session that is here already keeps its order: what it is owed comes before.
        self.catch_up(&subscriber.id, batch);
        let appended = subscriber.outbox.append_many(wanted);
        if appended.closed {
            self.forget(&subscriber.id, ctx);
            return;
        }
        self.shared
            .meters
            .dispatched(appended.events, appended.bytes);
        self.tell(
            ctx.node(),
            subscriber.pid,
            |guild, relay| session::Message::Joined { guild, relay },
            ctx.pid(),
        );
        let monitor = ctx.monitor(subscriber.pid);
        match self.roster.add(subscriber, view, monitor, batch.len()) {
            Some(old) => drop(ctx.demonitor(old.monitor, true)),
            None => self.shared.meters.subscriptions.increment(1.0),
        }
    }

    fn catch_up(&mut self, id: &SessionId, batch: &[Arc<Encoded>]) {
        let appended = self.roster.catch_up_one(id, batch, batch.len());
        self.shared
            .meters
            .dispatched(appended.events, appended.bytes);
    }

    /// The user is out of the guild: what came before is still theirs, then the session is told.
    fn remove(&mut self, id: &SessionId, batch: &[Arc<Encoded>], ctx: &mut Context<Self>) {
        self.catch_up(id, batch);
        if let Some(pid) = self.forget(id, ctx) {
            self.tell(
                ctx.node(),
                pid,
                |guild, relay| session::Message::Left { guild, relay },
                ctx.pid(),
            );
        }
    }

    fn forget(&mut self, id: &SessionId, ctx: &mut Context<Self>) -> Option<Pid> {
        let entry = self.roster.remove(id)?;
        ctx.demonitor(entry.monitor, true);
        self.shared.meters.subscriptions.decrement(1.0);
        Some(entry.subscriber.pid)
    }

    fn tell(
        &self,
        node: &Node,
        session: Pid,
        message: impl FnOnce(GuildId, Pid) -> session::Message,
        relay: Pid,
    ) {
        if let Some(session) = node.server_ref::<Session>(session) {
            session.cast(message(self.shared.guild, relay));
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared
            .meters
            .subscriptions
            .decrement(self.roster.len() as f64);
    }
}

#[cfg(test)]
mod tests;
