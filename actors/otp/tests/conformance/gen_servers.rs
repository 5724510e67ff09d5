//! `gen_server_SUITE` and Elixir's `gen_server_test`: starts, calls, casts, time-outs, ends.
//!
//! There are no names over all nodes in this crate. Where a row is about every kind of name, a
//! name of another node, reached over the connection with it, stands for a global one: the rule
//! of the row is the same.

mod calls;
mod ends;
mod enter;
mod remote;
mod replies;
mod reports;
mod requests;
pub(crate) mod server;
mod starts;
mod states;
mod timeouts;
pub(crate) mod traces;

use crate::case::Case;

pub(crate) fn cases() -> Vec<Case> {
    [
        starts::cases(),
        timeouts::cases(),
        ends::cases(),
        enter::cases(),
        calls::cases(),
        remote::cases(),
        replies::cases(),
        requests::cases(),
        reports::cases(),
        states::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
