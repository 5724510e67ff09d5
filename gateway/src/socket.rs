//! One WebSocket connection: from the handshake to its last byte.
//!
//! ```text
//!          GET / (upgrade)                     one task per connection
//! client ──────────────────▶ upgrade ──▶ run ──┬─ Reader ─▶ payload::parse ─▶ Connection
//!    ▲                                         │                              │ IDENTIFY, RESUME
//!    │  frames                                 ├─ timers: heartbeat, login,   ▼
//!    └───────── SocketWriter ◀─────────────────┘  stalled reader     chat::session (Attached)
//!                    ▲                                                        │
//!                    └────────── Transport ◀──────── Outbox ◀── relays ◀─────┘
//! ```
//!
//! * Started by [`upgrade`] as a plain task: it holds nothing that has to outlive the connection.
//!   Whatever ends it (a close, a reset, a panic), dropping its
//!   [`chat::session::Attached`] parks the session,
//!   which the client resumes.
//! * It calls the account store and the session processes when the client logs in, and the guild
//!   for op 8; while it waits it reads nothing more, so a client cannot pile up work, and goes on
//!   writing. When many log in at once it waits for its turn before that ([`admission`]), and reads.
//! * It has no mailbox. Its buffers are the reader's (one message of at most
//!   [`reader::FRAME_BYTES_MAX`]) and the writer's queue ([`transport::QUEUE_BYTES_MAX`]).
//! * Next hop: `socket/connection.rs`; then `chat::session` for what is received, [`transport`] for
//!   what is sent.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use hyper_util::rt::TokioIo;
use metrics::gauge;
use model::UserId;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::context::{Context, GatewayConfig};
use crate::edge::Peer;

mod query;
mod connection;
mod claims;
pub mod limits;
pub mod admission;
pub mod reader;
pub mod transport;
mod frame;
pub mod compression;

use admission::gate::Gate;
use compression::{Compressor, Contexts};
use connection::Connection;
use limits::{Identifies, SessionStarts};
use query::{Query, Refused};
use reader::{Reader, Source};
use transport::{Sink, SocketWriter};

/// How often clients send a heartbeat unless set otherwise (Discord docs, Gateway, "Hello Event").
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(41_250);

/// Time to IDENTIFY or RESUME unless set otherwise; close 4003.
pub const LOGIN_WITHIN: Duration = Duration::from_secs(30);

/// Time in which a login or resume is done or given up; close 4000.
pub const LOGIN_TIME_MAX: Duration = Duration::from_secs(20);

/// Time a reader may take nothing while something waits for it; then the connection is cut and the
/// session parked. Counter `guildhall_gateway_stalls_total`.
pub const WRITE_STALL_MAX: Duration = Duration::from_secs(30);

/// Time a client has to leave by itself after op 7, before it is closed with 4000.
pub const LEAVE_WITHIN: Duration = Duration::from_secs(5);

/// Time for the close frame to be written, and again for the client to answer it.
pub const CLOSE_WITHIN: Duration = Duration::from_secs(3);

/// Time for all connections to end when the node stops; then they are cut.
pub const GO_WITHIN: Duration = Duration::from_secs(3);

/// Time for the connection to change protocol after the handshake was answered.
const UPGRADE_WITHIN: Duration = Duration::from_secs(10);

/// What the connections of a node share.
pub struct Sockets {
    shared: Arc<transport::Shared>,
    contexts: Arc<Contexts>,
    identifies: Identifies,
    gate: Gate,
    /// The tasks of all connections.
    open: TaskTracker,
    stopping: CancellationToken,
}

impl Sockets {
    pub(crate) fn new(config: &GatewayConfig) -> Self {
        Self {
            shared: Arc::new(transport::Shared::new()),
            contexts: Arc::new(Contexts::new(config.compression_context)),
            identifies: Identifies::default(),
            gate: Gate::new(config.resumes, config.identifies),
            open: TaskTracker::new(),
            stopping: CancellationToken::new(),
        }
    }

    /// Closes every connection with 1001, also those that come yet, and waits until they have
    /// ended: not longer than [`GO_WITHIN`]. For the end of a shutdown: those whose session was
    /// told to come back (op 7) and who did not leave by themselves.
    pub async fn close_all(&self) {
        self.stopping.cancel();
        self.open.close();
        if tokio::time::timeout(GO_WITHIN, self.open.wait())
            .await
            .is_err()
        {
            tracing::info!(
                cut = self.open.len(),
                "gateway connections did not answer their close frame"
            );
        }
    }

    /// How many logins an account has left on this node.
    pub fn session_starts(&self, user: UserId) -> SessionStarts {
        self.identifies.left(user, Instant::now())
    }
}

/// Answers a WebSocket handshake and runs the connection. Any path the router sends here is fine;
/// the query is `v`, `encoding` and `compress` in any order.
pub async fn upgrade(State(context): State<Context>, mut request: Request) -> Response {
    if !context.is_ready() {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let response = match create_response_with_body(&request, Body::empty) {
        Ok(response) => response,
        Err(error) => {
            tracing::debug!(%error, "not a WebSocket handshake");
            return StatusCode::BAD_REQUEST.into_response();
        }
    };
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let peer = request.extensions().get::<Peer>().cloned();
    let upgraded = hyper::upgrade::on(&mut request);
    let open = context.sockets().open.clone();
    open.spawn(async move {
        let Ok(Ok(upgraded)) = tokio::time::timeout(UPGRADE_WITHIN, upgraded).await else {
            return;
        };
        match upgraded.downcast::<TokioIo<TcpStream>>() {
            Ok(parts) => {
                let socket = parts.io.into_inner();
                // A copy of what there is, which is nearly always nothing: the buffer behind it has
                // room for 8 KiB and would stay as long as the connection.
                let ahead = parts.read_buf.to_vec();
                drop(parts.read_buf);
                run(context, Source::Writer, Sink::Tcp(socket), ahead, query).await;
            }
            Err(upgraded) => {
                let (read, write) = tokio::io::split(TokioIo::new(upgraded));
                let (read, write) = (Source::Any(Box::new(read)), Sink::Any(Box::new(write)));
                run(context, read, write, Vec::new(), query).await;
            }
        }
        // Its place among the open connections.
        drop(peer);
    });
    response
}

/// Runs a connection whose handshake is done, until it is closed; `ahead` was read with it.
async fn run(
    context: Context,
    source: Source,
    sink: Sink,
    ahead: Vec<u8>,
    query: Result<Query, Refused>,
) {
    let _open = Open::new();
    let compression = query.map_or(compression::Mode::None, |query| query.compression);
    let compressor = Compressor::new(compression);
    let shared = Arc::clone(&context.sockets().shared);
    let writer = Arc::new(SocketWriter::new(sink, compressor, shared));
    let reader = Reader::new(source, ahead);
    // By reference: a future that takes a value keeps room for it twice.
    Connection::new(context, reader, writer).run(query).await;
}

/// Counts open connections.
struct Open;

impl Open {
    fn new() -> Self {
        gauge!("guildhall_gateway_connections").increment(1.0);
        Self
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        gauge!("guildhall_gateway_connections").decrement(1.0);
    }
}
