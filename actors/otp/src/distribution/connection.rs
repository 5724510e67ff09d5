//! One node's end of a connection, and the table of what crosses it.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, mpsc, watch};

use crate::distribution::{CONNECTION_PARCELS_MAX, Parcel};
use crate::node::Node;
use crate::pid::{MonitorRef, Pid, RequestRef};

/// One node's end of a connection.
pub(crate) struct Connection {
    pub(super) peer: Node,
    pub(super) parcels: mpsc::UnboundedSender<Parcel>,
    pub(super) waiting: AtomicUsize,
    /// What of this node's processes crosses it; `None` once it is lost.
    pub(super) crossings: Mutex<Option<Crossings>>,
    /// Shared by both ends.
    pub(super) line: Arc<Line>,
    /// Held while a parcel of the peer is handed over, so that the loss comes after it.
    pub(super) arriving: Mutex<()>,
}

/// What both ends share.
pub(super) struct Line {
    pub(super) lost: watch::Sender<bool>,
    /// Nothing is carried while this is set.
    pub(super) held: AtomicBool,
    pub(super) released: Notify,
}

/// Links and monitors of local processes with those of the peer.
#[derive(Default)]
pub(super) struct Crossings {
    /// The local process, and the other.
    pub(super) links: HashSet<(Pid, Pid)>,
    /// Links taken back by the local process, and how many of these the peer has not answered:
    /// until then, what it says about the link is older than that.
    pub(super) unlinking: HashMap<(Pid, Pid), u32>,
    /// Spawn requests that were not answered, and what answers them if the connection is lost.
    pub(super) requests: HashMap<RequestRef, Box<dyn FnOnce() + Send>>,
    /// Monitors of local processes.
    pub(super) watching: HashMap<MonitorRef, (Pid, Pid)>,
    /// Monitors of the peer's processes on local ones.
    pub(super) watched: HashMap<(MonitorRef, Pid), Pid>,
}

impl Connection {
    /// Sends a parcel, in order. `false` if the connection is lost, or cannot take a message.
    pub(crate) fn send(&self, parcel: Parcel) -> bool {
        if *self.line.lost.borrow() {
            return false;
        }
        let waiting = self.waiting.fetch_add(1, Ordering::Relaxed);
        let is_message = matches!(parcel, Parcel::Raw { .. });
        if (is_message && waiting >= CONNECTION_PARCELS_MAX) || self.parcels.send(parcel).is_err() {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        true
    }

    /// Resolves when the connection is lost.
    pub(crate) async fn lost(&self) {
        let mut lost = self.line.lost.subscribe();
        // The sender lives as long as this end does.
        let _ = lost.wait_for(|lost| *lost).await;
    }

    /// Nothing arrives while this is held: what a process does to a link is one step, and what
    /// the peer says about it comes before or after that.
    pub(crate) fn quiet(&self) -> MutexGuard<'_, ()> {
        self.arriving.lock()
    }

    /// `None` if the connection is lost.
    fn with_crossings<T>(&self, change: impl FnOnce(&mut Crossings) -> T) -> Option<T> {
        self.crossings.lock().as_mut().map(change)
    }

    pub(crate) fn note_link(&self, local: Pid, far: Pid) -> bool {
        let noted = self.with_crossings(|crossings| crossings.links.insert((local, far)));
        noted.is_some()
    }

    /// The local process has unlinked.
    pub(crate) fn begin_unlink(&self, local: Pid, far: Pid) {
        self.with_crossings(|crossings| {
            crossings.links.remove(&(local, far));
            *crossings.unlinking.entry((local, far)).or_default() += 1;
        });
    }

    /// The peer knows of it.
    pub(super) fn end_unlink(&self, local: Pid, far: Pid) {
        self.with_crossings(|crossings| {
            if let Entry::Occupied(mut open) = crossings.unlinking.entry((local, far)) {
                *open.get_mut() -= 1;
                if *open.get() == 0 {
                    open.remove();
                }
            }
        });
    }

    pub(super) fn is_unlinking(&self, local: Pid, far: Pid) -> bool {
        let open = self.with_crossings(|one| one.unlinking.contains_key(&(local, far)));
        open.unwrap_or(false)
    }

    pub(crate) fn forget_link(&self, local: Pid, far: Pid) {
        self.with_crossings(|crossings| {
            crossings.links.remove(&(local, far));
        });
    }

    pub(crate) fn note_watching(&self, monitor: MonitorRef, local: Pid, far: Pid) -> bool {
        let noted = self.with_crossings(|crossings| {
            crossings.watching.insert(monitor, (local, far));
        });
        noted.is_some()
    }

    pub(crate) fn forget_watching(&self, monitor: MonitorRef) {
        self.with_crossings(|crossings| {
            crossings.watching.remove(&monitor);
        });
    }

    pub(crate) fn note_watched(&self, monitor: MonitorRef, far: Pid, local: Pid) -> bool {
        let noted = self.with_crossings(|crossings| {
            crossings.watched.insert((monitor, far), local);
        });
        noted.is_some()
    }

    pub(crate) fn forget_watched(&self, monitor: MonitorRef, far: Pid) -> Option<Pid> {
        self.with_crossings(|crossings| crossings.watched.remove(&(monitor, far)))
            .flatten()
    }

    /// Notes a spawn request, and what to do if its answer is lost.
    pub(crate) fn note_request(
        &self,
        request: RequestRef,
        lost: impl FnOnce() + Send + 'static,
    ) -> bool {
        let noted = self.with_crossings(|crossings| {
            crossings.requests.insert(request, Box::new(lost));
        });
        noted.is_some()
    }

    pub(crate) fn forget_request(&self, request: RequestRef) {
        self.with_crossings(|crossings| crossings.requests.remove(&request));
    }

    /// How many links and monitors of this node's processes cross it.
    pub(super) fn crossing(&self) -> usize {
        let crossings = self.crossings.lock();
        crossings.as_ref().map_or(0, |crossings| {
            let links = crossings.links.len() + crossings.unlinking.len();
            links + crossings.watching.len() + crossings.watched.len()
        })
    }
}
