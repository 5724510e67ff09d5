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

/// Why a linked process ends whose requester has given it up, as [`ExitReason::Custom`].
const ABANDONED: &str = "abandoned";

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
            if !child.node.note_link(child.pid, requester) {
                child.exit_signal(requester, ExitReason::NoConnection, true);
            }
        }
        if let Some(monitor) = self.monitor
            && child.node.note_watched(monitor, requester, child.pid)
        {
            child.add_watcher(monitor, requester);
        }
        let (this, pid) = (self.clone(), child.pid);
        let home = self.requester.node.clone();
        child.node.post(&home, Box::new(move |_| this.arrived(pid)));
    }

    /// On the node of the requester: the process exists.
    fn arrived(&self, child: Pid) {
        let requester = &self.requester;
        let home = &requester.node;
        home.forget_request(child, self.request);
        if !requester.remove_request(self.request) {
            return self.unwanted(child);
        }
        if self.how.link {
            let noted = home.note_link(requester.pid, child);
            if !requester.add_link(child) {
                return self.unwanted(child);
            }
            if !noted {
                requester.exit_signal(child, ExitReason::NoConnection, true);
            }
        }
        if let Some(monitor) = self.monitor {
            home.note_watching(monitor, requester.pid, child);
            if !requester.found_watched(monitor, child) {
                // Taken back before there was anything to watch.
                home.remove_watcher(monitor, requester.pid, child);
            }
        }
        if self.how.reply_success {
            self.tell(Ok(child));
        }
    }

    /// The requester has ended, or has given the request up.
    fn unwanted(&self, child: Pid) {
        let requester = &self.requester;
        let home = &requester.node;
        if self.how.link {
            let reason = requester.exit_reason();
            let reason = reason.unwrap_or_else(|| ExitReason::Custom(ABANDONED.into()));
            home.deliver_exit(requester.pid, child, &reason, true);
        }
        if let Some(monitor) = self.monitor {
            requester.cancel_watching(monitor, true);
            home.remove_watcher(monitor, requester.pid, child);
        }
    }

    /// On the node of the requester: there is no process. Nothing is done the second time.
    fn failed(&self, error: StartError) {
        let requester = &self.requester;
        if !requester.remove_request(self.request) {
            return;
        }
        if let Some(monitor) = self.monitor {
            requester.cancel_watching(monitor, true);
        }
        if self.how.reply_failure {
            self.tell(Err(error));
        }
    }

    fn tell(&self, result: Result<Pid, StartError>) {
        let request = self.request;
        self.requester.signal(Signal::Spawned { request, result });
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
        if self.process.is_fenced() {
            home.counters().fenced();
            return refs;
        }
        self.process.add_request(request.request);
        if let Some(monitor) = request.monitor {
            // From now on it can be taken back; what it watches is not known yet.
            let nobody = node.outside();
            self.process.add_watching(monitor, nobody, None, false);
        }
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
                let started = start_process::<C>(target.clone(), parent, args, options).await;
                // What became visible has its answer; how it ends is for link and monitor.
                if let Err(error) = started
                    && !visible.load(Ordering::Acquire)
                {
                    let home = request.requester.node.clone();
                    let answer = move |home: &Node| {
                        home.forget_request(back.outside(), request.request);
                        request.failed(error);
                    };
                    target.post(&home, Box::new(answer));
                }
            });
        };
        let lost = {
            let request = unreachable.clone();
            move || request.failed(StartError::Failed(ExitReason::NoConnection))
        };
        // If it is noted and then lost, the loss answers it.
        if home.note_request(node.outside(), unreachable.request, lost) {
            home.post(node, Box::new(begin));
        } else {
            unreachable.failed(StartError::Failed(ExitReason::NoConnection));
        }
        refs
    }

    /// Gives up on a request (`spawn_request_abandon/1`): no answer comes. If the process is
    /// started nevertheless it has no monitor, and it ends, as `abandoned`, if it was to be
    /// linked. Returns `false` if the request was answered already: the answer waits in the
    /// mailbox then, or was handled.
    pub fn abandon_spawn_request(&mut self, request: RequestRef) -> bool {
        self.process.remove_request(request)
    }
}
