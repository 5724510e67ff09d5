//! How far a migration has come, kept in the target as a setting. Pure.
//!
//! In the target, not in a file beside it: it is as durable as what it speaks of, it is found from
//! every machine the command is given on, and a store that is only half there says so to whoever
//! opens it (a node does not serve from it).
//!
//! ```text
//!  scopes, in order:   1 2 3 4 5 6 7 …        done: 3     all up to it
//!                      ✓ ✓ ✓ · ✓ ·            open: 4 at key …, 5 done, 6 from its beginning
//! ```

use serde::{Deserialize, Serialize};

use super::copy::SCOPES_OPEN_MAX;
use super::progress::Counts;
use super::row::Key;
use super::scope::Scope;

/// Version of what is kept; another one is refused.
const VERSION: u32 = 1;

/// How far one scope is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum At {
    /// Everything up to this row is in the target, or nothing yet.
    Key(Option<Key>),
    /// All of it.
    End,
}

/// How far a migration into a store has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    version: u32,
    /// Which store it comes from.
    pub(super) from: String,
    /// Everything is there: a node may serve from it.
    pub(super) complete: bool,
    /// A running node copies: nothing below is kept, the next try compares all there is.
    pub(super) online: bool,
    done: Option<Scope>,
    open: Vec<(Scope, At)>,
    /// What was copied so far.
    pub(super) counts: Counts,
}

impl Position {
    /// The beginning.
    pub(super) fn new(from: &str) -> Self {
        Self {
            version: VERSION,
            from: from.to_owned(),
            complete: false,
            online: false,
            done: None,
            open: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// All scopes up to this one are copied.
    pub(super) fn done(&self) -> Option<Scope> {
        self.done
    }

    /// Whether a scope can begin: it has begun before, or fewer than [`SCOPES_OPEN_MAX`] are open, or
    /// done behind one that is.
    pub(super) fn has_room(&self, scope: Scope) -> bool {
        self.open.len() < SCOPES_OPEN_MAX || self.open.iter().any(|(open, _)| *open == scope)
    }

    /// A scope begins; scopes begin in their order. Answers how far it was before.
    pub(super) fn begin(&mut self, scope: Scope) -> At {
        match self.open.iter().find(|(open, _)| *open == scope) {
            Some((_, at)) => at.clone(),
            None => {
                self.open.push((scope, At::Key(None)));
                self.open.sort_by_key(|(scope, _)| *scope);
                At::Key(None)
            }
        }
    }

    /// Rows of an open scope are in the target, up to `at`.
    pub(super) fn advance(&mut self, scope: Scope, at: At, counts: &Counts) {
        self.counts.add_all(counts);
        if let Some((_, open)) = self.open.iter_mut().find(|(open, _)| *open == scope) {
            *open = at;
        }
        self.settle();
    }

    /// Forgets the scopes that are done and nothing open stands before.
    pub(super) fn settle(&mut self) {
        let ended = self
            .open
            .iter()
            .take_while(|(_, at)| *at == At::End)
            .count();
        if let Some((last, _)) = self.open.drain(..ended).next_back() {
            self.done = Some(last);
        }
    }
}

/// What the migrator keeps in a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Marker {
    /// Something is, or was, copied into it.
    Target(Position),
    /// Its node has switched to another store, which has all that is newer.
    Moved {
        /// The URL of that store.
        to: String,
    },
}

impl Marker {
    /// As a setting.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        // Numbers, texts and lists: it serialises.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// From a setting.
    ///
    /// # Errors
    /// What is wrong with it: it is damaged, or of another version.
    pub(super) fn from_bytes(bytes: &[u8]) -> std::result::Result<Self, String> {
        let marker = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        match &marker {
            Self::Target(position) if position.version != VERSION => {
                Err(format!("version {}, known is {VERSION}", position.version))
            }
            _ => Ok(marker),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use model::Id;

    fn channel(id: u64) -> Scope {
        Scope::Purged(Id::new(id))
    }

    fn at(id: u64) -> At {
        At::Key(Some(Key::Id(id)))
    }

    #[test]
    fn what_is_done_is_what_nothing_open_stands_before() {
        let mut position = Position::new("here");
        for id in 1..=3 {
            assert_eq!(position.begin(channel(id)), At::Key(None));
        }
        let mut counts = Counts::default();
        counts.add(super::super::progress::Kind::Messages, 5);
        position.advance(channel(2), At::End, &counts);
        assert_eq!(position.done(), None, "the first is still open");
        position.advance(channel(1), at(7), &counts);
        assert_eq!((position.done(), position.open.len()), (None, 3));
        let kept = Marker::Target(position.clone()).to_bytes();
        assert_eq!(
            Marker::from_bytes(&kept).unwrap(),
            Marker::Target(position.clone())
        );
        // Given again after a crash.
        assert_eq!(position.begin(channel(1)), at(7));
        assert_eq!(position.begin(channel(2)), At::End);
        assert_eq!(position.begin(channel(3)), At::Key(None));
        position.advance(channel(1), At::End, &counts);
        assert_eq!(
            (position.done(), position.open.len()),
            (Some(channel(2)), 1)
        );
        position.advance(channel(3), At::End, &counts);
        assert_eq!(
            (position.done(), position.open.len()),
            (Some(channel(3)), 0)
        );
        assert_eq!(position.counts.total(), 20);
        let mut many = Position::new("here");
        for id in 1..=SCOPES_OPEN_MAX as u64 {
            assert!(many.has_room(channel(id)));
            many.begin(channel(id));
        }
        assert!(!many.has_room(channel(SCOPES_OPEN_MAX as u64 + 1)));
        assert!(many.has_room(channel(5)), "it has begun before");
    }

    #[test]
    fn what_nobody_can_read_is_refused() {
        for bytes in [
            &b""[..],
            b"{}",
            b"{\"target\":{}}",
            b"{\"moved\":{\"to\":1}}",
        ] {
            assert!(Marker::from_bytes(bytes).is_err());
        }
        let mut newer = Position::new("here");
        newer.version = 2;
        let told = Marker::from_bytes(&Marker::Target(newer).to_bytes()).unwrap_err();
        assert!(told.contains("version 2"), "{told}");
    }
}
