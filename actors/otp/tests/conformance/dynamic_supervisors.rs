//! Dynamic supervisors. The helpers are those of the supervisors.

use crate::case::Case;

mod restarting;
mod starting;
mod stopping;

pub(crate) fn cases() -> Vec<Case> {
    [starting::cases(), restarting::cases(), stopping::cases()]
        .into_iter()
        .flatten()
        .collect()
}
