//! What tests of processes need: a probe process, waiting with a deadline, and a schedule that a
//! seed decides.
//!
//! Time: everything in here runs on tokio's clock, so `#[tokio::test(start_paused = true)]` makes
//! timers run in order and at once (tokio's `test-util` feature).

use std::any::Any;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::context::Context;
use crate::exit_reason::ExitReason;
use crate::gen_server::{GenServer, Info, Init, Next};
use crate::node::Node;
use crate::options::Options;
use crate::pid::{MonitorRef, Pid};
use crate::server_ref::{From, ServerRef};
use crate::start::{StartError, start};

/// How long a probe and [`eventually!`](crate::eventually) wait before they fail the test.
pub const TEST_DEADLINE: Duration = Duration::from_secs(10);

/// How many items a probe holds that the test has not looked at; more is a panic in the probe.
const PROBE_INBOX: usize = 100_000;

/// Waits until a condition holds, and panics with its text if it does not within
/// [`TEST_DEADLINE`]. For use in async tests.
#[macro_export]
macro_rules! eventually {
    ($condition:expr) => {{
        let deadline = ::std::time::Instant::now() + $crate::testing::TEST_DEADLINE;
        while !$condition {
            assert!(
                ::std::time::Instant::now() < deadline,
                "never became true: {}",
                stringify!($condition)
            );
            $crate::testing::pause().await;
        }
    }};
}

/// Lets other tasks run for a moment; used by [`eventually!`](crate::eventually).
pub async fn pause() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// Has the processes of a node take turns in an order that `seed` decides: before each item of its
/// mailbox a process lets others run, up to [`SHUFFLE_YIELDS_MAX`] times. On a runtime with one
/// thread and a paused clock (`#[tokio::test(start_paused = true)]`) the same seed gives the same
/// run, so a seed that breaks something can be tried again.
///
/// ```
/// # use otp::{Node, testing};
/// let node = Node::new("shuffled");
/// testing::shuffle(&node, 42);
/// ```
pub fn shuffle(node: &Node, seed: u64) {
    node.set_shuffle(Some(seed));
}

/// How often a process lets others run before it takes an item, at most, under [`shuffle`].
pub const SHUFFLE_YIELDS_MAX: u32 = 4;

/// The seeded choices of a node.
#[derive(Debug, Default)]
pub(crate) struct Shuffle {
    on: AtomicBool,
    state: AtomicU64,
}

impl Shuffle {
    pub(crate) fn set(&self, seed: Option<u64>) {
        self.state
            .store(seed.unwrap_or_default(), Ordering::Relaxed);
        self.on.store(seed.is_some(), Ordering::Release);
    }

    pub(crate) fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// Lets others run, as often as the seed says.
    pub(crate) async fn pass(&self) {
        // SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators").
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut choice = self
            .state
            .fetch_add(STEP, Ordering::Relaxed)
            .wrapping_add(STEP);
        choice = (choice ^ (choice >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        choice = (choice ^ (choice >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        choice ^= choice >> 31;
        for _ in 0..choice % u64::from(SHUFFLE_YIELDS_MAX + 1) {
            tokio::task::yield_now().await;
        }
    }
}

/// A process which traps exits and keeps everything it receives for the test to look at.
///
/// All `expect_…` methods wait up to [`TEST_DEADLINE`] and then panic. They look for the first
/// item of their kind; what they skip stays for later expectations.
pub struct Probe {
    server: ServerRef<ProbeServer>,
    inbox: mpsc::Receiver<Info>,
    /// Behind a mutex only so that tasks can share a probe: an [`Info`] is not `Sync`.
    skipped: Mutex<VecDeque<Info>>,
}

impl Probe {
    /// Starts a probe.
    pub async fn start(node: &Node) -> Result<Probe, StartError> {
        let (sender, inbox) = mpsc::channel(PROBE_INBOX);
        let options = Options::new().label("probe");
        Ok(Probe {
            server: start::<ProbeServer>(node, sender, options).await?,
            inbox,
            skipped: Mutex::default(),
        })
    }

    /// The pid of the probe.
    pub fn pid(&self) -> Pid {
        self.server.pid()
    }

    /// Has the probe run a function on its own context: link, monitor, exit, anything.
    pub async fn run<T: Send + 'static>(
        &self,
        function: impl FnOnce(&mut Context<ProbeServer>) -> T + Send + 'static,
    ) -> T {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        self.server.cast(ProbeMessage::Run(Box::new(move |context| {
            let _ = sender.send(function(context));
        })));
        receiver.await.expect("the probe must be alive")
    }

    /// Has the probe watch a process.
    pub async fn monitor(&self, pid: Pid) -> MonitorRef {
        self.run(move |context| context.monitor(pid)).await
    }

    /// Has the probe link with a process.
    pub async fn link(&self, pid: Pid) {
        self.run(move |context| context.link(pid)).await;
    }

    /// Has the probe remove a link.
    pub async fn unlink(&self, pid: Pid) {
        self.run(move |context| context.unlink(pid)).await;
    }

    /// Has the probe send an exit signal.
    pub async fn exit(&self, pid: Pid, reason: ExitReason) {
        self.run(move |context| context.exit(pid, reason)).await;
    }

    /// The next untyped message of type `T`.
    pub async fn expect_msg<T: Any + Send>(&mut self) -> T {
        let wanted = |info: &Info| matches!(info, Info::Message(message) if message.is::<T>());
        match self.expect(std::any::type_name::<T>(), wanted).await {
            Info::Message(message) => match message.downcast::<T>() {
                Ok(message) => *message,
                Err(_) => unreachable!("the message was checked to be of this type"),
            },
            _ => unreachable!("the item was checked to be a message"),
        }
    }

    /// The DOWN of a process: the monitor and the reason.
    pub async fn expect_down(&mut self, of: Pid) -> (MonitorRef, ExitReason) {
        let wanted = |info: &Info| matches!(info, Info::Down { pid, .. } if *pid == of);
        match self.expect("DOWN", wanted).await {
            Info::Down {
                monitor, reason, ..
            } => (monitor, reason),
            _ => unreachable!("the item was checked to be a DOWN"),
        }
    }

    /// The EXIT of a process: the reason.
    pub async fn expect_exit(&mut self, of: Pid) -> ExitReason {
        let wanted = |info: &Info| matches!(info, Info::Exit { from, .. } if *from == of);
        match self.expect("EXIT", wanted).await {
            Info::Exit { reason, .. } => reason,
            _ => unreachable!("the item was checked to be an EXIT"),
        }
    }

    /// Everything that was in the probe's mailbox at the time of the call and that no expectation
    /// has taken.
    pub async fn drain(&mut self) -> Vec<Info> {
        // Behind everything that waits already, so that all of it is in the inbox afterwards.
        let synced = self.server.call(ProbeMessage::Sync).await;
        synced.expect("the probe must be alive");
        let mut items: Vec<Info> = self.skipped.get_mut().drain(..).collect();
        while let Ok(info) = self.inbox.try_recv() {
            items.push(info);
        }
        items
    }

    /// Panics if an untyped message of type `T` is there, or waits in the mailbox
    /// (`expect_no_msg`).
    pub async fn expect_no_msg<T: Any + Send>(&mut self) {
        let items = self.drain().await;
        let found = items
            .iter()
            .any(|info| matches!(info, Info::Message(message) if message.is::<T>()));
        assert!(!found, "unexpected {}", std::any::type_name::<T>());
        self.skipped.get_mut().extend(items);
    }

    /// Panics if anything is left.
    pub async fn expect_nothing(&mut self) {
        let items = self.drain().await;
        assert!(items.is_empty(), "unexpected: {items:?}");
    }

    async fn expect(&mut self, what: &str, wanted: impl Fn(&Info) -> bool) -> Info {
        let skipped = self.skipped.get_mut();
        if let Some(position) = skipped.iter().position(&wanted)
            && let Some(info) = skipped.remove(position)
        {
            return info;
        }
        let deadline = tokio::time::Instant::now() + TEST_DEADLINE;
        loop {
            match tokio::time::timeout_at(deadline, self.inbox.recv()).await {
                Ok(Some(info)) if wanted(&info) => return info,
                Ok(Some(info)) => skipped.push_back(info),
                Ok(None) => panic!("the probe ended while the test expected {what}"),
                Err(_) => panic!("no {what}, only {skipped:?}"),
            }
        }
    }
}

/// The process behind a [`Probe`].
pub struct ProbeServer {
    inbox: mpsc::Sender<Info>,
}

/// Something to be done by the probe process itself.
type Errand = Box<dyn FnOnce(&mut Context<ProbeServer>) + Send>;

/// The requests of a probe; use [`Probe`].
pub enum ProbeMessage {
    /// See [`Probe::run`].
    Run(Errand),
    /// See [`Probe::drain`].
    Sync(From<()>),
}

impl GenServer for ProbeServer {
    type Args = mpsc::Sender<Info>;
    type Message = ProbeMessage;

    async fn init(inbox: mpsc::Sender<Info>, ctx: &mut Context<ProbeServer>) -> Init<ProbeServer> {
        ctx.trap_exit(true);
        Init::Ok(ProbeServer { inbox })
    }

    async fn handle(
        &mut self,
        message: ProbeMessage,
        ctx: &mut Context<ProbeServer>,
    ) -> Next<ProbeServer> {
        match message {
            ProbeMessage::Run(errand) => errand(ctx),
            ProbeMessage::Sync(from) => from.reply(()),
        }
        Next::Go
    }

    async fn handle_info(
        &mut self,
        info: Info,
        _ctx: &mut Context<ProbeServer>,
    ) -> Next<ProbeServer> {
        match self.inbox.try_send(info) {
            Ok(()) => Next::Go,
            Err(error) => panic!("the test does not look at its probe: {error}"),
        }
    }
}
