//! The process of a registry that runs in a supervision tree.
//!
//! ```text
//!   supervisor ──starts──▶ owner ──ends──▶ tables emptied, holders get an exit signal
//! ```
//!
//! * Started by a supervisor through [`Registry::child_spec`], or by [`Registry::start`].
//! * When it dies, by whatever reason, the registry is unknown: entries and metadata are gone,
//!   and each process which had an entry gets an exit signal with the reason, as if linked. In
//!   Elixir it *is* linked to its partition. It does not end with a holder.
//! * It calls nobody. Its mailbox gets nothing.

use std::marker::PhantomData;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::context::Context;
use crate::exit_reason::ExitReason;
use crate::gen_server::{GenServer, Info, Init, Next};
use crate::options::Options;
use crate::pid::Pid;
use crate::process::Process;
use crate::registry::{Key, Registry, Value};
use crate::start::{StartError, start};
use crate::supervisor::child_spec::{ChildKind, ChildSpec, Shutdown};

/// Who a registry belongs to.
#[derive(Default)]
pub(super) struct Ownership(Mutex<Owned>);

#[derive(Default)]
struct Owned {
    by: Option<Pid>,
    /// Why the owner is about to end, if it had the time to say so.
    ending: Option<ExitReason>,
}

impl<K: Key, V: Value> Registry<K, V> {
    /// How a supervisor starts the registry (Elixir: `{Registry, options}`). From this call on
    /// the registry runs only while that child does; handles made before and after are of the
    /// same registry, which begins empty with each start.
    pub fn child_spec(&self, id: impl Into<Arc<str>>) -> ChildSpec {
        if self.owner().is_none() {
            self.inner.set_open(false);
        }
        let registry = self.clone();
        let mut spec = ChildSpec::worker::<Owner<K, V>>(id, move || registry.clone());
        // As in Elixir: to a supervisor a registry is one of its own kind, and is not rushed.
        spec.kind = ChildKind::Supervisor;
        spec.shutdown = Shutdown::Infinity;
        spec
    }

    /// Starts the process of the registry, linked to nobody. From now on the registry runs only
    /// while that does.
    ///
    /// # Errors
    /// [`StartError::AlreadyStarted`]: it has one.
    // Said to be Send here, where it is seen for all keys: for `&'static str` callers could not.
    pub fn start(
        &self,
        options: Options,
    ) -> impl Future<Output = Result<Pid, StartError>> + Send + use<K, V> {
        let registry = self.clone();
        async move {
            if let Some(owner) = registry.owner() {
                return Err(StartError::AlreadyStarted(owner));
            }
            let node = registry.inner.node.clone();
            let server = start::<Owner<K, V>>(&node, registry, options).await?;
            Ok(server.pid())
        }
    }

    /// The process of the registry, if it has one that runs.
    pub fn owner(&self) -> Option<Pid> {
        self.inner.ownership.0.lock().by
    }

    /// Makes a process the owner, if there is none.
    fn open(&self, process: &Arc<Process>) -> Result<(), ExitReason> {
        {
            let mut owned = self.inner.ownership.0.lock();
            if let Some(owner) = owned.by {
                let why = format!("the registry runs already, as {owner}");
                return Err(ExitReason::error(why));
            }
            *owned = Owned {
                by: Some(process.pid),
                ending: None,
            };
        }
        let registry = self.clone();
        let release = Box::new(move |owner| registry.close(owner));
        if let Err(release) = process.add_release(release) {
            release(process.pid);
            return Err(ExitReason::NoProc);
        }
        // What was registered before it had a process belongs to a registry that ends here.
        self.inner.set_open(false);
        self.inner.clear();
        self.inner.set_open(true);
        Ok(())
    }

    /// Ends the registry because its owner ends.
    fn close(&self, owner: Pid) {
        self.inner.set_open(false);
        let reason = self.inner.ownership.0.lock().ending.take();
        let reason = reason.unwrap_or(ExitReason::Killed);
        for holder in self.inner.clear() {
            holder.exit_signal(owner, reason.clone(), false);
        }
        self.inner.meta.reset(&self.inner.options.meta);
        self.inner.ownership.0.lock().by = None;
    }
}

/// The process.
struct Owner<K, V> {
    registry: Registry<K, V>,
}

/// The owner has no messages.
struct NoMessage<K, V>(std::convert::Infallible, PhantomData<fn(K, V)>);

impl<K: Key, V: Value> GenServer for Owner<K, V> {
    type Args = Registry<K, V>;
    type Message = NoMessage<K, V>;

    async fn init(registry: Registry<K, V>, ctx: &mut Context<Self>) -> Init<Self> {
        ctx.trap_exit(true);
        match registry.open(&ctx.process) {
            Ok(()) => Init::Ok(Owner { registry }),
            Err(reason) => Init::Stop(reason),
        }
    }

    async fn handle(&mut self, message: NoMessage<K, V>, _ctx: &mut Context<Self>) -> Next<Self> {
        match message.0 {}
    }

    async fn handle_info(&mut self, _info: Info, _ctx: &mut Context<Self>) -> Next<Self> {
        Next::Go
    }

    async fn terminate(&mut self, reason: &ExitReason, _ctx: &mut Context<Self>) {
        self.registry.inner.ownership.0.lock().ending = Some(reason.clone());
    }
}
