//! The driver of a twin: a process which traps exits, and whose mailbox the twin reads.

use std::collections::VecDeque;
use std::future::Future;

use futures_util::future::BoxFuture;
use otp::{
    Context, ExitReason, From, GenServer, Info, Init, MonitorRef, Next, Node, Options, Pid,
    RequestRef, ServerRef, StartError,
};
use parking_lot::Mutex;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use super::trace::{Trace, say};

/// How many items may wait for the twin to look at.
const INBOX: usize = 10_000;

/// The client side of the driver.
pub(crate) struct Driver {
    server: ServerRef<DriverServer>,
    inbox: mpsc::Receiver<Info>,
    /// Behind a lock, as what it holds may not be shared between threads.
    skipped: Mutex<VecDeque<Info>>,
    trace: Trace,
}

/// The process.
pub(crate) struct DriverServer {
    inbox: mpsc::Sender<Info>,
}

type Errand = Box<dyn for<'a> FnOnce(&'a mut Context<DriverServer>) -> BoxFuture<'a, ()> + Send>;

pub(crate) enum DriverMessage {
    Run(Errand),
    Sync(From<()>),
}

impl GenServer for DriverServer {
    type Args = mpsc::Sender<Info>;
    type Message = DriverMessage;

    async fn init(inbox: mpsc::Sender<Info>, ctx: &mut Context<Self>) -> Init<Self> {
        ctx.trap_exit(true);
        Init::Ok(DriverServer { inbox })
    }

    async fn handle(&mut self, message: DriverMessage, ctx: &mut Context<Self>) -> Next<Self> {
        match message {
            DriverMessage::Run(errand) => errand(ctx).await,
            DriverMessage::Sync(from) => from.reply(()),
        }
        Next::Go
    }

    async fn handle_info(&mut self, info: Info, _ctx: &mut Context<Self>) -> Next<Self> {
        // Closed: the scenario is over, and what still comes is none of its trace.
        if let Err(TrySendError::Full(info)) = self.inbox.try_send(info) {
            panic!("more than {INBOX} messages; the last: {info:?}");
        }
        Next::Go
    }
}

impl Driver {
    pub(crate) async fn start(node: &Node, trace: Trace) -> Driver {
        let (sender, inbox) = mpsc::channel(INBOX);
        let server = otp::start::<DriverServer>(node, sender, Options::new().label("driver"));
        Driver {
            server: server.await.unwrap(),
            inbox,
            skipped: Mutex::default(),
            trace,
        }
    }

    pub(crate) fn pid(&self) -> Pid {
        self.server.pid()
    }

    /// Has the driver run an async function.
    pub(crate) async fn run_async<T, F>(&self, function: F) -> T
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a mut Context<DriverServer>) -> BoxFuture<'a, T> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        self.server.cast(DriverMessage::Run(Box::new(move |ctx| {
            Box::pin(async move {
                let _ = sender.send(function(ctx).await);
            })
        })));
        receiver.await.expect("the driver must be alive")
    }

    /// Has the driver run a function.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        function: impl FnOnce(&mut Context<DriverServer>) -> T + Send + 'static,
    ) -> T {
        let (sender, receiver) = oneshot::channel();
        self.server.cast(DriverMessage::Run(Box::new(move |ctx| {
            let _ = sender.send(function(ctx));
            Box::pin(async {})
        })));
        receiver.await.expect("the driver must be alive")
    }

    /// Starts something as a child of the driver: the function makes the future of the start.
    pub(crate) async fn start_linked<T, F>(
        &self,
        function: impl FnOnce(&mut Context<DriverServer>) -> F + Send + 'static,
    ) -> T
    where
        F: Future<Output = T> + Send + 'static,
    {
        self.run(function).await.await
    }

    pub(crate) async fn watch(&self, pid: Pid) -> MonitorRef {
        self.run(move |ctx| ctx.monitor(pid)).await
    }

    pub(crate) async fn demonitor(&self, monitor: MonitorRef, flush: bool) -> bool {
        self.run(move |ctx| ctx.demonitor(monitor, flush)).await
    }

    pub(crate) async fn link(&self, pid: Pid) {
        self.run(move |ctx| ctx.link(pid)).await;
    }

    pub(crate) async fn unlink(&self, pid: Pid) {
        self.run(move |ctx| ctx.unlink(pid)).await;
    }

    pub(crate) async fn exit(&self, pid: Pid, reason: ExitReason) {
        self.run(move |ctx| ctx.exit(pid, reason)).await;
    }

    /// Waits for the DOWN of a monitor, and says it.
    pub(crate) async fn down(&mut self, wanted: MonitorRef) {
        let info = self
            .take(|info| matches!(info, Info::Down { monitor, .. } if *monitor == wanted))
            .await;
        self.say(info);
    }

    /// Waits for the EXIT of a process, and says it.
    pub(crate) async fn exit_of(&mut self, wanted: Pid) {
        let info = self
            .take(|info| matches!(info, Info::Exit { from, .. } if *from == wanted))
            .await;
        self.say(info);
    }

    /// Waits for the EXIT of a process, and says nothing of it.
    pub(crate) async fn forget(&mut self, pid: Pid) {
        self.take(|info| matches!(info, Info::Exit { from, .. } if *from == pid))
            .await;
    }

    /// Drops what is in the mailbox of this process' end: after an unlink it may be there or not.
    pub(crate) async fn drop_exit(&mut self, pid: Pid) {
        self.arrive().await;
        let mut skipped = self.skipped.lock();
        skipped.retain(|info| !matches!(info, Info::Exit { from, .. } if *from == pid));
    }

    /// Waits for a message of this type.
    pub(crate) async fn receive<T: Send + 'static>(&mut self) -> T {
        let info = self.take(is_message::<T>).await;
        message_of(info).expect("it was looked at")
    }

    /// A message of this type, if one is in the mailbox. Only after a barrier.
    pub(crate) async fn received<T: Send + 'static>(&mut self) -> Option<T> {
        self.arrive().await;
        let mut skipped = self.skipped.lock();
        let position = skipped.iter().position(is_message::<T>)?;
        message_of(skipped.remove(position)?)
    }

    /// Waits for a message of this type, or for the DOWN of a monitor.
    pub(crate) async fn receive_or_down<T: Send + 'static>(
        &mut self,
        wanted: MonitorRef,
    ) -> Result<T, ExitReason> {
        let is_down =
            |info: &Info| matches!(info, Info::Down { monitor, .. } if *monitor == wanted);
        let info = self
            .take(|info| is_down(info) || is_message::<T>(info))
            .await;
        match info {
            Info::Down { reason, .. } => Err(reason),
            info => Ok(message_of(info).expect("it was looked at")),
        }
    }

    /// Waits for the answer to a spawn request.
    pub(crate) async fn spawned(&mut self, wanted: RequestRef) -> Result<Pid, StartError> {
        let info = self
            .take(|info| matches!(info, Info::Spawned { request, .. } if *request == wanted))
            .await;
        match info {
            Info::Spawned { result, .. } => result,
            other => panic!("{other:?}"),
        }
    }

    /// Waits for the DOWN of a monitor, and gives what it tells.
    pub(crate) async fn end_of(&mut self, wanted: MonitorRef) -> (Pid, ExitReason) {
        let info = self
            .take(|info| matches!(info, Info::Down { monitor, .. } if *monitor == wanted))
            .await;
        match info {
            Info::Down { pid, reason, .. } => (pid, reason),
            other => panic!("{other:?}"),
        }
    }

    /// Says the next item, whatever it is.
    pub(crate) async fn message(&mut self) {
        let info = self.take(|_| true).await;
        self.say(info);
    }

    /// Says that nothing is in the mailbox. Only after a barrier.
    pub(crate) async fn nothing(&mut self) {
        self.arrive().await;
        match self.skipped.lock().front() {
            None => say!(self.trace, "nothing"),
            Some(Info::Down { .. }) => say!(self.trace, "stray_down"),
            Some(Info::Exit { .. }) => say!(self.trace, "stray_exit"),
            Some(info) => say!(self.trace, "stray", format!("{info:?}")),
        }
    }

    /// Looks at all that was sent to the driver before.
    async fn arrive(&mut self) {
        self.server.call(DriverMessage::Sync).await.unwrap();
        let mut skipped = self.skipped.lock();
        while let Ok(info) = self.inbox.try_recv() {
            skipped.push_back(info);
        }
    }

    fn say(&self, info: Info) {
        match info {
            Info::Down {
                monitor,
                pid,
                reason,
                ..
            } => say!(self.trace, "down", monitor, pid, &reason),
            Info::Exit { from, reason } => say!(self.trace, "exit", from, &reason),
            Info::Message(message) => {
                say!(
                    self.trace,
                    "message",
                    *message.downcast::<&'static str>().unwrap()
                );
            }
            other => say!(self.trace, "other", format!("{other:?}")),
        }
    }

    /// A selective receive: what does not match stays, in its order.
    async fn take(&mut self, wanted: impl Fn(&Info) -> bool) -> Info {
        {
            let mut skipped = self.skipped.lock();
            if let Some(position) = skipped.iter().position(&wanted) {
                return skipped.remove(position).unwrap();
            }
        }
        loop {
            let info = self.inbox.recv().await.expect("the driver must be alive");
            if wanted(&info) {
                return info;
            }
            self.skipped.lock().push_back(info);
        }
    }
}

fn is_message<T: 'static>(info: &Info) -> bool {
    matches!(info, Info::Message(message) if message.is::<T>())
}

fn message_of<T: 'static>(info: Info) -> Option<T> {
    match info {
        Info::Message(message) => message.downcast::<T>().ok().map(|message| *message),
        _ => None,
    }
}
