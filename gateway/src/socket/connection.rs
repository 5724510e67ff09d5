//! What one connection does with what comes: the states of a login, its time limits, its end.
//!
//! ```text
//!              IDENTIFY, RESUME         its turn                op 7
//!   ─▶ Waiting ─────────────────▶ AtGate ────────▶ Attached ─────────▶ Leaving ──▶ closed
//!         ▲ ╲ silence: 4003        │ ╲ no room: op 7, op 9  │ │ silence: 4009    ▲
//!         │  ▶ closed              │  ╰─────────────────────┼─┼─────────────────╯
//!         ╰───────── op 9 ─────────┴────────────────────────╯ ╰─▶ closed, session parked
//! ```
//!
//! When the node stops, whatever the state, it is closed with 1001 ([`super::Sockets::close_all`]).
//! The task, its owner and its bounds are described in [`super`]. Source of the rules: Discord
//! docs, Gateway, "Connection Lifecycle".

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chat::session::Attached;
use chat::session::transport::Close;
use metrics::counter;
use tokio::time::Sleep;
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::claims::presence_of;
use super::limits::{ConnectionLimits, Sent};
use super::query::{Query, Refused};
use super::reader::{Reader, Received};
use super::transport::{Ended, SocketWriter};
use super::{CLOSE_WITHIN, LEAVE_WITHIN, WRITE_STALL_MAX};
use crate::context::Context;
use crate::protocol::payload::{self, RequestMembers};
use crate::protocol::{ClientPayload, CloseCode};

mod login;

use login::Asked;

/// Time without a heartbeat, in halves of the interval, until a connection is closed with 4009.
const HEARTBEAT_GRACE_HALVES: u32 = 3;

/// The answer to a heartbeat. The object is for Fermi, which looks into it.
const HEARTBEAT_ACK: Bytes = Bytes::from_static(br#"{"t":null,"s":null,"op":11,"d":{}}"#);
const RECONNECT: Bytes = Bytes::from_static(br#"{"t":null,"s":null,"op":7,"d":null}"#);
const INVALID_SESSION: Bytes = Bytes::from_static(br#"{"t":null,"s":null,"op":9,"d":false}"#);
const INVALID_SESSION_RESUMABLE: Bytes =
    Bytes::from_static(br#"{"t":null,"s":null,"op":9,"d":true}"#);

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The server says so.
    Close(CloseCode, &'static str),
    /// The client said so.
    Closed,
    /// There is nobody to say it to.
    Lost,
    /// The reader takes nothing more, and what waits for it in the kernel is given up.
    Cut,
}

impl From<CloseCode> for End {
    fn from(code: CloseCode) -> Self {
        Self::Close(code, code.reason())
    }
}

/// What happens next on a connection.
enum Event {
    /// The login that waits may go on, or has to come back later.
    Turn(bool),
    Received(Received),
    Ended(Ended),
    Due,
    Stopping,
}

enum Phase {
    /// For IDENTIFY or RESUME.
    Waiting { until: Instant },
    /// It has asked for a session, and waits for its turn among all who do.
    AtGate {
        asked: Asked,
        turn: Pin<Box<dyn Future<Output = bool> + Send + Sync>>,
    },
    /// It has a session.
    Attached(Attached),
    /// It was told to go.
    Leaving { until: Instant },
}

/// One connection, owned by its task.
pub(super) struct Connection {
    context: Context,
    writer: Arc<SocketWriter>,
    reader: Reader,
    limits: Option<ConnectionLimits>,
    phase: Phase,
    version: u8,
    /// Whether a person's client, which may send longer payloads.
    person: bool,
    /// When it last sent a heartbeat, or began.
    heard: Instant,
    timer: Pin<Box<Sleep>>,
    stopping: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Connection {
    /// A connection that waits for a login.
    pub(super) fn new(context: Context, reader: Reader, writer: Arc<SocketWriter>) -> Self {
        let now = Instant::now();
        let config = context.config();
        Self {
            limits: config.rate_limits.then(|| ConnectionLimits::new(now)),
            phase: Phase::Waiting {
                until: now + config.login_within,
            },
            version: 0,
            person: false,
            heard: now,
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            stopping: Box::pin(context.sockets().stopping.clone().cancelled_owned()),
            reader,
            writer,
            context,
        }
    }

    /// Runs it until it is closed; at once if its query was refused.
    pub(super) async fn run(&mut self, query: Result<Query, Refused>) {
        let end = match query {
            Ok(query) => {
                self.version = query.version;
                self.serve().await
            }
            Err((code, reason)) => End::Close(code, reason),
        };
        self.finish(end).await;
    }

    /// Runs until there is a reason to end.
    async fn serve(&mut self) -> End {
        let interval = self.context.config().heartbeat_interval.as_millis();
        let hello = format!(
            r#"{{"t":null,"s":null,"op":10,"d":{{"heartbeat_interval":{interval},"_trace":["guildhall"]}}}}"#
        );
        self.writer.send(Bytes::from(hello));
        loop {
            let went = match self.next().await {
                Event::Turn(admitted) => self.turn(admitted).await,
                Event::Received(Received::Message(bytes)) => self.message(&bytes).await,
                Event::Received(Received::Control) => self.count(Sent::Control),
                Event::Received(Received::Closed(code)) => Err(self.closed_by_client(code)),
                Event::Received(Received::Lost) => Err(End::Lost),
                Event::Received(Received::Refused(code)) => Err(code.into()),
                Event::Ended(ended) => self.ended(ended),
                Event::Due => self.due(),
                Event::Stopping => Err(CloseCode::GoingAway.into()),
            };
            if let Err(end) = went {
                return end;
            }
        }
    }

    /// Writes what waits, and waits for what happens.
    async fn next(&mut self) -> Event {
        poll_fn(|context| {
            self.writer.flush(context);
            if let Some(ended) = self.writer.ended() {
                return Poll::Ready(Event::Ended(ended));
            }
            // Before anything is read: what a client sends behind its login is for its session.
            if let Phase::AtGate { turn, .. } = &mut self.phase
                && let Poll::Ready(admitted) = turn.as_mut().poll(context)
            {
                return Poll::Ready(Event::Turn(admitted));
            }
            if let Poll::Ready(received) = self.reader.poll_next(context, &self.writer) {
                return Poll::Ready(Event::Received(received));
            }
            if self.stopping.as_mut().poll(context).is_ready() {
                return Poll::Ready(Event::Stopping);
            }
            let due = tokio::time::Instant::from_std(self.next_due());
            if self.timer.deadline() != due {
                self.timer.as_mut().reset(due);
            }
            self.timer.as_mut().poll(context).map(|()| Event::Due)
        })
        .await
    }

    fn heartbeat_due(&self) -> Instant {
        self.heard + self.context.config().heartbeat_interval * HEARTBEAT_GRACE_HALVES / 2
    }

    fn next_due(&self) -> Instant {
        let mut due = self.heartbeat_due();
        if let Phase::Waiting { until } | Phase::Leaving { until } = &self.phase {
            due = due.min(*until);
        }
        match self.writer.stalled_since() {
            Some(since) => due.min(since + WRITE_STALL_MAX),
            None => due,
        }
    }

    /// A time limit has passed, or has been moved.
    fn due(&self) -> Result<(), End> {
        let now = Instant::now();
        if self
            .writer
            .stalled_since()
            .is_some_and(|since| now >= since + WRITE_STALL_MAX)
        {
            counter!("guildhall_gateway_stalls_total").increment(1);
            return Err(End::Cut);
        }
        match &self.phase {
            Phase::Waiting { until } if now >= *until => Err(CloseCode::NotAuthenticated.into()),
            Phase::Leaving { until } if now >= *until => Err(CloseCode::UnknownError.into()),
            _ if now >= self.heartbeat_due() => Err(CloseCode::SessionTimedOut.into()),
            _ => Ok(()),
        }
    }

    /// What the writer or the session says.
    fn ended(&mut self, ended: Ended) -> Result<(), End> {
        match ended {
            Ended::Broken => Err(End::Lost),
            Ended::Overrun => Err(End::Cut),
            Ended::Session(Close::Reconnect) => {
                self.writer.end_session();
                self.leave();
                Ok(())
            }
            Ended::Session(Close::InvalidSession { resumable }) => {
                self.writer.end_session();
                self.invalid_session(resumable);
                Ok(())
            }
            Ended::Session(Close::Replaced) => {
                self.writer.end_session();
                Err(End::Close(
                    CloseCode::UnknownError,
                    "Session resumed on another connection.",
                ))
            }
            Ended::Session(Close::Revoked) => {
                self.writer.end_session();
                Err(CloseCode::AuthenticationFailed.into())
            }
        }
    }

    /// Op 7.
    fn leave(&mut self) {
        self.writer.send(RECONNECT);
        self.phase = Phase::Leaving {
            until: Instant::now() + LEAVE_WITHIN,
        };
    }

    /// Op 9: the client may log in again on this connection.
    fn invalid_session(&mut self, resumable: bool) {
        self.writer.send(if resumable {
            INVALID_SESSION_RESUMABLE
        } else {
            INVALID_SESSION
        });
        self.phase = Phase::Waiting {
            until: Instant::now() + self.context.config().login_within,
        };
    }

    /// A client that says 1000 or 1001 is gone for good; any other may come back (Discord docs,
    /// Gateway, "Disconnecting").
    fn closed_by_client(&mut self, code: Option<u16>) -> End {
        counter!("guildhall_gateway_client_closes_total").increment(1);
        let gone = Phase::Leaving {
            until: Instant::now(),
        };
        if let Phase::Attached(attached) = std::mem::replace(&mut self.phase, gone) {
            match code {
                Some(1000 | 1001) => attached.end(),
                _ => attached.lost(),
            }
        }
        End::Closed
    }

    fn count(&mut self, sent: Sent) -> Result<(), End> {
        match self
            .limits
            .as_mut()
            .is_none_or(|limits| limits.take(sent, Instant::now()))
        {
            true => Ok(()),
            false => Err(CloseCode::RateLimited.into()),
        }
    }

    async fn message(&mut self, bytes: &[u8]) -> Result<(), End> {
        let max = if self.person {
            payload::USER_PAYLOAD_BYTES_MAX
        } else {
            payload::BOT_PAYLOAD_BYTES_MAX
        };
        if bytes.len() > max {
            return Err(CloseCode::DecodeError.into());
        }
        let payload = payload::parse(bytes)?;
        counter!("guildhall_gateway_payloads_total", "opcode" => payload.opcode().name())
            .increment(1);
        match payload {
            ClientPayload::Heartbeat(_) => self.count(Sent::Heartbeat)?,
            _ => self.count(Sent::Payload)?,
        }
        // The futures of logins are large and rare: they live on the heap while they run.
        match (&self.phase, payload) {
            (phase, ClientPayload::Heartbeat(sequence)) => {
                if let Phase::Attached(attached) = phase {
                    attached.heartbeat(sequence);
                }
                self.heard = Instant::now();
                self.writer.send(HEARTBEAT_ACK);
            }
            (Phase::Leaving { .. }, _) => {}
            (Phase::Waiting { .. }, ClientPayload::Identify(identify)) => {
                Box::pin(self.ask_new(*identify)).await?;
            }
            (Phase::Waiting { .. }, ClientPayload::Resume(resume)) => {
                Box::pin(self.ask_old(resume)).await?
            }
            (
                Phase::AtGate { .. } | Phase::Attached(_),
                ClientPayload::Identify(_) | ClientPayload::Resume(_),
            ) => {
                return Err(CloseCode::AlreadyAuthenticated.into());
            }
            (Phase::Waiting { .. } | Phase::AtGate { .. }, _) => {
                return Err(CloseCode::NotAuthenticated.into());
            }
            (Phase::Attached(attached), ClientPayload::PresenceUpdate(presence)) => {
                attached.set_presence(presence_of(&presence)?);
            }
            (Phase::Attached(attached), ClientPayload::RequestMembers(asked)) => {
                let RequestMembers {
                    guild,
                    request,
                    nonce,
                } = *asked;
                let answered = attached.request_members(guild, request, nonce);
                Box::pin(drive(&self.writer, answered)).await;
            }
            (Phase::Attached(attached), ClientPayload::Subscriptions(wanted)) => {
                attached.subscribe_guilds(wanted.guilds);
            }
            (Phase::Attached(_), ClientPayload::Ignored(_)) => {}
        }
        Ok(())
    }

    /// Says goodbye, so that the client reads why before it reads the end.
    async fn finish(&mut self, end: End) {
        match end {
            End::Close(code, reason) => {
                counter!("guildhall_gateway_closes_total", "code" => code.code().to_string())
                    .increment(1);
                self.writer.close(code.code(), reason);
            }
            End::Closed => {}
            End::Lost => return self.writer.release(),
            End::Cut => return self.writer.cut(),
        }
        self.writer.end_session();
        // The session is parked before the client can come back for it.
        self.phase = Phase::Leaving {
            until: Instant::now(),
        };
        let flushed = poll_fn(|context| {
            self.writer.flush(context);
            match self.writer.is_flushed() || self.writer.ended().is_some() {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        });
        let flushed = tokio::time::timeout(CLOSE_WITHIN, flushed).await;
        self.writer.shut();
        if flushed.is_ok() {
            // Bytes left unread would turn the end into a reset, which can overtake the close frame.
            let _ = tokio::time::timeout(CLOSE_WITHIN, self.reader.discard(&self.writer)).await;
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // A session that has not heard yet that it is parked still has the writer.
        self.writer.release();
    }
}

/// Goes on writing while `work` is awaited.
async fn drive<T>(writer: &SocketWriter, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    poll_fn(|context| {
        writer.flush(context);
        work.as_mut().poll(context)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_says_by_itself_is_json() {
        for (payload, op) in [
            (HEARTBEAT_ACK, 11),
            (RECONNECT, 7),
            (INVALID_SESSION, 9),
            (INVALID_SESSION_RESUMABLE, 9),
        ] {
            let value: serde_json::Value = serde_json::from_slice(&payload).expect("JSON");
            assert_eq!(value["op"], op);
            assert!(value["t"].is_null() && value["s"].is_null());
        }
    }
}
