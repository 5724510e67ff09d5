//! A sorted sequence that knows the position of everything in it: insert, remove, rank and slices.
//! Pure.
//!
//! ```text
//!   bounds   [ a ,    g ,    p ]      lower bounds of the leaves, searched first: one flat array
//!   leaves   [a c f][g k ][p s t v]   at most LEAF_MAX items each
//!   counts   Fenwick tree over the sizes of the leaves: what is before a leaf, in O(log n)
//! ```
//!
//! Search and rank take O(log n). Insert and remove move at most [`LEAF_MAX`] items; only when a
//! leaf is split or joined, every 250 changes or so, the arrays of leaves are moved as well: that
//! takes some ten microseconds with a million items, and is why leaves are not smaller.

use std::ops::Range;

/// Most items of a leaf; a full one is split.
pub const LEAF_MAX: usize = 512;

/// Items of two neighbours at which they are joined.
const JOINED_MAX: usize = 256;

/// A sorted sequence without repeats.
#[derive(Debug, Clone)]
pub struct Sorted<T> {
    /// Nothing in a leaf is below its bound, but in the first; it may be gone from the leaf.
    bounds: Vec<T>,
    leaves: Vec<Vec<T>>,
    counts: Vec<u32>,
    len: usize,
}

impl<T> Default for Sorted<T> {
    fn default() -> Self {
        Self {
            bounds: Vec::new(),
            leaves: Vec::new(),
            counts: Vec::new(),
            len: 0,
        }
    }
}

impl<T: Ord + Clone> Sorted<T> {
    /// How many items there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Puts an item in; its position. `Err` with the position of the one that is there already.
    pub fn insert(&mut self, item: T) -> Result<usize, usize> {
        if self.leaves.is_empty() {
            self.bounds.push(item.clone());
            self.leaves.push(vec![item]);
            self.len = 1;
            self.recount();
            return Ok(0);
        }
        let leaf = self.leaf_of(&item);
        let before = self.before(leaf);
        match self.leaves[leaf].binary_search(&item) {
            Ok(at) => Err(before + at),
            Err(at) => {
                self.leaves[leaf].insert(at, item);
                self.len += 1;
                if self.leaves[leaf].len() > LEAF_MAX {
                    self.split(leaf);
                } else {
                    self.count(leaf, 1);
                }
                Ok(before + at)
            }
        }
    }

    /// Takes an item out; the position it had.
    pub fn remove(&mut self, item: &T) -> Option<usize> {
        let (leaf, at) = self.find(item).ok()?;
        let position = self.before(leaf) + at;
        self.leaves[leaf].remove(at);
        self.len -= 1;
        let size = self.leaves[leaf].len();
        let next = self.leaves.get(leaf + 1).map(Vec::len);
        if size == 0 && self.leaves.len() > 1 {
            self.leaves.remove(leaf);
            self.bounds.remove(leaf);
            self.recount();
        } else if next.is_some_and(|next| size + next <= JOINED_MAX) {
            let joined = self.leaves.remove(leaf + 1);
            self.leaves[leaf].extend(joined);
            self.bounds.remove(leaf + 1);
            self.recount();
        } else {
            self.count(leaf, -1);
        }
        Some(position)
    }

    /// The position of an item; `Err` with the one it would have.
    pub fn rank(&self, item: &T) -> Result<usize, usize> {
        match self.find(item) {
            Ok((leaf, at)) => Ok(self.before(leaf) + at),
            Err((leaf, at)) => Err(self.before(leaf) + at),
        }
    }

    /// The items at these positions, as far as there are so many.
    pub fn slice(&self, range: Range<usize>) -> impl Iterator<Item = &T> {
        let (leaf, skipped) = self.at(range.start);
        let leaves = self.leaves.get(leaf..).unwrap_or_default();
        let from = leaves.iter().flatten().skip(skipped);
        from.take(range.len())
    }

    fn find(&self, item: &T) -> Result<(usize, usize), (usize, usize)> {
        if self.leaves.is_empty() {
            return Err((0, 0));
        }
        let leaf = self.leaf_of(item);
        match self.leaves[leaf].binary_search(item) {
            Ok(at) => Ok((leaf, at)),
            Err(at) => Err((leaf, at)),
        }
    }

    /// The leaf an item belongs into.
    fn leaf_of(&self, item: &T) -> usize {
        let above = self.bounds.partition_point(|bound| bound <= item);
        above.saturating_sub(1)
    }

    /// The leaf that has a position, and what of it comes before.
    fn at(&self, position: usize) -> (usize, usize) {
        let (mut leaf, mut left) = (0, position);
        let mut step = (self.counts.len() + 1).next_power_of_two() / 2;
        while step > 0 {
            if let Some(count) = self.counts.get(leaf + step - 1)
                && *count as usize <= left
            {
                leaf += step;
                left -= *count as usize;
            }
            step /= 2;
        }
        (leaf, left)
    }

    fn split(&mut self, leaf: usize) {
        let upper = self.leaves[leaf].split_off(LEAF_MAX / 2);
        self.bounds.insert(leaf + 1, upper[0].clone());
        self.leaves.insert(leaf + 1, upper);
        self.recount();
    }

    // ── The Fenwick tree ──────────────────────────────────────────────────────────────────────

    /// Items in the leaves before this one.
    fn before(&self, leaf: usize) -> usize {
        let (mut sum, mut index) = (0, leaf);
        while index > 0 {
            sum += self.counts[index - 1] as usize;
            index &= index - 1;
        }
        sum
    }

    /// A leaf has one item more or less.
    fn count(&mut self, leaf: usize, change: i32) {
        let mut index = leaf + 1;
        while let Some(count) = self.counts.get_mut(index - 1) {
            *count = count.wrapping_add_signed(change);
            index += index & index.wrapping_neg();
        }
    }

    fn recount(&mut self) {
        self.counts.clear();
        let sizes = self.leaves.iter().map(|leaf| leaf.len() as u32);
        self.counts.extend(sizes);
        for index in 1..=self.counts.len() {
            let above = index + (index & index.wrapping_neg());
            let count = self.counts[index - 1];
            if let Some(sum) = self.counts.get_mut(above - 1) {
                *sum += count;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn same(sorted: &Sorted<u32>, model: &[u32]) {
        assert_eq!(sorted.len(), model.len());
        let all: Vec<u32> = sorted.slice(0..usize::MAX).copied().collect();
        assert_eq!(all, model);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// Whatever is done, it is what a sorted Vec is.
        #[test]
        fn like_a_sorted_vec(
            steps in vec((any::<bool>(), 0..2_000_u32), 1..3_000),
            grows in any::<bool>(),
        ) {
            let (mut sorted, mut model) = (Sorted::default(), Vec::new());
            for (number, (first, item)) in steps.into_iter().enumerate() {
                // Grows at first, and shrinks to nothing at the end, or stays small.
                let insert = if grows { number < 2_000 || first } else { first };
                let place = model.binary_search(&item);
                prop_assert_eq!(sorted.rank(&item), place);
                match (insert, place) {
                    (true, Err(at)) => {
                        prop_assert_eq!(sorted.insert(item), Ok(at));
                        model.insert(at, item);
                    }
                    (true, Ok(at)) => prop_assert_eq!(sorted.insert(item), Err(at)),
                    (false, Ok(at)) => {
                        prop_assert_eq!(sorted.remove(&item), Some(at));
                        model.remove(at);
                    }
                    (false, Err(_)) => prop_assert_eq!(sorted.remove(&item), None),
                }
                let from = item as usize % (model.len() + 2);
                let slice: Vec<u32> = sorted.slice(from..from + 9).copied().collect();
                let end = model.len().min(from + 9);
                prop_assert_eq!(&slice[..], model.get(from..end).unwrap_or_default());
            }
            same(&sorted, &model);
            // Away with all, here and there, so that leaves are joined.
            let mut order = model.clone();
            order.sort_by_key(|item| item.wrapping_mul(2_654_435_761));
            for item in order {
                let at = model.binary_search(&item).unwrap_or(usize::MAX);
                prop_assert_eq!(sorted.remove(&item), Some(at));
                model.remove(at);
                let middle = model.get(model.len() / 2);
                prop_assert_eq!(middle.map(|item| sorted.rank(item)), middle.map(|_| Ok(model.len() / 2)));
            }
            prop_assert!(sorted.is_empty());
            prop_assert_eq!(sorted.insert(7), Ok(0));
        }
    }
}
