//! `counters`, `atomics`, `persistent_term`, after `counters_SUITE`, `atomics_SUITE` and
//! `persistent_term_SUITE`, and Discord's `FastGlobal`.

use crate::case::Case;

mod arrays;
mod terms;

pub(crate) fn cases() -> Vec<Case> {
    [arrays::cases(), terms::cases()]
        .into_iter()
        .flatten()
        .collect()
}
