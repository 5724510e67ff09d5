//! Twins of `sc_reg.ex`: unique and duplicate keys, values, listeners, ends of owners. Each with 1
//! and 4 partitions.

use otp::registry::{Keys, RegisterError, Registrant, Registry, RegistryOptions};
use otp::{Options, ServerRef, Supervisor, eventually};

use super::actor::{Actor, within};
use super::stage::Stage;
use super::trace::{How, Word, say};
use super::{Scenario, Told, scenario};

mod duplicate;
mod listeners;
mod shared;
mod unique;

type Names = Registry<&'static str, i64>;
type Owner = ServerRef<Actor>;

const KINDS: [(&str, Keys); 2] = [
    ("unique", Keys::Unique),
    ("duplicate", Keys::DuplicateByPid),
];

pub(crate) fn scenarios() -> Vec<Scenario> {
    let mut list = Vec::new();
    for partitions in [1, 4] {
        for (kind, keys) in KINDS {
            for (end, how) in shared::ends() {
                let name = format!("{kind}_entries_of_an_owner_that_ended_{end}_{partitions}");
                list.push(scenario(name, move |stage| {
                    let how = how.clone();
                    async move {
                        let mut play = Play::begin(stage, keys, partitions).await;
                        shared::entries_of_an_owner_that_ended(&mut play, how).await;
                        play.stage.nothing().await;
                    }
                }));
            }
            let own = match keys {
                Keys::Unique => unique::STORIES,
                _ => duplicate::STORIES,
            };
            for (story, told) in shared::STORIES.iter().chain(own) {
                let name = format!("{kind}_{story}_{partitions}");
                list.push(scenario(name, move |stage| async move {
                    let mut play = Play::begin(stage, keys, partitions).await;
                    told(&mut play).await;
                    play.stage.nothing().await;
                }));
            }
        }
    }
    list.extend(listeners::scenarios());
    list
}

type Story = (&'static str, Told<Play>);

/// A registry, under a supervisor linked to the driver: in Elixir it is one itself.
struct Play {
    stage: Stage,
    names: Names,
}

impl Play {
    async fn begin(stage: Stage, keys: Keys, partitions: usize) -> Play {
        let options = RegistryOptions::new().keys(keys).partitions(partitions);
        Play::with_options(stage, options).await
    }

    async fn with_options(stage: Stage, options: RegistryOptions) -> Play {
        let names = Names::with_options(&stage.node, options);
        let supervisor = Supervisor::one_for_one().child(names.child_spec("names"));
        let named = Options::new().name("reg");
        let started = stage
            .driver
            .start_linked(move |ctx| supervisor.start_link(ctx, named));
        started.await.unwrap();
        Play { stage, names }
    }

    /// The owner does something with the registry, from inside.
    async fn by<T: Send + 'static>(
        &self,
        owner: &Owner,
        function: impl for<'a> FnOnce(Registrant<'a, &'static str, i64>) -> T + Send + 'static,
    ) -> T {
        let names = self.names.clone();
        within(owner, move |ctx| function(names.by(ctx.pid()))).await
    }

    async fn register(&self, owner: &Owner, key: &'static str, value: i64) {
        let outcome = self.by(owner, move |by| by.register(key, value)).await;
        let (trace, pid) = (&self.stage.trace, owner.pid());
        match outcome {
            Ok(()) => say!(trace, "register", key, pid, "ok"),
            Err(RegisterError::AlreadyRegistered(holder)) => {
                say!(trace, "register", key, pid, "already_registered", holder);
            }
            Err(error) => say!(trace, "register", key, pid, error.to_string()),
        }
    }

    async fn unregister(&self, owner: &Owner, key: &'static str) {
        let outcome = self.by(owner, move |by| by.unregister(&key)).await;
        outcome.unwrap();
    }

    /// Says the entries of a key, by their values.
    fn lookup(&self, key: &'static str) {
        let mut entries = self.names.entries(&key).unwrap();
        entries.sort_by_key(|(_, value)| *value);
        let words = entries
            .into_iter()
            .flat_map(|(pid, value)| [Word::from(pid), Word::from(value)]);
        self.list(&["lookup", key], words);
    }

    fn counted(&self) {
        say!(self.stage.trace, "count", self.names.count().unwrap());
    }

    /// A line of words, and a list.
    fn list(&self, words: &[&'static str], list: impl IntoIterator<Item = Word>) {
        let words = words.iter().map(|word| Word::from(*word));
        self.stage.trace.line(words.chain(list).collect());
    }

    async fn ended(&mut self, owner: &Owner, how: &How) {
        let monitor = self.stage.driver.watch(owner.pid()).await;
        self.stage.finish(owner, how).await;
        self.stage.driver.down(monitor).await;
    }

    /// Waits until there are so many entries.
    async fn holds(&self, entries: usize) {
        eventually!(self.names.count() == Ok(entries));
    }
}
