//! A limit on how many do something at once, of which nobody ever waits (Discord: `Semaphore`).
//!
//! ```text
//!   caller ──acquire──▶ ┌ permits ┐ ──▶ yes, or full: at once
//!          ──release──▶ └─────────┘ ◀── end of a holder, for the linksafe ones
//! ```
//!
//! For work that is better refused than queued. A permit is either nobody's (`acquire`, `release`)
//! or a process' (`acquire_linksafe`): then it comes back when that process ends, in whatever way.
//!
//! | Discord's library | here |
//! |---|---|
//! | Semaphores are names in a table of the node, `max` is said at each call. | A value that is cloned and handed on; [`Semaphore::set_max`] changes the limit. |
//! | `acquire/2` gives `true` or `false` | [`AcquireError`] says why not. |
//! | `call/3` releases when the function returns or raises | [`Semaphore::call`]: also when its future is dropped. |
//! | `*_linksafe`: a server monitors the holder | The permit is free before any link or monitor of the holder fires. |
//!
//! ```
//! use otp::{AcquireError, Semaphore};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let uploads = Semaphore::new(1);
//! uploads.acquire().expect("it is free");
//! let second = uploads.call(async { "uploaded" }).await;
//! assert_eq!(second, Err(AcquireError::Full));
//! uploads.release();
//! assert_eq!(uploads.call(async { "uploaded" }).await, Ok("uploaded"));
//! # }
//! ```

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::Future;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use thiserror::Error;

use crate::panics;
use crate::pid::{Pid, SerialHash};

/// Why no permit was given. Nothing has changed; do without, or try again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AcquireError {
    /// All permits are taken.
    #[error("all permits are taken")]
    Full,
    /// A permit of a process was asked for, and no process runs this code, or it has ended.
    #[error("no process runs this code")]
    NoProcess,
}

/// A number of permits. Cloning is cheap and names the same semaphore.
#[derive(Clone, Debug)]
pub struct Semaphore {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    max: usize,
    /// Permits that are taken, those of processes included.
    taken: usize,
    /// Whether a process has a permit. It stays here until its end, so that taking a permit again
    /// and again leaves one hook in it.
    holders: HashMap<Pid, bool, SerialHash>,
}

impl Inner {
    fn take(&mut self) -> Result<(), AcquireError> {
        if self.taken >= self.max {
            metrics::counter!("otp_semaphore_refused_total").increment(1);
            return Err(AcquireError::Full);
        }
        self.taken += 1;
        Ok(())
    }

    fn give_back(&mut self) -> bool {
        let had = self.taken > 0;
        self.taken = self.taken.saturating_sub(1);
        had
    }
}

/// Gives a permit back, also if its future is dropped or panics.
struct Permit<'a> {
    semaphore: &'a Semaphore,
    /// Whose it is; nobody's, or a process'.
    holder: Option<Pid>,
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        match self.holder {
            None => self.semaphore.release(),
            Some(holder) => self.semaphore.release_of(holder),
        };
    }
}

impl Semaphore {
    /// A semaphore with so many permits.
    pub fn new(max: usize) -> Semaphore {
        Semaphore {
            inner: Arc::new(Mutex::new(Inner {
                max,
                taken: 0,
                holders: HashMap::default(),
            })),
        }
    }

    /// Changes how many permits there are. With fewer than are taken, none is given until enough
    /// have come back.
    pub fn set_max(&self, max: usize) {
        self.inner.lock().max = max;
    }

    /// How many permits are taken (`Semaphore.count/1`).
    pub fn count(&self) -> usize {
        self.inner.lock().taken
    }

    /// Takes all permits back from everybody (`Semaphore.reset/1`).
    pub fn reset(&self) {
        let mut inner = self.inner.lock();
        inner.taken = 0;
        inner.holders.values_mut().for_each(|held| *held = false);
    }

    // ---- permits of nobody ----------------------------------------------------------------

    /// Takes a permit (`Semaphore.acquire/2`); never waits. Whoever takes it has to
    /// [`Semaphore::release`] it, also if it fails: [`Semaphore::call`] does both.
    ///
    /// # Errors
    /// [`AcquireError::Full`].
    pub fn acquire(&self) -> Result<(), AcquireError> {
        self.inner.lock().take()
    }

    /// Gives a permit back (`Semaphore.release/1`); `false` if none was taken.
    pub fn release(&self) -> bool {
        self.inner.lock().give_back()
    }

    /// Runs something with a permit, which comes back when that is done, panics or is dropped
    /// (`Semaphore.call/3`).
    ///
    /// # Errors
    /// [`AcquireError::Full`]: it was not run.
    pub async fn call<T>(&self, work: impl Future<Output = T>) -> Result<T, AcquireError> {
        self.acquire()?;
        let _permit = Permit {
            semaphore: self,
            holder: None,
        };
        Ok(work.await)
    }

    // ---- permits of processes -------------------------------------------------------------

    /// Takes a permit for the process that runs (`Semaphore.acquire_linksafe`). If it has one
    /// already, it keeps that one: it counts once. Comes back with
    /// [`Semaphore::release_linksafe`], or when the process ends.
    ///
    /// # Errors
    /// [`AcquireError`].
    pub fn acquire_linksafe(&self) -> Result<(), AcquireError> {
        self.hold().map(drop)
    }

    /// Gives back the permit of the process that runs; `false` if it has none.
    pub fn release_linksafe(&self) -> bool {
        panics::current_pid().is_some_and(|pid| self.release_of(pid))
    }

    /// [`Semaphore::call`] with a permit of the process that runs: it comes back even if nothing
    /// of the process is left to give it back. Inside of another one it takes no second permit.
    ///
    /// # Errors
    /// [`AcquireError`]: it was not run.
    pub async fn call_linksafe<T>(&self, work: impl Future<Output = T>) -> Result<T, AcquireError> {
        let taken = self.hold()?;
        let _permit = taken.map(|holder| Permit {
            semaphore: self,
            holder: Some(holder),
        });
        Ok(work.await)
    }

    /// Takes a permit for the process that runs; `None` if it has one already.
    fn hold(&self) -> Result<Option<Pid>, AcquireError> {
        let process = panics::current().ok_or(AcquireError::NoProcess)?;
        let mut inner = self.inner.lock();
        if let Entry::Vacant(new) = inner.holders.entry(process.pid) {
            let semaphore = Arc::downgrade(&self.inner);
            let release = Box::new(move |pid| ended(&semaphore, pid));
            if process.add_release(release).is_err() {
                return Err(AcquireError::NoProcess);
            }
            new.insert(false);
        }
        if inner.holders.get(&process.pid) == Some(&true) {
            return Ok(None);
        }
        inner.take()?;
        inner.holders.insert(process.pid, true);
        Ok(Some(process.pid))
    }

    fn release_of(&self, pid: Pid) -> bool {
        let mut inner = self.inner.lock();
        let held = inner.holders.get_mut(&pid);
        held.is_some_and(std::mem::take) && inner.give_back()
    }
}

/// A process has ended: runs before anybody is told.
fn ended(semaphore: &Weak<Mutex<Inner>>, pid: Pid) {
    if let Some(inner) = semaphore.upgrade() {
        let mut inner = inner.lock();
        if inner.holders.remove(&pid) == Some(true) {
            inner.give_back();
        }
    }
}
