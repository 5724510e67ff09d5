//! Starting applications.

use std::sync::Arc;

use super::{Controller, answer_failure, is_within};
use crate::application::master::{Master, MasterArgs};
use crate::application::states::{Life, Waiter};
use crate::application::{ApplicationError, ApplicationStatus, StartType};
use crate::context::Context;
use crate::exit_reason::ExitReason;
use crate::node::Node;
use crate::options::Options;
use crate::pid::Pid;
use crate::start::StartError;
use crate::supervisor::why_of;

impl Controller {
    pub(super) async fn start(
        &mut self,
        name: &Arc<str>,
        start_type: StartType,
        caller: Option<Pid>,
        from: Waiter<bool>,
        ctx: &mut Context<Controller>,
    ) {
        match self.may_start(name, start_type, caller, ctx.node()) {
            Err(error) => from.reply(Err(error)),
            // It is held.
            Ok(false) => from.reply(Ok(true)),
            Ok(true) => {
                if let Ok(entry) = self.entry(name)
                    && let Life::Starting { waiters, .. } = &mut entry.life
                {
                    waiters.push(from);
                    return;
                }
                self.begin(name, start_type, vec![from], Vec::new(), ctx)
                    .await;
            }
        }
    }

    /// Whether it is to be started, or waited for, now; `false` if it is held.
    pub(super) fn may_start(
        &mut self,
        name: &Arc<str>,
        start_type: StartType,
        caller: Option<Pid>,
        node: &Node,
    ) -> Result<bool, ApplicationError> {
        if self.applications.shared.is_draining() {
            return Err(ApplicationError::NodeStopping);
        }
        let entry = self.entry(name)?;
        match &entry.life {
            Life::Starting { master, .. } if is_within(node, caller, master.pid()) => {
                return Err(ApplicationError::WithinItself(name.clone()));
            }
            Life::Starting { .. } => return Ok(true),
            Life::Running { .. } | Life::Stopping { .. } | Life::Held(_) => {
                return Err(ApplicationError::AlreadyStarted(name.clone()));
            }
            Life::Loaded => {}
        }
        if !entry.permitted {
            entry.life = Life::Held(start_type);
            return Ok(false);
        }
        let needs = entry.application.dependencies.clone();
        let missing = needs.into_iter().find(|need| {
            let needed = self.entries.get(need);
            needed.is_none_or(|needed| needed.life.status() != ApplicationStatus::Running)
        });
        match missing {
            Some(need) => Err(ApplicationError::NotStarted(need)),
            None => Ok(true),
        }
    }

    /// Starts the master, which does the rest.
    pub(super) async fn begin(
        &mut self,
        name: &Arc<str>,
        start_type: StartType,
        waiters: Vec<Waiter<bool>>,
        permits: Vec<Waiter<()>>,
        ctx: &mut Context<Controller>,
    ) {
        let args = self.entries.get(name).map(|entry| MasterArgs {
            application: entry.application.clone(),
            applications: self.applications.clone(),
            controller: ctx.self_ref(),
        });
        let started = match args {
            Some(args) => {
                let options = Options::new().label(format!("application {name}"));
                ctx.start_link::<Master>(args, options).await
            }
            None => Err(StartError::Failed(ExitReason::NoProc)),
        };
        match (started, self.entries.get_mut(name)) {
            (Ok(master), Some(entry)) => {
                self.order.push(name.clone());
                entry.life = Life::Starting {
                    master,
                    start_type,
                    waiters,
                    permits,
                };
            }
            (Err(error), _) => {
                answer_failure(name, &why_of(error), waiters, permits);
            }
            (Ok(_), None) => {}
        }
    }

    pub(super) fn up(&mut self, pid: Pid) {
        let Some(entry) = self.by_master(pid) else {
            return;
        };
        match std::mem::take(&mut entry.life) {
            Life::Starting {
                master,
                start_type,
                waiters,
                permits,
            } => {
                entry.life = Life::Running { master, start_type };
                for (index, waiter) in waiters.into_iter().enumerate() {
                    waiter.reply(Ok(index == 0));
                }
                for permit in permits {
                    permit.reply(Ok(()));
                }
            }
            other => entry.life = other,
        }
    }
}
