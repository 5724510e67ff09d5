//! `init`, continuations, `info` and `terminate`.

use std::time::Duration;

use otp::testing::Probe;
use otp::{Context, ExitReason, Info, Init, Next, Options, Pid, StartError, gen_server};

use crate::support::{Log, line, log, node};

struct Recorder {
    log: Log,
    warm: u32,
}

#[gen_server]
impl Recorder {
    /// Several parameters, and the context between them.
    #[init]
    async fn init(log: Log, ctx: &mut Context<Self>, rounds: u32) -> Init<Self> {
        ctx.trap_exit(true);
        let recorder = Recorder { log, warm: 0 };
        Init::Continue(recorder, Self::continue_warm_up(rounds))
    }

    #[continuation]
    async fn warm_up(&mut self, rounds: u32) -> Next<Self> {
        self.warm += 1;
        self.say(format!("warm {rounds}"));
        match rounds {
            0 => Next::Go,
            rounds => Next::Continue(Self::continue_warm_up(rounds - 1)),
        }
    }

    #[continuation]
    async fn tick(&mut self) {
        self.say("tick");
    }

    #[cast]
    async fn tick_later(&mut self, ctx: &mut Context<Self>) {
        ctx.send_after(Duration::from_secs(1), Self::continue_tick());
    }

    #[cast]
    async fn be_bored(&mut self) -> Next<Self> {
        Next::Timeout(Duration::from_secs(1))
    }

    #[cast]
    async fn watch(&mut self, pid: Pid, ctx: &mut Context<Self>) {
        ctx.monitor(pid);
        ctx.link(pid);
    }

    #[call]
    async fn warmth(&self) -> u32 {
        self.warm
    }

    #[info]
    async fn info(&mut self, ctx: &mut Context<Self>, info: Info) -> Next<Self> {
        match info {
            Info::Exit { from, reason } => self.say(format!("exit {} {reason}", from == ctx.pid())),
            Info::Down { reason, .. } => self.say(format!("down {reason}")),
            Info::Timeout => return Next::Stop(ExitReason::ShutdownWith("bored".into())),
            Info::Message(message) => match message.downcast::<String>() {
                Ok(text) => self.say(*text),
                Err(_) => self.say("something"),
            },
            other => panic!("{other:?}"),
        }
        Next::Go
    }

    #[terminate]
    async fn terminate(&mut self, reason: &ExitReason, ctx: &mut Context<Self>) {
        self.say(format!("end {reason} {}", ctx.mailbox_len()));
    }

    fn say(&self, line: impl Into<String>) {
        let _ = self.log.send(line.into());
    }
}

#[tokio::test]
async fn continuations_come_before_messages() {
    let (log, mut lines) = log();
    let recorder = Recorder::start(&node(), (log, 2), Options::new())
        .await
        .unwrap();
    assert_eq!(recorder.warmth().await, Ok(3));
    for expected in ["warm 2", "warm 1", "warm 0"] {
        assert_eq!(line(&mut lines).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn continuations_serve_as_timer_messages() {
    let (log, mut lines) = log();
    let recorder = Recorder::start(&node(), (log, 0), Options::new())
        .await
        .unwrap();
    recorder.tick_later();
    assert_eq!(line(&mut lines).await, "warm 0");
    assert_eq!(line(&mut lines).await, "tick");
}

#[tokio::test(start_paused = true)]
async fn info_gets_all_that_is_not_a_message_of_its_own() {
    let node = node();
    let (log, mut lines) = log();
    let recorder = Recorder::start(&node, (log, 0), Options::new())
        .await
        .unwrap();
    assert_eq!(line(&mut lines).await, "warm 0");
    assert!(node.send(recorder.pid(), Box::new("raw".to_owned())));
    assert_eq!(line(&mut lines).await, "raw");
    let probe = Probe::start(&node).await.unwrap();
    recorder.watch(probe.pid());
    recorder.warmth().await.unwrap();
    node.exit(probe.pid(), ExitReason::Kill);
    let mut both = [line(&mut lines).await, line(&mut lines).await];
    both.sort();
    assert_eq!(both, ["down killed", "exit false killed"]);
    recorder.be_bored();
    let reason = recorder.server_ref().wait_for_exit().await;
    assert_eq!(reason, ExitReason::ShutdownWith("bored".into()));
    assert_eq!(line(&mut lines).await, format!("end {reason} 0"));
}

#[tokio::test]
async fn terminate_runs_on_a_stop_but_not_on_a_kill() {
    let node = node();
    for (killed, last) in [(false, Some("end shutdown 0")), (true, None)] {
        let (log, mut lines) = log();
        let recorder = Recorder::start(&node, (log, 0), Options::new())
            .await
            .unwrap();
        recorder.warmth().await.unwrap();
        if killed {
            node.exit(recorder.pid(), ExitReason::Kill);
            recorder.server_ref().wait_for_exit().await;
        } else {
            let limit = Duration::from_secs(5);
            let stop = recorder.server_ref().stop(ExitReason::Shutdown, limit);
            stop.await.unwrap();
        }
        assert_eq!(line(&mut lines).await, "warm 0");
        // The log closes with the state.
        assert_eq!(lines.recv().await.as_deref(), last);
    }
}

/// The smallest server: nothing but an `init`, which may refuse.
struct Choosy;

#[derive(Clone)]
enum Choice {
    Run,
    Ignore,
    Stop,
}

#[gen_server]
impl Choosy {
    #[init]
    async fn begin(choice: Choice) -> Init<Self> {
        match choice {
            Choice::Run => Init::Ok(Choosy),
            Choice::Ignore => Init::Ignore,
            Choice::Stop => Init::Stop(ExitReason::Shutdown),
        }
    }
}

#[tokio::test]
async fn init_decides() {
    let node = node();
    let start = |choice| Choosy::start(&node, choice, Options::new());
    assert!(start(Choice::Run).await.is_ok());
    assert_eq!(start(Choice::Ignore).await, Err(StartError::Ignore));
    assert_eq!(
        start(Choice::Stop).await,
        Err(StartError::Failed(ExitReason::Shutdown))
    );
}

/// An `info` and a `terminate` in their shortest forms.
struct Quiet(Log);

#[gen_server(message = Never, client = QuietHandle, visibility = pub(self))]
impl Quiet {
    #[init]
    async fn init((log, _): (Log, ())) -> Init<Self> {
        Init::Ok(Quiet(log))
    }

    #[info]
    async fn info(&mut self, _: Info) {
        let _ = self.0.send("info".to_owned());
    }

    #[terminate]
    async fn terminate(&mut self) {
        let _ = self.0.send("end".to_owned());
    }
}

#[tokio::test]
async fn callbacks_take_only_what_they_need() {
    let node = node();
    let (log, mut lines) = log();
    let quiet: QuietHandle = Quiet::start(&node, (log, ()), Options::new())
        .await
        .unwrap();
    node.send(quiet.pid(), Box::new(1_u8));
    assert_eq!(line(&mut lines).await, "info");
    let limit = Duration::from_secs(5);
    let stop = quiet.server_ref().stop(ExitReason::Normal, limit);
    stop.await.unwrap();
    assert_eq!(line(&mut lines).await, "end");
    assert_eq!(size_of::<Never>(), 0);
}
