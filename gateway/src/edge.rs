//! What happens to every request around its handler.
//!
//! ```text
//! request id ─ span ─ preflight? ─▶ address blocked? ─▶ who asks ─▶ rate limit ─▶ handler
//!    ◀── request id, CORS and security headers, counted ◀── rate headers ◀── answer or time-out
//! ```

use std::net::{IpAddr, Ipv4Addr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use tokio::sync::OwnedSemaphorePermit;
use tracing::Instrument as _;

use crate::context::Context;
use crate::error::{ApiError, Result};
use crate::normal_path::API;
use crate::rate_limit::{self, Admission, Who};
use crate::token;

/// Time for a handler to answer; then the client is told 504. A change it began goes on.
pub(crate) const HANDLER_TIME_MAX: Duration = Duration::from_secs(30);
/// Time for an upload to be taken in and answered.
pub(crate) const UPLOAD_TIME_MAX: Duration = Duration::from_secs(300);

/// Routes that ask for no token.
const PUBLIC: [&str; 1] = ["/gateway"];

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Headers a page from elsewhere may read.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "x-ratelimit-limit, x-ratelimit-remaining, x-ratelimit-reset, x-ratelimit-reset-after, \
     x-ratelimit-bucket, x-ratelimit-scope, x-ratelimit-global, retry-after, x-request-id",
);

/// The other end of a connection; put on every request by [`crate::server`].
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its address. Headers such as `X-Forwarded-For` are not believed.
    pub address: IpAddr,
    /// Its place among the open connections; a WebSocket keeps it for as long as it lives.
    pub slot: Option<Arc<OwnedSemaphorePermit>>,
}

/// Why a path was not even matched; put on a request by [`crate::router`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unmatched {
    /// An API version nobody serves.
    Version,
    /// Not UTF-8.
    NotText,
}

/// The middleware around all routes.
pub(crate) async fn serve(
    State(context): State<Context>,
    matched: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let id = format!("{:016x}", rand::random::<u64>());
    let method = request.method().clone();
    let route = matched.map_or("unmatched".to_owned(), |matched| {
        matched.as_str().to_owned()
    });
    let origin = request.headers().get(header::ORIGIN).cloned();
    let span = tracing::info_span!("request", %id, %method, %route);

    let mut response = if is_preflight(&method, request.headers()) {
        preflight(request.headers())
    } else {
        let limit = if is_upload(request.headers()) {
            UPLOAD_TIME_MAX
        } else {
            HANDLER_TIME_MAX
        };
        let answer = admit(&context, &method, &route, request, next).instrument(span.clone());
        match tokio::time::timeout(limit, AssertUnwindSafe(answer).catch_unwind()).await {
            Ok(Ok(response)) => response,
            Ok(Err(_)) => {
                tracing::error!(parent: &span, "a handler panicked");
                ApiError::plain(StatusCode::INTERNAL_SERVER_ERROR).into_response()
            }
            Err(_) => ApiError::plain(StatusCode::GATEWAY_TIMEOUT).into_response(),
        }
    };

    let status = response.status();
    if status != StatusCode::SWITCHING_PROTOCOLS {
        finish(response.headers_mut(), &id, origin);
    }
    let elapsed = began.elapsed();
    tracing::debug!(parent: &span, status = status.as_u16(), milliseconds = elapsed.as_millis(), "answered");
    let labels = [
        ("route", route.clone()),
        ("method", known_method(&method)),
        ("status", status.as_u16().to_string()),
    ];
    metrics::counter!("guildhall_http_requests_total", &labels).increment(1);
    metrics::histogram!("guildhall_http_request_seconds", "route" => route)
        .record(elapsed.as_secs_f64());
    response
}

/// Lets a request through to its handler, or says why not.
async fn admit(
    context: &Context,
    method: &Method,
    route: &str,
    mut request: Request,
    next: Next,
) -> Response {
    if let Some(why) = request.extensions().get::<Unmatched>() {
        return match why {
            Unmatched::Version => {
                ApiError::new(StatusCode::NOT_FOUND, 50_041, "Invalid API version").into_response()
            }
            Unmatched::NotText => ApiError::plain(StatusCode::NOT_FOUND).into_response(),
        };
    }
    let Some(pattern) = route.strip_prefix(API).map(str::to_owned) else {
        return next.run(request).await;
    };
    let address = request
        .extensions()
        .get::<Peer>()
        .map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.address);
    let limits = context.rate_limits();
    if let Some(left) = limits.blocked(address, Instant::now()) {
        return rate_limit::blocked_response(left);
    }
    let mut admission = None;
    let response = match identify(context, &pattern, address, &mut request, &mut admission).await {
        Err(error) => error.into_response(),
        Ok(()) => match &admission {
            Some(refused) if !refused.is_admitted() => refused.refusal(),
            _ => run(method, request, next).await,
        },
    };
    note_invalid(context, address, &response);
    let mut response = response;
    if let Some(admission) = admission {
        admission.write(response.headers_mut());
    }
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Finds out who asks, and counts the request.
async fn identify(
    context: &Context,
    pattern: &str,
    address: IpAddr,
    request: &mut Request,
    admission: &mut Option<Admission>,
) -> Result<()> {
    let who = if PUBLIC.contains(&pattern) {
        Who::address(address)
    } else {
        let caller = token::authenticate(context.chat(), request.headers()).await?;
        let who = Who::User(caller.id());
        request.extensions_mut().insert(caller);
        who
    };
    let path = request.uri().path();
    let major = rate_limit::major(path.strip_prefix(API).unwrap_or(path));
    let rule = rate_limit::rule(request.method(), pattern);
    *admission = context
        .rate_limits()
        .admit(rule, major, who, Instant::now());
    Ok(())
}

/// Runs the handler. What may change something runs to its end in a task of its own, so that a
/// client that goes away cannot leave it half done.
async fn run(method: &Method, request: Request, next: Next) -> Response {
    if method.is_safe() {
        return next.run(request).await;
    }
    match tokio::spawn(next.run(request).in_current_span()).await {
        Ok(response) => response,
        Err(failed) => {
            tracing::error!(%failed, "a handler panicked");
            ApiError::plain(StatusCode::INTERNAL_SERVER_ERROR).into_response()
        }
    }
}

/// Counts 401, 403 and 429 (not those that others caused) against the address.
fn note_invalid(context: &Context, address: IpAddr, response: &Response) {
    let counts = match response.status() {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => true,
        StatusCode::TOO_MANY_REQUESTS => response
            .headers()
            .get("x-ratelimit-scope")
            .is_none_or(|scope| scope != "shared"),
        _ => false,
    };
    if counts {
        context.rate_limits().note_invalid(address, Instant::now());
    }
}

fn is_upload(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|value| {
        value
            .as_bytes()
            .to_ascii_lowercase()
            .starts_with(b"multipart/")
    })
}

/// The method as a label: a client cannot make up new ones.
fn known_method(method: &Method) -> String {
    let known = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
    ];
    if known.contains(method) {
        method.to_string()
    } else {
        "other".to_owned()
    }
}

/// Whether a browser asks if a page from elsewhere may send a request.
fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS && headers.contains_key(header::ORIGIN)
}

/// Yes to every page: a request is authorised by its token, never by a cookie, so a page can do
/// no more than whoever gave it the token.
fn preflight(asked: &HeaderMap) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
    );
    if let Some(wanted) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    headers.insert(
        header::ACCESS_CONTROL_MAX_AGE,
        HeaderValue::from_static("86400"),
    );
    response
}

/// Headers of every answer.
fn finish(headers: &mut HeaderMap, id: &str, origin: Option<HeaderValue>) {
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
            HeaderValue::from_static("true"),
        );
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
    let defaults = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        ),
    ];
    for (name, value) in defaults {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
}
