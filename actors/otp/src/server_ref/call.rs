//! Calls: a request, and what becomes of it (`gen_server:call/2,3`, `gen_server:stop/3`).
//!
//! ```text
//!  near:  request ──▶ mailbox        answer ◀── one slot, filled once
//!  far:   request ──▶ parcel ──▶ mailbox     answer ◀── parcel ◀── slot
//!         an end of the server, or a lost connection, is an answer as well
//! ```
//! A caller that stops waiting drops its end, and with it whatever would still come.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::distribution::{Connection, Parcel};
use crate::exit_reason::ExitReason;
use crate::gen_server::GenServer;
use crate::mailbox::SendError;
use crate::node::Node;
use crate::node::patience::PATIENCE;
use crate::process::Process;
use crate::server_ref::{Answer, CallError, DEFAULT_CALL_TIMEOUT, From, ServerRef};
use crate::signal::Signal;

/// A request that was sent.
pub(crate) enum Sent<T> {
    Near {
        process: Arc<Process>,
        answer: oneshot::Receiver<Answer<T>>,
        /// What came of it already.
        early: Option<Answer<T>>,
    },
    Far {
        connection: Arc<Connection>,
        answers: mpsc::UnboundedReceiver<Answer<T>>,
    },
}

impl<S: GenServer> ServerRef<S> {
    /// Asks and waits for the answer, at most [`DEFAULT_CALL_TIMEOUT`] (`gen_server:call/2`).
    pub async fn call<T, F>(&self, request: F) -> Result<T, CallError>
    where
        T: Send + 'static,
        F: FnOnce(From<T>) -> S::Message + Send,
    {
        self.call_timeout(DEFAULT_CALL_TIMEOUT, request).await
    }

    /// Asks and waits for the answer, at most `limit`.
    pub async fn call_timeout<T, F>(&self, limit: Duration, request: F) -> Result<T, CallError>
    where
        T: Send + 'static,
        F: FnOnce(From<T>) -> S::Message + Send,
    {
        let began = Instant::now();
        let mut sent = self.ask(request)?;
        if limit > 2 * PATIENCE
            && let Some(value) = sent.prompt().await
        {
            return Ok(value);
        }
        let mut unanswered = false;
        let answer = sent.answer(&mut unanswered);
        // A limit beyond what can be expressed is none.
        let Some(deadline) = began.checked_add(limit) else {
            return answer.await;
        };
        match tokio::time::timeout_at(deadline, answer).await {
            Ok(result) => result,
            // Known to be unanswered for good, only the end of the server did not come.
            Err(_) if unanswered => Err(CallError::NoReply),
            Err(_) => Err(CallError::Timeout),
        }
    }

    /// Asks and waits for the answer for as long as the server lives. For requests whose length
    /// is bounded elsewhere, such as starting a child (`infinity`).
    pub async fn call_infinity<T, F>(&self, request: F) -> Result<T, CallError>
    where
        T: Send + 'static,
        F: FnOnce(From<T>) -> S::Message + Send,
    {
        let mut sent = self.ask(request)?;
        match sent.prompt().await {
            Some(value) => Ok(value),
            None => sent.answer(&mut false).await,
        }
    }

    /// Asks the server to end in good order and waits until it has (`gen_server:stop/3`): its
    /// `terminate` runs with `reason`.
    ///
    /// [`CallError::Timeout`]: it still runs; kill it with [`crate::Node::exit`] if it must go.
    /// [`CallError::Exit`]: it ended with another reason.
    pub async fn stop(&self, reason: ExitReason, limit: Duration) -> Result<(), CallError> {
        if crate::panics::current_pid() == Some(self.pid()) {
            return Err(CallError::CallingSelf);
        }
        let ended = match &self.origin {
            None => self.stop_near(&reason, limit).await?,
            Some(origin) => self.stop_far(origin, &reason, limit).await?,
        };
        if ended == reason {
            Ok(())
        } else {
            Err(CallError::Exit(ended))
        }
    }

    /// Waits until the server has ended and tells why.
    pub async fn wait_for_exit(&self) -> ExitReason {
        self.process.wait().await
    }

    async fn stop_near(
        &self,
        reason: &ExitReason,
        limit: Duration,
    ) -> Result<ExitReason, CallError> {
        let asked = self.process.signal(Signal::Stop {
            reason: reason.clone(),
        });
        if !asked && self.process.is_exited() {
            return Err(CallError::NoProc);
        }
        let ended = tokio::time::timeout(limit, self.process.wait()).await;
        ended.map_err(|_| CallError::Timeout)
    }

    async fn stop_far(
        &self,
        origin: &Node,
        reason: &ExitReason,
        limit: Duration,
    ) -> Result<ExitReason, CallError> {
        let connection = origin
            .connection_of(self.pid())
            .ok_or(CallError::NodeDown)?;
        let (sender, answers) = mpsc::unbounded_channel();
        let (process, home, reason) = (self.process.clone(), origin.clone(), reason.clone());
        connection.send(Parcel::Task(Box::new(move |peer: &Node| {
            let asked = process.signal(Signal::Stop { reason });
            let peer = peer.clone();
            tokio::spawn(async move {
                let answer = if asked {
                    Answer::Reply(process.wait().await)
                } else {
                    Answer::Ended(CallError::NoProc)
                };
                peer.post(&home, Box::new(move |_| drop(sender.send(answer))));
            });
        })));
        let mut sent = Sent::Far {
            connection,
            answers,
        };
        let stopped = tokio::time::timeout(limit, sent.answer(&mut false)).await;
        stopped.map_err(|_| CallError::Timeout)?
    }

    /// Sends a request.
    pub(crate) fn ask<T: Send + 'static>(
        &self,
        request: impl FnOnce(From<T>) -> S::Message,
    ) -> Result<Sent<T>, CallError> {
        if crate::panics::current_pid() == Some(self.pid()) {
            return Err(CallError::CallingSelf);
        }
        if let Some(origin) = &self.origin {
            return self.ask_far(origin, request);
        }
        self.process.node.patience().arm();
        let (slot, answer) = oneshot::channel();
        match self.process.send::<S>(request(From::near(slot))) {
            Ok(()) => Ok(Sent::Near {
                process: self.process.clone(),
                answer,
                early: None,
            }),
            Err(SendError::NoProc(_)) => Err(CallError::NoProc),
            Err(SendError::NodeDown(_)) => Err(CallError::NodeDown),
            Err(SendError::Full(_)) => Err(CallError::Overloaded),
        }
    }

    fn ask_far<T: Send + 'static>(
        &self,
        origin: &Node,
        request: impl FnOnce(From<T>) -> S::Message,
    ) -> Result<Sent<T>, CallError> {
        let connection = origin
            .connection_of(self.pid())
            .ok_or(CallError::NodeDown)?;
        let (sender, answers) = mpsc::unbounded_channel();
        let home = origin.clone();
        let (far, back, sender_back) = (self.process.node.clone(), home.clone(), sender.clone());
        // Used when the handle is dropped unanswered, dropped when it is answered.
        let (forgotten, open) = oneshot::channel::<()>();
        let from = From::far(move |answer| match answer {
            Answer::Dropped => drop(forgotten.send(())),
            answer => {
                far.post(&back, Box::new(move |_| drop(sender_back.send(answer))));
            }
        });
        let message = request(from);
        let process = self.process.clone();
        connection.send(Parcel::Task(Box::new(move |peer: &Node| {
            let refused = match process.send::<S>(message) {
                Ok(()) => None,
                Err(SendError::Full(_)) => Some(CallError::Overloaded),
                Err(_) => Some(CallError::NoProc),
            };
            let peer = peer.clone();
            tokio::spawn(async move {
                let ended = match refused {
                    Some(refused) => refused,
                    None => tokio::select! {
                        biased;
                        forgotten = open => match forgotten {
                            Ok(()) => unanswered_by(&process).await,
                            // The answer is on its way.
                            Err(_) => return,
                        },
                        reason = process.wait() => CallError::Exit(reason),
                    },
                };
                peer.post(
                    &home,
                    Box::new(move |_| drop(sender.send(Answer::Ended(ended)))),
                );
            });
        })));
        Ok(Sent::Far {
            connection,
            answers,
        })
    }
}

impl<T> Sent<T> {
    /// Waits for the answer alone, for a moment: see [`crate::node::patience`].
    async fn prompt(&mut self) -> Option<T> {
        let Sent::Near {
            process,
            answer,
            early,
        } = self
        else {
            return None;
        };
        let patience = process.node.patience();
        match patience.wait(process.pid.serial(), answer).await? {
            Ok(Answer::Reply(value)) => Some(value),
            Ok(other) => {
                *early = Some(other);
                None
            }
            Err(_) => {
                *early = Some(Answer::Dropped);
                None
            }
        }
    }

    /// Waits for what becomes of it. `unanswered` is set once it is certain that no answer comes
    /// and only the end of the server is waited for.
    pub(crate) async fn answer(&mut self, unanswered: &mut bool) -> Result<T, CallError> {
        match self {
            Sent::Near {
                process,
                answer,
                early,
            } => match early.take() {
                Some(answer) => settled(process, Some(answer), unanswered).await,
                None => near(process, answer, unanswered).await,
            },
            Sent::Far {
                connection,
                answers,
            } => far(connection, answers).await,
        }
    }
}

async fn near<T>(
    process: &Process,
    receiver: &mut oneshot::Receiver<Answer<T>>,
    unanswered: &mut bool,
) -> Result<T, CallError> {
    let answer = tokio::select! {
        biased;
        answer = &mut *receiver => answer.ok(),
        reason = process.wait() => match receiver.try_recv() {
            // It answered and ended at once: the answer came first.
            Ok(Answer::Reply(value)) => return Ok(value),
            _ => return Err(CallError::Exit(reason)),
        },
    };
    settled(process, answer, unanswered).await
}

/// What an answer, or its absence, means.
async fn settled<T>(
    process: &Process,
    answer: Option<Answer<T>>,
    unanswered: &mut bool,
) -> Result<T, CallError> {
    match answer {
        Some(Answer::Reply(value)) => Ok(value),
        Some(Answer::Ended(error)) => Err(error),
        Some(Answer::Dropped) | None => {
            *unanswered = true;
            Err(unanswered_by(process).await)
        }
    }
}

/// Why a server dropped a request unanswered: because it ends, or it just did. Only the end of the
/// step in which it did so tells, so this waits for that.
async fn unanswered_by(process: &Process) -> CallError {
    let (passed, step) = oneshot::channel();
    // Dropped when the server comes to it, or when it has ended.
    process.signal_urgently(Signal::Pass(passed));
    let _ = step.await;
    if process.is_ending() {
        CallError::Exit(process.wait().await)
    } else {
        CallError::NoReply
    }
}

async fn far<T>(
    connection: &Connection,
    answers: &mut mpsc::UnboundedReceiver<Answer<T>>,
) -> Result<T, CallError> {
    let answer = tokio::select! {
        biased;
        answer = answers.recv() => answer,
        () = connection.lost() => return Err(CallError::NodeDown),
    };
    match answer {
        Some(Answer::Reply(value)) => Ok(value),
        Some(Answer::Ended(error)) => Err(error),
        // What would have brought the answer was lost with the connection.
        Some(Answer::Dropped) | None => {
            connection.lost().await;
            Err(CallError::NodeDown)
        }
    }
}
