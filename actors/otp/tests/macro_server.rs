//! Servers written with `#[gen_server]`: every kind of method, starting and supervision, and that
//! they behave like servers written by hand.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "macro_server/support.rs"]
mod support;

#[path = "macro_server/requests.rs"]
mod requests;

#[path = "macro_server/callbacks.rs"]
mod callbacks;

#[path = "macro_server/starts.rs"]
mod starts;

#[path = "macro_server/generics.rs"]
mod generics;

#[path = "macro_server/by_hand.rs"]
mod by_hand;
