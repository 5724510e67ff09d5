//! Admission against what is promised: rates, order, RESUMEs first, nobody forgotten.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::*;

const MS: Duration = Duration::from_millis(1);

fn admission(per_second: u32, burst: u32) -> Admission {
    let rate = Rate::new(per_second, burst);
    Admission::new(rate, rate)
}

#[test]
fn a_burst_is_in_at_once_and_the_rest_at_the_rate() {
    let mut admission = admission(10, 3);
    for _ in 0..3 {
        assert_eq!(
            admission.arrive(Kind::Identify, Duration::ZERO),
            Arrival::Admitted
        );
    }
    let Arrival::Waits(first) = admission.arrive(Kind::Identify, Duration::ZERO) else {
        panic!("the bucket is empty");
    };
    assert_eq!(admission.next_due(), Some(100 * MS));
    assert_eq!(admission.pass(99 * MS), Passed::default());
    assert_eq!(admission.pass(100 * MS).admitted, [(Kind::Identify, first)]);
    assert_eq!(admission.next_due(), None);
}

#[test]
fn resumes_go_first_and_have_a_bucket_of_their_own() {
    let mut admission = admission(10, 1);
    assert_eq!(
        admission.arrive(Kind::Identify, Duration::ZERO),
        Arrival::Admitted
    );
    assert_eq!(
        admission.arrive(Kind::Resume, Duration::ZERO),
        Arrival::Admitted
    );
    let Arrival::Waits(identify) = admission.arrive(Kind::Identify, Duration::ZERO) else {
        panic!("its bucket is empty");
    };
    let Arrival::Waits(one) = admission.arrive(Kind::Resume, Duration::ZERO) else {
        panic!("its bucket is empty");
    };
    let Arrival::Waits(two) = admission.arrive(Kind::Resume, Duration::ZERO) else {
        panic!("its bucket is empty");
    };
    assert_eq!(admission.pass(100 * MS).admitted, [(Kind::Resume, one)]);
    assert_eq!(
        admission.pass(200 * MS).admitted,
        [(Kind::Resume, two), (Kind::Identify, identify)]
    );
}

#[test]
fn who_cannot_be_in_time_is_told_at_once_and_who_is_late_then() {
    let mut admission = admission(1, 1);
    let mut waiting = 0;
    loop {
        match admission.arrive(Kind::Identify, Duration::ZERO) {
            Arrival::Admitted => {}
            Arrival::Waits(_) => waiting += 1,
            Arrival::Refused => break,
        }
    }
    assert_eq!(waiting, WAIT_MAX.as_secs());
    // RESUMEs push in, and the IDENTIFYs are late in the end.
    for second in 0..=WAIT_MAX.as_secs() {
        let now = Duration::from_secs(second);
        admission.arrive(Kind::Resume, now);
        admission.arrive(Kind::Resume, now);
        assert_eq!(admission.pass(now).late, []);
    }
    let late = admission.pass(WAIT_MAX + MS).late;
    assert_eq!(late.len() as u64, waiting);
}

#[test]
fn the_line_has_an_end() {
    let rate = Rate::new(u32::MAX, 1);
    let mut admission = Admission::new(Rate::new(1, 1), rate);
    admission.arrive(Kind::Resume, Duration::ZERO);
    admission.arrive(Kind::Resume, Duration::ZERO);
    // A RESUME waits, so all IDENTIFYs do, however fast they would be.
    for _ in 0..WAITING_MAX {
        let arrival = admission.arrive(Kind::Identify, Duration::ZERO);
        assert!(matches!(arrival, Arrival::Waits(_)), "{arrival:?}");
    }
    assert_eq!(
        admission.arrive(Kind::Identify, Duration::ZERO),
        Arrival::Refused
    );
}

/// What happens at the door: so many milliseconds later someone comes, or goes away.
#[derive(Debug, Clone, Copy)]
enum Step {
    Come(Kind),
    GoAway(usize),
    Nothing,
}

fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
    let step = prop_oneof![
        4 => Just(Step::Come(Kind::Resume)),
        4 => Just(Step::Come(Kind::Identify)),
        1 => (0..20_usize).prop_map(Step::GoAway),
        2 => Just(Step::Nothing),
    ];
    let pause = prop_oneof![6 => 0..40_u64, 1 => 0..20_000_u64];
    proptest::collection::vec((pause, step), 1..300)
}

/// All that was admitted of a kind, by time.
#[derive(Default)]
struct Log {
    times: Vec<Duration>,
    line: VecDeque<Ticket>,
}

proptest! {
    #[test]
    fn what_is_promised_holds(
        steps in steps(),
        resume in (1..60_u32, 1..8_u32),
        identify in (1..60_u32, 1..8_u32),
    ) {
        let rates = [Rate::new(resume.0, resume.1), Rate::new(identify.0, identify.1)];
        let mut admission = Admission::new(rates[0], rates[1]);
        let mut logs = [Log::default(), Log::default()];
        let mut until: BTreeMap<Ticket, Duration> = BTreeMap::new();
        let of = |kind| match kind { Kind::Resume => 0, Kind::Identify => 1 };
        let mut now = Duration::ZERO;
        let end = [(60_000, Step::Nothing)];
        for (pause, step) in steps.into_iter().chain(end) {
            let goal = now + MS * u32::try_from(pause).expect("small");
            loop {
                // As the gate does: at each moment something is due, and at this one.
                let due = admission.next_due().filter(|due| *due <= goal);
                now = due.map_or(goal, |due| due.max(now));
                let passed = admission.pass(now);
                for (kind, ticket) in passed.admitted {
                    let log = &mut logs[of(kind)];
                    prop_assert_eq!(log.line.pop_front(), Some(ticket), "in order of arrival");
                    log.times.push(now);
                    let deadline = until.remove(&ticket).expect("it waited");
                    prop_assert!(now <= deadline, "in time");
                    prop_assert!(
                        kind == Kind::Resume || logs[0].line.is_empty(),
                        "no RESUME waits"
                    );
                }
                for (kind, ticket) in passed.late {
                    let log = &mut logs[of(kind)];
                    prop_assert_eq!(log.line.pop_front(), Some(ticket), "the first is late first");
                    let deadline = until.remove(&ticket).expect("it waited");
                    prop_assert!(deadline < now, "not too early");
                    prop_assert!(now - deadline <= MS, "and soon after");
                }
                if due.is_none() {
                    break;
                }
            }
            match step {
                Step::Come(kind) => match admission.arrive(kind, now) {
                    Arrival::Admitted => {
                        prop_assert!(logs[of(kind)].line.is_empty(), "nobody is overtaken");
                        prop_assert!(kind == Kind::Resume || logs[0].line.is_empty());
                        logs[of(kind)].times.push(now);
                    }
                    Arrival::Waits(ticket) => {
                        logs[of(kind)].line.push_back(ticket);
                        until.insert(ticket, now + WAIT_MAX);
                    }
                    Arrival::Refused => {
                        let ahead = logs[of(kind)].line.len() as f64;
                        let due = ahead / f64::from(rates[of(kind)].per_second);
                        prop_assert!(due + 1.0 > WAIT_MAX.as_secs_f64(), "not without need");
                    }
                },
                Step::GoAway(at) => {
                    for (kind, log) in [Kind::Resume, Kind::Identify].into_iter().zip(&mut logs) {
                        if let Some(ticket) = log.line.remove(at) {
                            admission.withdraw(kind, ticket);
                            until.remove(&ticket);
                        }
                    }
                }
                Step::Nothing => {}
            }
            for kind in [Kind::Resume, Kind::Identify] {
                prop_assert_eq!(admission.waiting(kind), logs[of(kind)].line.len());
            }
        }
        prop_assert!(until.is_empty(), "everybody was told in the end");
        for (log, rate) in logs.iter().zip(rates) {
            for (from, start) in log.times.iter().enumerate() {
                for (through, end) in log.times.iter().enumerate().skip(from) {
                    let most = f64::from(rate.burst)
                        + (*end - *start).as_secs_f64() * f64::from(rate.per_second);
                    // The interval is whole nanoseconds.
                    prop_assert!((through - from + 1) as f64 <= most + 1e-3, "never above the rate");
                }
            }
        }
    }

    #[test]
    fn at_or_below_the_rate_nobody_waits(
        pauses in proptest::collection::vec(0..50_u64, 1..200),
        per_second in 1..1_000_u32,
    ) {
        let mut admission = admission(per_second, 1);
        let mut now = Duration::ZERO;
        for pause in pauses {
            for kind in [Kind::Identify, Kind::Resume] {
                prop_assert_eq!(admission.pass(now), Passed::default());
                prop_assert_eq!(admission.arrive(kind, now), Arrival::Admitted);
            }
            now += Rate::new(per_second, 1).interval() + MS * u32::try_from(pause).expect("small");
        }
    }
}
