//! RESUME: every event once, in order, whatever happened to the connection.

use serde_json::{Value, json};

use crate::support::{Said, Server, Socket};

/// Reads messages until one says `last`; their contents.
async fn messages(socket: &mut Socket, last: &str) -> Vec<String> {
    let mut found = Vec::new();
    loop {
        let content = socket.event("MESSAGE_CREATE").await["content"]
            .as_str()
            .unwrap()
            .to_owned();
        let done = content == last;
        found.push(content);
        if done {
            return found;
        }
    }
}

#[tokio::test]
async fn a_hundred_cuts_lose_nothing_and_repeat_nothing() {
    let server = Server::start().await;
    let token = server.token(&server.bob);
    let (mut socket, ready) = server.login(&server.bob).await;
    let session = ready["session_id"].as_str().unwrap().to_owned();
    let mut expected = 0;
    for round in 0..100 {
        // Some are read, some are on their way when the connection breaks, some come while away.
        for number in 0..4 {
            server.post(&format!("{round} {number}")).await;
        }
        for _ in 0..round % 4 {
            let content = socket.event("MESSAGE_CREATE").await["content"].clone();
            assert_eq!(content, format!("{} {}", expected / 7, expected % 7));
            expected += 1;
        }
        let last = socket.last;
        socket.abort();
        for number in 4..6 {
            server.post(&format!("{round} {number}")).await;
        }
        socket = server.hello().await;
        socket.resume(&token, &session, last).await;
        server.post(&format!("{round} 6")).await;
        let mut resumed = 0;
        while expected < (round + 1) * 7 {
            let payload = socket.payload().await;
            match payload["t"].as_str().unwrap() {
                "RESUMED" => resumed += 1,
                "MESSAGE_CREATE" => {
                    assert_eq!(
                        payload["d"]["content"],
                        format!("{} {}", expected / 7, expected % 7)
                    );
                    expected += 1;
                }
                _ => {}
            }
        }
        if resumed == 0 {
            socket.event("RESUMED").await;
        }
        assert!(resumed <= 1);
    }
}

#[tokio::test]
async fn resumed_stands_between_the_old_and_the_new() {
    let server = Server::start().await;
    let (socket, ready) = server.login(&server.bob).await;
    let last = socket.last;
    socket.abort();
    for number in 0..5 {
        server.post(&format!("away {number}")).await;
    }
    let mut again = server.hello().await;
    again
        .resume(
            &server.token(&server.bob),
            ready["session_id"].as_str().unwrap(),
            last,
        )
        .await;
    let mut names = Vec::new();
    while names.last().is_none_or(|name| name != "RESUMED") {
        names.push(again.payload().await["t"].as_str().unwrap().to_owned());
    }
    names.retain(|name| name != "PRESENCE_UPDATE");
    assert_eq!(
        names,
        ["MESSAGE_CREATE"; 5]
            .iter()
            .copied()
            .chain(["RESUMED"])
            .collect::<Vec<_>>()
    );
    server.post("new").await;
    assert_eq!(messages(&mut again, "new").await, ["new"]);
}

#[tokio::test]
async fn a_number_that_was_never_sent_is_refused_and_the_session_lives() {
    let server = Server::start().await;
    let token = server.token(&server.bob);
    let (mut socket, ready) = server.login(&server.bob).await;
    let session = ready["session_id"].as_str().unwrap().to_owned();
    for wrong in [socket.last + 1_000, u64::MAX] {
        let mut other = server.hello().await;
        other.resume(&token, &session, wrong).await;
        assert_eq!(other.closed().await, 4007);
    }
    // The connection that has the session goes on undisturbed.
    server.post("still here").await;
    assert_eq!(messages(&mut socket, "still here").await, ["still here"]);
}

#[tokio::test]
async fn an_unknown_session_is_told_so_and_may_log_in_on_the_same_connection() {
    let server = Server::start().await;
    let token = server.token(&server.bob);
    for session in [
        "x",
        "",
        &"f".repeat(32),
        &"f".repeat(4_000 - token.len() - 80),
    ] {
        let mut socket = server.hello().await;
        socket.resume(&token, session, 1).await;
        assert_eq!(socket.op(9).await, Value::Bool(false));
        socket.last = 0;
        socket.identify(&token).await;
    }
}

#[tokio::test]
async fn nobody_resumes_the_session_of_another() {
    let server = Server::start().await;
    let (mut bob, ready) = server.login(&server.bob).await;
    let mut ann = server.hello().await;
    ann.resume(
        &server.token(&server.ann),
        ready["session_id"].as_str().unwrap(),
        1,
    )
    .await;
    assert_eq!(ann.op(9).await, Value::Bool(false));
    bob.settle().await;
}

#[tokio::test]
async fn a_connection_that_is_taken_over_is_closed() {
    let server = Server::start().await;
    let (mut old, ready) = server.login(&server.bob).await;
    let mut new = server.hello().await;
    new.resume(
        &server.token(&server.bob),
        ready["session_id"].as_str().unwrap(),
        old.last,
    )
    .await;
    new.event("RESUMED").await;
    assert_eq!(old.closed().await, 4000);
    server.post("to the new one").await;
    assert_eq!(
        messages(&mut new, "to the new one").await,
        ["to the new one"]
    );
}

#[tokio::test]
async fn a_resume_may_change_the_compression() {
    let server = Server::start().await;
    let token = server.token(&server.bob);
    let (socket, ready) = server.login(&server.bob).await;
    let session = ready["session_id"].as_str().unwrap();
    let mut last = socket.last;
    socket.abort();
    for compress in ["zlib-stream", "zstd-stream", "false"] {
        server.post(compress).await;
        let mut again = server
            .connect(&format!("v=10&encoding=json&compress={compress}"))
            .await;
        again.op(10).await;
        again.resume(&token, session, last).await;
        assert_eq!(messages(&mut again, compress).await, [compress]);
        again.event("RESUMED").await;
        last = again.last;
        again.abort();
    }
}

#[tokio::test]
async fn heartbeats_say_what_need_not_be_kept() {
    let server = Server::start().await;
    let token = server.token(&server.bob);
    let (mut socket, ready) = server.login(&server.bob).await;
    let session = ready["session_id"].as_str().unwrap();
    server.post("acknowledged").await;
    messages(&mut socket, "acknowledged").await;
    let early = socket.last - 1;
    socket.send(json!({"op": 1, "d": socket.last})).await;
    socket.op(11).await;
    let last = socket.last;
    socket.abort();
    // The client said it has that event: it cannot be had again.
    let mut again = server.hello().await;
    again.resume(&token, session, early).await;
    match again.next().await {
        Said::Payload(answer) => {
            assert_eq!((&answer["op"], &answer["d"]), (&json!(9), &json!(false)))
        }
        other => panic!("{other:?}"),
    }
    again.resume(&token, session, last).await;
    again.event("RESUMED").await;
}
