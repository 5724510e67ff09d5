//! The rules of the runtime, one test each, on a multi-threaded scheduler.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "semantics/support.rs"]
mod support;

#[path = "semantics/signals.rs"]
mod signals;

#[path = "semantics/monitors.rs"]
mod monitors;

#[path = "semantics/calls.rs"]
mod calls;

#[path = "semantics/starts.rs"]
mod starts;

#[path = "semantics/timers.rs"]
mod timers;

#[path = "semantics/supervisors.rs"]
mod supervisors;

#[path = "semantics/dynamic_supervisors.rs"]
mod dynamic_supervisors;

#[path = "semantics/registries.rs"]
mod registries;

#[path = "semantics/tasks.rs"]
mod tasks;
