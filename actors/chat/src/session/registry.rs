//! All sessions of a node: found by id and by user, counted, refused when there are too many.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use futures_util::future::join_all;
use metrics::{Gauge, counter, gauge};
use model::{GuildId, UserId};
use otp::{ChildSpec, DynamicSupervisor, DynamicSupervisorRef, Node, Options, Registry, ServerRef};
use smallvec::SmallVec;

use super::replay::{REPLAY_BYTES_MAX, ReplayLimits};
use super::transport::Close;
use super::{Message, Session};
use crate::chat::ChatConfig;
use crate::error::{ChatError, Result};
use crate::relay::SessionId;

/// The name of the sessions' supervisor on its node.
pub const SUPERVISOR: &str = "sessions";

/// A bot may ask for all members of a guild once in this time (Discord docs, Gateway, "Rate
/// Limiting": Request Guild Members).
pub const ALL_MEMBERS_EVERY: Duration = Duration::from_secs(30);

/// Most (user, guild) pairs remembered for [`ALL_MEMBERS_EVERY`]; at the limit the ones that have
/// run out are dropped, and if none has, the request is refused as if it came too soon.
pub const ALL_MEMBERS_PAIRS_MAX: usize = 10_000;

/// Steps a drain is cut into, so that clients do not come back all at once.
const RECONNECT_STEPS: usize = 50;

/// The sessions of a node; clones share them.
#[derive(Clone)]
pub struct Sessions {
    inner: Arc<Inner>,
}

struct Inner {
    node: Node,
    sessions_max: usize,
    replay: ReplayLimits,
    by_id: Registry<SessionId>,
    by_user: DashMap<UserId, SmallVec<[SessionId; 1]>>,
    count: AtomicUsize,
    refusing: AtomicBool,
    all_members: DashMap<(UserId, GuildId), Instant>,
    sessions_gauge: Gauge,
    replay_gauge: Gauge,
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions")
            .field("count", &self.count())
            .finish()
    }
}

/// One counted session; dropping it gives its place back, however its process ended.
#[derive(Debug)]
pub(super) struct Place {
    sessions: Sessions,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.sessions.inner.count.fetch_sub(1, Ordering::Relaxed);
        self.sessions.inner.sessions_gauge.decrement(1.0);
    }
}

impl Sessions {
    /// No sessions; their supervisor is yet to be started on `node` with
    /// [`Sessions::child_spec`].
    pub fn new(node: &Node, config: &ChatConfig) -> Self {
        let inner = Inner {
            node: node.clone(),
            sessions_max: config.sessions_max,
            replay: ReplayLimits {
                events: config.replay_events_max,
                bytes: REPLAY_BYTES_MAX,
            },
            by_id: Registry::new(node),
            by_user: DashMap::new(),
            count: AtomicUsize::new(0),
            refusing: AtomicBool::new(false),
            all_members: DashMap::new(),
            sessions_gauge: gauge!("guildhall_sessions"),
            replay_gauge: gauge!("guildhall_replay_bytes"),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// How the supervisor of the sessions is started: each session is a temporary child.
    pub fn child_spec(&self) -> ChildSpec {
        ChildSpec::dynamic_supervisor(SUPERVISOR, DynamicSupervisor::new)
            .options(|| Options::new().name(SUPERVISOR).label("sessions supervisor"))
    }

    /// How many sessions there are, parked ones too.
    pub fn count(&self) -> usize {
        self.inner.count.load(Ordering::Relaxed)
    }

    /// The ids of all sessions, in no order.
    pub fn ids(&self) -> Vec<SessionId> {
        self.inner.by_id.keys()
    }

    /// From now on new logins are refused with [`ChatError::Unavailable`]; resumes go on.
    pub(crate) fn refuse_new(&self) {
        self.inner.refusing.store(true, Ordering::Release);
    }

    /// Tells every connected client to come back and resume (op 7), spread over `spread`.
    pub(crate) async fn reconnect_all(&self, spread: Duration) {
        let ids = self.ids();
        let step = ids.len().div_ceil(RECONNECT_STEPS).max(1);
        let steps = u32::try_from(ids.len().div_ceil(step)).unwrap_or(1).max(1);
        for (index, ids) in ids.chunks(step).enumerate() {
            if index > 0 {
                tokio::time::sleep(spread / steps).await;
            }
            // Asked, not told: whoever drains stops the sessions next, and a message that still
            // waits then is never handled. One that ends meanwhile needs nothing more.
            let sessions = ids
                .iter()
                .filter_map(|id| self.lookup(id))
                .map(|session| async move {
                    let _ = session
                        .call(|from| Message::Disconnect {
                            why: Close::Reconnect,
                            from,
                        })
                        .await;
                });
            join_all(sessions).await;
        }
    }

    /// Ends every session of a user because its tokens are void.
    pub(crate) fn revoke(&self, user: UserId) {
        for session in self.of(user) {
            session.cast(Message::End(Some(Close::Revoked)));
        }
    }

    /// Takes a place for one more session.
    pub(super) fn admit(&self) -> Result<Place> {
        if self.inner.refusing.load(Ordering::Acquire) {
            counter!("guildhall_sessions_refused_total", "why" => "draining").increment(1);
            return Err(ChatError::Unavailable);
        }
        let taken = self.inner.count.fetch_add(1, Ordering::Relaxed);
        self.inner.sessions_gauge.increment(1.0);
        let place = Place {
            sessions: self.clone(),
        };
        if taken >= self.inner.sessions_max {
            counter!("guildhall_sessions_refused_total", "why" => "full").increment(1);
            return Err(ChatError::Busy);
        }
        Ok(place)
    }

    /// The supervisor, if it runs.
    pub(super) fn supervisor(&self) -> Option<DynamicSupervisorRef> {
        DynamicSupervisorRef::whereis(&self.inner.node, SUPERVISOR)
    }

    /// How a session process is started.
    pub(super) fn options(&self, id: &SessionId) -> Options {
        Options::new()
            .label(format!("session {id}"))
            .light()
            .mailbox_max(super::MAILBOX_MAX)
            .register_in(&self.inner.by_id, id.clone())
    }

    /// An outbox for a new session.
    pub(super) fn new_outbox(&self) -> super::outbox::Outbox {
        super::outbox::Outbox::new(self.inner.replay, self.inner.replay_gauge.clone())
    }

    /// The process of a session.
    pub(super) fn lookup(&self, id: &SessionId) -> Option<ServerRef<Session>> {
        self.inner.by_id.lookup_ref(id)
    }

    /// The processes of a user's sessions.
    pub(super) fn of(&self, user: UserId) -> Vec<ServerRef<Session>> {
        let ids = self
            .inner
            .by_user
            .get(&user)
            .map(|ids| ids.clone())
            .unwrap_or_default();
        ids.iter().filter_map(|id| self.lookup(id)).collect()
    }

    /// A session can be found by its user from now on.
    pub(super) fn enter(&self, user: UserId, id: SessionId) {
        self.inner.by_user.entry(user).or_default().push(id);
    }

    /// A session is over.
    pub(super) fn leave(&self, user: UserId, id: &SessionId) {
        if let Some(mut ids) = self.inner.by_user.get_mut(&user) {
            ids.retain(|other| other != id);
        }
        self.inner.by_user.remove_if(&user, |_, ids| ids.is_empty());
    }

    /// Takes the right to ask for all members of a guild, or answers how long to wait for it.
    pub(super) fn take_all_members(
        &self,
        user: UserId,
        guild: GuildId,
    ) -> std::result::Result<(), Duration> {
        let now = Instant::now();
        let pairs = &self.inner.all_members;
        if pairs.len() >= ALL_MEMBERS_PAIRS_MAX {
            pairs.retain(|_, last| now.duration_since(*last) < ALL_MEMBERS_EVERY);
        }
        if let Some(last) = pairs.get(&(user, guild)) {
            let since = now.duration_since(*last);
            if since < ALL_MEMBERS_EVERY {
                return Err(ALL_MEMBERS_EVERY - since);
            }
        }
        if pairs.len() >= ALL_MEMBERS_PAIRS_MAX {
            return Err(ALL_MEMBERS_EVERY);
        }
        pairs.insert((user, guild), now);
        Ok(())
    }
}
