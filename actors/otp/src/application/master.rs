//! The master of one application: runs its hooks and holds its tree (`application_master`).
//!
//! ```text
//!   controller ──begin, stop──▶ master ──start, link──▶ the application's supervisor
//!              ◀──up, EXIT────    │    ◀──EXIT────────
//!                                 └─ start, phases … prep_stop, stop
//! ```
//!
//! * Started by the controller, once for each start of its application.
//! * When it is stopped it stops the tree; when the tree ends it ends for the same reason. When it
//!   is killed the tree gets an exit signal.
//! * It calls whatever the hooks call. They run one after another in here.
//! * Its mailbox holds requests of the controller and of a drain, a handful.

use std::sync::Arc;

use crate::application::controller::{Controller, Message as ToController};
use crate::application::environment::ConfigChange;
use crate::application::{Application, ApplicationContext, Applications, Hook};
use crate::context::Context;
use crate::exit_reason::ExitReason;
use crate::gen_server::{GenServer, Info, Init, Next};
use crate::mailbox::SendError;
use crate::options::Options;
use crate::panics::guarded;
use crate::pid::Pid;
use crate::server_ref::{From, ServerRef};
use crate::supervisor::child_spec::Shutdown;
use crate::supervisor::stopping::Stopping;
use crate::supervisor::why_of;

pub(super) struct MasterArgs {
    pub(super) application: Application,
    pub(super) applications: Applications,
    pub(super) controller: ServerRef<Controller>,
}

pub(super) struct Master {
    args: MasterArgs,
    tree: Option<Pid>,
}

pub(super) enum Message {
    /// Start the tree.
    Begin,
    /// Stop the tree, and end.
    Stop,
    /// The environment was changed.
    ConfigChange(ConfigChange),
    /// Take on no more work.
    StopAccepting(From<()>),
    /// Come back when the work is finished.
    Finish(From<()>),
}

impl GenServer for Master {
    type Args = MasterArgs;
    type Message = Message;

    async fn init(args: MasterArgs, ctx: &mut Context<Master>) -> Init<Master> {
        ctx.trap_exit(true);
        let master = Master { args, tree: None };
        Init::Continue(master, Message::Begin)
    }

    async fn handle(&mut self, message: Message, ctx: &mut Context<Master>) -> Next<Master> {
        match message {
            Message::Begin => {
                if let Err(reason) = self.begin(ctx).await {
                    return Next::Stop(reason);
                }
                self.tell_up(ctx.pid()).await;
            }
            Message::Stop => {
                self.run(self.args.application.prep_stop.clone()).await;
                return Next::Stop(ExitReason::Normal);
            }
            Message::ConfigChange(change) => {
                if let Some(hook) = self.args.application.config_change.clone() {
                    let context = self.context();
                    self.note(guarded(async move { hook(context, change).await }).await);
                }
            }
            Message::StopAccepting(from) => {
                self.run(self.args.application.stop_accepting.clone()).await;
                from.reply(());
            }
            Message::Finish(from) => {
                self.run(self.args.application.finish.clone()).await;
                from.reply(());
            }
        }
        Next::Go
    }

    async fn handle_info(&mut self, info: Info, _ctx: &mut Context<Master>) -> Next<Master> {
        if let Info::Exit { from, reason } = info
            && self.tree == Some(from)
        {
            // As in Erlang, though there is nothing left to prepare.
            self.run(self.args.application.prep_stop.clone()).await;
            return Next::Stop(reason);
        }
        Next::Go
    }

    fn message_name(message: &Message) -> &'static str {
        match message {
            Message::Begin => "begin",
            Message::Stop => "stop",
            Message::ConfigChange(_) => "config_change",
            Message::StopAccepting(_) => "stop_accepting",
            Message::Finish(_) => "finish",
        }
    }

    async fn terminate(&mut self, _reason: &ExitReason, ctx: &mut Context<Master>) {
        // Without a tree the start failed: there is nothing to stop.
        if let Some(tree) = self.tree {
            Stopping::begin(ctx, tree, Shutdown::Infinity)
                .finish()
                .await;
            self.run(self.args.application.stop.clone()).await;
        }
    }
}

impl Master {
    fn context(&self) -> ApplicationContext {
        self.context_of(&self.args.application)
    }

    fn context_of(&self, application: &Application) -> ApplicationContext {
        ApplicationContext {
            name: application.name.clone(),
            applications: self.args.applications.clone(),
        }
    }

    /// Starts the tree and runs the start phases.
    async fn begin(&mut self, ctx: &mut Context<Master>) -> Result<(), ExitReason> {
        let start = self.args.application.start.clone();
        let context = self.context();
        let description = guarded(async move { start(context).await }).await??;
        let options = Options::new().label(format!("supervisor of {}", self.args.application.name));
        let tree = description.start_link(ctx, options).await;
        let tree = tree.map_err(why_of)?.pid();
        if let Err(reason) = self.phases().await {
            Stopping::begin(ctx, tree, Shutdown::Infinity)
                .finish()
                .await;
            return Err(reason);
        }
        self.tree = Some(tree);
        Ok(())
    }

    /// Each phase of this application, in it and in those it includes.
    async fn phases(&self) -> Result<(), ExitReason> {
        let primary = &self.args.application;
        for phase in &primary.phases {
            for application in std::iter::once(primary).chain(&primary.included) {
                let Some(hook) = application.phase.clone() else {
                    continue;
                };
                if application.phases.contains(phase) {
                    let (context, phase) = (self.context_of(application), phase.clone());
                    guarded(async move { hook(context, phase).await }).await??;
                }
            }
        }
        Ok(())
    }

    /// Tells the controller that the application runs. It must not be lost.
    async fn tell_up(&self, master: Pid) {
        let mut message = ToController::Up { master };
        while let Err(SendError::Full(back)) = self.args.controller.try_cast(message) {
            message = back;
            tokio::task::yield_now().await;
        }
    }

    /// Runs a hook; one that panics is noted, and the stop goes on.
    async fn run(&self, hook: Option<Hook>) {
        if let Some(hook) = hook {
            let context = self.context();
            self.note(guarded(async move { hook(context).await }).await);
        }
    }

    fn note(&self, outcome: Result<(), ExitReason>) {
        if let Err(reason) = outcome {
            let application: &Arc<str> = &self.args.application.name;
            tracing::error!(%application, %reason, "a hook of the application panicked");
        }
    }
}
