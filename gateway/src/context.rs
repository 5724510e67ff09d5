//! What every handler is given: the chat system, the settings of the edge, and its limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chat::Chat;

use crate::rate_limit::RateLimits;
use crate::socket::admission::{IDENTIFIES_PER_PROCESSOR, RESUMES_PER_PROCESSOR, Rate};
use crate::socket::compression::ContextPolicy;
use crate::socket::{self, Sockets};
use crate::telemetry;

/// What an operator can set about the edge.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// Address clients reach this server at, without a trailing slash; the gateway URL handed out
    /// by `GET /gateway` is the same with `ws` for `http`.
    pub public_url: String,
    /// Whether rate limits apply, of HTTP and of the WebSocket gateway. Off for load tests only.
    pub rate_limits: bool,
    /// Most open connections; further ones are closed at once.
    pub connections_max: usize,
    /// How often gateway clients are asked to send a heartbeat; after one and a half of it without
    /// one the connection is closed.
    pub heartbeat_interval: Duration,
    /// Time a gateway client has to log in.
    pub login_within: Duration,
    /// RESUMEs of all clients together; not off with `rate_limits`.
    pub resumes: Rate,
    /// IDENTIFYs of all clients together; not off with `rate_limits`.
    pub identifies: Rate,
    /// Which connections have a compression context of their own, and for what.
    pub compression_context: ContextPolicy,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            public_url: "http://127.0.0.1:3000".to_owned(),
            rate_limits: true,
            connections_max: 100_000,
            heartbeat_interval: socket::HEARTBEAT_INTERVAL,
            login_within: socket::LOGIN_WITHIN,
            resumes: Rate::per_processor(RESUMES_PER_PROCESSOR),
            identifies: Rate::per_processor(IDENTIFIES_PER_PROCESSOR),
            compression_context: ContextPolicy::default(),
        }
    }
}

/// The state shared by all handlers; clones are cheap.
#[derive(Clone)]
pub struct Context {
    inner: Arc<Inner>,
}

struct Inner {
    chat: Chat,
    config: GatewayConfig,
    gateway_url: String,
    rate_limits: RateLimits,
    sockets: Sockets,
    ready: AtomicBool,
    metrics: telemetry::Exporter,
}

impl Context {
    /// The edge of `chat`. It is not ready until [`Context::set_ready`] says so: it serves, but
    /// `/readyz` answers 503.
    pub fn new(chat: Chat, config: GatewayConfig) -> Self {
        let gateway_url = websocket_url(&config.public_url);
        let rate_limits = if config.rate_limits {
            RateLimits::on()
        } else {
            RateLimits::Off
        };
        Self {
            inner: Arc::new(Inner {
                chat,
                gateway_url,
                rate_limits,
                sockets: Sockets::new(&config),
                config,
                ready: AtomicBool::new(false),
                metrics: telemetry::Exporter::installed(),
            }),
        }
    }

    /// The chat system.
    pub fn chat(&self) -> &Chat {
        &self.inner.chat
    }

    /// The settings it was made with.
    pub fn config(&self) -> &GatewayConfig {
        &self.inner.config
    }

    /// Where clients connect their WebSocket: `ws://host:port`, without a trailing slash (some
    /// clients append `/?v=10…`).
    pub fn gateway_url(&self) -> &str {
        &self.inner.gateway_url
    }

    /// Says whether this node takes new work: what `/readyz` answers, and whether new WebSocket
    /// connections are taken. Requests of ordinary clients are answered either way.
    pub fn set_ready(&self, ready: bool) {
        self.inner.ready.store(ready, Ordering::Release);
    }

    /// Whether this node takes new work.
    pub fn is_ready(&self) -> bool {
        self.inner.ready.load(Ordering::Acquire)
    }

    /// The HTTP rate limits.
    pub(crate) fn rate_limits(&self) -> &RateLimits {
        &self.inner.rate_limits
    }

    /// What the gateway connections share.
    pub fn sockets(&self) -> &Sockets {
        &self.inner.sockets
    }

    /// What `/metrics` shows.
    pub(crate) fn metrics(&self) -> &telemetry::Exporter {
        &self.inner.metrics
    }
}

/// `http://…` → `ws://…`, `https://…` → `wss://…`.
fn websocket_url(public_url: &str) -> String {
    let url = public_url.trim_end_matches('/');
    match url.strip_prefix("http") {
        Some(rest) => format!("ws{rest}"),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::websocket_url;

    #[test]
    fn the_gateway_is_where_the_api_is() {
        assert_eq!(
            websocket_url("http://127.0.0.1:3000"),
            "ws://127.0.0.1:3000"
        );
        assert_eq!(websocket_url("https://chat.example/"), "wss://chat.example");
    }
}
