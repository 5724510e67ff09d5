//! Which users listen to a guild, or are about to: what the guild computes views for.
//!
//! ```text
//!  Guild ──expect──▶ Coming ─ in Order::Subscribe ─▶ Homes keeps it while the session has a relay
//!                       └── dropped, wherever that is: the user listens with one session less
//! ```
//!
//! A user counts from the moment the guild computes the first view of a session, so that no later
//! view misses it; and as long as the relay may have that session.

use std::collections::HashMap;
use std::sync::Arc;

use model::UserId;
use parking_lot::Mutex;

/// The users; clones share them. At most as many as the node has sessions. It is made of the
/// family and outlives the guild's process.
#[derive(Clone, Default)]
pub struct Listeners {
    users: Arc<Mutex<HashMap<UserId, usize>>>,
}

impl std::fmt::Debug for Listeners {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listeners")
            .field("users", &self.len())
            .finish()
    }
}

impl Listeners {
    /// A session of the user is about to listen; it does until the last clone of this is dropped.
    pub fn expect(&self, user: UserId) -> Arc<Coming> {
        *self.users.lock().entry(user).or_default() += 1;
        Arc::new(Coming {
            user,
            listeners: self.clone(),
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.users.lock().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, in no order.
    pub fn users(&self) -> Vec<UserId> {
        self.users.lock().keys().copied().collect()
    }

    fn leave(&self, user: UserId) {
        let mut users = self.users.lock();
        if let Some(sessions) = users.get_mut(&user) {
            *sessions -= 1;
            if *sessions == 0 {
                users.remove(&user);
            }
        }
    }
}

/// A session of a user listens, or will.
#[derive(Debug)]
pub struct Coming {
    user: UserId,
    listeners: Listeners,
}

impl Drop for Coming {
    fn drop(&mut self) {
        self.listeners.leave(self.user);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Id;

    #[test]
    fn a_user_listens_until_the_last_session_has_gone() {
        let listeners = Listeners::default();
        let (one, two) = (listeners.expect(Id::new(1)), listeners.expect(Id::new(1)));
        let other = listeners.expect(Id::new(2));
        let kept = Arc::clone(&one);
        drop((one, other));
        assert_eq!(listeners.users(), [Id::new(1)]);
        drop(kept);
        assert_eq!(listeners.len(), 1);
        drop(two);
        assert!(listeners.is_empty());
    }
}
