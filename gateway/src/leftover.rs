//! What a handler left unread of a request's body.
//!
//! ```text
//! refused early ─▶ answer goes out at once
//!               └▶ the rest of the body is read and thrown away ─▶ the connection serves on
//!                  too much or too slow ─▶ the connection is closed
//! ```
//! A server that closes while its client still writes makes the kernel reset the connection, and
//! the client sees "broken pipe" where the reason of the refusal should be (RFC 9112, section
//! 9.6). So whoever sends a file that is too large reads why, not that the network failed.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::{HeaderMap, header};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};

/// Bytes of a body thrown away after its request was answered; then the connection is closed.
pub const LEFTOVER_BYTES_MAX: usize = 64 << 20;
/// Time for the rest of a body to arrive after its request was answered; then the connection is
/// closed.
pub const LEFTOVER_TIME_MAX: Duration = Duration::from_secs(30);

/// A request's body. Dropped before its end, it is read on by a task of its own.
#[derive(Debug)]
pub(crate) struct Whole {
    body: Option<Incoming>,
}

impl Whole {
    /// The body of a request with these headers.
    ///
    /// A client that asked for leave to send it (`Expect: 100-continue`) may rightly never send
    /// it after a refusal, so nobody waits for that one.
    pub(crate) fn of(headers: &HeaderMap, body: Incoming) -> axum::body::Body {
        if body.is_end_stream() || headers.contains_key(header::EXPECT) {
            return axum::body::Body::new(body);
        }
        axum::body::Body::new(Self { body: Some(body) })
    }
}

impl Body for Whole {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = self.body.as_mut() else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(body).poll_frame(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let ended = || SizeHint::with_exact(0);
        self.body.as_ref().map_or_else(ended, Body::size_hint)
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        let Some(rest) = self.body.take().filter(|body| !body.is_end_stream()) else {
            return;
        };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            metrics::counter!("guildhall_http_bodies_left_total").increment(1);
            runtime.spawn(tokio::time::timeout(LEFTOVER_TIME_MAX, discard(rest)));
        }
    }
}

async fn discard(mut body: Incoming) {
    let mut bytes = 0;
    while let Some(Ok(frame)) = body.frame().await {
        bytes += frame.data_ref().map_or(0, Bytes::len);
        if bytes > LEFTOVER_BYTES_MAX {
            return;
        }
    }
}
