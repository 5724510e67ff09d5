//! The store's upkeep: it goes on after errors and after its own death, keeps the pauses it is told,
//! and holds up no shutdown.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chat::{ChatConfig, upkeep};
use otp::{ExitReason, Pid, eventually};
use parking_lot::Mutex;
use storage::StoreError;
use storage::store::Result;
use storage::upkeep::Upkeep;

use crate::world::World;

/// What a step does.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Answers this pause.
    Pause(Duration),
    /// Fails.
    Fail,
    /// Never ends.
    Hang,
    /// Panics.
    Panic,
}

/// An engine's worker that does as it is told, and tells when it began each step. Clones are the
/// workers of one store.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    next: Arc<Mutex<Step>>,
    began: Arc<Mutex<Vec<Instant>>>,
}

impl Told {
    fn new(step: Step) -> Self {
        Self {
            next: Arc::new(Mutex::new(step)),
            began: Arc::default(),
        }
    }

    fn steps(&self) -> usize {
        self.began.lock().len()
    }
}

#[async_trait]
impl Upkeep for Told {
    async fn step(&mut self) -> Result<Duration> {
        self.began.lock().push(Instant::now());
        let step = self.next.lock().clone();
        match step {
            Step::Pause(pause) => Ok(pause),
            Step::Fail => Err(StoreError::NotApplied("told to".to_owned())),
            Step::Hang => std::future::pending().await,
            Step::Panic => panic!("told to"),
        }
    }
}

async fn world(worker: &Told) -> World {
    World::with_upkeep(ChatConfig::default(), Some(worker.clone())).await
}

fn process(world: &World) -> Option<Pid> {
    world.chat.node().whereis(upkeep::NAME)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_needs_none_has_no_process() {
    let world = World::new().await;
    assert_eq!(process(&world), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_steps_keeps_its_pauses_and_survives_a_kill_and_a_panic() {
    const PAUSE: Duration = Duration::from_millis(50);
    let worker = Told::new(Step::Pause(PAUSE));
    let world = world(&worker).await;
    eventually!(worker.steps() >= 4);
    let began = worker.began.lock().clone();
    assert!(
        began.windows(2).all(|pair| pair[1] - pair[0] >= PAUSE),
        "{began:?}"
    );
    let first = process(&world).unwrap();
    world.chat.node().exit(first, ExitReason::Kill);
    world.chat.node().wait_for_exit(first).await;
    let before = worker.steps();
    eventually!(worker.steps() > before);
    let second = process(&world).unwrap();
    assert_ne!(first, second);
    *worker.next.lock() = Step::Panic;
    world.chat.node().wait_for_exit(second).await;
    *worker.next.lock() = Step::Pause(PAUSE);
    let before = worker.steps();
    eventually!(worker.steps() > before);
    world
        .post("the rest of the system did not notice")
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_rest_is_kept_and_a_failed_step_is_not_done_again_at_once() {
    for step in [Step::Pause(Duration::from_secs(3_600)), Step::Fail] {
        let worker = Told::new(step.clone());
        let world = world(&worker).await;
        eventually!(worker.steps() == 1);
        // As long as a world of its own takes to come up and do its first step.
        let other = Told::new(Step::Hang);
        let second = self::world(&other).await;
        eventually!(other.steps() == 1);
        assert_eq!(worker.steps(), 1, "{step:?}");
        assert!(process(&world).is_some(), "{step:?}");
        drop(second);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_hangs_holds_up_no_shutdown() {
    let worker = Told::new(Step::Hang);
    let world = world(&worker).await;
    eventually!(worker.steps() == 1);
    let pid = process(&world).unwrap();
    let began = Instant::now();
    world
        .chat
        .drain(Duration::ZERO, Duration::from_secs(20))
        .await;
    world.chat.node().wait_for_exit(pid).await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
}
