//! The way of the parcels of one direction, and the loss of the connection.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc;

use crate::distribution::{Connection, Parcel};
use crate::exit_reason::ExitReason;
use crate::node::Node;
use crate::pid::{MonitorRef, Pid};

/// Carries one direction: from the node whose end is `origin` to `target`, whose end is `end`.
pub(super) async fn pump(
    mut parcels: mpsc::UnboundedReceiver<Parcel>,
    origin: Arc<Connection>,
    target: Node,
    end: Arc<Connection>,
) {
    let mut lost = origin.line.lost.subscribe();
    loop {
        let parcel = tokio::select! {
            biased;
            _ = lost.wait_for(|lost| *lost) => break,
            parcel = parcels.recv() => parcel,
        };
        let Some(parcel) = parcel else {
            break;
        };
        loop {
            let released = origin.line.released.notified();
            if *origin.line.lost.borrow() || !origin.line.held.load(Ordering::SeqCst) {
                break;
            }
            released.await;
        }
        let _arriving = end.arriving.lock();
        if *origin.line.lost.borrow() {
            break;
        }
        origin.waiting.fetch_sub(1, Ordering::Relaxed);
        arrive(parcel, &target, &end);
    }
    // Everything that arrived has been handed over; now the end of it is news.
    end.line.lost.send_replace(true);
    lose(&target, &end);
}

/// A parcel reaches its node.
fn arrive(parcel: Parcel, node: &Node, end: &Arc<Connection>) {
    match parcel {
        Parcel::Link { from, to } => {
            if end.is_unlinking(to, from) {
                // Sent before the peer knew that `to` has unlinked, so that undoes it.
                return;
            }
            // Noted first: if the process ends in between, its end takes the note back.
            end.note_link(to, from);
            let process = node.process(to);
            if !process.is_some_and(|process| process.add_link(from)) {
                end.forget_link(to, from);
                end.send(Parcel::Exit {
                    from: to,
                    to: from,
                    reason: ExitReason::NoProc,
                    linked: true,
                });
            }
        }
        Parcel::Unlink { from, to } => {
            end.forget_link(to, from);
            if let Some(process) = node.process(to) {
                process.remove_link(from);
            }
            end.send(Parcel::Unlinked { from: to, to: from });
        }
        Parcel::Unlinked { from, to } => end.end_unlink(to, from),
        Parcel::Exit {
            from,
            to,
            reason,
            linked,
        } => {
            if linked {
                end.forget_link(to, from);
            }
            if let Some(process) = node.process(to) {
                process.exit_signal(from, reason, linked);
            }
        }
        Parcel::Monitor {
            monitor,
            watcher,
            target,
        } => begin_watch(node, end, monitor, watcher, target),
        Parcel::MonitorName {
            monitor,
            watcher,
            name,
        } => {
            let target = node.whereis(&name).unwrap_or(node.outside());
            begin_watch(node, end, monitor, watcher, target);
        }
        Parcel::Demonitor {
            monitor,
            watcher,
            target,
        } => {
            // One that was set by name, or by request, does not know its target.
            let target = end.forget_watched(monitor, watcher).unwrap_or(target);
            if let Some(process) = node.process(target) {
                process.drop_watcher(monitor, watcher);
            }
        }
        Parcel::Down {
            monitor,
            watcher,
            pid,
            reason,
        } => {
            end.forget_watching(monitor);
            if let Some(process) = node.process(watcher) {
                process.down_signal(monitor, pid, reason);
            }
        }
        Parcel::Raw { to, message } => node.deliver_message(to, message),
        Parcel::Task(task) => task(node),
    }
}

/// A process of the peer watches a local one.
fn begin_watch(node: &Node, end: &Arc<Connection>, monitor: MonitorRef, watcher: Pid, target: Pid) {
    // Noted first: if the process ends in between, its end takes the note back.
    end.note_watched(monitor, watcher, target);
    let process = node.process(target);
    if !process.is_some_and(|process| process.add_watcher(monitor, watcher)) {
        end.forget_watched(monitor, watcher);
        end.send(Parcel::Down {
            monitor,
            watcher,
            pid: target,
            reason: ExitReason::NoProc,
        });
    }
}

/// The connection is gone, as one of its nodes sees it.
pub(super) fn lose(node: &Node, end: &Arc<Connection>) {
    let _arriving = end.arriving.lock();
    let Some(crossings) = end.crossings.lock().take() else {
        return;
    };
    for (_, lost) in crossings.requests {
        lost();
    }
    for (local, far) in crossings.links {
        if let Some(process) = node.process(local) {
            process.exit_signal(far, ExitReason::NoConnection, true);
        }
    }
    for (monitor, (local, far)) in crossings.watching {
        if let Some(process) = node.process(local) {
            process.down_signal(monitor, far, ExitReason::NoConnection);
        }
    }
    for ((monitor, far), local) in crossings.watched {
        if let Some(process) = node.process(local) {
            process.drop_watcher(monitor, far);
        }
    }
    node.tell_node_monitors(end.peer.name(), false);
    // Last: until then nobody can connect again.
    node.remove_connection(&end.peer, end);
}
