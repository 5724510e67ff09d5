//! Reports: what the runtime tells people about processes that fail (SASL's crash, supervisor and
//! progress reports; `proc_lib(3)`, `supervisor(3)`, `logger_formatter(3)`).
//!
//! ```text
//!  a process ends badly ──▶ CrashReport      ─┐
//!  a supervisor acts    ──▶ SupervisorReport ─┼─▶ the node's handlers (Node::on_report)
//!  a child runs         ──▶ ProgressReport   ─┘      └─▶ tracing, always
//! ```
//!
//! Ends with normal, shutdown and shutdown with an explanation make no crash report. Handlers run
//! in the process that reports, in order; they must be quick and must not wait.

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use tracing::field::display;

use crate::exit_reason::ExitReason;
use crate::pid::Pid;

/// Characters of a text in a report unless a [`Format`] says otherwise; longer ones are cut.
pub const REPORT_CHARS_MAX: usize = 4_096;

/// Something the runtime tells.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Report {
    /// A process ended with a reason that is not clean.
    Crash(Box<CrashReport>),
    /// A supervisor had to act.
    Supervisor(Box<SupervisorReport>),
    /// A supervisor started a child.
    Progress(Box<ProgressReport>),
    /// A handler does not come back.
    Stuck(Box<StuckReport>),
    /// A task failed by itself.
    Task(Box<TaskReport>),
}

/// A process ended with a reason that is not clean (`proc_lib(3)`, crash report).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrashReport {
    /// The process.
    pub pid: Pid,
    /// Its registered name.
    pub name: Option<Arc<str>>,
    /// What it said it is.
    pub label: Option<Arc<str>>,
    /// The type of its server (initial call).
    pub server: &'static str,
    /// Why it ended.
    pub reason: ExitReason,
    /// The processes that started it, its parent first; at most 64. Some may be gone.
    pub ancestors: Vec<Pid>,
    /// The processes it was linked to.
    pub links: Vec<Pid>,
    /// How many messages waited; they are lost.
    pub mailbox_len: usize,
    /// The message it was handling, by name, as the server's `format_status` shows it.
    pub last_message: Option<String>,
    /// Its state, as the server's `format_status` shows it.
    pub state: Option<String>,
    /// The process whose call it was handling.
    pub client: Option<Pid>,
    /// The last events of its debug log, if there is one (`sys:log/2`), oldest first.
    pub log: Vec<String>,
}

/// What a supervisor was doing (`supervisor(3)`, `errorContext` of a supervisor report).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SupervisorContext {
    /// A child did not start.
    StartError,
    /// A child ended.
    ChildTerminated,
    /// A child did not end as it was told to.
    ShutdownError,
    /// The supervisor ends because of too many restarts.
    Shutdown,
}

/// A supervisor had to act (`supervisor(3)`, supervisor report).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SupervisorReport {
    /// The supervisor.
    pub supervisor: Pid,
    /// Its registered name.
    pub name: Option<Arc<str>>,
    /// What it was doing.
    pub context: SupervisorContext,
    /// Why.
    pub reason: ExitReason,
    /// The id of the child.
    pub child: Arc<str>,
    /// The process of the child, if there was one.
    pub child_pid: Option<Pid>,
}

/// A supervisor started a child (`supervisor(3)`, progress report). Not made for what a child
/// merely announced, as a process that ran before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgressReport {
    /// The supervisor.
    pub supervisor: Pid,
    /// The id of the child.
    pub child: Arc<str>,
    /// Its process.
    pub child_pid: Pid,
}

/// A handler has held its worker too long (`erlang:system_monitor/2`, `long_schedule`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StuckReport {
    /// The process.
    pub pid: Pid,
    /// What it said it is.
    pub label: Option<Arc<str>>,
    /// The type of its server.
    pub server: &'static str,
    /// The message it handles, by name.
    pub message: Option<String>,
    /// How long it has held its worker.
    pub held: Duration,
    /// Whether the process was replaced for it: to everybody else it has ended with
    /// [`ExitReason::Killed`].
    pub replaced: bool,
}

/// A task failed by itself, not because of an exit signal (Elixir: "Task #PID terminating").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskReport {
    /// The process of the task.
    pub task: Pid,
    /// What it said it is.
    pub label: Option<Arc<str>>,
    /// The process on whose behalf it ran.
    pub caller: Option<Pid>,
    /// Why it failed.
    pub reason: ExitReason,
}

/// How a report becomes text (`logger_formatter(3)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// On one line, fields separated by `; `.
    pub single_line: bool,
    /// Characters of each field; what is longer is cut and ends with `…`.
    pub chars_max: usize,
    /// Entries of each list; `…` stands for the others.
    pub entries_max: usize,
}

impl Default for Format {
    fn default() -> Format {
        Format {
            single_line: false,
            chars_max: REPORT_CHARS_MAX,
            entries_max: 30,
        }
    }
}

impl Report {
    /// The report as text.
    pub fn format(&self, format: Format) -> String {
        let mut text = Fields::new(format);
        match self {
            Report::Crash(report) => text.crash(report),
            Report::Supervisor(report) => text.supervisor(report),
            Report::Progress(report) => text.progress(report),
            Report::Stuck(report) => text.stuck(report),
            Report::Task(report) => text.task(report),
        }
        text.out
    }

    /// Passes it on to `tracing`. Nothing is formatted unless somebody listens.
    pub(crate) fn trace(&self) {
        let text = || {
            self.format(Format {
                single_line: true,
                ..Format::default()
            })
        };
        match self {
            Report::Crash(report) => {
                let label = report.label.as_deref();
                tracing::error!(pid = %report.pid, label, reason = %report.reason, "{}", text());
            }
            Report::Supervisor(report) => {
                tracing::warn!(supervisor = %report.supervisor, child = %report.child, "{}", text());
            }
            Report::Task(report) => {
                let (caller, label) = (report.caller.map(display), report.label.as_deref());
                tracing::error!(task = %report.task, caller, label, reason = %report.reason, "{}", text());
            }
            Report::Stuck(report) => {
                tracing::error!(pid = %report.pid, held = ?report.held, "{}", text());
            }
            Report::Progress(report) => {
                tracing::trace!(supervisor = %report.supervisor, child = %report.child, "{}", text());
            }
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.format(Format::default()))
    }
}

/// Builds the text of a report, field by field.
struct Fields {
    format: Format,
    out: String,
}

impl Fields {
    fn new(format: Format) -> Fields {
        Fields {
            format,
            out: String::new(),
        }
    }

    fn head(&mut self, text: &str) {
        self.out.push_str(text);
    }

    fn field(&mut self, name: &str, value: impl fmt::Display) {
        let value = value.to_string();
        let value = if self.format.single_line {
            value.replace('\n', " ")
        } else {
            value
        };
        let value = cut(&value, self.format.chars_max);
        let separator = if self.format.single_line {
            "; "
        } else {
            "\n    "
        };
        let _ = write!(self.out, "{separator}{name}: {value}");
    }

    fn list(&mut self, name: &str, values: &[impl fmt::Display]) {
        let shown = values.iter().take(self.format.entries_max);
        let mut shown: Vec<String> = shown.map(ToString::to_string).collect();
        if values.len() > self.format.entries_max {
            shown.push("…".to_owned());
        }
        self.field(name, format!("[{}]", shown.join(", ")));
    }

    fn optional(&mut self, name: &str, value: Option<&impl fmt::Display>) {
        if let Some(value) = value {
            self.field(name, value);
        }
    }

    fn crash(&mut self, report: &CrashReport) {
        self.head("process ended");
        self.field("server", report.server);
        self.field("pid", report.pid);
        self.optional("name", report.name.as_ref());
        self.optional("label", report.label.as_ref());
        self.field("reason", &report.reason);
        self.optional("last message", report.last_message.as_ref());
        self.optional("client", report.client.as_ref());
        self.optional("state", report.state.as_ref());
        self.list("ancestors", &report.ancestors);
        self.list("links", &report.links);
        self.field("mailbox", report.mailbox_len);
        if !report.log.is_empty() {
            self.list("log", &report.log);
        }
    }

    fn supervisor(&mut self, report: &SupervisorReport) {
        self.head(match report.context {
            SupervisorContext::StartError => "a child did not start",
            SupervisorContext::ChildTerminated => "a child ended",
            SupervisorContext::ShutdownError => "a child did not shut down as told",
            SupervisorContext::Shutdown => "too many restarts, the supervisor gives up",
        });
        self.field("supervisor", report.supervisor);
        self.optional("name", report.name.as_ref());
        self.field("child", &report.child);
        self.optional("pid", report.child_pid.as_ref());
        self.field("reason", &report.reason);
    }

    fn stuck(&mut self, report: &StuckReport) {
        self.head(if report.replaced {
            "a handler does not come back, its process was replaced"
        } else {
            "a handler holds its worker"
        });
        self.field("server", report.server);
        self.field("pid", report.pid);
        self.optional("label", report.label.as_ref());
        self.optional("message", report.message.as_ref());
        self.field("held", format!("{:?}", report.held));
    }

    fn task(&mut self, report: &TaskReport) {
        self.head("task terminating");
        self.field("task", report.task);
        self.optional("label", report.label.as_ref());
        self.optional("caller", report.caller.as_ref());
        self.field("reason", &report.reason);
    }

    fn progress(&mut self, report: &ProgressReport) {
        self.head("a child runs");
        self.field("supervisor", report.supervisor);
        self.field("child", &report.child);
        self.field("pid", report.child_pid);
    }
}

/// At most so many characters, with `…` for the rest.
fn cut(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Told of every report of a node.
pub(crate) type Handler = Arc<dyn Fn(&Report) + Send + Sync>;
