//! Draining: ending all applications without losing what they have taken on.
//!
//! ```text
//!   stop accepting ──▶ take names back ──▶ finish what was taken on ──▶ stop the trees
//!          └─────────── the limit is over, or drain is called again: kill ──────────┘
//! ```

use futures_util::future::join_all;
use std::time::Duration;
use tokio::time::Instant;

use crate::application::ApplicationError;
use crate::application::controller::{Message, RunningMaster, kill_tree};
use crate::application::handle::Applications;
use crate::application::master::Message as ToMaster;

/// How a drain ended. Nothing runs in either case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainOutcome {
    /// Everything was finished and stopped in good order.
    Finished,
    /// It took too long, or was asked for a second time: what was left was killed.
    Forced,
}

impl Applications {
    /// Ends all applications, the last started first, step by step: none takes on work
    /// ([`crate::Application::stop_accepting`]); their public names are taken back, so that others
    /// look elsewhere; they finish what they have ([`crate::Application::finish`]); they are
    /// stopped. Nothing can be started from the first call on.
    ///
    /// Meant for SIGTERM. Called a second time, for a second signal, it does not wait for anything
    /// any more, nor does the first call.
    ///
    /// # Errors
    /// [`ApplicationError::NodeStopping`]: the node is being stopped already.
    pub async fn drain(&self, limit: Duration) -> Result<DrainOutcome, ApplicationError> {
        let mut calls = 0;
        self.shared.draining.send_modify(|draining| {
            *draining = draining.saturating_add(1);
            calls = *draining;
        });
        let masters = self.ask(Message::Masters).await?;
        if calls > 1 {
            self.force(&masters).await;
            return Ok(DrainOutcome::Forced);
        }
        let mut again = self.shared.draining.subscribe();
        let deadline = Instant::now() + limit;
        let finished = tokio::select! {
            biased;
            _ = again.wait_for(|calls| *calls > 1) => false,
            steps = tokio::time::timeout_at(deadline, self.step_by_step(&masters)) => steps.is_ok(),
        };
        if finished {
            return Ok(DrainOutcome::Finished);
        }
        self.force(&masters).await;
        Ok(DrainOutcome::Forced)
    }

    async fn step_by_step(&self, masters: &[RunningMaster]) {
        for running in masters {
            // One that has ended meanwhile accepts nothing either; so below.
            let _ = running.master.call_infinity(ToMaster::StopAccepting).await;
        }
        for running in masters {
            for name in &running.public_names {
                let _ = self.node().unregister(name);
            }
        }
        join_all(masters.iter().map(|running| async move {
            let _ = running.master.call_infinity(ToMaster::Finish).await;
        }))
        .await;
        for running in masters {
            let _ = self.stop(&running.name).await;
        }
    }

    async fn force(&self, masters: &[RunningMaster]) {
        for running in masters {
            for process in kill_tree(self.node(), running.master.pid()) {
                process.wait().await;
            }
        }
    }
}
