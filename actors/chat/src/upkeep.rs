//! The Upkeep process: one per node, does what the store needs done in the background, step by step.
//!
//! ```text
//!  chat supervisor ──starts──▶ [Upkeep] ──step──▶ the engine's worker (storage/src/upkeep.rs) ─▶ store
//!                                 ▲  └─ how long to rest ─┐
//!                                 └────────── Step ◀──────┘
//! ```
//!
//! * Started by the chat supervisor, as its last child, where the engine has something to do
//!   ([`child_spec`]); its name is [`NAME`].
//! * When it dies it is started again and goes on where the engine has noted that it was; a row that
//!   was being healed is found again. It waits [`FIRST_STEP_AFTER`] before its first step, so that one
//!   that dies at every step does not take the chat system with it.
//! * At a shutdown it ends at once, in the middle of a step if need be, since it does not trap exits:
//!   no step is half done in a way that matters.
//! * It calls the engine only; nobody calls it, and nothing depends on it: without it, rows that no
//!   reader is shown stay a little longer.
//! * Its mailbox holds one Step. How fast it goes is the engine's to say: the pause a step answers is
//!   kept.

use std::time::Duration;

use metrics::counter;
use otp::{ChildSpec, Context, GenServer, Init, Next, Options};
use storage::DataService;
use storage::upkeep::Upkeep as Worker;

use crate::supervisor::{RESTART_PERIOD, RESTARTS_MAX};

/// The name of the process on its node.
pub const NAME: &str = "upkeep";

/// From its start to its first step.
pub const FIRST_STEP_AFTER: Duration = Duration::from_secs(2);

/// Pause after a step that failed.
pub const RETRY_AFTER: Duration = Duration::from_secs(10);

// One that dies at every step is restarted less often than the supervisor puts up with.
const _: () = assert!(
    FIRST_STEP_AFTER.as_millis() * RESTARTS_MAX as u128 > RESTART_PERIOD.as_millis(),
    "a crash at every step must not stop the node"
);

// ── Client ────────────────────────────────────────────────────────────────────────────────────

/// How the process is started and restarted; `None` for an engine that needs none.
pub fn child_spec(data: &DataService) -> Option<ChildSpec> {
    data.store().upkeep()?;
    let data = data.clone();
    let spec = ChildSpec::worker::<Upkeep>(NAME, move || data.clone());
    Some(spec.options(|| Options::new().name(NAME).label(NAME)))
}

// ── Messages ──────────────────────────────────────────────────────────────────────────────────

/// What the process is sent; only by itself.
pub enum Message {
    /// The pause is over.
    Step,
}

// ── Server ────────────────────────────────────────────────────────────────────────────────────

/// The upkeep process.
pub struct Upkeep {
    worker: Box<dyn Worker>,
}

impl GenServer for Upkeep {
    type Args = DataService;
    type Message = Message;

    async fn init(data: DataService, ctx: &mut Context<Self>) -> Init<Self> {
        let Some(worker) = data.store().upkeep() else {
            return Init::Ignore;
        };
        ctx.send_after(FIRST_STEP_AFTER, Message::Step);
        Init::Ok(Self { worker })
    }

    async fn handle(&mut self, message: Message, ctx: &mut Context<Self>) -> Next<Self> {
        let Message::Step = message;
        counter!("guildhall_store_upkeep_steps_total").increment(1);
        let pause = match self.worker.step().await {
            Ok(pause) => pause,
            Err(error) => {
                counter!("guildhall_store_upkeep_errors_total").increment(1);
                tracing::warn!(%error, "a step of the store's upkeep failed; it is done again");
                RETRY_AFTER
            }
        };
        ctx.send_after(pause, Message::Step);
        Next::Go
    }
}
