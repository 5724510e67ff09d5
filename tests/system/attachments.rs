//! Attachments in a bucket, through the API: as in a directory, and what a client sees when the
//! bucket's server is away.

use reqwest::multipart::{Form, Part};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::support::{Answer, Process};

#[path = "../../storage/tests/support/s3.rs"]
mod s3;

use s3::{SECRET, Server};

/// More than one part of an upload to a bucket.
const LARGE: usize = 7 * 1_024 * 1_024 + 3;

async fn upload(node: &Process, bytes: Vec<u8>) -> Answer {
    let form = Form::new().part("files[0]", Part::bytes(bytes).file_name("data.txt"));
    let http = node.http_a();
    let path = format!("/channels/{}/messages", node.var("CHANNEL_ID"));
    http.send(http.request(Method::POST, &path).multipart(form))
        .await
}

async fn read(url: &str, range: Option<&str>) -> (StatusCode, Vec<u8>) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut request = client.get(url);
    if let Some(range) = range {
        request = request.header("Range", range);
    }
    let answer = request.send().await.unwrap();
    let status = answer.status();
    (status, answer.bytes().await.unwrap().to_vec())
}

fn link(message: &Value) -> String {
    message["attachments"][0]["url"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_keeps_what_is_uploaded() {
    let Some(mut server) = Server::start() else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let place = server.place("chat");
    let mut node = Process::dev(
        directory.path(),
        &["--blobs", &place, "--rate-limits", "off"],
    );
    let small = b"hello".to_vec();
    let large: Vec<u8> = (0..LARGE).map(|at| (at * 31 % 251) as u8).collect();
    let mut links = Vec::new();
    for bytes in [&small, &large] {
        let message = upload(&node, bytes.clone()).await.ok("an upload");
        assert_eq!(message["attachments"][0]["size"], bytes.len());
        links.push(link(&message));
        let (status, got) = read(&link(&message), None).await;
        assert!(status == 200 && got == *bytes);
    }
    let (status, got) = read(&links[1], Some("bytes=5242879-5242881")).await;
    assert_eq!(
        (status.as_u16(), &got[..]),
        (206, &large[5_242_879..5_242_882])
    );
    let (status, _) = read(&links[1], Some("bytes=99999999-")).await;
    assert_eq!(status, 416);
    let (status, _) = read(&links[0].replace("data.txt", "other.txt"), None).await;
    assert_eq!(status, 404);
    let too_large = upload(&node, vec![0; 10 * 1_024 * 1_024 + 1]).await;
    too_large.refused("a file above the limit", 413, 40_005);
    s3::until("nothing unfinished is left", || server.unfinished() == 0);

    // The server away: these fail and can be repeated, the rest goes on.
    server.kill();
    let away = upload(&node, small.clone()).await;
    away.refused("an upload without a server", 503, 0);
    assert_eq!(away.headers["retry-after"], "1");
    assert_eq!(read(&links[0], None).await.0, 503);
    let path = format!("/channels/{}/messages", node.var("CHANNEL_ID"));
    let said = serde_json::json!({"content": "still here"});
    node.http_a().post(&path, &said).await.ok("a message");

    server.restart();
    assert_eq!(read(&links[0], None).await.1, small);
    upload(&node, small.clone()).await.ok("an upload again");
    node.kill();
    let again = Process::dev(
        directory.path(),
        &["--blobs", &place, "--rate-limits", "off"],
    );
    let path = links[1].splitn(4, '/').last().unwrap();
    let (_, got) = read(&format!("http://{}/{path}", again.addr()), None).await;
    assert!(got == large, "after the node was killed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_cannot_be_used_is_said_at_the_start() {
    let Some(server) = Server::start() else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().to_str().unwrap();
    let missing = server.place("").replace(s3::BUCKET, "no-such-bucket");
    let secret = format!("s3://{}:{SECRET}@bucket", s3::KEY_ID);
    for (place, named) in [
        (&*missing, "bucket does not exist"),
        (&*secret, "credentials do not go into the URL"),
        ("s3://bucket?region=", "region= has no value"),
    ] {
        let arguments = [
            "dev",
            "--listen",
            "127.0.0.1:0",
            "--data",
            data,
            "--blobs",
            place,
        ];
        let output = Process::run(&arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(named), "{said}");
        assert!(said.contains("--blobs") && !said.contains(SECRET), "{said}");
    }
}

/// Credentials from the environment, and a certificate of an authority that the machine trusts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_over_tls() {
    let Some(server) = Server::with_tls() else {
        return;
    };
    let place = format!("s3://{}?endpoint={}", s3::BUCKET, server.endpoint());
    let keys = [
        ("AWS_ACCESS_KEY_ID", s3::KEY_ID),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
    ];
    let directory = tempfile::tempdir().unwrap();
    let authority = server.authority();
    let trusted = [("SSL_CERT_FILE", authority.to_str().unwrap())];
    let variables = [&keys[..], &trusted].concat();
    let node = Process::dev_in(directory.path(), &["--blobs", &place], &variables);
    let message = upload(&node, b"over TLS".to_vec()).await.ok("an upload");
    assert_eq!(read(&link(&message), None).await.1, b"over TLS");
    drop(node);

    let data = directory.path().to_str().unwrap();
    let arguments = [
        "dev",
        "--listen",
        "127.0.0.1:0",
        "--data",
        data,
        "--blobs",
        &place,
    ];
    let output = Process::run_in(&arguments, &keys);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("invalid peer certificate"), "{said}");
}
