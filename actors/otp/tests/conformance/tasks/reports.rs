//! What is logged of a task which fails.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use otp::{ExitReason, Node, task};
use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::span;

use super::custom;

crate::cases! {
    a_task_which_fails_is_logged: "TASK-113";
    with_its_label: "TASK-114";
    a_clean_end_is_not_logged: "TASK-113";
}

/// One event: its fields as text.
type Event = BTreeMap<String, String>;

/// Collects the errors of one thread.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Event>>>);

struct Fields<'a>(&'a mut Event);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }
}

impl tracing::Subscriber for Collector {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::ERROR
    }

    fn new_span(&self, _span: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _span: &span::Id, _values: &span::Record<'_>) {}

    fn record_follows_from(&self, _span: &span::Id, _follows: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut fields = Event::new();
        event.record(&mut Fields(&mut fields));
        self.0.lock().push(fields);
    }

    fn enter(&self, _span: &span::Id) {}

    fn exit(&self, _span: &span::Id) {}
}

/// Runs something on a thread of its own and gives what was logged about tasks there.
fn logged<F>(body: impl FnOnce(Node) -> F + Send + 'static) -> Vec<Event>
where
    F: Future<Output = ()>,
{
    let collector = Collector::default();
    let events = collector.0.clone();
    let thread = std::thread::spawn(move || {
        tracing::subscriber::with_default(collector, || {
            let runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = { runtime }.enable_all().build().unwrap();
            runtime.block_on(body(crate::support::node()));
        });
    });
    thread.join().unwrap();
    let mut events = std::mem::take(&mut *events.lock());
    events.retain(|event| event.contains_key("task"));
    events
}

async fn a_task_which_fails_is_logged() {
    let pids = Arc::new(Mutex::new(Vec::new()));
    let told = pids.clone();
    let events = logged(move |node| async move {
        let inner = node.clone();
        super::process(&node, async move {
            task::trap_exit(true);
            let pid = task::start_link(&inner, "download", async { panic!("oops") });
            told.lock().extend([pid, task::self_pid().unwrap()]);
            inner.wait_for_exit(pid).await;
        })
        .await;
    });
    let pids = pids.lock();
    let [event] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(event["task"], pids[0].to_string());
    assert_eq!(event["caller"], pids[1].to_string());
    assert_eq!(event["label"], "download");
    assert_eq!(event["message"], "task terminating");
    assert!(event["reason"].contains("oops"), "{event:?}");
    assert!(event["reason"].contains("reports.rs"), "{event:?}");
}

async fn with_its_label() {
    let events = logged(|node| async move {
        let failing = task::spawn(&node, "task", async {
            task::set_label("the third attempt");
            task::exit::<()>(custom("unknown")).await;
        });
        assert_eq!(failing.await, Err(custom("unknown")));
    });
    let [event] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(event["label"], "the third attempt");
    assert!(!event.contains_key("caller"), "there is none: {event:?}");
}

async fn a_clean_end_is_not_logged() {
    let events = logged(|node| async move {
        for reason in [
            ExitReason::Normal,
            ExitReason::Shutdown,
            ExitReason::ShutdownWith("enough".into()),
        ] {
            let ending = task::spawn(&node, "task", task::exit::<()>(reason.clone()));
            assert_eq!(ending.await, Err(reason));
        }
        assert_eq!(task::spawn(&node, "task", async { 5 }).await, Ok(5));
    });
    assert!(events.is_empty(), "{events:?}");
}
