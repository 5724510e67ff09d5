//! The gateway protocol over real sockets: a server of its own for each test, and a raw client.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod support;

mod login;
mod commands;
mod subscriptions;
mod closes;
mod resume;
mod abuse;
mod stalled;
mod storms;
mod streams;
mod contexts;
