//! The listener: one task per connection, HTTP/1.1, upgrades to WebSocket.
//!
//! ```text
//! accept ─ room? ─▶ connection task: hyper ─▶ router          no room: closed at once
//! shutdown ─▶ nothing more accepted ─▶ connections end after their current answer ─▶ return
//! ```
//! A failed connection ends alone. WebSocket connections leave this file when they are upgraded,
//! and keep their place among the connections through [`Peer::slot`].

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Request, StatusCode};
use axum::response::{IntoResponse as _, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use crate::context::Context;
use crate::error::ApiError;
use crate::leftover::Whole;
use crate::router::router;
use crate::telemetry;

pub use crate::edge::Peer;
pub use crate::leftover::{LEFTOVER_BYTES_MAX, LEFTOVER_TIME_MAX};

/// Time for the head of a request to arrive, and for a connection to stay idle between two. Above
/// the 15 s for which Python's aiohttp keeps idle connections, so that it is the client who closes
/// them and no request meets a closing connection.
pub const HEAD_TIME_MAX: Duration = Duration::from_secs(20);
/// Bytes of the head of a request, without optional blanks; a longer one is answered 431.
pub const HEAD_BYTES_MAX: usize = 32 * 1_024;
/// Headers of a request; more are answered 431.
pub const HEADERS_MAX: usize = 100;
/// Time for connections to finish their current answer after the shutdown began; then they are
/// cut.
pub const FINISH_TIME_MAX: Duration = Duration::from_secs(10);
/// Most connections that wait to be accepted. The kernel drops what comes on top, and the clients try
/// again after a second or more; it allows no more than `net.core.somaxconn`, which is as much. The
/// usual 1,024 are full at once when thousands of clients come back together.
pub const LISTEN_BACKLOG_MAX: u32 = 4_096;
/// Connections accepted between two chances for other tasks to run: many, because those that wait
/// are dropped when there are too many of them.
const ACCEPTS_AT_ONCE: usize = 512;
/// Pause after a failed accept (out of file descriptors, mostly), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Listens on `address`, port 0 for any, with room for [`LISTEN_BACKLOG_MAX`] that wait.
///
/// # Errors
/// The kernel's: the address is taken, is not of this machine, or may not be had. Nothing is left.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A restart need not wait for the connections of the node before it.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(LISTEN_BACKLOG_MAX)
}

/// Serves `context` on `listener` until `shutdown` resolves and the open requests are answered.
///
/// WebSocket connections do not hold it up: the chat system tells their sessions to reconnect.
pub async fn serve(
    listener: TcpListener,
    context: Context,
    shutdown: impl Future<Output = ()> + Send,
) {
    let room = Arc::new(Semaphore::new(context.config().connections_max));
    let router = router(context.clone());
    let stopping = CancellationToken::new();
    let connections = TaskTracker::new();
    let upkeep = tokio::spawn(upkeep(context));
    let mut shutdown = std::pin::pin!(shutdown);
    let mut in_a_row = 0;
    loop {
        // Not interrupted by tokio's own measure, which is a quarter of ours.
        let accepted = tokio::task::unconstrained(async {
            tokio::select! {
                biased;
                () = &mut shutdown => None,
                accepted = listener.accept() => Some(accepted),
            }
        });
        let Some(accepted) = accepted.await else {
            break;
        };
        in_a_row += 1;
        if in_a_row >= ACCEPTS_AT_ONCE {
            in_a_row = 0;
            tokio::task::yield_now().await;
        }
        match accepted {
            Ok((stream, peer)) => match Arc::clone(&room).try_acquire_owned() {
                Ok(slot) => {
                    let connection =
                        connection(stream, peer, slot, router.clone(), stopping.clone());
                    connections.spawn(connection);
                }
                Err(_) => {
                    metrics::counter!("guildhall_connections_refused_total").increment(1);
                    drop(stream);
                }
            },
            Err(error) => pause_after(&error).await,
        }
    }
    drop(listener);
    stopping.cancel();
    connections.close();
    if tokio::time::timeout(FINISH_TIME_MAX, connections.wait())
        .await
        .is_err()
    {
        tracing::warn!(
            cut = connections.len(),
            "requests were still open at the end of a shutdown"
        );
    }
    upkeep.abort();
}

async fn pause_after(error: &io::Error) {
    let of_one_connection = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    );
    if !of_one_connection {
        tracing::warn!(%error, "cannot accept a connection; trying again");
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    slot: OwnedSemaphorePermit,
    router: Router,
    stopping: CancellationToken,
) {
    metrics::gauge!("guildhall_http_connections").increment(1.0);
    // Events are small and must not wait for more.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY not set");
    }
    let peer = Peer {
        address: peer.ip(),
        slot: Some(Arc::new(slot)),
    };
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        let (head, body) = request.into_parts();
        let body = Whole::of(&head.headers, body);
        // The parser reads ahead: a head up to twice as long can be whole before it looks.
        let fits = head_bytes(&head) <= HEAD_BYTES_MAX;
        let answer = fits.then(|| router.clone().oneshot(Request::from_parts(head, body)));
        async move {
            match answer {
                Some(answer) => answer.await,
                None => Ok(too_long()),
            }
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .keep_alive(true)
        // A client may end its side after its request, and wait for the answer (RFC 9293, 3.6).
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopping.cancelled() => {
            connection.as_mut().graceful_shutdown();
            match tokio::time::timeout(FINISH_TIME_MAX, connection).await {
                Ok(ended) => ended,
                Err(_) => Ok(()),
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection failed");
    }
    metrics::gauge!("guildhall_http_connections").decrement(1.0);
}

/// Bytes of a request's head as a client writes it that spends no blank (RFC 9112, section 2.1).
fn head_bytes(head: &Parts) -> usize {
    const SPACES_AND_VERSION: usize = " ".len() + " HTTP/1.1\r\n".len();
    let line = head.method.as_str().len() + head.uri.to_string().len() + SPACES_AND_VERSION;
    let field = |(name, value): (&HeaderName, &HeaderValue)| {
        name.as_str().len() + ": ".len() + value.len() + "\r\n".len()
    };
    line + head.headers.iter().map(field).sum::<usize>() + "\r\n".len()
}

fn too_long() -> Response {
    ApiError::plain(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE).into_response()
}

/// Keeps the samples of histograms from piling up between scrapes.
async fn upkeep(context: Context) {
    let mut every = tokio::time::interval(telemetry::UPKEEP_EVERY);
    loop {
        every.tick().await;
        context.metrics().upkeep();
    }
}
