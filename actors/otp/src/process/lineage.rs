//! Who started a process, and who started that one: `$ancestors` of `proc_lib(3)`.
//!
//! Noted when a process starts, since its ancestors may be gone when somebody asks. The children
//! of one process share one list.

use std::sync::{Arc, OnceLock};

use crate::pid::Pid;
use crate::process::Process;

/// How many ancestors are remembered, the nearest ones.
pub(crate) const ANCESTORS_MAX: usize = 64;

/// The place of a process in the tree of starts.
#[derive(Default)]
pub(crate) struct Lineage {
    /// The nearest comes first.
    ancestors: Option<Arc<Vec<Pid>>>,
    /// What its children have: made for the first of them.
    of_children: OnceLock<Arc<Vec<Pid>>>,
}

impl Lineage {
    /// That of a child of `parent`.
    pub(crate) fn below(parent: &Process) -> Lineage {
        let Lineage {
            ancestors,
            of_children,
        } = &parent.lineage;
        let list = of_children.get_or_init(|| {
            let above = ancestors.iter().flat_map(|list| list.iter().copied());
            let list = std::iter::once(parent.pid).chain(above);
            Arc::new(list.take(ANCESTORS_MAX).collect())
        });
        Lineage {
            ancestors: Some(list.clone()),
            of_children: OnceLock::new(),
        }
    }

    /// The nearest comes first.
    pub(crate) fn ancestors(&self) -> &[Pid] {
        self.ancestors.as_deref().map_or(&[], Vec::as_slice)
    }
}

impl Process {
    /// The process which started this one, if any.
    pub(crate) fn parent(&self) -> Option<Pid> {
        self.lineage.ancestors().first().copied()
    }
}
