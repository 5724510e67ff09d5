//! Sets of users that are kept up to date by one and handed to others as they are at a moment.
//!
//! ```text
//!  set ──clone──▶ event          chunks: sorted, each at most CHUNK_MAX users
//!   └─ insert: copies the one chunk that changes, the event keeps the old one
//! ```
//!
//! Made for events that mean whoever has a role: there may be a million of them, and an event must
//! cost its guild nothing for each.

use std::sync::Arc;

use crate::id::UserId;

/// Most users in a chunk: what a change of a set that somebody else holds copies.
const CHUNK_MAX: usize = 512;

/// A sorted set of users. A copy costs a pointer, whatever the size, and stays as it is when the
/// other one changes. Eight to sixteen bytes a user.
#[derive(Clone, Default)]
pub struct UserSet {
    /// In order, none empty.
    chunks: Arc<Vec<Arc<Vec<UserId>>>>,
    len: usize,
}

impl UserSet {
    /// How many users are in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nobody is in it.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether a user is in it; logarithmic.
    pub fn contains(&self, user: &UserId) -> bool {
        let chunk = self.chunks.get(self.chunk_of(*user));
        chunk.is_some_and(|chunk| chunk.binary_search(user).is_ok())
    }

    /// All of them, in id order.
    pub fn iter(&self) -> impl Iterator<Item = &UserId> {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }

    /// Puts a user in; whether it was not there.
    pub fn insert(&mut self, user: UserId) -> bool {
        if self.contains(&user) {
            return false;
        }
        self.len += 1;
        let at = self.chunk_of(user);
        let chunks = Arc::make_mut(&mut self.chunks);
        // Above all that are there: into the last chunk.
        let at = at.min(chunks.len().saturating_sub(1));
        let Some(chunk) = chunks.get_mut(at) else {
            chunks.push(Arc::new(vec![user]));
            return true;
        };
        let chunk = Arc::make_mut(chunk);
        let place = chunk.partition_point(|other| *other < user);
        chunk.insert(place, user);
        if chunk.len() > CHUNK_MAX {
            let upper = chunk.split_off(CHUNK_MAX / 2);
            chunks.insert(at + 1, Arc::new(upper));
        }
        true
    }

    /// Takes a user out; whether it was there.
    pub fn remove(&mut self, user: &UserId) -> bool {
        if !self.contains(user) {
            return false;
        }
        self.len -= 1;
        let at = self.chunk_of(*user);
        let chunks = Arc::make_mut(&mut self.chunks);
        if let Some(chunk) = chunks.get_mut(at) {
            let chunk = Arc::make_mut(chunk);
            chunk.retain(|other| other != user);
            if chunk.is_empty() {
                chunks.remove(at);
            }
        }
        true
    }

    /// The first chunk that does not end below the user.
    fn chunk_of(&self, user: UserId) -> usize {
        self.chunks
            .partition_point(|chunk| chunk.last().is_some_and(|last| *last < user))
    }
}

impl FromIterator<UserId> for UserSet {
    fn from_iter<I: IntoIterator<Item = UserId>>(users: I) -> Self {
        let mut users: Vec<UserId> = users.into_iter().collect();
        users.sort_unstable();
        users.dedup();
        // With room in each for those who come.
        let chunks = users.chunks(CHUNK_MAX / 2);
        Self {
            len: users.len(),
            chunks: Arc::new(chunks.map(|chunk| Arc::new(chunk.to_vec())).collect()),
        }
    }
}

/// Equal are those with the same users, however they lie in chunks.
impl PartialEq for UserSet {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl Eq for UserSet {}

impl std::fmt::Debug for UserSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "UserSet({} users)", self.len)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::Id;

    fn same(set: &UserSet, plain: &BTreeSet<UserId>) {
        assert!(set.iter().eq(plain.iter()));
        assert_eq!((set.len(), set.is_empty()), (plain.len(), plain.is_empty()));
        assert!(set.chunks.iter().all(|chunk| !chunk.is_empty()));
        assert!(set.chunks.iter().all(|chunk| chunk.len() <= CHUNK_MAX));
    }

    #[test]
    fn many_who_come_in_order_lie_in_many_chunks() {
        let users = || (2..=10_001).map(Id::new);
        let mut rising = UserSet::default();
        assert!(users().all(|user| rising.insert(user)));
        let mut falling = UserSet::default();
        assert!(users().rev().all(|user| falling.insert(user)));
        for set in [&rising, &falling, &users().collect()] {
            same(set, &users().collect());
            assert_eq!(set, &rising);
            assert!(users().all(|user| set.contains(&user)));
            assert!(!set.contains(&Id::new(1)) && !set.contains(&Id::new(10_002)));
        }
        assert!(users().all(|user| rising.remove(&user)));
        same(&rising, &BTreeSet::new());
    }

    proptest! {
        #[test]
        fn it_is_a_set_and_copies_stay_as_they_are(
            first in proptest::collection::vec(1..2_000_u64, 0..1_500),
            steps in proptest::collection::vec((any::<bool>(), 1..2_000_u64), 0..600),
        ) {
            let first = || first.iter().copied().map(Id::new);
            let (mut set, mut plain) = (first().collect::<UserSet>(), first().collect::<BTreeSet<_>>());
            same(&set, &plain);
            let (copy, then) = (set.clone(), plain.clone());
            for (comes, user) in steps {
                let user = Id::new(user);
                match comes {
                    true => prop_assert_eq!(set.insert(user), plain.insert(user)),
                    false => prop_assert_eq!(set.remove(&user), plain.remove(&user)),
                }
                prop_assert_eq!(set.contains(&user), comes);
            }
            same(&set, &plain);
            same(&copy, &then);
        }
    }
}
