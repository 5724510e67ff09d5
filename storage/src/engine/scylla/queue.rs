//! The queue of jobs: which may run now, which must wait for which. Pure.
//!
//! ```text
//!            lane of channel 7   [1] [2] [4]            job 1 runs: 2 and 4 wait for it,
//!            lane of guild 3     [1]     [4] [5]        5 waits for 4, 3 runs beside it
//!            lane of channel 8           [3]
//!                                                       1 is done: 2 and 4 are one group, and 5
//! ```
//!
//! A job stands in the lane of each of its scopes and may run when it is the first in all of them and
//! none is held. While a group runs, its lanes are held and those that come after it gather; when it
//! is done, the jobs that are then first become the next group: what shares a lane shares a round
//! trip, without a timer.

use std::collections::{HashMap, VecDeque};

use super::scopes::Scope;

/// Batches that may wait; past it a commit is refused with [`crate::StoreError::Busy`].
pub const WAITING_BATCHES_MAX: usize = 16_384;

/// Writes that may wait, all batches together, unless none waits: a bound on their memory.
pub const WAITING_WRITES_MAX: usize = 65_536;

/// Groups under way at once.
pub const GROUPS_AT_ONCE_MAX: usize = 128;

/// Batches of one group.
pub const GROUP_BATCHES_MAX: usize = 128;

/// Bytes of one group, unless one batch alone has more. Below the 50 KiB at which a Cassandra as it
/// comes refuses a batch.
pub const GROUP_BYTES_MAX: usize = 32 * 1_024;

/// How much a job weighs.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Weight {
    /// Writes.
    pub(super) writes: usize,
    /// About how many bytes.
    pub(super) bytes: usize,
    /// Never in one group with another.
    pub(super) alone: bool,
}

struct Waiting<J> {
    job: J,
    scopes: Vec<Scope>,
    weight: Weight,
}

#[derive(Default)]
struct Lane {
    held_by: Option<u64>,
    waiting: VecDeque<u64>,
}

/// Jobs that run together, in the order they came, and what they hold.
#[derive(Debug)]
pub(super) struct Group<J> {
    /// The jobs.
    pub(super) jobs: Vec<J>,
    /// To be given back with [`Queue::release`].
    pub(super) scopes: Vec<Scope>,
}

/// The jobs that wait, and the lanes of those that run.
pub(super) struct Queue<J> {
    lanes: HashMap<Scope, Lane>,
    jobs: HashMap<u64, Waiting<J>>,
    ready: VecDeque<u64>,
    next: u64,
    writes: usize,
    running: usize,
}

impl<J> Default for Queue<J> {
    fn default() -> Self {
        Self {
            lanes: HashMap::new(),
            jobs: HashMap::new(),
            ready: VecDeque::new(),
            next: 0,
            writes: 0,
            running: 0,
        }
    }
}

impl<J> Queue<J> {
    /// Whether a job of so many writes must be refused.
    pub(super) fn is_full(&self, writes: usize) -> bool {
        self.jobs.len() >= WAITING_BATCHES_MAX
            || (!self.jobs.is_empty() && self.writes + writes > WAITING_WRITES_MAX)
    }

    /// How many jobs wait.
    pub(super) fn waiting(&self) -> usize {
        self.jobs.len()
    }

    /// Whether nothing waits and nothing runs.
    pub(super) fn is_idle(&self) -> bool {
        self.jobs.is_empty() && self.running == 0
    }

    /// Adds a job behind all that share a scope with it. `scopes` has each one once.
    pub(super) fn push(&mut self, job: J, scopes: Vec<Scope>, weight: Weight) {
        let number = self.next;
        self.next += 1;
        for scope in &scopes {
            let lane = self.lanes.entry(scope.clone()).or_default();
            lane.waiting.push_back(number);
        }
        self.writes += weight.writes;
        let waiting = Waiting {
            job,
            scopes,
            weight,
        };
        self.jobs.insert(number, waiting);
        if self.may_run(number, None) {
            self.ready.push_back(number);
        }
    }

    /// Whether a job is the first in all its lanes, and none is held but by `group`.
    fn may_run(&self, number: u64, group: Option<u64>) -> bool {
        let Some(job) = self.jobs.get(&number) else {
            return false;
        };
        job.scopes.iter().all(|scope| {
            self.lanes.get(scope).is_some_and(|lane| {
                lane.waiting.front() == Some(&number)
                    && (lane.held_by.is_none() || lane.held_by == group)
            })
        })
    }

    /// The next group to run, or `None` when nothing may run now.
    pub(super) fn next_group(&mut self) -> Option<Group<J>> {
        if self.running >= GROUPS_AT_ONCE_MAX {
            return None;
        }
        // A job that is ready may have been taken into a group since.
        let first = loop {
            let number = self.ready.pop_front()?;
            if self.may_run(number, None) {
                break number;
            }
        };
        let mut taken = Vec::new();
        let mut scopes = Vec::new();
        let weight = self.take(first, first, &mut taken, &mut scopes);
        let mut bytes = weight.map_or(0, |weight| weight.bytes);
        if weight.is_some_and(|weight| !weight.alone) {
            let mut look: VecDeque<Scope> = scopes.iter().cloned().collect();
            while let Some(scope) = look.pop_front() {
                let front = self.lanes.get(&scope).and_then(|lane| lane.waiting.front());
                let Some(number) = front.copied() else {
                    continue;
                };
                let Some(weight) = self.jobs.get(&number).map(|job| job.weight) else {
                    continue;
                };
                let fits = !weight.alone
                    && taken.len() < GROUP_BATCHES_MAX
                    && bytes + weight.bytes <= GROUP_BYTES_MAX;
                if !fits || !self.may_run(number, Some(first)) {
                    continue;
                }
                bytes += weight.bytes;
                let of_job: Vec<_> = self
                    .jobs
                    .get(&number)
                    .map(|job| job.scopes.clone())
                    .unwrap_or_default();
                self.take(number, first, &mut taken, &mut scopes);
                // Its lanes have a new first one; new lanes may have more that join.
                look.extend(of_job);
            }
        }
        taken.sort_unstable_by_key(|(number, _)| *number);
        self.running += 1;
        Some(Group {
            jobs: taken.into_iter().map(|(_, job)| job).collect(),
            scopes,
        })
    }

    fn take(
        &mut self,
        number: u64,
        group: u64,
        taken: &mut Vec<(u64, J)>,
        scopes: &mut Vec<Scope>,
    ) -> Option<Weight> {
        let job = self.jobs.remove(&number)?;
        self.writes -= job.weight.writes;
        for scope in job.scopes {
            let lane = self.lanes.entry(scope.clone()).or_default();
            lane.waiting.pop_front();
            if lane.held_by.is_none() {
                lane.held_by = Some(group);
                scopes.push(scope);
            }
        }
        taken.push((number, job.job));
        Some(job.weight)
    }

    /// Takes out every job that waits.
    pub(super) fn drain(&mut self) -> Vec<J> {
        self.ready.clear();
        self.writes = 0;
        for lane in self.lanes.values_mut() {
            lane.waiting.clear();
        }
        let mut jobs: Vec<_> = self.jobs.drain().collect();
        jobs.sort_unstable_by_key(|(number, _)| *number);
        jobs.into_iter().map(|(_, waiting)| waiting.job).collect()
    }

    /// A group is done: those that waited for it may run.
    pub(super) fn release(&mut self, scopes: &[Scope]) {
        self.running -= 1;
        for scope in scopes {
            let Some(lane) = self.lanes.get_mut(scope) else {
                continue;
            };
            lane.held_by = None;
            if lane.waiting.is_empty() {
                self.lanes.remove(scope);
            }
        }
        for scope in scopes {
            let front = self.lanes.get(scope).and_then(|lane| lane.waiting.front());
            if let Some(number) = front.copied()
                && self.may_run(number, None)
            {
                self.ready.push_back(number);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use model::Id;
    use proptest::prelude::*;

    fn scopes(numbers: &[u64]) -> Vec<Scope> {
        numbers
            .iter()
            .map(|number| Scope::Channel(Id::new(number + 1)))
            .collect()
    }

    fn light() -> Weight {
        Weight {
            writes: 1,
            bytes: 10,
            alone: false,
        }
    }

    #[test]
    fn what_shares_a_lane_waits_and_then_goes_together() {
        let mut queue = Queue::default();
        for (job, lanes) in [
            (1, &[7, 3][..]),
            (2, &[7]),
            (3, &[8]),
            (4, &[7, 3]),
            (5, &[3]),
        ] {
            queue.push(job, scopes(lanes), light());
        }
        // 2, 4 and 5 came before 1 began, so they go with it; 3 goes beside.
        let first = queue.next_group().unwrap();
        assert_eq!(first.jobs, [1, 2, 4, 5]);
        let second = queue.next_group().unwrap();
        assert_eq!(second.jobs, [3]);
        queue.push(6, scopes(&[8, 7]), light());
        queue.push(7, scopes(&[3]), light());
        assert!(queue.next_group().is_none());
        queue.release(&second.scopes);
        assert!(queue.next_group().is_none(), "7 is still held");
        queue.release(&first.scopes);
        let mut rest = [
            queue.next_group().unwrap().jobs,
            queue.next_group().unwrap().jobs,
        ];
        rest.sort();
        assert_eq!(rest, [[6], [7]]);
    }

    #[test]
    fn a_lonely_job_shares_no_group() {
        let mut queue = Queue::default();
        queue.push(1, scopes(&[1]), light());
        let lonely = Weight {
            alone: true,
            ..light()
        };
        queue.push(2, scopes(&[1]), lonely);
        queue.push(3, scopes(&[1]), light());
        for job in 1..=3 {
            let group = queue.next_group().unwrap();
            assert_eq!(group.jobs, [job]);
            assert!(queue.next_group().is_none());
            queue.release(&group.scopes);
        }
        assert!(queue.is_idle());
    }

    #[test]
    fn bounds_hold() {
        let mut queue = Queue::default();
        for job in 0..GROUP_BATCHES_MAX + 5 {
            queue.push(job, scopes(&[1]), light());
        }
        assert_eq!(queue.next_group().unwrap().jobs.len(), GROUP_BATCHES_MAX);
        let mut queue = Queue::default();
        for job in 0..4 {
            let heavy = Weight {
                bytes: GROUP_BYTES_MAX / 2,
                ..light()
            };
            queue.push(job, scopes(&[1]), heavy);
        }
        assert_eq!(queue.next_group().unwrap().jobs, [0, 1]);
        let mut queue = Queue::default();
        for job in 0..GROUPS_AT_ONCE_MAX as u64 + 3 {
            queue.push(job, scopes(&[job]), light());
        }
        assert_eq!(
            std::iter::from_fn(|| queue.next_group()).count(),
            GROUPS_AT_ONCE_MAX
        );
        assert!(!queue.is_full(1));
        for job in 3..WAITING_BATCHES_MAX as u64 {
            queue.push(job, scopes(&[job]), light());
        }
        assert!(queue.is_full(1));
        let mut queue = Queue::default();
        assert!(!queue.is_full(WAITING_WRITES_MAX + 1), "alone it is taken");
        queue.push(0, scopes(&[1]), light());
        assert!(queue.is_full(WAITING_WRITES_MAX));
    }

    proptest! {
        /// Whatever the order of ends: no two groups hold the same lane, jobs of a lane run in the
        /// order they came, and everything runs.
        #[test]
        fn lanes_keep_their_order(
            jobs in proptest::collection::vec((proptest::collection::btree_set(0_u64..5, 1..4), any::<bool>(), any::<bool>()), 1..60),
            picks in proptest::collection::vec(any::<prop::sample::Index>(), 200),
        ) {
            let mut queue = Queue::default();
            let mut running: Vec<Group<usize>> = Vec::new();
            let mut done: Vec<usize> = Vec::new();
            let lanes_of = |job: usize| scopes(&jobs[job].0.iter().copied().collect::<Vec<_>>());
            let mut picks = picks.into_iter().cycle();
            let mut next = 0;
            while done.len() < jobs.len() {
                if next < jobs.len() {
                    let weight = Weight { alone: jobs[next].1, ..light() };
                    queue.push(next, lanes_of(next), weight);
                    next += 1;
                }
                if next < jobs.len() && jobs[next].2 {
                    continue;
                }
                while let Some(group) = queue.next_group() {
                    for other in &running {
                        prop_assert!(other.scopes.iter().all(|scope| !group.scopes.contains(scope)));
                    }
                    prop_assert!(group.jobs.len() == 1 || group.jobs.iter().all(|job| !jobs[*job].1));
                    done.extend(&group.jobs);
                    running.push(group);
                }
                if !running.is_empty() {
                    let group = running.swap_remove(picks.next().unwrap().index(running.len()));
                    queue.release(&group.scopes);
                }
            }
            for group in running {
                queue.release(&group.scopes);
            }
            prop_assert!(queue.is_idle());
            for lane in 0..5 {
                let of_lane: Vec<&usize> = done.iter().filter(|job: &&usize| jobs[**job].0.contains(&lane)).collect();
                prop_assert!(of_lane.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", of_lane);
            }
        }
    }
}
