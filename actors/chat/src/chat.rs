//! The door: one handle through which the edge reaches guilds, sessions, accounts and history.

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Weak};
use std::time::Duration;

use dashmap::DashMap;
use model::user::User;
use model::{ChannelId, GuildId, UserId};
use otp::Node;
use storage::DataService;
use storage::blob::BlobStore;

use crate::accounts::Secret;
use crate::error::{ChatError, Missing, Result};
use crate::guild::Guilds;
use crate::ids::Ids;
use crate::presence::Presences;
use crate::read_states::ReadStates;
use crate::session::Sessions;
use crate::supervisor;

/// Most accounts kept in memory for hydration; at the limit the cache is emptied (it refills from
/// the store). Gauge `guildhall_users_cached`.
pub const USERS_CACHED_MAX: usize = 100_000;

/// Most channel → guild pairs kept in memory; at the limit the cache is emptied.
pub const CHANNELS_CACHED_MAX: usize = 500_000;

/// What an operator can set about the chat system.
#[derive(Debug, Clone)]
pub struct ChatConfig {
    /// Address clients reach this server at, without a trailing slash (`http://127.0.0.1:3000`);
    /// attachment links begin with it.
    pub public_url: String,
    /// How long a session without a connection can be resumed.
    pub resume_window: Duration,
    /// Dispatches kept for RESUME per session.
    pub replay_events_max: usize,
    /// Most sessions on this node; more are refused.
    pub sessions_max: usize,
    /// Sessions of one relay; a guild with more gets further relays.
    pub relay_sessions_max: usize,
    /// Members above which people's sessions are passive in a guild until their client subscribes
    /// to something there.
    pub passive_members_min: usize,
    /// Longest time until passive sessions are told which channels have moved.
    pub passive_update_every: Duration,
    /// How long a guild that another node has claimed is not started here.
    pub fenced_rest: Duration,
    /// Snowflake worker number of this node (0–1023).
    pub worker: u16,
}

impl Default for ChatConfig {
    fn default() -> Self {
        Self {
            public_url: "http://127.0.0.1:3000".to_owned(),
            resume_window: Duration::from_secs(180),
            replay_events_max: 4_096,
            sessions_max: 100_000,
            relay_sessions_max: crate::relay::RELAY_SESSIONS_MAX,
            passive_members_min: crate::session::PASSIVE_MEMBERS_MIN,
            passive_update_every: crate::relay::PASSIVE_UPDATE_EVERY,
            fenced_rest: crate::guild::ownership::FENCED_REST,
            worker: 0,
        }
    }
}

/// Handle on the chat system of a node; clones are cheap.
#[derive(Clone)]
pub struct Chat {
    inner: Arc<Inner>,
}

struct Inner {
    node: Node,
    data: DataService,
    blobs: BlobStore,
    config: ChatConfig,
    secret: Secret,
    ids: Ids,
    guilds: Guilds,
    sessions: Sessions,
    presences: Presences,
    read_states: ReadStates,
    users: DashMap<UserId, Arc<User>>,
    channel_guilds: DashMap<ChannelId, GuildId>,
    /// How often the running job of [`crate::files::clean`] was asked for; 0: none runs.
    cleaning: AtomicUsize,
}

/// A handle that does not keep the chat system alive, for parts of it that reach back.
#[derive(Clone)]
pub(crate) struct WeakChat {
    inner: Weak<Inner>,
}

impl WeakChat {
    /// The chat system, if anyone still holds it.
    pub(crate) fn upgrade(&self) -> Option<Chat> {
        self.inner.upgrade().map(|inner| Chat { inner })
    }
}

impl Chat {
    /// Starts the supervision tree of [`supervisor`] on `node`, over `data`, with files in `blobs`.
    ///
    /// # Errors
    /// When the store cannot be read or a process does not start; nothing is left running.
    pub async fn start(
        node: Node,
        data: DataService,
        blobs: BlobStore,
        config: ChatConfig,
    ) -> Result<Self> {
        let secret = Secret::load_or_create(&data).await?;
        let ids = Ids::new(config.worker);
        let chat = supervisor::start(node, data, blobs, config, secret, ids).await?;
        crate::history::resume_purges(&chat);
        crate::files::clean(&chat);
        Ok(chat)
    }

    /// Puts the parts together; called by [`supervisor::start`] when all processes run.
    pub(crate) fn assemble(parts: Parts) -> Self {
        Self {
            inner: Arc::new(Inner {
                node: parts.node,
                data: parts.data,
                blobs: parts.blobs,
                config: parts.config,
                secret: parts.secret,
                ids: parts.ids,
                guilds: parts.guilds,
                sessions: parts.sessions,
                presences: parts.presences,
                read_states: parts.read_states,
                users: DashMap::new(),
                channel_guilds: DashMap::new(),
                cleaning: AtomicUsize::new(0),
            }),
        }
    }

    /// A handle that does not keep it alive.
    pub(crate) fn downgrade(&self) -> WeakChat {
        WeakChat {
            inner: Arc::downgrade(&self.inner),
        }
    }

    /// The actor node.
    pub fn node(&self) -> &Node {
        &self.inner.node
    }

    /// The data service.
    pub(crate) fn data(&self) -> &DataService {
        &self.inner.data
    }

    /// Where the bytes of attachments are.
    pub(crate) fn blobs(&self) -> &BlobStore {
        &self.inner.blobs
    }

    /// Whether the store can still write.
    ///
    /// # Errors
    /// [`ChatError::Broken`]: it never will again; the node must be stopped and started.
    pub fn health(&self) -> Result<()> {
        Ok(self.inner.data.health()?)
    }

    /// See [`crate::files::clean`].
    pub(crate) fn cleaning(&self) -> &AtomicUsize {
        &self.inner.cleaning
    }

    /// The settings it was started with.
    pub fn config(&self) -> &ChatConfig {
        &self.inner.config
    }

    /// What tokens are signed with.
    pub(crate) fn secret(&self) -> &Secret {
        &self.inner.secret
    }

    /// New ids.
    pub fn ids(&self) -> &Ids {
        &self.inner.ids
    }

    /// The guilds of this node.
    pub(crate) fn guilds(&self) -> &Guilds {
        &self.inner.guilds
    }

    /// The sessions of this node.
    pub(crate) fn sessions(&self) -> &Sessions {
        &self.inner.sessions
    }

    /// Who is there.
    pub(crate) fn presences(&self) -> &Presences {
        &self.inner.presences
    }

    /// How far people have read.
    pub(crate) fn read_states(&self) -> &ReadStates {
        &self.inner.read_states
    }

    /// The guild a channel belongs to.
    ///
    /// # Errors
    /// [`Missing::Channel`] when there is no such channel.
    pub async fn guild_of(&self, channel: ChannelId) -> Result<GuildId> {
        if let Some(guild) = self.inner.channel_guilds.get(&channel) {
            return Ok(*guild);
        }
        let guild = self.data().guild_of_channel(channel).await?;
        let guild = guild.ok_or(ChatError::NotFound(Missing::Channel))?;
        if self.inner.channel_guilds.len() >= CHANNELS_CACHED_MAX {
            self.inner.channel_guilds.clear();
        }
        self.inner.channel_guilds.insert(channel, guild);
        Ok(guild)
    }

    /// Forgets which guild a channel belongs to (it was deleted).
    pub(crate) fn forget_channel(&self, channel: ChannelId) {
        self.inner.channel_guilds.remove(&channel);
    }

    /// The public part of an account, from memory or the store.
    pub(crate) async fn user_of(&self, id: UserId) -> Result<Option<Arc<User>>> {
        if let Some(user) = self.inner.users.get(&id) {
            return Ok(Some(Arc::clone(&user)));
        }
        let Some(account) = self.data().account(id).await? else {
            return Ok(None);
        };
        Ok(Some(self.remember_user(account.user)))
    }

    /// Several users at once, for hydration; ids without an account are left out.
    pub(crate) async fn users_of(&self, ids: &[UserId]) -> Result<crate::guild::command::Users> {
        let mut users = crate::guild::command::Users::new();
        let mut missing = Vec::new();
        for id in ids {
            match self.inner.users.get(id) {
                Some(user) => drop(users.insert(*id, User::clone(&user))),
                None if !missing.contains(id) => missing.push(*id),
                None => {}
            }
        }
        if !missing.is_empty() {
            for account in self.data().accounts(&missing).await?.into_iter().flatten() {
                let user = self.remember_user(account.user);
                users.insert(user.id, User::clone(&user));
            }
        }
        Ok(users)
    }

    /// Keeps a user in memory.
    pub(crate) fn remember_user(&self, user: User) -> Arc<User> {
        if self.inner.users.len() >= USERS_CACHED_MAX {
            self.inner.users.clear();
        }
        let user = Arc::new(user);
        self.inner.users.insert(user.id, Arc::clone(&user));
        user
    }

    /// Stops taking new sessions and tells every session to come back elsewhere (op 7), spread
    /// over `spread`; then stops the guilds when their lanes are empty, the whole within
    /// `deadline`. What is not done by then is left to the deadline of the process.
    pub async fn drain(&self, spread: Duration, deadline: Duration) {
        supervisor::drain(self, spread, deadline).await;
    }
}

/// What [`Chat::assemble`] is made of.
pub(crate) struct Parts {
    pub(crate) node: Node,
    pub(crate) data: DataService,
    pub(crate) blobs: BlobStore,
    pub(crate) config: ChatConfig,
    pub(crate) secret: Secret,
    pub(crate) ids: Ids,
    pub(crate) guilds: Guilds,
    pub(crate) sessions: Sessions,
    pub(crate) presences: Presences,
    pub(crate) read_states: ReadStates,
}

/// Turns a failed call to a process into what a caller can act on.
pub(crate) fn call_failed(error: otp::CallError) -> ChatError {
    match error {
        otp::CallError::NoProc | otp::CallError::NodeDown => ChatError::Unavailable,
        otp::CallError::Overloaded => ChatError::Busy,
        other => ChatError::Unknown(other.to_string()),
    }
}
