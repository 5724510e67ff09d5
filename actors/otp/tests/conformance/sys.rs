//! `sys(3)`, `proc_lib(3)` and the observer: looking into servers, and changing them.

mod debugging;
mod observing;
mod processes;

use crate::case::Case;

pub(crate) fn cases() -> Vec<Case> {
    [debugging::cases(), processes::cases(), observing::cases()]
        .into_iter()
        .flatten()
        .collect()
}
