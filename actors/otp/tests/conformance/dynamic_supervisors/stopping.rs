//! How children end with their supervisor, and alone.

use otp::testing::Probe;
use otp::{
    ChildSpec, Context, DynamicSupervisor, DynamicSupervisorRef, ExitReason, GenServer, Info, Init,
    Next, Node, Pid, Restart, Shutdown, Supervisor, SupervisorError,
};

use crate::supervisors::*;
use crate::support::{Log, node};

crate::cases! {
    brutal_children_are_killed: "DSUP-027";
    children_have_as_long_as_they_need: "DSUP-028";
    another_reason_is_reported_and_the_stop_goes_on: "DSUP-029";
    children_end_in_time: "DSUP-030";
    another_reason_in_time_is_reported: "DSUP-031";
    late_children_are_killed_at_the_same_time [Paused]: "DSUP-032";
    a_permanent_child_that_ends_normally_is_unexpected: "DSUP-033";
    all_kinds_end_together: "DSUP-034";
    a_brutal_child_is_killed_alone: "DSUP-035";
    a_child_ends_in_time_alone: "DSUP-036";
    children_are_stopped_at_the_same_time [Paused]: "DSUP-038";
}

/// Traps exits, ignores its supervisor's until it has slept, and ends for a reason of its own.
struct Odd(ExitReason);

impl GenServer for Odd {
    type Args = ExitReason;
    type Message = ();

    async fn init(reason: ExitReason, ctx: &mut Context<Self>) -> Init<Self> {
        ctx.trap_exit(true);
        Init::Ok(Odd(reason))
    }

    async fn handle(&mut self, (): (), _: &mut Context<Self>) -> Next<Self> {
        Next::Go
    }

    async fn handle_info(&mut self, _: Info, _: &mut Context<Self>) -> Next<Self> {
        Next::Stop(self.0.clone())
    }
}

/// A child that ends for this reason when it is told to shut down: the exit signal is of a
/// process which is not its parent.
fn odd(reason: ExitReason) -> ChildSpec {
    ChildSpec::function("odd", move |start| {
        let reason = reason.clone();
        async move {
            let started = otp::start::<Odd>(start.node(), reason, otp::Options::new()).await?;
            start.running(started.pid())
        }
    })
}

/// Three children of a kind, stopped with their supervisor: what a watcher sees, and the reports.
async fn stopped(
    node: &Node,
    spec: impl Fn() -> ChildSpec,
) -> (
    Vec<ExitReason>,
    Vec<(otp::report::SupervisorContext, String)>,
) {
    let supervisor = dynamic(node, DynamicSupervisor::new()).await;
    let mut probe = Probe::start(node).await.unwrap();
    let reports = reported(node);
    let mut pids: Vec<Pid> = Vec::new();
    for _ in 0..3 {
        pids.push(supervisor.start_child(spec()).await.unwrap());
        probe.monitor(pids[pids.len() - 1]).await;
    }
    supervisor.stop(ExitReason::Shutdown, LONG).await.unwrap();
    let mut reasons = Vec::new();
    for pid in pids {
        reasons.push(probe.expect_down(pid).await.1);
    }
    (reasons, supervisor_reports(&reports))
}

fn plain() -> ChildSpec {
    child("w", &Log::default()).options(otp::Options::new)
}

async fn brutal_children_are_killed() {
    let (reasons, reports) = stopped(&node(), || plain().shutdown(Shutdown::Brutal)).await;
    assert_eq!(reasons, vec![ExitReason::Killed; 3]);
    assert_eq!(reports, [], "as they were told to");
}

async fn children_have_as_long_as_they_need() {
    let (reasons, reports) = stopped(&node(), || plain().shutdown(Shutdown::Infinity)).await;
    assert_eq!(reasons, vec![ExitReason::Shutdown; 3]);
    assert_eq!(reports, []);
}

async fn reported_if_odd(shutdown: Shutdown) {
    let (reasons, reports) = stopped(&node(), || odd(crash()).shutdown(shutdown)).await;
    assert_eq!(reasons, vec![crash(); 3]);
    let report = (
        otp::report::SupervisorContext::ShutdownError,
        "odd: error: crash".to_owned(),
    );
    assert_eq!(reports, vec![report; 3]);
    // A shutdown with an explanation is one.
    let oops = ExitReason::ShutdownWith("oops".into());
    let (reasons, reports) = stopped(&node(), || odd(oops.clone()).shutdown(shutdown)).await;
    assert_eq!(reasons, vec![oops; 3]);
    assert_eq!(reports, []);
}

async fn another_reason_is_reported_and_the_stop_goes_on() {
    reported_if_odd(Shutdown::Infinity).await;
}

async fn children_end_in_time() {
    let limit = Shutdown::Timeout(secs(30));
    let (reasons, reports) = stopped(&node(), || plain().shutdown(limit)).await;
    assert_eq!(reasons, vec![ExitReason::Shutdown; 3]);
    assert_eq!(reports, []);
}

async fn another_reason_in_time_is_reported() {
    reported_if_odd(Shutdown::Timeout(secs(30))).await;
}

/// Twenty children that do not end, with a second each: the time until all are gone.
async fn twenty_stubborn(supervisor: &DynamicSupervisorRef) -> f64 {
    let log = Log::default();
    for _ in 0..20 {
        let spec = stubborn("w", &log).shutdown(Shutdown::Timeout(secs(1)));
        supervisor.start_child(spec).await.unwrap();
    }
    let begun = tokio::time::Instant::now();
    supervisor.stop(ExitReason::Shutdown, LONG).await.unwrap();
    begun.elapsed().as_secs_f64()
}

async fn late_children_are_killed_at_the_same_time() {
    let node = node();
    let late = || stubborn("w", &Log::default()).shutdown(Shutdown::Timeout(secs(1)));
    let (reasons, reports) = stopped(&node, late).await;
    assert_eq!(reasons, vec![ExitReason::Killed; 3]);
    assert_eq!(reports.len(), 3, "not as they were told to");
    let supervisor = dynamic(&node, DynamicSupervisor::new()).await;
    let taken = twenty_stubborn(&supervisor).await;
    assert!((1.0..2.0).contains(&taken), "{taken} s");
}

async fn a_permanent_child_that_ends_normally_is_unexpected() {
    let normal = |restart| {
        move || {
            let spec = odd(ExitReason::Normal).shutdown(Shutdown::Infinity);
            spec.restart(restart)
        }
    };
    let (reasons, reports) = stopped(&node(), normal(Restart::Permanent)).await;
    assert_eq!(reasons, vec![ExitReason::Normal; 3]);
    assert_eq!(reports.len(), 3);
    assert!(reports.iter().all(|(_, what)| what == "odd: normal"));
    for restart in [Restart::Transient, Restart::Temporary] {
        let (reasons, reports) = stopped(&node(), normal(restart)).await;
        assert_eq!(reasons, vec![ExitReason::Normal; 3]);
        assert_eq!(reports, []);
    }
}

async fn all_kinds_end_together() {
    let node = node();
    let supervisor = dynamic(&node, DynamicSupervisor::new()).await;
    let mut watched = Vec::new();
    for (spec, reason) in [
        (plain().shutdown(Shutdown::Infinity), ExitReason::Shutdown),
        (plain().shutdown(Shutdown::Brutal), ExitReason::Killed),
        (odd(crash()).shutdown(Shutdown::Infinity), crash()),
        (
            ChildSpec::supervisor("s", || Supervisor::one_for_one().child(plain())),
            ExitReason::Shutdown,
        ),
    ] {
        let pid = supervisor.start_child(spec).await.unwrap();
        watched.push((node.wait_for_exit(pid), reason));
    }
    supervisor.stop(ExitReason::Shutdown, LONG).await.unwrap();
    for (ended, reason) in watched {
        assert_eq!(ended.await, reason);
    }
    assert_eq!(node.process_count(), 0);
}

async fn stopped_alone(shutdown: Shutdown, expected: ExitReason) {
    let node = node();
    let supervisor = dynamic(&node, DynamicSupervisor::new()).await;
    let other = supervisor.start_child(plain()).await.unwrap();
    let pid = supervisor
        .start_child(plain().shutdown(shutdown))
        .await
        .unwrap();
    let watched = node.wait_for_exit(pid);
    supervisor.terminate_child(pid).await.unwrap();
    assert_eq!(watched.await, expected);
    assert_eq!(
        supervisor.terminate_child(pid).await,
        Err(SupervisorError::NotFound)
    );
    assert_eq!(dynamic_counts(&supervisor).await, [1, 1, 0, 1]);
    assert!(node.is_alive(other));
}

async fn a_brutal_child_is_killed_alone() {
    stopped_alone(Shutdown::Brutal, ExitReason::Killed).await;
}

async fn a_child_ends_in_time_alone() {
    stopped_alone(Shutdown::Timeout(secs(30)), ExitReason::Shutdown).await;
}

async fn children_are_stopped_at_the_same_time() {
    let node = node();
    let supervisor = dynamic(&node, DynamicSupervisor::new()).await;
    let taken = twenty_stubborn(&supervisor).await;
    assert!((1.0..2.0).contains(&taken), "{taken} s");
    // A static supervisor stops one after another.
    let log = Log::default();
    let ids = ["a", "b", "c", "d", "e"];
    let slow = ids.map(|id| stubborn(id, &log).shutdown(Shutdown::Timeout(secs(1))));
    let supervisor = run(&node, Supervisor::one_for_one().children(slow)).await;
    let begun = tokio::time::Instant::now();
    supervisor.stop(ExitReason::Shutdown, LONG).await.unwrap();
    let taken = begun.elapsed().as_secs_f64();
    assert!((5.0..6.0).contains(&taken), "{taken} s");
}
