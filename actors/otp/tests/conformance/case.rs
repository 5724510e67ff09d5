//! One case: a function, the ids it proves, and the clock it runs under.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

tokio::task_local! {
    static CARRIER: Carrier;
}

/// What carries the processes of the nodes a case makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// Ractor actors, as by default.
    Actors,
    /// Tasks, as with `Options::light`.
    Tasks,
}

impl Carrier {
    /// That of the case which runs now.
    pub(crate) fn now() -> Carrier {
        CARRIER
            .try_with(|carrier| *carrier)
            .unwrap_or(Carrier::Actors)
    }
}

/// Longest time a case may take; then it has failed.
const LIMIT: Duration = Duration::from_secs(120);

/// Which clock a case sees.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clock {
    /// The real one, with several worker threads.
    Real,
    /// Tokio's paused clock, on one thread: timers fire in order and at once.
    Paused,
}

type Body = fn() -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// A case. Build it with [`cases!`](crate::cases).
pub(crate) struct Case {
    module: &'static str,
    function: &'static str,
    /// The ids of `cases.tsv` that hold when this passes; an id of several cases holds when all
    /// of them pass.
    pub(crate) ids: &'static [&'static str],
    clock: Clock,
    body: Body,
}

impl Case {
    pub(crate) const fn new(
        module: &'static str,
        function: &'static str,
        ids: &'static [&'static str],
        clock: Clock,
        body: Body,
    ) -> Case {
        Case {
            module,
            function,
            ids,
            clock,
            body,
        }
    }

    /// `module::function [IDS]`.
    pub(crate) fn name(&self) -> String {
        let module = self.module.trim_start_matches("conformance::");
        match self.ids {
            [] => format!("{module}::{}", self.function),
            ids => format!("{module}::{} [{}]", self.function, ids.join(" ")),
        }
    }

    /// Runs it on a runtime of its own.
    pub(crate) fn run(&self, carrier: Carrier) -> Result<(), String> {
        let mut builder = match self.clock {
            Clock::Real => tokio::runtime::Builder::new_multi_thread(),
            Clock::Paused => tokio::runtime::Builder::new_current_thread(),
        };
        let runtime = builder
            .worker_threads(4)
            .enable_all()
            .start_paused(self.clock == Clock::Paused)
            .build()
            .map_err(|error| error.to_string())?;
        let body = self.body;
        let clock = self.clock;
        let outcome = runtime.block_on(async move {
            // In a task of its own, so that a panic is an outcome, and real threads are used.
            let task = tokio::spawn(CARRIER.scope(carrier, body()));
            match clock {
                // A paused clock would run ahead to the limit.
                Clock::Paused => Ok(task.await),
                Clock::Real => tokio::time::timeout(LIMIT, task).await,
            }
        });
        // What a case leaves blocked on purpose must not hold up the next one.
        runtime.shutdown_background();
        match outcome {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(match error.try_into_panic() {
                Ok(panic) => text_of(panic.as_ref()),
                Err(error) => error.to_string(),
            }),
            Err(_) => Err(format!("took longer than {LIMIT:?}")),
        }
    }
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without a text").to_owned()
}

/// Lists the cases of a module: `cases! { function: "ID-1", "ID-2"; other [Paused]: "ID-3"; }`.
#[macro_export]
macro_rules! cases {
    (@clock) => { $crate::case::Clock::Real };
    (@clock $clock:ident) => { $crate::case::Clock::$clock };
    ($($function:ident $([$clock:ident])? $(: $($id:literal),+)?;)*) => {
        pub(crate) fn cases() -> Vec<$crate::case::Case> {
            vec![$($crate::case::Case::new(
                module_path!(),
                stringify!($function),
                &[$($($id),+)?],
                $crate::cases!(@clock $($clock)?),
                || Box::pin($function()),
            )),*]
        }
    };
}
