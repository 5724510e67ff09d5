//! The Relay process: one per guild, hands every event to the sessions that may have it.
//!
//! ```text
//!  Lane ──deliver──▶ list of orders ──Flush, once──▶ [Relay] ──append──▶ Outbox × n
//!                    (RelayHandle)                      │ one walk per batch, one write per session
//!                    roster, by class                   └─ Joined, Left, Lost ─▶ Session
//! ```
//!
//! * Started by the supervisor of the guild's relays ([`Relays::describe`]).
//! * When it dies, the list of orders, the roster and the batch at hand survive in the handle; its
//!   successor goes on where it was, and no session notices. Only if it died in the middle of an
//!   order, or if events were lost before they came here (the list overflowed, the lane died), does
//!   the successor send every session [`session::Message::Lost`]: it tells its client op 9 with
//!   `d: false` and ends. Never a silent gap. When that supervisor ends, sessions learn it from
//!   their monitor on it ([`RelayHandle::anchor`]).
//! * It calls nobody; it casts to sessions and appends to their outboxes.
//! * Each event is decided once per class of sessions (`relay/class.rs`). From
//!   [`PARALLEL_SESSIONS_MIN`] sessions on a batch is walked by as many tasks as there are workers.
//! * Its mailbox holds one Flush and the DOWNs of sessions. The queue that matters is the list:
//!   above [`TYPING_QUEUE_MAX`] orders typing is shed, above [`PRESENCE_QUEUE_MAX`] presence too;
//!   above [`ORDERS_BUSY`] [`RelayHandle::is_full`] tells the guild to refuse work; at
//!   [`ORDERS_MAX`] the list is dropped and the relay with it, which invalidates its sessions.
//! * Next hop: [`crate::session::outbox`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use model::event::Encoded;
use model::intents::Intents;
use model::{GuildId, UserId};
use otp::{
    Context, ExitReason, GenServer, Info, Init, Next, Node, Options, Pid, ServerRef, SupervisorRef,
};
use parking_lot::Mutex;
use tokio::task::JoinSet;

use crate::session::outbox::{Appended, Outbox};
use crate::session::{self, Session};

mod class;
mod listeners;
mod meters;
mod relays;
mod roster;
mod view;

pub use listeners::{Coming, Listeners};
use meters::Meters;
use relays::Homes;
pub use relays::{RELAY_RESTART_PERIOD, RELAY_RESTARTS_MAX, RELAY_SESSIONS_MAX, Relays};
use roster::{Batch, Roster, SLICES, Slice};
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

/// Sessions from which on a batch is walked by all workers: below, waking them costs more.
pub const PARALLEL_SESSIONS_MIN: usize = 2_048;

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
    /// A session listens from here on. Read [`RelayHandle::anchor`] *before* handing this over and
    /// answer that pid to the session.
    Subscribe {
        /// Who.
        subscriber: Subscriber,
        /// What its user may see.
        view: Arc<View>,
        /// Goes to this session only, before everything that is published later.
        snapshot: Vec<Arc<Encoded>>,
        /// Counts its user among the listeners for as long as it listens.
        coming: Option<Arc<Coming>>,
    },
    /// A session listens no more.
    Unsubscribe(SessionId),
    /// Users see something else from here on: nothing of a channel they lost comes after this.
    Views(Arc<[(UserId, Arc<View>)]>),
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
    /// Among the relays of the guild.
    number: usize,
    homes: Arc<Homes>,
    waiting: Mutex<Waiting>,
    /// The running process; a dead one until its successor has started.
    server: Mutex<Option<ServerRef<Relay>>>,
    /// See [`RelayHandle::anchor`].
    anchor: Mutex<Option<(Node, Pid)>>,
    /// Locked by the relay alone, and never while it waits.
    roster: Mutex<Roster>,
    /// Events may have been lost on the way here.
    gap: AtomicBool,
    meters: Meters,
}

#[derive(Default)]
struct Waiting {
    orders: Vec<Order>,
    /// [`ORDERS_MAX`] was reached: orders were lost, so the relay must serve nobody any more.
    overflowed: bool,
    /// Sessions whose subscription was among the lost orders.
    stranded: Vec<(SessionId, Pid)>,
}

impl Waiting {
    /// Loses orders.
    fn strand(&mut self, orders: impl IntoIterator<Item = Order>) {
        self.overflowed = true;
        let stranded = orders.into_iter().filter_map(|order| match order {
            Order::Subscribe { subscriber, .. } => Some((subscriber.id, subscriber.pid)),
            _ => None,
        });
        self.stranded.extend(stranded);
    }
}

impl std::fmt::Debug for RelayHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RelayHandle({})", self.shared.guild)
    }
}

impl RelayHandle {
    /// The way to the only relay of `guild`, which is yet to be started with
    /// [`RelayHandle::args`]. For more than one: [`Relays`].
    pub fn new(guild: GuildId) -> Self {
        Self::numbered(guild, 0, Arc::default())
    }

    fn numbered(guild: GuildId, number: usize, homes: Arc<Homes>) -> Self {
        let shared = Shared {
            guild,
            number,
            homes,
            waiting: Mutex::default(),
            server: Mutex::new(None),
            anchor: Mutex::new(None),
            roster: Mutex::default(),
            gap: AtomicBool::new(false),
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
        let Shared { guild, number, .. } = &*self.shared;
        Options::new().label(format!("relay {number} of {guild}"))
    }

    /// Hands orders over, to be carried out in this order; wakes the relay if it sleeps. Returns
    /// at once. Orders given while the relay is being restarted wait for it.
    pub fn deliver(&self, orders: Vec<Order>) {
        let shared = &*self.shared;
        let mut waiting = shared.waiting.lock();
        if waiting.overflowed {
            // For sessions which the successor of the dying relay sends away.
            waiting.strand(orders);
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
            let lost = std::mem::take(&mut waiting.orders);
            waiting.strand(lost);
        }
        if before == 0 && after > 0 {
            shared.wake();
        }
    }

    /// The process whose end means that all subscriptions are gone: the supervisor of the relay,
    /// or the relay itself if it has none; `None` before its first start. A session which
    /// subscribes monitors the pid read *before* its [`Order::Subscribe`] was handed over: whatever
    /// relay takes the order then, either it serves the session, or the session learns that it
    /// does not.
    pub fn anchor(&self) -> Option<Pid> {
        self.shared.anchor.lock().as_ref().map(|(_, pid)| *pid)
    }

    /// The supervisor of the relay, once it has started under one.
    fn supervisor(&self) -> Option<SupervisorRef> {
        let anchor = self.shared.anchor.lock();
        let (node, pid) = anchor.as_ref()?;
        SupervisorRef::from_pid(node, *pid)
    }

    /// Its number among the relays of the guild.
    fn number(&self) -> usize {
        self.shared.number
    }

    /// Says that events may have been lost on the way here: the relay that starts next sends all
    /// sessions away.
    pub fn lost_events(&self) {
        self.shared.gap.store(true, Ordering::Release);
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
}

impl GenServer for Relay {
    type Args = RelayArgs;
    type Message = Message;

    async fn init(args: RelayArgs, ctx: &mut Context<Self>) -> Init<Self> {
        let shared = args.handle.shared;
        *shared.server.lock() = Some(ctx.self_ref());
        let anchor = ctx.parent().unwrap_or(ctx.pid());
        *shared.anchor.lock() = Some((ctx.node().clone(), anchor));
        let relay = Self { shared };
        relay.take_over(ctx);
        // A predecessor may have left orders, and its wake-up died with it.
        Init::Continue(relay, Message::Flush)
    }

    async fn handle(&mut self, message: Message, ctx: &mut Context<Self>) -> Next<Self> {
        let Message::Flush = message;
        let left = self.shared.roster.lock().delivering();
        if let Some(batch) = left {
            self.give(batch, ctx).await;
        }
        let Some((orders, more)) = self.shared.take() else {
            return Next::Stop(ExitReason::Error("too many orders waiting".into()));
        };
        if more {
            // The list was not emptied, so nobody else will wake this process for the rest.
            ctx.self_ref().cast(Message::Flush);
        }
        if !orders.is_empty()
            && let Some(batch) = self.carry_out(orders, ctx)
        {
            self.give(batch, ctx).await;
        }
        Next::Go
    }

    async fn handle_info(&mut self, info: Info, ctx: &mut Context<Self>) -> Next<Self> {
        if let Info::Down { monitor, .. } = info {
            let mut roster = self.shared.roster.lock();
            if let Some(id) = roster.watched(monitor) {
                self.forget(&mut roster, &id, ctx);
            }
        }
        Next::Go
    }
}

impl Relay {
    /// Goes on where a predecessor was, or sends everyone away if something was lost.
    fn take_over(&self, ctx: &mut Context<Self>) {
        let shared = &self.shared;
        let mut roster = shared.roster.lock();
        let mut waiting = shared.waiting.lock();
        let overflowed = std::mem::take(&mut waiting.overflowed);
        let stranded = std::mem::take(&mut waiting.stranded);
        drop(waiting);
        let gap = shared.gap.swap(false, Ordering::AcqRel);
        if gap || overflowed || roster.is_broken() {
            let lost = roster.reset();
            shared.meters.subscriptions.decrement(lost.len() as f64);
            let lost = lost.into_iter().map(|one| (one.id, one.pid));
            for (id, pid) in lost.chain(stranded) {
                shared.homes.leave(&id, shared.number);
                self.tell(ctx.node(), pid, |guild| session::Message::Lost { guild });
            }
            return;
        }
        for (id, pid) in roster.change_hands() {
            let monitor = ctx.monitor(pid);
            roster.watched_by(id, monitor);
        }
    }

    /// Carries out orders: control orders at their place among the events. The events, for
    /// everyone, if there are any.
    fn carry_out(&self, orders: Vec<Order>, ctx: &mut Context<Self>) -> Option<Arc<Batch>> {
        self.shared.meters.batches.increment(1);
        let mut roster = self.shared.roster.lock();
        let roster = &mut *roster;
        roster.break_up();
        let mut batch: Vec<Arc<Encoded>> = Vec::with_capacity(orders.len());
        for order in orders {
            match order {
                Order::Publish(event) => batch.push(event),
                Order::Subscribe {
                    subscriber,
                    view,
                    snapshot,
                    coming,
                } => {
                    let id = subscriber.id.clone();
                    if self.subscribe(roster, subscriber, &view, &snapshot, &batch, ctx) {
                        self.shared.homes.enter(&id, self.shared.number, coming);
                    } else {
                        self.shared.homes.leave(&id, self.shared.number);
                    }
                }
                Order::Unsubscribe(id) => {
                    self.catch_up(roster, &id, &batch);
                    self.forget(roster, &id, ctx);
                }
                Order::Views(views) => {
                    for (user, view) in &*views {
                        for id in roster.of(*user) {
                            self.catch_up(roster, &id, &batch);
                            roster.set_view(&id, view);
                        }
                    }
                }
                Order::Remove(user) => {
                    for id in roster.of(user) {
                        self.remove(roster, &id, &batch, ctx);
                    }
                }
                Order::Clear => {
                    for id in roster.ids() {
                        self.remove(roster, &id, &batch, ctx);
                    }
                }
            }
        }
        roster.mend();
        // Nobody is owed anything: a thousand logins are not a thousand walks.
        (!batch.is_empty()).then(|| roster.prepare(batch))
    }

    /// Gives everyone a batch.
    async fn give(&self, batch: Arc<Batch>, ctx: &mut Context<Self>) {
        let (slices, sessions) = {
            let roster = self.shared.roster.lock();
            (roster.slices(), roster.len())
        };
        let workers = tokio::runtime::Handle::current().metrics().num_workers();
        let mut closed = Vec::new();
        if sessions < PARALLEL_SESSIONS_MIN || workers == 1 {
            for slice in slices {
                closed.extend(walk(&slice, &batch, &self.shared).await);
            }
        } else {
            let slices: Arc<[_]> = slices.into();
            let next = Arc::new(AtomicUsize::new(0));
            let mut walks = JoinSet::new();
            for _ in 0..workers.min(SLICES) {
                let (slices, next) = (Arc::clone(&slices), Arc::clone(&next));
                let (batch, shared) = (Arc::clone(&batch), Arc::clone(&self.shared));
                walks.spawn(async move {
                    let mut closed = Vec::new();
                    while let Some(slice) = slices.get(next.fetch_add(1, Ordering::Relaxed)) {
                        closed.extend(walk(slice, &batch, &shared).await);
                    }
                    closed
                });
            }
            // A walk that panics takes the relay along, as one without tasks would.
            closed = walks.join_all().await.concat();
        }
        let mut roster = self.shared.roster.lock();
        roster.delivered();
        self.shared.meters.classes.record(roster.classes() as f64);
        for id in closed {
            if let Some(pid) = self.forget(&mut roster, &id, ctx) {
                // Nothing to one that has ended; one that cannot go on has to.
                self.tell(ctx.node(), pid, |guild| session::Message::Lost { guild });
            }
        }
    }

    /// Whether the session listens; else it is closed.
    fn subscribe(
        &self,
        roster: &mut Roster,
        subscriber: Subscriber,
        view: &Arc<View>,
        snapshot: &[Arc<Encoded>],
        batch: &[Arc<Encoded>],
        ctx: &mut Context<Self>,
    ) -> bool {
        let (user, intents) = (subscriber.user, subscriber.intents);
        let wanted = snapshot
            .iter()
            .filter_map(|event| Some((event, event.body_for(user, intents)?)));
        // A session that is here already keeps its order: what it is owed comes before.
        self.catch_up(roster, &subscriber.id, batch);
        let appended = subscriber.outbox.append_many(wanted);
        if appended.closed {
            self.forget(roster, &subscriber.id, ctx);
            return false;
        }
        self.shared
            .meters
            .dispatched(appended.events, appended.bytes);
        let anchor = ctx.parent().unwrap_or(ctx.pid());
        self.tell(ctx.node(), subscriber.pid, |guild| {
            session::Message::Joined {
                guild,
                relay: anchor,
            }
        });
        let monitor = ctx.monitor(subscriber.pid);
        if let Some(old) = roster.watched_by(subscriber.id.clone(), monitor) {
            ctx.demonitor(old, true);
        }
        if !roster.add(subscriber, view, batch.len()) {
            self.shared.meters.subscriptions.increment(1.0);
        }
        true
    }

    fn catch_up(&self, roster: &mut Roster, id: &SessionId, batch: &[Arc<Encoded>]) {
        let appended = roster.catch_up_one(id, batch);
        self.shared
            .meters
            .dispatched(appended.events, appended.bytes);
    }

    /// The user is out of the guild: what came before is still theirs, then the session is told.
    fn remove(
        &self,
        roster: &mut Roster,
        id: &SessionId,
        batch: &[Arc<Encoded>],
        ctx: &mut Context<Self>,
    ) {
        self.catch_up(roster, id, batch);
        if let Some(pid) = self.forget(roster, id, ctx) {
            let anchor = ctx.parent().unwrap_or(ctx.pid());
            self.tell(ctx.node(), pid, |guild| session::Message::Left {
                guild,
                relay: anchor,
            });
        }
    }

    fn forget(&self, roster: &mut Roster, id: &SessionId, ctx: &mut Context<Self>) -> Option<Pid> {
        let subscriber = roster.remove(id)?;
        self.shared.homes.leave(id, self.shared.number);
        if let Some(monitor) = roster.unwatch(id) {
            ctx.demonitor(monitor, true);
        }
        self.shared.meters.subscriptions.decrement(1.0);
        Some(subscriber.pid)
    }

    fn tell(&self, node: &Node, session: Pid, message: impl FnOnce(GuildId) -> session::Message) {
        if let Some(session) = node.server_ref::<Session>(session) {
            session.cast(message(self.shared.guild));
        }
    }
}

/// Gives the sessions of a slice a batch; those that are closed.
async fn walk(slice: &Mutex<Slice>, batch: &Batch, shared: &Shared) -> Vec<SessionId> {
    let (mut closed, mut from) = (Vec::new(), 0);
    loop {
        let mut total = Appended::default();
        let next = slice.lock().give(from, batch, &mut total, &mut closed);
        shared.meters.dispatched(total.events, total.bytes);
        match next {
            Some(next) => from = next,
            None => return closed,
        }
        tokio::task::yield_now().await;
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let sessions = self.roster.get_mut().len();
        self.meters.subscriptions.decrement(sessions as f64);
    }
}

#[cfg(test)]
mod tests;
