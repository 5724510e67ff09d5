//! A server that does what a case tells it in every callback, and logs what it went through.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use otp::{
    Context, ExitReason, From, GenServer, Info, Init, Next, Node, Options, Pid, ServerRef, Status,
};
use tokio::sync::oneshot;

use crate::support::Log;

type Errand = Box<dyn FnOnce(&mut Server, &mut Context<Server>) -> Next<Server> + Send>;
type Asked = Box<dyn FnOnce(From<u64>) -> Next<Server> + Send>;
type Walk = Box<dyn for<'a> FnOnce(&'a mut Context<Server>) -> BoxFuture<'a, ()> + Send>;
type Begin = Box<dyn FnOnce(Server, &mut Context<Server>) -> Init<Server> + Send>;

type OnInfo = Box<dyn FnMut(&Info) -> Next<Server> + Send>;

/// What `format_status` does.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Show {
    /// Shows the number.
    #[default]
    Number,
    /// Hides everything there is.
    Masked,
    Panics,
    /// Panics with something that is no text.
    Throws,
}

pub(crate) struct Server {
    pub(crate) log: Log,
    pub(crate) number: u64,
    pub(crate) held: Vec<From<u64>>,
    /// Decides after each info.
    pub(crate) on_info: Option<OnInfo>,
    pub(crate) show: Show,
    pub(crate) panic_in_terminate: bool,
    /// `terminate` waits for it.
    pub(crate) terminate_gate: Option<oneshot::Receiver<()>>,
    /// Dropped with the state.
    pub(crate) token: Arc<()>,
}

impl Server {
    pub(crate) fn new(log: Log) -> Server {
        Server {
            log,
            number: 7,
            held: Vec::new(),
            on_info: None,
            show: Show::default(),
            panic_in_terminate: false,
            terminate_gate: None,
            token: Arc::default(),
        }
    }
}

/// How a [`Server`] begins.
pub(crate) struct Start {
    pub(crate) log: Log,
    /// `init` waits for it, if it is there.
    pub(crate) gate: Option<oneshot::Receiver<()>>,
    pub(crate) init: Begin,
}

impl Start {
    pub(crate) fn new(
        log: &Log,
        init: impl FnOnce(Server, &mut Context<Server>) -> Init<Server> + Send + 'static,
    ) -> Start {
        Start {
            log: log.clone(),
            gate: None,
            init: Box::new(init),
        }
    }

    /// One whose `init` succeeds.
    pub(crate) fn plain(log: &Log) -> Start {
        Start::new(log, |server, _| Init::Ok(server))
    }

    /// One that traps exits.
    pub(crate) fn trapping(log: &Log) -> Start {
        Start::new(log, |server, ctx| {
            ctx.trap_exit(true);
            Init::Ok(server)
        })
    }

    /// One whose `init` never comes back.
    pub(crate) fn hanging(log: &Log) -> Start {
        let (never, gate) = oneshot::channel();
        std::mem::forget(never);
        Start {
            gate: Some(gate),
            ..Start::plain(log)
        }
    }
}

pub(crate) enum Message {
    Get(From<u64>),
    Set(u64),
    /// Logs it.
    Note(&'static str),
    /// Keeps the handle in the state.
    Hold(From<u64>),
    /// A call that is handled as the case says.
    Ask(From<u64>, Asked),
    /// Waits for the case.
    Wait(oneshot::Receiver<()>),
    Tell(Errand),
    Walk(Walk),
}

impl GenServer for Server {
    type Args = Start;
    type Message = Message;

    async fn init(start: Start, ctx: &mut Context<Server>) -> Init<Server> {
        start.log.add("init");
        if let Some(gate) = start.gate {
            let _ = gate.await;
        }
        let server = Server::new(start.log);
        (start.init)(server, ctx)
    }

    async fn handle(&mut self, message: Message, ctx: &mut Context<Server>) -> Next<Server> {
        match message {
            Message::Get(from) => from.reply(self.number),
            Message::Set(number) => self.number = number,
            Message::Note(note) => self.log.add(note),
            Message::Hold(from) => self.held.push(from),
            Message::Ask(from, asked) => return asked(from),
            Message::Wait(gate) => drop(gate.await),
            Message::Tell(errand) => return errand(self, ctx),
            Message::Walk(walk) => walk(ctx).await,
        }
        Next::Go
    }

    async fn handle_info(&mut self, info: Info, _ctx: &mut Context<Server>) -> Next<Server> {
        self.log.add(match &info {
            Info::Exit { reason, .. } => format!("EXIT {reason}"),
            Info::Down { reason, .. } => format!("DOWN {reason}"),
            Info::Timeout => "timeout".to_owned(),
            Info::Message(message) => match message.downcast_ref::<&str>() {
                Some(text) => (*text).to_owned(),
                None => "a message".to_owned(),
            },
            other => format!("{other:?}"),
        });
        match &mut self.on_info {
            Some(decide) => decide(&info),
            None => Next::Go,
        }
    }

    fn format_status(&self, status: &mut Status) {
        match self.show {
            Show::Number => status.state = format!("number {}", self.number),
            Show::Masked => {
                status.state = "hidden state".to_owned();
                status.message = Some("hidden message".to_owned());
                if status.reason.is_some() {
                    status.reason = Some(ExitReason::Custom("hidden reason".into()));
                }
                for line in &mut status.log {
                    "hidden event".clone_into(line);
                }
            }
            Show::Panics => panic!("the hook panics"),
            Show::Throws => std::panic::panic_any(5),
        }
    }

    fn message_name(message: &Message) -> &'static str {
        match message {
            Message::Get(_) => "get",
            Message::Set(_) => "set",
            Message::Note(_) => "note",
            Message::Hold(_) => "hold",
            Message::Ask(..) => "ask",
            Message::Wait(_) => "wait",
            Message::Tell(_) => "tell",
            Message::Walk(_) => "walk",
        }
    }

    fn message_client(message: &Message) -> Option<Pid> {
        match message {
            Message::Get(from) | Message::Hold(from) | Message::Ask(from, _) => from.caller(),
            _ => None,
        }
    }

    fn hibernate(&mut self) {
        self.log.add("hibernate");
    }

    async fn terminate(&mut self, reason: &ExitReason, _ctx: &mut Context<Server>) {
        self.log.add(format!("terminate {reason}"));
        if let Some(gate) = self.terminate_gate.take() {
            let _ = gate.await;
        }
        assert!(!self.panic_in_terminate, "terminate panics");
    }
}

/// Starts a server outside any process.
pub(crate) async fn start(node: &Node, start: Start) -> ServerRef<Server> {
    otp::start(node, start, Options::new()).await.unwrap()
}

/// Has the server do something, and gives what it gave.
pub(crate) async fn within<T: Send + 'static>(
    server: &ServerRef<Server>,
    function: impl FnOnce(&mut Server, &mut Context<Server>) -> T + Send + 'static,
) -> T {
    let (sender, receiver) = oneshot::channel();
    tell(server, move |state, ctx| {
        let _ = sender.send(function(state, ctx));
        Next::Go
    });
    receiver.await.unwrap()
}

/// Has the server do something that may wait, and gives what it gave.
pub(crate) async fn walk<T: Send + 'static>(
    server: &ServerRef<Server>,
    function: impl for<'a> FnOnce(&'a mut Context<Server>) -> BoxFuture<'a, T> + Send + 'static,
) -> T {
    let (sender, receiver) = oneshot::channel();
    let walk: Walk = Box::new(move |ctx| {
        let future = function(ctx);
        Box::pin(async move { drop(sender.send(future.await)) })
    });
    server.cast(Message::Walk(walk));
    receiver.await.unwrap()
}

/// Has the server do something, and go on as that says.
pub(crate) fn tell(
    server: &ServerRef<Server>,
    errand: impl FnOnce(&mut Server, &mut Context<Server>) -> Next<Server> + Send + 'static,
) {
    server.cast(Message::Tell(Box::new(errand)));
}

/// A call that is handled as the case says.
pub(crate) fn asked(
    handle: impl FnOnce(From<u64>) -> Next<Server> + Send + 'static,
) -> impl FnOnce(From<u64>) -> Message + Send {
    move |from| Message::Ask(from, Box::new(handle))
}

/// Keeps the server in a handler until the returned sender is used or dropped.
pub(crate) fn busy(server: &ServerRef<Server>) -> oneshot::Sender<()> {
    let (open, gate) = oneshot::channel();
    server.cast(Message::Wait(gate));
    open
}
