//! What is large, and what does not stop: arguments, mailboxes, computations.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use otp::report::Report;
use otp::{
    Context, ExitReason, From, GenServer, Init, Next, Node, Options, Overflow, SendError,
    ServerRef, SpawnOptions, eventually,
};
use parking_lot::Mutex;

use super::{message, plain, probe, texts, two_nodes};
use crate::support::{Log, Message, busy, node, worker};

crate::cases! {
    a_huge_argument: "PROC-045";
    a_mailbox_that_outgrows_its_limit_kills: "PROC-046";
    the_other_policies_of_a_full_mailbox;
    the_age_of_the_oldest_message_is_known;
    one_that_yields_lets_others_run [Paused]: "PROC-047";
    a_full_mailbox_starves_nobody [Paused]: "PROC-047";
}

/// Bytes of the argument.
const HUGE: usize = 64 << 20;

/// Holds what it was started with.
struct Big(Vec<u8>);

impl GenServer for Big {
    type Args = Vec<u8>;
    type Message = From<u64>;

    async fn init(bytes: Vec<u8>, _ctx: &mut Context<Big>) -> Init<Big> {
        Init::Ok(Big(bytes))
    }

    async fn handle(&mut self, from: From<u64>, _ctx: &mut Context<Big>) -> Next<Big> {
        // One of each page, and their number: looking at all of it takes its time.
        let pages = self.0.iter().step_by(4_096);
        let sum: u64 = pages.map(|byte| u64::from(*byte)).sum();
        from.reply(sum + self.0.len() as u64);
        Next::Go
    }
}

async fn a_huge_argument() {
    let (a, b) = two_nodes();
    let sum = (3 * HUGE / 4_096 + HUGE) as u64;
    let local = otp::start::<Big>(&a, vec![3; HUGE], Options::new());
    assert_eq!(local.await.unwrap().call(|from| from).await, Ok(sum));
    let mut probe = probe(&a).await;
    let target = b.clone();
    probe
        .run(move |ctx| {
            let options = Options::new().name("big");
            let how = SpawnOptions::default();
            ctx.spawn_request::<Big>(&target, vec![3; HUGE], options, how);
        })
        .await;
    assert_eq!(texts(&mut probe, 1).await, ["spawned"]);
    let far = b.whereis_ref::<Big>("big").unwrap();
    assert_eq!(far.call(|from| from).await, Ok(sum));
}

/// Notes the messages it handles; each counts as many bytes as its text has.
struct Counted {
    log: Log,
}

enum Text {
    Note(&'static str),
    Wait(tokio::sync::oneshot::Receiver<()>),
}

impl GenServer for Counted {
    type Args = Log;
    type Message = Text;

    async fn init(log: Log, ctx: &mut Context<Counted>) -> Init<Counted> {
        ctx.trap_exit(true);
        Init::Ok(Counted { log })
    }

    async fn handle(&mut self, text: Text, _ctx: &mut Context<Counted>) -> Next<Counted> {
        match text {
            Text::Note(note) => self.log.add(note),
            Text::Wait(gate) => drop(gate.await),
        }
        Next::Go
    }

    fn message_bytes(text: &Text) -> usize {
        match text {
            Text::Note(note) => note.len(),
            Text::Wait(_) => 0,
        }
    }

    async fn terminate(&mut self, reason: &ExitReason, _ctx: &mut Context<Counted>) {
        self.log.add(format!("terminate {reason}"));
    }
}

/// A server that waits in a handler until the sender is used.
async fn waiting(
    node: &Node,
    options: Options,
) -> (ServerRef<Counted>, Log, tokio::sync::oneshot::Sender<()>) {
    let log = Log::default();
    let server = otp::start::<Counted>(node, log.clone(), options);
    let server = server.await.unwrap();
    let (open, gate) = tokio::sync::oneshot::channel();
    server.cast(Text::Wait(gate));
    eventually!(server.mailbox_len() == 0);
    (server, log, open)
}

async fn a_mailbox_that_outgrows_its_limit_kills() {
    let node = node();
    let reports: Arc<Mutex<Vec<Report>>> = Arc::default();
    let kept = reports.clone();
    node.on_report(move |report| kept.lock().push(report.clone()));
    let mut probe = probe(&node).await;
    let by_count = Options::new().mailbox_max(10).overflow(Overflow::Exit);
    let by_bytes = Options::new()
        .mailbox_bytes_max(40)
        .overflow(Overflow::Exit);
    for options in [by_count, by_bytes] {
        let (server, log, _open) = waiting(&node, options.label("small")).await;
        let pid = server.pid();
        probe.monitor(pid).await;
        probe.link(pid).await;
        for _ in 0..10 {
            assert!(server.try_cast(Text::Note("four")).is_ok());
        }
        assert!(server.is_alive(), "full, not over it");
        assert_eq!(server.mailbox_len(), 10);
        server.cast(Text::Note("more"));
        assert_eq!(probe.expect_down(pid).await.1, ExitReason::Killed);
        assert_eq!(probe.expect_exit(pid).await, ExitReason::Killed);
        assert_eq!(log.all(), [""; 0], "it does not matter that it traps");
        eventually!(!reports.lock().is_empty());
        let reports = std::mem::take(&mut *reports.lock());
        let [Report::Crash(report)] = &reports[..] else {
            panic!("{reports:?}");
        };
        assert_eq!((report.pid, &report.reason), (pid, &ExitReason::Killed));
        assert_eq!(report.label.as_deref(), Some("small"));
    }
    // Signals of the runtime count for nothing.
    let options = Options::new().mailbox_max(1).overflow(Overflow::Exit);
    let (server, _, open) = waiting(&node, options).await;
    for _ in 0..100 {
        node.exit(server.pid(), ExitReason::Shutdown);
    }
    assert_eq!(server.mailbox_len(), 100);
    server.cast(Text::Note("fits"));
    assert!(server.is_alive());
    open.send(()).unwrap();
    eventually!(server.mailbox_len() == 0);
    assert!(server.is_alive());
}

async fn the_other_policies_of_a_full_mailbox() {
    let node = node();
    for (overflow, kept) in [
        (Overflow::Refuse, ["a", "b"]),
        (Overflow::DropNewest, ["a", "b"]),
        (Overflow::DropOldest, ["b", "c"]),
    ] {
        for options in [
            Options::new().mailbox_max(2),
            Options::new().mailbox_bytes_max(2),
        ] {
            let options = options.overflow(overflow);
            let (server, log, open) = waiting(&node, options).await;
            server.cast(Text::Note("a"));
            server.cast(Text::Note("b"));
            let last = server.try_cast(Text::Note("c"));
            let refused = matches!(last, Err(SendError::Full(Text::Note("c"))));
            assert_eq!(refused, overflow == Overflow::Refuse);
            assert_eq!(server.mailbox_len(), 2);
            open.send(()).unwrap();
            eventually!(log.len() == 2);
            assert_eq!(log.all(), kept, "{overflow:?}");
            assert!(
                server.try_cast(Text::Note("d")).is_ok(),
                "there is room again"
            );
            eventually!(log.len() == 3);
        }
    }
    // Untyped messages are messages.
    let (server, _, _open) = waiting(&node, Options::new().mailbox_max(1)).await;
    assert!(node.send(server.pid(), message(1)));
    assert!(!node.send(server.pid(), message(2)));
}

async fn the_age_of_the_oldest_message_is_known() {
    let node = node();
    let one = worker(&node).await;
    let age = || node.process_info(one.pid()).unwrap().mailbox_age_ms;
    assert_eq!(age(), 0);
    let open = busy(&one);
    eventually!(one.mailbox_len() == 0);
    let began = std::time::Instant::now();
    one.cast(Message::Note("old".into()));
    eventually!(age() >= 50);
    assert!(
        began.elapsed() >= Duration::from_millis(40),
        "it cannot be older"
    );
    one.cast(Message::Note("new".into()));
    assert!(age() >= 50, "the oldest counts");
    open.send(()).unwrap();
    eventually!(one.mailbox_len() == 0);
    assert_eq!(age(), 0);
}

/// Computes for long, and yields in between.
struct Yielding {
    steps: Arc<AtomicUsize>,
}

impl GenServer for Yielding {
    type Args = Arc<AtomicUsize>;
    type Message = usize;

    async fn init(steps: Arc<AtomicUsize>, _ctx: &mut Context<Yielding>) -> Init<Yielding> {
        Init::Ok(Yielding { steps })
    }

    async fn handle(&mut self, steps: usize, ctx: &mut Context<Yielding>) -> Next<Yielding> {
        for _ in 0..steps {
            self.steps.fetch_add(1, Ordering::SeqCst);
            ctx.yield_now().await;
        }
        Next::Go
    }
}

async fn one_that_yields_lets_others_run() {
    // On one thread: only what yields lets anybody run.
    let node = node();
    let steps = Arc::new(AtomicUsize::new(0));
    let server = otp::start::<Yielding>(&node, steps.clone(), Options::new());
    let server = server.await.unwrap();
    let (other, log) = plain(&node).await;
    server.cast(1_000);
    for number in 1..=100 {
        other.cast(Message::Note("ran".into()));
        while log.len() < number {
            tokio::task::yield_now().await;
        }
    }
    let done = steps.load(Ordering::SeqCst);
    assert!((1..1_000).contains(&done), "both went on: {done} steps");
    // A kill gets through as well.
    server.cast(usize::MAX);
    node.exit(server.pid(), ExitReason::Kill);
    assert_eq!(server.wait_for_exit().await, ExitReason::Killed);
}

async fn a_full_mailbox_starves_nobody() {
    let node = node();
    let (flooded, flood) = plain(&node).await;
    let (other, log) = plain(&node).await;
    for _ in 0..20_000 {
        flooded.cast(Message::Note("flood".into()));
    }
    other.cast(Message::Note("ran".into()));
    while log.len() == 0 {
        tokio::task::yield_now().await;
    }
    assert!(flood.len() < 2_000, "its turn came after {}", flood.len());
    // Nor can it be killed only when it has handled all of it.
    node.exit(flooded.pid(), ExitReason::Kill);
    flooded.wait_for_exit().await;
    assert!(flood.len() < 4_000, "{}", flood.len());
}
