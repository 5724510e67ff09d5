//! What to look for in a table: a range of keys and a closure (`ets:select/2` and its match
//! specifications; `ets:match_spec_run/2`).

use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use crate::ets::store::Bounds;
use crate::ets::walk::everything;
use crate::ets::{EtsError, Key, Value};

type Matcher<K, V, T> = Arc<dyn Fn(&K, &Arc<V>) -> Option<T> + Send + Sync>;

/// Which objects are wanted, and what is wanted of them: Erlang's match specification, with a
/// closure for its patterns, guards and body. Cloning is cheap.
///
/// A range of keys makes an ordered set look at that part only, and one key makes any table look
/// at that key only. The same specification works on plain lists ([`Spec::run`]) and on single
/// objects ([`Spec::test`]).
///
/// ```
/// use std::sync::Arc;
/// use otp::ets::Spec;
///
/// let adults = Spec::new(|name: &String, age: &Arc<u32>| (**age >= 18).then(|| name.clone()));
/// let list = [("ann".to_owned(), Arc::new(17)), ("ben".to_owned(), Arc::new(30))];
/// assert_eq!(adults.run(list), ["ben"]);
/// ```
pub struct Spec<K, V, T = (K, Arc<V>)> {
    pub(super) bounds: Bounds<K>,
    matcher: Matcher<K, V, T>,
}

impl<K: Clone, V, T> Clone for Spec<K, V, T> {
    fn clone(&self) -> Spec<K, V, T> {
        Spec {
            bounds: self.bounds.clone(),
            matcher: self.matcher.clone(),
        }
    }
}

impl<K: Key, V: Value> Spec<K, V> {
    /// All objects, as they are.
    pub fn all() -> Spec<K, V> {
        Spec::filter(|_, _| true)
    }

    /// Objects for which the closure says so, as they are (`ets:match_object/2`).
    pub fn filter(wanted: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> Spec<K, V> {
        Spec::new(move |key: &K, value: &Arc<V>| {
            wanted(key, value).then(|| (key.clone(), value.clone()))
        })
    }
}

impl<K: Key, V: Value, T> Spec<K, V, T> {
    /// What the closure makes of objects; `None` for those that are not wanted.
    pub fn new(
        matcher: impl Fn(&K, &Arc<V>) -> Option<T> + Send + Sync + 'static,
    ) -> Spec<K, V, T> {
        Spec {
            bounds: everything(),
            matcher: Arc::new(matcher),
        }
    }

    /// Only keys in a range.
    pub fn range(mut self, range: impl RangeBounds<K>) -> Spec<K, V, T> {
        self.bounds = (range.start_bound().cloned(), range.end_bound().cloned());
        self
    }

    /// Only this key.
    pub fn key(self, key: K) -> Spec<K, V, T> {
        self.range(key.clone()..=key)
    }

    /// What comes out for one object (`ets:test_ms/2`).
    pub fn test(&self, key: &K, value: &Arc<V>) -> Option<T> {
        if !self.bounds.contains(key) {
            return None;
        }
        (self.matcher)(key, value)
    }

    /// What comes out for a list of objects (`ets:match_spec_run/2`).
    pub fn run(&self, objects: impl IntoIterator<Item = (K, Arc<V>)>) -> Vec<T> {
        let objects = objects.into_iter();
        objects
            .filter_map(|(key, value)| self.test(&key, &value))
            .collect()
    }

    /// The one key it is bound to.
    pub(super) fn bound_key(&self) -> Option<&K> {
        match &self.bounds {
            (Bound::Included(low), Bound::Included(high)) if low == high => Some(low),
            _ => None,
        }
    }

    /// Refuses a range that ends before it begins.
    pub(super) fn check(&self) -> Result<(), EtsError> {
        let ends = match (&self.bounds.0, &self.bounds.1) {
            (Bound::Unbounded, _) | (_, Bound::Unbounded) => return Ok(()),
            (
                Bound::Included(low) | Bound::Excluded(low),
                Bound::Included(high) | Bound::Excluded(high),
            ) => (low, high),
        };
        if ends.0 > ends.1 {
            return Err(EtsError::BadSpec);
        }
        Ok(())
    }
}
