//! A guild's family of processes, and where all of them are found.
//!
//! ```text
//! guilds (dynamic supervisor) ─┬─ family 7 (rest for one) ─┬─ lane 7
//!                              │                           ├─ relays of 7 (one for one) ─ relay 0, …
//!                              │                           ├─ keeper 7
//!                              │                           ├─ guild 7
//!                              ├─ family 8 …               └─ list 7
//! ```
//!
//! Rest for one, in this order: a guild that dies takes nobody along, nor does a relay; the keeper of
//! the member table takes only the guild along, which fills a new table; the member lists come last
//! and take nobody along, and begin anew with the guild; relays that
//! die again and again take the guild along, which loads again; a lane that dies may have lost
//! events, so the relays must go too (their sessions are told so). When the guild ends by itself
//! (it was deleted) the family ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cluster::{Directory, Located};
use dashmap::DashMap;
use metrics::gauge;
use model::GuildId;
use otp::{
    AutoShutdown, ChildSpec, DynamicSupervisor, DynamicSupervisorRef, Node, Options, Pid, Registry,
    Restart, ServerRef, StartError, Supervisor, SupervisorError, SupervisorRef,
};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::keeper::{Keeper, KeeperArgs};
use super::lane::{self, Lane, LaneArgs};
use super::list::{Lists, MemberList, MemberListArgs};
use super::members::MemberTable;
use super::ownership::{Claims, RESTING_MAX};
use super::walk::Walks;
use super::{GuildArgs, GuildServer, MAILBOX_MAX};
use crate::chat::Chat;
use crate::error::{ChatError, Result};
use crate::relay::{RelayOptions, Relays};

/// Name of the supervisor of all families.
pub const SUPERVISOR: &str = "guilds";

/// Most guilds running on a node; requests to further ones get [`ChatError::Busy`]. Gauge
/// `guildhall_guilds`.
pub const GUILDS_MAX: usize = 200_000;

/// Restarts of a family's processes within [`RESTART_PERIOD`] after which the family is given up;
/// the next request starts it anew, its sessions are invalidated.
pub const FAMILY_RESTARTS_MAX: usize = 30;

/// Restarts of whole families within [`RESTART_PERIOD`]; only families that are killed count.
pub const GUILDS_RESTARTS_MAX: usize = 1_000;

/// Time within which restarts are counted.
pub const RESTART_PERIOD: Duration = Duration::from_secs(10);

/// What the processes of one guild share, and what outlives each of them.
pub struct Family {
    guild: GuildId,
    relays: Relays,
    lane: Mutex<Option<ServerRef<Lane>>>,
    members: Mutex<Kept>,
    lists: Lists,
    claims: Mutex<Claims>,
    /// Loads of the guild so far.
    generation: AtomicU64,
    /// The last decision of the running guild whose batch the lane has settled: what is read from here
    /// on shows it.
    settled: AtomicU64,
    /// The newest generation of which a batch failed: memory of that load is ahead of the store.
    failed: AtomicU64,
}

/// The member table and whose it is.
#[derive(Default)]
struct Kept {
    keeper: Option<Pid>,
    table: Option<MemberTable>,
    /// A batch with members in it failed: what of it is stored is not known.
    doubtful: bool,
}

impl Family {
    fn new(guild: GuildId, options: RelayOptions) -> Self {
        Self {
            guild,
            relays: Relays::new(guild, options),
            lane: Mutex::new(None),
            members: Mutex::default(),
            lists: Lists::default(),
            claims: Mutex::default(),
            generation: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    pub(crate) fn guild(&self) -> GuildId {
        self.guild
    }

    /// What its guild processes have claimed.
    pub(crate) fn claims(&self) -> Claims {
        *self.claims.lock()
    }

    pub(crate) fn claims_are(&self, claims: Claims) {
        *self.claims.lock() = claims;
    }

    pub(crate) fn relays(&self) -> &Relays {
        &self.relays
    }

    pub(crate) fn lane(&self) -> Option<ServerRef<Lane>> {
        self.lane.lock().clone()
    }

    pub(crate) fn lane_is(&self, lane: ServerRef<Lane>) {
        if self.lane.lock().replace(lane).is_some() {
            // What its predecessor had not settled is published by nobody.
            self.relays.lost_events();
        }
    }

    /// The member lists that sessions watch.
    pub(crate) fn lists(&self) -> &Lists {
        &self.lists
    }

    /// A new keeper runs; the table of the one before it is gone.
    pub(crate) fn keeper_is(&self, keeper: Pid) {
        *self.members.lock() = Kept {
            keeper: Some(keeper),
            table: None,
            doubtful: false,
        };
    }

    pub(crate) fn keeper(&self) -> Option<Pid> {
        self.members.lock().keeper
    }

    /// The member table, once the guild has filled it.
    pub(crate) fn members(&self) -> Option<MemberTable> {
        self.members.lock().table.clone()
    }

    /// The member table, if it is certainly what the store holds.
    pub(crate) fn members_as_stored(&self) -> Option<MemberTable> {
        let kept = self.members.lock();
        kept.table.clone().filter(|_| !kept.doubtful)
    }

    /// A batch with members in it failed: the next load fills another table.
    pub(crate) fn doubt_members(&self) {
        self.members.lock().doubtful = true;
    }

    /// This is the member table from here on, unless its keeper has died.
    pub(crate) fn members_are(&self, keeper: Pid, table: MemberTable) {
        let mut kept = self.members.lock();
        if kept.keeper != Some(keeper) {
            return;
        }
        kept.doubtful = false;
        if let Some(old) = kept.table.replace(table) {
            old.delete();
        }
    }

    pub(crate) fn next_generation(&self) -> u64 {
        self.generation.fetch_add(1, Ordering::AcqRel) + 1
    }

    pub(crate) fn settled(&self) -> u64 {
        self.settled.load(Ordering::Acquire)
    }

    pub(crate) fn settled_is(&self, number: u64) {
        self.settled.store(number, Ordering::Release);
    }

    /// A batch of this load failed; nothing of what the load has in memory can be relied on.
    pub(crate) fn fail(&self, generation: u64) {
        self.failed.fetch_max(generation, Ordering::AcqRel);
    }

    /// Whether a batch of this load (0 = not loaded yet) failed.
    pub(crate) fn has_failed(&self, generation: u64) -> bool {
        generation > 0 && self.failed.load(Ordering::Acquire) >= generation
    }
}

/// All guilds of a node: finds the process of a guild, and starts its family on demand. Clones
/// share it.
#[derive(Clone)]
pub struct Guilds {
    inner: Arc<Inner>,
}

struct Inner {
    node: Node,
    directory: Directory<GuildId>,
    families: Registry<GuildId>,
    walks: Walks,
    /// Loads of guilds so far.
    loads: AtomicU64,
    /// Watches of member lists so far.
    watches: AtomicU64,
    draining: std::sync::atomic::AtomicBool,
    /// Guilds that were fenced off, and until when each is not started.
    resting: DashMap<GuildId, Instant>,
}

impl std::fmt::Debug for Guilds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guilds")
            .field("running", &self.len())
            .finish()
    }
}

impl Guilds {
    /// No guilds yet; their supervisor is yet to be started on `node` with [`Guilds::child_spec`].
    pub fn new(node: &Node) -> Self {
        let inner = Inner {
            node: node.clone(),
            directory: Directory::single(node, |guild: &GuildId| guild.get()),
            families: Registry::new(node),
            walks: Walks::default(),
            loads: AtomicU64::new(0),
            watches: AtomicU64::new(0),
            draining: false.into(),
            resting: DashMap::new(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// How the supervisor of the families is started.
    pub fn child_spec(&self) -> ChildSpec {
        let describe = || {
            DynamicSupervisor::new()
                .max_children(GUILDS_MAX)
                .intensity(GUILDS_RESTARTS_MAX, RESTART_PERIOD)
        };
        ChildSpec::dynamic_supervisor(SUPERVISOR, describe)
            .options(|| Options::new().name(SUPERVISOR).label("guilds supervisor"))
    }

    /// How many guilds run.
    pub fn len(&self) -> usize {
        self.inner.directory.registry().len()
    }

    /// Whether none runs.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ids of the guilds that run, in no order.
    pub fn ids(&self) -> Vec<GuildId> {
        self.inner.directory.registry().keys()
    }

    /// The process of a guild, if it runs here.
    pub fn lookup(&self, guild: GuildId) -> Option<ServerRef<GuildServer>> {
        self.inner.directory.registry().lookup_ref(&guild)
    }

    /// Walks over members, of all guilds.
    pub(crate) fn walks(&self) -> &Walks {
        &self.inner.walks
    }

    /// A number for a load of a guild that no other load on this node has.
    pub(crate) fn next_load(&self) -> u64 {
        self.inner.loads.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// A number for a watch of member lists, higher than all before.
    pub(crate) fn next_watch(&self) -> u64 {
        self.inner.watches.fetch_add(1, Ordering::AcqRel) + 1
    }

    pub(crate) fn count(&self) {
        gauge!("guildhall_guilds").set(self.len() as f64);
    }

    /// Updates the gauge for a guild that is about to end.
    pub(crate) fn count_without_one(&self) {
        gauge!("guildhall_guilds").set(self.len().saturating_sub(1) as f64);
    }

    /// A guild was fenced off: it is not started for a while.
    pub(crate) fn rests(&self, guild: GuildId, rest: Duration) {
        let (resting, now) = (&self.inner.resting, Instant::now());
        if resting.len() >= RESTING_MAX {
            resting.retain(|_, until| *until > now);
        }
        if resting.len() < RESTING_MAX {
            resting.insert(guild, now + rest);
        }
        gauge!("guildhall_guilds_resting").set(resting.len() as f64);
    }

    /// Whether a guild may be started, as far as that goes.
    fn has_rested(&self, guild: GuildId) -> bool {
        let resting = &self.inner.resting;
        let over = resting.remove_if(&guild, |_, until| *until <= Instant::now());
        if over.is_some() {
            gauge!("guildhall_guilds_resting").set(resting.len() as f64);
        }
        !resting.contains_key(&guild)
    }

    /// Starts no family from here on.
    pub(crate) fn refuse_new(&self) {
        self.inner.draining.store(true, Ordering::Release);
    }

    /// The process of a guild, started or waited for until `deadline`.
    ///
    /// # Errors
    /// [`ChatError::Unavailable`]: it is another node's, was fenced off a moment ago, or does not
    /// come up; [`ChatError::Busy`]:
    /// too many guilds run.
    pub(crate) async fn running(
        &self,
        chat: &Chat,
        guild: GuildId,
        deadline: Instant,
    ) -> Result<ServerRef<GuildServer>> {
        let inner = &self.inner;
        loop {
            match inner.directory.locate(&guild) {
                Located::Running(pid) => {
                    if let Some(server) = inner.node.server_ref(pid) {
                        return Ok(server);
                    }
                }
                Located::Here => {}
                Located::Elsewhere(_) | Located::Nowhere => return Err(ChatError::Unavailable),
            }
            if Instant::now() >= deadline || inner.draining.load(Ordering::Acquire) {
                return Err(ChatError::Unavailable);
            }
            let family = inner.families.lookup(&guild);
            match family.and_then(|pid| SupervisorRef::from_pid(&inner.node, pid)) {
                // It is being restarted: the supervisor answers when it has dealt with that.
                Some(family) => {
                    let _ = tokio::time::timeout_at(deadline, family.which_children()).await;
                    tokio::task::yield_now().await;
                }
                None => self.start(chat, guild).await?,
            }
        }
    }

    async fn start(&self, chat: &Chat, guild: GuildId) -> Result<()> {
        if !self.has_rested(guild) {
            return Err(ChatError::Unavailable);
        }
        let inner = &self.inner;
        let supervisor = DynamicSupervisorRef::whereis(&inner.node, SUPERVISOR);
        let supervisor = supervisor.ok_or(ChatError::Unavailable)?;
        let options = RelayOptions {
            sessions_max: chat.config().relay_sessions_max,
            passive_update_every: chat.config().passive_update_every,
        };
        let family = Arc::new(Family::new(guild, options));
        let (chat, guilds) = (chat.clone(), inner.directory.registry().clone());
        let families = inner.families.clone();
        let spec = ChildSpec::supervisor("family", move || describe(&chat, &family, &guilds))
            .options(move || {
                Options::new()
                    .label(format!("family {guild}"))
                    .register_in(&families, guild)
            })
            .restart(Restart::Transient);
        match supervisor.start_child(spec).await {
            // Somebody else was faster.
            Ok(_) | Err(SupervisorError::Start(StartError::AlreadyStarted(_))) => Ok(()),
            Err(SupervisorError::MaxChildren) => Err(ChatError::Busy),
            Err(error) => {
                tracing::warn!(%guild, %error, "a guild does not start");
                Err(ChatError::Unavailable)
            }
        }
    }
}

/// The supervisor of one guild's processes.
fn describe(chat: &Chat, family: &Arc<Family>, guilds: &Registry<GuildId>) -> Supervisor {
    let guild = family.guild;
    let lane = {
        let (chat, family) = (chat.clone(), Arc::clone(family));
        ChildSpec::worker::<Lane>("lane", move || LaneArgs {
            chat: chat.clone(),
            family: Arc::clone(&family),
        })
        .options(move || {
            let options = Options::new().label(format!("lane {guild}"));
            options.mailbox_max(lane::DEPTH_MAX + lane::DEPTH_SLACK)
        })
    };
    let relays = {
        let relays = family.relays.clone();
        ChildSpec::supervisor("relays", move || relays.describe())
            .options(move || Options::new().label(format!("relays of {guild}")))
    };
    let keeper = {
        let family = Arc::clone(family);
        ChildSpec::worker::<Keeper>("keeper", move || KeeperArgs {
            family: Arc::clone(&family),
        })
        .options(move || Options::new().label(format!("keeper {guild}")))
    };
    let list = {
        let (chat, family) = (chat.clone(), Arc::clone(family));
        ChildSpec::worker::<MemberList>("list", move || MemberListArgs {
            chat: chat.clone(),
            family: Arc::clone(&family),
        })
        .options(move || Options::new().label(format!("list {guild}")))
    };
    let server = {
        let (chat, family, guilds) = (chat.clone(), Arc::clone(family), guilds.clone());
        ChildSpec::worker::<GuildServer>("guild", move || GuildArgs {
            chat: chat.clone(),
            family: Arc::clone(&family),
        })
        .options(move || {
            let options = Options::new()
                .label(format!("guild {guild}"))
                .mailbox_max(MAILBOX_MAX);
            options.register_in(&guilds, guild)
        })
        .restart(Restart::Transient)
        .significant(true)
    };
    Supervisor::rest_for_one()
        .intensity(FAMILY_RESTARTS_MAX, RESTART_PERIOD)
        .auto_shutdown(AutoShutdown::AnySignificant)
        .child(lane)
        .child(relays)
        .child(keeper)
        .child(server)
        .child(list)
}
