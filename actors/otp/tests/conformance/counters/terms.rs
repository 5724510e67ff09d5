//! `persistent_term` and `FastGlobal`.

use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use otp::atomics::Atomics;
use otp::persistent_term::{PersistentTerms, TermError};

use crate::support::{node, within, worker};

crate::cases! {
    terms_basic: "CNT-011";
    terms_info: "CNT-012";
    terms_keys: "CNT-013";
    terms_collisions: "CNT-014";
    terms_colliding_bucket: "CNT-015";
    terms_destruction: "CNT-016";
    terms_all_race: "CNT-017";
    terms_handles: "CNT-018";
    terms_sharing: "CNT-019";
    global_put: "CNT-020";
    global_delete: "CNT-021";
    global_unset: "CNT-022";
    terms_put_new: "CNT-023";
    terms_reads_do_not_wait: "CNT-024";
}

// ---- persistent_term ----------------------------------------------------------------------------

/// Whose hash says nothing, or only which of a few buckets.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Colliding {
    bucket: u8,
    number: u32,
}

impl Hash for Colliding {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u8(self.bucket);
    }
}

async fn terms_basic() {
    let terms = PersistentTerms::new();
    let missing = terms.get::<_, String>(&"key");
    assert_eq!(missing, Err(TermError::Missing));
    let default = Arc::new("default".to_owned());
    let got = terms.get_or(&"key", default.clone()).unwrap();
    assert!(Arc::ptr_eq(&got, &default));
    terms.put("key", "one".to_owned()).unwrap();
    let one = terms.get::<_, String>(&"key").unwrap();
    assert_eq!(*one, "one");
    assert_eq!(terms.get_or(&"key", default), Ok(one.clone()));
    // The same again is free: the allocation stays the one that readers have.
    terms.put("key", "one".to_owned()).unwrap();
    assert!(Arc::ptr_eq(&terms.get(&"key").unwrap(), &one));
    // Another one replaces it; who has the old one keeps it.
    terms.put("key", "two".to_owned()).unwrap();
    assert_eq!(*terms.get::<_, String>(&"key").unwrap(), "two");
    assert_eq!(*one, "one");
    assert!(terms.erase(&"key"));
    assert!(!terms.erase(&"key"));
    let missing = terms.get::<_, String>(&"key");
    assert_eq!(missing, Err(TermError::Missing));
}

async fn terms_info() {
    let terms = PersistentTerms::new();
    let empty = terms.info();
    assert_eq!(empty.count, 0);
    for key in 0..100_u32 {
        terms.put(key, [0_u64; 100]).unwrap();
    }
    let full = terms.info();
    assert_eq!(full.count, 100);
    let grown = full.memory - empty.memory;
    assert!((80_000..120_000).contains(&grown), "{grown}");
    // An equal term costs nothing, a bigger one what it is bigger.
    terms.put(0_u32, [0_u64; 100]).unwrap();
    assert_eq!(terms.info(), full);
    terms.put(0_u32, [0_u64; 200]).unwrap();
    assert_eq!(terms.info().count, 100);
    assert_eq!(terms.info().memory, full.memory + 800);
    for key in 0..100_u32 {
        assert!(terms.erase(&key));
    }
    assert_eq!(terms.info(), empty);
}

async fn terms_keys() {
    let terms = PersistentTerms::new();
    terms.put("name", 1).unwrap();
    terms.put("name".to_owned(), 2).unwrap();
    terms.put(7_u8, 3).unwrap();
    terms.put(7_u64, 4).unwrap();
    terms.put((), 5).unwrap();
    terms.put(vec![Some("a"), None], 6).unwrap();
    terms.put(("tuple", 1.5_f64.to_bits()), 7).unwrap();
    terms.put(otp::Pid::from_parts(1, 2, 3), 8).unwrap();
    assert_eq!(terms.get(&"name"), Ok(Arc::new(1)));
    assert_eq!(terms.get(&"name".to_owned()), Ok(Arc::new(2)));
    assert_eq!(terms.get(&7_u8), Ok(Arc::new(3)));
    assert_eq!(terms.get(&7_u64), Ok(Arc::new(4)));
    assert_eq!(terms.get(&()), Ok(Arc::new(5)));
    assert_eq!(terms.get(&vec![Some("a"), None]), Ok(Arc::new(6)));
    assert_eq!(terms.get(&("tuple", 1.5_f64.to_bits())), Ok(Arc::new(7)));
    let pid = otp::Pid::from_parts(1, 2, 3);
    assert_eq!(terms.get(&pid), Ok(Arc::new(8)));
    assert_eq!(terms.info().count, 8);
    // All of them can be told apart in the list.
    let all = terms.all();
    let mut values: Vec<i32> = all.iter().map(|term| *term.value().unwrap()).collect();
    values.sort_unstable();
    assert_eq!(values, [1, 2, 3, 4, 5, 6, 7, 8]);
    let bytes: Vec<&u8> = all
        .iter()
        .filter_map(otp::persistent_term::Term::key)
        .collect();
    assert_eq!(bytes, [&7_u8]);
}

async fn terms_collisions() {
    let terms = PersistentTerms::new();
    let key = |number| Colliding { bucket: 0, number };
    for number in 0..100 {
        terms.put(key(number), number).unwrap();
        for before in 0..=number {
            assert_eq!(*terms.get::<_, u32>(&key(before)).unwrap(), before);
        }
    }
    // Taken out in another order, the rest stays.
    for number in (0..100).step_by(3).chain((0..100).skip(1).step_by(3)) {
        assert!(terms.erase(&key(number)));
        assert_eq!(terms.find::<_, u32>(&key(number)), None);
        assert_eq!(*terms.get::<_, u32>(&key(98)).unwrap(), 98);
    }
    assert_eq!(terms.info().count, 33);
    let left = (0..100).filter(|number| number % 3 == 2);
    assert!(
        left.into_iter()
            .all(|number| terms.find::<_, u32>(&key(number)).is_some())
    );
}

async fn terms_colliding_bucket() {
    let terms = PersistentTerms::new();
    for number in 0..60 {
        let bucket = (number % 4) as u8;
        terms.put(Colliding { bucket, number }, number).unwrap();
    }
    // A key with the hash of others, which is not there, is not mistaken for one of them.
    for bucket in 0..5 {
        let absent = Colliding {
            bucket,
            number: 1000,
        };
        assert_eq!(terms.get::<_, u32>(&absent), Err(TermError::Missing));
        terms.put(absent.clone(), 5_u32).unwrap();
        terms.put(absent.clone(), 6_u32).unwrap();
        assert_eq!(*terms.get::<_, u32>(&absent).unwrap(), 6);
        for number in 0..60 {
            let bucket = (number % 4) as u8;
            let key = Colliding { bucket, number };
            assert_eq!(*terms.get::<_, u32>(&key).unwrap(), number);
        }
        assert!(terms.erase(&absent));
        assert_eq!(terms.get::<_, u32>(&absent), Err(TermError::Missing));
    }
}

/// Counts those of its kind that exist.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Arc<Counted> {
        count.fetch_add(1, Ordering::SeqCst);
        Arc::new(Counted(count.clone()))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn terms_destruction() {
    let terms = PersistentTerms::new();
    let count = Arc::new(AtomicUsize::new(0));
    // A holder keeps what is erased, or the whole list of what was there.
    for key in 0..10_u32 {
        terms.put_shared(key, Counted::new(&count)).unwrap();
    }
    let held = terms.get::<_, Counted>(&3_u32).unwrap();
    let list = terms.all();
    for key in 0..10_u32 {
        assert!(terms.erase(&key));
    }
    assert_eq!(count.load(Ordering::SeqCst), 10);
    drop(list);
    assert_eq!(count.load(Ordering::SeqCst), 1);
    drop(held);
    assert_eq!(count.load(Ordering::SeqCst), 0);
    // Readers, a writer and an eraser at once: what is read is alive, and at the end nothing is
    // left.
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Acquire) {
                    if let Ok(term) = terms.get::<_, Counted>(&1_u32) {
                        assert!(term.0.load(Ordering::SeqCst) > 0);
                    }
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..2000 {
                terms.put_shared(1_u32, Counted::new(&count)).unwrap();
                terms.erase(&1_u32);
            }
            done.store(true, Ordering::Release);
        });
    });
    assert_eq!(terms.info().count, 0);
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

async fn terms_all_race() {
    let terms = PersistentTerms::new();
    for key in 0..50_u32 {
        terms.put(key, key).unwrap();
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 0..2_u32 {
            let (terms, done) = (&terms, &done);
            scope.spawn(move || {
                for round in 0..1000 {
                    let key = 1000 + writer * 1000 + round % 20;
                    terms.put(key, key).unwrap();
                    terms.erase(&key);
                }
                done.store(true, Ordering::Release);
            });
        }
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                let mut lasting = 0;
                for term in terms.all() {
                    // Never half of a term.
                    let (key, value) = (term.key::<u32>().unwrap(), term.value::<u32>().unwrap());
                    assert_eq!(*key, *value);
                    lasting += u32::from(*key < 50);
                }
                assert_eq!(lasting, 50);
            }
        });
    });
    assert_eq!(terms.info().count, 50);
}

async fn terms_handles() {
    // Things which are not plain data stay what they are: a reference to a process, a channel,
    // another shared table.
    let node = node();
    let process = worker(&node).await;
    let (sender, receiver) = mpsc::channel::<u32>();
    let atomics = Atomics::<u64>::new(1).unwrap();
    let terms = PersistentTerms::new();
    let handles = Arc::new((process.clone(), sender, atomics.clone()));
    terms.put_shared("handles", handles).unwrap();
    let copy = terms.clone();
    within(&process, move |_| {
        type Handles = (
            otp::ServerRef<crate::support::Worker>,
            mpsc::Sender<u32>,
            Atomics<u64>,
        );
        let handles = copy.get::<_, Handles>(&"handles").unwrap();
        // Even after it was erased.
        assert!(copy.erase(&"handles"));
        assert!(handles.0.is_alive());
        handles.1.send(7).unwrap();
        handles.2.add(0, 5).unwrap();
    })
    .await;
    assert_eq!(receiver.recv(), Ok(7));
    assert_eq!(atomics.get(0), Ok(5));
    // Nobody else has the sender any more.
    assert!(receiver.recv().is_err());
}

async fn terms_sharing() {
    let node = node();
    let terms = PersistentTerms::new();
    let term = Arc::new(vec![1_u8; 1_000_000]);
    terms.put_shared("big", term.clone()).unwrap();
    for _ in 0..3 {
        let process = worker(&node).await;
        let terms = terms.clone();
        let read = within(&process, move |_| terms.get::<_, Vec<u8>>(&"big").unwrap()).await;
        assert!(Arc::ptr_eq(&read, &term));
    }
    // And what others add to the table does not move it.
    terms.put("other", 1).unwrap();
    assert!(Arc::ptr_eq(&terms.get(&"big").unwrap(), &term));
}

// ---- FastGlobal ---------------------------------------------------------------------------------

async fn global_put() {
    let global = PersistentTerms::new();
    global.put("test", "value").unwrap();
    assert_eq!(global.find(&"test"), Some(Arc::new("value")));
    global.put("test", "changed").unwrap();
    assert_eq!(global.find(&"test"), Some(Arc::new("changed")));
    // Constant time: a read of one among many touches none of the others.
    for key in 0..1000_u32 {
        global.put(key, key).unwrap();
    }
    let (first, second) = (
        global.find::<_, &str>(&"test"),
        global.find::<_, &str>(&"test"),
    );
    assert!(Arc::ptr_eq(&first.unwrap(), &second.unwrap()));
}

async fn global_delete() {
    let global = PersistentTerms::new();
    global.put("test", "value").unwrap();
    global.put("other", "stays").unwrap();
    assert!(global.erase(&"test"));
    assert_eq!(global.find::<_, &str>(&"test"), None);
    assert_eq!(global.find(&"other"), Some(Arc::new("stays")));
    assert!(!global.erase(&"never put"));
}

async fn global_unset() {
    let global = PersistentTerms::new();
    assert_eq!(global.find::<_, String>(&"test"), None);
    let default = Arc::new("default".to_owned());
    assert_eq!(global.get_or(&"test", default.clone()), Ok(default));
    assert_eq!(global.info().count, 0, "a default is not stored");
}

// ---- what the manual says -----------------------------------------------------------------------

async fn terms_put_new() {
    let terms = PersistentTerms::new();
    assert_eq!(terms.put_new("key", 1), Ok(()));
    assert_eq!(terms.put_new("key", 2), Err(TermError::Exists));
    assert_eq!(
        terms.put_new("key", "of another type"),
        Err(TermError::Exists)
    );
    let first = terms.get::<_, i32>(&"key").unwrap();
    assert_eq!(*first, 1);
    // An equal one is fine, and does nothing.
    assert_eq!(terms.put_new("key", 1), Ok(()));
    assert!(Arc::ptr_eq(&terms.get(&"key").unwrap(), &first));
    assert!(terms.erase(&"key"));
    assert_eq!(terms.put_new("key", 2), Ok(()));
    // Of many at the same time one succeeds.
    let winners = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for number in 0..8 {
            let (terms, winners) = (&terms, &winners);
            scope.spawn(move || {
                if terms.put_new("race", number).is_ok() {
                    winners.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
    assert_eq!(winners.load(Ordering::SeqCst), 1);
}

/// A key which holds up whoever hashes it for the second time, which is the writer at work.
struct Slow {
    hashed: AtomicUsize,
    reached: mpsc::SyncSender<()>,
    gate: parking_lot::Mutex<mpsc::Receiver<()>>,
}

impl PartialEq for Slow {
    fn eq(&self, _other: &Slow) -> bool {
        false
    }
}

impl Eq for Slow {}

impl Hash for Slow {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        if self.hashed.fetch_add(1, Ordering::SeqCst) == 1 {
            self.reached.send(()).unwrap();
            self.gate.lock().recv().unwrap();
        }
        hasher.write_u8(0);
    }
}

async fn terms_reads_do_not_wait() {
    let terms = PersistentTerms::new();
    terms.put("key", 1).unwrap();
    let (reached, reaches) = mpsc::sync_channel(1);
    let (open, gate) = mpsc::channel();
    let writing = {
        let terms = terms.clone();
        let slow = Slow {
            hashed: AtomicUsize::new(0),
            reached,
            gate: gate.into(),
        };
        std::thread::spawn(move || terms.put(slow, 1))
    };
    reaches.recv().unwrap();
    // The writer is in the middle of it, and so is everybody who writes.
    let other = {
        let terms = terms.clone();
        std::thread::spawn(move || terms.put("other", 1))
    };
    for _ in 0..1000 {
        assert_eq!(terms.get(&"key"), Ok(Arc::new(1)));
        assert_eq!(terms.get::<_, i32>(&"absent"), Err(TermError::Missing));
        assert_eq!(terms.all().len(), 1);
        assert_eq!(terms.info().count, 1);
    }
    assert!(!writing.is_finished() && !other.is_finished());
    open.send(()).unwrap();
    assert_eq!(writing.join().unwrap(), Ok(()));
    assert_eq!(other.join().unwrap(), Ok(()));
    assert_eq!(terms.info().count, 3);
}
