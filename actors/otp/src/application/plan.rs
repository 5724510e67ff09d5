//! Which applications are needed for others, and in what order: decided without doing it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::application::ApplicationError;

/// The dependencies of each application that is known.
pub(super) type Dependencies = HashMap<Arc<str>, Vec<Arc<str>>>;

/// The applications that are needed to start some, themselves included: each after all it depends
/// on.
pub(super) fn order(
    wanted: &[Arc<str>],
    dependencies: &Dependencies,
) -> Result<Vec<Arc<str>>, ApplicationError> {
    let mut walk = Walk {
        dependencies,
        open: HashSet::new(),
        done: HashSet::new(),
        order: Vec::new(),
    };
    for name in wanted {
        walk.visit(name)?;
    }
    Ok(walk.order)
}

struct Walk<'a> {
    dependencies: &'a Dependencies,
    open: HashSet<Arc<str>>,
    done: HashSet<Arc<str>>,
    order: Vec<Arc<str>>,
}

impl Walk<'_> {
    /// Recursion is bounded by the number of applications.
    fn visit(&mut self, name: &Arc<str>) -> Result<(), ApplicationError> {
        if self.done.contains(name) {
            return Ok(());
        }
        if !self.open.insert(name.clone()) {
            return Err(ApplicationError::Circle(name.clone()));
        }
        let needs = self.dependencies.get(name);
        let needs = needs.ok_or_else(|| ApplicationError::NotLoaded(name.clone()))?;
        for need in needs {
            self.visit(need)?;
        }
        self.done.insert(name.clone());
        self.order.push(name.clone());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn graph(edges: &[(&str, &[&str])]) -> Dependencies {
        let own = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect();
        let edges = edges.iter();
        edges
            .map(|(name, needs)| (Arc::from(*name), own(needs)))
            .collect()
    }

    fn ordered(wanted: &[&str], graph: &Dependencies) -> Result<Vec<String>, ApplicationError> {
        let wanted: Vec<Arc<str>> = wanted.iter().map(|name| Arc::from(*name)).collect();
        let names = order(&wanted, graph)?;
        Ok(names.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn each_comes_after_what_it_needs_and_once() {
        let graph = graph(&[("a", &["b", "c"]), ("b", &["d"]), ("c", &["d"]), ("d", &[])]);
        assert_eq!(ordered(&["a", "d"], &graph).unwrap(), ["d", "b", "c", "a"]);
    }

    #[test]
    fn a_circle_is_found() {
        let graph = graph(&[("a", &["b"]), ("b", &["a"])]);
        assert_eq!(
            ordered(&["a"], &graph),
            Err(ApplicationError::Circle("a".into()))
        );
    }

    #[test]
    fn what_is_unknown_is_named() {
        let graph = graph(&[("a", &["b"])]);
        assert_eq!(
            ordered(&["a"], &graph),
            Err(ApplicationError::NotLoaded("b".into()))
        );
    }
}
