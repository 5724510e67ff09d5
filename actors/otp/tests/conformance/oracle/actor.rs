//! A server which does what a twin tells it, and writes down what happens to it
//! (`oracle_worker.erl`).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::BoxFuture;
use otp::{Context, ExitReason, From, GenServer, Info, Init, Next, Options, ServerRef};
use tokio::sync::oneshot;

use super::trace::{How, Trace, say};

/// What `init` does.
#[derive(Clone, Default)]
pub(crate) enum Begin {
    #[default]
    Run,
    /// Handles this before anything from the mailbox.
    Continue(Vec<&'static str>, Option<ExitReason>),
    /// Puts a note into its own mailbox first.
    NoteAndContinue(&'static str, Vec<&'static str>),
    Ignore,
    Stop(ExitReason),
    Crash,
    Hang,
    /// What happens at the first, the second, ... start.
    Script(Arc<AtomicUsize>, Arc<dyn Fn(usize) -> Begin + Send + Sync>),
}

impl Begin {
    pub(crate) fn script(function: impl Fn(usize) -> Begin + Send + Sync + 'static) -> Begin {
        Begin::Script(Arc::default(), Arc::new(function))
    }
}

/// What `terminate` does after its line.
#[derive(Clone, Default)]
pub(crate) enum Ending {
    #[default]
    Return,
    Crash,
    /// Ends for another reason.
    Exit(ExitReason),
    Hang,
}

#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) label: &'static str,
    pub(crate) trap: bool,
    /// No line for `init` and `terminate`.
    pub(crate) quiet: bool,
    pub(crate) begin: Begin,
    /// The first thing in `terminate`: waits for a line that begins so.
    pub(crate) before: Option<&'static str>,
    pub(crate) ending: Ending,
    /// Something to be looked at, and changed, from outside.
    pub(crate) number: i64,
    pub(crate) trace: Trace,
}

/// The server.
pub(crate) struct Actor {
    pub(crate) plan: Plan,
    held: Vec<From<String>>,
}

/// Something to be done by the actor itself.
pub(crate) type Errand = Box<
    dyn for<'a> FnOnce(&'a mut Actor, &'a mut Context<Actor>) -> BoxFuture<'a, Next<Actor>> + Send,
>;

pub(crate) enum Message {
    /// Answers 7.
    Get(From<String>),
    Sync(From<()>),
    Note(&'static str),
    /// A timer's, told as what it is in Erlang: a plain message.
    Info(&'static str),
    /// The continuation of a callback: its lines, and whether it stops then.
    Continued(Vec<&'static str>, Option<ExitReason>),
    /// Says this and keeps the handle.
    Hold(&'static str, From<String>),
    Run(Errand),
    /// A call whose handler decides; the handle is in its hand.
    Ask(From<String>, Ask),
}

pub(crate) type Ask = Box<
    dyn for<'a> FnOnce(
            From<String>,
            &'a mut Actor,
            &'a mut Context<Actor>,
        ) -> BoxFuture<'a, Next<Actor>>
        + Send,
>;

impl Actor {
    /// The same with another number.
    pub(crate) fn with_number(&self, number: i64) -> Actor {
        let plan = Plan {
            number,
            ..self.plan.clone()
        };
        let held = Vec::new();
        Actor { plan, held }
    }

    /// The youngest handle kept with [`Message::Hold`].
    pub(crate) fn release(&mut self) -> From<String> {
        self.held.pop().unwrap()
    }
}

impl GenServer for Actor {
    type Args = Plan;
    type Message = Message;

    async fn init(plan: Plan, ctx: &mut Context<Actor>) -> Init<Actor> {
        ctx.trap_exit(plan.trap);
        if !plan.quiet {
            say!(plan.trace, "init", plan.label, ctx.pid());
        }
        let mut begin = plan.begin.clone();
        while let Begin::Script(counter, function) = begin {
            begin = function(counter.fetch_add(1, Ordering::SeqCst) + 1);
        }
        let held = Vec::new();
        match begin {
            Begin::Run | Begin::Script(..) => Init::Ok(Actor { plan, held }),
            Begin::Continue(notes, stop) => {
                Init::Continue(Actor { plan, held }, Message::Continued(notes, stop))
            }
            Begin::NoteAndContinue(note, notes) => {
                ctx.self_ref().cast(Message::Note(note));
                Init::Continue(Actor { plan, held }, Message::Continued(notes, None))
            }
            Begin::Ignore => Init::Ignore,
            Begin::Stop(reason) => Init::Stop(reason),
            Begin::Crash => oops(),
            Begin::Hang => std::future::pending().await,
        }
    }

    async fn handle(&mut self, message: Message, ctx: &mut Context<Actor>) -> Next<Actor> {
        match message {
            Message::Get(from) => from.reply("7".into()),
            Message::Sync(from) => from.reply(()),
            Message::Note(note) => say!(self.plan.trace, "handle", self.plan.label, note),
            Message::Info(text) => say!(self.plan.trace, "info", self.plan.label, text),
            Message::Continued(mut notes, stop) => {
                let note = notes.remove(0);
                say!(self.plan.trace, "continue", self.plan.label, note);
                if !notes.is_empty() {
                    return Next::Continue(Message::Continued(notes, stop));
                }
                if let Some(reason) = stop {
                    return Next::Stop(reason);
                }
            }
            Message::Hold(note, from) => {
                say!(self.plan.trace, note);
                self.held.push(from);
            }
            Message::Run(errand) => return errand(self, ctx).await,
            Message::Ask(from, ask) => return ask(from, self, ctx).await,
        }
        Next::Go
    }

    async fn handle_info(&mut self, info: Info, ctx: &mut Context<Actor>) -> Next<Actor> {
        let (trace, label) = (&self.plan.trace, self.plan.label);
        match info {
            Info::Exit { from, reason } => say!(trace, "info", label, "exit", from, &reason),
            Info::Down {
                monitor,
                pid,
                reason,
                ..
            } => say!(trace, "info", label, "down", monitor, pid, &reason),
            Info::Timeout => say!(trace, "info", label, "timeout"),
            Info::Message(message) => match message.downcast::<Errand>() {
                Ok(errand) => return errand(self, ctx).await,
                Err(message) => {
                    let text = message.downcast::<&'static str>().unwrap();
                    say!(trace, "info", label, *text);
                }
            },
            other => panic!("{other:?}"),
        }
        Next::Go
    }

    /// A note is called what it says, so that those who see its name know which one it is.
    fn message_name(message: &Message) -> &'static str {
        match message {
            Message::Note(note) => note,
            _ => "message",
        }
    }

    async fn terminate(&mut self, reason: &ExitReason, ctx: &mut Context<Actor>) {
        if let Some(line) = self.plan.before {
            self.plan.trace.wait(line, 1).await;
        }
        if !self.plan.quiet {
            say!(self.plan.trace, "terminate", self.plan.label, reason);
        }
        match self.plan.ending.clone() {
            Ending::Return => {}
            Ending::Crash => oops(),
            // Erlang's exit/1: no signal to be trapped, and nothing behind it runs.
            Ending::Exit(reason) => {
                ctx.trap_exit(false);
                ctx.exit(ctx.pid(), reason);
                std::future::pending::<()>().await;
            }
            Ending::Hang => std::future::pending().await,
        }
    }
}

/// A panic which the hook does not print: there are hundreds of them.
pub(crate) fn oops() -> ! {
    std::panic::resume_unwind(Box::new("oops"))
}

/// Has the actor run an async function.
pub(crate) fn run<F>(actor: &ServerRef<Actor>, function: F)
where
    F: for<'a> FnOnce(&'a mut Actor, &'a mut Context<Actor>) -> BoxFuture<'a, Next<Actor>>
        + Send
        + 'static,
{
    actor.cast(Message::Run(Box::new(function)));
}

/// Has the actor run a function, and gives its result.
pub(crate) async fn within<T: Send + 'static>(
    actor: &ServerRef<Actor>,
    function: impl FnOnce(&mut Context<Actor>) -> T + Send + 'static,
) -> T {
    let (sender, receiver) = oneshot::channel();
    run(actor, move |_, ctx| {
        let _ = sender.send(function(ctx));
        Box::pin(async { Next::Go })
    });
    receiver.await.expect("the actor must be alive")
}

pub(crate) fn note(actor: &ServerRef<Actor>, note: &'static str) {
    actor.cast(Message::Note(note));
}

pub(crate) fn info(text: &'static str) -> Message {
    Message::Info(text)
}

pub(crate) async fn sync(actor: &ServerRef<Actor>) {
    actor.call(Message::Sync).await.unwrap();
}

/// What the actor does next is this.
pub(crate) fn next(actor: &ServerRef<Actor>, next: Next<Actor>) {
    run(actor, move |_, _| Box::pin(async move { next }));
}

pub(crate) fn stop(actor: &ServerRef<Actor>, reason: ExitReason) {
    next(actor, Next::Stop(reason));
}

pub(crate) fn crash(actor: &ServerRef<Actor>) {
    run(actor, |_, _| Box::pin(async { oops() }));
}

/// Makes the actor end itself; a signal is for the driver.
pub(crate) fn finish(actor: &ServerRef<Actor>, how: &How) {
    match how {
        How::Stop(reason) => stop(actor, reason.clone()),
        How::Crash => crash(actor),
        How::Signal(_) => unreachable!("signals are sent by the driver"),
    }
}

/// Starts an actor as the child of another.
pub(crate) async fn child(parent: &ServerRef<Actor>, plan: Plan) -> ServerRef<Actor> {
    let start = within(parent, move |ctx| {
        ctx.start_link::<Actor>(plan, Options::new())
    });
    start.await.await.unwrap()
}

/// Makes the actor wait inside a callback until the sender is used; it is there on return.
pub(crate) async fn busy(actor: &ServerRef<Actor>) -> oneshot::Sender<()> {
    let (free, gate) = oneshot::channel::<()>();
    let (there, arrived) = oneshot::channel();
    run(actor, move |_, _| {
        Box::pin(async move {
            let _ = there.send(());
            let _ = gate.await;
            Next::Go
        })
    });
    arrived.await.unwrap();
    free
}

/// A call whose handler is this function.
pub(crate) fn ask<F>(function: F) -> impl FnOnce(From<String>) -> Message + Send
where
    F: for<'a> FnOnce(
            From<String>,
            &'a mut Actor,
            &'a mut Context<Actor>,
        ) -> BoxFuture<'a, Next<Actor>>
        + Send
        + 'static,
{
    move |from| Message::Ask(from, Box::new(function))
}

/// A panic in a handler, with whatever it has in hand.
pub(crate) fn crash_holding<T>(held: T) -> ! {
    let _held = held;
    oops()
}
