//! Raw connections: chunked bodies, broken heads, clients that go away, too many of them.

use std::path::Path;

use gateway::GatewayConfig;
use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::json;
use storage::blob::BlobStore;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{DEADLINE, Reply, Server, eventually};

/// Sends `head` and `body` as they are and reads until the server closes.
async fn raw(server: &Server, text: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(text).await.unwrap();
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(DEADLINE, reading)
        .await
        .expect("the server closes the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

fn head(server: &Server, method: &str, path: &str, more: &str) -> String {
    format!(
        "{method} /api/v10{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bot {}\r\n{more}\r\n",
        server.ann.token
    )
}

/// All files below `directory`.
fn files(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}

#[tokio::test]
async fn chunked_bodies_are_read() {
    let server = Server::start().await;
    let more = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n";
    let request = head(&server, "POST", &server.at("/messages"), more)
        + "c\r\n{\"content\":\"\r\n4\r\nhi\"}\r\n0\r\n\r\n";
    let answer = raw(&server, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(
        server.ann.get(&server.at("/messages")).await.expect(200)[0]["content"],
        "hi"
    );
}

#[tokio::test]
async fn what_is_no_request_is_refused() {
    let server = Server::start().await;
    let long = head(
        &server,
        "GET",
        "/users/@me",
        &format!("X: {}\r\n", "x".repeat(100_000)),
    );
    let many = head(&server, "GET", "/users/@me", &"X: x\r\n".repeat(200));
    for (request, status) in [
        (long.as_str(), "HTTP/1.1 431"),
        (many.as_str(), "HTTP/1.1 431"),
        ("nonsense\r\n\r\n", "HTTP/1.1 400"),
        ("GET / HTTP/9.9\r\n\r\n", "HTTP/1.1 400"),
    ] {
        let answer = raw(&server, request.as_bytes()).await;
        assert!(answer.starts_with(status), "{status}: {answer}");
    }
    server.ann.get("/users/@me").await.expect(200);
}

#[tokio::test]
async fn a_head_is_refused_from_the_first_byte_too_many() {
    let server = Server::start().await;
    let auth = format!("Authorization: Bot {}\r\n", server.ann.token);
    let of_length = |bytes: usize| {
        let fields = |fill: &str| format!("{auth}Connection: close\r\nX: {fill}\r\n");
        let bare = format!(
            "GET /api/v10/users/@me HTTP/1.1\r\nHost: {}\r\n{}\r\n",
            server.address,
            fields("")
        );
        bare.replace("X: ", &format!("X: {}", "x".repeat(bytes - bare.len())))
    };
    const MAX: usize = gateway::server::HEAD_BYTES_MAX;
    for (bytes, status) in [(MAX, 200), (MAX + 1, 431), (48_000, 431), (2 * MAX, 431)] {
        let request = of_length(bytes);
        assert_eq!(request.len(), bytes);
        let answer = raw(&server, request.as_bytes()).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{bytes}: {answer}"
        );
    }
    server.ann.get("/users/@me").await.expect(200);
}

/// A client that writes its whole body before it reads: as most do.
#[tokio::test]
async fn what_is_refused_early_is_read_to_its_end_and_the_connection_serves_on() {
    let server = Server::start().await;
    let keep = |text: String| text.replace("Connection: close\r\n", "");
    for (case, path, content_type) in [
        ("JSON", server.at("/messages"), "application/json"),
        (
            "a route that reads no body",
            "/no/such/route".to_owned(),
            "text/plain",
        ),
    ] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let more = format!(
            "Content-Type: {content_type}\r\nContent-Length: {}\r\n",
            8 << 20
        );
        let request = keep(head(&server, "POST", &path, &more));
        stream.write_all(request.as_bytes()).await.unwrap();
        let written = stream.write_all(&vec![b' '; 8 << 20]).await;
        written.unwrap_or_else(|error| panic!("{case}: the body was cut: {error}"));
        // `Connection: close` on the second one ends the reading.
        stream
            .write_all(head(&server, "GET", "/users/@me", "").as_bytes())
            .await
            .unwrap();
        let mut answers = String::new();
        tokio::time::timeout(DEADLINE, stream.read_to_string(&mut answers))
            .await
            .expect("both are answered in time")
            .unwrap();
        let statuses: Vec<&str> = answers
            .match_indices("HTTP/1.1 ")
            .map(|(at, _)| &answers[at + 9..at + 12])
            .collect();
        assert!(
            matches!(statuses[..], ["413" | "404", "200"]),
            "{case}: {answers}"
        );
    }
}

#[tokio::test]
async fn a_body_without_end_is_not_read_for_ever() {
    let server = Server::start().await;
    let more = "Content-Type: application/json\r\nContent-Length: 1000000000000\r\n";
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let request = head(&server, "POST", &server.at("/messages"), more);
    stream.write_all(request.as_bytes()).await.unwrap();
    let endless = async {
        let piece = vec![b' '; 1 << 20];
        let mut sent = 0_usize;
        while stream.write_all(&piece).await.is_ok() {
            sent += piece.len();
        }
        sent
    };
    let sent = tokio::time::timeout(DEADLINE, endless)
        .await
        .expect("the server closes the connection");
    assert!(
        sent < gateway::server::LEFTOVER_BYTES_MAX * 2,
        "{sent} bytes were taken"
    );
}

/// A client that waits for leave to send its body may never send it.
#[tokio::test]
async fn nobody_waits_for_a_body_that_was_refused_before_it_was_sent() {
    let server = Server::start().await;
    let more =
        "Content-Type: application/json\r\nContent-Length: 9999999\r\nExpect: 100-continue\r\n";
    let request = head(&server, "POST", &server.at("/messages"), more);
    let answer = raw(
        &server,
        request.replace("Connection: close\r\n", "").as_bytes(),
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test]
async fn a_body_that_breaks_off_changes_nothing() {
    let server = Server::start().await;
    let more = "Content-Type: application/json\r\nContent-Length: 500\r\n";
    let request = head(&server, "POST", &server.at("/messages"), more) + "{\"content\":\"half";
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut answer))
        .await
        .unwrap();
    assert_eq!(
        server.ann.get(&server.at("/messages")).await.expect(200),
        json!([])
    );
}

#[tokio::test]
async fn files_of_refused_and_abandoned_messages_are_removed() {
    let directory = tempfile::tempdir().unwrap();
    let blobs = BlobStore::directory(directory.path()).await.unwrap();
    let config = GatewayConfig {
        rate_limits: false,
        ..GatewayConfig::default()
    };
    let server = Server::built(config, blobs).await;
    let upload = async |content: &str| {
        let form = Form::new().text("content", content.to_owned());
        let form = form.part(
            "files[0]",
            Part::bytes(b"bytes".to_vec()).file_name("a.txt"),
        );
        Reply::of(
            server
                .ann
                .request(Method::POST, &server.at("/messages"))
                .multipart(form),
        )
        .await
    };
    upload("kept").await.expect(200);
    assert_eq!(files(directory.path()).len(), 1);
    upload(&"x".repeat(2_001)).await.refused_at("content");
    eventually("the refused file is removed", || {
        files(directory.path()).len() == 1
    })
    .await;

    let part = |number: u32| {
        format!(
            "--X\r\nContent-Disposition: form-data; name=\"files[{number}]\"; filename=\"b.txt\"\r\n\r\n"
        )
    };
    let more = "Content-Type: multipart/form-data; boundary=X\r\nContent-Length: 100000\r\n";
    let request = head(&server, "POST", &server.at("/messages"), more)
        + &part(0)
        + "whole\r\n"
        + &part(1)
        + "half";
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    eventually("the first file is stored", || {
        files(directory.path()).len() >= 2
    })
    .await;
    drop(stream);
    eventually("nothing of the abandoned upload is left", || {
        files(directory.path()).len() == 1
    })
    .await;
    let page = server.ann.get(&server.at("/messages")).await.expect(200);
    assert_eq!(page.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_repeated_nonce_keeps_the_files_of_the_first_message_only() {
    let directory = tempfile::tempdir().unwrap();
    let blobs = BlobStore::directory(directory.path()).await.unwrap();
    let config = GatewayConfig {
        rate_limits: false,
        ..GatewayConfig::default()
    };
    let server = Server::built(config, blobs).await;
    let upload = async || {
        let form = Form::new().text(
            "payload_json",
            json!({"nonce": "n", "enforce_nonce": true}).to_string(),
        );
        let form = form.part(
            "files[0]",
            Part::bytes(b"bytes".to_vec()).file_name("a.txt"),
        );
        Reply::of(
            server
                .ann
                .request(Method::POST, &server.at("/messages"))
                .multipart(form),
        )
        .await
        .expect(200)
    };
    let (first, second) = (upload().await, upload().await);
    assert_eq!(first["id"], second["id"]);
    eventually("the second file is removed", || {
        files(directory.path()).len() == 1
    })
    .await;
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed() {
    let config = GatewayConfig {
        connections_max: 2,
        rate_limits: false,
        ..GatewayConfig::default()
    };
    let server = Server::built(config, BlobStore::memory()).await;
    let request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        assert!(stream.read(&mut [0; 1_024]).await.unwrap() > 0);
        held.push(stream);
    }
    let mut third = TcpStream::connect(server.address).await.unwrap();
    let _ = third.write_all(request).await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(DEADLINE, third.read_to_end(&mut answer))
        .await
        .unwrap();
    assert!(answer.is_empty(), "no room for a third");
    held.pop();
    let deadline = std::time::Instant::now() + DEADLINE;
    loop {
        let mut again = TcpStream::connect(server.address).await.unwrap();
        let _ = again.write_all(request).await;
        let read = again.read(&mut [0; 1_024]).await;
        if read.is_ok_and(|count| count > 0) {
            break;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "the place of a closed connection is free again"
        );
    }
}
