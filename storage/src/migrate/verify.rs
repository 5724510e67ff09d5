//! Reading both stores back and comparing them, row by row, in the same order.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;
use tokio::task::JoinSet;

use super::Failure;
use super::copy::{SCOPES_AT_ONCE_MAX, count, last_message, message_of};
use super::progress::{Counts, Progress, Stage};
use super::row::{Difference, Key, Row};
use super::scope::{PIECE_ROWS, Scope, Walk, read};
use crate::store::{Result, Store};

/// Differences that are told one by one; more are only counted.
pub const DIFFERENCES_MAX: usize = 100;

/// A hash of some rows that does not depend on their order, and how many they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Digest {
    /// Rows.
    pub rows: u64,
    /// The sum of the hashes of all rows.
    pub hash: u128,
}

impl Digest {
    fn add(&mut self, row: &Row) {
        self.rows += 1;
        self.hash = self.hash.wrapping_add(row.digest());
    }

    fn add_all(&mut self, other: Self) {
        self.rows += other.rows;
        self.hash = self.hash.wrapping_add(other.hash);
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.hash)
    }
}

/// One row the stores do not agree on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Differing {
    /// The section, and whose it is.
    pub section: String,
    /// The row.
    pub key: String,
    /// How they differ.
    pub what: Difference,
}

/// What a comparison found.
#[derive(Debug, Clone, Default)]
pub struct Verified {
    /// Of each section the rows of the source and of the target.
    pub sections: BTreeMap<&'static str, (Digest, Digest)>,
    /// The first [`DIFFERENCES_MAX`] differences.
    pub differences: Vec<Differing>,
    /// How many there are.
    pub differences_total: u64,
    /// What was compared.
    pub counts: Counts,
}

impl Verified {
    /// Whether both stores hold the same.
    pub fn is_equal(&self) -> bool {
        self.differences_total == 0
            && self
                .sections
                .values()
                .all(|(source, target)| source == target)
    }

    /// One hash over all sections of the source, and one of the target.
    pub fn digests(&self) -> (Digest, Digest) {
        let mut all = (Digest::default(), Digest::default());
        for (source, target) in self.sections.values() {
            all.0.add_all(*source);
            all.1.add_all(*target);
        }
        all
    }

    /// A row the stores do not agree on.
    pub(super) fn differs(&mut self, scope: Scope, key: &Key, what: Difference) {
        self.differences_total += 1;
        if self.differences.len() < DIFFERENCES_MAX {
            self.differences.push(Differing {
                section: scope.to_string(),
                key: key.to_string(),
                what,
            });
        }
    }

    /// Rows of both stores that were compared.
    pub(super) fn saw(&mut self, scope: Scope, source: &[Row], target: &[Row]) {
        let digests = self.sections.entry(scope.section()).or_default();
        for row in source {
            digests.0.add(row);
            row.count(&mut self.counts);
        }
        for row in target {
            digests.1.add(row);
        }
    }
}

/// Compares everything.
///
/// # Errors
/// [`Failure`]: a store that could not be read.
pub(super) async fn verify(
    source: &Arc<dyn Store>,
    target: &Arc<dyn Store>,
    progress: &Arc<Progress>,
) -> std::result::Result<Verified, Failure> {
    let scopes = count(source, None).await.map_err(Failure::Source)?;
    progress.begin(Stage::Verifying, scopes);
    let found = Arc::new(Mutex::new(Verified::default()));
    let mut walk = BothWalks::new(source, target);
    let mut running = JoinSet::new();
    let mut more = true;
    while more || !running.is_empty() {
        while more && running.len() < SCOPES_AT_ONCE_MAX {
            match walk.next().await? {
                Some(scope) => {
                    let one = CompareScope {
                        source: Side::new(source.clone(), scope),
                        target: Side::new(target.clone(), scope),
                        scope,
                        progress: progress.clone(),
                        found: found.clone(),
                    };
                    running.spawn(one.run());
                }
                None => more = false,
            }
        }
        match running.join_next().await {
            Some(Ok(result)) => result?,
            Some(Err(panicked)) => return Err(Failure::Ended(panicked.to_string())),
            None => {}
        }
    }
    let found = found.lock().clone();
    Ok(found)
}

/// The scopes of two stores, each once.
pub(super) struct BothWalks {
    walks: [Walk; 2],
    heads: [Option<Option<Scope>>; 2],
}

impl BothWalks {
    /// From the beginning.
    pub(super) fn new(source: &Arc<dyn Store>, target: &Arc<dyn Store>) -> Self {
        Self {
            walks: [source, target].map(|store| Walk::new(store.clone(), None)),
            heads: [None, None],
        }
    }

    /// The next scope that one of them has, or `None` at the end.
    ///
    /// # Errors
    /// [`Failure`]: a store that could not be read.
    pub(super) async fn next(&mut self) -> std::result::Result<Option<Scope>, Failure> {
        let [source, target] = &mut self.heads;
        let [of_source, of_target] = &mut self.walks;
        if source.is_none() {
            *source = Some(of_source.next().await.map_err(Failure::Source)?);
        }
        if target.is_none() {
            *target = Some(of_target.next().await.map_err(Failure::Target)?);
        }
        let next = [*source, *target].into_iter().flatten().flatten().min();
        for head in &mut self.heads {
            if next.is_some() && *head == Some(next) {
                *head = None;
            }
        }
        Ok(next)
    }
}

/// One store's rows of a scope, one after the other.
struct Side {
    store: Arc<dyn Store>,
    scope: Scope,
    rows: VecDeque<Row>,
    next: Option<Key>,
    ended: bool,
}

impl Side {
    fn new(store: Arc<dyn Store>, scope: Scope) -> Self {
        Self {
            store,
            scope,
            rows: VecDeque::new(),
            next: None,
            ended: false,
        }
    }

    async fn fill(&mut self) -> Result<()> {
        while self.rows.is_empty() && !self.ended {
            let piece = read(&*self.store, self.scope, self.next.as_ref(), PIECE_ROWS).await?;
            self.rows.extend(piece.rows);
            self.ended = piece.next.is_none();
            self.next = piece.next;
        }
        Ok(())
    }

    /// Rows up to a key, in order.
    fn take(&mut self, upto: Option<&Key>) -> Vec<Row> {
        let some = self
            .rows
            .iter()
            .take_while(|row| upto.is_none_or(|upto| row.key() <= *upto))
            .count();
        self.rows.drain(..some).collect()
    }
}

struct CompareScope {
    source: Side,
    target: Side,
    scope: Scope,
    progress: Arc<Progress>,
    found: Arc<Mutex<Verified>>,
}

impl CompareScope {
    async fn run(mut self) -> std::result::Result<(), Failure> {
        let last = last_message(&*self.source.store, self.scope.channel()).await;
        self.progress
            .open(self.scope, last.map_err(Failure::Source)?);
        loop {
            let (source, target) = tokio::join!(self.source.fill(), self.target.fill());
            source.map_err(Failure::Source)?;
            target.map_err(Failure::Target)?;
            if self.source.rows.is_empty() && self.target.rows.is_empty() {
                break;
            }
            // As far as both are known: up to the lower end of the two pieces.
            let ends = [&self.source, &self.target].map(|side| match side.ended {
                true => None,
                false => side.rows.back().map(Row::key),
            });
            let upto = ends.into_iter().flatten().min();
            let source = self.source.take(upto.as_ref());
            let target = self.target.take(upto.as_ref());
            self.compare(&source, &target);
        }
        self.progress.close(self.scope);
        Ok(())
    }

    fn compare(&self, source: &[Row], target: &[Row]) {
        let mut counts = Counts::default();
        for row in source {
            row.count(&mut counts);
        }
        let last = source.last().map(Row::key);
        self.progress
            .rows(self.scope, &counts, message_of(self.scope, last.as_ref()));
        let mut found = self.found.lock();
        found.saw(self.scope, source, target);
        for (what, at, against) in super::row::differences(source, target) {
            let row = at.and_then(|at| source.get(at));
            if let Some(row) = row.or_else(|| target.get(against?)) {
                found.differs(self.scope, &row.key(), what);
            }
        }
    }
}
