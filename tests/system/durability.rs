//! What was acknowledged survives SIGKILL: 32 writers, ten kills at random moments, every
//! acknowledged message found, in order, once.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Cluster, Http, Process, eventually, random};

const WRITERS: usize = 32;
const KILLS: usize = 10;
/// Acknowledged messages before a kill may come.
const ACKNOWLEDGED_MIN: usize = 40;
/// A kill comes within this many milliseconds after that.
const KILL_WITHIN_MS: u64 = 400;
/// Kills of a node on a cluster, where each start takes longer.
const CLUSTER_KILLS: usize = 3;

/// An acknowledged message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Acknowledged {
    pub(crate) nonce: String,
    pub(crate) id: u64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_message_survives_ten_kills_in_order_once() {
    survive(KILLS, &[]).await;
}

/// The same with the messages in a cluster; the node dies, the cluster does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cassandra_has_every_message_acknowledged_before_a_kill() {
    let Some(cluster) = Cluster::found() else {
        return;
    };
    survive(CLUSTER_KILLS, &["--storage", &cluster.keyspace(1)]).await;
}

async fn survive(kills: usize, arguments: &[&str]) {
    let arguments = [&["--rate-limits", "off"], arguments].concat();
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged: Vec<Vec<Acknowledged>> = vec![Vec::new(); WRITERS];
    let mut next = vec![0; WRITERS];
    let mut identity = None;
    for kill in 0..kills {
        let mut process = Process::dev(directory.path(), &arguments);
        let found = identity.get_or_insert_with(|| process.identity());
        assert_eq!(
            &process.identity(),
            found,
            "the same data directory, the same values"
        );
        let stop = Arc::new(AtomicBool::new(false));
        let count = Arc::new(AtomicUsize::new(0));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (http, channel) = (process.http_a(), process.var("CHANNEL_ID").to_owned());
                let (stop, count, from) = (Arc::clone(&stop), Arc::clone(&count), next[writer]);
                tokio::spawn(write_until_cut(http, channel, writer, from, stop, count))
            })
            .collect();
        eventually("enough acknowledged messages", || {
            let enough = count.load(Ordering::Acquire) >= ACKNOWLEDGED_MIN;
            async move { enough.then_some(()) }
        })
        .await;
        let after = random(KILL_WITHIN_MS);
        println!("kill {kill}: {after} ms after {ACKNOWLEDGED_MIN} acknowledgements");
        tokio::time::sleep(Duration::from_millis(after)).await;
        process.kill();
        stop.store(true, Ordering::Release);
        for (writer, task) in writers.into_iter().enumerate() {
            let (sent, got) = task.await.unwrap();
            next[writer] = sent;
            acknowledged[writer].extend(got);
        }
    }
    let mut process = Process::dev(directory.path(), &arguments);
    let stored = process
        .http_a()
        .all_messages(process.var("CHANNEL_ID"))
        .await;
    check(&stored, &acknowledged, &next);
    let total: usize = acknowledged.iter().map(Vec::len).sum();
    println!(
        "{total} acknowledged, {} stored, {kills} kills",
        stored.len()
    );
    process.kill();
}

/// The same nonce, sent again because the answer was lost in the crash, makes no second message.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nonce_sent_again_after_a_crash_is_the_same_message() {
    let directory = tempfile::tempdir().unwrap();
    let mut process = Process::dev(directory.path(), &[]);
    let path = format!("/channels/{}/messages", process.var("CHANNEL_ID"));
    let body = json!({"content": "once", "nonce": "n-1", "enforce_nonce": true});
    let first = process
        .http_a()
        .post(&path, &body)
        .await
        .ok("the first send");
    process.kill();
    let mut process = Process::dev(directory.path(), &[]);
    let second = process
        .http_a()
        .post(&path, &body)
        .await
        .ok("the second send");
    assert_eq!(first["id"], second["id"]);
    let stored = process
        .http_a()
        .all_messages(process.var("CHANNEL_ID"))
        .await;
    assert_eq!(
        stored
            .iter()
            .filter(|message| message["content"] == "once")
            .count(),
        1
    );
    process.kill();
}

/// Sends one message after the other until the connection fails or it is told to stop; answers the
/// next number and what was acknowledged.
async fn write_until_cut(
    http: Http,
    channel: String,
    writer: usize,
    from: usize,
    stop: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
) -> (usize, Vec<Acknowledged>) {
    let path = format!("/channels/{channel}/messages");
    let mut acknowledged = Vec::new();
    let mut number = from;
    while !stop.load(Ordering::Acquire) {
        let nonce = format!("w{writer}-{number}");
        number += 1;
        let body = json!({"content": nonce, "nonce": nonce, "enforce_nonce": true});
        let answer = Http::try_send(http.request(reqwest::Method::POST, &path).json(&body)).await;
        // A cut connection: it is not known whether this one was stored.
        let Ok(answer) = answer else { break };
        if answer.status.as_u16() == 503 || answer.status.as_u16() == 429 {
            continue;
        }
        let message = answer.ok("a message under load");
        assert_eq!(message["nonce"], json!(nonce), "the nonce is echoed");
        count.fetch_add(1, Ordering::AcqRel);
        acknowledged.push(Acknowledged {
            nonce,
            id: id_of(&message),
        });
    }
    (number, acknowledged)
}

pub(crate) fn check(stored: &[Value], acknowledged: &[Vec<Acknowledged>], sent: &[usize]) {
    let ids: Vec<u64> = stored.iter().map(id_of).collect();
    assert!(
        ids.is_sorted_by(|a, b| a < b),
        "history is in order and has nothing twice"
    );
    let mut by_nonce: HashMap<&str, u64> = HashMap::new();
    for message in stored {
        let content = message["content"].as_str().unwrap();
        let Some((writer, number)) = content
            .strip_prefix('w')
            .and_then(|rest| rest.split_once('-'))
        else {
            continue;
        };
        let (writer, number): (usize, usize) = (writer.parse().unwrap(), number.parse().unwrap());
        assert!(number < sent[writer], "{content} was never sent");
        let twice = by_nonce.insert(content, id_of(message));
        assert_eq!(twice, None, "{content} is stored once");
    }
    for writer in acknowledged {
        for message in writer {
            let found = by_nonce.get(message.nonce.as_str());
            assert_eq!(found, Some(&message.id), "{message:?} was acknowledged");
        }
        assert!(
            writer.is_sorted_by(|a, b| a.id < b.id),
            "ids rise in the order of the sends"
        );
    }
}

pub(crate) fn id_of(message: &Value) -> u64 {
    message["id"].as_str().unwrap().parse().unwrap()
}

/// The check itself can fail.
#[test]
fn the_check_sees_a_lost_a_repeated_and_a_moved_message() {
    let message = |id: u64, content: &str| json!({"id": id.to_string(), "content": content});
    let one = |nonce: &str, id| Acknowledged {
        nonce: nonce.to_owned(),
        id,
    };
    let good = [message(1, "w0-0"), message(2, "w0-1")];
    let acknowledged = vec![vec![one("w0-0", 1), one("w0-1", 2)]];
    check(&good, &acknowledged, &[2]);
    let failing = |stored: Vec<Value>, acknowledged: Vec<Vec<Acknowledged>>| {
        std::panic::catch_unwind(|| check(&stored, &acknowledged, &[2])).is_err()
    };
    assert!(
        failing(vec![message(1, "w0-0")], acknowledged.clone()),
        "lost"
    );
    let repeated = vec![message(1, "w0-0"), message(2, "w0-1"), message(3, "w0-1")];
    assert!(failing(repeated, acknowledged.clone()), "repeated");
    assert!(
        failing(vec![message(2, "w0-1"), message(1, "w0-0")], acknowledged),
        "moved"
    );
    let swapped = vec![vec![one("w0-0", 2), one("w0-1", 1)]];
    assert!(
        failing(good.to_vec(), swapped),
        "another id than acknowledged"
    );
}
