//! Starting a process without waiting for it (`spawn_request/5`).
//!
//! ```text
//!  requester ── spawn_request ──▶ goes on
//!      ◀── Info::Spawned { request, result } ── before any EXIT or DOWN of the process
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::context::Context;
use crate::exit_reason::ExitReason;
use crate::gen_server::GenServer;
use crate::node::Node;
use crate::options::Options;
use crate::pid::{MonitorRef, Pid, RequestRef};
use crate::process::Process;
use crate::signal::Signal;
use crate::start::{StartError, start_process};

/// How a process is started by [`Context::spawn_request`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpawnOptions {
    /// Link it to the requester. If the requester ends before the answer, so does the process.
    pub link: bool,
    /// Watch it; the monitor is the one [`Context::spawn_request`] returns.
    pub monitor: bool,
    /// Tell when it was started.
    pub reply_success: bool,
    /// Tell when it could not be started.
    pub reply_failure: bool,
}

impl Default for SpawnOptions {
    /// Neither link nor monitor; every answer is told.
    fn default() -> SpawnOptions {
        SpawnOptions {
            link: false,
            monitor: false,
            reply_success: true,
            reply_failure: true,
        }
    }
}

/// One request on its way.
#[derive(Clone)]
struct Request {
    requester: Arc<Process>,
    request: RequestRef,
    monitor: Option<MonitorRef>,
    how: SpawnOptions,
}

impl Request {
    /// On the node of the process, when it has just become visible.
    fn settle(&self, child: &Arc<Process>) {
        let requester = self.requester.pid;
        if self.how.link {
            child.add_link(requester);
            child.node.note_link(child.pid, requester);
        }
        if let Some(monitor) = self.monitor {
            child.add_watcher(monitor, requester);
            child.node.note_watched(monitor, requester, child.pid);
        }
        let (this, pid) = (self.clone(), child.pid);
        let home = self.requester.node.clone();
        child.node.post(&home, Box::new(move |_| this.arrived(pid)));
    }

    /// On the node of the requester.
    fn arrived(&self, child: Pid) {
        let requester = &self.requester;
        if self.how.link {
            if !requester.add_link(child) {
                // The requester has ended: its end is that of the process it asked for.
                let reason = requester.exit_reason().unwrap_or(ExitReason::NoProc);
                let home = &requester.node;
                home.deliver_exit(requester.pid, child, &reason, true);
                return;
            }
            requester.node.note_link(requester.pid, child);
        }
        if let Some(monitor) = self.monitor {
            requester.add_watching(monitor, child, None, false);
            requester.node.note_watching(monitor, requester.pid, child);
        }
        self.answer(Ok(child));
    }

    fn answer(&self, result: Result<Pid, StartError>) {
        let wanted = match &result {
            Ok(_) => self.how.reply_success,
            Err(_) => self.how.reply_failure,
        };
        if wanted {
            let request = self.request;
            self.requester.signal(Signal::Spawned { request, result });
        } else {
            self.requester.remove_request(self.request);
        }
    }
}

impl<S: GenServer> Context<S> {
    /// Starts a server on `node`, this one or another, and goes on. The answer arrives as
    /// [`crate::Info::Spawned`], once the process exists; what its `init` makes of it arrives as
    /// EXIT or DOWN, if it is linked or watched. A node that is not connected is
    /// [`ExitReason::NoConnection`].
    pub fn spawn_request<C: GenServer>(
        &mut self,
        node: &Node,
        args: C::Args,
        options: Options,
        how: SpawnOptions,
    ) -> (RequestRef, Option<MonitorRef>) {
        let home = self.node().clone();
        let request = Request {
            requester: self.process.clone(),
            request: home.new_request(),
            monitor: how.monitor.then(|| home.new_monitor()),
            how,
        };
        let refs = (request.request, request.monitor);
        self.process.add_request(request.request);
        let visible = Arc::new(AtomicBool::new(false));
        let settled = {
            let (request, visible) = (request.clone(), visible.clone());
            move |child: &Arc<Process>| {
                visible.store(true, Ordering::Release);
                request.settle(child);
            }
        };
        let options = options.unlinked().on_published(settled);
        let parent = Some(self.process.clone());
        let unreachable = request.clone();
        let begin = move |target: &Node| {
            let target = target.clone();
            tokio::spawn(async move {
                let back = target.clone();
                let started = start_process::<C>(target, parent, args, options).await;
                // What became visible has its answer; how it ends is for link and monitor.
                if let Err(error) = started
                    && !visible.load(Ordering::Acquire)
                {
                    let home = request.requester.node.clone();
                    back.post(&home, Box::new(move |_| request.answer(Err(error))));
                }
            });
        };
        if !home.post(node, Box::new(begin)) {
            unreachable.answer(Err(StartError::Failed(ExitReason::NoConnection)));
        }
        refs
    }

    /// Gives up on a request (`spawn_request_abandon/1`): its answer is dropped. Returns `false`
    /// if it was answered already.
    pub fn abandon_spawn_request(&mut self, request: RequestRef) -> bool {
        self.take_request(request)
    }

    /// Whether a request is still open; it is not any more.
    pub(crate) fn take_request(&mut self, request: RequestRef) -> bool {
        self.process.remove_request(request)
    }
}
