//! What a process tells when it ends badly.

use crate::context::Context;
use crate::exit_reason::ExitReason;
use crate::gen_server::{GenServer, Status};
use crate::panics::guarded_now;
use crate::report::CrashReport;

impl<S: GenServer> Context<S> {
    /// The server as it wants to be seen. A hook that panics gives a text that says so.
    pub(crate) fn status(&self, server: Option<&S>, reason: Option<ExitReason>) -> Status {
        let load = self.process.mailbox().load();
        let plain = Status {
            state: std::any::type_name::<S>().to_owned(),
            message: load.current.map(str::to_owned),
            reason,
            log: self
                .debug
                .as_ref()
                .map_or(Vec::new(), |debug| debug.log_lines()),
        };
        let Some(server) = server else {
            return plain;
        };
        let mut shown = plain.clone();
        match guarded_now(|| server.format_status(&mut shown)) {
            Ok(()) => shown,
            Err(_) => Status {
                state: format!("{} (its format_status panicked)", plain.state),
                ..plain
            },
        }
    }

    /// What is known now, while the state is still there.
    pub(crate) fn crash_report(&self, server: Option<&S>, reason: &ExitReason) -> Box<CrashReport> {
        let process = &self.process;
        let load = process.mailbox().load();
        let status = self.status(server, Some(reason.clone()));
        Box::new(CrashReport {
            pid: process.pid,
            name: process.name(),
            label: process.label(),
            server: std::any::type_name::<S>(),
            reason: status.reason.unwrap_or_else(|| reason.clone()),
            ancestors: process.lineage.ancestors().to_vec(),
            links: process.links(),
            mailbox_len: load.len,
            last_message: status.message,
            state: Some(status.state),
            client: load.client,
            log: status.log,
        })
    }
}
