//! A sorted sequence that knows the position of everything in it: insert, remove, rank and slices.
//! Pure.
//!
//! ```text
//!   branches   ≥ a, 9,412 items                  ≥ p, 8,771 items
//!   leaves     [a c f][g k ] …                   [p s t v] …       at most LEAF_MAX items each,
//!                                                                  LEAVES_MAX leaves of a branch
//! ```
//!
//! On each of the two levels the lower bounds are one flat array, searched by halves, and the sizes
//! another, of which those before a place are added up: a million items are some 110 branches. Insert
//! and remove move at most [`LEAF_MAX`] items, and now and then as many leaves, so none of them takes
//! much longer than the others; what they cost is the leaf that is in no cache.

use std::ops::Range;

/// Most items of a leaf; a full one is split.
pub const LEAF_MAX: usize = 128;

/// Most leaves of a branch; a full one is split.
pub const LEAVES_MAX: usize = 128;

/// Items of two neighbours, or leaves of two branches, at which they are joined.
const JOINED_MAX: usize = 64;

/// A sorted sequence without repeats.
#[derive(Debug, Clone)]
pub struct Sorted<T> {
    branches: Level<T, Level<T, Vec<T>>>,
}

/// Parts of a sequence, one behind the other, none of them empty.
#[derive(Debug, Clone)]
struct Level<T, Part> {
    /// Nothing in a part is below its bound, which may be gone from the part. That of the first says
    /// nothing.
    bounds: Vec<T>,
    /// Items of each part.
    sizes: Vec<u32>,
    parts: Vec<Part>,
}

type Branch<T> = Level<T, Vec<T>>;

/// Where an item is, or would be: its branch, its leaf, its place in that.
#[derive(Clone, Copy)]
struct Place {
    branch: usize,
    leaf: usize,
    at: usize,
}

impl<T> Default for Sorted<T> {
    fn default() -> Self {
        Self {
            branches: Level::default(),
        }
    }
}

impl<T> Default for Level<T, Vec<T>> {
    fn default() -> Self {
        Self::empty()
    }
}

impl<T> Default for Level<T, Branch<T>> {
    fn default() -> Self {
        Self::empty()
    }
}

impl<T, Part> Level<T, Part> {
    const fn empty() -> Self {
        Self {
            bounds: Vec::new(),
            sizes: Vec::new(),
            parts: Vec::new(),
        }
    }

    /// Items in the parts before this one.
    fn before(&self, part: usize) -> usize {
        self.sizes[..part].iter().sum::<u32>() as usize
    }

    fn len(&self) -> usize {
        self.before(self.sizes.len())
    }

    /// The part that has a position, or the end, and what of the part comes before.
    fn at(&self, position: usize) -> (usize, usize) {
        let mut left = position;
        for (part, size) in self.sizes.iter().enumerate() {
            match left.checked_sub(*size as usize) {
                Some(rest) => left = rest,
                None => return (part, left),
            }
        }
        (self.parts.len(), left)
    }

    fn insert(&mut self, index: usize, bound: T, size: usize, part: Part) {
        self.bounds.insert(index, bound);
        self.sizes.insert(index, size as u32);
        self.parts.insert(index, part);
    }

    fn remove(&mut self, index: usize) -> (T, Part) {
        self.sizes.remove(index);
        (self.bounds.remove(index), self.parts.remove(index))
    }

    fn split_off(&mut self, at: usize) -> Self {
        Self {
            bounds: self.bounds.split_off(at),
            sizes: self.sizes.split_off(at),
            parts: self.parts.split_off(at),
        }
    }

    fn append(&mut self, mut behind: Self) {
        self.bounds.append(&mut behind.bounds);
        self.sizes.append(&mut behind.sizes);
        self.parts.append(&mut behind.parts);
    }
}

impl<T: Ord, Part> Level<T, Part> {
    /// The part an item belongs into.
    fn part_of(&self, item: &T) -> usize {
        let bounds = self.bounds.get(1..).unwrap_or_default();
        bounds.partition_point(|bound| bound <= item)
    }
}

impl<T: Ord + Clone> Sorted<T> {
    /// How many items there are.
    pub fn len(&self) -> usize {
        self.branches.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.branches.parts.is_empty()
    }

    /// Puts an item in; its position. `Err` with the position of the one that is there already.
    pub fn insert(&mut self, item: T) -> Result<usize, usize> {
        if self.is_empty() {
            let mut branch = Branch::empty();
            branch.insert(0, item.clone(), 1, vec![item.clone()]);
            self.branches.insert(0, item, 1, branch);
            return Ok(0);
        }
        let place = match self.find(&item) {
            Ok(place) => return Err(self.position(place)),
            Err(place) => place,
        };
        let position = self.position(place);
        self.branches.sizes[place.branch] += 1;
        let branch = &mut self.branches.parts[place.branch];
        branch.sizes[place.leaf] += 1;
        let leaf = &mut branch.parts[place.leaf];
        leaf.insert(place.at, item);
        if leaf.len() > LEAF_MAX {
            self.split(place);
        }
        Ok(position)
    }

    /// Takes an item out; the position it had.
    pub fn remove(&mut self, item: &T) -> Option<usize> {
        let place = self.find(item).ok()?;
        let position = self.position(place);
        self.branches.sizes[place.branch] -= 1;
        let branch = &mut self.branches.parts[place.branch];
        branch.sizes[place.leaf] -= 1;
        branch.parts[place.leaf].remove(place.at);
        self.join(place);
        Some(position)
    }

    /// The position of an item; `Err` with the one it would have.
    pub fn rank(&self, item: &T) -> Result<usize, usize> {
        match self.find(item) {
            Ok(place) => Ok(self.position(place)),
            Err(place) => Err(self.position(place)),
        }
    }

    /// The items at these positions, as far as there are so many.
    pub fn slice(&self, range: Range<usize>) -> impl Iterator<Item = &T> {
        let (first, left) = self.branches.at(range.start);
        let branches = self.branches.parts.get(first..).unwrap_or_default();
        let (leaf, left) = branches.first().map_or((0, 0), |branch| branch.at(left));
        let leaves = branches.iter().flat_map(|branch| &branch.parts);
        let from = leaves.skip(leaf).flatten().skip(left);
        from.take(range.len())
    }

    fn find(&self, item: &T) -> Result<Place, Place> {
        let branch = self.branches.part_of(item);
        let Some(leaves) = self.branches.parts.get(branch) else {
            let (leaf, at) = (0, 0);
            return Err(Place { branch, leaf, at });
        };
        let leaf = leaves.part_of(item);
        match leaves.parts[leaf].binary_search(item) {
            Ok(at) => Ok(Place { branch, leaf, at }),
            Err(at) => Err(Place { branch, leaf, at }),
        }
    }

    fn position(&self, place: Place) -> usize {
        let leaves = self.branches.parts.get(place.branch);
        let before = leaves.map_or(0, |leaves| leaves.before(place.leaf));
        self.branches.before(place.branch) + before + place.at
    }

    /// Halves a leaf that is full, and its branch if that is full then.
    fn split(&mut self, place: Place) {
        let branch = &mut self.branches.parts[place.branch];
        let leaf = &mut branch.parts[place.leaf];
        let upper = leaf.split_off(LEAF_MAX / 2);
        branch.sizes[place.leaf] = leaf.len() as u32;
        branch.insert(place.leaf + 1, upper[0].clone(), upper.len(), upper);
        if branch.parts.len() > LEAVES_MAX {
            let upper = branch.split_off(LEAVES_MAX / 2);
            self.branches.sizes[place.branch] = branch.len() as u32;
            let (bound, size) = (upper.bounds[0].clone(), upper.len());
            self.branches.insert(place.branch + 1, bound, size, upper);
        }
    }

    /// Takes away a leaf that is empty, or joins it with the next one when both are small; then the
    /// same with its branch.
    fn join(&mut self, place: Place) {
        let branch = &mut self.branches.parts[place.branch];
        let size = branch.sizes[place.leaf];
        let next = branch.sizes.get(place.leaf + 1);
        if size == 0 {
            branch.remove(place.leaf);
        } else if next.is_some_and(|next| (size + next) as usize <= JOINED_MAX) {
            let (_, joined) = branch.remove(place.leaf + 1);
            let leaf = &mut branch.parts[place.leaf];
            leaf.extend(joined);
            branch.sizes[place.leaf] = leaf.len() as u32;
        } else {
            return;
        }
        let leaves = branch.parts.len();
        let next = self.branches.parts.get(place.branch + 1);
        if leaves == 0 {
            self.branches.remove(place.branch);
        } else if next.is_some_and(|next| leaves + next.parts.len() <= JOINED_MAX) {
            let (bound, mut joined) = self.branches.remove(place.branch + 1);
            // It was the first, whose own bound holds nothing.
            joined.bounds[0] = bound;
            let branch = &mut self.branches.parts[place.branch];
            branch.append(joined);
            self.branches.sizes[place.branch] = branch.len() as u32;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn same(sorted: &Sorted<u32>, model: &[u32]) {
        assert_eq!(sorted.len(), model.len());
        let all: Vec<u32> = sorted.slice(0..usize::MAX).copied().collect();
        assert_eq!(all, model);
    }

    /// Sizes are true, nothing is empty, and what is in a part is not below its bound.
    fn check(sorted: &Sorted<u32>) {
        fn bounded<Part>(level: &Level<u32, Part>, first: impl Fn(&Part) -> u32) {
            assert!(level.bounds[1..].is_sorted());
            let bounded = level.bounds.iter().zip(&level.parts).skip(1);
            bounded.for_each(|(bound, part)| assert!(*bound <= first(part)));
        }
        bounded(&sorted.branches, |branch| branch.parts[0][0]);
        for (branch, size) in sorted.branches.parts.iter().zip(&sorted.branches.sizes) {
            assert_eq!(branch.len(), *size as usize);
            bounded(branch, |leaf| leaf[0]);
            assert!((1..=LEAVES_MAX).contains(&branch.parts.len()));
            for (leaf, size) in branch.parts.iter().zip(&branch.sizes) {
                assert_eq!(leaf.len(), *size as usize);
                assert!((1..=LEAF_MAX).contains(&leaf.len()));
            }
        }
    }

    /// Some branches come, are split, joined and go.
    #[test]
    fn many_come_and_go_like_in_a_sorted_vec() {
        let scattered = |number: u32| number.wrapping_mul(2_654_435_761);
        let (mut sorted, mut model) = (Sorted::default(), Vec::new());
        let mut branches_max = 0;
        for number in 0..60_000 {
            // Some come in order, where the others are not.
            let item = if number % 3 == 0 {
                number
            } else {
                scattered(number) | 1 << 31
            };
            let at = model.binary_search(&item).unwrap_err();
            model.insert(at, item);
            assert_eq!(sorted.insert(item), Ok(at));
            branches_max = branches_max.max(sorted.branches.parts.len());
            if number % 1_000 == 0 {
                check(&sorted);
            }
        }
        assert!(branches_max > 4, "{branches_max}");
        same(&sorted, &model);
        for number in 0..u32::MAX {
            if model.is_empty() {
                break;
            }
            let at = match number % 8 {
                // Neighbours go, as a group does, here and there.
                0..4 => 0,
                4..7 => model.len() / 2,
                _ => scattered(number) as usize % model.len(),
            };
            let item = model.remove(at);
            assert_eq!(sorted.rank(&item), Ok(at));
            assert_eq!(sorted.remove(&item), Some(at));
            assert_eq!(sorted.remove(&item), None);
            // One comes back below the bound of what was there.
            if number % 3 == 0 && item > 0 && model.binary_search(&(item - 1)).is_err() {
                model.insert(at, item - 1);
                assert_eq!(sorted.insert(item - 1), Ok(at));
            }
            if number % 1_000 == 0 && !sorted.is_empty() {
                check(&sorted);
                same(&sorted, &model);
            }
        }
        assert!(sorted.is_empty());
    }

    /// The first leaf of a branch takes what is below its bound; as one of many it must have a true one.
    #[test]
    fn a_branch_that_is_joined_has_its_bound() {
        let mut sorted = Sorted::default();
        for item in 0..20_000 {
            sorted.insert(item * 10).unwrap();
        }
        assert!(sorted.branches.parts.len() >= 2);
        let bound = sorted.branches.bounds[1];
        for item in sorted.branches.parts[1].parts[0].clone() {
            sorted.remove(&item);
        }
        sorted.insert(bound + 1).unwrap();
        let branches = sorted.branches.parts.len();
        for branch in [1, 0] {
            let leaves = sorted.branches.parts[branch].parts[20..].concat();
            for item in leaves {
                if sorted.branches.parts.len() == branches {
                    sorted.remove(&item);
                }
            }
        }
        assert_eq!(sorted.branches.parts.len(), branches - 1, "joined");
        check(&sorted);
        assert!(sorted.rank(&(bound + 1)).is_ok());
        assert!(sorted.insert(bound + 2).is_ok());
        check(&sorted);
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
            check(&sorted);
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
