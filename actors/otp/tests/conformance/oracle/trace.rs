//! The lines a twin leaves, in the neutral form of `oracle/README.md`.

use std::collections::HashMap;
use std::sync::Arc;

use otp::{CallError, ExitReason, MonitorRef, Pid};
use parking_lot::Mutex;

/// The trace of one run. Cloning names the same trace.
#[derive(Clone, Default)]
pub(crate) struct Trace(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    lines: Vec<String>,
    pids: HashMap<Pid, usize>,
    monitors: HashMap<MonitorRef, usize>,
    frozen: bool,
}

/// One word of a line.
pub(crate) enum Word {
    /// Numbered by first appearance: `p1`.
    Pid(Pid),
    /// Numbered by first appearance: `r1`.
    Monitor(MonitorRef),
    /// Pids whose order is none: by their numbers.
    Pids(Vec<Pid>),
    Text(String),
}

impl Inner {
    fn number(&mut self, pid: Pid) -> usize {
        let next = self.pids.len() + 1;
        *self.pids.entry(pid).or_insert(next)
    }
}

impl Trace {
    /// Adds a line. Lines which are causally ordered are ordered in the trace.
    pub(crate) fn line(&self, words: Vec<Word>) {
        let mut inner = self.0.lock();
        if inner.frozen {
            return;
        }
        let words: Vec<String> = words
            .into_iter()
            .map(|word| match word {
                Word::Pid(pid) => format!("p{}", inner.number(pid)),
                Word::Pids(pids) => {
                    let mut numbers: Vec<usize> =
                        pids.into_iter().map(|pid| inner.number(pid)).collect();
                    numbers.sort_unstable();
                    let texts: Vec<String> = numbers.iter().map(|n| format!("p{n}")).collect();
                    texts.join(" ")
                }
                Word::Monitor(monitor) => {
                    let next = inner.monitors.len() + 1;
                    format!("r{}", inner.monitors.entry(monitor).or_insert(next))
                }
                Word::Text(text) => text,
            })
            .collect();
        inner.lines.push(words.join(" "));
    }

    /// How many lines begin so.
    pub(crate) fn count(&self, beginning: &str) -> usize {
        let inner = self.0.lock();
        let longer = format!("{beginning} ");
        inner
            .lines
            .iter()
            .filter(|line| *line == beginning || line.starts_with(&longer))
            .count()
    }

    /// Waits until so many lines begin so: the barrier a scenario uses, never a sleep.
    pub(crate) async fn wait(&self, beginning: &str, count: usize) {
        otp::eventually!(self.count(beginning) >= count);
    }

    /// Ends the trace and gives its lines.
    pub(crate) fn freeze(&self) -> Vec<String> {
        let mut inner = self.0.lock();
        inner.frozen = true;
        inner.lines.clone()
    }
}

/// Adds a line to a trace: `say!(trace, "down", monitor, pid, &reason)`.
macro_rules! say {
    ($trace:expr, $($word:expr),+ $(,)?) => {
        $trace.line(vec![$($crate::oracle::trace::Word::from($word)),+])
    };
}
pub(crate) use say;

impl From<Pid> for Word {
    fn from(pid: Pid) -> Word {
        Word::Pid(pid)
    }
}

/// `none` if there is none.
impl From<Option<Pid>> for Word {
    fn from(pid: Option<Pid>) -> Word {
        pid.map_or_else(|| Word::from("none"), Word::Pid)
    }
}

impl From<Vec<Pid>> for Word {
    fn from(pids: Vec<Pid>) -> Word {
        Word::Pids(pids)
    }
}

impl From<MonitorRef> for Word {
    fn from(monitor: MonitorRef) -> Word {
        Word::Monitor(monitor)
    }
}

impl From<&str> for Word {
    fn from(text: &str) -> Word {
        Word::Text(text.to_owned())
    }
}

impl From<String> for Word {
    fn from(text: String) -> Word {
        Word::Text(text)
    }
}

impl From<usize> for Word {
    fn from(number: usize) -> Word {
        Word::Text(number.to_string())
    }
}

impl From<i64> for Word {
    fn from(number: i64) -> Word {
        Word::Text(number.to_string())
    }
}

impl From<bool> for Word {
    fn from(truth: bool) -> Word {
        Word::Text(truth.to_string())
    }
}

impl From<&ExitReason> for Word {
    fn from(reason: &ExitReason) -> Word {
        Word::Text(reason_word(reason))
    }
}

impl From<&CallError> for Word {
    fn from(error: &CallError) -> Word {
        Word::Text(match error {
            CallError::NoProc => "noproc".into(),
            CallError::NodeDown => "nodedown".into(),
            CallError::Exit(reason) => reason_word(reason),
            CallError::Timeout => "timeout".into(),
            CallError::CallingSelf => "calling_self".into(),
            other => format!("other({other})"),
        })
    }
}

/// The one mapping of exit reasons to words.
pub(crate) fn reason_word(reason: &ExitReason) -> String {
    match reason {
        ExitReason::Normal => "normal".into(),
        ExitReason::Shutdown => "shutdown".into(),
        ExitReason::ShutdownWith(why) => match failed_child(why) {
            Some(id) => format!("shutdown(failed_to_start_child {id})"),
            None => format!("shutdown({why})"),
        },
        ExitReason::Kill => "kill".into(),
        ExitReason::Killed => "killed".into(),
        ExitReason::NoProc => "noproc".into(),
        ExitReason::NoConnection => "noconnection".into(),
        ExitReason::Timeout => "timeout".into(),
        ExitReason::Panic { .. } => "crash".into(),
        ExitReason::Error(why) => format!("error({why})"),
        ExitReason::Custom(what) => format!("custom({what})"),
    }
}

/// The child a supervisor says it could not start.
fn failed_child(why: &str) -> Option<&str> {
    let rest = why.strip_prefix("failed to start child ")?;
    rest.split([':', ' ']).next()
}

/// Reasons a process can be ended with, by their names in scenarios.
pub(crate) fn reasons() -> Vec<(&'static str, ExitReason)> {
    vec![
        ("normal", ExitReason::Normal),
        ("shutdown", ExitReason::Shutdown),
        ("shutdown_with", ExitReason::ShutdownWith("why".into())),
        ("kill", ExitReason::Kill),
        ("killed", ExitReason::Killed),
        ("noproc", ExitReason::NoProc),
        ("noconnection", ExitReason::NoConnection),
        ("timeout", ExitReason::Timeout),
        ("custom", boom()),
        ("error", ExitReason::Error("bad".into())),
    ]
}

/// Some of [`reasons`].
pub(crate) fn some_reasons(names: &[&str]) -> Vec<(&'static str, ExitReason)> {
    let mut reasons = reasons();
    reasons.retain(|(name, _)| names.contains(name));
    reasons
}

/// The reason `boom`.
pub(crate) fn boom() -> ExitReason {
    custom("boom")
}

/// A reason of the application.
pub(crate) fn custom(what: &str) -> ExitReason {
    ExitReason::Custom(what.into())
}

/// How a process comes to its end.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum How {
    /// By itself.
    Stop(ExitReason),
    /// By an exit signal of the driver.
    Signal(ExitReason),
    /// By a panic in a handler.
    Crash,
}

/// The ends of the supervisor scenarios.
pub(crate) fn ends() -> Vec<(&'static str, How)> {
    let mut ends: Vec<(&str, How)> =
        some_reasons(&["normal", "shutdown", "shutdown_with", "custom"])
            .into_iter()
            .map(|(name, reason)| (name, How::Stop(reason)))
            .collect();
    ends.push(("killed", How::Signal(ExitReason::Kill)));
    ends.push(("crash", How::Crash));
    ends
}
