//! The edge: Discord's HTTP API and WebSocket gateway, over the chat system.
//!
//! In the order a request meets them: the listener ([`server`]), what every handler is given
//! ([`context`]), the table of paths ([`router`]), who asks (`token`), how often (`rate_limit`),
//! what was sent (`path`, `query`, `body`, `leftover`, `multipart`, `image`), the handlers by resource
//! (`routes`), what is answered when it fails (`error`), and what is counted ([`telemetry`]).
//! Beside them the gateway proper: its payloads ([`protocol`]) and its connections ([`socket`]);
//! and the page for people ([`page`]).

pub mod context;
pub mod server;
pub mod router;
pub mod telemetry;
mod edge;
mod normal_path;
mod token;
mod rate_limit;
mod path;
mod query;
mod body;
mod leftover;
mod multipart;
mod image;
mod form;
mod error;
mod routes;
pub mod protocol;
pub mod socket;
pub mod page;

pub use context::{Context, GatewayConfig};
