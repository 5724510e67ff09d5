//! Whole-system tests: real nodes, real sockets, stock clients. One file per story.

#![allow(clippy::unwrap_used, missing_docs)]

mod support;

mod attachments;
mod bad_input;
mod bad_requests;
mod cassandra;
mod cassandra_tls;
mod cli;
mod compression;
mod drain;
mod durability;
mod failing_disk;
mod guild_crash;
mod migrate;
mod rate_limits;
mod read_states;
mod resume;
mod storm;
mod twilight;
