//! The HTTP API over a real listener, with the chat system on the memory engine.

#![allow(clippy::unwrap_used, unreachable_pub, missing_docs)]

mod support;

mod edge;
mod authorisation;
mod answers;
mod guilds;
mod members;
mod messages;
mod reactions_and_pins;
mod read_states;
mod content;
mod files;
mod rate_limits;
mod connections;
