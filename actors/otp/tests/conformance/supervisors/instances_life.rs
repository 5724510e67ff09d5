//! How many children of a kind end together.

use otp::testing::Probe;
use otp::{ChildSpec, DynamicSupervisor, ExitReason, Restart, Shutdown, eventually};

use super::*;
use crate::support::node;

crate::cases! {
    instances_that_do_not_end_in_time_are_killed [Paused]: "SUP-018";
    brutal_instances_are_killed: "SUP-020";
    instances_that_end_by_themselves_do_not_hold_up_the_stop: "SUP-022";
    instances_have_their_time_to_stop [Paused]: "SUP-036";
}

/// A worker that takes so long to end.
fn slow(log: &Log, takes: u64) -> ChildSpec {
    let log = log.clone();
    ChildSpec::worker::<Slow>("slow", move || (log.clone(), secs(takes)))
}

struct Slow(Log, Duration);

impl otp::GenServer for Slow {
    type Args = (Log, Duration);
    type Message = ();

    async fn init(args: Self::Args, ctx: &mut otp::Context<Self>) -> otp::Init<Self> {
        ctx.trap_exit(true);
        otp::Init::Ok(Slow(args.0, args.1))
    }

    async fn handle(&mut self, (): (), _: &mut otp::Context<Self>) -> otp::Next<Self> {
        otp::Next::Go
    }

    async fn terminate(&mut self, _: &ExitReason, _: &mut otp::Context<Self>) {
        tokio::time::sleep(self.1).await;
        self.0.add(format!("{} s", self.1.as_secs()));
    }
}

async fn instances_that_do_not_end_in_time_are_killed() {
    let (node, log) = (node(), Log::default());
    let supervisor = dynamic(&node, DynamicSupervisor::new()).await;
    let mut probe = Probe::start(&node).await.unwrap();
    let limit = Shutdown::Timeout(secs(1));
    let mut pids = Vec::new();
    for spec in [
        child("good", &log),
        stubborn("bad", &log),
        stubborn("bad", &log),
    ] {
        let pid = supervisor.start_child(spec.shutdown(limit)).await.unwrap();
        probe.monitor(pid).await;
        pids.push(pid);
    }
    supervisor.stop(ExitReason::Shutdown, LONG).await.unwrap();
    assert_eq!(probe.expect_down(pids[0]).await.1, ExitReason::Shutdown);
    assert_eq!(probe.expect_down(pids[1]).await.1, ExitReason::Killed);
    assert_eq!(probe.expect_down(pids[2]).await.1, ExitReason::Killed);
}

async fn brutal_instances_are_killed() {
    let (node, log) = (node(), Log::default());
    let supervisor = dynamic(&node, DynamicSupervisor::new()).await;
    let mut probe = Probe::start(&node).await.unwrap();
    let mut pids = Vec::new();
    for _ in 0..20 {
        let spec = stubborn("w", &log).shutdown(Shutdown::Brutal);
        pids.push(supervisor.start_child(spec).await.unwrap());
        probe.monitor(pids[pids.len() - 1]).await;
    }
    log.clear();
    supervisor.stop(ExitReason::Shutdown, LONG).await.unwrap();
    for pid in pids {
        assert_eq!(probe.expect_down(pid).await.1, ExitReason::Killed);
    }
    assert!(log.all().is_empty(), "no terminate: {:?}", log.all());
}

async fn instances_that_end_by_themselves_do_not_hold_up_the_stop() {
    for restart in [Restart::Permanent, Restart::Transient, Restart::Temporary] {
        for reason in [
            ExitReason::Normal,
            ExitReason::ShutdownWith("x".into()),
            crash(),
            ExitReason::Killed,
        ] {
            let (node, log) = (node(), Log::default());
            let supervisor = dynamic(&node, DynamicSupervisor::new().intensity(0, HOUR)).await;
            let mut workers = Vec::new();
            for _ in 0..10 {
                let spec = child("w", &log).options(otp::Options::new).restart(restart);
                let pid = supervisor.start_child(spec).await.unwrap();
                workers.push(node.server_ref::<Worker>(pid).unwrap());
            }
            // They end at the same time as they are stopped.
            let stopping = supervisor.stop(ExitReason::Shutdown, LONG);
            let ending = async {
                for worker in &workers {
                    if reason == ExitReason::Killed {
                        node.exit(worker.pid(), ExitReason::Kill);
                    } else {
                        crate::support::stop(worker, reason.clone());
                    }
                }
            };
            let (stopped, ()) = tokio::join!(stopping, ending);
            stopped.unwrap();
            for worker in &workers {
                let ended = worker.wait_for_exit().await;
                assert!(ended == reason || ended == ExitReason::Shutdown, "{ended}");
            }
            eventually!(node.process_count() == 0);
            let starts = log.all().iter().filter(|line| *line == "w init").count();
            assert_eq!(starts, 10, "none was restarted");
        }
    }
}

async fn instances_have_their_time_to_stop() {
    let (node, log) = (node(), Log::default());
    let supervisor = dynamic(&node, DynamicSupervisor::new()).await;
    for takes in [10, 10, 50] {
        let spec = slow(&log, takes).shutdown(Shutdown::Timeout(secs(20)));
        supervisor.start_child(spec).await.unwrap();
    }
    let begun = tokio::time::Instant::now();
    supervisor.stop(ExitReason::Shutdown, LONG).await.unwrap();
    // Those that take ten seconds have them, at the same time; the other is killed after twenty.
    assert_eq!(begun.elapsed().as_secs(), 20);
    assert_eq!(log.all(), ["10 s", "10 s"]);
    assert_eq!(node.process_count(), 0);
}
