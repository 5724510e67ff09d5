//! A server which does what a test tells it, and a log of what happened.

use std::sync::Arc;

use otp::{Context, ExitReason, From, GenServer, Info, Init, Next, Node, Options, ServerRef};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::case::Carrier;

/// What happened, in order.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn add(&self, what: impl Into<String>) {
        self.0.lock().push(what.into());
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().clone()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().len()
    }

    pub(crate) fn clear(&self) {
        self.0.lock().clear();
    }
}

/// What `init` does.
#[derive(Clone, Default)]
pub(crate) enum Begin {
    #[default]
    Run,
    Ignore,
    Stop(ExitReason),
    Panic,
}

#[derive(Clone, Default)]
pub(crate) struct Plan {
    pub(crate) name: &'static str,
    pub(crate) begin: Begin,
    pub(crate) trap: bool,
    pub(crate) hang_in_terminate: bool,
    pub(crate) log: Log,
}

pub(crate) struct Worker {
    plan: Plan,
}

type Errand = Box<dyn FnOnce(&mut Context<Worker>) -> Next<Worker> + Send>;

pub(crate) enum Message {
    Get(From<u32>),
    Note(String),
    /// Never comes back.
    Hang(oneshot::Sender<()>),
    /// Waits for the test.
    Wait(oneshot::Receiver<()>),
    Run(Errand),
}

impl Worker {
    fn say(&self, what: impl std::fmt::Display) {
        self.plan.log.add(if self.plan.name.is_empty() {
            what.to_string()
        } else {
            format!("{} {what}", self.plan.name)
        });
    }
}

impl GenServer for Worker {
    type Args = Plan;
    type Message = Message;

    async fn init(plan: Plan, ctx: &mut Context<Worker>) -> Init<Worker> {
        ctx.trap_exit(plan.trap);
        let begin = plan.begin.clone();
        let worker = Worker { plan };
        worker.say("init");
        match begin {
            Begin::Run => Init::Ok(worker),
            Begin::Ignore => Init::Ignore,
            Begin::Stop(reason) => Init::Stop(reason),
            Begin::Panic => panic!("init panics"),
        }
    }

    async fn handle(&mut self, message: Message, ctx: &mut Context<Worker>) -> Next<Worker> {
        match message {
            Message::Get(from) => from.reply(7),
            Message::Note(note) => self.say(note),
            Message::Hang(started) => {
                let _ = started.send(());
                std::future::pending::<()>().await;
            }
            Message::Wait(gate) => drop(gate.await),
            Message::Run(errand) => return errand(ctx),
        }
        Next::Go
    }

    async fn handle_info(&mut self, info: Info, _ctx: &mut Context<Worker>) -> Next<Worker> {
        match info {
            Info::Exit { reason, .. } => self.say(format!("EXIT {reason}")),
            Info::Down { reason, .. } => self.say(format!("DOWN {reason}")),
            Info::Timeout => self.say("timeout"),
            Info::Message(_) => self.say("message"),
            other => self.say(format!("{other:?}")),
        }
        Next::Go
    }

    async fn terminate(&mut self, reason: &ExitReason, _ctx: &mut Context<Worker>) {
        self.say(format!("terminate {reason}"));
        if self.plan.hang_in_terminate {
            std::future::pending::<()>().await;
        }
    }
}

pub(crate) async fn worker(node: &Node) -> ServerRef<Worker> {
    planned(node, Plan::default()).await
}

pub(crate) async fn planned(node: &Node, plan: Plan) -> ServerRef<Worker> {
    otp::start(node, plan, Options::new()).await.unwrap()
}

/// Runs a function in the worker and gives its result.
pub(crate) async fn within<T: Send + 'static>(
    worker: &ServerRef<Worker>,
    function: impl FnOnce(&mut Context<Worker>) -> T + Send + 'static,
) -> T {
    let (sender, receiver) = oneshot::channel();
    worker.cast(Message::Run(Box::new(move |ctx| {
        let _ = sender.send(function(ctx));
        Next::Go
    })));
    receiver.await.unwrap()
}

/// Makes the worker stop by itself.
pub(crate) fn stop(worker: &ServerRef<Worker>, reason: ExitReason) {
    worker.cast(Message::Run(Box::new(move |_| Next::Stop(reason))));
}

/// Makes the worker wait in a handler until the returned sender is used or dropped.
pub(crate) fn busy(worker: &ServerRef<Worker>) -> oneshot::Sender<()> {
    let (open, gate) = oneshot::channel();
    worker.cast(Message::Wait(gate));
    open
}

/// A node whose processes are carried as the case wants it.
pub(crate) fn node() -> Node {
    let node = Node::new("test");
    if Carrier::now() == Carrier::Tasks {
        node.start_light();
    }
    node
}
