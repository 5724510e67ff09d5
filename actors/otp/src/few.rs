//! A map that is small while it holds little: most processes have one link and one monitor, and
//! there are very many processes; a few have a hundred thousand.
//!
//! ```text
//!   up to LISTED entries: a list     more: a hash table, until it is empty
//! ```

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};

/// Entries up to which a list is as quick as a hash table.
const LISTED: usize = 8;

/// A map of few entries, or of many. In no order.
pub(crate) enum FewMap<K, V, S> {
    List(Vec<(K, V)>),
    Table(HashMap<K, V, S>),
}

impl<K, V, S> Default for FewMap<K, V, S> {
    fn default() -> Self {
        FewMap::List(Vec::new())
    }
}

impl<K: Copy + Eq + Hash, V, S: BuildHasher + Default> FewMap<K, V, S> {
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        match self {
            FewMap::List(list) => list.iter().find(|(one, _)| one == key).map(|(_, it)| it),
            FewMap::Table(table) => table.get(key),
        }
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        match self {
            FewMap::List(list) => list
                .iter_mut()
                .find(|(one, _)| one == key)
                .map(|(_, it)| it),
            FewMap::Table(table) => table.get_mut(key),
        }
    }

    pub(crate) fn contains_key(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// The value before, if there was one.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        if let Some(old) = self.get_mut(&key) {
            return Some(std::mem::replace(old, value));
        }
        self.add(key, value);
        None
    }

    /// The value there is, or the one it is given.
    pub(crate) fn or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        if !self.contains_key(&key) {
            self.add(key, make());
        }
        self.get_mut(&key)
            .unwrap_or_else(|| unreachable!("it was just added"))
    }

    /// Adds what is not there.
    fn add(&mut self, key: K, value: V) {
        match self {
            FewMap::List(list) if list.len() < LISTED => {
                if list.len() == list.capacity() {
                    // The usual step is to four entries, which is three too many for most.
                    list.reserve_exact(list.len().max(1));
                }
                list.push((key, value));
            }
            FewMap::List(list) => {
                let mut table: HashMap<K, V, S> = std::mem::take(list).into_iter().collect();
                table.insert(key, value);
                *self = FewMap::Table(table);
            }
            FewMap::Table(table) => {
                table.insert(key, value);
            }
        }
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        match self {
            FewMap::List(list) => {
                let index = list.iter().position(|(one, _)| one == key)?;
                Some(list.swap_remove(index).1)
            }
            FewMap::Table(table) => {
                let removed = table.remove(key);
                if table.is_empty() {
                    *self = FewMap::default();
                }
                removed
            }
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let (list, table) = match self {
            FewMap::List(list) => (Some(list), None),
            FewMap::Table(table) => (None, Some(table)),
        };
        let listed = list.into_iter().flatten().map(|(key, value)| (key, value));
        listed.chain(table.into_iter().flat_map(|table| table.iter()))
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    pub(crate) fn into_entries(self) -> impl Iterator<Item = (K, V)> {
        let (list, table) = match self {
            FewMap::List(list) => (list, None),
            FewMap::Table(table) => (Vec::new(), Some(table)),
        };
        list.into_iter().chain(table.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::HashMap;

    use super::{FewMap, LISTED};
    use crate::pid::SerialHash;

    type Map = FewMap<u64, u64, SerialHash>;

    fn sorted(entries: impl Iterator<Item = (u64, u64)>) -> Vec<(u64, u64)> {
        let mut entries: Vec<_> = entries.collect();
        entries.sort_unstable();
        entries
    }

    /// Against a hash table, with keys that make it go to and fro between list and table.
    #[test]
    fn it_is_a_map_whatever_its_size() {
        let (mut map, mut model) = (Map::default(), HashMap::new());
        let mut random: u64 = 7;
        for step in 0..20_000_u64 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            // Long times of mostly adding, and of mostly removing.
            let adds = (random >> 60) < if step / 500 % 2 == 0 { 11 } else { 5 };
            let key = (random >> 40) % (2 * LISTED as u64);
            match adds {
                true if step % 3 == 0 => {
                    let value = *map.or_insert_with(key, || step);
                    assert_eq!(value, *model.entry(key).or_insert(step));
                }
                true => assert_eq!(map.insert(key, step), model.insert(key, step)),
                false => assert_eq!(map.remove(&key), model.remove(&key)),
            }
            assert_eq!(map.get(&key), model.get(&key));
            assert_eq!(map.get_mut(&key), model.get_mut(&key));
            assert_eq!(map.contains_key(&key), model.contains_key(&key));
            let entries = map.iter().map(|(key, value)| (*key, *value));
            assert_eq!(sorted(entries), sorted(model.iter().map(|(k, v)| (*k, *v))));
        }
        assert_eq!(map.keys().count(), map.values().count());
        assert_eq!(sorted(map.into_entries()), sorted(model.into_iter()));
    }

    #[test]
    fn one_entry_is_one_entry_of_memory_and_an_emptied_table_is_given_back() {
        let mut map = Map::default();
        map.insert(1, 1);
        assert!(matches!(&map, FewMap::List(list) if list.capacity() == 1));
        for key in 2..=LISTED as u64 + 1 {
            map.insert(key, key);
        }
        assert!(matches!(&map, FewMap::Table(_)));
        for key in 1..=LISTED as u64 + 1 {
            map.remove(&key);
        }
        assert!(matches!(&map, FewMap::List(list) if list.capacity() == 0));
    }
}
