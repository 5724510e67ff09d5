//! A publisher at a steady rate, beside whatever else a measurement does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::client::{Common, PHASES};
use super::fanout::publisher::{self, Publisher};
use super::fanout::server::Server;
use super::fanout::tally::Histogram;

/// Posts messages one after the other, each when it is due or as soon as the one before is
/// acknowledged.
pub(crate) struct Steady {
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<anyhow::Result<[Histogram; PHASES]>>,
}

impl Steady {
    /// Begins with `rate` messages a second of `payload` bytes.
    ///
    /// # Errors
    /// When the node takes no connection.
    pub(crate) async fn start(
        server: &Server,
        rate: u32,
        payload: u32,
        common: &Arc<Common>,
    ) -> anyhow::Result<Self> {
        let mut publishers = publisher::connect(server, 1, payload as usize).await?;
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, common) = (Arc::clone(&stop), Arc::clone(common));
        let task = tokio::spawn(async move {
            let acknowledged = std::array::from_fn(|_| Histogram::default());
            if let Some(publisher) = publishers.first_mut() {
                publish(publisher, rate, &common, &stopped, &acknowledged).await?;
            }
            Ok(acknowledged)
        });
        Ok(Self { stop, task })
    }

    /// Ends it; the times from when each post was due to its acknowledgement, by phase.
    ///
    /// # Errors
    /// When a post failed.
    pub(crate) async fn stop(self) -> anyhow::Result<[Histogram; PHASES]> {
        self.stop.store(true, Ordering::Release);
        self.task.await?
    }
}

async fn publish(
    publisher: &mut Publisher,
    rate: u32,
    common: &Common,
    stopped: &AtomicBool,
    acknowledged: &[Histogram; PHASES],
) -> anyhow::Result<()> {
    let every = Duration::from_secs(1) / rate.max(1);
    let mut due = Instant::now();
    let mut number = 0;
    while !stopped.load(Ordering::Acquire) {
        tokio::time::sleep_until(due.into()).await;
        let phase = common.phase();
        let late = u64::try_from(due.elapsed().as_micros()).unwrap_or(u64::MAX);
        publisher
            .publish(number, common.now().saturating_sub(late))
            .await?;
        let took = u64::try_from(due.elapsed().as_micros()).unwrap_or(u64::MAX);
        acknowledged[phase].add(took);
        number += 1;
        common.published.store(number, Ordering::Release);
        due += every;
    }
    Ok(())
}
