//! A node whose messages are in a cluster: what its clients see when a node of the cluster dies and
//! comes back, what the node heals by itself, and what a start says that cannot be. All but the last
//! need `tests/cassandra/run.sh`; the tests that kill nodes of it must run one at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use model::{ChannelId, Id, MessageId};
use serde_json::{Value, json};
use storage::store::{RecordPatch, Write};

use crate::durability::{Acknowledged, check, id_of};
use crate::support::{ALL_INTENTS, Answer, Cluster, Gateway, Http, Process, eventually};

const WRITERS: usize = 16;
/// Acknowledged messages before a node of the cluster is killed, and after.
const ACKNOWLEDGED_MIN: usize = 60;
/// Longest time until clients see that a cluster is back, or that it goes on without a third.
const RECOVERY_MAX: Duration = Duration::from_secs(180);

/// What one writer was told.
#[derive(Debug, Default)]
struct Told {
    acknowledged: Vec<Acknowledged>,
    /// Nonces of which it was said that nothing was changed.
    refused: Vec<String>,
    /// Nonces of which it was said that it is not known.
    unknown: Vec<String>,
    sent: usize,
}

/// Writers that go on whatever they are told.
struct Writers {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
    refused: Arc<AtomicUsize>,
    tasks: Vec<tokio::task::JoinHandle<Told>>,
}

impl Writers {
    fn start(process: &Process) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let (acknowledged, refused) = <(Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
        let tasks = (0..WRITERS)
            .map(|writer| {
                let (http, channel) = (process.http_a(), process.var("CHANNEL_ID").to_owned());
                let (stop, acknowledged) = (Arc::clone(&stop), Arc::clone(&acknowledged));
                let refused = Arc::clone(&refused);
                tokio::spawn(async move {
                    let mut told = Told::default();
                    while !stop.load(Ordering::Acquire) {
                        let answer = told.write(&http, &channel, writer).await;
                        match answer.status.as_u16() {
                            200 => drop(acknowledged.fetch_add(1, Ordering::AcqRel)),
                            _ => {
                                refused.fetch_add(1, Ordering::AcqRel);
                                // What the answer asks for; the test waits for conditions.
                                tokio::time::sleep(Duration::from_millis(100)).await;
                            }
                        }
                    }
                    told
                })
            })
            .collect();
        Self {
            stop,
            acknowledged,
            refused,
            tasks,
        }
    }

    /// Waits until so many more are acknowledged.
    async fn acknowledge(&self, more: usize, what: &str) {
        let target = self.acknowledged.load(Ordering::Acquire) + more;
        let begin = Instant::now();
        while self.acknowledged.load(Ordering::Acquire) < target {
            assert!(begin.elapsed() < RECOVERY_MAX, "not in time: {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn end(self) -> Vec<Told> {
        self.stop.store(true, Ordering::Release);
        let mut all = Vec::new();
        for task in self.tasks {
            all.push(task.await.unwrap());
        }
        all
    }
}

impl Told {
    /// One message more; whatever the answer is, it must be an honest one.
    async fn write(&mut self, http: &Http, channel: &str, writer: usize) -> Answer {
        let nonce = format!("w{writer}-{}", self.sent);
        self.sent += 1;
        let path = format!("/channels/{channel}/messages");
        let body = json!({"content": nonce, "nonce": nonce, "enforce_nonce": true});
        let answer = http.post(&path, &body).await;
        match answer.status.as_u16() {
            200 => self.acknowledged.push(Acknowledged {
                nonce,
                id: id_of(&answer.body),
            }),
            503 => {
                nothing_changed(&answer);
                self.refused.push(nonce);
            }
            500 => {
                let text = answer.body["message"].as_str().unwrap();
                assert!(text.contains("not known"), "{answer:?}");
                assert!(!answer.headers.contains_key("retry-after"), "{answer:?}");
                self.unknown.push(nonce);
            }
            _ => panic!("{nonce}: {answer:?}"),
        }
        answer
    }
}

async fn until_it_serves(cluster: &Cluster, node: usize) {
    let begin = Instant::now();
    while !cluster.takes_connections(node) {
        assert!(begin.elapsed() < RECOVERY_MAX, "Cassandra comes back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A definite refusal that says so, and when to come again.
fn nothing_changed(answer: &Answer) {
    assert_eq!(answer.status.as_u16(), 503, "{answer:?}");
    let seconds = answer.headers["retry-after"].to_str().unwrap();
    assert!(seconds.parse::<u64>().unwrap() >= 1, "{answer:?}");
    assert!(
        answer.body["message"].is_string() && answer.body["code"].is_u64(),
        "{answer:?}"
    );
}

/// Every acknowledged message once and in order, and none of which was said that it is not there.
fn check_all(stored: &[Value], told: &[Told]) {
    let acknowledged: Vec<_> = told.iter().map(|one| one.acknowledged.clone()).collect();
    let sent: Vec<_> = told.iter().map(|one| one.sent).collect();
    check(stored, &acknowledged, &sent);
    let contents: std::collections::HashSet<&str> = stored
        .iter()
        .filter_map(|message| message["content"].as_str())
        .collect();
    for nonce in told.iter().flat_map(|one| &one.refused) {
        assert!(
            !contents.contains(nonce.as_str()),
            "{nonce} was refused and is there"
        );
    }
    let count = |of: fn(&Told) -> usize| told.iter().map(of).sum::<usize>();
    println!(
        "{} stored, {} acknowledged, {} refused, {} unknown",
        stored.len(),
        count(|one| one.acknowledged.len()),
        count(|one| one.refused.len()),
        count(|one| one.unknown.len()),
    );
}

/// The only node of a cluster dies under load and comes back: clients are told what was not done, the
/// gateway stays, and everything goes on without a restart. Needs `--durable`: as Cassandra comes, it
/// acknowledges what a crash then takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cassandra_dies_and_comes_back() {
    let Some(cluster) = Cluster::of(1) else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let storage = cluster.keyspace(1);
    let process = Process::dev(
        directory.path(),
        &["--rate-limits", "off", "--storage", &storage],
    );
    let (http, channel) = (process.http_a(), process.var("CHANNEL_ID"));
    let mut gateway = Gateway::login(
        process.addr(),
        process.var("TOKEN_B"),
        ALL_INTENTS & !(1 << 9),
    )
    .await;
    let writers = Writers::start(&process);
    writers.acknowledge(ACKNOWLEDGED_MIN, "messages").await;
    cluster.kill(0);
    eventually("writers that are refused", || {
        let refused = writers.refused.load(Ordering::Acquire) >= 4 * WRITERS;
        async move { refused.then_some(()) }
    })
    .await;
    // Reads are refused in the same way, and connections that are there stay.
    let path = format!("/channels/{channel}/messages");
    nothing_changed(&http.get(&path).await);
    gateway.heartbeat().await;
    let health = http.get_plain("/healthz").await;
    assert_eq!(health.status.as_u16(), 200, "nothing has to be restarted");
    cluster.start_again(0);
    until_it_serves(&cluster, 0).await;
    let back = Instant::now();
    writers.acknowledge(ACKNOWLEDGED_MIN, "writes go on").await;
    println!(
        "writes go on {:?} after the cluster is back",
        back.elapsed()
    );
    let told = writers.end().await;
    check_all(&http.all_messages(channel).await, &told);
    // The connection that was there all the time is still told of what happens.
    gateway.heartbeat().await;
    gateway.close(1000).await;
}

/// One of three nodes dies under load: what is acknowledged goes on, and what was stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cassandra_goes_on_without_a_third() {
    let Some(cluster) = Cluster::of(3) else {
        return;
    };
    if !cluster.takes_connections(2) {
        // The test of the engine has killed it.
        cluster.start_again(2);
        until_it_serves(&cluster, 2).await;
    }
    let directory = tempfile::tempdir().unwrap();
    let storage = cluster.keyspace(3);
    let process = Process::dev(
        directory.path(),
        &["--rate-limits", "off", "--storage", &storage],
    );
    let (http, channel) = (process.http_a(), process.var("CHANNEL_ID"));
    let writers = Writers::start(&process);
    writers.acknowledge(ACKNOWLEDGED_MIN, "messages").await;
    cluster.kill(2);
    let killed = Instant::now();
    writers.acknowledge(1, "a write after the kill").await;
    println!("the first write {:?} after the kill", killed.elapsed());
    // Until the others know that the third is dead, a read may be refused as a write may.
    let path = format!("/channels/{channel}/messages");
    eventually("a read without a third", || async {
        let page = http.get(&path).await;
        if page.status.as_u16() == 503 {
            nothing_changed(&page);
            return None;
        }
        let messages = page.ok("a page").as_array()?.len();
        assert!(messages > 0, "what was stored is there");
        Some(())
    })
    .await;
    // Each group takes seconds until the others know that the third is dead.
    writers
        .acknowledge(ACKNOWLEDGED_MIN / 3, "writes go on")
        .await;
    let told = writers.end().await;
    check_all(&http.all_messages(channel).await, &told);
}

/// The value of a counter of the node, all its labels together.
async fn counter(http: &Http, name: &str) -> u64 {
    let text = http.get_plain("/metrics").await.text;
    let values = text
        .lines()
        .filter(|line| line.starts_with(name))
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(_, value)| value.parse::<f64>().unwrap());
    values.sum::<f64>() as u64
}

/// Edits that meet deletes leave rows that have only the edited fields: two writers for one guild, as
/// there are for a moment when one is cut off. The node shows none of them, and heals them unasked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cassandra_races_are_never_shown_and_are_healed_by_the_node() {
    const MESSAGES: usize = 40;
    const MET: &str = "guildhall_store_orphans_met_total";
    const HEALED: &str = "guildhall_store_upkeep_healed_total";
    let Some(cluster) = Cluster::found() else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let url = cluster.keyspace(1);
    let process = Process::dev(
        directory.path(),
        &["--rate-limits", "off", "--storage", &url],
    );
    let (http, channel) = (process.http_a(), process.var("CHANNEL_ID"));
    let path = format!("/channels/{channel}/messages?limit=100");
    let one = storage::engine::open(&url).await.unwrap();
    let two = storage::engine::open(&url).await.unwrap();
    let of: ChannelId = Id::new(channel.parse().unwrap());
    let kept = http.post_message(channel, "kept").await;
    // Which of the two comes later is chance; one race in two leaves a row.
    for round in 1.. {
        for number in 0..MESSAGES {
            let posted = http
                .post_message(channel, &format!("{round}-{number}"))
                .await;
            let message: MessageId = Id::new(id_of(&posted));
            let patch = RecordPatch {
                content: Some("a ghost".to_owned()),
                ..RecordPatch::default()
            };
            let edit = one.commit(vec![Write::PatchMessage(of, message, Box::new(patch))]);
            let delete = two.commit(vec![Write::DeleteMessage(of, message)]);
            let (edited, deleted) = tokio::join!(edit, delete);
            deleted.unwrap();
            assert!(
                matches!(edited, Ok(()) | Err(storage::StoreError::NotFound)),
                "{edited:?}"
            );
        }
        let shown = http.get(&path).await.ok("a page");
        let shown = shown.as_array().unwrap();
        assert_eq!(shown.len(), 1, "{shown:?}");
        assert_eq!(shown[0]["id"], kept["id"]);
        if counter(&http, MET).await > 0 {
            break;
        }
        assert!(round < 10, "no edit met a delete in {round} rounds");
    }
    eventually("rows that were healed", || async {
        (counter(&http, HEALED).await > 0).then_some(())
    })
    .await;
    // And in the end there is none left to be met.
    eventually("no row without author", || async {
        let before = counter(&http, MET).await;
        let page = http.get(&path).await.ok("a page");
        assert_eq!(page.as_array().unwrap().len(), 1);
        (counter(&http, MET).await == before).then_some(())
    })
    .await;
    println!(
        "{} met, {} healed, {} rows looked at in {} steps",
        counter(&http, MET).await,
        counter(&http, HEALED).await,
        counter(&http, "guildhall_store_upkeep_rows_total").await,
        counter(&http, "guildhall_store_upkeep_steps_total").await,
    );
    assert_eq!(
        counter(&http, "guildhall_store_upkeep_errors_total").await,
        0
    );
}

/// A Cassandra as it comes: a node that has the password serves and warns of the limit of batches,
/// one that has none or a wrong one says what to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cassandra_as_it_comes_is_warned_of_and_wants_a_password() {
    let Some(cluster) = Cluster::of(1).filter(Cluster::as_it_comes) else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let url = cluster.keyspace(1);
    let environment = [("GUILDHALL_STORAGE", url.as_str())];
    let mut process = Process::serve_with(directory.path(), &environment);
    process.terminate();
    let (status, log) = process.end(Duration::from_secs(30));
    assert!(status.success(), "{log}");
    assert!(log.contains("batch_size_fail_threshold: 1024KiB"), "{log}");
    assert!(log.contains("cassandra:***@"), "{log}");
    assert!(
        !log.contains("NOT function"),
        "the driver is content: {log}"
    );
    assert!(!log.contains("cassandra:cassandra"), "{log}");
    let (_, hosts) = url.split_once('@').unwrap();
    for (login, advice) in [
        ("cassandra:secret@", "refuses the password of"),
        ("nobody:secret@", "refuses the password of"),
        ("", "wants a name and a password"),
    ] {
        refused(&format!("scylla://{login}{hosts}"), advice);
    }
    refused(
        &format!("{}&create=false", url.replace("?", "_never?")),
        "create=true",
    );
    let authority = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/storage/tests/certificates/ca.pem"
    );
    let encrypted = format!("{url}&tls=on&tls_ca={authority}").replace(":cassandra@", ":secret@");
    refused(&encrypted, "no TLS is spoken there");
}

/// A request that such a Cassandra never takes is refused as too large, not to be repeated, while
/// others of the same guild go through.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cassandra_as_it_comes_tells_what_is_too_large() {
    // Above its 50 KiB, below what Discord allows.
    const OVERWRITES: u64 = 900;
    let Some(cluster) = Cluster::of(1).filter(Cluster::as_it_comes) else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let url = cluster.keyspace(1);
    let environment = [("GUILDHALL_STORAGE", url.as_str())];
    let process = Process::dev_in(directory.path(), &["--rate-limits", "off"], &environment);
    let (http, channel) = (process.http_a(), process.var("CHANNEL_ID"));
    let path = format!("/guilds/{}/channels", process.var("GUILD_ID"));
    let overwrite = |number: u64| json!({"id": ((1 << 40) + number).to_string(), "type": 1, "allow": "1024", "deny": "2048"});
    let overwrites: Vec<_> = (0..OVERWRITES).map(overwrite).collect();
    let wide = json!({"name": "wide", "permission_overwrites": overwrites});
    let many = futures_util::future::join_all((0..20).map(|number| {
        let (http, path, wide) = (&http, &path, &wide);
        async move {
            if number % 5 == 2 {
                let answer = http.post(path, wide).await;
                assert_eq!(answer.status.as_u16(), 413, "{answer:?}");
                assert_eq!(answer.body["code"], 40_005, "{answer:?}");
                let text = answer.body["message"].as_str().unwrap();
                assert!(text.contains("Nothing was changed"), "{answer:?}");
                assert!(!answer.headers.contains_key("retry-after"), "{answer:?}");
            } else {
                http.post_message(channel, &format!("{number}")).await;
            }
        }
    }));
    many.await;
    assert_eq!(http.all_messages(channel).await.len(), 16);
    let channels = http.get(&path).await.ok("channels");
    let names = channels.as_array().unwrap().iter();
    assert!(!names.clone().any(|one| one["name"] == "wide"));
    let errors = "guildhall_store_commit_errors_total{error=\"too_large\"}";
    assert_eq!(counter(&http, errors).await, 4);
    let narrow = json!({"name": "wide", "permission_overwrites": overwrites[..9]});
    http.post(&path, &narrow).await.ok("a channel");
}

/// A start that must fail, through the environment, as a password is given.
pub(crate) fn refused(url: &str, advice: &str) {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().to_str().unwrap();
    let arguments = ["dev", "--listen", "127.0.0.1:0", "--data", data];
    let output = Process::run_in(&arguments, &[("GUILDHALL_STORAGE", url)]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(advice), "{said}");
    assert!(!said.contains("secret"), "{said}");
}

#[test]
fn a_cluster_that_is_not_there_is_told_with_what_to_do() {
    for (url, advice) in [
        ("scylla://ada:secret@127.0.0.1:1/hall", "check that it runs"),
        ("scylla://ada:secret@127.0.0.1/hall", "is not HOST:PORT"),
        ("scylla://ada:secret@127.0.0.1:1", "a keyspace must follow"),
        (
            "scylla://ada:sec/secret@127.0.0.1:1/hall",
            "percent-encoded",
        ),
        (
            "cassandra://ada:secret@127.0.0.1:1/hall",
            "scylla://HOST:PORT",
        ),
    ] {
        refused(url, advice);
    }
}
