//! The command line as a person and a script use it.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{ALL_INTENTS, DEADLINE, Gateway, Http, Process};

fn admin(data: &Path, arguments: &[&str]) -> Value {
    let data = data.to_str().unwrap();
    let output = Process::run(&[&["admin", "--json", "--data", data], arguments].concat());
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_data_directory_gives_the_same_values_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut first = Process::dev(directory.path(), &[]);
    let names: Vec<String> = first.identity().into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        ["CHANNEL_ID", "GUILD_ID", "TOKEN_A", "TOKEN_B", "USER_TOKEN"]
    );
    assert!(first.var("API_BASE").ends_with("/api/v10"));
    let identity = first.identity();
    first.terminate();
    assert!(first.wait(DEADLINE).success());
    let second = Process::dev(directory.path(), &[]);
    assert_eq!(second.identity(), identity);
    let elsewhere = tempfile::tempdir().unwrap();
    let other = Process::dev(elsewhere.path(), &[]);
    assert_ne!(other.identity(), identity);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn demo_users_get_tokens_that_work() {
    let directory = tempfile::tempdir().unwrap();
    let process = Process::dev(directory.path(), &["--demo-users", "3"]);
    let text = std::fs::read_to_string(directory.path().join("demo-tokens.txt")).unwrap();
    let tokens: Vec<&str> = text.lines().collect();
    assert_eq!(tokens.len(), 3);
    for token in tokens {
        let http = Http::with_authorization(process.addr(), Some(token.to_owned()));
        let me = http
            .get("/users/@me")
            .await
            .ok("a demo user asks who it is");
        let path = format!(
            "/guilds/{}/members/{}",
            process.var("GUILD_ID"),
            me["id"].as_str().unwrap()
        );
        http.get(&path).await.ok("it is a member");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn admin_makes_bots_people_guilds_and_members_that_work() {
    let directory = tempfile::tempdir().unwrap();
    let process = Process::dev(directory.path(), &[]);
    let data = directory.path();
    let bot = admin(data, &["create-bot", "--name", "Helper"]);
    let person = admin(data, &["create-user", "--name", "somebody"]);
    let owner = person["id"].as_str().unwrap();
    let guild = admin(data, &["create-guild", "--name", "Club", "--owner", owner]);
    let guild_id = guild["id"].as_str().unwrap();
    admin(
        data,
        &[
            "add-member",
            "--guild",
            guild_id,
            "--user",
            bot["id"].as_str().unwrap(),
        ],
    );

    let mut gateway =
        Gateway::identified(process.addr(), bot["token"].as_str().unwrap(), ALL_INTENTS).await;
    let joined = gateway.dispatch("GUILD_CREATE").await;
    assert_eq!(
        (&joined["id"], &joined["owner_id"]),
        (&guild["id"], &person["id"])
    );
    let http =
        Http::with_authorization(process.addr(), person["token"].as_str().map(str::to_owned));
    let posted = http
        .post_message(guild["channel"].as_str().unwrap(), "hello")
        .await;
    assert_eq!(gateway.dispatch("MESSAGE_CREATE").await["id"], posted["id"]);

    let guilds = admin(data, &["list", "guilds"]);
    let row = guilds
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["id"] == guild["id"])
        .unwrap();
    assert_eq!((&row["name"], &row["members"]), (&json!("Club"), &json!(2)));
    let accounts = admin(data, &["list", "accounts"]);
    assert!(
        accounts
            .as_array()
            .unwrap()
            .iter()
            .any(|row| row["name"] == "somebody")
    );
    gateway.close(1000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bot_made_without_privileged_intents_is_refused_them() {
    let directory = tempfile::tempdir().unwrap();
    let process = Process::dev(directory.path(), &[]);
    let bot = admin(
        directory.path(),
        &["create-bot", "--name", "Plain", "--intents", "none"],
    );
    let token = bot["token"].as_str().unwrap();
    let mut gateway = Gateway::connect(process.addr()).await;
    gateway
        .send(&crate::support::gateway::identify(token, ALL_INTENTS))
        .await;
    assert_eq!(gateway.closed().await, Some(4014));
    Gateway::identified(process.addr(), token, 1 << 0 | 1 << 9)
        .await
        .close(1000)
        .await;
}

#[test]
fn mistakes_are_named_and_exit_with_a_code() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().to_str().unwrap();
    for (arguments, code, says) in [
        (vec!["dev", "--liste", "127.0.0.1:1"], 2, "--liste"),
        (vec!["dev", "--listen", "somewhere"], 2, "somewhere"),
        (vec!["dev", "--rate-limits", "maybe"], 2, "maybe"),
        (
            vec![
                "dev",
                "--listen",
                "127.0.0.1:0",
                "--data",
                data,
                "--storage",
                "floppy:a",
            ],
            1,
            "floppy",
        ),
        (
            vec!["serve", "--config", "/nowhere/guildhall.toml"],
            1,
            "/nowhere/guildhall.toml",
        ),
        (vec!["admin", "--data", data, "list"], 1, "no node answers"),
        (
            vec![
                "admin",
                "--data",
                data,
                "create-guild",
                "--name",
                "x",
                "--owner",
                "me",
            ],
            2,
            "me",
        ),
        (vec!["nonsense"], 2, "nonsense"),
    ] {
        let output = Process::run(&arguments);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        assert!(text.contains(says), "{arguments:?}: {text}");
        assert!(!text.contains("panicked"), "{arguments:?}: {text}");
    }
    let help = Process::run(&["--help"]);
    assert!(help.status.success() && !help.stdout.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_admin_connections_keep_nobody_out() {
    use std::io::Read as _;
    use std::os::unix::net::UnixStream;
    let directory = tempfile::tempdir().unwrap();
    let _process = Process::dev(directory.path(), &[]);
    let socket = directory.path().join("admin.sock");
    let silent: Vec<UnixStream> = (0..guildhall::admin::CONNECTIONS_MAX)
        .map(|_| UnixStream::connect(&socket).unwrap())
        .collect();
    let asked = std::time::Instant::now();
    admin(directory.path(), &["list", "guilds"]);
    assert!(asked.elapsed() < guildhall::admin::IDLE_MAX / 2);
    // The first of them had to go, and is told so by the end of its stream.
    let mut first = &silent[0];
    first.set_read_timeout(Some(DEADLINE)).unwrap();
    assert_eq!(first.read(&mut [0]).unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serve_says_when_it_is_stopped_and_nothing_of_the_engine() {
    let directory = tempfile::tempdir().unwrap();
    let mut process = Process::serve(directory.path());
    process.terminate();
    let (status, log) = process.end(DEADLINE);
    assert!(status.success(), "{log}");
    let said = |what: &str| log.contains(what);
    assert!(
        said("serving") && said("draining") && said("stopped"),
        "{log}"
    );
    assert!(!said("lsm_tree") && !said("fjall::"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_node_on_the_same_data_directory_or_port_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let process = Process::dev(directory.path(), &[]);
    let second = Process::run(&[
        "dev",
        "--listen",
        "127.0.0.1:0",
        "--data",
        directory.path().to_str().unwrap(),
    ]);
    assert_eq!(second.status.code(), Some(1), "{second:?}");
    let elsewhere = tempfile::tempdir().unwrap();
    let taken = process.addr().to_string();
    let second = Process::run(&[
        "dev",
        "--listen",
        &taken,
        "--data",
        elsewhere.path().to_str().unwrap(),
    ]);
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains(&taken));
    process
        .http_a()
        .get("/users/@me")
        .await
        .ok("the first one serves on");
}
