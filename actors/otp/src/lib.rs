//! Erlang's processes in Rust, on ractor.
//!
//! ```text
//!  Node ─┬─ process table, names, counters
//!        ├─ Supervisor ─┬─ GenServer            links and exit signals hold the tree together;
//!        │              └─ DynamicSupervisor    monitors tell others of an end
//!        ├─ Registry, GenRegistry: processes by typed key
//!        ├─ ets, counters, atomics, persistent_term: what processes share without a mailbox
//!        └─ Task, TaskSupervisor: processes which compute one value
//! ```
//!
//! What can be relied on (in brackets the manual that says so):
//!
//! * All that one process sends to another arrives in the order of sending: messages, EXIT, DOWN.
//!   Nothing is promised across senders. (Erlang Reference Manual, "Delivery of Signals")
//! * When a process ends its names and keys are free before anybody learns of the end.
//! * Each link gives at most one EXIT, each monitor exactly one DOWN. After `unlink` there is no
//!   EXIT, after `demonitor` with flush no DOWN.
//! * A process which does not trap exits is dropped by an exit signal at its next await, with
//!   whatever its mailbox holds. One which traps gets a message instead, in its turn. Only kill
//!   spares nobody. (Erlang Reference Manual, "Receiving Exit Signals")
//! * A start returns after `init`, and a failed start leaves nothing. (`proc_lib:start_link/3`)
//! * A call ends: with its answer, the server's exit reason, or a timeout. (`gen_server:call/3`)
//!
//! A whole server:
//!
//! ```
//! use otp::{Context, From, GenServer, Init, Next, Node, Options};
//!
//! struct Counter(u64);
//!
//! enum Message {
//!     Add(u64),
//!     Get(From<u64>),
//! }
//!
//! impl GenServer for Counter {
//!     type Args = u64;
//!     type Message = Message;
//!
//!     async fn init(start: u64, _ctx: &mut Context<Self>) -> Init<Self> {
//!         Init::Ok(Counter(start))
//!     }
//!
//!     async fn handle(&mut self, message: Message, _ctx: &mut Context<Self>) -> Next<Self> {
//!         match message {
//!             Message::Add(number) => self.0 += number,
//!             Message::Get(from) => from.reply(self.0),
//!         }
//!         Next::Go
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let node = Node::new("example");
//! let counter = otp::start::<Counter>(&node, 40, Options::new().name("counter")).await?;
//! counter.cast(Message::Add(2));
//! assert_eq!(counter.call(Message::Get).await?, 42);
//! # Ok(())
//! # }
//! ```
//!
//! The attribute [`gen_server`](macro@gen_server) writes the enum, the `match` and a typed client
//! from an `impl` block instead; the server is the same.
//!
//! The modules below are in reading order: the order of a process' life.

mod pid;
pub use pid::{Alias, MonitorRef, Pid, RequestRef, TimerRef, node_hash};

mod exit_reason;
pub use exit_reason::ExitReason;

mod node;
pub use node::watchdog::{HANDLER_REPLACE_AFTER, HANDLER_REPORT_AFTER};
pub use node::{
    NODE_STOP_LIMIT, NODE_TIMERS_MAX, NameError, Node, NodeTimer, REPORT_HANDLERS_MAX, TimerTarget,
};

mod gen_server;
pub use gen_server::{Down, GenServer, Info, Init, Next, Status};

mod gen_server_macro;
pub use gen_server_macro::gen_server;
#[doc(hidden)]
pub use gen_server_macro::macro_support;

mod options;
pub use options::Options;

mod start;
pub use start::{StartError, start};

mod enter;
pub use enter::{Body, Enter, start_body};

mod server_ref;
pub use server_ref::{
    At, CallError, Collected, DEFAULT_CALL_TIMEOUT, Destination, From, Request, RequestCollection,
    ServerRef,
};

mod context;
pub use context::{AliasMode, Context, SpawnOptions};

pub mod task;
pub use task::{Task, TaskError};

pub mod registry;
pub use registry::{RegisterError, Registry, RegistryEvent, RegistryOptions, UnknownRegistry};

mod supervisor;
pub use supervisor::child_spec::{ChildKind, ChildSpec, DEFAULT_SHUTDOWN, Restart, Shutdown};
pub use supervisor::child_start::{ChildStart, Started};
pub use supervisor::handle::{ChildCount, ChildInfo, ChildState, SupervisorError, SupervisorRef};
pub use supervisor::spec_error::{SpecError, check_childspecs};
pub use supervisor::strategy::{
    AutoShutdown, DEFAULT_INTENSITY, DEFAULT_PERIOD, RestartWindow, Strategy,
};
pub use supervisor::{
    SUPERVISOR_CHILDREN_MAX, Supervisor, SupervisorInit, SupervisorMessage, SupervisorServer,
};

mod dynamic_supervisor;
pub use dynamic_supervisor::{
    DEFAULT_MAX_CHILDREN, DynamicSupervisor, DynamicSupervisorMessage, DynamicSupervisorRef,
    DynamicSupervisorServer,
};

mod task_supervisor;
pub use task_supervisor::{TaskOptions, TaskSupervisor, TaskSupervisorRef};
mod partition_supervisor;
pub use partition_supervisor::{
    PARTITIONS_MAX, PartitionError, PartitionSupervisor, PartitionSupervisorRef,
};

mod gen_registry;
pub use gen_registry::GenRegistry;

pub mod counters;

pub mod atomics;

pub mod persistent_term;

pub mod ets;

mod semaphore;
pub use semaphore::{AcquireError, Semaphore};

mod application;
pub use application::handover::{HandOver, HandOverError, HandedOver, hand_over, upgrade};
pub use application::{
    APPLICATION_STOP_LIMIT, APPLICATIONS_MAX, Application, ApplicationContext, ApplicationError,
    ApplicationInfo, ApplicationStatus, Applications, ConfigChange, DrainOutcome, ENVIRONMENT_MAX,
    EnvironmentValue, NodeEnd, StartType,
};

mod distribution;
pub use distribution::CONNECTION_PARCELS_MAX;

pub mod observer;
pub mod report;
pub mod sys;
pub mod testing;

mod mailbox;
pub use mailbox::{DEFAULT_MAILBOX_MAX, Overflow, SendError};

mod process;
pub use process::{DICTIONARY_MAX, ProcessInfo, ProcessStatus};

mod panics;
mod carrier;
mod few;
mod runner;
mod signal;

/// The examples of the book are compiled, and run.
#[cfg(doctest)]
mod book {
    #[doc = include_str!("../../../docs/coming-from-elixir.md")]
    mod elixir {}
    #[doc = include_str!("../../../docs/coming-from-tokio.md")]
    mod tokio {}
}
