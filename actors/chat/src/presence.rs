//! The Presence process: one per node, folds what sessions say of their users and tells the guilds.
//!
//! ```text
//!  Session ──set, gone──▶ table: user → sessions ──Wake, once──▶ [Presence] ──SetPresence──▶ Guild × n
//!                                   │                               fold, compare
//!  Guild, when it loads ◀──of───────┘
//! ```
//!
//! * Started by the chat supervisor ([`Presences::child_spec`]); its name is [`NAME`].
//! * When it dies nothing said is lost: the table is in the handle. Its successor looks at every
//!   user again.
//! * It asks the data service for the guilds of a user, and casts to guilds; it calls no process.
//! * Its mailbox holds one Wake. The table is bounded by the sessions of the node, the list of
//!   changed users by the table. Sessions never depend on it.
//! * Next hop: [`crate::guild::cast_presence`].

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use dashmap::DashMap;
use futures_util::StreamExt as _;
use futures_util::stream;
use model::UserId;
use model::presence::{ClientStatus, Presence as Said};
use otp::{ChildSpec, Context, GenServer, Init, Next, Node, Options};
use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::chat::{Chat, WeakChat};
use crate::guild;
use crate::relay::SessionId;

pub mod fold;
pub mod limit;

pub use fold::Platform;
use fold::{Folded, Told};

/// The name of the process on its node.
pub const NAME: &str = "presence";

/// Users whose guilds are looked up at the same time.
pub const USERS_AT_ONCE: usize = 32;

/// How long to wait before a user whose guilds could not be read is tried again.
pub const RETRY_AFTER: Duration = Duration::from_secs(1);

// ── Client ────────────────────────────────────────────────────────────────────────────────────

/// Who is there on this node; clones share one table.
#[derive(Clone)]
pub struct Presences {
    shared: Arc<Shared>,
}

struct Shared {
    node: Node,
    users: DashMap<UserId, Entry>,
    /// The way to the guilds; known from the first session on.
    chat: OnceLock<WeakChat>,
    /// Users to look at, each once.
    changed: Mutex<HashSet<UserId>>,
}

/// What is known of a user.
#[derive(Default)]
struct Entry {
    /// In the order of session ids, so that folding does not depend on who spoke last. Nearly all
    /// users have one.
    sessions: SmallVec<[(SessionId, Told); 1]>,
    /// What the guilds were told last.
    published: Option<Folded>,
}

impl std::fmt::Debug for Presences {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Presences")
            .field("users", &self.shared.users.len())
            .finish()
    }
}

impl Presences {
    /// An empty table; its process is yet to be started on `node` with [`Presences::child_spec`].
    pub fn new(node: &Node) -> Self {
        let shared = Shared {
            node: node.clone(),
            users: DashMap::new(),
            chat: OnceLock::new(),
            changed: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// How the process is started and restarted.
    pub fn child_spec(&self) -> ChildSpec {
        let presences = self.clone();
        ChildSpec::worker::<Presence>(NAME, move || presences.clone())
            .options(|| Options::new().name(NAME).label(NAME))
    }

    /// What others see of a user, and the status by platform; `None` = offline.
    pub fn of(&self, user: UserId) -> Option<(Said, ClientStatus)> {
        let folded = self.shared.users.get(&user)?.fold()?;
        Some((folded.presence, folded.client_status))
    }

    /// How many users have a session here, invisible ones too.
    pub fn users(&self) -> usize {
        self.shared.users.len()
    }

    /// Those users, in no order.
    pub(crate) fn ids(&self) -> Vec<UserId> {
        self.shared.users.iter().map(|entry| *entry.key()).collect()
    }

    /// A session says what its user does. Returns at once; the guilds learn it soon after.
    pub(crate) fn set(
        &self,
        chat: &Chat,
        user: UserId,
        session: SessionId,
        platform: Platform,
        presence: Said,
    ) {
        self.shared.chat.get_or_init(|| chat.downgrade());
        let told = Told { platform, presence };
        self.shared
            .users
            .entry(user)
            .or_default()
            .say(session, told);
        self.wake(user);
    }

    /// A session is over.
    pub(crate) fn gone(&self, user: UserId, session: &SessionId) {
        let known = match self.shared.users.get_mut(&user) {
            Some(mut entry) => entry.forget(session),
            None => false,
        };
        if known {
            self.wake(user);
        }
    }

    fn wake(&self, user: UserId) {
        let asleep = {
            let mut changed = self.shared.changed.lock();
            let asleep = changed.is_empty();
            changed.insert(user);
            asleep
        };
        if asleep && let Some(process) = self.process() {
            process.cast(Message::Wake);
        }
    }

    fn process(&self) -> Option<otp::ServerRef<Presence>> {
        let node = &self.shared.node;
        node.server_ref(node.whereis(NAME)?)
    }
}

impl Entry {
    fn place(&self, session: &SessionId) -> Result<usize, usize> {
        self.sessions.binary_search_by(|(id, _)| id.cmp(session))
    }

    fn say(&mut self, session: SessionId, told: Told) {
        match self.place(&session) {
            Ok(index) => self.sessions[index].1 = told,
            Err(index) => self.sessions.insert(index, (session, told)),
        }
    }

    /// Whether it was known.
    fn forget(&mut self, session: &SessionId) -> bool {
        let place = self.place(session);
        place.is_ok_and(|index| {
            self.sessions.remove(index);
            true
        })
    }

    fn fold(&self) -> Option<Folded> {
        fold::fold(self.sessions.iter().map(|(_, told)| told))
    }
}

impl Shared {
    /// Folds a user; what the guilds must be told, if that has changed.
    fn news_of(&self, user: UserId) -> Option<Option<Folded>> {
        let entry = self.users.get(&user)?;
        let folded = entry.fold();
        (folded != entry.published).then_some(folded)
    }

    /// The guilds were told; a user with nothing left to say is forgotten.
    fn published(&self, user: UserId, folded: Option<Folded>) {
        if let Some(mut entry) = self.users.get_mut(&user) {
            entry.published = folded;
        }
        self.users.remove_if(&user, |_, entry| {
            entry.sessions.is_empty() && entry.published.is_none()
        });
    }
}

// ── Messages ──────────────────────────────────────────────────────────────────────────────────

/// What the presence process is sent; only [`Presences`] does.
pub enum Message {
    /// There are changed users.
    Wake,
    /// Look at these users again.
    Retry(Vec<UserId>),
}

// ── Server ────────────────────────────────────────────────────────────────────────────────────

/// The presence process.
pub struct Presence {
    shared: Arc<Shared>,
}

impl GenServer for Presence {
    type Args = Presences;
    type Message = Message;

    async fn init(presences: Presences, ctx: &mut Context<Self>) -> Init<Self> {
        let shared = presences.shared;
        // A predecessor may have died between taking a user from the list and telling the guilds,
        // and its wake-up died with it, so everyone is looked at. The list is emptied first: who is
        // put on it from here on wakes this process.
        shared.changed.lock().clear();
        let everyone: Vec<UserId> = shared.users.iter().map(|entry| *entry.key()).collect();
        if everyone.is_empty() {
            return Init::Ok(Self { shared });
        }
        tracing::info!(pid = %ctx.pid(), users = everyone.len(), "presence starts over");
        Init::Continue(Self { shared }, Message::Retry(everyone))
    }

    async fn handle(&mut self, message: Message, ctx: &mut Context<Self>) -> Next<Self> {
        let mut users = std::mem::take(&mut *self.shared.changed.lock());
        if let Message::Retry(again) = message {
            users.extend(again);
        }
        let Some(chat) = self.shared.chat.get().and_then(WeakChat::upgrade) else {
            // Nobody is left to be told.
            return Next::Go;
        };
        let told = stream::iter(users).map(|user| tell_guilds(&self.shared, &chat, user));
        let told = told
            .buffer_unordered(USERS_AT_ONCE)
            .filter_map(std::future::ready);
        let failed: Vec<UserId> = told.collect().await;
        if !failed.is_empty() {
            ctx.send_after(RETRY_AFTER, Message::Retry(failed));
        }
        Next::Go
    }
}

/// Tells a user's guilds what has changed; answers the user when that must be tried again.
async fn tell_guilds(shared: &Shared, chat: &Chat, user: UserId) -> Option<UserId> {
    let Some(folded) = shared.news_of(user) else {
        // Came and went, or said the same again.
        shared.users.remove_if(&user, |_, entry| {
            entry.sessions.is_empty() && entry.published.is_none()
        });
        return None;
    };
    let guilds = match chat.data().guilds_of(user).await {
        Ok(guilds) => guilds,
        Err(error) => {
            tracing::warn!(%user, %error, "guilds of a user could not be read; its presence waits");
            return Some(user);
        }
    };
    metrics::counter!("guildhall_presence_changes_total").increment(1);
    for guild in guilds {
        let (presence, client_status) = match &folded {
            Some(folded) => (Some(folded.presence.clone()), folded.client_status),
            None => (None, ClientStatus::default()),
        };
        guild::cast_presence(chat, guild, user, presence, client_status);
    }
    shared.published(user, folded);
    None
}
