//! Guildhall as a library: just enough to start a node from tests and from the binary.
//!
//! In story order: what can be set ([`config`]), the order in which things start and stop
//! ([`node`]), what a first start creates ([`demo`]), the operator's door ([`admin`]), and how
//! the node is watched ([`telemetry`]).

pub mod config;
pub mod node;
pub mod demo;
pub mod admin;
pub mod telemetry;

pub use config::Config;
pub use node::{RunningNode, start};
