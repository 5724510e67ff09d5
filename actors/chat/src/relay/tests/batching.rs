//! Whatever is batched with what, everyone gets what they would get one by one.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Publish(Option<u64>),
    To(u64),
    Subscribe(usize, Vec<u64>, bool),
    Activate(usize),
    /// A message in a channel: passive sessions of this user get it only.
    Post(u64, u64),
    Unsubscribe(usize),
    View(u64, Vec<u64>),
    Remove(u64),
    Clear,
}

fn steps() -> impl Strategy<Value = Vec<Vec<Step>>> {
    let channels = || prop::collection::vec(1..4u64, 0..3);
    let step = prop_oneof![
        6 => prop::option::of(1..4u64).prop_map(Step::Publish),
        1 => (1..4u64).prop_map(Step::To),
        3 => (0..SESSIONS, channels(), any::<bool>()).prop_map(|(session, channels, passive)| Step::Subscribe(session, channels, passive)),
        2 => (0..SESSIONS).prop_map(Step::Activate),
        4 => (1..4u64, 1..4u64).prop_map(|(place, named)| Step::Post(place, named)),
        1 => (0..SESSIONS).prop_map(Step::Unsubscribe),
        2 => (1..4u64, channels()).prop_map(|(user, channels)| Step::View(user, channels)),
        1 => (1..4u64).prop_map(Step::Remove),
        1 => Just(Step::Clear),
    ];
    prop::collection::vec(prop::collection::vec(step, 1..12), 1..8)
}

const SESSIONS: usize = 6;

/// Session `n` is of user `n / 2 + 1`: two sessions each.
fn user_of(session: usize) -> u64 {
    session as u64 / 2 + 1
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// Batches with cursors do what one order at a time would do.
    #[test]
    fn batching_changes_nothing(batches in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let it = Fixture::new().await;
            let listeners: Vec<Listener> =
                (0..SESSIONS).map(|n| it.listener(&format!("{n}"), user_of(n))).collect();
            let mut expected: Vec<Vec<String>> = vec![Vec::new(); SESSIONS];
            let mut here: HashMap<usize, HashSet<u64>> = HashMap::new();
            let mut passive: HashSet<usize> = HashSet::new();
            let mut number = 0;
            for batch in batches {
                let mut orders = Vec::new();
                for step in batch {
                    number += 1;
                    let data = number.to_string();
                    match step {
                        Step::Publish(place) => {
                            for (session, view) in &here {
                                if place.is_none_or(|place| view.contains(&place)) {
                                    expected[*session].push(data.clone());
                                }
                            }
                            orders.push(match place {
                                None => publish(Audience::Guild, &data),
                                Some(place) => in_channel(place, &data),
                            });
                        }
                        Step::To(id) => {
                            for session in here.keys().filter(|session| user_of(**session) == id) {
                                expected[*session].push(data.clone());
                            }
                            orders.push(publish(Audience::Users(Arc::new([user(id)])), &data));
                        }
                        Step::Subscribe(session, channels, is_passive) => {
                            orders.push(listeners[session].subscribe_as(&channels, is_passive));
                            here.insert(session, channels.into_iter().collect());
                            if is_passive {
                                passive.insert(session);
                            } else {
                                passive.remove(&session);
                            }
                        }
                        Step::Activate(session) => {
                            orders.push(Order::Activate(session.to_string().into()));
                            passive.remove(&session);
                        }
                        Step::Post(place, named) => {
                            for (session, view) in &here {
                                let gets = !passive.contains(session) || user_of(*session) == named;
                                if gets && view.contains(&place) {
                                    expected[*session].push(data.clone());
                                }
                            }
                            let event = event("TEST", Audience::Channel(channel(place)), &data);
                            let event = Encoded::clone(&event).passive_for([user(named)]);
                            orders.push(Order::Publish(Arc::new(event)));
                        }
                        Step::Unsubscribe(session) => {
                            orders.push(Order::Unsubscribe(session.to_string().into()));
                            here.remove(&session);
                        }
                        Step::View(id, channels) => {
                            orders.push(Order::Views([(user(id), view(&channels))].into()));
                            for (session, view) in &mut here {
                                if user_of(*session) == id {
                                    *view = channels.iter().copied().collect();
                                }
                            }
                        }
                        Step::Remove(id) => {
                            orders.push(Order::Remove(user(id)));
                            here.retain(|session, _| user_of(*session) != id);
                        }
                        Step::Clear => {
                            orders.push(Order::Clear);
                            here.clear();
                        }
                    }
                }
                it.handle.deliver(orders);
                tokio::task::yield_now().await;
            }
            // When a late listener has heard the end, everyone has.
            let last = it.listener("last", 99);
            it.handle.deliver(vec![last.subscribe(&[]), publish(Audience::Users(Arc::new([user(99)])), "end")]);
            eventually!(last.heard() == ["end"]);
            for (session, listener) in listeners.iter().enumerate() {
                let heard = listener.heard();
                assert_eq!(heard, expected[session], "session {session}");
                let numbers = listener.recorder.numbers();
                assert!(numbers.iter().copied().eq(1..=numbers.len() as u64));
            }
        });
    }
}
