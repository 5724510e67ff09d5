//! The door of a node: [`Admission`] with a clock, and logins that wait at it.
//!
//! Each login asks for itself, from the task of its connection. While anybody waits, one more task
//! sleeps until the next may go in; it ends with the line. Who is refused is held for a moment
//! ([`HOLD_MIN`] to [`HOLD_MAX`], by chance) before it is told: stock clients come back at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::{Counter, Gauge, counter, gauge};
use parking_lot::Mutex;
use rand::Rng as _;
use tokio::sync::oneshot;

use super::{Admission, Arrival, Kind, Passed, Rate, Ticket};

/// Shortest time a refused login is held before it is told.
pub const HOLD_MIN: Duration = Duration::from_secs(1);

/// Longest time a refused login is held before it is told (Discord docs, Gateway, "Resuming": wait
/// 1 to 5 seconds).
pub const HOLD_MAX: Duration = Duration::from_secs(5);

/// The door; clones are the same one.
#[derive(Clone)]
pub(crate) struct Gate {
    inner: Arc<Inner>,
}

struct Inner {
    began: Instant,
    state: Mutex<State>,
    hold: std::ops::Range<Duration>,
    meters: [Meters; 2],
}

struct State {
    admission: Admission,
    /// How those who wait are told; `true` = in.
    waiting: HashMap<Ticket, oneshot::Sender<bool>>,
    /// A task sleeps until the next may go in.
    watched: bool,
}

/// Of one kind.
struct Meters {
    waiting: Gauge,
    admitted: Counter,
    refused: Counter,
    late: Counter,
}

impl Meters {
    fn new(kind: Kind) -> Self {
        let kind = kind.name();
        Self {
            waiting: gauge!("guildhall_logins_waiting", "kind" => kind),
            admitted: counter!("guildhall_logins_admitted_total", "kind" => kind),
            refused: counter!("guildhall_logins_refused_total", "kind" => kind, "why" => "full"),
            late: counter!("guildhall_logins_refused_total", "kind" => kind, "why" => "late"),
        }
    }
}

/// A login in the line; leaves it when it is dropped.
struct Waiting<'g> {
    gate: &'g Gate,
    kind: Kind,
    ticket: Ticket,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.gate.inner.state.lock();
        if state.waiting.remove(&self.ticket).is_some() {
            state.admission.withdraw(self.kind, self.ticket);
        }
        self.gate.show(&state);
    }
}

impl Gate {
    /// Open for so many of each kind.
    pub(crate) fn new(resume: Rate, identify: Rate) -> Self {
        Self::holding(resume, identify, HOLD_MIN..HOLD_MAX)
    }

    fn holding(resume: Rate, identify: Rate, hold: std::ops::Range<Duration>) -> Self {
        Self {
            inner: Arc::new(Inner {
                began: Instant::now(),
                state: Mutex::new(State {
                    admission: Admission::new(resume, identify),
                    waiting: HashMap::new(),
                    watched: false,
                }),
                hold,
                meters: [Kind::Resume, Kind::Identify].map(Meters::new),
            }),
        }
    }

    fn now(&self) -> Duration {
        self.inner.began.elapsed()
    }

    fn meters(&self, kind: Kind) -> &Meters {
        let [resume, identify] = &self.inner.meters;
        match kind {
            Kind::Resume => resume,
            Kind::Identify => identify,
        }
    }

    fn show(&self, state: &State) {
        for kind in [Kind::Resume, Kind::Identify] {
            let waiting = state.admission.waiting(kind) as f64;
            self.meters(kind).waiting.set(waiting);
        }
    }

    /// Waits until a login may go on; `false` when it has to come back later. Dropped, it has gone
    /// away.
    pub(crate) async fn enter(&self, kind: Kind) -> bool {
        let (told, answer) = oneshot::channel();
        let arrival = {
            let mut state = self.inner.state.lock();
            let now = self.now();
            self.tell(&mut state, now);
            let arrival = state.admission.arrive(kind, now);
            if let Arrival::Waits(ticket) = arrival {
                state.waiting.insert(ticket, told);
                self.watch(&mut state);
                self.show(&state);
            }
            arrival
        };
        let admitted = match arrival {
            Arrival::Admitted => {
                self.meters(kind).admitted.increment(1);
                return true;
            }
            Arrival::Waits(ticket) => {
                let waiting = Waiting {
                    gate: self,
                    kind,
                    ticket,
                };
                let admitted = answer.await.unwrap_or(false);
                drop(waiting);
                admitted
            }
            Arrival::Refused => {
                self.meters(kind).refused.increment(1);
                false
            }
        };
        if !admitted {
            let hold = rand::rng().random_range(self.inner.hold.clone());
            tokio::time::sleep(hold).await;
        }
        admitted
    }

    /// Tells everyone whose time has come.
    fn tell(&self, state: &mut State, now: Duration) {
        let Passed { admitted, late } = state.admission.pass(now);
        for (kind, ticket) in admitted {
            // One that has gone away meanwhile has taken its ticket along.
            if let Some(told) = state.waiting.remove(&ticket) {
                self.meters(kind).admitted.increment(1);
                let _ = told.send(true);
            }
        }
        for (kind, ticket) in late {
            if let Some(told) = state.waiting.remove(&ticket) {
                self.meters(kind).late.increment(1);
                let _ = told.send(false);
            }
        }
    }

    /// Sees to it that somebody looks when the next may go in.
    fn watch(&self, state: &mut State) {
        if std::mem::replace(&mut state.watched, true) {
            return;
        }
        let gate = self.clone();
        tokio::spawn(async move {
            loop {
                let due = {
                    let mut state = gate.inner.state.lock();
                    gate.tell(&mut state, gate.now());
                    gate.show(&state);
                    match state.admission.next_due() {
                        Some(due) => due,
                        None => {
                            state.watched = false;
                            return;
                        }
                    }
                };
                let wait = due.saturating_sub(gate.now()).max(Duration::from_millis(1));
                tokio::time::sleep(wait).await;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use futures_util::future::join_all;

    use super::*;

    fn gate(rate: Rate) -> Gate {
        let hold = Duration::from_millis(1)..Duration::from_millis(2);
        Gate::holding(rate, rate, hold)
    }

    #[tokio::test]
    async fn all_get_in_at_the_rate() {
        let gate = gate(Rate::new(1_000, 10));
        let began = Instant::now();
        let all = (0..60).map(|_| gate.enter(Kind::Identify));
        let all = tokio::time::timeout(Duration::from_secs(20), join_all(all)).await;
        assert!(all.expect("in time").into_iter().all(|admitted| admitted));
        assert!(began.elapsed() >= Duration::from_millis(50));
        let state = gate.inner.state.lock();
        assert!(state.waiting.is_empty());
    }

    #[tokio::test]
    async fn who_goes_away_is_forgotten() {
        let gate = gate(Rate::new(1, 1));
        assert!(gate.enter(Kind::Resume).await);
        let mut second = Box::pin(gate.enter(Kind::Resume));
        assert!((&mut second).now_or_never().is_none(), "it waits");
        assert_eq!(gate.inner.state.lock().admission.waiting(Kind::Resume), 1);
        drop(second);
        assert_eq!(gate.inner.state.lock().admission.waiting(Kind::Resume), 0);
        assert!(gate.inner.state.lock().waiting.is_empty());
    }

    #[tokio::test]
    async fn who_cannot_be_in_time_is_refused() {
        let gate = gate(Rate::new(1, 1));
        let mut waiting = Vec::new();
        let refused = loop {
            let mut login = Box::pin(gate.enter(Kind::Identify));
            match (&mut login).now_or_never() {
                Some(true) => {}
                Some(false) => break true,
                None if waiting.len() as u64 >= super::super::WAIT_MAX.as_secs() => {
                    // Held for a moment first.
                    break !login.await;
                }
                None => waiting.push(login),
            }
        };
        assert!(refused);
    }
}
