//! Partition supervisors: one child a partition, found by key without asking anybody (Elixir:
//! `PartitionSupervisor`).
//!
//! ```text
//!   whereis(key) ──hash──▶ partition ──▶ its process        the supervisor is not asked
//!   partition supervisor ──start, link──▶ child 0, child 1, … child n-1
//!                        ◀──EXIT──────── restart it under its partition
//! ```
//!
//! For a process that would be a bottleneck alone, such as a dynamic supervisor that starts many
//! children: each partition has one of its own.
//!
//! * Started by [`PartitionSupervisor::start`], [`PartitionSupervisor::start_link`] or as a child
//!   of a supervisor. It is a [`crate::Supervisor`] in all else: how it ends, restarts and stops is
//!   said there.
//! * While a partition is restarted its lookups fail with [`PartitionError::NoProc`].
//!
//! | Elixir's manual | here |
//! |---|---|
//! | `{:via, PartitionSupervisor, {name, key}}`: an integer by `rem(abs(key), partitions)`, other keys by `:erlang.phash2/2` | [`PartitionSupervisorRef::numbered`] for integers, [`PartitionSupervisorRef::whereis`] for other keys, by another hash. |
//! | `:partitions` as many as schedulers | As many as cores, or [`PartitionSupervisor::partitions`]. |
//! | `:with_arguments` | [`PartitionSupervisor::with_arguments`]. |
//! | `resize!/2`: between 0 and the first number | [`PartitionSupervisorRef::resize`]. |
//! | Raises if there is no such supervisor | [`PartitionError`]. |

use std::hash::{Hash, Hasher};
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use thiserror::Error;

use crate::context::Context;
use crate::dynamic_supervisor::DynamicSupervisorRef;
use crate::exit_reason::ExitReason;
use crate::gen_server::GenServer;
use crate::node::Node;
use crate::options::Options;
use crate::pid::Pid;
use crate::process::Process;
use crate::server_ref::{CallError, ServerRef};
use crate::start::StartError;
use crate::supervisor::child_spec::ChildSpec;
use crate::supervisor::handle::{ChildCount, ChildInfo, SupervisorError, SupervisorRef};
use crate::supervisor::spec_error::{SpecError, check_child};
use crate::supervisor::strategy::{AutoShutdown, DEFAULT_INTENSITY, DEFAULT_PERIOD, Strategy};
use crate::supervisor::{Supervisor, SupervisorInit, SupervisorMessage, why_of};

/// How many partitions there may be.
pub const PARTITIONS_MAX: usize = 65_536;

/// Where a partition supervisor keeps its table in its dictionary.
pub(crate) const PARTITIONS_KEY: &str = "$partitions";

/// Why a partition was not found, or the partitions not changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PartitionError {
    /// There are no partitions: it was resized to zero.
    #[error("there are no partitions now")]
    NoPartitions,
    /// The process of the partition does not run; it may be restarted soon.
    #[error("the process of partition {0} does not run now")]
    NoProc(usize),
    /// There can be as many partitions as there were at first, and no more.
    #[error("there can be {0} partitions at most")]
    TooMany(usize),
    /// A partition did not start; those before it run.
    #[error("partition {0} did not start: {1}")]
    Start(usize, #[source] StartError),
    /// The supervisor has no partitions.
    #[error("this is no partition supervisor")]
    NotPartitioned,
    /// The supervisor could not be asked.
    #[error("the supervisor could not be asked: {0}")]
    Call(#[source] CallError),
}

/// The processes of the partitions. Cloning is cheap and names the same table.
#[derive(Clone)]
pub(crate) struct Partitions {
    table: Arc<Table>,
}

struct Table {
    slots: Vec<Mutex<Option<Arc<Process>>>>,
    active: AtomicUsize,
}

impl Partitions {
    fn new(partitions: usize) -> Partitions {
        Partitions {
            table: Arc::new(Table {
                slots: (0..partitions).map(|_| Mutex::default()).collect(),
                active: partitions.into(),
            }),
        }
    }

    /// Those of the partition supervisor with this pid.
    fn of(node: &Node, pid: Pid) -> Option<Partitions> {
        let partitions = node.dictionary::<Partitions>(pid, PARTITIONS_KEY)?;
        Some((*partitions).clone())
    }

    pub(crate) fn most(&self) -> usize {
        self.table.slots.len()
    }

    /// The id of the child of a partition.
    pub(crate) fn id(partition: usize) -> Arc<str> {
        partition.to_string().into()
    }

    /// At most so many from now on; gives how many there were.
    pub(crate) fn shrink(&self, to: usize) -> usize {
        self.table.active.fetch_min(to, Ordering::SeqCst)
    }

    pub(crate) fn grow(&self, to: usize) {
        self.table.active.store(to, Ordering::SeqCst);
    }

    /// Notes the process of a partition for as long as it lives.
    fn enter(&self, partition: usize, process: &Arc<Process>) {
        let Some(slot) = self.table.slots.get(partition) else {
            return;
        };
        *slot.lock() = Some(process.clone());
        let table = Arc::downgrade(&self.table);
        let release = Box::new(move |pid: Pid| {
            if let Some(table) = table.upgrade()
                && let Some(slot) = table.slots.get(partition)
            {
                slot.lock().take_if(|process| process.pid == pid);
            }
        });
        if let Err(release) = process.add_release(release) {
            release(process.pid);
        }
    }

    fn process(&self, partition: usize) -> Result<Arc<Process>, PartitionError> {
        let slot = self
            .table
            .slots
            .get(partition)
            .and_then(|slot| slot.lock().clone());
        slot.ok_or(PartitionError::NoProc(partition))
    }
}

/// The description of a partition supervisor.
#[derive(Clone)]
pub struct PartitionSupervisor {
    child: Arc<dyn Fn(usize) -> ChildSpec + Send + Sync>,
    partitions: usize,
    strategy: Strategy,
    intensity: usize,
    period: Duration,
    auto_shutdown: AutoShutdown,
}

impl PartitionSupervisor {
    /// The same child for each partition. There are as many partitions as cores; the rest is as
    /// in [`Supervisor::new`]. The id of the specification is replaced by the partition.
    pub fn new(child: ChildSpec) -> PartitionSupervisor {
        PartitionSupervisor::with_arguments(move |_| child.clone())
    }

    /// A child for each partition, made of its number (`with_arguments`).
    pub fn with_arguments(
        child: impl Fn(usize) -> ChildSpec + Send + Sync + 'static,
    ) -> PartitionSupervisor {
        PartitionSupervisor {
            child: Arc::new(child),
            partitions: std::thread::available_parallelism().map_or(1, NonZero::get),
            strategy: Strategy::OneForOne,
            intensity: DEFAULT_INTENSITY,
            period: DEFAULT_PERIOD,
            auto_shutdown: AutoShutdown::Never,
        }
    }

    /// How many partitions there are: at least one, at most [`PARTITIONS_MAX`].
    pub fn partitions(mut self, partitions: usize) -> PartitionSupervisor {
        self.partitions = partitions;
        self
    }

    /// Which partitions are restarted with a failed one.
    pub fn strategy(mut self, strategy: Strategy) -> PartitionSupervisor {
        self.strategy = strategy;
        self
    }

    /// Allows this many restarts within the period, over all partitions; one more ends it.
    pub fn intensity(mut self, restarts: usize, period: Duration) -> PartitionSupervisor {
        self.intensity = restarts;
        self.period = period;
        self
    }

    /// Refused at the start unless it is [`AutoShutdown::Never`]: partitions do not end by
    /// themselves.
    pub fn auto_shutdown(mut self, auto_shutdown: AutoShutdown) -> PartitionSupervisor {
        self.auto_shutdown = auto_shutdown;
        self
    }

    /// Starts it, under the name or the registry key of the options: one of them is needed.
    ///
    /// # Errors
    /// As of [`Supervisor::start`]; and [`StartError::Failed`] with the words of the
    /// [`SpecError`] if the description is wrong, or of the panic if the hook panics.
    pub async fn start(
        self,
        node: &Node,
        options: Options,
    ) -> Result<PartitionSupervisorRef, StartError> {
        let supervisor = self.describe(&options)?.start(node, options).await?;
        PartitionSupervisorRef::started(node, supervisor)
    }

    /// Starts it as a child of the calling process (`start_link/1`), under the name or the
    /// registry key of the options: one of them is needed.
    ///
    /// # Errors
    /// As of [`PartitionSupervisor::start`].
    pub fn start_link<P: GenServer>(
        self,
        ctx: &Context<P>,
        options: Options,
    ) -> impl Future<Output = Result<PartitionSupervisorRef, StartError>> + Send + use<P> {
        let node = ctx.node().clone();
        let start = self
            .describe(&options)
            .map(|description| description.start_link(ctx, options));
        async move { PartitionSupervisorRef::started(&node, start?.await?) }
    }

    /// How it is started as a child of a supervisor, under a name, which is its id as well.
    pub fn child_spec(self, name: impl Into<Arc<str>>) -> ChildSpec {
        let name = name.into();
        let id = name.clone();
        self.child_spec_with(id, move || Options::new().name(name.clone()))
    }

    /// The same with other options, for one that is found by a registry key.
    pub fn child_spec_with(
        self,
        id: impl Into<Arc<str>>,
        options: impl Fn() -> Options + Send + Sync + 'static,
    ) -> ChildSpec {
        let options = Arc::new(options);
        let same = options.clone();
        let describe = move || match self.describe(&options()) {
            Ok(supervisor) => supervisor,
            Err(error) => {
                let reason = why_of(error);
                Supervisor::init(move || std::future::ready(SupervisorInit::Stop(reason.clone())))
            }
        };
        ChildSpec::supervisor(id, describe).options(move || same())
    }

    fn describe(&self, options: &Options) -> Result<Supervisor, StartError> {
        let refused = |error: SpecError| StartError::Failed(ExitReason::error(error));
        if !options.is_findable() {
            return Err(refused(SpecError::MissingName));
        }
        if !(1..=PARTITIONS_MAX).contains(&self.partitions) {
            return Err(refused(SpecError::Partitions(self.partitions)));
        }
        if self.auto_shutdown != AutoShutdown::Never {
            return Err(refused(SpecError::AutoShutdown));
        }
        let partitions = Partitions::new(self.partitions);
        let mut supervisor = Supervisor::new(self.strategy)
            .intensity(self.intensity, self.period)
            .partitioned(partitions.clone());
        for partition in 0..self.partitions {
            let child = crate::panics::guarded_now(|| (self.child)(partition));
            let child = child.map_err(StartError::Failed)?;
            check_child(&child, AutoShutdown::Never).map_err(refused)?;
            let partitions = partitions.clone();
            let child = child.map_options(move |options| {
                let partitions = partitions.clone();
                options.on_published(move |process| partitions.enter(partition, process))
            });
            supervisor = supervisor.child(child.with_id(Partitions::id(partition)));
        }
        Ok(supervisor)
    }
}

/// A reference to a running [`PartitionSupervisor`].
#[derive(Clone)]
pub struct PartitionSupervisorRef {
    supervisor: SupervisorRef,
    partitions: Partitions,
}

impl PartitionSupervisorRef {
    fn started(
        node: &Node,
        supervisor: SupervisorRef,
    ) -> Result<PartitionSupervisorRef, StartError> {
        let partitions = Partitions::of(node, supervisor.pid());
        Ok(PartitionSupervisorRef {
            supervisor,
            partitions: partitions.ok_or(StartError::Failed(ExitReason::NoProc))?,
        })
    }

    /// The partition supervisor with this pid, for one that is found by a registry key.
    ///
    /// # Errors
    /// [`CallError::NoProc`] if there is none.
    pub fn from_pid(node: &Node, pid: Pid) -> Result<PartitionSupervisorRef, CallError> {
        let supervisor = SupervisorRef::from_pid(node, pid).ok_or(CallError::NoProc)?;
        let partitions = Partitions::of(node, pid).ok_or(CallError::NoProc)?;
        Ok(PartitionSupervisorRef {
            supervisor,
            partitions,
        })
    }

    /// The partition supervisor registered under this name.
    ///
    /// # Errors
    /// [`CallError::NoProc`] if there is none.
    pub fn named(node: &Node, name: &str) -> Result<PartitionSupervisorRef, CallError> {
        let pid = node.whereis(name).ok_or(CallError::NoProc)?;
        PartitionSupervisorRef::from_pid(node, pid)
    }

    /// The supervisor's pid.
    pub fn pid(&self) -> Pid {
        self.supervisor.pid()
    }

    /// How many partitions there are now (`partitions/1`).
    pub fn partitions(&self) -> usize {
        self.partitions.table.active.load(Ordering::SeqCst)
    }

    /// The partition of a key: the same for as long as the number of partitions is the same, on
    /// all nodes and in all runs.
    ///
    /// # Errors
    /// [`PartitionError::NoPartitions`].
    pub fn partition_of<K: Hash + ?Sized>(&self, key: &K) -> Result<usize, PartitionError> {
        let mut hasher = StableHasher::default();
        key.hash(&mut hasher);
        self.of_number(hasher.finish())
    }

    /// The process for a key (`{:via, PartitionSupervisor, {name, key}}`). Never waits.
    ///
    /// # Errors
    /// [`PartitionError::NoPartitions`]; [`PartitionError::NoProc`] while it is restarted.
    pub fn whereis<K: Hash + ?Sized>(&self, key: &K) -> Result<Pid, PartitionError> {
        Ok(self.partitions.process(self.partition_of(key)?)?.pid)
    }

    /// A typed reference to the process for a key.
    ///
    /// # Errors
    /// As of [`PartitionSupervisorRef::whereis`]; [`PartitionError::NoProc`] too if it is no `S`.
    pub fn server<S: GenServer>(
        &self,
        key: &(impl Hash + ?Sized),
    ) -> Result<ServerRef<S>, PartitionError> {
        self.typed(self.partition_of(key)?)
    }

    /// The dynamic supervisor for a key.
    ///
    /// # Errors
    /// As of [`PartitionSupervisorRef::server`].
    pub fn dynamic_supervisor(
        &self,
        key: &(impl Hash + ?Sized),
    ) -> Result<DynamicSupervisorRef, PartitionError> {
        let server = self.server(key)?;
        Ok(DynamicSupervisorRef::new(server))
    }

    /// The process for a number, which is taken modulo the number of partitions, as integer keys
    /// are in Elixir.
    ///
    /// # Errors
    /// As of [`PartitionSupervisorRef::server`].
    pub fn numbered<S: GenServer>(&self, number: u64) -> Result<ServerRef<S>, PartitionError> {
        self.typed(self.of_number(number)?)
    }

    fn of_number(&self, number: u64) -> Result<usize, PartitionError> {
        match self.partitions() as u64 {
            0 => Err(PartitionError::NoPartitions),
            partitions => Ok((number % partitions) as usize),
        }
    }

    fn typed<S: GenServer>(&self, partition: usize) -> Result<ServerRef<S>, PartitionError> {
        let process = self.partitions.process(partition)?;
        if !process.runs::<S>() {
            return Err(PartitionError::NoProc(partition));
        }
        Ok(ServerRef::new(process))
    }

    /// Stops the last partitions, or starts those again that were stopped before; gives how many
    /// there were (`resize!/2`). Keys are spread anew.
    ///
    /// # Errors
    /// [`PartitionError::TooMany`]: more than at the start, nothing has changed.
    /// [`PartitionError::Start`]: one did not start, those before it run.
    pub async fn resize(&self, partitions: usize) -> Result<usize, PartitionError> {
        self.supervisor
            .server
            .call_infinity(|from| SupervisorMessage::Resize {
                to: partitions,
                from,
            })
            .await
            .map_err(PartitionError::Call)?
    }

    /// All partitions by number, with their children (`which_children/1`).
    pub async fn which_children(&self) -> Result<Vec<(usize, ChildInfo)>, SupervisorError> {
        let children = self.supervisor.which_children().await?;
        let numbered = children.into_iter().filter_map(|child| {
            let partition = child.id.parse().ok()?;
            Some((partition, child))
        });
        Ok(numbered.collect())
    }

    /// How many children there are.
    pub async fn count_children(&self) -> Result<ChildCount, SupervisorError> {
        self.supervisor.count_children().await
    }

    /// Stops the partitions in reverse order, then the supervisor; returns when all are gone.
    pub async fn stop(&self, reason: ExitReason, limit: Duration) -> Result<(), CallError> {
        self.supervisor.stop(reason, limit).await
    }

    /// Waits until the supervisor has ended and tells why.
    pub async fn wait_for_exit(&self) -> ExitReason {
        self.supervisor.wait_for_exit().await
    }
}

/// FNV-1a over bytes in a fixed order: the same on every machine and in every run.
struct StableHasher(u64);

impl Default for StableHasher {
    fn default() -> StableHasher {
        StableHasher(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for StableHasher {
    fn finish(&self) -> u64 {
        // The low bits of FNV alone are poor, and the partition is taken from them.
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn write_u16(&mut self, number: u16) {
        self.write(&number.to_le_bytes());
    }

    fn write_u32(&mut self, number: u32) {
        self.write(&number.to_le_bytes());
    }

    fn write_u64(&mut self, number: u64) {
        self.write(&number.to_le_bytes());
    }

    fn write_u128(&mut self, number: u128) {
        self.write(&number.to_le_bytes());
    }

    fn write_usize(&mut self, number: usize) {
        self.write(&(number as u64).to_le_bytes());
    }
}
