//! The store of a node that can be mirrored into another one, and changed for it, while it serves.
//!
//! ```text
//!                    ┌────────────── gate ──────────────┐
//!  commit ─▶ held? ──┤ yes: waits in a list             │
//!                    │ no:  ─▶ source ─▶ answer         │
//!                    │      ─▶ log (mirror.rs) ─▶ target│ while it migrates
//!  read   ───────────┴──────▶ source                    ┘
//! ```
//!
//! **Holding.** For the moment in which a page is copied, or the stores are changed, batches are held
//! back: those under way end, then nothing changes, then the held ones go on in their order. Nobody is
//! refused but past [`HELD_BATCHES_MAX`]; it lasts as long as one sync and one read take, [`HELD_TIME_MAX`] at most.
//!
//! The order of the log is the order of the calls, because both are made under one lock. The caller is
//! answered by the source alone.
//!
//! Without a migration it costs a lock and a counter for each batch.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use model::ban::BanRecord;
use model::emoji::ReactionEmoji;
use model::member::MemberRecord;
use model::message::MessageRecord;
use model::read_state::ReadState;
use model::user::{Account, User};
use model::{ChannelId, GuildId, MessageId, UserId};

use super::mirror::Mirror;
use crate::error::StoreError;
use crate::fence::Epoch;
use crate::store::{Commit, EmojiCount, GuildSnapshot, LostFile, Page, Result, Store, Write};
use crate::upkeep::Upkeep;

/// Longest time batches are held back; then they go on, and the migration ends.
pub const HELD_TIME_MAX: Duration = Duration::from_secs(5);

/// Batches that may be held back; past it a commit is refused with [`StoreError::Busy`].
pub const HELD_BATCHES_MAX: usize = 16_384;

/// The store of a node.
pub struct Switch {
    gate: Mutex<Gate>,
    /// The gate is open again.
    opened: Notify,
    flights: Arc<Flights>,
    runtime: tokio::runtime::Handle,
}

struct Gate {
    store: Arc<dyn Store>,
    mirror: Option<Arc<Mirror>>,
    held: Option<VecDeque<Held>>,
}

/// What is held back, and where to say how it ended.
type Held = (Asked, oneshot::Sender<Result<()>>);

/// What keeps its place in the order of the calls.
#[derive(Clone)]
pub(super) enum Asked {
    /// [`Store::commit`].
    Batch(Vec<Write>),
    /// [`Store::claim`].
    Claim(GuildId, Epoch),
}

impl Asked {
    /// Asks a store for it.
    pub(super) fn of(self, store: &dyn Store) -> Commit {
        match self {
            Self::Batch(batch) => store.commit(batch),
            Self::Claim(guild, epoch) => store.claim(guild, epoch),
        }
    }
}

/// What is under way in the source.
#[derive(Default)]
struct Flights {
    open: AtomicUsize,
    idle: Notify,
}

impl Flights {
    fn begin(self: &Arc<Self>) -> Flight {
        self.open.fetch_add(1, Ordering::SeqCst);
        Flight(self.clone())
    }

    async fn idle(&self) {
        loop {
            let idle = self.idle.notified();
            tokio::pin!(idle);
            idle.as_mut().enable();
            if self.open.load(Ordering::SeqCst) == 0 {
                return;
            }
            idle.await;
        }
    }
}

/// One thing under way, as long as this lives.
struct Flight(Arc<Flights>);

impl Drop for Flight {
    fn drop(&mut self) {
        if self.0.open.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

/// Batches are held back as long as this lives.
pub(super) struct Hold<'s>(&'s Switch);

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        let mut gate = self.0.gate.lock();
        for (asked, settle) in gate.held.take().into_iter().flatten() {
            let commit = self.0.submit(&mut gate, asked);
            self.0.runtime.spawn(async move {
                let _ = settle.send(commit.await);
            });
        }
        drop(gate);
        self.0.opened.notify_waiters();
    }
}

impl Hold<'_> {
    /// The source, which does not change.
    pub(super) fn store(&self) -> Arc<dyn Store> {
        self.0.store()
    }

    /// Changes the source for the target of its mirror: what is held goes there.
    pub(super) fn change(&self, to: Arc<dyn Store>) {
        let mut gate = self.0.gate.lock();
        gate.store = to;
        gate.mirror = None;
    }
}

impl Switch {
    /// A store that is not mirrored.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self {
            gate: Mutex::new(Gate {
                store,
                mirror: None,
                held: None,
            }),
            opened: Notify::new(),
            flights: Arc::default(),
            runtime: tokio::runtime::Handle::current(),
        }
    }

    /// The store that is read now.
    pub(super) fn store(&self) -> Arc<dyn Store> {
        self.gate.lock().store.clone()
    }

    /// From here on everything is written to the log of `mirror` too.
    pub(super) fn attach(&self, mirror: Arc<Mirror>) {
        self.gate.lock().mirror = Some(mirror);
    }

    /// No more, if it is this mirror that is attached.
    pub(super) fn detach(&self, mirror: &Arc<Mirror>) {
        let mut gate = self.gate.lock();
        if gate
            .mirror
            .as_ref()
            .is_some_and(|is| Arc::ptr_eq(is, mirror))
        {
            gate.mirror = None;
        }
    }

    /// Holds batches back; returns when those under way have ended.
    ///
    /// # Errors
    /// [`StoreError::Busy`]: they did not end in [`HELD_TIME_MAX`], or somebody else holds; nothing is held.
    pub(super) async fn hold(&self) -> Result<Hold<'_>> {
        {
            let mut gate = self.gate.lock();
            if gate.held.is_some() {
                return Err(StoreError::Busy);
            }
            gate.held = Some(VecDeque::new());
        }
        let hold = Hold(self);
        match tokio::time::timeout(HELD_TIME_MAX, self.flights.idle()).await {
            Ok(()) => Ok(hold),
            Err(_) => Err(StoreError::Busy),
        }
    }

    fn submit(&self, gate: &mut Gate, asked: Asked) -> Commit {
        if let Some(held) = &mut gate.held {
            if held.len() >= HELD_BATCHES_MAX {
                metrics::counter!("guildhall_store_busy_total", "where" => "held").increment(1);
                return Commit::settled(Err(StoreError::Busy));
            }
            let (settle, commit) = Commit::new();
            held.push_back((asked, settle));
            return commit;
        }
        let flight = self.flights.begin();
        let Some(mirror) = &gate.mirror else {
            return asked.of(&*gate.store).holding(flight);
        };
        let committed = asked.clone().of(&*gate.store);
        let outcome = mirror.asked(asked);
        let (settle, commit) = Commit::new();
        // In a task of its own: the target must learn of it whether or not the caller waits.
        self.runtime.spawn(async move {
            let result = committed.await;
            let _ = outcome.send(result.clone());
            drop(flight);
            let _ = settle.send(result);
        });
        commit
    }

    /// Runs a write that is no batch, when nothing is held back.
    async fn write<T: Send + 'static, F>(
        &self,
        log: impl FnOnce(&Mirror) -> oneshot::Sender<Result<()>> + Send,
        work: impl FnOnce(Arc<dyn Store>) -> F + Send,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let mut log = Some(log);
        let mut work = Some(work);
        loop {
            let opened = self.opened.notified();
            tokio::pin!(opened);
            opened.as_mut().enable();
            let begun = {
                let gate = self.gate.lock();
                gate.held.is_none().then(|| {
                    let outcome = log.take().zip(gate.mirror.as_ref());
                    let outcome = outcome.map(|(log, mirror)| log(mirror));
                    (gate.store.clone(), outcome, self.flights.begin())
                })
            };
            let Some((store, outcome, flight)) = begun else {
                opened.await;
                continue;
            };
            let Some(work) = work.take() else {
                return Err(StoreError::Busy);
            };
            let work = work(store);
            // In a task of its own: it is under way until it ends, also when the caller is gone.
            let done = self.runtime.spawn(async move {
                let result = work.await;
                if let Some(outcome) = outcome {
                    let _ = outcome.send(result.as_ref().map(drop).map_err(Clone::clone));
                }
                drop(flight);
                result
            });
            return done.await.unwrap_or_else(|_| {
                Err(StoreError::Unknown(
                    "the store stopped before it answered".to_owned(),
                ))
            });
        }
    }
}

impl std::fmt::Debug for Switch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mirrored = self.gate.lock().mirror.is_some();
        f.debug_struct("Switch")
            .field("mirrored", &mirrored)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for Switch {
    fn commit(&self, batch: Vec<Write>) -> Commit {
        let mut gate = self.gate.lock();
        self.submit(&mut gate, Asked::Batch(batch))
    }

    fn claim(&self, guild: GuildId, epoch: Epoch) -> Commit {
        let mut gate = self.gate.lock();
        self.submit(&mut gate, Asked::Claim(guild, epoch))
    }

    async fn epoch(&self, guild: GuildId) -> Result<Epoch> {
        self.store().epoch(guild).await
    }

    async fn create_account(&self, account: Account) -> Result<()> {
        let logged = account.clone();
        self.write(
            move |mirror| mirror.account(logged),
            |store| async move { store.create_account(account).await },
        )
        .await
    }

    async fn purge_channel(&self, channel: ChannelId, limit: usize) -> Result<usize> {
        self.write(
            move |mirror| mirror.purge(channel, limit),
            move |store| async move { store.purge_channel(channel, limit).await },
        )
        .await
    }

    async fn account(&self, user: UserId) -> Result<Option<Account>> {
        self.store().account(user).await
    }

    async fn accounts(&self, users: &[UserId]) -> Result<Vec<Option<Account>>> {
        self.store().accounts(users).await
    }

    async fn list_accounts(&self, after: Option<UserId>, limit: usize) -> Result<Vec<Account>> {
        self.store().list_accounts(after, limit).await
    }

    async fn guild(&self, guild: GuildId) -> Result<Option<GuildSnapshot>> {
        self.store().guild(guild).await
    }

    async fn guild_without_members(&self, guild: GuildId) -> Result<Option<GuildSnapshot>> {
        self.store().guild_without_members(guild).await
    }

    async fn members(
        &self,
        guild: GuildId,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<(MemberRecord, User)>> {
        self.store().members(guild, after, limit).await
    }

    async fn list_guilds(&self, after: Option<GuildId>, limit: usize) -> Result<Vec<GuildId>> {
        self.store().list_guilds(after, limit).await
    }

    async fn guilds_of(&self, user: UserId) -> Result<Vec<GuildId>> {
        self.store().guilds_of(user).await
    }

    async fn guild_of_channel(&self, channel: ChannelId) -> Result<Option<GuildId>> {
        self.store().guild_of_channel(channel).await
    }

    async fn ban(&self, guild: GuildId, user: UserId) -> Result<Option<BanRecord>> {
        self.store().ban(guild, user).await
    }

    async fn bans(
        &self,
        guild: GuildId,
        before: Option<UserId>,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<BanRecord>> {
        self.store().bans(guild, before, after, limit).await
    }

    async fn message(
        &self,
        channel: ChannelId,
        message: MessageId,
    ) -> Result<Option<MessageRecord>> {
        self.store().message(channel, message).await
    }

    async fn messages(
        &self,
        channel: ChannelId,
        page: Page,
        limit: usize,
    ) -> Result<Vec<MessageRecord>> {
        self.store().messages(channel, page, limit).await
    }

    async fn pins(
        &self,
        channel: ChannelId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<(MessageRecord, u64)>> {
        self.store().pins(channel, before, limit).await
    }

    async fn pin_count(&self, channel: ChannelId) -> Result<usize> {
        self.store().pin_count(channel).await
    }

    async fn messages_by_id(
        &self,
        channel: ChannelId,
        messages: &[MessageId],
    ) -> Result<Vec<Option<MessageRecord>>> {
        self.store().messages_by_id(channel, messages).await
    }

    async fn reaction_counts(
        &self,
        channel: ChannelId,
        messages: &[MessageId],
    ) -> Result<Vec<Vec<EmojiCount>>> {
        self.store().reaction_counts(channel, messages).await
    }

    async fn reactors_of(
        &self,
        channel: ChannelId,
        of: &[(MessageId, ReactionEmoji)],
    ) -> Result<Vec<Vec<UserId>>> {
        self.store().reactors_of(channel, of).await
    }

    async fn reacted(
        &self,
        channel: ChannelId,
        user: UserId,
        of: &[(MessageId, ReactionEmoji)],
    ) -> Result<Vec<bool>> {
        self.store().reacted(channel, user, of).await
    }

    async fn read_state(&self, user: UserId, channel: ChannelId) -> Result<Option<ReadState>> {
        self.store().read_state(user, channel).await
    }

    async fn read_states(&self, user: UserId, limit: usize) -> Result<Vec<ReadState>> {
        self.store().read_states(user, limit).await
    }

    async fn reactors(
        &self,
        channel: ChannelId,
        message: MessageId,
        emoji: &ReactionEmoji,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<UserId>> {
        let store = self.store();
        store.reactors(channel, message, emoji, after, limit).await
    }

    async fn reaction_times(
        &self,
        channel: ChannelId,
        message: MessageId,
        emoji: &ReactionEmoji,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<(UserId, u64)>> {
        let store = self.store();
        let times = store.reaction_times(channel, message, emoji, after, limit);
        times.await
    }

    async fn setting(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.store().setting(name).await
    }

    async fn list_settings(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>> {
        self.store().list_settings(after, limit).await
    }

    async fn channels_to_purge(&self, limit: usize) -> Result<Vec<ChannelId>> {
        self.store().channels_to_purge(limit).await
    }

    async fn files_to_delete(&self, limit: usize) -> Result<Vec<LostFile>> {
        self.store().files_to_delete(limit).await
    }

    /// Of the store it began with: that of another one begins with the next start.
    fn upkeep(&self) -> Option<Box<dyn Upkeep>> {
        self.store().upkeep()
    }

    fn health(&self) -> Result<()> {
        self.store().health()
    }

    async fn mended(&self) -> Result<()> {
        self.store().mended().await
    }

    /// Ends a migration too.
    async fn close(&self) -> Result<()> {
        let (store, mirror) = {
            let mut gate = self.gate.lock();
            (gate.store.clone(), gate.mirror.take())
        };
        let closed = store.close().await;
        if let Some(mirror) = mirror {
            mirror.fail("the node stopped".to_owned());
            let _ = mirror.target.close().await;
        }
        closed
    }
}
