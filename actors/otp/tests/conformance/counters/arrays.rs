//! `counters` and `atomics`.

use otp::atomics::{Atomics, CompareExchange, IndexError, SIZE_MAX, SizeError};
use otp::counters::Counters;

use crate::support::{node, within, worker};

crate::cases! {
    counters_basic: "CNT-001";
    counters_bad: "CNT-002";
    counters_limits: "CNT-003";
    counters_independent: "CNT-004";
    counters_write_concurrency: "CNT-005";
    atomics_signed: "CNT-006";
    atomics_unsigned: "CNT-007";
    atomics_bad: "CNT-008";
    atomics_signed_limits: "CNT-009";
    atomics_unsigned_limits: "CNT-010";
}

// ---- counters -----------------------------------------------------------------------------------

/// Both kinds of counters.
fn both(size: usize) -> [Counters; 2] {
    let striped = Counters::with_write_concurrency(size);
    [Counters::new(size).unwrap(), striped.unwrap()]
}

async fn counters_basic() {
    let size = 10;
    for counters in both(size) {
        for index in 0..size {
            assert_eq!(counters.get(index), Ok(0));
            assert_eq!(counters.add(index, 3), Ok(()));
            assert_eq!(counters.get(index), Ok(3));
            assert_eq!(counters.add(index, -3), Ok(()));
            assert_eq!(counters.get(index), Ok(0));
            assert_eq!(counters.put(index, 100), Ok(()));
            assert_eq!(counters.get(index), Ok(100));
            assert_eq!(counters.sub(index, 20), Ok(()));
            assert_eq!(counters.get(index), Ok(80));
            assert_eq!(counters.sub(index, -10), Ok(()));
            assert_eq!(counters.get(index), Ok(90));
            assert_eq!(counters.put(index, 0), Ok(()));
        }
        let info = counters.info();
        assert_eq!(info.size, size);
        assert!(info.memory >= size * 8, "{info:?}");
        assert!(info.memory < size * 8 + 64 * 2 * 64 + 100, "{info:?}");
    }
}

async fn counters_bad() {
    for new in [Counters::new, Counters::with_write_concurrency] {
        assert_eq!(new(0).map(drop), Err(SizeError::Zero));
        for size in [SIZE_MAX + 1, usize::MAX] {
            assert_eq!(new(size).map(drop), Err(SizeError::TooBig(size)));
        }
    }
    for counters in both(10) {
        for index in [10, 11, 16, usize::MAX] {
            let error = IndexError { index, size: 10 };
            assert_eq!(counters.get(index), Err(error));
            assert_eq!(counters.put(index, 1), Err(error));
            assert_eq!(counters.add(index, 1), Err(error));
            assert_eq!(counters.sub(index, 1), Err(error));
        }
        assert!((0..10).all(|index| counters.get(index) == Ok(0)));
    }
}

async fn counters_limits() {
    for counters in both(1) {
        let check = |start, change: i64, expected| {
            counters.put(0, start).unwrap();
            counters.add(0, change).unwrap();
            assert_eq!(counters.get(0), Ok(expected), "{start} + {change}");
        };
        check(i64::MAX, 1, i64::MIN);
        check(i64::MIN, -1, i64::MAX);
        check(i64::MAX, i64::MAX, -2);
        check(i64::MIN, i64::MIN, 0);
        counters.put(0, i64::MIN).unwrap();
        counters.sub(0, 1).unwrap();
        assert_eq!(counters.get(0), Ok(i64::MAX));
        counters.sub(0, i64::MIN).unwrap();
        assert_eq!(counters.get(0), Ok(-1));
    }
}

async fn counters_independent() {
    // Across several cache lines, and with every neighbour different.
    let size = 40_usize;
    for counters in both(size) {
        let value = |index: usize| (index as i64 + 1) * 1_000_003;
        for index in 0..size {
            counters.put(index, value(index)).unwrap();
        }
        for index in 0..size {
            counters.add(index, 7).unwrap();
            counters.sub(index, 5).unwrap();
            for other in 0..size {
                let changed = if other <= index { 2 } else { 0 };
                assert_eq!(counters.get(other), Ok(value(other) + changed));
            }
        }
    }
}

async fn counters_write_concurrency() {
    let node = node();
    let counters = Counters::with_write_concurrency(3).unwrap();
    let mut writers = Vec::new();
    for number in 0..8_i64 {
        let counters = counters.clone();
        writers.push(otp::task::spawn(&node, "writer", async move {
            for round in 0..20_000 {
                counters.add(0, 1).unwrap();
                counters.sub(1, number).unwrap();
                counters
                    .add(2, if round % 2 == 0 { 5 } else { -5 })
                    .unwrap();
                if round % 1000 == 0 {
                    tokio::task::yield_now().await;
                }
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    // From threads too, of which each has its own stripe or shares one.
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| (0..1000).for_each(|_| counters.add(0, 1).unwrap()));
        }
    });
    assert_eq!(counters.get(0), Ok(8 * 20_000 + 20_000));
    assert_eq!(counters.get(1), Ok(-(0..8).sum::<i64>() * 20_000));
    assert_eq!(counters.get(2), Ok(0));
    // A put sets the sum, whoever added before.
    counters.put(0, 5).unwrap();
    assert_eq!(counters.get(0), Ok(5));
}

// ---- atomics ------------------------------------------------------------------------------------

async fn atomics_signed() {
    let size = 10;
    let atomics = Atomics::<i64>::new(size).unwrap();
    for index in 0..size {
        assert_eq!(atomics.get(index), Ok(0));
        assert_eq!(atomics.put(index, 3), Ok(()));
        assert_eq!(atomics.add(index, 14), Ok(()));
        assert_eq!(atomics.get(index), Ok(17));
        assert_eq!(atomics.add_get(index, 3), Ok(20));
        assert_eq!(atomics.add_get(index, -23), Ok(-3));
        assert_eq!(atomics.sub(index, 4), Ok(()));
        assert_eq!(atomics.get(index), Ok(-7));
        assert_eq!(atomics.sub_get(index, 20), Ok(-27));
        assert_eq!(atomics.exchange(index, 666), Ok(-27));
        let swap = |expected, desired| atomics.compare_exchange(index, expected, desired);
        assert_eq!(swap(666, 777), Ok(CompareExchange::Exchanged));
        assert_eq!(swap(666, -666), Ok(CompareExchange::Actual(777)));
        assert_eq!(atomics.get(index), Ok(777));
        assert_eq!(swap(777, -1), Ok(CompareExchange::Exchanged));
        assert_eq!(atomics.get(index), Ok(-1));
    }
    let info = atomics.info();
    assert_eq!((info.size, info.min, info.max), (size, i64::MIN, i64::MAX));
    assert!((80..200).contains(&info.memory), "{info:?}");
}

async fn atomics_unsigned() {
    let size = 10;
    let atomics = Atomics::<u64>::new(size).unwrap();
    for index in 0..size {
        assert_eq!(atomics.get(index), Ok(0));
        assert_eq!(atomics.put(index, 3), Ok(()));
        assert_eq!(atomics.add(index, 14), Ok(()));
        assert_eq!(atomics.get(index), Ok(17));
        assert_eq!(atomics.add_get(index, 3), Ok(20));
        assert_eq!(atomics.sub(index, 7), Ok(()));
        assert_eq!(atomics.get(index), Ok(13));
        assert_eq!(atomics.sub_get(index, 10), Ok(3));
        assert_eq!(atomics.exchange(index, 666), Ok(3));
        let swap = |expected, desired| atomics.compare_exchange(index, expected, desired);
        assert_eq!(swap(666, 777), Ok(CompareExchange::Exchanged));
        assert_eq!(swap(666, 888), Ok(CompareExchange::Actual(777)));
        assert_eq!(swap(777, u64::MAX), Ok(CompareExchange::Exchanged));
        assert_eq!(swap(0, 0), Ok(CompareExchange::Actual(u64::MAX)));
    }
    let info = atomics.info();
    assert_eq!((info.size, info.min, info.max), (size, 0, u64::MAX));
    // Clones are the same array, for other processes too.
    let shared = atomics.clone();
    let node = node();
    let process = worker(&node).await;
    within(&process, move |_| shared.put(0, 42).unwrap()).await;
    assert_eq!(atomics.get(0), Ok(42));
}

async fn atomics_bad() {
    assert_eq!(Atomics::<i64>::new(0).map(drop), Err(SizeError::Zero));
    let too_big = Atomics::<u64>::new(usize::MAX).map(drop);
    assert_eq!(too_big, Err(SizeError::TooBig(usize::MAX)));
    let atomics = Atomics::<i64>::new(10).unwrap();
    for index in [10, 11, usize::MAX] {
        let error = IndexError { index, size: 10 };
        assert_eq!(atomics.get(index), Err(error));
        assert_eq!(atomics.put(index, 1), Err(error));
        assert_eq!(atomics.add(index, 1), Err(error));
        assert_eq!(atomics.add_get(index, 1), Err(error));
        assert_eq!(atomics.sub(index, 1), Err(error));
        assert_eq!(atomics.sub_get(index, 1), Err(error));
        assert_eq!(atomics.exchange(index, 1), Err(error));
        assert_eq!(atomics.compare_exchange(index, 0, 1), Err(error));
    }
    assert!((0..10).all(|index| atomics.get(index) == Ok(0)));
}

async fn atomics_signed_limits() {
    let atomics = Atomics::<i64>::new(1).unwrap();
    let (min, max) = (i64::MIN, i64::MAX);
    assert_eq!(atomics.put(0, max), Ok(()));
    assert_eq!(atomics.add_get(0, 1), Ok(min));
    assert_eq!(atomics.sub_get(0, 1), Ok(max));
    assert_eq!(atomics.add(0, 1), Ok(()));
    assert_eq!(atomics.get(0), Ok(min));
    assert_eq!(atomics.sub(0, 1), Ok(()));
    assert_eq!(atomics.get(0), Ok(max));
    assert_eq!(atomics.exchange(0, min), Ok(max));
    assert_eq!(atomics.sub_get(0, max), Ok(1));
    assert_eq!(atomics.put(0, min), Ok(()));
    assert_eq!(atomics.add_get(0, min), Ok(0));
    assert_eq!(atomics.sub_get(0, min), Ok(min));
    let swapped = atomics.compare_exchange(0, max, 0);
    assert_eq!(swapped, Ok(CompareExchange::Actual(min)));
}

async fn atomics_unsigned_limits() {
    let atomics = Atomics::<u64>::new(1).unwrap();
    let max = u64::MAX;
    assert_eq!(atomics.put(0, max), Ok(()));
    assert_eq!(atomics.get(0), Ok(max));
    assert_eq!(atomics.add_get(0, 1), Ok(0));
    assert_eq!(atomics.sub_get(0, 1), Ok(max));
    assert_eq!(atomics.add(0, max), Ok(()));
    assert_eq!(atomics.get(0), Ok(max - 1));
    assert_eq!(atomics.sub(0, max), Ok(()));
    assert_eq!(atomics.get(0), Ok(max));
    assert_eq!(atomics.exchange(0, 1 << 63), Ok(max));
    assert_eq!(atomics.add_get(0, 1 << 63), Ok(0));
    let swapped = atomics.compare_exchange(0, 1, max);
    assert_eq!(swapped, Ok(CompareExchange::Actual(0)));
}
