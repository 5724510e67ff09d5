//! Read states: how far people have read, written behind.
//!
//! ```text
//!  ack ────────────▶ ┌ ReadStates ───────────────┐ ◀─Tick, Full─ [Flusher] ─▶ store
//!  Lane: a message ─▶│ user → channel → dirty row│                 each row within 30 s,
//!  READY ◀─rows──────└───────────────────────────┘                 a drain writes all
//!          with what the store has
//! ```
//!
//! * An ack is answered when it is in the table, not when it is on the disk: a node that is killed
//!   loses the acks of the last [`FLUSH_AFTER`] and a bit, which the next ack of the channel makes
//!   good. Positions and counts are merged by the store ([`model::read_state`]), so what several
//!   nodes write of one user comes out the same in any order, and a repeated write changes nothing.
//! * Mentions are counted for those a message names, when it is durable; that costs each message
//!   what it names, not what its guild has. `@everyone` and roles are not counted: clients that are
//!   online count these themselves from the message, and others find the channel unread.
//! * Started by the chat supervisor ([`ReadStates::child_spec`]); its name is [`NAME`].
//! * When the process dies nothing is lost: the table is in the handle. Its successor flushes on.
//! * The table is bounded ([`DIRTY_MAX`]). Above half of it the process flushes at once; when it is
//!   full an ack writes its row itself and waits, and a mention is not counted.
//! * The process calls the data service only. Its mailbox holds one Tick and one Full.
//! * Next hop: [`storage::DataService::commit`], and the user's sessions for MESSAGE_ACK.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use futures_util::{StreamExt as _, stream};
use metrics::{counter, gauge, histogram};
use model::message::Message as ChatMessage;
use model::read_state::ReadState;
use model::{ChannelId, MessageId, UserId};
use otp::{ChildSpec, Context, GenServer, Init, Next, Node, Options};
use storage::store::Write;
use storage::{DataService, StoreError};

use crate::error::{ChatError, Result};

pub mod client;

pub use client::{Ack, acknowledge, acknowledge_guild, acknowledge_many, acknowledge_pins, forget};

/// The name of the process on its node.
pub const NAME: &str = "read states";

/// Most rows that wait to be written.
pub const DIRTY_MAX: usize = 100_000;

/// How long a row waits for further changes before it is written.
pub const FLUSH_AFTER: Duration = Duration::from_secs(20);

/// How often the process looks for rows that have waited long enough; so each is written within
/// 30 s.
pub const FLUSH_EVERY: Duration = Duration::from_secs(5);

/// Users whose rows are written at the same time.
pub const FLUSH_USERS_AT_ONCE: usize = 64;

/// Most read states of one user that are told to a client.
pub const LISTED_MAX: usize = 10_000;

// ── Table ─────────────────────────────────────────────────────────────────────────────────────

/// The dirty rows of this node; clones share them.
#[derive(Clone)]
pub struct ReadStates {
    shared: Arc<Shared>,
}

struct Shared {
    node: Node,
    users: DashMap<UserId, BTreeMap<ChannelId, Dirty>>,
    rows: AtomicUsize,
    rows_max: usize,
    /// Whether the process has been told that the table fills up.
    told_full: AtomicBool,
}

/// A row on its way to the store.
#[derive(Debug, Clone)]
struct Dirty {
    /// What is new; with what the store has, once it is `loaded`.
    state: ReadState,
    /// The user's own message, which counts as read; known better than `state` only until it is
    /// loaded.
    own: Option<MessageId>,
    loaded: bool,
    since: Instant,
    /// Counts changes, so that a flush knows whether there was one while it wrote.
    edition: u64,
}

impl Dirty {
    fn new(user: UserId, channel: ChannelId) -> Self {
        Self {
            state: ReadState::new(user, channel),
            own: None,
            loaded: false,
            since: Instant::now(),
            edition: 0,
        }
    }

    /// Takes in what the store has.
    fn load(&mut self, stored: Option<&ReadState>) {
        if let Some(stored) = stored {
            self.state.merge(stored);
        }
        self.loaded = true;
        if let Some(own) = self.own.take() {
            self.state.read(own);
        }
    }
}

/// What became of a change.
enum Changed {
    /// The row has it, as it is now; or it was in it before (`None`).
    Kept(Option<ReadState>),
    /// The table is full: write it yourself.
    Full,
}

impl std::fmt::Debug for ReadStates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ReadStates({} dirty)", self.dirty())
    }
}

impl ReadStates {
    /// An empty table; its process is yet to be started on `node` with [`ReadStates::child_spec`].
    pub fn new(node: &Node) -> Self {
        Self::with_room(node, DIRTY_MAX)
    }

    /// The same with room for fewer rows.
    pub fn with_room(node: &Node, rows_max: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                node: node.clone(),
                users: DashMap::new(),
                rows: AtomicUsize::new(0),
                rows_max,
                told_full: AtomicBool::new(false),
            }),
        }
    }

    /// How the process is started and restarted.
    pub fn child_spec(&self, data: &DataService) -> ChildSpec {
        let (states, data) = (self.clone(), data.clone());
        ChildSpec::worker::<Flusher>(NAME, move || (states.clone(), data.clone()))
            .options(|| Options::new().name(NAME).label(NAME))
    }

    /// How many rows wait to be written.
    pub fn dirty(&self) -> usize {
        self.shared.rows.load(Ordering::Relaxed)
    }

    /// Writes all rows now, whether the process runs or not; what fails stays.
    pub(crate) async fn flush(&self, data: &DataService) {
        self.write(data, Instant::now()).await;
    }

    /// A user's read states, by channel.
    ///
    /// # Errors
    /// What the store answers.
    pub(crate) async fn of(&self, data: &DataService, user: UserId) -> Result<Vec<ReadState>> {
        // The table first: a row that is written meanwhile is then in both, and merged twice.
        let dirty = self.shared.users.get(&user).map(|rows| rows.clone());
        let stored = data.read_states(user, LISTED_MAX).await?;
        let mut states: BTreeMap<_, _> = stored
            .into_iter()
            .map(|state| (state.channel_id, state))
            .collect();
        for (channel, mut row) in dirty.into_iter().flatten() {
            row.load(states.get(&channel));
            states.insert(channel, row.state);
        }
        states.retain(|_, state| state.version > 0);
        Ok(states.into_values().take(LISTED_MAX).collect())
    }

    /// Changes a row, whose stored state is read first unless it is known; answers what it is now,
    /// or `None` when nothing changed.
    ///
    /// # Errors
    /// What the store answers; nothing has changed then.
    async fn change(
        &self,
        data: &DataService,
        user: UserId,
        channel: ChannelId,
        change: impl Fn(&mut ReadState) -> bool,
    ) -> Result<Option<ReadState>> {
        let known = self.shared.users.get(&user);
        let known = known.is_some_and(|rows| rows.get(&channel).is_some_and(|row| row.loaded));
        let stored = if known {
            None
        } else {
            data.read_state(user, channel).await?
        };
        let kept = self.edit(user, channel, |row| {
            row.load(stored.as_ref());
            change(&mut row.state)
        });
        match kept {
            Changed::Kept(state) => Ok(state),
            Changed::Full => {
                counter!("guildhall_read_states_written_through_total").increment(1);
                let mut state = stored.unwrap_or_else(|| ReadState::new(user, channel));
                if !change(&mut state) {
                    return Ok(None);
                }
                let write = Write::PutReadState(Box::new(state.clone()));
                data.commit(vec![write]).await?;
                Ok(Some(state))
            }
        }
    }

    /// Changes a row under its lock. One that is new and was not changed is not kept.
    fn edit(
        &self,
        user: UserId,
        channel: ChannelId,
        edit: impl FnOnce(&mut Dirty) -> bool,
    ) -> Changed {
        let mut rows = self.shared.users.entry(user).or_default();
        if let Some(row) = rows.get_mut(&channel) {
            let changed = edit(row);
            row.edition += u64::from(changed);
            return Changed::Kept(changed.then(|| row.state.clone()));
        }
        let mut row = Dirty::new(user, channel);
        let changed = edit(&mut row);
        let taken = changed.then(|| self.shared.rows.fetch_add(1, Ordering::Relaxed));
        match taken {
            Some(taken) if taken < self.shared.rows_max => {
                let state = row.state.clone();
                rows.insert(channel, row);
                drop(rows);
                self.fill(taken + 1);
                return Changed::Kept(Some(state));
            }
            Some(_) => drop(self.shared.rows.fetch_sub(1, Ordering::Relaxed)),
            None => {}
        }
        let empty = rows.is_empty();
        drop(rows);
        if empty {
            self.shared
                .users
                .remove_if(&user, |_, rows| rows.is_empty());
        }
        if taken.is_some() {
            Changed::Full
        } else {
            Changed::Kept(None)
        }
    }

    /// Wakes the process when half of the table is used.
    fn fill(&self, rows: usize) {
        gauge!("guildhall_read_states_dirty").set(rows as f64);
        if rows <= self.shared.rows_max / 2 || self.shared.told_full.swap(true, Ordering::AcqRel) {
            return;
        }
        let node = &self.shared.node;
        if let Some(process) = node
            .whereis(NAME)
            .and_then(|pid| node.server_ref::<Flusher>(pid))
        {
            process.cast(Message::Full);
        }
    }

    /// A new message is durable: its author has read up to it, and those it names have one mention
    /// more. Bots have no read states.
    pub(crate) fn posted(&self, message: &ChatMessage) {
        let (channel, id) = (message.channel_id, message.id);
        if !message.author.bot {
            let own = |row: &mut Dirty| {
                if row.loaded {
                    return row.state.read(id);
                }
                row.own = row.own.max(Some(id));
                true
            };
            self.note(message.author.id, channel, own);
        }
        for user in &message.mentions {
            if !user.bot && user.id != message.author.id {
                self.note(user.id, channel, |row| row.state.mention(id));
            }
        }
    }

    fn note(&self, user: UserId, channel: ChannelId, edit: impl FnOnce(&mut Dirty) -> bool) {
        if let Changed::Full = self.edit(user, channel, edit) {
            counter!("guildhall_read_states_dropped_total").increment(1);
        }
    }

    /// Forgets a row; the store is told by the caller.
    fn drop_row(&self, user: UserId, channel: ChannelId) {
        if let Entry::Occupied(mut rows) = self.shared.users.entry(user) {
            if rows.get_mut().remove(&channel).is_some() {
                self.shared.rows.fetch_sub(1, Ordering::Relaxed);
            }
            if rows.get().is_empty() {
                rows.remove();
            }
        }
    }

    /// Copies of the rows that have waited since `before`, by user.
    fn due(&self, before: Instant) -> Vec<(UserId, Vec<(ChannelId, Dirty)>)> {
        let mut due = Vec::new();
        for entry in &self.shared.users {
            let rows = entry.value().iter();
            let rows: Vec<_> = rows
                .filter(|(_, row)| row.since <= before)
                .map(|(channel, row)| (*channel, row.clone()))
                .collect();
            if !rows.is_empty() {
                due.push((*entry.key(), rows));
            }
        }
        due
    }

    /// These rows, as they were then, are in the store.
    fn written(&self, user: UserId, written: Vec<(ChannelId, Dirty)>) {
        let Entry::Occupied(mut rows) = self.shared.users.entry(user) else {
            return;
        };
        for (channel, was) in written {
            let Some(row) = rows.get_mut().get_mut(&channel) else {
                continue;
            };
            if row.edition == was.edition {
                rows.get_mut().remove(&channel);
                self.shared.rows.fetch_sub(1, Ordering::Relaxed);
            } else {
                // Changed while it was written: what is new waits from now on.
                row.since = Instant::now();
            }
        }
        if rows.get().is_empty() {
            rows.remove();
        }
    }

    /// Writes what has waited since `before`; what fails stays and is tried again.
    async fn write(&self, data: &DataService, before: Instant) {
        let began = Instant::now();
        let due = self.due(before);
        if due.is_empty() {
            return;
        }
        stream::iter(due)
            .for_each_concurrent(FLUSH_USERS_AT_ONCE, |(user, rows)| async move {
                let count = rows.len() as u64;
                match self.write_user(data, user, &rows).await {
                    Ok(()) => {
                        counter!("guildhall_read_states_written_total").increment(count);
                        self.written(user, rows);
                    }
                    Err(error) => {
                        counter!("guildhall_read_states_failed_total").increment(count);
                        // Of a store that takes no writes the engine says so, once.
                        if matches!(error, ChatError::Full(_) | ChatError::Broken(_)) {
                            tracing::debug!(%user, %error, "read states wait for the store");
                        } else {
                            tracing::warn!(%user, %error, "read states were not written; trying again");
                        }
                    }
                }
            })
            .await;
        gauge!("guildhall_read_states_dirty").set(self.dirty() as f64);
        histogram!("guildhall_read_states_flush_seconds").record(began.elapsed());
    }

    async fn write_user(
        &self,
        data: &DataService,
        user: UserId,
        rows: &[(ChannelId, Dirty)],
    ) -> Result<()> {
        let mut states = Vec::with_capacity(rows.len());
        for (channel, row) in rows {
            let mut row = row.clone();
            if !row.loaded && row.own.is_some() {
                // Whether one's own message moves the position depends on what is stored.
                let stored = data.read_state(user, *channel).await?;
                row.load(stored.as_ref());
            }
            states.push(row.state);
        }
        let commit = {
            let Some(kept) = self.shared.users.get(&user) else {
                return Ok(());
            };
            // One that was forgotten meanwhile must not come back: given to the store under the lock,
            // so that its deletion, which follows, comes later there too.
            states.retain(|state| kept.contains_key(&state.channel_id));
            let put = |state| Write::PutReadState(Box::new(state));
            data.commit(states.into_iter().map(put).collect())
        };
        match commit.await {
            // Tried again as they are they would wait for ever.
            Err(StoreError::TooLarge(_)) if rows.len() > 1 => {
                for row in rows {
                    Box::pin(self.write_user(data, user, std::slice::from_ref(row))).await?;
                }
                Ok(())
            }
            result => Ok(result?),
        }
    }
}

// ── Messages ──────────────────────────────────────────────────────────────────────────────────

/// What the process is sent; only [`ReadStates`] does.
#[derive(Debug)]
pub enum Message {
    /// Look for rows that have waited long enough.
    Tick,
    /// The table fills up: write everything.
    Full,
}

// ── Server ────────────────────────────────────────────────────────────────────────────────────

/// The process that writes.
pub struct Flusher {
    states: ReadStates,
    data: DataService,
}

impl GenServer for Flusher {
    type Args = (ReadStates, DataService);
    type Message = Message;

    async fn init((states, data): Self::Args, ctx: &mut Context<Self>) -> Init<Self> {
        // A predecessor may have died with a Full in its mailbox.
        states.shared.told_full.store(false, Ordering::Release);
        ctx.send_after(FLUSH_EVERY, Message::Tick);
        Init::Ok(Self { states, data })
    }

    async fn handle(&mut self, message: Message, ctx: &mut Context<Self>) -> Next<Self> {
        let now = Instant::now();
        match message {
            Message::Tick => {
                if let Some(before) = now.checked_sub(FLUSH_AFTER) {
                    self.states.write(&self.data, before).await;
                }
                ctx.send_after(FLUSH_EVERY, Message::Tick);
            }
            Message::Full => {
                // First: who fills the table while this writes tells it again.
                self.states.shared.told_full.store(false, Ordering::Release);
                self.states.write(&self.data, now).await;
            }
        }
        Next::Go
    }
}

#[cfg(test)]
mod tests;
