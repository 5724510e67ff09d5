//! What can be wrong with the description of a supervisor or of a child.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::supervisor::child_spec::{ChildSpec, Restart};
use crate::supervisor::strategy::AutoShutdown;

/// Why a description was refused. Nothing was started or changed; correct the description.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SpecError {
    /// Two children have this id (`duplicate_child_name`).
    #[error("two children are called {0}")]
    Duplicate(Arc<str>),
    /// A child has no id (`missing_id`).
    #[error("a child has an empty id")]
    MissingId,
    /// The child cannot be started from this: it is what was kept of a temporary one
    /// (`missing_start`).
    #[error("{0} cannot be started again: it was temporary")]
    MissingStart(Arc<str>),
    /// A permanent child cannot be significant (`bad_combination`).
    #[error("{0} is permanent and significant")]
    PermanentSignificant(Arc<str>),
    /// Significant children need a supervisor with auto-shutdown (`bad_combination`).
    #[error("{0} is significant to a supervisor without auto-shutdown")]
    SignificantWithoutAutoShutdown(Arc<str>),
    /// Dynamic and partition supervisors have no auto-shutdown (`bad_combination`).
    #[error("a supervisor of this kind cannot have auto-shutdown")]
    AutoShutdown,
    /// The period of the restart intensity is zero (`invalid_period`).
    #[error("the period of the restart intensity is zero")]
    Period,
    /// There must be at least one partition, and no more than
    /// [`crate::PARTITIONS_MAX`].
    #[error("{0} partitions are too few or too many")]
    Partitions(usize),
    /// A partition supervisor needs a name or a registry key to be found by.
    #[error("a partition supervisor needs a name or a registry key")]
    MissingName,
}

/// What is wrong with one child.
pub(crate) fn check_child(child: &ChildSpec, auto_shutdown: AutoShutdown) -> Result<(), SpecError> {
    let id = || child.id.clone();
    if child.id.is_empty() {
        Err(SpecError::MissingId)
    } else if !child.can_start() {
        Err(SpecError::MissingStart(id()))
    } else if !child.significant {
        Ok(())
    } else if child.restart == Restart::Permanent {
        Err(SpecError::PermanentSignificant(id()))
    } else if auto_shutdown == AutoShutdown::Never {
        Err(SpecError::SignificantWithoutAutoShutdown(id()))
    } else {
        Ok(())
    }
}

/// Checks specifications without starting anything (`supervisor:check_childspecs/2`).
///
/// # Errors
/// The first thing that is wrong.
pub fn check_childspecs(
    children: &[ChildSpec],
    auto_shutdown: AutoShutdown,
) -> Result<(), SpecError> {
    let mut ids = HashSet::with_capacity(children.len());
    for child in children {
        check_child(child, auto_shutdown)?;
        if !ids.insert(&child.id) {
            return Err(SpecError::Duplicate(child.id.clone()));
        }
    }
    Ok(())
}

pub(crate) fn check_period(period: Duration) -> Result<(), SpecError> {
    if period.is_zero() {
        return Err(SpecError::Period);
    }
    Ok(())
}
