//! A seed decides the schedule: the same one gives the same run, others give others.

#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Mutex;

use otp::{Context, GenServer, Init, Next, Node, Options, testing};

struct Writer {
    name: char,
    log: Arc<Mutex<String>>,
}

impl GenServer for Writer {
    type Args = (char, Arc<Mutex<String>>);
    type Message = ();

    async fn init((name, log): Self::Args, _ctx: &mut Context<Self>) -> Init<Self> {
        Init::Ok(Writer { name, log })
    }

    async fn handle(&mut self, (): (), _ctx: &mut Context<Self>) -> Next<Self> {
        self.log.lock().unwrap().push(self.name);
        Next::Go
    }
}

/// Three processes with five messages each: the order in which they were handled.
fn run(seed: Option<u64>) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let node = Node::with_incarnation("shuffle", 1);
        if let Some(seed) = seed {
            testing::shuffle(&node, seed);
        }
        let log = Arc::new(Mutex::new(String::new()));
        let mut writers = Vec::new();
        for name in ['a', 'b', 'c'] {
            let args = (name, log.clone());
            let writer = otp::start::<Writer>(&node, args, Options::new()).await;
            writers.push(writer.unwrap());
        }
        for _ in 0..5 {
            for writer in &writers {
                writer.cast(());
            }
        }
        otp::eventually!(log.lock().unwrap().len() == 15);
        log.lock().unwrap().clone()
    })
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 0..20 {
        assert_eq!(run(Some(seed)), run(Some(seed)), "seed {seed}");
    }
}

#[test]
fn seeds_give_many_runs_where_there_was_one() {
    assert_eq!(run(None), run(None));
    let runs: BTreeSet<String> = (0..20).map(|seed| run(Some(seed))).collect();
    assert!(runs.len() > 10, "{runs:?}");
}
