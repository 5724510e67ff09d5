//! Moving a store with the binary: killed in the middle, and while the node serves.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::{Value, json};

use crate::support::{DEADLINE, Process, eventually, random};

/// What the demo's bot says before the store is moved.
const MESSAGES: usize = 300;

async fn filled(data: &Path) {
    let mut process = Process::dev(data, &["--rate-limits", "off"]);
    let path = format!("/channels/{}/messages", process.var("CHANNEL_ID"));
    let http = process.http_a();
    for number in 0..MESSAGES {
        let body = json!({"content": format!("message {number}")});
        http.post(&path, &body).await.ok("a message");
    }
    process.terminate();
    assert!(process.wait(DEADLINE).success());
}

fn command(from: &str, to: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_guildhall"));
    command.args(["migrate", "--json", "--from", from, "--to", to]);
    command.stdin(Stdio::null()).stderr(Stdio::null());
    command
}

/// Starts a migration and kills it; whether it was in time.
fn killed(from: &str, to: &str, after_ms: u64) -> bool {
    let mut child: Child = command(from, to).stdout(Stdio::null()).spawn().unwrap();
    let begin = Instant::now();
    while begin.elapsed().as_millis() < u128::from(after_ms) {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    child.kill().unwrap();
    !child.wait().unwrap().success()
}

fn told(from: &str, to: &str, more: &[&str]) -> (bool, Value) {
    let output = command(from, to).args(more).output().unwrap();
    let told = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.success(), told)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_that_is_killed_twice_ends_with_everything() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path()).await;
    let from = format!("fjall:{}", directory.path().join("store").display());
    let to = format!("fjall:{}", directory.path().join("new").display());
    let mut kills = 0;
    for _ in 0..2 {
        let after = random(400);
        println!("killed after {after} ms");
        kills += usize::from(killed(&from, &to, after));
    }
    println!("{kills} kills were in time");
    let (success, done) = told(&from, &to, &[]);
    assert!(success, "{done}");
    assert_eq!(done["equal"], true);
    assert_eq!(done["hash"]["source"], done["hash"]["target"]);
    assert_eq!(done["compared"]["messages"], MESSAGES);
    // Compared by itself, too; and a target that differs is told, with an exit code.
    assert!(told(&from, &to, &["--verify-only"]).0);
    let other = format!("fjall:{}", directory.path().join("other").display());
    let (success, nothing) = told(&from, &other, &["--verify-only"]);
    assert_eq!((success, nothing), (false, Value::Null));
    assert!(!directory.path().join("other").exists(), "nothing is made");
    let demo = tempfile::tempdir().unwrap();
    let mut process = Process::dev(demo.path(), &[]);
    process.terminate();
    assert!(process.wait(DEADLINE).success());
    let other = format!("fjall:{}", demo.path().join("store").display());
    let (success, differs) = told(&from, &other, &["--verify-only"]);
    assert!(!success);
    assert_eq!(differs["equal"], false);
    assert!(differs["differences_total"].as_u64().unwrap() > 300);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let here = format!("fjall:{}", directory.path().display());
    let store = format!("{here}/a");
    for (from, to, why) in [
        ("memory:", here.as_str(), "gone with the process"),
        (&here, "memory:", "gone with the process"),
        (&here, &here, "same store"),
        (&store, &here, "there is no store"),
        ("redis:a", &here, "redis:a"),
    ] {
        let output = Process::run(&["migrate", "--from", from, "--to", to]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success());
        assert!(error.contains(why), "{from} {to}: {error}");
    }
    assert!(!directory.path().join("a").exists(), "nothing is made");
}

fn admin(data: &Path, arguments: &[&str]) -> Result<Value, String> {
    let data = data.to_str().unwrap();
    let output = Process::run(&[&["admin", "--json", "--data", data], arguments].concat());
    if output.status.success() {
        Ok(serde_json::from_slice(&output.stdout).unwrap())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// The node serves all the time; what was sent before, between and after is in the new store, and the
/// old one is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_moves_while_it_serves() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let mut process = Process::dev(data, &["--rate-limits", "off"]);
    let channel = process.var("CHANNEL_ID").to_owned();
    let path = format!("/channels/{channel}/messages");
    let http = process.http_a();
    let say = async |content: &str| {
        http.post(&path, &json!({ "content": content }))
            .await
            .ok("a message");
    };
    say("before").await;
    let refused = admin(data, &["migrate", "switch"]).unwrap_err();
    assert!(refused.contains("no migration is ready"), "{refused}");
    let new = format!("fjall:{}", data.join("new").display());
    admin(data, &["migrate", "--to", &new]).unwrap();
    say("while it is copied").await;
    eventually("the migration is ready", || async {
        let status = admin(data, &["migrate", "status"]).unwrap();
        assert_ne!(status["state"], "failed", "{status}");
        (status["state"] == "ready").then_some(())
    })
    .await;
    say("while both are written").await;
    let status = admin(data, &["migrate", "switch"]).unwrap();
    assert_eq!(status["state"], "switched");
    assert!(status["next"].as_str().unwrap().contains("storage"));
    say("after").await;
    process.terminate();
    assert!(process.wait(DEADLINE).success());
    let old = data.to_str().unwrap();
    let output = Process::run(&["dev", "--listen", "127.0.0.1:0", "--data", old]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("has switched to"), "{error}");
    let process = Process::dev(data, &["--storage", &new]);
    let stored = process.http_a().all_messages(&channel).await;
    let contents: Vec<_> = stored
        .iter()
        .map(|one| one["content"].as_str().unwrap())
        .collect();
    let mut expected = vec![
        "before",
        "while it is copied",
        "while both are written",
        "after",
    ];
    expected.retain(|content| contents.contains(content));
    assert_eq!(expected.len(), 4, "{contents:?}");
}
