//! Stopping applications, and what happens when one ends.

use std::sync::Arc;
use std::time::Duration;

use super::{Controller, Message, answer_failure, is_within};
use crate::application::master::Message as ToMaster;
use crate::application::states::{Entry, Life, Waiter};
use crate::application::{ApplicationError, StartType};
use crate::context::Context;
use crate::exit_reason::ExitReason;
use crate::pid::Pid;

impl Controller {
    pub(super) fn stop(
        &mut self,
        name: &Arc<str>,
        limit: Option<Duration>,
        caller: Option<Pid>,
        from: Waiter<()>,
        ctx: &mut Context<Controller>,
    ) {
        let entry = match self.entry(name) {
            Ok(entry) => entry,
            Err(error) => return from.reply(Err(error)),
        };
        let mut from = Some(from);
        if let Some(master) = entry.life.master()
            && is_within(ctx.node(), caller, master.pid())
            && let Some(from) = from.take()
        {
            // It cannot wait for its own end; it is stopped nevertheless.
            from.reply(Err(ApplicationError::WithinItself(name.clone())));
        }
        match std::mem::take(&mut entry.life) {
            Life::Loaded => {
                if let Some(from) = from {
                    from.reply(Err(ApplicationError::NotStarted(name.clone())));
                }
            }
            Life::Held(_) => {
                if let Some(from) = from {
                    from.reply(Ok(()));
                }
            }
            life => {
                let master = entry.begin_stop(life, from, None);
                if let (Some(limit), Some(master)) = (limit, master) {
                    let name = name.clone();
                    ctx.send_after(limit, Message::Force { name, master });
                }
            }
        }
    }

    pub(super) async fn permit(
        &mut self,
        name: &Arc<str>,
        permit: bool,
        from: Waiter<()>,
        ctx: &mut Context<Controller>,
    ) {
        self.applications.shared.set_forbidden(name, !permit);
        let Some(entry) = self.entries.get_mut(name) else {
            // Remembered for when it is loaded.
            return from.reply(Ok(()));
        };
        entry.permitted = permit;
        match (std::mem::take(&mut entry.life), permit) {
            (Life::Held(start_type), true) => {
                self.begin(name, start_type, Vec::new(), vec![from], ctx)
                    .await;
            }
            (
                life @ (Life::Running { start_type, .. } | Life::Starting { start_type, .. }),
                false,
            ) => {
                entry.begin_stop(life, Some(from), Some(start_type));
            }
            (life, _) => {
                entry.life = life;
                from.reply(Ok(()));
            }
        }
    }

    /// A master has ended.
    pub(super) fn ended(&mut self, pid: Pid, reason: ExitReason, ctx: &mut Context<Controller>) {
        let Some(entry) = self.by_master(pid) else {
            return;
        };
        let name = entry.application.name.clone();
        let life = std::mem::take(&mut entry.life);
        match life {
            Life::Starting {
                waiters, permits, ..
            } => answer_failure(&name, &reason, waiters, permits),
            Life::Running { start_type, .. } => {
                tracing::warn!(application = %name, %reason, ?start_type, "the application ended");
                let ends_node = match start_type {
                    StartType::Permanent => true,
                    StartType::Transient => reason != ExitReason::Normal,
                    StartType::Temporary => false,
                };
                // In a drain the node ends anyway, in its own time.
                if ends_node && !self.applications.shared.is_draining() {
                    self.applications.shared.node_ends(name.clone(), reason);
                    let node = ctx.node().clone();
                    tokio::spawn(async move { node.stop().await });
                }
            }
            Life::Stopping {
                waiters,
                held,
                killed,
                ..
            } => {
                if let Some(start_type) = held {
                    entry.life = Life::Held(start_type);
                }
                for waiter in waiters {
                    waiter.reply(match killed {
                        true => Err(ApplicationError::Killed(name.clone())),
                        false => Ok(()),
                    });
                }
            }
            Life::Loaded | Life::Held(_) => {}
        }
        self.order.retain(|one| *one != name);
    }
}

impl Entry {
    /// Tells the master to stop; gives it.
    fn begin_stop(
        &mut self,
        life: Life,
        from: Option<Waiter<()>>,
        hold: Option<StartType>,
    ) -> Option<Pid> {
        let (master, mut waiters, held, killed) = match life {
            Life::Starting {
                master,
                waiters,
                permits,
                ..
            } => {
                let reason = ExitReason::ShutdownWith("stopped while it started".into());
                answer_failure(&self.application.name, &reason, waiters, permits);
                (master, Vec::new(), hold, false)
            }
            Life::Running { master, .. } => (master, Vec::new(), hold, false),
            Life::Stopping {
                master,
                waiters,
                held,
                killed,
            } => (master, waiters, held, killed),
            Life::Loaded | Life::Held(_) => return None,
        };
        if waiters.is_empty() {
            master.cast(ToMaster::Stop);
        }
        waiters.extend(from);
        let pid = master.pid();
        self.life = Life::Stopping {
            master,
            waiters,
            held,
            killed,
        };
        Some(pid)
    }
}
